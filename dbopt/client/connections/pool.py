"""The pool: SQLAlchemy's, with a line that is fair, idle connections that are closed, and names of those who hold one.

It has as many slots as connections are allowed, most of them empty at first. A slot that is taken and has no connection
opens one; one whose connection was lost goes back empty, and wakes the next who waits. Nothing here waits for the
server while it holds a lock, so asyncio's pool is the same but for the line.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.pool.base import _ConnectionRecord
from sqlalchemy.util.queue import Empty

from dbopt import errors
from dbopt.client.connections import callers
from dbopt.client.connections.holders import Holder, described, shown
from dbopt.client.connections.line import AsyncLine, Line, Shut
from dbopt.client.meter.histogram import Histogram
from dbopt.values import dataclass

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

logger = logging.getLogger("dbopt.client")

# A connection that was in use so lately is not tried before it is lent out again (HikariCP's aliveBypassWindowMs).
PING_AFTER_SECONDS = 0.5


class PoolExhausted(errors.PoolExhausted, exc.TimeoutError):
    """Also what SQLAlchemy's own pool raises, for whoever catches that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """As things stand, and totals since the pool was made. `acquire`: how long it took to get a connection, opening or
    trying it included; `wait_seconds`: waiting for others to give one back, also in vain.
    """

    size: int  # the most connections that it may have
    open: int
    used: int
    waiting: int
    acquires: int
    wait_seconds: float
    timeouts: int
    acquire: Histogram


class _Totals:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acquires = 0
        self.wait_seconds = 0.0
        self.timeouts = 0
        self.acquire = Histogram()


class _Hold:
    """What is known of one who holds a slot."""

    __slots__ = ("caller", "place", "since", "who")

    def __init__(self, who: str, caller: object, place: str | None, since: float) -> None:
        self.who = who
        self.caller = caller
        self.place = place
        self.since = since


class _Slots(QueuePool):
    """`keep`: connections that stay open when idle. `idle_seconds`: 0: all of them. `server`: its name for errors."""

    _queue_class = Line
    _pool: Line

    def __init__(
        self,
        creator: Any,
        pool_size: int = 30,
        timeout: float | None = 30.0,
        keep: int = 5,
        idle_seconds: float = 60.0,
        server: str = "the server",
        **options: Any,
    ) -> None:
        super().__init__(creator, pool_size, 0, timeout, use_lifo=True, **options)  # type: ignore[arg-type]
        self._keep, self._idle_seconds, self._server = keep, idle_seconds, server
        self._totals = _Totals()
        self._is_shut = False
        self._is_disposed = False
        self._fill()
        _pools.add(self)

    def _fill(self) -> None:
        self._held: dict[ConnectionPoolEntry, _Hold] = {}
        # By identity; a slot that is not among them is of the parent process.
        self._slots = {_ConnectionRecord(self, connect=False): None for _ in range(self._pool.maxsize)}
        for slot in self._slots:
            slot.idle_since = time.monotonic()  # type: ignore[attr-defined]
            self._pool.put(slot)

    # What SQLAlchemy's Pool asks of its kinds

    def connect(self) -> PoolProxiedConnection:
        started = time.monotonic()
        connection = super().connect()
        connection.driver_connection.statement = None  # type: ignore[union-attr]  # of who had it before
        with self._totals.lock:
            self._totals.acquires += 1
            self._totals.acquire.add(time.monotonic() - started)
        return connection

    def _do_get(self) -> ConnectionPoolEntry:
        hold = _Hold(*callers.who(), callers.place(), time.monotonic())
        if self._is_shut:
            raise closed()
        slot = self._pool.take() or self._wait(hold)
        self._held[slot] = hold
        if slot.dbapi_connection is not None and hold.since - slot.idle_since < PING_AFTER_SECONDS:  # type: ignore[attr-defined]
            slot.fresh = True  # type: ignore[attr-defined]
        return slot

    def _wait(self, hold: _Hold) -> ConnectionPoolEntry:
        started, is_in_vain = hold.since, False
        try:
            return self._pool.get(timeout=self._timeout or None)
        except Shut:
            raise closed() from None
        except Empty:
            is_in_vain = True
            raise self._exhausted(hold) from None
        finally:
            hold.since = time.monotonic()
            with self._totals.lock:
                self._totals.wait_seconds += hold.since - started
                self._totals.timeouts += is_in_vain

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if record not in self._slots:
            return
        self._held.pop(record, None)
        record.idle_since = time.monotonic()  # type: ignore[attr-defined]
        self._pool.put(record)
        if self._is_disposed:
            self.dispose()

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:  # noqa: ARG002
        try:
            self._dialect.get_driver_connection(connection).quit()
        except Exception:  # as SQLAlchemy does
            logger.warning("a connection to %s could not be closed", self._server, exc_info=True)

    def recreate(self) -> _Slots:
        made = self.__class__(
            self._creator,
            pool_size=self._pool.maxsize,
            timeout=self._timeout,
            keep=self._keep,
            idle_seconds=self._idle_seconds,
            server=self._server,
            recycle=self._recycle,
            pre_ping=self._pre_ping,
            reset_on_return=self._reset_on_return,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )
        made._totals = self._totals
        if self._is_shut:
            made.shut()
        return made

    def dispose(self) -> None:
        """Closes what is idle; what is in use is closed when it is given back."""
        self._is_disposed = True
        while (slot := self._pool.take_idle()) is not None:
            slot.close()
            self._pool.put(slot)

    def checkedout(self) -> int:
        return len(self._held)

    def overflow(self) -> int:
        return 0

    # Ours

    def shut(self) -> None:
        self._is_shut = True
        self._pool.shut()
        self.dispose()

    def close_idle(self) -> int:
        """How many it has closed."""
        count = 0
        if not self._idle_seconds:
            return count
        while self.open() > self._keep and (slot := self._pool.take_idle()) is not None:
            if time.monotonic() - slot.idle_since < self._idle_seconds:  # type: ignore[attr-defined]
                self._pool.put_back(slot)
                break
            slot.close()
            self._pool.put(slot)
            count += 1
        return count

    def warm(self) -> None:
        if self._is_shut:
            raise closed()
        taken = []
        try:
            while self.open() < self._keep and (slot := self._pool.take_vacant()) is not None:
                taken.append(slot)
                slot.get_connection()  # type: ignore[attr-defined]
        finally:
            for slot in taken:
                slot.idle_since = time.monotonic()  # type: ignore[attr-defined]
                self._pool.put(slot)

    def open(self) -> int:
        return sum(slot.dbapi_connection is not None for slot in self._slots)

    def figures(self) -> PoolFigures:
        totals = self._totals
        with totals.lock:
            return PoolFigures(
                size=self.size(),
                open=self.open(),
                used=self.checkedout(),
                waiting=len(self._pool.waiting),
                acquires=totals.acquires,
                wait_seconds=totals.wait_seconds,
                timeouts=totals.timeouts,
                acquire=totals.acquire.copy(),
            )

    def holders(self) -> tuple[Holder, ...]:
        now = time.monotonic()
        # A copy of the dict in one go: slots come back meanwhile.
        held = sorted(self._held.copy().items(), key=lambda item: item[1].since)
        return tuple(_holder(slot, hold, now) for slot, hold in held)

    def forget(self) -> None:
        """In a child process: all is new, and the parent's connections are left alone."""
        # Kept, so that nothing of psycopg's or SQLAlchemy's looks after them when they are collected.
        _inherited.append((self._slots, self._pool, self._held))
        self._pool = self._pool.__class__(self._pool.maxsize)
        self._totals = _Totals()
        self._fill()
        if self._is_shut:
            self._pool.shut()

    def _exhausted(self, hold: _Hold) -> PoolExhausted:
        own = any(held.caller == hold.caller for held in self._held.copy().values())
        return PoolExhausted(
            f"no connection to {self._server} became free within {self._timeout:g} s",
            detail=described(self.holders(), size=self.size(), waiting=len(self._pool.waiting)),
            hint=(
                "The caller itself holds one: do all of it in one session."
                if own
                else "Give connections back sooner (end sessions, keep other work out of transactions), or raise"
                " max_connections (DB_MAX_CONNECTIONS)."
            ),
        )


class Pool(_Slots):
    """For threads."""


class AsyncPool(_Slots, AsyncAdaptedQueuePool):
    """For asyncio."""

    _queue_class = AsyncLine
    _pool: AsyncLine


def _holder(slot: ConnectionPoolEntry, hold: _Hold, now: float) -> Holder:
    connection = slot.driver_connection
    return Holder(
        who=hold.who,
        place=hold.place,
        seconds=max(0.0, now - hold.since),
        statement=None if connection is None else shown(connection.statement),
        backend_pid=None if connection is None or connection.closed else connection.info.backend_pid,
    )


def closed() -> errors.Closed:
    return errors.Closed(
        "the Database is closed", hint="Keep it open for as long as the application runs, or make another one."
    )


def _of(engine: sa.Engine | AsyncEngine) -> _Slots:
    pool: _Slots = engine.pool  # type: ignore[assignment]
    return pool


def figures(engine: sa.Engine | AsyncEngine) -> PoolFigures:
    return _of(engine).figures()


def holders(engine: sa.Engine | AsyncEngine) -> tuple[Holder, ...]:
    """Those who hold a connection for longest first."""
    return _of(engine).holders()


def warm(engine: sa.Engine | AsyncEngine) -> None:
    """Open connections, up to `min_connections`. Under asyncio in a greenlet. Raises ConnectionFailed."""
    _of(engine).warm()


def close_idle(engine: sa.Engine | AsyncEngine) -> int:
    """Close what was idle for longer than `idle_timeout_ms`, down to `min_connections`; how many that were. From any
    thread.
    """
    return _of(engine).close_idle()


def close(engine: sa.Engine | AsyncEngine) -> None:
    """For good: idle connections now, those in use when they are given back. Whoever asks for one, or waits, gets
    Closed. From any thread, and without an event loop.
    """
    _of(engine).shut()


_pools: weakref.WeakSet[_Slots] = weakref.WeakSet()
_inherited: list[object] = []


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forget()


os.register_at_fork(after_in_child=_after_fork)
