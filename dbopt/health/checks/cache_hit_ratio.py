"""Blocks of tables and indexes that PostgreSQL did not find in its cache.

The share of hits among all blocks that this database wanted since the last run, or since its statistics were reset;
never since ever, for a ratio over months cannot show a present problem. Blocks of the system catalogs are left out:
each new connection reads some hundred of them, which are always there. A miss is not yet a read from disk: the
operating system has a cache too. Not judged are a few blocks, and a time in which data were mostly loaded: the build of
an index reads its table once, from wherever it is.
To do: find what reads so much, as a rule a missing index; then compare shared_buffers with the memory of the machine.
The 80 % and 60 % of the guide are about the caches of an application, which answer before the database is asked.
https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-SHARED-BUFFERS
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Limit, NotJudged, Unit, below
from dbopt.health.deltas import Counters
from dbopt.postgres.counters import SERVER_COUNTERS
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.counters import ServerCounters


@dataclass(frozen=True, slots=True)
class Hits:
    datname: str
    blks_hit: float
    blks_read: float
    window_seconds: float


# The sum over the user's tables would shrink when one is dropped; that over the catalogs does not.
def _counters(rows: Sequence[ServerCounters]) -> Iterator[Counters]:
    for row in rows:
        values = {
            "blks_hit": float(row.blks_hit - row.catalog_blks_hit),
            "blks_read": float(row.blks_read - row.catalog_blks_read),
            "tup_inserted": float(row.tup_inserted),
            "tup_returned": float(row.tup_returned),
        }
        yield Counters(row.datname, row.database_since, values)


def _hits(rows: Sequence[ServerCounters], scene: Scene) -> Iterator[Hits]:
    for found in scene.deltas(_counters(rows)):
        window = format_duration(found.seconds)
        hit, read = found.values["blks_hit"], found.values["blks_read"]
        if hit + read < max(scene.limits["min_blocks"], 1):
            raise NotJudged(f"too few blocks were wanted for a ratio: {hit + read:.0f} within {window}")
        if found.values["tup_inserted"] > scene.limits["load_ratio"] * found.values["tup_returned"]:
            raise NotJudged(f"data were mostly loaded within {window}, which says nothing of reading them")
        yield Hits(found.subject, hit, read, found.seconds)


CHECK: Check[Hits] = Check(
    id="cache-hit-ratio",
    title="Blocks not found in the cache",
    group=Group.WORKLOAD,
    query=SERVER_COUNTERS,
    unit=Unit.RATIO,
    thresholds=below(
        warning=0.95,
        critical=0.9,
        source="common practice: a server whose data fit into its memory finds 99 % and more",
    ),
    limits=(
        Limit("min_blocks", 50_000, Unit.COUNT, "our own reasoning: 400 MB, less is read while a cache warms up"),
        Limit("load_ratio", 0.2, Unit.RATIO, "our own reasoning: rows inserted for each row read, as in a restore"),
    ),
    subject=lambda row: row.datname,
    measure=lambda row: row.blks_hit / (row.blks_hit + row.blks_read),
    detail=lambda row: (
        f"{row.blks_hit / (row.blks_hit + row.blks_read):.1%} of {row.blks_hit + row.blks_read:.0f} blocks within"
        f" {format_duration(row.window_seconds)}; {row.blks_read:.0f} were read"
    ),
    remedy=lambda _: (
        "SELECT s.relid::pg_catalog.regclass, s.heap_blks_read, s.idx_blks_read, s.heap_blks_hit, s.idx_blks_hit\n"
        "  FROM pg_catalog.pg_statio_user_tables AS s\n"
        " ORDER BY s.heap_blks_read + COALESCE(s.idx_blks_read, 0) DESC LIMIT 10;"
    ),
    rows=_hits,
    counters=_counters,
    gauge=True,
)
