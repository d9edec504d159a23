"""Who waits for whom: real queues of all kinds against pg_blocking_pids, and the trees that come of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.health.blocking import PREPARED_PID, Tree, conflict, trees
from dbopt.health.check import Status, above
from dbopt.postgres.prepared import PreparedTransaction
from dbopt.postgres.sessions import Session
from dbopt.render.tree import tree_document, tree_lines
from tests.health.looks import only, run_check, subjects
from tests.health.waiting import role, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

    from dbopt.health.check import Result

AT_ONCE = above(warning=0.0, critical=None, source="test")
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')"


def look(db: Database, user: str | None = None, *, show_literals: bool = False) -> Result:
    return run_check(db, "blocked-sessions", thresholds=AT_ONCE, user=user, show_literals=show_literals)


def edges(result: Result) -> set[tuple[int, int]]:
    return {edge for tree in result.trees for edge in tree.edges}


def assert_edges_are_the_servers(db: Database, result: Result) -> None:
    said = db.sql("SELECT pid, unnest(pg_blocking_pids(pid)) FROM pg_stat_activity")
    assert edges(result) == {(victim, blocker) for victim, blocker in said}
    assert edges(result)


@pytest.fixture
def table(database: Database) -> Database:
    database.sql(TABLE)
    return database


def test_row_lock_held_by_an_idle_transaction(table: Database) -> None:
    with (
        open_transaction(table, "UPDATE t SET v = 'secret' WHERE id = 1") as root,
        running(table, "UPDATE t SET v = 'other secret' WHERE id = 1") as victim,
    ):
        result = look(table)
        assert_edges_are_the_servers(table, result)
        [tree] = result.trees
        assert [(m.depth, m.pid) for m in tree.members] == [(0, root), (1, victim)]
        assert tree.root.state == "idle in transaction"
        assert tree.root.holds == ("RowExclusiveLock on public.t",)
        wait = tree.victims[0].waits_for
        assert wait is not None
        assert (wait.mode, wait.object.partition(" for ")[2]) == ("ShareLock", "a row of public.t")
        assert wait.since is not None
        assert wait.seconds is not None
        finding = only(result)
        assert (finding.subject, finding.status) == (f"pid {root}", Status.WARNING)
        assert finding.remedy == f"SELECT pg_catalog.pg_terminate_backend({root});"
        assert "secret" not in str(result.findings) + str(result.trees)
        assert "UPDATE t SET v = ? WHERE id = ?" in finding.detail
        assert "'other secret'" in "\n".join(tree_lines(look(table, show_literals=True).trees[0]))


def test_queue_behind_a_change_of_a_table(table: Database) -> None:
    """The readers wait for one who has nothing yet: a soft block."""
    with (
        open_transaction(table, "SELECT * FROM t") as root,
        running(table, "ALTER TABLE t ADD COLUMN w int") as alter,
        running(table, "SELECT * FROM t") as reader,
        running(table, "SELECT count(*) FROM t") as other,
    ):
        result = look(table)
        assert_edges_are_the_servers(table, result)
        [tree] = result.trees
        assert [m.pid for m in tree.members] == [root, alter, reader, other]
        assert [m.depth for m in tree.members] == [0, 1, 2, 2]
        assert tree.victims[0].waits_for is not None
        assert (tree.victims[0].waits_for.mode, tree.victims[0].waits_for.object) == ("AccessExclusiveLock", "public.t")
        assert tree.remedy == f"SELECT pg_catalog.pg_terminate_backend({root});"


def test_several_waiters_for_one_row(table: Database) -> None:
    with (
        open_transaction(table, "UPDATE t SET v = 'x' WHERE id = 1"),
        running(table, "UPDATE t SET v = 'y' WHERE id = 1"),
        running(table, "UPDATE t SET v = 'z' WHERE id = 1"),
        running(table, "DELETE FROM t WHERE id = 1"),
    ):
        result = look(table)
        assert_edges_are_the_servers(table, result)
        assert len(only(result).detail) > 0
        assert len(result.trees[0].victims) == 3


def test_two_roots_of_one_victim(table: Database) -> None:
    with (
        open_transaction(table, "LOCK TABLE t IN ROW SHARE MODE") as one,
        open_transaction(table, "LOCK TABLE t IN ROW SHARE MODE") as two,
        running(table, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE") as victim,
    ):
        result = look(table)
        assert_edges_are_the_servers(table, result)
        assert sorted(tree.root.pid for tree in result.trees) == sorted((one, two))
        assert all([m.pid for m in tree.victims] == [victim] for tree in result.trees)
        assert any("also behind" in line for line in tree_lines(result.trees[0]))


def test_root_that_runs_a_statement_is_cancelled(table: Database) -> None:
    lock = "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"
    with (
        running(table, "SELECT pg_sleep(60)", lock, until="wait_event = 'PgSleep'") as root,
        running(table, "SELECT * FROM t"),
    ):
        result = look(table)
        assert only(result).remedy == f"SELECT pg_catalog.pg_cancel_backend({root});"
        assert "AccessExclusiveLock on public.t" in only(result).detail


@pytest.mark.parametrize(
    ("key", "words"), [("7", "advisory lock 7"), ("-1", "advisory lock -1"), ("-2, 3", "advisory lock (-2, 3)")]
)
def test_advisory_lock_of_an_idle_session(database: Database, key: str, words: str) -> None:
    with database.connect(autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({key})")  # type: ignore[call-overload]
        with running(database, f"SELECT pg_advisory_lock({key})"):
            result = look(database)
            assert_edges_are_the_servers(database, result)
            finding = only(result)
            assert f"(ExclusiveLock on {words})" in finding.detail
            assert finding.remedy == f"SELECT pg_catalog.pg_terminate_backend({holder.info.backend_pid});"


def test_prepared_transaction(small: Database) -> None:
    small.sql(TABLE)
    small.sql("BEGIN; UPDATE t SET v = 'x' WHERE id = 1; PREPARE TRANSACTION 'it''s one'")
    small.sql("BEGIN; LOCK TABLE t IN ROW SHARE MODE; PREPARE TRANSACTION 'two'")
    try:
        with running(small, "UPDATE t SET v = 'y' WHERE id = 1") as victim:
            result = look(small)
            assert_edges_are_the_servers(small, result)
            assert edges(result) == {(victim, PREPARED_PID)}
            finding = only(result)
            assert finding.subject == "prepared it's one"
            assert finding.remedy == f"ROLLBACK PREPARED 'it''s one';  -- in database {small.name}"
        with running(small, "LOCK TABLE t IN EXCLUSIVE MODE"):
            assert sorted(subjects(look(small))) == ["prepared it's one", "prepared two"]
        with running(small, "LOCK TABLE t IN SHARE MODE"):
            assert subjects(look(small)) == ["prepared it's one"]
    finally:
        small.sql("ROLLBACK PREPARED 'it''s one'")
        small.sql("ROLLBACK PREPARED 'two'")


def test_role_without_rights_sees_the_queue(table: Database) -> None:
    with (
        role(table) as user,
        open_transaction(table, "LOCK TABLE t") as root,
        running(table, "SELECT * FROM t"),
    ):
        result = look(table, user)
        assert_edges_are_the_servers(table, result)
        if table.server_version >= (14,):
            assert subjects(result) == [f"pid {root}"]
            assert "terminate" in (only(result).remedy or "")
        else:
            assert (result.status, result.blind, result.hint) == (
                Status.UNKNOWN,
                True,
                f'GRANT pg_monitor TO "{user}";',
            )
        assert "SELECT * FROM t" not in str(result.trees)


def test_parallel_workers_are_one_with_their_leader() -> None:
    sessions = [session(1), session(2), session(3, leader_pid=2, blocked_by=[1], backend_type="parallel worker")]
    [tree] = trees(sessions, ())
    assert tree.edges == {(2, 1)}


def test_nothing_waits(database: Database) -> None:
    result = look(database)
    assert (result.status, result.trees, result.findings) == (Status.OK, (), ())


def session(pid: int, **values: object) -> Session:
    nothing: dict[str, object] = dict.fromkeys(field.name for field in dataclasses.fields(Session))
    blocked = (
        {"wait_mode": "ShareLock", "wait_object": "public.t", "wait_seconds": 90.0} if "blocked_by" in values else {}
    )
    given = {"pid": pid, "is_own": False, "backend_type": "client backend", "state": "active", "holds_count": 0}
    return Session(**{**nothing, **given, **blocked, **values})  # type: ignore[arg-type]


def members(tree: Tree) -> list[tuple[int, int]]:
    return [(member.depth, member.pid) for member in tree.members]


def test_circle_ends() -> None:
    found = trees([session(1, blocked_by=[2]), session(2, blocked_by=[1]), session(3, blocked_by=[2])], ())
    assert [members(tree) for tree in found] == [[(0, 2), (1, 1), (1, 3)]]
    assert found[0].is_circle
    assert found[0].edges == {(1, 2), (2, 1), (3, 2)}


def test_long_chain() -> None:
    chain = [session(1), *(session(pid, blocked_by=[pid - 1]) for pid in range(2, 3000))]
    [tree] = trees(chain, ())
    assert tree.members[-1].depth == 2998
    assert len(tree_document(tree)["sessions"]) == 2999
    assert "and 2959 more" in "\n".join(tree_lines(tree))


def test_own_session_is_nobodys_blocker() -> None:
    assert trees([session(1, is_own=True), session(2, blocked_by=[1])], ()) == ()


def test_blocker_that_has_just_gone() -> None:
    [tree] = trees([session(2, blocked_by=[1])], ())
    assert tree.root.pid == 1
    assert "pg_cancel_backend(1)" in tree.remedy


def test_replay_on_a_standby_is_not_cancelled() -> None:
    [tree] = trees([session(1, backend_type="startup", state=None), session(2, blocked_by=[1])], ())
    assert tree.remedy.startswith("-- the lock came from the primary")


def test_prepared_transaction_whose_name_is_not_known() -> None:
    [tree] = trees([session(2, blocked_by=[0])], ())
    assert tree.root.name == "prepared transaction"
    assert "pg_prepared_xacts" in tree.remedy


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        ("AccessShareLock", "AccessExclusiveLock", True),
        ("AccessShareLock", "ExclusiveLock", False),
        ("ShareLock", "ShareLock", False),
        ("ShareLock", "RowExclusiveLock", True),
        ("ShareUpdateExclusiveLock", "ShareUpdateExclusiveLock", True),
        ("RowExclusiveLock", "RowExclusiveLock", False),
        ("RowExclusiveLock", "ShareLock", True),
        ("ExclusiveLock", "ShareLock", True),
        ("RowShareLock", "ShareRowExclusiveLock", False),
    ],
)
def test_modes_that_conflict(held: str, wanted: str, expected: bool) -> None:
    assert conflict(held, wanted) is conflict(wanted, held) is expected


def test_drawing() -> None:
    since = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
    prepared = PreparedTransaction("g", "app", "orders", since, 7200.0, 12)
    sessions = [
        session(
            2, blocked_by=[0], prepared_gids=["g"], prepared_modes=["ExclusiveLock"], usename="app", query="SELECT 1"
        ),
        session(3, blocked_by=[2], wait_seconds=70.0, usename="app", datname="orders", application_name="worker"),
        session(4, blocked_by=[2, 0], prepared_gids=["g"], prepared_modes=["ExclusiveLock"], wait_seconds=60.0),
    ]
    [tree] = trees(sessions, [prepared])
    assert tree_lines(tree) == [
        "prepared g  app@orders  prepared 2 h 00 min ago",
        "├─ pid 2  app  waits 1 min 30 s for ShareLock on public.t",
        "│  │  SELECT ?",
        "│  └─ pid 3  app@orders (worker)  waits 1 min 10 s for ShareLock on public.t",
        "└─ pid 4  client backend  waits 1 min 00 s for ShareLock on public.t",
        "      also behind pid 2",
        "3 sessions wait, the longest for 1 min 30 s",
        "ROLLBACK PREPARED 'g';  -- in database orders",
    ]
    document = tree_document(tree)
    assert (document["root"], document["victims"], document["longest_wait_seconds"]) == ("prepared g", 3, 90.0)
    assert [entry["blocked_by"] for entry in document["sessions"]] == [[], [0], [2], [0, 2]]
    assert document["sessions"][1]["blocked_by_prepared"] == ["g"]


def test_control_characters_steer_no_terminal() -> None:
    [tree] = trees([session(1, query='SELECT "\x1b[31m"'), session(2, blocked_by=[1])], ())
    assert "\x1b" not in "".join(tree_lines(tree))


def test_wait_at_the_limit() -> None:
    """The check's own thresholds: a minute, five minutes."""
    from dbopt.health.checks.blocked_sessions import CHECK

    seconds: Iterator[float] = iter((59.9, 60.0, 299.9, 300.0))
    assert [CHECK.thresholds.judge(value) for value in seconds] == [
        Status.OK,
        Status.WARNING,
        Status.WARNING,
        Status.CRITICAL,
    ]
