"""The texts of statements, as they may be kept: without values, comments and passwords.

PostgreSQL has put parameters where constants were, but not in all: what is no query (ALTER ROLE ... PASSWORD), and what
was prepared before its entry was dropped, stand there as they were sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from psycopg.errors import CharacterNotInRepertoire, UntranslatableCharacter
from psycopg.sql import SQL

from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.counters import ACTIVITY, SERVER_COUNTERS
from dbopt.postgres.normalized import normalized
from dbopt.postgres.server import FACTS
from dbopt.postgres.statement_counters import (
    CHANGED_STATEMENTS,
    STATEMENT_COUNTERS,
    STATEMENT_TEXTS,
    TEXTS_WORK_MEM,
)
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from psycopg.sql import Composed

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Change, Interval, Part

Params = Mapping[str, object] | None

# Texts are kept of those that cost most in some interval; nobody asks for the others.
TOP = 100
# Reading one text makes the server read all of them, a quarter of a second where they are long: not for a trifle.
_LEAST_SHARE = 0.01


# More than anybody has.
_NO_LIMIT_BYTES = 2**40


@dataclass(frozen=True, slots=True)
class Fetched:
    """By queryid; those that are gone are missing. `passed_over`: those that would have been too much. `look`: the id
    of the statement that has fetched them; None: the server does not tell.
    """

    texts: Mapping[int, str]
    passed_over: frozenset[int] = frozenset()
    look: int | None = None


def fetch(
    conn: Connection,
    surroundings: Surroundings,
    queryids: Collection[int],
    *,
    dbid: int | None = None,
    bytes_max: int = _NO_LIMIT_BYTES,
) -> Fetched:
    """Normalized, in the order of the ids until they are too long together. `conn` in autocommit. `dbid`: of another
    database.
    """
    found = fetch_raw(conn, surroundings, queryids, dbid=dbid, bytes_max=bytes_max)
    texts = {queryid: normalized(text) for queryid, text in found.texts.items()}
    return Fetched(texts, found.passed_over, found.look)


def fetch_raw(
    conn: Connection,
    surroundings: Surroundings,
    queryids: Collection[int],
    *,
    dbid: int | None = None,
    bytes_max: int = _NO_LIMIT_BYTES,
) -> Fetched:
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
            parameters = {"queryids": list(queryids), "dbid": dbid, "bytes_max": bytes_max}
            rows = conn.execute(query, parameters).fetchall()
            own = list(_own(conn, surroundings, query, parameters))
    except (CharacterNotInRepertoire, UntranslatableCharacter):
        return Fetched({})
    texts = {int(row[0]): row[1] for row in [*rows, *own] if row[1] is not None}
    return Fetched(
        {key: text if isinstance(text, str) else text.decode(errors="replace") for key, text in texts.items()},
        frozenset(int(row[0]) for row in rows if row[1] is None),
        own[0][0] if own else None,
    )


# What dbopt asks most, and costs most of what it asks. Their parameters are of one type whatever they are.
_ASKED = (STATEMENT_COUNTERS, CHANGED_STATEMENTS, SERVER_COUNTERS, ACTIVITY, SURROUNDINGS, FACTS)


def _own(conn: Connection, surroundings: Surroundings, looks: Composed, looked: Params) -> Iterator[tuple[int, str]]:
    """The ids and texts of dbopt's own statements, this very look among them: the next reading would have all texts
    read again to find out what they are.
    """
    asked: list[tuple[SQL | Composed, Params]] = [(looks, looked)]
    for query in _ASKED:
        if query.extension is None:
            asked.append((SQL(query.text(divmod(conn.info.server_version, 10_000))), query.example))
        elif surroundings.can_answer(query):
            schema, version = surroundings.extension(query.extension)
            asked.append((query.composed(version, schema), query.example))
    for text, parameters in asked:
        explain = SQL("EXPLAIN /* dbopt: its own id */ (VERBOSE, FORMAT JSON) ") + text
        row = conn.execute(explain, parameters, prepare=False).fetchone()
        identifier = None if row is None else row[0][0].get("Query Identifier")  # 14+
        if identifier is None:
            return
        yield identifier, text.as_string(conn)


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
