"""Btree indexes for an access: equal columns first, then what orders or bounds. Pure.

An index gives the rows of one value of its first keys in the order of the next, so columns that are compared for
equality stand first, whatever they are; behind them either the order that is wanted or one range, for behind a range
nothing bounds any more. https://use-the-index-luke.com/sql/where-clause/searching-for-ranges/greater-less-between-tuning-sql-access-filter-predicates
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dbopt.suggest.candidates.expressions import may_be_key
from dbopt.suggest.candidates.terms import is_usable
from dbopt.suggest.model import Key
from dbopt.workload.index_advice import KEYS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.suggest.candidates.terms import Term, Terms
    from dbopt.suggest.model import Access, SortKey
    from dbopt.workload.finding import Relation

# Nine in ten of its values are there once: what else is compared narrows nothing down (as workload/index_advice.py).
_NEARLY_UNIQUE = 0.9
_JOINS_MAX = 4  # of one table, each a prefix of its own

Keys = tuple[Key, ...]


def shapes(access: Access, relation: Relation, found: Terms) -> Iterator[Keys]:
    """Keys, each once, those that serve the access best first."""
    seen: set[Keys] = set()
    for keys in _shapes(access, relation, found):
        if keys and len(keys) <= KEYS_MAX and len({key.name for key in keys}) == len(keys) and keys not in seen:
            seen.add(keys)
            yield keys


def _shapes(access: Access, relation: Relation, found: Terms) -> Iterator[Keys]:
    equal = _keys(by_distinct(found.equal))
    lists = _keys(by_distinct(found.lists))
    ranges = _keys(found.ranges)
    order = order_keys(access.order, relation, {key.name for key in equal})
    # Without what makes it unique there is nothing to look for behind it.
    single = next((term for term in found.equal if is_nearly_unique(term, relation)), None)
    if single is not None:
        yield (single.key,)
        return
    # An order is of use behind all that is equal alone: else something still filters what comes in it.
    orders: list[Keys] = [order] if order else []
    orders += [(*order, key) for key in ranges if order and key.name not in {k.name for k in order}]
    orders += [(key, *order) for key in lists if order] + [(*order, key) for key in lists if order]
    orders += [
        tuple(Key(column=name) for name in names if name not in {k.name for k in equal})
        for names in _groups(access, relation)
    ]
    bounds: list[Keys] = [*((key,) for key in ranges), *((key,) for key in lists)]
    full = equal[:KEYS_MAX]
    for tail in (*orders, *bounds, ()):
        yield (*full[: KEYS_MAX - len(tail)], *tail)
    for lead in _joined(found, equal):
        for tail in ((), *(orders if len(lead) > len(equal) else ()), *bounds):
            yield (*lead, *tail)
    for size in (2, 1):
        for part in itertools.combinations(equal, size):
            if len(part) < len(equal):
                for tail in ((), *bounds):
                    yield (*part, *tail)
    for part in itertools.islice(itertools.permutations(full), 6) if 1 < len(full) <= 3 else ():
        yield part  # which other statements may share
    if len(equal) + len(lists) > 1:
        yield (*equal, *lists)[:KEYS_MAX]
        yield (*lists, *equal)[:KEYS_MAX]
    yield from bounds


def _joined(found: Terms, equal: Keys) -> Iterator[Keys]:
    """What a nested loop looks up: the joined column, alone and with what is compared besides."""
    joins = by_distinct(found.joins)
    by_alias: dict[str | None, list[Key]] = {}
    for term in joins:
        for qualifier, _ in term.condition.other_columns[:1]:
            by_alias.setdefault(qualifier, []).append(term.key)
    for keys in by_alias.values():
        if len(keys) > 1:
            yield tuple(keys[:KEYS_MAX])
            yield (*keys[: KEYS_MAX - 1], *equal[:1])
    for term in joins[:_JOINS_MAX]:
        yield (term.key,)
        if equal:
            yield (*equal[: KEYS_MAX - 1], term.key)
            yield (term.key, *equal[: KEYS_MAX - 1])


def _groups(access: Access, relation: Relation) -> Iterator[tuple[str, ...]]:
    """What GROUP BY, DISTINCT, min() and max() would like to have sorted."""
    if access.group and all(is_usable(relation, name) for name in access.group):
        yield access.group
    for name in access.extreme:
        if is_usable(relation, name):
            yield (name,)


def order_keys(order: Sequence[SortKey], relation: Relation, equal: set[str]) -> Keys:
    """Keys that give an order, forward or backward; empty where one of them cannot be had. Columns that have one value
    each order nothing.
    """
    wanted = [item for item in order if (item.column or item.expression) not in equal]
    if not wanted or not all(_may_order(item, relation) for item in wanted):
        return ()
    # What is read backward is turned, with its NULLs.
    turned = wanted[0].descending
    return tuple(
        Key(
            column=item.column or "",
            expression=item.expression or "",
            descending=item.descending != turned,
            nulls_first=item.nulls_first != turned,
        )
        for item in wanted
    )


def _may_order(item: SortKey, relation: Relation) -> bool:
    """Whether an index can have what is ordered by: a rank by words that a parameter gives, it cannot."""
    if item.column is not None:
        return is_usable(relation, item.column)
    return item.expression is not None and may_be_key(item.expression, relation)


def by_distinct(items: Sequence[Term]) -> list[Term]:
    """The most distinct first; unknown ones last; those alike by their names, so that statements meet. What is NULL
    is one value, however many others there are.
    """
    return sorted(items, key=lambda term: (-_values(term), term.name))


def _values(term: Term) -> float:
    return 1.0 if term.condition.operator == "IS NULL" else term.distinct or 0.0


def is_nearly_unique(term: Term, relation: Relation) -> bool:
    return (
        term.distinct is not None and relation.rows is not None and term.distinct >= _NEARLY_UNIQUE * relation.rows > 0
    )


def _keys(items: Sequence[Term]) -> Keys:
    return tuple(dict.fromkeys(item.key for item in items))
