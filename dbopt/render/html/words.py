"""What the templates say in words, and which of the values they show: the decisions about form, none about facts."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from dbopt.health.check import Status
from dbopt.metrics.metric import Group, Standing
from dbopt.optimize.steps import Action
from dbopt.render.html import amounts, chart
from dbopt.render.words import DONE, plural
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dbopt.metrics.metric import Metric
    from dbopt.render.html.chart import Chart
    from dbopt.report.values import Compared, Course, DatabaseReport, RunEffect, Seen, StatementRow, StepEffect
    from dbopt.stats.coverage import Share
    from dbopt.stats.indexes import IndexStats
    from dbopt.store.records import StepRecord

TEXT_MAX = 280  # characters of a statement
# A reset so soon after an index was made has forgotten none of its scans that matter.
_MOMENTS = timedelta(minutes=5)
_GROUP_TITLES = {Group.IO: "Reads and writes", Group.WAL: "Write-ahead log", Group.CLIENTS: "Applications"}
_STANDING_WORDS = {Standing.OK: "on target", Standing.ABOVE: "above target", Standing.BELOW: "below target"}
_TILES = (
    ("transactions_per_second", "Transactions"),
    ("statement_time_mean_ms", "Mean statement"),
    ("cache_hit_ratio", "Buffer hits"),
    ("connections_used_ratio", "Connections used"),
)


@dataclass(frozen=True, slots=True)
class Tile:
    title: str
    value: str
    words: str = ""
    badge: tuple[str, str] | None = None  # a word, and its colour


@dataclass(frozen=True, slots=True)
class CourseGroup:
    title: str
    drawn: Sequence[tuple[Course, Chart]]
    flat: Sequence[Course]


def summary(database: DatabaseReport) -> str:
    """The page in three or four sentences."""
    seen = database.seen
    assert seen is not None
    counts = Counter(result.status for result in database.verdict.results)
    critical, warnings = counts[Status.CRITICAL], counts[Status.WARNING]
    bad = [f"{critical} critical"] if critical else []
    bad += [plural(warnings, "warning", "warnings")] if warnings else []
    checks = plural(len(database.verdict.results), "check", "checks")
    said = [f"Health found {' and '.join(bad) or 'no problem'} in {checks}."]
    known = {course.figure.metric.name: course.figure for course in seen.courses if course.figure.value is not None}
    if seen.is_history and seen.window is not None:
        length = amounts.duration((seen.window[1] - seen.window[0]).total_seconds())
        served, mean = (known.get(name) for name in ("transactions_per_second", "statement_time_mean_ms"))
        if served is not None and served.value is not None:
            seconds = (seen.window[1] - seen.window[0]).total_seconds()
            words = f"In {length} the database did some {amounts.rounded(served.value * seconds)} transactions"
            taking = (
                ""
                if mean is None
                else f", a statement taking {amounts.amount(mean.value, mean.metric.unit)} on average"
            )
            said.append(f"{words}{taking}.")
    if seen.survey is not None:
        sums = seen.survey.totals
        said.append(f"It holds {amounts.size(sums.total_bytes)} in {plural(sums.tables, 'table', 'tables')}")
        if sums.growth_bytes:
            way = "more" if sums.growth_bytes > 0 else "less"
            said[-1] += f", {amounts.size(abs(sums.growth_bytes))} {way} than when the window began"
        said[-1] += "."
    if seen.runs:
        steps = [item.step for run in seen.runs for item in run.steps if item.step.outcome == "done"]
        said.append(f"optimize ran {_times(len(seen.runs))} and did {plural(len(steps), 'step', 'steps')}.")
    return " ".join(said)


def tiles(database: DatabaseReport) -> Iterator[Tile]:
    seen = database.seen
    assert seen is not None
    status = database.verdict.status
    counts = Counter(result.status for result in database.verdict.results)
    problems = plural(counts[Status.CRITICAL] + counts[Status.WARNING], "problem", "problems")
    yield Tile("Health", problems, "", (status, status))
    known = {course.figure.metric.name: course.figure for course in seen.courses}
    for name, title in _TILES:
        figure = known.get(name)
        if figure is not None and figure.value is not None:
            value = amounts.amount(figure.value, figure.metric.unit)
            yield Tile(title, value, "", _standing(figure.standing))
    if seen.survey is not None:
        sums = seen.survey.totals
        grown = "" if sums.growth_bytes is None else amounts.growth(sums.growth_bytes)
        yield Tile("Size", amounts.size(sums.total_bytes), f"{grown} in the window" if grown else "")


def course_groups(seen: Seen) -> Iterator[CourseGroup]:
    """Figures that moved as charts, those that did not as a list."""
    breaks = [at for at, _ in seen.breaks]
    known = [course for course in seen.courses if course.figure.value is not None or course.known]
    for group, members in groupby(known, key=lambda course: course.figure.metric.group):
        found = list(members)
        drawn = [course for course in found if not course.is_flat and seen.window is not None]
        yield CourseGroup(
            _title(group),
            [(course, chart.draw(course, seen.window, breaks)) for course in drawn if seen.window is not None],
            [course for course in found if course.is_flat],
        )


def unknown(seen: Seen) -> list[tuple[str, str, str | None]]:
    """Figures without a value: their names together, why, and what to type."""
    together: dict[tuple[str, str | None], list[str]] = {}
    for course in seen.courses:
        figure = course.figure
        if figure.value is None and not course.known:
            together.setdefault((figure.reason or "it was not counted", figure.hint), []).append(figure.metric.title)
    return [(", ".join(names), reason, hint) for (reason, hint), names in together.items()]


def amount(course: Course) -> str:
    return amounts.amount(course.figure.value, course.figure.metric.unit)


def standing(course: Course) -> tuple[str, str] | None:
    return _standing(course.figure.standing)


def _standing(found: Standing | None) -> tuple[str, str] | None:
    """A word and its colour."""
    if found is None:
        return None
    colour = {Standing.OK: "ok", Standing.ALERT: "critical"}.get(found, "warning")
    return _STANDING_WORDS.get(found, found), colour


def target(metric: Metric) -> str:
    goal = metric.goal
    assert goal is not None
    side = "below" if goal.below else "above"
    return f"{side} {amounts.amount(goal.target, metric.unit)}, alert at {amounts.amount(goal.alert, metric.unit)}"


def breaks(seen: Seen) -> str:
    """Where counting was interrupted."""
    return " ".join(f"{amounts.moment(at)}: {words}." for at, words in seen.breaks)


def totals(seen: Seen) -> str:
    assert seen.survey is not None
    sums = seen.survey.totals
    said = (
        f"{plural(sums.tables, 'table', 'tables')} with {amounts.size(sums.heap_bytes + sums.toast_bytes)} and "
        f"{plural(sums.indexes, 'index', 'indexes')} with {amounts.size(sums.index_bytes)}."
    )
    if sums.unscanned_indexes:
        count = plural(
            sums.unscanned_indexes, "index that no constraint needs was", "indexes that no constraint needs were"
        )
        said += f" {count} not scanned {counted(seen)}: {amounts.size(sums.unscanned_bytes)}."
    return said


def counted(seen: Seen) -> str:
    return "in the window" if seen.is_history else "since the counters began"


def share(item: Share) -> str:
    """`95.2 %: 20 of 21`."""
    if item.ratio is None:
        return f"not known: {item.reason or 'nothing was counted'}"
    if item.name == "rows_by_index":
        return f"{amounts.ratio(item.ratio)}: {amounts.number(item.part)} of {amounts.number(item.whole)} rows"
    return f"{amounts.ratio(item.ratio)}: {amounts.number(item.part)} of {amounts.number(item.whole)}"


def marks(index: IndexStats) -> list[tuple[str, str]]:
    found = (
        ("invalid", "critical", not index.is_valid),
        ("primary key", "plain", index.is_primary),
        ("unique", "plain", index.is_unique and not index.is_primary),
        ("constraint", "plain", index.is_constraint and not index.is_unique),
    )
    return [(word, colour) for word, colour, holds in found if holds]


def spec(index: IndexStats) -> str:
    """Its domain alone, where the entry has the index's own name."""
    assert index.spec is not None
    return index.spec.removesuffix(f"/{index.name}")


def cut(row: StatementRow) -> str | None:
    """The beginning of a text that is too long to be read in passing; None: it is not."""
    if row.text is None or len(row.text) <= TEXT_MAX:
        return None
    return f"{row.text[: TEXT_MAX - 20].rstrip()} ..."


def run_words(effect: RunEffect) -> str:
    run = effect.run
    counts = ((run.applied, "applied"), (run.failed, "failed"), (run.refused, "refused"), (run.unchanged, "unchanged"))
    said = ", ".join(f"{count} {word}" for count, word in counts if count)
    took = "" if run.seconds is None else f" in {format_duration(run.seconds)}"
    return f"{said or 'nothing to do'}{took}. {run.command} by {run.os_user} as {run.role}, dbopt {run.dbopt_version}."


def done(step: StepRecord) -> str:
    if step.outcome != "done":
        return f"{step.action} {'failed' if step.error else 'unfinished'}"
    return DONE[Action(step.action)] if step.action in Action._value2member_map_ else step.action


def size_now(item: StepEffect) -> str:
    if item.is_gone:
        return "gone or partitioned"
    return "" if item.size_now_bytes is None else amounts.size(item.size_now_bytes)


def scans(item: StepEffect) -> str:
    if item.scans is None:
        return ""
    number = amounts.number(item.scans)
    later = item.scans_since is not None and item.scans_since - item.step.started_at > _MOMENTS
    return f"{number} since {amounts.moment(item.scans_since)}" if later else number


def before_after(item: Compared) -> str:
    before, after = (amounts.amount(value, item.unit) for value in (item.before, item.after))
    words = f"{before} → {after}"
    if item.before and item.after is not None:
        change = item.after / item.before - 1
        words += f" ({'+' if change >= 0 else '−'}{amounts.ratio(abs(change))})" if abs(change) < 10 else ""
    return words


def when(at: datetime | None) -> str:
    return "never" if at is None else amounts.moment(at)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(group: Group) -> str:
    return _GROUP_TITLES.get(group, group.capitalize())


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


# What templates use.
FILTERS = {
    function.__name__: function
    for function in (
        *(summary, tiles, course_groups, unknown, amount, standing, breaks, totals),
        *(marks, spec, cut, run_words, done, size_now, scans, before_after),
        *(target, share, capital, when),
    )
}
