"""One look at one database: connect, collect, judge. What cannot be connected to is a verdict too."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from dbopt.health.collect import CONNECT_TIMEOUT_SECONDS, LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, collect
from dbopt.health.judge import judge
from dbopt.health.verdict import About, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.health.check import Check, Thresholds
    from dbopt.health.deltas import Sample
    from dbopt.health.scene import Facts
    from dbopt.postgres.connect import Connection


class Connect(Protocol):
    """Opens a session for `health`; the CLI knows where to."""

    def __call__(
        self, *, read_only: bool, statement_timeout_ms: int, lock_timeout_ms: int, connect_timeout_seconds: int
    ) -> Connection: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What this look is made with. `thresholds` and `limits` by check id: those that are not the check's own."""

    checks: Sequence[Check[Any]]
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    before: Sample | None = None
    show_literals: bool = False
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS


def look(connect: Connect, *, name: str | None, place: str, wishes: Wishes) -> tuple[Verdict, Facts]:
    """Raises AnotherRunner, ConnectionFailed."""
    started = time.monotonic()
    with contextlib.closing(
        connect(
            read_only=True,
            statement_timeout_ms=wishes.statement_timeout_ms,
            lock_timeout_ms=LOCK_TIMEOUT_MS,
            connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
        )
    ) as conn:
        facts = collect(conn, wishes.checks, statement_timeout_ms=wishes.statement_timeout_ms)
    results = tuple(
        judge(
            check,
            facts,
            thresholds=wishes.thresholds.get(check.id),
            limits=wishes.limits.get(check.id),
            before=wishes.before,
            show_literals=wishes.show_literals,
        )
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
        statements=facts.statements,
        round_trips=facts.round_trips,
    )
    return verdict, facts
