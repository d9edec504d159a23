"""Our dataclasses behave as the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: list[int] = dataclasses.field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    name: str = "a"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Unique:
    x: int


@dataclass
class Plain:
    x: int = 1


def test_equal_by_what_is_compared() -> None:
    assert Point(1, [1]) == Point(1, [2])
    assert Point(1) != Point(2)
    assert len({Point(1, [1]), Point(1, [2]), Point(3)}) == 2
    assert Point(1) != (1, [])
    assert Unique(1) != Unique(1)


def test_replaced_copied_and_shown() -> None:
    assert dataclasses.replace(Point(1, [5]), x=2) == Point(2)
    assert repr(Point(1)) == "Point(x=1, y=[])"
    assert repr(Named()) == "a"
    assert pickle.loads(pickle.dumps(Point(1))) == copy.deepcopy(Point(1)) == Point(1)


def test_slots_hold_nothing_else() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Named("a")  # type: ignore[misc]


def test_what_is_not_frozen_is_the_standard_one() -> None:
    assert Plain() == Plain(1)
    assert repr(Plain()) == "Plain(x=1)"
