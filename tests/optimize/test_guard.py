"""What a guard lets go, on a real server: an index that was unused for as long as the spec asks, and known to be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from helpers import index_names, wait_until

from dbopt.optimize import guard, proof
from dbopt.optimize.guard import Window
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

SCHEMA = "CREATE TABLE t (a int, b int); INSERT INTO t SELECT g, g FROM generate_series(1, 5000) g; ANALYZE t"
DAY = 86400.0


def entry(unused_for: str, name: str = "t_b") -> str:
    return f"name: {name}, table: t, state: absent, guard: {{unused_for: {unused_for}}}"


def use(database: Database) -> None:
    """One scan, counted."""
    before = scans(database)
    database.sql("SET enable_seqscan = off; SELECT * FROM t WHERE b = 7")
    wait_until(lambda: scans(database) > before, "the scan's being counted")


def scans(database: Database) -> int:
    [(count,)] = database.sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 't_b'")
    return int(count)


@pytest.fixture
def indexed(database: Database) -> Database:
    """An index, and counters that have just begun."""
    database.sql(SCHEMA)
    database.sql("CREATE INDEX t_b ON t (b)")
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: (known(database) or 60.0) < 30, "the reset's being seen")
    return database


def known(database: Database) -> float | None:
    """Since how many seconds the counters count, as the guard has it."""
    with database.connect(autocommit=True) as conn:
        return guard.window(conn, inspect(conn)).seconds


def objections(project: Project, *entries: str) -> list[str]:
    plan = project.wants(*entries).plan(prune_foreign=True)
    return [finding.message for finding in plan.findings if finding.code == "guarded"]


def test_counters_that_have_just_begun_tell_nothing(project: Project, indexed: Database) -> None:
    [message] = objections(project, entry("60d"))
    assert message.startswith(
        "the guard keeps t_b: whether it was unused for 60 d 0 h is not known: the counters began "
    )
    assert message.endswith("s ago")
    assert index_names(indexed, "t") == ["t_b"]


def test_unused_for_long_enough(project: Project, indexed: Database) -> None:
    time.sleep(1.1)
    assert objections(project, entry("1s")) == []
    project.run(project.plan(prune_foreign=True)).assert_applied()
    assert index_names(indexed, "t") == []
    project.assert_settled()


@pytest.mark.pg(">= 16")
def test_the_last_use_is_known_since_16(project: Project, indexed: Database) -> None:
    use(indexed)
    [message] = objections(project, entry("1h"))
    assert message.startswith("the guard keeps t_b: it was last used ")
    assert message.endswith(" ago, less than 1 h 00 min")
    time.sleep(1.1)
    assert objections(project, entry("1s")) == []  # whatever was before


@pytest.mark.pg("< 16")
def test_any_use_keeps_it_before_16(project: Project, indexed: Database) -> None:
    use(indexed)
    time.sleep(1.1)
    assert objections(project, entry("1s")) == ["the guard keeps t_b: it was used since the counters began (scans: 1)"]


def test_a_reset_forgets_uses(project: Project, indexed: Database) -> None:
    use(indexed)
    time.sleep(1.1)
    indexed.sql("SELECT pg_stat_reset_single_table_counters('t_b'::regclass)")
    wait_until(lambda: scans(indexed) == 0, "the reset's being seen")
    [message] = objections(project, entry("1h"))
    assert "is not known: the counters began" in message
    assert (known(indexed) or 0.0) < 1.1  # the reset of one index is one of the database


def test_no_window_no_drop(indexed: Database) -> None:
    """A server that was never reset and never crashed does not say since when it counts."""
    with indexed.connect(autocommit=True) as conn:
        index = proof.find_index(conn, inspect(conn), "public", "t", "t_b")
        assert index is not None
        assert guard.objection(index, DAY, Window(None)) == (
            "whether it was unused for 24 h 00 min is not known: the counters began at an unknown time"
        )
        assert guard.objection(index, DAY, Window(DAY - 1)) is not None
        assert guard.objection(index, DAY, Window(DAY)) is None


def test_the_window_is_not_older_than_the_servers_counters(database: Database) -> None:
    """After a crash the whole server counts anew, which no database says of itself."""
    [(shared,)] = database.sql("SELECT EXTRACT(epoch FROM now() - stats_reset)::float8 FROM pg_stat_bgwriter")
    assert 0 <= (known(database) or -1.0) <= shared + 1


def test_an_invalid_index_is_of_no_use_to_anybody(project: Project, indexed: Database) -> None:
    indexed.sql("INSERT INTO t VALUES (1, 1)")
    with pytest.raises(Exception, match="duplicate"):
        indexed.sql("CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
    assert objections(project, entry("60d", name="t_a")) == []
    project.run(project.plan()).assert_applied()
    assert index_names(indexed, "t") == ["t_b"]


def test_a_constraints_index_is_kept_whatever_the_guard_says(project: Project, indexed: Database) -> None:
    indexed.sql("ALTER TABLE t ADD CONSTRAINT t_ab UNIQUE (a, b)")
    time.sleep(1.1)
    plan = project.wants(entry("1s", name="t_ab")).plan(prune_foreign=True)
    assert [finding.code for finding in plan.findings] == ["needed-by-constraint"]
    assert plan.steps == ()


def test_the_guard_comes_after_the_mark(project: Project, indexed: Database) -> None:
    plan = project.wants(entry("60d")).plan()
    assert [finding.code for finding in plan.findings] == ["foreign-index"]
