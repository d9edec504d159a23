"""The texts of statements, as they may be kept: without values, comments and passwords.

PostgreSQL has put parameters where constants were, but not in all: what is no query (ALTER ROLE ... PASSWORD), and what
was prepared before its entry was dropped, stand there as they were sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.literals import masked
from dbopt.postgres.statement_counters import STATEMENT_TEXTS, TEXTS_WORK_MEM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Change, Interval, Part

# Texts are kept of those that cost most in some interval; nobody asks for the others.
TOP = 100
# Reading one text makes the server read all of them, a quarter of a second where they are long: not for a trifle.
_LEAST_SHARE = 0.01


def fetch(conn: Connection, surroundings: Surroundings, queryids: Collection[int]) -> dict[int, str]:
    """By queryid, masked; those that are gone are missing. `conn` in autocommit."""
    schema, version = surroundings.extension("pg_stat_statements")
    with conn.transaction():
        set_in_transaction(conn, {"work_mem": TEXTS_WORK_MEM})
        rows = conn.execute(STATEMENT_TEXTS.composed(version, schema), {"queryids": list(queryids)}).fetchall()
    return {int(row[0]): masked(row[1]) for row in rows}


def wanted(interval: Interval | None, now: Part, known: Collection[int]) -> list[int]:
    """The queryids whose texts are worth fetching: of those that cost most in the interval, or so far where this is the
    first reading.
    """
    if interval is not None:
        costs = _costs(interval.counts, interval.changes.values())
    else:
        at = now.counts.index("total_exec_time_ms")
        costs = [(item.counts[at] or 0.0, item.name) for item in now.subjects.values()]
    top = sorted(costs, reverse=True)[:TOP]
    missing = [(cost, name) for cost, name in top if int(name) not in known]
    if sum(cost for cost, _ in missing) < _LEAST_SHARE * sum(cost for cost, _ in costs):
        return []
    return list(dict.fromkeys(int(name) for _, name in missing))


def _costs(counts: tuple[str, ...], changes: Iterable[Change]) -> list[tuple[float, str]]:
    at = counts.index("total_exec_time_ms")
    return [(item.counts[at] or 0.0, item.name) for item in changes]
