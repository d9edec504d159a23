"""Statements of applications that fail.

The share of statements that ended with an error within the last five minutes, over all processes of an application with
dbopt.client that publish themselves to the store. What was lost on the way counts too, which the server never hears of:
connections that broke, statements that were given up.

An application may fail on purpose, as where it inserts and takes a duplicate key for an answer; INSERT ... ON CONFLICT
says the same without an error. What has failed stands in the server's log, with its SQLSTATE where log_line_prefix has
%e. https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.applications import NEEDS, WITHIN, by_application, in_processes, sums
from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Unit, above
from dbopt.postgres.server import FACTS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    application: str
    processes: int
    errors: float
    queries: float
    gap: Gap | None

    @property
    def ratio(self) -> float:
        return self.errors / self.queries if self.queries else 0.0


def _failures(_rows: Sequence[object], scene: Scene) -> Iterator[Failures]:
    found = False
    for name, processes in by_application(scene):
        counted = sums(processes, "errors", "queries")
        if counted is None:
            continue
        found = True
        errors, queries = counted
        gap = None
        if queries < max(scene.limits["min_queries"], 1):
            gap = Gap(f"too few statements for a ratio: {queries:.0f} {WITHIN}")
        yield Failures(application=name, processes=len(processes), errors=errors, queries=queries, gap=gap)
    if not found:
        raise NotJudged("no application has told of its statements")


CHECK: Check[Failures] = Check(
    id="client-errors",
    title="Statements of applications that fail",
    group=Group.CLIENTS,
    query=FACTS,  # what is judged stands in the store; these have been answered already
    rows=_failures,
    unit=Unit.RATIO,
    thresholds=above(warning=0.001, critical=None, source="guide of Thrive-Send: error rate below 0.1 %"),
    limits=(Limit("min_queries", 1_000, Unit.COUNT, "our own reasoning: of fewer, one error is more than 0.1 %"),),
    subject=lambda row: row.application,
    measure=lambda row: row.ratio,
    gap=lambda row: row.gap,
    detail=lambda row: f"{row.errors:.0f} of {row.queries:.0f} statements {WITHIN} in {in_processes(row.processes)}",
    remedy=lambda _: "dbopt metrics --group clients",
    needs=NEEDS,
    gauge=True,
)
