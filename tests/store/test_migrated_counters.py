"""Revision 0003: what was kept of counters is there again after a step back and forward, on both databases."""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
from alembic import command

from dbopt.snapshot.model import Family
from dbopt.store import marks, migrate, snapshots
from dbopt.store.engine import make_engine
from dbopt.store.export import records
from dbopt.store.marks import Kind

from .readings import HOUR, START, counted, keep, located, opened, part


@contextlib.contextmanager
def alembic_on(url):
    engine = make_engine(located(url))
    try:
        with engine.begin() as connection:
            config = migrate.config()
            config.attributes["connection"] = connection
            yield config, connection
    finally:
        engine.dispose()


def everything(url):
    with opened(url, reading=True) as session:
        return list(records(session, START - HOUR, START))


def test_down_and_up_again_loses_nothing(url):
    target_id = keep(url, part(START, 1), part(START + HOUR, 5), part(START, 0, Family.STATEMENTS, q7=1))
    with opened(url) as session:
        snapshots.keep_texts(session, target_id, {7: "SELECT $1"})
        marks.add(
            session,
            target_id,
            "main",
            START,
            kind=Kind.BASELINE,
            scope="",
            os_user="anna",
            role="deployer",
            parts=[part(START, 1)],
        )
    before = everything(url)
    for revision in ("0002", "base"):
        with alembic_on(url) as (config, connection):
            command.downgrade(config, revision)
            assert not sa.inspect(connection).has_table("intervals")
        assert everything(url) == before  # opening upgrades
    keep(url, part(START + 2 * HOUR, 9))  # the next interval begins where the last one ended
    assert counted(url, target_id) == 8
