"""What a run dropped comes back as it was: from a file that was written before the first drop."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from helpers import index_names, invalid_indexes

from dbopt.errors import Error, PlanMismatch, UsageError
from dbopt.optimize import undo, undo_plan
from dbopt.postgres.server import inspect
from tests.optimize.trees import THREE_LEVELS, assert_whole, cut, oids
from tests.optimize.zoo import SCHEMA as ZOO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_runner import Result
    from server import Database

    from dbopt.optimize.steps import Plan
    from tests.optimize.runs import Project

NOW = datetime(2027, 1, 31, 3, 12, 9, tzinfo=UTC)
RUN = "20270131T0312-7f3a"

TABLE = """
    CREATE TABLE t (a int, b text, c text);
    INSERT INTO t SELECT g, 'B' || g, 'c;' FROM generate_series(1, 500) AS g;
    CREATE INDEX plain ON t (a);
    CREATE UNIQUE INDEX "Odd ""one" ON t (lower(b), (a + 1)) WITH (fillfactor = 70) WHERE c <> 'a;b''\n--';
    ALTER INDEX "Odd ""one" ALTER COLUMN 1 SET STATISTICS 250;
    COMMENT ON INDEX "Odd ""one" IS 'two\nlines; it''s a \\ [dbopt:1 shop/odd sha=000000000000]';
    ALTER TABLE t CLUSTER ON plain;
    ANALYZE t
"""
STATE = """
    SELECT pg_get_indexdef(c.oid), obj_description(c.oid, 'pg_class'), i.indisclustered, i.indisvalid, c.reloptions,
           (SELECT array_agg(NULLIF(a.attstattarget, -1)::int ORDER BY a.attnum) FROM pg_attribute a
             WHERE a.attrelid = c.oid),
           (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid),
           (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)
      FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
     WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace) ORDER BY c.oid::regclass::text
"""


def absent(*names: str, table: str = "t") -> list[str]:
    return [f"name: {json.dumps(name)}, table: {table}, state: absent" for name in names]


def drops(project: Project, *names: str, table: str = "t") -> Plan:
    return project.wants(*absent(*names, table=table)).plan(prune_foreign=True)


def write(project: Project, plan: Plan, folder: Path, **more: Any) -> Path | None:
    with project.session(read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000) as conn:
        return undo.write(conn, inspect(conn), plan, folder, RUN, now=NOW, **more)


def written(project: Project, plan: Plan, folder: Path) -> Path:
    path = write(project, plan, folder)
    assert path is not None
    return path


def undoing(project: Project, path: Path) -> Plan:
    with project.session(read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000) as conn:
        return undo_plan.make_plan(conn, inspect(conn), undo.read(path))


def dropped(project: Project, plan: Plan, folder: Path) -> Path:
    """The plan has run, its file was there before."""
    path = written(project, plan, folder)
    project.run(plan).assert_applied()
    return path


def assert_nothing_to_do(project: Project, path: Path) -> None:
    plan = undoing(project, path)
    assert ([step.statements for step in plan.steps], plan.refused) == ([], ())
    assert plan.unchanged


def test_all_comes_back(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    before = database.sql(STATE)
    path = dropped(project, drops(project, "plain", 'Odd "one'), tmp_path)
    assert index_names(database, "t") == []
    plan = undoing(project, path)
    assert {step.action.value for step in plan.steps} == {"create", "analyze"}
    assert {step.domain for step in plan.steps if step.index == 'Odd "one'} == {"shop"}
    run = project.run(plan)
    run.assert_applied()
    assert run.statuses == {"plain": "applied", 'Odd "one': "applied"}
    assert database.sql(STATE) == before
    assert_nothing_to_do(project, path)


def test_the_file(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    path = written(project, drops(project, "plain", 'Odd "one'), tmp_path)
    assert path == tmp_path / f"undo-{RUN}.sql"
    lines = path.read_text().split("\n")
    [(system,)] = database.sql("SELECT system_identifier::text FROM pg_control_system()")
    head = {"format": 1, "dbname": database.name, "system_identifier": system}
    assert json.loads(lines[0].removeprefix("-- dbopt undo ")) == head
    assert re.fullmatch(r"-- written at 2027-01-31T03:12:09Z by dbopt \S+, before the indexes .*", lines[1])
    assert lines[2] == f"-- to make them again: dbopt optimize --undo {RUN}"
    assert "CREATE INDEX CONCURRENTLY plain ON public.t USING btree (a);" in lines
    assert 'ALTER TABLE "public"."t" CLUSTER ON "plain";' in lines
    assert 'ALTER INDEX "public"."Odd ""one" ALTER COLUMN 1 SET STATISTICS 250;' in lines


def test_each_statement_is_one_that_any_client_can_send(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    before = database.sql(STATE)
    path = dropped(project, drops(project, "plain", 'Odd "one'), tmp_path)
    for statement in undo.read(path).statements:
        database.sql(statement)
    assert database.sql(STATE) == before


def test_nothing_dropped_nothing_written(project: Project, database: Database, tmp_path: Path) -> None:
    """Nor for what is replaced, or was broken and never of use."""
    database.sql("CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 1), (1, 2); CREATE INDEX changed ON t (a)")
    with pytest.raises(Exception, match="duplicate"):
        database.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
    plan = project.wants("name: changed, table: t, keys: [b]", *absent("broken")).plan(prune_foreign=True)
    assert {step.action.value for step in plan.steps} == {"replace", "drop", "analyze"}
    assert write(project, plan, tmp_path) is None
    assert list(tmp_path.glob("undo-*")) == []


def test_a_folder_that_cannot_be_written_to(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    plan = drops(project, "plain")
    with pytest.raises(Error) as caught:
        write(project, plan, tmp_path / "nowhere")
    assert caught.value.message.startswith("could not write ")
    assert caught.value.hint == "Nothing was changed. Run dbopt in a folder that you may write to."
    path = written(project, plan, tmp_path)
    before = path.read_text()
    with pytest.raises(Error, match="could not write"):  # another run's file stays
        write(project, drops(project, 'Odd "one'), tmp_path)
    assert path.read_text() == before


# Of all kinds


SHAPES = [
    'app.people (n DESC NULLS LAST, t COLLATE "C" text_pattern_ops) INCLUDE (u, id)',
    "app.people (app.norm(t), (j ->> 'a;b'), id) WHERE s IN ('open', 'it''s', 'a,b') AND e LIKE '%\\_'",
    'app.people ("with ""quote", "жук😀", "select", "TEXT") WHERE "two words" IS NOT NULL',
    "app.people USING hash (v) WITH (fillfactor = 60)",
    "app.people USING gin (j jsonb_path_ops, doc) WITH (fastupdate = off)",
    "app.people USING gist (r, doc tsvector_ops (siglen = 100))",
    "app.people USING spgist (t)",
    "app.people USING brin (id int8_minmax_multi_ops (values_per_range = 16), d) WITH (pages_per_range = 8)",
    "app.people (((w).a), (tz AT TIME ZONE 'UTC'), (CASE WHEN b THEN n ELSE 0 END), (t || E'\\n' || '\\\\'))",
    'app."Odd.Table ""x""" (id, "Odd.Table ""x""")',
    "app.summary (v)",
    "app.scratch (v) WHERE n > 1.5 AND v <> ALL ('{a,b}'::varchar[])",
    "crm.people (crm.norm(t::text), lower(u) varchar_pattern_ops)",
]


def test_every_shape_comes_back(project: Project, database: Database, tmp_path: Path) -> None:
    """In the server's own words, whatever the search path of who reads or runs them."""
    shapes = [shape for shape in SHAPES if "multi_ops" not in shape or database.server_version >= (14,)]
    database.sql(ZOO)
    for number, shape in enumerate(shapes):
        database.sql(f"CREATE INDEX shape_{number} ON {shape}")
    if database.server_version >= (15,):
        database.sql("CREATE UNIQUE INDEX shape_nulls ON app.people (t, n) NULLS NOT DISTINCT")
    database.sql(f'ALTER DATABASE "{database.name}" SET search_path = app, crm, public')
    before = database.sql(STATE)
    entries = [
        "name: {}, table: {{schema: {}, name: {}}}, state: absent".format(*map(json.dumps, row))
        for row in database.sql(
            "SELECT c.relname, n.nspname, t.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
            " WHERE c.relname LIKE 'shape%'"
        )
    ]
    path = dropped(project, project.wants(*entries).plan(prune_foreign=True), tmp_path)
    assert database.sql(STATE) == []
    database.sql(f'ALTER DATABASE "{database.name}" RESET search_path')
    project.run(undoing(project, path)).assert_applied()
    database.sql(f'ALTER DATABASE "{database.name}" SET search_path = app, crm, public')
    assert database.sql(STATE) == before
    assert_nothing_to_do(project, path)


# Partition trees


@pytest.fixture
def tree(database: Database) -> Database:
    database.sql(THREE_LEVELS)
    database.sql("CREATE INDEX ev_by_note ON ev (lower(note)); COMMENT ON INDEX ev_by_note IS 'of the tree'")
    database.sql('ALTER INDEX ev_1_lower_idx RENAME TO "Another name"; COMMENT ON INDEX "Another name" IS \'a part\'')
    database.sql('ALTER INDEX "Another name" ALTER COLUMN 1 SET STATISTICS 77')
    return database


def test_a_tree_comes_back(project: Project, tree: Database, tmp_path: Path) -> None:
    before = tree.sql(STATE)
    path = dropped(project, drops(project, "ev_by_note", table="ev"), tmp_path)
    assert tree.sql(STATE) == []
    plan = undoing(project, path)
    assert {step.group for step in plan.steps if step.index} == {"public.ev"}
    project.run(plan).assert_applied()
    assert tree.sql(STATE) == before
    assert_nothing_to_do(project, path)


def test_a_tree_goes_on_where_it_was_broken_off(project: Project, tree: Database, tmp_path: Path) -> None:
    before = tree.sql(STATE)
    path = dropped(project, drops(project, "ev_by_note", table="ev"), tmp_path)
    steps = len(undoing(project, path).steps)
    for done in (3, steps // 2):
        project.run(cut(undoing(project, path), done)).assert_applied()
    built = oids(tree)
    project.run(undoing(project, path)).assert_applied()
    assert built.items() <= oids(tree).items()  # no leaf was built twice
    assert_whole(tree, "ev_by_note")
    assert tree.sql(STATE) == before


def test_partitions_that_came_or_went(project: Project, tree: Database, tmp_path: Path) -> None:
    path = dropped(project, drops(project, "ev_by_note", table="ev"), tmp_path)
    tree.sql("DROP TABLE ev_1")
    project.run(undoing(project, path)).assert_applied()
    assert_whole(tree, "ev_by_note")
    tree.sql("DROP INDEX ev_by_note; CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (30) TO (40)")
    plan = undoing(project, path)
    assert plan.steps == ()
    assert [item.error for item in plan.refused] == ["public.ev has got a partition since: ev_4"]


# What is there meanwhile


def test_an_undo_that_was_killed_is_resumed(project: Project, database: Database, tmp_path: Path) -> None:
    """Once between the build and what follows it, once in the build."""
    database.sql(TABLE)
    before = database.sql(STATE)
    path = dropped(project, drops(project, "plain", 'Odd "one'), tmp_path)
    plan = undoing(project, path)
    half = [replace(step, statements=step.statements[:1]) for step in plan.steps if step.index == 'Odd "one']
    project.run(replace(plan, steps=tuple(half))).assert_applied()
    database.sql('UPDATE pg_index SET indisvalid = false WHERE indexrelid = \'"Odd ""one"\'::regclass')
    again = undoing(project, path)
    assert {step.index: step.action.value for step in again.steps if step.index} == {
        "plain": "create", 'Odd "one': "repair"
    }  # fmt: skip
    half = [replace(step, statements=step.statements[:2]) for step in again.steps if step.index == 'Odd "one']
    project.run(replace(again, steps=tuple(half))).assert_applied()
    once_more = undoing(project, path)
    assert {step.index: step.action.value for step in once_more.steps if step.index} == {
        "plain": "create", 'Odd "one': "comment"
    }  # fmt: skip
    project.run(once_more).assert_applied()
    assert database.sql(STATE) == before
    assert invalid_indexes(database) == []


def test_what_has_been_made_since_is_not_touched(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    database.sql("CREATE INDEX third ON t (c); CREATE INDEX fourth ON t (b); CREATE INDEX lost ON t (c, a)")
    path = dropped(project, drops(project, "plain", 'Odd "one', "third", "fourth", "lost"), tmp_path)
    database.sql("CREATE INDEX plain ON t (a); COMMENT ON INDEX plain IS 'mine'; CREATE INDEX fourth ON t (b, a)")
    database.sql("CREATE TABLE third (); ALTER TABLE t CLUSTER ON fourth")
    plan = undoing(project, path)
    assert [item.index for item in plan.unchanged] == ["plain"]
    assert {item.index: item.error for item in plan.refused} == {
        "third": "the name third belongs to another relation in schema public",
        "fourth": "fourth is there, and is something else: keys b, a -> b",
    }
    run = project.run(plan)
    assert run.errors == []
    assert run.statuses["lost"] == "applied"
    assert database.sql("SELECT obj_description('plain'::regclass)") == [("mine",)]
    assert database.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered") == [("fourth",)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DROP TABLE t", "table public.t does not exist"),
        ("ALTER TABLE t DROP COLUMN a", 'column "a" does not exist [SQLSTATE 42703]'),
    ],
)
def test_what_cannot_be_made_any_more(
    project: Project, database: Database, tmp_path: Path, change: str, why: str
) -> None:
    database.sql(TABLE)
    path = dropped(project, drops(project, "plain"), tmp_path)
    database.sql(change)
    plan = undoing(project, path)
    assert (plan.steps, [item.error for item in plan.refused]) == ((), [why])


# Whose file


def test_the_file_of_another_database(project: Project, database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    path = written(project, drops(project, "plain"), tmp_path)
    path.write_text(path.read_text().replace(f'"{database.name}"', '"elsewhere"', 1))
    with pytest.raises(PlanMismatch) as caught:
        undoing(project, path)
    assert caught.value.message == f"undo-{RUN}.sql was written for another database than {database.name}"
    assert (caught.value.detail or "").startswith("written for elsewhere of system ")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE t",
        "SELECT pg_sleep(1)",
        'DROP INDEX CONCURRENTLY "public"."plain"',
        'CREATE INDEX "plain" ON "public"."t" (a)',
        'CREATE INDEX CONCURRENTLY "plain" ON "public"."t" (a)',
        'COMMENT ON INDEX "public"."other" IS NULL',
        'ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "plain"',
        "ANALYZE public.t",
        "BEGIN",
    ],
)
def test_a_file_that_somebody_changed(project: Project, database: Database, tmp_path: Path, statement: str) -> None:
    database.sql(TABLE)
    path = written(project, drops(project, "plain"), tmp_path)
    path.write_text(path.read_text() + f"{statement};\n")
    with pytest.raises(PlanMismatch):
        undoing(project, path)


@pytest.mark.parametrize(
    "content", ["", "SELECT 1;", "-- dbopt undo {}\n", "-- dbopt undo [\n", "\x00", "-- dbopt undo 1"]
)
def test_what_is_no_undo_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "undo-x.sql"
    path.write_text(content)
    with pytest.raises(PlanMismatch, match="is no undo file"):
        undo.read(path)


def test_names_of_runs(tmp_path: Path) -> None:
    name = undo.run_name(NOW)
    assert re.fullmatch(r"20270131T0312-[0-9a-f]{4}", name)
    path = tmp_path / f"undo-{name}.sql"
    with pytest.raises(UsageError) as caught:
        undo.find(name, tmp_path)
    assert caught.value.message == f"there is no undo-{name}.sql to undo a run with"
    path.touch()
    assert undo.find(name, tmp_path) == path
    assert undo.find(str(path), tmp_path / "elsewhere") == path
    with pytest.raises(UsageError) as caught:
        undo.find("../x", tmp_path)
    assert caught.value.detail == f"here are undo-{name}.sql"


# From the command line


def test_the_call_that_a_run_prints(run_cli: Callable[..., Result], database: Database, tmp_path: Path) -> None:
    database.sql(TABLE)
    before = database.sql(STATE)
    entries = "".join(f"  - {{{one}}}\n" for one in absent("plain", 'Odd "one'))
    (tmp_path / "s.yaml").write_text(f"spec: 1\ndomain: shop\nindexes:\n{entries}")
    done = run_cli("optimize", "s.yaml", "--yes", "--prune-foreign", "-d", database.conninfo)
    assert (done.code, index_names(database, "t")) == (0, [])
    [path] = tmp_path.glob("undo-*.sql")
    run = path.stem.removeprefix("undo-")
    assert f"what was dropped is in {path.name}; to make it again: dbopt optimize -d " in done.err
    assert f" --undo {run}\n" in done.err
    assert f"-- to make them again: dbopt optimize -d {shlex.quote(database.conninfo)} --undo {run}" in path.read_text()
    shown = run_cli("optimize", "--undo", run, "--dry-run", "-d", database.conninfo)
    assert (shown.code, index_names(database, "t")) == (0, [])
    assert "CREATE UNIQUE INDEX CONCURRENTLY" in shown.out
    again = run_cli("optimize", "--undo", run, "--yes", "-d", database.conninfo)
    assert (again.code, database.sql(STATE)) == (0, before)
    assert [one.name for one in tmp_path.glob("undo-*.sql")] == [path.name]  # nothing was dropped this time
    assert run_cli("optimize", "--undo", run, "--yes", "-d", database.conninfo).code == 0
    wrong = run_cli("optimize", "--undo", "20260101T0000-aaaa", "--yes", "-d", database.conninfo)
    assert wrong.code == 3
    assert "there is no undo-20260101T0000-aaaa.sql to undo a run with" in wrong.err
