"""A plan as a migration: run by Alembic and by psql, it reaches the spec; taken back, it leaves what there was."""

from __future__ import annotations

import ast
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import postgast
import psycopg
import pytest
from helpers import index_names, invalid_indexes
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy.exc import IntegrityError

from dbopt import grammar
from dbopt.errors import ServerUnfit
from dbopt.optimize import migration as making
from dbopt.optimize.steps import Action, Plan, Step, Target
from dbopt.postgres.server import inspect
from dbopt.render.migration import sql_down_text, sql_text
from dbopt.render.revision import Header, revision_text
from tests.optimize.revisions import Revisions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from server import Database

    from dbopt import embedded
    from dbopt.optimize.migration import Migration
    from tests.optimize.runs import Project

TABLE = """
    CREATE TABLE bill (id int PRIMARY KEY, payer int, due date, note text, "Odd ""one"" x" text, tags text[],
                       lateral_ int, "lateral" int);
    INSERT INTO bill SELECT i, i % 7, '2026-01-01', 'n' || i, 'o' || i, ARRAY['t' || i] FROM generate_series(1, 50) i;
    ANALYZE bill;
"""
TREE = """
    CREATE TABLE ev (id int, at int, region text) PARTITION BY RANGE (at);
    CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
    CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20) PARTITION BY LIST (region);
    CREATE TABLE ev_2_eu PARTITION OF ev_2 FOR VALUES IN ('eu');
    CREATE TABLE ev_2_rest PARTITION OF ev_2 DEFAULT;
    INSERT INTO ev SELECT g, g % 20, 'eu' FROM generate_series(1, 60) g;
    ANALYZE ev;
"""

# What there is before, and the spec's entries. Each is a kind of change.
CHANGES = {
    "create": ("", ["name: bill_payer, table: bill, keys: [payer, {column: due, order: desc, nulls: last}]"]),
    "create_with_all_clauses": (
        "",
        [
            "name: bill_all, table: bill, unique: yes, keys: [id, {column: note, opclass: text_pattern_ops}],"
            " include: [payer], where: \"note LIKE 'n%' AND due > '2020-01-01'\", with: {fillfactor: 70},"
            " tablespace: pg_default"
        ],
    ),
    "create_methods": (
        "",
        [
            "name: bill_tags, table: bill, method: gin, keys: [{column: tags, opclass: array_ops}],"
            " with: {fastupdate: off}",
            "name: bill_brin, table: bill, method: brin, keys: [due], with: {pages_per_range: 16}",
            "name: bill_hash, table: bill, method: hash, keys: [note]",
        ],
    ),
    "create_what_alembic_cannot_say": (
        "",
        [
            "name: 'Bill \"odd\" 100%', table: bill, keys: ['Odd \"one\" x', payer, payer]",
            "name: bill_lateral, table: bill, keys: [lateral]",
            "name: bill_c, table: bill, keys: [{column: note, collation: C}, {expr: \"note || ':x'\"}],"
            " where: \"note <> '\\\\:y %s' AND note <> ' :z'\"",
        ],
    ),
    "create_with_settings": (
        "",
        ["name: bill_m, table: bill, keys: [due], build: {maintenance_work_mem: 8MB, parallel_workers: 0}"],
    ),
    "replace": (
        "CREATE INDEX bill_payer ON bill (payer, lower(note)) WHERE due > '2020-01-01';"
        r"""COMMENT ON INDEX bill_payer IS E'it''s "ours" \\ :x 100%\nto keep';"""
        "ALTER INDEX bill_payer ALTER COLUMN 2 SET STATISTICS 200; ALTER TABLE bill CLUSTER ON bill_2;",
        ["name: bill_payer, table: bill, keys: [{expr: lower(note)}, payer]"],
    ),
    "replace_clustered": (
        "CREATE INDEX bill_due ON bill (due) WITH (fillfactor = 60); ALTER TABLE bill CLUSTER ON bill_due;",
        ["name: bill_due, table: bill, keys: [due]"],
    ),
    "replace_the_replica_identity": (
        "CREATE UNIQUE INDEX bill_id ON bill (id); ALTER TABLE bill REPLICA IDENTITY USING INDEX bill_id",
        ["name: bill_id, table: bill, unique: yes, keys: [id], include: [note]"],
    ),
    "replace_under_another_name": (
        "CREATE INDEX was_called ON bill (payer)",
        ["name: bill_payer, table: bill, keys: [payer, due], was: [was_called]"],
    ),
    "rename": (
        "CREATE INDEX was_called ON bill (payer); COMMENT ON INDEX was_called IS 'by hand'",
        ["name: bill_payer, table: bill, keys: [payer]"],
    ),
    "drop": (
        "CREATE UNIQUE INDEX bill_note ON bill (note) INCLUDE (due); COMMENT ON INDEX bill_note IS 'never used';"
        "CREATE INDEX bill_kept ON bill (due)",
        ["name: bill_note, table: bill, state: absent"],
    ),
    "rename_and_create_under_the_old_name": (
        "CREATE INDEX a ON bill (payer)",
        ["name: b, table: bill, keys: [payer]", "name: c, table: bill, keys: [due]"],
    ),
    "tree": (TREE, ["name: ev_id, table: ev, keys: [id]"]),
    "tree_that_takes_an_index_in": (
        TREE + "CREATE INDEX by_hand ON ev_2_eu (id); COMMENT ON INDEX by_hand IS 'older than dbopt'",
        ["name: ev_id, table: ev, keys: [id]"],
    ),
    "tree_replaced": (
        TREE + "CREATE INDEX ev_id ON ev (id); COMMENT ON INDEX ev_id IS 'of the tree'",
        ["name: ev_id, table: ev, keys: [id, at]"],
    ),
    "tree_dropped": (TREE + "CREATE INDEX ev_id ON ev (id)", ["name: ev_id, table: ev, state: absent"]),
}


@pytest.fixture
def revisions(database: Database, tmp_path: Path) -> Revisions:
    return Revisions(database, tmp_path / "alembic")


def made(project: Project, *, prune_foreign: bool = True) -> Migration:
    """The migration of the plan for the project's database, as it is now."""
    plan = project.plan(prune_foreign=prune_foreign)
    assert plan.refused == ()
    with project.session(read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000) as conn:
        return making.migration(plan, making.collect(conn, inspect(conn), plan))


def text_of(migration: Migration) -> str:
    return revision_text(
        migration,
        Header(revision="ab12", down_revision=None, message="test", created=datetime.now(UTC), remarks=()),
    )


def standing(database: Database) -> list[tuple[Any, ...]]:
    """Everything about the indexes, Alembic's own aside, that a way back has to bring back."""
    return database.sql(
        """
        SELECT c.oid::regclass::text, pg_get_indexdef(c.oid), i.indisvalid, i.indisclustered, i.indisreplident,
               obj_description(c.oid, 'pg_class'), h.inhparent::regclass::text,
               (SELECT array_agg(NULLIF(attstattarget, -1) ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid)
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_inherits h ON h.inhrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND i.indrelid <> COALESCE(to_regclass('alembic_version'), 0)
         ORDER BY c.relname
        """
    )


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, database: Database, project: Project) -> Project:
    """A database with something to change, and the spec for it."""
    before, entries = CHANGES[request.param]
    database.sql(TABLE + "CREATE INDEX bill_2 ON bill (lateral_); " + before)
    return project.wants(*entries)


def test_up_and_down(
    change: Project,
    database: Database,
    revisions: Revisions,
    server_binaries: embedded.Binaries,
    tmp_path: Path,
) -> None:
    """As a revision, broken off several times on either way; then, from where it began, as plain SQL."""
    before = standing(database)
    migration = made(change)
    for way in ("upgrade", "downgrade"):
        for part in (1, 2, 3, 4):
            revisions.add("ab12", broken(text_of(migration), way, part))
            with pytest.raises(InterruptedError):
                getattr(revisions, way)()
        revisions.add("ab12", text_of(migration))
        getattr(revisions, way)()
        if way == "upgrade":
            change.assert_settled()
            after = standing(database)
            assert [row for row in after if "_dbopt_" in row[0] or not row[2]] == []
    assert standing(database) == before
    psql(database, server_binaries, tmp_path, sql_text(migration, message="up", origin="test"))
    assert standing(database) == after
    psql(database, server_binaries, tmp_path, sql_down_text(migration, message="up", origin="test"))
    assert standing(database) == before


def broken(text: str, way: str, part: int) -> str:
    """The revision that fails where this many quarters of its statements have run; what has run is not taken back."""
    tree = ast.parse(text)
    blocks = [
        (body, n)
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name == way
        for node in ast.walk(function)
        if isinstance(body := getattr(node, "body", None), list)
        for n, statement in enumerate(body)
        if isinstance(statement, ast.Expr)
    ]
    blocks.sort(key=lambda place: place[0][place[1]].lineno)
    body, n = blocks[(len(blocks) - 1) * part // 4]
    body.insert(n, ast.parse("raise InterruptedError").body[0])
    return ast.unparse(tree)


def psql(database: Database, binaries: embedded.Binaries, folder: Path, text: str) -> None:
    """Runs a file as its first lines say; where there is no psql, its statements one by one as psql would."""
    path = folder / "migration.sql"
    path.write_text(text, encoding="utf-8")
    program = binaries.bindir / "psql"
    if program.exists():
        path.write_text("SET client_min_messages = warning;\n" + text, encoding="utf-8")
        words = [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.conninfo, "-f", path]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return
    with database.connect(autocommit=True) as conn:
        for statement in postgast.split(text):
            conn.execute(statement)


def test_a_build_that_fails_is_made_good_by_the_next_run(
    project: Project, database: Database, revisions: Revisions
) -> None:
    """A careful tool would not send it; the data may change after the revision was written."""
    database.sql(TABLE)
    project.wants(
        "name: bill_due, table: bill, keys: [due, id]", "name: bill_note, table: bill, keys: [note], unique: yes"
    )
    revisions.add("ab12", text_of(made(project)))
    database.sql("UPDATE bill SET note = 'same' WHERE id < 3")
    with pytest.raises(IntegrityError):
        revisions.upgrade()
    assert invalid_indexes(database) == ["bill_note"]
    database.sql("UPDATE bill SET note = id WHERE id < 3")
    built = database.sql("SELECT 'bill_due'::regclass::oid")
    revisions.upgrade()
    project.assert_settled()
    assert database.sql("SELECT 'bill_due'::regclass::oid") == built


def test_an_invalid_leftover_is_not_brought_back(project: Project, database: Database, revisions: Revisions) -> None:
    database.sql(TABLE + "UPDATE bill SET note = 'same' WHERE id < 3")
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.sql("CREATE UNIQUE INDEX CONCURRENTLY bill_note ON bill (note)")
    project.wants("name: bill_note, table: bill, keys: [note]")
    migration = made(project)
    assert [step.action for step in migration.up] == [Action.REPAIR]
    revisions.add("ab12", text_of(migration))
    revisions.upgrade()
    project.assert_settled()
    revisions.downgrade()
    assert index_names(database, "bill") == ["bill_pkey"]


def test_what_cannot_be_taken_back_is_said(project: Project, database: Database, revisions: Revisions) -> None:
    """An index leaves the index of a partitioned table only with that one, which was there before."""
    database.sql(TREE + "CREATE INDEX ev_id ON ONLY ev (id)")
    migration = made(project.wants("name: ev_id, table: ev, keys: [id]"))
    assert sorted(migration.lasting) == [
        "public.ev_1_ev_id stays a part of public.ev_id",
        "public.ev_2_ev_id stays a part of public.ev_id",
    ]
    text = text_of(migration)
    assert "    # public.ev_1_ev_id stays a part of public.ev_id.\n" in text
    revisions.add("ab12", text)
    revisions.upgrade()
    project.assert_settled()
    revisions.downgrade()
    project.assert_settled()


def test_without_a_server_alembic_prints_all_of_it(
    project: Project, database: Database, revisions: Revisions, server_binaries: embedded.Binaries, tmp_path: Path
) -> None:
    """`alembic upgrade --sql`, for those who have a DBA run it."""
    before, entries = CHANGES["replace"]
    database.sql(TABLE + "CREATE INDEX bill_2 ON bill (payer, due); " + before)
    project.wants(*entries, "name: bill_all, table: bill, keys: [note], where: \"note LIKE '%%:x%'\"")
    revisions.add("ab12", text_of(made(project)))
    psql(database, server_binaries, tmp_path, revisions.as_sql())
    project.assert_settled()


def test_an_index_that_is_being_built_is_waited_for(project: Project) -> None:
    step = Step(action=Action.ADOPT, index="i", schema="s", table="t", statements=(), reason="")
    plan = Plan(target=Target(dbname="d", server_version="18", system_identifier=None), steps=(step,))
    with pytest.raises(ServerUnfit, match=r"i on s\.t is being built right now"):
        making.migration(plan, making.Standing(indexes=(), timeouts=()))


# Whatever a spec may ask for; what Alembic says of it has to be the same statement.
STATEMENTS = [
    "i ON s.t USING btree (a)",
    "i ON s.t USING btree (a, b DESC, c NULLS FIRST, d ASC NULLS LAST)",
    'i ON s.t USING gist (a gist_geometry_ops_nd (siglen = 128), b ext."Odd ops")',
    "i ON s.t USING gin (a gin_trgm_ops, (b -> 'x:y') jsonb_path_ops) WITH (fastupdate = off)",
    'i ON s.t USING btree (a COLLATE "C", lower(b) COLLATE pg_catalog."de-x-icu" text_pattern_ops DESC)',
    'i ON s.t USING btree (a) INCLUDE (b, "C", "user", "lateral")',
    'i ON s.t USING btree ("select", "a%b", "a:b", "a\\b") INCLUDE ("select")',
    "i ON s.t USING btree (a, a)",
    'i ON "Sché ma"."t\'able" USING brin (a) WITH (pages_per_range = 16, autosummarize = on) TABLESPACE "Fast disk"',
    "i ON s.t USING btree (a) NULLS NOT DISTINCT WITH (fillfactor = 70) WHERE b IS NOT NULL",
    "i ON s.t USING btree (a) WHERE c = ANY ('{a,b}'::text[])",
    "i ON s.t USING btree ((a || ':b' || c::text), (a[1:2])) WHERE d ~ E'^\\\\d:x\\\\:y %s %(z)s $1'",
    "i ON s.t USING \"Odd am\" (a) WITH (p = 'two words')",
    'i ON "lateral"."collation" USING hash ("tablesample")',
    "i ON s.t USING btree ((CASE WHEN a > 0 THEN 'x' ELSE 'y' END), (a IS NULL), (b + 1), coalesce(c, 0))",
]


def assert_means_the_same(revisions: Revisions, statements: Sequence[str]) -> None:
    steps = tuple(
        Step(action=Action.CREATE, index="i", schema="s", table="t", statements=(statement,), reason="")
        for statement in statements
    )
    revisions.add("ab12", text_of(making.Migration(dbname="d", up=steps, down=(), lasting=(), timeouts=())))
    printed = [
        one for one in postgast.split(revisions.as_sql()) if one.lstrip().startswith("CREATE") and " INDEX " in one
    ]
    assert list(map(normal, printed)) == list(map(normal, statements))


def normal(statement: str) -> str:
    return grammar.deparse(grammar.parse_one(statement))


def test_alembic_says_the_same_statement(revisions: Revisions) -> None:
    assert_means_the_same(
        revisions,
        [f"CREATE {unique}INDEX CONCURRENTLY {rest}" for rest in STATEMENTS for unique in ("", "UNIQUE ")]
        + [
            "CREATE INDEX i ON ONLY s.t USING btree (a) WHERE b = ':x'",
            'CREATE INDEX "i%" ON ONLY s.t USING btree (a)',
        ],
    )


# Tabs aside: alembic --sql prints blanks for them.
NAMES = st.text(st.characters(exclude_characters="\0\t", exclude_categories=["Cs"]), min_size=1, max_size=12)
SPICY = st.text(st.sampled_from("a1_ :\\%'\"$\n(){}é"), max_size=12)


@settings(max_examples=10, deadline=None, database=None, phases=[Phase.generate])
@given(pairs=st.lists(st.tuples(NAMES | SPICY.filter(bool), SPICY), min_size=8, max_size=8))
def test_alembic_says_the_same_statement_whatever_it_holds(
    pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    statements = [
        sql.SQL("CREATE INDEX CONCURRENTLY {} ON {}.{} USING btree ({}, (a || {})) INCLUDE ({}) WHERE b <> {}")
        .format(
            *map(sql.Identifier, (name, name, name, name)), sql.Literal(text), sql.Identifier(name), sql.Literal(text)
        )
        .as_string(None)
        for name, text in pairs
    ]
    assert_means_the_same(Revisions(None, tmp_path_factory.mktemp("alembic")), statements)
