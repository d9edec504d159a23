"""What tables, tickets and messages say of suggestions, in the same words. Nothing here is made safe to be shown."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import display
from dbopt.postgres.literals import masked
from dbopt.suggest import reasons
from dbopt.suggest.model import Basis, WriteCost
from dbopt.units import format_bytes, format_duration
from dbopt.workload.plan import summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.suggest.model import Drop, Outcome, Report, Suggestion

_GROUPS_MAX = 5  # reasons for which statements were not analyzed; JSON has every one
_EXAMPLES_MAX = 2
_NARROWING = ("Filter", "Join Filter", "Hash Cond", "Merge Cond")
_DEAREST_MAX = 3  # statements that are named where nothing helps


def workload(report: Report) -> str:
    """`8 statements, 5 analyzed (99 % of the time), 4,893 calls`."""
    analyzed, every = len(report.outcomes), len(report.outcomes) + len(report.unread)
    shares = [one.share for one in report.unread if one.share is not None]
    of_time = f" ({reasons.share(max(0.0, 1 - sum(shares)))} of the time)" if shares else ""
    calls = sum(one.subject.item.calls for one in report.outcomes) + sum(one.item.calls for one in report.unread)
    said = "all analyzed" if analyzed == every else f"{analyzed:,} analyzed{of_time}"
    return f"{reasons.plural(every, 'statement', 'statements')}, {said}, {reasons.plural(calls, 'call', 'calls')}"


def basis(report: Report) -> str:
    return f"costs: {reasons.basis_words(report)}"


def table_of(suggestion: Suggestion) -> str:
    return display(*suggestion.candidate.relation)


def flags(suggestion: Suggestion) -> str | None:
    return ", ".join(reasons.RISKS[risk][0] for risk in suggestion.risks) or None


def together(report: Report) -> str:
    """What the list does as a whole."""
    after = reasons.cost_after(report)
    known = [one.size.size_bytes for one in report.suggestions if one.size is not None]
    unknown = len(report.suggestions) - len(known)
    said = []
    if after is not None:
        by = "by the planner's estimates" if report.basis is Basis.HYPOPG else "as dbopt reckons"
        said.append(f"the workload would cost {reasons.share(after)} of what it does, {by}")
    size = f"{format_bytes(sum(known))} for {reasons.plural(len(known), 'index', 'indexes')}"
    size += f" (the size of {unknown} more is not known)" if unknown else ""
    if not known:
        size = "sizes are not known"
    elif report.heap_bytes:
        size += f", {reasons.share(sum(known) / report.heap_bytes)} of {format_bytes(report.heap_bytes)} of tables"
    if report.budget_bytes is not None:
        size += f", of a budget of {format_bytes(report.budget_bytes)}"
    writes = reasons.writes_words(
        WriteCost(
            entries=sum(one.writes.entries for one in report.suggestions),
            wal_bytes=sum(one.writes.wal_bytes for one in report.suggestions),
            lost_hot=sum(one.writes.lost_hot for one in report.suggestions),
        )
    )
    return "; ".join([*said, size, *([f"the workload's writes would cost {writes}"] if writes is not None else [])])


def effort(report: Report) -> str:
    explains = f"{report.explains:,} EXPLAINs" if report.explains != 1 else "1 EXPLAIN"
    return f"{explains}, {format_duration(report.seconds)}"


def unfinished(report: Report) -> str | None:
    if report.complete:
        return None
    return "the time limit ended the search: this is the best list found until then (--time-limit gives it more)"


def drop(one: Drop) -> str:
    return f"{one.name} on {display(one.schema, one.table)}, {format_bytes(one.size_bytes)}: {drop_reason(one)}"


def drop_reason(one: Drop) -> str:
    proof = f"proved by {one.how}" if one.proved and one.how else "proved" if one.proved else "not proved"
    why = not one.proved and one.how
    return f"{reasons.EVIDENCE[one.evidence]}: {one.detail}; {proof}{f' ({one.how})' if why else ''}"


def unread(report: Report) -> Iterator[tuple[str, str | None]]:
    """Those that could not be analyzed, by reason, each with what to do about it."""
    groups: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    shares: dict[tuple[str, str | None], float] = defaultdict(float)
    for one in report.unread:
        groups[one.reason, one.hint].append(one.item.shown)
        shares[one.reason, one.hint] += one.share or 0.0
    ordered = sorted(groups, key=lambda key: (-shares[key], -len(groups[key]), key[0], key[1] or ""))
    for key in ordered[:_GROUPS_MAX]:
        texts = groups[key]
        more = f" and {len(texts) - _EXAMPLES_MAX:,} more" if len(texts) > _EXAMPLES_MAX else ""
        share = f", {reasons.share(shares[key])} of the time" if shares[key] else ""
        number = reasons.plural(len(texts), "statement", "statements")
        shown = "; ".join(_short(text) for text in texts[:_EXAMPLES_MAX])
        yield f"{number}{share}: {key[0]}: {shown}{more}", key[1]
    rest = sum(len(groups[key]) for key in ordered[_GROUPS_MAX:])
    if rest:
        yield f"{reasons.plural(rest, 'statement', 'statements')} for other reasons (--format json has all)", None


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else flat[:77].rstrip() + "..."


def nothing(report: Report) -> Iterator[str]:
    """Why no index is suggested, as far as it is known: the first line says it, the others are what it rests on."""
    if not report.outcomes:
        every = len(report.unread)
        yield "no index is suggested: " + (
            f"none of the {reasons.plural(every, 'statement', 'statements')} could be analyzed"
            if every
            else "there is no statement in the workload"
        )
        return
    said = "no index is suggested: none that could be thought of makes the workload cheaper"
    if report.budget_bytes is not None:
        said += f", writes included, and fits into the budget of {format_bytes(report.budget_bytes)}"
    else:
        said += ", writes included"
    yield said
    ordered = sorted(report.outcomes, key=lambda one: (-one.subject.weight, one.subject.item.number))
    for one in ordered[:_DEAREST_MAX]:
        yield _unhelped(one)
    if len(ordered) > _DEAREST_MAX:
        yield f"and {reasons.plural(len(ordered) - _DEAREST_MAX, 'statement', 'statements')} of less weight"


def _unhelped(one: Outcome) -> str:
    said = f"{reasons.ident(one.subject.item)}, {reasons.share(one.subject.weight)} of the workload: "
    said += f"cost {reasons.number(one.before.cost)}"
    plan = one.before.plan
    if plan is None:
        return said
    filtered = any(key in node.raw for node in plan.walk() for key in _NARROWING)
    scans = {node.node_type for node in plan.walk() if node.relation is not None or node.index_name is not None}
    if scans and scans <= {"Seq Scan"} and not filtered:
        return f"{said}, {summary(plan)}: it asks for all rows"
    if scans and not any(scan.endswith("Seq Scan") for scan in scans):
        return f"{said}, {summary(plan)}: indexes that are there serve it"
    return f"{said}, {summary(plan)}"


_PLAN = re.compile(r"\b(?:Init|Sub)Plan [0-9]+")
_BLANK = re.compile(r"\b(?:Init|Sub)Plan \?")


def without_values(text: str) -> str:
    """A condition of a plan without anybody's values; the numbers of subplans stay."""
    hidden = masked(text)
    plans = _PLAN.findall(text)
    if len(plans) != len(_BLANK.findall(hidden)):  # a value looks like one
        return hidden
    numbered = iter(plans)
    return _BLANK.sub(lambda _: next(numbered), hidden)
