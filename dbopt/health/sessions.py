"""Words about sessions that several checks share, and what is said where they are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Gap
from dbopt.postgres.literals import shown

if TYPE_CHECKING:
    from dbopt.health.scene import Scene
    from dbopt.postgres.sessions import Session

_STATEMENT_MAX = 120  # characters of a statement in a line of facts; trees have more of it


def hidden(scene: Scene) -> Gap:
    """A session of which this role sees that it is there, and by its locks whether it is in a transaction."""
    return Gap("state and statement of other roles' sessions are hidden", scene.server.grant("pg_monitor"), blind=True)


UNTRACKED = Gap(
    "track_activities is off in sessions that are in a transaction",
    "ALTER SYSTEM SET track_activities = on; SELECT pg_catalog.pg_reload_conf();",
    blind=True,
)


def who(session: Session) -> str:
    """`app@orders (worker) from 10.0.0.7`."""
    words = f"{session.usename or session.backend_type or 'unknown'}{f'@{session.datname}' if session.datname else ''}"
    if session.application_name:
        words += f" ({session.application_name})"
    return words + (f" from {session.client}" if session.client else "")


def statement(session: Session, *, literals: bool) -> str | None:
    """What it runs, or ran last. None: hidden, or nothing yet."""
    return shown(session.query, literals=literals) or None if session.query else None


def clipped(text: str) -> str:
    return text if len(text) <= _STATEMENT_MAX else text[: _STATEMENT_MAX - 3].rstrip() + "..."


def holdings(session: Session) -> str | None:
    """Its locks on relations, those that others wait for first; None where it has none that can be named."""
    if not session.holds:
        return None
    more = session.holds_count - len(session.holds)
    return f"holds {', '.join(session.holds)}{f' and {more} more locks' if more > 0 else ''}"
