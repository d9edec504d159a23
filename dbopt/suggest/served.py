"""The statements that an index is there for, as a spec may have them: SQL without anybody's values.

What is expected of a plan is said only where the text is planned as the statement was. The generic plan of
`status = $1` cannot use an index WHERE status = 'open', so the predicate's own constant, which the index has anyhow,
stays in the text, as do the constants of its expressions and those of LIMIT and OFFSET. Whatever else is compared for
equality makes no difference; a range or a pattern for any value may be planned in another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import normalized
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dbopt.suggest.model import Candidate, Item

    Tree = Any  # messages of the grammar, of several types

_PLANNED = ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")
_MARK = "dbopt_constant_{}_"  # stands for a constant that stays
_VALUES = ("ival", "fval", "sval", "bsval")  # true, false and NULL are nobody's data
# Where a block of a statement, or a join, says which rows it wants.
_PLACES = ("where_clause", "quals", "join_condition")
_EXPRESSIONS = ("func_call", "a_expr", "coalesce_expr", "type_cast")
_Form = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """`is_exact`: what the planner does with the text, as far as the index goes, it does with the statement."""

    query: str
    is_exact: bool


def served(item: Item, candidate: Candidate, explained: str | None = None) -> Served | None:
    """`explained`: what the planner was given, where that is another text. None: there is none fit for a spec."""
    shown = next((text for text in (item.shown, explained) if text is not None and _may_be_shown(text)), None)
    tree = _tree(item.query)
    if tree is None:
        return None if shown is None else Served(shown, is_exact=False)
    if shown is not None and len(_values(tree)) == len(_values(_tree(shown))):
        return Served(shown, is_exact=True)
    predicate = {_form(part) for part in _conjuncts(_expression(candidate.where))}
    expressions = {_form(part) for key in candidate.keys if (part := _expression(key.expression)) and _values(part)}
    conditions = list(_conditions(tree))
    met = [(form, part) for part in conditions if (form := _form(part)) in predicate]
    for part in _nodes(tree, _EXPRESSIONS) if expressions else ():
        if (form := _form(part)) in expressions:
            met.append((form, part))
    # How many rows are asked for is nobody's data.
    kept = {place for _, part in met for place in _values(part)} | set(_limits(tree))
    text = _with_values(item.query, kept) if kept or shown is None else shown
    if text is None:
        return None if shown is None else Served(shown, is_exact=False)
    decisive = {place for part in (*conditions, *_limit_trees(tree)) for place in _values(part)}
    indifferent = {place for part in conditions for place in _compared(part, kept)}
    is_met = {form for form, _ in met} == predicate | expressions
    return Served(text, is_exact=is_met and decisive <= kept | indifferent)


def _may_be_shown(text: str) -> bool:
    """Whether it is SQL that can be planned, as normalized as it can be."""
    return _tree(text) is not None and " ".join(normalized(text).split()) == " ".join(text.split())


def _tree(text: str) -> Tree | None:
    try:
        tree = grammar.parse_one(text)
    except GrammarError:
        return None
    return tree if tree.WhichOneof("node") in _PLANNED else None


def _expression(text: str) -> Tree | None:
    try:
        return grammar.parse_expression(text) if text else None
    except GrammarError:
        return None


def _values(tree: Tree | None) -> list[int]:
    """Where in the text its constants stand."""
    import postgast
    from postgast.pg_query_pb2 import A_Const

    if tree is None:
        return []
    found = postgast.find_nodes(tree, A_Const)
    return [node.location for node in found if any(node.HasField(name) for name in _VALUES)]


def _conditions(tree: Tree) -> Iterator[Tree]:
    """Those that have to hold all together, of all blocks and joins."""
    import postgast

    for _, node in postgast.walk(tree):
        for name in _PLACES:
            if name in node.DESCRIPTOR.fields_by_name and node.HasField(name):
                yield from _conjuncts(getattr(node, name))


def forms(text: str) -> frozenset[_Form]:
    """The conditions of a predicate, or an expression, so that they are equal where two spellings mean the same; none
    of what cannot be read.
    """
    return frozenset(map(_form, _conjuncts(_expression(text))))


def _conjuncts(tree: Tree | None) -> Iterator[Tree]:
    from postgast.pg_query_pb2 import AND_EXPR

    if tree is None:
        return
    if tree.HasField("bool_expr") and tree.bool_expr.boolop == AND_EXPR:
        for part in tree.bool_expr.args:
            yield from _conjuncts(part)
    else:
        yield tree


def _nodes(tree: Tree, kinds: Collection[str]) -> Iterator[Tree]:
    parts = [tree]
    while parts:
        part = parts.pop(0)
        if part.DESCRIPTOR.name == "Node" and part.WhichOneof("node") in kinds:
            yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts.extend(value if field.is_repeated else (value,))


def _limits(tree: Tree) -> list[int]:
    """Where the numbers of LIMIT and OFFSET stand, if they are no more than numbers."""
    numbers = (part.a_const for part in _limit_trees(tree) if part.HasField("a_const"))
    return [number.location for number in numbers if number.HasField("ival")]


def _limit_trees(tree: Tree) -> Iterator[Tree]:
    import postgast
    from postgast.pg_query_pb2 import SelectStmt

    for select in postgast.find_nodes(tree, SelectStmt):
        yield from (select.limit_count, select.limit_offset)


def _compared(tree: Tree, kept: Collection[int]) -> list[int]:
    """What a column or an expression of the index is compared with for equality, or the members of a list."""
    if _form(tree)[0] not in ("any", "=") or not tree.HasField("a_expr"):
        return []
    sides = [[place for place in _values(side) if place not in kept] for side in (tree.a_expr.lexpr, tree.a_expr.rexpr)]
    return sides[0] + sides[1] if not all(sides) else []


def _form(tree: Tree) -> _Form:
    """A condition in one form for the spellings of people and of the server: without qualifiers and casts."""
    from postgast import pg_query_pb2 as pb

    kind = tree.WhichOneof("node")
    match kind:
        case "type_cast":
            return _form(tree.type_cast.arg)
        case "column_ref" if tree.column_ref.fields[-1].HasField("string"):
            return ("column", tree.column_ref.fields[-1].string.sval)
        case "a_const":
            value = tree.a_const
            name = value.WhichOneof("val")
            return ("value", str(getattr(getattr(value, name), name)) if name else None)
        case "null_test":
            return ("null", tree.null_test.nulltesttype, _form(tree.null_test.arg))
        case "boolean_test" if tree.boolean_test.booltesttype in (pb.IS_TRUE, pb.IS_FALSE):
            arg = _form(tree.boolean_test.arg)
            return arg if tree.boolean_test.booltesttype == pb.IS_TRUE else ("not", arg)
        case "bool_expr" if tree.bool_expr.boolop == pb.NOT_EXPR:
            return ("not", _form(tree.bool_expr.args[0]))
        case "func_call":
            names = [part.string.sval for part in tree.func_call.funcname if part.string.sval != "pg_catalog"]
            return ("call", *names, *map(_form, tree.func_call.args))
        case "coalesce_expr":
            return ("coalesce", *map(_form, tree.coalesce_expr.args))
        case "a_expr":
            return _comparison(tree.a_expr)
    return ("text", tree.SerializeToString())


def _comparison(tree: Tree) -> _Form:
    from postgast import pg_query_pb2 as pb

    operator = tree.name[-1].string.sval
    if not tree.HasField("lexpr"):
        return (operator, _form(tree.rexpr))
    left, right = _form(tree.lexpr), tree.rexpr
    if tree.kind == pb.AEXPR_IN and operator == "=":
        return ("any", left, frozenset(map(_form, right.list.items)))
    while right.HasField("type_cast"):
        right = right.type_cast.arg
    if tree.kind == pb.AEXPR_OP_ANY and operator == "=" and right.HasField("a_array_expr"):
        return ("any", left, frozenset(map(_form, right.a_array_expr.elements)))
    if right.HasField("list"):  # BETWEEN
        return (tree.kind, operator, left, *map(_form, right.list.items))
    if operator == "=" and right.HasField("a_const") and right.a_const.HasField("boolval"):
        return left if right.a_const.boolval.boolval else ("not", left)
    return (operator if tree.kind == pb.AEXPR_OP else (tree.kind, operator), left, _form(right))


def _with_values(query: str, kept: Collection[int]) -> str | None:
    """The statement normalized, but for the constants at these places. None: it cannot be written so."""
    tree = grammar.parse_one(query)
    values: dict[str, str] = {}
    for node in _constant_nodes(tree, kept):
        name = _MARK.format(len(values))
        values[name] = grammar.expression_text(node)
        node.Clear()
        node.column_ref.fields.add().string.sval = name
    try:
        text = normalized(grammar.deparse(tree))
    except Exception:  # noqa: BLE001 - a tree that libpg_query reads and cannot write
        return None
    for name, value in values.items():
        text = text.replace(name, value)
    return text if _tree(text) is not None else None


def _constant_nodes(tree: Tree, kept: Collection[int]) -> list[Tree]:
    """Those at these places, as nodes that can be changed."""
    found = [part for part in _nodes(tree, ("a_const",)) if part.a_const.location in kept]
    return sorted(found, key=lambda part: part.a_const.location)
