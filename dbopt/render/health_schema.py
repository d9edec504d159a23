"""The JSON schema of `dbopt health --format json`: `python -m dbopt.render.health_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbopt.health.check import Group, Status, Unit
from dbopt.render.json import SCHEMA_VERSION

FILE_NAME = "health.schema.json"
_Schema = dict[str, Any]


def schema() -> _Schema:
    single = _object({"target": _ref("target"), **_VERDICT}, "One database.")
    several = _object(
        {"status": _ref("status"), "exit_code": _ref("exit_code"), "targets": _list(_ref("verdict"))},
        "Several databases: the worst status, and a verdict each.",
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What dbopt health --format json writes",
        "type": "object",
        "properties": {"schema_version": {"const": SCHEMA_VERSION}, "command": {"const": "health"}},
        "required": ["schema_version", "command"],
        "oneOf": [single, several],
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


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


def _said(kind: str | list[str], description: str, **more: Any) -> _Schema:
    return {"type": kind, "description": description, **more}


_OR_NULL = "null"
_TEXT, _TEXT_OR_NULL = "string", ["string", _OR_NULL]
_NUMBER_OR_NULL, _INTEGER_OR_NULL, _YES_NO_OR_NULL = ["number", _OR_NULL], ["integer", _OR_NULL], ["boolean", _OR_NULL]

_VERDICT: dict[str, _Schema] = {
    "status": _ref("status"),
    "exit_code": _ref("exit_code"),
    "collected_at": _said(_TEXT, "When it was looked, by the clock of dbopt's machine.", format="date-time"),
    "seconds": _said("number", "How long that took, connecting included.", minimum=0),
    "statements": _said("integer", "Sent to the server.", minimum=0),
    "round_trips": _said("integer", "To the server and back, without those of connecting.", minimum=0),
    "notes": _said("array", "Remarks for people.", items={"type": _TEXT}),
    "checks": _list(_ref("check")),
}

_MEASURED: dict[str, _Schema] = {
    "subject": _said(_TEXT, "What it is about: a relation, pid 123, a slot, a setting, server."),
    "measure": _said(_NUMBER_OR_NULL, "In the unit; null where it is no finite number."),
    "unit": _ref("unit"),
    "detail": _said(_TEXT, "One line of facts."),
    "remedy": _said(_TEXT_OR_NULL, "SQL or a command to paste."),
}
_FINDING = {**_MEASURED, "status": _ref("status")}
_SET_ASIDE = {**_FINDING, "reason": _said(_TEXT_OR_NULL, "Why it does not count.")}
_WAIT = {
    "mode": _said(_TEXT, "Of the lock that is waited for."),
    "object": _said(_TEXT, "What is to be locked."),
    "since": _said(_TEXT_OR_NULL, "PostgreSQL 14 and later.", format="date-time"),
    "seconds": _said(_NUMBER_OR_NULL, "How long; null where this role must not see it."),
}
_SESSION = {
    "depth": _said(
        "integer", "0 is the root; a session waits for the nearest one before it that is one less.", minimum=0
    ),
    "pid": _said(_INTEGER_OR_NULL, "null: a prepared transaction."),
    "gid": _said(_TEXT_OR_NULL, "Of a prepared transaction."),
    **{
        name: {"type": _TEXT_OR_NULL}
        for name in ("datname", "usename", "application_name", "client", "backend_type", "state")
    },
    "state_seconds": {"type": _NUMBER_OR_NULL},
    "xact_seconds": {"type": _NUMBER_OR_NULL},
    "statement": _said(_TEXT_OR_NULL, "Without literals, unless --show-literals."),
    "holds": _said("array", "Locks.", items={"type": _TEXT}),
    "waits_for": {"oneOf": [_object(_WAIT, "For which lock."), {"type": _OR_NULL}]},
    "blocked_by": _said("array", "pids, as pg_blocking_pids says.", items={"type": "integer"}),
    "blocked_by_prepared": _said("array", "Prepared transactions.", items={"type": _TEXT}),
}
_TREE = {
    "root": _said(_TEXT, "The subject of its finding."),
    "victims": _said("integer", "How many wait for the root, directly or not.", minimum=0),
    "longest_wait_seconds": {"type": _NUMBER_OR_NULL},
    "remedy": _said(_TEXT, "SQL that ends the root's hold."),
    "sessions": _list(_object(_SESSION, "In the order of the drawing, the root first.")),
}
_THRESHOLDS = {
    "warning": _said(_NUMBER_OR_NULL, "From this measure on; null: never."),
    "critical": _said(_NUMBER_OR_NULL, "From this measure on; null: never."),
    "below": _said("boolean", "The problem is to have this or less."),
    "source": _said(_TEXT, "Who holds these numbers to be right."),
}
_CHECK = {
    "id": _said(_TEXT, "docs/checks.md has them all.", pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
    "group": {"enum": list(Group)},
    "title": {"type": _TEXT},
    "status": {"enum": list(Status)},
    "reason": _said(_TEXT_OR_NULL, "Why it was not judged, or not in full."),
    "hint": _said(_TEXT_OR_NULL, "What would help: a GRANT, a CREATE EXTENSION."),
    "blind": _said("boolean", "Something hides the answer, and with it a problem perhaps."),
    "thresholds": {"oneOf": [_object(_THRESHOLDS, "By which it was judged."), {"type": _OR_NULL}]},
    "findings": _said("array", "Problems, the worst first.", items=_object(_FINDING, "A problem.")),
    "measured": _said("array", "Measured, and no problem.", items=_object(_FINDING, "A measure.")),
    "advice": _said("array", "What might be better, though nothing is wrong.", items=_object(_MEASURED, "Advice.")),
    "ignored": _said("array", "Left out by dbopt.yaml.", items=_object(_SET_ASIDE, "An ignored problem.")),
    "known": _said("array", "In the baseline.", items=_object(_SET_ASIDE, "A known problem.")),
    "pending": _said("array", "Not found in enough runs yet.", items=_object(_SET_ASIDE, "A new problem.")),
    "trees": _said("array", "Who waits for whom.", items=_object(_TREE, "A root and all behind it.")),
}
_DEFS: dict[str, _Schema] = {
    "status": {"enum": [Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN]},
    "exit_code": {"enum": [0, 1, 2, 3]},
    "unit": {"enum": list(Unit)},
    "target": _object(
        {
            "name": _said(_TEXT_OR_NULL, "In dbopt.yaml."),
            "place": _said(_TEXT, "host:port/dbname."),
            "dbname": {"type": _TEXT_OR_NULL},
            "server_version": _said(_TEXT_OR_NULL, "null: there was no connection."),
            "system_identifier": {"type": _TEXT_OR_NULL},
            "in_recovery": _said(_YES_NO_OR_NULL, "Whether it is a standby."),
            "role": {"type": _TEXT_OR_NULL},
        },
        "Which database.",
    ),
    "check": _object(_CHECK, "What one check says."),
    "verdict": _object({"target": _ref("target"), **_VERDICT}, "One of several databases."),
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
