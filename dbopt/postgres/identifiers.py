"""Names: quoting by psycopg, limits in bytes, truncation as the server does it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import sql

NAME_MAX_BYTES = 63  # NAMEDATALEN - 1, https://www.postgresql.org/docs/current/sql-syntax-lexical.html


def qualified(schema: str, name: str) -> sql.Identifier:
    from psycopg import sql  # 0.1 s that commands without a server need not spend

    return sql.Identifier(schema, name)


def text(part: sql.Composable) -> str:
    """SQL for people and plan files. Identifiers are quoted always, so that every statement can be pasted."""
    return part.as_string(None)


def display(schema: str, name: str) -> str:
    """`schema.name` for people and JSON: as written, without quotes."""
    return f"{schema}.{name}"


def clip(name: str, limit: int = NAME_MAX_BYTES) -> str:
    """A name cut to `limit` bytes without cutting a character in two, as the server truncates."""
    return name.encode()[:limit].decode(errors="ignore")


def derived(name: str, suffix: str) -> str:
    """A working name made from an index's name: always the same for the same input, never longer than the server takes.

    A long name is cut and carries a digest of the whole, so that two long names with one beginning stay apart.
    """
    plain = name + suffix
    if len(plain.encode()) <= NAME_MAX_BYTES:
        return plain
    digest = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return clip(name, NAME_MAX_BYTES - len((digest + suffix).encode())) + digest + suffix
