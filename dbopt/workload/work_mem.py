"""How much memory a sort or a hash takes, and how to give it that much. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

_MB = 1024 * 1024
# Our own: more than that for one sort is for a server's whole memory to decide.
SETTING_MAX_BYTES = 1024 * _MB
_TOO_MUCH = (
    "It would take some {} of work_mem, too much to keep for one node of one statement: let it read or return fewer"
    " rows, or do it in parts."
)
_NOT_FOR_ALL = "Not for the whole server: each sort and hash of each session may take that much."
_NAMELESS = re.compile(r"role [0-9]+")  # a user whose name is not known


def setting_bytes(need_bytes: float) -> int:
    """Rounded up to what people type: 1MB, 2MB, 4MB..."""
    size = _MB
    while size < need_bytes:
        size *= 2
    return size


def hint(need_bytes: float, users: Sequence[str], *, now_bytes: int) -> str:
    """What to type for the statement, or its role, alone; in any case more than it has now."""
    size = setting_bytes(max(need_bytes, 2.0 * now_bytes))
    if size > SETTING_MAX_BYTES:
        return _TOO_MUCH.format(format_bytes(size))
    amount = format_bytes(size)
    role = _role(users, amount)
    or_role = "" if role is None else f", or {role}"
    return f"SET LOCAL work_mem = '{amount}'; in this statement's transaction{or_role}, gives it enough. {_NOT_FOR_ALL}"


def hint_of_more(more_bytes: float, users: Sequence[str]) -> str:
    """The same where nobody knows how much it has now."""
    size = setting_bytes(more_bytes)
    if size > SETTING_MAX_BYTES:
        return _TOO_MUCH.format(format_bytes(size))
    role = _role(users, "...")
    or_role = "" if role is None else f", or {role}"
    return (
        f"SET LOCAL work_mem = '...'; in this statement's transaction{or_role}, about {format_bytes(size)} more than"
        f" SHOW work_mem; says. {_NOT_FOR_ALL}"
    )


def _role(users: Sequence[str], amount: str) -> str | None:
    if len(users) != 1 or _NAMELESS.fullmatch(users[0]):
        return None
    from psycopg.sql import Identifier

    return f"ALTER ROLE {Identifier(users[0]).as_string(None)} SET work_mem = '{amount}';"
