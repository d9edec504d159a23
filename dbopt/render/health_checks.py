"""The list of checks, and what one of them is about."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

from dbopt.errors import UsageError
from dbopt.health.amounts import spelled
from dbopt.render import json
from dbopt.render.health_json import limit_value
from dbopt.render.output import EVERYWHERE, Format
from dbopt.render.records import Column, write_data, write_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.check import Check
    from dbopt.postgres.query import Query
    from dbopt.render.output import Output

_FIELDS = ("id", "group", "title", "unit", "warning", "critical", "below", "advice")
_FOR_PEOPLE = [Column(name=name) for name in ("id", "group", "title", "warning", "critical")]
_FOR_PROGRAMS = [Column(name=name) for name in _FIELDS]
_EXPLAINED = [Column(name=name) for name in (*_FIELDS, "source", "documentation")]


def write_list(output: Output, checks: Sequence[Check[Any]]) -> None:
    _refuse(output)
    if output.format is Format.TABLE:
        rows = [(check.id, check.group, check.title, *marks(check)) for check in checks]
        write_records(output, "health", "checks", _FOR_PEOPLE, rows)
    else:
        records = [_fields(check) for check in checks]
        write_records(output, "health", "checks", _FOR_PROGRAMS, [tuple(record.values()) for record in records])


def write_explanation(output: Output, check: Check[Any], *, sql: bool = False) -> None:
    """`sql`: with its queries."""
    _refuse(output)
    fields = _fields(check) | {"source": check.thresholds.source, "documentation": check.documentation}
    match output.format:
        case Format.TABLE | Format.LINES:  # a text to read, in a pager too
            output.out.write("".join(f"{line}\n" for line in _explanation(check, sql=sql)))
        case Format.JSON:
            more = {
                "limits": [
                    {"name": limit.name, "value": limit.value, "unit": limit.unit, "source": limit.source}
                    for limit in check.limits
                ],
                "needs": [{"reason": need.reason, "status": need.status} for need in check.needs],
                **({"queries": [_query(query) for query in check.queries]} if sql else {}),
            }
            json.write_document(output.out, json.document("health", check=fields | more))
        case _:
            write_data(output, _EXPLAINED, [tuple(fields.values())])


def marks(check: Check[Any]) -> tuple[str | None, str | None]:
    """From which measure on it is a warning, and critical: `from 5min`, `any`, None for never."""
    thresholds = check.thresholds

    def mark(limit: float | None) -> str | None:
        if limit is None:
            return None
        if limit <= 0 and not thresholds.below:  # no measure is less
            return "any"
        setting = spelled(limit, check.unit)
        return f"{setting} or less" if thresholds.below else f"from {setting}"

    return mark(thresholds.warning), mark(thresholds.critical)


def facts(check: Check[Any]) -> Iterator[tuple[str, str]]:
    """What there is to say of it besides its documentation: name and text."""
    yield "group", check.group
    yield "unit", check.unit
    for level, mark in zip(("warning", "critical"), marks(check), strict=True):
        if mark is not None:
            yield level, mark
    yield "source", check.thresholds.source
    for limit in check.limits:
        yield limit.name, f"{spelled(limit.value, limit.unit)} ({limit.source})"
    for need in check.needs:
        yield need.status, f"where {need.reason}"
    if check.advice:
        yield "advice", "shown on request, never a problem"


def _explanation(check: Check[Any], *, sql: bool) -> Iterator[str]:
    yield from (f"{check.id}: {check.title}", "", check.documentation, "")
    said = list(facts(check))
    width = max(len(name) for name, _ in said)
    yield from (f"{name:<{width}}  {text}" for name, text in said)
    for query in check.queries if sql else ():
        for since, text in query.since.items():
            yield from ("", f"-- {query.name}, since {query.extension or 'PostgreSQL'} {_version(since)}")
            yield from _lines(text)


def _fields(check: Check[Any]) -> dict[str, Any]:
    """By _FIELDS, in their order."""
    return {
        "id": check.id,
        "group": check.group,
        "title": check.title,
        "unit": check.unit,
        "warning": limit_value(check.thresholds.warning),
        "critical": limit_value(check.thresholds.critical),
        "below": check.thresholds.below,
        "advice": check.advice,
    }


def _query(query: Query[Any]) -> dict[str, Any]:
    return {
        "name": query.name,
        "extension": query.extension,
        "since": {_version(since): "\n".join(_lines(text)) for since, text in query.since.items()},
    }


def _version(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _lines(text: str) -> list[str]:
    return dedent(text).strip().splitlines()


def _refuse(output: Output) -> None:
    if output.format not in EVERYWHERE:
        raise UsageError(f"no {output.format} form of what checks there are", hint=f"Formats: {', '.join(EVERYWHERE)}.")
