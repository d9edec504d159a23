"""Advice: the cluster has no data checksums, so pages that a disk or its driver has damaged are not noticed.

New clusters have them by default since PostgreSQL 18. They are switched on while the server is stopped, which reads and
writes every page once.
https://www.postgresql.org/docs/current/app-pgchecksums.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.postgres.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


def _off(rows: Sequence[Setting], _scene: Scene) -> Iterator[Setting]:
    return (setting for setting in rows if setting.name == "data_checksums" and not setting.is_on)


CHECK: Check[Setting] = Check(
    id="data-checksums-off",
    title="No data checksums",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(Status.WARNING, source="https://www.postgresql.org/docs/current/checksums.html"),
    subject=lambda setting: setting.name,
    measure=lambda _: 1,
    detail=lambda _: "damaged pages are not noticed",
    remedy=lambda _: "pg_checksums --enable --progress -D DATA_DIRECTORY   # with the server stopped",
    rows=_off,
    advice=True,
)
