"""From counters to statements: entries of one fingerprint together, filtered, ranked. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dbopt.values import dataclass
from dbopt.workload.model import COUNTS, Counters, Kind, Others, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.snapshot.model import Interval
    from dbopt.workload.model import Traits

# Below --min-mean, a statement is still shown that costs so much of all: many quick calls are a cost like a slow one.
COSTLY_SHARE = 0.01
# Or so many of all calls: what many round trips cost the application is not in the server's time.
FREQUENT_SHARE = 0.1


class Sort(StrEnum):
    """By what statements are ranked; the first is what nobody has to ask for."""

    TOTAL = "total"
    MEAN = "mean"
    CALLS = "calls"
    ROWS = "rows"
    IO = "io"
    READS = "reads"
    TEMP = "temp"
    WAL = "wal"
    PLANNING = "planning"
    VARIANCE = "variance"
    CHANGE = "change"  # of --vs: how much more time it takes each second than it did

    @property
    def is_by_time(self) -> bool:
        """What is ranked by something else than time is not judged by it."""
        return self in (Sort.TOTAL, Sort.MEAN, Sort.VARIANCE)


def _change(statement: Statement) -> float | None:
    """Milliseconds a second."""
    if statement.before is None or not statement.seconds or not statement.before_seconds:
        return None
    now = statement.counters.total_exec_time_ms / statement.seconds
    return now - statement.before.total_exec_time_ms / statement.before_seconds


SORTS: Mapping[Sort, Callable[[Statement], float | None]] = {
    Sort.TOTAL: lambda item: item.counters.total_exec_time_ms,
    Sort.MEAN: lambda item: item.counters.mean_exec_time_ms,
    Sort.CALLS: lambda item: item.counters.calls,
    Sort.ROWS: lambda item: item.counters.rows,
    Sort.IO: lambda item: item.counters.io_time_ms,
    Sort.READS: lambda item: item.counters.shared_blks_read,
    Sort.TEMP: lambda item: item.counters.temp_blks_written,
    Sort.WAL: lambda item: item.counters.wal_bytes,
    Sort.PLANNING: lambda item: item.counters.total_plan_time_ms,
    Sort.VARIANCE: lambda item: item.counters.stddev_exec_time_ms,
    Sort.CHANGE: _change,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What pg_stat_statements counts: of one queryid, one user."""

    queryid: int
    userid: int
    counters: Counters
    seconds: float
    toplevel: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is wanted. `min_mean_ms` None: what is over `slow_ms`, or is COSTLY_SHARE of all time or
    FREQUENT_SHARE of all calls. Names may hold * and
    ?; tables stand with their schema or without.
    """

    min_calls: float = 0
    min_mean_ms: float | None = None
    slow_ms: float
    users: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    utility: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Textless:
    """Ids of which nobody knows what they are. `gone`: nor can know. `unread`: to find out costs more than they do."""

    gone: Collection[int] = ()
    unread: Collection[int] = ()


def entries(interval: Interval) -> list[Entry]:
    """Of an interval of STATEMENTS. What was not counted over all of it is None."""
    known = [name for name in COUNTS if name in interval.counts]
    places = [interval.counts.index(name) for name in known]
    found = []
    for change in interval.changes.values():
        amounts: dict[str, Any] = {name: change.counts[at] for name, at in zip(known, places, strict=True)}
        counters = Counters(**amounts)
        if counters.calls or counters.total_exec_time_ms:
            queryid, userid, toplevel = change.key.split("/")
            found.append(
                Entry(
                    queryid=int(queryid),
                    userid=int(userid),
                    counters=counters,
                    seconds=interval.seconds_of(change.key),
                    toplevel=toplevel == "1",
                )
            )
    return found


def totals(found: Iterable[Entry]) -> Counters:
    """Of what clients sent: what functions run is part of the statement that called them."""
    return sum((entry.counters for entry in found if entry.toplevel), Counters())


def grouped(
    found: Iterable[Entry],
    traits: Mapping[int, Traits],
    users: Mapping[int, str],
    *,
    whole: Counters,
) -> list[Statement]:
    """One statement a fingerprint; one whose text is not known stands alone. `whole`: of all, for the shares. Their
    texts are added later (`with_text`), to those that are shown.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in found:
        known = traits.get(entry.queryid)
        groups.setdefault(str(entry.queryid) if known is None else f"f{known.fingerprint}", []).append(entry)
    return [_together(group, traits, users, whole) for group in groups.values()]


def _together(
    group: Sequence[Entry],
    traits: Mapping[int, Traits],
    users: Mapping[int, str],
    whole: Counters,
) -> Statement:
    ranked = sorted(group, key=lambda entry: (-entry.counters.total_exec_time_ms, entry.queryid, entry.userid))
    queryids = tuple(dict.fromkeys(entry.queryid for entry in ranked))
    known = traits.get(queryids[0])
    counters = sum((entry.counters for entry in ranked), Counters())
    return Statement(
        fingerprint=None if known is None else known.fingerprint,
        queryids=queryids,
        kind=Kind.UNKNOWN if known is None else known.kind,
        relations=() if known is None else known.relations,
        users=tuple(dict.fromkeys(users.get(entry.userid, f"role {entry.userid}") for entry in ranked)),
        userids=tuple(dict.fromkeys(entry.userid for entry in ranked)),
        counters=counters,
        share=counters.total_exec_time_ms / whole.total_exec_time_ms if whole.total_exec_time_ms > 0 else None,
        calls_share=counters.calls / whole.calls if whole.calls > 0 else None,
        # One that came late was watched for less; of several, the longest says how often all of them were called.
        seconds=max((entry.seconds for entry in ranked), default=0.0) or None,
    )


def compared(now: Sequence[Statement], before: Sequence[Statement], seconds: float) -> list[Statement]:
    """Each with what it was in a time of so many seconds before; what was not called then has zero calls."""
    by_fingerprint = {item.fingerprint: item for item in before if item.fingerprint is not None}
    by_queryid = {queryid: item for item in before for queryid in item.queryids}
    found = []
    for item in now:
        old = by_fingerprint.get(item.fingerprint) if item.fingerprint is not None else None
        old = old or next((by_queryid[queryid] for queryid in item.queryids if queryid in by_queryid), None)
        found.append(
            replace(
                item,
                before=Counters() if old is None else old.counters,
                before_seconds=seconds if old is None or old.seconds is None else old.seconds,
            )
        )
    return found


def chosen(
    statements: Iterable[Statement],
    wanted: Filter,
    sort: Sort,
    limit: int | None,
    textless: Textless | None = None,
) -> tuple[list[Statement], Others]:
    """Those to be shown, in their order, and what is left out."""
    textless = textless or Textless()
    kept: list[Statement] = []
    left = dict.fromkeys(("filtered", "quick", "utility", "own", "textless", "unread"), 0)
    times = {"utility": 0.0, "own": 0.0, "textless": 0.0, "unread": 0.0}
    for item in statements:
        is_unread = item.fingerprint is None and item.queryid in textless.unread
        reason = "unread" if is_unread else _left_out(item, wanted, sort)
        if item.fingerprint is None and item.queryid in textless.gone:
            left["textless"] += 1
            times["textless"] += item.counters.total_exec_time_ms
        if reason is None:
            kept.append(item)
            continue
        left[reason] += 1
        if reason in times:
            times[reason] += item.counters.total_exec_time_ms
    value = SORTS[sort]
    ranked = [item for item in kept if value(item) is not None]
    ranked.sort(key=lambda item: (-(value(item) or 0.0), -item.counters.total_exec_time_ms, item.queryids))
    more = max(0, len(ranked) - limit) if limit is not None else 0
    others = Others(
        filtered=left["filtered"] + len(kept) - len(ranked),
        quick=left["quick"],
        more=more,
        utility=left["utility"],
        own=left["own"],
        textless=left["textless"],
        unread=left["unread"],
        utility_time_ms=times["utility"],
        own_time_ms=times["own"],
        textless_time_ms=times["textless"],
        unread_time_ms=times["unread"],
    )
    return ranked[:limit], others


def _left_out(item: Statement, wanted: Filter, sort: Sort) -> str | None:
    if item.kind is Kind.OWN and not wanted.own:
        return "own"
    if item.kind is Kind.UTILITY and not wanted.utility:
        return "utility"
    if wanted.users and not any(_fits(user, wanted.users) for user in item.users):
        return "filtered"
    if wanted.tables and not any(fits_table(name, wanted.tables) for name in item.relations):
        return "filtered"
    if item.counters.calls < wanted.min_calls:
        return "quick"
    mean = item.counters.mean_exec_time_ms or 0.0
    if wanted.min_mean_ms is not None:
        return "quick" if mean < wanted.min_mean_ms else None
    costs = (item.share or 0.0) >= COSTLY_SHARE or (item.calls_share or 0.0) >= FREQUENT_SHARE
    return "quick" if sort.is_by_time and mean < wanted.slow_ms and not costs else None


def fits_table(name: str, patterns: Sequence[str]) -> bool:
    """A table as a statement writes it fits a pattern without a schema by its last part; one with a schema fits a table
    that is written without one, too, as nobody knows where that was found.
    """
    parts = _parts(name)
    for pattern in patterns:
        wanted = _parts(pattern)
        if not _fits(parts[-1], (wanted[-1],)):
            continue
        if len(wanted) == 1 or len(parts) == 1 or _fits(parts[-2], (wanted[-2],)):
            return True
    return False


def _parts(name: str) -> list[str]:
    """Of a name as SQL writes it: `sch."Odd.name"`; what is not quoted is lower case."""
    found, current, quoted = [""], 0, False
    for character in name:
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            found.append("")
            current += 1
        else:
            found[current] += character if quoted else character.lower()
    return found


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


def with_text(statement: Statement, texts: Mapping[int, str], traits: Mapping[int, Traits]) -> Statement:
    """With the text of the costliest of its ids that has one. One that nobody had taken apart is what its text says."""
    query = next((texts[item] for item in statement.queryids if item in texts), None)
    known = None if statement.queryid is None else traits.get(statement.queryid)
    if statement.fingerprint is not None or known is None:
        return replace(statement, query=query)
    return replace(statement, query=query, fingerprint=known.fingerprint, kind=known.kind, relations=known.relations)
