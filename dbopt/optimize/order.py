"""In which order the steps of a plan run, and for whom each would wait."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.optimize import decide, kinds, lag, waits
from dbopt.optimize.steps import Action, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.optimize.collect import Actual
    from dbopt.optimize.steps import Blocker
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_INSTANT = (Action.RENAME, Action.COMMENT)

# Of the forms that dbopt writes, see kinds.py; to have thousands of statements parsed for this would be slow.
_CREATE, _DROP = "CREATE ", "DROP INDEX "
_BUILD = re.compile(r"CREATE (UNIQUE )?INDEX CONCURRENTLY ")

# Replaying it takes ACCESS EXCLUSIVE on the index, which every statement that reads the table has locked.
# https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
_CANCELS = (
    "cancels statements that read the table on standbys and go on for longer than max_standby_streaming_delay there"
    " (SQLSTATE 40001): {}"
)


def ordered(steps: Sequence[Step], actual: Actual, analyze: Mapping[int, str]) -> Iterator[Step]:
    """What costs nothing first, builds as decided (priority, small tables first), drops last; each table is analyzed
    after its last build. `analyze` gives the reason by the table's oid.
    """
    groups = _groups(actual)
    for step in _in_order(steps, actual, analyze):
        yield replace(step, group=groups.get((step.schema, step.table), f"{step.schema}.{step.table}"))


def _groups(actual: Actual) -> dict[tuple[str, str], str]:
    """The top of the partition tree that a table is in, as far as the tree was read. A tree may be read twice, once
    from its top and once from a partition that specs name, too.
    """
    inner = {member.table_oid for tree in actual.trees.values() for member in tree if member.level > 0}
    return {
        (member.schema, member.table): f"{tree[0].schema}.{tree[0].table}"
        for oid, tree in actual.trees.items()
        if oid not in inner
        for member in tree
    }


def _in_order(steps: Sequence[Step], actual: Actual, analyze: Mapping[int, str]) -> Iterator[Step]:
    drops = [step for step in steps if step.action is Action.DROP]
    rest = [step for step in steps if step.action is not Action.DROP]
    rest.sort(key=lambda step: step.action not in _INSTANT)
    last = {(step.schema, step.table): number for number, step in enumerate(rest)}
    pending = dict(analyze)
    for number, step in enumerate(rest):
        yield step
        table = actual.tables.get((step.schema, step.table))
        # A partition tree is analyzed from its top, after its leaves, which are other tables: at the end.
        if table is None or last[step.schema, step.table] != number or table.relkind == "p":
            continue
        if table.oid in pending:
            yield decide.analyze(table, pending.pop(table.oid))
    for table in actual.tables.values():
        if table.oid in pending:
            yield decide.analyze(table, pending[table.oid])
    yield from drops


def with_waits(conn: Connection, server: Server, actual: Actual, steps: Iterator[Step]) -> tuple[Step, ...]:
    """Steps with those whom they would wait for right now, and with the standbys that feel their drops. One statement
    each.
    """
    listed = list(steps)
    concerned = _Concerned(actual)
    foreseen = waits.foresee(conn, server, {oid for step in listed for oid in concerned.oids(step)})
    followers = lag.standbys(conn, server) if any(map(_drops, listed)) else ()
    return tuple(
        replace(
            step,
            waits_for=concerned.blockers(foreseen, step),
            hazards=(*step.hazards, _CANCELS.format(", ".join(followers)))
            if followers and _drops(step)
            else step.hazards,
        )
        for step in listed
    )


class _Concerned:
    """Which relations a step's statements lock for longer than an instant, by their oids."""

    def __init__(self, actual: Actual) -> None:
        self._trees = actual.trees
        self._tables = {(table.schema, table.table): table.oid for table in actual.tables.values()}
        self._tables |= {(marked.table_schema, marked.table): marked.table_oid for marked in actual.marked}
        self._indexes = {(index.schema, index.index): index.oid for group in actual.indexes.values() for index in group}
        self._indexes |= {(marked.schema, marked.index): marked.oid for marked in actual.marked}

    def oids(self, step: Step) -> set[int]:
        return {oid for statement in step.statements for oid in self._of(step, statement)}

    def blockers(self, foreseen: waits.Waits, step: Step) -> tuple[Blocker, ...]:
        """In the order in which they stand in the way."""
        table_oid = self._tables[step.schema, step.table]
        groups = []
        for statement in step.statements:
            if statement.startswith(_DROP):
                groups.append(foreseen.of_drop(self._of(step, statement)))
            elif _BUILD.match(statement):
                groups.append(foreseen.of_build(table_oid))
            elif statement.startswith(_CREATE):
                groups.append(foreseen.of_catalog_change(table_oid))
        return waits.merged(groups)

    def _of(self, step: Step, statement: str) -> list[int]:
        """A drop of a tree's index locks the whole tree. The index that a replacement drops has its old name still."""
        table_oid = self._tables[step.schema, step.table]
        if not statement.startswith(_DROP):
            return [table_oid] if statement.startswith(_CREATE) else []
        names = {step.index, kinds.target_index(statement)} if step.index else {kinds.target_index(statement)}
        tree = [member.table_oid for member in self._trees.get(table_oid, ())]
        return [table_oid, *tree, *(oid for name in names if (oid := self._indexes.get((step.schema, name))))]


def _drops(step: Step) -> bool:
    return any(statement.startswith(_DROP) for statement in step.statements)
