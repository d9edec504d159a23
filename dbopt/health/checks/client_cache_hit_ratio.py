"""Caches inside of applications that answer too seldom.

The share of answers that came from the cache, of all that it was asked for within the last five minutes, over all
processes of an application with dbopt.client that publish themselves to the store. Not judged are few questions, and
processes that have run for less than ten minutes: their caches are being filled.

A low share has few causes: answers are kept for too short a time (TTL), tables are written to so often that their
answers are dropped at once, the cache is too small (see its evictions in `dbopt metrics --group clients`), or what is
asked for is seldom the same, and is then better not cached. The server's own cache is another thing: cache-hit-ratio,
and https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-SHARED-BUFFERS
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.applications import NEEDS, WITHIN, by_application, in_processes, sums
from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Unit, below
from dbopt.postgres.server import FACTS
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    application: str
    processes: int
    hits: float
    lookups: float
    evictions: float | None
    gap: Gap | None

    @property
    def ratio(self) -> float:
        return self.hits / self.lookups if self.lookups else 0.0

    @property
    def detail(self) -> str:
        words = (
            f"{self.ratio:.1%} of {self.lookups:.0f} answers came from it {WITHIN} in {in_processes(self.processes)}"
        )
        return f"{words}; {self.evictions:.0f} entries were dropped to make room" if self.evictions else words


def _hits(_rows: Sequence[object], scene: Scene) -> Iterator[Hits]:
    found = False
    for name, processes in by_application(scene):
        if sums(processes, "cache_hits", "cache_misses") is None:
            continue
        found = True
        now = scene.surroundings.now
        warm = [one for one in processes if (now - one.started_at).total_seconds() >= scene.limits["warm_up"]]
        hits, misses = sums(warm, "cache_hits", "cache_misses") or (0.0, 0.0)
        evictions = sums(warm, "cache_evictions")
        gap = None
        if not warm:
            gap = Gap(
                f"its caches are being filled: it has run for less than {format_duration(scene.limits['warm_up'])}"
            )
        elif hits + misses < max(scene.limits["min_lookups"], 1):
            gap = Gap(f"too few questions for a ratio: {hits + misses:.0f} {WITHIN}")
        yield Hits(
            application=name,
            processes=len(warm),
            hits=hits,
            lookups=hits + misses,
            evictions=None if evictions is None else evictions[0],
            gap=gap,
        )
    if not found:
        raise NotJudged("no application has told of a cache")


CHECK: Check[Hits] = Check(
    id="client-cache-hit-ratio",
    title="Applications whose cache seldom answers",
    group=Group.CLIENTS,
    query=FACTS,  # what is judged stands in the store; these have been answered already
    rows=_hits,
    unit=Unit.RATIO,
    thresholds=below(warning=0.8, critical=0.6, source="guide of Thrive-Send: above 80 %, alert below 60 %"),
    limits=(
        Limit("min_lookups", 1_000, Unit.COUNT, "our own reasoning: few questions are a moment of one user"),
        Limit("warm_up", 600, Unit.SECONDS, "our own reasoning: twice the guide's TTL of 5 minutes"),
    ),
    subject=lambda row: row.application,
    measure=lambda row: row.ratio,
    gap=lambda row: row.gap,
    detail=lambda row: row.detail,
    remedy=lambda _: "dbopt metrics --group clients",
    needs=NEEDS,
    gauge=True,
)
