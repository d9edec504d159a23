"""Plans and runs on this test's database, in the test's own thread or beside it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run drops is written into the folder that it is run in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Iterator[Project]:
    """A folder of specs for this test's database."""
    with Project(database, tmp_path / "specs") as made:
        yield made


@pytest.fixture
def tiny_disk(pg: Server) -> Iterator[str]:
    """A tablespace of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small file system")
    owner = (pg.embedded.directory / "data").stat()
    with tempfile.TemporaryDirectory(prefix="dbopt-disk-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "disk").mkdir()
        options = f"size=2m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder / "disk")], capture_output=True, text=True
        )
        if mounted.returncode != 0:
            pytest.skip(f"mount was refused: {mounted.stderr.strip()}")
        try:
            with psycopg.connect(pg.conninfo, autocommit=True) as conn:
                conn.execute(f"CREATE TABLESPACE tiny LOCATION '{folder}/disk'")
                try:
                    yield "tiny"
                finally:
                    conn.execute("DROP TABLESPACE tiny")
        finally:
            subprocess.run(["umount", str(folder / "disk")], check=True)
