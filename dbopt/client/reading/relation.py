"""What is related to an item, as a value: which rows, of which model, and by which columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from dbopt.client.reading.clauses import conditions, several
from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.client.reading.clauses import OrderBy, Where
    from dbopt.client.shape import Model

# By the names under which items get them; names alone are relationships of mapped classes.
Relations: TypeAlias = "Mapping[str, Relation] | Sequence[str]"
Names: TypeAlias = "str | Sequence[str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Made by `one`, `many`, `through` and `mapped`."""

    target: Model | None  # None: as SQLAlchemy's relationship says, which goes by the name of the relation
    is_many: bool
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    secondary: Secondary | None = None
    columns: tuple[str, ...] = ()
    where: tuple[Any, ...] = ()
    order_by: tuple[Any, ...] = ()
    limit: int | None = None  # for each item
    include: Mapping[str, Relation] | None = None

    @classmethod
    def one(
        cls,
        target: Model,
        *,
        local: Names,
        remote: Names,
        columns: Sequence[str] = (),
        where: Where = (),
        order_by: OrderBy = (),
        include: Relations = (),
    ) -> Relation:
        """One row of `target`, or None: that whose column `remote` has the value that the item has as `local`. Several
        columns are named in the same order. With `order_by` the first of several rows; without, there must be one.
        """
        return cls(
            target=target,
            is_many=False,
            **_joined(local=local, remote=remote),
            **_options(columns, where, order_by, include, None),
        )

    @classmethod
    def many(
        cls,
        target: Model,
        *,
        local: Names,
        remote: Names,
        columns: Sequence[str] = (),
        where: Where = (),
        order_by: OrderBy = (),
        limit: int | None = None,
        include: Relations = (),
    ) -> Relation:
        """A list of the rows of `target` whose column `remote` has the value that the item has as `local`."""
        return cls(
            target=target,
            is_many=True,
            **_joined(local=local, remote=remote),
            **_options(columns, where, order_by, include, limit),
        )

    @classmethod
    def through(
        cls,
        target: Model,
        secondary: Model,
        *,
        local: Names,
        near: Names,
        far: Names,
        remote: Names,
        columns: Sequence[str] = (),
        where: Where = (),
        order_by: OrderBy = (),
        limit: int | None = None,
        include: Relations = (),
    ) -> Relation:
        """A list of the rows of `target` that a table between the two has for the item: its columns `near` are the
        item's `local`, its columns `far` the target's `remote`.
        """
        pair = _joined(local=local, near=near)
        return cls(
            target=target,
            is_many=True,
            local=pair["local"],
            remote=_joined(far=far, remote=remote)["remote"],
            secondary=Secondary(secondary, pair["near"], _names(far)),
            **_options(columns, where, order_by, include, limit),
        )

    @classmethod
    def mapped(
        cls, *, where: Where = (), order_by: OrderBy = (), limit: int | None = None, include: Relations = ()
    ) -> Relation:
        """SQLAlchemy's relationship of that name, of the items' mapped class: its own condition, and its own order."""
        return cls(target=None, is_many=True, **_options((), where, order_by, include, limit))


@dataclass(frozen=True, slots=True)
class Secondary:
    """The table between two in a many-to-many relation."""

    model: Model
    near: tuple[str, ...]
    far: tuple[str, ...]


def by_name(relations: Relations) -> dict[str, Relation]:
    """Raises UsageError for what is no relation."""
    if isinstance(relations, str):
        raise UsageError("relations are a text", hint=f"Pass a list of names, [{relations!r}], or a dict of Relations.")
    if not isinstance(relations, Mapping):
        return {name: Relation.mapped() for name in relations}
    for name, relation in relations.items():
        if not isinstance(relation, Relation):
            raise UsageError(
                f"the relation {name!r} is a {type(relation).__name__}",
                hint="Pass Relation.one, many or through, or Relation.mapped() for a relationship of SQLAlchemy's.",
            )
    return dict(relations)


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _joined(**sides: Names) -> dict[str, Any]:
    named = {side: _names(names) for side, names in sides.items()}
    if len({len(names) for names in named.values()}) != 1 or not all(named.values()):
        found = ", ".join(f"{side}={names!r}" for side, names in named.items())
        raise UsageError("a relation needs as many columns on both sides", detail=f"found {found}")
    return named


def _options(
    columns: Sequence[str], where: Where, order_by: OrderBy, include: Relations, limit: int | None
) -> dict[str, Any]:
    if isinstance(columns, str):
        columns = (columns,)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError("a relation cannot be limited so", detail=f"found limit={limit!r}, not a number from 1")
    return {
        "columns": tuple(columns),
        "where": tuple(conditions(where)),
        "order_by": several(order_by),
        "limit": limit,
        "include": by_name(include),
    }
