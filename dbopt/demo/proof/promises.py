"""What the two guides promised, as data: each with the figure that decides it, and how it is found in the evidence.

Nothing here knows a result. Where the evidence has no such figure, the reason is said instead of a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.demo.proof.values import CONNECTIONS, USERS
from dbopt.demo.walkthrough import FASTER_FROM
from dbopt.stats.coverage import GOAL as COVERAGE_GOAL
from dbopt.stats.coverage import LARGE_ROWS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.demo.proof.values import Crowd, Evidence

THRIVE_SEND, NEONHUB = "thrive_send", "neonhub"
BOTH = (THRIVE_SEND, NEONHUB)

# The guides' own numbers, like USERS, CONNECTIONS, COVERAGE_GOAL and FASTER_FROM.
HIT_RATIO_THRIVE_SEND, HIT_RATIO_NEONHUB = 0.90, 0.60
CACHED_MS = 1.0
READS_PER_SECOND = 2000
LESS_LOAD_RATIO = 0.40
ERROR_RATIO = 0.001


class Unit(StrEnum):
    TIMES = "times"
    RATIO = "ratio"
    MILLISECONDS = "ms"
    PER_SECOND = "per second"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` None: not measured, and `note` says why; else `note` is what stands beside the value. `counts` False: the
    value is noise, however good it looks.
    """

    value: float | None
    note: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Kept if the figure is `least` or more, `most` or less."""

    id: str
    words: str
    unit: Unit
    measure: Callable[[Evidence], Figure]
    apps: tuple[str, ...] = BOTH
    least: float | None = None
    most: float | None = None


def paths(*names: str) -> Callable[[Evidence], Figure]:
    """The one of these access paths that gained least."""

    def measure(evidence: Evidence) -> Figure:
        pairs = [pair for pair in evidence.comparisons if pair.before.path.name in names]
        if not pairs:
            return Figure(None, "the access path was not measured")
        least = min(pairs, key=lambda pair: (not pair.same_plan, pair.factor))
        note = f"{least.before.milliseconds:.2f} ms -> {least.after.milliseconds:.2f} ms"
        if least.same_plan:
            note += f", the plan stays {least.after.plan_node}"
        if len(pairs) > 1:
            note += f" ({least.before.path.name}, the least of {len(pairs)})"
        return Figure(least.factor, note, counts=not least.same_plan)

    return measure


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.1f} %"


def _rows_covered(evidence: Evidence) -> Figure:
    before, after = (coverage.rows for coverage in evidence.coverage)
    if before.ratio is None or after.ratio is None:
        return Figure(None, before.reason or after.reason or "nothing was read")
    return Figure(after.ratio, f"{_percent(before.ratio)} before; {after.title}, in tables over {LARGE_ROWS:,} rows")


def _keys_covered(evidence: Evidence) -> Figure:
    before, after = (coverage.foreign_keys for coverage in evidence.coverage)
    if before.ratio is None or after.ratio is None:
        return Figure(None, before.reason or after.reason or "there are none")
    return Figure(after.ratio, f"{_percent(before.ratio)} before; {after.title}")


def _hit_ratio(evidence: Evidence) -> Figure:
    caching = evidence.caching
    writes = caching.with_writes.hit_ratio
    new = _percent(caching.different / caching.reads)
    note = f"of {caching.reads:,} reads, {new} asked for the first time" + (
        "" if writes is None else f"; {_percent(writes)} while 1 call in 100 writes"
    )
    return Figure(caching.with_cache.hit_ratio, note)


def _cached_ms(evidence: Evidence) -> Figure:
    reading = evidence.caching.with_cache
    if reading.cached_p95_ms is None or reading.cached_p50_ms is None:
        return Figure(None, "no read was answered by the cache")
    return Figure(reading.cached_p95_ms, f"95 of 100 at most; {reading.cached_p50_ms:.3f} ms in the median")


def _less_load(evidence: Evidence) -> Figure:
    """The lesser of what is saved in time and in buffers."""
    without, cached = evidence.caching.without.bill, evidence.caching.with_cache.bill
    if without is None or cached is None:
        return Figure(None, "the server has no pg_stat_statements")
    if not without.exec_time_ms or not without.buffers:
        return Figure(None, "nothing was read")
    time = 1 - cached.exec_time_ms / without.exec_time_ms
    buffers = 1 - cached.buffers / without.buffers
    note = f"{_percent(time)} less time in the server, {_percent(buffers)} fewer buffers"
    if without.cpu_seconds and cached.cpu_seconds is not None:
        note += f", {_percent(1 - cached.cpu_seconds / without.cpu_seconds)} less CPU time"
    return Figure(min(time, buffers), note)


def _crowd(evidence: Evidence, *, cached: bool) -> Crowd | None:
    """The thousand users after optimize, who do not think."""
    fit = (one for one in evidence.after if one.users == USERS and one.cached == cached and not one.think_seconds)
    return next(fit, None)


_NO_CROWD = f"no run with {USERS:,} users"


def _connections(evidence: Evidence) -> Figure:
    crowd = _crowd(evidence, cached=False)
    return Figure(crowd.connections, f"open at most, with {USERS:,} users") if crowd else Figure(None, _NO_CROWD)


def _served(evidence: Evidence) -> Figure:
    crowd = _crowd(evidence, cached=True)
    if crowd is None:
        return Figure(None, _NO_CROWD)
    waited = "" if crowd.p95_ms is None else f"; 95 of 100 answers within {crowd.p95_ms:.0f} ms"
    return Figure(crowd.served, f"answered, and without an error{waited}")


def _per_second(*, cached: bool) -> Callable[[Evidence], Figure]:
    def measure(evidence: Evidence) -> Figure:
        crowd = _crowd(evidence, cached=cached)
        if crowd is None:
            return Figure(None, _NO_CROWD)
        hits = "" if crowd.hit_ratio is None else f", {_percent(crowd.hit_ratio)} from the cache"
        return Figure(crowd.per_second, f"with {USERS:,} users{hits}")

    return measure


def _errors(evidence: Evidence) -> Figure:
    asked = sum(crowd.asked for crowd in evidence.after)
    if not asked:
        return Figure(None, "nothing was asked")
    failed = sum(crowd.failed for crowd in evidence.after)
    return Figure(failed / asked, f"{failed:,} of {asked:,} reads")


def _faster(id: str, words: str, app: str, *names: str) -> Promise:
    return Promise(
        id=f"{id}-faster", words=words, apps=(app,), unit=Unit.TIMES, least=FASTER_FROM, measure=paths(*names)
    )


PROMISES = (
    _faster(
        "organisation-lookup", "Organisation lookup, faster", THRIVE_SEND, "Organisation by its identity-provider id"
    ),
    _faster(
        "campaign-list",
        "Campaign list, faster",
        THRIVE_SEND,
        "Campaign list of an organisation: active",
        "Campaign list of an organisation: completed",
    ),
    _faster("campaign-dashboard", "Campaign dashboard, faster", THRIVE_SEND, "Campaign dashboard"),
    _faster(
        "content-workflow",
        "Content workflow, faster",
        THRIVE_SEND,
        "Content workflow board: published",
        "Content workflow board: one author, one kind",
        "Approval inbox of a user",
    ),
    _faster(
        "analytics",
        "Analytics aggregation, faster",
        THRIVE_SEND,
        "Analytics of a campaign over a month",
        "Analytics of a client by day, over a month",
    ),
    _faster("user-activity", "User activity, faster", THRIVE_SEND, "Activity timeline of a user"),
    _faster("role-filter", "Role filter, faster", NEONHUB, "Users of a role, newest first"),
    _faster("agent-performance", "Agent performance, faster", NEONHUB, "Performance of an agent over a month"),
    _faster("trends", "Trends, faster", NEONHUB, "Trending keywords"),
    _faster("lead-scoring", "Lead scoring, faster", NEONHUB, "High value leads"),
    Promise(
        id="index-coverage",
        words="Index coverage, rows",
        unit=Unit.RATIO,
        least=COVERAGE_GOAL,
        measure=_rows_covered,
    ),
    Promise(
        id="index-coverage-keys",
        words="Index coverage, foreign keys",
        unit=Unit.RATIO,
        least=COVERAGE_GOAL,
        measure=_keys_covered,
    ),
    Promise(
        id="hit-ratio",
        words="Cache hit rate on repeated reads",
        apps=(THRIVE_SEND,),
        unit=Unit.RATIO,
        least=HIT_RATIO_THRIVE_SEND,
        measure=_hit_ratio,
    ),
    Promise(
        id="hit-ratio",
        words="Cache hit rate on repeated reads",
        apps=(NEONHUB,),
        unit=Unit.RATIO,
        least=HIT_RATIO_NEONHUB,
        measure=_hit_ratio,
    ),
    Promise(id="cached-answers", words="Cached answers", unit=Unit.MILLISECONDS, most=CACHED_MS, measure=_cached_ms),
    Promise(
        id="connections", words="Connections of the pool", unit=Unit.COUNT, least=CONNECTIONS, measure=_connections
    ),
    Promise(id="users", words="Users at once", unit=Unit.COUNT, least=USERS, measure=_served),
    Promise(
        id="reads-per-second",
        words="Queries a second, with the cache",
        unit=Unit.PER_SECOND,
        least=READS_PER_SECOND,
        measure=_per_second(cached=True),
    ),
    Promise(
        id="uncached-reads-per-second",
        words="Queries a second, without the cache",
        unit=Unit.PER_SECOND,
        least=READS_PER_SECOND,
        measure=_per_second(cached=False),
    ),
    Promise(id="less-load", words="Less load by the cache", unit=Unit.RATIO, least=LESS_LOAD_RATIO, measure=_less_load),
    Promise(id="error-ratio", words="Error rate", unit=Unit.RATIO, most=ERROR_RATIO, measure=_errors),
)
