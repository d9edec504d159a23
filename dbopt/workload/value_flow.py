"""Which expressions the value of a parameter reaches as it is: through CASE, sums, derived tables. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Where a value passes through as it is: kind of the tree's element, and its fields that hold values.
_PASSING: Mapping[str, tuple[str, ...]] = {
    "CaseExpr": ("args", "defresult"),
    "CaseWhen": ("result",),
    "CoalesceExpr": ("args",),
    "MinMaxExpr": ("args",),
    "A_ArrayExpr": ("elements",),
    "RowExpr": ("args",),
    "List": ("items",),
    "ResTarget": ("val",),
    "NamedArgExpr": ("arg",),
    "CollateClause": ("arg",),
}
# Functions whose result is of the type of their arguments.
_SAME = frozenset(
    (
        *("abs", "any_value", "array_agg", "avg", "ceil", "ceiling", "first_value", "floor", "generate_series", "lag"),
        *("last_value", "lead", "max", "min", "mod", "nth_value", "round", "sum", "trunc", "unnest"),
    )
)
_ARITHMETIC = frozenset(["+", "-", "*", "/", "%", "^", "||", "&", "|", "#"])


@dataclass(frozen=True, slots=True)
class Values:
    """The parameters whose values, unchanged, are those of an expression. `is_pure`: no other values are. `sides`: of
    an operator between two such.
    """

    numbers: tuple[int, ...]
    is_pure: bool
    sides: tuple[tuple[int, ...], tuple[int, ...]] | None = None


class Flow:
    """`elements`: all of a statement's tree, by kind."""

    def __init__(self, elements: Sequence[tuple[str, Any]]) -> None:
        self.columns = _derived(elements)
        self._known: dict[tuple[str, str], Values] = {}

    def of(self, message: Any) -> Values:
        """What an expression's value is made of."""
        message = inner(message)
        if message is None:
            return Values((), True)
        kind = message.DESCRIPTOR.name
        if kind == "ParamRef":
            return Values((message.number,), True)
        if kind == "A_Const":
            return Values((), message.isnull)
        if kind in _PASSING:
            fields = (getattr(message, name) for name in _PASSING[kind])
            return together(self.of(child) for field in fields for child in _each(field))
        if kind == "A_Expr" and last_name(message.name) in _ARITHMETIC:
            return self.operands(message)
        if kind == "FuncCall" and last_name(message.funcname) in _SAME:
            return together(self.of(argument) for argument in message.args)
        if kind == "SubLink":
            return together(self.of(node) for _, nodes in outputs(message.subselect) for node in nodes)
        if kind == "ColumnRef":
            names = [field.string.sval for field in message.fields if field.HasField("string")]
            key = (names[-2] if len(names) > 1 else "", names[-1] if names else "")
            if key in self.columns:
                return self.column(key)
        return Values((), False)

    def column(self, key: tuple[str, str]) -> Values:
        """Of a derived table, by the name of the table and its own. Once each: they build upon one another."""
        if key not in self._known:
            self._known[key] = Values((), True)  # what a recursive one adds to itself
            self._known[key] = together(self.of(node) for node in self.columns[key])
        return self._known[key]

    def operands(self, message: Any) -> Values:
        left, right = self.of(message.lexpr), self.of(message.rexpr)
        both = together([left, right])
        if both.is_pure and left.numbers and right.numbers:
            return Values(both.numbers, True, (left.numbers, right.numbers))
        return both


def _derived(elements: Sequence[tuple[str, Any]]) -> dict[tuple[str, str], list[Any]]:
    """The columns of the tables that the statement makes itself, with the name of the table and without."""
    made: dict[tuple[str, str], list[Any]] = {}
    shared: dict[str, list[tuple[str, list[Any]]]] = {}
    for kind, message in elements:
        if kind == "CommonTableExpr":
            names = [name.string.sval for name in message.aliascolnames]
            shared[message.ctename] = columns = _named(outputs(message.ctequery), names)
            _add_columns(made, message.ctename, columns)
        elif kind == "RangeSubselect":
            names = [name.string.sval for name in message.alias.colnames]
            _add_columns(made, message.alias.aliasname, _named(outputs(message.subquery), names))
    for kind, message in elements:
        if kind == "RangeVar" and message.relname in shared and message.alias.aliasname:
            _add_columns(made, message.alias.aliasname, shared[message.relname])
    return made


def inner(message: Any) -> Any | None:
    """Without the wrapper that says of which kind it is."""
    while message is not None and message.DESCRIPTOR.name == "Node":
        kind = message.WhichOneof("node")
        message = None if kind is None else getattr(message, kind)
    return message


def _each(field: Any) -> Iterable[Any]:
    return [field] if hasattr(field, "DESCRIPTOR") else field


def last_name(names: Sequence[Any]) -> str:
    """Of a name with its schema, the name."""
    return str(names[-1].string.sval) if names else ""


def together(parts: Iterable[Values]) -> Values:
    every = list(parts)
    numbers = dict.fromkeys(number for values in every for number in values.numbers)
    return Values(tuple(numbers), all(values.is_pure for values in every))


def outputs(select: Any) -> list[tuple[str, list[Any]]]:
    """The columns of a query's result: name, and the expressions that they come from, of a UNION several."""
    select = inner(select)
    if select is None or select.DESCRIPTOR.name != "SelectStmt":
        return []
    if select.values_lists:
        rows = [row.list.items for row in select.values_lists]
        return [(f"column{at + 1}", [row[at] for row in rows if at < len(row)]) for at in range(len(rows[0]))]
    if select.HasField("larg"):
        left, right = outputs(select.larg), outputs(select.rarg)
        return [(name, nodes + other) for (name, nodes), (_, other) in zip(left, right, strict=False)]
    return [(_output_name(target.res_target), [target.res_target.val]) for target in select.target_list]


def _output_name(target: Any) -> str:
    """As the server names a column that has no name of its own, where that is a column's or a function's."""
    value = inner(target.val)
    if target.name or value is None:
        return str(target.name)
    kind = value.DESCRIPTOR.name
    return last_name(value.fields) if kind == "ColumnRef" else last_name(value.funcname) if kind == "FuncCall" else ""


def _named(columns: list[tuple[str, list[Any]]], names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    return [(names[at] if at < len(names) else name, nodes) for at, (name, nodes) in enumerate(columns)]


def _add_columns(made: dict[tuple[str, str], list[Any]], table: str, columns: Iterable[tuple[str, list[Any]]]) -> None:
    for name, nodes in columns:
        for key in {(table, name), ("", name)}:
            made[key] = [*made.get(key, ()), *nodes]
