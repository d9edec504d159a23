"""A statement's parse tree, looked at from its parameters: which of their values meet where. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.values import dataclass
from dbopt.workload.value_flow import Flow, Values, inner, last_name, outputs, together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from postgast.pg_query_pb2 import Node

    from dbopt.postgres.named_relations import ColumnType

_SUMS = ("+", "-")
_NOW = frozenset(["now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"])
# What statements that change a table take of it.
_RIGHTS = {
    "InsertStmt": ("INSERT",),
    "UpdateStmt": ("SELECT", "UPDATE"),
    "DeleteStmt": ("SELECT", "DELETE"),
    "MergeStmt": ("SELECT",),
}
_MOMENT = "timestamp with time zone"
_STATEMENTS = ("SelectStmt", *_RIGHTS)


@dataclass(frozen=True, slots=True)
class Reference:
    """A `$N` in the text, in characters from 0. `index`: of its element in the tree."""

    number: int
    start: int
    end: int
    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """An element of the tree: an A_Expr, a FuncCall."""

    index: int
    kind: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A reference that was replaced: from where to where in the new text."""

    start: int
    end: int
    reference: Reference


@dataclass(frozen=True, slots=True)
class Item:
    """An element: `number` counts those of its parent's field from 0, `end` is the index behind all below it."""

    message: Any
    kind: str
    parent: int
    field: str
    number: int
    end: int


class Tree:
    """`declared`: the types of $1 on, where the statement came with them."""

    def __init__(self, query: str, node: Node, declared: Sequence[str] = ()) -> None:
        self.query = query
        self.declared = declared
        self._bytes = None if query.isascii() else query.encode()
        self.items: list[Item] = []
        self._add(node, -1, "", 0)
        self.references = tuple(self._references())
        self._flow = Flow([(item.kind, item.message) for item in self.items])

    def _add(self, message: Any, parent: int, field: str, number: int) -> None:
        message = inner(message)
        if message is None:  # an empty place, as the one bound of nums[$1:]
            return
        at = len(self.items)
        self.items.append(Item(message, "", parent, field, number, 0))
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                for place, child in enumerate([value] if hasattr(value, "DESCRIPTOR") else value):
                    self._add(child, at, descriptor.name, place)
        self.items[at] = Item(message, message.DESCRIPTOR.name, parent, field, number, len(self.items))

    def _references(self) -> Iterator[Reference]:
        written = re.compile(r"\$\d+")
        for index, item in enumerate(self.items):
            if item.kind == "ParamRef":
                start = self._character(item.message.location)
                match = written.match(self.query, start)
                if match is not None:
                    yield Reference(item.message.number, start, match.end(), index)

    def _character(self, location: int) -> int:
        return location if self._bytes is None else len(self._bytes[:location].decode())

    def numbers(self, joined: Mapping[int, int]) -> set[int]:
        return {joined.get(at, reference.number) for at, reference in enumerate(self.references)}

    def relations(self) -> dict[tuple[str | None, str], tuple[str, ...]]:
        """The tables that it names, with their schema where it says so, and the rights that it takes. The one that it
        changes is the first.
        """
        shared = {item.message.ctename for item in self.items if item.kind == "CommonTableExpr"}
        named = [item for item in self.items if item.kind == "RangeVar"]
        locks = any(item.kind == "LockingClause" for item in self.items)
        found: dict[tuple[str | None, str], tuple[str, ...]] = {}
        for item in sorted(named, key=lambda item: not (item.parent == 0 and item.field == "relation")):
            key = (item.message.schemaname or None, item.message.relname)
            if key[0] is not None or key[1] not in shared:
                rights = self._rights(item, locks=locks)
                found[key] = tuple(dict.fromkeys([*found.get(key, ()), *rights]))
        return found

    def _rights(self, relation: Item, *, locks: bool) -> tuple[str, ...]:
        parent = self.items[relation.parent]
        if relation.field != "relation" or parent.kind not in _RIGHTS:
            return ("SELECT", "UPDATE") if locks else ("SELECT",)
        if parent.kind != "MergeStmt":
            return _RIGHTS[parent.kind]
        from postgast.pg_query_pb2 import CmdType

        deeds = [CmdType.Name(clause.merge_when_clause.command_type) for clause in parent.message.merge_when_clauses]
        return ("SELECT", *(name.removeprefix("CMD_") for name in deeds if name != "CMD_NOTHING"))

    @property
    def writes(self) -> bool:
        """It, or a part of it, changes rows, locks them or makes a table."""
        kinds = (*_RIGHTS, "IntoClause", "LockingClause")
        return any(item.kind in kinds for item in self.items)

    # The text

    def written(self, casts: Mapping[int, str], joined: Mapping[int, int]) -> tuple[str, list[Edit]]:
        """With casts of parameters, and some of the references (by their place) replaced by others."""
        parts: list[str] = []
        edits: list[Edit] = []
        end = length = 0
        for at, reference in sorted(enumerate(self.references), key=lambda pair: pair[1].start):
            number = joined.get(at, reference.number)
            text = f"CAST(${number} AS {casts[number]})" if number in casts else f"${number}"
            before = self.query[end : reference.start]
            length += len(before)
            edits.append(Edit(length, length + len(text), reference))
            length += len(text)
            end = reference.end
            parts += [before, text]
        return "".join([*parts, self.query[end:]]), edits

    def original(self, position: int, edits: Sequence[Edit]) -> int:
        """Where in the statement that is which stands there in the new text."""
        shift = 0
        for edit in edits:
            if position < edit.start:
                break
            if position < edit.end:
                return edit.reference.start
            shift = edit.end - edit.reference.end
        return position - shift

    # Places

    def at(self, position: int) -> Place | None:
        """The smallest expression there, or around it, that has values of parameters."""
        location = position if self._bytes is None else len(self.query[:position].encode())
        there = (at for at, item in enumerate(self.items) if getattr(item.message, "location", 0) == location > 0)
        index = max(there, default=-1)
        while index >= 0:
            place = Place(index, self.items[index].kind)
            if place.kind not in _STATEMENTS and self.values(place).numbers:
                return place
            index = self.items[index].parent
        return None

    def places(self, number: int) -> list[Place]:
        """All that mention a parameter."""
        return [Place(item.index, "ParamRef") for item in self.references if item.number == number]

    def values(self, place: Place) -> Values:
        message = self.items[place.index].message
        if place.kind == "A_Expr":
            return self._flow.operands(message)
        if place.kind == "FuncCall":
            return together(self._flow.of(argument) for argument in message.args)
        return self._flow.of(message.arg if place.kind == "TypeCast" else message)

    def call(self, place: Place) -> tuple[str, list[Values]]:
        """A function's name, and each of its arguments."""
        message = self.items[place.index].message
        return last_name(message.funcname), [self._flow.of(argument) for argument in message.args]

    def like(self, place: Place) -> list[Place]:
        """Others of the same form: the same function or operator, of nothing but parameters."""
        form = self._form(place)
        if form is None:
            return []
        others = (Place(index, item.kind) for index, item in enumerate(self.items) if item.kind == place.kind)
        return [other for other in others if other.index != place.index and self._form(other) == form]

    def _form(self, place: Place) -> object | None:
        if place.kind == "FuncCall":
            name, arguments = self.call(place)
            filled = [item for item in arguments if item.numbers]
            if filled and all(item.is_pure for item in filled):
                return name, tuple(bool(item.numbers) for item in arguments)
        if place.kind == "A_Expr":
            values = self.values(place)
            if values.is_pure and values.numbers:
                return last_name(self.items[place.index].message.name), values.sides is None
        return None

    def alike(self, number: int) -> list[int]:
        """Parameters that stand in the same kind of place."""
        kinds = {self._around(item.index) for item in self.references if item.number == number}
        return list(dict.fromkeys(item.number for item in self.references if self._around(item.index) in kinds))

    def _around(self, index: int) -> tuple[str, str, int]:
        """For arguments of a function and `IS NULL` the same wherever they are."""
        at = self.items[index].parent
        parent = self.items[at]
        if parent.kind == "FuncCall":
            return parent.kind, last_name(parent.message.funcname), 0
        return parent.kind, "", 0 if parent.kind == "NullTest" else at

    def beside(self, place: Place) -> Iterator[tuple[list[str], list[str]]]:
        """Names of columns, and types of casts, in it, then in what is around it, as far as the statement goes."""
        index = place.index
        while index >= 0 and self.items[index].kind not in _STATEMENTS:
            item = self.items[index]
            names = [item.message.name] if item.kind == "ResTarget" and item.message.name else []
            types: list[str] = []
            for below in self._below(index):
                if below.kind == "ColumnRef" and below.message.fields[-1].HasField("string"):
                    names.append(below.message.fields[-1].string.sval)
                elif below.kind == "TypeCast":
                    types.append(type_text(below.message.type_name))
            yield names, types
            index = item.parent

    def is_sum(self, place: Place) -> bool:
        """A parameter is added in it, or subtracted."""
        return any(
            item.kind == "A_Expr"
            and last_name(item.message.name) in _SUMS
            and self._flow.operands(item.message).numbers
            for item in self._below(place.index)
        )

    def present(self, place: Place) -> str | None:
        """The type of what stands for the present in it, if anything does: CURRENT_DATE, now()."""
        from postgast.pg_query_pb2 import SVFOP_CURRENT_DATE

        for item in self._below(place.index):
            if item.kind == "SQLValueFunction":
                return "date" if item.message.op == SVFOP_CURRENT_DATE else _MOMENT
            if item.kind == "FuncCall" and last_name(item.message.funcname) in _NOW:
                return _MOMENT
        return None

    def has_array(self, place: Place) -> bool:
        """`ARRAY[$1]` is made in it."""
        return any(item.kind == "A_ArrayExpr" for item in self._below(place.index))

    def calls(self) -> list[Place]:
        """Functions of which all arguments are parameters."""
        places = (Place(index, item.kind) for index, item in enumerate(self.items) if item.kind == "FuncCall")
        return [place for place in places if (values := self.values(place)).is_pure and values.numbers]

    def usual_types(self, place: Place) -> tuple[str, ...]:
        """What stands in such a place more often than anywhere else."""
        item = self.items[place.index]
        parent = self.items[item.parent]
        if item.kind == "A_Expr" and last_name(item.message.name) == "||":
            return "text", "jsonb", "text[]"
        if parent.kind == "FuncCall" and parent.message.func_variadic:
            return "text[]", "integer[]"
        return ()

    def counted(self) -> list[int]:
        """Parameters that the server takes for text where surely they are numbers: `substring(x FROM $1 FOR $2)`."""
        return [
            item.message.number
            for item in self.items
            if item.kind == "ParamRef" and item.field == "args" and item.number > 0
            for call in [self.items[item.parent]]
            if call.kind == "FuncCall"
            and last_name(call.message.funcname) == "substring"
            and len(call.message.args) == 3
        ]

    def _below(self, index: int) -> Sequence[Item]:
        return self.items[index : self.items[index].end]

    def made(self) -> Iterator[tuple[str, Values]]:
        """The columns that are made of nothing but parameters, by name."""
        for table, name in self._flow.columns:
            values = self._flow.column((table, name))
            if not table and values.is_pure and values.numbers:
                yield name, values

    # INSERT

    def inserted(self, place: Place) -> int | None:
        """Which column of the rows that are inserted an expression is part of."""
        sources: set[int] = set()
        for index, item in enumerate(self.items):
            if item.kind == "SelectStmt" and (item.parent == 0 or item.parent in sources):
                sources.add(index)
        index = place.index
        while self.items[0].kind == "InsertStmt" and index > 0:
            item = self.items[index]
            if item.parent in sources and item.field == "target_list":
                return item.number
            index = item.parent
        return None

    def inserted_values(self) -> list[Values]:
        """Column by column."""
        columns = outputs(self.items[0].message.select_stmt)
        return [together(self._flow.of(node) for node in nodes) for _, nodes in columns]

    def target_types(self, columns: Sequence[ColumnType]) -> list[str]:
        """Of the columns that an INSERT fills, in its order. Empty where one is not known."""
        own = {column.attname: column.type_name for column in columns if column.number == 1}
        names = [node.res_target.name for node in self.items[0].message.cols] or list(own)
        return [own[name] for name in names] if own.keys() >= set(names) else []


def type_text(name: Any) -> str:
    """A type as SQL, quoted where that is needed."""
    from postgast.pg_query_pb2 import Node

    cast = Node()
    cast.type_cast.arg.param_ref.number = 1
    cast.type_cast.type_name.CopyFrom(name)
    return grammar.expression_text(cast).removeprefix("$1::")
