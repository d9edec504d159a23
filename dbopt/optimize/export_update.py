"""What has to change in a spec file so that it says what the database has: asked of the server, as a plan asks."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from dbopt.optimize import tenants, twin
from dbopt.optimize.canonical import Definition
from dbopt.optimize.collect import collect, require_primary
from dbopt.optimize.draft import Draft, PlanOptions
from dbopt.optimize.export import Choice, Exported, LeftOut, read
from dbopt.optimize.export_files import entry_of
from dbopt.optimize.export_form import DEFINITION_KEYS
from dbopt.spec.model import State
from dbopt.spec.splice import Edit
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec, SpecFile

# Parts of a definition in the catalogs, with the key of an entry that says each.
_ASPECTS = {
    "method": ("method",),
    "keys": ("keys",),
    "include": ("include",),
    "unique": ("unique", "nulls_not_distinct"),
    "where": ("predicate",),
    "with": ("parameters",),
    "tablespace": ("tablespace",),
}


@dataclass(slots=True)
class Update:
    """`edits`: each with the entry it changes; `additions`: whole entries. The rest is for people to look at: entries
    whose index is gone; entries that stand for several indexes, or for one on another table, with what is there; and
    what could not be read.
    """

    edits: list[tuple[IndexSpec, Edit]] = field(default_factory=list)
    additions: list[Mapping[str, object]] = field(default_factory=list)
    gone: list[IndexSpec] = field(default_factory=list)
    others: list[tuple[IndexSpec, Exported]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def compare(
    conn: Connection, server: Server, file: SpecFile, beside: Sequence[SpecFile], choice: Choice | None
) -> Update:
    """Hold a file against the database. `beside`: specs whose indexes are no business of this one. `choice` None: the
    schemas that the file is about. Raises ServerUnfit and NotPermitted as a plan does.
    """
    require_primary(conn, server)
    entries, _ = tenants.expand(conn, server, file.indexes)
    elsewhere, _ = tenants.expand(conn, server, [entry for other in beside for entry in other.indexes])
    if choice is None:
        choice = Choice(tuple(sorted({file.defaults.schema_, *(entry.schema_name for entry in entries)})))
        found = list(read(conn, server, choice, may_be_none=True))
    else:
        found = list(read(conn, server, choice))
    update = Update()
    here = {(item.schema, item.name): item for item in found}
    compared = [entry for entry in entries if choice.takes(entry.schema_name, entry.table.name)]
    _compare(conn, server, compared, here, update)
    known = {(entry.schema_name, name) for entry in (*entries, *elsewhere) for name in (entry.name, *entry.was)}
    for item in found:
        if (item.schema, item.name) in known:
            continue
        if isinstance(item, LeftOut):
            update.left_out += [item] if item.is_lost else []
        elif item.domain in (None, file.domain):
            update.additions.append(entry_of(item, file.defaults.schema_))
    return update


def _compare(
    conn: Connection,
    server: Server,
    entries: Sequence[IndexSpec],
    here: Mapping[tuple[str, str], Exported | LeftOut],
    update: Update,
) -> None:
    draft = Draft(conn, server, collect(conn, server, entries), entries, PlanOptions(), [])
    asked: list[tuple[IndexSpec, Exported, twin.Asked]] = []
    for entry in entries:
        table = draft.actual.tables.get((entry.schema_name, entry.table.name))
        item = here.get((entry.schema_name, entry.name))
        if entry.state is State.ABSENT:
            continue
        if isinstance(item, LeftOut):
            update.left_out.append(item)
        elif item is None:
            # One behind a constraint is there, and no export is about it.
            if table is None or draft.actual.find(table, entry.name) is None:
                update.gone.append(entry)
        elif table is None or item.table != entry.table.name:
            update.others.append((entry, item))
        else:
            columns = draft.actual.columns.get(table.oid, ())
            asked.append((entry, item, twin.Asked(entry=entry, table=table, columns=columns)))
    answers = twin.definitions(conn, server, [one for _, _, one in asked])
    for (entry, item, one), answer in zip(asked, answers, strict=True):
        index = draft.actual.find(one.table, entry.name)
        if index is None or one.table.oid in draft.actual.locked:
            continue  # dropped or locked since it was read
        if isinstance(answer, Definition) and draft.same(entry, one.table, answer, index):
            continue
        wanted = answer if isinstance(answer, Definition) else None
        if entry.source.tenant is not None:
            update.others.append((entry, item))
        else:
            fields = _fields(entry, wanted, draft.actual.definition(index), item.fields)
            update.edits.append((entry, Edit(entry.source.line, entry.source.column, fields)))


def _fields(
    entry: IndexSpec, wanted: Definition | None, actual: Definition, new: Mapping[str, object]
) -> dict[str, object]:
    """The keys of an entry that are no longer true, with what they should be. `wanted` None: the server does not take
    the entry's definition any more.
    """
    given = {"with" if name == "with_" else name for name in entry.model_fields_set}
    keys = [key for key in DEFINITION_KEYS if key in new or key in given]
    if wanted is not None and entry.sql is None and "sql" not in new:
        keys = [key for key in keys if key in _ASPECTS and _differs(wanted, actual, _ASPECTS[key])]
    if entry.tablespace is None and "tablespace" in keys and entry.sql is None:
        keys.remove("tablespace")  # where the spec is silent, any will do
    return {key: new.get(key) for key in keys}


def _differs(one: Definition, other: Definition, names: Sequence[str]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)
