"""What `dbopt suggest` keeps for its review: what was promised of each index that a spec was written with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbopt.postgres.connect import describe
from dbopt.store import suggestions, targets
from dbopt.store.aside import Aside
from dbopt.store.targets import Whose
from dbopt.suggest.remembering import promises

if TYPE_CHECKING:
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.postgres.server import Server
    from dbopt.store.plain import Session as Kept
    from dbopt.suggest.model import Report

_UNKEPT = "dbopt suggest --review will know nothing of these suggestions"


def remember(session: Session, target: Target, server: Server, report: Report) -> None:
    """After the spec was written. Never raises because of the store: that is one warning; `none` keeps nothing."""
    promised = promises(report)
    if not promised:
        return
    name = target.name or describe(target.conninfo)

    def work(kept: Kept) -> None:
        target_id = targets.find_or_add(kept, Whose.of_server(server, name))
        suggestions.keep(kept, target_id, promised, target_name=name, promised_at=datetime.now(UTC))

    Aside(session.settings.store.value, _UNKEPT).attempt(work, reading=False)
