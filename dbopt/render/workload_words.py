"""What tables, tickets and messages say of a workload, in the same words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.render.sql import one_line
from dbopt.render.words import plural
from dbopt.units import format_duration
from dbopt.workload.model import Kind, Planned, Source, Unplanned
from dbopt.workload.plan import root, summary
from dbopt.workload.statements import Sort

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dbopt.metrics.measurement import About
    from dbopt.workload.model import Flip, Others, Span, Statement, Workload

BLOCK_BYTES = 8192  # block_size of every server that was not built with another one
RANKED: dict[Sort, str] = {
    Sort.TOTAL: "total time",
    Sort.MEAN: "mean time",
    Sort.CALLS: "calls",
    Sort.ROWS: "rows",
    Sort.IO: "I/O time",
    Sort.READS: "blocks read",
    Sort.TEMP: "temporary blocks written",
    Sort.WAL: "WAL",
    Sort.PLANNING: "planning time",
    Sort.VARIANCE: "deviation of the time",
    Sort.CHANGE: "how much more time they take than before",
}
_AT_MOST = 1.25  # a factor nearer to 1 is no change worth a word


def where(about: About) -> str:
    """`main: app on PostgreSQL 18.4`; the place, where no server was asked."""
    named = f"{about.name}: " if about.name else ""
    if about.dbname is None or about.server_version is None:
        return named + about.place
    standby = " standby" if about.in_recovery else ""
    return f"{named}{about.dbname} on PostgreSQL {about.server_version.split(' ')[0]}{standby}"


def window(span: Span) -> str:
    """`the last 58 min, by readings in the store (02:07:12 to 03:05:24)`."""
    reach = None if span.from_at is None else max(0.0, (span.to_at - span.from_at).total_seconds())
    watched = span.seconds if span.seconds is not None else reach
    match span.source:
        case Source.SNAPSHOTS:
            words = "" if reach is None else f"the last {length(reach)}"
            if reach is not None and watched is not None and reach - watched > max(1.0, reach * 0.01):
                words = f"{length(watched)} of the last {length(reach)}"
            words += ", by readings in the store"
        case Source.INTERVAL:
            words = f"two readings, {length(watched or 0.0)} apart"
        case Source.SINCE_RESET:
            if reach is None:
                return f"since the server began to count, which it does not date (until {_moment(span.to_at)})"
            return f"since the statistics were reset {length(reach)} ago ({between(span.from_at, span.to_at)})"
        case Source.SAMPLE:
            words = f"sampled for {length(watched or 0.0)}"
            words += "" if span.looks is None else f", {plural(span.looks, 'look', 'looks')}"
        case Source.LOG:
            words = f"log {span.place or ''}".rstrip()
    return f"{words} ({between(span.from_at, span.to_at)})"


def before(span: Span) -> str:
    """Of what is compared with."""
    reach = None if span.from_at is None else (span.to_at - span.from_at).total_seconds()
    is_whole = reach is not None and span.seconds is not None and reach - span.seconds <= max(1.0, reach * 0.01)
    part = "" if is_whole else " of it watched"
    watched = "" if span.seconds is None else f" ({length(span.seconds)}{part})"
    return f"compared with {between(span.from_at, span.to_at)}{watched}"


def between(from_at: datetime | None, to_at: datetime) -> str:
    if from_at is None:
        return f"until {_moment(to_at)}"
    start, end = from_at.astimezone(), to_at.astimezone()
    return f"{_moment(from_at)} to " + (f"{end:%H:%M:%S}" if start.date() == end.date() else _moment(to_at))


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def length(seconds: float) -> str:
    """A duration without what is 0 of it: `58 min`, `10 s`."""
    return re.sub(r" 00 (?:min|s)$| 0 h$|\.0(?= s$)", "", format_duration(seconds))


def amount(value: float) -> str:
    """In full as far as it stays short: `0`, `12,345`, `1.24 M`."""
    if abs(value) < 99_999.5:
        return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
    for unit in ("k", "M", "G", "T"):
        value /= 1000
        if abs(value) < 999.5 or unit == "T":
            break
    return f"{value:.0f} {unit}" if abs(value) >= 99.95 else f"{value:.1f} {unit}"


def ms(value: float) -> str:
    """Milliseconds; never 0 of what is something."""
    if value == 0:
        return "0 ms"
    return "<0.01 ms" if value < 0.005 else format_duration(value / 1000)


def totals(workload: Workload, sort: Sort) -> str:
    """How much there was, and how much of it is shown."""
    shown = len(workload.statements)
    others = workload.others
    every = shown + others.filtered + others.quick + others.more + others.utility + others.own + others.unread
    whole, seconds = workload.totals, workload.span.seconds
    if not whole.calls and not whole.total_exec_time_ms:
        return "no statement was seen in that time" if not every else f"{every:,} statements, no time"
    text = f"{every:,} {'statement' if every == 1 else 'statements'}, "
    if whole.calls and workload.span.source is not Source.SAMPLE:  # which meets some of them
        text += f"{amount(whole.calls)} calls, "
    text += length(whole.total_exec_time_ms / 1000)
    if seconds and workload.span.source is not Source.LOG:  # which has the slow ones alone
        busy = whole.total_exec_time_ms / 1000 / seconds
        text += (
            f" ({f'{busy:.2g}' if busy < 99.5 else f'{busy:,.0f}'} sessions busy on average)" if busy >= 0.01 else ""
        )
    shares = [item.share for item in workload.statements if item.share is not None]
    if shown:
        part = f"; shown: {shown}" + (f" with {_percent(sum(shares))} of the time" if shares else "")
        text += f"{part}, by {RANKED[sort]}" if shown > 1 else part
    return text


def left_out(others: Others) -> Iterator[str]:
    """What is counted and not shown, each with what would show it."""
    if others.more:
        yield f"{others.more:,} beyond --limit"
    if others.quick:
        yield f"{others.quick:,} quick or rare ones (--min-mean 0ms shows them)"
    if others.filtered:
        yield f"{others.filtered:,} by the filters given"
    if others.utility:
        yield f"{others.utility:,} utility ({length(others.utility_time_ms / 1000)}; --utility)"
    if others.own:
        yield f"{others.own:,} of dbopt ({length(others.own_time_ms / 1000)}; --own)"
    if others.unread:
        yield f"{others.unread:,} that took less than to read their texts ({length(others.unread_time_ms / 1000)})"


def textless(others: Others) -> str | None:
    if not others.textless:
        return None
    count = plural(others.textless, "statement has", "statements have")
    return f"{count} no text ({length(others.textless_time_ms / 1000)}): hidden from this role, or gone"


def calls(statement: Statement, at_least: str = ">=") -> str | None:
    """Of a sample, those that were met."""
    counted = statement.counters.calls
    if not counted:
        return None if statement.samples is not None else "0"
    return amount(counted) if statement.samples is None else f"{at_least}{amount(counted)}"


def mean_ms(statement: Statement) -> float | None:
    """None of a sample, which meets the long calls alone."""
    return None if statement.samples is not None else statement.counters.mean_exec_time_ms


def is_slow(statement: Statement, slow_ms: float) -> bool:
    mean = mean_ms(statement)
    return mean is not None and mean >= slow_ms


def compared(statement: Statement) -> str | None:
    """`x3.2 slower (188 ms before), x10 as often`; None: not compared."""
    before = statement.before
    if before is None:
        return None
    if not before.calls and not before.total_exec_time_ms:
        return "new: not seen in the time before"
    slower, more = statement.slower, statement.more_frequent
    said = []
    if slower is not None and before.mean_exec_time_ms is not None:
        was = f" ({format_duration(before.mean_exec_time_ms / 1000)} before)"
        if slower >= _AT_MOST:
            said.append(f"x{_factor(slower)} slower{was}")
        elif slower > 0 and slower <= 1 / _AT_MOST:
            said.append(f"x{_factor(1 / slower)} faster{was}")
        else:
            said.append(f"as fast as before{was}")
    if more is not None:
        if more >= _AT_MOST:
            said.append(f"x{_factor(more)} as often")
        elif 0 < more <= 1 / _AT_MOST:
            said.append(f"x{_factor(1 / more)} less often")
        else:
            said.append("as often")
    return ", ".join(said) or "not known how it was before"


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _percent(ratio: float) -> str:
    from dbopt.render.amounts import percent

    return percent(min(1.0, ratio))


def plan(statement: Statement) -> str | None:
    """What it reads and how, in the order of the plan; None: there is none."""
    if not isinstance(statement.planned, Planned):
        return None
    trees = [tree for document in statement.planned.documents if (tree := root(document)) is not None]
    return "; ".join(map(summary, trees)) or None


def why_unplanned(statement: Statement) -> Unplanned | None:
    return statement.planned if isinstance(statement.planned, Unplanned) else None


def flip(item: Flip, now: datetime) -> str:
    """`plan changed 02:10 to 02:13: Index Scan using a on b -> Seq Scan on b`, without what both of them do."""
    before, after = item.before.summary.split(", "), item.after.summary.split(", ")
    start, end = item.before.last_at.astimezone(), item.after.first_at.astimezone()
    when = f"{end:%H:%M}" if f"{start:%F %H:%M}" == f"{end:%F %H:%M}" else f"{start:%H:%M} to {end:%H:%M}"
    if start.date() != end.date():
        when = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
    elif end.date() != now.astimezone().date():
        when = f"{end:%Y-%m-%d} {when}"
    gone = [scan for scan in before if scan not in after]
    come = [scan for scan in after if scan not in before]
    if not gone and not come:
        return f"plan changed {when}: the same scans, put together in another way"
    return f"plan changed {when}: {', '.join(gone or before)} -> {', '.join(come or after)}"


def ident(statement: Statement) -> str | None:
    """What `show` takes."""
    return statement.fingerprint if statement.queryid is None else str(statement.queryid)


SUGGEST = "the index worth having for one, with what it would bring and cost"


def mendable(statement: Statement) -> str | None:
    """What `suggest --slow-query` takes, of a statement that an index would help."""
    return ident(statement) if any(item.spec is not None for item in statement.advice) else None


def no_text(statement: Statement) -> str:
    kind = "" if statement.kind is Kind.UNKNOWN else f"; {statement.kind}"
    return f"(text not known: hidden from this role, or gone{kind})"


# The beginning of what a query gives back, with its first name.
_SELECTED = re.compile(r"(SELECT(?: DISTINCT)? )", re.IGNORECASE)


def short(query: str, columns: int) -> str:
    """On one line; of what does not fit so many columns, the list of what is selected gives way: which tables, and by
    what, says more.
    """
    text = one_line(query)
    if len(text) <= columns:
        return text
    start = _SELECTED.match(text)
    at = _from(text, start.end()) if start is not None else None
    if start is None or at is None:
        return text
    first = text[start.end() : at].strip()
    return text if len(first) <= 24 else f"{start[1]}{_first(first)}... {text[at:]}"


def _first(selected: str) -> str:
    first = selected.partition(",")[0]
    return f"{first}, " if len(first) <= 24 and first.count("(") == first.count(")") else ""


_STEP = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\bFROM\b""", re.IGNORECASE)


def _from(text: str, start: int) -> int | None:
    """Where the FROM of the outermost query stands."""
    depth = 0
    for match in _STEP.finditer(text, start):
        token = match[0]
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth == 0 and token.upper() == "FROM":
            return match.start()
    return None
