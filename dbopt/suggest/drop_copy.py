"""Indexes dropped on a copy of the database, in a transaction that is rolled back, to see what suffers.

The copy is somebody's restored backup. Nothing remains of it there; but the index is locked for as long as statements
are planned, so nobody should be at work on it. It is told from the database itself by what the server is and by the
database's oid: a copy made file by file cannot be told apart, and is refused.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.errors import Error
from dbopt.postgres import catalog
from dbopt.postgres.connect import connect, describe, set_in_transaction
from dbopt.postgres.database_identity import DATABASE_IDENTITY
from dbopt.postgres.identifiers import display, qualified
from dbopt.postgres.index_definitions import definitions
from dbopt.postgres.server import inspect
from dbopt.suggest.cost.definition import create_index
from dbopt.suggest.cost.hypothetical import Hypothetical
from dbopt.suggest.cost.installed import HypoPG, installed
from dbopt.suggest.cost.session import Session
from dbopt.suggest.drop_proof import Verdict, counted, suffering

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.drop_evidence import Case
    from dbopt.suggest.model import Candidate, Costed, Name, Subject, Table

LOCK_TIMEOUT_MS = 2_000  # nobody should be at work there
BUILD_TIMEOUT_MS = 60_000  # of an index of the new list, where there is no HypoPG
_ALIKE = 2.0  # so many times more or less rows, and plans there tell nothing about here


class _Kept(Exception):
    """The index is to come back."""


def on_copy(
    scratch: str,
    conn: Connection,
    server: Server,
    tables: Mapping[Name, Table],
    subjects: Sequence[Subject],
    chosen: frozenset[Candidate],
    cases: Sequence[Case],
) -> dict[Name, Verdict]:
    """One index after the other; what can go is gone when the next one is tried. `scratch`: a connection string.

    Raises ConnectionFailed, and Error where it is no copy, or not to be told from the database itself.
    """
    with contextlib.closing(
        connect(scratch, command="suggest", read_only=False, lock_timeout_ms=LOCK_TIMEOUT_MS)
    ) as copy:
        place = describe(scratch)
        _refuse_itself(conn, server, copy, place)
        there = inspect(copy)
        why_not = _differing(conn, server, copy, there, cases)
        found = {case.name: Verdict(suffers=None, how=why_not[case.name]) for case in cases if case.name in why_not}
        left = [case for case in cases if case.name not in why_not]
        with copy.transaction(force_rollback=True):
            planned = _Planned(copy, there, tables, subjects, chosen)
            how = planned.make([case.table for case in left]) if left else None
            if how is not None:
                return found | {case.name: Verdict(suffers=None, how=how) for case in left}
            before = planned.costs() if left else []
            for case in left:
                found[case.name] = _without(copy, case, planned, before)
        return found


def _refuse_itself(conn: Connection, server: Server, copy: Connection, place: str) -> None:
    major = divmod(copy.info.server_version, 10000)
    own = DATABASE_IDENTITY.rows(conn, server.version)[0]
    other = DATABASE_IDENTITY.rows(copy, major)[0]
    if copy.execute("/* dbopt: is it a standby? */ SELECT pg_catalog.pg_is_in_recovery()").fetchall()[0][0]:
        raise Error(
            f"no index can be dropped on {place}, which is a standby",
            hint="Give --scratch a database of its own, restored from a dump.",
        )
    if own.system_identifier is None or other.system_identifier is None:
        raise Error(
            f"{place} cannot be told from the database itself",
            detail="pg_control_system() says which server it is, and the role may not call it on both",
            hint="GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO the role, on both.",
        )
    if (own.system_identifier, own.database_oid) == (other.system_identifier, other.database_oid):
        raise Error(
            f"{place} is the database itself, or a copy of its files",
            detail=f"both have the system identifier {own.system_identifier} and the oid {own.database_oid}",
            hint="Restore a dump into a database of its own: pg_dump -Fc ... | pg_restore -d scratch, then ANALYZE.",
        )


def _differing(
    conn: Connection, server: Server, copy: Connection, there: Server, cases: Sequence[Case]
) -> dict[Name, str]:
    """Of which cases the copy says nothing, and why."""
    names = sorted({case.table for case in cases})
    here_definitions = {(row.schema, row.index): row.definition for row in definitions(conn, server, names)}
    there_definitions = {(row.schema, row.index): row.definition for row in definitions(copy, there, names)}
    parameters = {"schemas": [schema for schema, _ in names], "tables": [name for _, name in names]}
    here_rows = {(row.schema, row.table): row for row in catalog.TABLES.rows(conn, server.version, parameters)}
    there_rows = {(row.schema, row.table): row for row in catalog.TABLES.rows(copy, there.version, parameters)}
    found: dict[Name, str] = {}
    for case in cases:
        own, other = here_rows.get(case.table), there_rows.get(case.table)
        table = display(*case.table)
        if other is None or case.name not in there_definitions:
            found[case.name] = "no planner has tried: the copy does not have it"
        elif there_definitions[case.name] != here_definitions.get(case.name):
            found[case.name] = "no planner has tried: it is another index on the copy"
        elif other.reltuples <= 0 or other.never_analyzed:
            found[case.name] = f"no planner has tried: {table} was never analyzed on the copy"
        elif own is None or not 1 / _ALIKE <= other.reltuples / max(own.reltuples, 1.0) <= _ALIKE:
            found[case.name] = f"no planner has tried: {table} has {other.reltuples:,.0f} rows on the copy"
    return found


class _Planned:
    """All statements as the copy plans them, with the new list: made by HypoPG, or really."""

    def __init__(
        self,
        copy: Connection,
        server: Server,
        tables: Mapping[Name, Table],
        subjects: Sequence[Subject],
        chosen: frozenset[Candidate],
    ) -> None:
        self.subjects = subjects
        self._copy = copy
        self._server = server
        self._tables = tables
        self._chosen = chosen
        found = installed(copy, server)
        self._where = found if isinstance(found, HypoPG) else None

    def make(self, tables: Iterable[Name]) -> str | None:
        """The list on these tables, where there is no HypoPG. In words, why that could not be."""
        concerned = set(tables)
        if self._where is not None:
            return None
        for number, item in enumerate(sorted(item for item in self._chosen if item.relation in concerned)):
            try:
                with self._copy.transaction():
                    set_in_transaction(self._copy, {"statement_timeout": str(BUILD_TIMEOUT_MS)})
                    self._copy.execute(create_index(item, item.relation, name=f"dbopt_suggested_{number}"))
            except psycopg.Error as exc:
                if self._copy.closed:
                    raise
                return f"no planner has tried: the new list could not be made on the copy ({exc.diag.message_primary})"
        return None

    def costs(self) -> list[Costed | None]:
        pairs = [(subject, probe) for subject in self.subjects for probe in subject.probes]
        if self._where is None:
            relations = {name: table.relation for name, table in self._tables.items()}
            with Session(self._copy, self._server) as session:
                return session.base(pairs, relations)
        with Hypothetical(self._copy, self._server, self._tables, self._where) as planner:
            return planner.ask([(subject, self._chosen, probe) for subject, probe in pairs])


def _without(copy: Connection, case: Case, planned: _Planned, before: Sequence[Costed | None]) -> Verdict:
    suffers: bool | None = None
    try:
        with contextlib.suppress(_Kept), copy.transaction():
            copy.execute(sql.SQL("DROP INDEX /* dbopt: on a copy, rolled back */ {}").format(qualified(*case.name)))
            suffers = suffering(before, planned.costs())
            if suffers is not False:
                raise _Kept
    except psycopg.Error as exc:
        if copy.closed:
            raise
        return Verdict(
            suffers=None, how=f"no planner has tried: {exc.diag.message_primary or 'it could not be dropped'}"
        )
    if suffers is None:
        return Verdict(suffers=None, how="no planner has tried: a statement could not be planned on the copy")
    return Verdict(suffers=suffers, how=f"plans of {counted(planned.subjects)} on a copy without it")
