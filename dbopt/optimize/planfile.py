"""A plan in a file: made once, reviewed, run later, and only on the database and the state that it was made for."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from dbopt.errors import PlanMismatch
from dbopt.optimize.collect import digest_of
from dbopt.optimize.kinds import kind
from dbopt.optimize.plan import target
from dbopt.optimize.steps import Plan

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_FORMAT = 1
_MAX_BYTES = 50 * 1024 * 1024  # 5,000 steps make some 5 MB


def write(plan: Plan, path: Path) -> None:
    """Write a plan, whole or not at all. Raises PlanMismatch when the file cannot be written."""
    document = {"dbopt_plan": _FORMAT, "plan": asdict(plan)}
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=".dbopt-", delete=False
        ) as file:
            json.dump(document, file, indent=1, default=str, ensure_ascii=False)
        try:
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
    except OSError as exc:
        raise PlanMismatch(f"could not write the plan to {path}", detail=exc.strerror or str(exc)) from exc


def read(path: Path) -> Plan:
    """Read a plan, every statement checked to be one of those that dbopt writes. Raises PlanMismatch."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PlanMismatch(f"{path} is too large for a plan", detail=f"more than {_MAX_BYTES} bytes")
        document = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise PlanMismatch(f"could not read the plan {path}", detail=exc.strerror or str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise PlanMismatch(f"{path} is no plan", detail=str(exc), hint=_HINT) from exc
    if not isinstance(document, dict) or document.get("dbopt_plan") != _FORMAT:
        raise PlanMismatch(f"{path} is no plan of this dbopt", detail='no "dbopt_plan": 1 in it', hint=_HINT)
    try:
        plan: Plan = _adapter().validate_python(document.get("plan"))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PlanMismatch(f"{path} is no plan of this dbopt", detail=f"{where}: {first['msg']}", hint=_HINT) from None
    for step in plan.steps:
        for statement in step.statements:
            kind(statement)
    return plan


def require_match(conn: Connection, server: Server, plan: Plan) -> None:
    """Raises PlanMismatch unless this is the database that the plan was made for, its indexes as they were then."""
    here = target(server)
    if plan.target.system_identifier != here.system_identifier or plan.target.dbname != here.dbname:
        raise PlanMismatch(
            f"the plan was made for another database than {here.dbname}",
            detail=f"made for {plan.target.dbname} of system {plan.target.system_identifier}, "
            f"connected to {here.dbname} of system {here.system_identifier}",
            hint="Connect to that database, or make a plan for this one: dbopt plan --out FILE.",
        )
    if digest_of(conn, server, plan.concerns) != plan.state:
        raise PlanMismatch(
            f"the indexes of {here.dbname} have changed since the plan was made",
            hint="Make the plan anew and review it: dbopt plan --out FILE.",
        )


_HINT = "Make one with dbopt plan --out FILE."


def _adapter() -> TypeAdapter[Any]:
    """Reads the dataclasses back. pydantic looks up the names of their fields' types here: the modules themselves
    import them for type checkers only.
    """
    from collections.abc import Mapping  # noqa: F401

    from dbopt.optimize.canonical import Definition  # noqa: F401
    from dbopt.spec.finding import Finding  # noqa: F401

    return TypeAdapter(Plan)
