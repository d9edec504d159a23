"""The index that a search needs: as a spec for `dbopt optimize`, and whether there is one that serves."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from dbopt.client.searching import sql as search_sql
from dbopt.client.searching.faults import missing
from dbopt.client.shape import entity
from dbopt.postgres.identifiers import derived
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import orm

    from dbopt.client.searching.search import Search
    from dbopt.client.shape import Entity
    from dbopt.client.work import Work

_SCHEMA_FILE = "index-spec.v1.json"
_PROBE = "dbopt"  # any word of three characters and more will do
# What is left are scans of an index by this very condition, and reading everything, which is dear.
_SETTINGS = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan")
_SET = sa.text("SELECT /* dbopt client: planner */ pg_catalog.set_config(:name, 'off', true)")


@dataclass(frozen=True, slots=True)
class Served:
    """Whether an index serves a search, and which. `hint`: what to do where none does."""

    is_served: bool
    indexes: tuple[str, ...]
    hint: str | None = None


def check_index(work: Work, search: Search, *, where: Sequence[sa.ColumnElement[bool]] = ()) -> Served:
    """Asks the planner for the plan that it would make if reading the whole table cost any price; nothing is run.
    `where`: the conditions of a partial index. Raises UsageError, ServerUnfit, ConnectionLost, PoolExhausted.
    """
    search_sql.check_where(where)
    own = entity(search.model)
    condition = search_sql.matches(search, own)
    with work.session() as session:
        try:
            asked: sa.Select[Any] = sa.select(sa.literal_column("1")).where(condition, *where)
            nodes = list(_nodes(_plan(session, asked.params(search_sql.values(search, _PROBE)))))
        except sa.exc.ProgrammingError as error:
            raise missing(search, error, None if work.within is not None else session) from error
    operator = "~~*" if search.substring else "@@"
    indexes = {node["Index Name"] for node in nodes if f" {operator} " in node.get("Index Cond", "")}
    reads_all = any(node["Node Type"] == "Seq Scan" for node in nodes)
    if indexes and not reads_all:
        return Served(True, tuple(sorted(indexes)))
    hint = "Write print(search.index_spec()) to a file below indexes/ and run `dbopt plan`."
    return Served(False, tuple(sorted(indexes)), hint)


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: sa.Select[Any]) -> None:
        self.statement = statement


@compiles(_Explain)
def _explain(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


def _plan(session: orm.Session, statement: sa.Select[Any]) -> Mapping[str, Any]:
    """In a transaction, or a savepoint of the caller's, that is rolled back, settings included."""
    inner = session.begin_nested()
    try:
        for name in _SETTINGS:
            session.execute(_SET, {"name": name})
        found = session.execute(_Explain(statement)).scalar_one()
    finally:
        inner.rollback()
    plan: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def spec(search: Search, *, domain: str | None, schema: str) -> str:
    """A whole file with one entry."""
    from dbopt.spec import write

    own = entity(search.model)
    entry = _entry(search, own)
    head = write.file_head(
        domain=domain or _slug(str(entry["name"])),
        schema=own.table.schema or schema,
        schema_file=_SCHEMA_FILE,
        about=["The index of a search of dbopt.client, as Search.index_spec wrote it."],
    )
    return "\n".join([*head, "", "indexes:", *write.entry_lines(entry, 2), ""])


def _entry(search: Search, own: Entity) -> Mapping[str, object]:
    names = [own.column(name).name for name in search.fields]
    entry: dict[str, object] = {
        "name": search.index or _name(search, own, names),
        "table": own.table.name,
        "method": "gin",
    }
    if search.substring:
        search_sql.texts(search, own)  # refuses what trigrams do not serve
        entry["keys"] = [{"column": name, "opclass": "gin_trgm_ops"} for name in names]
        entry["needs"] = {"extension": "pg_trgm"}
        entry["why"] = f"Search for any part of {_listed(names)}"
    elif search.column is not None:
        entry["keys"] = [own.column(search.column).name]
        entry["why"] = f"Search for words in {_listed(names) if names else own.column(search.column).name}"
    else:
        entry["keys"] = [{"expr": search_sql.written(search_sql.document(search, own, bare=True))}]
        entry["why"] = f"Search for words in {_listed(names)}"
    entry["serves"] = [{"query": _served(search, own)}]
    return entry


def _served(search: Search, own: Entity) -> str:
    keys = [own.column(name) for name in own.key]
    statement = sa.select(*keys).where(search_sql.matches(search, own, sa.literal_column("$1")))
    return re.sub(r"\s*\n\s*", " ", search_sql.written(statement))


def _name(search: Search, own: Entity, names: Sequence[str]) -> str:
    indexed = names if search.column is None else [own.column(search.column).name]
    words = "_".join([own.table.name, *indexed])
    return derived(words, "_trgm" if search.substring else "_search")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-") or "search"
