"""Which kind a plan's statement is: how it has to be run follows from that, and nothing else is ever run."""

from __future__ import annotations

from enum import Enum

from dbopt import grammar
from dbopt.errors import PlanMismatch


class Kind(Enum):
    BUILD = "build"  # CREATE INDEX CONCURRENTLY: alone in its message, no timeouts, watched
    DROP = "drop"  # DROP INDEX CONCURRENTLY: the same
    ANALYZE = "analyze"
    BEGIN = "begin"
    COMMIT = "commit"
    SHORT = "short"  # a lock for an instant: renames, comments, marks; short lock_timeout and retries


def kind(statement: str) -> Kind:
    """The kind of one statement. Raises PlanMismatch for anything that dbopt does not write itself."""
    from postgast.pg_query_pb2 import ObjectType, TransactionStmtKind

    try:
        node = grammar.parse_one(statement)
    except grammar.GrammarError as exc:
        raise _foreign(statement, exc.message) from exc
    name = node.WhichOneof("node")
    if name == "index_stmt":
        if node.index_stmt.concurrent and not node.index_stmt.if_not_exists:
            return Kind.BUILD
        if not node.index_stmt.relation.inh:
            return Kind.SHORT  # ON ONLY a partitioned table: catalog rows, no data
    if name == "drop_stmt" and node.drop_stmt.remove_type == ObjectType.OBJECT_INDEX and node.drop_stmt.concurrent:
        return Kind.DROP
    if name == "vacuum_stmt" and not node.vacuum_stmt.is_vacuumcmd:
        return Kind.ANALYZE
    if name == "transaction_stmt":
        if node.transaction_stmt.kind == TransactionStmtKind.TRANS_STMT_BEGIN:
            return Kind.BEGIN
        if node.transaction_stmt.kind == TransactionStmtKind.TRANS_STMT_COMMIT:
            return Kind.COMMIT
    if name == "rename_stmt" and node.rename_stmt.rename_type == ObjectType.OBJECT_INDEX:
        return Kind.SHORT
    if name == "comment_stmt" and node.comment_stmt.objtype == ObjectType.OBJECT_INDEX:
        return Kind.SHORT
    if name == "alter_table_stmt" and _only_marks(node.alter_table_stmt):
        return Kind.SHORT
    raise _foreign(statement, "it is none of the statements that dbopt writes")


def target_index(statement: str) -> str:
    """The name that a BUILD gives its index, or that a DROP removes."""
    node = grammar.parse_one(statement)
    if node.HasField("index_stmt"):
        return str(node.index_stmt.idxname)
    return str(node.drop_stmt.objects[0].list.items[-1].string.sval)


def _only_marks(statement: object) -> bool:
    from postgast.pg_query_pb2 import AlterTableType

    allowed = {AlterTableType.AT_ClusterOn, AlterTableType.AT_SetStatistics, AlterTableType.AT_AttachPartition}
    return all(cmd.alter_table_cmd.subtype in allowed for cmd in statement.cmds)  # type: ignore[attr-defined]


def _foreign(statement: str, why: str) -> PlanMismatch:
    return PlanMismatch(
        "the plan holds a statement that dbopt does not run",
        detail=f"{why}: {statement[:200]}",
        hint="Make the plan anew: dbopt plan --out FILE.",
    )
