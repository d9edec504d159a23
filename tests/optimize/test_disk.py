"""Room on the disks of a server that runs on the same machine; silence where that is not certain."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dbopt import embedded
from dbopt.optimize import disk
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database

    from tests.optimize.runs import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is looked at is in /proc")


def free(conninfo: str, tablespace: str | None = None) -> int | None:
    with connect(conninfo, command="test", read_only=True) as conn:
        return disk.free(conn, inspect(conn), tablespace)


def test_free_space_of_a_tablespace(tiny_disk: str, database: Database) -> None:
    assert free(database.conninfo, tiny_disk) == pytest.approx(2 * 2**20, abs=2**16)
    [(location,)] = database.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'tiny'")
    assert free(database.conninfo, tiny_disk) == shutil.disk_usage(location).free
    assert free(database.conninfo, "none_such") is None


def test_an_index_goes_where_the_session_says(tiny_disk: str, database: Database) -> None:
    whole = free(database.conninfo)
    assert whole is not None
    assert whole > 2**22
    database.sql(f"ALTER DATABASE {database.name} SET default_tablespace = {tiny_disk}")
    assert free(database.conninfo) == free(database.conninfo, tiny_disk)


def test_a_role_that_may_not_know_the_data_directory(database: Database) -> None:
    database.sql("CREATE ROLE disk_blind LOGIN")
    try:
        assert free(make_conninfo(database.conninfo, user="disk_blind")) is None
        database.sql("GRANT pg_read_all_settings TO disk_blind")
        assert free(make_conninfo(database.conninfo, user="disk_blind")) is not None
    finally:
        database.sql("DROP ROLE disk_blind")


@pytest.fixture
def tunnel(database: Database, tmp_path: Path) -> Iterator[str]:
    """The conninfo of a socket that somebody else passes on to the server, as a pooler or ssh does."""
    parts = conninfo_to_dict(database.conninfo)
    port = parts.get("port", "5432")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/.s.PGSQL.{port}")
        listening.listen()

        def serve() -> None:
            client, _ = listening.accept()
            with client, socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(f"{parts['host']}/.s.PGSQL.{port}")
                back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
                back.start()
                pump(client, upstream)
                back.join()

        def pump(source: socket.socket, sink: socket.socket) -> None:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield make_conninfo(database.conninfo, host=str(tmp_path))
        thread.join(timeout=20)


def test_through_somebody_else_nothing_is_known(tunnel: str) -> None:
    assert free(tunnel) is None


def test_over_loopback_the_backend_has_to_name_our_port(server_binaries: embedded.Binaries) -> None:
    address = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"  # nobody else's
    with embedded.start(binaries=server_binaries, settings={"listen_addresses": address}) as running:
        over_tcp = make_conninfo(running.conninfo, host=address)
        assert free(over_tcp) == pytest.approx(free(running.conninfo), rel=0.01)
        with connect(over_tcp, command="test", read_only=True) as conn:
            assert disk._is_child_of_peer(conn, conn.info.backend_pid)
            with connect(over_tcp, command="test", read_only=True) as other:
                assert not disk._is_child_of_peer(conn, other.info.backend_pid)


def test_another_mount_namespace_is_another_machine(tmp_path: Path) -> None:
    assert disk._sees_the_same(os.getpid())
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare")
    script = f"echo >{tmp_path}/ready; exec sleep 60"
    with subprocess.Popen([unshare, "--mount", "sh", "-c", script], stderr=subprocess.DEVNULL) as apart:
        try:
            while apart.poll() is None and not (tmp_path / "ready").exists():
                pass
            if apart.poll() is not None:
                pytest.skip("unshare was refused")
            assert not disk._sees_the_same(apart.pid)
        finally:
            apart.kill()


# In a plan


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql("CREATE TABLE posts (id int, title text)")
    database.sql("INSERT INTO posts SELECT g, md5(g::text) FROM generate_series(1, 30000) AS g; ANALYZE posts")
    return database


TITLE = "name: {}, table: posts, keys: [title], tablespace: tiny"  # 1.7 MB
ID = "name: {}, table: posts, keys: [{}], tablespace: tiny"  # 672 kB


@pytest.mark.usefixtures("tiny_disk")
def test_what_does_not_fit_is_refused(project: Project, posts: Database) -> None:
    posts.sql("INSERT INTO posts SELECT g, md5(g::text) FROM generate_series(30001, 60000) AS g; ANALYZE posts")
    plan = project.wants(TITLE.format("i"), "name: j, table: posts, keys: [title]").plan()
    assert [step.index for step in plan.steps] == ["j"]
    [item] = plan.refused
    assert item.error == "the build of i needs about 3.4MB in tablespace tiny, 2MB are left"
    [finding] = plan.findings
    assert finding.code == "not-enough-disk"
    assert finding.hint is not None
    assert "another tablespace" in finding.hint


@pytest.mark.usefixtures("tiny_disk", "posts")
def test_what_comes_first_uses_it_up(project: Project) -> None:
    plan = project.wants(TITLE.format("i"), f"{ID.format('j', 'id')}, priority: 200").plan()
    assert [step.index for step in plan.steps] == ["i"]
    assert [(item.index, (item.error or "").partition(", ")[0]) for item in plan.refused] == [
        ("j", "the build of j needs about 672kB in tablespace tiny")
    ]


@pytest.mark.usefixtures("tiny_disk")
def test_a_replacement_needs_room_for_both(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX i ON posts (title DESC) TABLESPACE tiny")
    posts.sql("ANALYZE posts")
    for entry in (TITLE.format("i"), TITLE.format("i").replace(", tablespace: tiny", "")):  # it stays where it is
        plan = project.wants(entry).plan()
        assert [finding.code for finding in plan.findings] == ["not-enough-disk"]
    posts.sql("DROP INDEX i")


@pytest.mark.usefixtures("tiny_disk")
def test_what_is_replaced_makes_room_for_the_next(project: Project, posts: Database) -> None:
    for name, keys in (("i", "id DESC"), ("j", "(id + 1)")):
        posts.sql(f"CREATE INDEX {name} ON posts ({keys}) TABLESPACE tiny")
    posts.sql("ANALYZE posts")
    wanted = ID.format("i", "id"), ID.format("j", "{column: id, nulls: first}")
    plan = project.wants(*wanted, ID.format("k", "{column: id, order: desc, nulls: last}")).plan()
    actions = {step.index: step.action.value for step in plan.steps}
    assert actions == {"i": "replace", "j": "replace", "k": "create"}
    posts.sql("DROP INDEX i, j")


@pytest.mark.usefixtures("tiny_disk")
def test_files_of_the_sort_need_room_too(project: Project, posts: Database) -> None:
    """The index itself fits, as rows with equal keys share its entries; the rows that are sorted for it do not."""
    posts.sql("UPDATE posts SET id = 7")
    posts.sql("INSERT INTO posts SELECT 7, '' FROM generate_series(1, 90000)")
    posts.sql("VACUUM FULL posts")
    posts.sql("ANALYZE posts")
    entry = ID.format("i", "id") + ", build: {{maintenance_work_mem: {}}}"
    assert project.wants(entry.format("1MB")).plan().refused == ()
    posts.sql(f"ALTER DATABASE {posts.name} SET temp_tablespaces = tiny")
    [item] = project.plan().refused
    assert (item.error or "").startswith("the build of i needs about 3.")
    assert project.wants(entry.format("64MB")).plan().refused == ()
