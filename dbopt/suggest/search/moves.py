"""What a search may do to a candidate: make it wider, narrower, or one of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.candidates.existing import is_there
from dbopt.suggest.candidates.generate import INCLUDE_MAX, covering
from dbopt.workload.index_advice import KEYS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.suggest.model import Candidate, Name, Subject, Table

_APPENDED_MAX = 2  # keys that a merge may add


def wider(candidate: Candidate, subjects: Sequence[Subject], tables: Mapping[Name, Table]) -> Iterator[Candidate]:
    """With what one of the statements needs besides, so that it reads the index alone."""
    relation = tables[candidate.relation].relation
    seen = {candidate}
    for subject in subjects:
        for access in subject.accesses:
            made = covering(candidate, access, relation)
            if made is not None and made not in seen:
                seen.add(made)
                yield made


def narrower(candidate: Candidate) -> Iterator[Candidate]:
    """Without what it includes, and without its last key."""
    if candidate.include:
        yield candidate._replace(include=())
        for name in candidate.include if len(candidate.include) > 1 else ():
            yield candidate._replace(include=tuple(item for item in candidate.include if item != name))
    elif len(candidate.keys) > 1:
        yield candidate._replace(keys=candidate.keys[:-1])


def merged(one: Candidate, other: Candidate, tables: Mapping[Name, Table]) -> Iterator[Candidate]:
    """One index instead of two of a table: the keys of the first, behind them what of the second is not among them."""
    alike = one.relation == other.relation and one.method == other.method == "btree" and one.where == other.where
    if not alike or one == other:
        return
    held = {key.name for key in one.keys}
    missing = [key for key in other.keys if key.name not in held]
    include = [*one.include, *(name for name in other.include if name not in one.include)]
    appended = (*one.keys, *missing)
    if len(missing) <= _APPENDED_MAX and len(appended) <= KEYS_MAX:
        yield from _made(one._replace(keys=appended, include=_without(include, {key.name for key in appended})), tables)
    columns = [key.column for key in missing if key.column]
    rest = _without([*include, *columns], held)
    if len(columns) == len(missing) and 0 < len(rest) <= INCLUDE_MAX:
        yield from _made(one._replace(include=rest), tables)


def _made(candidate: Candidate, tables: Mapping[Name, Table]) -> Iterator[Candidate]:
    relation = tables[candidate.relation].relation
    if not is_there(candidate, relation):
        order = {column.name: column.attnum for column in relation.columns}
        yield candidate._replace(include=tuple(sorted(candidate.include, key=lambda name: order.get(name, 0))))


def _without(names: Sequence[str], others: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name not in others))
