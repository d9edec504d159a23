"""A connection pooler in transaction mode between dbopt and the server: plans are made, nothing is applied."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import index_names, wait_until

from dbopt.embedded.account import unprivileged
from dbopt.errors import ServerUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from tests.optimize.runs import Project

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def pooled(pg: Server, database: Database) -> Iterator[str]:
    """The conninfo of this test's database behind the pooler."""
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
                wait_until((folder / ".s.PGSQL.6432").exists, "the pooler's start")
                yield f"host={folder} port=6432 user=postgres dbname={database.name}"
            finally:
                process.terminate()


def test_nothing_is_applied_through_it(project: Project, database: Database, pooled: str) -> None:
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int); INSERT INTO posts VALUES (1, 1); ANALYZE posts")
    project.wants("name: by_author, table: posts, keys: [author]")
    project.conninfo = pooled
    plan = project.plan()
    assert [step.index for step in plan.steps] == ["by_author"]
    with pytest.raises(ServerUnfit) as caught:
        project.run(plan)
    assert caught.value.message == "a connection pooler stands between dbopt and the server"
    assert "5432" in (caught.value.hint or "")
    assert index_names(database, "posts") == ["posts_pkey"]


def test_other_clients_of_it_are_not_left_our_settings(project: Project, database: Database, pooled: str) -> None:
    """A setting of a session stays with the server's session, which the pooler gives to the next client."""
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int); INSERT INTO posts VALUES (1, 1); ANALYZE posts")
    project.wants("name: by_author, table: posts, keys: [author]")
    project.conninfo = pooled
    names = ("default_transaction_read_only", "statement_timeout", "lock_timeout")

    def settings() -> list[object]:
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as conn:
            return [conn.execute(f"SHOW {name}").fetchone() for name in names]

    before = settings()
    plan = project.plan()
    with pytest.raises(ServerUnfit):
        project.run(plan)
    assert settings() == before
