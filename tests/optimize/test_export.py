"""What a database has, as a spec: nothing is to be done with it, nothing is missing silently."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from helpers import open_transaction

from dbopt import grammar
from dbopt.errors import Error, UsageError
from dbopt.optimize import export_files
from dbopt.optimize.export import TABLES_AT_A_TIME, Choice, Exported, LeftOut, read
from dbopt.optimize.export_form import bare
from dbopt.postgres import connect, index_export
from dbopt.postgres import server as servers
from tests.optimize import index_zoo, test_definitions_keys, test_definitions_predicates, test_definitions_tables
from tests.optimize.exports import assert_empty, exported, names, plan_of
from tests.optimize.trees import THREE_LEVELS
from tests.optimize.zoo import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database, Server

    from tests.optimize.index_zoo import Shape
    from tests.optimize.runs import Project


def the_only(database: Database) -> Any:
    """The entry of the only index."""
    [item] = exported(database)
    assert isinstance(item, Exported), item
    return {"name": item.name, "table": item.table, **item.fields}


def left_out(found: list[Exported | LeftOut]) -> dict[str, tuple[str, bool]]:
    return {item.name: (item.reason, item.is_lost) for item in found if isinstance(item, LeftOut)}


@pytest.fixture(scope="module")
def zoo(pg: Server) -> Iterator[tuple[Database, list[Shape]]]:
    with pg.database() as database:
        yield database, index_zoo.make(database)


@pytest.mark.parametrize("split", [False, True])
def test_nothing_is_to_be_done_with_any_shape(
    zoo: tuple[Database, list[Shape]], tmp_path: Path, *, split: bool
) -> None:
    database, made = zoo
    found = exported(database)
    assert names(found) == {(shape.schema, shape.name) for shape in made}
    assert left_out(found) == {}
    assert all("sql" not in item.fields for item in found if isinstance(item, Exported))
    plan = plan_of(database, tmp_path / "specs", found, split=split)
    assert_empty(plan)
    assert len(plan.unchanged) == len(made) >= 250


@pytest.mark.parametrize("path", ["", "app, public", '"$user", crm, app, public', "nowhere"])
def test_the_search_path_of_the_reader_does_not_matter(
    zoo: tuple[Database, list[Shape]], tmp_path: Path, path: str
) -> None:
    """Written with one, read with another: names mean the same."""
    database, _ = zoo
    database.sql(f"ALTER DATABASE {database.name} SET search_path = {path or chr(39) * 2}")
    found = [item for item in exported(database) if isinstance(item, Exported)]
    database.sql(f"ALTER DATABASE {database.name} RESET search_path")
    assert_empty(plan_of(database, tmp_path / "specs", list(found)))
    assert "app.norm(t)" in json.dumps([item.fields for item in found])


@pytest.mark.parametrize(
    "pairs", [test_definitions_keys, test_definitions_predicates, test_definitions_tables], ids=lambda m: m.__name__
)
def test_nothing_is_to_be_done_with_what_others_wrote_by_hand(database: Database, tmp_path: Path, pairs: Any) -> None:
    made = [pair.made for pair in pairs.zoo.pairs if database.server_version >= (pair.since,)]
    database.sql(SCHEMA)
    database.sql(";\n".join(made))
    found = exported(database)
    assert len(names(found)) == len(made) > 20
    assert_empty(plan_of(database, tmp_path / "specs", found))


def test_operator_classes_go_without_saying_where_the_server_says_so(database: Database) -> None:
    """Every operator class of every method, on columns of the types that it takes and on domains over them."""
    brought = ("btree_gin", "btree_gist", "pg_trgm", "hstore", "ltree", "citext", "intarray")
    database.sql("; ".join(f"CREATE EXTENSION {name}" for name in brought))
    database.sql("CREATE TYPE mood AS ENUM ('a'); CREATE TYPE pair AS (a int); CREATE DOMAIN one AS text")
    database.sql("CREATE DOMAIN two AS one; CREATE DOMAIN list AS int[]; CREATE DOMAIN word AS varchar(9)")
    types = "int bigint text varchar char(3) name mood mood[] pair one two list word inet cidr int4range text[] citext"
    types += " varchar[] jsonb tsvector point box oid uuid timestamptz bit varbit ltree hstore bytea regclass polygon"
    columns = {f"c{n}": name for n, name in enumerate(types.split())}
    database.sql(f"CREATE TABLE t ({', '.join(f'{column} {name}' for column, name in columns.items())})")
    # Which fits which, the server knows best.
    database.sql(
        """
        DO $$
        DECLARE o record; a record;
        BEGIN
          FOR o IN SELECT m.amname, c.opcname FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod LOOP
            FOR a IN SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 LOOP
              BEGIN
                EXECUTE format('CREATE INDEX ON t USING %I (%I %I)', o.amname, a.attname, o.opcname);
              EXCEPTION WHEN others THEN NULL;
              END;
            END LOOP;
          END LOOP;
        END $$
        """
    )
    rows = database.sql(
        "SELECT indexrelid::int8, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 't'::regclass"
    )
    with database.connect() as conn:
        words = index_export.WORDS.rows(conn, database.server_version, {"oids": [oid for oid, _ in rows]})
    said = {word.oid for word in words if word.opclass is not None}
    written = {oid for oid, text in rows if grammar.parse_create_index(text).index_params[0].index_elem.opclass}
    assert said == written
    assert len(rows) - len(written) > 60
    assert len(written) > 60


def test_the_shortest_form(database: Database) -> None:
    database.sql('CREATE TABLE t (a int, b text, c text COLLATE "C"); CREATE INDEX i ON t (a int4_ops, c COLLATE "C")')
    assert the_only(database) == {"name": "i", "table": "t", "keys": ["a", "c"]}
    database.sql('DROP INDEX i; CREATE UNIQUE INDEX i ON t (a DESC, lower(b) COLLATE "C") INCLUDE (c) WHERE (a > 0)')
    assert the_only(database) == {
        "name": "i",
        "table": "t",
        "keys": [{"column": "a", "order": "desc"}, {"expr": "lower(b)", "collation": "C"}],
        "include": ["c"],
        "unique": True,
        "where": "a > 0",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("((a > 0))", "a > 0"),
        ("(a) + (b)", "(a) + (b)"),
        ("(t = ')'::text)", "t = ')'::text"),
        ("""((t = 'it''s ('::text) AND ("odd)" > 1))""", """(t = 'it''s ('::text) AND ("odd)" > 1)"""),
        ("(t = E'\\\\'') ('::text)", "t = E'\\\\'') ('::text"),
        ("\nCASE\n    WHEN b THEN 1\nEND", "CASE\n    WHEN b THEN 1\nEND"),
        ("()", ""),
    ],
)
def test_parentheses_around_the_whole(text: str, shown: str) -> None:
    assert bare(text) == shown


def test_what_no_spec_is_about(database: Database) -> None:
    database.sql(
        """
        CREATE EXTENSION btree_gist;
        CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, r int4range, EXCLUDE USING gist (r WITH &&));
        CREATE UNIQUE INDEX attached ON t (a, id);
        ALTER TABLE t ADD CONSTRAINT attached UNIQUE USING INDEX attached;
        CREATE INDEX mine ON t (a);
        CREATE TABLE of_extension (a int);
        CREATE INDEX not_mine ON of_extension (a);
        ALTER EXTENSION btree_gist ADD TABLE of_extension;
        """
    )
    with database.connect() as conn:
        conn.execute("CREATE TEMPORARY TABLE mine_for_now (a int); CREATE INDEX gone_soon ON mine_for_now (a)")
        conn.commit()
        assert names(exported(database)) == {("public", "mine")}


def test_what_is_broken_or_half_done_is_named(database: Database, tmp_path: Path) -> None:
    database.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1); CREATE INDEX i ON t (a)")
    with database.connect(autocommit=True) as conn, pytest.raises(Exception, match="duplicated"):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
    database.sql("CREATE INDEX i_dbopt_new ON t (a, a)")
    database.sql("CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p_1 PARTITION OF p DEFAULT")
    database.sql("CREATE INDEX half ON ONLY p (a)")
    found = exported(database)
    assert names(found) == {("public", "i")}
    assert {name: (reason.partition(",")[0], lost) for name, (reason, lost) in left_out(found).items()} == {
        "broken": ("it is INVALID", False),
        "i_dbopt_new": ("it is left over from an interrupted change of another index", False),
        "half": ("it is INVALID", False),
    }
    text = export_files.text(export_files.in_one(found, domain="d", dbname="shop")[0], "shop")
    assert "\n  # left out: broken on public.t: it is INVALID" in text


def test_a_locked_table_costs_its_own_expressions_only(database: Database) -> None:
    database.sql("CREATE TABLE t (a int); CREATE INDEX plain ON t (a); CREATE INDEX partial ON t (a) WHERE a > 0")
    database.sql("CREATE TABLE u (a int); CREATE INDEX other ON u ((a + 1))")
    with open_transaction(database, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"):
        found = exported(database)
    assert names(found) == {("public", "plain"), ("public", "other")}
    [(name, (reason, is_lost))] = left_out(found).items()
    assert (name, is_lost) == ("partial", True)
    assert "locked exclusively" in reason


def test_no_right_on_the_tables_is_needed(zoo: tuple[Database, list[Shape]]) -> None:
    database, made = zoo
    database.sql("DROP ROLE IF EXISTS nobody_at_all; CREATE ROLE nobody_at_all")
    try:
        found = exported(database, settings={"role": "nobody_at_all"})
        assert len(names(found)) == len(made)
    finally:
        database.sql("DROP ROLE nobody_at_all")


def test_a_tree_has_one_entry_and_the_template_of_its_parts(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    project.wants(
        "name: by_at, table: ev, keys: [at, id]",
        'name: by_id, table: ev, keys: [id, at], partitions: {name: "p {leaf}.id"}',
    ).run().assert_applied()
    found = {item.name: item.fields for item in exported(database) if isinstance(item, Exported)}
    assert found == {
        "by_at": {"keys": ["at", "id"], "why": "a test"},
        "by_id": {"keys": ["id", "at"], "partitions": {"name": "p {leaf}.id"}, "why": "a test"},
    }
    database.sql('ALTER INDEX "p ev_1.id" RENAME TO other')
    found = {item.name: item.fields for item in exported(database) if isinstance(item, Exported)}
    assert "partitions" not in found["by_id"]


@pytest.mark.pg(">= 15")
def test_tablespaces(database: Database, tmp_path: Path) -> None:
    with database.connect(autocommit=True) as conn:
        conn.execute("SET allow_in_place_tablespaces = on")
        conn.execute("CREATE TABLESPACE \"dbopt export\" LOCATION ''")
    try:
        database.sql('CREATE TABLE t (a int); CREATE INDEX i ON t (a) TABLESPACE "dbopt export"')
        assert the_only(database)["tablespace"] == "dbopt export"
        assert_empty(plan_of(database, tmp_path / "specs", exported(database)))
    finally:
        database.sql("DROP TABLE t")
        database.sql('DROP TABLESPACE "dbopt export"')


def test_our_own_marks_stay(project: Project, database: Database, tmp_path: Path) -> None:
    """Whatever the wording was that the index was made by, its text stays and its domain."""
    database.sql("CREATE TABLE t (a int, b varchar(9)); CREATE INDEX theirs ON t (b, a); CREATE INDEX old ON t (b)")
    database.sql("COMMENT ON INDEX old IS 'Ask Alice: [first]'; ANALYZE t")
    project.wants(
        "name: one, table: t, keys: [{column: a, order: asc}], where: \"b IN ('x', 'y')\"",
        "name: two, table: t, keys: [{expr: LOWER( b )}], comment: 'Said: # so'",
        "name: three, table: t, keys: [b], was: [old]",
    ).run().assert_applied()
    found = exported(database)
    assert {item.name: (item.domain, item.fields.get("why")) for item in found if isinstance(item, Exported)} == {
        "one": ("shop", "a test"),
        "two": ("shop", "Said: # so"),
        "three": ("shop", "Ask Alice: [first]"),
        "theirs": (None, None),
    }
    plan = plan_of(database, tmp_path / "exported", found)
    assert_empty(plan)
    assert len(plan.unchanged) == 4


def test_what_no_field_can_say_is_said_by_sql_or_named(database: Database, tmp_path: Path) -> None:
    """Text that PostgreSQL takes and our parser of single expressions does not: 45 operators deep, and more."""

    def deep(levels: int) -> str:
        return "(" * levels + "a" + " + 1)" * levels + " > 0"

    database.sql(f"CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE INDEX deep ON t (a) WHERE {deep(45)}")
    database.sql(f"CREATE INDEX deeper ON t (a) WHERE {deep(60)}")
    database.sql('CREATE SCHEMA "tenant*"; CREATE TABLE "tenant*".t (a int); CREATE INDEX starred ON "tenant*".t (a)')
    found = exported(database)
    [item] = [item for item in found if isinstance(item, Exported)]
    assert set(item.fields) == {"sql"}
    assert {name: lost for name, (_, lost) in left_out(found).items()} == {"deeper": True, "starred": True}
    assert_empty(plan_of(database, tmp_path / "specs", found))


def test_the_number_of_statements_does_not_grow(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def statements(tables: range) -> int:
        database.sql("; ".join(f"CREATE TABLE t{n} (a int); CREATE INDEX i{n} ON t{n} ((a + 1))" for n in tables))
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "dbopt.sql"):
            found = exported(database)
        assert len(found) == tables.stop
        return len([record for record in caplog.records if "dbopt:" in record.getMessage()])

    few = statements(range(3))
    assert few == statements(range(3, 60)) <= 10
    assert TABLES_AT_A_TIME >= 1_000


def test_patterns(database: Database) -> None:
    database.sql(
        'CREATE SCHEMA app; CREATE SCHEMA "app[1]"; CREATE TABLE app.users (a int); CREATE TABLE users (a int)'
    )
    database.sql('CREATE TABLE "app[1]".users (a int); CREATE INDEX i ON "app[1]".users (a)')
    database.sql("CREATE INDEX i ON app.users (a); CREATE INDEX i ON users (a)")

    def chosen(choice: Choice) -> list[str]:
        with connect.connect(database.conninfo, command="export", read_only=True) as conn:
            return sorted(item.schema for item in read(conn, servers.inspect(conn), choice))

    assert chosen(Choice()) == ["app", "app[1]", "public"]
    assert chosen(Choice(schemas=("app*",))) == ["app", "app[1]"]
    assert chosen(Choice(schemas=("app[1]",))) == ["app[1]"]
    assert chosen(Choice(tables=("app.users",))) == ["app"]
    assert chosen(Choice(tables=("us?rs",), schemas=("public",))) == ["public"]
    with pytest.raises(UsageError, match="--table usres") as raised:
        chosen(Choice(tables=("usres",)))
    assert raised.value.hint == "Did you mean users?"


def item(name: str, schema: str = "public", domain: str | None = None, table: str = "t") -> Exported:
    return Exported(schema, table, name, domain, {"keys": ["a"]})


def test_domains() -> None:
    found = [item("a", "app"), item("b", "App"), item("c", "Ж"), item("d", "app", "billing"), item("e", "public")]
    assert {
        spec.domain: (spec.schema, [one.name for one in spec.items])
        for spec in export_files.by_domain(found, domain=None)
    } == {
        "app": ("app", ["a"]),
        "app-2": ("App", ["b"]),
        "billing": ("app", ["d"]),
        "indexes": ("Ж", ["c"]),
        "public": ("public", ["e"]),
    }
    assert [spec.domain for spec in export_files.by_domain(found, domain="rest")] == ["billing", "rest"]


def test_the_domain_of_one_file() -> None:
    def domain(*found: Exported, wanted: str | None = None) -> tuple[str, int, dict[str, int]]:
        spec, others = export_files.in_one(found, domain=wanted, dbname="Shop DB")
        return spec.domain, spec.indexes, dict(others)

    assert domain(item("a", "app")) == ("app", 1, {})
    assert domain(item("a", "app"), item("b", "crm")) == ("shop-db", 2, {})
    assert domain(item("a", "app"), item("b", "crm", "sales")) == ("sales", 2, {})
    assert domain(item("a", "app"), wanted="x") == ("x", 1, {})
    two = item("a", domain="sales"), item("b", domain="billing"), item("c")
    assert domain(*two, wanted="sales") == ("sales", 2, {"billing": 1})
    with pytest.raises(UsageError, match="2 domains") as raised:
        domain(*two)
    assert raised.value.detail == "their marks name billing, sales"


def test_a_file_that_could_not_be_read_again_is_not_written() -> None:
    found = [Exported("public", "t", f"i{n}", None, {"keys": ["a"], "why": "x" * 2_000}) for n in range(3_000)]
    with pytest.raises(Error, match="larger than a spec may be"):
        export_files.text(export_files.in_one(found, domain=None, dbname="shop")[0], "shop")
