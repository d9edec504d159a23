"""pg_stat_statements that forgets: more different statements come than it has room for.

It holds pg_stat_statements.max statements. When it is full, the 5 % that were used least are thrown out, and what they
cost is gone from every sum: rare but expensive statements stay invisible. Measured is how many times over its room was
needed within a day. Statements made anew for each call, such as
IN lists of varying length before PostgreSQL 18 or names of temporary tables, are the usual cause. Raise
pg_stat_statements.max, which needs a restart, or make the statements alike.

The line of this check also says which version of the extension is in use, and whether its texts can be read.
https://www.postgresql.org/docs/current/pgstatstatements.html#PGSTATSTATEMENTS-PG-STAT-STATEMENTS-INFO
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.deltas import Counters
from dbopt.health.statements import NEEDS, grant, must_count
from dbopt.postgres.statements import STATEMENT_TOTALS, StatementTotals
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_SUBJECT = "pg_stat_statements"
_DROPPED_SHARE = 0.05  # of the entries, at each deallocation
_DROPPED_MIN = 10


@dataclass(frozen=True, slots=True)
class Turnover:
    """How many times over all that it holds was thrown out."""

    times: float
    detail: str
    remedy: str
    gap: Gap | None = None
    subject: str = _SUBJECT


def _counters(rows: Sequence[StatementTotals]) -> Iterator[Counters]:
    for row in rows:
        if row.deallocations is not None:
            yield Counters(_SUBJECT, row.stats_reset, {"deallocations": row.deallocations})


def _turnover(rows: Sequence[StatementTotals], scene: Scene) -> Iterator[Turnover]:
    for row in rows:
        must_count(row)
        held = f"version {row.extversion}{_update(row)}, {row.entries} of {row.entries_max} statements held"
        remedy = (
            f"ALTER SYSTEM SET pg_stat_statements.max = {row.entries_max * 2};\n"
            "-- then restart PostgreSQL; or make the statements alike, by parameters in place of values"
        )
        if row.hidden and not scene.surroundings.reads_all_stats:
            yield Turnover(
                0.0, held, remedy, Gap("ids and texts of other roles' statements are hidden", grant(scene)), "texts"
            )
        dropped = max(row.entries_max * _DROPPED_SHARE, _DROPPED_MIN)
        if row.deallocations is None:
            if row.entries < row.entries_max - dropped:  # it has not been full of late
                yield Turnover(0.0, held, remedy)
            else:
                reason = f"version {row.extversion} does not count what it throws out, and it is full"
                yield Turnover(0.0, held, remedy, Gap(reason, "Before PostgreSQL 14 there is no such count."))
            continue
        for found in scene.deltas(_counters([row])):
            gone = found.values["deallocations"] * dropped
            words = f", about {gone:.0f} thrown out within {format_duration(found.seconds)}"
            yield Turnover(gone / row.entries_max, held + (words if gone else ""), remedy)


def _update(row: StatementTotals) -> str:
    """Differing versions are no fault: an update of the server leaves the extension as it is."""
    if row.offered_version in (None, row.extversion):
        return ""
    return f" ({row.offered_version} after ALTER EXTENSION pg_stat_statements UPDATE)"


CHECK: Check[Turnover] = Check(
    id="statement-statistics",
    title="Statements that pg_stat_statements throws out",
    group=Group.WORKLOAD,
    query=STATEMENT_TOTALS,
    unit=Unit.COUNT,
    thresholds=above(
        warning=3,
        critical=None,
        source="our own reasoning: times over in a day; a restore of 20,000 objects may go through it once or twice",
    ),
    subject=lambda row: row.subject,
    measure=lambda row: row.times,
    detail=lambda row: row.detail,
    remedy=lambda row: row.remedy,
    gap=lambda row: row.gap,
    rows=_turnover,
    counters=_counters,
    slow=True,
    needs=NEEDS,
    gauge=True,
)
