"""What pg_stat_activity shows at work, looked at again and again: what there is where pg_stat_statements is not.

A statement that is seen at work in a tenth of all looks has had a session at work for a tenth of the time. What runs
for less than the time between two looks is seen by chance, and often enough if it runs often. How often a statement was
called cannot be seen, only in how many calls it was met.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import psycopg

from dbopt.postgres.running import DATABASE_NAMES, HERE, look
from dbopt.postgres.statement_counters import ROLE_NAMES
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass
from dbopt.workload.model import Counters, Kind, Source, Span, Statement, Unplanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.running import Here, Running
    from dbopt.postgres.server import Server
    from dbopt.workload.model import Traits

_Item = TypeVar("_Item", int, str)

# A look costs the server 0.3 to 0.7 ms with 2 sessions at work and 0.7 to 1.2 ms with 60, PostgreSQL 13 and 18 alike,
# measured on a machine with other work.
EVERY_SECONDS = 0.1
_COST_SHARE = 0.01  # of one core of the server's: it is looked at less often where a look costs more than that
_UNTOLD = 1.5  # what a look costs in all, by what it tells of itself: sending the answer comes after that
_MUCH_LESS_OFTEN = 1.5  # than was asked for: worth a word
_ENOUGH_BYTES = 16 * 1024  # of a text, for nearly every statement; each session takes so much shared memory
_MOST_BYTES = 1024 * 1024  # that the server allows
_CACHED = 2000  # texts without an id, so that what comes again and again is taken apart once


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """`statements`: the one that most time was seen of first. Of their counters, `calls` are those that were met, at
    least; `total_exec_time_ms` is estimated, of all sessions together. `hidden`: the most sessions at once that this
    role may not see, at work or not. `lacks`: reason, what to type.
    """

    span: Span
    statements: tuple[Statement, ...]
    totals: Counters
    hidden: int
    is_interrupted: bool
    notes: tuple[str, ...]
    lacks: tuple[tuple[str, str | None], ...]


def sample(
    conn: Connection,
    server: Server,
    *,
    seconds: float,
    every_seconds: float = EVERY_SECONDS,
    all_databases: bool = False,
    show_literals: bool = False,
    on_look: Callable[[int, float], None] | None = None,
) -> Sampled:
    """Look for so long, this session excepted; Ctrl-C ends it early, with what was seen. `on_look` hears how many looks
    there were, and in how many seconds. `conn`: a read-only session in autocommit.
    """
    [here] = HERE.rows(conn, server.version)
    tally = Tally(here)
    began = now = time.monotonic()
    try:
        while now < began + seconds:
            try:
                tally.add(look(conn, server, all_databases=all_databases))
                if on_look is not None:
                    on_look(tally.looks, now - began)
                until = min(now + max(every_seconds, tally.pause_seconds), began + seconds)
                time.sleep(max(0.0, until - time.monotonic()))
            finally:
                now, before = time.monotonic(), now
                tally.lasted(now - before)
    except KeyboardInterrupt:
        tally.is_interrupted = True
    users: dict[int, str] = {}
    databases: dict[int, str] = {}
    with contextlib.suppress(psycopg.Error):  # the interrupt may have cost the session
        users = {r.oid: r.rolname for r in ROLE_NAMES.rows(conn, server.version, {"oids": tally.userids})}
        databases = {r.oid: r.datname for r in DATABASE_NAMES.rows(conn, server.version, {"oids": tally.datids})}
    return tally.sampled(server, seconds, every_seconds, users, databases, show_literals=show_literals)


@dataclass(frozen=True, slots=True)
class _Text:
    sent: str
    query: str  # the same, normalized
    traits: Traits
    is_cut: bool


class _Seen:
    """One statement of one database, as far as it was seen."""

    def __init__(self, text: _Text) -> None:
        self.text = text
        self.is_own = True  # until somebody else is seen to run it
        self.samples = 0
        self.calls = 0
        self.seconds = 0.0
        self.longest_seconds = 0.0
        self.sessions = 0
        self.waits: Counter[str] = Counter()
        self.users: Counter[int] = Counter()
        self.queryids: Counter[int] = Counter()


class Tally:
    """Looks, added up. After each, `lasted` says how long it stands for."""

    def __init__(self, here: Here) -> None:
        self.is_interrupted = False
        self.looks = 0
        self.hidden = 0
        self.pause_seconds = 0.0  # the least from this look to the next, so as not to be a burden
        self._here = here
        self._seen: dict[tuple[int, str, bool], _Seen] = {}
        self._known: dict[tuple[int, int], _Text] = {}  # by database and id
        self._apart = functools.lru_cache(maxsize=_CACHED)(_apart)
        self._at_work: list[_Seen] = []  # in the last look, each as often as it was
        self._running: dict[int, tuple[datetime | None, _Seen]] = {}  # by pid, what it was last seen to run, and since
        self._untracked: set[int] = set()
        self._seconds = 0.0
        self._cost_seconds = 0.0

    def add(self, rows: Sequence[Running]) -> None:
        self.looks += 1
        cost = max((row.look_seconds for row in rows), default=0.0) * _UNTOLD
        self._cost_seconds += cost
        self.pause_seconds = cost / _COST_SHARE
        self.hidden = max(self.hidden, sum(row.pid is not None and row.state is None for row in rows))
        self._untracked |= {row.pid for row in rows if row.pid is not None and row.state == "disabled"}
        workers: dict[int, list[Running]] = {}
        for row in rows:
            if row.leader_pid is not None:
                workers.setdefault(row.leader_pid, []).append(row)
        at_work = (row for row in rows if row.state == "active" and row.leader_pid is None)
        self._at_work = [self._met(row, workers.get(row.pid or 0, ())) for row in at_work]
        for seen, sessions in Counter(self._at_work).items():
            seen.sessions = max(seen.sessions, sessions)

    def lasted(self, seconds: float) -> None:
        """For so long the last look stands."""
        self._seconds += seconds
        for seen in self._at_work:
            seen.seconds += seconds
        self._at_work = []

    def _met(self, row: Running, workers: Sequence[Running]) -> _Seen:
        """A session at work. Its parallel workers are not at work a second time; what they wait for is what it does."""
        assert row.datid is not None  # who is at work has both
        assert row.pid is not None
        text = self._text(row, row.datid)
        key = (row.datid, text.traits.fingerprint, text.is_cut)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(text)
        execution = (row.query_start, seen)
        if self._running.get(row.pid) != execution:
            self._running[row.pid] = execution
            seen.calls += 1
        seen.is_own = seen.is_own and (row.application_name or "").startswith("dbopt ")
        seen.samples += 1
        seen.longest_seconds = max(seen.longest_seconds, row.run_seconds or 0.0)
        if row.usesysid is not None:
            seen.users[row.usesysid] += 1
        if row.query_id:
            seen.queryids[row.query_id] += 1
        wait = _wait(row, workers)
        if wait is not None:
            seen.waits[wait] += 1
        return seen

    def _text(self, row: Running, datid: int) -> _Text:
        """Of those with one id, the first that is whole speaks for all."""
        known = self._known.get((datid, row.query_id)) if row.query_id else None
        if known is not None:
            return known
        text = self._apart(row.query or "", self._is_cut(row))
        if row.query_id and not text.is_cut:
            self._known[datid, row.query_id] = text
        return text

    def _is_cut(self, row: Running) -> bool:
        """The server cuts before a character, never in it: of up to 4 bytes."""
        room = self._here.query_bytes_max - 1 - (row.query_bytes or 0)
        return room <= 0 or (room < 4 and not (row.query or "").isascii())

    @property
    def userids(self) -> list[int]:
        return sorted({oid for seen in self._seen.values() for oid in seen.users})

    @property
    def datids(self) -> list[int]:
        return sorted({datid for datid, _, _ in self._seen})

    def sampled(
        self,
        server: Server,
        asked_seconds: float,
        every_seconds: float,
        users: Mapping[int, str],
        databases: Mapping[int, str],
        *,
        show_literals: bool = False,
    ) -> Sampled:
        whole = sum(seen.seconds for seen in self._seen.values())
        statements = []
        for (datid, _, _), seen in self._seen.items():
            dbname = None if datid == self._here.datid else databases.get(datid, f"database {datid}")
            statements.append(self._statement(seen, whole, users, dbname, show_literals=show_literals))
        statements.sort(key=lambda item: (-item.counters.total_exec_time_ms, -item.counters.calls, item.query or ""))
        return Sampled(
            span=Span(
                source=Source.SAMPLE,
                from_at=self._here.now,
                to_at=self._here.now + timedelta(seconds=self._seconds),
                seconds=self._seconds,
                looks=self.looks,
            ),
            statements=tuple(statements),
            totals=sum((item.counters for item in statements), Counters()),
            hidden=self.hidden,
            is_interrupted=self.is_interrupted,
            notes=tuple(self._notes(asked_seconds, every_seconds)),
            lacks=self._lacks(server),
        )

    def _statement(
        self, seen: _Seen, whole_seconds: float, users: Mapping[int, str], dbname: str | None, *, show_literals: bool
    ) -> Statement:
        traits, ranked = seen.text.traits, [oid for oid, _ in _most(seen.users)]
        return Statement(
            fingerprint=traits.fingerprint,
            queryids=tuple(queryid for queryid, _ in _most(seen.queryids)),
            query=seen.text.sent if show_literals else seen.text.query,
            kind=Kind.OWN if seen.is_own else traits.kind,
            relations=traits.relations,
            users=tuple(users.get(oid, f"role {oid}") for oid in ranked),
            userids=tuple(ranked),
            dbname=dbname,
            counters=Counters(calls=float(seen.calls), total_exec_time_ms=1000 * seen.seconds),
            share=seen.seconds / whole_seconds if whole_seconds > 0 else None,
            seconds=self._seconds or None,
            max_exec_time_ms=1000 * seen.longest_seconds,
            samples=seen.samples,
            sessions=seen.sessions,
            waits=_most(seen.waits),
            planned=self._unplanned() if seen.text.is_cut else None,
        )

    def _unplanned(self) -> Unplanned:
        room = self._here.query_bytes_max
        more = format_bytes(min(_MOST_BYTES, max(_ENOUGH_BYTES, 4 * room)))
        step = f"ALTER SYSTEM SET track_activity_query_size = '{more}'; -- then restart PostgreSQL"
        return Unplanned(
            reason=f"its text is cut off after {room - 1:,} bytes (track_activity_query_size)",
            hint=step if room < _MOST_BYTES else None,
            is_lasting=True,
        )

    def _notes(self, asked_seconds: float, every_seconds: float) -> Iterable[str]:
        if self.is_interrupted:
            yield f"interrupted after {format_duration(self._seconds)} of {format_duration(asked_seconds)}"
        if self.looks > 1 and self._seconds / self.looks > _MUCH_LESS_OFTEN * every_seconds:
            cost, often = self._cost_seconds / self.looks, format_duration(self._seconds / self.looks)
            is_dear = cost / _COST_SHARE > every_seconds
            why = f"a look costs the server {1000 * cost:.1f} ms" if is_dear else "answers and their texts take so long"
            yield f"the server was looked at every {often}, not every {format_duration(every_seconds)}: {why}"
        if self._untracked:
            sessions = "1 session has" if len(self._untracked) == 1 else f"{len(self._untracked):,} sessions have"
            yield f"{sessions} track_activities off: what runs there cannot be seen"

    def _lacks(self, server: Server) -> tuple[tuple[str, str | None], ...]:
        found: list[tuple[str, str | None]] = []
        if self.hidden:
            sessions = "1 session of others is" if self.hidden == 1 else f"{self.hidden:,} sessions of others are"
            found.append((f"{sessions} hidden from {server.usename}", server.grant("pg_read_all_stats")))
        if not self._here.tracks_activities:
            step = "ALTER SYSTEM SET track_activities = 'on'; SELECT pg_catalog.pg_reload_conf();"
            found.append(("track_activities is off: the server does not tell what its sessions run", step))
        return tuple(found)


def _apart(query: str, is_cut: bool) -> _Text:
    from dbopt.postgres.normalized import normalized
    from dbopt.workload.fingerprint import traits

    text = normalized(query)
    return _Text(query, text, traits(text), is_cut)


def _wait(row: Running, workers: Sequence[Running]) -> str | None:
    """Of a session that waits for its parallel workers, what most of these wait for. None: it runs."""
    if row.wait_event is None or not row.wait_event.startswith("IPC: ") or not workers:
        return row.wait_event
    return Counter(worker.wait_event for worker in workers).most_common(1)[0][0]


def _most(counter: Counter[_Item]) -> tuple[tuple[_Item, int], ...]:
    """The most frequent first."""
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
