"""Empty temporary twins of tables: the server itself says what a definition means, or why it is none.

What a definition means depends on the names, types and collations of the columns that it mentions, and not on whose
they are. So what is asked alike, of however many tables, is asked once, and one twin stands for all tables whose
columns agree. Only where an entry may say more than columns (`invoices.total`, or a name that is no column's) its table
has a twin to itself, with all of its columns and under its own name.

Twins are made from the catalogs and not by LIKE: no lock on a table is asked for, so an ALTER TABLE queued on it costs
nothing, and no right to read the table is needed. Everything happens in transactions that are rolled back. That takes
a primary and the TEMPORARY right.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.optimize.canonical import Definition, definition
from dbopt.optimize.statement import create_index, names_used
from dbopt.postgres import index_catalog
from dbopt.postgres.identifiers import text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

# Twins and their indexes in one transaction, each in a subtransaction of its own: of more than 64 of them
# (PGPROC_MAX_CACHED_SUBXIDS in proc.h) every other session has to look up whose they are.
OBJECTS_AT_A_TIME = 60
COLUMNS_MAX = 200  # of a shared twin: the server goes through all of them for each index that it makes

_TEMP = "pg_temp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A definition asked for: an entry for one table."""

    entry: IndexSpec
    table: Table
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server does not take the definition; its own words."""

    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """`own_name`: of the table, where the definition may say it. `key` is all that the answer depends on."""

    entry: IndexSpec
    columns: tuple[Column, ...]
    own_name: str | None
    key: Hashable


@dataclass(slots=True)
class _Twin:
    own_name: str | None
    columns: dict[str, Column]
    questions: list[_Question] = field(default_factory=list)

    def takes(self, question: _Question) -> bool:
        """Whether the question can be asked of it as well, and gets the answer that it would get of its own table."""
        if self.own_name != question.own_name:
            return False
        theirs = {column.column: column for column in question.columns}
        if self.own_name is not None and self.columns.keys() != theirs.keys():
            return False
        return len(self.columns | theirs) <= COLUMNS_MAX and all(
            kind(self.columns.get(name, column)) == kind(column) for name, column in theirs.items()
        )

    def add(self, question: _Question) -> None:
        self.questions.append(question)
        self.columns |= {column.column: column for column in question.columns}


def definitions(conn: Connection, server: Server, asked: Sequence[Asked]) -> list[Definition | Refusal]:
    """What each entry means on this server, in the order asked. Raises psycopg errors only for lost connections."""
    questions = [_question(one) for one in asked]
    answers: dict[Hashable, Definition | Refusal] = {}
    for twins in _batches({question.key: question for question in questions}.values()):
        answers |= _answers(conn, server, twins)
    return [answers[question.key] for question in questions]


def begin(conn: Connection) -> None:
    """A transaction in which twins stand in for their tables and for nothing else.

    A table's name is a type's name too, and temporary ones come first unless said otherwise: a twin of `app.status`
    would hide the type `public.status`. And a twin's index shall have a tablespace only if the entry asks for one.
    """
    conn.execute(
        """
        BEGIN READ WRITE;
        SELECT /* dbopt: settings of a transaction with twins */
               pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',
                 NULLIF(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), true),
               pg_catalog.set_config('temp_tablespaces', '', true)
        """
    )


def create_twin(name: str, columns: Iterable[Column]) -> sql.Composed:
    """Types and collations are the server's own text, quoted and qualified by it."""
    return sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
        name_of(name),
        sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(column.column),
                sql.SQL(column.type),
                sql.SQL(f" COLLATE {column.collation}" if column.collation else ""),
            )
            for column in columns
        ),
    )


def name_of(name: str) -> sql.Identifier:
    """The twin of this name."""
    return sql.Identifier(_TEMP, name)


def needed(
    names: Collection[tuple[str, ...]], table: Table, columns: Sequence[Column]
) -> tuple[tuple[Column, ...], str | None]:
    """The columns that a twin needs for a text that mentions these names (in their parts), and the name that it needs;
    None: any.
    """
    known = {column.column: column for column in columns}
    # Of more than one part: with the table's name, or `*`. No column: the whole row, or a mistake to be told about.
    if all(len(parts) == 1 and parts[0] in known for parts in names):
        return tuple(known[name] for (name,) in sorted(names)), None
    return tuple(columns), table.table


def kind(column: Column) -> tuple[str, str | None]:
    """All that a column is besides its name."""
    return column.type, column.collation


def _question(asked: Asked) -> _Question:
    used, own_name = needed(names_used(asked.entry), asked.table, asked.columns)
    statement = text(create_index(asked.entry, schema=_TEMP, name="i", table="t", concurrently=False))
    key = statement, own_name, tuple((column.column, kind(column)) for column in used)
    return _Question(asked.entry, used, own_name, key)


def _batches(questions: Iterable[_Question]) -> Iterator[list[_Twin]]:
    """Twins with what they are asked, in batches where no name comes twice: those of app.users and crm.users, if they
    have any to themselves, are both `users`.
    """
    batch: list[_Twin] = []
    objects = 0
    for question in questions:
        twin = next((twin for twin in batch if twin.takes(question)), None)
        taken = question.own_name is not None and any(one.own_name == question.own_name for one in batch)
        if objects + 2 > OBJECTS_AT_A_TIME or (twin is None and taken):
            yield batch
            batch, objects, twin = [], 0, None
        if twin is None:
            twin = _Twin(question.own_name, {})
            batch.append(twin)
            objects += 1
        twin.add(question)
        objects += 1
    if batch:
        yield batch


def _answers(conn: Connection, server: Server, twins: Sequence[_Twin]) -> dict[Hashable, Definition | Refusal]:
    """By the key of each question."""
    prefix = _prefix(twins)
    tables = {twin.own_name or f"{prefix}t{number}": twin for number, twin in enumerate(twins)}
    places = [(name, question) for name, twin in tables.items() for question in twin.questions]
    indexes = {f"{prefix}{number}": place for number, place in enumerate(places)}
    begin(conn)
    try:
        refused = _made(conn, {name: create_twin(name, twin.columns.values()) for name, twin in tables.items()})
        there = tables.keys() - refused
        refused |= _made(
            conn,
            {
                index: create_index(question.entry, schema=_TEMP, name=index, table=name, concurrently=False)
                for index, (name, question) in indexes.items()
                if name in there
            },
        )
        read = _read(conn, server, there)
    finally:
        if not conn.closed:
            conn.execute("ROLLBACK")
    answers: dict[Hashable, Definition | Refusal] = {
        question.key: refused[index] if index in refused else read[index]
        for index, (name, question) in indexes.items()
        if name in there
    }
    for name in tables.keys() - there:
        questions = tables[name].questions
        for question in questions:  # of several, one has the column that cannot be had
            alone = _Twin(question.own_name, {})
            alone.add(question)
            answers |= _answers(conn, server, [alone]) if len(questions) > 1 else {question.key: refused[name]}
    return answers


def _prefix(twins: Iterable[_Twin]) -> str:
    """How our names begin: as no table that has a twin to itself is called."""
    prefix = "dbopt_"
    while any(twin.own_name is not None and twin.own_name.startswith(prefix) for twin in twins):
        prefix += "_"
    return prefix


def _made(conn: Connection, statements: Mapping[str, sql.Composed]) -> dict[str, Refusal]:
    """Run statements that make a relation each, by its name; what the server does not make, and why."""
    refused: dict[str, Refusal] = {}
    rest, at_once = list(statements), len(statements)
    while rest:
        tried, later = rest[:at_once], rest[at_once:]
        try:
            conn.execute(sql.SQL("; ").join(map(_in_savepoint, (statements[name] for name in tried))))
            rest = later
        except psycopg.Error as exc:
            if conn.closed:
                raise
            conn.execute("ROLLBACK TO SAVEPOINT dbopt")
            made = _oids(conn, tried)
            failed = next(number for number, name in enumerate(tried) if name not in made)
            if isinstance(exc, psycopg.OperationalError) and at_once > 1:
                at_once = 1  # a timeout, say: it is judged by what one statement takes
                failed -= 1
            else:
                refused[tried[failed]] = _refusal(exc)
            rest = rest[failed + 1 :]
    return refused


def _in_savepoint(statement: sql.Composed) -> sql.Composed:
    return sql.SQL("SAVEPOINT dbopt; {}; RELEASE SAVEPOINT dbopt").format(statement)


def _refusal(exc: psycopg.Error) -> Refusal:
    diag = exc.diag
    return Refusal(exc.sqlstate or "XX000", diag.message_primary or str(exc), diag.message_detail, diag.message_hint)


def _oids(conn: Connection, names: Iterable[str]) -> dict[str, int]:
    rows = conn.execute(
        "/* dbopt: which of its temporary relations a transaction has made */ SELECT c.relname::text, c.oid::int8"
        " FROM pg_catalog.pg_class AS c"
        " WHERE c.relname = ANY (%s::text[]) AND c.relnamespace = pg_catalog.pg_my_temp_schema()",
        (list(names),),
    )
    return dict(rows.fetchall())


def _read(conn: Connection, server: Server, tables: Iterable[str]) -> dict[str, Definition]:
    """The definitions on the twins, by the index's name."""
    rows = index_catalog.INDEXES.rows(conn, server.version, {"oids": list(_oids(conn, tables).values())})
    with_text = [row.oid for row in rows if row.has_expressions or row.has_predicate]
    asked = {"oids": with_text}
    found = index_catalog.EXPRESSIONS.rows(conn, server.version, asked) if with_text else ()
    texts = {row.oid: row for row in found}
    return {row.index: definition(row, texts.get(row.oid)) for row in rows}
