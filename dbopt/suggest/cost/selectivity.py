"""Which part of a table's rows conditions let through, from what ANALYZE knows. Pure.

The planner has estimated all conditions of a scan together, with values where it had any; that is taken for the truth.
How much of it each condition does by itself is told by the statistics of its column, and what these leave open is
shared out among the conditions that have room: an equality can let through the commonest value, a range anything.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt.values import dataclass
from dbopt.workload.conditions import Kind, conditions
from dbopt.workload.scans import ARRAY_ELEMENTS, BOUNDED_SELECTIVITY, RANGE_SELECTIVITY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.workload.conditions import Condition
    from dbopt.workload.finding import Column

# The planner's own guesses, src/include/utils/selfuncs.h: 1 / DEFAULT_NUM_DISTINCT, DEFAULT_MATCH_SEL,
# DEFAULT_MATCHING_SEL, DEFAULT_UNK_SEL; ts_selfuncs.c: DEFAULT_TS_MATCH_SEL. What it knows nothing of lets through a
# third (clausesel.c: a boolean expression, half; we take the more common comparison).
DISTINCT = 200.0
_EQUAL = 1 / DISTINCT
_MATCH = 0.005
_MATCHING = 0.010
_TEXT_MATCH = 0.001
_UNKNOWN_NULL = 0.005
_ANYTHING = 1 / 3
_LEAST = 1e-10

# Functions of which different values have different results, or nearly so.
_KEEPS_APART = frozenset(("lower", "upper", "btrim", "ltrim", "rtrim", "trim", "md5", "coalesce", "reverse", "initcap"))
_TEXT_CASTS = ("text", "varchar")
_PARAMETER = re.compile(r"\$\d")
_ARRAY = re.compile(r"^(?:'\{(?P<written>[^']*)\}'|ARRAY\[(?P<listed>.*)\])")


@dataclass(frozen=True, slots=True)
class Test:
    """What a condition asks of one key. `target`: a column's name or, as `normal` writes it, an expression; `how`: one
    of =, any, range, like, null, not null, contains; other: nothing that an index knows.
    """

    condition: Condition
    target: str
    is_expression: bool
    how: str


_HOW = {"=": "=", "= ANY": "any", "IS NULL": "null", "IS NOT NULL": "not null"}
_RANGES = ("<", "<=", ">", ">=")
_LIKES = ("~~", "~~*", "~", "~*", "^@")


def test(condition: Condition) -> Test:
    operator = condition.operator
    is_expression = condition.kind in (Kind.FUNCTION, Kind.CAST)
    if condition.kind is Kind.OTHER or operator is None or not condition.columns:
        return Test(condition, "", False, "other")
    how = _HOW.get(operator, "range" if operator in _RANGES else "like" if operator in _LIKES else "contains")
    if is_expression:
        return Test(condition, normal(condition.expression), True, how)
    if len(condition.columns) > 1 and how != "range":  # of a row comparison the first column finds rows
        return Test(condition, "", False, "other")
    return Test(condition, condition.columns[0], False, how)


@lru_cache(maxsize=4096)
def normal(expression: str) -> str:
    """In one spelling: no casts between text and character varying, which change nothing."""
    from postgast.pg_query_pb2 import Node as Message

    from dbopt import grammar

    try:
        tree = Message()
        tree.CopyFrom(grammar.parse_expression(expression))
        return grammar.expression_text(_bare(tree))
    except Exception:  # noqa: BLE001 - what libpg_query reads and cannot write, or does not read
        return " ".join(expression.split())


def _bare(tree: object) -> object:
    """Without those casts, in place."""
    from postgast.pg_query_pb2 import Node as Message

    def walk(message: object) -> None:
        for field, value in message.ListFields():  # type: ignore[attr-defined]
            if field.message_type is None:
                continue
            parts = list(value) if field.is_repeated else [value]
            for part in parts:
                if isinstance(part, Message):
                    while part.HasField("type_cast") and _is_text(part.type_cast.type_name):
                        inner = Message()
                        inner.CopyFrom(part.type_cast.arg)
                        part.CopyFrom(inner)
                walk(part)

    holder = Message()
    holder.a_array_expr.elements.add().CopyFrom(tree)
    walk(holder)
    return holder.a_array_expr.elements[0]


def _is_text(name: object) -> bool:
    names = [part.string.sval for part in name.names]  # type: ignore[attr-defined]
    return not name.array_bounds and names[-1] in _TEXT_CASTS  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def predicate(where: str) -> tuple[Condition, ...]:
    """The conditions that all rows of a partial index fulfil."""
    return conditions(where)


def implied(part: Condition, given: Sequence[Condition]) -> tuple[int, ...] | None:
    """By which of the conditions given, textually; None: by none. IS NOT NULL is implied by whatever no NULL passes."""
    wanted = _spelled(part)
    same = tuple(number for number, item in enumerate(given) if _spelled(item) == wanted)
    if same:
        return same
    if part.operator == "IS NOT NULL":
        target = test(part).target
        strict = tuple(
            number
            for number, item in enumerate(given)
            if (asked := test(item)).target == target and asked.how in ("=", "any", "range", "like", "contains")
        )
        return strict[:1] or None
    return None


@lru_cache(maxsize=4096)
def _spelled(item: Condition) -> tuple[str, str | None, str, tuple[tuple[str, str | None, str], ...]]:
    other = normal(item.other_side) if item.other_side else ""
    arms = tuple((normal(arm.expression), arm.operator, normal(arm.other_side or "true")) for arm in item.arms)
    return normal(item.expression), item.operator, other, arms


def elements(condition: Condition) -> float:
    """How many values `= ANY` looks for."""
    found = _ARRAY.match(condition.other_side)
    if found is None:
        return float(ARRAY_ELEMENTS)
    text = found["written"] if found["written"] is not None else found["listed"]
    return max(1.0, text.count(",") + 1.0)


def distinct_values(column: Column | None, rows: float) -> float | None:
    if column is None or not column.n_distinct:
        return None
    known = column.n_distinct if column.n_distinct > 0 else -column.n_distinct * rows
    return max(1.0, min(known, rows or known))


@dataclass(frozen=True, slots=True)
class Guess:
    """Of one condition: the share of rows that it likely lets through, and the most that it may."""

    likely: float
    most: float


def guess(asked: Test, column: Column | None, rows: float) -> Guess:
    condition = asked.condition
    null_frac = column.null_frac if column is not None and column.null_frac is not None else None
    common = (column.most_common_freq if column is not None else None) or 0.0
    match asked.how:
        case "=" | "any":
            distinct = distinct_values(column, rows)
            one = _EQUAL if distinct is None else (1 - (null_frac or 0.0)) / distinct
            many = elements(condition) if asked.how == "any" else 1.0
            likely = min(1.0, one * many)
            return Guess(likely, max(likely, 1.0 if distinct is None else min(1.0, common * many)))
        case "null":
            known = _UNKNOWN_NULL if null_frac is None else null_frac
            return Guess(known, known if null_frac is not None else 1.0)
        case "not null":
            known = 1 - (_UNKNOWN_NULL if null_frac is None else null_frac)
            return Guess(known, known if null_frac is not None else 1.0)
        case "range":
            return Guess(RANGE_SELECTIVITY, 1.0)
        case "like":
            return Guess(_MATCH, 1.0)
        case "contains":
            return Guess(_TEXT_MATCH if condition.operator in ("@@", "@@@") else _MATCHING, 1.0)
    if condition.arms:
        passed = 1.0
        for arm in condition.arms:
            passed *= 1 - guess(test(arm), None, rows).likely
        return Guess(1 - passed, 1.0)
    return Guess(1 - _EQUAL if condition.operator == "<>" else _ANYTHING, 1.0)


def shares(
    tests: Sequence[Test], column_of: Callable[[Test], Column | None], rows: float, together: float | None
) -> tuple[float, ...]:
    """What each lets through, so that all make `together`, as the planner has it; None: nobody has said."""
    guesses = [guess(item, column_of(item), rows) for item in tests]
    likely = [max(item.likely, _LEAST) for item in guesses]
    for number in _second_bounds(tests):
        likely[number] = BOUNDED_SELECTIVITY / RANGE_SELECTIVITY
    if together is None or not tests:
        return tuple(likely)
    product = math.prod(likely)
    if abs(together - product) * rows <= 1:
        return tuple(likely)  # plans have whole rows, and never less than one
    left = math.log(max(together, _LEAST)) - math.log(max(product, _LEAST))
    rooms = [_room(item, one, part, left) for item, one, part in zip(tests, guesses, likely, strict=True)]
    whole = math.fsum(rooms)
    if whole <= 0:
        rooms, whole = [1.0] * len(rooms), float(len(rooms))
    return tuple(
        min(1.0, math.exp(math.log(part) + left * room / whole)) for part, room in zip(likely, rooms, strict=True)
    )


def _room(asked: Test, guessed: Guess, likely: float, left: float) -> float:
    """How far a condition may be off, as a logarithm. With a parameter the planner guesses as we do."""
    if asked.condition.is_join or _PARAMETER.search(asked.condition.other_side) or guessed.most <= guessed.likely == 1:
        return 0.0
    above = max(0.0, math.log(max(guessed.most, _LEAST) / likely))
    if left > 0 or asked.how in ("null", "not null"):
        return above
    return above + 1.0  # there may be values that are rarer than most, however common the commonest is


def _second_bounds(tests: Sequence[Test]) -> list[int]:
    """Ranges of a column that has one already: both together are a narrow one."""
    seen: set[str] = set()
    found = []
    for number, item in enumerate(tests):
        if item.how == "range":
            if item.target in seen:
                found.append(number)
            seen.add(item.target)
    return found


def keeps_apart(condition: Condition) -> bool:
    """Whether an expression has about as many values as the one column in it."""
    return (
        condition.kind is Kind.FUNCTION
        and len(condition.columns) == 1
        and (condition.function or "").rpartition(".")[2] in _KEEPS_APART
    )
