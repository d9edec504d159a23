"""Frozen dataclasses that cost little to define.

A command defines some hundred row types before it asks its first question, and the standard library writes and
compiles six methods for each: a sixth of a second. Here only `__init__` is made anew for each class; the others are
shared. To mypy, which runs on every change, it is the standard decorator, `frozen` included: nothing enforces that a
second time while the program runs.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, **options):
        """As dataclasses.dataclass; what is not frozen is left to it."""

        def define(cls):
            if not frozen:
                return dataclasses.dataclass(cls, slots=slots, eq=eq, **options)
            own = cls.__dict__
            made = dataclasses.dataclass(cls, slots=slots, eq=False, repr=False, **options)
            if "__repr__" not in own:
                made.__repr__ = _repr
            if eq and "__eq__" not in own:
                made.__eq__, made.__hash__ = _eq, _hash
            return made

        return define if cls is None else define(cls)


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


_GETTERS: dict[type, Callable[[Any], Any]] = {}


def _compared(kind: type) -> Callable[[Any], Any]:
    """What gets the values that count of an instance: the value itself where there is only one."""
    if kind not in _GETTERS:
        names = [field.name for field in dataclasses.fields(kind) if field.compare]
        _GETTERS[kind] = operator.attrgetter(*names) if names else lambda _: ()
    return _GETTERS[kind]


def _eq(self: Any, other: object) -> Any:
    if self is other:
        return True
    if type(self) is not type(other):
        return NotImplemented
    compared = _compared(type(self))
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(type(self))(self))
