"""The JSON schema of `dbopt suggest --format json`: `python -m dbopt.render.suggest_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbopt.render import workload_schema
from dbopt.render.json import SCHEMA_VERSION
from dbopt.render.suggest_json import COMMAND
from dbopt.suggest.model import Basis, Evidence, Origin, Risk
from dbopt.suggest.review import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = f"suggest.v{SCHEMA_VERSION}.json"
_Schema = dict[str, Any]


def schema() -> _Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What dbopt suggest --format json writes",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}, "command": {"const": COMMAND}},
        "required": ["schema_version", "command"],
        "oneOf": [
            _object(_LIST, "The list."),
            _object(_ONE, "dbopt suggest --explain NAME."),
            _object(_REVIEW, "dbopt suggest --review."),
        ],
        "$defs": {"target": workload_schema.schema()["$defs"]["target"]},
    }


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _object(properties: Mapping[str, _Schema], description: str) -> _Schema:
    return {
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
    }


def _list(items: _Schema, description: str | None = None) -> _Schema:
    said = {} if description is None else {"description": description}
    return {**said, "type": "array", "items": items}


def _said(kind: str | list[str], description: str | None = None, **more: Any) -> _Schema:
    said = {} if description is None else {"description": description}
    return {"type": kind, **said, **more}


_TEXT, _TEXT_OR_NULL, _NUMBER_OR_NULL = "string", ["string", "null"], ["number", "null"]
_BYTES_OR_NULL = ["integer", "null"]
_COST = "Of one call, in the planner's units."
_ITEM: dict[str, _Schema] = {
    "number": _said("integer", "In this workload, by weight, from 1.", minimum=1),
    "queryids": _list({"type": _TEXT, "pattern": "^-?[0-9]+$"}, "All under which it is counted; none of a file."),
    "fingerprint": _said(_TEXT_OR_NULL),
    "query": _said(_TEXT, "Without values."),
    "origin": {"enum": list(Origin), "description": "Where it was seen."},
    "calls": _said("number", "In the time of the workload; of a file, as often as it says, else 1.", minimum=0),
    "total_exec_time_ms": _said(_NUMBER_OR_NULL, "Of all calls; null: nobody measured it."),
}
_HELPED: dict[str, _Schema] = {
    **_ITEM,
    "cost_before": _said("number", f"{_COST} Without any suggestion."),
    "cost_after": _said("number", f"{_COST} With all of them."),
    "uses": _said("boolean", "The plan for any values of the parameters uses the index."),
    "no_sort": _said("boolean", "With it nothing is sorted any more."),
}
_PLAN = _said(
    ["object", "null"],
    "As EXPLAIN (FORMAT JSON) has it, with ? for values and suggested names for indexes; null: nobody has planned it.",
)
_WRITES = _object(
    {
        "entries": _said("number", "That would have been made in it."),
        "wal_bytes": _said("number"),
        "lost_hot": _said("number", "Updates that would not have been HOT."),
        "cost": _said("number", "In the planner's units."),
    },
    "What the writes in the time of the workload would have cost with it.",
)
_SUGGESTION: dict[str, _Schema] = {
    "name": _said(_TEXT),
    "schema": _said(_TEXT),
    "table": _said(_TEXT),
    "method": _said(_TEXT),
    "keys": _list(
        _object(
            {
                "column": _said(_TEXT_OR_NULL),
                "expression": _said(_TEXT_OR_NULL),
                "opclass": _said(_TEXT_OR_NULL, "null: the type's own."),
                "descending": _said("boolean"),
                "nulls_first": _said("boolean"),
            },
            "Exactly one of column and expression is a text.",
        )
    ),
    "include": _list({"type": _TEXT}),
    "where": _said(_TEXT_OR_NULL, "null: it is not partial."),
    "parameters": _said("object", "Storage parameters.", additionalProperties={"type": _TEXT}),
    "definition": _said(_TEXT, "All of that, for people."),
    "benefit": _said("number", "What the workload would lose without it, 0..1 of its cost as it is now."),
    "size_bytes": _said(_BYTES_OR_NULL, "Estimated; null: it could not be."),
    "rows": _said(_NUMBER_OR_NULL, "That it would hold."),
    "build_seconds": _said(_NUMBER_OR_NULL, "null: nothing tells how fast this server builds."),
    "writes": _WRITES,
    "risks": _list({"enum": list(Risk)}),
    "basis": {"enum": list(Basis)},
    "reason": _said(_TEXT, "Why it has these columns in this order."),
    "spec": _said("object", "The entry of an index spec (docs/spec.md)."),
}
_HEAD: dict[str, _Schema] = {
    "target": {"$ref": "#/$defs/target"},
    "window": _said(_TEXT_OR_NULL, "Which workload it was, in words."),
    "basis": {"enum": list(Basis), "description": "What costs rest on: the planner with HypoPG, or statistics."},
    "hypopg_version": _said(_TEXT_OR_NULL),
    "complete": _said("boolean", "false: the time limit ended the search."),
    "cost_after": _said(_NUMBER_OR_NULL, "Of the workload with all suggestions, of its cost now, 0..1."),
    "size_bytes": _said(_BYTES_OR_NULL, "Of all suggestions; null: of one it is not known."),
    "heap_bytes": _said("integer", "Of the tables of the workload."),
    "budget_bytes": _said(_BYTES_OR_NULL, "null: none was given."),
    "explains": _said("integer", "Statements that were planned."),
    "seconds": _said("number", "That it took."),
}
_LIST: dict[str, _Schema] = {
    **_HEAD,
    "suggestions": _list(
        _object({**_SUGGESTION, "statements": _list(_object(_HELPED, "That it helps."))}, "An index."),
        "What most is gained by first.",
    ),
    "nothing": _list({"type": _TEXT}, "Why nothing is suggested."),
    "drops": _list(
        _object(
            {
                "schema": _said(_TEXT),
                "table": _said(_TEXT),
                "name": _said(_TEXT),
                "evidence": {"enum": list(Evidence)},
                "detail": _said(_TEXT),
                "size_bytes": _said("integer"),
                "proved": _said("boolean", "All statements were planned without it, and none costs more."),
                "how": _said(_TEXT_OR_NULL, "By what that was proved, or why it was not."),
                "spec": _said("object", "The entry of an index spec (docs/spec.md)."),
            },
            "An index that may go.",
        )
    ),
    "statistics": _list(
        _object(
            {
                "schema": _said(_TEXT),
                "table": _said(_TEXT),
                "columns": _list({"type": _TEXT}),
                "kinds": _list({"type": _TEXT}),
                "why": _said(_TEXT),
                "statements": _list({"type": _TEXT}, "To be run by hand."),
            },
            "Extended statistics that would mend an estimate.",
        )
    ),
    "statements": _list(
        _object(
            {
                **_ITEM,
                "share": _said("number", "Of the workload, 0..1."),
                "cost_before": _said("number", f"{_COST} Without any suggestion; see planner_cost_before."),
                "cost_after": _said("number", f"{_COST} With all of them."),
                "planner_cost_before": _said(
                    "number", "As EXPLAIN says it; less than the cost where it counts on stopping early and cannot."
                ),
                "planner_cost_after": _said("number"),
            },
            "A statement that was analyzed, helped or not.",
        )
    ),
    "unread": _list(
        _object(
            {
                **_ITEM,
                "share": _said(_NUMBER_OR_NULL, "Of the workload's time, 0..1."),
                "reason": _said(_TEXT),
                "hint": _said(_TEXT_OR_NULL),
            },
            "A statement that could not be analyzed.",
        )
    ),
    "notes": _list({"type": _TEXT}),
    "lacks": _list(
        _object({"reason": _said(_TEXT), "hint": _said(_TEXT_OR_NULL)}, "And what to type."), "What could not be had."
    ),
}
_EXPLAINED: dict[str, _Schema] = {
    **_HELPED,
    "plan_before": _PLAN,
    "plan_after": _PLAN,
    "remark": _said(_TEXT_OR_NULL, "What the index would do, where plan_after does not show it."),
}
_ONE: dict[str, _Schema] = {
    **_HEAD,
    "suggestion": _object({**_SUGGESTION, "statements": _list(_object(_EXPLAINED, "That it helps."))}, "The index."),
}
_TIMES = _said(
    ["object", "null"],
    "null: nobody has counted.",
    properties={"calls": _said("number"), "mean_ms": _said(_NUMBER_OR_NULL)},
    required=["calls", "mean_ms"],
)
_TIME_OR_NULL = {"type": _TEXT_OR_NULL, "format": "date-time"}
_REVIEW: dict[str, _Schema] = {
    "kind": {"const": "review"},
    "target": {"$ref": "#/$defs/target"},
    "reviewed_at": _said(_TEXT, "By the clock of the database.", format="date-time"),
    "suggestions": _list(
        _object(
            {
                "verdict": {"enum": list(Verdict)},
                "schema": _said(_TEXT),
                "table": _said(_TEXT),
                "index": _said(_TEXT, "As it is called now."),
                "promised_as": _said(_TEXT, "As it was called in the suggestion."),
                "promised_at": _said(_TEXT, format="date-time"),
                "since": {
                    **_TIME_OR_NULL,
                    "description": "By then it was there; null: it is not, or was seen only now.",
                },
                "dropped_at": {**_TIME_OR_NULL, "description": "By dbopt optimize."},
                "scans": _said(_NUMBER_OR_NULL, "Since it was built, those of known replicas included."),
                "calls": _said(_NUMBER_OR_NULL, "Of its statements since; null: nobody has counted them."),
                "before_ms": _said(_NUMBER_OR_NULL, "The mean time of those calls, as they took before it was built."),
                "after_ms": _said(_NUMBER_OR_NULL, "And as they have taken since."),
                "size_bytes": _said(_BYTES_OR_NULL, "As it is; of a partitioned one, of all parts."),
                "promised_size_bytes": _said(_BYTES_OR_NULL),
                "benefit": _said("number", "That was promised, 0..1 of the cost of the workload."),
                "basis": {"enum": list(Basis)},
                "reason": _said(_TEXT, "Why that is the verdict."),
                "statements": _list(
                    _object(
                        {
                            "fingerprint": _said(_TEXT_OR_NULL),
                            "queryids": _list({"type": _TEXT, "pattern": "^-?[0-9]+$"}),
                            "query": _said(_TEXT_OR_NULL, "Without values; null: its text is not kept."),
                            "cost_before": _said("number", f"{_COST} As was promised."),
                            "cost_after": _said("number", f"{_COST} As was promised."),
                            "before": _TIMES,
                            "after": _TIMES,
                        },
                        "That it was to help.",
                    )
                ),
            },
            "A suggestion that a spec was written with.",
        ),
        "What asks for a decision first.",
    ),
    "proposals": _list(_said("object", "An entry of an index spec (docs/spec.md) by which an index goes.")),
    "notes": _list({"type": _TEXT}),
    "lacks": _LIST["lacks"],
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
