"""The statement for one relation: from what the items have to the rows that belong to them, however many items."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression

from dbopt.client.reading.asked import Asked
from dbopt.client.reading.clauses import orders
from dbopt.client.reading.picked import picked
from dbopt.client.shape import entity
from dbopt.errors import NoUniqueKey, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dbopt.client.reading.asked import Key
    from dbopt.client.reading.picked import Picked
    from dbopt.client.reading.relation import Relation

    Mapped = orm.RelationshipProperty[Any]

_LIMITED = "dbopt_limited"
_DIRECTIONS = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    name: str
    local: tuple[str, ...] | None  # of the items; None: their primary key
    asked: Asked  # what is compared with that
    picked: Picked
    is_many: bool
    join: Callable[[sa.Select[Any]], sa.Select[Any]]  # brings in what stands between the two
    where: Sequence[Any]
    order: Sequence[Any]
    limit: int | None

    def fetch(self, session: orm.Session, keys: Sequence[Key]) -> Mapping[Key, list[Any]]:
        """What belongs to each. Raises NoUniqueKey where one row is wanted and there are several."""
        self.asked.check(keys)
        possible = self.asked.possible(dict.fromkeys(keys))
        if not possible:
            return {}
        result = session.execute(self._statement(self.asked.table(possible)))
        rows = result.unique().all() if self.picked.loads_joined else result.all()
        found: dict[Key, list[Any]] = defaultdict(list)
        for row, item in zip(rows, self.picked.items(rows), strict=True):
            found[possible[row[0] - 1]].append(item)
        if not self.is_many and any(len(items) > 1 for items in found.values()):
            raise NoUniqueKey(
                f"the relation {self.name!r} has several rows for one item",
                detail=f"by {', '.join(self.asked.names)}",
                hint="Use Relation.many, or say by order_by which one comes first.",
            )
        return found

    def _statement(self, table: sa.TableValuedAlias) -> sa.Select[Any]:
        belongs = (self.asked.condition(table), *self.where)
        if self.limit is None:
            return self.join(sa.select(table.c.n, *self.picked.elements)).where(*belongs).order_by(*self.order)
        # So many for each: an index on what they are found by and ordered by ends the search early. Their order has
        # to be said once more outside, by the same values.
        ordered = [_by(each) for each in self.order]
        values = [each.label(f"{_LIMITED}_{number}") for number, (each, _) in enumerate(ordered)]
        each = self.join(sa.select(*self.picked.elements, *values)).where(*belongs)
        limited = each.order_by(*self.order).limit(self.limit).lateral(_LIMITED)
        elements = (
            list(limited.c)[: len(self.picked.names)]
            if self.picked.names
            else [orm.aliased(self.picked.source, limited)]
        )
        again = [directed(limited.c[value.name]) for value, (_, directed) in zip(values, ordered, strict=True)]
        return sa.select(table.c.n, *elements).join_from(table, limited, sa.true()).order_by(*again)


def explicit(name: str, relation: Relation) -> Link:
    """By the columns that the caller has named. Raises UsageError for some that there are not."""
    own = entity(relation.target)  # type: ignore[arg-type]
    target = picked(own, relation.columns)
    remote = [own.attribute(column) for column in relation.remote]
    if relation.secondary is None:
        asked = Asked(remote, [f"{own.name}.{column}" for column in relation.remote])

        def join(statement: sa.Select[Any]) -> sa.Select[Any]:
            return statement.select_from(target.source)
    else:
        between = entity(relation.secondary.model)
        near, far = relation.secondary.near, relation.secondary.far
        asked = Asked([between.attribute(column) for column in near], [f"{between.name}.{column}" for column in near])
        both = sa.and_(*(between.attribute(column) == other for column, other in zip(far, remote, strict=True)))
        source = picked(between, ()).source

        def join(statement: sa.Select[Any]) -> sa.Select[Any]:
            return statement.select_from(target.source).join(source, both)

    return _link(name, relation, relation.local, asked, target, relation.is_many, join)


def mapped(name: str, relation: Relation, between: Mapped, is_loaded: Callable[[Sequence[str]], bool]) -> Link:
    """By SQLAlchemy's relationship. Where that says no more than that columns are equal, by those, if all items have
    them; else over the items' table, joined as SQLAlchemy does.
    """
    target = picked(entity(between.mapper.class_), ())
    if (simple := _simple(between)) and is_loaded(simple[0]):
        remote = [target.entity.attribute(column) for column in simple[1]]
        asked = Asked(remote, [f"{target.entity.name}.{column}" for column in simple[1]])
        return _link(
            name,
            relation,
            simple[0],
            asked,
            target,
            bool(between.uselist),
            lambda statement: statement.select_from(target.source),
            between.order_by,
        )
    parent = orm.aliased(between.parent.class_)
    own = entity(between.parent.class_)
    asked = Asked([getattr(parent, column) for column in own.key], [f"{own.name}.{column}" for column in own.key])
    return _link(
        name,
        relation,
        None,
        asked,
        target,
        bool(between.uselist),
        lambda statement: statement.select_from(parent).join(getattr(parent, between.key)),
        between.order_by,
    )


def _link(
    name: str,
    relation: Relation,
    local: tuple[str, ...] | None,
    asked: Asked,
    target: Picked,
    is_many: bool,
    join: Callable[[sa.Select[Any]], sa.Select[Any]],
    order: Any = None,
) -> Link:
    if relation.include and relation.columns and target.entity.mapper is not None:
        raise UsageError(
            f"the relation {name!r} cannot include others",
            detail="Rows of some columns cannot carry them",
            hint="Leave `columns` out, or read from the table instead of the class: its rows are dicts.",
        )
    if relation.limit is not None and not is_many:
        raise UsageError(f"the relation {name!r} is one row, and cannot be limited")
    given = orders(relation.order_by, target.entity.attribute) or (list(order) if order else [])
    limit = relation.limit if is_many else 1 if given else None
    # The same order each time: without any, as the rows have been made.
    own = target.entity.key if (is_many or limit) and target.entity.table.primary_key.columns else ()
    return Link(
        name=name,
        local=local,
        asked=asked,
        picked=target,
        is_many=is_many,
        join=join,
        where=relation.where,
        order=[*given, *(target.entity.attribute(column) for column in own)],
        limit=limit,
    )


def _by(order: Any) -> tuple[Any, Callable[[Any], Any]]:
    """What it orders by, and what says the same direction of another expression. Raises UsageError."""
    expression = order.__clause_element__() if hasattr(order, "__clause_element__") else order
    if isinstance(expression, UnaryExpression) and expression.modifier in _DIRECTIONS:
        value, inner = _by(expression.element)
        modifier = expression.modifier
        return value, lambda other: modifier(inner(other))
    if not isinstance(expression, sa.ColumnElement):
        raise UsageError(
            "a limited relation cannot be ordered by that",
            detail=f"found a {type(order).__name__}",
            hint='Pass columns or their names, with a "-" in front or .desc() for descending order.',
        )
    return expression, lambda other: other


def _simple(between: Mapped) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The names of the columns on both sides, if they being equal is the whole condition."""
    if between.secondary is not None or between.entity is not between.mapper:
        return None
    condition = between.primaryjoin
    is_and = isinstance(condition, sa.BooleanClauseList) and condition.operator is operators.and_
    parts = list(condition.clauses) if is_and else [condition]
    pairs = list(between.local_remote_pairs or ())
    if len(parts) != len(pairs) or not all(_is_pair(part, pairs) for part in parts):
        return None
    try:
        local = [between.parent.get_property_by_column(column).key for column, _ in pairs]
        remote = [between.mapper.get_property_by_column(column).key for _, column in pairs]
    except UnmappedColumnError:
        return None
    return tuple(local), tuple(remote)


def _is_pair(part: Any, pairs: Sequence[tuple[Any, Any]]) -> bool:
    if not isinstance(part, sa.BinaryExpression) or part.operator is not operators.eq:
        return False
    sides = (part.left, part.right)
    if not all(isinstance(side, sa.Column) for side in sides):
        return False  # lower(a) = b and the like
    return any(
        {one.key, other.key} == {side.key for side in sides}
        and {one.table, other.table} == {side.table for side in sides}
        for one, other in pairs
    )
