"""The revisions of the store's tables: up, down and up again, on both databases."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from dbopt.errors import StoreUnusable
from dbopt.resources import migrations
from dbopt.store import fresh, migrate
from dbopt.store.engine import make_engine
from dbopt.store.head import HEAD
from dbopt.store.location import locate
from dbopt.store.repository import State, find_store, open_store
from dbopt.store.tables import SCHEMA

from .values import events_of, make_plan, read, record, start


@contextlib.contextmanager
def alembic_on(url):
    """Alembic's configuration, at work in one transaction on the store; and the connection."""
    engine = make_engine(locate(url))
    try:
        with engine.begin() as connection:
            config = migrate.config()
            config.attributes["connection"] = connection
            yield config, connection
    finally:
        engine.dispose()


def test_the_head_is_the_newest_migration():
    assert ScriptDirectory.from_config(migrate.config()).get_heads() == [HEAD]


def test_a_new_file_gets_the_tables_that_the_migrations_make():
    """`make generated` writes them anew."""
    assert fresh.statements_file().read_text(encoding="utf-8") == fresh.statements()


def test_down_and_up_again_loses_nothing(url):
    before = read(url, record(url, events_of(make_plan(), error="canceled")))
    with alembic_on(url) as (config, connection):
        command.downgrade(config, "base")
        assert migrate.revision(connection) is None
        assert not sa.inspect(connection).has_table("runs")
    assert read(url, before[0].id) == before  # opening upgrades
    assert record(url, events_of(make_plan())) == before[0].id + 1


def test_the_migrations_make_the_tables_that_the_program_reads(url):
    open_store(url).close()
    with alembic_on(url) as (config, _):
        config.stdout = io.StringIO()  # else that of the test in which alembic was first imported
        command.check(config)


def test_on_postgresql_everything_is_in_a_schema_of_its_own(postgresql_url, database):
    open_store(postgresql_url).close()
    assert database.sql("SELECT DISTINCT schemaname::text FROM pg_stat_user_tables") == [(SCHEMA,)]


def test_a_database_with_migrations_of_its_own_keeps_them(postgresql_url, database):
    database.sql("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('a1b2c3')")
    open_store(postgresql_url).close()
    assert database.sql("SELECT version_num FROM public.alembic_version") == [("a1b2c3",)]


def test_opening_a_store_that_is_up_to_date_does_not_import_alembic(url):
    record(url, events_of(make_plan()))
    script = """
import sys
from store.values import events_of, make_plan, record
assert record(sys.argv[1], events_of(make_plan())) == 2
assert not [name for name in sys.modules if name.split(".")[0] in ("alembic", "mako")]
"""
    process = start(script, url)
    assert (process.communicate(), process.returncode) == ((b"", b""), 0)


def test_a_store_of_a_newer_dbopt_is_left_alone(url):
    record(url, events_of(make_plan()))
    with alembic_on(url) as (_, connection):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnusable, match="made by a newer dbopt") as raised:
        open_store(url)
    assert "9999" in raised.value.detail
    with contextlib.closing(find_store(url)) as store:
        assert (store.status().state, store.status().revision) == (State.NEWER, "9999")


def alembic_command(url, *arguments):
    """`alembic` as people call it in a checkout: the folder of that name there must not hide the library."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=migrations().parent,
        env={**os.environ, "DBOPT_STORE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_alembic_command_in_a_checkout(sqlite_url):
    for arguments in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"], ["check"]):
        done = alembic_command(sqlite_url, *arguments)
        assert done.returncode == 0, done.stderr
    with contextlib.closing(find_store(sqlite_url)) as store:
        assert store.status().state is State.CURRENT


def test_the_alembic_command_without_a_store():
    assert "there is no store to migrate" in alembic_command("none", "upgrade", "head").stderr


def test_the_statements_for_somebody_else_to_run_on_sqlite(sqlite_url, tmp_path):
    done = alembic_command(sqlite_url, "upgrade", "head", "--sql")
    assert not (tmp_path / "store.db").exists()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.executescript(done.stdout)
    assert record(sqlite_url, events_of(make_plan())) == 1


def test_the_statements_for_somebody_else_to_run_on_postgresql(postgresql_url, database):
    database.sql(alembic_command(postgresql_url, "upgrade", "head", "--sql").stdout)
    assert record(postgresql_url, events_of(make_plan())) == 1
