"""The tables of a workload: what the catalogs know of them, and what was written to them in the workload's time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.postgres.identifiers import display, qualified, text
from dbopt.postgres.table_writes import TABLE_WRITES
from dbopt.suggest.model import Operation, Table, Writes
from dbopt.values import dataclass
from dbopt.workload.index_advice import is_ours
from dbopt.workload.scene import facts_about

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.table_writes import TableWrites
    from dbopt.suggest.model import Name, Written
    from dbopt.suggest.reading.prepare import Prepared
    from dbopt.workload.finding import Column, Relation
    from dbopt.workload.scene import Facts

    Lack = tuple[str, str | None]

# Counters tell how fast a table is written to only when they are older than whatever filled it: a database restored or
# loaded this morning has counted all its rows as inserted. A day has one of everything daily. Our own.
COUNTED_LEAST_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows, as the server has counted them for `seconds`; of a partitioned table, of all its leaves."""

    inserted: int = 0
    updated: int = 0
    hot: int = 0
    deleted: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """`tables`: of partitions the topmost one. `root_of`: of each leaf, that one. `extensions`: those of the database,
    and what has to be written in front of what is theirs (quoted; empty: nothing). `lacks`: what could not be had, and
    what to type.
    """

    tables: Mapping[Name, Table]
    root_of: Mapping[Name, Name]
    extensions: Mapping[str, str]
    counted: Mapping[Name, Counted]
    lacks: tuple[Lack, ...] = ()


def tables(conn: Connection, server: Server, read: Sequence[Prepared], *, seconds: float | None = None) -> Tables:
    """Of all statements that can be planned. `seconds`: the time in which they were called so often; None: not known.

    `conn` is in autocommit. Raises psycopg errors.
    """
    from dbopt.suggest.reading.accesses import written

    found = of_names(conn, server, _names(read))
    writes = [(item, one.item.calls) for one in read for item in written(one, found.tables)]
    return with_writes(found, writes, seconds=seconds)


def _names(read: Iterable[Prepared]) -> Iterator[tuple[Name, ...]]:
    """What each name may mean: the first of them that there is."""
    for one in read:
        yield from ((name,) for name in one.relations)
        yield from (one.candidates(item) for item in one.written)


def of_names(conn: Connection, server: Server, names: Iterable[tuple[Name, ...]]) -> Tables:
    """Tables and leaves by schema and name, without what was written to them: two round trips, and one more for each
    thing that is out of the ordinary. `names`: what each may mean, the first that there is; one that is no table's is
    left out. Raises psycopg errors.
    """
    possible = set(names)
    facts = facts_about(conn, server, {name for some in possible for name in some})
    meant = (next((name for name in some if name in facts.relations), None) for some in possible)
    asked = sorted({name for name in meant if name is not None})
    parameters = {"schemas": [schema for schema, _ in asked], "names": [name for _, name in asked]}
    rows = TABLE_WRITES.rows(conn, server.version, parameters) if asked else []
    leaves: dict[Name, list[TableWrites]] = defaultdict(list)
    for row in rows:
        leaves[row.root_schema, row.root_name].append(row)
    roots = _roots(facts, asked)
    stand_ins = _stand_ins(conn, server, facts, roots, leaves)
    found = {
        name: Table(
            relation=replace(relation, columns=stand_ins.get(name, relation.columns)),
            writes=Writes(),
            leaves=tuple((row.schema, row.name) for row in leaves[name] if (row.schema, row.name) != name),
        )
        for name, relation in sorted(roots.items())
    }
    return Tables(
        tables=found,
        root_of={leaf: name for name, table in found.items() for leaf in table.leaves},
        extensions={name: _prefix(facts.extension_schemas.get(name)) for name in sorted(facts.extensions)},
        counted={name: _counted(leaves[name]) for name in found},
        lacks=tuple(_lacks(server, facts, found, leaves, stand_ins)),
    )


def _roots(facts: Facts, names: Iterable[Name]) -> dict[Name, Relation]:
    found = (facts.relations[name] for name in names)
    tops = [facts.relations.get(item.parent, item) if item.parent is not None else item for item in found]
    return {(item.schema, item.name): item for item in tops if item.relkind in "rpmf"}


def _prefix(schema: str | None) -> str:
    return "" if schema is None else text(qualified(schema, "")).removesuffix('.""')


def _counted(rows: Sequence[TableWrites]) -> Counted:
    if not rows or not rows[0].tracks_counts:
        return Counted()
    return Counted(
        sum(row.n_tup_ins for row in rows),
        sum(row.n_tup_upd for row in rows),
        sum(row.n_tup_hot_upd for row in rows),
        sum(row.n_tup_del for row in rows),
        rows[0].seconds,
    )


# What ANALYZE knows


def _stand_ins(
    conn: Connection,
    server: Server,
    facts: Facts,
    roots: Mapping[Name, Relation],
    leaves: Mapping[Name, Sequence[TableWrites]],
) -> dict[Name, tuple[Column, ...]]:
    """Autovacuum never analyzes a partitioned table. Where nobody else has, its largest leaf that was analyzed stands
    for it: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS
    """
    largest = {
        name: max(leaves[name], key=lambda row: (row.reltuples, row.name))
        for name, relation in roots.items()
        if relation.relkind == "p" and leaves[name] and name not in facts.hidden and not _is_analyzed(relation)
    }
    wanted = {name: (row.schema, row.name) for name, row in largest.items() if row.reltuples > 0}
    if not wanted:
        return {}
    known = facts_about(conn, server, wanted.values()).relations
    return {
        name: tuple(_as_of_all(column, known[leaf]) for column in _in_place(roots[name], known[leaf]))
        for name, leaf in wanted.items()
        if leaf in known and _is_analyzed(known[leaf])
    }


def _in_place(root: Relation, leaf: Relation) -> Iterator[Column]:
    """The columns of the root with the statistics of the leaf, whose columns may stand in another order."""
    for column in root.columns:
        own = leaf.column(column.name)
        yield column if own is None else replace(own, attnum=column.attnum)


def _as_of_all(column: Column, leaf: Relation) -> Column:
    """A column in which most values of one leaf differ has as many more in all of them."""
    if column.n_distinct is None or column.n_distinct <= 0 or not leaf.rows:
        return column
    share = column.n_distinct / leaf.rows
    return replace(column, n_distinct=-share) if share >= _GROWS else column


# From where on ANALYZE itself takes the number of values to grow with the rows (compute_scalar_stats in analyze.c).
_GROWS = 0.1


def _is_analyzed(relation: Relation) -> bool:
    return any(column.has_statistics for column in relation.columns)


def _lacks(
    server: Server,
    facts: Facts,
    found: Mapping[Name, Table],
    leaves: Mapping[Name, Sequence[TableWrites]],
    stand_ins: Collection[Name],
) -> Iterator[Lack]:
    for name, table in found.items():
        relation = table.relation
        if not is_ours(relation):
            continue
        word, quoted = display(*name), text(qualified(*name))
        if name in facts.hidden:
            right = "pg_read_all_data" if server.has_read_all_data else f"SELECT ON {quoted}"
            bypass = f"ALTER ROLE {Identifier(server.usename).as_string()} BYPASSRLS;"
            hint = bypass if name in facts.guarded else server.grant(right)
            yield f"statistics of {word} may not be read by role {server.usename}", hint
        elif not _is_analyzed(relation) and _has_rows(relation, leaves[name]):
            yield f"{word} was never analyzed: its columns are unknown to the planner", f"ANALYZE {quoted};"
        elif name in stand_ins:
            yield f"{word} was never analyzed as a whole: its largest partition stands for it", f"ANALYZE {quoted};"
        if _is_unread(relation):
            yield f"{word} is locked: expressions of its indexes could not be read", "Try again when it is not."


def _has_rows(relation: Relation, rows: Sequence[TableWrites]) -> bool:
    return bool(relation.rows or relation.size_bytes or any(row.n_live_tup for row in rows))


def _is_unread(relation: Relation) -> bool:
    return any(
        index.predicate == "" or any(key.column is None and key.expression is None for key in index.keys)
        for index in relation.indexes
    )


# What was written


def with_writes(found: Tables, writes: Iterable[tuple[Written, float]], *, seconds: float | None) -> Tables:
    """The same with what was written in the time of the workload. `writes`: what statements write, and how many rows
    of it. Pure.

    Statements tell for the very time of the workload, but not what triggers, cascades and COPY write; counters tell of
    all, but on average. What is more of the two counts, where counters are old enough to tell of more than the loading
    of the table. Where the time is not known (a file), nothing but the statements can be held against its reads.
    """
    by_table: dict[Name, list[tuple[Written, float]]] = defaultdict(list)
    for item, rows in writes:
        by_table[found.root_of.get(item.relation, item.relation)].append((item, rows))
    return replace(
        found,
        tables={
            name: replace(table, writes=_writes(table, found.counted[name], by_table[name], seconds))
            for name, table in found.tables.items()
        },
    )


def _writes(table: Table, counted: Counted, own: Sequence[tuple[Written, float]], seconds: float | None) -> Writes:
    told = {
        operation: sum(rows for item, rows in own if item.operation is operation)
        for operation in (Operation.INSERT, Operation.UPDATE, Operation.DELETE)
    }
    scale = 0.0
    if seconds is not None and counted.seconds is not None and counted.seconds >= COUNTED_LEAST_SECONDS:
        scale = seconds / counted.seconds
    updated = max(told[Operation.UPDATE], counted.updated * scale)
    set_ = _set(own)
    share = updated / told[Operation.UPDATE] if told[Operation.UPDATE] else 0.0
    return Writes(
        inserted=max(told[Operation.INSERT], counted.inserted * scale),
        updated=updated,
        hot=updated * _hot_share(table, counted, own),
        deleted=max(told[Operation.DELETE], counted.deleted * scale),
        columns={name: rows * share for name, rows in sorted(set_.items())},
        seconds=seconds,
    )


def _set(own: Iterable[tuple[Written, float]]) -> dict[str, float]:
    """By column, the rows of which UPDATEs set it."""
    found: dict[str, float] = defaultdict(float)
    for item, rows in own:
        if item.operation is Operation.UPDATE:
            for column in dict.fromkeys(item.columns):
                found[column] += rows
    return found


def _hot_share(table: Table, counted: Counted, own: Sequence[tuple[Written, float]]) -> float:
    """Of the updates. Counted where there were any; else those count that set no column of an index.

    https://www.postgresql.org/docs/current/storage-hot.html
    """
    if counted.updated:
        return min(counted.hot / counted.updated, 1.0)
    updates = [(item, rows) for item, rows in own if item.operation is Operation.UPDATE]
    whole = sum(rows for _, rows in updates)
    indexed = {
        name
        for index in table.relation.indexes
        for name in (*index.include, *(key.column for key in index.keys if key.column is not None))
    }
    return sum(rows for item, rows in updates if indexed.isdisjoint(item.columns)) / whole if whole else 0.0
