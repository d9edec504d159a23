"""Plans without the values that they were made for: auto_explain logs them with each condition.

A value becomes a parameter, as a generic plan has it, so that conditions stay expressions that can be parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from dbopt.postgres import literals

# Names and words of PostgreSQL's own; a name may look like a value: 2020_orders, "o'brien".
_NAMES = frozenset(
    {
        *("Node Type", "Relation Name", "Schema", "Alias", "Index Name", "CTE Name", "Function Name"),
        *("Table Function Name", "Tuplestore Name", "Custom Plan Provider", "Subplan Name", "Parent Relationship"),
        *("Join Type", "Strategy", "Partial Mode", "Operation", "Command", "Scan Direction", "Sort Method"),
        *("Sort Space Type", "Storage", "Cache Mode", "Conflict Resolution", "Conflict Arbiter Indexes"),
        *("Sort Methods Used", "Trigger Name", "Constraint Name", "Relation"),
    }
)
_LEFT_OUT = ("Query Text", "Query Parameters", "Settings")
_PARAMETER = re.compile(r"\$(\d+)")
# Numbers that are none of the statement's: of a type (`numeric(10,2)`), of a part of the plan (`SubPlan 1`).
_KEPT = re.compile(r"::(?:(?:character|bit) varying|[\w\".]+)\([0-9,]+\)|\b(?:SubPlan|InitPlan) [0-9]+", re.ASCII)
_CONSTANTS = ("SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST")


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without values, and without the text that it is the plan of."""
    taken = max(map(int, _PARAMETER.findall(json.dumps(document))), default=0)
    masker = _Masker(min(taken, 65_535))  # PostgreSQL has no more; in a value there may be any number
    return {key: masker.value(key, item) for key, item in document.items() if key not in _LEFT_OUT}


class _Masker:
    def __init__(self, taken: int) -> None:
        self._number = taken

    def value(self, key: str, item: Any) -> Any:
        if isinstance(item, Mapping):
            return {name: self.value(name, inner) for name, inner in item.items()}
        if isinstance(item, list):
            return [self.value(key, inner) for inner in item]
        return item if key in _NAMES or not isinstance(item, str) else self._expression(item)

    def _expression(self, text: str) -> str:
        import postgast

        if text.isalpha():  # a word of PostgreSQL's, or a column
            return text
        content = text.encode("utf-8", "replace")
        try:
            tokens = postgast.scan(content.decode()).tokens
        except (postgast.PgQueryError, ValueError):
            return literals.masked(text)
        kept = [match.span() for match in _KEPT.finditer(content.decode("latin-1"))]
        parts: list[bytes] = []
        end = 0
        for token in tokens:
            if token.token in _constants() and not any(first <= token.start < last for first, last in kept):
                self._number += 1
                parts += [content[end : token.start], b"$%d" % self._number]
                end = token.end
        return b"".join((*parts, content[end:])).decode()


@cache
def _constants() -> frozenset[int]:
    from postgast.pg_query_pb2 import Token

    return frozenset(map(Token.Value, _CONSTANTS))
