"""Plain values as JSON with the types beside them, for keys, and for what is kept outside of this process.

No pickle: whoever can write to Redis must not be able to run code here. Reading makes nothing but values of the types
below; classes of Enum are found among those that this process has written itself, never by a name that was read.

A scalar of JSON stands for itself, anything else is a list that begins with its type: ["t", 1, 2] is the tuple (1, 2).
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.types.multirange import Multirange as DriverMultirange
from psycopg.types.range import Range as DriverRange
from sqlalchemy import quoted_name
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1  # a part of each key: what another version has written is not read


class Unknown(Exception):
    """A value of a type that is none of these."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


class Damaged(Exception):
    """What was read is nothing that was written here."""


SCALARS = frozenset((type(None), bool, int, float, str))
_ADDRESSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        ipaddress.IPv4Address,
        ipaddress.IPv4Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Address,
        ipaddress.IPv6Network,
        ipaddress.IPv6Interface,
    )
}
# What cannot be changed, and so may be given to several. An Enum is one, too.
UNCHANGING = (
    SCALARS
    | {bytes, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, UUID, Range, DriverRange}
    | set(_ADDRESSES.values())
)
_enums: dict[str, type[Enum]] = {}


def dumps(value: Any) -> bytes:
    """Raises Unknown."""
    try:
        return json.dumps(_written(value), separators=(",", ":"), check_circular=False).encode()
    except ValueError:  # an integer of more digits than Python will write
        raise Unknown(int) from None
    except RecursionError:
        raise Unknown(type(value)) from None


def loads(data: bytes | str) -> Any:
    """Raises Damaged."""
    try:
        return _read(json.loads(data))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as exc:
        raise Damaged from exc


def _written(value: Any) -> Any:
    kind = type(value)
    if kind in SCALARS:
        return value
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value)
    if isinstance(value, Enum):
        return ["e", _enum(kind), value.name] if value.name in kind.__members__ else _unknown(kind)
    if kind is quoted_name:  # SQLAlchemy's str
        return str.__str__(value)
    return _unknown(kind)


def _unknown(kind: type) -> Any:
    raise Unknown(kind)


def _enum(kind: type[Enum]) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    _enums[name] = kind
    return name


def _items(tag: str) -> Callable[[Any], list[Any]]:
    def write(value: Any) -> list[Any]:
        return [tag, *(item if type(item) in SCALARS else _written(item) for item in value)]

    return write


def _set(tag: str) -> Callable[[Any], list[Any]]:
    def write(value: Any) -> list[Any]:
        return [tag, *sorted(map(_written, value), key=json.dumps)]

    return write


def _moment(value: dt.datetime) -> list[Any]:
    zone = value.tzinfo
    if zone is None or type(zone) is dt.timezone:
        return ["dt", value.isoformat(), value.fold]
    if type(zone) is ZoneInfo and zone.key:
        return ["dt", value.replace(tzinfo=None).isoformat(), value.fold, zone.key]
    raise Unknown(type(zone))


def _time(value: dt.time) -> list[Any]:
    if value.tzinfo is not None and type(value.tzinfo) is not dt.timezone:
        raise Unknown(type(value.tzinfo))
    return ["h", value.isoformat(), value.fold]


def _range(tag: str) -> Callable[[Any], list[Any]]:
    def write(value: Any) -> list[Any]:
        if value.isempty:
            return [tag]
        return [tag, _written(value.lower), _written(value.upper), value.bounds]

    return write


_WRITERS: dict[type, Callable[[Any], Any]] = {
    list: _items("l"),
    tuple: _items("t"),
    dict: lambda value: ["d", *([_written(key), _written(item)] for key, item in value.items())],
    set: _set("s"),
    frozenset: _set("fs"),
    bytes: lambda value: ["b", base64.b64encode(value).decode()],
    Decimal: lambda value: ["n", str(value)],
    dt.datetime: _moment,
    dt.date: lambda value: ["day", value.isoformat()],
    dt.time: _time,
    dt.timedelta: lambda value: ["td", value.days, value.seconds, value.microseconds],
    UUID: lambda value: ["u", value.hex],
    Range: _range("r"),
    DriverRange: _range("pr"),
    MultiRange: _items("mr"),
    DriverMultirange: _items("pmr"),
    **{kind: lambda value, name=name: ["ip", name, str(value)] for name, kind in _ADDRESSES.items()},  # type: ignore[misc]
}


def _read(value: Any) -> Any:
    if type(value) is not list:
        if type(value) is dict:
            raise Damaged
        return value
    tag, *rest = value
    return _READERS[tag](rest)


def _every(rest: list[Any]) -> list[Any]:
    return [item if type(item) in SCALARS else _read(item) for item in rest]


def _moment_of(rest: list[Any]) -> dt.datetime:
    moment = dt.datetime.fromisoformat(rest[0]).replace(fold=rest[1])
    return moment if len(rest) == 2 else moment.replace(tzinfo=ZoneInfo(rest[2]))


def _range_of(kind: Any) -> Callable[[list[Any]], Any]:
    def read(rest: list[Any]) -> Any:
        if not rest:
            return kind(empty=True)
        return kind(_read(rest[0]), _read(rest[1]), bounds=rest[2])

    return read


_READERS: dict[str, Callable[[list[Any]], Any]] = {
    "l": _every,
    "t": lambda rest: tuple(_every(rest)),
    "d": lambda rest: {_read(key): _read(item) for key, item in rest},
    "s": lambda rest: set(_every(rest)),
    "fs": lambda rest: frozenset(_every(rest)),
    "b": lambda rest: base64.b64decode(rest[0], validate=True),
    "n": lambda rest: Decimal(rest[0]),
    "dt": _moment_of,
    "day": lambda rest: dt.date.fromisoformat(rest[0]),
    "h": lambda rest: dt.time.fromisoformat(rest[0]).replace(fold=rest[1]),
    "td": lambda rest: dt.timedelta(*rest),
    "u": lambda rest: UUID(hex=rest[0]),
    "r": _range_of(Range),
    "pr": _range_of(DriverRange),
    "mr": lambda rest: MultiRange(_every(rest)),
    "pmr": lambda rest: DriverMultirange(_every(rest)),
    "ip": lambda rest: _ADDRESSES[rest[0]](rest[1]),
    "e": lambda rest: _enums[rest[0]][rest[1]],
}
