"""The JSON schema of `dbopt suggest --format json`: `python -m dbopt.render.suggest_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.render import workload_schema
from dbopt.render.json import SCHEMA_VERSION
from dbopt.render.json_schema import Schema, list_of, object_of, said
from dbopt.render.suggest_json import COMMAND
from dbopt.suggest.model import Basis, Evidence, Origin, Risk
from dbopt.suggest.review import Verdict

if TYPE_CHECKING:
    pass

FILE_NAME = f"suggest.v{SCHEMA_VERSION}.json"


def schema() -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What dbopt suggest --format json writes",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}, "command": {"const": COMMAND}},
        "required": ["schema_version", "command"],
        "oneOf": [
            object_of(_LIST, "The list."),
            object_of(_ONE, "dbopt suggest --explain NAME."),
            object_of(_REVIEW, "dbopt suggest --review."),
        ],
        "$defs": {"target": workload_schema.schema()["$defs"]["target"]},
    }


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


_TEXT, _TEXT_OR_NULL, _NUMBER_OR_NULL = "string", ["string", "null"], ["number", "null"]
_BYTES_OR_NULL = ["integer", "null"]
_COST = "Of one call, in the planner's units."
_ITEM: dict[str, Schema] = {
    "number": said("integer", "In this workload, by weight, from 1.", minimum=1),
    "queryids": list_of({"type": _TEXT, "pattern": "^-?[0-9]+$"}, "All under which it is counted; none of a file."),
    "fingerprint": said(_TEXT_OR_NULL),
    "query": said(_TEXT, "Without values."),
    "origin": {"enum": list(Origin), "description": "Where it was seen."},
    "calls": said("number", "In the time of the workload; of a file, as often as it says, else 1.", minimum=0),
    "total_exec_time_ms": said(_NUMBER_OR_NULL, "Of all calls; null: nobody measured it."),
}
_HELPED: dict[str, Schema] = {
    **_ITEM,
    "cost_before": said("number", f"{_COST} Without any suggestion."),
    "cost_after": said("number", f"{_COST} With all of them."),
    "uses": said("boolean", "The plan for any values of the parameters uses the index."),
    "no_sort": said("boolean", "With it nothing is sorted any more."),
}
_PLAN = said(
    ["object", "null"],
    "As EXPLAIN (FORMAT JSON) has it, with ? for values and suggested names for indexes; null: nobody has planned it.",
)
_WRITES = object_of(
    {
        "entries": said("number", "That would have been made in it."),
        "wal_bytes": said("number"),
        "lost_hot": said("number", "Updates that would not have been HOT."),
        "cost": said("number", "In the planner's units."),
    },
    "What the writes in the time of the workload would have cost with it.",
)
_SUGGESTION: dict[str, Schema] = {
    "name": said(_TEXT),
    "schema": said(_TEXT),
    "table": said(_TEXT),
    "method": said(_TEXT),
    "keys": list_of(
        object_of(
            {
                "column": said(_TEXT_OR_NULL),
                "expression": said(_TEXT_OR_NULL),
                "opclass": said(_TEXT_OR_NULL, "null: the type's own."),
                "descending": said("boolean"),
                "nulls_first": said("boolean"),
            },
            "Exactly one of column and expression is a text.",
        )
    ),
    "include": list_of({"type": _TEXT}),
    "where": said(_TEXT_OR_NULL, "null: it is not partial."),
    "parameters": said("object", "Storage parameters.", additionalProperties={"type": _TEXT}),
    "definition": said(_TEXT, "All of that, for people."),
    "benefit": said("number", "What the workload would lose without it, 0..1 of its cost as it is now."),
    "size_bytes": said(_BYTES_OR_NULL, "Estimated; null: it could not be."),
    "rows": said(_NUMBER_OR_NULL, "That it would hold."),
    "build_seconds": said(_NUMBER_OR_NULL, "null: nothing tells how fast this server builds."),
    "writes": _WRITES,
    "risks": list_of({"enum": list(Risk)}),
    "basis": {"enum": list(Basis)},
    "reason": said(_TEXT, "Why it has these columns in this order."),
    "spec": said("object", "The entry of an index spec (docs/spec.md)."),
}
_HEAD: dict[str, Schema] = {
    "target": {"$ref": "#/$defs/target"},
    "window": said(_TEXT_OR_NULL, "Which workload it was, in words."),
    "basis": {"enum": list(Basis), "description": "What costs rest on: the planner with HypoPG, or statistics."},
    "hypopg_version": said(_TEXT_OR_NULL),
    "complete": said("boolean", "false: the time limit ended the search."),
    "cost_after": said(_NUMBER_OR_NULL, "Of the workload with all suggestions, of its cost now, 0..1."),
    "size_bytes": said(_BYTES_OR_NULL, "Of all suggestions; null: of one it is not known."),
    "heap_bytes": said("integer", "Of the tables of the workload."),
    "budget_bytes": said(_BYTES_OR_NULL, "null: none was given."),
    "explains": said("integer", "Statements that were planned."),
    "seconds": said("number", "That it took."),
}
_LIST: dict[str, Schema] = {
    **_HEAD,
    "suggestions": list_of(
        object_of({**_SUGGESTION, "statements": list_of(object_of(_HELPED, "That it helps."))}, "An index."),
        "What most is gained by first.",
    ),
    "nothing": list_of({"type": _TEXT}, "Why nothing is suggested."),
    "drops": list_of(
        object_of(
            {
                "schema": said(_TEXT),
                "table": said(_TEXT),
                "name": said(_TEXT),
                "evidence": {"enum": list(Evidence)},
                "detail": said(_TEXT),
                "size_bytes": said("integer"),
                "proved": said("boolean", "All statements were planned without it, and none costs more."),
                "how": said(_TEXT_OR_NULL, "By what that was proved, or why it was not."),
                "spec": said("object", "The entry of an index spec (docs/spec.md)."),
            },
            "An index that may go.",
        )
    ),
    "statistics": list_of(
        object_of(
            {
                "schema": said(_TEXT),
                "table": said(_TEXT),
                "columns": list_of({"type": _TEXT}),
                "kinds": list_of({"type": _TEXT}),
                "why": said(_TEXT),
                "statements": list_of({"type": _TEXT}, "To be run by hand."),
            },
            "Extended statistics that would mend an estimate.",
        )
    ),
    "statements": list_of(
        object_of(
            {
                **_ITEM,
                "share": said("number", "Of the workload, 0..1."),
                "cost_before": said("number", f"{_COST} Without any suggestion; see planner_cost_before."),
                "cost_after": said("number", f"{_COST} With all of them."),
                "planner_cost_before": said(
                    "number", "As EXPLAIN says it; less than the cost where it counts on stopping early and cannot."
                ),
                "planner_cost_after": said("number"),
            },
            "A statement that was analyzed, helped or not.",
        )
    ),
    "unread": list_of(
        object_of(
            {
                **_ITEM,
                "share": said(_NUMBER_OR_NULL, "Of the workload's time, 0..1."),
                "reason": said(_TEXT),
                "hint": said(_TEXT_OR_NULL),
            },
            "A statement that could not be analyzed.",
        )
    ),
    "notes": list_of({"type": _TEXT}),
    "lacks": list_of(
        object_of({"reason": said(_TEXT), "hint": said(_TEXT_OR_NULL)}, "And what to type."), "What could not be had."
    ),
}
_EXPLAINED: dict[str, Schema] = {
    **_HELPED,
    "plan_before": _PLAN,
    "plan_after": _PLAN,
    "remark": said(_TEXT_OR_NULL, "What the index would do, where plan_after does not show it."),
}
_ONE: dict[str, Schema] = {
    **_HEAD,
    "suggestion": object_of(
        {**_SUGGESTION, "statements": list_of(object_of(_EXPLAINED, "That it helps."))}, "The index."
    ),
}
_TIMES = said(
    ["object", "null"],
    "null: nobody has counted.",
    properties={"calls": said("number"), "mean_ms": said(_NUMBER_OR_NULL)},
    required=["calls", "mean_ms"],
)
_TIME_OR_NULL = {"type": _TEXT_OR_NULL, "format": "date-time"}
_REVIEW: dict[str, Schema] = {
    "kind": {"const": "review"},
    "target": {"$ref": "#/$defs/target"},
    "reviewed_at": said(_TEXT, "By the clock of the database.", format="date-time"),
    "suggestions": list_of(
        object_of(
            {
                "verdict": {"enum": list(Verdict)},
                "schema": said(_TEXT),
                "table": said(_TEXT),
                "index": said(_TEXT, "As it is called now."),
                "promised_as": said(_TEXT, "As it was called in the suggestion."),
                "promised_at": said(_TEXT, format="date-time"),
                "since": {
                    **_TIME_OR_NULL,
                    "description": "By then it was there; null: it is not, or was seen only now.",
                },
                "dropped_at": {**_TIME_OR_NULL, "description": "By dbopt optimize."},
                "scans": said(_NUMBER_OR_NULL, "Since it was built, those of known replicas included."),
                "calls": said(_NUMBER_OR_NULL, "Of its statements since; null: nobody has counted them."),
                "before_ms": said(_NUMBER_OR_NULL, "The mean time of those calls, as they took before it was built."),
                "after_ms": said(_NUMBER_OR_NULL, "And as they have taken since."),
                "size_bytes": said(_BYTES_OR_NULL, "As it is; of a partitioned one, of all parts."),
                "promised_size_bytes": said(_BYTES_OR_NULL),
                "benefit": said("number", "That was promised, 0..1 of the cost of the workload."),
                "basis": {"enum": list(Basis)},
                "reason": said(_TEXT, "Why that is the verdict."),
                "statements": list_of(
                    object_of(
                        {
                            "fingerprint": said(_TEXT_OR_NULL),
                            "queryids": list_of({"type": _TEXT, "pattern": "^-?[0-9]+$"}),
                            "query": said(_TEXT_OR_NULL, "Without values; null: its text is not kept."),
                            "cost_before": said("number", f"{_COST} As was promised."),
                            "cost_after": said("number", f"{_COST} As was promised."),
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
    "proposals": list_of(said("object", "An entry of an index spec (docs/spec.md) by which an index goes.")),
    "notes": list_of({"type": _TEXT}),
    "lacks": _LIST["lacks"],
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
