"""Types of parameters where PostgreSQL finds none, or the wrong one: guessed, one try after the other.

In `sum(CASE WHEN a = $1 THEN $2 ELSE $3 END)` the numbers that were there are gone, and with them what told their type.
The server says where it fails; what stands there, and what stands beside it, says which types are likely. Each guess
is a cast in the text, so that whoever reads the plan sees it. No I/O: what the catalogs know is handed in.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Protocol

from dbopt.values import dataclass
from dbopt.workload.repeats import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.postgres.named_relations import ColumnType
    from dbopt.workload.parameter_tree import Edit, Place, Tree

# From what constants are most often to what they are least often.
_USUAL = (
    *("integer", "numeric", "text", "timestamp with time zone", "date", "interval", "double precision", "boolean"),
    *("jsonb", "text[]", "integer[]", "uuid", "bigint", "bytea"),
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TYPE_FAULTS = frozenset(
    {
        "42883",  # no such function or operator
        "42725",  # several that fit
        "42804",  # the wrong type
        "42809",  # an array is wanted
        "42846",  # no such cast
        "22P02",  # a constant beside it is not of that type
    }
)
_UNDETERMINED = frozenset({"42P18", "42P08"})
_GROUPING = frozenset({"42803", "42P10"})
_POLYMORPHIC = {"any": "text", "anyelement": "text", "anynonarray": "text", "anycompatible": "text"}
_POLYMORPHIC |= {"anyarray": "text[]", "anycompatiblearray": "text[]", "anycompatiblenonarray": "text"}

Casts = dict[int, str]


class Catalogs(Protocol):
    def columns(self) -> Sequence[ColumnType]:
        """Of the tables that the statement names; the one that it changes is the first."""

    def signatures(self, name: str, arguments: int) -> Sequence[Sequence[str]]:
        """The types that functions of that name take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the server said of a text. `position`: in it, in characters from 0."""

    sqlstate: str | None
    position: int | None
    message: str

    @property
    def number(self) -> int | None:
        """Of the parameter that the message names, in whatever language."""
        match = re.search(r"\$(\d+)", self.message)
        return None if match is None else int(match[1])


@dataclass(frozen=True, slots=True)
class _Trial:
    """A place at fault, what was guessed before it was found, and what remains to be tried."""

    place: object
    base: Casts
    candidates: Iterator[Casts]


class Guesses:
    """`text` is what is to be tried next, with `declared` types of its parameters."""

    def __init__(self, tree: Tree, catalogs: Catalogs) -> None:
        self._tree = tree
        self._catalogs = catalogs
        self._casts: Casts = dict.fromkeys(tree.counted(), "integer") | dict(enumerate(tree.declared, 1))
        self._stack: list[_Trial] = []
        self._tried: list[Casts] = []
        self.places: Mapping[int, int] = {}  # by place among the tree's references: another number that stands there
        self.text = tree.query
        self._edits: Sequence[Edit] = ()
        self._write()

    @property
    def declared(self) -> tuple[str, ...]:
        """Of $1 on; only where a number is missing in the text, the server has to be told some type."""
        used = self._tree.numbers(self.places)
        highest = max(used, default=0)
        missing = highest - len(used)
        return tuple("unknown" if number in used else "text" for number in range(1, highest + 1)) if missing else ()

    @property
    def joined(self) -> Mapping[int, int]:
        """Parameters that can only have had the same value as another: by which each was replaced."""
        return {
            self._tree.references[at].number: number
            for at, number in self.places.items()
            if self._tree.references[at].number != number
        }

    def refused(self, fault: Fault) -> bool:
        """The server does not take `text`: the next guess. False: there is none."""
        if fault.sqlstate in _GROUPING and not self.places:
            self.places = repeated(self._tree, distinct=fault.sqlstate == "42P10")
            if self.places:
                self._write()
                return True
        trial = self._trial(fault)
        if trial is not None and all(trial.place != known.place for known in self._stack):
            self._stack.append(trial)
        while self._stack:
            for candidate in self._stack[-1].candidates:
                casts = {**self._stack[-1].base, **candidate}
                if casts not in self._tried:
                    self._tried.append(casts)
                    self._casts = casts
                    self._write()
                    return True
            self._stack.pop()
        return False

    def _write(self) -> None:
        self.text, self._edits = self._tree.written(self._casts, self.places)

    def _trial(self, fault: Fault) -> _Trial | None:
        if fault.sqlstate in _UNDETERMINED and fault.number is not None:
            return self._undetermined(fault)
        if fault.sqlstate not in _TYPE_FAULTS:
            return None
        place = None
        if fault.position is not None:
            place = self._tree.at(self._tree.original(fault.position, self._edits))
        if place is None:
            return _Trial(("nowhere", fault.sqlstate), dict(self._casts), self._of_nowhere())
        column = self._tree.inserted(place) if fault.sqlstate == "42804" else None
        if column is not None:
            candidates = self._of_insert(column)
        elif place.kind == "FuncCall":
            candidates = self._of_function(place)
        else:
            candidates = self._of_expression(place)
        return _Trial((place.index, fault.sqlstate), dict(self._casts), candidates)

    def _undetermined(self, fault: Fault) -> _Trial:
        """It stands where anything may stand: `$1 IS NULL`, an argument of format(). Its like at once."""
        number = fault.number or 0
        alike = [item for item in self._tree.alike(number) if item not in self._casts]
        beside = [type_name for place in self._tree.places(number) for type_name in self._types_beside(place)]
        order = ("text", *beside, *_USUAL) if fault.sqlstate == "42P18" else (*beside, "text", *_USUAL)
        candidates = (dict.fromkeys([number, *alike], type_name) for type_name in dict.fromkeys(order))
        return _Trial(("$", number), dict(self._casts), candidates)

    def _of_nowhere(self) -> Iterator[Casts]:
        """Columns made of parameters and joined by name: `WITH x AS (SELECT $1 AS id) ... JOIN t USING (id)`."""
        known = {column.attname: column.type_name for column in self._catalogs.columns()}
        every: Casts = {}
        for name, values in self._tree.made():
            if name in known:
                every |= dict.fromkeys(values.numbers, known[name])
        if every:
            yield every
        # The server does not say which function it is that has nothing to tell its type by.
        for place in self._tree.calls():
            if not self._is_cast(place):
                yield from itertools.islice(self._of_function(place), 2)

    def _of_insert(self, column: int) -> Iterator[Casts]:
        """All columns that are made of nothing but parameters at once, then the one alone."""
        types = self._tree.target_types(self._catalogs.columns())
        every: Casts = {}
        for at, values in enumerate(self._tree.inserted_values()):
            if at < len(types) and values.is_pure:
                every |= dict.fromkeys(values.numbers, types[at])
        if every:
            yield every
        numbers = self._tree.inserted_values()[column].numbers
        wanted = types[column : column + 1]
        for type_name in dict.fromkeys([*wanted, *_USUAL]):
            yield dict.fromkeys(numbers, type_name)

    def _of_function(self, place: Place) -> Iterator[Casts]:
        name, arguments = self._tree.call(place)
        signatures = self._catalogs.signatures(name, len(arguments))
        like = [call for call in self._tree.like(place) if not self._is_cast(call)]

        def rank(types: Sequence[str]) -> int:
            return sum(_rank(type_name) for type_name, values in zip(types, arguments, strict=True) if values.numbers)

        plain = [[_POLYMORPHIC.get(type_name, type_name) for type_name in types] for types in signatures]
        for types in sorted(plain, key=rank):
            every: Casts = {}
            for call in [*like, place]:
                for type_name, values in zip(types, self._tree.call(call)[1], strict=True):
                    every |= dict.fromkeys(values.numbers, type_name)
            yield every
        yield from self._of_expression(place)

    def _of_expression(self, place: Place) -> Iterator[Casts]:
        values = self._tree.values(place)
        beside = self._types_beside(place)
        present = self._tree.present(place)
        moments = [item for item in beside if item == "date" or item.startswith("timestamp")] or [present or ""]
        if self._tree.is_sum(place) and moments[0]:
            # What is added to a date without saying that it is an interval, is days.
            lapses = ["integer", "interval"] if (present or moments[0]) == "date" else ["interval"]
            if values.sides:
                left, right = values.sides
                yield {**dict.fromkeys(left, moments[0]), **dict.fromkeys(right, lapses[0])}
            beside = [*lapses, *beside]
        first = self._tree.usual_types(place)
        like = [item for item in self._tree.like(place) if not self._is_cast(item)]
        for type_name in dict.fromkeys([*first, *beside, *_USUAL]):
            every = dict.fromkeys(values.numbers, type_name)
            for item in like:
                every |= dict.fromkeys(self._tree.values(item).numbers, type_name)
            yield every

    def _is_cast(self, place: Place) -> bool:
        return any(number in self._casts for number in self._tree.values(place).numbers)

    def _types_beside(self, place: Place) -> list[str]:
        """Of the columns nearest to it, elements of arrays and arrays of them, too."""
        known: dict[str, list[str]] = {}
        for column in self._catalogs.columns():
            known.setdefault(column.attname, []).append(column.type_name)
        found: list[str] = []
        for names, types in self._tree.beside(place):
            found = [type_name for name in names for type_name in known.get(name, ())] + list(types)
            if found:
                break
        if self._tree.has_array(place):  # its elements are asked about
            found = [type_name.removesuffix("[]") for type_name in found]
        both = (pair for type_name in found for pair in (type_name, _other(type_name)))
        return list(dict.fromkeys(both))


def _other(type_name: str) -> str:
    return type_name.removesuffix("[]") if type_name.endswith("[]") else f"{type_name}[]"


def _rank(type_name: str) -> int:
    return _USUAL.index(type_name) if type_name in _USUAL else len(_USUAL)
