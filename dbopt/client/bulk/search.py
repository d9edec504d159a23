"""Which row of the input the server has refused: found by trying, in savepoints that are rolled back.

The server names a constraint, and at times a value, but no row. The least number of rows that fails ends with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exc

from dbopt.client.bulk.stage import tell_row
from dbopt.client.bulk.statement import Before
from dbopt.client.failures import sqlstate

if TYPE_CHECKING:
    import sqlalchemy as sa

    from dbopt.client.bulk.statement import Upsert

# What rows can be the reason of: data exceptions, constraints, WITH CHECK OPTION, RAISE of a trigger.
_CLASSES = ("22", "23", "44", "P0")
# A search writes about seven times as many rows as there are.
SEARCHED_ROWS = 20_000
_UNIQUE_VIOLATION = "23505"


def find_row(connection: sa.Connection, upsert: Upsert, first: int, rows: int, error: exc.DBAPIError) -> None:
    """Tell it on the error; nothing where it cannot be known. The transaction stays as it was before the statement."""
    state = sqlstate(error) or ""
    if state == _UNIQUE_VIOLATION and any(map(upsert.is_counted, upsert.sets)):
        return  # a sequence goes on from try to try
    if error.connection_invalidated or state[:2] not in _CLASSES or rows > SEARCHED_ROWS:
        return
    try:
        for is_settled in (True, False):  # some values are already refused before rows are settled
            row = _least(connection, upsert, first, first + rows, state, is_settled=is_settled)
            if row is not None:
                tell_row(error, row)
                return
    except exc.DBAPIError:
        return  # another trouble than the first: waited too long, say


def _least(
    connection: sa.Connection, upsert: Upsert, first: int, end: int, state: str, *, is_settled: bool
) -> int | None:
    def fails(before: int) -> bool:
        savepoint = connection.begin_nested()
        try:
            upsert.write(connection, Before(before, is_settled))
        except exc.DBAPIError as error:
            if sqlstate(error) != state:
                raise
            return True
        finally:
            savepoint.rollback()
        return False

    if fails(first) or not fails(end):
        return None
    good, bad = first, end
    while bad - good > 1:
        middle = (good + bad) // 2
        if fails(middle):
            bad = middle
        else:
            good = middle
    return good
