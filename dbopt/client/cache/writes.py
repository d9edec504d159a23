"""What an engine's transactions write, noted statement by statement, and told when they are done.

SQLAlchemy's own event `commit` comes before the commit; what is told then may be read again, as it was, before it is
true. So it is the dialect's way to commit that is wrapped, that of this engine only. Where the server is outside of a
transaction after a statement, that statement was its own transaction, whatever has made it so. A commit that fails may
have been done: it counts as one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus
from sqlalchemy import event

from dbopt.client.cache.effects import ANY, Touch, bare, effect
from dbopt.client.cache.making import spoil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Set

    import sqlalchemy as sa
    from sqlalchemy import orm
    from sqlalchemy.engine import ExceptionContext

_KEY = "dbopt cache"  # in the info of a connection of the pool
_ISOLATED = ("REPEATABLE READ", "SERIALIZABLE")


class Notes:
    """Of one connection: its transaction, and whether its session sees what others do not."""

    __slots__ = ("anything", "functions", "is_ddl", "own_view", "own_view_stays", "touches")

    def __init__(self) -> None:
        self.own_view_stays = False
        self.clear()

    def clear(self) -> None:
        """The transaction has ended."""
        self.touches: dict[str, Touch] = {}
        self.anything = self.is_ddl = self.own_view = False
        self.functions: Set[str] = frozenset()  # that may have written

    @property
    def has_written(self) -> bool:
        return bool(self.touches or self.anything or self.is_ddl or self.functions)

    @property
    def has_own_view(self) -> bool:
        return self.own_view or self.own_view_stays

    def touch(self, table: str, touch: Touch) -> None:
        before = self.touches.get(table)
        self.touches[table] = touch if before is None else before.with_(touch)


class Watch:
    """`before` is called with the notes of a transaction that is about to be committed, and its connection of the
    pool; `after` when that is done, with what `before` gave. With a statement that was its own transaction, only
    `after` is called. `readers`: functions of which it is known that they do not write.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        readers: Callable[[], Set[str]],
        before: Callable[[Notes, Any], frozenset[str]],
        after: Callable[[Notes, Any, frozenset[str]], None],
    ) -> None:
        self._readers = readers
        self._before_commit = before
        self._after_commit = after
        event.listen(engine, "before_cursor_execute", self._begins)
        event.listen(engine, "after_cursor_execute", self._ends)
        event.listen(engine, "handle_error", self._fails)
        dialect: Any = engine.dialect
        dialect.do_commit = functools.partial(self._commit, dialect.do_commit)
        dialect.do_rollback = functools.partial(self._rollback, dialect.do_rollback)
        dialect.do_commit_twophase = functools.partial(self._commit_twophase, dialect.do_commit_twophase)
        dialect.do_rollback_twophase = functools.partial(self._rollback_twophase, dialect.do_rollback_twophase)

    def wrote(self, connection: sa.Connection, tables: Iterable[str]) -> None:
        """What no event tells of. Told at once where there is no transaction, and at the commit in any case."""
        pooled = connection.connection
        notes = _noted(pooled)
        for name in tables:
            notes.touch(bare(name), ANY)
        if _status(pooled) == TransactionStatus.IDLE:
            self._after_commit(notes, pooled, frozenset())

    def _begins(
        self, connection: sa.Connection, _cursor: Any, text: str, _values: object, context: Any, _many: object
    ) -> None:
        notes = _notes(connection.connection)
        if notes is not None and (notes.has_written or notes.has_own_view):
            spoil()
        found = effect(context, text)
        if found.is_none:
            return
        notes = _noted(connection.connection)
        for name, touch in found.touches.items():
            notes.touch(name, touch)
        notes.anything |= found.anything and not found.unless
        if found.unless:
            notes.functions |= frozenset(map(bare, found.unless)) - self._readers()
        notes.is_ddl |= found.is_ddl
        notes.own_view |= found.own_view
        notes.own_view_stays |= found.own_view_stays

    def _ends(
        self, connection: sa.Connection, _cursor: Any, _text: str, _values: object, _context: Any, _many: object
    ) -> None:
        pooled = connection.connection
        notes = _notes(pooled)
        if notes is not None and notes.has_written and _status(pooled) == TransactionStatus.IDLE:
            self._tell(notes, pooled)

    def _fails(self, failure: ExceptionContext) -> None:
        connection = failure.connection
        if connection is None or connection.closed or connection.invalidated:
            return
        pooled = connection.connection
        notes = _notes(pooled)
        if notes is None or not notes.has_written:
            return
        # In a transaction nothing is lost: the commit or the rollback is still to come, or the server rolls back.
        if _status(pooled) in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            self._tell(notes, pooled)

    def _commit(self, commit: Callable[[Any], None], pooled: Any) -> None:
        notes = _notes(pooled)
        if notes is None or not notes.has_written:
            commit(pooled)
            if notes is not None:
                notes.clear()
            return
        told: frozenset[str] = frozenset()
        if _status(pooled) == TransactionStatus.INTRANS:
            told = self._before_commit(notes, pooled)
        try:
            commit(pooled)
        finally:
            self._tell(notes, pooled, told)

    def _rollback(self, rollback: Callable[[Any], None], pooled: Any) -> None:
        rollback(pooled)
        notes = _notes(pooled)
        if notes is not None:
            notes.clear()

    def _commit_twophase(
        self, commit: Callable[..., None], connection: sa.Connection, xid: Any, *args: Any, **options: Any
    ) -> None:
        pooled = connection.connection
        notes = _notes(pooled)
        if notes is None or not notes.has_written:
            # Perhaps one that another session has prepared.
            notes = Notes()
            notes.anything = True
        try:
            commit(connection, xid, *args, **options)
        finally:
            self._tell(notes, pooled)

    def _rollback_twophase(
        self, rollback: Callable[..., None], connection: sa.Connection, xid: Any, *args: Any, **options: Any
    ) -> None:
        rollback(connection, xid, *args, **options)
        notes = _notes(connection.connection)
        if notes is not None:
            notes.clear()

    def _tell(self, notes: Notes, pooled: Any, told: frozenset[str] = frozenset()) -> None:
        try:
            self._after_commit(notes, pooled, told)
        finally:
            notes.clear()


def has_written(session: orm.Session) -> bool:
    """What is pending counts: it is written before the session reads again."""
    if session.new or session.dirty or session.deleted:
        return True
    return any(notes.has_written for notes in map(_notes, _pooled(session)) if notes is not None)


def is_apart(session: orm.Session, engine: sa.Engine, isolation: str) -> bool:
    """Whether it may see something else than a new transaction of this engine would: another database, the state of
    when it began, or rows by settings of its own. `isolation`: the server's default.
    """
    for bind in _binds(session):
        options = {**bind.get_execution_options(), **session_options(session)}
        level = options.get("isolation_level") or isolation
        if str(level).upper() in _ISOLATED or bind.engine.pool is not engine.pool:
            return True
    for pooled in _pooled(session):
        level = getattr(pooled.driver_connection, "isolation_level", None)
        notes = _notes(pooled)
        if level is not None and level.name.replace("_", " ") in _ISOLATED:
            return True
        if notes is not None and notes.has_own_view:
            return True
    return False


def session_options(session: orm.Session) -> dict[str, Any]:
    """Sessions have options since SQLAlchemy 2.1."""
    return dict(getattr(session, "execution_options", None) or {})


def _binds(session: orm.Session) -> Sequence[sa.Engine | sa.Connection]:
    from sqlalchemy import exc

    transaction = session.get_transaction()
    used = [connection for connection, *_ in transaction._connections.values()] if transaction else []
    try:
        return [*used, session.get_bind()]
    except exc.UnboundExecutionError:  # which one depends on the statement: there is no telling
        return used


def _pooled(session: orm.Session) -> list[Any]:
    """The pool's connections that the session has at the moment; none is acquired for this."""
    connections = {bind for bind in _binds(session) if not _is_engine(bind)}
    return [one.connection for one in connections if not (one.closed or one.invalidated)]  # type: ignore[union-attr]


def _is_engine(bind: sa.Engine | sa.Connection) -> bool:
    return bind.engine is bind


def _status(pooled: Any) -> TransactionStatus:
    status: TransactionStatus = pooled.driver_connection.info.transaction_status
    return status


def _notes(pooled: Any) -> Notes | None:
    try:
        notes: Notes | None = pooled.info.get(_KEY)
    except NotImplementedError:  # of the connection by which a dialect gets to know its server
        return None
    return notes


def _noted(pooled: Any) -> Notes:
    notes: Notes = pooled.info.setdefault(_KEY, Notes())
    return notes
