"""What is related to many items at once: one statement a relation, instead of one an item.

Objects get it as SQLAlchemy's own loading would have set it: nothing is loaded afterwards, nothing is to be saved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.client.reading import links
from dbopt.client.reading.asked import Asked, key_of
from dbopt.client.reading.relation import Relation, by_name
from dbopt.client.shape import entity
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.client.reading.asked import Key
    from dbopt.client.reading.links import Link
    from dbopt.client.reading.relation import Relations
    from dbopt.client.work import Work

__all__ = ["Relation", "load_relations"]

T = TypeVar("T")


def load_relations(work: Work, items: Iterable[T], relations: Relations) -> list[T]:
    """The items, as a list, with what is related to them: objects of mapped classes as attributes, dicts under keys.

    `relations`: Relations by the names that they get, `{"author": Relation.one(User, local="author_id", remote="id")}`;
    or names of SQLAlchemy's relationships, `["author", "tags"]`. To-one is a row or None, to-many a list. Rows of a
    mapped class are objects, of a table dicts, each of which may be shared by several items.

    Objects of an open session are read with that session. Raises UsageError, NoUniqueKey.
    """
    given, wanted = list(items), by_name(relations)
    if not given or not wanted:
        return given
    with _within(work, given).session() as session:
        _load(session, given, wanted)
    return given


def _load(session: orm.Session, items: Sequence[Any], relations: Mapping[str, Relation]) -> None:
    for name, relation in relations.items():
        related: dict[int, Any] = {}
        for members, link in _links(items, name, relation):
            keys = _keys(session, members, link.local)
            found = link.fetch(session, [key for key in keys if key is not None])
            for item, key in zip(members, keys, strict=True):
                rows = found.get(key, []) if key is not None else []
                related.update((id(row), row) for row in rows)
                _put(item, name, list(rows) if link.is_many else next(iter(rows), None))
        if related and relation.include:
            _load(session, list(related.values()), relation.include)


def _links(items: Sequence[Any], name: str, relation: Relation) -> list[tuple[Sequence[Any], Link]]:
    """One for all items; by SQLAlchemy's relationship, one for the items of each class that has its own."""
    if relation.target is not None:
        link = links.explicit(name, relation)
        for mapper in {state.mapper: None for item in items if (state := _state(item))}:
            _check_place(mapper, name, link)
        return [(items, link)]
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(_relationship(item, name), []).append(item)
    return [
        (
            members,
            links.mapped(name, relation, between, lambda names, own=members: all(_has(item, names) for item in own)),  # type: ignore[misc]
        )
        for between, members in groups.items()
    ]


def _state(item: Any) -> orm.InstanceState[Any] | None:
    """Of an object of a mapped class; None: a dict. Raises UsageError for anything else."""
    state = sa.inspect(item, raiseerr=False)
    if isinstance(state, orm.InstanceState):
        return state
    if isinstance(item, MutableMapping):
        return None
    raise UsageError(
        f"a {type(item).__name__} cannot carry relations",
        hint="Read objects of a mapped class, or dicts of a table: dict(row._mapping) of a Row.",
    )


def _has(item: Any, names: Sequence[str]) -> bool:
    """Nobody can load a new object's: what it has not yet been given is None."""
    state = _state(item)
    return state is not None and (not state.identity or all(name in state.dict for name in names))


def _relationship(item: Any, name: str) -> Any:
    state = _state(item)
    if state is None:
        raise UsageError(
            f"dicts have no relationship {name!r}", hint="Say how they are related: Relation.one, many or through."
        )
    known = state.mapper.relationships
    if name not in known:
        raise UsageError(
            f"{state.mapper.class_.__name__} has no relationship {name!r}",
            hint=f"It has: {', '.join(known.keys())}." if known else "Use Relation.one, many or through.",
        )
    _check_settable(known[name])
    return known[name]


def _check_settable(between: orm.RelationshipProperty[Any]) -> None:
    if between.lazy in ("dynamic", "write_only"):
        raise UsageError(
            f"the relationship {between.key!r} is never loaded as a whole", detail=f"it is lazy={between.lazy!r}"
        )


def _check_place(mapper: orm.Mapper[Any], name: str, link: Link) -> None:
    """An attribute that is a column would be saved; one that is a relationship has to be given what it can hold."""
    if name in mapper.relationships:
        between = mapper.relationships[name]
        _check_settable(between)
        source = link.picked.source
        is_such = not link.picked.names and isinstance(source, type) and issubclass(source, between.mapper.class_)
        if not is_such or bool(between.uselist) is not link.is_many:
            many = "objects" if between.uselist else "an object"
            raise UsageError(
                f"{mapper.class_.__name__}.{name} cannot hold this relation",
                detail=f"it is a relationship, of {many} of {between.mapper.class_.__name__}",
                hint="Give the relation another name, or use Relation.mapped().",
            )
    elif name in mapper.all_orm_descriptors:
        raise UsageError(
            f"{mapper.class_.__name__}.{name} is no relationship", hint="Give the relation a name of its own."
        )


def _put(item: Any, name: str, value: Any) -> None:
    state = _state(item)
    if state is None:
        item[name] = value
    elif name in state.mapper.relationships:
        orm.attributes.set_committed_value(item, name, value)
    else:
        setattr(item, name, value)


def _keys(session: orm.Session, items: Sequence[Any], local: Sequence[str] | None) -> list[Key | None]:
    """What each item has; None: nothing is related to that, as a part of it is NULL."""
    if local is not None:
        _refresh(session, items, local)
    return [_key(item, local) for item in items]


def _key(item: Any, local: Sequence[str] | None) -> Key | None:
    state = _state(item)
    if local is None:
        return key_of(state.identity) if state is not None and state.identity else None
    try:
        key = tuple(item[name] if state is None else getattr(item, name) for name in local)
    except KeyError as error:
        raise UsageError(
            f"an item has no key {error.args[0]!r}", hint=f"It has: {', '.join(map(str, item))}."
        ) from None
    return None if any(value is None for value in key) else key_of(key)


def _refresh(session: orm.Session, items: Sequence[Any], names: Sequence[str]) -> None:
    """What has expired, as after a commit, all at once: by itself each object would ask for its own."""
    lacking: dict[orm.Mapper[Any], list[Key]] = {}
    for item in items:
        state = _state(item)
        if state is None:
            continue
        keys = lacking.setdefault(state.mapper, [])
        absent = [name for name in names if name not in state.dict]
        if absent and state.detached and absent[0] in entity(state.mapper.class_).columns:
            raise UsageError(
                f"{state.mapper.class_.__name__}.{absent[0]} is not loaded",
                hint="Load it with the object, or load relations while the object's session is open.",
            )
        if absent and state.identity:
            keys.append(key_of(state.identity))
    for mapper, keys in lacking.items():
        own = entity(mapper.class_)
        for name in names:
            own.column(name)  # raises UsageError
        if not keys:
            continue
        asked = Asked([own.attribute(name) for name in own.key], [f"{own.name}.{name}" for name in own.key])
        table = asked.table(list(dict.fromkeys(keys)))
        options = [orm.undefer(getattr(mapper.class_, name)) for name in names]
        statement = sa.select(mapper.class_).join_from(table, mapper.class_, asked.condition(table)).options(*options)
        session.execute(statement).unique().all()


def _within(work: Work, items: Sequence[Any]) -> Work:
    """In the session that the objects belong to. Raises UsageError where there are several."""
    sessions = {id(state.session): state.session for item in items if (state := _state(item)) and state.session}
    if work.within is not None:
        sessions[id(work.within)] = work.within
    if len(sessions) > 1:
        raise UsageError("the items belong to several sessions", hint="Load their relations session by session.")
    return dataclasses.replace(work, within=next(iter(sessions.values()), None))
