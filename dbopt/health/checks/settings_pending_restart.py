"""Settings that were changed and wait for a restart.

Such a change is in the file and not in the server: what people read there is not what holds, and it comes into force
with the next restart, planned or not, when nobody thinks of it any more.
https://www.postgresql.org/docs/current/view-pg-settings.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Status, Unit, presence
from dbopt.postgres.settings import SETTINGS, Setting
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Pending:
    name: str
    detail: str
    gap: Gap | None = None


def _pending(rows: Sequence[Setting], scene: Scene) -> Iterator[Pending]:
    for setting in rows:
        if setting.pending_restart:
            unit = f" ({setting.unit})" if setting.unit else ""
            yield Pending(setting.name, f"still {setting.value or 'empty'}{unit}, changed in the configuration file")
    if not scene.surroundings.reads_all_settings:
        gap = Gap("some settings are hidden", scene.server.grant("pg_monitor"), blind=True)
        yield Pending("shared_preload_libraries and others", "", gap)


CHECK: Check[Pending] = Check(
    id="settings-pending-restart",
    title="Settings that wait for a restart",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(Status.WARNING, source="https://www.postgresql.org/docs/current/view-pg-settings.html"),
    subject=lambda pending: pending.name,
    measure=lambda _: 1,
    detail=lambda pending: pending.detail,
    remedy=lambda pending: (
        "-- restart PostgreSQL when that suits; or take the change back, if it came by ALTER SYSTEM:\n"
        f"ALTER SYSTEM RESET {pending.name};\nSELECT pg_catalog.pg_reload_conf();"
    ),
    gap=lambda pending: pending.gap,
    rows=_pending,
)
