"""One statement in depth, in each format: text, numbers, trend, tables, plan, what was found and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import advice, workload_words
from dbopt.render.output import Format
from dbopt.render.screen import Screen, padded
from dbopt.render.sql import spelled
from dbopt.render.statement_figures import numbers, trend
from dbopt.render.workload_words import amount
from dbopt.units import format_bytes
from dbopt.workload.model import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.text import Text

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Output, Stream
    from dbopt.workload.detail import Detail
    from dbopt.workload.finding import Index, Relation

_INDEXES_MAX = 12  # of one table
_INDENT = "  "


def write_statement(
    output: Output, about: About, detail: Detail, *, literals: bool = False, suggest: Callable[..., str] | None = None
) -> None:
    """`suggest`: a call of suggest with these words, as it can be pasted; None: it cannot look at this statement."""
    match output.format:
        case Format.TABLE:
            _write(output.out, about, detail, literals, suggest)
        case Format.MARKDOWN:
            from dbopt.render.workload_markdown import statement_page

            output.out.write(statement_page(about, detail, literals=literals))
        case Format.JSON:
            from dbopt.render import json
            from dbopt.render.statement_json import document

            json.write_document(output.out, document(about, detail, literals=literals))
        case _:
            from dbopt.render.records import write_data
            from dbopt.render.workload_records import COLUMNS, record

            write_data(output, COLUMNS, [record(detail.statement, about, detail.span)])
            for note in (*detail.span.breaks, *detail.notes):
                output.note(f"note: {note}")
            for reason, hint in detail.lacks:
                output.note(f"note: not known: {reason}" + (f" ({hint})" if hint else ""))


def _write(out: Stream, about: About, detail: Detail, literals: bool, suggest: Callable[..., str] | None) -> None:
    from rich.text import Text

    screen = Screen.of(out)
    for line in _lines(screen, about, detail, out.color, suggest):
        out.print(line if isinstance(line, Text) else Text(line))
    if literals:
        out.write("note: the text holds values (--show-literals): look before you pass this on\n")


def _lines(
    screen: Screen, about: About, detail: Detail, color: bool, suggest: Callable[..., str] | None
) -> Iterator[Text | str]:
    from rich.text import Text

    def said(text: str) -> list[str]:
        return screen.broken(screen.text(text), screen.columns)

    statement = detail.statement
    dot = screen.pick(" · ", " - ")
    head = said(f"{workload_words.where(about)}{dot}{workload_words.window(detail.span)}")
    yield from (Text(line, "bold") for line in head)
    if detail.before is not None:
        yield from said(workload_words.before(detail.before))
    yield ""
    yield from _query(detail, color)
    yield ""
    for title, value in _names(detail):
        yield from _entry(screen, title, value)
    yield ""
    yield from numbers(screen, detail)
    change = workload_words.compared(statement)
    if change is not None:
        yield from said(f"against before: {change}")
    yield from trend(screen, detail.trend)
    yield from _relations(screen, detail.relations)
    yield from _plan(screen, detail)
    yield from _findings(screen, detail)
    yield from _specs(detail)
    wanting = workload_words.mendable(statement)
    if suggest is not None and wanting is not None:
        yield ""
        yield from said(f"{workload_words.SUGGEST}:")
        yield f"{_INDENT}{suggest('--slow-query', wanting)}"
    notes = (*detail.span.breaks, *detail.notes)
    if notes or detail.lacks:
        yield ""
    for note in notes:
        yield from said(f"note: {note}")
    for reason, hint in detail.lacks:
        yield from (Text(line, "magenta") for line in said(f"not known: {reason}"))
        yield from advice.hint(screen, hint, 2)


def _query(detail: Detail, color: bool) -> Iterator[Text]:
    """Nothing of it is cut or broken: it is there to be copied."""
    from rich.text import Text

    statement = detail.statement
    if statement.query is None:
        yield Text(workload_words.no_text(statement), "magenta")
        return
    text = spelled(detail.text or statement.query)
    if not color:
        yield Text(text)
        return
    from rich.syntax import Syntax

    # The sixteen colours of the terminal, on its own background.
    shown = Syntax("", "postgresql", theme="ansi_dark", background_color="default").highlight(text)
    shown.rstrip()
    yield shown


def _names(detail: Detail) -> Iterator[tuple[str, str]]:
    statement = detail.statement
    if statement.queryids:
        yield "id", ", ".join(map(str, statement.queryids))
    if statement.fingerprint is not None:
        yield "fingerprint", statement.fingerprint
    if statement.users:
        yield "by", ", ".join(statement.users)
    if statement.dbname is not None:
        yield "in", statement.dbname
    if isinstance(statement.planned, Planned) and statement.planned.parameter_types:
        types = (f"${at} {name}" for at, name in enumerate(statement.planned.parameter_types, 1))
        yield "parameters", ", ".join(types)


def _entry(screen: Screen, title: str, value: str) -> Iterator[str]:
    start = padded(title, 12)
    for line in screen.broken(screen.text(value), screen.columns - len(start)):
        yield start + line
        start = " " * len(start)


def _plan(screen: Screen, detail: Detail) -> Iterator[Text | str]:
    from rich.text import Text

    from dbopt.render.plan_tree import found, lines

    statement, trees = detail.statement, detail.plans
    unplanned = workload_words.why_unplanned(statement)
    if unplanned is not None:
        yield ""
        for line in screen.broken(screen.text(f"no plan: {unplanned.reason}"), screen.columns):
            yield Text(line, "magenta")
        yield from advice.hint(screen, unplanned.hint, 2)
    if not isinstance(statement.planned, Planned):
        return
    how = "as it ran" if statement.planned.is_analyzed else "for any values, not run"
    for number, tree in enumerate(trees):
        which = f"plan {number + 1} of {len(trees)}" if len(trees) > 1 else "plan"
        yield ""
        when = f"{statement.planned.planned_at.astimezone():%Y-%m-%d %H:%M:%S}"
        yield Text(f"{which} {how}", "bold").append(f", {when}, cost {amount(tree.total_cost)}")
        # Findings look at the first.
        yield from lines(screen, tree, found(statement) if number == 0 else {})


def _relations(screen: Screen, relations: Sequence[Relation]) -> Iterator[Text | str]:
    from rich.text import Text

    if relations:
        yield ""
        yield Text("tables", "bold")
        yield from relation_lines(screen, relations, _INDENT)


def relation_lines(screen: Screen, relations: Sequence[Relation], blanks: str) -> Iterator[str]:
    """Each with its size and its indexes."""
    for item in relations:
        rows = "never analyzed" if item.rows is None else f"{amount(item.rows)} rows"
        kind = ", partitioned" if item.relkind == "p" else ", temporary" if item.is_temporary else ""
        yield from _hanging(screen, f"{item.schema}.{item.name}: {rows}, {format_bytes(item.size_bytes)}{kind}", blanks)
        for index in item.indexes[:_INDEXES_MAX]:
            yield from _hanging(screen, _index(index), blanks + _INDENT)
        more = len(item.indexes) - _INDEXES_MAX
        if more > 0:
            yield f"{blanks}{_INDENT}and {more} more indexes"
        if not item.indexes:
            yield f"{blanks}{_INDENT}no index"


def _hanging(screen: Screen, text: str, blanks: str) -> Iterator[str]:
    for number, line in enumerate(screen.broken(screen.text(text), screen.columns - len(blanks) - 2)):
        yield f"{blanks}{'  ' if number else ''}{line}"


def _index(index: Index) -> str:
    keys = ", ".join(f"{key.column or key.expression}{' DESC' if key.is_descending else ''}" for key in index.keys)
    words = [word for word, said in (("INVALID", not index.is_valid), ("unique", index.is_unique)) if said]
    words += [index.method] if index.method != "btree" else []
    include = f" INCLUDE ({', '.join(index.include)})" if index.include else ""
    where = f" WHERE {index.predicate}" if index.predicate else ""
    return f"{index.name} ({keys}){include}{where}" + (f"  {', '.join(words)}" if words else "")


def _findings(screen: Screen, detail: Detail) -> Iterator[Text | str]:
    """Near the end, as that is what stands above the prompt."""
    from rich.text import Text

    statement = detail.statement
    if statement.advice or statement.flips:
        yield ""
        yield Text("findings", "bold")
    for flip in statement.flips:
        said = screen.text(workload_words.flip(flip, detail.span.to_at))
        for number, part in enumerate(screen.broken(said, screen.columns - 4)):
            yield Text(f"{_INDENT}{'  ' if number else '! '}").append(part, "bold magenta")
    for item in statement.advice:
        yield from advice.written(screen, item, len(_INDENT), in_full=True)
    if isinstance(statement.planned, Planned) and not statement.advice:
        yield ""
        yield "nothing was found that would help"


def _specs(detail: Detail) -> Iterator[Text | str]:
    """To be pasted, so never broken."""
    from rich.text import Text

    from dbopt.spec.fragment import yaml_lines

    specs = [item.spec for item in detail.statement.advice if item.spec is not None]
    if not specs:
        return
    yield ""
    yield Text("for `indexes:` of a spec, then dbopt plan", "bold")
    for spec in specs:
        for line in yaml_lines(spec):
            yield _INDENT + line
