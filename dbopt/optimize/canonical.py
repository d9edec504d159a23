"""Definitions of indexes in the server's own form, and when two of them mean the same.

Text is never compared with text that somebody wrote. A definition asked for is made on an empty temporary twin of its
table (twin.py), read back from the catalogs like any other index, and the two catalog forms are compared: method,
columns, operator classes, collations, sort options, storage parameters as a set.

Expressions and predicates are compared as PostgreSQL prints them, and where that differs as its planner reads them:
`status IN ('a', 'b')` typed by a person and the same predicate restored from a dump print differently for ever, but
become one tree once constants are folded (`folded`), and that tree is what decides which queries an index serves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbopt import grammar

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

    from dbopt.postgres.catalog import Expressions, Index

_DESC, _NULLS_FIRST = 1, 2  # bits of pg_index.indoption
_ON = {"on", "true", "yes", "1"}
_OFF = {"off", "false", "no", "0"}
# The storage parameters that take a boolean; any spelling of one means the same to the server.
_BOOLEAN_PARAMETERS = {"fastupdate", "deduplicate_items", "autosummarize"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """One key column. `expression` is the server's text; names of opclass and collation carry their schema."""

    column: str | None
    expression: str | None
    opclass: str
    opclass_options: str | None
    collation: str | None
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """All that makes an index what it is, except its name, its table and its comment."""

    method: str
    unique: bool
    nulls_not_distinct: bool
    keys: tuple[KeyForm, ...]
    include: tuple[str, ...]
    predicate: str | None
    parameters: tuple[tuple[str, str], ...]
    tablespace: str | None  # None: the database's own

    @property
    def has_expressions(self) -> bool:
        return any(key.expression is not None for key in self.keys)


def definition(index: Index, expressions: Expressions | None) -> Definition:
    """An index of the catalogs as a Definition. `expressions` may be None for an index that has none."""
    texts = expressions.keys if expressions is not None else []
    keys = tuple(
        KeyForm(
            column=index.columns[n],
            expression=texts[n] if texts and index.columns[n] is None else None,
            opclass=index.opclasses[n],
            opclass_options=index.opclass_options[n] or None,
            collation=index.collations[n],
            descending=bool(index.indoption[n] & _DESC),
            nulls_first=bool(index.indoption[n] & _NULLS_FIRST),
        )
        for n in range(index.indnkeyatts)
    )
    return Definition(
        method=index.method,
        unique=index.indisunique,
        nulls_not_distinct=index.indnullsnotdistinct,
        keys=keys,
        include=tuple(column or "" for column in index.columns[index.indnkeyatts :]),
        predicate=expressions.predicate if expressions is not None else None,
        parameters=tuple(sorted(_parameter(option) for option in index.reloptions)),
        tablespace=index.tablespace,
    )


def same(wanted: Definition, actual: Definition, *, tablespace: bool) -> bool:
    """Whether two definitions are one. `tablespace`: the spec asks for one; where it is silent, any will do."""
    if not tablespace:
        actual = replace(actual, tablespace=wanted.tablespace)
    return wanted == actual


def blank(form: Definition) -> Definition:
    """A definition without the wording of its expressions: when two such are the same, the planner decides the rest."""
    return replace(
        form,
        keys=tuple(replace(key, expression="" if key.expression is not None else None) for key in form.keys),
        predicate="" if form.predicate is not None else None,
    )


def difference(wanted: Definition, actual: Definition) -> str:
    """What differs, for people: `keys a, b -> a, b DESC; where (x > 1) -> none`. The actual comes first."""
    # Operator classes are said only where nothing else tells the two apart.
    by_opclass = [_key_text(key) for key in wanted.keys] == [_key_text(key) for key in actual.keys]
    pairs = zip(_aspects(wanted, by_opclass), _aspects(actual, by_opclass), strict=True)
    parts = [
        f"{label} {before or 'none'} -> {after or 'none'}"
        for (label, after), (_, before) in pairs
        if before != after and not (label == "tablespace" and wanted.tablespace is None)
    ]
    return "; ".join(parts)


def _aspects(form: Definition, opclasses: bool) -> list[tuple[str, str]]:
    nulls = " nulls not distinct" if form.nulls_not_distinct else ""
    return [
        ("method", form.method),
        ("uniqueness", f"unique{nulls}" if form.unique else ""),
        ("keys", ", ".join(_key_text(key, opclass=opclasses) for key in form.keys)),
        ("include", ", ".join(form.include)),
        ("where", form.predicate or ""),
        ("with", ", ".join(f"{name}={value}" for name, value in form.parameters)),
        ("tablespace", form.tablespace or ""),
    ]


def _key_text(key: KeyForm, *, opclass: bool = False) -> str:
    words = [key.column if key.column is not None else f"({key.expression})"]
    if key.collation not in (None, "pg_catalog.default"):
        words.append(f"COLLATE {key.collation}")
    if opclass:
        words.append(key.opclass.removeprefix("pg_catalog."))
    if key.opclass_options:
        words.append(f"({key.opclass_options})")
    words += ["DESC"] * key.descending
    if key.nulls_first != key.descending:
        words.append("NULLS FIRST" if key.nulls_first else "NULLS LAST")
    return " ".join(words)


def _parameter(option: str) -> tuple[str, str]:
    """`fastupdate=no` of pg_class.reloptions as a pair, booleans and numbers in one spelling."""
    name, _, value = option.partition("=")
    low = value.lower()
    if name in _BOOLEAN_PARAMETERS:
        value = "on" if low in _ON else "off" if low in _OFF else low
    elif re.fullmatch(r"[+-]?\d+(\.\d+)?", low):
        value = f"{float(low):g}"
    else:
        value = low
    return name, value


_ARRAY_ELEMENT = re.compile(r'"(?:[^"\\\\]|\\\\.)*"|[^,"]+')


def folded(text: str) -> str:
    """One form for a predicate that the planner has folded: arms of AND and OR sorted, lists as sets, columns first.

    `text` is what EXPLAIN printed. A text that the grammar refuses (EXPLAIN abbreviates some things) comes back as it
    is: then two predicates count as different, which rebuilds an index at worst and misses no change.
    """
    try:
        return _canonical(grammar.parse_expression(text))
    except grammar.GrammarError:
        return text


_FLIPPED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _canonical(node: Node) -> str:
    kind = node.WhichOneof("node")
    if kind == "bool_expr" and node.bool_expr.boolop in _SORTED_BOOLEANS():
        name = node.bool_expr.boolop
        arms: set[str] = set()
        stack = list(node.bool_expr.args)
        while stack:
            arm = stack.pop()
            if arm.WhichOneof("node") == "bool_expr" and arm.bool_expr.boolop == name:
                stack.extend(arm.bool_expr.args)
            else:
                arms.add(_canonical(arm))
        return f"{name}({', '.join(sorted(arms))})"
    if kind == "a_expr":
        return _canonical_operator(node)
    return grammar.expression_text(node)


def _SORTED_BOOLEANS() -> tuple[int, int]:  # noqa: N802 - a constant whose module costs 0.1 s to import
    from postgast.pg_query_pb2 import BoolExprType

    return BoolExprType.AND_EXPR, BoolExprType.OR_EXPR


def _canonical_operator(node: Node) -> str:
    from postgast.pg_query_pb2 import A_Expr_Kind

    operator = node.a_expr
    name = operator.name[-1].string.sval if len(operator.name) == 1 else ""
    if operator.kind == A_Expr_Kind.AEXPR_OP and name in _FLIPPED and operator.HasField("lexpr"):
        left, right = _canonical(operator.lexpr), _canonical(operator.rexpr)
        if _is_constant(operator.lexpr) and not _is_constant(operator.rexpr):
            left, right, name = right, left, _FLIPPED[name]
        return f"({left} {name} {right})"
    if operator.kind == A_Expr_Kind.AEXPR_OP_ANY and name == "=":
        literal = _array_literal(operator.rexpr)
        if literal is not None:
            return f"({_canonical(operator.lexpr)} = ANY {literal})"
    return grammar.expression_text(node)


def _is_constant(node: Node) -> bool:
    if node.WhichOneof("node") == "type_cast":
        return _is_constant(node.type_cast.arg)
    return bool(node.WhichOneof("node") == "a_const")


def _array_literal(node: Node) -> str | None:
    """`'{b,a}'::text[]` with its elements sorted: in `= ANY` their order and number mean nothing."""
    if node.WhichOneof("node") != "type_cast" or node.type_cast.arg.WhichOneof("node") != "a_const":
        return None
    value = node.type_cast.arg.a_const
    text = value.sval.sval if value.HasField("sval") else ""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    elements = _ARRAY_ELEMENT.findall(text[1:-1])
    if any(element.startswith("{") for element in elements):
        return None
    ordered = grammar.expression_text(node)
    return ordered.replace(
        grammar.literal_text(text), grammar.literal_text("{" + ",".join(sorted(set(elements))) + "}")
    )
