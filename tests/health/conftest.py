"""A server with few slots and prepared transactions, for what the tests' shared one cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from server import Server

from dbopt import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

SLOTS = 10  # of everybody; 3 more are the superusers'
_SETTINGS = {
    "max_connections": str(SLOTS + 3),
    "superuser_reserved_connections": "3",
    "max_prepared_transactions": "5",
    "max_wal_senders": "2",
    "wal_level": "logical",
    "max_replication_slots": "4",
    "shared_buffers": "16MB",
    "autovacuum": "off",
}


@pytest.fixture(scope="session")
def small_server(server_binaries: embedded.Binaries) -> Iterator[Server]:
    with embedded.start(binaries=server_binaries, settings=_SETTINGS) as running:
        yield Server(running)


@pytest.fixture
def small(small_server: Server) -> Iterator[Database]:
    """An empty database on it. Nobody else is connected."""
    with small_server.database() as fresh:
        yield fresh


@pytest.fixture
def bare(database: Database) -> Iterator[str]:
    """A role that may connect, and no more."""
    name = f"bare_{database.name}"
    database.sql(f"CREATE ROLE {name} LOGIN")
    yield name
    database.sql(f"DROP OWNED BY {name}; DROP ROLE {name}")
