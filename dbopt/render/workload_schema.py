"""The JSON schema of `dbopt slow-queries --format json`: `python -m dbopt.render.workload_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from dbopt.render.json import SCHEMA_VERSION
from dbopt.render.json_schema import Schema, list_of, object_of, ref, said
from dbopt.render.workload_json import COMMAND
from dbopt.workload.model import Kind, Source
from dbopt.workload.statements import Sort

FILE_NAME = f"slow-queries.v{SCHEMA_VERSION}.json"


def schema() -> Schema:
    several = object_of({"targets": list_of(object_of(_WORKLOAD, "One of several databases."))}, "Several databases.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What dbopt slow-queries --format json writes",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}, "command": {"const": COMMAND}},
        "required": ["schema_version", "command"],
        "oneOf": [object_of(_WORKLOAD, "One database."), several, object_of(_DETAIL, "slow-queries show ID.")],
        "$defs": _DEFS,
    }


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _or_null(properties: Mapping[str, Schema], description: str) -> Schema:
    return {"oneOf": [object_of(properties, description), {"type": "null"}]}


def _ref_or_null(name: str) -> Schema:
    return {"oneOf": [ref(name), {"type": "null"}]}


_TEXT, _TEXT_OR_NULL = "string", ["string", "null"]
_NUMBER_OR_NULL, _YES_NO_OR_NULL = ["number", "null"], ["boolean", "null"]
_QUERYID = "^-?[0-9]+$"
_BLOCKS = "Blocks, of 8 kB unless the server was built with another size."
_PLANNING = "null: an old pg_stat_statements; 0 where pg_stat_statements.track_planning is off, too."
_IO_TIME = "0 where track_io_timing is off, too."


def _time(description: str | None = None) -> Schema:
    return said(_TEXT_OR_NULL, description, format="date-time")


_COUNTERS: dict[str, Schema] = {
    "calls": said("number", "Where samples is a number: those that were met, at least.", minimum=0),
    "total_exec_time_ms": said("number", minimum=0),
    "mean_exec_time_ms": said(_NUMBER_OR_NULL, "null: no calls."),
    "stddev_exec_time_ms": said(_NUMBER_OR_NULL),
    "rows": said(_NUMBER_OR_NULL, "Given back or written."),
    "rows_per_call": said(_NUMBER_OR_NULL),
    "plans": said(_NUMBER_OR_NULL, _PLANNING),
    "total_plan_time_ms": said(_NUMBER_OR_NULL, _PLANNING),
    **{
        name: said(_NUMBER_OR_NULL, _BLOCKS)
        for name in (
            *("shared_blks_hit", "shared_blks_read", "shared_blks_dirtied", "shared_blks_written"),
            *("temp_blks_read", "temp_blks_written"),
        )
    },
    "blk_read_time_ms": said(_NUMBER_OR_NULL, _IO_TIME),
    "blk_write_time_ms": said(_NUMBER_OR_NULL, _IO_TIME),
    "io_time_ms": said(_NUMBER_OR_NULL, f"Both together. {_IO_TIME}"),
    "hit_ratio": said(_NUMBER_OR_NULL, "Of shared blocks; null: it read none.", minimum=0, maximum=1),
    "wal_bytes": said(_NUMBER_OR_NULL),
}
_SHAPE = {
    "digest": said(_TEXT, "The same for plans that do the same, whatever they cost."),
    "summary": said(_TEXT, "What is read, and how."),
    "first_at": _time("Seen first."),
    "last_at": _time("Seen last."),
}
_FINDING = {
    "code": said(_TEXT, pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
    "message": said(_TEXT, "What is seen, with its numbers."),
    "why": said(_TEXT, "What it costs."),
    "hint": said(_TEXT_OR_NULL, "What to do or to type."),
    "spec": said(["object", "null"], "An entry of an index spec (docs/spec.md), where an index would help."),
    "nodes": list_of({"type": "integer"}, "Of the plan, in the order in which it is written, from 0."),
}
_STATEMENT = {
    "queryid": said(_TEXT_OR_NULL, "Of those below the costliest; null: the source has none.", pattern=_QUERYID),
    "queryids": list_of({"type": _TEXT, "pattern": _QUERYID}, "All under which it is counted."),
    "fingerprint": said(_TEXT_OR_NULL, "null: the text is not known.", pattern="^[0-9a-f]{16}$"),
    "query": said(_TEXT_OR_NULL, "Without values, unless literals is true; null: hidden, or gone."),
    "kind": {"enum": list(Kind)},
    "relations": list_of({"type": _TEXT}, "As they are written in the text."),
    "users": list_of({"type": _TEXT}, "The one that it took the most time for first."),
    "dbname": said(_TEXT_OR_NULL, "Where it is another one than that of the target."),
    **_COUNTERS,
    "share": said(_NUMBER_OR_NULL, "Of the time of all statements in the window, 0..1."),
    "calls_share": said(_NUMBER_OR_NULL, "Of the calls of all statements in the window, 0..1."),
    "seconds": said(_NUMBER_OR_NULL, "For how long it was watched."),
    "calls_per_second": said(_NUMBER_OR_NULL),
    "max_exec_time_ms": said(
        _NUMBER_OR_NULL, "Since the server's counters began; of a sample or a log, of the window."
    ),
    "samples": said(["integer", "null"], "Of a sample: how often it was seen at work."),
    "sessions": said(["integer", "null"], "Of a sample: the most that ran it at once."),
    "waits": list_of(
        object_of({"event": said(_TEXT), "samples": said("integer")}, "What it waited for, how often."), "Of a sample."
    ),
    "before": _or_null(
        {**_COUNTERS, "seconds": said(_NUMBER_OR_NULL)}, "The same in the window that it is compared with."
    ),
    "factors": _or_null(
        {
            "mean_exec_time": said(_NUMBER_OR_NULL, "How many times what it was."),
            "calls": said(_NUMBER_OR_NULL, "A second; how many times what it was."),
            "is_new": said("boolean", "It was not called before."),
        },
        "Against before.",
    ),
    "plan_summary": _or_null(
        {
            "summary": said(_TEXT_OR_NULL, "What is read, and how."),
            "query": said(_TEXT, "As it was explained."),
            "planned_at": _time(),
            "parameter_types": list_of({"type": _TEXT}, "Of $1 on, as they were inferred."),
            "search_path": {"oneOf": [list_of({"type": _TEXT}), {"type": "null"}]},
            "is_analyzed": said("boolean", "It was run."),
        },
        "For any values of its parameters.",
    ),
    "no_plan": _or_null(
        {
            "reason": said(_TEXT),
            "hint": said(_TEXT_OR_NULL),
            "is_lasting": said("boolean", "The text is why."),
        },
        "Why there is none.",
    ),
    "flips": list_of(
        object_of({"before": ref("shape"), "after": ref("shape")}, "Between before.last_at and after.first_at."),
        "How its plan has changed, the newest first.",
    ),
    "findings": list_of(object_of(_FINDING, "What is wrong with it.")),
}
_LACKS = list_of(
    object_of({"reason": said(_TEXT), "hint": said(_TEXT_OR_NULL)}, "And what to type."), "What could not be had."
)
_COUNT = said("integer", "Statements.", minimum=0)
_MS = said("number", minimum=0)
_HEAD = {
    "target": ref("target"),
    "window": ref("window"),
    "compared_with": _ref_or_null("window"),
    "slow_ms": said("number", "A mean from which on a statement is called slow."),
    "literals": said("boolean", "Texts are as the server has them."),
}
_WORKLOAD: dict[str, Schema] = {
    **_HEAD,
    "sort": {"enum": list(Sort)},
    "totals": object_of(_COUNTERS, "Of all statements in the window, those that are not shown among them."),
    "others": object_of(
        {
            "filtered": _COUNT,
            "quick": _COUNT,
            "more": _COUNT,
            "utility": _COUNT,
            "utility_time_ms": _MS,
            "own": _COUNT,
            "own_time_ms": _MS,
            "textless": _COUNT,
            "textless_time_ms": _MS,
            "unread": _COUNT,
            "unread_time_ms": _MS,
        },
        "What is counted and not shown, by reason; what has no text may be shown.",
    ),
    "notes": list_of({"type": _TEXT}),
    "lacks": _LACKS,
    "statements": list_of(ref("statement")),
}
_INDEX = {
    "name": said(_TEXT),
    "method": said(_TEXT),
    "keys": list_of({"type": _TEXT_OR_NULL}, "Columns and expressions."),
    "include": list_of({"type": _TEXT}),
    "where": said(_TEXT_OR_NULL),
    "is_unique": said("boolean"),
    "is_valid": said("boolean"),
}
_DETAIL: dict[str, Schema] = {
    **_HEAD,
    "statement": ref("statement"),
    "plan": {
        "oneOf": [list_of({"type": "object"}), {"type": "null"}],
        "description": "PostgreSQL's own, as EXPLAIN (FORMAT JSON) says it; of a rule several.",
    },
    "relations": list_of(
        object_of(
            {
                "schema": said(_TEXT),
                "name": said(_TEXT),
                "relkind": said(_TEXT, "As pg_class has it."),
                "rows": said(["integer", "null"], "As ANALYZE estimated; null: it never did."),
                "size_bytes": said("integer", "As ANALYZE or VACUUM last saw it."),
                "indexes": list_of(object_of(_INDEX, "One of its indexes.")),
            },
            "A table.",
        )
    ),
    "trend": list_of(
        object_of(
            {
                "from": _time(),
                "to": _time(),
                "calls_per_second": said(_NUMBER_OR_NULL),
                "mean_exec_time_ms": said(_NUMBER_OR_NULL),
            },
            "A stretch of the past.",
        ),
        "By readings in the store, the oldest first.",
    ),
    "notes": list_of({"type": _TEXT}),
    "lacks": _LACKS,
}
_DEFS: dict[str, Schema] = {
    "target": object_of(
        {
            "name": said(_TEXT_OR_NULL, "In dbopt.yaml."),
            "place": said(_TEXT, "host:port/dbname."),
            "dbname": said(_TEXT_OR_NULL),
            "server_version": said(_TEXT_OR_NULL, "null: no server was asked."),
            "system_identifier": said(_TEXT_OR_NULL),
            "in_recovery": said(_YES_NO_OR_NULL, "Whether it is a standby."),
            "role": said(_TEXT_OR_NULL),
        },
        "Which database.",
    ),
    "window": object_of(
        {
            "from": _time("null: nobody knows since when."),
            "to": _time(),
            "source": {"enum": list(Source)},
            "seconds": said(_NUMBER_OR_NULL, "What was watched of it."),
            "breaks": list_of({"type": _TEXT}, "What interrupted the counting."),
            "looks": said(["integer", "null"], "Of a sample."),
            "place": said(_TEXT_OR_NULL, "Of a log: the file."),
        },
        "The real time that numbers are about.",
    ),
    "shape": object_of(_SHAPE, "A plan that a statement has had."),
    "statement": object_of(_STATEMENT, "One statement, be it under several ids."),
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
