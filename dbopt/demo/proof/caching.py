"""The same reads without and with the cache: what it answers, how fast, and what the database is spared."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from dbopt.client import Database
from dbopt.demo.paths import SLOW_SHARE, percentile
from dbopt.demo.proof.bill import between
from dbopt.demo.proof.requests import Draw, different, stream
from dbopt.demo.proof.values import Caching, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.demo.proof.bill import Till
    from dbopt.demo.proof.mixes import Mix

WRITE_EVERY = 100
SEED = "reads"  # the same each time: the same reads


def caching(conninfo: str, mix: Mix, rows: Mapping[str, int], reads: int, till: Till | None) -> Caching:
    """`till` None: the server keeps no account."""
    _read(conninfo, mix, rows, min(reads, 1000), None, cached=False)  # the buffers of the server are warm from here on
    return Caching(
        reads=reads,
        different=different(mix.reads, Draw(rows, SEED), reads),
        writes=reads // WRITE_EVERY,
        without=_read(conninfo, mix, rows, reads, till, cached=False),
        with_cache=_read(conninfo, mix, rows, reads, till, cached=True),
        with_writes=_read(conninfo, mix, rows, reads, till, cached=True, write_every=WRITE_EVERY),
    )


def _read(
    conninfo: str,
    mix: Mix,
    rows: Mapping[str, int],
    reads: int,
    till: Till | None,
    *,
    cached: bool,
    write_every: int | None = None,
) -> Reading:
    """One after the other, on one connection. Writes have parameters of their own, so that reads stay the same."""
    draw, writing = Draw(rows, SEED), Draw(rows, "writes")
    start = till.read() if till is not None else None
    from_cache: list[float] = []
    others: list[float] = []
    with Database(conninfo, application="demo-cache", max_connections=1, min_connections=0) as db:
        application = mix.application(db, cached=cached)
        began = time.perf_counter()
        for number, request in zip(range(reads), stream(mix.reads, draw), strict=False):
            hits = db.cache.figures().hits
            sent = time.perf_counter()
            request.ask(application, draw)
            seconds = time.perf_counter() - sent
            (from_cache if db.cache.figures().hits > hits else others).append(seconds * 1000)
            if write_every is not None and number % write_every == write_every - 1:
                mix.write.ask(application, writing)
        seconds = time.perf_counter() - began
        figures = db.cache.figures()
    return Reading(
        seconds=seconds,
        hits=figures.hits,
        misses=figures.misses,
        cached_p50_ms=statistics.median(from_cache) if from_cache else None,
        cached_p95_ms=percentile(from_cache, SLOW_SHARE) if from_cache else None,
        other_p50_ms=statistics.median(others) if others else None,
        other_p95_ms=percentile(others, SLOW_SHARE) if others else None,
        bill=between(start, till.read()) if till is not None and start is not None else None,
    )
