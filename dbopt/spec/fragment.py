"""Entries of an index spec, as plain values, for the findings that one would cure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def present(schema: str, table: str, name: str, rest: Mapping[str, object]) -> Mapping[str, object] | None:
    """An entry for an index that shall be there. None where a spec cannot say it."""
    return _entry(schema, table, name, rest)


def absent(schema: str, table: str, name: str, why: str, **rest: object) -> Mapping[str, object] | None:
    """An entry for an index that shall go. None where a spec cannot say it."""
    return _entry(schema, table, name, {"state": "absent", **rest, "why": why})


def _entry(schema: str, table: str, name: str, rest: Mapping[str, object]) -> Mapping[str, object] | None:
    from dbopt.spec.model import SCHEMA_WILDCARDS  # the model costs start-up, and most looks find nothing

    if any(character in schema for character in SCHEMA_WILDCARDS):
        return None  # would mean several schemas
    return {"name": name, "table": {"schema": schema, "name": table}, **rest}
