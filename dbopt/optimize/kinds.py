"""Which kind a plan's statement is: how it has to be run follows from that, and nothing else is ever run.

A plan may come from a file, and a file from anywhere. So this is a list of the few forms that dbopt writes, each down
to its last clause, rather than a list of what is dangerous.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.errors import PlanMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message  # type: ignore[import-untyped]

# What a step may set for its session: the `build:` of a spec.
SETTINGS = frozenset({"maintenance_work_mem", "max_parallel_maintenance_workers"})

_USING_INDEX = "i"  # REPLICA_IDENTITY_INDEX in pg_class.h


class Kind(Enum):
    BUILD = "build"  # CREATE INDEX CONCURRENTLY: alone in its message, no timeouts, watched
    DROP = "drop"  # DROP INDEX CONCURRENTLY: the same
    # DROP INDEX, of nothing but the index of a partitioned table, which the runner makes sure of: no text tells it.
    # Run like SHORT, in a transaction of its own.
    DROP_TREE = "drop tree"
    ANALYZE = "analyze"
    BEGIN = "begin"
    COMMIT = "commit"
    SHORT = "short"  # a lock for an instant: renames, comments, marks; short lock_timeout and retries


def kind(statement: str) -> Kind:
    """The kind of one statement. Raises PlanMismatch for anything that dbopt does not write itself."""
    try:
        node = grammar.parse_one(statement)
    except grammar.GrammarError as exc:
        raise _foreign(statement, exc.message) from exc
    name = str(node.WhichOneof("node"))
    test = _TESTS.get(name)
    found = test(getattr(node, name)) if test is not None else None
    if found is None:
        raise _foreign(statement, "it is none of the statements that dbopt writes")
    return found


def groups(statements: Sequence[str]) -> list[tuple[str, ...]]:
    """Statements that run together: those between BEGIN and COMMIT, and each other one alone. Raises PlanMismatch."""
    found: list[tuple[str, ...]] = []
    block: list[str] | None = None
    for statement in statements:
        what = kind(statement)
        if block is None and what is Kind.BEGIN:
            block = []
        elif block and what is Kind.COMMIT:
            found.append(tuple(block))
            block = None
        elif block is not None and what is Kind.SHORT:
            block.append(statement)
        elif block is None and what is not Kind.COMMIT:
            found.append((statement,))
        else:
            raise _foreign(statement, "it does not belong there in a transaction")
    if block is not None:
        raise _foreign(statements[-1], "the transaction has no COMMIT")
    return found


def require_settings(settings: Mapping[str, str]) -> None:
    """Raises PlanMismatch for a setting that no spec can ask for."""
    for name in settings:
        if name not in SETTINGS:
            raise _foreign(f"SET {name}", f"the settings of a step are {' and '.join(sorted(SETTINGS))}")


def target_index(statement: str) -> str:
    """The name that a BUILD gives its index, or that a DROP or DROP_TREE removes."""
    node = grammar.parse_one(statement)
    if node.HasField("index_stmt"):
        return str(node.index_stmt.idxname)
    return str(node.drop_stmt.objects[0].list.items[-1].string.sval)


def is_unique(statement: str) -> bool:
    """Whether a BUILD makes a unique index."""
    return bool(grammar.parse_one(statement).index_stmt.unique)


def attached(statement: str) -> tuple[str, str]:
    """Schema and name of the index that an ATTACH makes a part of another."""
    command = grammar.parse_one(statement).alter_table_stmt.cmds[0].alter_table_cmd
    name = getattr(command, "def").partition_cmd.name
    return str(name.schemaname), str(name.relname)


# One function a statement of the grammar: the kind, or None when it is not just one of the forms that dbopt writes.


def _create_index(statement: Any) -> Kind | None:
    """CONCURRENTLY on a table; or ON ONLY a partitioned one, where it writes catalog rows and no data."""
    if statement.if_not_exists or not statement.idxname or not _is_qualified(statement.relation):
        return None
    if statement.concurrent:
        return Kind.BUILD if statement.relation.inh else None
    return None if statement.relation.inh else Kind.SHORT


def _drop(statement: Any) -> Kind | None:
    from postgast.pg_query_pb2 import DropBehavior, ObjectType

    ours = (
        statement.remove_type == ObjectType.OBJECT_INDEX
        and not statement.missing_ok
        and statement.behavior == DropBehavior.DROP_RESTRICT
        and len(statement.objects) == 1
        and len(statement.objects[0].list.items) == 2
    )
    if not ours:
        return None
    return Kind.DROP if statement.concurrent else Kind.DROP_TREE


def _analyze(statement: Any) -> Kind | None:
    ours = (
        not statement.is_vacuumcmd
        and not statement.options
        and len(statement.rels) == 1
        and _fields(statement.rels[0].vacuum_relation) == {"relation"}
        and _is_plain(statement.rels[0].vacuum_relation.relation)
    )
    return Kind.ANALYZE if ours else None


def _transaction(statement: Any) -> Kind | None:
    from postgast.pg_query_pb2 import TransactionStmtKind

    kinds = {TransactionStmtKind.TRANS_STMT_BEGIN: Kind.BEGIN, TransactionStmtKind.TRANS_STMT_COMMIT: Kind.COMMIT}
    return kinds.get(statement.kind) if not (statement.options or statement.chain) else None


def _rename(statement: Any) -> Kind | None:
    from postgast.pg_query_pb2 import ObjectType

    ours = (
        statement.rename_type == ObjectType.OBJECT_INDEX
        and not statement.missing_ok
        and _is_plain(statement.relation)
        and statement.newname
    )
    return Kind.SHORT if ours else None


def _comment(statement: Any) -> Kind | None:
    from postgast.pg_query_pb2 import ObjectType

    ours = statement.objtype == ObjectType.OBJECT_INDEX and len(statement.object.list.items) == 2
    return Kind.SHORT if ours else None


def _alter_table(statement: Any) -> Kind | None:
    """What a replaced index hands on, and how a partition's index becomes part of the tree's. Of REPLICA IDENTITY only
    the form that names an index: without one, updates of a published table fail.
    """
    from postgast.pg_query_pb2 import AlterTableType, ObjectType

    allowed = {
        (ObjectType.OBJECT_TABLE, AlterTableType.AT_ClusterOn),
        (ObjectType.OBJECT_INDEX, AlterTableType.AT_SetStatistics),
        (ObjectType.OBJECT_INDEX, AlterTableType.AT_AttachPartition),
    }
    if statement.missing_ok or not _is_plain(statement.relation) or len(statement.cmds) != 1:
        return None
    command = statement.cmds[0].alter_table_cmd
    form = (statement.objtype, command.subtype)
    if form == (ObjectType.OBJECT_TABLE, AlterTableType.AT_ReplicaIdentity):
        return Kind.SHORT if getattr(command, "def").replica_identity_stmt.identity_type == _USING_INDEX else None
    return Kind.SHORT if form in allowed else None


_TESTS = {
    "index_stmt": _create_index,
    "drop_stmt": _drop,
    "vacuum_stmt": _analyze,
    "transaction_stmt": _transaction,
    "rename_stmt": _rename,
    "comment_stmt": _comment,
    "alter_table_stmt": _alter_table,
}


def _is_plain(relation: Any) -> bool:
    """Schema and name, with neither a database before them nor ONLY."""
    return _is_qualified(relation) and bool(relation.inh)


def _is_qualified(relation: Any) -> bool:
    return bool(relation.schemaname and relation.relname and not relation.catalogname)


def _fields(message: Message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def _foreign(statement: str, why: str) -> PlanMismatch:
    return PlanMismatch(
        "the plan holds a statement that dbopt does not run",
        detail=f"{why}: {statement[:200]}",
        hint="Make the plan anew: dbopt plan --out FILE.",
    )
