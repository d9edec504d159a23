"""All that is known of one database's tables and indexes, as one value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from dbopt.stats.choice import INDEX_SORTS, SCHEMA_SORTS, TABLE_SORTS, Choice, Filter, Sort, ordered
from dbopt.stats.coverage import Coverage, Specs, coverage
from dbopt.stats.indexes import IndexStats, indexes
from dbopt.stats.summary import Sums, schemas, sums
from dbopt.stats.tables import TableStats, tables
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from dbopt.stats.collect import Rows
    from dbopt.stats.window import Window


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which database it is about."""

    name: str | None  # of dbopt.yaml
    place: str  # host:port/dbname, without user and password
    dbname: str
    server_version: str
    system_identifier: str | None
    in_recovery: bool
    role: str
    tells_last_scan: bool  # 16+


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Lists are in the order asked for. `lifetime_*`: counters as they stand on the server, by oid. `unchosen`: the
    names of all tables, where the choice meant none.
    """

    about: About
    window: Window
    totals: Sums
    coverage: Coverage
    schemas: tuple[Sums, ...]
    tables: tuple[TableStats, ...]
    indexes: tuple[IndexStats, ...]
    lifetime_tables: Mapping[int, TableStats] = field(default_factory=dict)
    lifetime_indexes: Mapping[int, IndexStats] = field(default_factory=dict)
    unchosen: tuple[str, ...] = ()

    @property
    def taken_at(self) -> datetime:
        return self.window.to_at


def survey(
    about: About,
    rows: Rows,
    window: Window,
    choice: Choice,
    specs: Specs,
    named: Callable[[str, str], str | None],
    *,
    lifetime: Window | None = None,
) -> Survey:
    """`rows` are narrowed down to the choice here. `lifetime`: for counters as they stand, where they are wanted."""
    everything, rows = rows, chosen(rows, choice.only)
    split = any(row.root_oid is not None for row in rows.tables)
    each_table, each_index = tables(rows, window, partitions=True), indexes(rows, window, named, partitions=True)
    whole_tables = tables(rows, window, partitions=False) if split else each_table
    whole_indexes = indexes(rows, window, named, partitions=False) if split else each_index
    by_schema = schemas(each_table, each_index)

    def in_order(items: Iterable[Item], keys: Mapping[Sort, Callable[[Any], Any]]) -> tuple[Item, ...]:
        sort = choice.sort if choice.sort in keys else Sort.SIZE
        return tuple(ordered(items, keys, sort, reverse=choice.reverse))

    made = Survey(
        about=about,
        window=window,
        totals=sums(None, each_table, each_index),
        coverage=coverage(whole_tables, rows.foreign_keys, specs),
        schemas=in_order(by_schema, SCHEMA_SORTS),
        tables=in_order(each_table if choice.partitions else whole_tables, TABLE_SORTS),
        indexes=in_order(each_index if choice.partitions else whole_indexes, INDEX_SORTS),
        unchosen=() if rows.tables else tuple(f"{row.schema}.{row.name}" for row in everything.tables),
    )
    if lifetime is None:
        return made
    return replace(
        made,
        lifetime_tables={item.oid: item for item in tables(rows, lifetime, partitions=choice.partitions)},
        lifetime_indexes={item.oid: item for item in indexes(rows, lifetime, named, partitions=choice.partitions)},
    )


def chosen(rows: Rows, only: Filter) -> Rows:
    """A partition is meant by its own name, and by that of the table that it is a part of."""
    if not only:
        return rows
    kept = [
        row
        for row in rows.tables
        if only.table(row.schema, row.name, row.relation)
        or (
            row.root_oid is not None
            and only.table(row.root_schema or "", row.root_name or "", row.partition_root or "")
        )
    ]
    oids = {row.relation_oid for row in kept} | {row.root_oid for row in kept}
    return replace(
        rows,
        tables=kept,
        indexes=[row for row in rows.indexes if row.relation_oid in oids],
        foreign_keys=[row for row in rows.foreign_keys if row.relation_oid in oids],
    )
