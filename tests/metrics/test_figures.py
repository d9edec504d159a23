"""What figures say: their values, where they stand, and why there are none. No server."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbopt.metrics import spans
from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.figures import NOT_KEPT, Figure, Lacks, figures
from dbopt.metrics.latency import slow
from dbopt.metrics.metric import Goal, Standing, Unit
from dbopt.metrics.pool import POOLER
from dbopt.metrics.quantiles import Share, quantile
from dbopt.metrics.window import Window
from dbopt.snapshot.model import Change, Family, Interval, Level, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTHING_LACKS = Lacks(families={}, grant=None)


def interval(
    family: str = Family.SERVER,
    seconds: float = 10.0,
    changes: Mapping[str, Mapping[str, float | None]] | None = None,
    levels: Mapping[str, tuple[float, float]] | None = None,
    breaks: tuple[str, ...] = (),
    to_at: datetime = NOON,
) -> Interval:
    """`changes` by key and counter, `levels` as (mean, greatest)."""
    counts = tuple(dict.fromkeys(name for counters in (changes or {}).values() for name in counters))
    return Interval(
        family=family,
        from_at=to_at - timedelta(seconds=seconds),
        to_at=to_at,
        seconds=seconds,
        counts=counts,
        changes={
            key: Change(key, key.partition("/")[0], tuple(counters.get(name) for name in counts))
            for key, counters in (changes or {}).items()
        },
        levels={name: Level(mean, 1, greatest) for name, (mean, greatest) in (levels or {}).items()},
        breaks=breaks,
    )


def window(*intervals: Interval, slow_ms: float = 500) -> Window:
    return Window(intervals={str(item.family): item for item in intervals}, slow_ms=slow_ms)


def figure(name: str, of: Window, lacks: Lacks = NOTHING_LACKS, before: Window | None = None) -> Figure:
    [found] = figures([METRICS[name]], of, lacks, before)
    return found


def statements(**by_key: tuple[float, float, float]) -> Interval:
    """(calls, mean, standard deviation) by queryid; `n1` is called within functions."""
    return interval(
        Family.STATEMENTS,
        changes={
            f"{key.removeprefix('n').removeprefix('q')}/10/{int(key[0] == 'q')}": {
                "calls": calls,
                "total_exec_time_ms": calls * mean,
                "sum_squares_ms2": calls * (mean**2 + deviation**2),
                "rows": calls,
            }
            for key, (calls, mean, deviation) in by_key.items()
        },
    )


# The catalogue


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_and_units_agree(metric: object) -> None:
    found = METRICS[metric.name]  # type: ignore[attr-defined]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", found.name)
    assert found.name.endswith("_ratio") <= (found.unit is Unit.RATIO)
    assert found.name.endswith("_ms") == (found.unit is Unit.MILLISECONDS)
    assert found.name.endswith("_bytes_per_second") == (found.unit is Unit.BYTES_PER_SECOND)
    assert (found.unit in (Unit.PER_SECOND, Unit.BYTES_PER_SECOND)) == found.name.endswith("_per_second")
    assert found.meaning.endswith((".", "threshold, 500 ms."))


# Latency


def test_quantiles_of_a_mixture() -> None:
    """Against a sample of the same distributions; 1 % is what so many draws are worth."""
    draw = random.Random(1)
    shapes = [(60_000, 0.0, 0.5), (30_000, 2.0, 0.3), (10_000, 5.0, 1.0)]
    times = sorted(draw.lognormvariate(mu, sigma) for number, mu, sigma in shapes for _ in range(number))
    shares = []
    for number, mu, sigma in shapes:
        mean = 2.718281828459045 ** (mu + sigma**2 / 2)
        shares.append(Share(number, mean, (2.718281828459045 ** (sigma**2) - 1) * mean**2))
    for share in (0.1, 0.5, 0.8, 0.95, 0.99):
        found = quantile(shares, share)
        assert found == pytest.approx(times[int(share * len(times))], rel=0.03), share


def test_statements_that_always_take_the_same_time_are_exact() -> None:
    shares = [Share(98, 2.0, 0.0), Share(2, 700.0, 0.0)]
    assert quantile(shares, 0.5) == pytest.approx(2.0, rel=1e-3)
    assert quantile(shares, 0.95) == pytest.approx(2.0, rel=1e-3)
    assert quantile(shares, 0.99) == pytest.approx(700.0, rel=1e-3)
    assert quantile([], 0.5) is None
    assert quantile([Share(5, 0.0, 0.0)], 0.5) == pytest.approx(0.0, abs=1e-3)


def test_what_functions_call_counts_once() -> None:
    found = window(statements(q1=(90, 1.0, 0.0), q2=(10, 51.0, 0.0), n3=(1000, 5000.0, 0.0)))
    assert figure("statement_time_mean_ms", found).value == pytest.approx(6.0)
    assert figure("statements_per_second", found).value == pytest.approx(10.0)
    assert figure("statement_time_mean_ms", found).remark == "of 100 calls"


def test_slow_is_a_mean_over_the_threshold() -> None:
    found = window(statements(q1=(5, 400.0, 300.0), q2=(2, 600.0, 0.0), q3=(9, 150.0, 0.0)), slow_ms=140)
    assert [item.queryid for item in slow(found)] == ["1", "3", "2"]  # the dearest first
    assert figure("slow_statements", found).value == 3
    assert figure("slow_statement_calls", found).value == 16
    assert figure("slow_statements", found).remark == "over 140 ms on average"


def test_nothing_slow_is_0_and_no_calls_are_no_data() -> None:
    quick = window(statements(q1=(5, 1.0, 0.0)))
    assert figure("slow_statements", quick).value == 0
    idle = window(interval(Family.STATEMENTS, changes={"1/10/0": {"calls": 1, "total_exec_time_ms": 1, "rows": 1}}))
    assert figure("statement_time_mean_ms", idle).value is None
    assert figure("statement_time_mean_ms", idle).reason == "no statement ended"


# Ratios


def blocks(hit: float, read: float, catalog_hit: float = 0.0, catalog_read: float = 0.0) -> Window:
    counters = {
        "blks_hit": hit,
        "blks_read": read,
        "catalog_blks_hit": catalog_hit,
        "catalog_blks_read": catalog_read,
    }
    return window(interval(changes={"database": counters}))


def test_the_catalogs_are_left_out() -> None:
    found = figure("cache_hit_ratio", blocks(hit=9000, read=1100, catalog_hit=8000, catalog_read=100))
    assert (found.value, found.standing) == (0.5, Standing.ALERT)
    assert found.remark == "of 2,000 blocks"


def test_few_blocks_are_shown_and_not_judged() -> None:
    found = figure("cache_hit_ratio", blocks(hit=100, read=100))
    assert (found.value, found.standing, found.remark) == (0.5, None, "of 200 blocks, too few to judge")


def test_no_blocks_are_no_data() -> None:
    found = figure("cache_hit_ratio", blocks(hit=50, read=0, catalog_hit=50))
    assert (found.value, found.reason) == (None, "no block was wanted")


def test_a_look_may_see_the_catalogs_before_the_whole() -> None:
    assert figure("cache_hit_ratio", blocks(hit=40, read=10, catalog_hit=50)).value == 0.0


@pytest.mark.parametrize(
    ("below", "value", "standing"),
    [
        (True, 0.79, Standing.OK),
        (True, 0.8, Standing.ABOVE),
        (True, 0.9, Standing.ABOVE),
        (True, 0.91, Standing.ALERT),
        (False, 0.91, Standing.OK),
        (False, 0.9, Standing.BELOW),
        (False, 0.8, Standing.BELOW),
        (False, 0.79, Standing.ALERT),
    ],
)
def test_goals(below: bool, value: float, standing: Standing) -> None:
    goal = Goal(0.8, 0.9, True, "") if below else Goal(0.9, 0.8, False, "")
    assert goal.standing(value) is standing


def test_the_share_of_connections() -> None:
    levels = {"connections": (88.0, 97.0), "connections_max": (97.0, 97.0)}
    found = figure("connections_used_ratio", window(interval(levels=levels)))
    assert (found.value, found.standing) == (pytest.approx(88 / 97), Standing.ALERT)
    assert figure("connections", window(interval(levels=levels))).remark == "at most 97"


def test_the_fullest_pool_counts() -> None:
    levels = {"pool_used": (2.0, 2.0), "pool_size": (20.0, 20.0), "pool_waiting": (0.0, 0.0)}
    full = {"pool_used": (19.0, 20.0), "pool_size": (20.0, 20.0), "pool_waiting": (3.0, 9.0)}
    pooler = {"pool_used": (9.0, 9.0), "pool_size": (40.0, 40.0), "pool_used_ratio": (0.45, 0.45)}
    of = window(
        interval("clients/shop/1", levels=levels),
        interval("clients/shop/2", levels=full),
        interval(POOLER, levels=pooler),
    )
    found = figure("pool_used_ratio", of)
    assert (found.value, found.standing) == (0.95, Standing.ALERT)
    assert figure("pool_connections", of).value == 30
    assert figure("pool_waiting", of).value == 3
    assert figure("pool_used_ratio", window(interval())).reason == "no pool is known"


# Why there is none


def test_reasons() -> None:
    of = window(interval(changes={"database": {"xact_commit": 1.0, "session_time": None, "sessions": None}}))
    grant = 'GRANT pg_read_all_stats TO "app";'
    hidden = figure("connections_active", of, Lacks(families={}, grant=grant))
    assert (hidden.value, hidden.reason, hidden.hint) == (
        None,
        "what others' sessions do is hidden from this role",
        grant,
    )
    lacks = Lacks(families={Family.STATEMENTS: ("not created", "CREATE EXTENSION x;")}, grant=None)
    assert figure("slow_statements", of, lacks).hint == "CREATE EXTENSION x;"
    assert figure("slow_statements", of).reason == NOT_KEPT
    assert figure("sessions_per_second", of).reason == "counted from PostgreSQL 14 on"
    broken = window(interval(Family.IO, seconds=0.0, breaks=("another machine took over",)))
    assert figure("io_reads_per_second", broken).reason == "another machine took over"


def test_what_adds_up_is_compared_for_the_same_length() -> None:
    now = window(interval(seconds=60, changes={"database": {"deadlocks": 6.0}}))
    before = window(interval(seconds=30, changes={"database": {"deadlocks": 1.0}}))
    found = figure("deadlocks", now, before=before)
    assert (found.value, found.before, found.change) == (6.0, 2.0, 2.0)


# Which stored intervals


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def between(start: float, end: float) -> Interval:
    return interval(seconds=(end - start) * 60, to_at=at(end))


FIVES = [between(start, start + 5) for start in range(0, 60, 5)]


def test_a_time_begins_at_the_reading_nearest_to_it() -> None:
    assert spans.since(FIVES, at(32)) == FIVES[6:]
    assert spans.since(FIVES, at(33)) == FIVES[7:]
    assert spans.since(FIVES, at(32), exactly=True) == FIVES[7:]
    assert spans.since(FIVES, at(35), exactly=True) == FIVES[7:]


def test_a_reading_long_ago_is_better_than_none() -> None:
    long = [between(-3000, 60)]
    assert spans.since(long, at(50)) == long
    assert spans.since(long, at(50), exactly=True) == []


def test_the_time_compared_with() -> None:
    assert spans.covering(FIVES, at(9), at(21)) == FIVES[2:4]
    assert spans.covering(FIVES, at(11), at(12)) == [FIVES[2]]
    assert spans.covering(FIVES, at(70), at(80)) == []


def test_another_process_may_have_kept_a_reading_meanwhile() -> None:
    def part(minutes: float) -> Part:
        return Part(family=Family.SERVER, taken_at=at(minutes), lineage="a", counts=())

    assert spans.until_now([], None, part(60)) == []
    last = spans.until_now(FIVES, part(60), part(62))[-1]
    assert (last.from_at, last.seconds) == (at(60), 120)
    assert spans.until_now(FIVES, part(60.5), part(60)) == FIVES


def test_every_figure_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name, metric in METRICS.items() if f"| `{name}` | {metric.meaning} |" not in page] == []
