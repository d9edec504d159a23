"""What stats reads besides the families of a snapshot. No lock on a user's table is taken or waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.foreign_keys import FOREIGN_KEYS_INDEXED
from dbopt.postgres.index_catalog import MARKED
from dbopt.postgres.indexes import INDEX_SHAPES
from dbopt.postgres.relation_counters import COUNTED_SINCE
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.foreign_keys import KeyIndexed
    from dbopt.postgres.index_catalog import Marked
    from dbopt.postgres.indexes import IndexShape
    from dbopt.postgres.relation_counters import IndexCounters, TableCounters
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows as the catalogs and the statistics had them. `shapes` are those of indexes that may repeat others;
    `counted_since`: from when on the server's counters count.
    """

    tables: Sequence[TableCounters]
    indexes: Sequence[IndexCounters]
    marked: Sequence[Marked] = ()
    shapes: Sequence[IndexShape] = ()
    foreign_keys: Sequence[KeyIndexed] = ()
    counted_since: datetime | None = None


def collect(
    conn: Connection,
    server: Server,
    tables: Sequence[TableCounters],
    indexes: Sequence[IndexCounters],
    *,
    about_indexes: bool,
    foreign_keys: bool,
) -> Rows:
    """`tables` and `indexes`: of the snapshot. The rest is asked for where it is wanted. Raises psycopg.Error."""
    version = server.version
    return Rows(
        tables=tables,
        indexes=indexes,
        marked=MARKED.rows(conn, version) if about_indexes else (),
        shapes=INDEX_SHAPES.rows(conn, version) if about_indexes else (),
        foreign_keys=FOREIGN_KEYS_INDEXED.rows(conn, version) if foreign_keys else (),
        counted_since=COUNTED_SINCE.rows(conn, version)[0].stats_since,
    )
