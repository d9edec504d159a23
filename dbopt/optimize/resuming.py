"""A migration that broke off is run again from its first statement: what tells that a part of it was done already.

An index that was built is there and valid. One that took another's name carries the mark that it was given under its
working name: the mark holds a digest of the definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.optimize import kinds
from dbopt.spec import mark
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.optimize.steps import Step

Name = tuple[str, str]  # schema, index


@dataclass(frozen=True, slots=True)
class Built:
    """Done when this index is there, and not INVALID."""

    name: Name


@dataclass(frozen=True, slots=True)
class Marked:
    """Done when this index carries the mark with this digest; None: when it carries no mark."""

    name: Name
    sha: str | None


Sign = Built | Marked


@dataclass(frozen=True, slots=True)
class Chunk:
    """Statements that run together, in one transaction if they are several; left out when one of the signs is seen."""

    statements: tuple[str, ...]
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class _Swap:
    """Where names change places, and the signs that they have."""

    position: int
    signs: tuple[Sign, ...]


def chunks(steps: Sequence[Step]) -> list[list[Chunk]]:
    """Of each step, in order."""
    groups = [kinds.groups(step.statements) for step in steps]
    swaps = _swaps(groups)
    position, found = 0, []
    for listed in groups:
        own = []
        for group in listed:
            concerned = [swaps[name] for statement in group for name in _concerned(statement) if name in swaps]
            own.append(Chunk(group, next((swap.signs for swap in concerned if position <= swap.position), ())))
            position += 1
        found.append(own)
    return found


def created(statement: str) -> Name | None:
    node = grammar.parse_one(statement)
    if not node.HasField("index_stmt"):
        return None
    return node.index_stmt.relation.schemaname, node.index_stmt.idxname


def dropped(statement: str) -> Name | None:
    node = grammar.parse_one(statement)
    if not node.HasField("drop_stmt"):
        return None
    schema, name = node.drop_stmt.objects[0].list.items
    return schema.string.sval, name.string.sval


def renamed(statement: str) -> tuple[Name, Name] | None:
    """The old name and the new one."""
    node = grammar.parse_one(statement)
    if not node.HasField("rename_stmt"):
        return None
    relation = node.rename_stmt.relation
    return (relation.schemaname, relation.relname), (relation.schemaname, node.rename_stmt.newname)


def commented(statement: str) -> tuple[Name, str] | None:
    node = grammar.parse_one(statement)
    if not node.HasField("comment_stmt"):
        return None
    schema, name = node.comment_stmt.object.list.items
    return (schema.string.sval, name.string.sval), node.comment_stmt.comment


def attached(statement: str) -> tuple[Name, Name] | None:
    """The index above, and its new part."""
    node = grammar.parse_one(statement)
    if not node.HasField("alter_table_stmt"):
        return None
    command = getattr(node.alter_table_stmt.cmds[0].alter_table_cmd, "def")
    if not command.HasField("partition_cmd"):
        return None
    above, part = node.alter_table_stmt.relation, command.partition_cmd.name
    return (above.schemaname, above.relname), (part.schemaname, part.relname)


def _concerned(statement: str) -> Iterator[Name]:
    """The indexes that a statement makes, renames, comments on or attaches."""
    if (name := created(statement)) is not None:
        yield name
    elif (pair := renamed(statement)) is not None:
        yield pair[0]
    elif (comment := commented(statement)) is not None:
        yield comment[0]
    elif (parts := attached(statement)) is not None:
        yield from parts


def _swaps(steps: Sequence[Sequence[Sequence[str]]]) -> Mapping[Name, _Swap]:
    """By the names that indexes give up."""
    every = [statement for groups in steps for group in groups for statement in group]
    made = {name for statement in every if (name := created(statement)) is not None}
    comments = dict(pair for statement in every if (pair := commented(statement)) is not None)
    position = 0
    found: dict[Name, _Swap] = {}
    for groups in steps:
        renames = [[names for statement in group if (names := renamed(statement)) is not None] for group in groups]
        flat = [names for group in renames for names in group]
        for group in renames:
            if group:
                signs: tuple[Sign, ...] = (Built(group[0][1]),)
                if len(flat) > 1 or flat[0][0] in made:
                    # Of several transactions each has a sign of its own: the first name that it frees.
                    signs = (_whole(flat, made, comments), *(signs if len(list(filter(None, renames))) > 1 else ()))
                found |= {old: _Swap(position, signs) for old, _ in group}
            position += 1
    return found


def _whole(renames: Sequence[tuple[Name, Name]], made: set[Name], comments: Mapping[Name, str]) -> Sign:
    """Of all that a step renames; the last one is the index that carries the mark."""
    working, final = renames[-1]
    if working not in made and working not in comments:
        return Built(renames[0][1])
    found = mark.read(comments.get(working))[1]
    return Marked(final, found.sha if found is not None else None)
