"""A partition tree whose index is being replaced when dbopt, or the session that builds, is killed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from helpers import invalid_indexes, open_transaction, wait_until

from .trees import ENTRY, TWO_LEAVES, assert_whole, leaves_of, names

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from server import Database

    from tests.optimize.runs import Project

CHANGED = ENTRY.replace("[id, at]", "[note, id, at]")
NAMES = {"ev_by_id", "ev_1_by_id", "ev_2_by_id"}
# Where it is held up, and by what: the step's number, or the phase that it waits in.
HELD_BY = {
    "leaf": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1",
    "swap": "COMMENT ON INDEX ev_by_id IS 'somebody writes here'",  # the leaves have their names by then
}
STEP = {"leaf": 2, "attach": 5, "swap": 6}


def until_it_is_there(process: subprocess.Popen[str], point: str) -> None:
    """Until its events say so."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "step_started" and event["number"] == STEP[point] and point not in HELD_BY:
            return
        if point == "leaf" and event["event"] == "waiting" and event["phase"] == "waiting for old snapshots":
            return
        if point == "swap" and event["event"] == "notice" and "the lock is not to be had" in event["message"]:
            return
    raise AssertionError(f"it ended before {point}")


def sessions(database: Database) -> list[tuple[int, str, str]]:
    """dbopt's: pid, state and statement."""
    return database.sql(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'dbopt%' AND pid <> pg_backend_pid()"
    )


@pytest.mark.parametrize(
    ("killed", "point"),
    [
        ("client", "leaf"),
        ("client", "attach"),
        ("client", "swap"),
        ("session", "leaf"),
        ("session", "swap"),
    ],
)
def test_one_more_run_and_all_is_well(
    project: Project,
    database: Database,
    spawn_cli: Callable[..., subprocess.Popen[str]],
    killed: str,
    point: str,
) -> None:
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    project.wants(CHANGED)
    with ExitStack() as stack:
        if point in HELD_BY:
            stack.enter_context(open_transaction(database, HELD_BY[point]))
        process = spawn_cli("optimize", str(project.folder), "--yes", "-d", project.conninfo, "--format", "json")
        until_it_is_there(process, point)
        if killed == "client":
            process.kill()
            process.communicate()
            # What the server has begun goes on; the others are gone, and their lock.
            wait_until(lambda: all(query.startswith("CREATE") for _, _, query in sessions(database)), "their end")
            orphans = [pid for pid, state, _ in sessions(database) if state == "active"]
            assert len(orphans) == (point == "leaf")
            plan = project.plan()
            assert [step.index for step in plan.steps if step.action == "adopt"] == ["ev_1_by_id_dbopt_new"] * len(
                orphans
            )
        else:
            database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'dbopt%' AND query ~ '(CREATE|RENAME|lock_timeout)'"
            )
            plan = None
        before = leaves_of(database, "note, id, at", valid=False)
    if killed == "session":
        process.communicate(timeout=60)
        assert process.returncode in (0, 1)
        before = set()  # what was being built is not there any more
    project.run(plan).assert_applied()
    assert before <= leaves_of(database, "note, id, at")  # each built once
    assert names(database) == NAMES
    assert invalid_indexes(database) == []
    assert_whole(database, "ev_by_id")
    project.assert_settled()
