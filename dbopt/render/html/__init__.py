"""The page of `dbopt report`: values to HTML by the templates beside this file.

Every text that a template writes is foreign until shown otherwise: what is no plain character is made visible, then
HTML's own characters are escaped, by jinja2 and for all of them. Markup is what a template makes, or `_code`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dbopt.metrics.catalogue import METRICS
from dbopt.render.escape import visible
from dbopt.render.health_table import where
from dbopt.render.html import amounts, words
from dbopt.render.html.verdict import health
from dbopt.render.sql import spelled
from dbopt.report.file import MARK
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.metrics.metric import Metric
    from dbopt.render.output import Output
    from dbopt.report.values import DatabaseReport, Page

# The blanks that hold a number and its unit together are ours, and do no harm in a name.
_PARTS = re.compile(f"([{amounts.BLANKS}])")
_TEMPLATES = Path(__file__).parent / "templates"


def page(values: Page) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        cache_size=0,  # one page a call
    )
    environment.filters |= {
        **{
            name: getattr(amounts, name)
            for name in ("number", "ratio", "size", "growth", "duration", "moment", "date_time", "zone", "span")
        },
        **words.FILTERS,
        "code": _code,
        "health": health,
        "where": where,
    }
    return environment.get_template("report.html").render(
        page=values, mark=Markup(MARK), title=_title(values), meanings=_meanings(values)
    )


def write_receipt(output: Output, path: Path, text: str, databases: Sequence[DatabaseReport], seconds: float) -> None:
    from dbopt.render.records import Column, write_records

    columns = [
        Column(name="file"),
        Column(name="size_bytes", title="size", show=format_bytes, align="right"),
        Column(name="databases", align="right"),
        Column(name="seconds", title="time", show=format_duration, align="right"),
    ]
    row = [str(path), len(text.encode()), len(databases), round(seconds, 3)]
    write_records(output, "report", "files", columns, [row])


def _title(values: Page) -> str:
    about = values.databases[0].verdict.about
    what = where(about) if len(values.databases) == 1 else f"{len(values.databases)} databases"
    return f"{what} · dbopt report"


def _meanings(values: Page) -> list[Metric]:
    """Of the figures that the page shows."""
    known = {
        course.figure.metric.name
        for database in values.databases
        if database.seen is not None
        for course in database.seen.courses
        if course.figure.value is not None or course.known
    }
    return [metric for metric in METRICS.values() if metric.name in known]


def _shown(value: Any) -> Any:
    """What stands between {{ and }}, before it is escaped."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(part if part in amounts.BLANKS else visible(part) for part in _PARTS.split(value))


def _code(text: str) -> Markup:
    """SQL or commands to paste: line breaks stay, everything else is spelled so that it is the same when pasted."""
    return Markup(escape(spelled(text)))
