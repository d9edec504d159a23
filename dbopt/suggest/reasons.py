"""What is said of a suggestion, in specs and on screens: the same words and numbers in both."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from dbopt.suggest.model import GENERIC, Basis, Evidence, Origin, Risk
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.model import Candidate, Drop, Helped, Item, Key, Report, Suggestion, WriteCost

_QUERYIDS_MAX = 3
_WIDTH = 94  # characters: a line of a spec has 100, of which an entry's text is indented by six

RISKS: dict[Risk, tuple[str, str]] = {  # a flag for a table, a clause for a text
    Risk.UNPROVED: ("unproved", "no planner has seen it: its costs are reckoned from statistics"),
    Risk.WRITES: ("written often", "its table is written to often"),
    Risk.LOST_HOT: ("fewer HOT", "updates of its columns are HOT no longer, so that they write to every index"),
    Risk.NO_STATISTICS: ("no statistics", "its table was never analyzed, so the estimates are worth little"),
    Risk.EXPRESSION: (
        "needs ANALYZE",
        "the planner knows its expression only after ANALYZE, which dbopt optimize runs",
    ),
    Risk.LARGE: ("large", "it takes a tenth of its table's size, or more"),
    Risk.FEW_CALLS: ("few calls", "its statements were seen less than ten times"),
}
EVIDENCE: dict[Evidence, str] = {
    Evidence.UNUSED: "not used",
    Evidence.REDUNDANT: "another index does all that it does",
    Evidence.BEATEN: "the suggested indexes do all that it did",
}
_ORIGINS = {
    Origin.STATEMENTS: "",
    Origin.FILE: " of the file",
    Origin.SAMPLE: " seen at work",
    Origin.LOG: " of the log",
    Origin.FOREIGN_KEY: " of a foreign key",
}


def number(value: float) -> str:
    """Whole from 100 on, else with three digits that matter."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.0e}"


def share(ratio: float) -> str:
    """Never 100 % of what is not all of it, never 0 % of what is something."""
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f}".removesuffix(".0") + " %"


def plural(count: float, one: str, many: str) -> str:
    return f"{number(count)} {one if count == 1 else many}"


def ident(item: Item) -> str:
    """`queryid 42`; of what has none, which of the workload's it is."""
    if item.queryids:
        shown = ", ".join(map(str, item.queryids[:_QUERYIDS_MAX]))
        more = len(item.queryids) - _QUERYIDS_MAX
        return f"queryid{'s' if len(item.queryids) > 1 else ''} {shown}{f' and {more} more' if more > 0 else ''}"
    return f"statement {item.number}{_ORIGINS[item.origin]}"


def ranked(helped: Sequence[Helped]) -> list[Helped]:
    """Those first that gain the most over all of their calls."""
    return sorted(helped, key=lambda one: (-(one.before - one.after) * one.item.calls, one.item.number))


def change(before: float, after: float) -> str:
    return f"{number(before)} -> {number(after)}"


# How helped_words are known again.
REMARK = re.compile(r"(?:queryids? -?\d|statement \d).*: \S+ calls?, cost \S+ -> \S+(?: for \w+ values)?")


def helped_words(one: Helped) -> str:
    """`queryid 42: 1,200 calls, cost 13,402 -> 8.4`: of one call."""
    values = "" if one.probe == GENERIC.name else f" for {one.probe} values"
    calls = plural(one.item.calls, "call", "calls")
    return f"{ident(one.item)}: {calls}, cost {change(one.before, one.after)}{values}"


def definition(candidate: Candidate) -> str:
    """`btree (customer_id, created_at DESC) INCLUDE (status) WHERE (state = 'open'::text)`, for people."""
    keys = ", ".join(map(_key, candidate.keys))
    include = f" INCLUDE ({', '.join(candidate.include)})" if candidate.include else ""
    options = ", ".join(f"{name} = {value}" for name, value in candidate.parameters)
    where = f" WHERE {candidate.where}" if candidate.where else ""
    return f"{candidate.method} ({keys}){include}{f' WITH ({options})' if options else ''}{where}"


def _key(key: Key) -> str:
    words = [key.column or key.expression]
    words += [key.opclass] if key.opclass else []
    words += ["DESC"] if key.descending else []
    if key.nulls_first != key.descending:
        words.append("NULLS FIRST" if key.nulls_first else "NULLS LAST")
    return " ".join(words)


def size_words(suggestion: Suggestion) -> str | None:
    """`21MB, built in some 3.2 s`; None: not known."""
    size = suggestion.size
    if size is None:
        return None
    built = "" if size.build_seconds is None else f", built in some {format_duration(size.build_seconds)}"
    return f"{format_bytes(size.size_bytes)}{built}"


def writes_words(cost: WriteCost) -> str | None:
    """`12,300 entries, 1.2MB of WAL, 30 updates no longer HOT`; None: nobody wrote."""
    if not (cost.entries or cost.wal_bytes or cost.lost_hot):
        return None
    words = f"{plural(round(cost.entries), 'entry', 'entries')}, {format_bytes(cost.wal_bytes)} of WAL"
    lost = f", {plural(round(cost.lost_hot), 'update', 'updates')} no longer HOT" if cost.lost_hot >= 0.5 else ""
    return words + lost


def basis_words(report: Report) -> str:
    """Where costs come from, said plainly."""
    if report.basis is Basis.HYPOPG:
        return f"estimates of PostgreSQL's planner with HypoPG {report.hypopg_version or ''}".rstrip()
    return "reckoned by dbopt from statistics: without HypoPG no planner can be asked about an index that is not there"


def why(suggestion: Suggestion) -> str:
    """All that whoever approves an index has to know: why it is as it is, whom it helps, what it costs. One paragraph,
    as it becomes the comment on the index too.
    """
    return " ".join(why_sentences(suggestion))


def why_sentences(suggestion: Suggestion) -> list[str]:
    said = [suggestion.reason] if suggestion.reason else []
    by = "by the planner's estimates" if suggestion.basis is Basis.HYPOPG else "as dbopt reckons from statistics"
    worth = f"worth {share(suggestion.benefit)} of the workload's cost, {by}"
    said += [f"{_helps(suggestion.helped)}, {worth}" if suggestion.helped else worth.capitalize(), _takes(suggestion)]
    risks = [RISKS[risk][1] for risk in suggestion.risks]
    said += [f"To know: {'; '.join(risks)}"] if risks else []
    return list(map(sentence, said))


def _helps(helped: Sequence[Helped]) -> str:
    ids = list(dict.fromkeys(str(queryid) for one in ranked(helped) for queryid in one.item.queryids))
    more = f" and {len(ids) - _QUERYIDS_MAX} more" if len(ids) > _QUERYIDS_MAX else ""
    which = f" (queryid{'s' if len(ids) > 1 else ''} {', '.join(ids[:_QUERYIDS_MAX])}{more})" if ids else ""
    before, after = costs(helped)
    statements = plural(len(helped), "statement", "statements")
    return f"Helps {statements}{which}: all calls cost {change(before, after)}"


def costs(helped: Sequence[Helped]) -> tuple[float, float]:
    """Of all calls, without any suggestion and with all of them."""
    return sum(one.before * one.item.calls for one in helped), sum(one.after * one.item.calls for one in helped)


def _takes(suggestion: Suggestion) -> str:
    size, writes = size_words(suggestion), writes_words(suggestion.writes)
    said = f"Size about {size}" if size is not None else "Size not known"
    wrote = f"the workload's writes would cost {writes}" if writes is not None else "nobody wrote to its table"
    return f"{said}; {wrote}"


def drop_why(drop: Drop) -> str:
    """The same for an index that may go."""
    proof = f"All statements were planned without it, and none costs more ({drop.how})"
    if not drop.proved:
        proof = f"Not proved by a plan without it ({drop.how})" if drop.how else "Not proved by a plan without it"
    why_gone = f"{EVIDENCE[drop.evidence].capitalize()}: {drop.detail}"
    return " ".join(map(sentence, (why_gone, f"It takes {format_bytes(drop.size_bytes)}", proof)))


def sentence(text: str) -> str:
    """On one line, without what a terminal takes for more than text, with its full stop."""
    text = visible(text).strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def visible(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cost_after(report: Report) -> float | None:
    """What the workload would cost with the whole list, of what it costs now; None: nothing was planned."""
    weighted = [(one.subject.weight, one.before.cost, one.after.cost) for one in report.outcomes]
    whole = sum(weight for weight, _, _ in weighted)
    if not whole:
        return None
    return sum(weight * (after / before if before > 0 else 1.0) for weight, before, after in weighted) / whole


def wrapped(line: str) -> list[str]:
    """In lines that a spec has room for."""
    return textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False) or [line]
