"""Tables in which many rows are dead: updated or deleted, and not yet removed by VACUUM.

Dead rows take space in the table and its indexes, and every scan reads them. Autovacuum removes them when there are
autovacuum_vacuum_threshold + autovacuum_vacuum_scale_factor * rows of them, by default a fifth; a table with many more
has an autovacuum that is switched off, too slow, or kept from its work by an old transaction (see xmin-horizon).

The share is n_dead_tup of n_live_tup + n_dead_tup, of tables and of their TOAST tables, from 10,000 dead rows on. A
table that autovacuum visited within the last minutes (`grace`) is not reported: under a steady load it has dead rows at
any time. It is reported all the same when a transaction older than that visit keeps the rows from being removed.

The counts are those of the statistics system, and start at zero when they are reset, or after a crash. Nothing can be
said of a large table which no VACUUM or ANALYZE has counted since then, within a day (`window`).
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Limit, Unit, above
from dbopt.health.vacuum import GRACE, ON_PRIMARY, is_ours
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class DeadTuples:
    """Of a table, or of its TOAST table."""

    table: TableState
    n_live_tup: float
    n_dead_tup: int
    toast: bool
    last_vacuum: datetime | None
    now: datetime
    gap: Gap | None = None

    @property
    def ratio(self) -> float:
        return self.n_dead_tup / max(self.n_live_tup + self.n_dead_tup, 1)

    @property
    def enabled(self) -> bool:
        return self.table.toast_autovacuum_enabled if self.toast else self.table.autovacuum_enabled

    @property
    def is_held(self) -> bool:
        """The last VACUUM had to leave dead rows for somebody who may still look at them."""
        held = self.table.horizon_held_since
        return held is not None and self.last_vacuum is not None and held < self.last_vacuum


_RESET = Gap(
    "the counters were reset and have not counted these tables since", "ANALYZE counts live and dead rows anew."
)


def _rows(rows: Sequence[TableState], scene: Scene) -> Iterator[DeadTuples]:
    now = scene.surroundings.now
    for table in filter(is_ours, rows):
        for item in (
            DeadTuples(table, _live(table), table.n_dead_tup, False, table.vacuumed_at, now),
            DeadTuples(
                table,
                max(table.toast_n_live_tup or 0, (table.toast_reltuples or 0) - (table.toast_n_dead_tup or 0)),
                table.toast_n_dead_tup or 0,
                True,
                table.toast_last_vacuum,
                now,
            ),
        ):
            if _is_judged(item, scene):
                yield replace(item, gap=_hidden(item, scene))
            elif not item.toast and _is_forgotten(item, scene):
                yield replace(item, gap=_RESET)


def _live(table: TableState) -> float:
    lived = table.n_tup_ins - table.n_tup_del
    if table.n_tup_ins >= table.reltuples > 0 and table.n_live_tup == table.reltuples + lived:
        # A session tells what it has inserted up to a second later, and then again what its VACUUM or ANALYZE has
        # just counted.
        return lived
    # After a reset only what came since is counted as live; the last VACUUM or ANALYZE knew them all.
    return max(table.n_live_tup, table.reltuples - table.n_dead_tup)


def _is_judged(item: DeadTuples, scene: Scene) -> bool:
    if item.n_dead_tup < scene.limits["min_dead"]:
        return False
    return item.is_held or not _is_tended(item, scene) or _hidden(item, scene) is not None


def _is_tended(item: DeadTuples, scene: Scene) -> bool:
    """Autovacuum has been here just now, and will come again: what is dead is what has been written since."""
    if item.last_vacuum is None or not (item.enabled and item.table.autovacuum_on):
        return False
    if not item.toast and item.n_dead_tup <= item.table.vacuum_trigger:
        return False  # these are not enough for it, by the settings of the table or the server
    grace = max(scene.limits["grace"], 10 * item.table.naptime_seconds)
    return (item.now - item.last_vacuum).total_seconds() < grace


def _hidden(item: DeadTuples, scene: Scene) -> Gap | None:
    """Whether an older transaction keeps them from being removed, only who sees all sessions can say."""
    if scene.surroundings.reads_all_stats or item.is_held or not _is_tended(item, scene):
        return None
    if not scene.thresholds.judge(item.ratio).is_problem:
        return None
    return Gap(
        "other sessions' transactions are hidden, which may keep dead rows from being removed",
        scene.server.grant("pg_monitor"),
        blind=True,
    )


def _is_forgotten(item: DeadTuples, scene: Scene) -> bool:
    """There are rows, known from an earlier VACUUM or ANALYZE, but the counters have started anew and do not know of
    them. (What was filled since then is known to them.)
    """
    table, seconds = item.table, scene.surroundings.stats_seconds
    young = seconds is not None and seconds < scene.limits["window"]
    uncounted = table.vacuumed_at is None and table.analyzed_at is None and table.n_live_tup < table.reltuples / 2
    return young and uncounted and table.reltuples >= scene.limits["min_dead"]


def _detail(row: DeadTuples) -> str:
    words = [f"{row.n_dead_tup:,} dead rows beside {row.n_live_tup:,.0f} live ones, {row.ratio:.0%}"]
    if row.toast:
        words[0] = f"its TOAST table: {words[0]}"
    if row.last_vacuum is None:
        words.append("no VACUUM since statistics began")
    else:
        words.append(f"last VACUUM {format_duration((row.now - row.last_vacuum).total_seconds())} ago")
    if not row.table.autovacuum_on:
        words.append("autovacuum is off on this server")
    elif not row.enabled:
        words.append("autovacuum is disabled for it")
    if row.is_held and row.table.horizon_held_since is not None:
        age = format_duration((row.now - row.table.horizon_held_since).total_seconds())
        words.append(f"a transaction that began {age} ago keeps rows from being removed: see xmin-horizon")
    return ", ".join(words)


CHECK: Check[DeadTuples] = Check(
    id="dead-tuples",
    title="Dead rows not vacuumed",
    group=Group.VACUUM,
    query=TABLE_STATE,
    unit=Unit.RATIO,
    thresholds=above(
        warning=0.2,
        critical=0.4,
        source="our own: autovacuum's default comes at a sixth (autovacuum_vacuum_scale_factor = 0.2 of the live rows)",
    ),
    limits=(
        Limit("min_dead", 10_000, Unit.COUNT, "our own: fewer fit into some hundred pages"),
        GRACE,
        Limit("window", 86_400, Unit.SECONDS, "our own: in a day autovacuum has counted what is written to"),
    ),
    needs=(ON_PRIMARY,),
    rows=_rows,
    gap=lambda row: row.gap,
    subject=lambda row: row.table.relation,
    measure=lambda row: row.ratio,
    detail=_detail,
    remedy=lambda row: f"VACUUM (ANALYZE, VERBOSE) {row.table.relation};",
)
