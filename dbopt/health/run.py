"""One look at one database: connect, collect, judge. What cannot be connected to is a verdict too."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from dbopt.errors import ConnectionFailed
from dbopt.health.check import Group
from dbopt.health.checks import cannot_connect
from dbopt.health.collect import CONNECT_DEADLINE_SECONDS, STATEMENT_TIMEOUT_MS, collect
from dbopt.health.judge import judge
from dbopt.health.verdict import About, Verdict
from dbopt.postgres.connect import lost
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dbopt.health.applications import Process
    from dbopt.health.check import Check
    from dbopt.health.deltas import Sample
    from dbopt.health.scene import Facts
    from dbopt.postgres.connect import Connection


class Connect(Protocol):
    """Opens a session for `health`; the CLI knows where to."""

    def __call__(self, *, deadline_seconds: float) -> Connection: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What this look is made with. `recall` gives what earlier runs have kept, by check id; `applications` those that
    run, for checks of theirs.
    """

    checks: Sequence[Check[Any]]
    recall: Callable[[Facts], Mapping[str, Sample]] | None = None
    applications: Callable[[Facts], Sequence[Process] | None] | None = None
    show_literals: bool = False
    exact: bool = False  # read relations where an estimate would do
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS


def look(connect: Connect, *, name: str | None, place: str, wishes: Wishes) -> tuple[Verdict, Facts | None]:
    """Without a connection, or where it is lost, the verdict says so, and there are no facts. Raises AnotherRunner."""
    started = time.monotonic()
    try:
        facts, notes = _facts(connect, place, wishes)
    except ConnectionFailed as failure:
        verdict = Verdict(
            about=About(name=name, place=place),
            collected_at=datetime.now(UTC),
            seconds=time.monotonic() - started,
            results=cannot_connect.results(failure, wishes.checks),
        )
        return verdict, None
    recalled = {} if wishes.recall is None else wishes.recall(facts)
    if wishes.applications is not None and any(check.group is Group.CLIENTS for check in wishes.checks):
        facts = replace(facts, applications=wishes.applications(facts))
    results = tuple(
        judge(check, facts, before=recalled.get(check.id), show_literals=wishes.show_literals)
        for check in wishes.checks
    )
    server = facts.server
    verdict = Verdict(
        about=About(
            name=name,
            place=place,
            dbname=server.dbname,
            server_version=server.server_version,
            system_identifier=server.system_identifier,
            in_recovery=server.in_recovery,
            role=server.usename,
        ),
        collected_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        results=results,
        notes=notes,
        statements=facts.statements,
        round_trips=facts.round_trips,
    )
    return verdict, facts


def _facts(connect: Connect, place: str, wishes: Wishes) -> tuple[Facts, tuple[str, ...]]:
    """With notes on what could not be measured. Raises ConnectionFailed, AnotherRunner."""
    with contextlib.closing(connect(deadline_seconds=CONNECT_DEADLINE_SECONDS)) as conn:
        try:
            facts = collect(conn, wishes.checks, statement_timeout_ms=wishes.statement_timeout_ms)
            if not wishes.exact:
                return facts, ()
            from dbopt.health.exact import measure  # rarely asked for

            return measure(conn, facts, wishes.checks)
        except psycopg.Error as exc:
            if not conn.closed:
                raise
            failure = exc
    # The server knows better what has happened than a connection that is gone.
    connect(deadline_seconds=CONNECT_DEADLINE_SECONDS).close()
    raise lost(failure, place) from failure
