"""The JSON schema of the format, for editors: `python -m dbopt.spec.schema` writes it.

Made from the models, so that it cannot know other keys than the loader; what the models cannot say (a sentence for each
key, the short forms) stands here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dbopt.spec.model import SpecFile

FILE_NAME = "index-spec.v1.json"
PATH = Path(__file__).with_name(FILE_NAME)

# By the models' names; a test holds them against the models.
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "SpecFile": {
        "spec": "Version of the format: 1.",
        "domain": "Name of this file's set of indexes, unique among the files given; part of the ownership mark.",
        "owner": "Whom to ask about these indexes.",
        "defaults": "What entries say when they are silent.",
        "budget": "Limits for all indexes of this file together.",
        "indexes": "The indexes that the database should have, or should no longer have.",
    },
    "Defaults": {
        "schema": "Schema of tables that name none; public if left out.",
        "extras": "What becomes of indexes on the same tables that no spec names.",
        "guard": "What has to be true before an index is dropped; for `extras: prune` as well.",
    },
    "SpecBudget": {
        "total": "Size of all indexes together: 60GB.",
        "per_table_indexes": "Number of indexes that one table may have.",
    },
    "IndexSpec": {
        "name": "Name of the index: at most 63 bytes, without a schema.",
        "table": "The table: its name, or a mapping with schema and name.",
        "schema": "Schema of the table, if it is not the default.",
        "method": "Access method: btree, hash, gist, spgist, gin, brin, or one of an extension.",
        "keys": "The keys in order. A plain text is always the name of a column.",
        "include": "Columns that are stored in the index but not searched by.",
        "where": "Predicate of a partial index: one SQL expression.",
        "unique": "Whether the index is unique; {nulls: not_distinct} lets one NULL in (PostgreSQL 15).",
        "with": "Storage parameters such as fillfactor.",
        "tablespace": "Tablespace to build the index in.",
        "state": "present, or absent for an index that is to be dropped.",
        "why": "Why the index is there, or why it goes.",
        "serves": "Statements that the index is there for.",
        "owner": "Whom to ask about this index.",
        "priority": "Order of building: 1 comes first, 100 is the default.",
        "budget": "Limits for this index.",
        "was": "Former names: an index under one of them is renamed, not rebuilt.",
        "needs": "What the database has to have already; checked, never created.",
        "build": "Settings of the session that builds the index.",
        "partitions": "How indexes of a partitioned table's leaves are named.",
        "expires": "The day from which the index should be looked at again.",
        "guard": "What has to be true before the index is dropped.",
        "comment": "Text for COMMENT ON INDEX.",
        "sql": "The whole CREATE INDEX statement, instead of keys and the like.",
    },
    "TableRef": {
        "name": "Name of the table, without a schema.",
        "schema": "Schema of the table; * and ? match any characters, so that many schemas are meant.",
        "except": "Schemas that the pattern does not mean.",
    },
    "Key": {
        "column": "Name of a column.",
        "expr": "One SQL expression over the table's columns.",
        "order": "Order of this key.",
        "nulls": "Where NULLs stand.",
        "collation": "Collation of this key.",
        "opclass": "Operator class of this key.",
        "opclass_options": "Parameters of the operator class.",
    },
    "Unique": {"nulls": "Whether two NULLs are two different values."},
    "Serve": {
        "query": "One statement, with $1 or literals for its parameters.",
        "expect": "What its plan should show.",
    },
    "Expect": {"uses": "The plan uses this index.", "no_sort": "The plan needs no sort."},
    "IndexBudget": {"size": "Size of the index: 4GB.", "build": "Time that the build may take: 45m."},
    "Needs": {"extension": "Extensions that have to be installed."},
    "Build": {
        "maintenance_work_mem": "Memory for the build: 2GB.",
        "parallel_workers": "Workers that help with the build.",
    },
    "Partitions": {"name": "Name of a leaf's index; {leaf} is the leaf table's name."},
    "Guard": {"unused_for": "Time without a single scan: 60d."},
}

_TEXT = {"type": "string", "minLength": 1}
# Editors read numbers, dates, yes and no by YAML's rules where the loader reads names.
_NAME = {"anyOf": [_TEXT, {"type": ["number", "boolean", "null"]}]}


def schema() -> dict[str, Any]:
    """The schema as a document."""
    made = SpecFile.model_json_schema(by_alias=True)
    definitions = made.pop("$defs")
    definitions.pop("Source")
    models = {"SpecFile": made} | {name: body for name, body in definitions.items() if "properties" in body}
    _by_hand(models)
    for name, model in models.items():
        _describe(model, DESCRIPTIONS[name])
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "dbopt index spec, version 1"}
    # Editors of draft 07 look for shared parts under this name.
    document: dict[str, Any] = json.loads(
        json.dumps(made | {"definitions": definitions}).replace("#/$defs/", "#/definitions/")
    )
    return head | document


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2, sort_keys=False, ensure_ascii=False) + "\n"


def _by_hand(models: dict[str, dict[str, Any]]) -> None:
    """What the loader does around the models: fields that it fills in, short forms that it takes."""
    for field in ("path", "source"):
        models["SpecFile"]["properties"].pop(field)
    entry = models["IndexSpec"]["properties"]
    for field in ("domain", "source"):
        entry.pop(field)
    entry["schema"] = dict(_TEXT)
    entry["table"] = {"anyOf": [_TEXT, {"$ref": "#/$defs/TableRef"}]}
    key = {"anyOf": [*_NAME["anyOf"], {"$ref": "#/$defs/Key"}]}
    entry["keys"] = {"anyOf": [_TEXT, {"$ref": "#/$defs/Key"}, {"type": "array", "items": key}]}
    for model, field in (
        ("IndexSpec", "include"),
        ("IndexSpec", "was"),
        ("TableRef", "except"),
        ("Needs", "extension"),
    ):
        models[model]["properties"][field] = {"anyOf": [_TEXT, {"type": "array", "items": _NAME}]}


def _describe(model: dict[str, Any], sentences: dict[str, str]) -> None:
    required = model.get("required", [])
    for key, body in model["properties"].items():
        body.pop("title", None)
        body.pop("default", None)
        forms = body.get("anyOf") or body.get("oneOf") or [body]
        if key not in required and {"type": "null"} not in forms:
            forms = [*forms, {"type": "null"}]  # `why:` with nothing behind it is as good as no `why`
        model["properties"][key] = {"description": sentences[key]} | (forms[0] if len(forms) == 1 else {"anyOf": forms})
    model.pop("title", None)
    model.pop("description", None)  # the docstring is for readers of the code


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
