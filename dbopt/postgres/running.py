"""What every session is running at this moment: one look, cheap enough to be repeated ten times a second.

The view pg_stat_activity looks up names for each row, which is half of its cost; names are asked for once, at the end.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from psycopg.adapt import Loader
from psycopg.rows import args_row

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString

    from psycopg.abc import Buffer

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True)
class Running:
    """A process that is at work, or one that does not tell: `state` None where this role may not see what it does,
    `disabled` where it has track_activities off. `pid` None: nobody is at work, and this row is about the look alone.
    """

    look_seconds: float  # what this look cost the server so far
    datid: int | None
    pid: int | None
    leader_pid: int | None  # of a parallel worker
    usesysid: int | None
    application_name: str | None
    state: str | None
    wait_event: str | None  # type and event
    query_start: datetime | None
    run_seconds: float | None
    query_id: int | None  # 14+; of the whole statement that the client sent
    query: str | None  # None: a parallel worker's, which is its leader's
    query_bytes: int | None  # by the server's encoding


_COLUMNS: LiteralString = """
        /* dbopt: what sessions are running */
        SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::float8
                   AS look_seconds,
               a.datid::int8 AS datid, a.pid,
               CASE WHEN a.backend_type = 'parallel worker' THEN a.leader_pid END AS leader_pid,
               a.usesysid::int8 AS usesysid, a.application_name, a.state,
               a.wait_event_type || ': ' || a.wait_event AS wait_event, a.query_start,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::float8 AS run_seconds,
"""
_COLUMNS_13: LiteralString = _COLUMNS + "NULL::int8 AS query_id,"
_COLUMNS_14: LiteralString = _COLUMNS + "a.query_id,"
# A session that is hidden shows no state. Background processes have no database or no user.
_FROM: LiteralString = """
               CASE WHEN a.backend_type = 'client backend' THEN a.query END AS query,
               CASE WHEN a.backend_type = 'client backend' THEN pg_catalog.octet_length(a.query) END AS query_bytes
          FROM (SELECT 1) AS look
          LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) AS a
            ON a.pid <> pg_catalog.pg_backend_pid()
           AND (a.backend_type IN ('client backend', 'parallel worker') AND a.state IN ('active', 'disabled')
                OR a.backend_type IS NULL AND a.usesysid IS NOT NULL)
"""
# Looked up in pg_database, which database this is would cost a fifth of the look.
_HERE: LiteralString = """
           AND a.datid = (SELECT o.datid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS o)
"""
_ANYWHERE: LiteralString = "AND a.datid IS NOT NULL"

# Without parameters: the time of a statement that has some is told from when these are in place, after its planning.
RUNNING = Query(
    "running",
    Running,
    {(13,): _COLUMNS_13 + _FROM + _HERE, (14,): _COLUMNS_14 + _FROM + _HERE},
)
RUNNING_ANYWHERE = Query(
    "running-anywhere",
    Running,
    {(13,): _COLUMNS_13 + _FROM + _ANYWHERE, (14,): _COLUMNS_14 + _FROM + _ANYWHERE},
)


@dataclass(frozen=True, slots=True)
class Here:
    """What is to be known before the first look."""

    now: datetime  # by the server's clock
    datid: int
    query_bytes_max: int  # texts are cut off to one less
    tracks_activities: bool  # of sessions that do not set it themselves


HERE = Query(
    "running-here",
    Here,
    {
        (13,): """
        /* dbopt: this database, and how much of a text is shown */
        SELECT pg_catalog.clock_timestamp() AS now, d.oid::int8 AS datid,
               (SELECT s.setting::int8 FROM pg_catalog.pg_settings AS s
                 WHERE s.name = 'track_activity_query_size') AS query_bytes_max,
               pg_catalog.current_setting('track_activities') = 'on' AS tracks_activities
          FROM pg_catalog.pg_database AS d
         WHERE d.datname = pg_catalog.current_database()
        """
    },
)


@dataclass(frozen=True, slots=True)
class DatabaseName:
    oid: int
    datname: str


DATABASE_NAMES = Query(
    "database-names",
    DatabaseName,
    {
        (13,): """
        /* dbopt: names of databases */
        SELECT d.oid::int8 AS oid, d.datname::text AS datname
          FROM pg_catalog.pg_database AS d
         WHERE d.oid = ANY (%(oids)s::oid[])
         ORDER BY d.oid
        """
    },
    example={"oids": []},
)


class _AnyText(Loader):
    """A session of another database may have sent its text in another encoding, and nobody converts that."""

    def load(self, data: Buffer) -> str:
        encoding = self.connection.info.encoding if self.connection is not None else "utf-8"
        return bytes(data).decode("utf-8" if encoding == "ascii" else encoding, "replace")


def look(conn: Connection, server: Server, *, all_databases: bool = False) -> list[Running]:
    """One look. `conn` in autocommit: a transaction would see the same all the time."""
    query = RUNNING_ANYWHERE if all_databases else RUNNING
    with conn.cursor(row_factory=args_row(Running)) as cursor:
        cursor.adapters.register_loader("text", _AnyText)
        cursor.execute(query.text(server.version))
        return cursor.fetchall()
