"""What builds on a target have taken, out of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.pace import Built


def pace(session: Session, target: Target) -> Pace:
    """The store is opened when something is to be built and its time is asked for, and not made for that."""
    return Pace(_past(session, target))


def _past(session: Session, target: Target) -> Iterator[Built]:
    from dbopt.postgres.connect import describe
    from dbopt.store.aside import Aside
    from dbopt.store.builds import builds

    name = target.name or describe(target.conninfo)
    store = Aside(session.settings.store.value, "how long builds will take is not known")
    if store.is_made:
        yield from store.attempt(lambda kept: builds(kept, name), reading=True) or ()
