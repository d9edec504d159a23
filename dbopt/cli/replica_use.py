"""What the configured replicas of a target have scanned, for the guards of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import ConnectionFailed
from dbopt.optimize import guard

if TYPE_CHECKING:
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.guard import ReplicaUse
    from dbopt.spec.model import SpecSet


def read(session: Session, target: Target, specs: SpecSet) -> tuple[ReplicaUse, ...]:
    """One session on each replica, where the specs have a guard that asks. One that cannot be asked has a `problem`."""
    if not guard.is_asked(specs):
        return ()
    return tuple(ask(session, replica) for replica in session.replicas(target))


def ask(session: Session, replica: Target) -> ReplicaUse:
    """What one of them has scanned. One that cannot be asked has a `problem`."""
    name = replica.name or "without a name"
    try:
        with session.reading(replica) as (conn, server):
            return guard.use(conn, server, name)
    except ConnectionFailed as exc:
        return guard.ReplicaUse(name=name, problem=exc.message)
    except psycopg.Error as exc:
        return guard.ReplicaUse(name=name, problem=str(exc).partition("\n")[0])
