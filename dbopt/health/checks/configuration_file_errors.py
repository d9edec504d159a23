"""Lines in the server's configuration files that it cannot use.

A running server keeps its old settings when a file is wrong, and says so in its log only. The next start fails: with an
error in postgresql.conf, or in pg_hba.conf, the server does not come up. Both files are read as they are now, before
any reload. Only a superuser may look; others get `skipped`.
https://www.postgresql.org/docs/current/view-pg-file-settings.html
https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.health.configuration import READS_FILES
from dbopt.postgres.settings import SERVER_FILES, ServerFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


def _errors(rows: Sequence[ServerFile], _scene: Scene) -> Iterator[ServerFile]:
    return (row for row in rows if row.error is not None)


def _subject(row: ServerFile) -> str:
    return f"{row.file}:{row.line}"


CHECK: Check[ServerFile] = Check(
    id="configuration-file-errors",
    title="Errors in configuration files",
    group=Group.CONFIGURATION,
    query=SERVER_FILES,
    unit=Unit.COUNT,
    thresholds=presence(Status.WARNING, source="https://www.postgresql.org/docs/current/view-pg-file-settings.html"),
    subject=_subject,
    measure=lambda _: 1,
    detail=lambda row: f"{f'{row.name}: ' if row.name else ''}{row.error}",
    remedy=lambda row: f"-- correct line {row.line} of {row.file}, then:\nSELECT pg_catalog.pg_reload_conf();",
    rows=_errors,
    needs=(READS_FILES,),
)
