"""Answers in Redis, for several processes, on dogpile's own back-end and its lock among processes.

What is kept is JSON (codec.py): dogpile's metadata, a bar, and the value. Generations are texts made by chance, so that
one that Redis has dropped never comes again: an answer of before is then no longer found.

Without Redis the application goes on without a cache. What a write has made invalid meanwhile is told to Redis before
anything else is asked of it.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from dogpile.cache.api import NO_VALUE, CachedValue
from dogpile.util import NameRegistry

from dbopt.client.cache import codec
from dbopt.client.cache.memory import LARGEST_SHARE
from dbopt.client.cache.mutex import Mutex
from dbopt.client.cache.store import EVERYTHING, SCHEMA, Unavailable, Uncacheable
from dbopt.client.cache.turn import Turn, blocking
from dbopt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dbopt.client.cache.store import Generations

T = TypeVar("T")
logger = logging.getLogger("dbopt.client")

# A cache in the same data centre answers within a millisecond; one that takes longer than a query is of no use. What
# fails is tried once more.
SOCKET_SECONDS = 0.25
PAUSE_SECONDS = 5.0  # between two tries, while it does not answer
WARN_SECONDS = 60.0  # a failure within that time after another one is no news
# Generations are made anew after that, and so are the answers that hang on them: once a week costs nothing.
GENERATION_SECONDS = 7 * 24 * 3600
_VERSION = 2  # dogpile's own value_version


def backend(url: str, lock_seconds: float) -> Any:
    """dogpile's back-end, that neither waits for long nor tries again and again. Raises ConfigError."""
    try:
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as exc:
        raise ConfigError(
            "a cache in Redis needs the redis package",
            detail="cache_url (DBOPT_CACHE_URL) is set",
            hint="Install it: pip install 'dbopt[redis]'",
        ) from exc
    from dogpile.cache.backends.redis import RedisBackend

    try:
        return RedisBackend(  # type: ignore[no-untyped-call]
            {
                "url": url,
                "distributed_lock": True,
                "thread_local_lock": False,
                "lock_timeout": lock_seconds,
                "socket_timeout": SOCKET_SECONDS,
                "socket_connect_timeout": SOCKET_SECONDS,
                # Once more at once: a connection of before Redis was restarted is found to be closed.
                "connection_kwargs": {"retry": Retry(NoBackoff(), 1)},
            }
        )
    except ValueError as exc:
        raise ConfigError(
            "cache_url (DBOPT_CACHE_URL) names no Redis",
            detail=str(exc),
            hint="Write redis://HOST:PORT/NUMBER, rediss:// for TLS, or unix:///PATH.",
        ) from None


class SharedStore:
    is_shared = True

    # What Redis holds, it knows itself.
    entries: int | None = None
    bytes: int | None = None
    evictions: int | None = None

    def __init__(self, url: str, size_bytes: int, lock_seconds: float, failed: Callable[[], None]) -> None:
        """`failed` is called at each failure, to be counted."""
        self.backend = backend(url, lock_seconds)
        import redis

        self._redis = self.backend.writer_client
        self._errors = (redis.RedisError, OSError)
        self._largest = size_bytes * LARGEST_SHARE
        self._failed = failed
        self._prefix: str | None = None
        # Generations that have ended, which Redis does not know yet; an object for each time.
        self._owed: dict[str, object] = {}
        self._lock = threading.Lock()
        self._is_down = False
        self._tried_at = self._warned_at = -math.inf
        self._mutexes = NameRegistry(lambda _: Mutex())

    def locate(self, server: str) -> None:
        self._prefix = f"dbopt:{blake2b(server.encode(), digest_size=8).hexdigest()}"

    def find(self, key: str, names: tuple[str, ...]) -> tuple[CachedValue | None, Generations]:
        data, *generations = self._ask(lambda: self._look(names, [f"{self._prefix}:v:{key}"]))
        found = None if data is NO_VALUE else _loaded(data, generations)
        return found, tuple(generations)

    def generations(self, names: tuple[str, ...]) -> Generations:
        return tuple(self._ask(lambda: self._look(names, [])))

    def opened(self, entry: CachedValue) -> Any:
        return entry.payload  # made of text just now: nobody else has it

    def keep(self, key: str, value: Any, generations: Generations, seconds: float) -> None:
        try:
            payload = codec.dumps(value)
        except codec.Unknown as exc:
            raise Uncacheable(f"values of the type {exc.kind.__name__}") from None
        if len(payload) > self._largest:
            raise Uncacheable("what takes more than a quarter of cache_bytes")
        metadata = {"ct": time.time(), "v": _VERSION, "g": [generation.decode() for generation in generations]}
        data = b"%b|%b" % (json.dumps(metadata).encode(), payload)
        lifetime_ms = math.ceil(seconds * 1000)
        self._ask(lambda: self._redis.set(f"{self._prefix}:v:{key}", data, px=lifetime_ms))

    def end(self, names: Collection[str]) -> None:
        with self._lock:
            self._owed.update((name, object()) for name in names)
        try:
            self._ask(lambda: None)
        except Unavailable:
            logger.debug("writes are told to the cache later: Redis does not answer")

    def settle(self, *, at_once: bool) -> None:
        if not self._owed:
            return
        if at_once:
            with self._lock:
                self._tried_at = -math.inf
        try:
            self._ask(lambda: None)
        except Unavailable:
            if at_once:
                with self._lock:
                    self._owed.clear()
                logger.warning(
                    "the cache in Redis was not told of the last writes: other processes may give answers of before"
                    " until these are too old"
                )

    def turn(self, key: str, generations: Generations, wait_seconds: float) -> Turn:
        name = f"{key}:{blake2b(b''.join(generations), digest_size=8).hexdigest()}"
        lock = self.backend.get_mutex(f"{self._prefix}:l:{name}")

        def among_processes() -> Callable[[], None] | None:
            attempt = _Attempt(lock)
            try:
                return release if self._ask(attempt.acquire) else None
            except Unavailable:
                return lambda: None  # this process is alone with its cache
            except BaseException:  # cancelled
                attempt.abandon()
                raise

        def release() -> None:
            try:
                self._ask(lambda: _released(lock))
            except Unavailable:
                logger.debug("a lock in Redis is left to its timeout")

        return Turn(self._mutexes.get(name), wait_seconds, among_processes)

    def clear(self) -> None:
        self.end((EVERYTHING, SCHEMA))

    def close(self) -> None:
        self._redis.close()
        self._redis.connection_pool.disconnect()

    def _look(self, names: tuple[str, ...], keys: list[str]) -> list[Any]:
        """The values of these keys, and the generations of these names, which are made where there are none."""
        places = [f"{self._prefix}:g:{name}" for name in names]
        found = self.backend.get_serialized_multi([*keys, *places])
        missing = [place for place, value in zip(places, found[len(keys) :], strict=True) if value is NO_VALUE]
        if not missing:
            return list(found)
        with self._redis.pipeline(transaction=False) as pipe:
            for place in missing:
                pipe.set(place, _generation(), ex=GENERATION_SECONDS, nx=True)
            pipe.execute()
        return list(self.backend.get_serialized_multi([*keys, *places]))

    def _pay(self) -> None:
        with self._lock:
            owed = dict(self._owed)
        if not owed or self._prefix is None:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for name in owed:
                pipe.set(f"{self._prefix}:g:{name}", _generation(), ex=GENERATION_SECONDS)
            pipe.execute()
        with self._lock:
            for name, once in owed.items():
                if self._owed.get(name) is once:  # else it has ended once more meanwhile
                    del self._owed[name]

    def _ask(self, what: Callable[[], T]) -> T:
        """Raises Unavailable, at once while it is known not to answer."""
        with self._lock:
            now = time.monotonic()
            if self._is_down:
                if now - self._tried_at < PAUSE_SECONDS:
                    raise Unavailable
                self._tried_at = now  # this caller finds out; the others go on without

        def ask() -> T:
            self._pay()
            return what()

        try:
            answer: T = blocking(ask)
        except self._errors as exc:
            self._report(exc)
            raise Unavailable from None
        if self._is_down:
            self._is_down = False
            logger.info("the cache in Redis answers again")
        return answer

    def _report(self, error: Exception) -> None:
        with self._lock:
            self._is_down = True
            self._tried_at = now = time.monotonic()
            is_news, self._warned_at = now - self._warned_at >= WARN_SECONDS, now
        self._failed()
        if is_news:
            logger.warning(
                "the cache in Redis does not answer: going on without, and trying again every %.0f s: %s",
                PAUSE_SECONDS,
                type(error).__name__,
            )


class _Attempt:
    """To get a lock in a thread, while who asked for it may be cancelled: it is not left held by nobody."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._is_abandoned = self._has_it = False

    def acquire(self) -> bool:
        has_it = bool(self._lock.acquire(False))
        with self._guard:
            self._has_it, is_abandoned = has_it, self._is_abandoned
        if has_it and is_abandoned:
            _released(self._lock)
        return has_it

    def abandon(self) -> None:
        with self._guard:
            self._is_abandoned, has_it = True, self._has_it
        if has_it:
            threading.Thread(target=_released, args=(self._lock,), name="dbopt client", daemon=True).start()


def _released(lock: Any) -> None:
    import redis

    try:
        lock.release()
    except redis.RedisError as exc:  # it was held for longer than it lasts, or Redis is gone: it ends by itself
        logger.debug("a lock in Redis was not released: %s", type(exc).__name__)


def _generation() -> bytes:
    return secrets.token_hex(8).encode()


def _loaded(data: bytes, generations: list[Any]) -> CachedValue | None:
    """None where it is no longer valid, or nothing that was written here."""
    head, _, payload = data.partition(b"|")
    try:
        metadata = json.loads(head)
        if metadata["g"] != [generation.decode() for generation in generations]:
            return None
        return CachedValue(codec.loads(payload), {"ct": float(metadata["ct"]), "g": metadata["g"]})
    except (codec.Damaged, ValueError, TypeError, LookupError, RecursionError):
        return None
