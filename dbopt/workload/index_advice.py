"""An index that would help, as an entry of an index spec; none where there is one already, or none can be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip, qualified, text
from dbopt.postgres.literals import masked
from dbopt.spec.fragment import present
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.workload.finding import Column, Index, Key, Relation, Scene

# As health's foreign-key-without-index has it: fewer rows are read in a millisecond or two.
ROWS_MIN = 10_000
# min_parallel_table_scan_size: from here on the planner itself thinks of more than one process to read a table.
SIZE_MIN_BYTES = 8 * 1024 * 1024
# Our own: each key makes every entry larger, and what four do not narrow down, a fifth hardly does.
KEYS_MAX = 4
# BTMaxItemSize is 2,704 bytes on pages of 8 kB: a quarter, as the average says little of the longest value.
WIDTH_MAX_BYTES = 2_704 // 4
_EXTENSIONS = {"gin_trgm_ops": "pg_trgm", "gist_trgm_ops": "pg_trgm"}
_KINDS = (*_EXTENSIONS, "text_pattern_ops", "varchar_pattern_ops", "bpchar_pattern_ops")
_SYSTEM = ("pg_catalog", "information_schema", "pg_toast")
_PLANNED = ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")
_INDEXABLE = "rpm"  # tables, partitioned ones, materialized views


def is_large(relation: Relation) -> bool:
    """Whether reading all of it takes a time that is worth an index. Never analyzed: by its size alone."""
    return (relation.rows or 0) >= ROWS_MIN or relation.size_bytes >= SIZE_MIN_BYTES


def is_ours(relation: Relation) -> bool:
    """Whether anybody could make an index for it that stays."""
    is_system = relation.schema in _SYSTEM or relation.schema.startswith("pg_toast")
    return relation.relkind in _INDEXABLE and not relation.is_temporary and not is_system


def top(scene: Scene, relation: Relation) -> Relation:
    """Of a partition the topmost table, of others themselves: for whom one makes the index."""
    return relation if relation.parent is None else scene.relations.get(relation.parent, relation)


def advise_in(scene: Scene, relation: Relation, **what: Any) -> Mapping[str, Any] | None:
    """As `advise`, for the statement of a scene, and with an extension's operator class found wherever it lies."""
    opclass = str(what.get("opclass"))
    schema = scene.extension_schemas.get(_EXTENSIONS.get(opclass, ""))
    if schema is not None:
        is_plain = re.fullmatch("[a-z_][a-z0-9_]*", schema) is not None
        what["opclass"] = f"{schema}.{opclass}" if is_plain else text(qualified(schema, opclass))
    return advise(relation, parent=top(scene, relation), query=_query(scene), **what)


def _query(scene: Scene) -> str | None:
    """The statement as a spec may have it: SQL (`date $1` is none, and is explained as CAST), and without values."""
    statement = scene.statement
    if statement.query is not None and _is_one_statement(statement.query):
        return statement.query
    explained = getattr(statement.planned, "query", None)
    return explained if explained is not None and masked(explained) == " ".join(explained.split()) else None


def advise(
    relation: Relation,
    *,
    equality: Sequence[str] = (),
    range_: Sequence[str] = (),
    sort: Sequence[tuple[str, bool]] = (),
    expression: str | None = None,
    method: str = "btree",
    opclass: str | None = None,
    where: str | None = None,
    why: str,
    query: str | None = None,
    parent: Relation | None = None,
) -> Mapping[str, Any] | None:
    """An entry for an index on the table, or on the topmost one above a partition (`parent`, where it is known).

    The columns of `equality` come first, the most distinct first, then the keys of `sort` (name, whether descending)
    or else the first column of `range_`. An `expression` stands in the first place. `where` makes it a partial index.
    None: there is such an index, or the table is too small for it, temporary or the system's, or no key is left.
    """
    target = parent or relation
    if not is_ours(relation) or not (is_large(relation) or is_large(target)):
        return None
    bare = None if opclass is None else opclass.rpartition(".")[2].strip('"')
    wanted = _wanted(relation, equality, range_, sort, expression, method, bare)
    if not wanted.keys or any(map(wanted.is_served_by, (*relation.indexes, *target.indexes))):
        return None
    schema, table = relation.parent or (relation.schema, relation.name)
    rest: dict[str, Any] = {"keys": [key.entry(opclass) for key in wanted.keys]}
    if method != "btree":
        rest["method"] = method
    if where is not None:
        rest["where"] = where
    if bare in _EXTENSIONS:
        rest["needs"] = {"extension": _EXTENSIONS[bare]}
    rest["why"] = why
    if query is not None and _is_one_statement(query):
        rest["serves"] = [{"query": query}]
    taken = {index.name for known in (relation, target) for index in known.indexes}
    return present(schema, table, _name(table, wanted, taken), rest)


@dataclass(frozen=True, slots=True)
class _Key:
    column: str | None
    expression: str | None = None
    order: str | None = None

    def entry(self, opclass: str | None) -> str | dict[str, str]:
        if self.column is not None and opclass is None and self.order is None:
            return self.column
        words = {"column": self.column, "expr": self.expression, "order": self.order, "opclass": opclass}
        return {name: value for name, value in words.items() if value is not None}

    def is_like(self, key: Key) -> bool:
        if self.column is not None:
            return key.column == self.column
        return key.expression is not None and _normal(key.expression) == _normal(self.expression or "")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """`equal`: how many of its keys are compared for equality, so that their order is no matter."""

    keys: tuple[_Key, ...]
    equal: int
    method: str
    opclass: str | None

    def is_served_by(self, index: Index) -> bool:
        """Whether it does what this one would. A partial one may not hold the rows; that is for the planner to say."""
        if not index.is_valid or index.predicate is not None:
            return False
        # What could not be read, as its table is locked, might be what is wanted.
        if any(key.column is None and key.expression is None for key in index.keys):
            return any(key.expression is not None for key in self.keys)
        if self.method != "btree":
            return self._is_served_in_any_place(index)
        if self.opclass is not None and any(key.opclass != self.opclass for key in index.keys[: len(self.keys)]):
            return False
        if index.method == "hash":
            return len(self.keys) == self.equal == 1 and self.keys[0].is_like(index.keys[0])
        if index.method != "btree":
            return False
        equal, rest = self.keys[: self.equal], self.keys[self.equal :]
        if index.is_unique and all(any(key.is_like(own) for key in equal) for own in index.keys):
            return True  # it finds the one row
        if len(index.keys) < len(self.keys):
            return False
        first, then = index.keys[: self.equal], index.keys[self.equal : len(self.keys)]
        if not all(any(key.is_like(own) for own in first) for key in equal):
            return False
        # Those for patterns know another order.
        if not all(key.is_like(own) and "pattern" not in own.opclass for key, own in zip(rest, then, strict=True)):
            return False
        turned = {own.is_descending != (key.order == "desc") for key, own in zip(rest, then, strict=True)}
        return len(turned) < 2  # an index is read backward as well

    def _is_served_in_any_place(self, index: Index) -> bool:
        """Of methods that search by any of their keys."""
        alike = ("gin_trgm_ops", "gist_trgm_ops") if self.opclass == "gin_trgm_ops" else (self.opclass,)
        is_method = index.method == self.method or (self.opclass == "gin_trgm_ops" and index.method == "gist")
        return is_method and all(
            any(key.is_like(own) and (self.opclass is None or own.opclass in alike) for own in index.keys)
            for key in self.keys
        )


def _wanted(
    relation: Relation,
    equality: Sequence[str],
    range_: Sequence[str],
    sort: Sequence[tuple[str, bool]],
    expression: str | None,
    method: str,
    opclass: str | None,
) -> _Wanted:
    if method != "btree":
        columns = [_Key(name) for name in dict.fromkeys(equality) if relation.column(name) is not None]
        keys = columns if expression is None else [_Key(None, expression)]
        return _Wanted(tuple(keys[:KEYS_MAX]), 0, method, opclass)
    equal = [_Key(column.name) for column in _by_distinct(relation, equality)]
    if expression is not None:
        equal.insert(0, _Key(None, expression))
    elif equal and _finds_one_row(relation, equal[0]):
        return _Wanted((equal[0],), 1, method, opclass)
    named = {key.column for key in equal}
    # Columns that have one value each order nothing. Where one cannot be a key, those behind it are of no use either.
    order = [(name, desc) for name, desc in dict.fromkeys(sort) if name not in named]
    if any(_usable(relation, name) is None for name, _ in order):
        order = []
    rest: list[_Key] = []
    if order and len(equal) + len(order) <= KEYS_MAX:
        is_mixed = len({desc for _, desc in order}) > 1  # else it can be read backward
        rest = [_Key(name, order="desc" if desc and is_mixed else None) for name, desc in order]
    elif not order:
        rest = [_Key(name) for name in range_ if name not in named and _usable(relation, name) is not None][:1]
    equal = equal[: KEYS_MAX - len(rest)]
    return _Wanted((*equal, *rest), len(equal), method, opclass)


def _by_distinct(relation: Relation, names: Iterable[str]) -> list[Column]:
    """The usable ones, those first that have the most different values; unknown ones last, as they were given."""
    found = [column for name in dict.fromkeys(names) if (column := _usable(relation, name)) is not None]
    return sorted(found, key=lambda column: -(distinct_values(relation, column) or 0))


def _usable(relation: Relation, name: str) -> Column | None:
    """The column, if a btree can hold it."""
    column = relation.column(name)
    is_usable = column is not None and column.is_orderable and (column.avg_width or 0) <= WIDTH_MAX_BYTES
    return column if is_usable else None


def distinct_values(relation: Relation, column: Column) -> float | None:
    """How many different values it has; None: not known."""
    if column.n_distinct is None:
        return None
    if column.n_distinct >= 0:
        return column.n_distinct
    return None if relation.rows is None else -column.n_distinct * relation.rows


def _finds_one_row(relation: Relation, key: _Key) -> bool:
    """Nine in ten of its values are there once: what else is asked for narrows nothing down."""
    column = relation.column(key.column or "")
    found = None if column is None else distinct_values(relation, column)
    return found is not None and relation.rows is not None and found >= 0.9 * relation.rows > 0


def _name(table: str, wanted: _Wanted, taken: Iterable[str]) -> str:
    """As the server would name it, and not as an index there is named already; with a word for what is unusual, so
    that two pieces of advice for one column differ.
    """
    words = [key.column or "_".join(re.findall(r"\w+", key.expression or "")[:3]) for key in wanted.keys]
    kind = "" if wanted.method == "btree" else wanted.method
    if wanted.opclass in _KINDS:
        kind = str(wanted.opclass).split("_")[1]  # trgm, pattern
    stem = "_".join((table, *words))
    known = frozenset(taken)
    number = 0
    while True:
        suffix = f"{kind and '_'}{kind}_idx{number or ''}"
        name = clip(stem, NAME_MAX_BYTES - len(suffix)) + suffix
        if name not in known:
            return name
        number += 1


@lru_cache(maxsize=256)
def _normal(expression: str) -> str:
    """In one spelling, whoever wrote it."""
    from dbopt import grammar

    try:
        return grammar.expression_text(grammar.parse_expression(expression))
    except grammar.GrammarError:
        return expression


def _is_one_statement(query: str) -> bool:
    from dbopt import grammar

    try:
        return grammar.parse_one(query).WhichOneof("node") in _PLANNED
    except grammar.GrammarError:
        return False
