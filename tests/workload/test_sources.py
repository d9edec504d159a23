"""Where the numbers come from on servers as they are: old extensions, odd schemas, roles without rights."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import args_row
from server import Database

from dbopt import embedded
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.postgres.statement_access import HiddenStatements, StatementAccess
from dbopt.postgres.statement_counters import (
    ROLE_NAMES,
    STATEMENT_COUNTERS,
    STATEMENT_COUNTERS_OF_SERVER,
    STATEMENT_TEXTS,
)
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import collect
from dbopt.snapshot.delta import between
from dbopt.snapshot.model import Family
from dbopt.workload.access import Bar, Barred, barred, hidden, lacks, look, untold
from tests.health.standby import Node
from tests.health.waiting import role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server as TestServer

    from dbopt.embedded import Binaries
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.query import Query
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Part

LIBRARY = "pg_stat_statements"
ODD = '"Odd ""one"'
ODD_FUNCTION = f"{ODD}.pg_stat_statements(boolean)"


@pytest.fixture(autouse=True)
def library(server_binaries: Binaries) -> None:
    if not server_binaries.has_library(LIBRARY):
        pytest.skip(f"no {LIBRARY} on this server")


@contextlib.contextmanager
def session(database: Database, user: str | None = None) -> Iterator[tuple[Connection, Server, Surroundings]]:
    conninfo = make_conninfo(database.conninfo, user=user) if user else database.conninfo
    with connect(conninfo, command="slow-queries", read_only=True) as conn:
        server = inspect(conn)
        yield conn, server, SURROUNDINGS.rows(conn, server.version)[0]


def asked(database: Database, user: str | None = None) -> Barred | None:
    with session(database, user) as (conn, server, surroundings):
        return look(conn, server, surroundings)


def follow(database: Database, found: Barred | None) -> None:
    assert found is not None
    for step in found.steps:
        database.sql(step)


def statements(database: Database) -> Part:
    with session(database) as (conn, server, surroundings):
        return collect(conn, server, surroundings, (Family.STATEMENTS,)).snapshot.parts[Family.STATEMENTS]


def amounts(part: Part, queryid: int) -> dict[str, float | None]:
    [subject] = [item for item in part.subjects.values() if item.name == str(queryid)]
    return dict(zip(part.counts, subject.counts, strict=True))


def id_of(database: Database, text: str) -> int:
    [(queryid,)] = database.sql(
        f"SELECT DISTINCT s.queryid FROM {ODD}.pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        f" WHERE d.datname = current_database() AND s.query LIKE '{text}%'"
    )
    return int(queryid)


def offers(database: Database, version: str) -> bool:
    text = "SELECT 1 FROM pg_available_extension_versions WHERE name = %s AND version = %s"
    return bool(database.sql(text, [LIBRARY, version]))


@pytest.mark.parametrize("version", ["1.4", "1.6", "1.7"])
def test_an_extension_from_before_13_counts_all_but_planning_and_wal(database: Database, version: str) -> None:
    assert offers(database, version)
    database.sql(f"CREATE SCHEMA {ODD}; CREATE EXTENSION {LIBRARY} SCHEMA {ODD} VERSION '{version}'")
    database.sql("CREATE TABLE posts AS SELECT g AS id FROM generate_series(1, 1000) AS g")
    for _ in range(3):
        database.sql("SELECT id AS found FROM posts WHERE id <= 40")
    assert asked(database) is None
    queryid = id_of(database, "SELECT id AS found")
    part = statements(database)
    known = amounts(part, queryid)
    assert (known["calls"], known["rows"]) == (3, 120)
    assert (known["total_exec_time_ms"] or 0) > 0
    assert (known["shared_blks_hit"] or 0) > 0
    assert not {"plans", "total_plan_time_ms", "wal_bytes"} & set(part.counts)
    with session(database) as (_, server, surroundings):
        [(reason, step)] = lacks(server, surroundings)
        assert f"{version} counts neither planning nor WAL" in reason
    # Updated, the same entries go on, and what was not counted is not taken for 0 before.
    database.sql(f"ALTER EXTENSION {LIBRARY} UPDATE TO '1.8'")
    database.sql("SELECT id AS found FROM posts WHERE id <= 40")
    later = statements(database)
    interval = between(part, later)
    [key] = [change.key for change in interval.changes.values() if change.name == str(queryid)]
    assert interval.breaks == ()
    assert interval.count(key, "calls") == 1
    assert interval.count(key, "rows") == 40
    assert interval.count(key, "wal_bytes") is None
    assert interval.uncounted["wal_bytes"] == interval.seconds
    database.sql(step or "")
    with session(database) as (_, server, surroundings):
        assert lacks(server, surroundings) == ()


def test_out_of_reach_in_each_way_with_the_step_that_helps(database: Database) -> None:
    with role(database) as name:
        found = asked(database, name)
        assert found is not None
        assert found.bars == (Bar.NOT_CREATED,)
        assert found.steps == (f"CREATE EXTENSION {LIBRARY}; -- in database {database.name}, as a superuser",)
        database.sql(f"CREATE SCHEMA {ODD}; CREATE EXTENSION {LIBRARY} SCHEMA {ODD}")
        database.sql(f"REVOKE EXECUTE ON FUNCTION {ODD_FUNCTION} FROM PUBLIC")
        found = asked(database, name)
        assert found is not None
        assert found.bars == (Bar.NO_USAGE, Bar.NO_EXECUTE)
        assert not found.stands_still
        assert ODD in (found.detail or "")
        follow(database, found)
        assert asked(database, name) is None
        database.sql(f"REVOKE ALL ON SCHEMA {ODD} FROM {name}; REVOKE ALL ON FUNCTION {ODD_FUNCTION} FROM {name}")
    # As a server has it that was upgraded from 9.4 on; none of today can make one.
    database.sql(f"UPDATE pg_extension SET extversion = '1.2' WHERE extname = '{LIBRARY}'")
    found = asked(database)
    assert found is not None
    assert (found.bars, found.steps) == (
        (Bar.TOO_OLD,),
        (f"ALTER EXTENSION {LIBRARY} UPDATE; -- in database {database.name}",),
    )


def test_a_role_without_rights_sees_its_own_statements(database: Database) -> None:
    database.sql(f"CREATE EXTENSION {LIBRARY}; CREATE TABLE posts (id int)")
    with role(database) as name:
        database.sql(f"GRANT SELECT ON posts TO {name}")
        mine = Database(make_conninfo(database.conninfo, user=name), database.name)
        for _ in range(5):
            database.sql("SELECT count(*) AS theirs FROM posts")
        mine.sql("SELECT count(*) AS mine FROM posts")
        with session(database, name) as (conn, server, surroundings):
            assert look(conn, server, surroundings) is None
            concealed = hidden(conn, surroundings)
            assert concealed is not None
            assert concealed.entries >= 2
            assert concealed.calls >= 6
            assert 0 < (concealed.share or 0) < 1
            [(reason, step)] = lacks(server, surroundings, concealed)
            assert reason.startswith(f"{concealed.entries} statements of others, ")
            assert reason.endswith(f" % of the time, are hidden from {name}")
            seen = rows_of(STATEMENT_COUNTERS, conn, surroundings)
            assert {row.userid for row in seen} == {oid_of(database, name)}
            assert len(seen) >= 1
            # A partial reading is for the eyes only: the store would take the others for dropped.
            taken = collect(conn, server, surroundings, (Family.STATEMENTS,)).snapshot
            assert Family.STATEMENTS not in taken.parts
        database.sql(step or "")
        with session(database, name) as (conn, server, surroundings):
            assert hidden(conn, surroundings) is None
        database.sql(f"DROP OWNED BY {name}")


def oid_of(database: Database, name: str) -> int:
    [(oid,)] = database.sql("SELECT oid::int8 FROM pg_roles WHERE rolname = %s", [name])
    return int(oid)


def test_names_of_roles(database: Database) -> None:
    with role(database) as name, session(database) as (conn, server, _):
        oid = oid_of(database, name)
        [row] = ROLE_NAMES.rows(conn, server.version, {"oids": [oid, 4_000_000_000]})
        assert (row.oid, row.rolname) == (oid, name)


def rows_of(query: Query[Any], conn: Connection, surroundings: Surroundings, **parameters: object) -> list[Any]:
    schema, version = surroundings.extension(LIBRARY)
    with conn.cursor(row_factory=args_row(query.row)) as cursor:
        cursor.execute(query.composed(version, schema), parameters or None)
        return cursor.fetchall()


def test_statements_of_other_databases(database: Database, pg: TestServer) -> None:
    database.sql(f"CREATE EXTENSION {LIBRARY}")
    with pg.database() as other:
        other.sql("CREATE TABLE only_there (id int)")
        other.sql("SELECT id FROM only_there")
        [(dbid,)] = other.sql("SELECT oid::int8 FROM pg_database WHERE datname = current_database()")
        with session(database) as (conn, _, surroundings):
            everywhere = rows_of(STATEMENT_COUNTERS_OF_SERVER, conn, surroundings, datnames=None)
            named = rows_of(STATEMENT_COUNTERS_OF_SERVER, conn, surroundings, datnames=[other.name, "not there"])
            ids = [row.queryid for row in named]
            texts = rows_of(STATEMENT_TEXTS, conn, surroundings, queryids=ids, dbid=dbid, bytes_max=10_000)
        assert {other.name, database.name} <= {row.datname for row in everywhere}
        assert {(row.dbid, row.datname) for row in named} == {(dbid, other.name)}
        assert "SELECT id FROM only_there" in {row.query for row in texts}
    with session(database) as (conn, _, surroundings):  # dropped, and its statements stay
        gone = rows_of(STATEMENT_COUNTERS_OF_SERVER, conn, surroundings, datnames=None)
        assert {row.datname for row in gone if row.dbid == dbid} == {None}


def test_a_text_that_the_server_cannot_convert(database: Database, pg: TestServer) -> None:
    """Of a database without an encoding: it keeps the server from telling any text at all."""
    database.sql(f"CREATE EXTENSION {LIBRARY}")
    name = f"{database.name}_bytes"
    database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with psycopg.connect(pg.conninfo, dbname=name, autocommit=True) as other:
            other.execute(b'SELECT 1 AS "caf\xe9"')
        with session(database) as (conn, server, surroundings):
            with pytest.raises((errors.CharacterNotInRepertoire, errors.UntranslatableCharacter)):
                rows_of(STATEMENT_TEXTS, conn, surroundings, queryids=[1], dbid=None, bytes_max=1)
            reason, step = untold(conn, server, surroundings)
            assert f"{name} (SQL_ASCII)" in reason
            database.sql(step or "")
            assert rows_of(STATEMENT_TEXTS, conn, surroundings, queryids=[1], dbid=None, bytes_max=1) == []
    finally:
        # Left behind, it would do the same to every test after this one.
        database.sql(f"SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = '{name}'), 0)")
        database.sql(f"DROP DATABASE {name}")


def test_counting_that_was_switched_off(database: Database) -> None:
    database.sql(f"CREATE EXTENSION {LIBRARY}")
    settings = ["pg_stat_statements.track"] + (["compute_query_id"] if database.server_version >= (14,) else [])
    for setting in settings:
        off = "none" if setting.endswith("track") else "off"
        database.sql(f"ALTER DATABASE {database.name} SET {setting} = '{off}'")
        found = asked(database)
        assert found is not None
        assert found.message == f"{LIBRARY} counts nothing: {setting} is {off}"
        assert found.stands_still
        follow(database, found)
        assert asked(database) is None
    with role(database) as name:  # so that a monitor does not see itself: this says nothing of the others
        database.sql(f"ALTER ROLE {name} SET pg_stat_statements.track = 'none'")
        assert asked(database, name) is None


def test_from_no_library_to_counters_step_by_step(server_binaries: Binaries) -> None:
    """The steps are done as they are said, the library that was there stays, and nothing is in the way any more."""
    assert server_binaries.has_library("auto_explain")
    settings = {"shared_preload_libraries": "auto_explain", "autovacuum": "off", "pg_stat_statements.max": "9000"}
    with embedded.start(binaries=server_binaries, settings=settings) as running:
        node = Node(running.directory, shlex.split((running.directory / "data/postmaster.opts").read_text())[0])
        database = node.database
        found = asked(database)
        assert found is not None
        assert found.bars == (Bar.NOT_LOADED, Bar.NOT_CREATED)
        assert found.detail == "shared_preload_libraries is 'auto_explain'."
        load, restart, create = found.steps
        assert load == "ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', 'pg_stat_statements';"
        assert restart.startswith("-- then restart PostgreSQL")
        with role(database) as name:  # who may not see what is loaded
            other = asked(database, name)
            assert other is not None
            assert other.detail is None
            [(made,)] = database.sql(other.steps[0].partition("/*")[0])
            assert made == load.rstrip(";").replace("'", "")
        database.sql(load)
        waiting = asked(database)
        assert waiting is not None
        assert waiting.bars == (Bar.AWAITS_RESTART, Bar.NOT_CREATED)
        assert waiting.steps == (restart, create)
        node.stop()
        node.start()
        database.sql(create)
        assert asked(database) is None
        assert database.sql("SHOW shared_preload_libraries") == [("auto_explain, pg_stat_statements",)]


def verdict(
    surroundings: Surroundings, server: Server, configured: str | None = None, **access: object
) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    values: dict[str, Any] = {
        "libraries": "",
        "libraries_source": "default",
        "awaits_restart": False,
        "alters_system": True,
        "is_offered": True,
        "track": None,
        "track_source": None,
        "computes_ids": True,
        "ids_source": None,
        "denied": [],
        **access,
    }
    found = barred(server, surroundings, StatementAccess(**values), configured)
    assert found is not None
    return found.bars, found.steps


def test_what_has_to_be_done_where_somebody_else_rules(database: Database) -> None:
    """What is not on this machine: each case as the server would say it."""
    with session(database) as (_, server, surroundings):
        here = replace(
            surroundings,
            statements_loaded=False,
            statements_schema="public",
            statements_extversion="1.8",
            reads_statements=True,
        )

    bars, steps = verdict(here, server, is_offered=False)
    assert bars == (Bar.NOT_INSTALLED,)
    assert "postgresql-contrib" in steps[0]
    assert steps[1] == "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';"

    _, steps = verdict(here, server, libraries_source="command line", libraries="a")
    assert steps[0].endswith("on the server's command line")

    _, steps = verdict(here, server, alters_system=False)
    assert steps[0].endswith("where this server's configuration is managed")

    _, steps = verdict(here, server, libraries='a, "$libdir/b,c"', configured='a, "$libdir/b,c",d')
    assert steps[0] == ("ALTER SYSTEM SET shared_preload_libraries = 'a', '$libdir/b,c', 'd', 'pg_stat_statements';")

    bars, _ = verdict(here, server, configured="$libdir/pg_stat_statements.so")
    assert bars == (Bar.AWAITS_RESTART,)

    plain = replace(here, is_superuser=False)
    _, steps = verdict(plain, server, libraries="auto_explain")
    assert steps[0].endswith("; -- as a superuser; on a managed service, in its group of parameters")

    standby = replace(server, in_recovery=True)
    there = replace(here, statements_loaded=True, statements_schema=None)
    bars, steps = verdict(there, standby, libraries="pg_stat_statements")
    assert steps == (f"CREATE EXTENSION {LIBRARY}; -- in database {server.dbname}, on the primary",)

    loaded = replace(here, statements_loaded=True)
    off = {"libraries": LIBRARY, "track": "none"}
    assert verdict(loaded, server, **off, track_source="configuration file")[1] == (
        "ALTER SYSTEM SET pg_stat_statements.track = 'top';",
        "SELECT pg_catalog.pg_reload_conf();",
    )
    assert verdict(loaded, server, **off, track_source="global")[1] == (
        "ALTER ROLE ALL RESET pg_stat_statements.track;",
    )
    assert verdict(loaded, server, **off, track_source="command line")[1][0].startswith("-- set ")


@pytest.mark.parametrize(
    ("entries", "hidden_ms", "whole_ms", "words"),
    [
        (3214, 870, 1000, "3,214 statements of others, 87 % of the time, are hidden from postgres"),
        (1, 0.001, 1000, "1 statement of others, 1 % of the time, is hidden from postgres"),
        (2, 999.9, 1000, "2 statements of others, 99 % of the time, are hidden from postgres"),
        (2, 0, 0, "2 statements of others are hidden from postgres"),
    ],
)
def test_how_much_is_hidden(database: Database, entries: int, hidden_ms: float, whole_ms: float, words: str) -> None:
    with session(database) as (_, server, surroundings):
        here = replace(surroundings, statements_schema="public", statements_extversion="1.11")
        concealed = HiddenStatements(entries, 5, hidden_ms, whole_ms)
        assert lacks(server, here, concealed) == ((words, 'GRANT pg_read_all_stats TO "postgres";'),)
