"""The texts of statements, as they may be kept: without values, comments and passwords.

PostgreSQL has put parameters where constants were, but not in all: what is no query (ALTER ROLE ... PASSWORD), and what
was prepared before its entry was dropped, stand there as they were sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.errors import CharacterNotInRepertoire, UntranslatableCharacter
from psycopg.sql import SQL

from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.normalized import normalized
from dbopt.postgres.statement_counters import STATEMENT_TEXTS, TEXTS_WORK_MEM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from psycopg.sql import Composed

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Change, Interval, Part

# Texts are kept of those that cost most in some interval; nobody asks for the others.
TOP = 100
# Reading one text makes the server read all of them, a quarter of a second where they are long: not for a trifle.
_LEAST_SHARE = 0.01


def fetch(
    conn: Connection, surroundings: Surroundings, queryids: Collection[int], *, dbid: int | None = None
) -> dict[int, str]:
    """By queryid, normalized; those that are gone are missing. `conn` in autocommit. `dbid`: of another database."""
    found = fetch_raw(conn, surroundings, queryids, dbid=dbid)
    return {queryid: normalized(text) for queryid, text in found.items()}


def fetch_raw(
    conn: Connection, surroundings: Surroundings, queryids: Collection[int], *, dbid: int | None = None
) -> dict[int, str]:
    """As the server has them, with values: for whoever has asked to see them, never to be kept.

    None at all where one of them, of whatever database, cannot be written in this one's encoding: the server then
    refuses to read any.
    """
    schema, version = surroundings.extension("pg_stat_statements")
    # A SQL_ASCII database has bytes, which the server can write in no other encoding; from the others UTF8 can be had,
    # whatever this session's own is.
    encoding = "SQL_ASCII" if conn.info.parameter_status("server_encoding") == "SQL_ASCII" else "UTF8"
    try:
        with conn.transaction():
            set_in_transaction(conn, {"work_mem": TEXTS_WORK_MEM, "client_encoding": encoding})
            query = STATEMENT_TEXTS.composed(version, schema)
            parameters = {"queryids": list(queryids), "dbid": dbid}
            rows = conn.execute(query, parameters).fetchall()
            rows += _itself(conn, query, parameters)
    except (CharacterNotInRepertoire, UntranslatableCharacter):
        return {}
    return {int(row[0]): row[1] if isinstance(row[1], str) else row[1].decode(errors="replace") for row in rows}


def _itself(conn: Connection, query: Composed, parameters: Mapping[str, object]) -> list[tuple[int, str]]:
    """The id of this very look, and its text: it costs so much that the next reading would ask what it was."""
    found = conn.execute(SQL("EXPLAIN /* dbopt: its own id */ (VERBOSE, FORMAT JSON) ") + query, parameters).fetchone()
    identifier = None if found is None else found[0][0].get("Query Identifier")  # 14+
    return [] if identifier is None else [(identifier, query.as_string(conn))]


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
