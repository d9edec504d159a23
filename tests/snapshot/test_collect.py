"""What a reading says of a real server, where the next reading could mistake it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt import embedded
from dbopt.embedded.account import unprivileged
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import Collected, collect
from dbopt.snapshot.delta import OTHER_DATABASE, OTHER_SOURCE, between
from dbopt.snapshot.model import Family
from tests.health.standby import Node
from tests.health.waiting import role

if TYPE_CHECKING:
    from server import Database, Server

    from dbopt.embedded import Binaries
    from dbopt.postgres.connect import Connection

STATEMENTS = "CREATE EXTENSION pg_stat_statements"


def taken(conn: Connection) -> Collected:
    server = inspect(conn)
    return collect(conn, server, SURROUNDINGS.rows(conn, server.version)[0])


def read(database: Database) -> Collected:
    with connect(database.conninfo, command="snapshot", read_only=True) as conn:
        return taken(conn)


def test_a_role_that_loses_its_right_in_the_middle(database: Database) -> None:
    """What it cannot see any more has not been dropped."""
    database.sql(STATEMENTS)
    with (
        role(database, "pg_read_all_stats") as name,
        connect(f"{database.conninfo} user={name}", command="metrics", read_only=True) as conn,
    ):
        server = inspect(conn)
        around = SURROUNDINGS.rows(conn, server.version)[0]
        assert collect(conn, server, around).snapshot.parts[Family.STATEMENTS].subjects
        database.sql(f"REVOKE pg_read_all_stats FROM {name}")
        found = collect(conn, server, around).snapshot
    assert Family.STATEMENTS not in found.parts
    reason, hint = found.missing[Family.STATEMENTS]
    assert reason == "others' statements are hidden from this role"
    assert (hint or "").startswith("GRANT pg_read_all_stats")


def test_an_extension_that_was_not_updated_says_a_statement_twice(database: Database) -> None:
    """Once as clients sent it, once as functions ran it: 1.8 does not tell which is which, and has both."""
    database.sql(f"{STATEMENTS} VERSION '1.8'; CREATE TABLE posts (id int)")
    database.sql("CREATE FUNCTION number() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) AS found FROM posts'")
    database.sql("SET pg_stat_statements.track = 'all'; SELECT number(); SELECT count(*) AS found FROM posts")
    [(queryid,)] = database.sql(
        "SELECT DISTINCT queryid::text FROM pg_stat_statements WHERE query LIKE 'SELECT count(*) AS found%'"
    )
    part = read(database).snapshot.parts[Family.STATEMENTS]
    [subject] = [item for item in part.subjects.values() if item.name == queryid]
    assert subject.counts[part.counts.index("calls")] == 2


@pytest.mark.pg(">= 14")
def test_an_extension_that_is_updated_in_between_tells_other_things(database: Database) -> None:
    database.sql(f"{STATEMENTS} VERSION '1.8'; CREATE TABLE posts (id int)")
    before = read(database).snapshot.parts[Family.STATEMENTS]
    database.sql("ALTER EXTENSION pg_stat_statements UPDATE")
    interval = between(before, read(database).snapshot.parts[Family.STATEMENTS])
    assert (interval.changes, interval.seconds, interval.breaks) == ({}, 0.0, (OTHER_SOURCE,))


def test_a_database_that_was_dropped_and_created_again(pg: Server) -> None:
    """From a template, its tables have the same oids and the same birth as those of the one before."""
    with pg.database() as template:
        template.sql("CREATE TABLE posts (id int); INSERT INTO posts SELECT generate_series(1, 100)")
        with pg.database(template.name) as first:
            first.sql("SELECT count(*) FROM posts")
            before = read(first).snapshot
            name = first.name
            template_of = f"DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name} TEMPLATE {template.name}"
            for statement in template_of.split("; "):
                pg_sql(pg, statement)
            for _ in range(5):
                first.sql("SELECT count(*) FROM posts")
            after = read(first).snapshot
    assert before.parts[Family.TABLES].subjects.keys() == after.parts[Family.TABLES].subjects.keys()
    for family in (Family.SERVER, Family.TABLES, Family.RELATIONS):
        interval = between(before.parts[family], after.parts[family])
        assert (interval.seconds, interval.breaks) == (0.0, (OTHER_DATABASE,))


def pg_sql(pg: Server, statement: str) -> None:
    with connect(pg.conninfo, command="test", read_only=False) as conn:
        conn.execute(statement)  # type: ignore[call-overload]  # tests paste SQL together


@pytest.mark.pg(">= 18")
def test_a_table_that_has_the_oid_of_a_dropped_one(server_binaries: Binaries) -> None:
    """As after 4 billion others: pg_resetwal sets the next oid. The new one has done more than the old one ever had."""
    resetwal = server_binaries.bindir / "pg_resetwal"
    if not resetwal.exists():  # not all who pack servers put it in
        pytest.skip(f"no pg_resetwal in {server_binaries.bindir}")
    with embedded.start(binaries=server_binaries, settings={"autovacuum": "off"}) as running:
        node = Node(running.directory, shlex.split((running.directory / "data/postmaster.opts").read_text())[0])
        database = node.database
        database.sql("CREATE TABLE posts (id int); INSERT INTO posts SELECT generate_series(1, 100)")
        [(oid,)] = database.sql("SELECT 'posts'::regclass::oid::int8")
        before = read(database).snapshot.parts[Family.TABLES]
        database.sql("DROP TABLE posts")
        database.sql("VACUUM pg_catalog.pg_class")  # a dead row would keep its oid from being used, as would its file
        database.sql("CHECKPOINT")
        database.sql("CHECKPOINT")
        node.stop()
        account = unprivileged()
        command = [str(resetwal), "-f", "-o", str(oid), str(node.home / "data")]
        subprocess.run(command, check=True, capture_output=True, **(account.switch() if account else {}))
        node.start()
        database.sql("CREATE TABLE comments (id int); INSERT INTO comments SELECT generate_series(1, 500)")
        assert database.sql("SELECT 'comments'::regclass::oid::int8") == [(oid,)]
        inserted = "SELECT n_tup_ins FROM pg_stat_user_tables"
        wait_until(lambda: database.sql(inserted) == [(500,)], "counting")
        after = read(database).snapshot.parts[Family.TABLES]
    assert before.lineage == after.lineage
    [change] = between(before, after).changes.values()
    assert (change.key, change.name) == (str(oid), "comments")
    assert change.counts[after.counts.index("n_tup_ins")] == 500
