"""One suggestion in depth: why it is as it is, and each statement that it helps with its plan before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import suggest_words as words
from dbopt.render.output import Format
from dbopt.render.screen import Screen
from dbopt.render.sql import spelled
from dbopt.render.suggest_plans import shown
from dbopt.render.suggest_table import head, said
from dbopt.suggest import reasons
from dbopt.suggest.model import Basis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Output
    from dbopt.suggest.model import Helped, Outcome, Report, Suggestion

_INDENT = "  "


def write_one(output: Output, report: Report, suggestion: Suggestion, *, about: About, window: str | None) -> None:
    match output.format:
        case Format.TABLE:
            from rich.text import Text

            for line in _lines(Screen.of(output.out), report, suggestion, about, window):
                output.out.print(line if isinstance(line, Text) else Text(line))
        case Format.MARKDOWN:
            from dbopt.render.suggest_markdown import one_page

            output.out.write(one_page(report, suggestion, about=about, window=window))
        case Format.JSON:
            from dbopt.render import json
            from dbopt.render.suggest_json import one_document

            json.write_document(output.out, one_document(report, suggestion, about=about, window=window))
        case _:
            from dbopt.render.records import write_data
            from dbopt.render.suggest_records import STATEMENT_COLUMNS, statement_records

            write_data(output, STATEMENT_COLUMNS, statement_records(report, suggestion))


def _lines(
    screen: Screen, report: Report, suggestion: Suggestion, about: About, window: str | None
) -> Iterator[Text | str]:
    from rich.text import Text

    yield from head(screen, about, window)
    yield from said(screen, words.basis(report))
    yield ""
    yield from (Text(line, "bold") for line in said(screen, suggestion.name))
    definition = f"on {words.table_of(suggestion)} {reasons.definition(suggestion.candidate)}"
    yield from (Text(line, "cyan") for line in said(screen, definition, len(_INDENT)))
    for line in reasons.why_sentences(suggestion):
        yield from said(screen, line, len(_INDENT))
    for number, one in enumerate(reasons.ranked(suggestion.helped), 1):
        yield ""
        yield from _statement(screen, report, suggestion, one, f"{number} of {len(suggestion.helped)}")


def _statement(
    screen: Screen, report: Report, suggestion: Suggestion, one: Helped, number: str
) -> Iterator[Text | str]:
    from rich.text import Text

    from dbopt.render.plan_tree import lines
    from dbopt.workload.layout import formatted

    yield from (Text(line, "bold") for line in said(screen, f"{number}: {reasons.helped_words(one)}"))
    yield from (f"{_INDENT}{line}" for line in spelled(formatted(one.item.shown)).split("\n"))
    outcome = outcome_of(report, one)
    before = None if outcome is None else shown(outcome.before, report.suggestions)
    if before is not None:
        yield Text(f"plan before, cost {reasons.number(one.before)}", "bold")
        yield from lines(screen, before, {})
    after = after_words(suggestion, one, outcome)
    plan = None if outcome is None or after is not None else shown(outcome.after, report.suggestions)
    if plan is not None:
        yield Text(f"plan with all that is suggested, cost {reasons.number(one.after)}", "bold")
        yield from lines(screen, plan, {})
    else:
        yield from said(screen, after or "")


def outcome_of(report: Report, one: Helped) -> Outcome | None:
    return next((found for found in report.outcomes if found.subject.item.number == one.item.number), None)


def after_words(suggestion: Suggestion, one: Helped, outcome: Outcome | None) -> str | None:
    """What the index would do, where no plan can show it; None: one does."""
    if outcome is not None and outcome.after.plan is not None and suggestion.candidate in outcome.after.used:
        return None
    cost = reasons.change(one.before, one.after)
    if suggestion.basis is not Basis.HYPOPG:
        return f"no plan with it, as no planner has seen it: by statistics the cost would go {cost}"
    if outcome is not None and outcome.after.plan is not None:
        return f"cost {cost}: the index is in its plan for some values of the parameters, not for any values"
    return f"cost {cost}; its plan is not known"
