"""Answers that are given again until they are too old, or a write has made them invalid. See `Cache`."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from dbopt.client.cache import messages
from dbopt.client.cache.catalogs import FAILURES, Catalogs, asked
from dbopt.client.cache.effects import ANY, bare
from dbopt.client.cache.how import Cached, CacheFigures, Warming
from dbopt.client.cache.keys import Keys
from dbopt.client.cache.listener import Listener
from dbopt.client.cache.making import Making, Refused, is_making
from dbopt.client.cache.memory import MemoryStore
from dbopt.client.cache.renewals import Renewals
from dbopt.client.cache.store import EVERYTHING, SCHEMA, Unavailable, table, tag
from dbopt.client.cache.writes import Watch, has_written, is_apart
from dbopt.client.connections import connecting
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set

    import sqlalchemy as sa
    from dogpile.cache.api import CachedValue
    from sqlalchemy import orm

    from dbopt.client.cache.effects import Touch
    from dbopt.client.cache.store import Generations, Store
    from dbopt.client.cache.writes import Notes
    from dbopt.client.settings import Settings

T = TypeVar("T")
logger = logging.getLogger("dbopt.client")

# Nobody waits longer for another's answer than a statement may take, where that has no limit.
WAIT_SECONDS = 30.0
_LOCK_MARGIN_SECONDS = 5.0  # of the lock in Redis, beyond the query: to keep what it gave

_caches: weakref.WeakSet[Cache] = weakref.WeakSet()


_warming: ContextVar[Warming | None] = ContextVar("dbopt_cache_warming", default=None)


class Cache:
    """Of one engine, and of what this engine writes. In memory, or in Redis (`cache_url`).

    An answer is invalid as soon as a commit that may have changed it is done: a write to its tables, be it by foreign
    keys, views or partitions; what triggers write besides nobody can tell. With Redis this holds for the writes of all
    processes that share it, with `cache_notify` for those of all that have it. Another process's write ends an answer a
    moment after its commit.
    """

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        """Nothing connects yet. Raises ConfigError."""
        self._settings = settings
        self._engine = engine
        self._is_enabled = settings.cache_bytes > 0 and (bool(settings.cache_url) or settings.cache_entries > 0)
        self._wait_seconds = (settings.statement_timeout_ms or 0) / 1000 or WAIT_SECONDS
        self._keys = Keys(settings.schema_version)
        self._listener = Listener(settings, self._hear, self._forget) if settings.cache_notify else None
        self._start()
        self._watch = Watch(engine, readers=self._readers, before=self._before_commit, after=self._after_commit)
        _caches.add(self)

    def _start(self) -> None:
        """From nothing, as in a new process: what the parent has in memory is its own, as are its locks."""
        self._sender = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._hits = self._misses = self._stale = self._uncached = self._errors = 0
        self._refused = Refused()
        self._renewals = Renewals()
        self._is_closed = False
        self._store = self._made_store()
        self._catalogs = Catalogs(self._engine, self._store, self._failed)
        if self._listener is not None:
            self._listener.start(self._sender)

    def _made_store(self) -> Store:
        settings = self._settings
        if not settings.cache_url:
            return MemoryStore(settings.cache_entries, settings.cache_bytes)
        from dbopt.client.cache.shared import SharedStore

        lock_seconds = self._wait_seconds + _LOCK_MARGIN_SECONDS
        return SharedStore(settings.cache_url, settings.cache_bytes, lock_seconds, self._failed)

    # Asking

    def get_or_make(
        self,
        key: Sequence[Any],
        tables: Collection[str],
        how: Cached | float,
        make: Callable[[], T],
        within: orm.Session | None = None,
    ) -> T:
        """The answer of before, or what `make` gives: plain values, which are the caller's own to change. `key`:
        scalars, statements with their values, and sequences of those. `tables`: that it reads, by name. `within`: the
        caller's session, by which `make` reads; a transaction that has written is not answered from here, nor one that
        has its own view of the database. Raises UsageError, and what `make` raises.
        """
        how = Cached.of(how)
        was_known = self._catalogs.known is not None
        if within is not None and self._keeps_apart(within):
            return make()
        if not self._is_enabled or self._is_closed or not (self._listener is None or self._listener.is_listening()):
            return self._made(make)
        try:
            name, names, found = self._look(self._keys.key(key), tables, how, within)
        except Unavailable:
            return self._made(make)
        if within is not None and not was_known and self._keeps_apart(within):
            return make()
        warming = _warming.get()
        is_new = warming is not None and warming.renew
        entry = found[0]
        if entry is not None and not is_new and time.time() - entry.metadata["ct"] <= how.ttl:
            self._count(is_hit=True)
            return self._store.opened(entry)  # type: ignore[no-any-return]
        if is_making(name) or name in self._refused:
            return self._made(make)
        making = Making(
            self._store,
            name,
            names,
            how,
            make,
            found=found,
            # What needs the caller's session can neither be left to the background nor wait for others, who may wait
            # for the connection that it has.
            renewals=self._renewals if within is None else None,
            refused=self._refused,
            failed=self._failed,
            is_new=is_new,
        )
        try:
            return making.answer(self._wait_seconds if within is None else 0)  # type: ignore[no-any-return]
        finally:
            self._count(is_hit=making.has_found, is_stale=making.is_stale, is_kept=making.has_kept)

    def has_written(self, session: orm.Session) -> bool:
        """Whether its transaction has, or is about to: what it reads is nobody else's yet."""
        return has_written(session)

    @contextlib.contextmanager
    def warming(self, *, renew: bool = False) -> Iterator[Warming]:
        """Around questions with `cache=` that nobody asks yet: what is not there is made, and nothing of it counts as a
        hit or a miss. `renew`: also what is there. For what is begun inside of it, in threads and tasks, too.
        """
        warming = Warming(renew)
        token = _warming.set(warming)
        try:
            yield warming
        finally:
            _warming.reset(token)

    # Ending

    def wrote(self, session: orm.Session, tables: Iterable[str]) -> None:
        """Tables that the session has written to in a way that no event tells of, as COPY: after it is done, before
        the transaction ends.
        """
        self._watch.wrote(session.connection(), _list("tables", tables))

    def invalidate(self, tables: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        """End all answers that hang on these tables or carry one of these tags, in all processes that share the cache
        or listen. Raises UsageError, ConnectionFailed.
        """
        tables, tags = _list("tables", tables), _list("tags", tags)
        if not tables and not tags:
            raise UsageError("nothing to invalidate", hint="Name tables or tags; `clear` ends everything.")
        self._find_database()
        names = set(map(tag, tags))
        if tables:
            names |= self._reached(dict.fromkeys(map(bare, tables), ANY))
        self._store.end(names)
        self._notify(names)

    def clear(self) -> None:
        """End all answers, everywhere as with `invalidate`, and read the catalogs anew: right after a migration that
        was done by other means, too. Raises ConnectionFailed.
        """
        self._find_database()
        self._store.clear()
        self._catalogs.forget()
        self._notify((EVERYTHING, SCHEMA))

    def settle(self, *, at_once: bool = False) -> None:
        """Tell Redis of writes that it has not heard of, as it did not answer: in the background, as the next question
        may be long in coming, and at the end.
        """
        self._store.settle(at_once=at_once)

    def close(self) -> None:
        """It answers nothing any more, and has no thread, task or connection left. Before the engine is disposed of."""
        self._is_closed = True
        if self._listener is not None:
            self._listener.close()
        self._renewals.close()
        self.settle(at_once=True)
        self._store.close()

    def figures(self) -> CacheFigures:
        with self._lock:
            return CacheFigures(
                hits=self._hits,
                misses=self._misses,
                stale=self._stale,
                entries=self._store.entries,
                bytes=self._store.bytes,
                evictions=self._store.evictions,
                uncached=self._uncached,
                errors=self._errors + (self._listener.errors if self._listener is not None else 0),
            )

    # What is asked

    def _look(
        self, key: str, tables: Collection[str], how: Cached, within: orm.Session | None
    ) -> tuple[str, tuple[str, ...], tuple[CachedValue | None, Generations]]:
        """Its name in the store, its generations' names, and what is there. Raises Unavailable."""
        reached = self._catalogs.known or self._catalogs.read(within, self._wait_seconds)
        for _ in range(2):
            name, names = key + reached.scope.view, reached.names(tables, how.tags)
            found = self._store.find(name, names)
            if found[1][1] == reached.generation:
                return name, names, found
            reached = self._catalogs.read(within, self._wait_seconds)
        raise Unavailable  # the schema changes all the time

    def _keeps_apart(self, within: orm.Session) -> bool:
        known = self._catalogs.known
        return has_written(within) or is_apart(within, self._engine, known.scope.isolation if known else "")

    def _made(self, make: Callable[[], T]) -> T:
        self._count(is_hit=False)
        return make()

    def _count(self, *, is_hit: bool, is_stale: bool = False, is_kept: bool = False) -> None:
        warming = _warming.get()
        with self._lock:
            if warming is not None:
                warming.count(is_present=is_hit, is_kept=is_kept)
            elif is_hit:
                self._hits += 1
                self._stale += is_stale
            else:
                self._misses += 1
                self._uncached += not is_kept

    def _failed(self) -> None:
        with self._lock:
            self._errors += 1

    # What is written

    def _readers(self) -> Set[str]:
        known = self._catalogs.known
        return known.readers if known is not None else frozenset()

    def _before_commit(self, notes: Notes, pooled: Any) -> frozenset[str]:
        """Told with the commit, and not told where it does not come to that."""
        if self._listener is None:
            return frozenset()
        names = frozenset(self._ended(notes))
        asked(pooled, messages.SEND, [messages.written(self._sender, names)])
        return names

    def _after_commit(self, notes: Notes, pooled: Any, told: frozenset[str]) -> None:
        """Whatever happens here, the commit is done."""
        if self._is_closed:
            return
        is_spread = self._store.is_shared or self._listener is not None
        try:
            if is_spread and self._catalogs.known is None and not notes.is_ddl:
                self._read_by(pooled)  # so that others need not forget everything
            names = self._ended(notes)
            self._store.end(names)
            if self._store.is_shared and not self._knows_schema():
                self._read_by(pooled)  # another process has changed it
                names |= self._ended(notes)
                self._store.end(names)
            if EVERYTHING not in told and not names <= told:
                self._notify(names - told)
        except (*FAILURES, Unavailable) as error:
            # How far it reaches is not to be found out.
            logger.debug("what was written ends everything: %s", type(error).__name__)
            self._store.end((EVERYTHING,))
            self._notify((EVERYTHING,))
        if notes.is_ddl:
            self._catalogs.forget()

    def _ended(self, notes: Notes) -> set[str]:
        if notes.is_ddl:
            return {EVERYTHING, SCHEMA}
        if notes.anything or notes.functions:
            return {EVERYTHING}
        return self._reached(notes.touches)

    def _reached(self, touches: Mapping[str, Touch]) -> set[str]:
        known = self._catalogs.known
        return {EVERYTHING} if known is None else {table(name) for name in known.written(touches)}

    def _knows_schema(self) -> bool:
        known = self._catalogs.known
        return known is None or self._store.generations((SCHEMA,)) == (known.generation,)

    def _read_by(self, pooled: Any) -> None:
        """By a connection that is outside of a transaction, and stays so."""
        self._catalogs.read_by(pooled)
        pooled.rollback()

    def _find_database(self) -> None:
        """Whose answers end, where they are not only ours. By a connection of its own: no event loop is needed."""
        if self._store.is_shared and self._catalogs.known is None:
            # Without Redis it is known afterwards which database, which is what counts.
            with connecting.connect(self._settings) as conn, contextlib.suppress(Unavailable):
                self._catalogs.read_by(conn)

    def _notify(self, names: Collection[str]) -> None:
        if self._listener is not None:
            self._listener.tell(names)

    # What others have written

    def _hear(self, payload: str) -> None:
        names = messages.read(payload, self._sender)
        if SCHEMA in names:
            self._catalogs.forget()
        if names:
            self._store.end(names)

    def _forget(self) -> None:
        """It begins to listen: whatever was written before may have been missed."""
        self._catalogs.forget()
        self._store.end((EVERYTHING, SCHEMA))


def _list(what: str, names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise UsageError(f"{what} are a sequence of names, found the text {names!r}")
    return list(names)


def _forked() -> None:
    for cache in _caches:
        cache._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
