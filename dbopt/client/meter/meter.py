"""Every statement of an engine counted, by SQLAlchemy's own events: sync and async alike.

What is counted is bounded whatever an application sends: so many pairs of operation and table, so many slow texts, so
many recent statements. The lock is held for additions only, never over I/O.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from dbopt.client.meter import statements
from dbopt.client.meter.histogram import Histogram
from dbopt.client.meter.metrics import Metrics, Queries, Recent, Slow

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa
    from sqlalchemy.engine import ExceptionContext

    from dbopt.client.cache import CacheFigures
    from dbopt.client.connections.pool import PoolFigures
    from dbopt.client.meter.statements import Statement
    from dbopt.client.settings import Settings

SERIES_MAX = 200  # pairs of operation and table; what comes later is counted as of the table REST
REST = "(other)"
SLOW_KEPT, SLOW_SHOWN = 100, 10
RECENT_KEPT = 20
# What stands for SQLSTATE where there is none: the connection broke, the program has cancelled it, all else.
LOST, CANCELLED, NO_STATE = "lost", "cancelled", "none"
ERRORS = (LOST, CANCELLED, NO_STATE)

_BEGAN = "_dbopt_began"
# Their locks may be held by a thread that a child process does not have, and what they count is the parent's.
_meters: weakref.WeakSet[Meter] = weakref.WeakSet()


class Meter:
    """`add` is for what SQLAlchemy's events do not see, as COPY."""

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self._slow_ms = settings.slow_threshold_ms
        self._slow_seconds = settings.slow_threshold_ms / 1000
        self.start()
        statements.statement("SELECT 1")  # loads the grammar, a sixth of a second: not in somebody's first request
        event.listen(engine, "before_cursor_execute", _before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)
        _meters.add(self)

    def start(self) -> None:
        """From nothing, as in a new process."""
        self._lock = threading.Lock()
        self.started_at = self._since = datetime.now(UTC)
        self._ended = _Series()  # what a reset has taken out of sight
        self._pool: PoolFigures | None = None
        self._cache: CacheFigures | None = None
        self._clear()

    def _clear(self) -> None:
        self._series: dict[tuple[str, str | None], _Series] = {}
        self._errors: dict[str, int] = {}
        self._slow: dict[str, _Slow] = {}
        self._recent: deque[tuple[float, str, str | None, float, int | None, str | None]] = deque(maxlen=RECENT_KEPT)

    def add(self, statement: Statement, text: str, seconds: float, rows: int | None, error: str | None = None) -> None:
        """One statement that has ended. `text`: as it was sent; kept without its values, and only if it was slow.
        `rows` None: not told. `error`: SQLSTATE, or one of ERRORS.
        """
        is_slow = seconds >= self._slow_seconds
        shown = statements.shown(text) if is_slow else None
        key = (statement.operation, statement.table)
        at = time()
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._new(key)
            series.durations.add(seconds)
            if rows is not None:
                series.rows += rows
            if error is not None:
                series.errors += 1
                kind = error if error in ERRORS else error[:2]
                self._errors[kind] = self._errors.get(kind, 0) + 1
            if shown is not None:
                series.slow += 1
                self._add_slow(shown, key, seconds, at)
            self._recent.append((at, *key, seconds, rows, error))

    def metrics(self, pool: PoolFigures | None = None, cache: CacheFigures | None = None) -> Metrics:
        """All of it since the last reset; of the pool and the cache what they have counted since then."""
        with self._lock:
            every = {key: series.copy() for key, series in self._series.items()}
            slow = [(text, one.operation, one.table, one.durations.copy(), one.at) for text, one in self._slow.items()]
            recent, errors = tuple(self._recent), dict(self._errors)
            since, pool_before, cache_before = self._since, self._pool, self._cache
        slow.sort(key=lambda one: one[3].max, reverse=True)
        return Metrics(
            since=since,
            taken_at=datetime.now(UTC),
            total=_together(every.values()).queries(),
            by_operation=_by(every, 0),
            by_table=_by(every, 1),
            by_operation_and_table={key: series.queries() for key, series in every.items()},
            errors_by_class=errors,
            slow_threshold_ms=self._slow_ms,
            slow=tuple(
                Slow(text, operation, table, took.count, took.sum, took.max * 1000, _moment(at))
                for text, operation, table, took, at in slow[:SLOW_SHOWN]
            ),
            recent=tuple(
                Recent(_moment(at), operation, table, seconds * 1000, rows, error)
                for at, operation, table, seconds, rows, error in reversed(recent)
            ),
            pool=_pool_since(pool, pool_before),
            cache=_cache_since(cache, cache_before),
        )

    def totals(self) -> Queries:
        """Since the process has started, whatever was reset: these only grow."""
        with self._lock:
            every = [self._ended.copy(), *(series.copy() for series in self._series.values())]
        return _together(every).queries()

    def reset(self, pool: PoolFigures | None = None, cache: CacheFigures | None = None) -> None:
        """Start `metrics` anew. With the figures of pool and cache as they are now, these too."""
        with self._lock:
            self._ended = _together((self._ended, *self._series.values()))
            self._since = datetime.now(UTC)
            self._pool, self._cache = pool, cache
            self._clear()

    def _new(self, key: tuple[str, str | None]) -> _Series:
        if len(self._series) >= SERIES_MAX:
            # Operations are the grammar's own: there are no more than some forty.
            key = (key[0], REST)
            if key in self._series:
                return self._series[key]
        self._series[key] = made = _Series()
        return made

    def _add_slow(self, text: str, key: tuple[str, str | None], seconds: float, at: float) -> None:
        known = self._slow.get(text)
        if known is None:
            if len(self._slow) >= SLOW_KEPT:
                least = min(self._slow, key=lambda other: self._slow[other].durations.max)
                if self._slow[least].durations.max >= seconds:
                    return
                del self._slow[least]
            known = self._slow[text] = _Slow(*key)
        known.durations.add(seconds)
        known.at = at

    def _after(
        self, _connection: object, cursor: Any, text: str, _parameters: object, context: Any, _many: object
    ) -> None:
        began = _taken(context)
        if began is not None:
            seconds = perf_counter() - began
            statement, source = statements.with_source(context, text)
            rows = cursor.rowcount
            self.add(statement, source, seconds, rows if rows >= 0 else None)

    def _failed(self, failure: ExceptionContext) -> None:
        context = failure.execution_context
        began = _taken(context)
        if began is None:  # no statement: the connection could not be made, or what came of one is not to be read
            return
        seconds = perf_counter() - began
        statement, source = statements.with_source(context, failure.statement or "")
        error = getattr(failure.original_exception, "sqlstate", None)
        if error is None:
            is_ours = isinstance(failure.original_exception, Exception)
            error = CANCELLED if not is_ours else LOST if failure.is_disconnect else NO_STATE
        self.add(statement, source, seconds, None, error)


class _Series:
    __slots__ = ("durations", "errors", "rows", "slow")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.errors = self.rows = self.slow = 0

    def merge(self, other: _Series) -> None:
        self.durations.merge(other.durations)
        self.errors += other.errors
        self.rows += other.rows
        self.slow += other.slow

    def copy(self) -> _Series:
        made = _Series()
        made.durations = self.durations.copy()
        made.errors, made.rows, made.slow = self.errors, self.rows, self.slow
        return made

    def queries(self) -> Queries:
        return Queries(self.durations.count, self.errors, self.slow, self.rows, self.durations)


class _Slow:
    __slots__ = ("at", "durations", "operation", "table")

    def __init__(self, operation: str, table: str | None) -> None:
        self.operation, self.table = operation, table
        self.durations = Histogram()
        self.at = 0.0


def _before(_connection: object, _cursor: object, _text: str, _parameters: object, context: Any, _many: object) -> None:
    if context is not None:
        setattr(context, _BEGAN, perf_counter())


def _taken(context: Any) -> float | None:
    """When it began; once, as a statement that is done may still fail in what comes after."""
    began: float | None = getattr(context, _BEGAN, None)
    if began is not None:
        setattr(context, _BEGAN, None)
    return began


def _together(every: Iterable[_Series]) -> _Series:
    made = _Series()
    for series in every:
        made.merge(series)
    return made


def _by(every: dict[tuple[str, str | None], _Series], part: int) -> dict[str, Queries]:
    groups: dict[str, list[_Series]] = {}
    for key, series in every.items():
        name = key[part]
        if name is not None:
            groups.setdefault(name, []).append(series)
    return {name: _together(group).queries() for name, group in groups.items()}


def _pool_since(now: PoolFigures | None, before: PoolFigures | None) -> PoolFigures | None:
    if now is None or before is None:
        return now
    return replace(
        now,
        acquires=now.acquires - before.acquires,
        wait_seconds=now.wait_seconds - before.wait_seconds,
        timeouts=now.timeouts - before.timeouts,
        acquire=now.acquire.since(before.acquire),
    )


def _cache_since(now: CacheFigures | None, before: CacheFigures | None) -> CacheFigures | None:
    if now is None or before is None:
        return now
    counted = ("hits", "misses", "stale", "evictions", "uncached", "errors")
    grown = {name: getattr(now, name) - getattr(before, name) for name in counted if getattr(now, name) is not None}
    return replace(now, **grown)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _forked() -> None:
    for meter in _meters:
        meter.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
