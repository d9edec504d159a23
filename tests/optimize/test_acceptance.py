"""Before and after: a database with the one, a spec exported from the other, one run; then both have the same indexes.

All cases are one plan and one run on one database, each in a schema of its own. What a spec cannot say has to be
refused, and then the indexes are as they were.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from dbopt.optimize.export import Choice, Exported, read
from dbopt.postgres import connect
from dbopt.postgres.server import inspect
from tests.optimize.runs import Project, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server import Database, Server

    from dbopt.optimize.steps import Plan

T = """
    CREATE TABLE t (id int NOT NULL, a text, b int, c timestamptz, d jsonb, e int[], v varchar(40), "Name" text);
    INSERT INTO t SELECT g, 'a' || g, g % 5, now(), '{}', ARRAY[g], 'v' || g, 'N' || g FROM generate_series(1, 30) g;
"""
P = """
    CREATE TABLE p (id int NOT NULL, k text NOT NULL, n int) PARTITION BY LIST (k);
    CREATE TABLE p_1 PARTITION OF p FOR VALUES IN ('one');
    CREATE TABLE p_2 PARTITION OF p FOR VALUES IN ('two');
    CREATE TABLE p_3 PARTITION OF p DEFAULT;
    INSERT INTO p SELECT g, (ARRAY['one', 'two', 'other'])[g % 3 + 1], g FROM generate_series(1, 30) g;
"""
APART = """
    CREATE SCHEMA {s}_b;
    CREATE TABLE p (id int NOT NULL, k text NOT NULL, n int) PARTITION BY LIST (k);
    CREATE TABLE {s}_b.p_1 PARTITION OF p FOR VALUES IN ('one');
    CREATE TABLE {s}_b."p.2" PARTITION OF p FOR VALUES IN ('two');
"""
NESTED = """
    CREATE TABLE p (id int NOT NULL, k text NOT NULL, n int) PARTITION BY LIST (k);
    CREATE TABLE p_1 PARTITION OF p FOR VALUES IN ('one');
    CREATE TABLE p_2 PARTITION OF p FOR VALUES IN ('two') PARTITION BY RANGE (id);
    CREATE TABLE p_2_low PARTITION OF p_2 FOR VALUES FROM (0) TO (10);
    CREATE TABLE p_2_high PARTITION OF p_2 FOR VALUES FROM (10) TO (100);
"""
QUOTED = """
    CREATE TABLE "Odd Table" (id int NOT NULL, "Key" text NOT NULL, "select" int, "with ""quote" text)
        PARTITION BY LIST ("Key");
    CREATE TABLE "ODD 1" PARTITION OF "Odd Table" FOR VALUES IN ('one');
    CREATE TABLE odd_2 PARTITION OF "Odd Table" FOR VALUES IN ('two');
"""
VIEW = T + "CREATE MATERIALIZED VIEW m AS SELECT id, a, b FROM t;"
LONG = "an_index_whose_name_is_nearly_as_long_as_the_server_lets_names_be"[:61]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`entries`: instead of what is exported; `refused`: what is said of them then, nothing having changed. `drops`:
    whether the spec says of what is not there afterwards that it shall be absent.
    """

    name: str
    base: str
    before: str
    after: str
    entries: Sequence[Mapping[str, Any]] | None = None
    refused: str | None = None
    drops: bool = True
    since: int = 13


CASES: list[Case] = []


def case(name: str, base: str, before: str, after: str, **options: Any) -> None:
    CASES.append(Case(name=name, base=base, before=before, after=after, **options))


def refused(name: str, base: str, before: str, entry: Mapping[str, Any], message: str) -> None:
    CASES.append(Case(name=name, base=base, before=before, after="", entries=[entry], refused=message))


# Plain tables: nothing to do, new, gone.
ALL = """
    ALTER TABLE t ADD PRIMARY KEY (id); ALTER TABLE t ADD UNIQUE (a);
    CREATE INDEX t_hash ON t USING hash (v); CREATE UNIQUE INDEX t_u ON t (a DESC, b);
"""
case("no_change", T, ALL, ALL)
case("no_index_at_all", T, "", "")
case("add", T, "", "CREATE INDEX t_x ON t (id DESC, a)")
case("add_several", T, "", "CREATE INDEX t_1 ON t (id); CREATE INDEX t_2 ON t (a); CREATE INDEX t_3 ON t (b, c)")
case("add_beside_others", T, "CREATE INDEX t_1 ON t (a)", "CREATE INDEX t_1 ON t (a); CREATE INDEX t_2 ON t (a, b)")
case("add_hash", T, "", "CREATE INDEX t_x ON t USING hash (id)")
case("add_gin", T, "", "CREATE INDEX t_x ON t USING gin (e); CREATE INDEX t_y ON t USING gin (d jsonb_path_ops)")
case("add_gin_with_parameters", T, "", "CREATE INDEX t_x ON t USING gin (d) WITH (fastupdate = off)")
case("add_brin", T, "", "CREATE INDEX t_x ON t USING brin (c) WITH (pages_per_range = 8)")
case(
    "add_gist_and_spgist",
    T,
    "",
    "CREATE INDEX t_x ON t USING gist (int4range(b, id)); CREATE INDEX t_y ON t USING spgist (a)",
)
case("add_unique", T, "", "CREATE UNIQUE INDEX t_x ON t (a)")
case("add_unique_nulls_not_distinct", T, "", "CREATE UNIQUE INDEX t_x ON t (id) NULLS NOT DISTINCT", since=15)
case("add_partial", T, "", "CREATE INDEX t_x ON t (a) WHERE b > 2 AND a IS NOT NULL")
case(
    "add_partial_with_a_list",
    T,
    "",
    "CREATE INDEX t_x ON t (a) WHERE v IN ('open', 'it''s')",
    # As somebody writes it: what the server makes of it prints in another way each time it is read in again.
    entries=[{"name": "t_x", "table": "t", "keys": ["a"], "where": "v IN ('open', 'it''s')"}],
)
case("add_expression", T, "", "CREATE INDEX t_x ON t (lower(a), (b + 1) DESC, ((d ->> 'key')))")
case("add_opclass", T, "", "CREATE INDEX t_x ON t (a text_pattern_ops, v varchar_pattern_ops DESC)")
case("add_collation", T, "", 'CREATE INDEX t_x ON t (a COLLATE "C", lower(v) COLLATE "POSIX")')
case("add_include", T, "", "CREATE UNIQUE INDEX t_x ON t (id) INCLUDE (b, c)")
case("add_sort_order", T, "", "CREATE INDEX t_x ON t (a DESC NULLS LAST, b NULLS FIRST, c DESC)")
case("add_storage_parameters", T, "", "CREATE INDEX t_x ON t (a) WITH (fillfactor = 70, deduplicate_items = off)")
case("add_quoted_names", T, "", 'CREATE INDEX "T Name x" ON t ("Name", id)')
case("add_with_a_long_name", T, "", f"CREATE INDEX {LONG} ON t (a)")
case("drop", T, "CREATE INDEX t_x ON t (a, b)", "")
case("drop_unique", T, "CREATE UNIQUE INDEX t_x ON t (a)", "")
case("drop_quoted_names", T, 'CREATE INDEX "T Name x" ON t ("Name", id)', "")
case("drop_partial_and_expression", T, "CREATE INDEX t_x ON t (lower(a)) WHERE b > 1", "")
case(
    "drop_one_of_several", T, "CREATE INDEX t_1 ON t (a); CREATE INDEX t_2 ON t (a, b)", "CREATE INDEX t_2 ON t (a, b)"
)
case("drop_an_equal_twin", T, "CREATE INDEX t_1 ON t (a); CREATE INDEX t_2 ON t (a)", "CREATE INDEX t_2 ON t (a)")
case("drop_all_but_constraints", T, ALL, "ALTER TABLE t ADD PRIMARY KEY (id); ALTER TABLE t ADD UNIQUE (a)")
case("drop_and_add", T, "CREATE INDEX t_1 ON t (a)", "CREATE INDEX t_2 ON t (b)")

# Plain tables: another definition, another name.
case("change_columns", T, "CREATE INDEX t_x ON t (a, b)", "CREATE INDEX t_x ON t (a)")
case(
    "change_columns_of_a_long_name",
    T,
    f"CREATE UNIQUE INDEX {LONG} ON t (a, b)",
    f"CREATE UNIQUE INDEX {LONG} ON t (a)",
)
case("change_order_of_columns", T, "CREATE INDEX t_x ON t (a, b)", "CREATE INDEX t_x ON t (b, a)")
case("change_sort_order", T, "CREATE INDEX t_x ON t (a, b)", "CREATE INDEX t_x ON t (a DESC, b)")
case("change_nulls_order", T, "CREATE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t (a NULLS FIRST)")
case("change_to_unique", T, "CREATE INDEX t_x ON t (a)", "CREATE UNIQUE INDEX t_x ON t (a)")
case("change_to_not_unique", T, "CREATE UNIQUE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t (a)")
case("change_predicate", T, "CREATE INDEX t_x ON t (a) WHERE b > 1", "CREATE INDEX t_x ON t (a) WHERE b > 2")
case("change_to_partial", T, "CREATE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t (a) WHERE b > 2")
case("change_to_whole", T, "CREATE INDEX t_x ON t (a) WHERE b > 2", "CREATE INDEX t_x ON t (a)")
case(
    "change_case_of_a_literal",
    T,
    "CREATE INDEX t_x ON t (a) WHERE v = 'Open'",
    "CREATE INDEX t_x ON t (a) WHERE v = 'open'",
)
case("change_expression", T, "CREATE INDEX t_x ON t (lower(a))", "CREATE INDEX t_x ON t (upper(a))")
case("change_column_to_expression", T, "CREATE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t (lower(a))")
case("change_include", T, "CREATE INDEX t_x ON t (a) INCLUDE (b)", "CREATE INDEX t_x ON t (a) INCLUDE (b, c)")
case("change_key_to_include", T, "CREATE INDEX t_x ON t (a, b)", "CREATE INDEX t_x ON t (a) INCLUDE (b)")
case("change_method", T, "CREATE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t USING hash (a)")
case("change_opclass", T, "CREATE INDEX t_x ON t (a)", "CREATE INDEX t_x ON t (a text_pattern_ops)")
case("change_collation", T, 'CREATE INDEX t_x ON t (a COLLATE "C")', "CREATE INDEX t_x ON t (a)")
case("change_storage_parameters", T, "CREATE INDEX t_x ON t (a) WITH (fillfactor = 50)", "CREATE INDEX t_x ON t (a)")
case(
    "change_to_nulls_not_distinct",
    T,
    "CREATE UNIQUE INDEX t_x ON t (id)",
    "CREATE UNIQUE INDEX t_x ON t (id) NULLS NOT DISTINCT",
    since=15,
)
case(
    "change_clustered",
    T,
    "CREATE INDEX t_x ON t (a); ALTER TABLE t CLUSTER ON t_x",
    "CREATE INDEX t_x ON t (b); ALTER TABLE t CLUSTER ON t_x",
)
case(
    "change_replica_identity",
    T,
    "CREATE UNIQUE INDEX t_x ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX t_x",
    "CREATE UNIQUE INDEX t_x ON t (id) INCLUDE (b); ALTER TABLE t REPLICA IDENTITY USING INDEX t_x",
)
case(
    "change_two_that_trade_names",
    T,
    "CREATE INDEX t_1 ON t (a); CREATE INDEX t_2 ON t (b)",
    "CREATE INDEX t_1 ON t (b); CREATE INDEX t_2 ON t (a)",
)
case("rename", T, "CREATE INDEX t_1 ON t (a)", "CREATE INDEX t_2 ON t (a)", drops=False)
case(
    "rename_on_a_renamed_table",
    T,
    "ALTER TABLE t RENAME TO u; CREATE INDEX t_a ON u (a)",
    "ALTER TABLE t RENAME TO u; CREATE INDEX u_a ON u (a)",
    drops=False,
)
case("rename_by_dropping_and_adding", T, "CREATE INDEX t_1 ON t (a)", "CREATE INDEX t_2 ON t (a)")
case(
    "move_to_another_table",
    T + "CREATE TABLE u (a text);",
    "CREATE INDEX x ON t (a)",
    "CREATE INDEX t_a ON t (a); CREATE INDEX u_a ON u (a)",
    drops=False,
)
case(
    "same_names_in_two_schemas",
    T + "CREATE SCHEMA {s}_b; CREATE TABLE {s}_b.t (a int, b text);",
    "CREATE INDEX x ON t (a); CREATE INDEX x ON {s}_b.t (a)",
    "CREATE INDEX x ON t (b); CREATE INDEX x ON {s}_b.t (b, a)",
)
case(
    "beside_a_foreign_key",
    T + "ALTER TABLE t ADD UNIQUE (id); CREATE TABLE r (t_id int REFERENCES t (id));",
    "",
    "CREATE INDEX r_t ON r (t_id)",
)
case(
    "inherited",
    T + "CREATE TABLE child (extra int) INHERITS (t);",
    "CREATE INDEX t_x ON t (a)",
    "CREATE INDEX t_x ON t (a, b); CREATE INDEX child_x ON child (extra)",
)
case("invalid_leftover", T, "CREATE UNIQUE INDEX CONCURRENTLY t_x ON t (b)", "CREATE INDEX t_x ON t (b)")
case("unlogged", "CREATE UNLOGGED TABLE t (a int);", "", "CREATE INDEX t_x ON t (a)")

# Materialized views.
case("view_add", VIEW, "", "CREATE INDEX m_a ON m (a)")
case("view_add_unique", VIEW, "", "CREATE UNIQUE INDEX m_id ON m (id)")
case("view_change", VIEW, "CREATE INDEX m_x ON m (a)", "CREATE INDEX m_x ON m (b)")
case("view_drop", VIEW, "CREATE INDEX m_x ON m (a)", "")

# Partitioned tables.
case(
    "tree_no_change",
    P,
    "ALTER TABLE p ADD PRIMARY KEY (k, id); CREATE INDEX p_x ON p USING hash (k)",
    "ALTER TABLE p ADD PRIMARY KEY (k, id); CREATE INDEX p_x ON p USING hash (k)",
)
case("tree_add", P, "", "CREATE INDEX p_x ON p (id DESC, k)")
case("tree_add_hash", P, "", "CREATE INDEX p_x ON p USING hash (k)")
case("tree_add_unique", P, "", "CREATE UNIQUE INDEX p_x ON p (k, id)")
case("tree_add_partial_expression", P, "", "CREATE INDEX p_x ON p (lower(k)) INCLUDE (n) WHERE id > 5")
case("tree_add_quoted_names", QUOTED, "", 'CREATE INDEX "Odd IDX" ON "Odd Table" ("select", "Key")')
case("tree_add_nested", NESTED, "", "CREATE INDEX p_x ON p (id)")
case("tree_add_two", P, "", "CREATE INDEX p_x ON p (id); CREATE INDEX p_y ON p (n)")
case("tree_without_partitions", "CREATE TABLE p (id int) PARTITION BY RANGE (id);", "", "CREATE INDEX p_x ON p (id)")
case("tree_drop", P, "CREATE INDEX p_x ON p (k, id)", "")
case("tree_drop_unique", P, "CREATE UNIQUE INDEX p_x ON p (k, id)", "")
case("tree_drop_nested", NESTED, "CREATE INDEX p_x ON p (k, id)", "")
case("tree_drop_quoted_names", QUOTED, 'CREATE INDEX "Odd IDX" ON "Odd Table" ("Key")', "")
case("tree_change_columns", P, "CREATE INDEX p_x ON p (id, k)", "CREATE INDEX p_x ON p (k, n)")
case("tree_change_method", P, "CREATE INDEX p_x ON p (k)", "CREATE INDEX p_x ON p USING hash (k)")
case("tree_change_order_of_columns", P, "CREATE INDEX p_x ON p (k, n)", "CREATE INDEX p_x ON p (n, k)")
case("tree_change_to_unique", P, "CREATE INDEX p_x ON p (k, id)", "CREATE UNIQUE INDEX p_x ON p (k, id)")
case("tree_change_predicate", P, "CREATE INDEX p_x ON p (id) WHERE n > 1", "CREATE INDEX p_x ON p (id) WHERE n > 2")
case("tree_change_nested", NESTED, "CREATE INDEX p_x ON p (id)", "CREATE INDEX p_x ON p (id, n)")
case(
    "tree_change_quoted_names",
    QUOTED,
    'CREATE INDEX "Odd IDX" ON "Odd Table" ("Key")',
    'CREATE INDEX "Odd IDX" ON "Odd Table" (id)',
)
case("tree_rename", P, "CREATE INDEX p_x ON p (id)", "CREATE INDEX p_y ON p (id)", drops=False)
case(
    "tree_and_local",
    P,
    "",
    "CREATE INDEX p_x ON p (id); CREATE INDEX p_1_own ON p_1 (n); CREATE UNIQUE INDEX p_2_own ON p_2 (id)",
)
LOOSE = "CREATE INDEX p_x ON ONLY p (id); CREATE INDEX one ON p_1 (id); ALTER INDEX p_x ATTACH PARTITION one;"
WHOLE = "ALTER INDEX p_x ATTACH PARTITION two; ALTER INDEX p_x ATTACH PARTITION three"
HAND = "CREATE INDEX two ON p_2 (id); CREATE INDEX three ON p_3 (id);"
case("tree_attach_what_hangs_loose", P, LOOSE + HAND, LOOSE + HAND + WHOLE)
case("tree_adopt_local_indexes", P, "CREATE INDEX one ON p_1 (id);" + HAND, LOOSE + HAND + WHOLE)
case(
    "tree_finish_an_invalid_one", P, LOOSE, LOOSE + (HAND + WHOLE).replace("two", "p_2_p_x").replace("three", "p_3_p_x")
)
case("tree_over_two_schemas", APART, "CREATE INDEX p_x ON p (id)", "CREATE INDEX p_x ON p (n, id)")
case("local_add", P, "", "CREATE INDEX p_1_x ON p_1 (id, n); CREATE INDEX p_2_x ON p_2 (n)")
case("local_add_unique", P, "", "CREATE UNIQUE INDEX p_1_x ON p_1 (id)")
case(
    "local_drop", P, "CREATE INDEX p_1_x ON p_1 (id); CREATE INDEX p_2_x ON p_2 (id)", "CREATE INDEX p_1_x ON p_1 (id)"
)
case("local_drop_unique", P, "CREATE UNIQUE INDEX p_1_x ON p_1 (k, id)", "")
case("local_change", P, "CREATE UNIQUE INDEX p_1_x ON p_1 (k, id)", "CREATE UNIQUE INDEX p_1_x ON p_1 (id, k)")

# What a spec does not say: constraints stay as they are.
case(
    "constraint_beside",
    T + "ALTER TABLE t ADD PRIMARY KEY (id);",
    "CREATE INDEX t_x ON t (a)",
    "CREATE INDEX t_x ON t (a, b)",
)
case(
    "constraint_tree_beside",
    P + "ALTER TABLE p ADD UNIQUE (k, id);",
    "CREATE INDEX p_x ON p (n)",
    "CREATE INDEX p_x ON p (n, id)",
)
PK, UK = "ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY (id)", "ALTER TABLE t ADD CONSTRAINT t_key UNIQUE (a)"
KEY: Mapping[str, Any] = {"name": "t_key", "table": "t", "keys": ["id", "b"], "unique": True}
refused("constraint_primary_key_changed", T, PK, KEY, "t_key .*backs constraint t_key")
refused("constraint_unique_changed", T, UK, KEY, "t_key .*backs constraint t_key")
refused(
    "constraint_primary_key_dropped", T, PK, {"name": "t_key", "table": "t", "state": "absent"}, "t_key .*constraint"
)
refused(
    "constraint_referenced_dropped",
    T,
    "CREATE UNIQUE INDEX t_u ON t (id); CREATE TABLE r (t_id int REFERENCES t (id))",
    {"name": "t_u", "table": "t", "state": "absent"},
    "foreign key",
)
refused(
    "constraint_exclusion_changed",
    T,
    "ALTER TABLE t ADD CONSTRAINT t_key EXCLUDE USING btree (a WITH =)",
    {"name": "t_key", "table": "t", "keys": ["b"]},
    "backs constraint t_key",
)
refused(
    "constraint_tree_dropped",
    P,
    "ALTER TABLE p ADD CONSTRAINT p_key PRIMARY KEY (k, id)",
    {"name": "p_key", "table": "p", "state": "absent"},
    "constraint",
)
refused(
    "part_dropped_alone",
    P,
    "CREATE INDEX p_x ON p (id)",
    {"name": "p_1_id_idx", "table": "p_1", "state": "absent"},
    "part of",
)
refused(
    "part_changed_alone",
    P,
    "CREATE INDEX p_x ON p (id)",
    {"name": "p_1_id_idx", "table": "p_1", "keys": ["n"]},
    "part of",
)
refused(
    "tree_unique_without_its_key", P, "", {"name": "p_u", "table": "p", "keys": ["id"], "unique": True}, "partition key"
)
refused("name_of_a_table", T, "CREATE TABLE t_x (a int)", {"name": "t_x", "table": "t", "keys": ["a"]}, "belongs to")
refused(
    "name_of_an_index_elsewhere",
    T,
    "CREATE TABLE u (a int); CREATE INDEX t_x ON u (a)",
    {"name": "t_x", "table": "t", "keys": ["a"]},
    "belongs to",
)
refused(
    "identity_dropped",
    T,
    "CREATE UNIQUE INDEX t_x ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX t_x",
    {"name": "t_x", "table": "t", "state": "absent"},
    "replica identity",
)


class Outcome:
    """What became of all cases."""

    def __init__(self, before: Database, after: Database, project: Project, cases: Mapping[str, Case]) -> None:
        self.was = indexes(before)
        self.wanted = indexes(after)
        self.plan: Plan = project.plan(prune_foreign=True)
        self.run: Run = project.run(self.plan)
        self.is_now = indexes(before)
        self.second: Plan = project.plan(prune_foreign=True)


@pytest.fixture(scope="module")
def outcome(pg: Server, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with pg.database() as before, pg.database() as after:
        cases = {f"c{n}": one for n, one in enumerate(CASES) if before.server_version >= (one.since,)}
        for database, moment in ((before, "before"), (after, "after")):
            with database.connect(autocommit=True) as conn:
                for schema, one in cases.items():
                    make(conn, schema, one.base, getattr(one, moment))
                conn.execute("ANALYZE")  # else the plan has steps for tables that were never analyzed
        with Project(before, tmp_path_factory.mktemp("acceptance") / "specs") as project:
            exported = entries(after)
            there, then = tops(before), names(after)
            for schema, one in cases.items():
                mine = list(one.entries or exported.get(schema, []))
                if one.entries is None and one.drops:
                    mine += [
                        {"name": name, "table": {"schema": where, "name": table}, "state": "absent"}
                        for where, name, table in there.get(schema, [])
                        if (where, name) not in then
                    ]
                document = {"spec": "1", "domain": schema, "defaults": {"schema": schema}, "indexes": mine}
                (project.folder / f"{schema}.yaml").write_text(json.dumps(document), encoding="utf-8")
            return Outcome(before, after, project, cases)


def make(conn: psycopg.Connection[Any], schema: str, *scripts: str) -> None:
    conn.execute(sql.SQL("CREATE SCHEMA {0}; SET search_path = {0}").format(sql.Identifier(schema)))
    for script in scripts:
        text = script.replace("{s}", schema)
        if "CONCURRENTLY" in text:
            with pytest.raises(psycopg.errors.UniqueViolation):
                conn.execute(text)  # type: ignore[call-overload]  # tests paste SQL together
        elif text.strip():
            conn.execute(text)  # type: ignore[call-overload]


def entries(database: Database) -> dict[str, list[dict[str, Any]]]:
    """What `dbopt export` has to say, by case."""
    conn = connect.connect(database.conninfo, command="export", read_only=True)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for one in read(conn, inspect(conn), Choice(), may_be_none=True):
            assert isinstance(one, Exported), one
            fields = {"name": one.name, "table": {"schema": one.schema, "name": one.table}, "why": "a test"}
            found.setdefault(case_of(one.schema), []).append({**fields, **one.fields})
    finally:
        conn.close()
    return found


def tops(database: Database) -> dict[str, list[tuple[str, str, str]]]:
    """Schema, name and table of the indexes that are no constraint's and no part of another, by case."""
    rows = database.sql(
        """
        SELECT n.nspname, c.relname, t.relname
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_class t ON t.oid = i.indrelid
         WHERE n.nspname ~ '^c[0-9]' AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype IN ('p', 'u', 'x'))
         ORDER BY 1, 2
        """
    )
    found: dict[str, list[tuple[str, str, str]]] = {}
    for schema, name, table in rows:
        found.setdefault(case_of(schema), []).append((schema, name, table))
    return found


def names(database: Database) -> set[tuple[str, str]]:
    rows = database.sql("SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind IN ('i', 'I')")
    return {(schema, name) for schema, name in rows}


def indexes(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Definition, flags, place in its tree and constraint of every index, by case. The name of a sub-partition's index
    is the server's choice or dbopt's, so what it is called does not count.
    """
    rows = database.sql(
        r"""
        SELECT n.nspname, CASE WHEN c.relkind = 'I' AND c.relispartition THEN '' ELSE c.relname END,
               CASE WHEN c.relkind = 'I' AND c.relispartition
                    THEN regexp_replace(pg_get_indexdef(c.oid), ' INDEX .* ON ', ' INDEX ON ')
                    ELSE pg_get_indexdef(c.oid) END,
               i.indisvalid, i.indisready, i.indislive, i.indisclustered, i.indisreplident,
               ts.spcname, above.indrelid::regclass::text,
               (SELECT contype::text FROM pg_constraint WHERE conindid = c.oid AND contype IN ('p', 'u', 'x'))
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
          LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_index above ON above.indexrelid = h.inhparent
         WHERE n.nspname ~ '^c[0-9]' ORDER BY 1, 2, 3
        """
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for schema, *rest in rows:
        found.setdefault(case_of(schema), []).append((schema, *rest))
    return found


def case_of(schema: str) -> str:
    return schema.split("_")[0]


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=one.name, marks=pytest.mark.pg(f">= {one.since}")) for n, one in enumerate(CASES)]
)
def test_case(outcome: Outcome, number: int) -> None:
    one, schema = CASES[number], f"c{number}"
    said = [item.error or "" for item in outcome.plan.refused if case_of(item.schema) == schema]
    if one.refused is not None:
        assert len(said) == 1
        assert re.search(one.refused, said[0]), said
        assert outcome.is_now.get(schema) == outcome.was.get(schema)
        return
    assert said == []
    failed = [item for item in outcome.run.result.items if case_of(item.schema) == schema and item.error is not None]
    assert failed == []
    assert outcome.is_now.get(schema) == outcome.wanted.get(schema)
    assert [step.statements for step in outcome.second.steps if case_of(step.schema) == schema] == []


def test_there_are_many_cases() -> None:
    assert len({one.name for one in CASES}) == len(CASES) >= 80
