"""What the two places for answers have in common, memory and Redis, and the generations by which answers end.

Each table, each tag, the schema and all of it together has a generation: a value that is a new one after each write.
With an answer the generations are kept as they were before its read began, and it is given only while they still are.
So a read that began before a write's commit cannot leave an old row for those who come after it, however long it takes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

    from dogpile.cache.api import CachedValue

    from dbopt.client.cache.turn import Turn

EVERYTHING = "*"
SCHEMA = "#"  # what the catalogs say of views and keys is read anew after each

Generations: TypeAlias = "tuple[Any, ...]"


class Unavailable(Exception):
    """The place for answers cannot be reached at the moment."""


class Uncacheable(Exception):
    """An answer that cannot be kept."""


class Store(Protocol):
    """Answers are dogpile's CachedValue; its metadata hold "ct", when it was made, and "g", its generations."""

    is_shared: bool  # with other processes

    @property
    def entries(self) -> int | None: ...

    @property
    def bytes(self) -> int | None: ...

    @property
    def evictions(self) -> int | None: ...

    def locate(self, server: str) -> None:
        """Which database it is for."""

    def find(self, key: str, names: tuple[str, ...]) -> tuple[CachedValue | None, Generations]:
        """A valid answer, and the generations of these names as they are now. Raises Unavailable."""

    def generations(self, names: tuple[str, ...]) -> Generations:
        """Raises Unavailable."""

    def opened(self, entry: CachedValue) -> Any:
        """The answer, for one who may change it."""

    def keep(self, key: str, value: Any, generations: Generations, seconds: float) -> None:
        """Raises Uncacheable, Unavailable."""

    def end(self, names: Collection[str]) -> None:
        """New generations for these names. It never fails: what cannot be reached is told as soon as it can be."""

    def settle(self, *, at_once: bool) -> None:
        """Tell what is still to be told. `at_once`: or it never will be."""

    def turn(self, key: str, generations: Generations, wait_seconds: float) -> Turn:
        """For making this answer; 0: without waiting for others."""

    def clear(self) -> None: ...

    def close(self) -> None: ...


def table(name: str) -> str:
    """The name of a table's generation. Schemas do not count: a statement need not say them."""
    return f"t:{name.rpartition('.')[2]}"


def tag(name: str) -> str:
    """Of a tag: its digest, as tags may be long, or say what is nobody's business."""
    return f"g:{hashlib.blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"
