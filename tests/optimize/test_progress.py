"""How far a build is: numbers from the server's view that only ever grow."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from dbopt.optimize.events import Progress
from dbopt.optimize.progress import State, done_ratio, look
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

# The phases of a concurrent btree build, in their order.
BTREE = [
    "initializing",
    "waiting for writers before build",
    "building index: initializing",
    "building index: scanning table",
    "building index: sorting live tuples",
    "building index: sorting dead tuples",
    "building index: loading tuples in tree",
    "waiting for writers before validation",
    "index validation: scanning index",
    "index validation: sorting tuples",
    "index validation: scanning table",
    "waiting for old snapshots",
]


def state(phase: str | None, done: int | None = None, total: int | None = None) -> State:
    return State(phase, done, total, done, total, is_blocked=False)


def test_the_ratio_grows_from_phase_to_phase() -> None:
    ratios = [done_ratio(state(phase, done, 10)) for phase in BTREE for done in (0, 5, 10)]
    assert all(ratio is not None and 0 <= ratio < 1 for ratio in ratios)
    assert all(one <= two for one, two in itertools.pairwise(ratio or 0 for ratio in ratios))
    assert ratios[-1] == 0.98


@pytest.mark.parametrize("phase", [*BTREE, "building index"])
def test_numbers_that_are_off_stay_within_the_phase(phase: str) -> None:
    whole = done_ratio(state(phase, 10, 10))
    assert done_ratio(state(phase, 11, 10)) == whole
    start = done_ratio(state(phase, 0, 10))
    assert done_ratio(state(phase, 5, 0)) == start
    assert done_ratio(state(phase)) == start


def test_methods_without_finer_phases_move_too() -> None:
    assert done_ratio(state("building index", 5, 10)) == pytest.approx(0.375)


@pytest.mark.parametrize("phase", [None, "rewriting the alphabet"])
def test_what_is_not_known_has_no_ratio(phase: str | None) -> None:
    assert done_ratio(state(phase, 1, 2)) is None


def test_a_backend_that_is_gone_has_no_state(database: Database) -> None:
    with connect(database.conninfo, command="optimize", read_only=False) as conn:
        assert look(conn, inspect(conn), 2**31 - 1) is None
        assert look(conn, inspect(conn), conn.info.backend_pid) == State(None, None, None, None, None, False)


@pytest.mark.parametrize("method", ["btree", "gin"])
def test_a_build_long_enough_to_be_looked_at(
    project: Project, database: Database, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbopt.optimize.worker.FIRST_POLL_SECONDS", 0.01)
    monkeypatch.setattr("dbopt.optimize.worker.POLL_SECONDS", 0.02)
    database.sql(
        "CREATE TABLE posts (id int, title text, tags int[]);"
        "INSERT INTO posts SELECT i, md5(i::text), ARRAY[i, i + 1] FROM generate_series(1, 60000) AS i"
    )
    keys = "keys: [{expr: upper(title)}, id]" if method == "btree" else "method: gin, keys: [tags]"
    project.wants(f"name: big, table: posts, {keys}")
    run = project.run()
    run.assert_applied()
    told = [event for event in run.of(Progress) if event.step.index == "big" and event.done is not None]
    assert len(told) > 3
    assert {event.phase.split(":")[0] for event in told} >= {"building index"}
    ratios = [event.done or 0.0 for event in told]
    assert ratios == sorted(ratios)
    assert 0 <= ratios[0] < ratios[-1] <= 1
    elapsed = [event.elapsed_seconds for event in told]
    assert elapsed == sorted(elapsed)
    assert all(event.eta_seconds is None or event.eta_seconds >= 0 for event in told)
