"""What past builds took, as `optimize` left it in the store and as the next plan reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbopt.optimize.events import Result, RunStarted, StepFinished
from dbopt.optimize.pace import Built
from dbopt.store import builds, plain
from dbopt.store.location import require
from tests.store.values import CALLER, make_plan, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result as Ran
    from server import Database

    from dbopt.optimize.events import Event

GIN = 'CREATE INDEX CONCURRENTLY "odd USING hash (" ON "app"."orders" USING "gin" ("tags")'


def finished(number: int, statements: tuple[str, ...], **told: object) -> StepFinished:
    step = replace(make_plan().steps[0], statements=statements)
    event = StepFinished(number=number, total=4, step=step, seconds=9.0, size_bytes=8192 * number)
    return replace(event, **told)  # type: ignore[arg-type]


def run() -> Iterator[Event]:
    plan = make_plan(4)
    yield RunStarted(plan=plan)
    yield finished(1, plan.steps[0].statements)
    yield finished(2, ("DROP INDEX CONCURRENTLY app.x", GIN), built_seconds=2.5)
    yield finished(3, plan.steps[0].statements, error="could not", size_bytes=None)
    yield finished(4, ("ALTER INDEX app.a RENAME TO b",))
    yield Result(applied=3, failed=1, refused=0, unchanged=0, seconds=1, items=())


def read(url: str, target: str) -> list[Built]:
    with plain.transaction(require(url), reading=True, wait_seconds=1) as session:
        return builds.builds(session, target)


def test_the_builds_that_succeeded_the_latest_first(url: str) -> None:
    record(url, run())
    assert read(url, "main") == [Built("gin", 16384, None, 2.5), Built("btree", 8192, None, 9.0)]
    assert read(url, "another") == []


def test_so_many_and_no_more(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "_LATEST", 2)
    record(sqlite_url, run())
    record(sqlite_url, run(), replace(CALLER, command="optimize"))
    assert [built.method for built in read(sqlite_url, "main")] == ["gin"]  # the other was none


@pytest.fixture
def entry(database: Database) -> Database:
    database.sql(
        "CREATE TABLE t (a int, b int); INSERT INTO t SELECT g, g FROM generate_series(1, 1000) AS g; ANALYZE t"
    )
    Path("indexes").mkdir()
    Path("indexes/a.yaml").write_text(
        "spec: 1\ndomain: d\nindexes:\n  - {name: i, table: t, keys: [a], budget: {build: 1h}, why: a test}\n"
    )
    return database


def test_a_plan_makes_no_store_and_the_next_knows_what_the_run_took(
    entry: Database, run_cli: Callable[..., Ran], tmp_path: Path
) -> None:
    env = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
    first = run_cli("plan", "-d", entry.conninfo, env=env)
    assert "build-time-unknown" in first.err
    assert not (tmp_path / "store.db").exists()
    assert run_cli("optimize", "-d", entry.conninfo, "--yes", env=env).code == 0
    entry.sql("DROP INDEX i")
    second = run_cli("plan", "-d", entry.conninfo, env=env, stdin="")
    assert "build-time-unknown" not in second.err
    assert '"build_seconds": 0.' in run_cli("plan", "-d", entry.conninfo, "--format", "json", env=env).out


def test_a_store_that_cannot_be_read_is_one_warning(
    entry: Database, run_cli: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "store.db").write_bytes(b"x" * 5000)
    result = run_cli("plan", "-d", entry.conninfo, env={"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"})
    assert result.code == 0
    assert result.err.count("how long builds will take is not known") == 1
