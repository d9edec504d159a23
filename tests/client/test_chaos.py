"""What a mixture of faults leaves behind: nothing that is half written, lost, or kept back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from health.standby import caught_up, pair

from dbopt.client import AsyncDatabase, Database
from dbopt.errors import ReadOnlyServer

if TYPE_CHECKING:
    from dbopt.embedded import Binaries

METADATA = sa.MetaData()
THING = sa.Table("thing", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))


def test_a_replica_serves_all_reads_and_names_each_write(server_binaries: Binaries) -> None:
    """Also after a transaction that was read only by its own will, on the same connection."""
    with pair(server_binaries) as (primary, standby):
        with Database(primary.database.conninfo, min_connections=0) as db:
            METADATA.create_all(db.engine)
            db.bulk_upsert(THING, [{"id": n, "n": n} for n in range(10)])
        caught_up(primary, standby)
        with Database(standby.database.conninfo, min_connections=0, max_connections=1) as db:
            assert db.transaction(lambda session: session.scalar(sa.select(sa.func.count(THING.c.id))), read_only=True)
            assert len(db.rows(THING)) == len(db.rows(THING, cache=60)) == len(db.fetch_many(THING, range(10)).items)
            assert [len(page.items) for page in db.pages(THING, order_by="-n", size=6)] == [6, 4]
            assert db.aggregate(THING, {"n": "count"}, cache=60) == {"n": 10}
            assert (db.healthcheck().in_recovery, db.healthcheck().read_only) == (True, True)
            for write in (
                lambda: db.execute(THING.delete()),
                lambda: db.scalar(THING.delete().returning(THING.c.id)),
                lambda: db.bulk_upsert(THING, [{"id": 1, "n": 1}]),
                lambda: db.bulk_upsert(THING, ({"id": n, "n": n} for n in range(3_000))),
                lambda: db.transaction(lambda session: session.execute(THING.delete())),
            ):
                with pytest.raises(ReadOnlyServer):
                    write()
            assert len(db.rows(THING)) == 10

        async def main() -> None:
            async with AsyncDatabase(standby.database.conninfo, min_connections=0, max_connections=1) as adb:
                async with adb.session() as session:
                    await session.connection(
                        execution_options={"postgresql_readonly": True, "postgresql_deferrable": True}
                    )
                assert len(await adb.rows(THING)) == 10

        asyncio.run(main())


def test_read_only_by_the_server_stays_so(url: str) -> None:
    with Database(f"{url} options='-c default_transaction_read_only=on'", min_connections=0, max_connections=1) as db:
        db.transaction(lambda session: session.scalar(sa.select(1)), read_only=True)
        assert db.scalar(sa.text("SHOW transaction_read_only")) == "on"
