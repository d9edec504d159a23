"""A plan as a migration: the steps as somebody else's tool will run them, and the steps that take them back.

The way up is the plan's own. The way down is found by carrying out the plan's statements on a model of the indexes:
what is gone at the end is made again, what is new is dropped, what has another name or comment gets its own back. So
it holds for whatever steps a plan may have. What a tool cannot take back is said in `lasting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.errors import ServerUnfit
from dbopt.optimize import resuming
from dbopt.optimize.kinds import Kind, kind
from dbopt.optimize.reversal import Reversal
from dbopt.optimize.steps import Action
from dbopt.postgres import index_definitions
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.optimize.steps import Plan, Step
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_definitions import IndexDefinition
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was there before the plan. `timeouts` are the settings of this server that may end a build half-way."""

    indexes: Sequence[IndexDefinition]
    timeouts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """`lasting`: what the way down leaves as it is, in sentences without a full stop."""

    dbname: str
    up: tuple[Step, ...]
    down: tuple[Step, ...]
    lasting: tuple[str, ...]
    timeouts: tuple[str, ...]


def collect(conn: Connection, server: Server, plan: Plan) -> Standing:
    """The indexes of the tables that the plan changes."""
    tables = sorted({(step.schema, step.table) for step in plan.steps})
    timeouts = ["lock_timeout", "statement_timeout"]
    if server.has_transaction_timeout:
        timeouts.append("transaction_timeout")
    return Standing(indexes=index_definitions.definitions(conn, server, tables), timeouts=tuple(timeouts))


def migration(plan: Plan, standing: Standing) -> Migration:
    """Raises ServerUnfit while an index of the plan is being built: what will become of it is not known."""
    for step in plan.steps:
        if step.action is Action.ADOPT:
            raise ServerUnfit(
                f"{step.index} on {step.schema}.{step.table} is being built right now",
                hint="Make the migration when that build has ended.",
            )
    reversal = Reversal(standing.indexes)
    for step in plan.steps:
        for statement in step.statements:
            _carry_out(reversal, statement)
    return Migration(
        dbname=plan.target.dbname,
        up=plan.steps,
        down=tuple(reversal.steps()),
        lasting=tuple(reversal.lasting()),
        timeouts=standing.timeouts,
    )


def patient(statement: str, step: Step) -> bool | None:
    """Whether a statement may wait for its locks as long as need be: builds and concurrent drops may, as nobody waits
    behind them but DDL; what takes a stronger lock for an instant may not. None: all the same.
    """
    what = kind(statement)
    if what in (Kind.COMMIT, Kind.ANALYZE):
        return None
    if statement.startswith("COMMENT ") and any(kind(one) is Kind.BUILD for one in step.statements):
        return None  # nobody else knows the index yet
    return what in (Kind.BUILD, Kind.DROP)


def _carry_out(reversal: Reversal, statement: str) -> None:
    """One statement on the model. What has no lasting effect on an index (ANALYZE, BEGIN) does nothing there."""
    if (made := resuming.created(statement)) is not None:
        node = grammar.parse_one(statement).index_stmt.relation
        reversal.create(made, (node.schemaname, node.relname), is_tree=not node.inh)
    elif (gone := resuming.dropped(statement)) is not None:
        reversal.drop(gone)
    elif (names := resuming.renamed(statement)) is not None:
        reversal.rename(names[0], names[1][1])
    elif (comment := resuming.commented(statement)) is not None:
        reversal.comment(*comment)
    elif (parts := resuming.attached(statement)) is not None:
        reversal.attach(*parts)
