"""What is judged of replication from rows, without a server: at the limits, below them, and where nothing is known."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.health.check import Status
from dbopt.health.checks import load
from dbopt.health.checks.archiving_failed import end_of_segment
from dbopt.health.checks.synchronous_standby_missing import wanted
from dbopt.health.deltas import Sample
from dbopt.health.judge import judge
from dbopt.health.replication import named
from dbopt.postgres.replication import FOLLOWERS, SLOTS, SUBSCRIPTIONS, Follower, Slot, Subscription
from dbopt.postgres.settings import SETTINGS
from dbopt.postgres.wal import WAL_STATE
from tests.health.looks import only
from tests.health.rows import MB, NOW, facts, setting, wal

if TYPE_CHECKING:
    from dbopt.health.scene import Facts


def follower(**changes: Any) -> Follower:
    usual = Follower(7, "standby", "10.0.0.7", "streaming", "async", 0, None)
    return dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OK),
        ({"replay_lag_seconds": 4000.0}, Status.OK),  # left from the last burst: all is replayed
        ({"behind_bytes": 1, "replay_lag_seconds": 29.9}, Status.OK),
        ({"behind_bytes": 1, "replay_lag_seconds": 30.0}, Status.WARNING),
        ({"behind_bytes": 1, "replay_lag_seconds": 300.0}, Status.CRITICAL),
        ({"behind_bytes": 1024 * MB - 1}, Status.OK),
        ({"behind_bytes": 1024 * MB}, Status.WARNING),
        ({"behind_bytes": -5}, Status.OK),
        ({"behind_bytes": None}, Status.OK),  # pg_receivewal
        ({"state": None, "behind_bytes": None}, Status.UNKNOWN),
    ],
)
def test_lag_of_a_follower(changes: dict[str, Any], status: Status) -> None:
    rows = {FOLLOWERS: [follower(**changes)], WAL_STATE: [wal()], SETTINGS: []}
    assert judge(load("replication-lag"), facts(rows)).status is status


@pytest.mark.parametrize(
    ("changes", "rights", "status"),
    [
        ({}, True, Status.OK),
        # Idle for an hour: whatever has just come in is not an hour late.
        ({"received_lsn": 9 * MB, "replayed_age": 3600.0}, True, Status.OK),
        ({"received_lsn": 9 * MB, "replayed_age": 3600.0, "startup_wait": "DataFileRead"}, True, Status.OK),
        ({"received_lsn": 9 * MB, "replayed_age": 3600.0}, False, Status.UNKNOWN),
        ({"received_lsn": 9 * MB, "replayed_age": 3.0}, False, Status.OK),
        ({"received_lsn": 9 * MB, "replayed_age": 3600.0, "startup_wait": "RecoveryWalStream"}, True, Status.OK),
        (
            {"received_lsn": 9 * MB, "replayed_age": 31.0, "startup_wait": "RecoveryConflictSnapshot"},
            True,
            Status.WARNING,
        ),
        ({"received_lsn": 9 * MB, "replayed_age": 3600.0, "replay_paused": True}, False, Status.CRITICAL),
        ({"received_lsn": 90 * MB, "replayed_age": 3600.0}, False, Status.CRITICAL),
        ({"received_lsn": 90 * MB, "replayed_age": 629.0}, True, Status.OK),  # ten minutes late on purpose
        ({"received_lsn": 90 * MB, "replayed_age": -3.0}, True, Status.OK),  # clocks differ
        ({"received_lsn": 90 * MB, "replayed_age": None}, True, Status.CRITICAL),  # nothing since its start
        ({"received_lsn": 1 * MB, "replayed_age": 3600.0}, True, Status.OK),  # further by the archive
        ({"receiver_pid": None}, True, Status.UNKNOWN),
    ],
)
def test_lag_seen_from_the_standby(changes: dict[str, Any], rights: bool, status: Status) -> None:
    state = wal(
        **{"received_lsn": 8 * MB, "replayed_lsn": 8 * MB, "receiver_pid": 7, "replayed_age": 3600.0, **changes}
    )
    delay = setting("recovery_min_apply_delay", "600000" if changes.get("replayed_age") == 629.0 else "0", "ms")
    rows: dict[Any, Any] = {FOLLOWERS: [], WAL_STATE: [state], SETTINGS: [delay]}
    result = judge(load("replication-lag"), facts(rows, in_recovery=True, reads_all_stats=rights))
    assert result.status is status, result


def test_followers_have_names_of_their_own() -> None:
    alike = [
        follower(pid=1, application_name="one"),
        follower(pid=2, application_name="two"),
        follower(pid=3, application_name="two", client="10.0.0.8"),
        follower(pid=4, application_name="three"),
        follower(pid=5, application_name="three"),
        follower(pid=6, application_name=""),
    ]
    names = [name for name, _ in named(alike)]
    assert names == ["one", "two@10.0.0.7", "two@10.0.0.8", "three pid 4", "three pid 5", "walsender"]


def slot(**changes: Any) -> Slot:
    usual = Slot("s", "physical", None, None, False, False, None, "reserved", None, 0, None, None, False)
    return dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OK),
        ({"retained_bytes": None, "wal_status": None}, Status.OK),
        ({"retained_bytes": 16 * MB - 1}, Status.OK),
        ({"retained_bytes": 16 * MB}, Status.WARNING),
        ({"retained_bytes": 16 * MB, "temporary": True, "active": True}, Status.OK),
        ({"retained_bytes": 1, "inactive_seconds": 3600.0}, Status.WARNING),
        ({"retained_bytes": 0, "inactive_seconds": 3600.0}, Status.OK),
        ({"retained_bytes": 500 * MB, "active": True, "wal_status": "extended"}, Status.OK),
        ({"retained_bytes": 10240 * MB, "active": True, "wal_status": "extended"}, Status.WARNING),
        ({"retained_bytes": 51200 * MB, "wal_status": "extended"}, Status.CRITICAL),
        ({"retained_bytes": 5 * MB, "active": True, "wal_status": "unreserved"}, Status.WARNING),
        ({"retained_bytes": None, "wal_status": "lost"}, Status.CRITICAL),
        ({"invalidation_reason": "idle_timeout"}, Status.CRITICAL),
        ({"retained_bytes": 900 * MB, "synced": True}, Status.OK),
    ],
)
def test_slots(changes: dict[str, Any], status: Status) -> None:
    result = judge(load("replication-slot"), facts({SLOTS: [slot(**changes)], SETTINGS: []}))
    assert result.status is status
    if status.is_problem:
        assert "pg_drop_replication_slot('s')" in str(only(result).remedy)


@pytest.mark.parametrize(
    ("names", "number"),
    [
        ("", 0),
        ("  ", 0),
        ("a", 1),
        ("a, b", 1),
        ("*", 1),
        ("2 (a, b)", 2),
        ("FIRST 3 (a,b,c,d)", 3),
        ("any 2(*)", 2),
        ('"FIRST 5 (", b', 1),
        ('"any"', 1),
        ("any", 1),
    ],
)
def test_how_many_standbys_are_wanted(names: str, number: int) -> None:
    assert wanted(names) == number


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("000000010000000000000001", 2 * 16 * MB),
        ("0000000100000002000000FF", 3 * 2**32),
        ("00000002.history", None),
        ("000000010000000000000001.00000028.backup", None),
        (None, None),
    ],
)
def test_where_a_wal_file_ends(name: str | None, end: int | None) -> None:
    assert end_of_segment(name, 16 * MB) == end


def archiving(**changes: Any) -> Facts:
    mode = setting("archive_mode", changes.pop("mode", "on"))
    command = setting("archive_command", changes.pop("command", "cp %p /archive"))
    segment = setting("wal_segment_size", str(16 * MB), "B")
    recovers = changes.pop("in_recovery", False)
    return facts({WAL_STATE: [wal(**changes)], SETTINGS: [mode, command, segment]}, in_recovery=recovers)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"mode": "off", "archiver_failing": True}, Status.SKIPPED),
        ({"in_recovery": True, "archiver_failing": True}, Status.SKIPPED),
        ({"in_recovery": True, "mode": "always", "archiver_failing": True}, Status.CRITICAL),
        ({"archiver_failing": True, "last_archived_age": 3599.0}, Status.WARNING),
        ({"archiver_failing": True, "last_archived_age": 3600.0}, Status.CRITICAL),
        ({"last_archived_age": 90_000.0, "last_failed_age": 90_001.0}, Status.OK),
        ({"archiver_age": 119.0}, Status.UNKNOWN),
        ({"archiver_age": 120.0}, Status.OK),
        ({"command": "", "archiver_age": 5.0}, Status.WARNING),
        ({"last_archived_age": 90.0, "last_archived_wal": f"{1:08X}{0:08X}{1:08X}", "written_lsn": 90 * MB}, Status.OK),
        (
            {"last_archived_age": 90.0, "last_archived_wal": f"{1:08X}{0:08X}{1:08X}", "written_lsn": 1056 * MB},
            Status.WARNING,
        ),
    ],
)
def test_archiving(changes: dict[str, Any], status: Status) -> None:
    result = judge(load("archiving-failed"), archiving(**changes))
    assert (result.status, result.blind) == (status, False)


@pytest.mark.parametrize(
    ("changes", "conninfo", "status", "blind"),
    [
        ({"receiver_pid": 7, "receiver_status": "streaming"}, "host=a", Status.OK, False),
        ({"receiver_pid": 7, "receiver_status": None}, None, Status.UNKNOWN, True),
        ({"receiver_pid": 7, "receiver_status": "waiting"}, "host=a", Status.WARNING, False),
        ({}, "host=a", Status.WARNING, False),
        ({"replayed_age": 300.0}, "host=a", Status.CRITICAL, False),
        ({"replayed_age": 300.0}, "", Status.SKIPPED, False),
        ({}, None, Status.UNKNOWN, True),
        ({"received_lsn": 8 * MB}, None, Status.WARNING, False),
    ],
)
def test_receivers(changes: dict[str, Any], conninfo: str | None, status: Status, blind: bool) -> None:
    settings = [] if conninfo is None else [setting("primary_conninfo", conninfo)]
    rows = {WAL_STATE: [wal(**{"replayed_age": 9.0, **changes})], SETTINGS: settings}
    result = judge(load("wal-receiver-stopped"), facts(rows, in_recovery=True))
    assert (result.status, result.blind) == (status, blind)


def test_a_subscription_whose_errors_grow() -> None:
    check = load("subscription-stopped")
    row = Subscription(
        "s", enabled=True, working=True, slot_name="s", disable_on_error=False, apply_errors=5, sync_errors=0
    )
    now = facts({SUBSCRIPTIONS: [dataclasses.replace(row, apply_errors=9)]})
    assert judge(check, now).status is Status.OK  # not known when
    assert check.counters is not None
    before = Sample(NOW - timedelta(minutes=5), now.server.system_identifier, {check.id: tuple(check.counters([row]))})
    failing = only(judge(check, now, before=before))
    assert (failing.status, failing.measure) == (Status.WARNING, 4)
    assert failing.detail == "4 errors within 5 min 00 s (slot s on the publisher)"
