"""In which order the steps of a plan run, and for whom each would wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.optimize import decide, waits
from dbopt.optimize.steps import Action, Blocker, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.optimize.collect import Actual
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_INSTANT = (Action.RENAME, Action.COMMENT)
_BUILDS = (Action.CREATE, Action.REPLACE, Action.REPAIR)


def ordered(steps: Sequence[Step], actual: Actual, analyze: Mapping[int, str]) -> Iterator[Step]:
    """What costs nothing first, builds as decided (priority, small tables first), drops last; each table is analyzed
    after its last build. `analyze` gives the reason by the table's oid.
    """
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
    """Steps with those whom they would wait for right now. One statement."""
    listed = list(steps)
    oids = {(table.schema, table.table): table.oid for table in actual.tables.values()}
    oids |= {(marked.table_schema, marked.table): marked.table_oid for marked in actual.marked}
    foreseen = waits.foresee(conn, server, {oids[step.schema, step.table] for step in listed})

    def blockers(step: Step) -> tuple[Blocker, ...]:
        oid = oids[step.schema, step.table]
        if step.action in _BUILDS:
            return foreseen.of_build(oid)
        return foreseen.of_drop(oid) if step.action is Action.DROP else ()

    return tuple(replace(step, waits_for=blockers(step)) for step in listed)
