"""Which database something in the store is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.server import Server
    from dbopt.store.plain import Session

_ADD = "INSERT INTO targets (server, dbname) VALUES (:server, :dbname) ON CONFLICT (server, dbname) DO NOTHING"
_FIND = "SELECT id FROM targets WHERE server = :server AND dbname = :dbname"


@dataclass(frozen=True, slots=True)
class Whose:
    """A database as the store knows it."""

    server: str
    dbname: str
    system_identifier: str | None

    @classmethod
    def of_server(cls, server: Server, reached: str) -> Whose:
        """A standby is one of its own: it has its primary's identifier and other counters. Where the server does not
        tell its identifier, the name by which it was reached stands for it.
        """
        identifier = server.system_identifier
        if identifier is None:
            return cls(reached, server.dbname, None)
        return cls(f"{identifier} standby {reached}" if server.in_recovery else identifier, server.dbname, identifier)


def find(session: Session, whose: Whose) -> int | None:
    """Its number, where anything is known about it."""
    found = session.rows(_FIND, {"server": whose.server, "dbname": whose.dbname})
    return int(found[0][0]) if found else None


def find_or_add(session: Session, whose: Whose) -> int:
    session.run(_ADD, [{"server": whose.server, "dbname": whose.dbname}])
    found = find(session, whose)
    assert found is not None  # it was added, or was there
    return found
