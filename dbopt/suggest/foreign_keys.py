"""What the server itself asks when a row goes that others may refer to: statements that pg_stat_statements never shows.

PostgreSQL checks a foreign key by reading the referencing table, once for each row that is deleted from the referenced
one, or whose key is changed. Without an index that begins with the key, that reads all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.foreign_keys import FOREIGN_KEYS, REFERENCED
from dbopt.postgres.identifiers import qualified
from dbopt.postgres.identifiers import text as text_of
from dbopt.postgres.table_writes import TABLE_WRITES
from dbopt.relations.foreign_keys import has_fitting_index
from dbopt.suggest.inputs import Found
from dbopt.suggest.model import Item, Origin
from dbopt.suggest.tables import COUNTED_LEAST_SECONDS
from dbopt.values import dataclass
from dbopt.workload.model import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from postgast.pg_query_pb2 import Node, RangeVar

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.foreign_keys import ForeignKey, Referenced
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Name


@dataclass(frozen=True, slots=True)
class Bare:
    """A foreign key that no index serves. `deleted`: rows that were deleted from the referenced table in the time of
    the workload, as the server has counted them; 0: not known.
    """

    key: ForeignKey
    referenced: Referenced
    deleted: float = 0.0


def collect(conn: Connection, server: Server, *, seconds: float | None, counted: bool) -> list[Bare]:
    """`seconds`: the time of the workload; None: not known. `counted`: whether what the server has counted is part of
    it, as it is not of a file. Raises psycopg errors.
    """
    keys = [key for key in FOREIGN_KEYS.rows(conn, server.version) if not has_fitting_index(key)]
    if not keys:
        return []
    parameters = {
        "schemas": [key.schema for key in keys],
        "tables": [key.table for key in keys],
        "constraints": [key.constraint for key in keys],
    }
    found = {(row.schema, row.table, row.constraint): row for row in REFERENCED.rows(conn, server.version, parameters)}
    pairs = [(key, row) for key in keys if (row := found.get((key.schema, key.table, key.constraint))) is not None]
    names = {(row.referenced_schema, row.referenced_table) for _, row in pairs}
    deleted = _deleted(conn, server, names, seconds) if counted else {}
    return [Bare(key, row, deleted.get((row.referenced_schema, row.referenced_table), 0.0)) for key, row in pairs]


def _deleted(conn: Connection, server: Server, names: Collection[Name], seconds: float | None) -> Mapping[Name, float]:
    """Rows, in so much time as the workload has."""
    ordered = sorted(names)
    parameters = {"schemas": [schema for schema, _ in ordered], "names": [name for _, name in ordered]}
    found: dict[Name, float] = {}
    for row in TABLE_WRITES.rows(conn, server.version, parameters):
        # Counters that are too young tell of a load, not of a day's work.
        if row.seconds is not None and row.seconds >= COUNTED_LEAST_SECONDS and seconds is not None:
            name = (row.root_schema, row.root_name)
            found[name] = found.get(name, 0.0) + row.n_tup_del * seconds / row.seconds
    return found


def asked(bare: Iterable[Bare], found: Iterable[Found]) -> list[Found]:
    """Pure: the statements that check these keys, as far as rows were deleted or keys changed: by the counters, or by
    the statements found, whichever says more. A key whose checks are among those statements (pg_stat_statements.track =
    all) is left to them.
    """
    changes = list(_changes(found))
    made = []
    for one in bare:
        if any(_checks(tree, one) for _, tree in changes):
            continue
        times = max(one.deleted, sum(amount for amount, tree in changes if _removes(tree, one)))
        if times > 0:
            made.append(_statement(one, times))
    return made


def _changes(found: Iterable[Found]) -> Iterator[tuple[float, Node]]:
    """What may have to do with foreign keys, with the rows that it changed."""
    for one in found:
        is_check = " OPERATOR(pg_catalog.=) " in one.item.query
        if one.unread is not None or not (is_check or one.kind in (Kind.DELETE, Kind.UPDATE)):
            continue
        try:
            yield one.item.calls if one.rows is None else one.rows, grammar.parse_one(one.item.query)
        except GrammarError:
            continue


def _removes(tree: Node, one: Bare) -> bool:
    """Whether it deletes rows of the referenced table, or sets a column that is referred to."""
    referenced = one.referenced
    name = (referenced.referenced_schema, referenced.referenced_table)
    if tree.HasField("delete_stmt"):
        return _is(tree.delete_stmt.relation, name)
    if tree.HasField("update_stmt") and _is(tree.update_stmt.relation, name):
        columns = {target.res_target.name for target in tree.update_stmt.target_list}
        return not columns.isdisjoint(referenced.referenced_columns)
    return False


def _is(relation: RangeVar, name: Name) -> bool:
    return relation.relname == name[1] and relation.schemaname in ("", name[0])


def _checks(tree: Node, one: Bare) -> bool:
    """Whether it is the server's own look for rows that refer to one: `FROM ONLY table x WHERE $1 = column`."""
    if tree.HasField("select_stmt"):
        sources: Sequence[Node] = tree.select_stmt.from_clause
        relation = sources[0].range_var if len(sources) == 1 and sources[0].HasField("range_var") else None
    else:
        kind = tree.WhichOneof("node")
        relation = getattr(tree, kind).relation if kind in ("delete_stmt", "update_stmt") else None
    if relation is None or not _is(relation, (one.key.schema, one.key.table)):
        return False
    is_only = not relation.inh or one.key.relkind == "p"
    return is_only and set(one.key.columns) == set(grammar.column_names(tree))


def _statement(one: Bare, times: float) -> Found:
    key = one.key
    conditions = SQL(" AND ").join(
        SQL("x.{} = ${}").format(Identifier(column), number) for number, column in enumerate(key.columns, start=1)
    )
    # A partitioned table has its rows in the tables below it.
    source = SQL("SELECT 1 FROM {} AS x WHERE {}" if key.relkind == "p" else "SELECT 1 FROM ONLY {} AS x WHERE {}")
    text = source.format(qualified(key.schema, key.table), conditions).as_string()
    referenced = one.referenced
    return Found(
        item=Item(number=0, query=text, shown=text, calls=times, origin=Origin.FOREIGN_KEY),
        kind=Kind.SELECT,
        relations=(
            text_of(qualified(key.schema, key.table)),
            text_of(qualified(referenced.referenced_schema, referenced.referenced_table)),
        ),
    )
