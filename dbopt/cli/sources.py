"""One target of `dbopt metrics`: its session and PgBouncer's, and a reading of both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg

from dbopt.cli import as_error, readings
from dbopt.errors import Error
from dbopt.metrics.measurement import About
from dbopt.metrics.metric import Group
from dbopt.metrics.pool import POOLER
from dbopt.postgres.connect import describe, lost
from dbopt.snapshot.model import Family, Part
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.metrics.metric import Metric
    from dbopt.postgres.pgbouncer import Pool
    from dbopt.snapshot.collect import Collected


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the call says. `since`: as it was typed. `every`: of --watch."""

    metrics: tuple[Metric, ...]
    groups: tuple[Group, ...]  # with their breakdowns
    interval: timedelta | None
    since: str | None
    versus: timedelta | None
    pgbouncer: str | None
    uses_store: bool
    every: float | None

    @property
    def looks_back(self) -> bool:
        """Whether it cannot be answered without the store."""
        return self.since is not None or self.versus is not None

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(family for family in Family if any(metric.reads(family) for metric in self.metrics))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One, with what PgBouncer said beside it."""

    collected: Collected
    pools: Sequence[Pool]
    parts: Mapping[str, Part]  # all of them
    lacks: Mapping[str, tuple[str, str | None]]

    @property
    def taken_at(self) -> datetime:
        return self.collected.snapshot.taken_at


class Source:
    """A target, its session and PgBouncer's, and the last reading of --watch."""

    def __init__(self, session: Session, target: Target, wishes: Wishes) -> None:
        self._session = session
        self._target = target
        self._wishes = wishes
        self._stack = contextlib.ExitStack()
        self._reader: Reader | None = None
        self._console: psycopg.Connection[object] | None = None
        self.previous: Reading | None = None
        self.left_at: datetime | None = None

    @property
    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = self._stack.enter_context(readings.reader(self._session, self._target))
        return self._reader

    @property
    def about(self) -> About:
        if self._reader is None:
            return About(name=self._target.name, place=describe(self._target.conninfo))
        return readings.about(self._reader)

    def close(self) -> None:
        self._stack.close()
        self._reader = self._console = self.previous = None

    def read(self) -> Reading:
        """Over a session that the server has ended meanwhile, once more over a new one."""
        try:
            reading = self._read()
        except psycopg.OperationalError as exc:
            if self.previous is None or self._reader is None or not self._reader.conn.closed:
                raise lost(exc, describe(self._target.conninfo)) if self._is_lost else exc from None
            previous = self.previous
            self.close()
            self.previous = previous
            reading = self._read()
        if self._wishes.every is not None:
            self.previous = reading
        return reading

    @property
    def _is_lost(self) -> bool:
        return self._reader is not None and self._reader.conn.closed

    def _read(self) -> Reading:
        reader = self.reader
        collected = reader.read(self._wishes.families)
        own = collected.snapshot.parts[Family.SERVER]
        parts: dict[str, Part] = {str(family): part for family, part in collected.snapshot.parts.items()}
        lacks = {str(family): lack for family, lack in collected.snapshot.missing.items()}
        pools: Sequence[Pool] = ()
        pooler = self._pooler
        if pooler is not None and any(metric.reads(POOLER) for metric in self._wishes.metrics):
            try:
                pools = self._pools(pooler)
            except (Error, psycopg.Error) as exc:
                self._console = None
                error = as_error(exc)
                lacks[POOLER] = (": ".join(filter(None, (error.message, error.detail))), error.hint)
            else:
                parts[POOLER] = _pool_part(pools, own)
        return Reading(collected=collected, pools=pools, parts=parts, lacks=lacks)

    @property
    def _pooler(self) -> str | None:
        if self._wishes.pgbouncer is not None:
            from dbopt.postgres import dsn

            return dsn.translate(self._wishes.pgbouncer, source="--pgbouncer").conninfo
        return self._target.pgbouncer_conninfo

    def _pools(self, conninfo: str) -> Sequence[Pool]:
        from dbopt.postgres import pgbouncer

        if self._console is None:
            self._console = self._stack.enter_context(pgbouncer.console(conninfo, self._session.command))
        return pgbouncer.pools(self._console, self.reader.server.dbname)


def _pool_part(pools: Sequence[Pool], server: Part) -> Part:
    """The family POOLER, as pool.py in metrics/ describes it."""
    levels: dict[str, float] = {
        "pool_used": sum(pool.used for pool in pools),
        "pool_size": sum(pool.size for pool in pools),
        "pool_waiting": sum(pool.waiting for pool in pools),
        "pool_wait_seconds": max((pool.wait_seconds for pool in pools), default=0.0),
    }
    shares = [pool.used / pool.size for pool in pools if pool.size > 0]
    if shares:
        levels["pool_used_ratio"] = max(shares)
    return Part(family=POOLER, taken_at=server.taken_at, lineage=POOLER, counts=(), levels=levels)
