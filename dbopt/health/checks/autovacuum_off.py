"""Autovacuum is switched off for the whole server.

Without autovacuum nobody removes dead rows, tables and indexes grow, the planner's statistics become wrong, and only
the emergency vacuum against wraparound still comes, all at once and at the worst time. It is off by autovacuum = off,
and also by track_counts = off, without which it does not know what to do. A single table's autovacuum_enabled is the
check autovacuum-disabled.
https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.health.configuration import described, set_right
from dbopt.postgres.settings import SETTINGS, Setting, by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


def _off(rows: Sequence[Setting], _scene: Scene) -> Iterator[Setting]:
    settings = by_name(rows)
    for name in ("autovacuum", "track_counts"):
        if not settings[name].is_on:
            yield settings[name]


CHECK: Check[Setting] = Check(
    id="autovacuum-off",
    title="Autovacuum switched off",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING, source="https://www.postgresql.org/docs/current/runtime-config-autovacuum.html#GUC-AUTOVACUUM"
    ),
    subject=lambda setting: setting.name,
    measure=lambda _: 1,
    detail=described,
    remedy=lambda setting: set_right(setting, "on"),
    rows=_off,
)
