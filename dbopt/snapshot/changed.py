"""A reading of the statements by what has changed since another one: of thousands, most do nothing in an hour.

The whole costs the server some 15 ms for 4,500 entries, what has changed a third of that. What comes of it is the same
Part, but for an entry that somebody has reset alone and that was not called since: it stays as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg.rows import args_row

from dbopt.postgres.statement_counters import CHANGED_STATEMENTS, counted
from dbopt.postgres.statements import EXTENSION
from dbopt.snapshot.families import DEFINITIONS
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Part

_DEFINITION = DEFINITIONS[Family.STATEMENTS]


def can_read(server: Server, surroundings: Surroundings) -> bool:
    """Whether this server tells enough, and finds a number in a long list quickly."""
    return server.hashes_lists and surroundings.can_answer(CHANGED_STATEMENTS)


def statements(conn: Connection, surroundings: Surroundings, own: Part, known: Part) -> Part | None:
    """The family STATEMENTS as it is now. None where it has to be read as a whole: what is known was counted on another
    machine, before a reset or an eviction, or in another way. `own`: of this very moment, the server's.
    """
    if (own.lineage, own.database_oid) != (known.lineage, known.database_oid):
        return None
    schema, version = surroundings.extension(EXTENSION)
    calls = known.counts.index("calls")
    numbers = []
    for key, subject in known.subjects.items():
        queryid, userid, toplevel = key.split("/")
        amount = int(subject.counts[calls] or 0)
        numbers.append(counted(int(queryid), int(userid), amount, toplevel=toplevel == "1"))
    with conn.cursor(row_factory=args_row(CHANGED_STATEMENTS.row)) as cursor:
        parameters = {"known": numbers, "since": known.taken_at}
        cursor.execute(CHANGED_STATEMENTS.composed(version, schema), parameters, prepare=False)
        rows = cursor.fetchall()
    part = _DEFINITION.part([row for row in rows if row.queryid is not None], own)
    if (rows[0].reset_since, rows[0].evictions) != (known.since, known.evictions):
        return None
    if not part.subjects:  # then no row tells how it is counted
        return replace(
            known,
            taken_at=own.taken_at,
            of_database=own.of_database,
            remembers=own.remembers,
            machine=own.machine,
            asked_at=own.asked_at,
        )
    if (part.source, part.counts, part.gauges) != (known.source, known.counts, known.gauges):
        return None
    return replace(part, subjects={**known.subjects, **part.subjects})
