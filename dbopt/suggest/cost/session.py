"""Plans of many statements, again and again, in one session that changes nothing.

All is sent in batches without waiting for answers (libpq's pipeline): a round trip costs as much as planning a small
statement. Plans for any values come from prepared statements and plan_cache_mode, on every version: the server keeps
such a plan until it is told to DISCARD PLANS. EXPLAIN (GENERIC_PLAN) of 16 and later would want a round trip each, for
the protocol that takes many at once asks for the values (postgres/explain.py).

Values of probes are people's data. They go beside the text of EXPLAIN, not in it: so neither pg_stat_statements nor,
unless it logs the parameters of applications as well, the server's log gets to see them; and they are sent by a cursor
that logs nothing. The plans that come back have them in their conditions.

A batch runs behind a savepoint to which the transaction goes back at its end: that gives back the locks on tables
which planning takes, so that nobody's ALTER TABLE waits for us, and all others behind it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.search_paths import joined
from dbopt.suggest.cost.honest import honest_cost
from dbopt.suggest.cost.prepared import Prepared, Values, used
from dbopt.suggest.model import Costed
from dbopt.values import dataclass
from dbopt.workload.explain import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Candidate, Name, Probe, Subject
    from dbopt.workload.finding import Relation
    from dbopt.workload.plan import Node

logger = logging.getLogger("dbopt.sql")

AT_A_TIME = 200  # statements whose plans, of 2 to 20 kB each, wait in memory
_PREFIX = "dbopt_suggest"
_SAVEPOINT = sql.Identifier("dbopt_suggest")
_BACK = sql.SQL("ROLLBACK TO SAVEPOINT {}").format(_SAVEPOINT)
_EXPLAIN = sql.SQL("EXPLAIN /* dbopt: suggest */ (FORMAT JSON, VERBOSE) {}")
_SETTING = b"SELECT /* dbopt: settings */ pg_catalog.set_config($1, $2, true)"
_TAKEN = "/* dbopt: prepared statements */ SELECT s.name FROM pg_catalog.pg_prepared_statements AS s ORDER BY s.name"
# Only a superuser may: so that thousands of plans do not push an application's statements out of there.
_UNCOUNTED = """
    /* dbopt: these are no statements of the workload */
    SELECT pg_catalog.set_config('pg_stat_statements.track', 'none', true)
     WHERE pg_catalog.current_setting('is_superuser') = 'on'
       AND pg_catalog.current_setting('pg_stat_statements.track', true) IS NOT NULL
"""
_PRUNED = re.compile(rb'"Subplans Removed": [1-9]')
_PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)


class Command(NamedTuple):
    text: bytes
    values: Sequence[str | int | None] | None = None


class Setup(Protocol):
    """What a session has to do before it plans, as hypothetical indexes. Questions are known by their places."""

    def begin(self) -> None:
        """Nothing of what was asked for by `before` and not answered was done, or will be."""

    def before(self, at: int) -> Iterable[Command]:
        """What is to be run before a question, when all that it gave until now has been run."""

    def answered(self, cursor: psycopg.Cursor[Any]) -> None:
        """Of each of its commands, in their order."""

    def planned(self, at: int) -> None:
        """The question was answered, with what there is after the commands that were answered."""

    def failed(self, error: psycopg.Error) -> None:
        """Of the command after those that were answered; raises it where there is no other way."""


class _Asked(NamedTuple):
    """`values` None: a plan for any. `is_whole`: one that shows all partitions."""

    at: int
    statement: Prepared
    values: Values | None
    is_whole: bool = False

    @property
    def name(self) -> str:
        return f"{self.statement.name}_whole" if self.is_whole else self.statement.name


class _Sent(NamedTuple):
    """A command for a question. `name`: that it prepares."""

    command: Command
    asked: _Asked
    is_setup: bool = False
    is_answer: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """`roots`: of a rule several, or none. `planner_cost`: of all of them; where partitions are not shown in the plan
    that it belongs to, `roots` are of one that shows them and may cost something else.
    """

    roots: tuple[Node, ...]
    planner_cost: float

    @property
    def root(self) -> Node | None:
        return self.roots[0] if self.roots else None


class Session:
    """To be entered: a transaction that cannot write, rolled back at the end. `explains`: statements planned so far."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        *,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> None:
        self.explains = 0
        self._conn = conn
        self._server = server
        self._manners = {
            "transaction_read_only": "on",
            "standard_conforming_strings": "on",
            "plan_cache_mode": "force_generic_plan",
            "statement_timeout": str(statement_timeout_ms),
            "lock_timeout": str(lock_timeout_ms),
            "idle_in_transaction_session_timeout": "0",
            "transaction_timeout": "0",
        }
        self._stack = contextlib.ExitStack()
        self._prefix = _PREFIX
        self._known: dict[tuple[str, tuple[str, ...], tuple[str, ...] | None], Prepared] = {}
        self._texts: dict[tuple[Prepared, str], bytes] = {}
        self._names: set[str] = set()  # that were prepared

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._conn.transaction(force_rollback=True))
            set_in_transaction(self._conn, self._manners)
            self._conn.execute(_UNCOUNTED)
            # A pooler's session may still have those of an application, or of a dbopt that was killed.
            while self._prepared():
                self._prefix += "_"
            self._conn.execute(sql.SQL("SAVEPOINT {}").format(_SAVEPOINT))
            stack.callback(self._leave)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _leave(self) -> None:
        """Prepared statements outlive their transaction; one that was interrupted may have made more than is known."""
        if self._conn.closed:
            return
        self.back()
        names = self._prepared()
        with self._conn.pipeline():
            for name in names:
                self._conn.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(name)))
        self._names.clear()

    def _prepared(self) -> list[str]:
        """The names of statements that begin with our prefix."""
        rows = self._conn.execute(_TAKEN).fetchall()
        return [name for (name,) in rows if name.startswith(self._prefix)]

    def back(self) -> None:
        """Whatever has gone wrong in the transaction, it goes on, without locks."""
        self._conn.execute(_BACK)

    # Questions

    def base(
        self, asked: Sequence[tuple[Subject, Probe]], relations: Mapping[Name, Relation] | None = None
    ) -> list[Costed | None]:
        """As things are, without any candidate. Raises psycopg errors if the connection is lost."""
        return [None if one is None else costed(one, relations or {}, {}) for one in self.explain(asked)]

    def explain(self, asked: Sequence[tuple[Subject, Probe]], setup: Setup | None = None) -> list[Explained | None]:
        """The plans. None: it cannot be planned, now or later in this session. Values that are no constants, or are
        not complete, give the plan for any values. Raises psycopg errors if the connection is lost.
        """
        started = time.monotonic()
        questions: list[_Asked] = []
        for at, (subject, probe) in enumerate(asked):
            statement = self.statement(subject)
            values = statement.values(probe.values) if probe.values and statement.used else None
            questions.append(_Asked(at, statement, values))
            if statement.prunes and values is None:
                questions.append(_Asked(at, statement, None, is_whole=True))
        documents: dict[tuple[int, bool], bytes] = {}
        self._fill(documents, questions, setup)
        pruned = [
            item._replace(is_whole=True)
            for item in questions
            if item.values is None
            and not item.statement.prunes
            and _PRUNED.search(documents.get((item.at, False), b""))
        ]
        for item in pruned:
            item.statement.prunes = True
        self._fill(documents, pruned, setup)
        logger.debug("EXPLAIN of %d statements -- %.1f ms", len(asked), (time.monotonic() - started) * 1000)
        return [_explained(documents.get((at, False)), documents.get((at, True))) for at in range(len(asked))]

    def statement(self, subject: Subject) -> Prepared:
        planned = subject.planned
        key = planned.query, planned.parameter_types, planned.search_path
        if key not in self._known:
            name = f"{self._prefix}_{len(self._known) + 1}"
            self._known[key] = Prepared(name, *key, used(planned.query))
        return self._known[key]

    # The batches

    def _fill(self, documents: dict[tuple[int, bool], bytes], questions: Sequence[_Asked], setup: Setup | None) -> None:
        rest = [item for item in questions if not item.statement.is_lost]
        while rest:
            sent = self._batch(rest[:AT_A_TIME], setup)
            cursors, error = self._run([item.command for item in sent])
            for item, cursor in zip(sent, cursors, strict=False):
                if item.is_setup and setup is not None:
                    setup.answered(cursor)
                elif item.name is not None:
                    self._names.add(item.name)
                elif item.is_answer:
                    documents[item.asked.at, item.asked.is_whole] = _document(cursor)
                    self.explains += 1
                    if setup is not None:
                        setup.planned(item.asked.at)
            if error is None:
                rest = rest[AT_A_TIME:]
                continue
            failed = sent[len(cursors)]
            here = rest.index(failed.asked)
            if failed.is_setup and setup is not None:
                setup.failed(error)
                rest = rest[here:]
                continue
            # A value may be at fault by itself; but who waited for a lock once shall not do so a thousand times.
            if failed.asked.values is None or isinstance(error, _PASSING):
                failed.asked.statement.is_lost = not failed.asked.is_whole
            rest = [item for item in rest[here + 1 :] if not item.statement.is_lost]

    def _batch(self, questions: Sequence[_Asked], setup: Setup | None) -> list[_Sent]:
        sent: list[_Sent] = []
        names = set(self._names)
        path: tuple[str, ...] | None = None
        if setup is not None:
            setup.begin()
        for item in questions:
            if setup is not None:
                sent += [_Sent(command, item, is_setup=True) for command in setup.before(item.at)]
            if item.statement.path is not None and item.statement.path != path:
                path = item.statement.path
                sent.append(_Sent(Command(_SETTING, ("search_path", joined(path))), item))
            if item.is_whole:
                sent.append(_Sent(Command(_SETTING, ("enable_partition_pruning", "off")), item))
            if item.values is None and item.name not in names:
                names.add(item.name)
                sent.append(_Sent(Command(self._text(_preparing(item.name, item.statement))), item, name=item.name))
            sent.append(_Sent(self._explaining(item), item, is_answer=True))
            if item.is_whole:
                sent.append(_Sent(Command(_SETTING, ("enable_partition_pruning", "on")), item))
        return sent

    def _explaining(self, asked: _Asked) -> Command:
        name = asked.name if asked.values is None else ""
        if (asked.statement, name) not in self._texts:
            statement = asked.statement
            made = _executing(name, statement) if name else _EXPLAIN.format(sql.SQL(statement.query))
            self._texts[statement, name] = self._text(made)
        return Command(self._texts[asked.statement, name], asked.values)

    def _text(self, made: sql.Composed) -> bytes:
        return made.as_bytes(self._conn)

    def _run(self, commands: Sequence[Command]) -> tuple[list[psycopg.Cursor[Any]], psycopg.Error | None]:
        """The answers to the commands up to the first that failed, and what it failed of. All locks are given back."""
        cursors: list[psycopg.Cursor[Any]] = []
        if self._conn.info.transaction_status is TransactionStatus.INERROR:  # by somebody else's question in between
            self.back()
        try:
            with self._conn.pipeline():
                for command in commands:
                    cursor = psycopg.RawCursor(self._conn)
                    cursors.append(cursor)
                    cursor.execute(command.text, command.values, prepare=False)
                psycopg.RawCursor(self._conn).execute(_BACK, prepare=False)
        except psycopg.Error as exc:
            if self._conn.closed:
                raise
            self.back()
            done = [cursor for cursor in cursors if cursor.pgresult is not None]
            return done, exc
        return cursors, None


def _preparing(name: str, statement: Prepared) -> sql.Composed:
    types: sql.Composable = sql.SQL("")
    if statement.types:
        types = sql.SQL("({}) ").format(sql.SQL(", ").join(map(sql.SQL, statement.types)))
    head = sql.SQL("PREPARE /* dbopt: suggest */ {} {}AS ").format(sql.Identifier(name), types)
    return head + sql.SQL(statement.query)


def _executing(name: str, statement: Prepared) -> sql.Composed:
    text = sql.SQL("EXECUTE {}").format(sql.Identifier(name))
    if statement.parameters:
        text += sql.SQL("({})").format(sql.SQL(", ").join([sql.NULL] * statement.parameters))
    return _EXPLAIN.format(text)


def _document(cursor: psycopg.Cursor[Any]) -> bytes:
    result = cursor.pgresult
    return (result.get_value(0, 0) if result is not None and result.ntuples else None) or b"[]"


def _explained(document: bytes | None, whole: bytes | None) -> Explained | None:
    if document is None:
        return None
    roots = _roots(document)
    cost = sum(node.total_cost for node in roots)
    return Explained(roots if whole is None else _roots(whole), cost)


def _roots(document: bytes) -> tuple[Node, ...]:
    return tuple(node for item in json.loads(document) if (node := root(item)) is not None)


def costed(found: Explained, relations: Mapping[Name, Relation], made: Mapping[str, Candidate]) -> Costed:
    """`made`: hypothetical indexes, by the names that the plan has for them."""
    honest = sum(honest_cost(node, relations, made) - node.total_cost for node in found.roots)
    candidates, existing = indexes(found.roots, made)
    return Costed(
        cost=found.planner_cost + honest,
        planner_cost=found.planner_cost,
        used=candidates,
        indexes=existing,
        plan=found.root,
    )


def indexes(
    roots: Sequence[Node], made: Mapping[str, Candidate]
) -> tuple[frozenset[Candidate], frozenset[tuple[str, str]]]:
    """In some plans: candidates, and existing ones by schema and name."""
    candidates: set[Candidate] = set()
    existing: set[tuple[str, str]] = set()
    # An index lies in the schema of its table; that of a bitmap is named by the node above.
    waiting: list[tuple[Node, str]] = [(node, "") for node in roots]
    while waiting:
        node, schema = waiting.pop()
        if node.relation is not None:
            schema = node.relation[0]
        name = node.index_name
        if name is not None and name in made:
            candidates.add(made[name])
        elif name is not None:
            existing.add((schema, name))
        waiting += [(child, schema) for child in node.children]
    return frozenset(candidates), frozenset(existing)
