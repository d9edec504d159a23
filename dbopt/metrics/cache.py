"""How much of what is read PostgreSQL finds in its own memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window

_NO_BLOCKS = "no block was wanted"


def _own(window: Window) -> tuple[float, float] | None:
    """Blocks hit and read outside of the system catalogs, of which each new session reads some hundred."""
    amounts = [
        window.sum(Family.SERVER, name, "database")
        for name in ("blks_hit", "catalog_blks_hit", "blks_read", "catalog_blks_read")
    ]
    if any(amount is None for amount in amounts):
        return None
    hit, catalog_hit, read, catalog_read = (amount or 0.0 for amount in amounts)
    # A look may see what a session counted for the catalogs before it sees the same in the whole.
    return max(0.0, hit - catalog_hit), max(0.0, read - catalog_read)


def _hits(window: Window) -> float | None:
    own = _own(window)
    return None if own is None else window.ratio(*own)


def _reads(window: Window) -> float | None:
    own = _own(window)
    seconds = 0.0 if own is None else window.intervals[Family.SERVER].seconds_of("database")
    return None if own is None or seconds <= 0 else own[1] / seconds


def _blocks(family: Family, subject: str, hit: str, read: str) -> Callable[[Window], float | None]:
    def number(window: Window) -> float | None:
        amounts = window.sum(family, hit, subject), window.sum(family, read, subject)
        return None if None in amounts else sum(amount or 0.0 for amount in amounts)

    return number


def _own_blocks(window: Window) -> float | None:
    own = _own(window)
    return None if own is None else sum(own)


def _ratio(family: Family, subject: str, hit: str, read: str) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        return window.ratio(window.sum(family, hit, subject), window.sum(family, read, subject))

    return value


_GOAL = Goal(target=0.8, alert=0.6, below=False, source="the guides of both applications: cache hit rate")
# Our own reasoning: 8 MB. Of less, a few first reads after a start are most.
_LEAST_BLOCKS = 1000

METRICS = (
    Metric(
        name="cache_hit_ratio",
        title="Buffer hit ratio",
        group=Group.CACHE,
        unit=Unit.RATIO,
        meaning="The share of blocks that were found in shared_buffers, of all that this database wanted of its own"
        " tables and indexes; those of the system catalogs are left out.",
        families=(Family.SERVER,),
        value=_hits,
        goal=_GOAL,
        of=_own_blocks,
        of_what="blocks",
        least=_LEAST_BLOCKS,
        lacks=_NO_BLOCKS,
    ),
    Metric(
        name="heap_hit_ratio",
        title="Tables",
        group=Group.CACHE,
        unit=Unit.RATIO,
        meaning="The share of blocks found in shared_buffers, of those of tables and materialized views without TOAST.",
        families=(Family.RELATIONS,),
        value=_ratio(Family.RELATIONS, "all", "heap_blks_hit", "heap_blks_read"),
        goal=_GOAL,
        of=_blocks(Family.RELATIONS, "all", "heap_blks_hit", "heap_blks_read"),
        of_what="blocks",
        least=_LEAST_BLOCKS,
        lacks=_NO_BLOCKS,
    ),
    Metric(
        name="index_hit_ratio",
        title="Indexes",
        group=Group.CACHE,
        unit=Unit.RATIO,
        meaning="The share of blocks found in shared_buffers, of those of indexes.",
        families=(Family.RELATIONS,),
        value=_ratio(Family.RELATIONS, "all", "idx_blks_hit", "idx_blks_read"),
        goal=_GOAL,
        of=_blocks(Family.RELATIONS, "all", "idx_blks_hit", "idx_blks_read"),
        of_what="blocks",
        least=_LEAST_BLOCKS,
        lacks=_NO_BLOCKS,
    ),
    Metric(
        name="catalog_hit_ratio",
        title="System catalogs",
        group=Group.CACHE,
        unit=Unit.RATIO,
        meaning="The share of blocks found in shared_buffers, of those of the system catalogs.",
        families=(Family.SERVER,),
        value=_ratio(Family.SERVER, "database", "catalog_blks_hit", "catalog_blks_read"),
        of=_blocks(Family.SERVER, "database", "catalog_blks_hit", "catalog_blks_read"),
        of_what="blocks",
        lacks=_NO_BLOCKS,
    ),
    Metric(
        name="blocks_read_per_second",
        title="Blocks not found",
        group=Group.CACHE,
        unit=Unit.PER_SECOND,
        meaning="Blocks of this database's tables and indexes that were not in shared_buffers; the operating system may"
        " still have had them.",
        families=(Family.SERVER,),
        value=_reads,
    ),
)
