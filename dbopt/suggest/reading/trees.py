"""Parts of parse trees, made anew. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message  # type: ignore[import-untyped]
    from postgast.pg_query_pb2 import Node as Tree
    from postgast.pg_query_pb2 import RangeVar

_QUERIES = ("sub_link", "multi_assign_ref")  # the latter is `(a, b) = (SELECT ...)`, once for each column


def select(targets: Iterable[Tree] = (), sources: Iterable[Tree] = (), where: Tree | None = None) -> Tree:
    """`SELECT targets FROM sources WHERE where`"""
    from postgast import pg_query_pb2 as pb

    made = pb.Node()
    made.select_stmt.op = pb.SETOP_NONE
    made.select_stmt.limit_option = pb.LIMIT_OPTION_DEFAULT
    for item in targets:
        made.select_stmt.target_list.add().res_target.val.CopyFrom(item)
    for item in sources:
        made.select_stmt.from_clause.add().CopyFrom(item)
    if where is not None:
        made.select_stmt.where_clause.CopyFrom(where)
    return made


def column(*names: str) -> Tree:
    from postgast.pg_query_pb2 import Node

    made = Node()
    for name in names:
        part = made.column_ref.fields.add()
        if name == "*":
            part.a_star.SetInParent()
        else:
            part.string.sval = name
    return made


def table(relation: RangeVar) -> Tree:
    from postgast.pg_query_pb2 import Node

    made = Node()
    made.range_var.CopyFrom(relation)
    return made


def named(name: str) -> Tree:
    """A table, or what WITH calls so, by its name alone."""
    from postgast.pg_query_pb2 import Node

    made = Node()
    made.range_var.relname, made.range_var.inh, made.range_var.relpersistence = name, True, "p"
    return made


def derived(query: Tree, name: str) -> Tree:
    """`(query) AS name`"""
    from postgast.pg_query_pb2 import Node

    made = Node()
    made.range_subselect.subquery.CopyFrom(query)
    made.range_subselect.alias.aliasname = name
    return made


def sublink(query: Tree, *, exists: bool) -> Tree:
    """`EXISTS (query)`, or its value."""
    from postgast import pg_query_pb2 as pb

    made = pb.Node()
    made.sub_link.sub_link_type = pb.EXISTS_SUBLINK if exists else pb.EXPR_SUBLINK
    made.sub_link.subselect.CopyFrom(query)
    return made


def integer(value: int) -> Tree:
    from postgast.pg_query_pb2 import Node

    made = Node()
    made.a_const.ival.ival = value
    return made


def field(relation: RangeVar, name: str) -> Tree:
    """`(NULL::relation).name`: of the type of the column, and of no row; `*` for all."""
    from postgast.pg_query_pb2 import Node

    made = Node()
    cast = made.a_indirection.arg.type_cast
    cast.arg.a_const.isnull = True
    cast.type_name.typemod = -1
    for part in (relation.schemaname, relation.relname):
        if part:
            cast.type_name.names.add().string.sval = part
    selected = made.a_indirection.indirection.add()
    if name == "*":
        selected.a_star.SetInParent()
    else:
        selected.string.sval = name
    return made


def nodes(tree: Message, *, into_queries: bool = True) -> Iterator[Tree]:
    """Every Node in it, from the top, each before those in it; with `into_queries` False not those in subqueries, but
    the subqueries themselves.
    """
    if tree.DESCRIPTOR.name == "Node":
        yield tree
        kind = tree.WhichOneof("node")
        if kind is None or (kind in _QUERIES and not into_queries):
            return
        tree = getattr(tree, kind)
    for descriptor, value in tree.ListFields():
        if descriptor.message_type is not None:
            for child in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from nodes(child, into_queries=into_queries)


def column_name(tree: Tree) -> tuple[str, ...]:
    """The parts of a reference to a column, `*` for all of them; empty of anything else."""
    if not tree.HasField("column_ref"):
        return ()
    return tuple(item.string.sval if item.HasField("string") else "*" for item in tree.column_ref.fields)
