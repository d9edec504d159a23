"""All candidates for a statement. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.suggest.candidates import btree
from dbopt.suggest.candidates.existing import finds_one_row, is_there
from dbopt.suggest.candidates.methods import other_methods
from dbopt.suggest.candidates.terms import is_usable, terms
from dbopt.suggest.model import Candidate, Key
from dbopt.workload.index_advice import KEYS_MAX, is_large, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.suggest.candidates.terms import Terms
    from dbopt.suggest.model import Access, Name, Subject, Table
    from dbopt.workload.finding import Relation

# So many of an access are tried; more are only orders of the same columns.
SHAPES_MAX = 24
PARTIAL_SHAPES_MAX = 6  # the best of an access; the others are there without a predicate
# An index that holds all that a statement reads is worth its bytes while it stays far smaller than its table. Our own.
INCLUDE_MAX = 5
INCLUDE_MAX_BYTES = 96


def candidates(subject: Subject, tables: Mapping[Name, Table], extensions: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Each once, in the order in which they were thought of. Not those that exist already, or that are of no use
    beside an index that finds one row.
    """
    found: dict[Candidate, None] = {}
    for access in subject.accesses:
        table = tables.get(access.relation)
        if table is None or not is_ours(table.relation) or not is_large(table.relation):
            continue
        for candidate in _of_access(access, table, extensions):
            if not is_there(candidate, table.relation):
                found[candidate] = None
    return tuple(found)


def with_patterns(possible: Sequence[Sequence[Candidate]]) -> list[tuple[Candidate, ...]]:
    """Of each statement; with what another one wants for its patterns, wherever the same keys are looked up. Such an
    index finds equal texts as well, and gives no order for the sake of which it would be read to its end.
    """
    known: dict[Candidate, dict[Candidate, None]] = {}
    for item in (item for made in possible for item in made):
        if item.method == "btree" and any(key.opclass for key in item.keys):
            plain = item._replace(keys=tuple(key._replace(opclass="") for key in item.keys))
            known.setdefault(plain, {})[item] = None
    return [
        tuple(dict.fromkeys((*made, *(more for item in made for more in known.get(item, ()))))) for made in possible
    ]


def _of_access(access: Access, table: Table, extensions: Mapping[str, str]) -> Iterator[Candidate]:
    relation, name = table.relation, table.name
    found = terms(access, relation)
    if finds_one_row(relation, {term.key.column for term in found.equal if term.key.column}):
        return
    for number, keys in enumerate(btree.shapes(access, relation, found)):
        if number == SHAPES_MAX:
            break
        yield Candidate(name, keys)
    yield from _partial(access, relation, name, found)
    yield from other_methods(name, relation, found, extensions)
    yield from _arms(access, relation, name, found, extensions)


def _arms(
    access: Access, relation: Relation, name: Name, found: Terms, extensions: Mapping[str, str]
) -> Iterator[Candidate]:
    """For each side of an OR: with an index for all of them, their bitmaps are put together."""
    for condition in access.conditions:
        if not condition.arms:
            continue
        sides = terms(replace(access, conditions=condition.arms, joins=()), relation)
        if sides.others:
            continue  # one of them would read the whole table, and so the others need not be looked up
        equal = tuple(term.key for term in btree.by_distinct(found.equal))
        for term in (*sides.equal, *sides.lists, *sides.ranges):
            yield Candidate(name, (term.key,))
            if equal and term.key not in equal:
                yield Candidate(name, (*equal[: KEYS_MAX - 1], term.key))
        yield from other_methods(name, relation, sides, extensions)


def _partial(access: Access, relation: Relation, name: Name, found: Terms) -> Iterator[Candidate]:
    """With a constant condition as the predicate; its column, having one value, needs no place among the keys. What
    they are worth depends on how few rows they hold: their size tells. An expression in a partial index has no
    statistics that the planner would use, so none of these.
    """
    predicates = [*found.fixed, *([" AND ".join(found.fixed)] if 1 < len(found.fixed) <= 3 else [])]
    for predicate in predicates:
        fixed = [term for term in (*found.equal, *found.lists) if term.is_fixed]
        held = {term.name for term in fixed if _is_about(term.name, predicate)}
        equal, lists = (tuple(term for term in terms if term.name not in held) for terms in (found.equal, found.lists))
        rest = replace(found, equal=equal, lists=lists)
        shapes = [keys for keys in btree.shapes(access, relation, rest) if not any(key.expression for key in keys)]
        for keys in shapes[:PARTIAL_SHAPES_MAX]:
            yield Candidate(name, keys, where=predicate)
        if not shapes:
            lead = _some_key(access, relation, held)
            if lead is not None:
                yield Candidate(name, (lead,), where=predicate)


def _is_about(name: str, predicate: str) -> bool:
    from dbopt import grammar

    return name in set(grammar.column_names(grammar.parse_expression(predicate)))


def _some_key(access: Access, relation: Relation, held: set[str]) -> Key | None:
    """An index has to have a key, though the predicate says all: what the statement reads, the narrowest first."""
    names = access.output if access.output is not None else [column.name for column in relation.columns]
    usable = [relation.column(name) for name in sorted(names) if is_usable(relation, name)]
    known = [column for column in usable if column is not None]
    unused = [column for column in known if column.name not in held] or known
    best = min(unused, key=lambda column: (column.avg_width or 0, column.attnum), default=None)
    return None if best is None else Key(column=best.name)


def covering(candidate: Candidate, access: Access, relation: Relation) -> Candidate | None:
    """The same, with all that the access needs of the table, so that the table itself need not be read. None: it needs
    too much, or nobody knows what, or it is not of a method that can.
    """
    if candidate.method != "btree" or access.output is None or access.relation != candidate.relation:
        return None
    held = {key.column for key in candidate.keys}
    rest = sorted(access.output - held)
    columns = [relation.column(name) for name in rest]
    width = sum(
        (column.avg_width or INCLUDE_MAX_BYTES) if column is not None else INCLUDE_MAX_BYTES for column in columns
    )
    if not rest or len(rest) > INCLUDE_MAX or width > INCLUDE_MAX_BYTES:
        return None
    by_place = sorted((column for column in columns if column is not None), key=lambda column: column.attnum)
    return candidate._replace(include=tuple(column.name for column in by_place))
