"""What is kept in memory is nobody else's: a copy is taken of it, and a copy handed out of what can be changed.

How to copy is found out once, when a value is kept: rows of scalars, which are most of what there is, cost nothing.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

from psycopg.types.multirange import Multirange as DriverMultirange
from sqlalchemy import quoted_name
from sqlalchemy.dialects.postgresql.ranges import MultiRange

from dbopt.client.cache.codec import UNCHANGING, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Copy = Callable[[Any], Any]

# Up to so many members, each tuple has its own way to be copied; a longer one is looked through.
_FEW = 8
_GROUPS: dict[type, Callable[[Iterable[Any]], Any]] = {
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    MultiRange: MultiRange,
    DriverMultirange: DriverMultirange,
}
_FIXED = frozenset((tuple, frozenset))


def kept(value: Any) -> tuple[Any, Copy | None, int]:
    """A value that nobody else has, how to hand it out (None: as it is), and its size in bytes, at the most: what two
    parts share counts twice. Raises Unknown for what codec.py does not know, either.
    """
    try:
        return _kept(value)
    except RecursionError:
        raise Unknown(type(value)) from None


def _kept(value: Any) -> tuple[Any, Copy | None, int]:
    kind = type(value)
    size = sys.getsizeof(value)
    if kind in UNCHANGING or isinstance(value, Enum):
        return value, None, size
    if kind is dict:
        made = {}
        way: Copy | None = dict.copy
        for key, item in value.items():
            own_key, _, key_size = _kept(key)
            made[own_key], item_way, item_size = _kept(item)
            size += key_size + item_size
            way = way if item_way is None else again
        return made, way, size
    if kind is quoted_name:
        return str.__str__(value), None, size
    if kind not in _GROUPS:
        raise Unknown(kind)
    items, ways = [], []
    for item in value:
        if type(item) in UNCHANGING:
            items.append(item)
            size += sys.getsizeof(item)
            continue
        own, item_way, item_size = _kept(item)
        items.append(own)
        ways.append((len(items) - 1, item_way))
        size += item_size
    return _GROUPS[kind](items), _way(kind, len(items), [(at, way) for at, way in ways if way is not None]), size


def _way(kind: type, length: int, ways: list[tuple[int, Copy]]) -> Copy | None:
    if not ways:
        return None if kind in _FIXED else _GROUPS[kind]
    if kind is not tuple or length > _FEW:
        return again

    def copy(value: tuple[Any, ...]) -> tuple[Any, ...]:
        made = list(value)
        for at, way in ways:
            made[at] = way(made[at])
        return tuple(made)

    return copy


def again(value: Any) -> Any:
    """A copy of what went through `kept`, as deep as it can be changed."""
    kind = type(value)
    if kind is dict:
        return {key: again(item) for key, item in value.items()}
    if kind in _GROUPS:
        return _GROUPS[kind](item if type(item) in UNCHANGING else again(item) for item in value)
    return value
