"""Which values to plan with, of those that ANALYZE keeps of a column. Pure. What comes out is people's data."""

from __future__ import annotations

import itertools
import json
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from dbopt.suggest.uses import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.column_values import ColumnValues
    from dbopt.suggest.uses import Use


class Level(Enum):
    """How many rows a value lets through."""

    COMMON = "common"
    TYPICAL = "typical"
    RARE = "rare"


# So many times what it would have if all values had alike, and a value has a plan of its own. Our own.
_SKEWED = 5.0
# Where in the order of a column's values a bound lies; those of two belong together. Recent rows are asked for most.
_BOUNDS = {
    Role.LOWER: {Level.COMMON: 0.05, Level.TYPICAL: 0.9, Level.RARE: 0.99},
    Role.UPPER: {Level.COMMON: 0.95, Level.TYPICAL: 0.1, Level.RARE: 0.01},
    Role.BETWEEN_LOWER: {Level.COMMON: 0.05, Level.TYPICAL: 0.9, Level.RARE: 0.985},
    Role.BETWEEN_UPPER: {Level.COMMON: 0.95, Level.TYPICAL: 0.95, Level.RARE: 0.995},
}
_PAGED = 0.5  # of a page that begins where another ended
_PAGE = {Role.PAGE: "20", Role.OFFSET: "0"}  # a usual one
_LIST = 4  # values in a list
_WORD = re.compile(r"[^\W_]{3,}")
_BEGINNING, _PART, _WHOLE = 4, 2, 8  # characters of a word
# What a parameter is where nothing is known of it, by type. Of other types none.
_USUAL = {
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double precision", "oid", "money"), "1"),
    **dict.fromkeys(("text", "character varying", "character", "name", "citext"), "a"),
    **dict.fromkeys(("date", "timestamp without time zone", "timestamp with time zone"), "2000-01-01"),
    **dict.fromkeys(("time without time zone", "time with time zone"), "12:00"),
    **dict.fromkeys(("json", "jsonb"), "{}"),
    "boolean": "true",
    "interval": "7 days",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "bytea": "\\x00",
    "inet": "10.0.0.1",
    "cidr": "10.0.0.0/8",
    "regconfig": "simple",
    "tsquery": "a",
    "jsonpath": "$.a",
}
_FAMILIES = (
    ("smallint", "integer", "bigint"),
    ("numeric", "real", "double precision"),
    ("text", "character varying", "character", "name", "citext"),
    ("date", "timestamp without time zone", "timestamp with time zone"),
)


def is_decisive(use: Use, known: ColumnValues | None) -> bool:
    """Whether the value can change the plan, or is one that the planner guesses badly without it."""
    if use.role is Role.OFFSET:
        return False
    if use.role is Role.PAGE or known is None:
        return use.role is Role.PAGE
    if use.role is not Role.EQUAL:
        return True
    if not known.freqs or use.function is not None:  # no statistics about what a function gives
        return False
    distinct = known.n_distinct if known.n_distinct > 0 else len(known.common) + len(known.bounds)
    return known.freqs[0] >= _SKEWED / max(distinct, 1.0) or known.freqs[0] >= _SKEWED * known.freqs[-1]


def value(level: Level, use: Use | None, known: ColumnValues | None, parameter: str, column: str) -> str | None:
    """As text. `parameter`, `column`: their types. None: no value is known to be of that type."""
    found = None
    if use is not None and use.role in _PAGE:
        found = _PAGE[use.role]
    elif use is not None and known is not None:
        found = _of_column(level, use, known, parameter, column)
    return usual(parameter) if found is None else found


def usual(type_name: str) -> str | None:
    if type_name.endswith("[]"):
        element = usual(type_name.removesuffix("[]"))
        return None if element is None else array([element])
    return _USUAL.get(type_name)


def array(values: Sequence[str]) -> str:
    """As PostgreSQL reads one."""
    return "{" + ",".join('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in values) + "}"


def _of_column(level: Level, use: Use, known: ColumnValues, parameter: str, column: str) -> str | None:
    if use.role is Role.WORD:
        words = [text for text in known.elements if _WORD.fullmatch(text)]
        return _at_level(level, words, 0)
    if use.role is Role.CONTAINED and (known.elements or column.endswith("[]")):
        element = _at_level(level, known.elements, 0)
        return None if element is None or not parameter.endswith("[]") else array([element])
    if column in ("json", "jsonb"):
        return _of_document(level, known, parameter) if use.role is Role.CONTAINED else None
    if use.role in (Role.PATTERN, Role.REGEXP, Role.PART):
        return _pattern(level, use, known)
    if use.role is Role.LIST and parameter.endswith("[]"):
        if not _fits(column, parameter.removesuffix("[]")):
            return None
        several = [_single(level, known, place) for place in range(_LIST)]
        different = list(dict.fromkeys(text for text in several if text is not None))
        return array(different) if different else None
    if not _fits(column, parameter):
        return None
    if use.role in _BOUNDS:
        place = _BOUNDS[use.role][level]
        if use.pages and level is Level.TYPICAL and use.role in (Role.LOWER, Role.UPPER):
            place = _PAGED
        return _quantile(known, place)
    if use.role is not Role.EQUAL:
        return None
    single = _single(level, known, use.place)
    if single is not None and use.function in ("lower", "upper"):
        return single.lower() if use.function == "lower" else single.upper()
    return single


def _fits(column: str, parameter: str) -> bool:
    return column == parameter or any(column in family and parameter in family for family in _FAMILIES)


def _single(level: Level, known: ColumnValues, place: int) -> str | None:
    """`place`: another one each time, as far as there are others."""
    if level is Level.COMMON and known.common:
        return known.common[place % len(known.common)]
    if level is Level.RARE and not known.bounds:
        return known.common[-1 - place % len(known.common)] if known.common else None
    if known.bounds and (level is not Level.TYPICAL or sum(known.freqs) < 0.5):
        middle = len(known.bounds) // 2 if level is not Level.RARE else len(known.bounds) // 3
        return known.bounds[(middle + place) % len(known.bounds)]
    # The value of the middle row, were rows sorted by how common their values are.
    half, seen = sum(known.freqs) / 2, 0.0
    for number, freq in enumerate(known.freqs):
        seen += freq
        if seen >= half:
            return known.common[(number + place) % len(known.common)]
    return None


def _at_level(level: Level, values: Sequence[str], place: int) -> str | None:
    """Of values of which the most common is the first."""
    if not values:
        return None
    start = {Level.COMMON: 0, Level.TYPICAL: len(values) // 2, Level.RARE: len(values) - 1}[level]
    return values[(start + place) % len(values)]


def _quantile(known: ColumnValues, place: float) -> str | None:
    """Of the histogram, else of the values that are listed."""
    values = known.bounds if len(known.bounds) > 1 else sorted(known.common, key=_order)
    return values[min(round(place * (len(values) - 1)), len(values) - 1)] if values else None


def _order(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return 0.0, text


def _pattern(level: Level, use: Use, known: ColumnValues) -> str | None:
    """The beginning of a value, or a part of one."""
    values = [*known.common[:1], *known.bounds] if level is Level.COMMON else [*known.bounds, *known.common]
    start = 0 if level is Level.COMMON else len(known.bounds) // (2 if level is Level.TYPICAL else 3)
    words = (_WORD.search(text) for text in values[start:] + values[:start])
    word = next((found[0] for found in words if found is not None), None)
    if word is None:
        return None
    long = {Level.COMMON: _PART, Level.TYPICAL: _BEGINNING, Level.RARE: _WHOLE}[level]
    text = word[:long]
    # Numbers of a kind begin alike, as SKU-0001: what somebody looks for begins behind that.
    alike = _beginning(known.bounds) if level is Level.TYPICAL else ""
    if use.role is Role.PATTERN and alike and not set(alike) & set("%_\\"):
        text = known.bounds[len(known.bounds) // 2][: len(alike) + long]
    if use.role is Role.PART:
        return text
    if use.role is Role.REGEXP:
        return f"^{text}" if level is Level.TYPICAL else text
    return f"{text}%" if level is Level.TYPICAL else f"%{text}%"


def _beginning(values: Sequence[str]) -> str:
    """What several values all begin with."""
    if len(values) < 2:
        return ""
    pairs = zip(min(values), max(values), strict=False)
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _of_document(level: Level, known: ColumnValues, parameter: str) -> str | None:
    """One key of a document with its value, or the key alone."""
    texts = known.common if level is Level.COMMON and known.common else [*known.bounds, *known.common]
    try:
        document: Any = json.loads(texts[len(texts) // 2 if level is Level.TYPICAL else 0]) if texts else None
    except ValueError:
        return None
    if not isinstance(document, dict) or not document:
        return None
    key = min(document)
    return json.dumps({key: document[key]}) if parameter == "jsonb" else key if parameter == "text" else None
