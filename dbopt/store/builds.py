"""What past builds on one target have taken, for how long the next will take: read by the driver alone (plain.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.optimize.pace import Built

if TYPE_CHECKING:
    from dbopt.store.plain import Session

_LATEST = 200  # enough for a pace of each method, and read in some ms
_BUILDS = """
    SELECT s.statements, s.size_bytes, s.table_bytes, COALESCE(s.built_seconds, s.seconds)
      FROM steps AS s JOIN runs AS r ON r.id = s.run_id
     WHERE r.target_name = :target AND s.action IN ('create', 'replace', 'repair')
       AND s.error IS NULL AND s.seconds > 0 AND s.size_bytes > 0
     ORDER BY r.id DESC, s.number DESC LIMIT :latest
"""


def builds(session: Session, target: str) -> list[Built]:
    """The latest that succeeded, by the name that runs called their target. Runs from before revision 0005 of the store
    have no size of the table, and count what a step waited for too: rather too long than too short.
    """
    found = []
    for statements, size_bytes, table_bytes, seconds in session.rows(_BUILDS, {"target": target, "latest": _LATEST}):
        listed = json.loads(statements) if isinstance(statements, str) else statements
        method = next((method for statement in listed if (method := _method(statement)) is not None), None)
        if method is not None:
            found.append(Built(method, int(size_bytes), table_bytes and int(table_bytes), float(seconds)))
    return found


def _method(statement: str) -> str | None:
    if not statement.startswith("CREATE "):
        return None
    try:
        return str(grammar.parse_create_index(statement).access_method)
    except grammar.GrammarError:  # of a dbopt that writes it in another way
        return None
