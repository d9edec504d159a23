"""From what is wanted and what is there to steps: pure, no server is asked.

One function a situation; each gives a Step, whose statements can be pasted into psql as they stand.
"""

from __future__ import annotations

import re
from dataclasses import replace as replace_step
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.optimize.collect import NEW, OLD
from dbopt.optimize.statement import create_index
from dbopt.optimize.steps import Action, Proof, Step
from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip, derived, text
from dbopt.spec import mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbopt.optimize.canonical import Definition
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.model import IndexSpec

# What a step does to others. https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
_BUILDS = "takes SHARE UPDATE EXCLUSIVE on the table: reads and writes go on, VACUUM and DDL on it wait"
_WAITS = "waits for every transaction that has written to the table or holds a snapshot older than the build"
_UNIQUE = (
    "writers that violate the uniqueness are refused as soon as the second phase starts, before the build has ended"
)
_DROPS = "statements whose plans use the index change their plans"
_RENAMES = (
    "takes SHARE UPDATE EXCLUSIVE on the index for an instant; statements that name it in hints or REINDEX must follow"
)
_IDENTITY = "moves the table's replica identity: takes ACCESS EXCLUSIVE on the table for an instant"
_TWICE = "needs disk space for both indexes until the old one is dropped"

_REINDEX_SUFFIX = re.compile(r"_cc(new|old)[0-9]{0,3}\Z")


def create(entry: IndexSpec, table: Table, wanted: Definition, reason: str) -> Step:
    """The index is not there at all."""
    build = text(create_index(entry, schema=table.schema, name=entry.name, concurrently=True))
    return Step(
        action=Action.CREATE,
        index=entry.name,
        schema=table.schema,
        table=table.table,
        statements=(build, comment_on(table.schema, entry.name, comment_for(entry, table, None))),
        reason=reason,
        hazards=build_hazards(entry),
        domain=entry.domain,
        settings=build_settings(entry),
        proofs=(Proof(schema=table.schema, index=entry.name, table=table.table, definition=wanted),),
    )


def adopt(entry: IndexSpec, table: Table, wanted: Definition, building: Index) -> Step:
    """The server builds it right now, for an earlier run that was killed, say. If that fails, it is made anew."""
    reason = f"pid {building.build_pid} builds it right now: that build is awaited and proved, none is started"
    return replace_step(create(entry, table, wanted, reason), action=Action.ADOPT)


def repair(entry: IndexSpec, table: Table, wanted: Definition, broken: Index) -> Step:
    """The name is taken by an INVALID leftover of an earlier try: costs every write, serves no query."""
    step = create(entry, table, wanted, "")
    return Step(
        action=Action.REPAIR,
        index=entry.name,
        schema=table.schema,
        table=table.table,
        statements=(drop_index(table.schema, broken.index), *step.statements),
        reason="an earlier build left it INVALID: it slows writes and serves no query",
        hazards=step.hazards,
        domain=entry.domain,
        settings=step.settings,
        proofs=step.proofs,
    )


def remove_leftover(entry: IndexSpec, table: Table, leftover: Index) -> Step:
    """A broken or superseded working copy under a name derived from the entry's."""
    return Step(
        action=Action.REPAIR,
        index=entry.name,
        schema=table.schema,
        table=table.table,
        statements=(drop_index(table.schema, leftover.index),),
        reason=f"{leftover.index} is left over from an interrupted change of this index",
        domain=entry.domain,
    )


def replace(entry: IndexSpec, table: Table, wanted: Definition, old: Index, ready: Index | None, reason: str) -> Step:
    """Another definition: built beside the old index, then both change names in one short transaction.

    `ready` is the new index, valid and of the right definition, when an earlier run was interrupted before the swap.
    """
    schema, name = table.schema, entry.name
    new, aside = derived(name, NEW), derived(name, OLD)
    keep_space = old.tablespace if entry.tablespace is None and entry.sql is None else None
    build = create_index(entry, schema=schema, name=new, concurrently=True, tablespace=keep_space)
    moves = (_IDENTITY,) if old.indisreplident else ()
    swap = [
        "BEGIN",
        rename_index(schema, old.index, aside),
        rename_index(schema, new, name),
        *carried(table, old, name, wanted),
        "COMMIT",
    ]
    return Step(
        action=Action.REPLACE,
        index=name,
        schema=schema,
        table=table.table,
        statements=(
            *(() if ready is not None else (text(build),)),
            comment_on(schema, new, comment_for(entry, table, old.comment)),
            *swap,
            drop_index(schema, aside),
        ),
        reason=reason,
        hazards=(*build_hazards(entry), _TWICE, *moves),
        domain=entry.domain,
        settings=build_settings(entry),
        proofs=(Proof(schema=schema, index=name, table=table.table, definition=wanted),),
    )


def rename(entry: IndexSpec, table: Table, wanted: Definition, old: Index, reason: str) -> Step:
    """Equal in all but its name: renamed, not rebuilt."""
    return Step(
        action=Action.RENAME,
        index=entry.name,
        schema=table.schema,
        table=table.table,
        statements=(
            rename_index(table.schema, old.index, entry.name),
            comment_on(table.schema, entry.name, comment_for(entry, table, old.comment)),
        ),
        reason=reason,
        hazards=(_RENAMES,),
        domain=entry.domain,
        proofs=(Proof(schema=table.schema, index=entry.name, table=table.table, definition=wanted),),
    )


def drop(schema: str, table: str, name: str, domain: str, reason: str) -> Step:
    return Step(
        action=Action.DROP,
        index=name,
        schema=schema,
        table=table,
        statements=(drop_index(schema, name),),
        reason=reason,
        hazards=(_DROPS, "waits for every transaction that uses the table, readers too"),
        domain=domain,
    )


def recomment(entry: IndexSpec, table: Table, index: Index, *, adopt: bool) -> Step | None:
    """The mark or the text is not what the spec says. An unmarked index is marked only when asked (`adopt`)."""
    if mark.read(index.comment)[1] is None and not adopt:
        return None
    comment = comment_for(entry, table, index.comment)
    if mark.says_the_same(comment, index.comment):
        return None
    return Step(
        action=Action.COMMENT,
        index=entry.name,
        schema=table.schema,
        table=table.table,
        statements=(comment_on(table.schema, entry.name, comment),),
        reason="marks the index as dbopt's" if adopt else "the spec's text for it changed",
        domain=entry.domain,
    )


def analyze(table: Table, reason: str) -> Step:
    return Step(
        action=Action.ANALYZE,
        index=None,
        schema=table.schema,
        table=table.table,
        statements=(text(sql.SQL("ANALYZE {}").format(sql.Identifier(table.schema, table.table))),),
        reason=reason,
    )


def leftovers(entry: IndexSpec, indexes: Iterable[Index]) -> list[Index]:
    """Working copies under names derived from the entry's: REINDEX CONCURRENTLY's (`_ccnew`, `_ccold`, digits) when
    INVALID, and our own. One that is being built right now is nobody's leftover.
    """
    ours = {derived(entry.name, NEW), derived(entry.name, OLD)}
    return [
        index
        for index in indexes
        if index.build_pid is None
        and (index.index in ours or (not index.indisvalid and reindexed(entry.name, index.index)))
    ]


def reindexed(name: str, copy: str) -> bool:
    """Whether REINDEX CONCURRENTLY would call its copy of an index so. It cuts a long name so that the suffix fits."""
    found = _REINDEX_SUFFIX.search(copy)
    return found is not None and copy[: found.start()] == clip(name, NAME_MAX_BYTES - len(found[0]))


def drop_index(schema: str, name: str) -> str:
    return text(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(schema, name)))


def comment_for(entry: IndexSpec, table: Table, existing: str | None) -> str:
    """The comment of an entry's index; its mark covers the definition under the final name, however it is built."""
    final = text(create_index(entry, schema=table.schema, name=entry.name, concurrently=True))
    return mark.write(entry, final, existing)


def comment_on(schema: str, name: str, comment: str) -> str:
    return text(sql.SQL("COMMENT ON INDEX {} IS {}").format(sql.Identifier(schema, name), sql.Literal(comment)))


def build_settings(entry: IndexSpec) -> Mapping[str, str]:
    """Session settings for the build, as the spec's `build:` gives them."""
    settings = {}
    if entry.build.maintenance_work_mem is not None:
        settings["maintenance_work_mem"] = f"{entry.build.maintenance_work_mem // 1024}kB"
    if entry.build.parallel_workers is not None:
        settings["max_parallel_maintenance_workers"] = str(entry.build.parallel_workers)
    return settings


def build_hazards(entry: IndexSpec) -> tuple[str, ...]:
    return (_BUILDS, _WAITS, *((_UNIQUE,) if entry.is_unique else ()))


def rename_index(schema: str, old: str, new: str) -> str:
    return text(sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(schema, old), sql.Identifier(new)))


def carried(table: Table, old: Index, name: str, wanted: Definition) -> list[str]:
    """What a replaced index had besides its definition, and would lose."""
    statements = []
    if old.indisclustered:
        statement = sql.SQL("ALTER TABLE {} CLUSTER ON {}")
        statements.append(text(statement.format(sql.Identifier(table.schema, table.table), sql.Identifier(name))))
    if old.indisreplident:
        statement = sql.SQL("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}")
        statements.append(text(statement.format(sql.Identifier(table.schema, table.table), sql.Identifier(name))))
    # Only expressions of an index have targets of their own; the new one may have a plain column in that place.
    for number, (target, key) in enumerate(zip(old.statistics_targets, wanted.keys, strict=False), start=1):
        if target is not None and key.expression is not None:
            statement = sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}")
            statements.append(text(statement.format(sql.Identifier(table.schema, name), number, target)))
    return statements
