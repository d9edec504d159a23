"""Which foreign keys have an index, where the server alone cannot tell: a partial one may do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Key(Protocol):
    """A foreign key that no full index begins with."""

    @property
    def attnums(self) -> list[int]: ...

    @property
    def predicates(self) -> list[str]:
        """Node trees of the partial indexes that begin with its columns."""


# `column IS NOT NULL`, as a node tree: a search for a value of the column implies it.
_NOT_NULL = re.compile(
    r"\{NULLTEST :arg \{VAR :varno 1 :varattno (\d+) [^{}]*\} :nulltesttype 1 :argisrow false :location -?\d+\}"
)
_ALL_OF = re.compile(r"\{BOOLEXPR :boolop and :args \((.*)\) :location -?\d+\}", re.DOTALL)


def has_fitting_index(key: Key) -> bool:
    """Whether a partial index serves it."""
    return any(leaves_out_nulls_only(predicate, key.attnums) for predicate in key.predicates)


def leaves_out_nulls_only(predicate: str, attnums: Sequence[int]) -> bool:
    """Whether a partial index holds every row in which none of these columns is NULL."""
    arms = _ALL_OF.fullmatch(predicate)
    rest = arms[1] if arms else predicate
    return not _NOT_NULL.sub("", rest).strip() and {int(number) for number in _NOT_NULL.findall(rest)} <= set(attnums)
