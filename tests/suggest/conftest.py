"""Two kinds of databases: `database` on the server of all tests, `hypo` on Debian's 15, which has HypoPG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from server import Server

from dbopt import embedded
from dbopt.embedded.binaries import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

DEBIAN = Path("/usr/lib/postgresql/15/bin")
CONTROL = Path("/usr/share/postgresql/15/extension/hypopg.control")


@pytest.fixture(scope="session")
def hypo_server(server_binaries: embedded.Binaries) -> Iterator[Server]:
    """A server whose databases can have HypoPG; the session's own binaries where they are those."""
    if not CONTROL.exists():
        pytest.skip("HypoPG is not installed: apt-get install postgresql-15-hypopg")
    with embedded.start(binaries=inspect(DEBIAN, "Debian's 15")) as running:
        yield Server(running)


@pytest.fixture
def hypo(hypo_server: Server) -> Iterator[Database]:
    """An empty database of this test's own, with HypoPG."""
    with hypo_server.database() as fresh:
        fresh.sql("CREATE EXTENSION hypopg")
        yield fresh
