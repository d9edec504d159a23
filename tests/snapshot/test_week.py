"""A week on a real server and its standby in some seconds: a workload that knows what it did, and what disturbs those
who count. The clock is moved on between the hours, and what the server says of times with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import wait_until

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import collect
from dbopt.snapshot.continuity import DROPPED, EVICTED, STARTED_ANEW
from dbopt.snapshot.delta import OTHER_MACHINE, total
from dbopt.snapshot.model import Family
from dbopt.store import plain, snapshots, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose
from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbopt.embedded import Binaries
    from dbopt.snapshot.model import Interval, Part
    from tests.health.standby import Node

# In two hours, so for half a day six times that.
TRANSACTIONS, LOOKUPS, SEARCHES = 1000, 20, 2
STORM = 50  # calls: more than the search had since the last reset of statements, fewer than the lookup
PERIOD = timedelta(hours=2)
PERIODS = 6
SECONDS = PERIODS * PERIOD.total_seconds()

TABLE = "CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (0)"
# One transaction each, and a row.
WRITE = f"""
    DO $$ BEGIN FOR i IN 1..{TRANSACTIONS} LOOP
        INSERT INTO items SELECT max(id) + 1 FROM items; COMMIT;
    END LOOP; END $$
"""
LOOKUP = "SELECT id AS lookup FROM items WHERE id = %s"
SEARCH = "SELECT count(*) AS search FROM items WHERE id < %s"
SCANS = TRANSACTIONS + LOOKUPS + SEARCHES  # of the index: max(id) is one, too


@dataclass
class Week:
    """The server that is in charge, and what it was told to do. `did`: since its statistics were started anew."""

    node: Node
    standby: Node
    url: str
    moved: list[tuple[datetime, timedelta]] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    made: list[dict[str, Interval]] = field(default_factory=list)
    queryids: dict[str, str] = field(default_factory=dict)
    whose: Whose | None = None

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.node.database.sql(query)

    # Time.

    def later(self, by: timedelta) -> None:
        """At a moment at which nothing happens. It has passed when this returns."""
        now = datetime.now(UTC)
        self.moved.append((now, by))
        while datetime.now(UTC) <= now:
            time.sleep(0.0001)

    def shown(self, at: datetime | None) -> datetime | None:
        return None if at is None else at + sum((by for when, by in self.moved if at > when), timedelta(0))

    def dated(self, part: Part) -> Part:
        taken_at = self.shown(part.taken_at)
        assert taken_at is not None
        return replace(
            part,
            taken_at=taken_at,
            since=self.shown(part.since),
            remembers=self.shown(part.remembers),
            machine=tuple(map(self.shown, part.machine)),
            subjects={key: replace(subject, since=self.shown(subject.since)) for key, subject in part.subjects.items()},
        )

    # Work.

    def work(self, periods: int) -> None:
        with self.node.database.connect(autocommit=True) as conn:
            conn.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
            for _ in range(periods):
                conn.execute(WRITE)
                with conn.pipeline():
                    for _ in range(LOOKUPS):
                        conn.execute(LOOKUP, [7], prepare=False)
                    for _ in range(SEARCHES):
                        conn.execute(SEARCH, [7], prepare=False)
                self.did["rows"] += TRANSACTIONS
                self.did["scans"] += SCANS
                self.later(PERIOD)
        self.counted()

    def counted(self) -> None:
        """Until the statistics have all of it. In one transaction, for they count those who look as well."""
        counts = (
            "SELECT (SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'items'),"
            " (SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'items_pkey')"
        )
        with self.node.database.connect() as conn:

            def told() -> bool:
                conn.execute("SELECT pg_stat_clear_snapshot()")
                row = conn.execute(counts).fetchone()
                return row == (self.did["rows"], self.did["scans"])

            wait_until(told, f"counting {self.did}")

    def read(self) -> dict[str, Interval]:
        with connect(self.node.database.conninfo, command="snapshot", read_only=True) as conn:
            server = inspect(conn)
            taken = collect(conn, server, SURROUNDINGS.rows(conn, server.version)[0])
            self.whose = Whose.of_server(server, "main")
        assert taken.snapshot.missing.keys() <= {Family.IO}
        parts = [self.dated(part) for part in taken.snapshot.parts.values()]
        with plain.transaction(locate(self.url), reading=False, wait_seconds=1) as session:
            made = snapshots.keep(session, self.whose, "main", parts)
            assert snapshots.keep(session, self.whose, "main", parts) == {}  # another process, the same moment
        if made:
            self.made.append(made)
        return made

    def half_a_day(self, event: Callable[[], object] = lambda: None) -> dict[str, Interval]:
        """With an event in the middle."""
        self.work(PERIODS // 2)
        event()
        self.work(PERIODS // 2)
        return self.read()

    # Figures.

    def key(self, interval: Interval, name: str) -> str:
        """Of a subject by its name, of a statement by a word in it."""
        if interval.family == Family.STATEMENTS:
            for text, queryid in self.sql("SELECT query, queryid::text FROM pg_stat_statements"):
                for word in ("lookup", "search"):
                    if f" AS {word} FROM items" in text:
                        self.queryids[word] = queryid
            name = self.queryids[name]
        [key] = [change.key for change in interval.changes.values() if change.name == name and any(change.counts)]
        return key


def check(interval: Interval, key: str, name: str, periods: float, each: float, watched: float) -> None:
    """So many periods' work was counted, and in `watched` seconds, None of them where it is not told in which."""
    assert interval.count(key, name) == pytest.approx(periods * each, rel=0.01)
    assert interval.seconds_of(key) == pytest.approx(watched, rel=0.01, abs=10)
    expected = pytest.approx(each / PERIOD.total_seconds(), rel=0.01) if watched else None
    assert interval.rate(key, name) == expected


@pytest.fixture(scope="module")
def week(server_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    settings = {"pg_stat_statements.max": "100", "autovacuum": "off", "track_io_timing": "off"}
    with pair(server_binaries, settings) as (primary, standby):
        for statement in ("CREATE EXTENSION pg_stat_statements", *TABLE.split(";"), "VACUUM ANALYZE"):
            primary.database.sql(statement)
        folder: Path = tmp_path_factory.mktemp("week")
        url = f"sqlite:///{folder}/store.db"
        plain.make_ready(locate(url))
        made = Week(primary, standby, url)
        made.did["rows"] += 1
        made.work(1)
        assert made.read() == {}
        yield made


def is_old(week: Week) -> bool:
    """pg_stat_statements 1.8 does not tell when it was reset."""
    return week.node.database.server_version < (14,)


# The tests are the days of this week, in their order.


def test_a_day_on_which_nothing_happens(week: Week) -> None:
    made = week.half_a_day()
    check(made[Family.SERVER], "database", "xact_commit", PERIODS, TRANSACTIONS, SECONDS)
    check(made[Family.SERVER], "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)
    check(made[Family.RELATIONS], "all", "idx_scan", PERIODS, SCANS, SECONDS)
    tables, indexes, statements = (made[family] for family in (Family.TABLES, Family.INDEXES, Family.STATEMENTS))
    check(tables, week.key(tables, "items"), "n_tup_ins", PERIODS, TRANSACTIONS, SECONDS)
    check(indexes, week.key(indexes, "items_pkey"), "idx_scan", PERIODS, SCANS, SECONDS)
    check(statements, week.key(statements, "lookup"), "calls", PERIODS, LOOKUPS, SECONDS)
    assert [interval.breaks for interval in made.values()] == [()] * len(made)


def check_half(week: Week, made: dict[str, Interval]) -> None:
    """Of all that counts for the database only the second half of the day is known, and that well."""
    half = PERIODS / 2, SECONDS / 2
    server, tables, indexes = (made[family] for family in (Family.SERVER, Family.TABLES, Family.INDEXES))
    for interval, key, name, each in (
        (server, "database", "xact_commit", TRANSACTIONS),
        (server, "database", "tup_inserted", TRANSACTIONS),
        (made[Family.RELATIONS], "all", "idx_scan", SCANS),
        (tables, week.key(tables, "items"), "n_tup_ins", TRANSACTIONS),
        (indexes, week.key(indexes, "items_pkey"), "idx_scan", SCANS),
    ):
        check(interval, key, name, half[0], each, half[1])
        assert interval.breaks == (STARTED_ANEW,)


def test_somebody_resets_the_database(week: Week) -> None:
    def reset() -> None:
        week.sql("SELECT pg_stat_reset()")
        week.did.clear()
        week.counted()

    made = week.half_a_day(reset)
    check_half(week, made)
    statements = made[Family.STATEMENTS]
    check(statements, week.key(statements, "lookup"), "calls", PERIODS, LOOKUPS, SECONDS)


def test_somebody_resets_the_servers_own_counters(week: Week) -> None:
    """Which were to tell of a crash: one that tells nothing of it is no crash."""
    made = week.half_a_day(lambda: week.sql("SELECT pg_stat_reset_shared('bgwriter')"))
    server = made[Family.SERVER]
    check(server, "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)
    assert server.seconds_of("bgwriter") == pytest.approx(SECONDS / 2, rel=0.01)


def test_somebody_resets_the_statements(week: Week) -> None:
    statements = week.half_a_day(lambda: week.sql("SELECT pg_stat_statements_reset()"))[Family.STATEMENTS]
    watched = 0.0 if is_old(week) else SECONDS / 2
    check(statements, week.key(statements, "lookup"), "calls", PERIODS / 2, LOOKUPS, watched)


def test_statements_are_dropped_to_make_room(week: Week) -> None:
    """The one with few calls goes and comes back; of the other not one call is missing."""
    entries = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '% AS search FROM items%'"

    def storm() -> None:
        with week.node.database.connect(autocommit=True) as conn:
            for number in range(1, 400):
                with conn.pipeline():
                    for _ in range(STORM):
                        conn.execute(f"SELECT {', '.join(['1'] * number)}", prepare=False)
                if conn.execute(entries).fetchone() == (0,):
                    # Room for what comes back.
                    conn.execute(
                        "SELECT pg_stat_statements_reset(0, 0, queryid) FROM pg_stat_statements"
                        " WHERE query LIKE 'SELECT $1%'"
                    )
                    return
        pytest.fail("pg_stat_statements drops nothing")

    # Called more often before than after: until 17 an entry tells by nothing but lower counts that it is a new one.
    week.half_a_day()
    statements = week.half_a_day(storm)[Family.STATEMENTS]
    assert EVICTED in statements.breaks
    has_own_since = week.node.database.server_version >= (17,)
    watched = SECONDS / 2 if has_own_since else 0.0
    check(statements, week.key(statements, "search"), "calls", PERIODS / 2, SEARCHES, watched)
    check(statements, week.key(statements, "lookup"), "calls", PERIODS, LOOKUPS, SECONDS)


def test_the_server_is_restarted(week: Week) -> None:
    made = week.half_a_day(lambda: restart(week.node))
    check(made[Family.SERVER], "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)
    tables, statements = made[Family.TABLES], made[Family.STATEMENTS]
    check(tables, week.key(tables, "items"), "n_tup_ins", PERIODS, TRANSACTIONS, SECONDS)
    check(statements, week.key(statements, "lookup"), "calls", PERIODS, LOOKUPS, SECONDS)


def restart(node: Node) -> None:
    pid = int((node.home / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: not (node.home / "data" / "postmaster.pid").exists(), "the end of the server")
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    node.start()


def test_a_process_of_the_server_is_killed(week: Week) -> None:
    """All of them start anew then, and all statistics are gone."""

    def crash() -> None:
        with contextlib.suppress(psycopg.OperationalError), week.node.database.connect(autocommit=True) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            victim.execute("SELECT 1")
        wait_until(lambda: answers(week.node), "the server's recovery")
        week.did.clear()
        week.counted()

    made = week.half_a_day(crash)
    check_half(week, made)
    statements = made[Family.STATEMENTS]
    watched = 0.0 if is_old(week) else SECONDS / 2
    check(statements, week.key(statements, "lookup"), "calls", PERIODS / 2, LOOKUPS, watched)


def answers(node: Node) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        return bool(node.database.sql("SELECT 1"))
    return False


def test_a_table_is_dropped_and_made_anew(week: Week) -> None:
    def anew() -> None:
        for statement in ("DROP TABLE items", *TABLE.split(";")):
            week.sql(statement)
        week.did.clear()
        week.did["rows"] += 1
        week.counted()

    made = week.half_a_day(anew)
    tables = made[Family.TABLES]
    key = week.key(tables, "items")
    assert tables.count(key, "n_tup_ins") == PERIODS / 2 * TRANSACTIONS + 1
    assert tables.seconds_of(key) == tables.seconds  # there was nothing to be counted before
    [old] = [change for change in tables.changes.values() if change.key != key]
    assert (set(old.counts), tables.seconds_of(old.key)) == ({None}, 0.0)
    assert made[Family.RELATIONS].breaks == (DROPPED,)
    check(made[Family.SERVER], "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)


def test_somebody_resets_one_table(week: Week) -> None:
    """Which moves the time of reset of the whole database; and a catalog remembers that it was not reset."""
    week.sql("ANALYZE pg_catalog.pg_am")
    remembered = "SELECT pg_stat_get_last_analyze_time('pg_am'::regclass) IS NOT NULL"
    wait_until(lambda: week.sql(remembered) == [(True,)], "the statistics of pg_am")
    week.half_a_day()

    def reset() -> None:
        week.sql("SELECT pg_stat_reset_single_table_counters('items'::regclass)")
        week.did["rows"] = 0
        week.counted()

    made = week.half_a_day(reset)
    check(made[Family.SERVER], "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)
    tables, indexes = made[Family.TABLES], made[Family.INDEXES]
    check(tables, week.key(tables, "items"), "n_tup_ins", PERIODS / 2, TRANSACTIONS, 0.0)
    check(indexes, week.key(indexes, "items_pkey"), "idx_scan", PERIODS, SCANS, 0.0)


def test_an_index_is_rebuilt(week: Week) -> None:
    oid = "SELECT 'items_pkey'::regclass::oid"
    was = week.sql(oid)
    indexes = week.half_a_day(lambda: week.sql("REINDEX INDEX CONCURRENTLY items_pkey"))[Family.INDEXES]
    assert week.sql(oid) != was
    check(indexes, week.key(indexes, "items_pkey"), "idx_scan", PERIODS, SCANS, SECONDS)


def test_the_standby_takes_over(week: Week) -> None:
    """It has counters of its own. What the old one counted last is lost, and nothing of the new one's stands for it."""
    week.work(PERIODS // 2)
    caught_up(week.node, week.standby)
    was = week.whose
    week.node.stop()
    week.node = week.standby
    week.sql("SELECT pg_promote()")
    wait_until(lambda: week.sql("SELECT pg_is_in_recovery()") == [(False,)], "the promotion")
    week.did.clear()
    week.work(PERIODS // 2)
    made = week.read()
    assert week.whose == was
    assert {(interval.seconds, interval.breaks, len(interval.changes)) for interval in made.values()} == {
        (0.0, (OTHER_MACHINE,), 0)
    }
    made = week.half_a_day()
    check(made[Family.SERVER], "database", "tup_inserted", PERIODS, TRANSACTIONS, SECONDS)
    indexes = made[Family.INDEXES]
    check(indexes, week.key(indexes, "items_pkey"), "idx_scan", PERIODS, SCANS, SECONDS)


def test_the_week_as_a_whole(week: Week) -> None:
    """By now its first days are hours; their sums are what they were."""
    assert week.whose is not None
    with plain.transaction(locate(week.url), reading=True, wait_seconds=1) as session:
        target_id = targets.find(session, week.whose)
        assert target_id is not None
        kept = {family: snapshots.intervals(session, target_id, family) for family in week.made[-1]}
        [(thinned,)] = session.rows("SELECT count(*) FROM intervals WHERE span > 0", {})
    assert thinned > 0
    for family, intervals in kept.items():
        whole, raw = total(intervals), total(made[family] for made in week.made)
        assert whole is not None
        assert raw is not None
        assert (whole.seconds, whole.breaks) == (pytest.approx(raw.seconds), raw.breaks)
        assert whole.changes.keys() == raw.changes.keys()
        for key, change in raw.changes.items():
            assert whole.changes[key].counts == pytest.approx(change.counts)
    server, statements = total(kept[Family.SERVER]), total(kept[Family.STATEMENTS])
    assert server is not None
    assert statements is not None
    a_second = PERIOD.total_seconds()
    assert server.to_at - server.from_at > timedelta(days=6)
    assert server.rate("database", "tup_inserted") == pytest.approx(TRANSACTIONS / a_second, rel=0.01)
    assert server.rate("database", "xact_commit") == pytest.approx(TRANSACTIONS / a_second, rel=0.01)
    if week.node.database.server_version >= (18,):  # before it is another statement once its table was made anew
        lookup = week.key(statements, "lookup")
        assert statements.rate(lookup, "calls") == pytest.approx(LOOKUPS / a_second, rel=0.01)
