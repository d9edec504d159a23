"""What checks that read pg_stat_statements have in common: what they need, and what to type where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Need, NotJudged, Status
from dbopt.postgres import statements

if TYPE_CHECKING:
    from dbopt.health.scene import Scene
    from dbopt.postgres.statements import StatementTotals

_CREATE = "CREATE EXTENSION pg_stat_statements;"
_PRELOAD = "Add pg_stat_statements to shared_preload_libraries, restart PostgreSQL"


def _usage(scene: Scene) -> str:
    schema = Identifier(scene.surroundings.statements_schema or "").as_string()
    return scene.server.grant(f"USAGE ON SCHEMA {schema}")


NEEDS = (
    Need(
        met=lambda scene: scene.surroundings.statements_loaded,
        reason="pg_stat_statements is not loaded",
        hint=lambda scene: (
            f"{_PRELOAD}." if scene.surroundings.statements_schema else f"{_PRELOAD}, then in this database: {_CREATE}"
        ),
    ),
    Need(
        met=lambda scene: scene.surroundings.statements_schema is not None,
        reason="the extension pg_stat_statements does not exist in this database",
        hint=lambda _: _CREATE,
    ),
    Need(
        met=lambda scene: not statements.too_old(scene.surroundings),
        reason="the extension pg_stat_statements is older than 1.8",
        hint=lambda _: "ALTER EXTENSION pg_stat_statements UPDATE;",
    ),
    Need(
        met=lambda scene: scene.surroundings.reads_statements,
        reason="the role may not use the schema of pg_stat_statements",
        hint=_usage,
        status=Status.UNKNOWN,
    ),
)


def grant(scene: Scene) -> str:
    """What shows the statements of others."""
    return scene.server.grant("pg_read_all_stats")


def must_count(totals: StatementTotals) -> None:
    """Raises NotJudged where somebody has switched the counting off."""
    for switched_off, reason, hint in (
        (totals.track == "none", "pg_stat_statements.track is none", "pg_stat_statements.track = 'top'"),
        (not totals.computes_ids, "compute_query_id is off", "compute_query_id = 'auto'"),
    ):
        if switched_off:
            raise NotJudged(
                f"{reason}: no statement is counted",
                hint=f"ALTER SYSTEM SET {hint}; SELECT pg_catalog.pg_reload_conf();",
                status=Status.SKIPPED,
            )
