"""Why an entry cannot be, as findings: what the catalogs lack, and what the server says when asked.

The judge is always the server. This module only says it in the spec's terms: file, line, what was probably meant.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.optimize.statement import columns_used, named_columns
from dbopt.postgres import catalog
from dbopt.spec.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.optimize.collect import Actual
    from dbopt.optimize.twin import Refusal
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

# relkind to what the manual calls it, for relations that cannot have an index.
_NOT_INDEXABLE = {
    "v": "a view",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a composite type",
    "t": "a TOAST table",
}

# SQLSTATE of a refused definition to a code of ours. https://www.postgresql.org/docs/current/errcodes-appendix.html
_CODES = {
    "42703": "missing-column",
    "42704": "missing-object",  # operator class, collation, access method, tablespace, type: the message says which
    "42883": "missing-function",
    "42P17": "not-immutable",
    "22P02": "wrong-value",
    "22023": "bad-parameter",
    "0A000": "not-supported-by-server",
    "54011": "too-many-columns",
    "42804": "wrong-type",
    "42501": "not-permitted",
    "42601": "syntax-error",
}

# Which extension brings what a definition lacks: operator classes and methods of PostgreSQL's contrib and of pgvector.
_BROUGHT_BY = {
    "gin_trgm_ops": "pg_trgm",
    "gist_trgm_ops": "pg_trgm",
    "bloom": "bloom",
    "hnsw": "vector",
    "ivfflat": "vector",
    "rum": "rum",
    "gin__int_ops": "intarray",
    "gist_ltree_ops": "ltree",
    "gin_hstore_ops": "hstore",
    "vector_l2_ops": "vector",
    "vector_cosine_ops": "vector",
    "vector_ip_ops": "vector",
}


class RefusedError(Exception):
    """An entry that gets no step, and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def finding(
    entry: IndexSpec, severity: Severity, code: str, message: str, *, at: str = "", hint: str | None = None
) -> Finding:
    """A finding about an entry, at the line of one of its fields. Of a tenant's, the message says whose it is."""
    tenant = entry.source.tenant
    if tenant is not None and f"{tenant}." not in message:
        message = f"{tenant}: {message}"
    return Finding(
        severity=severity,
        code=code,
        index=entry.name,
        message=message,
        hint=hint,
        file=entry.source.file,
        line=entry.source.line_of(at),
    )


def error(entry: IndexSpec, code: str, message: str, *, at: str = "", hint: str | None = None) -> Finding:
    return finding(entry, Severity.ERROR, code, message, at=at, hint=hint)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint for a name that is not there, None when nothing is near. Letter case is what goes wrong most."""
    choices = list(dict.fromkeys(known))
    by_case = [choice for choice in choices if choice.lower() == name.lower()]
    near = by_case or difflib.get_close_matches(name, choices, n=3, cutoff=0.6)
    return "Did you mean " + " or ".join(near) + "?" if near else None


def missing_table(conn: Connection, server: Server, entry: IndexSpec) -> Finding:
    """No such relation: near names, in this schema and in others."""
    names = catalog.TABLE_NAMES.rows(conn, server.version)
    elsewhere = [row.schema for row in names if row.table == entry.table.name]
    if elsewhere:
        hint = f"It is there in schema {' and '.join(elsewhere)}: set `schema:` or `defaults: {{schema: ...}}`."
    else:
        near = did_you_mean(entry.table.name, [row.table for row in names if row.schema == entry.schema_name])
        hint = near or f"List the tables with \\dt {entry.schema_name}.* in psql."
    message = f"table {entry.schema_name}.{entry.table.name} does not exist"
    return error(entry, "missing-table", message, at="table", hint=hint)


def before_asking(server: Server, actual: Actual, entry: IndexSpec, table: Table) -> Finding | None:
    """What can be told from the catalogs, better than the server would say it."""
    name = f"{table.schema}.{table.table}"
    if table.relkind in _NOT_INDEXABLE:
        return error(
            entry,
            "not-a-table",
            f"{name} is {_NOT_INDEXABLE[table.relkind]}, which cannot have indexes",
            at="table",
            hint="Name the table behind it, or make it a materialized view." if table.relkind == "v" else None,
        )
    if table.schema in ("pg_catalog", "information_schema", "pg_toast") or table.relpersistence == "t":
        return error(entry, "not-a-user-table", f"{name} is a system or temporary table", at="table")
    missing = [extension for extension in entry.needs.extension if extension not in actual.extensions]
    if missing:
        return error(
            entry,
            "missing-extension",
            f"extension {missing[0]} is not installed in {server.dbname}",
            at="needs",
            hint=f'CREATE EXTENSION "{missing[0]}";',
        )
    columns = {column.column: column for column in actual.columns.get(table.oid, ())}
    for path, column in named_columns(entry):
        if column not in columns and entry.sql is None:
            return error(
                entry,
                "missing-column",
                f"column {column} of {name} does not exist",
                at=path,
                hint=did_you_mean(column, columns) or "The table has: " + ", ".join(columns) + ".",
            )
    virtual = [column.column for column in columns.values() if column.is_virtual]
    if virtual and (used := columns_used(entry).intersection(virtual)):
        message = f"column {min(used)} of {name} is a virtual generated column, which cannot be indexed"
        return error(entry, "not-supported-by-server", message, at="keys", hint="Index the expression behind it.")
    if entry.nulls_not_distinct and not server.has_nulls_not_distinct:
        return error(
            entry,
            "not-supported-by-server",
            f"NULLS NOT DISTINCT needs PostgreSQL 15, this is {server.server_version}",
            at="unique",
        )
    return None


def not_owner(server: Server, entry: IndexSpec, table: Table) -> Finding | None:
    """An index can be changed by who has the rights of its table's owner. Comparing takes no right on the table."""
    if table.is_owner:
        return None
    return error(
        entry,
        "not-owner",
        f"role {server.usename} does not own {table.schema}.{table.table}, whose owner is {table.owner}",
        at="table",
        hint=f"{server.grant(Identifier(table.owner).as_string())} or connect as {table.owner}",
    )


def not_creator(server: Server, entry: IndexSpec, table: Table) -> Finding | None:
    """A new name in the schema takes a right on that besides."""
    if table.may_create:
        return None
    return error(
        entry,
        "not-permitted",
        f"role {server.usename} may not create objects in schema {table.schema}",
        at="table",
        hint=server.grant(f"CREATE ON SCHEMA {Identifier(table.schema).as_string()}"),
    )


def refused(conn: Connection, server: Server, entry: IndexSpec, table: Table, refusal: Refusal) -> Finding:
    """The server's refusal of a definition, in its own words, with what to type."""
    code = _CODES.get(refusal.sqlstate, "invalid-definition")
    hint = refusal.hint
    at = "where" if entry.where and code in ("wrong-value", "wrong-type") else "keys"
    if code == "not-immutable":
        at = "where" if entry.where is not None and not any(key.expr for key in entry.keys) else "keys"
        hint = (
            "An index holds what was true when a row was written: leave out now() and the like, "
            "or make the function IMMUTABLE if it truly is."
        )
    elif code == "wrong-value":
        hint = _enum_hint(conn, server, table, refusal.message) or hint
    elif code in ("missing-object", "wrong-type"):
        extension = next((brings for word, brings in _BROUGHT_BY.items() if f'"{word}"' in refusal.message), None)
        hint = f'CREATE EXTENSION "{extension}";' if extension else hint
    elif code == "missing-column":
        hint = hint or "Expressions fold names to lower case: quote mixed-case columns as in SQL."
    words = refusal.message + (f" ({refusal.detail})" if refusal.detail else "")
    return error(entry, code, f"{words} [SQLSTATE {refusal.sqlstate}]", at=at, hint=hint)


def _enum_hint(conn: Connection, server: Server, table: Table, message: str) -> str | None:
    """The enum's labels that come near the wrong one. The server's message ends in the value, whatever its language."""
    value = re.search(r'"([^"]*)"\s*\Z', message)
    rows = catalog.ENUM_LABELS.rows(conn, server.version, {"oid": table.oid})
    rows = [row for row in rows if f'"{row.type}"' in message or f" {row.type}:" in message] or rows
    if value is None or not rows:
        return None
    labels = [row.label for row in rows]
    return did_you_mean(value[1], labels) or "Its labels are: " + ", ".join(dict.fromkeys(labels)) + "."
