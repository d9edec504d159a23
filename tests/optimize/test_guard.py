"""What a guard lets go, on a real server: an index that was unused for as long as the spec asks, and known to be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from helpers import index_names, wait_until
from server import Database

from dbopt import embedded
from dbopt.optimize import guard, proof
from dbopt.optimize.guard import ReplicaUse, Scanned, Window
from dbopt.postgres.server import inspect
from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from dbopt.embedded import Binaries
    from tests.optimize.runs import Project

SCHEMA = "CREATE TABLE t (a int, b int); INSERT INTO t SELECT g, g FROM generate_series(1, 5000) g; ANALYZE t"
DAY = 86400.0


def scanned(idx_scan: int, last_scan_seconds: float | None) -> dict[tuple[str, str], Scanned]:
    return {("public", "t_b"): Scanned("public", "t_b", idx_scan, last_scan_seconds)}


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


@pytest.mark.parametrize(
    ("replica", "why"),
    [
        (ReplicaUse(name="r", seconds=DAY, scanned={}), None),
        (ReplicaUse(name="r", seconds=None, scanned=scanned(3, DAY)), None),  # later uses it would have counted
        (ReplicaUse(name="r", seconds=DAY, scanned=scanned(3, 60.0)), "the replica r last used it 1 min 00 s ago"),
        (ReplicaUse(name="r", seconds=DAY, scanned=scanned(3, None)), "the replica r has used it (scans: 3)"),
        (ReplicaUse(name="r", seconds=60.0, scanned={}), "is not known: it has counted for 1 min 00 s"),
        (ReplicaUse(name="r", seconds=None, scanned={}), "is not known: it has counted for an unknown time"),
        (ReplicaUse(name="r", problem="no route"), "whether the replica r uses it is not known: no route"),
    ],
)
def test_what_a_replica_says(indexed: Database, replica: ReplicaUse, why: str | None) -> None:
    with indexed.connect(autocommit=True) as conn:
        index = proof.find_index(conn, inspect(conn), "public", "t", "t_b")
    assert index is not None
    told = guard.objection_there(index, 3600.0, replica)
    assert told is None if why is None else (told or "").endswith(why)


def test_what_a_replica_is_asked(indexed: Database) -> None:
    use(indexed)
    with indexed.connect(autocommit=True) as conn:
        told = guard.use(conn, inspect(conn), "r")
    assert told.problem is None
    assert 0 <= (told.seconds or -1.0) < 30
    assert [(one.schema, one.index, one.idx_scan) for one in (told.scanned or {}).values()] == [("public", "t_b", 1)]
    assert told.scanned is not None
    is_dated = told.scanned["public", "t_b"].last_scan_seconds is not None
    assert is_dated is (indexed.server_version >= (16,))


def test_where_nothing_is_counted_nothing_is_known(project: Project, indexed: Database) -> None:
    indexed.sql(f'ALTER DATABASE "{indexed.name}" SET track_counts = off')
    [message] = objections(project, entry("1ms"))
    assert message == "the guard keeps t_b: whether it was unused for 1.0 ms is not known: track_counts is off"
    with indexed.connect(autocommit=True) as conn:
        assert guard.use(conn, inspect(conn), "r").problem == "track_counts is off there"


def test_a_unique_index_serves_without_a_scan(project: Project, indexed: Database) -> None:
    indexed.sql("DROP INDEX t_b; CREATE UNIQUE INDEX t_b ON t (b)")
    unique = "the guard keeps t_b: it is unique, and no other index keeps b unique"
    assert objections(project, entry("1ms")) == [unique]
    assert objections(project, "name: t_b, table: t, state: absent, guard: {}") == [unique]
    indexed.sql("CREATE UNIQUE INDEX other ON t (b)")
    assert objections(project, entry("1ms")) == []
    indexed.sql("DROP INDEX other")
    assert objections(project, "name: t_b, table: t, state: absent") == []  # without a guard its author decided


def test_cluster_and_foreign_keys_are_uses_too(project: Project, indexed: Database) -> None:
    indexed.sql("ALTER TABLE t CLUSTER ON t_b")
    assert objections(project, entry("1ms")) == ["the guard keeps t_b: CLUSTER sorts the table by it"]
    indexed.sql("ALTER TABLE t SET WITHOUT CLUSTER; CREATE TABLE o (id int PRIMARY KEY)")
    indexed.sql("INSERT INTO o SELECT generate_series(1, 5000); ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES o")
    key = "the guard keeps t_b: no other index begins with the columns of foreign key t_b_fkey"
    assert objections(project, entry("1ms")) == [key]
    indexed.sql("CREATE INDEX longer ON t (b, a)")
    assert objections(project, entry("1ms")) == []


def test_a_files_guard_is_that_of_its_absent_entries(project: Project, indexed: Database) -> None:
    project.wants("name: t_b, table: t, state: absent", "name: kept, table: t, keys: [a]")
    path = project.folder / "shop.yaml"
    path.write_text(path.read_text().replace("public}", "public, guard: {unused_for: 60d}}"))
    plan = project.plan(prune_foreign=True)
    assert [(finding.code, finding.index) for finding in plan.findings] == [("guarded", "t_b")]


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


def test_a_new_primary_has_counted_what_it_scanned_as_a_standby(server_binaries: Binaries) -> None:
    """Its counters may be old, and say nothing of what its predecessor scanned."""
    with pair(server_binaries) as (primary, standby):
        primary.database.sql(SCHEMA)
        primary.database.sql("CREATE INDEX t_b ON t (b); CREATE ROLE visitor LOGIN")
        caught_up(primary, standby)
        with primary.database.connect(autocommit=True) as conn:
            assert not guard.window(conn, inspect(conn)).was_promoted
            assert guard.window(conn, inspect(conn)).feeds_standbys
        standby.database.sql("SELECT pg_promote()")
        here = standby.database
        with here.connect(autocommit=True) as conn:
            index = proof.find_index(conn, inspect(conn), "public", "t", "t_b")
            assert index is not None
            assert guard.window(conn, inspect(conn)).was_promoted
            told = guard.Guard(conn, inspect(conn)).objection(index, [], DAY)
            assert told is not None
            assert told.startswith(
                "whether it was unused for 24 h 00 min is not known: this server is the primary for "
            )
            assert "unknown" not in told
            time.sleep(0.05)
            assert guard.Guard(conn, inspect(conn)).objection(index, [], 0.001) is None
        with here.connect(autocommit=True, user="visitor") as conn:  # who may not look into the folder of the WAL
            told = guard.Guard(conn, inspect(conn)).objection(index, [], 0.001)
            assert (told or "").endswith("this server is the primary for an unknown time")


def test_the_age_of_an_index_is_known_where_commits_are_dated(server_binaries: Binaries) -> None:
    with embedded.start(binaries=server_binaries, settings={"track_commit_timestamp": "on"}) as running:
        database = Database(running.conninfo, "postgres")
        database.sql("CREATE TABLE t (b int)")
        with database.connect(autocommit=True) as conn:
            server = inspect(conn)
            seconds = guard.window(conn, server).seconds
            assert seconds is not None
            conn.execute("CREATE INDEX t_b ON t (b)")
            index = proof.find_index(conn, server, "public", "t", "t_b")
            assert index is not None
            watch = guard.Guard(conn, server)
            assert (watch.objection(index, [], seconds) or "").startswith("it was made or changed ")
            time.sleep(0.02)
            assert watch.objection(index, [], 0.01) is None
            assert watch.remarks() == ()
