"""Why an index has these columns in this order, for whoever has to approve it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.candidates.terms import terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.suggest.model import Access, Candidate, Key, Subject, Table

_CONTENTS = {
    "gin": "a GIN index knows what each value consists of, which no btree does",
    "gist": "a GiST index knows which ranges overlap, which no btree does",
    "brin": "rows lie on disk nearly in this order, so a few bytes for each stretch of pages say where to look",
}


def reason(candidate: Candidate, table: Table, subjects: Sequence[Subject]) -> str:
    """One or two sentences without figures. `subjects`: that use it, the one that gains most first."""
    accesses = [access for subject in subjects for access in subject.accesses if access.relation == candidate.relation]
    if candidate.method != "btree":
        names = ", ".join(key.name for key in candidate.keys)
        return f"Searches {names}: {_CONTENTS.get(candidate.method, candidate.method)}."
    best = max(accesses, key=lambda access: _fitting(candidate, access, table), default=None)
    parts = [] if best is None else _parts(candidate, best, table)
    if candidate.where:
        parts.append(f"holds only the rows where {candidate.where}, which the statement asks for in its text")
    if candidate.include:
        parts.append(f"includes {_names(candidate.include)}, so that the table need not be read")
    return "; ".join(parts)[:1].upper() + "; ".join(parts)[1:] + "." if parts else ""


def _fitting(candidate: Candidate, access: Access, table: Table) -> int:
    """How many of its first keys the access has a use for."""
    roles = _roles(access, table)
    count = 0
    for key in candidate.keys:
        if key.name not in roles:
            break
        count += 1
    return count


def _roles(access: Access, table: Table) -> dict[str, str]:
    """What each column or expression is to an access; what is equal orders nothing."""
    found = terms(access, table.relation)
    roles: dict[str, str] = {}
    for names, role in (
        ((term.name for term in found.equal), "equal"),
        ((term.name for term in found.joins), "joined"),
        ((term.name for term in found.lists), "listed"),
        ((term.name for term in found.patterns), "pattern"),
        ((item.column or item.expression or "" for item in access.order), "order"),
        ((term.name for term in found.ranges), "range"),
        (access.group, "group"),
        (access.extreme, "extreme"),
    ):
        for name in names:
            roles.setdefault(name, role)
    return roles


_WORDS = {
    "equal": "finds the rows of one {}",
    "joined": "looks up the rows that join by {}",
    "listed": "looks up each {} of the list",
    "pattern": "finds how {} begins",
    "order": "has them in the order of {}, so that nothing is sorted",
    "range": "reads only the range of {} that is asked for",
    "group": "has the groups of {} together",
    "extreme": "has the first and the last {} at its ends",
}


def _parts(candidate: Candidate, access: Access, table: Table) -> list[str]:
    roles = _roles(access, table)
    parts: list[str] = []
    group: list[Key] = []
    role = ""
    for key in (*candidate.keys, None):
        own = "" if key is None else roles.get(key.name, "")
        if group and (key is None or own != role):
            words = _WORDS.get(role)
            parts.append(
                words.format(_names(key.name for key in group))
                if words
                else f"holds {_names(key.name for key in group)} for other statements, or to be read from the index"
            )
            group = []
        if key is not None:
            group.append(key)
            role = own
    return parts


def _names(names: Iterable[str]) -> str:
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
