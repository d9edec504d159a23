"""Figures for people: by group, with target and alert beside them; then what they are made of; then what is not known
and why. One line at the end says which time all of it is about.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Standing
from dbopt.render.amounts import UNKNOWN, amount
from dbopt.render.escape import visible
from dbopt.render.sql import spelled
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table
    from rich.text import Text

    from dbopt.metrics.breakdown import Breakdown
    from dbopt.metrics.figures import Figure
    from dbopt.metrics.measurement import About, Measurement, Span
    from dbopt.metrics.metric import Metric
    from dbopt.render.output import Stream

_STYLES = {
    Standing.OK: "green",
    Standing.ABOVE: "yellow",
    Standing.BELOW: "yellow",
    Standing.ALERT: "bold red",
}
_ROWS_MAX = 10  # of what a figure is made of; other formats have all
_NAMES_MAX = 5  # of sessions, on one line
_QUERY_COLUMNS = 100  # of a statement's text
_WHOLE = (0, 1, 4)  # columns that do not fold while others can: title, value, trend
_DISPENSABLE = (7, 6)  # remark, target
_APART = 3  # blanks between two columns
_UNCHANGED = 0.005  # a smaller change is none


def write_table(out: Stream, measurements: Sequence[Measurement], trends: Mapping[str, Mapping[str, str]]) -> None:
    from rich.text import Text

    for number, measurement in enumerate(measurements):
        if len(measurements) > 1:
            title = Text("\n" if number else "").append(where(measurement.about), "bold underline").append("\n")
            out.print(title)
        _write(out, measurement, trends.get(measurement.about.label, {}))


def _write(out: Stream, measurement: Measurement, trends: Mapping[str, str]) -> None:
    from rich.text import Text

    if measurement.error is not None:
        error = measurement.error
        out.print(Text("error: ", "bold red").append(visible(error.message)))
        for label, said in (("detail", error.detail), ("hint", error.hint)):
            for line in (said or "").splitlines():
                out.write(f"  {label}: {visible(line)}\n")
        return
    known = [figure for figure in measurement.figures if figure.value is not None or figure.metric.name in trends]
    if known:
        out.print(_figures(known, trends, out.columns))
        out.write("\n")
    for found, following in itertools.zip_longest(measurement.breakdowns, measurement.breakdowns[1:]):
        _breakdown(out, found)
        if found.group is Group.CONNECTIONS and (following is None or following.group is not found.group):
            out.write("\n")
    _not_known(out, [figure for figure in measurement.figures if figure not in known])
    for note in measurement.notes:
        out.write(f"note: {visible(note)}\n")
    out.print(Text(_summary(measurement)))


def _figures(figures: Sequence[Figure], trends: Mapping[str, str], room: int) -> Table:
    """Columns without any value are left out, and on a narrow screen remarks and targets: a word that is folded letter
    by letter says less than none.
    """
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    rows = [(figure, _cells(figure, trends.get(figure.metric.name, ""))) for figure in figures]
    titles = ("", "value", "before", "change", "trend", "", "target", "")
    used = [number for number in range(len(titles)) if any(cells[number].plain for _, cells in rows)]
    widths = {number: max(cell_len(cells[number].plain) for _, cells in rows) + _APART for number in used}
    for number in _DISPENSABLE:
        if number in used and sum(widths[one] for one in used) > room:
            used.remove(number)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for number in used:
        right = titles[number] in ("value", "before", "change")
        table.add_column(
            titles[number], justify="right" if right else "left", overflow="fold", no_wrap=number in _WHOLE
        )
    group: Group | None = None
    for figure, cells in rows:
        if figure.metric.group is not group:
            if group is not None:
                table.add_row()
            group = figure.metric.group
            table.add_row(Text(str(group), "bold"))
        table.add_row(*(cells[number] for number in used))
    return table


def _cells(figure: Figure, trend: str) -> tuple[Text, ...]:
    from rich.text import Text

    metric, standing = figure.metric, figure.standing
    before = "" if figure.before is None else amount(figure.before, metric.unit)
    return (
        Text(f"  {metric.title}"),
        Text(amount(figure.value, metric.unit)),
        Text(before),
        Text(_change(figure)),
        Text(trend),
        Text("" if standing is None else str(standing), "" if standing is None else _STYLES[standing]),
        Text(_goal(metric)),
        Text(figure.remark or ""),
    )


def _change(figure: Figure) -> str:
    change = figure.change
    if change is None:
        return ""
    if abs(change) < _UNCHANGED:
        return "same"
    return f"{change:+.0%}".replace("%", " %") if change < 9 else f"{change + 1:,.0f} times"


def _goal(metric: Metric) -> str:
    goal = metric.goal
    if goal is None:
        return ""
    better, worse = ("<", ">") if goal.below else (">", "<")
    target, alert = (amount(value, metric.unit) for value in (goal.target, goal.alert))
    return f"{better} {target}, alert {worse} {alert}"


def _breakdown(out: Stream, found: Breakdown) -> None:
    from dbopt.render.table import Column, table

    if not found.rows:
        return
    rows, more = found.rows[:_ROWS_MAX], len(found.rows) - _ROWS_MAX
    if found.group is Group.CONNECTIONS:
        names = [f"{_name(row.subject)} {row.values[0]:,.0f}" for row in found.rows[:_NAMES_MAX]]
        left = len(found.rows) - _NAMES_MAX
        names += [f"and {left} more"] if left > 0 else []
        out.write(f"{found.title}: {', '.join(names)}\n")
        return
    out.write(f"{found.title}\n")
    columns = [Column(name=found.subject)]
    columns += [
        Column(
            name=measure.name,
            title=measure.title,
            align="right",
            show=functools.partial(amount, unit=measure.unit),
        )
        for measure in found.measures
    ]
    columns.append(Column(name="query", show=_short))
    out.print(table(columns, [(_name(row.subject), *row.values, row.text) for row in rows]))
    out.write(f"and {more} more: --format json has all\n\n" if more > 0 else "\n")


def _name(subject: str) -> str:
    return visible(subject) if subject else "(no name)"


def _short(text: str) -> str:
    return text if len(text) <= _QUERY_COLUMNS else text[: _QUERY_COLUMNS - 3] + "..."


def _not_known(out: Stream, figures: Sequence[Figure]) -> None:
    from rich.text import Text

    together: dict[tuple[str, str | None], list[str]] = {}
    for figure in figures:
        together.setdefault((figure.reason or "", figure.hint), []).append(figure.metric.name)
    if not together:
        return
    out.print(Text(UNKNOWN, "bold"))
    silent = 0
    for (reason, hint), names in together.items():
        if hint is None:  # nothing of the kind is here or has happened, and there is nothing to type
            silent += len(names)
            continue
        out.print(Text(f"  {', '.join(names)}: ").append(visible(reason), "magenta"))
        for line in spelled(hint).split("\n"):
            out.write(f"      {line}\n")
    if silent:
        others = "other " if silent < len(figures) else ""
        out.write(f"  {silent} {others}figures have nothing to count here; --format lines says why of each\n")
    out.write("\n")


def _summary(measurement: Measurement) -> str:
    """`metrics: app on PostgreSQL 18.4 · 2026-11-22 07:00:01 to 07:00:06, 5.0 s between two readings`."""
    span = measurement.span
    assert span is not None  # there is no error
    lines = []
    if measurement.before is not None:
        lines.append(f"before: {_span(measurement.before)}")
    lines.append(f"metrics: {where(measurement.about)} · {_span(span)}")
    return "\n".join(lines)


def _span(span: Span) -> str:
    return ", ".join(_of_span(span))


def _of_span(span: Span) -> Iterator[str]:
    from_at, to_at = span.from_at.astimezone(), span.to_at.astimezone()
    end = f"{to_at:%H:%M:%S}" if from_at.date() == to_at.date() else f"{to_at:%Y-%m-%d %H:%M:%S}"
    reach = (to_at - from_at).total_seconds()
    watched = format_duration(span.seconds)
    gaps = f" of {format_duration(reach)} watched" if reach - span.seconds > max(1.0, reach * 0.01) else ""
    yield f"{from_at:%Y-%m-%d %H:%M:%S} to {end} ({watched}{gaps}, {span.basis})"
    yield from span.breaks
    yield from (f"{family}: {format_duration(seconds)} watched" for family, seconds in span.shorter.items())


def where(about: About) -> str:
    """`app on PostgreSQL 18.4`, behind the target's name where it has one; the place, where nobody answered."""
    named = f"{visible(about.name)}: " if about.name else ""
    if about.dbname is None or about.server_version is None:
        return named + visible(about.place)
    standby = " standby" if about.in_recovery else ""
    return f"{named}{visible(about.dbname)} on PostgreSQL {visible(about.server_version.split(' ')[0])}{standby}"
