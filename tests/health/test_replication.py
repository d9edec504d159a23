"""Replication that is behind, stopped or forgotten, on a real pair of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from dbopt.health.check import Status, above
from tests.health.looks import look_at, only, run_check, subjects
from tests.health.standby import SLOT, caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import Binaries
    from dbopt.health.check import Result
    from tests.health.standby import Node

SOON = above(warning=0.2, critical=300, source="a test")
CHECKS = (
    "replication-lag",
    "replication-slot",
    "wal-receiver-stopped",
    "replay-paused",
    "synchronous-standby-missing",
    "archiving-failed",
    "subscription-stopped",
)


@pytest.fixture(scope="module")
def servers(server_binaries: Binaries) -> Iterator[tuple[Node, Node]]:
    with pair(server_binaries) as nodes:
        nodes[0].database.sql("CREATE TABLE written (number int); CREATE ROLE bare LOGIN; CREATE ROLE eye LOGIN")
        nodes[0].database.sql("GRANT pg_monitor TO eye")
        yield nodes


@pytest.fixture
def primary(servers: tuple[Node, Node]) -> Node:
    caught_up(*servers)
    return servers[0]


@pytest.fixture
def standby(servers: tuple[Node, Node]) -> Node:
    caught_up(*servers)
    return servers[1]


def write(node: Node, rows: int = 1000) -> None:
    node.database.sql("INSERT INTO written SELECT generate_series(1, %s)", [rows])


def look(node: Node, check: str, **options: Any) -> Result:
    return run_check(node.database, check, **options)


def test_nothing_to_report_of_a_pair_at_rest(primary: Node, standby: Node) -> None:
    for node in (primary, standby):
        verdict, _ = look_at(node.database, checks=CHECKS)
        assert {result.status for result in verdict.results} <= {Status.OK, Status.SKIPPED}, verdict
        (lag,) = (result for result in verdict.results if result.id == "replication-lag")
        assert [finding.subject for finding in lag.measured] == [SLOT if node is primary else "this standby"]


def test_who_may_see_less_reads_unknown_or_the_same(primary: Node, standby: Node) -> None:
    for node in (primary, standby):
        full, eye, bare = (
            look_at(node.database, checks=CHECKS, user=user)[0].results for user in (None, "eye", "bare")
        )
        assert [result.status for result in eye] == [result.status for result in full]
        for result, as_superuser in zip(bare, full, strict=True):
            if result.status is not as_superuser.status:
                assert (result.status, result.blind) == (Status.UNKNOWN, True), result.id
                assert result.hint == 'GRANT pg_monitor TO "bare";'


def test_paused_replay_and_its_lag_on_both_sides(primary: Node, standby: Node) -> None:
    write(primary)
    caught_up(primary, standby)
    standby.database.sql("SELECT pg_wal_replay_pause()")
    try:
        assert only(look(standby, "replay-paused")).measure == 0  # nothing waits yet
        write(primary)
        wait_until(lambda: look(primary, "replication-lag", thresholds=SOON).findings, "lag on the primary")
        wait_until(lambda: look(standby, "replication-lag", thresholds=SOON).findings, "lag on the standby")
        behind = only(look(primary, "replication-lag", thresholds=SOON))
        assert (behind.subject, behind.status) == (SLOT, Status.WARNING)
        assert "streaming, async" in behind.detail
        here = only(look(standby, "replication-lag", thresholds=SOON))
        assert "replay is paused" in here.detail
        assert here.remedy == "SELECT pg_catalog.pg_wal_replay_resume();"
        paused = only(look(standby, "replay-paused"))
        assert (paused.subject, paused.status) == ("this standby", Status.WARNING)
        assert "of WAL waits" in paused.detail
        for node, user in ((standby, "bare"), (standby, "eye"), (primary, "eye")):
            assert look(node, "replication-lag", thresholds=SOON, user=user).findings, (node.home.name, user)
        hidden = look(primary, "replication-lag", thresholds=SOON, user="bare")
        assert (hidden.status, hidden.blind) == (Status.UNKNOWN, True)
        assert subjects(look(standby, "replay-paused", user="bare")) == ["this standby"]
        assert not look(standby, "wal-receiver-stopped").findings
    finally:
        standby.database.sql("SELECT pg_wal_replay_resume()")
    caught_up(primary, standby)
    assert not look(primary, "replication-lag", thresholds=SOON).findings
    assert not look(standby, "replay-paused").findings


def test_a_query_on_the_standby_that_holds_replay_up(primary: Node, standby: Node) -> None:
    write(primary)
    caught_up(primary, standby)
    reader = standby.database.connect()
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM written")
    primary.database.sql("DELETE FROM written")
    primary.database.sql("VACUUM written")
    try:
        wait_until(lambda: look(standby, "replication-lag", thresholds=SOON).findings, "the conflict")
        finding = only(look(standby, "replication-lag", thresholds=SOON))
        assert "waits for" in finding.detail
        assert "pg_cancel_backend" in str(finding.remedy)
        assert look(standby, "replication-lag", thresholds=SOON, user="bare").status is Status.UNKNOWN
    finally:
        reader.close()


def test_a_standby_without_its_primary(servers: tuple[Node, Node], standby: Node) -> None:
    primary, _ = servers
    primary.stop()
    wait_until(lambda: standby.database.sql("SELECT 1 FROM pg_stat_wal_receiver") == [], "the receiver's end")
    try:
        eager = {"grace": 0.0}
        stopped = only(look(standby, "wal-receiver-stopped", limits=eager))
        assert stopped.status is Status.WARNING
        assert stopped.detail.startswith("no WAL receiver runs")
        assert look(standby, "wal-receiver-stopped", limits={"grace": 3600}).status is Status.UNKNOWN
        assert subjects(look(standby, "wal-receiver-stopped", limits=eager, user="bare")) == ["this standby"]
        lag = look(standby, "replication-lag")
        assert (lag.status, lag.blind, lag.findings) == (Status.UNKNOWN, False, ())
    finally:
        primary.start()
    wait_until(lambda: not look(standby, "wal-receiver-stopped").findings, "streaming again")


def test_commits_that_wait_for_a_missing_standby(primary: Node) -> None:
    check = "synchronous-standby-missing"
    assert look(primary, check).status is Status.OK
    primary.reload(synchronous_standby_names=SLOT, synchronous_commit="on")
    try:
        wait_until(lambda: look(primary, check).status is Status.OK, "the synchronous standby")
        assert look(primary, check, user="bare").status is Status.UNKNOWN
        primary.reload(synchronous_standby_names="ANY 2 (standby, elsewhere)")
        missing = only(look(primary, check))
        assert (missing.status, missing.measure) == (Status.CRITICAL, 1)
        assert missing.detail == "1 of 2 synchronous standbys; the setting is 'ANY 2 (standby, elsewhere)'"
        assert look(primary, check, user="bare").status is Status.CRITICAL  # one walsender is not two
        primary.reload(synchronous_commit="local")
        assert look(primary, check).status is Status.OK
    finally:
        primary.reload(synchronous_standby_names="", synchronous_commit="off")


def test_forgotten_slots_and_new_ones(primary: Node) -> None:
    primary.database.sql("SELECT pg_create_physical_replication_slot('unreserved')")
    primary.database.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    primary.database.sql("SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')")
    try:
        fresh = look(primary, "replication-slot")
        assert fresh.status is Status.OK
        assert sorted(finding.subject for finding in fresh.measured) == ["decoded", "forgotten", SLOT, "unreserved"]
        write(primary, 500_000)
        found = look(primary, "replication-slot")
        assert subjects(found) == ["forgotten", "decoded"] or subjects(found) == ["decoded", "forgotten"]
        assert {finding.status for finding in found.findings} == {Status.WARNING}
        decoded = found.findings[subjects(found).index("decoded")]
        assert "logical (test_decoding, database postgres), inactive" in decoded.detail
        assert "without limit" in decoded.detail
        assert "SELECT pg_catalog.pg_drop_replication_slot('decoded');" in str(decoded.remedy)
        assert subjects(look(primary, "replication-slot", user="bare")) == subjects(found)
    finally:
        for name in ("unreserved", "forgotten", "decoded"):
            primary.database.sql("SELECT pg_drop_replication_slot(%s)", [name])


def test_a_slot_that_has_lost_its_wal(primary: Node) -> None:
    primary.reload(max_slot_wal_keep_size="1MB")
    primary.database.sql("SELECT pg_create_physical_replication_slot('late', true)")
    try:
        for _ in range(4):  # each fills a segment
            write(primary, 1000)
            primary.database.sql("SELECT pg_switch_wal()")
        (at_risk,) = (found for found in look(primary, "replication-slot").findings if found.subject == "late")
        assert at_risk.status is Status.WARNING
        assert "WAL unreserved" in at_risk.detail
        primary.database.sql("CHECKPOINT")
        lost = look(primary, "replication-slot").findings[0]
        assert (lost.subject, lost.status) == ("late", Status.CRITICAL)
        assert "WAL lost" in lost.detail
    finally:
        primary.reload(max_slot_wal_keep_size="-1")
        primary.database.sql("SELECT pg_drop_replication_slot('late')")


def test_subscriptions_without_worker(primary: Node) -> None:
    db = primary.database
    db.sql(
        "CREATE SUBSCRIPTION \"Odd one\" CONNECTION 'host=/nowhere' PUBLICATION p"
        " WITH (connect = false, slot_name = 'theirs')"
    )
    try:
        disabled = only(look(primary, "subscription-stopped"))
        assert (disabled.subject, disabled.status) == ("Odd one", Status.WARNING)
        assert 'ALTER SUBSCRIPTION "Odd one" ENABLE;' in str(disabled.remedy)
        db.sql('ALTER SUBSCRIPTION "Odd one" ENABLE')
        eager = {"grace": 0.0}
        wait_until(lambda: look(primary, "subscription-stopped", limits=eager).status is Status.CRITICAL, "no worker")
        for user in ("bare", "eye"):
            wait_until(
                lambda user=user: subjects(look(primary, "subscription-stopped", limits=eager, user=user)),
                f"no worker for {user}",
            )
    finally:
        db.sql('ALTER SUBSCRIPTION "Odd one" DISABLE')
        db.sql('ALTER SUBSCRIPTION "Odd one" SET (slot_name = NONE)')
        db.sql('DROP SUBSCRIPTION "Odd one"')


def test_archiving_that_fails(servers: tuple[Node, Node]) -> None:
    primary, standby = servers
    assert look(primary, "archiving-failed").status is Status.SKIPPED
    primary.reload(archive_mode="on", archive_command="true")  # the first holds from the next start on
    pending = look(primary, "settings-pending-restart")
    assert subjects(pending) == ["archive_mode"]
    primary.stop()
    primary.start()
    caught_up(primary, standby)
    write(primary)
    primary.database.sql("SELECT pg_switch_wal()")
    wait_until(lambda: look(primary, "archiving-failed").status is Status.OK, "archiving")
    primary.reload(archive_command="false")
    write(primary)
    primary.database.sql("SELECT pg_switch_wal()")
    wait_until(lambda: look(primary, "archiving-failed").findings, "the failure")
    failed = only(look(primary, "archiving-failed", user="bare"))
    assert (failed.subject, failed.status) == ("archiver", Status.WARNING)
    assert "the last file was archived" in failed.detail
    primary.reload(archive_command="true")
    write(primary)
    primary.database.sql(
        "SELECT pg_switch_wal()"
    )  # after three failures the archiver sleeps for a minute, or until this
    wait_until(lambda: look(primary, "archiving-failed").status is Status.OK, "archiving again")
    primary.reload(archive_command="")
    assert "archive_command is empty" in only(look(primary, "archiving-failed")).detail
    assert look(standby, "archiving-failed").status is Status.SKIPPED
