"""A store on each of the two databases, and what the main job is told about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server import Database


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def postgresql_url(database: Database) -> str:
    parts = conninfo_to_dict(database.conninfo)
    return sa.URL.create(
        "postgresql+psycopg",
        username=str(parts["user"]),
        database=str(parts["dbname"]),
        query={"host": str(parts["host"]), "port": str(parts["port"])},
    ).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that nobody has made yet."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The texts of the warnings so far. A run with a store that cannot be used gives one."""
    return lambda: [record.getMessage() for record in caplog.records if record.name == "dbopt"]
