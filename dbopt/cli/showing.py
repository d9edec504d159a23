"""`dbopt slow-queries show ID`: one statement in depth."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.cli.planning import tree
from dbopt.errors import EXIT_DONE, UsageError
from dbopt.snapshot.model import Family
from dbopt.store import snapshots
from dbopt.values import dataclass
from dbopt.workload.detail import Detail, Point
from dbopt.workload.model import Counters, Planned, Statement
from dbopt.workload.statements import entries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dbopt.cli.observed import Observed, Wishes
    from dbopt.cli.session import Session
    from dbopt.cli.workload_windows import Windows
    from dbopt.snapshot.model import Interval
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.finding import Relation

# Without --since: a day has its busy hours.
_TREND = timedelta(days=1)
_TREND_POINTS = 48  # what a line of a terminal shows apart beside its words
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_QUERYID = re.compile(r"-?\d{1,19}")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What --analyze is given. `values`: by the parameter's number."""

    values: Mapping[int, str | None]
    timeout_ms: float


def show(session: Session, wishes: Wishes, wanted: str, analysis: Analysis | None) -> int:
    """Raises UsageError where there is no such statement, or --analyze lacks a value."""
    check_id(wanted)
    from dbopt.cli.workloads import Workloads
    from dbopt.render.statement import write_statement

    session.target  # noqa: B018 - one: it says so where there are several
    with Workloads(session, wishes) as workloads:
        [observed] = workloads.sources
        if wishes.looks_twice:
            observed.begin()
            workloads.wait()
        detail = _detail(observed, wishes, wanted, analysis)
        # Suggest looks at the database that is connected to.
        suggest = None if wishes.database is not None else functools.partial(session.call, "suggest", specs=False)
        write_statement(session.output, observed.about, detail, literals=wishes.literals, suggest=suggest)
    return EXIT_DONE


def _detail(observed: Observed, wishes: Wishes, wanted: str, analysis: Analysis | None) -> Detail:
    windows, lacks = observed.windows()
    [statement] = observed.told([looked_up(observed, windows, wanted)])
    if wishes.plans:
        [statement] = observed.planning.planned([statement], observed.knowledge.target_id, afresh=True)
    if analysis is not None:
        statement = _analyzed(observed, statement, analysis)
    [statement] = observed.bared([statement])
    return Detail(
        statement=statement,
        span=windows.span,
        before=windows.before_span,
        text=_laid_out(statement),
        trend=_trend(observed, wishes, statement, windows.span.to_at) if wishes.uses_store else (),
        relations=_relations(observed, statement),
        slow_ms=wishes.filter.slow_ms,
        notes=windows.notes,
        lacks=lacks,
    )


def check_id(wanted: str) -> None:
    """Before anybody connects. Raises UsageError for what is neither a queryid nor a fingerprint."""
    if not _QUERYID.fullmatch(wanted) and not _FINGERPRINT.fullmatch(wanted):
        raise UsageError(f"{wanted} is no queryid", hint="dbopt slow-queries lists them.")


def looked_up(observed: Observed, windows: Windows, wanted: str) -> Statement:
    """By queryid or fingerprint, without its text. Raises UsageError where there is none."""
    first = [int(wanted)] if _QUERYID.fullmatch(wanted) else []
    every, _ = observed.every(windows, first=first)
    return next((item for item in every if _is_it(item, wanted)), None) or _idle(observed, wanted)


def _is_it(statement: Statement, wanted: str) -> bool:
    return statement.fingerprint == wanted or wanted in map(str, statement.queryids)


def _idle(observed: Observed, wanted: str) -> Statement:
    """One that did nothing in the window: of the ids and texts that are known."""
    traits = observed.knowledge.traits
    ids = [queryid for queryid, item in traits.items() if wanted in (str(queryid), item.fingerprint)]
    if not ids and _QUERYID.fullmatch(wanted):
        observed.knowledge.read([int(wanted)])
        ids = [int(wanted)] if int(wanted) in traits else []
    if not ids:
        raise UsageError(
            f"no statement {wanted} is known in {observed.about.label}",
            detail="neither pg_stat_statements nor the store has it",
            hint="dbopt slow-queries lists those that cost most; --limit 50 more of them.",
        )
    known = traits[ids[0]]
    return Statement(
        fingerprint=known.fingerprint,
        queryids=tuple(ids),
        kind=known.kind,
        relations=known.relations,
        counters=Counters(),
        share=0.0,
    )


def _analyzed(observed: Observed, statement: Statement, analysis: Analysis) -> Statement:
    from dbopt.workload import findings
    from dbopt.workload.explain import Planner
    from dbopt.workload.finding import Scene
    from dbopt.workload.scene import scene, scenes_facts

    if statement.query is None or not statement.kind.has_plan:
        raise UsageError("this statement cannot be run with --analyze", hint="Leave --analyze out.")
    planner = Planner(observed.source.planner.conn, observed.source.planner.server)
    planned = planner.analyze(
        statement.query,
        analysis.values,
        next(iter(statement.userids), None),
        timeout_ms=int(analysis.timeout_ms),
    )
    node = tree(planned)
    if node is None:
        return replace(statement, planned=planned)
    known = scenes_facts(observed.source.planner.conn, observed.source.planner.server, [node])
    on_plan = findings.look(scene(known, statement, node), on_plan=True)
    on_counters = findings.look(Scene(statement=statement, plan=None, relations={}), on_plan=False, found=on_plan)
    advice = (*on_plan, *on_counters)
    return replace(statement, planned=planned, advice=advice)


def _laid_out(statement: Statement) -> str | None:
    if statement.query is None:
        return None
    from dbopt.workload.layout import formatted

    return formatted(statement.query)


def _relations(observed: Observed, statement: Statement) -> tuple[Relation, ...]:
    if not isinstance(statement.planned, Planned):
        return ()
    node = tree(statement.planned)
    if node is None:
        return ()
    from dbopt.workload.scene import scene, scenes_facts

    known = scenes_facts(observed.source.planner.conn, observed.source.planner.server, [node])
    return tuple(scene(known, statement, node).relations.values())


def _trend(observed: Observed, wishes: Wishes, statement: Statement, now: datetime) -> tuple[Point, ...]:
    """By what the store has, in stretches of equal length."""
    from dbopt.cli.moments import RESET, moment
    from dbopt.history.series import stretches
    from dbopt.store.packing import only

    since = now - _TREND if wishes.since in (None, RESET) else moment("--since", wishes.since or "", now)
    wanted = only(key_starts=[f"{queryid}/" for queryid in statement.queryids])

    def look_up(kept: Kept, target_id: int) -> tuple[Point, ...]:
        stored = snapshots.each_interval(kept, target_id, Family.STATEMENTS, since, None, wanted)
        return tuple(map(_point, stretches(stored, (now - since).total_seconds() / _TREND_POINTS).values()))

    return observed.remembered(look_up) or ()


def _point(interval: Interval) -> Point:
    """`interval` has no other statements."""
    found = entries(interval)
    counters = sum((entry.counters for entry in found), Counters())
    seconds = max((entry.seconds for entry in found), default=interval.seconds)
    return Point(
        from_at=interval.from_at,
        to_at=interval.to_at,
        calls_per_second=counters.calls / seconds if seconds > 0 else None,
        mean_ms=counters.mean_exec_time_ms,
    )
