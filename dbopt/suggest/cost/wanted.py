"""In which order a plan wants rows, and whether an index gives them in it. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt.suggest.cost.selectivity import normal
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dbopt.suggest.model import Access, Key


@dataclass(frozen=True, slots=True)
class By:
    """`name`: a column, or an expression as selectivity.normal writes it. `qualifier` None: there is one table only."""

    qualifier: str | None
    name: str
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """`any_order`: rows that are alike have to lie together, whatever comes first."""

    keys: tuple[By, ...]
    any_order: bool = False


@lru_cache(maxsize=1024)
def of_keys(texts: tuple[str, ...], any_order: bool = False) -> Wanted | None:
    """Of a plan's `Sort Key` or `Group Key`. None: it cannot be read, or is in an order of no index of its own type."""
    from postgast import pg_query_pb2

    from dbopt import grammar
    from dbopt.workload.conditions import conditions

    try:
        tree = grammar.parse_one(f"SELECT ORDER BY {', '.join(texts)}")
    except grammar.GrammarError:
        return None
    found = []
    for item in tree.select_stmt.sort_clause:
        sort = item.sort_by
        if sort.sortby_dir == pg_query_pb2.SORTBY_USING or sort.node.HasField("collate_clause"):
            return None
        # Read as a condition, for the qualifier and the spelling without it.
        read = conditions(f"({grammar.expression_text(sort.node)}) IS NULL")
        if len(read) != 1 or not read[0].columns:
            return None
        descending = sort.sortby_dir == pg_query_pb2.SORTBY_DESC
        nulls = {pg_query_pb2.SORTBY_NULLS_FIRST: True, pg_query_pb2.SORTBY_NULLS_LAST: False}
        is_column = sort.node.HasField("column_ref")
        name = read[0].columns[0] if is_column else normal(read[0].expression)
        found.append(By(read[0].qualifier, name, descending, nulls.get(sort.sortby_nulls, descending)))
    return Wanted(tuple(found), any_order) if found else None


def of_access(access: Access) -> Wanted | None:
    keys = tuple(
        By(access.alias, key.column or normal(key.expression or ""), key.descending, key.nulls_first)
        for key in access.order
    )
    return Wanted(keys) if keys else None


def gives(given: Sequence[Key] | None, pinned: Collection[str], wanted: Wanted, aliases: Collection[str]) -> bool:
    """Whether rows that come by these keys of an index are in the order wanted. Of those pinned all have one value."""
    left = [by for by in wanted.keys if by.name not in pinned]
    return len(led(given, pinned, wanted, aliases)) == len(left) and given is not None and _is_of(wanted, aliases)


def led(
    given: Sequence[Key] | None, pinned: Collection[str], wanted: Wanted, aliases: Collection[str]
) -> tuple[Key, ...]:
    """The keys by which rows come in the order wanted as far as it goes: of the first keys wanted, without gaps."""
    if given is None or not _is_of(wanted, aliases):
        return ()
    left = [by for by in wanted.keys if by.name not in pinned]
    keys = [key for key in given if _name(key) not in pinned][: len(left)]
    if wanted.any_order:
        is_whole = len(keys) == len(left) and {_name(key) for key in keys} == {by.name for by in left}
        return tuple(keys) if is_whole and not any("pattern" in key.opclass for key in keys) else ()
    return max((_along(keys, left, backward=backward) for backward in (False, True)), key=len)


def _is_of(wanted: Wanted, aliases: Collection[str]) -> bool:
    return all(by.qualifier is None or by.qualifier in aliases for by in wanted.keys)


def _along(keys: Sequence[Key], left: Sequence[By], *, backward: bool) -> tuple[Key, ...]:
    found = []
    for key, by in zip(keys, left, strict=False):
        if _name(key) != by.name or "pattern" in key.opclass or not _is_along(key, by, backward=backward):
            break
        found.append(key)
    return tuple(found)


def _is_along(key: Key, by: By, *, backward: bool) -> bool:
    return (key.descending != backward) == by.descending and (key.nulls_first != backward) == by.nulls_first


def _name(key: Key) -> str:
    return key.column or normal(key.expression)
