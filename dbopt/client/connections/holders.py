"""Who holds a connection, in words: for the error of those who get none, and for whoever wants to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from dbopt.client.meter import statements
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 10
_STATEMENT_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """`who`: thread or task by its name. `place`: where in the application it asked for it, None: not known.
    `statement`: the last one, without its values, None: none yet. `backend_pid`: as in pg_stat_activity, None: it is
    being connected, or lost.
    """

    who: str
    place: str | None
    seconds: float
    statement: str | None
    backend_pid: int | None


def shown(query: Any) -> str | None:
    """What a cursor was given, without values."""
    if query is None:
        return None
    try:
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
    except psycopg.Error:  # it needs a connection to be written
        return None
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    text = statements.shown(text)
    return text if len(text) <= _STATEMENT_CHARACTERS else f"{text[:_STATEMENT_CHARACTERS]}..."


def described(holders: Sequence[Holder], *, size: int, waiting: int) -> str:
    """A line for each, those who hold one for longest first."""
    others = f", {waiting} more wait" if waiting else ""
    lines = [f"{len(holders)} of {size} connections are in use{others}"]
    for holder in holders[:SHOWN]:
        at = f" at {holder.place}" if holder.place else ""
        does = f": {holder.statement}" if holder.statement else ""
        lines.append(f"for {format_duration(holder.seconds)} {holder.who}{at}{does}")
    if len(holders) > SHOWN:
        lines.append(f"and {len(holders) - SHOWN} more")
    return "\n".join(lines)
