"""Entries of an index spec, as plain values, for the findings that one would cure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LINE_WIDTH = 110


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


def yaml_lines(entry: Mapping[str, object]) -> list[str]:
    """The entry as it stands in a spec's `indexes:`, without indentation: `- name: ...`."""
    import yaml  # costs start-up too

    plain = [_plain(entry)]
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)
    if not text.replace("\n", "").isprintable():  # would break the line, for YAML too, or steer a terminal
        text = yaml.safe_dump(plain, sort_keys=False, width=_LINE_WIDTH)
    return text.splitlines()


def _plain(value: Any) -> Any:
    """What safe_dump knows."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
