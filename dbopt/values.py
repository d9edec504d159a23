"""Frozen dataclasses that cost little to define.

A command defines some hundred row types before it asks its first question, and the standard library writes and
compiles six methods for each: a sixth of a second. Here only `__init__` is made anew for each class; the others are
shared. To mypy, which runs on every change, it is the standard decorator, `frozen` included: nothing enforces that a
second time while the program runs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.compare)


def _eq(self: Any, other: object) -> Any:
    return _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))
