"""The JSON schema of `dbopt slow-queries --format json`: `python -m dbopt.render.workload_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbopt.render.json import SCHEMA_VERSION
from dbopt.render.workload_json import COMMAND
from dbopt.workload.model import Kind, Source
from dbopt.workload.statements import Sort

FILE_NAME = f"slow-queries.v{SCHEMA_VERSION}.json"
_Schema = dict[str, Any]


def schema() -> _Schema:
    several = _object({"targets": _list(_object(_WORKLOAD, "One of several databases."))}, "Several databases.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What dbopt slow-queries --format json writes",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}, "command": {"const": COMMAND}},
        "required": ["schema_version", "command"],
        "oneOf": [_object(_WORKLOAD, "One database."), several, _object(_DETAIL, "slow-queries show ID.")],
        "$defs": _DEFS,
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


def _or_null(properties: Mapping[str, _Schema], description: str) -> _Schema:
    return {"oneOf": [_object(properties, description), {"type": "null"}]}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/$defs/{name}"}


def _ref_or_null(name: str) -> _Schema:
    return {"oneOf": [_ref(name), {"type": "null"}]}


def _list(items: _Schema, description: str | None = None) -> _Schema:
    said = {} if description is None else {"description": description}
    return {**said, "type": "array", "items": items}


def _said(kind: str | list[str], description: str | None = None, **more: Any) -> _Schema:
    said = {} if description is None else {"description": description}
    return {"type": kind, **said, **more}


_TEXT, _TEXT_OR_NULL = "string", ["string", "null"]
_NUMBER_OR_NULL, _YES_NO_OR_NULL = ["number", "null"], ["boolean", "null"]
_QUERYID = "^-?[0-9]+$"
_BLOCKS = "Blocks, of 8 kB unless the server was built with another size."
_PLANNING = "null: an old pg_stat_statements; 0 where pg_stat_statements.track_planning is off, too."
_IO_TIME = "0 where track_io_timing is off, too."


def _time(description: str | None = None) -> _Schema:
    return _said(_TEXT_OR_NULL, description, format="date-time")


_COUNTERS: dict[str, _Schema] = {
    "calls": _said("number", "Where samples is a number: those that were met, at least.", minimum=0),
    "total_exec_time_ms": _said("number", minimum=0),
    "mean_exec_time_ms": _said(_NUMBER_OR_NULL, "null: no calls."),
    "stddev_exec_time_ms": _said(_NUMBER_OR_NULL),
    "rows": _said(_NUMBER_OR_NULL, "Given back or written."),
    "rows_per_call": _said(_NUMBER_OR_NULL),
    "plans": _said(_NUMBER_OR_NULL, _PLANNING),
    "total_plan_time_ms": _said(_NUMBER_OR_NULL, _PLANNING),
    **{
        name: _said(_NUMBER_OR_NULL, _BLOCKS)
        for name in (
            *("shared_blks_hit", "shared_blks_read", "shared_blks_dirtied", "shared_blks_written"),
            *("temp_blks_read", "temp_blks_written"),
        )
    },
    "blk_read_time_ms": _said(_NUMBER_OR_NULL, _IO_TIME),
    "blk_write_time_ms": _said(_NUMBER_OR_NULL, _IO_TIME),
    "io_time_ms": _said(_NUMBER_OR_NULL, f"Both together. {_IO_TIME}"),
    "hit_ratio": _said(_NUMBER_OR_NULL, "Of shared blocks; null: it read none.", minimum=0, maximum=1),
    "wal_bytes": _said(_NUMBER_OR_NULL),
}
_SHAPE = {
    "digest": _said(_TEXT, "The same for plans that do the same, whatever they cost."),
    "summary": _said(_TEXT, "What is read, and how."),
    "first_at": _time("Seen first."),
    "last_at": _time("Seen last."),
}
_FINDING = {
    "code": _said(_TEXT, pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
    "message": _said(_TEXT, "What is seen, with its numbers."),
    "why": _said(_TEXT, "What it costs."),
    "hint": _said(_TEXT_OR_NULL, "What to do or to type."),
    "spec": _said(["object", "null"], "An entry of an index spec (docs/spec.md), where an index would help."),
    "nodes": _list({"type": "integer"}, "Of the plan, in the order in which it is written, from 0."),
}
_STATEMENT = {
    "queryid": _said(_TEXT_OR_NULL, "Of those below the costliest; null: the source has none.", pattern=_QUERYID),
    "queryids": _list({"type": _TEXT, "pattern": _QUERYID}, "All under which it is counted."),
    "fingerprint": _said(_TEXT_OR_NULL, "null: the text is not known.", pattern="^[0-9a-f]{16}$"),
    "query": _said(_TEXT_OR_NULL, "Without values, unless literals is true; null: hidden, or gone."),
    "kind": {"enum": list(Kind)},
    "relations": _list({"type": _TEXT}, "As they are written in the text."),
    "users": _list({"type": _TEXT}, "The one that it took the most time for first."),
    "dbname": _said(_TEXT_OR_NULL, "Where it is another one than that of the target."),
    **_COUNTERS,
    "share": _said(_NUMBER_OR_NULL, "Of the time of all statements in the window, 0..1."),
    "calls_share": _said(_NUMBER_OR_NULL, "Of the calls of all statements in the window, 0..1."),
    "seconds": _said(_NUMBER_OR_NULL, "For how long it was watched."),
    "calls_per_second": _said(_NUMBER_OR_NULL),
    "max_exec_time_ms": _said(
        _NUMBER_OR_NULL, "Since the server's counters began; of a sample or a log, of the window."
    ),
    "samples": _said(["integer", "null"], "Of a sample: how often it was seen at work."),
    "sessions": _said(["integer", "null"], "Of a sample: the most that ran it at once."),
    "waits": _list(
        _object({"event": _said(_TEXT), "samples": _said("integer")}, "What it waited for, how often."), "Of a sample."
    ),
    "before": _or_null(
        {**_COUNTERS, "seconds": _said(_NUMBER_OR_NULL)}, "The same in the window that it is compared with."
    ),
    "factors": _or_null(
        {
            "mean_exec_time": _said(_NUMBER_OR_NULL, "How many times what it was."),
            "calls": _said(_NUMBER_OR_NULL, "A second; how many times what it was."),
            "is_new": _said("boolean", "It was not called before."),
        },
        "Against before.",
    ),
    "plan_summary": _or_null(
        {
            "summary": _said(_TEXT_OR_NULL, "What is read, and how."),
            "query": _said(_TEXT, "As it was explained."),
            "planned_at": _time(),
            "parameter_types": _list({"type": _TEXT}, "Of $1 on, as they were inferred."),
            "search_path": {"oneOf": [_list({"type": _TEXT}), {"type": "null"}]},
            "is_analyzed": _said("boolean", "It was run."),
        },
        "For any values of its parameters.",
    ),
    "no_plan": _or_null(
        {
            "reason": _said(_TEXT),
            "hint": _said(_TEXT_OR_NULL),
            "is_lasting": _said("boolean", "The text is why."),
        },
        "Why there is none.",
    ),
    "flips": _list(
        _object({"before": _ref("shape"), "after": _ref("shape")}, "Between before.last_at and after.first_at."),
        "How its plan has changed, the newest first.",
    ),
    "findings": _list(_object(_FINDING, "What is wrong with it.")),
}
_LACKS = _list(
    _object({"reason": _said(_TEXT), "hint": _said(_TEXT_OR_NULL)}, "And what to type."), "What could not be had."
)
_COUNT = _said("integer", "Statements.", minimum=0)
_MS = _said("number", minimum=0)
_HEAD = {
    "target": _ref("target"),
    "window": _ref("window"),
    "compared_with": _ref_or_null("window"),
    "slow_ms": _said("number", "A mean from which on a statement is called slow."),
    "literals": _said("boolean", "Texts are as the server has them."),
}
_WORKLOAD: dict[str, _Schema] = {
    **_HEAD,
    "sort": {"enum": list(Sort)},
    "totals": _object(_COUNTERS, "Of all statements in the window, those that are not shown among them."),
    "others": _object(
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
    "notes": _list({"type": _TEXT}),
    "lacks": _LACKS,
    "statements": _list(_ref("statement")),
}
_INDEX = {
    "name": _said(_TEXT),
    "method": _said(_TEXT),
    "keys": _list({"type": _TEXT_OR_NULL}, "Columns and expressions."),
    "include": _list({"type": _TEXT}),
    "where": _said(_TEXT_OR_NULL),
    "is_unique": _said("boolean"),
    "is_valid": _said("boolean"),
}
_DETAIL: dict[str, _Schema] = {
    **_HEAD,
    "statement": _ref("statement"),
    "plan": {
        "oneOf": [_list({"type": "object"}), {"type": "null"}],
        "description": "PostgreSQL's own, as EXPLAIN (FORMAT JSON) says it; of a rule several.",
    },
    "relations": _list(
        _object(
            {
                "schema": _said(_TEXT),
                "name": _said(_TEXT),
                "relkind": _said(_TEXT, "As pg_class has it."),
                "rows": _said(["integer", "null"], "As ANALYZE estimated; null: it never did."),
                "size_bytes": _said("integer", "As ANALYZE or VACUUM last saw it."),
                "indexes": _list(_object(_INDEX, "One of its indexes.")),
            },
            "A table.",
        )
    ),
    "trend": _list(
        _object(
            {
                "from": _time(),
                "to": _time(),
                "calls_per_second": _said(_NUMBER_OR_NULL),
                "mean_exec_time_ms": _said(_NUMBER_OR_NULL),
            },
            "A stretch of the past.",
        ),
        "By readings in the store, the oldest first.",
    ),
    "notes": _list({"type": _TEXT}),
    "lacks": _LACKS,
}
_DEFS: dict[str, _Schema] = {
    "target": _object(
        {
            "name": _said(_TEXT_OR_NULL, "In dbopt.yaml."),
            "place": _said(_TEXT, "host:port/dbname."),
            "dbname": _said(_TEXT_OR_NULL),
            "server_version": _said(_TEXT_OR_NULL, "null: no server was asked."),
            "system_identifier": _said(_TEXT_OR_NULL),
            "in_recovery": _said(_YES_NO_OR_NULL, "Whether it is a standby."),
            "role": _said(_TEXT_OR_NULL),
        },
        "Which database.",
    ),
    "window": _object(
        {
            "from": _time("null: nobody knows since when."),
            "to": _time(),
            "source": {"enum": list(Source)},
            "seconds": _said(_NUMBER_OR_NULL, "What was watched of it."),
            "breaks": _list({"type": _TEXT}, "What interrupted the counting."),
            "looks": _said(["integer", "null"], "Of a sample."),
            "place": _said(_TEXT_OR_NULL, "Of a log: the file."),
        },
        "The real time that numbers are about.",
    ),
    "shape": _object(_SHAPE, "A plan that a statement has had."),
    "statement": _object(_STATEMENT, "One statement, be it under several ids."),
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
