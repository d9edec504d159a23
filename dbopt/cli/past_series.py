"""`dbopt history` of figures, statements and tables: series from the store alone."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.cli.past import SINCE, Asked, opened, with_readings
from dbopt.errors import UsageError
from dbopt.store import chronicle, marks, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.cli.session import Session
    from dbopt.history.series import Series
    from dbopt.history.table import Table
    from dbopt.metrics.metric import Metric
    from dbopt.render.history_series import Page
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.chronicle import Database
    from dbopt.store.plain import Session as Kept

# So many names are offered where one is not known.
_NEAR_MAX = 5


def metrics(names: Sequence[str]) -> list[Metric]:
    """By name. Raises UsageError for one that is none."""
    from dbopt.metrics.catalogue import METRICS

    found = []
    for name in names:
        metric = METRICS.get(name.replace("-", "_"))
        if metric is None:
            near = difflib.get_close_matches(name, METRICS, n=3) or [item for item in METRICS if name in item][:3]
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(f'there is no figure "{name}"', hint=f"{hint}`dbopt history metric` lists them.")
        found.append(metric)
    return list(dict.fromkeys(found))


def metric_pages(session: Session, asked: Asked, names: Sequence[str]) -> list[Page]:
    from dbopt.history.series import length, of_metric, reach, stretches
    from dbopt.render.history_series import Page

    wanted = metrics(names)
    slow_ms = session.settings.slow_threshold_ms.value
    pages = []
    with opened(session) as kept:
        for database in with_readings(session, kept, asked):
            start = asked.start(kept, database, asked.now - SINCE)
            families = snapshots.families(kept, database.target_id)
            read = [family for family in families if any(metric.reads(family) for metric in wanted)]
            time = (start, asked.end)
            reached = [
                ends for family in read if (ends := chronicle.ends(kept, database.target_id, family, *time)) is not None
            ]
            every = asked.every_seconds or length(reach(reached))
            summed = {
                family: stretches(snapshots.each_interval(kept, database.target_id, family, *time), every)
                for family in read
            }
            series: list[Series] = []
            for metric in wanted:
                of_it = {family: found for family, found in summed.items() if found and metric.reads(family)}
                if of_it:
                    series.append(of_metric(metric, of_it, slow_ms=slow_ms))
                else:
                    its_own = [item for item in read if metric.reads(item)] or list(metric.families)
                    _nothing(session, kept, database, its_own, metric.name)
            pages.append(
                Page(
                    database=database,
                    every_seconds=every,
                    series=series,
                    marks=_marks(kept, database, start, asked.end),
                )
            )
    return pages


def statement_pages(session: Session, asked: Asked, queryids: Sequence[str]) -> list[Page]:
    from dbopt.history.series import length, reach
    from dbopt.history.statement import of_statement
    from dbopt.render.history_series import Page
    from dbopt.store.packing import only

    pages = []
    for queryid in queryids:
        _check_queryid(queryid)
    with opened(session) as kept:
        databases = with_readings(session, kept, asked)
        for queryid in queryids:
            found = False
            for database in databases:
                start = asked.start(kept, database, asked.now - SINCE)
                text = snapshots.texts(kept, database.target_id).get(int(queryid))
                loaded = snapshots.intervals(
                    kept, database.target_id, "statements", start, asked.end, only(key_starts=[f"{queryid}/"])
                )
                is_there = any(interval.changes for interval in loaded)
                if not is_there and text is None and queryid not in _queryids(kept, database):
                    continue
                found = True
                if not is_there:
                    _nothing(session, kept, database, ["statements"], f"statement {queryid}", is_idle=bool(loaded))
                    continue
                every = asked.every_seconds or length(reach((item.from_at, item.to_at) for item in loaded))
                pages.append(
                    Page(
                        database=database,
                        every_seconds=every,
                        series=of_statement(queryid, loaded, every),
                        marks=_marks(kept, database, start, asked.end),
                        subject=f"statement {queryid}",
                        about=text or "its text is not kept: it was never among the costliest",
                    )
                )
            if not found and databases:
                raise _unknown_statement(kept, databases, queryid)
    return pages


def table_pages(session: Session, asked: Asked, names: Sequence[str]) -> list[Page]:
    from dbopt.history.series import length, reach
    from dbopt.history.table import of_table
    from dbopt.render.history_series import Page

    pages = []
    with opened(session) as kept:
        databases = with_readings(session, kept, asked)
        heads = {database.target_id: _heads(kept, database) for database in databases}
        for name in names:
            found = False
            for database in databases:
                start = asked.start(kept, database, asked.now - SINCE)
                table, of_tables = _table(kept, database, name, heads[database.target_id], start)
                if table is None:
                    continue
                found = True
                loaded = {"tables": of_tables}
                if table.index_keys:
                    table, loaded["indexes"] = _with_indexes(kept, database, table, start)
                shown = [(item.from_at, item.to_at) for item in of_tables if item.to_at <= asked.end]
                if not shown:
                    _nothing(session, kept, database, ["tables"], f"table {table.name}")
                    continue
                every = asked.every_seconds or length(reach(shown))
                pages.append(
                    Page(
                        database=database,
                        every_seconds=every,
                        series=of_table(table, loaded, heads[database.target_id], every, until=asked.end),
                        marks=_marks(kept, database, start, asked.end),
                        subject=f"table {table.name}",
                    )
                )
            if not found and databases:
                raise _unknown_table(heads, name)
    return pages


def _marks(kept: Kept, database: Database, start: datetime, end: datetime) -> list[marks.Mark]:
    return [mark for mark in marks.all(kept, database.target_id) if start <= mark.marked_at <= end]


def _nothing(
    session: Session,
    kept: Kept,
    database: Database,
    families: Iterable[str],
    what: str,
    *,
    is_idle: bool = False,
) -> None:
    """Said where there is nothing to show; and what there is."""
    if is_idle:
        session.output.note(f"{what} of {database.name} did nothing in this time")
        return
    reached = [ends for family in families if (ends := chronicle.ends(kept, database.target_id, family)) is not None]
    if reached:
        start, end = min(ends[0] for ends in reached), max(ends[1] for ends in reached)
        kept_words = f"kept is {start.astimezone():%F %R} to {end.astimezone():%F %R}"
        session.output.note(f"nothing of {what} of {database.name} is kept from this time: {kept_words}")
        return
    if any(family in snapshots.families(kept, database.target_id) for family in families):
        session.output.note(f"one reading for {what} of {database.name} is kept: the next one makes the first point")
        return
    session.output.note(f"nothing for {what} of {database.name} was ever read: `dbopt snapshot` says what it lacks")


def _check_queryid(text: str) -> None:
    try:
        fits = -(2**63) <= int(text) < 2**63
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f'"{text}" is no queryid', hint="It is the number that pg_stat_statements has: -3416356442043621232."
        )


def _queryids(kept: Kept, database: Database) -> dict[str, float]:
    """Those of the last reading, with the time that they have taken so far."""
    head = snapshots.head(kept, database.target_id, "statements")
    if head is None:
        return {}
    at = head.counts.index("total_exec_time_ms") if "total_exec_time_ms" in head.counts else None
    found: dict[str, float] = {}
    for subject in head.subjects.values():
        found[subject.name] = found.get(subject.name, 0.0) + ((subject.counts[at] or 0.0) if at is not None else 0.0)
    return found


def _unknown_statement(kept: Kept, databases: Sequence[Database], queryid: str) -> UsageError:
    costs: dict[str, float] = {}
    for database in databases:
        costs |= _queryids(kept, database)
    near = difflib.get_close_matches(queryid, costs, n=_NEAR_MAX, cutoff=0.7)
    if near:
        detail = f"near it are {', '.join(near)}"
    elif costs:
        costliest = sorted(costs, key=lambda name: -costs[name])[:_NEAR_MAX]
        detail = f"the costliest of {len(costs):,} are {', '.join(costliest)}"
    else:
        detail = "no reading of pg_stat_statements is kept"
    return UsageError(f"there is no statement {queryid} in the store", detail=detail)


def _heads(kept: Kept, database: Database) -> dict[str, Part]:
    found = {family: snapshots.head(kept, database.target_id, family) for family in ("tables", "indexes")}
    return {family: part for family, part in found.items() if part is not None}


def _table(
    kept: Kept, database: Database, name: str, heads: Mapping[str, Part], start: datetime
) -> tuple[Table | None, list[Interval]]:
    """One that was dropped is known by what it did within the time."""
    from dbopt.history.table import Table, find
    from dbopt.store.packing import only

    table = find(name, heads.get("tables"), heads.get("indexes"))
    if table is not None:
        wanted = only(keys=table.keys)
        return table, snapshots.intervals(kept, database.target_id, "tables", start, None, wanted)
    found = snapshots.intervals(kept, database.target_id, "tables", start, None, only(names=[name]))
    keys = frozenset(key for interval in found for key in interval.changes)
    return (Table(name=name, keys=keys), found) if keys else (None, [])


def _with_indexes(kept: Kept, database: Database, table: Table, start: datetime) -> tuple[Table, list[Interval]]:
    """One that was rebuilt concurrently had another key before."""
    from dbopt.store.packing import only

    keys = table.index_keys
    while True:
        found = snapshots.intervals(kept, database.target_id, "indexes", start, None, only(keys=keys))
        more = {change.was for interval in found for change in interval.changes.values() if change.was} - keys
        if not more:
            return replace(table, index_keys=keys), found
        keys |= more


def _unknown_table(heads: Mapping[int, Mapping[str, Part]], name: str) -> UsageError:
    names = sorted(
        {item.name for parts in heads.values() if "tables" in parts for item in parts["tables"].subjects.values()}
    )
    by_last_part = {item.rpartition(".")[2]: item for item in names}
    near = [
        by_last_part[item] for item in difflib.get_close_matches(name.rpartition(".")[2], by_last_part, n=_NEAR_MAX)
    ]
    near = near or [item for item in names if name in item][:_NEAR_MAX]
    if near:
        return UsageError(f'there is no table "{name}" in the store', hint=f"Did you mean {' or '.join(near)}?")
    some = ", ".join(names[:_NEAR_MAX])
    more = f" and {len(names) - _NEAR_MAX:,} more" if len(names) > _NEAR_MAX else ""
    detail = f"it knows {some}{more}" if names else "no reading of tables is kept"
    return UsageError(f'there is no table "{name}" in the store', detail=detail)
