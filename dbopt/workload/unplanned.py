"""Why a statement has no plan, in plain words, and what to type. No value of a statement stands in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg

from dbopt.postgres.identifiers import qualified, text
from dbopt.workload.model import Unplanned

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from dbopt.grammar import GrammarError
    from dbopt.postgres.named_relations import Rights
    from dbopt.postgres.search_paths import Home, SearchPath
    from dbopt.postgres.server import Server

UTILITY = Unplanned(reason="utility statements have no plan", is_lasting=True)
ENCODING = Unplanned(
    reason="its text has characters that the session's encoding lacks",
    hint="Set PGCLIENTENCODING=UTF8.",
)
# Classes of errors whose messages name tables, types and features, never a value.
_WITHOUT_VALUES = ("0A", "3F", "42", "55")
_CUT = ("syntax error at end of input", "unterminated")


def unread(exc: GrammarError) -> Unplanned:
    """Of a text that PostgreSQL's grammar refuses."""
    if exc.message.startswith(_CUT):
        return Unplanned(
            reason="its text is cut off",
            hint="Of a running statement the server keeps track_activity_query_size bytes: raise it, and restart.",
            is_lasting=True,
        )
    if exc.message.startswith("syntax error"):  # goes on with what stands there
        return Unplanned(reason="its text is no SQL that PostgreSQL's grammar knows", is_lasting=True)
    return Unplanned(reason=f"its text cannot be read: {exc.message}", is_lasting=True)


def refused(exc: psycopg.Error, *, timeout_ms: int) -> Unplanned:
    """Of what the server said, where nothing more is to be found out about it."""
    message = exc.diag.message_primary or ""
    if isinstance(exc, psycopg.errors.LockNotAvailable):
        return Unplanned(reason="a table of it is locked", hint="Try again; dbopt health shows who blocks whom.")
    if isinstance(exc, psycopg.errors.QueryCanceled):
        return Unplanned(
            reason=f"planning it takes longer than {timeout_ms / 1000:g} s",
            hint="The planner runs functions that are declared IMMUTABLE: one of its functions may be slow.",
        )
    if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction):
        return Unplanned(
            reason="a function that the planner runs wants to write",
            hint="A function that writes must not be declared IMMUTABLE.",
        )
    if isinstance(exc, psycopg.errors.SyntaxError):
        return Unplanned(reason="it has syntax that this server does not know", is_lasting=True)
    if isinstance(exc, psycopg.errors.UndefinedColumn):
        return Unplanned(reason=message, hint="The table has changed since the statement ran.")
    if isinstance(exc, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedObject):
        hint = "It was dropped since, or is in a schema that the role's search_path does not name."
        return Unplanned(reason=message, hint=hint)
    if (exc.sqlstate or "").startswith(_WITHOUT_VALUES):
        return Unplanned(reason=message)
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(exc).__name__).lower()
    return Unplanned(reason=f"planning it fails: {words} (SQLSTATE {exc.sqlstate})")


def homeless(
    exc: psycopg.Error, homes: Sequence[Home], names: Set[str], path: Sequence[str], role: SearchPath, server: Server
) -> Unplanned:
    """Of tables that the search path does not find. `homes`: every schema that has some of these."""
    missing = names - {name for home in homes if home.may_use and home.nspname in path for name in home.names}
    others = [home for home in homes if not missing.isdisjoint(home.names)]
    if others and all(home.is_temporary for home in others):
        return Unplanned(reason="it reads a temporary table, which only the session that made it can see")
    candidates = [home.nspname for home in others if home.may_use and missing <= set(home.names)]
    closed = [home.nspname for home in others if not home.may_use]
    if closed and len(candidates) < 2:
        grants = " ".join(server.grant(f"USAGE ON SCHEMA {_quoted(name)}") for name in closed)
        return Unplanned(reason=f"no right to use schema {', '.join(closed)}", hint=grants)
    if len(candidates) > 1:
        whose = "DATABASE ..." if role.role_name is None else f"ROLE {_quoted(role.role_name)}"
        return Unplanned(
            reason=f"several schemas have tables of these names: {', '.join(candidates)}",
            hint=f"ALTER {whose} SET search_path = ...; says which of them its statements mean.",
        )
    return Unplanned(
        reason=exc.diag.message_primary or "a table of it does not exist",
        hint="It was dropped or renamed since the statement ran, or was temporary.",
    )


def forbidden(
    exc: psycopg.Error, rights: Sequence[Rights], wanted: Sequence[Sequence[str]], server: Server
) -> Unplanned:
    """Of tables that this role has no right to. `wanted`: the rights that the statement takes of each, by number."""
    closed = dict.fromkeys(item.nspname for item in rights if not item.may_use_schema)
    if closed:
        grants = " ".join(server.grant(f"USAGE ON SCHEMA {_quoted(name)}") for name in closed)
        return Unplanned(reason=f"no right to use schema {', '.join(closed)}", hint=grants)
    lacking = {
        (item.nspname, item.relname): missing
        for item in rights
        if (missing := [right for right in wanted[item.number - 1] if not _has(item, right)])
    }
    if not lacking:
        return Unplanned(reason=exc.diag.message_primary or "no right to plan it")
    names = ", ".join(f"{schema}.{name}" for schema, name in lacking)
    verbs = ", ".join(dict.fromkeys(right for missing in lacking.values() for right in missing))
    if len(lacking) > 1 and verbs == "SELECT" and server.has_read_all_data:
        hint = server.grant("pg_read_all_data")
    else:
        hint = " ".join(
            server.grant(f"{', '.join(missing)} ON {text(qualified(*key))}") for key, missing in lacking.items()
        )
    return Unplanned(reason=f"no right to {verbs} on {names}", hint=hint)


def _has(rights: Rights, right: str) -> bool:
    return bool(getattr(rights, f"may_{right.lower()}"))


def _quoted(name: str) -> str:
    from psycopg.sql import Identifier

    return Identifier(name).as_string(None)
