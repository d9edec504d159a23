"""A check run on a real database, as `dbopt health` runs it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from dbopt.health.checks import load
from dbopt.health.run import Wishes, look
from dbopt.postgres.connect import connect

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.check import Finding, Result, Thresholds
    from dbopt.health.deltas import Sample


def run_check(
    database: Database,
    check_id: str,
    *,
    user: str | None = None,
    thresholds: Thresholds | None = None,
    limits: dict[str, float] | None = None,
    before: Sample | None = None,
    **wishes: Any,
) -> Result:
    """One check's Result on a database, as `user`."""
    conninfo = database.conninfo + (f" user={user}" if user else "")
    verdict, _ = look(
        functools.partial(connect, conninfo, command="health"),
        name=None,
        place=database.name,
        wishes=Wishes(
            checks=[load(check_id)],
            thresholds={check_id: thresholds} if thresholds else {},
            limits={check_id: limits} if limits else {},
            before=before,
            **wishes,
        ),
    )
    return verdict.results[0]


def subjects(result: Result) -> list[str]:
    return [finding.subject for finding in result.findings]


def only(result: Result) -> Finding:
    (finding,) = result.findings
    return finding
