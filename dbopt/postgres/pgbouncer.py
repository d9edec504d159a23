"""PgBouncer's pools, as its console tells: SHOW POOLS and SHOW DATABASES.

The console is no SQL and takes the simple protocol alone, without settings or transactions. Whoever may see it is in
its `stats_users` or `admin_users`. https://www.pgbouncer.org/usage.html#show-commands
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo as pq_conninfo
from psycopg.rows import dict_row

from dbopt.errors import ConfigError
from dbopt.postgres.connect import connect_by, describe
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dbopt.postgres.connect import Connection

CONSOLE = "pgbouncer"  # the database that is its console
DEADLINE_SECONDS = 5.0  # a pooler that does not answer costs the other figures no more


@dataclass(frozen=True, slots=True)
class Pool:
    """One of a database and a user. `size`: the most connections to the server that it may have."""

    database: str
    user: str
    used: int  # connections to the server that are lent to a client
    size: int
    clients: int  # that have one
    waiting: int  # clients without one
    wait_seconds: float  # of the client that has waited longest

    @property
    def name(self) -> str:
        return f"{self.database}/{self.user}"


@contextlib.contextmanager
def console(conninfo: str, command: str) -> Iterator[Connection]:
    """Its console, whichever database the connection string names. Raises ConnectionFailed."""
    leading = pq_conninfo.make_conninfo(conninfo, dbname=CONSOLE)
    with contextlib.closing(connect_by(leading, command=command, deadline_seconds=DEADLINE_SECONDS)) as conn:
        yield conn


def pools(conn: Connection, dbname: str) -> list[Pool]:
    """Those that lead to this database, or all where none is known to. Raises ConfigError where it is no console."""
    try:
        databases = {str(row["name"]): row for row in _rows(conn, b"SHOW DATABASES")}
        found = [row for row in _rows(conn, b"SHOW POOLS") if row["database"] != CONSOLE]
    except psycopg.Error as exc:
        raise ConfigError(
            f"could not read the pools of {describe(conn.info.dsn)}",
            detail=str(exc).strip().partition("\n")[0],
            hint="Name PgBouncer's own host and port, and a user of its stats_users.",
        ) from None
    leading = [row for row in found if databases.get(row["database"], {}).get("database") == dbname]
    return [_pool(row, databases.get(row["database"], {})) for row in leading or found]


def _pool(row: Mapping[str, Any], database: Mapping[str, Any]) -> Pool:
    size, most = int(database.get("pool_size") or 0), int(database.get("max_connections") or 0)
    return Pool(
        database=str(row["database"]),
        user=str(row["user"]),
        used=int(row["sv_active"]),
        size=min(size, most) if most else size,
        clients=int(row["cl_active"]),
        waiting=int(row["cl_waiting"]),
        wait_seconds=int(row["maxwait"]) + int(row.get("maxwait_us") or 0) / 1e6,
    )


def _rows(conn: Connection, command: bytes) -> list[dict[str, Any]]:
    # Without parameters psycopg sends it by the simple protocol.
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(command).fetchall()
