"""Advice: events that explain an outage afterwards are not logged.

Waits for locks longer than deadlock_timeout, checkpoints, temporary files and slow runs of autovacuum cost a line each
in the server's log, and nothing on a server that is well.
https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-WHAT
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.postgres.settings import SETTINGS, Setting, by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_BETTER = {
    "log_autovacuum_min_duration": "10min",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_temp_files": "10MB",
}


def _unlogged(rows: Sequence[Setting], _scene: Scene) -> Iterator[Setting]:
    settings = by_name(rows)
    for name in _BETTER:
        if settings[name].value in ("off", "-1"):
            yield settings[name]


CHECK: Check[Setting] = Check(
    id="logging-sparse",
    title="Events that are not logged",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING,
        source="https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-WHAT",
    ),
    subject=lambda setting: setting.name,
    measure=lambda _: 1,
    detail=lambda setting: f"{setting.value}: nothing is logged",
    remedy=lambda setting: (
        f"ALTER SYSTEM SET {setting.name} = '{_BETTER[setting.name]}';\nSELECT pg_catalog.pg_reload_conf();"
    ),
    rows=_unlogged,
    advice=True,
)
