"""A check run on a real database, as `dbopt health` runs it."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from helpers import wait_until
from psycopg.conninfo import make_conninfo

from dbopt.health.checks import all_checks, load
from dbopt.health.deltas import Sample
from dbopt.health.run import Wishes, look
from dbopt.postgres.connect import connect_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server import Database

    from dbopt.health.check import Check, Finding, Result, Thresholds
    from dbopt.health.scene import Facts
    from dbopt.health.verdict import Verdict


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
    verdict, _ = _look(database, user, [tuned(check_id, thresholds, limits)], before, **wishes)
    return verdict.results[0]


def look_at(
    database: Database,
    *,
    user: str | None = None,
    checks: Sequence[str] = (),
    thresholds: Mapping[str, Thresholds] | None = None,
    limits: Mapping[str, Mapping[str, float]] | None = None,
    before: Sample | None = None,
    **wishes: Any,
) -> tuple[Verdict, Facts]:
    """The verdict of all checks, or of these, and what they were judged by."""
    ids = checks or [check.id for check in all_checks()]
    other = [tuned(id_, (thresholds or {}).get(id_), (limits or {}).get(id_)) for id_ in ids]
    return _look(database, user, other, before, **wishes)


def tuned(check_id: str, thresholds: Thresholds | None = None, limits: Mapping[str, float] | None = None) -> Check[Any]:
    """A check with other numbers, as dbopt.yaml can give it."""
    check, other = load(check_id), limits or {}
    return replace(
        check,
        thresholds=thresholds or check.thresholds,
        limits=tuple(replace(limit, value=other.get(limit.name, limit.value)) for limit in check.limits),
    )


def _look(
    database: Database, user: str | None, checks: Sequence[Check[Any]], before: Sample | None, **wishes: Any
) -> tuple[Verdict, Facts]:
    def recall(_facts: Facts) -> dict[str, Sample]:
        return {} if before is None else {check.id: before for check in checks}

    conninfo = make_conninfo(database.conninfo, user=user) if user else database.conninfo
    verdict, facts = look(
        functools.partial(connect_by, conninfo, command="health"),
        name=None,
        place=database.name,
        wishes=Wishes(checks=checks, recall=recall, **wishes),
    )
    assert facts is not None, verdict.results[0]
    return verdict, facts


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
