"""PgBouncer in transaction mode before the tests' server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.embedded.account import unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def pooled(pg: Server, database: Database) -> Iterator[str]:
    """The conninfo of this database behind the pooler; without one the test is skipped."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    account = unprivileged()
    with tempfile.TemporaryDirectory(prefix="dbopt-pool-") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n{database.name} = host={pg.embedded.directory}/socket port=5432 user=postgres\n"
            f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_addr =\nlisten_port = 6432\npool_mode = transaction\n"
            "auth_type = any\nignore_startup_parameters = extra_float_digits,options\nserver_reset_query =\n"
        )
        if account is not None:
            account.owns(folder, config)
        with subprocess.Popen(
            [PGBOUNCER, "-q", str(config)],
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **(account.switch() if account else {}),  # it refuses to run as root
        ) as process:
            try:
                wait_until(lambda: _listens(folder / ".s.PGSQL.6432"), "the pooler's start")
                yield f"host={folder} port=6432 user=postgres dbname={database.name}"
            finally:
                process.terminate()


def _listens(path: Path) -> bool:
    """The file is there somewhat before anybody is let in."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
