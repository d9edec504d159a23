"""A plan: for people to read and paste, for programs as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.postgres.identifiers import display
from dbopt.render import json
from dbopt.render.findings import finding_document, finding_text, ordered
from dbopt.render.output import Format
from dbopt.render.plan_text import script, write_text
from dbopt.render.records import Column, write_data
from dbopt.spec.finding import Severity

if TYPE_CHECKING:
    from dbopt.optimize.steps import Blocker, Item, Plan, Step, Target
    from dbopt.render.output import Output

_COLUMNS = [
    Column(name=name) for name in ("action", "index", "table", "domain", "reason", "hazards", "waits_for", "statements")
]


def write_plan(output: Output, plan: Plan, *, next_command: str | None = None) -> None:
    """`next_command` is what to type to apply it; it is shown when there is something to apply."""
    match output.format:
        case Format.TABLE:
            write_text(output.out, plan, next_command)
        case Format.JSON:
            json.write_document(output.out, plan_document(plan))
        case Format.LINES | Format.CSV:
            write_data(output, _COLUMNS, [*map(_step_row, plan.steps), *map(_refused_row, plan.refused)])
            for finding in ordered(plan.findings):
                if finding.severity is Severity.ERROR or not output.quiet:
                    output.err.print(finding_text(finding))


def plan_document(plan: Plan) -> dict[str, Any]:
    return json.document(
        "plan",
        target=target_document(plan.target),
        steps=[step_document(step) for step in plan.steps],
        refused=[_refused_document(item) for item in plan.refused],
        findings=[finding_document(finding) for finding in ordered(plan.findings)],
        summary=summary_document(plan),
    )


def target_document(target: Target) -> dict[str, Any]:
    return {
        "dbname": target.dbname,
        "server_version": target.server_version,
        "system_identifier": target.system_identifier,
    }


def step_document(step: Step) -> dict[str, Any]:
    return {
        "action": step.action,
        "index": step.index,
        "table": display(step.schema, step.table),
        "statements": step.statements,
        "settings": step.settings,
        "reason": step.reason,
        "hazards": step.hazards,
        "domain": step.domain,
        "estimate": step.estimate,
        "waits_for": [blocker_document(who) for who in step.waits_for],
    }


def blocker_document(who: Blocker) -> dict[str, Any]:
    return {
        "phase": who.phase,
        "pid": who.pid,
        "gid": who.gid,
        "usename": who.usename,
        "application_name": who.application_name,
        "state": who.state,
        "xact_age_seconds": who.xact_age_seconds,
        "idle_seconds": who.idle_seconds,
        "slot": who.slot,
        "query": who.query,
    }


def summary_document(plan: Plan) -> dict[str, int]:
    return {**plan.summary(), "refused": len(plan.refused)}


def _refused_document(item: Item) -> dict[str, Any]:
    return {"index": item.index, "table": display(item.schema, item.table), "reason": item.error}


def _step_row(step: Step) -> list[object]:
    return [
        step.action,
        step.index,
        display(step.schema, step.table),
        step.domain,
        step.reason,
        "; ".join(step.hazards),
        " ".join(who.gid or str(who.pid) for who in step.waits_for),
        "\n".join(script(step)),
    ]


def _refused_row(item: Item) -> list[object]:
    return ["refused", item.index, display(item.schema, item.table), None, item.error, "", "", ""]
