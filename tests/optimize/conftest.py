"""Plans and runs on this test's database, in the test's own thread or beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Iterator[Project]:
    """A folder of specs for this test's database."""
    with Project(database, tmp_path / "specs") as made:
        yield made
