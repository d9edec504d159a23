"""Many users at once: asyncio tasks on one AsyncDatabase, whose pool is all that they have."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Any, cast

from dbopt.client import AsyncDatabase
from dbopt.demo.paths import SLOW_SHARE, percentile
from dbopt.demo.proof.requests import Draw, stream
from dbopt.demo.proof.values import CONNECTIONS, Crowd
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.client import Database
    from dbopt.demo.applications.base import Application
    from dbopt.demo.proof.mixes import Mix
    from dbopt.demo.proof.values import Scale

_LOOK_SECONDS = 0.25  # how often the pool is looked at; the users pay for it


@dataclass(slots=True)
class _Tally:
    """What the users saw; watched from `start` to `end` on the clock of perf_counter."""

    start: float
    end: float
    asked: int = 0
    answered: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    happy: set[int] = field(default_factory=set)
    unhappy: set[int] = field(default_factory=set)
    connections: int = 0

    def note(self, user: int, begun: float, ended: float) -> None:
        self.happy.add(user)
        self.answered += self.start <= ended < self.end
        if ended >= self.start:
            self.seconds.append(ended - begun)

    def fail(self, user: int, error: Exception) -> None:
        self.unhappy.add(user)
        self.errors[type(error).__name__] += 1


async def crowds(
    conninfo: str,
    mix: Mix,
    rows: Mapping[str, int],
    scale: Scale,
    gatherings: Sequence[tuple[int, float]],
    *,
    cached: bool,
) -> tuple[Crowd, ...]:
    """One crowd after the other, each so many users that think for so many seconds, with one pool and one cache: what
    a crowd has asked for the next one finds, as in an application that runs all day.
    """
    async with AsyncDatabase(conninfo, application="demo-crowd", max_connections=CONNECTIONS) as db:
        application = mix.application(cast("Database", db), cached=cached)
        found = []
        for users, think_seconds in gatherings:
            draws = [Draw(rows, f"user {number} of {users}, {think_seconds}") for number in range(users)]
            found.append(await _crowd(db, application, mix, draws, scale, think_seconds))
    return tuple(found)


async def _crowd(
    db: AsyncDatabase, application: Application, mix: Mix, draws: Sequence[Draw], scale: Scale, think_seconds: float
) -> Crowd:
    """What users did when so many of them read at once. A request that is under way at the end is awaited, and its time
    counts: what takes longest would be left out else.
    """
    hits, misses = _answers(db)
    coming = scale.warm_up_seconds
    start = time.perf_counter() + coming
    tally = _Tally(start, start + scale.seconds)
    watch = asyncio.ensure_future(_watch(db, tally))
    try:
        async with asyncio.TaskGroup() as group:
            for number, draw in enumerate(draws):
                group.create_task(_user(application, mix, draw, tally, number, coming, think_seconds))
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    _look(db, tally)
    hits, misses = (now - then for now, then in zip(_answers(db), (hits, misses), strict=True))
    milliseconds = [one * 1000 for one in tally.seconds]
    return Crowd(
        users=len(draws),
        think_seconds=think_seconds,
        cached=application.cached,
        seconds=scale.seconds,
        asked=tally.asked,
        answered=tally.answered,
        served=len(tally.happy - tally.unhappy),
        p50_ms=percentile(milliseconds, 0.5) if milliseconds else None,
        p95_ms=percentile(milliseconds, SLOW_SHARE) if milliseconds else None,
        errors=dict(sorted(tally.errors.items())),
        connections=tally.connections,
        hit_ratio=hits / (hits + misses) if hits + misses else None,
    )


async def _user(
    application: Any, mix: Mix, draw: Draw, tally: _Tally, number: int, coming_seconds: float, think_seconds: float
) -> None:
    requests = stream(mix.reads, draw)
    await asyncio.sleep(draw.random.uniform(0, coming_seconds))
    while (begun := time.perf_counter()) < tally.end:
        tally.asked += 1
        try:
            await next(requests).ask(application, draw)
        except Exception as error:  # noqa: BLE001 - whatever it is, this user has seen it
            tally.fail(number, error)
        else:
            tally.note(number, begun, time.perf_counter())
        # An answer of the cache needs no I/O: without this the first user would never let another one in.
        await asyncio.sleep(draw.random.expovariate(1 / think_seconds) if think_seconds else 0)


async def _watch(db: AsyncDatabase, tally: _Tally) -> None:
    while True:
        _look(db, tally)
        await asyncio.sleep(_LOOK_SECONDS)


def _answers(db: AsyncDatabase) -> tuple[int, int]:
    """From the cache, and not, so far."""
    cache = db.metrics().cache
    return (0, 0) if cache is None else (cache.hits, cache.misses)


def _look(db: AsyncDatabase, tally: _Tally) -> None:
    pool = db.metrics().pool
    if pool is not None:
        tally.connections = max(tally.connections, pool.open)
