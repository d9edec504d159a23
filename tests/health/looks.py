"""A check run on a real database, as `dbopt health` runs it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from helpers import wait_until
from psycopg.conninfo import make_conninfo

from dbopt.health.checks import all_checks, load
from dbopt.health.deltas import Sample
from dbopt.health.run import Wishes, look
from dbopt.postgres.connect import connect_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server import Database

    from dbopt.health.check import Finding, Result, Thresholds
    from dbopt.health.scene import Facts
    from dbopt.health.verdict import Verdict


def _conninfo(database: Database, user: str | None) -> str:
    return make_conninfo(database.conninfo, user=user) if user else database.conninfo


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
    verdict, _ = look(
        functools.partial(connect_by, _conninfo(database, user), command="health"),
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


def look_at(
    database: Database, *, user: str | None = None, checks: Sequence[str] = (), **wishes: Any
) -> tuple[Verdict, Facts]:
    """The verdict of all checks, or of these, and what they were judged by."""
    return look(
        functools.partial(connect_by, _conninfo(database, user), command="health"),
        name=None,
        place=database.name,
        wishes=Wishes(checks=[load(check_id) for check_id in checks] or all_checks(), **wishes),
    )


def sample_of(facts: Facts, *check_ids: str) -> Sample:
    """What the store would keep of that look for the next."""
    checks = [load(check_id) for check_id in check_ids] or all_checks()
    counters = {
        check.id: tuple(check.counters(facts.rows[check.query]))
        for check in checks
        if check.counters and check.query in facts.rows
    }
    return Sample(facts.surroundings.now, facts.server.system_identifier, counters)


def failed(facts: Facts) -> dict[str, str]:
    """The queries that gave no rows, and why; not those of an extension that is not there."""
    return {query.name: gap.reason for query, gap in facts.gaps.items() if gap.blind}


def told(verdict: Verdict) -> dict[str, list[str]]:
    """All that somebody would read in it, by check: subjects that are problems, and why a right is missing."""
    return {
        result.id: [f"{finding.status} {finding.subject}: {finding.detail}" for finding in result.findings]
        + ([f"{result.reason} / {result.hint}"] if result.blind else [])
        for result in verdict.results
        if result.findings or result.blind
    }


def subjects(result: Result) -> list[str]:
    return [finding.subject for finding in result.findings]


def only(result: Result) -> Finding:
    (finding,) = result.findings
    return finding


def counted(database: Database, relation: str, **least: int) -> None:
    """Until the statistics system has heard of so much: sessions tell it a moment later what they did."""

    def arrived() -> bool:
        columns = ", ".join(least)
        [row] = database.sql(f"SELECT {columns} FROM pg_stat_user_tables WHERE relid = %s::regclass", [relation])
        return all(value >= least[name] for value, name in zip(row, least, strict=True))

    wait_until(arrived, f"the count of {relation}")
