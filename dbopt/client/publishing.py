"""What this process says of itself, to the store that `dbopt metrics` and `dbopt health` read (dbopt/store/clients.py).

All of it is done in the background's thread. A store that cannot be written costs a warning, and what happened
meanwhile is in the next reading.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import time
import weakref
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from dbopt.client.connections import pool
from dbopt.errors import Error
from dbopt.postgres import dsn
from dbopt.postgres.connect import connect, describe
from dbopt.postgres.server import inspect
from dbopt.snapshot import durations
from dbopt.store import clients, plain, sqlite
from dbopt.store.clients import Published
from dbopt.store.location import locate
from dbopt.store.targets import Whose
from dbopt.values import dataclass

if TYPE_CHECKING:
    import sqlalchemy as sa

    from dbopt.client.cache import Cache
    from dbopt.client.meter import Meter
    from dbopt.client.settings import Settings
    from dbopt.store.location import Location

logger = logging.getLogger("dbopt.client")

COMMAND = "client"  # in application_name of the one session of its own
# Of a process that ends, for a store that another one holds.
_LAST_WAIT_SECONDS = 1.0
# A standby may have been promoted, or clocks been set: that is asked by a session of its own.
_KNOWN_SECONDS = 3600.0
_UNFIT = re.compile(r"[^A-Za-z0-9.-]+")
_HOST_LONGEST = 63  # a host's name may have so many characters without its domain

_numbers = itertools.count(1)  # several Databases of one process
_all: weakref.WeakSet[Publisher] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class _Target:
    whose: Whose
    name: str
    ahead: timedelta  # the server's clock before ours
    until: float  # of time.monotonic: when it is asked again


class Publisher:
    """`publish` is a tick of the background, `end` its end. Raises ConfigError for a store URL that makes no sense."""

    def __init__(self, settings: Settings, engine: sa.Engine, meter: Meter, cache: Cache) -> None:
        self._settings = settings
        self._engine, self._meter, self._cache = engine, meter, cache
        self._location: Location | None = None if settings.store_url is None else locate(settings.store_url)
        self._number = next(_numbers)
        self._forked()
        _all.add(self)

    def _forked(self) -> None:
        self._target: _Target | None = None
        self._started_at: datetime | None = None  # by the server's clock as it was seen first: it is never another one
        self._is_ready = self._has_warned = False

    @property
    def instance(self) -> str:
        """Of this process; of its second Database HOST:PID:2."""
        more = f":{self._number}" if self._number > 1 else ""
        host = _UNFIT.sub("-", socket.gethostname()).lstrip(".-")[:_HOST_LONGEST]
        return f"{host or 'host'}:{os.getpid()}{more}"

    def publish(self) -> None:
        self._publish(last=False)

    def end(self) -> None:
        self._publish(last=True)

    def _publish(self, *, last: bool) -> None:
        if self._location is None:
            return
        try:
            target = self._known_target()
            wait_seconds = _LAST_WAIT_SECONDS if last else sqlite.LOCK_WAIT_SECONDS
            if not self._is_ready:
                plain.make_ready(self._location)
                self._is_ready = True
            said = self._said(target)
            with plain.transaction(self._location, reading=False, wait_seconds=wait_seconds) as session:
                clients.publish(session, target.whose, target.name, said, last=last)
        except (Error, psycopg.Error) as exc:
            self._is_ready = False  # it may come back as another one
            if not self._has_warned:
                self._has_warned = True
                logger.warning("metrics are not published, which is tried again: %s", _words(exc))
        else:
            self._has_warned = False

    def _known_target(self) -> _Target:
        if self._target is None or time.monotonic() > self._target.until:
            conninfo = dsn.conninfo(self._settings.parameters())
            with closing(connect(conninfo, command=COMMAND, read_only=True)) as conn:
                server = inspect(conn)
                row = conn.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
                assert row is not None  # an expression
                ahead = row[0] - datetime.now(UTC)
            name = describe(conninfo)
            self._target = _Target(Whose.of_server(server, name), name, ahead, time.monotonic() + _KNOWN_SECONDS)
        return self._target

    def _said(self, target: _Target) -> Published:
        lent, kept, total = pool.figures(self._engine), self._cache.figures(), self._meter.totals()
        counts: dict[str, float] = {
            "queries": total.count,
            "query_seconds": total.seconds,
            "slow_queries": total.slow,
            "errors": total.errors,
            "cache_hits": kept.hits,
            "cache_misses": kept.misses,
            "cache_stale": kept.stale,
            **_known(cache_evictions=kept.evictions),
            "pool_acquires": lent.acquires,
            "pool_wait_seconds": lent.wait_seconds,
            "pool_timeouts": lent.timeouts,
            **dict(zip(durations.NAMES, total.durations.up_to(durations.BOUNDS_MS), strict=True)),
        }
        if self._started_at is None:
            self._started_at = self._meter.started_at + target.ahead
        levels: dict[str, float] = {
            "pool_size": lent.size,
            "pool_open": lent.open,
            "pool_used": lent.used,
            "pool_waiting": lent.waiting,
            "pool_longest_held_seconds": max((holder.seconds for holder in pool.holders(self._engine)), default=0.0),
            **_known(cache_entries=kept.entries, cache_bytes=kept.bytes),
        }
        return Published(
            application=self._settings.application,
            instance=self.instance,
            started_at=self._started_at,
            taken_at=datetime.now(UTC) + target.ahead,
            counts=counts,
            levels=levels,
        )


def _known(**values: float | None) -> dict[str, float]:
    """What is not counted is left out: of a cache that other processes have, too, nobody counts the entries."""
    return {name: value for name, value in values.items() if value is not None}


def _words(error: Error | psycopg.Error) -> str:
    if isinstance(error, Error):
        return "; ".join(words for words in (error.message, error.detail, error.hint) if words)
    return str(error).partition("\n")[0]


def _fork_all() -> None:
    for publisher in _all:
        publisher._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
