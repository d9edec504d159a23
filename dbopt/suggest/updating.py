"""A report merged into a spec file that is there: what is new is added, the rest stays as somebody wrote it. Pure.

An entry of the same definition, whatever it is called, is not touched. One of a suggestion's own name gets its
definition. What may go becomes `state: absent`. A second time changes nothing.
"""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left
from dataclasses import field
from typing import TYPE_CHECKING

import yaml

from dbopt.errors import Error
from dbopt.spec import write
from dbopt.spec.methods import normalised
from dbopt.spec.model import SCHEMA_WILDCARDS, State
from dbopt.spec.splice import Edit, spliced
from dbopt.suggest import reasons
from dbopt.suggest.entries import Entry, absent, entry, sayable, unsayable
from dbopt.suggest.extended_statements import statistics_lines
from dbopt.suggest.naming import name as name_of
from dbopt.suggest.portable import opclass
from dbopt.suggest.served import forms
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dbopt.spec.model import IndexSpec, SpecFile
    from dbopt.spec.model import Key as SpecKey
    from dbopt.suggest.model import Candidate, Drop, Key, Name, Report, Suggestion

# What no longer counts for an index that shall go; who to ask, and remarks, stay.
_OF_PRESENT = (
    *("method", "keys", "sql", "include", "unique", "where", "with", "tablespace", "serves", "needs", "build"),
    *("partitions", "budget", "priority", "was", "comment", "expires"),
)
_OF_SUGGESTION = ("method", "keys", "include", "where", "needs", "why", "serves")
_REMARK = re.compile(rf"\s*# (?:{reasons.REMARK.pattern})\s*")
# How one of our own reasons is known: see reasons.why and reasons.drop_why.
_OWN_WHY = re.compile(r"\b[Ww]orth .+ of the workload's cost|\bplanned? without it\b")


@dataclass(slots=True)
class Updated:
    """`added`, `rewritten`, `dropped`: names of entries; `same`: of suggestions that the file has already. `by_hand`:
    what could not be written, one line each.
    """

    text: str
    added: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


def update(report: Report, file: SpecFile, text: str, *, taken: Collection[str] = ()) -> Updated:
    """`file`: what the loader made of `text`. `taken`: names that are in use elsewhere, in other specs say. Raises
    Error where the text is too artful for a program to add to it.
    """
    merger = _Merger(report, file, text, taken)
    for suggestion in sayable(report):
        merger.suggest(suggestion)
    for drop in report.drops:
        merger.drop(drop)
    return merger.done()


class _Merger:
    def __init__(self, report: Report, file: SpecFile, text: str, taken: Collection[str]) -> None:
        self._report = report
        self._file = file
        self._schema = file.defaults.schema_
        self._taken = taken
        self._used: dict[str, set[str]] = {}  # by schema: names of indexes are unique in theirs
        self._edits: list[tuple[IndexSpec, Entry]] = []
        self._additions: list[Entry] = []
        self._result = Updated(text, by_hand=unsayable(report, taken))

    def suggest(self, suggestion: Suggestion) -> None:
        candidate, name = suggestion.candidate, suggestion.name
        on_table = [one for one in self._file.indexes if _is_on(one, candidate.relation)]
        if any(_is_same(candidate, one) for one in on_table):
            self._result.same.append(name)
            return
        own = next((one for one in on_table if one.name == name and _may_be_rewritten(one)), None)
        if own is not None:
            self._rewrite(own, suggestion)
            return
        used = self._used.setdefault(candidate.relation[0], self._names_in(candidate.relation[0]))
        if name in used:
            name = name_of(candidate, used)
        used.add(name)
        self._additions.append(entry(suggestion, self._report, self._schema, name))
        self._result.added.append(name)

    def _names_in(self, schema: str) -> set[str]:
        inside = [one for one in self._file.indexes if _meets(one, schema)]
        return {*self._taken, *(name for one in inside for name in (one.name, *one.was))}

    def _rewrite(self, old: IndexSpec, suggestion: Suggestion) -> None:
        new = entry(suggestion, self._report, self._schema, old.name)
        fields: Entry = {key: new.get(key) for key in _OF_SUGGESTION}
        if "with" in new:
            fields["with"] = new["with"]
        if old.state is State.ABSENT:
            fields |= {"state": None, "guard": None}
        if old.why is not None and _OWN_WHY.search(old.why) is None:  # somebody's own words and statements stay
            fields["why"] = _with_before(str(new["why"]), old.why)
            fields["serves"] = _with_statements(new.get("serves", ()), old)
        self._edits.append((old, fields))
        self._result.rewritten.append(old.name)

    def drop(self, drop: Drop) -> None:
        relation = (drop.schema, drop.table)
        named = [one for one in self._file.indexes if drop.name in (one.name, *one.was) and _meets(one, drop.schema)]
        if any(one.state is State.ABSENT and one.name == drop.name for one in named):
            return
        new = absent(drop, self._schema)
        if not named and (drop.name in self._taken or set(drop.schema) & set(SCHEMA_WILDCARDS)):
            return  # `unsayable` tells of it
        if not named:
            self._additions.append(new)
            self._result.dropped.append(drop.name)
        elif len(named) == 1 and named[0].name == drop.name and _is_on(named[0], relation) and not _is_many(named[0]):
            [old] = named
            fields: Entry = dict.fromkeys(_OF_PRESENT)
            fields |= {key: new[key] for key in ("state", "why", "guard") if key in new}
            if old.why is not None and _OWN_WHY.search(old.why) is None:
                fields["why"] = _with_before(str(new["why"]), old.why)
            self._edits.append((old, fields))
            self._result.dropped.append(drop.name)
        elif named:
            other = f"the entry {named[0].name} (line {named[0].source.line}) stands for more than that"
            self._result.by_hand.append(f"{drop.name} may go: {other}")

    def done(self) -> Updated:
        result = self._result
        text, gone = _with_new_remarks(result.text, self._file, self._edits)
        edits = [(old.name, Edit(_moved(old.source.line, gone), old.source.column, new)) for old, new in self._edits]
        made = spliced(text, [edit for _, edit in edits], self._additions)
        if made is None:
            raise Error(
                f"could not add to {self._file.path}: its form is too artful",
                hint="Write a new file with -o, and copy from it.",
            )
        for name, edit in edits:
            if edit in made.undone:
                changed = ", ".join(key for key, value in edit.fields.items() if value is not None)
                result.by_hand.append(f"{name}: its entry has to be rewritten by hand: {changed}")
                for names in (result.rewritten, result.dropped):
                    names[:] = [one for one in names if one != name]
        result.text = _with_comment(made.text, statistics_lines(self._report.statistics))
        return result


def _with_new_remarks(text: str, file: SpecFile, edits: Sequence[tuple[IndexSpec, Entry]]) -> tuple[str, list[int]]:
    """The text without our own remarks on statements of these entries, whose numbers are no longer true; and which
    lines, from 1, are gone. Where the statements stay as they are, their new numbers stand in place of the old.
    """
    begins = sorted(one.source.line for one in file.indexes)
    lines = text.splitlines(keepends=True)
    gone = []
    for old, fields in edits:
        end = next((line for line in begins if line > old.source.line), len(lines) + 1)
        found = [number for number in range(old.source.line, end) if _REMARK.fullmatch(lines[number - 1])]
        new = list(_statements(fields.get("serves")))
        if len(found) == len(new) and new == _statements_of(old):
            for number, one in zip(found, new, strict=True):
                line = lines[number - 1]
                remark = one.remark if isinstance(one, write.Remarked) else ""
                lines[number - 1] = line.replace(line.strip(), f"# {remark}".rstrip())
        else:
            gone += found
    shorter = "".join(line for number, line in enumerate(lines, 1) if number not in gone)
    return (shorter, sorted(gone)) if _says_the_same(text, shorter) else (text, [])


def _statements(serves: object) -> Iterator[Mapping[str, object]]:
    yield from serves if isinstance(serves, list) else ()


def _statements_of(one: IndexSpec) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = []
    for serve in one.serves:
        said = {} if serve.expect is None else serve.expect.model_dump(exclude_none=True)
        found.append({"query": serve.query, **({"expect": said} if said else {})})
    return found


def _moved(line: int, gone: Sequence[int]) -> int:
    return line - bisect_left(gone, line)


def _says_the_same(one: str, other: str) -> bool:
    first, second = (yaml.load(text, Loader=yaml.BaseLoader) for text in (one, other))
    return bool(first == second)


def _is_on(one: IndexSpec, relation: Name) -> bool:
    return one.table.name == relation[1] and _meets(one, relation[0])


def _meets(one: IndexSpec, schema: str) -> bool:
    if not one.table.schema_is_pattern:
        return one.schema_name == schema
    pattern = one.schema_name.replace("[", "[[]")
    return schema not in one.table.except_ and fnmatch.fnmatchcase(schema, pattern)


def _is_many(one: IndexSpec) -> bool:
    return one.table.schema_is_pattern


def _may_be_rewritten(one: IndexSpec) -> bool:
    """Not what refuses rows, stands for several indexes, or is written in a form of its own."""
    return not (one.is_unique or _is_many(one) or one.sql is not None)


def _is_same(candidate: Candidate, one: IndexSpec) -> bool:
    """Whether the entry's index does all that the suggested one would; a unique one does."""
    return (
        one.state is State.PRESENT
        and one.sql is None
        and one.method == candidate.method
        and len(one.keys) == len(candidate.keys)
        and all(_is_same_key(key, other) for key, other in zip(candidate.keys, one.keys, strict=True))
        and set(one.include) == set(candidate.include)
        and forms(one.where or "") == forms(candidate.where)
        and dict(one.with_) == {**one.with_, **normalised(dict(candidate.parameters))}
    )


def _is_same_key(key: Key, other: SpecKey) -> bool:
    descending = other.order == "desc"
    nulls_first = descending if other.nulls is None else other.nulls == "first"
    if (key.descending, key.nulls_first, opclass(key.opclass)) != (
        descending,
        nulls_first,
        opclass(other.opclass or ""),
    ):
        return False
    if other.collation is not None or other.opclass_options:
        return False
    if key.column:
        return key.column == other.column
    return other.expr is not None and forms(key.expression) == forms(other.expr)


def _with_before(new: str, old: str) -> str:
    between = "\n" if "\n" in old.strip() else " "
    return f"{new}{between}Before: {old.strip()}"


def _with_statements(new: object, old: IndexSpec) -> list[Mapping[str, object]]:
    made = list(_statements(new))
    known = {one["query"] for one in made}
    return [*made, *(one for one in _statements_of(old) if one["query"] not in known)]


def _with_comment(text: str, lines: list[str]) -> str:
    """The text with statements to be run by hand behind it, if they are not there yet."""
    if not lines or all(f"# {line}" in text for line in lines if line.startswith("CREATE ")):
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    end = "" if text.endswith("\n") else newline
    longer = text + end + newline + "".join(f"# {line}".rstrip() + newline for line in lines)
    # Behind a text that is kept with its last line breaks, even a comment would be part of it.
    return longer if _says_the_same(text, longer) else text
