"""Where a target's statements are read: in its own database, or from there of another one of the same server."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from dbopt.cli import readings
from dbopt.config.values import Setting
from dbopt.errors import Error
from dbopt.postgres.statement_counters import (
    STATEMENT_COUNTERS,
    STATEMENT_COUNTERS_OF_SERVER,
)
from dbopt.snapshot import changed, texts
from dbopt.snapshot.collect import Collected, lacking
from dbopt.snapshot.families import DEFINITIONS
from dbopt.snapshot.model import Family
from dbopt.values import dataclass
from dbopt.workload import access

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.postgres.statement_counters import StatementCounters
    from dbopt.snapshot.model import Part
    from dbopt.snapshot.texts import Fetched

_FAMILIES = (Family.STATEMENTS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A reading of the statements. `collected`: as it may be kept; None: it is of another database, or in parts."""

    part: Part
    collected: Collected | None
    lacks: tuple[tuple[str, str | None], ...] = ()


class StatementSource:
    """The session that reads, and, where that is another database, the one that plans."""

    def __init__(self, session: Session, target: Target, dbname: str | None) -> None:
        self._session = session
        self._target = target
        self._stack = contextlib.ExitStack()
        self.reader = self._stack.enter_context(readings.reader(session, target))
        self.elsewhere = None if dbname == self.reader.server.dbname else dbname
        self._planner: Reader | None = None
        self._dbid: int | None = None  # of another database

    def close(self) -> None:
        self._stack.close()

    @property
    def planner(self) -> Reader:
        """In the database that the statements are of. Raises Error where it cannot be connected to."""
        if self.elsewhere is None:
            return self.reader
        if self._planner is None:
            parameters = {**self._target.parameters, "dbname": Setting(self.elsewhere, "--database")}
            target = replace(self._target, parameters=parameters)
            self._planner = self._stack.enter_context(readings.reader(self._session, target))
        return self._planner

    def read(self, known: Part | None = None) -> Taken:
        """`known`: an earlier reading, which spares the server what has not changed since.

        Raises Error where pg_stat_statements cannot be read, with every step to where it can.
        """
        taken = self._changed(known) or self.reader.read(_FAMILIES if self.elsewhere is None else ())
        if Family.STATEMENTS in taken.snapshot.parts:
            lacks = access.lacks(self.reader.server, self.reader.surroundings)
            return Taken(part=taken.snapshot.parts[Family.STATEMENTS], collected=taken, lacks=lacks)
        self._refuse()
        rows = self._rows()
        if not rows and self.elsewhere is not None:
            self._refuse_nothing(self.elsewhere)
        reader, of = self.reader, None if self.elsewhere is None else [self.elsewhere]
        concealed = access.hidden(reader.conn, reader.surroundings, of)
        return Taken(
            part=DEFINITIONS[Family.STATEMENTS].part(rows, taken.snapshot.parts[Family.SERVER]),
            collected=None,
            lacks=access.lacks(reader.server, reader.surroundings, concealed),
        )

    def _changed(self, known: Part | None) -> Collected | None:
        """Of this database, by what has changed since; None where that cannot be told."""
        reader = self.reader
        if known is None or self.elsewhere is not None:
            return None
        if lacking(Family.STATEMENTS, reader.server, reader.surroundings) is not None:
            return None
        if not changed.can_read(reader.server, reader.surroundings):
            return None
        taken = reader.read(())
        parts = taken.snapshot.parts
        part = changed.statements(reader.conn, reader.surroundings, parts[Family.SERVER], known)
        if part is None:
            return None
        snapshot = replace(taken.snapshot, parts={**parts, Family.STATEMENTS: part})
        return Collected(snapshot, taken.rows)

    def _rows(self) -> Sequence[StatementCounters]:
        """Those that this role may see."""
        schema, version = self.reader.surroundings.extension("pg_stat_statements")
        if self.elsewhere is None:
            with self.reader.conn.cursor(row_factory=class_row(STATEMENT_COUNTERS.row)) as cursor:
                return cursor.execute(STATEMENT_COUNTERS.composed(version, schema)).fetchall()
        with self.reader.conn.cursor(row_factory=class_row(STATEMENT_COUNTERS_OF_SERVER.row)) as cursor:
            query = STATEMENT_COUNTERS_OF_SERVER.composed(version, schema)
            rows = cursor.execute(query, {"datnames": [self.elsewhere]}).fetchall()
        self._dbid = next((row.dbid for row in rows), None)
        return rows

    def _refuse(self) -> None:
        reader = self.reader
        barred = access.look(reader.conn, reader.server, reader.surroundings)
        if barred is None or barred.stands_still:
            return
        fallback = self._session.call("slow-queries", *access.FALLBACK, specs=False)
        hint = "\n".join([*barred.steps, f"Until then: {fallback}"])
        raise Error(
            f"could not read the statements of {reader.place}: {barred.message}", detail=barred.detail, hint=hint
        )

    def _refuse_nothing(self, dbname: str) -> None:
        known = self.reader.conn.execute(
            "/* dbopt: whether there is such a database */ SELECT d.datname::text FROM pg_catalog.pg_database AS d"
            " WHERE d.datallowconn ORDER BY d.datname"
        ).fetchall()
        names = [row[0] for row in known]
        if dbname not in names:
            raise Error(f"{self.reader.place} has no database {dbname}", hint=f"It has: {', '.join(names)}.")

    def fetch(self, queryids: Collection[int], bytes_max: int) -> Fetched:
        """Normalized texts."""
        reader = self.reader
        return texts.fetch(reader.conn, reader.surroundings, queryids, dbid=self._dbid, bytes_max=bytes_max)

    def fetch_raw(self, queryids: Collection[int]) -> Mapping[int, str]:
        """With whatever values stand in them."""
        return texts.fetch_raw(self.reader.conn, self.reader.surroundings, queryids, dbid=self._dbid).texts
