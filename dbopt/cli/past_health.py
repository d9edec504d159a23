"""`dbopt history` of health and of marks."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from dbopt.cli.moments import LONG_AGO
from dbopt.cli.past import opened, unknown_database
from dbopt.errors import UsageError
from dbopt.store import chronicle, marks

if TYPE_CHECKING:
    from dbopt.cli.past import Asked
    from dbopt.cli.session import Session
    from dbopt.render.history_health import HealthPage
    from dbopt.store.chronicle import Database
    from dbopt.store.marks import Mark


def health_pages(session: Session, asked: Asked, limit: int, check: str | None) -> list[HealthPage]:
    """Of each database that the call names, else of all. A note where there is none."""
    from dbopt.health.checks import check_ids
    from dbopt.render.history_health import HealthPage

    if check is not None and check not in check_ids():
        near = difflib.get_close_matches(check, check_ids(), n=1)
        hint = f"Did you mean {near[0]}?" if near else "`dbopt health --list` lists them."
        raise UsageError(f'there is no check "{check}"', hint=hint)
    pages = []
    with opened(session) as kept:
        known = chronicle.databases(kept)
        found = chronicle.named(known, asked.names)
        if asked.names and not found:
            raise unknown_database(known, asked)
        for database in found:
            if not database.has_health:
                if asked.names:
                    session.output.note(f"health of {database.name} was never looked at: `dbopt health` does")
                continue
            time = (asked.start(kept, database, LONG_AGO), asked.end)
            findings = [
                item
                for item in chronicle.findings(kept, database.target_id, *time)
                if check is None or item.check_id == check
            ]
            # What is still there stands before what is gone.
            findings.sort(key=lambda item: (item.is_gone, -item.last_at.timestamp() if item.is_gone else 0))
            pages.append(
                HealthPage(
                    database=database,
                    runs=chronicle.health_runs(kept, database.target_id, *time),
                    findings=findings[:limit],
                    checks=[] if check is None else chronicle.stretches(kept, database.target_id, check, *time)[:limit],
                    left_out=max(0, len(findings) - limit),
                )
            )
    if not any(item.has_health for item in known):
        session.output.note("no runs of health are kept yet: `dbopt health` keeps what it finds")
    elif any(page.left_out for page in pages):
        session.output.note(f"there are older findings: --limit {limit * 5} shows more")
    return pages


def all_marks(session: Session, asked: Asked, limit: int) -> list[tuple[Database, Mark]]:
    """The newest first."""
    found = []
    with opened(session) as kept:
        known = chronicle.databases(kept)
        chosen = chronicle.named(known, asked.names)
        if asked.names and not chosen:
            raise unknown_database(known, asked)
        for database in chosen:
            start, end = asked.start(kept, database, LONG_AGO), asked.end
            every = marks.all(kept, database.target_id)
            found += [(database, mark) for mark in every if start <= mark.marked_at <= end]
    found.sort(key=lambda pair: (pair[1].marked_at, pair[1].id), reverse=True)
    if not found:
        session.output.note("no marks are kept from this time: `dbopt reset-metrics` makes one")
    elif len(found) > limit:
        session.output.note(f"there are older marks: --limit {limit * 5} shows more")
    return found[:limit]
