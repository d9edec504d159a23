"""Entries whose schema is a pattern: one entry for each schema that has the table.

`*` and `?` are the wildcards; `_` is a plain character (it is in most tenants' names), so no LIKE.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.optimize.refusals import finding
from dbopt.postgres import catalog
from dbopt.spec.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec


def expand(
    conn: Connection, server: Server, entries: Sequence[IndexSpec]
) -> tuple[tuple[IndexSpec, ...], list[Finding]]:
    """The entries with every pattern resolved; a warning for each that meets no table. At most one statement."""
    if not any(entry.table.schema_is_pattern for entry in entries):
        return tuple(entries), []
    tables = catalog.TABLE_NAMES.rows(conn, server.version)
    expanded: list[IndexSpec] = []
    findings = []
    for entry in entries:
        if not entry.table.schema_is_pattern:
            expanded.append(entry)
            continue
        schemas = [row.schema for row in tables if row.table == entry.table.name and _meant(entry, row.schema)]
        for schema in schemas:
            table = entry.table.model_copy(update={"schema_": schema, "except_": ()})
            source = replace(entry.source, tenant=schema)
            expanded.append(entry.model_copy(update={"table": table, "source": source}))
        if not schemas:
            message = f"no schema like {entry.schema_name} has a table {entry.table.name}"
            findings.append(finding(entry, Severity.WARNING, "no-tenant", message, at="table"))
    return tuple(expanded), findings


def is_meant(entry: IndexSpec, schema: str) -> bool:
    """Whether an entry is about a table in this schema."""
    return _meant(entry, schema) if entry.table.schema_is_pattern else schema == entry.schema_name


def _meant(entry: IndexSpec, schema: str) -> bool:
    return _matches(schema, [entry.schema_name]) and not _matches(schema, entry.table.except_)


def _matches(schema: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(_regex(pattern), schema) for pattern in patterns)


def _regex(pattern: str) -> str:
    return "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
