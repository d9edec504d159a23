"""`dbopt slow-queries --log`: the statements of a server's log. No database is connected to."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbopt.errors import EXIT_DONE
from dbopt.metrics.measurement import About
from dbopt.workload import findings
from dbopt.workload import statements as ranking
from dbopt.workload.finding import Scene
from dbopt.workload.model import Planned, Source, Span, Statement, Workload
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.workload.log import LogStatement
    from dbopt.workload.statements import Filter, Sort

STDIN = "-"


def show_log(
    session: Session, file: Path, wanted: Filter, sort: Sort, limit: int, *, since: str | None, literals: bool
) -> int:
    """Plans are those that auto_explain has logged; findings on them know nothing of the tables."""
    from dbopt.cli.moments import moment
    from dbopt.render.workload import write_workloads
    from dbopt.workload.log import read

    now = datetime.now(UTC)
    start = None if since is None else moment("--since", since, now)
    found = read(sys.stdin if str(file) == STDIN else file, since=start, literals=literals)
    totals = sum((item.counters for item in found.statements), found.others + found.textless)
    whole_ms = totals.total_exec_time_ms
    every = [_statement(item, whole_ms, now) for item in found.statements]
    chosen, others = ranking.chosen(every, wanted, sort, limit)
    span = Span(
        source=Source.LOG,
        from_at=found.from_at,
        to_at=found.to_at or now,
        seconds=(found.to_at - found.from_at).total_seconds() if found.from_at and found.to_at else None,
        place=str(file),
    )
    workload = Workload(
        span=span,
        statements=tuple(map(_with_advice, chosen)),
        totals=totals,
        others=others,
        slow_ms=wanted.slow_ms,
        notes=(*found.notes, *(f"{count:,} entries skipped: {reason}" for reason, count in found.skipped.items())),
    )
    about = About(name=None, place="standard input" if str(file) == STDIN else str(file))
    write_workloads(session.output, [(about, workload)], several=False, literals=literals, call=None, sort=sort)
    return EXIT_DONE


def _statement(item: LogStatement, whole_ms: float, now: datetime) -> Statement:
    planned = None
    if item.document is not None:
        planned = Planned(
            query=item.query,
            documents=(item.document,),
            planned_at=item.last_at or now,
            is_analyzed="Actual Rows" in item.document.get("Plan", {}),
        )
    return Statement(
        fingerprint=item.fingerprint,
        queryids=item.queryids,
        query=item.query if item.raw is None else item.raw,
        kind=item.kind,
        relations=item.relations,
        users=item.users,
        counters=item.counters,
        share=item.counters.total_exec_time_ms / whole_ms if whole_ms > 0 else None,
        max_exec_time_ms=item.max_exec_time_ms,
        planned=planned,
    )


def _with_advice(statement: Statement) -> Statement:
    from dataclasses import replace

    plan = None
    if isinstance(statement.planned, Planned):
        plan = next((node for node in map(root, statement.planned.documents) if node is not None), None)
    scene = Scene(statement=statement, plan=plan, relations={})
    on_plan = () if plan is None else findings.look(scene, on_plan=True)
    return replace(statement, advice=(*on_plan, *findings.look(scene, on_plan=False, found=on_plan)))
