"""Checkpoints that max_wal_size forces, and those that somebody asked for."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until
from server import Server

from dbopt import embedded
from dbopt.health.check import Status
from dbopt.health.checks import load
from dbopt.health.deltas import Sample
from dbopt.health.judge import judge
from dbopt.postgres.settings import SETTINGS
from dbopt.postgres.wal import WAL_STATE
from tests.health.looks import only, run_check
from tests.health.rows import MB, NOW, facts, setting, wal

if TYPE_CHECKING:
    from dbopt.embedded import Binaries
    from dbopt.health.check import Finding
    from dbopt.health.scene import Facts

CHECK = load("checkpoints-requested")


def test_a_load_that_does_not_fit_into_max_wal_size(server_binaries: Binaries) -> None:
    settings = {"max_wal_size": "32MB", "min_wal_size": "32MB"}
    few = {"min_requested": 3.0}
    with embedded.start(binaries=server_binaries, settings=settings) as running, Server(running).database() as db:
        db.sql("CREATE TABLE loaded AS SELECT 1 AS number")
        assert run_check(db, CHECK.id).status is Status.UNKNOWN
        for _ in range(5):
            db.sql("CHECKPOINT")
        asked = run_check(db, CHECK.id, limits=few)
        assert (asked.status, asked.blind) == (Status.UNKNOWN, False)
        assert "too few or too short a time" in str(asked.reason)

        found: list[Finding] = []

        def load_more() -> bool:
            db.sql("INSERT INTO loaded SELECT generate_series(1, 300000)")
            found.extend(run_check(db, CHECK.id, limits=few).findings)
            return bool(found)

        wait_until(load_more, "a finding")
        assert (found[0].subject, found[0].status) == ("max_wal_size", Status.WARNING)
        assert "max_wal_size is 32MB" in found[0].detail
        assert "ALTER SYSTEM SET max_wal_size = '1GB';" in str(found[0].remedy)


def counted(requested: int, timed: int, wal_mb: float, seconds: float) -> Facts:
    state = wal(
        checkpoints_requested=requested,
        checkpoints_timed=timed,
        wal_bytes=wal_mb * MB,
        checkpoints_since=NOW - timedelta(seconds=seconds),
    )
    return facts(
        {
            WAL_STATE: [state],
            SETTINGS: [setting("max_wal_size", "1024", "MB"), setting("checkpoint_warning", "30", "s")],
        }
    )


@pytest.mark.parametrize(
    ("requested", "timed", "wal_mb", "seconds", "status"),
    [
        (0, 0, 0, 3600, Status.OK),
        (9, 0, 90_000, 3600, Status.OK),  # too few to speak of
        (10, 10, 2560, 3600, Status.WARNING),
        (10, 11, 2560, 3600, Status.OK),
        (10, 0, 2559, 3600, Status.OK),  # not for want of room
        (10, 0, 9000, 3599, Status.UNKNOWN),
        (10, 0, 9000, 300, Status.WARNING),  # one every 30 s
        (10, 0, 9000, 301, Status.UNKNOWN),
        (9, 0, 9000, 100, Status.UNKNOWN),  # a table that is loaded
        (40, 0, 400, 100, Status.UNKNOWN),  # CREATE DATABASE, again and again
        (10, 0, 9000, 90_000, Status.UNKNOWN),  # since long ago: no window
    ],
)
def test_checkpoints(requested: int, timed: int, wal_mb: float, seconds: float, status: Status) -> None:
    result = judge(CHECK, counted(requested, timed, wal_mb, seconds))
    assert (result.status, result.blind) == (status, False)


def test_only_what_happened_since_the_last_run_counts() -> None:
    long_ago = 30 * 86_400
    then, now = counted(900, 100, 9e6, long_ago - 7200), counted(920, 100, 9e6 + 20_000, long_ago)
    state = dataclasses.replace(then.rows[WAL_STATE][0], checkpoints_since=NOW - timedelta(seconds=long_ago))
    assert CHECK.counters is not None
    before = Sample(
        NOW - timedelta(seconds=7200), now.server.system_identifier, {CHECK.id: tuple(CHECK.counters([state]))}
    )
    found = only(judge(CHECK, now, before=before))
    assert found.measure == 1.0
    assert found.detail.startswith("20 of 20 checkpoints were requested within 2 h 00 min, one every 6 min 00 s")


def test_a_standby_makes_none() -> None:
    assert judge(CHECK, facts({}, in_recovery=True)).status is Status.SKIPPED
