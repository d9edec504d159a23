"""The server under a build: stopped in haste, stopped in order, gone for good; a standby that replays a drop."""

from __future__ import annotations

import json
import shlex
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import index_names, invalid_indexes
from server import Server

from dbopt import embedded
from tests.health.standby import Node, caught_up, pair
from tests.optimize.held import BY_HELD, ON_OTHER, POSTS, held_pid, holding
from tests.optimize.runs import Project

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Result

    Spawn = Callable[..., subprocess.Popen[str]]
    Cli = Callable[..., Result]

TIMEOUT_SECONDS = 60
NO_STORE = {"DBOPT_STORE_URL": "none"}


@pytest.fixture(scope="module")
def server(server_binaries: embedded.Binaries) -> Iterator[tuple[Node, Server]]:
    with embedded.start(binaries=server_binaries, settings={"synchronous_commit": "on"}) as running:
        program = shlex.split((running.directory / "data/postmaster.opts").read_text())[0]
        node = Node(running.directory, program)
        yield node, Server(running)
        if (node.home / "data" / "postmaster.pid").exists():
            node.stop()


def arguments(project: Project) -> list[str]:
    return ["optimize", str(project.folder), "--yes", "-d", project.conninfo, "--format", "json"]


@pytest.mark.parametrize("signum", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_a_restart_under_a_build(
    server: tuple[Node, Server], tmp_path: Path, spawn_cli: Spawn, run_cli: Cli, signum: int
) -> None:
    node, pg = server
    with pg.database() as database, Project(database, tmp_path / "specs") as project:
        database.sql(POSTS)
        project.wants(BY_HELD, ON_OTHER)
        with holding(database):
            process = spawn_cli(*arguments(project), env=NO_STORE)
            held_pid(database)
            node.stop(signum)
        node.start()
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        assert "Traceback" not in err
        result = json.loads(out.splitlines()[-1])
        assert result["event"] == "result"
        assert {item["index"]: item["status"] for item in result["items"]}["on_other"] == "applied"
        assert process.returncode in (0, 1)  # built again after the restart, or said
        assert invalid_indexes(database) == []
        assert run_cli(*arguments(project), env=NO_STORE).code == 0
        project.assert_settled()


def test_a_standby_replays_a_drop(server_binaries: embedded.Binaries, tmp_path: Path) -> None:
    """Its queries that use the index may be cancelled (40001): the plan says so, and the drop is done."""
    with pair(server_binaries, standby_settings={"max_standby_streaming_delay": "0"}) as (primary, standby):
        database = primary.database
        database.sql(POSTS + "; CREATE INDEX gone ON posts (author)")
        caught_up(primary, standby)
        with Project(database, tmp_path / "specs") as project:
            project.wants("name: gone, table: posts, state: absent")
            plan = project.plan(prune_foreign=True)
            [step] = plan.steps
            assert any("standby" in hazard for hazard in step.hazards), step.hazards
            with standby.database.connect() as reader:
                reader.execute("SELECT count(*) FROM posts")
                project.run(plan).assert_applied()
                caught_up(primary, standby)
                with pytest.raises(psycopg.errors.SerializationFailure):
                    reader.execute("SELECT count(*) FROM posts")
            assert index_names(standby.database, "posts") == ["posts_pkey"]
            project.assert_settled()
