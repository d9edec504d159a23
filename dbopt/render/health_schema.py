"""The JSON schema of `dbopt health --format json`: `python -m dbopt.render.health_schema docs` writes it.

Readers have to bear with keys that they do not know: keys are only ever added.
https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dbopt.health.check import Group, Status, Unit
from dbopt.render.json import SCHEMA_VERSION
from dbopt.render.json_schema import Schema, list_of, object_of, ref, said

FILE_NAME = "health.schema.json"


def schema() -> Schema:
    single = object_of({"target": ref("target"), **_VERDICT}, "One database.")
    several = object_of(
        {"status": ref("status"), "exit_code": ref("exit_code"), "targets": list_of(ref("verdict"))},
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


_OR_NULL = "null"
_TEXT, _TEXT_OR_NULL = "string", ["string", _OR_NULL]
_NUMBER_OR_NULL, _INTEGER_OR_NULL, _YES_NO_OR_NULL = ["number", _OR_NULL], ["integer", _OR_NULL], ["boolean", _OR_NULL]

_VERDICT: dict[str, Schema] = {
    "status": ref("status"),
    "exit_code": ref("exit_code"),
    "collected_at": said(_TEXT, "When it was looked, by the clock of dbopt's machine.", format="date-time"),
    "seconds": said("number", "How long that took, connecting included.", minimum=0),
    "statements": said("integer", "Sent to the server.", minimum=0),
    "round_trips": said("integer", "To the server and back, without those of connecting.", minimum=0),
    "notes": said("array", "Remarks for people.", items={"type": _TEXT}),
    "checks": list_of(ref("check")),
}

_MEASURED: dict[str, Schema] = {
    "subject": said(_TEXT, "What it is about: a relation, pid 123, a slot, a setting, server."),
    "measure": said(_NUMBER_OR_NULL, "In the unit; null where it is no finite number."),
    "unit": ref("unit"),
    "detail": said(_TEXT, "One line of facts."),
    "remedy": said(_TEXT_OR_NULL, "SQL or a command to paste."),
}
_FINDING = {**_MEASURED, "status": ref("status")}
_SET_ASIDE = {**_FINDING, "reason": said(_TEXT_OR_NULL, "Why it does not count.")}
_WAIT = {
    "mode": said(_TEXT, "Of the lock that is waited for."),
    "object": said(_TEXT, "What is to be locked."),
    "since": said(_TEXT_OR_NULL, "PostgreSQL 14 and later.", format="date-time"),
    "seconds": said(_NUMBER_OR_NULL, "How long; null where this role must not see it."),
}
_SESSION = {
    "depth": said(
        "integer", "0 is the root; a session waits for the nearest one before it that is one less.", minimum=0
    ),
    "pid": said(_INTEGER_OR_NULL, "null: a prepared transaction."),
    "gid": said(_TEXT_OR_NULL, "Of a prepared transaction."),
    **{
        name: {"type": _TEXT_OR_NULL}
        for name in ("datname", "usename", "application_name", "client", "backend_type", "state")
    },
    "state_seconds": {"type": _NUMBER_OR_NULL},
    "xact_seconds": {"type": _NUMBER_OR_NULL},
    "statement": said(_TEXT_OR_NULL, "Without literals, unless --show-literals."),
    "holds": said("array", "Locks.", items={"type": _TEXT}),
    "waits_for": {"oneOf": [object_of(_WAIT, "For which lock."), {"type": _OR_NULL}]},
    "blocked_by": said("array", "pids, as pg_blocking_pids says.", items={"type": "integer"}),
    "blocked_by_prepared": said("array", "Prepared transactions.", items={"type": _TEXT}),
}
_TREE = {
    "root": said(_TEXT, "The subject of its finding."),
    "victims": said("integer", "How many wait for the root, directly or not.", minimum=0),
    "longest_wait_seconds": {"type": _NUMBER_OR_NULL},
    "remedy": said(_TEXT, "SQL that ends the root's hold."),
    "sessions": list_of(object_of(_SESSION, "In the order of the drawing, the root first.")),
}
_THRESHOLDS = {
    "warning": said(_NUMBER_OR_NULL, "From this measure on; null: never."),
    "critical": said(_NUMBER_OR_NULL, "From this measure on; null: never."),
    "below": said("boolean", "The problem is to have this or less."),
    "source": said(_TEXT, "Who holds these numbers to be right."),
}
_CHECK = {
    "id": said(_TEXT, "docs/checks.md has them all.", pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
    "group": {"enum": list(Group)},
    "title": {"type": _TEXT},
    "status": {"enum": list(Status)},
    "reason": said(_TEXT_OR_NULL, "Why it was not judged, or not in full."),
    "hint": said(_TEXT_OR_NULL, "What would help: a GRANT, a CREATE EXTENSION."),
    "blind": said("boolean", "Something hides the answer, and with it a problem perhaps."),
    "thresholds": {"oneOf": [object_of(_THRESHOLDS, "By which it was judged."), {"type": _OR_NULL}]},
    "findings": said("array", "Problems, the worst first.", items=object_of(_FINDING, "A problem.")),
    "measured": said("array", "Measured, and no problem.", items=object_of(_FINDING, "A measure.")),
    "advice": said("array", "What might be better, though nothing is wrong.", items=object_of(_MEASURED, "Advice.")),
    "ignored": said("array", "Left out by dbopt.yaml.", items=object_of(_SET_ASIDE, "An ignored problem.")),
    "known": said("array", "In the baseline.", items=object_of(_SET_ASIDE, "A known problem.")),
    "pending": said("array", "Not found in enough runs yet.", items=object_of(_SET_ASIDE, "A new problem.")),
    "trees": said("array", "Who waits for whom.", items=object_of(_TREE, "A root and all behind it.")),
}
_DEFS: dict[str, Schema] = {
    "status": {"enum": [Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN]},
    "exit_code": {"enum": [0, 1, 2, 3]},
    "unit": {"enum": list(Unit)},
    "target": object_of(
        {
            "name": said(_TEXT_OR_NULL, "In dbopt.yaml."),
            "place": said(_TEXT, "host:port/dbname."),
            "dbname": {"type": _TEXT_OR_NULL},
            "server_version": said(_TEXT_OR_NULL, "null: there was no connection."),
            "system_identifier": {"type": _TEXT_OR_NULL},
            "in_recovery": said(_YES_NO_OR_NULL, "Whether it is a standby."),
            "role": {"type": _TEXT_OR_NULL},
        },
        "Which database.",
    ),
    "check": object_of(_CHECK, "What one check says."),
    "verdict": object_of({"target": ref("target"), **_VERDICT}, "One of several databases."),
}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(text(), encoding="utf-8")
