"""A report as entries of an index spec, as plain values. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.optimize.export_form import bare
from dbopt.spec import write
from dbopt.spec.methods import METHODS
from dbopt.spec.model import SCHEMA_WILDCARDS
from dbopt.spec.words import plain
from dbopt.suggest import reasons
from dbopt.suggest.model import Evidence
from dbopt.suggest.naming import name as name_of
from dbopt.suggest.portable import opclass, predicate
from dbopt.suggest.review import LEAST_AGE
from dbopt.suggest.served import served

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dbopt.suggest.model import Candidate, Drop, Key, Report, Suggestion

# Statements of one index: what a reader looks through; each is planned once after the index is made.
SERVES_MAX = 20
# Operator classes that an advisor proposes, with the extension that has them.
_EXTENSIONS = {
    "gin_trgm_ops": "pg_trgm",
    "gist_trgm_ops": "pg_trgm",
    "gin__int_ops": "intarray",
    "gist__int_ops": "intarray",
    "gin_hstore_ops": "hstore",
}

_PATTERN = "a spec would take the name of its schema for a pattern"

Entry = dict[str, object]


def entries(report: Report, *, taken: Collection[str] = (), schema: str | None = None) -> list[Entry]:
    """Suggestions by their benefit, with a rank as `priority`, so that the best is made first; then what may go.

    `taken`: names that are in use elsewhere, in other specs say. `schema`: of tables whose entries name none. What no
    spec can say is left out: see `unsayable`.
    """
    used = set(taken)
    made: list[Entry] = []
    for suggestion in sayable(report):
        own = suggestion.name if suggestion.name not in used else name_of(suggestion.candidate, used)
        used.add(own)
        made.append({**entry(suggestion, report, schema, own), "priority": write.Parameter(len(made) + 1)})
    return [*made, *(absent(drop, schema) for drop in report.drops if not _why_unsaid(drop, taken))]


def unsayable(report: Report, taken: Collection[str] = ()) -> list[str]:
    """What is left out, and why, one line each."""
    made = [one.name for one in report.suggestions if _is_pattern(one.candidate.relation[0])]
    lines = [f"left out: {plain(name)}: {_PATTERN}" for name in made]
    unsaid = [(one.name, _why_unsaid(one, taken)) for one in report.drops]
    return lines + [f"left out: the drop of {plain(name)}: {why}" for name, why in unsaid if why is not None]


def _why_unsaid(drop: Drop, taken: Collection[str]) -> str | None:
    if _is_pattern(drop.schema):
        return _PATTERN
    return "it is for the spec that has its name to say" if drop.name in taken else None


def sayable(report: Report) -> list[Suggestion]:
    """What a spec can say, by benefit."""
    found = [one for one in report.suggestions if not _is_pattern(one.candidate.relation[0])]
    return sorted(found, key=lambda one: (-one.benefit, one.name))


def _is_pattern(schema: str) -> bool:
    return any(character in schema for character in SCHEMA_WILDCARDS)


def entry(suggestion: Suggestion, report: Report, schema: str | None, name: str) -> Entry:
    """One suggestion under this name."""
    candidate = suggestion.candidate
    made: Entry = {"name": name, "table": table_of(candidate.relation, schema), **definition(candidate)}
    made["why"] = reasons.why(suggestion)
    if statements := list(_serves(suggestion, report)):
        made["serves"] = statements
    return made


def table_of(relation: tuple[str, str], schema: str | None) -> object:
    return relation[1] if relation[0] == schema else {"schema": relation[0], "name": relation[1]}


def definition(candidate: Candidate) -> Entry:
    """The keys of an entry that say what the index is, in the order of the file."""
    made: Entry = {}
    if candidate.method != "btree":
        made["method"] = candidate.method
    has_order = candidate.method not in METHODS or METHODS[candidate.method].order
    made["keys"] = [_key(key, has_order) for key in candidate.keys]
    if candidate.include:
        made["include"] = list(candidate.include)
    if candidate.where:
        made["where"] = predicate(candidate.where)
    if candidate.parameters:
        made["with"] = {name: write.Parameter(value) for name, value in candidate.parameters}
    classes = [key.opclass.rpartition(".")[2].strip('"') for key in candidate.keys]
    if needed := [_EXTENSIONS[name] for name in dict.fromkeys(classes) if name in _EXTENSIONS]:
        made["needs"] = {"extension": needed[0] if len(needed) == 1 else needed}
    return made


def _key(key: Key, has_order: bool) -> object:
    column = key.column or _bare_column(key.expression)
    made: dict[str, str] = {"column": column} if column else {"expr": bare(key.expression)}
    if has_order and key.descending:
        made["order"] = "desc"
    if has_order and key.nulls_first != key.descending:
        made["nulls"] = "first" if key.nulls_first else "last"
    if key.opclass:
        made["opclass"] = opclass(key.opclass)
    return made["column"] if list(made) == ["column"] else made


def _bare_column(expression: str) -> str | None:
    try:
        tree = grammar.parse_expression(expression)
    except grammar.GrammarError:
        return None
    names = list(grammar.column_references(tree)) if tree.HasField("column_ref") else []
    return names[0][-1] if names and names[0][-1] != "*" else None


def _serves(suggestion: Suggestion, report: Report) -> Iterator[Entry]:
    explained = {outcome.subject.item.number: outcome.subject.planned.query for outcome in report.outcomes}
    seen: set[str] = set()
    for helped in reasons.ranked(suggestion.helped):
        found = served(helped.item, suggestion.candidate, explained.get(helped.item.number))
        if found is None or found.query in seen:
            continue
        seen.add(found.query)
        made = write.Remarked({"query": found.query}, reasons.helped_words(helped))
        if found.is_exact and helped.uses:
            made["expect"] = {"uses": True, **({"no_sort": True} if helped.no_sort else {})}
        yield made
        if len(seen) == SERVES_MAX:
            return


def absent(drop: Drop, schema: str | None) -> Entry:
    """An index that may go. `optimize` looks again before it drops one that was not used."""
    made: Entry = {"name": drop.name, "table": table_of((drop.schema, drop.table), schema), "state": "absent"}
    made["why"] = reasons.drop_why(drop)
    if drop.evidence is Evidence.UNUSED:
        made["guard"] = {"unused_for": f"{LEAST_AGE.days}d"}
    return made
