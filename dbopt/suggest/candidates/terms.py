"""What an access compares, sorted by what an index could do with it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.suggest.candidates.expressions import may_be_key
from dbopt.suggest.cost.selectivity import elements
from dbopt.suggest.model import Key
from dbopt.values import dataclass
from dbopt.workload.conditions import Kind
from dbopt.workload.index_advice import WIDTH_MAX_BYTES, distinct_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.model import Access
    from dbopt.workload.conditions import Condition
    from dbopt.workload.finding import Relation

# LIKE, ILIKE, regular expressions.
PATTERNS = frozenset(("~~", "~~*", "~", "~*"))
# Of an expression, which is no CONTAINMENT to conditions.py whatever it is compared by.
_CONTAINED = ("@@", "@>", "<@", "&&", "?", "?|", "?&", "%", "<%", "%>")
_STRING_TYPES = ("text", "character varying")
# Of a column with more different values, a constant is no kind of row: as many as ANALYZE keeps one by one
# (default_statistics_target).
KINDS_MAX = 100
# Values of a list in a predicate, as `state IN ('new', 'paid')`: more of them are no longer rare. Our own.
_LISTED_MAX = 5
_PARAMETER = re.compile(r"\$\d+")


@dataclass(frozen=True, slots=True)
class Term:
    """A column, or an expression, that is compared. `distinct`: how many different values there are, None: not known.
    `is_fixed`: with a constant of the statement's text, which every call has.
    """

    key: Key
    condition: Condition
    distinct: float | None
    is_fixed: bool

    @property
    def name(self) -> str:
        return self.key.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`equal`: =, IS NULL, a boolean by itself; `lists`: = ANY; `joins`: with another table's column; `ranges`: <, >,
    BETWEEN; `patterns`: LIKE and its like; `contained`: what GIN and GiST know; `fixed`: those with constants, as
    predicates. `others`: no index knows them.
    """

    equal: tuple[Term, ...]
    lists: tuple[Term, ...]
    joins: tuple[Term, ...]
    ranges: tuple[Term, ...]
    patterns: tuple[Term, ...]
    contained: tuple[Term, ...]
    fixed: tuple[str, ...]
    others: int


def terms(access: Access, relation: Relation) -> Terms:
    found: dict[str, list[Term]] = {name: [] for name in ("equal", "lists", "joins", "ranges", "patterns", "contained")}
    fixed: list[str] = []
    others = 0
    for condition in access.conditions:
        # Behind a list of values no key gives an order; behind a predicate it does. Without one, keys do as well.
        predicate = _predicate(condition, relation) if condition.operator != "= ANY" or access.order else None
        if predicate is not None:
            fixed.append(predicate)
        sort = _sort(condition)
        made = [] if sort is None else _terms(condition, relation, needs_btree=sort not in ("patterns", "contained"))
        if sort is None or not made:
            others += predicate is None
        else:
            found[sort] += made
    for condition in access.joins:
        found["joins"] += _terms(condition, relation, needs_btree=True)
    known = {name: _once(items) for name, items in found.items()}
    return Terms(fixed=tuple(dict.fromkeys(fixed)), others=others, **known)


def _sort(condition: Condition) -> str | None:
    operator = condition.operator
    if condition.kind is Kind.OTHER or operator is None or not condition.columns:
        return None
    if operator in ("=", "IS NULL"):
        return "equal"
    if operator == "= ANY":
        return "lists"
    if operator in ("<", "<=", ">", ">="):
        return "ranges"
    if operator in PATTERNS or operator == "^@":
        return "patterns"
    return "contained" if condition.kind is Kind.CONTAINMENT or operator in _CONTAINED else None


def _terms(condition: Condition, relation: Relation, *, needs_btree: bool) -> list[Term]:
    """One a column; of a row comparison one for each, of an expression one. None where an index cannot have it."""
    is_fixed = not condition.is_join and _PARAMETER.search(condition.other_side) is None
    if condition.kind in (Kind.FUNCTION, Kind.CAST):
        if not may_be_key(condition.expression, relation):
            return []
        return [Term(Key(expression=condition.expression), condition, None, is_fixed)]
    made = []
    for name in condition.columns:
        column = relation.column(name)
        if column is None or (needs_btree and not is_usable(relation, name)):
            return []
        made.append(Term(Key(column=name), condition, distinct_values(relation, column), is_fixed))
    return made


def is_usable(relation: Relation, name: str) -> bool:
    """Whether a btree can have the column as a key."""
    column = relation.column(name)
    return column is not None and column.is_orderable and (column.avg_width or 0) <= WIDTH_MAX_BYTES


def _predicate(condition: Condition, relation: Relation) -> str | None:
    """The condition as a partial index could have it: every call of the statement has it, and it holds for a row for
    ever. None: it has a parameter, or is compared with what may change.
    """
    if condition.is_join or not condition.columns or any(relation.column(name) is None for name in condition.columns):
        return None
    is_plain = condition.kind in (Kind.EQUALITY, Kind.NULL_TEST)
    if not is_plain or len(condition.columns) != 1:
        return None
    column, name = condition.columns[0], condition.expression
    if condition.kind is Kind.NULL_TEST:
        return f"{name} {condition.operator}"
    other = condition.other_side
    known = relation.column(column)
    type_name = "" if known is None else known.base_type or known.type_name
    if other in ("true", "false") and type_name == "boolean":
        return name if other == "true" else f"NOT {name}"
    values = None if known is None else distinct_values(relation, known)
    if values is None or values > KINDS_MAX:
        return None  # one of many: an example of a parameter, and maybe somebody's own
    if condition.operator == "= ANY":
        is_short = "[]" not in type_name and elements(condition) <= _LISTED_MAX
        constant = _constant(other, f"{type_name}[]") if is_short else None
        return f"{name} = ANY ({constant})" if constant is not None else None
    constant = _constant(other, type_name)
    return f"{name} = {constant}" if constant is not None and condition.operator == "=" else None


def _constant(text: str, type_name: str) -> str | None:
    """A constant as it is compared with a column of a type. A cast to that very type goes: its name may be found by the
    statement's search_path alone. None: it is no constant.
    """
    from dbopt import grammar
    from dbopt.workload import conditions

    try:
        tree = inner = grammar.parse_expression(text)
    except grammar.GrammarError:
        return None
    while inner.HasField("type_cast"):
        inner = inner.type_cast.arg
    if not inner.HasField("a_const") or inner.a_const.isnull:
        return None
    target = conditions.type_name(tree.type_cast.type_name) if tree.HasField("type_cast") else ""
    is_own = target.rpartition(".")[2] == type_name.rpartition(".")[2].strip('"')
    return grammar.expression_text(inner) if is_own and inner.a_const.HasField("sval") else text


def _once(items: Sequence[Term]) -> tuple[Term, ...]:
    """Each key once: `a >= $1 AND a < $2` is one range."""
    return tuple({item.key: item for item in reversed(items)}.values())[::-1]


def is_text(relation: Relation, term: Term) -> bool:
    """Whether a pattern can be looked for in it."""
    if term.key.expression:
        return True  # what is compared by LIKE is text
    column = relation.column(term.key.column)
    return column is not None and (column.base_type or column.type_name) in _STRING_TYPES
