"""The relations that a statement names, from its parse tree, and what stands where one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

# Of no interest: nothing in them names a table.
_LEAVES = frozenset(("a_const", "column_ref", "param_ref", "a_star", "string", "integer", "type_name"))
FROM = ""


class Reference(NamedTuple):
    """`schema` is empty where none is written. `place`: the kind of node whose own relation it is, as InsertStmt; FROM
    where it stands in a list, as in FROM, USING and TRUNCATE.
    """

    location: int
    schema: str
    name: str
    place: str


def references(statement: Node) -> list[Reference]:
    """In the order in which they are written. Names that mean a common table expression are none."""
    from postgast import pg_query_pb2 as pb

    found: list[Reference] = []
    # A part of the tree, the names of common table expressions that it sees, and where it stands.
    parts: list[tuple[Any, frozenset[str], str]] = [(statement, frozenset(), FROM)]
    while parts:
        part, seen, place = parts.pop()
        if isinstance(part, pb.Node):
            name = part.WhichOneof("node")
            if name is None or name in _LEAVES:
                continue
            part = getattr(part, name)
        if isinstance(part, pb.RangeVar):
            if part.schemaname or part.relname not in seen:
                found.append(Reference(part.location, part.schemaname, part.relname, place))
            continue
        fields = [(field, value) for field, value in part.ListFields() if field.message_type is not None]
        for field, value in fields:
            if field.name == "with_clause":
                seen = _expressions(value, seen, parts)
        for field, value in fields:
            if field.is_repeated:
                if field.name != "locking_clause":  # FOR UPDATE OF an alias
                    parts.extend((item, seen, FROM) for item in value)
            elif field.message_type is pb.RangeVar.DESCRIPTOR:  # what is written to: never such an expression
                parts.append((value, frozenset(), part.DESCRIPTOR.name))
            elif field.name != "with_clause":
                parts.append((value, seen, FROM))
    return sorted(found)


def _expressions(clause: Any, seen: frozenset[str], parts: list[tuple[Any, frozenset[str], str]]) -> frozenset[str]:
    """What is seen behind a WITH: each of its expressions sees those before it, or with RECURSIVE all."""
    queries = [item.common_table_expr for item in clause.ctes]
    if clause.recursive:
        seen |= {query.ctename for query in queries}
    for query in queries:
        parts.append((query.ctequery, seen, FROM))
        seen |= {query.ctename}
    return seen
