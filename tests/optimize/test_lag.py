"""Standbys that are behind, on a real pair of servers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import wait_until

from dbopt.errors import NotPermitted
from dbopt.optimize.lag import LAG, UNKNOWN_BYTES, Lag, Standby, standbys
from dbopt.postgres.server import inspect
from tests.health.standby import SLOT, caught_up, pair
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbopt.embedded import Binaries
    from dbopt.optimize.steps import Blocker
    from tests.health.standby import Node

SOON = 0.3  # seconds of lag
NEVER = 3600.0


@pytest.fixture(scope="module")
def servers(server_binaries: Binaries) -> Iterator[tuple[Node, Node]]:
    with pair(server_binaries, {"autovacuum": "off"}, {"wal_receiver_status_interval": "1h"}) as nodes:
        nodes[0].database.sql("CREATE TABLE written (number int); CREATE ROLE bare LOGIN")
        nodes[0].database.sql("CREATE INDEX by_number ON written (number)")
        yield nodes


@pytest.fixture
def paused(servers: tuple[Node, Node]) -> Iterator[tuple[Node, Node]]:
    """The standby has all there is, and replays nothing from here on."""
    caught_up(*servers)
    servers[1].database.sql("SELECT pg_wal_replay_pause()")
    yield servers
    servers[1].database.sql("SELECT pg_wal_replay_resume()")
    caught_up(*servers)


def write(primary: Node, rows: int = 1000) -> None:
    primary.database.sql("INSERT INTO written SELECT generate_series(1, %s)", [rows])


def look(lag: Lag, primary: Node, user: str = "postgres") -> tuple[Blocker, ...]:
    with psycopg.connect(primary.database.conninfo, user=user, autocommit=True) as conn:
        return lag.look(conn, inspect(conn))


def test_a_standby_that_has_replayed_all_never_lags(servers: tuple[Node, Node]) -> None:
    primary, standby = servers
    lag = Lag(0.0)
    write(primary)
    caught_up(primary, standby)
    assert look(lag, primary) == ()
    primary.database.sql(f"SELECT pg_sleep({SOON})")
    assert look(lag, primary) == ()


def test_a_paused_standby_lags_as_soon_as_there_is_something_to_replay(paused: tuple[Node, Node]) -> None:
    """It reports once an hour: what the view shows stands still."""
    primary, standby = paused
    lag, patient = Lag(SOON), Lag(NEVER)
    assert look(lag, primary) == look(patient, primary) == ()
    write(primary)
    wait_until(lambda: look(lag, primary), "the lag")
    [who] = look(lag, primary)
    assert (who.phase, who.application_name, who.state, who.slot) == (LAG, SLOT, "streaming", SLOT)
    assert who.xact_age_seconds is not None
    assert who.xact_age_seconds > SOON
    assert look(patient, primary) == ()
    standby.database.sql("SELECT pg_wal_replay_resume()")
    caught_up(primary, standby)
    assert look(lag, primary) == ()


def test_what_a_standby_lacks_at_the_first_look_is_of_unknown_age(paused: tuple[Node, Node]) -> None:
    primary, standby = paused
    write(primary)
    # What was committed is written a moment later, durability being off.
    wait_until(lambda: look(Lag(NEVER), primary), "something to replay")
    lag = Lag(NEVER)
    assert [who.application_name for who in look(lag, primary)] == [SLOT]
    standby.database.sql("SELECT pg_wal_replay_resume()")
    caught_up(primary, standby)
    assert look(lag, primary) == ()


def test_who_catches_up_lags_until_it_is_close() -> None:
    """What the view shows then counts from when WAL was sent."""
    lag = Lag(NEVER)
    assert lag.judge([standby_at(100, written=100)], now=0.0) == ()
    far = standby_at(100, written=2 * UNKNOWN_BYTES, state="catchup", replay_lag_seconds=0.01)
    assert [who.state for who in lag.judge([far], now=1.0)] == ["catchup"]
    assert lag.judge([replace(far, replayed=UNKNOWN_BYTES + 1)], now=2.0) == ()


def test_the_clock_here_counts_where_the_view_stands_still() -> None:
    lag = Lag(10.0)
    row = standby_at(100, written=100)
    assert lag.judge([row], now=0.0) == ()
    row = replace(row, written=200, replay_lag_seconds=0.0)
    assert lag.judge([row], now=5.0) == ()
    assert lag.judge([replace(row, written=300)], now=15.0) == ()
    [who] = lag.judge([replace(row, written=400)], now=15.5)
    assert who.xact_age_seconds == 10.5
    assert lag.judge([replace(row, written=400, replayed=250)], now=15.6) == ()  # what it lacks is 0.6 s old
    assert lag.judge([replace(row, written=400, replayed=400)], now=99.0) == ()
    assert lag.judge([], now=100.0) == ()


def standby_at(replayed: int, *, written: int = UNKNOWN_BYTES, **more: Any) -> Standby:
    known = {"state": "streaming", "replay_lag_seconds": None, **more}
    return Standby(
        pid=1, usename=None, application_name="a", client=None, slot=None, replayed=replayed, written=written, **known
    )


def test_who_may_not_see_it_is_told_so(servers: tuple[Node, Node]) -> None:
    with pytest.raises(NotPermitted) as caught:
        look(Lag(NEVER), servers[0], user="bare")
    assert caught.value.hint == 'GRANT pg_monitor TO "bare";'


def test_others_that_read_wal_are_no_standbys(servers: tuple[Node, Node]) -> None:
    """A subscription, say, which an index does not concern."""
    primary, standby = servers
    database = primary.database
    database.sql("SELECT pg_create_logical_replication_slot('logical', 'test_decoding')")
    with (
        # It copies for ever: there is nothing to be committed at the end.
        closing(psycopg.connect(f"{database.conninfo} replication=database", autocommit=True)) as reader,
        psycopg.connect(database.conninfo, autocommit=True) as conn,
    ):
        reader.pgconn.exec_(b"START_REPLICATION SLOT logical LOGICAL 0/0")
        both = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' OFFSET 1"
        wait_until(lambda: conn.execute(both).fetchall(), "the reader")
        assert standbys(conn, inspect(conn)) == (SLOT,)
        write(primary)
        caught_up(primary, standby)
        assert look(Lag(0.0), primary) == ()
    free = (
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE plugin IS NOT NULL AND NOT active"
    )
    wait_until(lambda: database.sql(free), "the end of the reader")


def test_a_drop_tells_which_standbys_feel_it(servers: tuple[Node, Node], tmp_path: Path) -> None:
    with Project(servers[0].database, tmp_path / "specs") as project:
        project.wants(
            "name: by_number, table: written, keys: [number], state: absent",
            "name: another, table: written, keys: [number], unique: false",
        )
        steps = {step.index: step for step in project.plan(prune_foreign=True).steps}
    [told] = [hazard for hazard in steps["by_number"].hazards if "standbys" in hazard]
    assert told.endswith(f"(SQLSTATE 40001): {SLOT}")
    assert not any("standbys" in hazard for hazard in steps["another"].hazards)
