"""Many rows inserted, or updated where their key is there: `INSERT ... ON CONFLICT` over arrays, or over a temporary
table that COPY fills.

Either all rows in one transaction, or each batch in its own. Rows of the input with the same key are settled by the
server, which alone knows what it takes for equal.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc

from dbopt.client.bulk.rows import Reader, unique_names
from dbopt.client.bulk.search import find_row
from dbopt.client.bulk.stage import NUMBER, SET, Stage, column_names
from dbopt.client.bulk.statement import Upsert
from dbopt.client.bulk.target import Target
from dbopt.client.bulk.values import Sender, unnested
from dbopt.client.failures import sqlstate
from dbopt.client.shape import entity
from dbopt.errors import BadRow, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import orm

    from dbopt.client.bulk.rows import Piece, RowSet
    from dbopt.client.shape import Model
    from dbopt.client.work import Work

# Rows that are read, sent and, by choice, committed at a time.
BATCH_ROWS = 10_000
# Up to so many rows go as arrays in one statement: a temporary table costs more than COPY spares (bench/bulk.py).
ARRAY_ROWS = 2_000
# Each set of columns is a statement, to which all arrays are sent.
ARRAY_SETS = 8

Commit: TypeAlias = Literal["all", "batch"]
Duplicates: TypeAlias = Literal["last", "first", "error"]
_CARDINALITY_VIOLATION = "21000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserted:
    """What became of the rows: `rows` is the sum of the four after it."""

    rows: int = 0  # of the input
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0  # the key was there and nothing was to be updated, or a trigger has kept the row back
    duplicates: int = 0  # not sent on: another row of the input has the same key
    batches: int = 0

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            rows=self.rows + other.rows,
            inserted=self.inserted + other.inserted,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
            duplicates=self.duplicates + other.duplicates,
            batches=self.batches + other.batches,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`sent`: rows that the server has; `done`: those that are written (commit="batch": and committed)."""

    done: int
    sent: int
    total: int | None  # None: the input does not say how long it is
    inserted: int
    updated: int
    seconds: float


def bulk_upsert(
    work: Work,
    model: Model,
    rows: Iterable[Any] | AsyncIterable[Any],
    *,
    key: str | Sequence[Any] | None = None,
    update: str | Sequence[Any] | None = None,
    batch_size: int | None = None,
    commit: Commit = "all",
    duplicates: Duplicates = "last",
    where_changed: bool = False,
    progress: Callable[[Progress], Any] | None = None,
) -> Upserted:
    """Insert rows, and update those whose key is there.

    `rows`: mappings by names of attributes or columns, or objects of the class that no session knows; read once, a
    batch at a time. What a row leaves out gets its default where the row is new, and is not touched where it is there;
    None is NULL (in an object, as in SQLAlchemy's own INSERT, None is left out where the column has a default). Rows
    may have different columns.

    `key`: columns of a unique constraint or index, the primary key if not given. As for the server, a NULL in it is
    equal to nothing, unless the index says NULLS NOT DISTINCT.
    `update`: columns to update where the key is there; not given, all that the row has but the key; () inserts only.
    Columns with `onupdate` are updated with them. `where_changed`: rows that would not change are left alone.
    `duplicates`: which of several rows of the input with the same key counts as a whole, or that they are an error.
    `commit`: "all" is one transaction, or a savepoint within the caller's; "batch" commits each batch of `batch_size`
    rows by itself, as if it were a call of its own, so that duplicates are those within a batch. After an error,
    `error.committed` is what the batches before have done.
    `progress`: called after each batch; what it raises ends the work as any error does.

    Objects of this table in the caller's session are expired: they are read again when they are used.

    Raises UsageError for names and values that make no sense (BadRow says which row), NoUniqueKey, NotPermitted,
    ReadOnlyServer, ConnectionLost; SQLAlchemy's IntegrityError and DataError, with `input_row` where it could be found.
    """
    call = _Call(work, model, rows, BATCH_ROWS if batch_size is None else batch_size, progress)
    call.settle_on(key, update, commit, duplicates, where_changed=where_changed)
    pieces = call.reader.pieces()
    if commit == "batch":
        return call.by_batch(pieces)
    first = next(pieces, None)
    return Upserted() if first is None else call.at_once(first, pieces)


class _Call:
    """One call, and how far it is."""

    def __init__(
        self, work: Work, model: Model, rows: Any, batch_size: int, progress: Callable[[Progress], Any] | None
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError("batch_size has to be a whole number above 0", detail=f"found {batch_size!r}")
        self.work = work
        self.own = entity(model)
        foreign = [name for name, column in self.own.columns.items() if column.table is not self.own.table]
        if foreign:
            raise UsageError(
                f"{self.own.name} is mapped to several tables",
                detail=f"{', '.join(foreign)} are in another table than its own",
                hint="Upsert the rows of each sqlalchemy.Table by themselves.",
            )
        self.reader = Reader(self.own, rows, batch_size)
        self.progress = progress
        self.started = time.monotonic()
        self.sent = 0
        self.done = Upserted()

    def settle_on(self, key: Any, update: Any, commit: str, duplicates: str, *, where_changed: bool) -> None:
        """Raises UsageError and NoUniqueKey."""
        _check("commit", commit, ("all", "batch"))
        _check("duplicates", duplicates, ("last", "first", "error"))
        if commit == "batch" and self.work.within is not None:
            raise UsageError(
                'commit="batch" cannot be done within a transaction of the caller',
                hint="Leave the session out, so that each batch has a transaction of its own.",
            )
        self.key = self.own.key if key is None else unique_names(self.reader, key, "key")
        if not self.key:
            raise UsageError("key names no column", hint="Leave it out for the primary key.")
        self.update = None if update is None else unique_names(self.reader, update, "update")
        for name in self.update or ():
            if self.own.columns[name].computed is not None:
                raise UsageError(f"column {name} of {self.own.name} is computed by the server")
        self.duplicates = duplicates
        self.where_changed = where_changed

    def by_batch(self, pieces: Iterator[Piece]) -> Upserted:
        try:
            for piece in pieces:
                self.sent += piece.count
                with self.work.transaction() as session:
                    done = self._write(session, piece, ())
                self.done += done
                self._tell()
        except BaseException as error:  # Ctrl-C, too: what was committed before stays
            error.committed = self.done  # type: ignore[attr-defined]
            error.add_note(
                f"the first {self.done.rows} rows of the input are committed, in {self.done.batches} batches"
            )
            raise
        return self.done

    def at_once(self, first: Piece, rest: Iterator[Piece]) -> Upserted:
        self.sent += first.count
        with self.work.transaction() as session:
            self.done = self._write(session, first, rest)
            self._tell()
        return self.done

    def _write(self, session: orm.Session, first: Piece, rest: Iterable[Piece]) -> Upserted:
        """In the session's transaction."""
        connection = session.connection(bind_arguments={"mapper": self.own.mapper, "clause": self.own.table})
        try:
            done = self._written(connection, first, rest)
        except exc.DBAPIError as error:
            error.hide_parameters = True  # they are the rows
            if sqlstate(error) == _CARDINALITY_VIOLATION:
                raise UsageError(
                    f"two rows of the input are about the same row of {self.own.name}, by a key that they do not have",
                    detail="a default or a trigger of the server gives them the same one",
                    hint="Give each row its whole key, as it is stored.",
                ) from error
            raise
        if self.work.within is not None:
            for item in list(session.identity_map.values()):
                if self.own.table in sa.inspect(item).mapper.tables:
                    session.expire(item)
        return done

    def _written(self, connection: sa.Connection, first: Piece, rest: Iterable[Piece]) -> Upserted:
        target = Target.read(connection, self.own.table)
        key = target.key(self.own, self.key)
        sender = Sender(connection, self.own, target, first.parts)
        second = next(rest := iter(rest), None)
        stage: Stage | None = None
        rows, batches = first.count, 1
        is_small = rows <= ARRAY_ROWS and len(first.parts) <= ARRAY_SETS
        if second is None and (is_small or not target.may_stage):
            source = _arrays(sender, first, column_names(self.own))
            sets: Sequence[RowSet] = [part.rows for part in first.parts]
        else:
            stage = Stage.create(connection, self.own, target, sender)
            stage.copy(connection, first)
            for piece in itertools.chain(() if second is None else (second,), rest):
                self._tell()
                self.sent += piece.count
                stage.copy(connection, piece)
                rows, batches = rows + piece.count, batches + 1
            source, sets = stage.table, list(self.reader.sets.values())
        upsert = Upsert(
            own=self.own,
            target=target,
            sender=sender,
            key=key,
            update=self.update,
            where_changed=self.where_changed,
            duplicates=self.duplicates,
            source=source,
            names=column_names(self.own),
            is_text=stage is None,
            sets=sets,
        )
        try:
            with connection.begin_nested():
                if self.duplicates == "error" and (twins := upsert.twins(connection)):
                    raise BadRow(f"rows {twins[0]} and {twins[1]} of the input have the same key", row=twins[1])
                counts = upsert.write(connection)
        except exc.DBAPIError as error:
            find_row(connection, upsert, first.first, rows, error)
            raise
        if stage is not None and self.work.within is not None:
            stage.drop(connection)
        return Upserted(
            rows=rows,
            inserted=counts.inserted,
            updated=counts.written - counts.inserted,
            unchanged=counts.settled - counts.written,
            duplicates=rows - counts.settled,
            batches=batches,
        )

    def _tell(self) -> None:
        if self.progress is None:
            return
        said = self.progress(
            Progress(
                done=self.done.rows,
                sent=self.sent,
                total=self.reader.total,
                inserted=self.done.inserted,
                updated=self.done.updated,
                seconds=time.monotonic() - self.started,
            )
        )
        if inspect.isawaitable(said):  # of AsyncDatabase, whose operations run in a greenlet
            from sqlalchemy.util import await_only

            await_only(said)


def _arrays(sender: Sender, piece: Piece, names: Mapping[str, str]) -> sa.FromClause:
    """A piece as arrays of texts, one a column."""
    numbers = [number for part in piece.parts for number in part.numbers]
    of_sets = [part.rows.number for part in piece.parts for _ in part.numbers]
    columns: dict[str, list[Any]] = {}
    before = 0
    for part in piece.parts:
        for name, values in zip(part.rows.sent, sender.columns(part), strict=True):
            column = columns.setdefault(name, [None] * len(numbers))
            column[before : before + len(values)] = values
        before += len(part.numbers)
    arrays = {NUMBER: _integers(numbers), SET: _integers(of_sets)}
    arrays |= {names[name]: sender.texts(name, column, numbers) for name, column in columns.items()}
    return unnested(arrays)


def _integers(numbers: Sequence[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def _check(what: str, given: Any, valid: Sequence[str]) -> None:
    if given not in valid:
        raise UsageError(f"{what} cannot be {given!r}", hint=f"Valid: {', '.join(map(repr, valid))}.")
