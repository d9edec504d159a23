"""The SELECT of the rows that a statement reads, so that a role without the right to write may have it planned. Pure.

Numbers of parameters stay as they are, though some may be gone. Rows that are changed are asked for by their `ctid`:
so it is with the real statement, too, for which no index alone has all that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.suggest.reading import trees
from dbopt.suggest.reading.written_names import WrittenName, written_names
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postgast.pg_query_pb2 import InsertStmt, MergeStmt, RangeVar, WithClause
    from postgast.pg_query_pb2 import Node as Tree

_WRITING = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")
# Statements that have a query in them, which is planned as if it stood alone.
_AROUND = ("prepare_stmt", "declare_cursor_stmt", "create_table_as_stmt", "copy_stmt")
_ROWS = "dbopt_rows"  # what we call a query that had no name
_UTILITY = "utility statements have no plan"


class NoSelectForm(Exception):
    """In words, why a statement has none."""


@dataclass(frozen=True, slots=True)
class SelectForm:
    """`query`: as it was given, where there was nothing to change. `by_place`: it asks for the `ctid` of rows, which
    those of a view do not have. `reads` False: the statement reads nothing, and the query only names its table.
    """

    query: str
    written: tuple[WrittenName, ...] = ()
    by_place: bool = False
    reads: bool = True


def select_form(query: str, tree: Tree, *, by_place: bool = True) -> SelectForm:
    """`tree`: of the text. `by_place`: ask for the `ctid` of rows that are changed. Raises NoSelectForm."""
    kind = tree.WhichOneof("node")
    statement = getattr(tree, kind).query if kind in _AROUND else tree
    inner = statement.WhichOneof("node")
    if inner != "select_stmt" and inner not in _WRITING:
        raise NoSelectForm(_UTILITY)
    form = _Form(by_place)
    made = form.of(_copy(statement))
    if kind == "prepare_stmt":  # it knows the types of its parameters
        around = _copy(tree)
        around.prepare_stmt.query.CopyFrom(made)
        made = around
    if made == tree:
        return SelectForm(query)
    return SelectForm(_text(made), tuple(form.written), form.has_places, form.reads)


class _Form:
    """One statement on its way."""

    def __init__(self, by_place: bool) -> None:
        self.by_place = by_place
        self.has_places = False
        self.reads = True
        self.written: list[WrittenName] = []

    def of(self, tree: Tree) -> Tree:
        """Of a whole statement, which may be changed."""
        kind = tree.WhichOneof("node")
        statement: Any = getattr(tree, kind)
        unasked = self._expressions(statement.with_clause, tree) if statement.HasField("with_clause") else []
        made = tree
        if kind != "select_stmt":
            selected = self._selected(tree)
            self.reads = selected is not None or bool(statement.with_clause.ctes)
            made = selected or _none_of(statement.relation)
            _prepend(made, statement.with_clause)
        if not made.select_stmt.with_clause.ctes:  # each wrote, and read nothing
            made.select_stmt.ClearField("with_clause")
        made.select_stmt.ClearField("into_clause")
        for node in trees.nodes(made):
            if node.HasField("select_stmt"):
                node.select_stmt.ClearField("locking_clause")  # it needs the right to write
        return _asking(made, unasked)

    def _expressions(self, clause: WithClause, tree: Tree) -> list[str]:
        """Common table expressions that write, as those that read. Names of those that nobody reads from: of a SELECT
        the server would not plan those.
        """
        from postgast.pg_query_pb2 import CTEMaterializeAlways

        unasked, kept = [], []
        for node in clause.ctes:
            item = node.common_table_expr
            if item.ctequery.WhichOneof("node") in _WRITING:
                is_asked = _is_named(item.ctename, tree)
                made = self._selected(item.ctequery, returning=is_asked)
                if made is None:
                    continue
                _prepend(made, getattr(item.ctequery, item.ctequery.WhichOneof("node")).with_clause)
                item.ctequery.CopyFrom(made)
                item.ctematerialized = CTEMaterializeAlways  # what writes is run once, and whole
                if not is_asked:
                    unasked.append(item.ctename)
            kept.append(_copy(node))
        del clause.ctes[:]
        clause.ctes.extend(kept)
        return unasked

    def _selected(self, tree: Tree, *, returning: bool = False) -> Tree | None:
        """Of one that writes, without its WITH. `returning`: with just the columns of its RETURNING, as others read
        from them. None: it reads nothing.
        """
        self.written += written_names(tree)
        kind = tree.WhichOneof("node")
        statement: Any = getattr(tree, kind)
        if kind == "insert_stmt":
            return _inserted(statement, returning=returning)
        alias = statement.relation.alias.aliasname or statement.relation.relname
        sources, where, read = [trees.table(statement.relation)], None, []
        if kind == "merge_stmt":
            sources = [_merged(statement)]
            read += statement.merge_when_clauses
        else:
            if statement.where_clause.HasField("current_of_expr"):
                raise NoSelectForm("it changes the row that a cursor stands on")
            sources += statement.from_clause if kind == "update_stmt" else statement.using_clause
            where = statement.where_clause if statement.HasField("where_clause") else None
            read += statement.target_list if kind == "update_stmt" else ()
        returned = _returned(statement)
        if returning:
            made = trees.select((), sources, where)
            made.select_stmt.target_list.extend(returned)
            for target in made.select_stmt.target_list:
                _rename(target, alias)
            return made
        # Of MERGE, names without a qualifier may mean either side.
        targets = _reads([*read, *returned], alias, qualified=kind == "merge_stmt")
        if self.by_place:
            self.has_places = True
            targets.insert(0, trees.column(alias, "ctid"))
        return trees.select(targets or [trees.integer(1)], sources, where)


def _inserted(statement: InsertStmt, *, returning: bool) -> Tree | None:
    """Its query; of VALUES the subqueries in them."""
    rows = statement.select_stmt if statement.HasField("select_stmt") else None
    if rows is not None and rows.select_stmt.values_lists:
        found = _reads([rows], "", columns=False)
        rows = trees.select(found) if found else None
    if not returning:
        return None if rows is None else _copy(rows)
    made = trees.select((), [] if rows is None else [trees.derived(rows, _ROWS)])
    made.select_stmt.target_list.extend(_returned(statement))
    for target in made.select_stmt.target_list:
        for node in trees.nodes(target, into_queries=False):
            names = trees.column_name(node)
            if names:
                node.CopyFrom(trees.field(statement.relation, names[-1]))
    return made


def _merged(statement: MergeStmt) -> Tree:
    """The join that MERGE makes: what is not matched is kept where something is done with it."""
    from postgast import pg_query_pb2 as pb

    kinds = {item.merge_when_clause.match_kind for item in statement.merge_when_clauses}
    keeps_source = pb.MERGE_WHEN_NOT_MATCHED_BY_TARGET in kinds
    keeps_target = pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE in kinds
    made = pb.Node()
    made.join_expr.jointype = {
        (False, False): pb.JOIN_INNER,
        (True, False): pb.JOIN_LEFT,
        (False, True): pb.JOIN_RIGHT,
        (True, True): pb.JOIN_FULL,
    }[keeps_source, keeps_target]
    made.join_expr.larg.CopyFrom(statement.source_relation)
    made.join_expr.rarg.CopyFrom(trees.table(statement.relation))
    made.join_expr.quals.CopyFrom(statement.join_condition)
    return made


def _returned(statement: Any) -> list[Tree]:
    """Copies of what stands behind RETURNING."""
    return [_copy(item) for item in statement.returning_clause.exprs]


def _none_of(relation: RangeVar) -> Tree:
    """`SELECT FROM relation LIMIT 0`, by which the server tells which table is meant."""
    from postgast.pg_query_pb2 import LIMIT_OPTION_COUNT

    made = trees.select((), [trees.table(relation)])
    made.select_stmt.limit_count.CopyFrom(trees.integer(0))
    made.select_stmt.limit_option = LIMIT_OPTION_COUNT
    return made


def _reads(parts: Iterable[Any], alias: str, *, columns: bool = True, qualified: bool = False) -> list[Tree]:
    """The columns and subqueries in expressions, each once. `alias`: of the table that is changed. `qualified`: only
    columns with their qualifier.
    """
    found: dict[object, Tree] = {}
    for part in parts:
        for node in trees.nodes(part, into_queries=False):
            names = trees.column_name(node)
            if node.HasField("sub_link"):
                found[len(found)] = _copy(node)
            elif node.HasField("multi_assign_ref"):
                if node.multi_assign_ref.colno == 1:
                    for name in _reads([node.multi_assign_ref.source.row_expr], alias, columns=columns):
                        found[len(found)] = name
                    if node.multi_assign_ref.source.HasField("sub_link"):
                        found[len(found)] = _row(node.multi_assign_ref.source)
            elif columns and len(names) > qualified:
                copy = _copy(node)
                _rename(copy, alias)
                found[trees.column_name(copy)] = copy
    return list(found.values())


def _row(link: Tree) -> Tree:
    """A subquery of several columns, as one of a single one."""
    rows = trees.derived(link.sub_link.subselect, _ROWS)
    return trees.sublink(trees.select([trees.column(_ROWS)], [rows]), exists=False)


def _rename(part: Tree, alias: str) -> None:
    """`old` and `new` of RETURNING are the table that is changed."""
    for node in trees.nodes(part):
        names = trees.column_name(node)
        if len(names) == 2 and names[0] in ("old", "new"):
            node.column_ref.fields[0].string.sval = alias


def _is_named(name: str, tree: Tree) -> bool:
    return any(node.HasField("range_var") and node.range_var.relname == name for node in trees.nodes(tree))


def _prepend(tree: Tree, clause: WithClause) -> None:
    if not clause.ctes:
        return
    own = list(tree.select_stmt.with_clause.ctes)
    is_recursive = clause.recursive or tree.select_stmt.with_clause.recursive
    tree.select_stmt.with_clause.CopyFrom(clause)
    tree.select_stmt.with_clause.ctes.extend(own)
    tree.select_stmt.with_clause.recursive = is_recursive


def _asking(tree: Tree, names: list[str]) -> Tree:
    """With a question to each of these common table expressions."""
    from postgast.pg_query_pb2 import SETOP_NONE

    if not names:
        return tree
    statement = tree.select_stmt
    if statement.op != SETOP_NONE or statement.values_lists:
        clause = _copy(statement.with_clause)
        statement.ClearField("with_clause")
        tree = trees.select([trees.column("*")], [trees.derived(tree, _ROWS)])
        tree.select_stmt.with_clause.CopyFrom(clause)
    for name in names:
        asked = trees.sublink(trees.select((), [trees.named(name)]), exists=True)
        tree.select_stmt.target_list.add().res_target.val.CopyFrom(asked)
    return tree


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _text(tree: Tree) -> str:
    from dbopt import grammar

    try:
        return grammar.deparse(tree)
    except Exception as exc:  # a tree that libpg_query reads and cannot write
        raise NoSelectForm("its rows cannot be asked for by a SELECT") from exc
