"""Series over time: charts with what is to be said of them for people, every point for programs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from dbopt.render import json
from dbopt.render.amounts import amount, number
from dbopt.render.escape import visible
from dbopt.render.history_values import counted, day_time
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data, write_records
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from dbopt.history.series import Point, Series
    from dbopt.metrics.metric import Goal, Metric
    from dbopt.render.output import Output
    from dbopt.store.chronicle import Database
    from dbopt.store.marks import Mark

_COLUMNS = [
    Column(name=name)
    for name in ("series", "from_at", "to_at", "value", "seconds", "breaks", "unit", "target", "dbname", "subject")
]
# Of moments at which something broke off, so many are named.
_MOMENTS_MAX = 3
# So much unwatched is not worth a word: a reading takes its time.
_UNWATCHED_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Of one database. `subject`: the statement or table that all series are about; `about`: its text, masked."""

    database: Database
    every_seconds: float
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    subject: str | None = None
    about: str | None = None


def write_pages(output: Output, pages: Sequence[Page]) -> None:
    match output.format:
        case Format.TABLE:
            for place, page in enumerate(pages):
                _write_page(output, page, is_first=place == 0)
        case Format.JSON:
            _write_json(output, pages)
        case _:
            rows = [_row(page, series, point) for page in pages for series in page.series for point in series.points]
            write_data(output, _COLUMNS, rows)


def write_metrics(output: Output, metrics: Iterable[Metric]) -> None:
    """The names, for whoever does not know them."""
    rows = [
        [
            metric.name,
            str(metric.group),
            str(metric.unit),
            None if metric.goal is None else metric.goal.target,
            None if metric.goal is None else metric.goal.alert,
            metric.meaning,
        ]
        for metric in metrics
    ]
    if output.format is Format.TABLE:
        _write_names(output, metrics)
        return
    columns = [Column(name=name) for name in ("metric", "group", "unit", "target", "alert", "meaning")]
    write_records(output, "history", "metrics", columns, rows)


def _write_names(output: Output, metrics: Iterable[Metric]) -> None:
    from rich.text import Text

    width, group = _columns(output), None
    for metric in metrics:
        if metric.group is not group:
            output.out.print(Text("" if group is None else "\n").append(str(metric.group), "bold"))
            group = metric.group
        goal = "" if metric.goal is None else f" ({_goal_words(metric.goal, metric.unit)})"
        output.out.print(Text("  ").append(metric.name, "cyan").append(f", {metric.unit}{goal}"))
        output.out.write(textwrap.fill(metric.meaning, width, initial_indent="    ", subsequent_indent="    ") + "\n")


def _columns(output: Output) -> int:
    from dbopt.render.history_chart import COLUMNS_MAX, COLUMNS_MIN

    return min(max(output.out.columns, COLUMNS_MIN), COLUMNS_MAX)


def _row(page: Page, series: Series, point: Point) -> list[object]:
    breaks = "; ".join(point.breaks) or None
    fields = (series.name, point.from_at, point.to_at, point.value, point.seconds, breaks, str(series.unit))
    return [*fields, page.database.name, page.database.dbname, page.subject]


def _write_json(output: Output, pages: Sequence[Page]) -> None:
    content: list[dict[str, Any]] = []
    for page in pages:
        about = {"target": page.database.name, "dbname": page.database.dbname, "server": page.database.server}
        subject = {} if page.subject is None else {"subject": page.subject, "text": page.about}
        content += [
            {**about, **subject, "every_seconds": page.every_seconds, **_series_fields(series)}
            for series in page.series
        ]
    marks = [
        {
            "target": page.database.name,
            "dbname": page.database.dbname,
            "marked_at": mark.marked_at,
            "kind": mark.kind,
            "scope": mark.scope,
        }
        for page in pages
        for mark in page.marks
    ]
    document = json.document("history", series=content, marks=marks)
    json.write_document(output.out, document)


def _series_fields(series: Series) -> dict[str, Any]:
    goal = series.goal
    unknown = series.unknown_before
    return {
        "series": series.name,
        "title": series.title,
        "unit": series.unit,
        "meaning": series.meaning,
        "target_value": None if goal is None else goal.target,
        "alert_value": None if goal is None else goal.alert,
        "less_is_better": None if goal is None else goal.below,
        "whole": series.whole,
        "adds_up": series.adds_up,
        "min": None if series.low is None else series.low[0],
        "max": None if series.high is None else series.high[0],
        "seconds": series.seconds,
        "unknown_before": None if unknown is None else {"at": unknown[0], "reason": unknown[1]},
        "points": [
            {
                "from_at": point.from_at,
                "to_at": point.to_at,
                "value": point.value,
                "seconds": point.seconds,
                "breaks": point.breaks,
            }
            for point in series.points
        ],
    }


def _write_page(output: Output, page: Page, *, is_first: bool) -> None:
    from rich.text import Text

    out, width = output.out, _columns(output)
    place = f"{visible(page.database.name)} ({visible(page.database.dbname)})"
    if page.subject is not None:
        out.print(Text("" if is_first else "\n").append(f"{visible(page.subject)} on {place}", "bold"))
        if page.about is not None:
            out.write(textwrap.fill(visible(page.about), width) + "\n")
    for number_of, series in enumerate(page.series):
        gap = "" if is_first and number_of == 0 and page.subject is None else "\n"
        where = "" if page.subject is not None else f" on {place}"
        out.print(Text(gap).append(f"{series.title} ({series.name}){where}", "bold"))
        out.write(textwrap.fill(series.meaning, width) + "\n")
        said = _about_time(page, series)
        following = page.series[number_of + 1 : number_of + 2]
        is_said_below = any(_about_time(page, item) == said for item in following)
        _write_series(output, page, series, width, () if is_said_below else said)


def _write_series(output: Output, page: Page, series: Series, width: int, about_time: Sequence[str]) -> None:
    from dbopt.render.history_chart import bounds, chart

    if series.known and _can_draw(output):
        start, end = series.points[0].from_at, series.points[-1].to_at
        moments = sorted({at for _, ats in _broken(page, series) for at in ats if start <= at <= end})
        drawn = chart(series, page.every_seconds, moments, width)
        if drawn is not None:
            output.out.write("\n")
            output.out.print(drawn)
    lines = [_extremes(series), *_goal_lines(series, bounds(series) if series.known else None), *about_time]
    output.out.write("\n")
    for line in filter(None, lines):
        output.out.write(textwrap.fill(line, width, subsequent_indent="  ") + "\n")


def _about_time(page: Page, series: Series) -> list[str]:
    return [*_coverage(page, series), *(_broken_words(words, ats) for words, ats in _broken(page, series))]


def _can_draw(output: Output) -> bool:
    """A terminal of an old encoding has no characters for it; the numbers are there all the same."""
    try:
        "\u2847┈┌".encode(output.out.file.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _extremes(series: Series) -> str:
    if series.low is None or series.high is None:
        return f"no value in this time{f': {series.lacks}' if series.lacks else ''}"
    word = "last" if series.is_state else "sum" if series.adds_up else "mean"
    (low, low_at), (high, high_at) = series.low, series.high
    whole = amount(series.whole, series.unit)
    if low == high:
        return f"{word} {whole}, the same all the time"
    return (
        f"{word} {whole}, min {amount(low, series.unit)} ({day_time(low_at.to_at)}),"
        f" max {amount(high, series.unit)} ({day_time(high_at.to_at)})"
    )


def _goal_words(goal: Goal, unit: str) -> str:
    less, more = ("below", "above") if goal.below else ("above", "below")
    return f"target {less} {amount(goal.target, unit)}, alert {more} {amount(goal.alert, unit)}"


def _goal_lines(series: Series, limits: Any) -> list[str]:
    from dbopt.render.history_chart import ALERT, TARGET

    goal = series.goal
    if goal is None:
        return []
    words = _goal_words(goal, series.unit)
    signs = [
        f"{sign} {name}"
        for sign, name, line in (
            (TARGET, "the target", limits and limits.target),
            (ALERT, "the alert", limits and limits.alert),
        )
        if line is not None
    ]
    drawn = f" ({', '.join(signs)})" if signs else ""
    return [f"{words}{drawn}; {goal.source}"]


def _coverage(page: Page, series: Series) -> list[str]:
    if not series.points:
        return []
    start, end = series.points[0].from_at, series.points[-1].to_at
    lines = [
        f"{day_time(start)} to {day_time(end)}, {counted(len(series.points), 'point')},"
        f" one each {_every(page.every_seconds)}"
    ]
    without = sum(point.value is None for point in series.points)
    if series.known and without:
        why = f": {series.lacks}" if series.lacks else ""
        lines.append(f"no value in {without} of them{why if series.unknown_before is None else ''}")
    if series.unknown_before is not None:
        at, reason = series.unknown_before
        lines.append(f"not known before {day_time(at)}: {reason}")
    unwatched = (end - start).total_seconds() - series.seconds
    if unwatched > max(_UNWATCHED_SECONDS, 0.001 * series.seconds):
        lines.append(f"not watched for {format_duration(unwatched)} of it")
    longest = max((point.to_at - point.from_at).total_seconds() for point in series.points)
    if longest > page.every_seconds * 1.5:
        lines.append(f"some points stand for up to {format_duration(longest)}: the time between two readings")
    return lines


def _every(seconds: float) -> str:
    for unit, name in ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            count = int(seconds // unit)
            return name if count == 1 else f"{count} {name}s"
    return format_duration(seconds)


def _broken(page: Page, series: Series) -> list[tuple[str, list[datetime]]]:
    """What interrupted the counting, and when, as far as that is known; marks among them."""
    found: dict[str, list[datetime]] = {}
    for point in series.points:
        for words in point.breaks:
            found.setdefault(words, []).append(point.to_at)
    if series.points:
        for mark in page.marks:
            if series.points[0].from_at <= mark.marked_at <= series.points[-1].to_at:
                scope = f" of {mark.scope}" if mark.scope else ""
                found.setdefault(f"{mark.kind}{scope} by {mark.os_user}", []).append(mark.marked_at)
    return list(found.items())


def _broken_words(words: str, moments: Sequence[datetime]) -> str:
    named = ", ".join(day_time(at) for at in moments[-_MOMENTS_MAX:])
    if len(moments) <= _MOMENTS_MAX:
        return f"{visible(words)}: {named}"
    return f"{visible(words)}: {number(len(moments))} times, last {named}"
