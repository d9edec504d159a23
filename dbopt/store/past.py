"""The last runs of optimize on one database, with their steps: for a page on which they are one section among others.

The driver alone reads them (plain.py); `repository.py` lists runs for `dbopt history`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dbopt.store import plain
from dbopt.store.records import RunRecord, StepRecord

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.store.plain import Session

_RUNS = """
    SELECT r.id, r.target_name, t.server, t.dbname, r.server_version, r.command, r.dbopt_version, r.os_user, r.role,
           r.spec_digest, r.plan_state, r.planned, r.started_at, r.finished_at, r.seconds, r.applied, r.failed,
           r.refused, r.unchanged, r.interrupted, r.name, r.left_over
      FROM runs AS r JOIN targets AS t ON t.id = r.target_id
     WHERE r.target_id = :target_id AND r.started_at >= :since
     ORDER BY r.id DESC LIMIT :limit
"""
_STEPS = """
    SELECT number, action, domain, schema_name, table_name, index_name, reason, statements, started_at, seconds,
           size_bytes, error, hint, size_before_bytes, built_seconds, table_bytes
      FROM steps WHERE run_id = :run_id ORDER BY number
"""
_RUN_NAMES = (
    *("id", "target_name", "server", "dbname", "server_version", "command", "dbopt_version", "os_user", "role"),
    *("spec_digest", "plan_state", "planned", "started_at", "finished_at", "seconds", "applied", "failed"),
    *("refused", "unchanged", "interrupted", "name", "left_over"),
)
_STEP_NAMES = (
    *("number", "action", "domain", "schema_name", "table_name", "index_name", "reason", "statements", "started_at"),
    *("seconds", "size_bytes", "error", "hint", "size_before_bytes", "built_seconds", "table_bytes"),
)


def runs(
    session: Session, target_id: int, since: datetime, limit: int
) -> list[tuple[RunRecord, tuple[StepRecord, ...]]]:
    """Those that were started since, the newest first."""
    found = session.rows(_RUNS, {"target_id": target_id, "since": session.moment(since), "limit": limit})
    return [(run := _run(row), _steps(session, run.id)) for row in found]


def _run(row: tuple[Any, ...]) -> RunRecord:
    values = dict(zip(_RUN_NAMES, row, strict=True))
    values["started_at"] = plain.as_moment(values["started_at"])
    if values["finished_at"] is not None:
        values["finished_at"] = plain.as_moment(values["finished_at"])
    if values["interrupted"] is not None:
        values["interrupted"] = bool(values["interrupted"])
    return RunRecord(**values)


def _steps(session: Session, run_id: int) -> tuple[StepRecord, ...]:
    return tuple(_step(row) for row in session.rows(_STEPS, {"run_id": run_id}))


def _step(row: tuple[Any, ...]) -> StepRecord:
    values = dict(zip(_STEP_NAMES, row, strict=True))
    statements = values["statements"]
    values["statements"] = tuple(json.loads(statements) if isinstance(statements, str) else statements)
    values["started_at"] = plain.as_moment(values["started_at"])
    return StepRecord(**values)
