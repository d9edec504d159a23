"""One event a line, each flushed; the last is the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from dbopt.optimize.events import (
    Event,
    Notice,
    Progress,
    Result,
    RunStarted,
    StepFinished,
    StepPutOff,
    StepStarted,
    Waiting,
)
from dbopt.postgres.identifiers import display
from dbopt.render import json
from dbopt.render.findings import finding_document
from dbopt.render.plan import blocker_document, step_document, summary_document, target_document
from dbopt.render.result import result_document

if TYPE_CHECKING:
    from dbopt.optimize.steps import Step
    from dbopt.render.output import Output


class JsonReporter:
    def __init__(self, output: Output) -> None:
        self._stream = output.out

    def handle(self, event: Event) -> None:
        json.write_event(self._stream, event_document(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def event_document(event: Event) -> dict[str, Any]:
    match event:
        case RunStarted(plan=plan):
            return {
                "event": "run_started",
                **json.document("optimize"),
                "target": target_document(plan.target),
                "findings": [finding_document(finding) for finding in plan.findings],
                "summary": summary_document(plan),
            }
        case StepStarted(number=number, total=total, step=step):
            return {"event": "step_started", "number": number, "total": total, **step_document(step)}
        case Progress():
            return {
                "event": "progress",
                **_which(event.step),
                "phase": event.phase,
                "done": event.done,
                "elapsed_seconds": event.elapsed_seconds,
                "eta_seconds": event.eta_seconds,
            }
        case Waiting():
            return {
                "event": "waiting",
                **_which(event.step),
                "phase": event.phase,
                "blockers": [blocker_document(who) for who in event.blockers],
                "waited_seconds": event.waited_seconds,
                "limit_seconds": event.limit_seconds,
            }
        case Notice(message=message, step=step):
            return {"event": "notice", **(_which(step) if step else {}), "message": message}
        case StepFinished():
            return {
                "event": "step_finished",
                "number": event.number,
                "total": event.total,
                **_which(event.step),
                "seconds": event.seconds,
                "size_bytes": event.size_bytes,
                "size_before_bytes": event.size_before_bytes,
                "built_seconds": event.built_seconds,
                "error": event.error,
                "hint": event.hint,
            }
        case StepPutOff():
            return {
                "event": "step_put_off",
                "number": event.number,
                "total": event.total,
                **_which(event.step),
                "seconds": event.seconds,
                "reason": event.reason,
            }
        case Result():
            return {"event": "result", **result_document(event)}


def _which(step: Step) -> dict[str, Any]:
    return {"action": step.action, "index": step.index, "table": display(step.schema, step.table)}
