"""Which index does all that another does. Pure; works on what the catalogs store, so no lock is needed for it.

Stricter than a plan's view of a spec (optimize/redundancy.py): there it is advice before a build, here somebody may
drop an index for it. So an index in the inverse order is another one here, and so is one with other options.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.postgres.indexes import IndexShape

# What two node trees may differ in and still be equal to the server (equalfuncs.c): where in the text something stood,
# and whether a cast was written out.
_NO_MATTER = re.compile(
    r" :(?:location|(?:rexpr_)?list_(?:start|end)) -?\d+| :(?:func|relabel|coerce|convert|row_)format \d+"
)
_UNORDERED = frozenset({"gin", "brin"})  # whose columns serve a search alike, whatever their order
# Storage parameters of these change how fast and how large, not what an index finds. Others' do: a coarser BRIN or a
# shorter Bloom signature is another index.
_INDIFFERENT = frozenset({"btree", "hash", "gin", "gist", "spgist"})

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Redundant:
    """An index and the one that makes it so. `exact`: they are alike, else the keeper can do more."""

    index: IndexShape
    keeper: IndexShape
    exact: bool


def redundant(shapes: Iterable[IndexShape]) -> Iterator[Redundant]:
    """Every index that can go, each once, with the one that stays in the end; of two alike, one."""
    by_table: dict[int, list[Form]] = {}
    for shape in shapes:
        if is_sound(shape) and not shape.indisexclusion and not shape.is_extension:
            by_table.setdefault(shape.table_oid, []).append(Form.of(shape))
    for forms in by_table.values():
        beaten = {form.shape.oid: [other for other in forms if _beats(other, form)] for form in forms}
        for form in forms:
            if is_needed(form.shape) or not beaten[form.shape.oid]:
                continue
            final = [other for other in beaten[form.shape.oid] if is_needed(other.shape) or not beaten[other.shape.oid]]
            keeper = min(final, key=lambda other: (not covers(form, other), len(other.keys), _rank(other.shape)))
            yield Redundant(form.shape, keeper.shape, exact=covers(form, keeper))


def is_sound(shape: IndexShape) -> bool:
    return shape.indisvalid and shape.indisready and shape.indislive


def is_needed(shape: IndexShape) -> bool:
    """Whether it cannot be dropped, whatever others can do."""
    return shape.contype in ("p", "x") or shape.is_referenced or shape.indisreplident or shape.is_partition


@dataclass(frozen=True, slots=True)
class Form:
    """An index in a form that is equal where the index is."""

    shape: IndexShape
    keys: tuple[Key, ...]
    include: frozenset[int]
    predicate: str | None
    parameters: frozenset[str]

    @classmethod
    def of(cls, shape: IndexShape) -> Form:
        expressions = iter(split_list(shape.expressions or ""))
        options = shape.opclass_options or [None] * shape.indnkeyatts
        keys = tuple(
            (
                shape.keys[n] or next(expressions, None),
                shape.opclasses[n],
                shape.collations[n],
                shape.indoption[n],
                options[n],
            )
            for n in range(shape.indnkeyatts)
        )
        return cls(
            shape,
            tuple(sorted(keys, key=repr)) if shape.method in _UNORDERED else keys,
            frozenset(shape.keys[shape.indnkeyatts :]),
            None if shape.predicate is None else normal(shape.predicate),
            frozenset() if shape.method in _INDIFFERENT else frozenset(shape.reloptions),
        )


def covers(keeper: Form, other: Form) -> bool:
    """Whether `keeper` serves every search that `other` serves, and refuses every row that it refuses."""
    one, two = keeper.shape, other.shape
    if keeper.predicate != other.predicate or one.method != two.method or keeper.parameters != other.parameters:
        return False
    length = len(other.keys)
    if keeper.keys[:length] != other.keys or (length < len(keeper.keys) and one.method != "btree"):
        return False
    if not other.include <= keeper.include | {key[0] for key in keeper.keys}:
        return False
    if not two.indisunique:
        return True
    return (
        one.indisunique
        and length == len(keeper.keys)
        and one.indnullsnotdistinct == two.indnullsnotdistinct
        and one.indimmediate == two.indimmediate
        and (two.constraint is None or one.constraint is not None)
    )


def _beats(keeper: Form, other: Form) -> bool:
    if keeper.shape.oid == other.shape.oid or not covers(keeper, other):
        return False
    return not covers(other, keeper) or _rank(keeper.shape) < _rank(other.shape)


def _rank(shape: IndexShape) -> tuple[object, ...]:
    """Of indexes that are alike, the least stays."""
    return (
        not is_needed(shape),
        shape.contype != "p",
        shape.constraint is None,
        not shape.indisunique,
        not shape.indisclustered,
        -shape.idx_scan,
        shape.oid,
    )


def why_kept(found: Redundant) -> str:
    """The first that speaks for the keeper, for people."""
    index, keeper = found.index, found.keeper
    if keeper.contype == "p":
        return "which is the primary key"
    if keeper.is_referenced:
        return "which a foreign key refers to"
    if keeper.constraint is not None and index.constraint is None:
        return f"which backs constraint {keeper.constraint}"
    if keeper.is_partition:
        return "which is part of an index of the partitioned table"
    if keeper.indisreplident:
        return "which is the replica identity"
    if keeper.indisunique and not index.indisunique:
        return "which is unique"
    if not found.exact:
        return "which can do more"
    if keeper.indisclustered and not index.indisclustered:
        return "by which the table is clustered"
    if keeper.idx_scan > index.idx_scan:
        return f"which is used more: {keeper.idx_scan:,} scans against {index.idx_scan:,}"
    return "which is older"


def normal(tree: str) -> str:
    """A node tree without what makes no difference."""
    return _NO_MATTER.sub("", tree)


def split_list(tree: str) -> Iterator[str]:
    """The members of a list of nodes, `({...} {...})`, normalized. In names, braces are escaped."""
    depth = start = 0
    for found in re.finditer(r"\\.|[{}]", tree, re.DOTALL):
        if found[0] == "{":
            if depth == 0:
                start = found.start()
            depth += 1
        elif found[0] == "}":
            depth -= 1
            if depth == 0:
                yield normal(tree[start : found.end()])
