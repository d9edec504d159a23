"""What is exported of a database, and what a plan says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.optimize import export_files
from dbopt.optimize.export import Choice, Exported, LeftOut, read
from dbopt.optimize.plan import make_plan
from dbopt.postgres import connect
from dbopt.postgres import server as servers
from dbopt.spec.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from server import Database

    from dbopt.optimize.steps import Plan


def exported(database: Database, *schemas: str, **options: Any) -> list[Exported | LeftOut]:
    conn = connect.connect(database.conninfo, command="export", read_only=True, lock_timeout_ms=200, **options)
    try:
        return list(read(conn, servers.inspect(conn), Choice(schemas)))
    finally:
        conn.close()


def names(found: list[Exported | LeftOut]) -> set[tuple[str, str]]:
    return {(item.schema, item.name) for item in found if isinstance(item, Exported)}


def plan_of(database: Database, folder: Path, found: list[Exported | LeftOut], *, split: bool = False) -> Plan:
    """The plan with what was exported, in one file or in one a domain."""
    folder.mkdir(exist_ok=True)
    specs = export_files.by_domain(found, domain=None)
    if not split:
        specs = [export_files.in_one(found, domain=None, dbname="shop")[0]]
    for spec in specs:
        (folder / f"{spec.domain}.yaml").write_text(export_files.text(spec, "shop"), encoding="utf-8")
    conn = connect.connect(database.conninfo, command="plan", read_only=True)
    try:
        return make_plan(conn, servers.inspect(conn), load([folder]))
    finally:
        conn.close()


def assert_empty(plan: Plan) -> None:
    assert [(step.action.value, step.index, step.reason) for step in plan.steps] == []
    assert [(item.index, item.error) for item in plan.refused] == []
    assert [finding for finding in plan.findings if finding.severity.value == "error"] == []
