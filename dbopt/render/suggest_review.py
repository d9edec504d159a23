"""What became of suggestions: what speaks for each verdict, and the entries of a spec that it comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.metrics.metric import Unit
from dbopt.postgres.identifiers import display
from dbopt.render import advice
from dbopt.render.amounts import amount
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data
from dbopt.render.screen import Screen
from dbopt.render.suggest_table import said
from dbopt.render.words import plural
from dbopt.render.workload_words import short, where
from dbopt.spec.fragment import yaml_lines
from dbopt.suggest.review import Verdict, proposals
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from rich.text import Text

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Output
    from dbopt.suggest.review import Review, Reviewed, StatementFacts, Times

COMMAND = "suggest"
_UNEARNED = "What has not earned its place, as entries of a spec:"
_NOTHING = "no suggestion is kept; this writes a spec, and keeps what it promises:"
_SUGGESTED, _FILE = "suggested.yaml", "unearned.yaml"
_INDENT = 2
_STATEMENTS_MAX = 3  # of one index
_STYLES = {
    Verdict.NOT_USED: "yellow",
    Verdict.NO_FASTER: "yellow",
    Verdict.GONE: "cyan",
    Verdict.EARNED: "green",
}


def _day(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _milliseconds(value: float) -> str:
    return amount(value, Unit.MILLISECONDS)


_FOR_PEOPLE = [
    Column(name="verdict"),
    Column(name="index"),
    Column(name="table"),
    Column(name="since", show=_day),
    Column(name="scans", show=_count, align="right"),
    Column(name="calls", show=_count, align="right"),
    Column(name="before_ms", title="before", show=_milliseconds, align="right"),
    Column(name="after_ms", title="since then", show=_milliseconds, align="right"),
    Column(name="size_bytes", title="size", show=format_bytes, align="right"),
    Column(name="promised_size_bytes", title="promised", show=format_bytes, align="right"),
    Column(name="reason", title="why"),
]
_FOR_PROGRAMS = [
    Column(name=name)
    for name in (
        *("verdict", "schema", "table", "index", "promised_as", "promised_at", "since", "dropped_at", "scans", "calls"),
        *("before_ms", "after_ms", "size_bytes", "promised_size_bytes", "benefit", "basis", "reason"),
    )
]


def write_review(output: Output, about: About, review: Review, *, call: Callable[..., str]) -> None:
    """`call`: of suggest with these options, as it can be pasted."""
    match output.format:
        case Format.TABLE:
            _write_table(output, about, review, call)
        case Format.JSON:
            from dbopt.render import json

            json.write_document(output.out, document(about, review))
        case Format.MARKDOWN:
            output.out.write(_page(about, review, call))
        case _:
            rows = [_row(_FOR_PROGRAMS, _fields(item)) for item in review.found]
            write_data(output, _FOR_PROGRAMS, rows)
            if not review.found:
                output.note(_nothing(about, call))


def document(about: About, review: Review) -> dict[str, Any]:
    from dbopt.render import json
    from dbopt.render.workload_json import target

    return json.document(
        COMMAND,
        kind="review",
        target=target(about),
        reviewed_at=review.at,
        suggestions=[
            {**_fields(item), "statements": list(map(_statement, item.facts.statements))} for item in review.found
        ],
        proposals=list(proposals(review.found, review.at)),
        notes=list(review.notes),
        lacks=[{"reason": reason, "hint": hint} for reason, hint in review.lacks],
    )


def _write_table(output: Output, about: About, review: Review, call: Callable[..., str]) -> None:
    from rich.text import Text

    screen = Screen.of(output.out)
    for line in _lines(screen, about, review, call):
        output.out.print(line if isinstance(line, Text) else Text(line))


def _lines(screen: Screen, about: About, review: Review, call: Callable[..., str]) -> Iterator[Text | str]:
    from rich.text import Text

    yield from (Text(line, "bold") for line in said(screen, where(about)))
    if not review.found:
        yield _NOTHING
        yield f"  {call('-o', _SUGGESTED)}"
        return
    yield from said(screen, _summary(review))
    for item in review.found:
        yield ""
        yield from _item(screen, item)
    entries = proposals(review.found, review.at)
    if entries:
        yield ""
        yield Text(_UNEARNED, "bold")
        for entry in entries:
            yield from (f"  {line}" for line in yaml_lines(entry))
        yield "to a file:"
        yield f"  {call('--review', '-o', _FILE)}"
    if review.notes or review.lacks:
        yield ""
    for note in review.notes:
        yield from said(screen, f"note: {note}")
    for reason, hint in review.lacks:
        yield from (Text(line, "magenta") for line in said(screen, f"not known: {reason}"))
        yield from advice.hint(screen, hint, 2)


def _item(screen: Screen, item: Reviewed) -> Iterator[Text | str]:
    from rich.text import Text

    promise, there = item.facts.promise, item.facts.there
    since = "" if item.since is None else f", since {_day(item.since)}"
    first, *more = said(screen, f"{item.verdict}: {item.index} on {display(promise.schema, promise.table)}{since}")
    text = Text(first)
    text.stylize(_STYLES.get(item.verdict, ""), 0, len(item.verdict))
    yield text
    yield from more
    yield from said(screen, item.reason, _INDENT)
    if there is not None:
        promised = "" if promise.size_bytes is None else f", {format_bytes(promise.size_bytes)} were promised"
        yield from said(screen, f"{format_bytes(there.size_bytes)}{promised}", _INDENT)
    for one in item.facts.statements[:_STATEMENTS_MAX]:
        yield from said(screen, _statement_words(screen, one), _INDENT)
    rest = len(item.facts.statements) - _STATEMENTS_MAX
    if rest > 0:
        yield f"{' ' * _INDENT}and {plural(rest, 'statement', 'statements')} more (--format json has all)"


def _statement_words(screen: Screen, one: StatementFacts) -> str:
    """`queryid 7: 40.0 ms before, 1.0 ms since (200 calls): SELECT ...`."""
    promised = one.promised
    name = (
        f"queryid {promised.queryids[0]}" if promised.queryids else f"statement {promised.fingerprint or ''}".rstrip()
    )
    times = []
    if one.before is not None and one.before.mean_ms is not None:
        times.append(f"{_milliseconds(one.before.mean_ms)} before")
    if one.after is not None:
        mean = "" if one.after.mean_ms is None else f"{_milliseconds(one.after.mean_ms)} since "
        times.append(f"{mean}({plural(round(one.after.calls), 'call', 'calls')})")
    query = "" if one.query is None else f": {screen.cut(short(one.query, screen.columns), 2 * screen.columns)}"
    return f"{name}: {', '.join(times)}{query}" if times else f"{name}{query}"


def _page(about: About, review: Review, call: Callable[..., str]) -> str:
    from dbopt.render.workload_markdown import escaped, fenced

    lines = [f"## What became of suggestions: {escaped(where(about))}", ""]
    if not review.found:
        return "\n".join([*lines, escaped(_nothing(about, call)), ""])
    lines += [f"{_summary(review)}.", ""]
    lines.append(f"| {' | '.join(column.title or column.name for column in _FOR_PEOPLE)} |")
    lines.append(f"|{'|'.join('--:' if column.align == 'right' else '---' for column in _FOR_PEOPLE)}|")
    for item in review.found:
        values = zip(_FOR_PEOPLE, _row(_FOR_PEOPLE, _people(item)), strict=True)
        cells = ("" if value is None else escaped(column.show(value)) for column, value in values)
        lines.append(f"| {' | '.join(cells)} |")
    entries = proposals(review.found, review.at)
    if entries:
        text = "\n".join(line for entry in entries for line in yaml_lines(entry))
        lines += ["", _UNEARNED, "", *fenced("yaml", text)]
    lines += [f"\nNote: {escaped(note)}." for note in review.notes]
    lines += [f"\nNot known: {escaped(reason)}." for reason, _ in review.lacks]
    return "\n".join([*lines, ""])


def _nothing(about: About, call: Callable[..., str]) -> str:
    return f"{where(about)}: {_NOTHING} {call('-o', _SUGGESTED)}"


def _summary(review: Review) -> str:
    counts = [(verdict, sum(item.verdict is verdict for item in review.found)) for verdict in Verdict]
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
    return f"{plural(len(review.found), 'suggestion', 'suggestions')}: {said}"


def _fields(item: Reviewed) -> dict[str, Any]:
    facts, promise = item.facts, item.facts.promise
    there = facts.there
    return {
        "verdict": str(item.verdict),
        "schema": promise.schema,
        "table": promise.table,
        "index": item.index,
        "promised_as": promise.index,
        "promised_at": facts.promised_at,
        "since": item.since,
        "dropped_at": facts.dropped_at,
        "scans": None if there is None else there.scans,
        "calls": item.calls,
        "before_ms": item.before_ms,
        "after_ms": item.after_ms,
        "size_bytes": None if there is None else there.size_bytes,
        "promised_size_bytes": promise.size_bytes,
        "benefit": promise.benefit,
        "basis": str(promise.basis),
        "reason": item.reason,
    }


def _people(item: Reviewed) -> dict[str, Any]:
    promise = item.facts.promise
    return {
        **_fields(item),
        "table": display(promise.schema, promise.table),
    }


def _row(columns: list[Column], fields: Mapping[str, object]) -> list[object]:
    return [fields[column.name] for column in columns]


def _statement(item: StatementFacts) -> dict[str, Any]:
    promised = item.promised
    return {
        "fingerprint": promised.fingerprint,
        "queryids": [str(queryid) for queryid in promised.queryids],
        "query": item.query,
        "cost_before": promised.cost_before,
        "cost_after": promised.cost_after,
        "before": _times(item.before),
        "after": _times(item.after),
    }


def _times(times: Times | None) -> dict[str, Any] | None:
    return None if times is None else {"calls": times.calls, "mean_ms": times.mean_ms}
