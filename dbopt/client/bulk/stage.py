"""A temporary table that rows are copied into, before one statement takes them from there into theirs.

It lies in pg_temp and is named there, whatever search_path says, and is gone with the transaction at the latest.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from psycopg import Error as DriverError
from psycopg.sql import SQL, Identifier
from sqlalchemy import exc

from dbopt.client.bulk.values import Named
from dbopt.errors import NotPermitted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg.sql import Composed

    from dbopt.client.bulk.rows import Piece
    from dbopt.client.bulk.target import Target
    from dbopt.client.bulk.values import Sender
    from dbopt.client.shape import Entity

# The same each time where it is free, so that statements are the same, too: psycopg prepares them, and
# pg_stat_statements keeps one of each.
NAME = "dbopt_upsert"
NUMBER, SET = "n", "set"  # columns that say which row of the input it is, and of which set


@dataclass(frozen=True, slots=True)
class Stage:
    table: sa.Table
    sender: Sender
    names: dict[str, str]  # of its columns, by those of the model

    @classmethod
    def create(cls, connection: sa.Connection, own: Entity, target: Target, sender: Sender) -> Stage:
        """With all columns that the table lets be written: later pieces may have others than the first one has.

        Raises NotPermitted.
        """
        if not target.may_stage:
            role, database = connection.exec_driver_sql("SELECT current_user, current_database()").one()
            raise NotPermitted(
                f"the role {role} may not make temporary tables, which an upsert of so many rows needs",
                hint=f"GRANT TEMPORARY ON DATABASE {_quoted(database)} TO {_quoted(role)};",
            )
        free = (NAME if number == 0 else f"{NAME}_{number}" for number in itertools.count())
        names = column_names(own)
        columns = [sa.Column(NUMBER, sa.BigInteger), sa.Column(SET, sa.Integer)]
        types = ["bigint", "integer"]
        for name, column in names.items():
            known = target.columns.get(own.columns[name].name)
            if known is not None and not known.is_generated:
                carrier = sender.carrier(name)
                types.append(carrier.spelling if isinstance(carrier, Named) else carrier.type_name)
                columns.append(sa.Column(column, Named(types[-1])))
        table = sa.Table(
            next(name for name in free if name not in target.temporary), sa.MetaData(), *columns, schema="pg_temp"
        )
        definition = SQL(", ").join(
            SQL("{} {}").format(Identifier(column.name), SQL(spelling))  # as the catalog says
            for column, spelling in zip(columns, types, strict=True)
        )
        create = SQL("CREATE TEMPORARY TABLE pg_temp.{} ({}) ON COMMIT DROP")
        run(connection, create.format(Identifier(table.name), definition))
        return cls(table, sender, names)

    def copy(self, connection: sa.Connection, piece: Piece) -> None:
        """Raises BadRow, and SQLAlchemy's errors with the row that the server has refused."""
        sent = {name for part in piece.parts for name in part.rows.sent}
        names = tuple(name for name in self.names if name in sent)
        columns = [self.sender.columns(part) for part in piece.parts]
        numbers = [number for part in piece.parts for number in part.numbers]

        def rows() -> Iterator[tuple[Any, ...]]:
            for part, found in zip(piece.parts, columns, strict=True):
                values = dict(zip(part.rows.sent, found, strict=True))
                absent = itertools.repeat(None)
                yield from zip(
                    part.numbers, itertools.repeat(part.rows.number), *(values.get(name, absent) for name in names)
                )  # fmt: skip

        statement = SQL("COPY pg_temp.{} ({}) FROM STDIN").format(
            Identifier(self.table.name),
            SQL(", ").join(map(Identifier, (NUMBER, SET, *(self.names[name] for name in names)))),
        )
        try:
            run(connection, statement, rows())
        except exc.DBAPIError as error:
            found = _refused(error, self.table.name)
            if found is not None and found[0] <= len(numbers):
                column = next((name for name, own in self.names.items() if own == found[1]), None)
                tell_row(error, numbers[found[0] - 1], column)
            raise
        except (DriverError, ValueError, TypeError) as error:
            for part, found_columns in zip(piece.parts, columns, strict=True):
                self.sender.blame(zip(part.rows.sent, found_columns, strict=True), part.numbers, error)
            raise

    def drop(self, connection: sa.Connection) -> None:
        run(connection, SQL("DROP TABLE pg_temp.{}").format(Identifier(self.table.name)))


def column_names(own: Entity) -> dict[str, str]:
    """Columns of a source of rows, by those of the model: whatever these are called, and however long."""
    return {name: f"c{number}" for number, name in enumerate(own.columns)}


def run(connection: sa.Connection, statement: Composed, rows: Iterator[Sequence[Any]] | None = None) -> None:
    """By the driver itself: SQLAlchemy's cursors have no COPY, and its events are for the application's own tables.
    `rows`: for COPY. What the server says comes as SQLAlchemy's errors.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        if connection.dialect.is_async:
            from sqlalchemy.util import await_only

            await_only(_run_async(driver, statement, rows))
        else:
            _run(driver, statement, rows)
    except DriverError as error:
        if error.sqlstate is None and not driver.closed:
            raise  # psycopg's own: a value that it cannot send
        is_lost = bool(driver.closed)
        if is_lost:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            statement.as_string(),
            None,
            error,
            DriverError,
            connection_invalidated=is_lost,
            dialect=connection.dialect,
        ) from error
    except Exception:  # of the rows' own making: the transaction is rolled back by whoever began it
        raise
    except BaseException as error:  # cancelled: as SQLAlchemy does it, nobody uses this connection again
        connection.invalidate(error)
        raise


def _run(driver: Any, statement: Composed, rows: Iterator[Sequence[Any]] | None) -> None:
    with driver.cursor() as cursor:
        if rows is None:
            cursor.execute(statement)
            return
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


# Formatting rows is work, during which the event loop stands still: less than a millisecond for so many.
_TURN_ROWS = 500


async def _run_async(driver: Any, statement: Composed, rows: Iterator[Sequence[Any]] | None) -> None:
    async with driver.cursor() as cursor:
        if rows is None:
            await cursor.execute(statement)
            return
        async with cursor.copy(statement) as copy:
            for number, row in enumerate(rows):
                await copy.write_row(row)
                if number % _TURN_ROWS == 0:
                    await asyncio.sleep(0)


def tell_row(error: BaseException, row: int, column: str | None = None) -> None:
    """On an error that stays SQLAlchemy's: the row of the input, for people as a note, for programs as attributes."""
    error.input_row, error.input_column = row, column  # type: ignore[attr-defined]
    error.add_note(f"row {row} of the input, counted from 0" + (f", column {column}" if column else ""))


def _refused(error: exc.DBAPIError, table: str) -> tuple[int, str | None] | None:
    """Line and column of COPY, as the server's CONTEXT has them in any language."""
    context = getattr(getattr(error.orig, "diag", None), "context", None) or ""
    found = re.search(rf"\b{table}\b\D+(\d+)(?:\D*?\b(c\d+)\b)?", context)
    return (int(found[1]), found[2]) if found else None


def _quoted(name: str) -> str:
    return Identifier(name).as_string()
