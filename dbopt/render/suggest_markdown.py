"""Suggestions as Markdown, for tickets. Foreign text is escaped, or fenced by more backticks than it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import suggest_words as words
from dbopt.render import workload_words
from dbopt.render.sql import spelled
from dbopt.render.workload_markdown import code, escaped, fenced, pasted
from dbopt.suggest import reasons
from dbopt.suggest.extended_statements import create_statistics
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.metrics.measurement import About
    from dbopt.suggest.model import Report, Suggestion

_HEADS = ("#", "index", "definition", "worth", "helps", "cost of all calls", "size", "writes", "WAL", "to know")


def page(report: Report, *, about: About, window: str | None) -> str:
    lines = [f"## Suggested indexes of {escaped(workload_words.where(about))}", "", *_head(report, window), ""]
    if report.suggestions:
        lines += [f"| {' | '.join(_HEADS)} |", f"|{'|'.join(_aligned())}|"]
        lines += [_row(number, one) for number, one in enumerate(report.suggestions, 1)]
        lines += ["", escaped(words.together(report))]
    else:
        first, *more = words.nothing(report)
        lines += [escaped(first), *([""] if more else []), *(f"- {escaped(line)}" for line in more)]
    lines += list(_rest(report))
    return "\n".join(lines) + "\n"


def one_page(report: Report, suggestion: Suggestion, *, about: About, window: str | None) -> str:
    from dbopt.render.output import UNLIMITED
    from dbopt.render.plan_tree import lines as drawn
    from dbopt.render.screen import Screen
    from dbopt.render.suggest_explain import after_words, outcome_of
    from dbopt.render.suggest_plans import shown
    from dbopt.workload.layout import formatted

    screen = Screen(columns=UNLIMITED, encoding="utf-8", has_all=True)
    where = f"{words.table_of(suggestion)}, {workload_words.where(about)}"
    title = f"## {escaped(suggestion.name)} on {escaped(where)}"
    lines = [title, "", *_head(report, window), "", code(reasons.definition(suggestion.candidate)), ""]
    lines += [f"- {escaped(line)}" for line in reasons.why_sentences(suggestion)]
    for one in reasons.ranked(suggestion.helped):
        outcome = outcome_of(report, one)
        lines += [
            "",
            f"### {escaped(reasons.helped_words(one))}",
            "",
            *fenced("sql", spelled(formatted(one.item.shown))),
        ]
        after = after_words(suggestion, one, outcome)
        for name, costed in () if outcome is None else (("before", outcome.before), ("after", outcome.after)):
            tree = shown(costed, report.suggestions)
            if tree is not None and (name == "before" or after is None):
                text = "\n".join(line.plain.rstrip() for line in drawn(screen, tree, {}))
                lines += ["", f"Plan {name}:", "", *fenced("text", text)]
        lines += ["", escaped(after)] if after is not None else []
    return "\n".join(lines) + "\n"


def _head(report: Report, window: str | None) -> list[str]:
    said = [*([window] if window else []), words.workload(report), words.basis(report), words.effort(report)]
    return [f"{escaped(line)}  " for line in said[:-1]] + [escaped(said[-1])]


def _aligned() -> Iterator[str]:
    for head in _HEADS:
        yield "---" if head in ("index", "definition", "to know") else "---:"


def _row(number: int, one: Suggestion) -> str:
    before, after = reasons.costs(one.helped)
    cells = (
        str(number),
        escaped(one.name),
        f"on {escaped(words.table_of(one))} {escaped(reasons.definition(one.candidate))}<br>{escaped(one.reason)}",
        escaped(reasons.share(one.benefit)),
        f"{len(one.helped):,}",
        escaped(f"{workload_words.amount(before)} -> {workload_words.amount(after)}"),
        "?" if one.size is None else format_bytes(one.size.size_bytes),
        workload_words.amount(round(one.writes.entries)),
        format_bytes(one.writes.wal_bytes),
        words.flags(one) or "",
    )
    return f"| {' | '.join(cells)} |"


def _rest(report: Report) -> Iterator[str]:
    unfinished = words.unfinished(report)
    if unfinished is not None:
        yield from ("", f"**{escaped(unfinished)}**")
    if report.drops:
        yield from ("", "### May go", "")
        yield from (f"- {escaped(words.drop(one))}" for one in report.drops)
    for one in report.statistics:
        statements = "\n".join(map(spelled, create_statistics(one)))
        yield from ("", f"Extended statistics: {escaped(reasons.sentence(one.why))}", "", *fenced("sql", statements))
    if report.unread:
        yield from ("", "### Not analyzed", "")
        for line, hint in words.unread(report):
            yield f"- {escaped(line)}" + (f"<br>{pasted(hint)}" if hint else "")
    if report.notes or report.lacks:
        yield from ("", "### Beside them", "")
    yield from (f"- {escaped(note)}" for note in report.notes)
    for reason, hint in report.lacks:
        yield f"- not known: {escaped(reason)}" + (f"<br>{pasted(hint)}" if hint else "")
