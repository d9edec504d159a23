"""What speaks for or against what was promised: the catalog, the ledger, and readings that the store has kept.

facts(...) -> tuple[Facts, ...]    pure: from rows and intervals to what review.py judges
look_up(kept, ...) -> Evidence     what the store has
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.metrics import spans
from dbopt.snapshot.model import Family
from dbopt.spec import mark
from dbopt.store import snapshots, suggestions, workload
from dbopt.store.packing import only
from dbopt.suggest.review import CALLS_LEAST, LEAST_AGE, Built, Facts, StatementFacts, There, Times
from dbopt.values import dataclass
from dbopt.workload.statements import entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.optimize.guard import ReplicaUse, Window
    from dbopt.postgres.reviewed_indexes import ReviewedIndex
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session
    from dbopt.store.suggestions import IndexStep, Kept
    from dbopt.suggest.model import Candidate
    from dbopt.suggest.remembering import Promise, PromisedStatement

# Of the time before an index was built, the same week that is waited for afterwards.
BEFORE = LEAST_AGE
# Our own reasoning: so little of the time before makes a statement that is faster now look slower, not the reverse.
MOSTLY = 0.9
_DESC, _NULLS_FIRST = 1, 2  # bits of indoption


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the store says. `statements`, `indexes`: intervals, in the order of time, the last one up to now.
    `queryids`: of each fingerprint, all under which it is known. `texts`: by queryid.
    """

    steps: tuple[IndexStep, ...] = ()
    statements: tuple[Interval, ...] = ()
    indexes: tuple[Interval, ...] = ()
    queryids: Mapping[str, frozenset[int]]
    texts: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What statements did in an interval, by queryid."""

    from_at: datetime
    to_at: datetime
    times: Mapping[int, Times]


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What the server says. `at` by its clock."""

    at: datetime
    indexes: tuple[ReviewedIndex, ...]
    window: Window
    replicas: tuple[ReplicaUse, ...] = ()


def look_up(
    session: Session,
    target_id: int,
    ledger_ids: Sequence[int],
    kept: Sequence[Kept],
    now: Now,
    parts: Mapping[Family, Part],
) -> Evidence:
    """What the store has about promises. `ledger_ids`: the targets whose runs make this one's indexes: of a standby its
    primary, too. `parts`: fresh readings, so that what happened since the last that is kept counts.
    """
    since = min(item.promised_at for item in kept)
    by_fingerprint: dict[str, set[int]] = defaultdict(set)
    for queryid, known in workload.traits(session, target_id).items():
        by_fingerprint[known.fingerprint].add(queryid)
    promised = [statement for item in kept for statement in item.promise.statements]
    known_ids = {name: frozenset(found) for name, found in by_fingerprint.items()}
    ids = sorted({queryid for statement in promised for queryid in _ids(statement, known_ids)})
    oids = sorted({oid for row in now.indexes for oid in row.oids or ()})
    return Evidence(
        steps=tuple(suggestions.index_steps(session, ledger_ids, since)),
        statements=_intervals(
            session, target_id, Family.STATEMENTS, since - BEFORE, [f"{queryid}/" for queryid in ids], parts
        ),
        indexes=_intervals(session, target_id, Family.INDEXES, since, [str(oid) for oid in oids], parts),
        queryids=known_ids,
        texts=workload.texts_of(session, target_id, ids),
    )


def _intervals(
    session: Session,
    target_id: int,
    family: Family,
    since: datetime,
    starts: Sequence[str],
    parts: Mapping[Family, Part],
) -> tuple[Interval, ...]:
    if not starts:
        return ()
    stored = snapshots.intervals(session, target_id, family, since, None, only(key_starts=starts))
    if family not in parts:
        return tuple(stored)
    return tuple(spans.until_now(stored, snapshots.head(session, target_id, family), parts[family]) or stored)


def facts(kept: Sequence[Kept], now: Now, evidence: Evidence) -> tuple[Facts, ...]:
    """One for each promise."""
    by_table: dict[tuple[str, str], list[ReviewedIndex]] = defaultdict(list)
    for row in now.indexes:
        by_table[row.table_schema, row.table].append(row)
    promised = {(item.promise.schema, item.promise.index) for item in kept}
    spent = list(map(_spent, evidence.statements))
    found = []
    for item in kept:
        promise = item.promise
        there = _row(promise, by_table[promise.schema, promise.table], promised)
        built, dropped_at = _history(item, there, evidence)
        found.append(
            Facts(
                promise=promise,
                promised_at=item.promised_at,
                there=None if there is None else _there(there, built, now, evidence),
                built=built,
                dropped_at=dropped_at if there is None else None,
                statements=tuple(_statement(one, built, evidence, spent) for one in promise.statements),
            )
        )
    return tuple(found)


def _row(promise: Promise, rows: Sequence[ReviewedIndex], promised: set[tuple[str, str]]) -> ReviewedIndex | None:
    """By its name, else one of the same definition under a name that was not promised: it was renamed in the spec."""
    for row in rows:
        if row.index == promise.index:
            return row
    alike = (row for row in rows if (row.table_schema, row.index) not in promised and is_same(promise.candidate, row))
    return next(alike, None)


def is_same(candidate: Candidate, row: ReviewedIndex) -> bool:
    """Whether the index is the one that was suggested, as far as columns tell: of expressions and predicates, only by
    its name.
    """
    if candidate.where or row.has_predicate or None in row.columns or row.is_unique:
        return False
    names = tuple(key.column for key in candidate.keys)
    classes = tuple(key.opclass.rpartition(".")[2].strip('"') or None for key in candidate.keys)
    bits = tuple(_DESC * key.descending + _NULLS_FIRST * key.nulls_first for key in candidate.keys)
    return (
        candidate.method == row.method
        and tuple(row.columns[: len(names)]) == names
        and sorted(map(str, row.columns[len(names) :])) == sorted(candidate.include)
        and tuple(row.opclasses) == classes
        and tuple(row.indoption) == bits
    )


def _history(item: Kept, row: ReviewedIndex | None, evidence: Evidence) -> tuple[Built | None, datetime | None]:
    """When the index was built, and when it was dropped, since it was promised."""
    promise = item.promise
    names = {promise.index} if row is None else {promise.index, row.index}
    built: Built | None = None
    dropped_at = None
    for step in evidence.steps:
        if step.schema != promise.schema or step.index not in names or step.started_at < item.promised_at:
            continue
        if step.action == "drop":
            built, dropped_at = None if row is not None else built, step.ended_at
        else:
            built = Built(step.started_at, step.ended_at) if built is None or step.action == "repair" else built
    if built is not None:
        return built, dropped_at
    seen = [] if item.seen_at is None else [item.seen_at]
    seen += _first_counted(row, evidence)
    return (Built(item.promised_at, min(seen)) if seen else None), dropped_at


def _first_counted(row: ReviewedIndex | None, evidence: Evidence) -> list[datetime]:
    """When readings have seen it first: it was there by then."""
    keys = set() if row is None else {str(oid) for oid in row.oids or ()}
    return [interval.to_at for interval in evidence.indexes if not keys.isdisjoint(interval.changes)][:1]


def _there(row: ReviewedIndex, built: Built | None, now: Now, evidence: Evidence) -> There:
    seconds = now.window.seconds
    told = mark.read(row.comment)[1]
    return There(
        name=row.index,
        is_valid=row.is_valid,
        size_bytes=row.size_bytes,
        scans=_scans(row, built, now, evidence) if now.window.tracks_counts else None,
        counted_since=None if seconds is None else now.at - timedelta(seconds=seconds),
        unasked=tuple((use.name, use.problem) for use in now.replicas if use.problem is not None),
        domain=None if told is None else told.domain,
    )


def _scans(row: ReviewedIndex, built: Built | None, now: Now, evidence: Evidence) -> int:
    """As the counters stand, or as readings have added them up, if these were started anew since; and on replicas."""
    since = [item for item in evidence.indexes if built is None or item.from_at >= built.from_at]
    counted = sum(item.count(str(oid), "idx_scan") or 0.0 for item in since for oid in row.oids or ())
    parts = list(zip(row.part_schemas or (), row.part_names or (), strict=True))
    elsewhere = sum(
        use.scanned[part].idx_scan
        for use in now.replicas
        if use.scanned is not None
        for part in parts
        if part in use.scanned
    )
    return max(row.idx_scan, round(counted)) + elsewhere


def _ids(statement: PromisedStatement, known: Mapping[str, frozenset[int]]) -> list[int]:
    """All ids under which it is known: others run it too, and an upgrade gives it another one."""
    return sorted({*statement.queryids, *known.get(statement.fingerprint or "", ())})


def _statement(
    promised: PromisedStatement, built: Built | None, evidence: Evidence, spent: Sequence[Spent]
) -> StatementFacts:
    ids = _ids(promised, evidence.queryids)
    before = _promised_times(promised)
    after = None
    if built is not None and ids:
        counted = _together((item for item in spent if _is_before(item, built)), ids)
        # A few calls since the promise say less than what was promised by.
        if counted is not None and (counted.calls >= CALLS_LEAST or before is None):
            before = counted
        after = _together((item for item in spent if _is_after(item, built)), ids)
    texts = (evidence.texts[queryid] for queryid in (*promised.queryids, *ids) if queryid in evidence.texts)
    return StatementFacts(promised=promised, before=before, after=after, query=next(texts, None))


def _is_before(interval: Spent, built: Built) -> bool:
    return built.from_at - BEFORE <= interval.from_at and interval.to_at <= built.from_at


def _is_after(interval: Spent, built: Built) -> bool:
    """Nearly all of it: readings are rarely taken just when an index is done, and old ones are by the hour or day."""
    after = interval.to_at - max(interval.from_at, built.by)
    return after > timedelta(0) and after >= MOSTLY * (interval.to_at - interval.from_at)


def _promised_times(promised: PromisedStatement) -> Times | None:
    return None if promised.mean_ms is None else Times(promised.calls, promised.calls * promised.mean_ms)


def _spent(interval: Interval) -> Spent:
    found: dict[int, Times] = {}
    for entry in entries(interval):
        found[entry.queryid] = found.get(entry.queryid, Times(0.0, 0.0)) + Times(
            entry.counters.calls, entry.counters.total_exec_time_ms
        )
    return Spent(from_at=interval.from_at, to_at=interval.to_at, times=found)


def _together(intervals: Iterable[Spent], queryids: Sequence[int]) -> Times | None:
    """What statements did in these intervals; None: there are none."""
    found = None
    for interval in intervals:
        mine = (interval.times[queryid] for queryid in queryids if queryid in interval.times)
        found = sum(mine, Times(0.0, 0.0) if found is None else found)
    return found
