"""Rows that a unique index would refuse, before it is built.

A unique build over duplicates fails at its end, after all of its work, and refuses writers long before that. So the
server is asked first, in one read-only statement that compares as the index will: its expressions, predicate,
collations and NULLS [NOT] DISTINCT, and only the table itself, whose children have indexes of their own.

What cannot be asked exactly is left to the build: an operator class whose equality GROUP BY does not know, rows that a
policy hides from this role, an expression that fails for some row.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, ObjectNotInPrerequisiteState

from dbopt import grammar
from dbopt.optimize.failures import Failure
from dbopt.postgres.connect import LOCK_TIMEOUT_MS
from dbopt.postgres.identifiers import text
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postgast.pg_query_pb2 import IndexElem, IndexStmt

    from dbopt.optimize.steps import Step
    from dbopt.postgres.connect import Connection

GROUPS_COUNTED = 1_000  # beyond it, how many there are says nothing more about what to do
GROUPS_SHOWN = 10
VALUE_CHARACTERS = 60  # of a key, in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows that are alike. A value is None for NULL, and cut where it is long.

    `ctids`: where the first and the last of them lie; empty when there was no time left to find out.
    """

    values: tuple[str | None, ...]
    rows: int
    ctids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """`groups` is how many there are, or GROUPS_COUNTED with `more`; `first` are the largest of them.

    `cleanup` is SQL to paste: it shows the rows; behind it, as a comment, a DELETE that keeps one of each group.
    """

    keys: tuple[str, ...]
    groups: int
    more: bool
    first: tuple[Group, ...]
    cleanup: str


@dataclass(frozen=True, slots=True)
class Equality:
    """What a btree operator class compares, by its number among those asked for, from 1."""

    number: int
    type_schema: str
    type_name: str
    is_type_own: bool  # GROUP BY on a value of that type finds the same values equal


EQUALITIES = Query(
    "operator-class-equalities",
    Equality,
    {
        (13,): """
        /* dbopt: which values operator classes take for equal */
        SELECT w.number::int4 AS number, n.nspname::text AS type_schema, t.typname::text AS type_name,
               t.typtype <> 'p' AND EXISTS (
                 SELECT FROM pg_catalog.pg_opclass AS own
                   JOIN pg_catalog.pg_amop AS a ON a.amopfamily = own.opcfamily
                   JOIN pg_catalog.pg_amop AS b ON b.amopopr = a.amopopr
                  WHERE own.opcmethod = c.opcmethod AND own.opcintype = c.opcintype AND own.opcdefault
                    AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype AND a.amopstrategy = 3
                    AND b.amopfamily = c.opcfamily AND b.amopstrategy = 3
                    AND b.amoplefttype = c.opcintype AND b.amoprighttype = c.opcintype) AS is_type_own
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
               WITH ORDINALITY AS w(schema, name, number)
          JOIN pg_catalog.pg_opclass AS c ON c.opcname = w.name
          JOIN pg_catalog.pg_am AS am ON am.oid = c.opcmethod AND am.amname = 'btree'
          JOIN pg_catalog.pg_namespace AS o ON o.oid = c.opcnamespace
          JOIN pg_catalog.pg_type AS t ON t.oid = c.opcintype
          JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
         WHERE CASE WHEN w.schema IS NULL THEN pg_catalog.pg_opclass_is_visible(c.oid) ELSE o.nspname = w.schema END
         ORDER BY w.number
        """
    },
    {"schemas": [None], "names": ["text_pattern_ops"]},
)


def find(conn: Connection, statement: str, *, timeout_ms: int) -> Duplicates | None:
    """What stands in the way of this CREATE UNIQUE INDEX; None when nothing does, or that cannot be told (see above).

    Raises psycopg's QueryCanceled when the time is over, LockNotAvailable when the table is locked exclusively, other
    psycopg errors as they come. No transaction is left open.
    """
    try:
        index = grammar.parse_create_index(statement)
    except grammar.GrammarError:  # nested more deeply than libpg_query hands over
        return None
    if not index.unique or index.access_method != "btree":
        return None
    deadline = time.monotonic() + timeout_ms / 1000
    try:
        with conn.transaction(force_rollback=True):
            _set(conn, timeout_ms)
            keys = _keys(conn, index)
            return None if keys is None else _asked(conn, index, keys, deadline)
    except (InsufficientPrivilege, ObjectNotInPrerequisiteState, psycopg.DataError):
        # Rows that policies hide, a materialized view without data, a value that an expression does not take.
        return None


def failure(step: Step, found: Duplicates) -> Failure:
    """The step's end. Values stand as in PostgreSQL's own details, `(key)=(value)`: the store leaves those out."""
    least = "at least " if found.more else ""
    many = f"{least}{found.groups:,} values are there more than once"
    if found.groups == 1:
        many = "1 value is there more than once"
    groups = "; ".join(map(_group_words, found.first))
    rest = found.groups - len(found.first)
    return Failure(
        f"could not build {step.index}: {many}: ({', '.join(found.keys)})={groups}"
        + (f"; and {least}{rest:,} more" if rest > 0 else ""),
        f"Look at the rows, clean them up, and run dbopt optimize again: {found.cleanup}",
    )


def _group_words(group: Group) -> str:
    values = ", ".join("NULL" if value is None else value for value in group.values)
    where = f" at ctid {(', ' if group.rows == 2 else ' to ').join(group.ctids)}" if group.ctids else ""
    return f"({values}) {group.rows} times{where}"


def _set(conn: Connection, timeout_ms: int) -> None:
    """One process with the memory that the build itself would take, and not for ever."""
    conn.execute(
        """
        /* dbopt: settings of a look for duplicates */
        SELECT pg_catalog.set_config('transaction_read_only', 'on', true),
               pg_catalog.set_config('statement_timeout', %s, true),
               pg_catalog.set_config('lock_timeout', %s, true),
               pg_catalog.set_config('row_security', 'off', true),
               pg_catalog.set_config('work_mem', pg_catalog.current_setting('maintenance_work_mem'), true),
               pg_catalog.set_config('hash_mem_multiplier', '1', true),
               pg_catalog.set_config('max_parallel_workers_per_gather', '0', true)
        """,
        (str(max(timeout_ms, 1)), str(LOCK_TIMEOUT_MS)),
    )


def _keys(conn: Connection, index: IndexStmt) -> list[sql.Composable] | None:
    """The keys as expressions that GROUP BY takes apart as the index does; None where it could not."""
    elements = [parameter.index_elem for parameter in index.index_params]
    classes = [_names(element.opclass) for element in elements]
    written = [names for names in classes if names]
    asked = {
        "schemas": [names[-2] if len(names) > 1 else None for names in written],
        "names": [names[-1] for names in written],
    }
    version = divmod(conn.info.server_version, 10000)
    rows = EQUALITIES.rows(conn, version, asked) if written else []
    known = {row.number: row for row in rows if row.is_type_own}
    keys, number = [], 0
    for element, names in zip(elements, classes, strict=True):
        key = _key(element)
        if names:
            number += 1
            if number not in known or element.opclassopts:
                return None
            # text_ops on a citext: it is compared as what the operator class is for.
            kind = sql.Identifier(known[number].type_schema, known[number].type_name)
            key = sql.SQL("({})::{}").format(key, kind)
        if element.collation:
            key = sql.SQL("({}) COLLATE {}").format(key, sql.Identifier(*_names(element.collation)))
        keys.append(key)
    return keys


def _key(element: IndexElem) -> sql.Composable:
    return sql.Identifier(element.name) if element.name else sql.SQL(grammar.expression_text(element.expr))


def _names(nodes: Sequence[Any]) -> list[str]:
    return [node.string.sval for node in nodes]


def _asked(conn: Connection, index: IndexStmt, keys: list[sql.Composable], deadline: float) -> Duplicates | None:
    rows = conn.execute(_groups(index, keys, ctids=False, limit=GROUPS_COUNTED + 1)).fetchall()
    if not rows:
        return None
    first = [_group(row, len(keys)) for row in rows[:GROUPS_SHOWN]]
    try:
        # Only now, for no index holds ctids: that there is no duplicate may be seen by an index-only scan.
        _set(conn, int((deadline - time.monotonic()) * 1000))
        with_ctids = conn.execute(_groups(index, keys, ctids=True, limit=GROUPS_SHOWN)).fetchall()
        first = [_group(row, len(keys)) for row in with_ctids] or first
    except psycopg.Error:  # what is known is enough to say that there is no use in a build
        if conn.closed:
            raise
    return Duplicates(
        keys=tuple(one.index_elem.name or text(_key(one.index_elem)) for one in index.index_params),
        groups=min(len(rows), GROUPS_COUNTED),
        more=len(rows) > GROUPS_COUNTED,
        first=tuple(first),
        cleanup=_cleanup(index, keys),
    )


def _groups(index: IndexStmt, keys: list[sql.Composable], *, ctids: bool, limit: int) -> sql.Composed:
    """The largest groups first. Sorted outside and not limited inside: for some rows of many, the planner would take
    whichever index gives the first ones soonest, and read the whole table by it where there are none.
    """
    names = [sql.Identifier(f"key{number}") for number in range(1, len(keys) + 1)]
    columns = [sql.SQL("{} AS {}").format(key, name) for key, name in zip(keys, names, strict=True)]
    shown = [sql.SQL("pg_catalog.left(g.{}::pg_catalog.text, {})").format(name, VALUE_CHARACTERS + 1) for name in names]
    return sql.SQL(
        """
        /* dbopt: values that a unique index would refuse */
        SELECT {shown}, g.copies{places}
          FROM (SELECT {grouped}, pg_catalog.count(*) AS copies{ends}
                  FROM (SELECT {columns}{place} {rows}) AS d
                 GROUP BY {grouped}
                HAVING pg_catalog.count(*) > 1) AS g
         ORDER BY g.copies DESC, {grouped_again}
         LIMIT {limit}
        """
    ).format(
        shown=_list(shown),
        places=sql.SQL(", g.first::pg_catalog.text, g.last::pg_catalog.text" if ctids else ""),
        grouped=_list([sql.SQL("d.{}").format(name) for name in names]),
        ends=sql.SQL(", pg_catalog.min(d.place) AS first, pg_catalog.max(d.place) AS last" if ctids else ""),
        columns=_list(columns),
        place=sql.SQL(", ctid AS place" if ctids else ""),
        rows=_rows(index, keys),
        grouped_again=_list([sql.SQL("g.{}").format(name) for name in names]),
        limit=sql.Literal(limit),
    )


def _rows(index: IndexStmt, keys: list[sql.Composable]) -> sql.Composed:
    """FROM and WHERE: the rows that the index compares. A row of NULLs is a value like any other, and so not `NULL`."""
    conditions = []
    if index.HasField("where_clause"):
        conditions.append(sql.SQL("({})").format(sql.SQL(grammar.expression_text(index.where_clause))))
    if not index.nulls_not_distinct:
        conditions += [sql.SQL("({}) IS DISTINCT FROM NULL").format(key) for key in keys]
    where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
    return sql.SQL("FROM ONLY {}{}").format(_table(index), where)


def _cleanup(index: IndexStmt, keys: list[sql.Composable]) -> str:
    parts = {
        "table": _table(index),
        "name": sql.Identifier(index.relation.relname),
        "alike": sql.SQL("OVER (PARTITION BY {})").format(_list(keys)),
        "rows": _rows(index, keys),
    }
    look = sql.SQL(
        "SELECT * FROM (SELECT pg_catalog.count(*) {alike} AS dbopt_rows, pg_catalog.min(ctid) {alike} AS dbopt_first,"
        " ctid, {name}.* {rows}) AS dbopt_copies WHERE dbopt_rows > 1 ORDER BY dbopt_first, ctid;"
    ).format(**parts)
    delete = sql.SQL(
        "DELETE FROM ONLY {table} USING (SELECT ctid AS dbopt_row, pg_catalog.min(ctid) {alike} AS dbopt_first {rows})"
        " AS dbopt_copies WHERE {name}.ctid = dbopt_row AND dbopt_row <> dbopt_first;"
    ).format(**parts)
    # A literal may hold a line break, which must not end the comment.
    return f"{text(look)} -- to keep the first of each: " + text(delete).replace("\n", "\n-- ")


def _table(index: IndexStmt) -> sql.Identifier:
    return sql.Identifier(*filter(None, (index.relation.schemaname, index.relation.relname)))


def _list(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _group(row: Sequence[Any], keys: int) -> Group:
    return Group(values=tuple(map(_clipped, row[:keys])), rows=row[keys], ctids=tuple(row[keys + 1 :]))


def _clipped(value: str | None) -> str | None:
    return value if value is None or len(value) <= VALUE_CHARACTERS else value[:VALUE_CHARACTERS] + "…"
