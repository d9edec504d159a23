"""The parts that schemas of our JSON documents are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]


def object_of(properties: Mapping[str, Schema], description: str) -> Schema:
    """All of its keys are always there."""
    return {
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
    }


def list_of(items: Schema, description: str | None = None) -> Schema:
    return {**_described(description), "type": "array", "items": items}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def said(kind: str | list[str], description: str | None = None, **more: Any) -> Schema:
    return {"type": kind, **_described(description), **more}


def _described(description: str | None) -> Schema:
    return {} if description is None else {"description": description}
