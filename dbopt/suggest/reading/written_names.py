"""What a statement writes, by the names that stand in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.model import Operation
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgast.pg_query_pb2 import InsertStmt, MergeStmt, RangeVar
    from postgast.pg_query_pb2 import Node as Tree


@dataclass(frozen=True, slots=True)
class WrittenName:
    """`schema` is empty where none is written. `columns`: that an UPDATE sets."""

    schema: str
    name: str
    operation: Operation
    columns: tuple[str, ...] = ()


def written_names(tree: Tree) -> Iterator[WrittenName]:
    """Of one INSERT, UPDATE, DELETE or MERGE; none of anything else."""
    if tree.HasField("insert_stmt"):
        yield from _inserted(tree.insert_stmt)
    elif tree.HasField("update_stmt"):
        yield _name(tree.update_stmt.relation, Operation.UPDATE, tree.update_stmt.target_list)
    elif tree.HasField("delete_stmt"):
        yield _name(tree.delete_stmt.relation, Operation.DELETE)
    elif tree.HasField("merge_stmt"):
        yield from _merged(tree.merge_stmt)


def _inserted(statement: InsertStmt) -> Iterator[WrittenName]:
    yield _name(statement.relation, Operation.INSERT)
    if statement.on_conflict_clause.target_list:  # ON CONFLICT DO UPDATE
        yield _name(statement.relation, Operation.UPDATE, statement.on_conflict_clause.target_list)


def _merged(statement: MergeStmt) -> Iterator[WrittenName]:
    from postgast import pg_query_pb2 as pb

    clauses = [clause.merge_when_clause for clause in statement.merge_when_clauses]
    kinds = {clause.command_type for clause in clauses}
    if pb.CMD_INSERT in kinds:
        yield _name(statement.relation, Operation.INSERT)
    if pb.CMD_UPDATE in kinds:
        targets = [
            target for clause in clauses if clause.command_type == pb.CMD_UPDATE for target in clause.target_list
        ]
        yield _name(statement.relation, Operation.UPDATE, targets)
    if pb.CMD_DELETE in kinds:
        yield _name(statement.relation, Operation.DELETE)


def _name(relation: RangeVar, operation: Operation, targets: object = ()) -> WrittenName:
    columns = dict.fromkeys(target.res_target.name for target in targets)  # type: ignore[attr-defined]
    return WrittenName(relation.schemaname, relation.relname, operation, tuple(columns))
