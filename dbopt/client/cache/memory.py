"""Answers in memory: a back-end of dogpile's, bounded by entries and by bytes; the least recently used go first."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from time import time
from typing import TYPE_CHECKING, Any

from dogpile.cache.api import NO_VALUE, CacheBackend, CachedValue
from dogpile.util import NameRegistry

from dbopt.client.cache.codec import Unknown
from dbopt.client.cache.copies import kept
from dbopt.client.cache.mutex import Mutex
from dbopt.client.cache.store import EVERYTHING, SCHEMA, Uncacheable
from dbopt.client.cache.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from dogpile.cache.api import BackendFormatted, BackendSetType

    from dbopt.client.cache.store import Generations

# The key, the entry, its metadata and its place in the dictionary: tests/client/test_cache_memory.py measures it.
ENTRY_BYTES = 900
# An answer that takes more of the cache than this would drive out too many others.
LARGEST_SHARE = 0.25
# Names with a generation of their own, some 100 bytes each: there may be a tag for each customer.
_NAMES_MAX = 100_000
_VERSION = 2  # dogpile's own value_version: the form of CachedValue's metadata


class MemoryBackend(CacheBackend):
    """`arguments`: "entries" and "bytes", the most that there may be of each. A value says its size in its metadata,
    as "size"; what cannot be measured counts as nothing but its entry.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.entries_max: int = arguments["entries"]
        self.bytes_max: int = arguments["bytes"]
        self.bytes = self.evictions = 0
        self._entries: OrderedDict[str, CachedValue] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> BackendFormatted:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return NO_VALUE
            self._entries.move_to_end(key)
            return entry

    def get_multi(self, keys: Iterable[str]) -> Sequence[BackendFormatted]:
        return [self.get(key) for key in keys]

    def set(self, key: str, value: BackendSetType) -> None:
        assert isinstance(value, CachedValue)
        with self._lock:
            self._remove(key)
            self._entries[key] = value
            self.bytes += _size(value)
            while len(self._entries) > self.entries_max or self.bytes > self.bytes_max:
                self._remove(next(iter(self._entries)))
                self.evictions += 1

    def set_multi(self, mapping: Mapping[str, BackendSetType]) -> None:
        for key, value in mapping.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        with self._lock:
            self._remove(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self.bytes = 0

    def _remove(self, key: str) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self.bytes -= _size(old)


def _size(value: CachedValue) -> int:
    size: int = value.metadata.get("size", 0)
    return size + ENTRY_BYTES


class MemoryStore:
    is_shared = False

    def __init__(self, entries: int, size_bytes: int) -> None:
        self.backend = MemoryBackend({"entries": entries, "bytes": size_bytes})
        self._largest = size_bytes * LARGEST_SHARE
        self._numbers: dict[str, int] = {}
        self._next = itertools.count(1).__next__
        self._lock = threading.Lock()
        self._mutexes = NameRegistry(lambda _: Mutex())

    @property
    def entries(self) -> int:
        return len(self.backend)

    @property
    def bytes(self) -> int:
        return self.backend.bytes

    @property
    def evictions(self) -> int:
        return self.backend.evictions

    def locate(self, server: str) -> None:
        pass

    def find(self, key: str, names: tuple[str, ...]) -> tuple[CachedValue | None, Generations]:
        generations = tuple(map(self._numbers.get, names))
        entry = self.backend.get(key)
        if not isinstance(entry, CachedValue) or entry.metadata["g"] != generations:
            return None, generations
        if time() > entry.metadata["until"]:
            self.backend.delete(key)
            return None, generations
        return entry, generations

    def generations(self, names: tuple[str, ...]) -> Generations:
        return tuple(map(self._numbers.get, names))

    def opened(self, entry: CachedValue) -> Any:
        copy = entry.metadata["copy"]
        return entry.payload if copy is None else copy(entry.payload)

    def keep(self, key: str, value: Any, generations: Generations, seconds: float) -> None:
        try:
            own, copy, size = kept(value)
        except Unknown as exc:
            raise Uncacheable(f"values of the type {exc.kind.__name__}") from None
        if size + ENTRY_BYTES > self._largest:
            raise Uncacheable("what takes more than a quarter of the cache")
        now = time()
        metadata = {
            "ct": now,
            "v": _VERSION,
            "g": generations,
            "until": now + seconds,
            "copy": copy,
            "size": size,
        }
        self.backend.set(key, CachedValue(own, metadata))

    def end(self, names: Collection[str]) -> None:
        with self._lock:
            if len(self._numbers) + len(names) > _NAMES_MAX:
                # In one step: who looks meanwhile sees all of the old ones, or that all has ended.
                self._numbers = {EVERYTHING: self._next(), SCHEMA: self._next()}
            for name in names:
                self._numbers[name] = self._next()

    def settle(self, *, at_once: bool) -> None:
        """There is nobody to be told."""

    def turn(self, key: str, generations: Generations, wait_seconds: float) -> Turn:
        return Turn(self._mutexes.get((key, generations)), wait_seconds)  # type: ignore[arg-type]

    def clear(self) -> None:
        self.end((EVERYTHING, SCHEMA))
        self.backend.clear()

    def close(self) -> None:
        self.clear()
