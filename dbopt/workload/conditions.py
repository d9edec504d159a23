"""What the conditions of a plan say: `Filter`, `Index Cond`, `Join Filter` and their like, read by its own grammar.

The server prints them with every cast and operator spelled out: `((o.status)::text = $1)`, `(name ~~ $2)`. What its
plans alone can hold, as `(SubPlan 1)`, is read as something that is no column; what cannot be read gives no Condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import A_Expr, TypeName
    from postgast.pg_query_pb2 import Node as Tree

    from dbopt.workload.finding import Relation
    from dbopt.workload.plan import Node


class Kind(StrEnum):
    EQUALITY = "equality"  # =, = ANY, a boolean column by itself
    RANGE = "range"  # <, <=, >, >=, of a row too
    LIKE = "like"  # LIKE, ILIKE, regular expressions, ^@; what is denied (NOT LIKE) is OTHER
    NULL_TEST = "null-test"
    CONTAINMENT = "containment"  # @>, <@, &&, ?, @@ and others that GIN and GiST know
    FUNCTION = "function"  # a function, or any expression, of columns is compared with something
    CAST = "cast"  # of a column to a type whose comparison no index on the column knows
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Condition:
    """One of those that have to hold all together. Its own side is the one with the columns, on whichever it stands;
    of two with columns, the left one, or that of the table asked for.

    `columns`: of its own side, as the catalog has them. `qualifier`: the alias in front of them, if all have the same.
    `expression`: its own side as SQL without qualifiers, as an index could have it. `operator`: as if its own side were
    on the left; `= ANY` for lists. `function`: that which is called on the column, None for other expressions. `cast`:
    to what a column is cast, harmful or not. `other_side`: as SQL; it may hold literals. `other_columns`: of the other
    side, as (qualifier, column): a join. `pattern`: of LIKE, where it is known. `arms`: of an OR, what its sides say.
    """

    kind: Kind
    columns: tuple[str, ...]
    qualifier: str | None
    expression: str
    operator: str | None = None
    function: str | None = None
    cast: str | None = None
    other_side: str = ""
    pattern: str | None = None
    other_columns: tuple[tuple[str | None, str], ...] = ()
    arms: tuple[Condition, ...] = ()

    @property
    def is_join(self) -> bool:
        return bool(self.other_columns)


# Operators as if turned round: `$1 < a` is `a > $1`. Those that look alike from both sides stand for themselves.
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "@>": "<@", "<@": "@>", "=": "=", "<>": "<>", "&&": "&&"}
_RANGES = ("<", "<=", ">", ">=")
_LIKES = ("~~", "~~*", "~", "~*", "^@")
_CONTAINMENTS = ("@>", "<@", "&&", "?", "?|", "?&", "@@", "@?", "@@@", "%", "<%", "%>", "<<", ">>", "-|-", "<->")
# Casts that change no more than a type's name, and so keep the operators that an index knows: binary-coercible by
# pg_cast, and in one operator family. Not so character(n) and name to text, nor integer to oid.
_NAMES_ONLY = {
    ("character varying", "text"),
    ("text", "character varying"),
    ("cidr", "inet"),
    *((name, "oid") for name in ("regclass", "regnamespace", "regproc", "regprocedure", "regrole", "regtype")),
}
# As format_type writes what the grammar knows by its internal name.
_TYPE_NAMES = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "varbit": "bit varying",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
}
# Of a plan alone, not of SQL: the result of an InitPlan is like a parameter, any other is not known beforehand.
_INIT_PLAN = re.compile(r"\(InitPlan \d+\)\.col\d+")
_SUB_PLAN = re.compile(r"\((?:alternatives: )?(?:hashed )?SubPlan \d+(?: or (?:hashed )?SubPlan \d+)*\)(?:\.col\d+)?")
SUB_PLAN_CALL = "dbopt_subplan()"  # stands for it in the trees
_SUB_TEST = re.compile(r"(?<=\()(?:ANY|ALL|ROWCOMPARE) (?=\()")


def conditions(text: str, *, alias: str | None = None, types: Mapping[str, str] | None = None) -> tuple[Condition, ...]:
    """A conjunction gives one each. None for what cannot be read.

    `alias`: of the table that it is asked about, where two tables may meet. `types`: of its columns, as format_type
    writes them; where one is not known, a cast to text or character varying is taken to be harmless.
    """
    return _conditions(text, alias, tuple(sorted((types or {}).items())))


@lru_cache(maxsize=4096)
def _conditions(text: str, alias: str | None, types: tuple[tuple[str, str], ...]) -> tuple[Condition, ...]:
    """Of thousands of plans of a few statements, the same ones over and over."""
    known = dict(types)
    return tuple(_condition(part, alias, known) for part in parts(text))


def of_node(node: Node, relation: Relation | None, name: str = "Filter") -> tuple[Condition, ...]:
    """Those of a scan, about its table: `name` is Filter, Index Cond, Recheck Cond."""
    text = node.raw.get(name)
    if text is None:
        return ()
    types = {} if relation is None else {item.name: item.base_type or item.type_name for item in relation.columns}
    return conditions(str(text), alias=node.alias, types=types)


@lru_cache(maxsize=256)
def parts(text: str) -> tuple[Tree, ...]:
    """The trees of a conjunction, of which conditions() makes one Condition each; several look at the same."""
    from dbopt import grammar

    if "Plan " in text:
        text = _SUB_TEST.sub("NOT ", _SUB_PLAN.sub(f"({SUB_PLAN_CALL})", _INIT_PLAN.sub("$0", text)))
    try:
        return tuple(_conjuncts(grammar.parse_expression(text)))
    except grammar.GrammarError:
        return ()


def _conjuncts(tree: Tree) -> Iterator[Tree]:
    if tree.HasField("bool_expr") and _is_bool(tree, "AND_EXPR"):
        for part in tree.bool_expr.args:
            yield from _conjuncts(part)
    else:
        yield tree


def _is_bool(tree: Tree, name: str) -> bool:
    from postgast import pg_query_pb2

    return bool(tree.bool_expr.boolop == getattr(pg_query_pb2, name))


@dataclass(frozen=True, slots=True)
class _Side:
    tree: Tree
    columns: tuple[tuple[str | None, str], ...]

    @classmethod
    def of(cls, tree: Tree) -> _Side:
        return cls(tree, tuple(dict.fromkeys(references(tree))))

    def is_of(self, alias: str) -> bool:
        return bool(self.columns) and all(qualifier in (None, alias) for qualifier, _ in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.columns))

    @property
    def qualifier(self) -> str | None:
        found = {qualifier for qualifier, _ in self.columns}
        return found.pop() if len(found) == 1 else None


def _condition(tree: Tree, alias: str | None, types: Mapping[str, str]) -> Condition:
    truth = _truth(tree)
    if truth is not None:
        column, value = truth
        return _made(Kind.EQUALITY, _Side.of(column), "=", other_side=value)
    if tree.HasField("null_test"):
        from postgast import pg_query_pb2

        side = _Side.of(tree.null_test.arg)
        operator = "IS NULL" if tree.null_test.nulltesttype == pg_query_pb2.IS_NULL else "IS NOT NULL"
        kind, function, cast = _own(side.tree, types)
        return _made(Kind.NULL_TEST if kind is None else kind, side, operator, function=function, cast=cast)
    if tree.HasField("a_expr"):
        found = _comparison(tree.a_expr, alias, types)
        if found is not None:
            return found
    arms: tuple[Condition, ...] = ()
    if tree.HasField("bool_expr") and _is_bool(tree, "OR_EXPR"):
        arms = tuple(_condition(arm, alias, types) for arm in tree.bool_expr.args)
    return _made(Kind.OTHER, _Side.of(tree), None, arms=arms)


def _truth(tree: Tree) -> tuple[Tree, str] | None:
    """A boolean column that has to be true, or false."""
    from postgast import pg_query_pb2

    if _is_column(tree):
        return tree, "true"
    if tree.HasField("bool_expr") and _is_bool(tree, "NOT_EXPR") and _is_column(tree.bool_expr.args[0]):
        return tree.bool_expr.args[0], "false"
    if tree.HasField("boolean_test") and _is_column(tree.boolean_test.arg):
        values = {pg_query_pb2.IS_TRUE: "true", pg_query_pb2.IS_FALSE: "false"}
        value = values.get(tree.boolean_test.booltesttype)
        return None if value is None else (tree.boolean_test.arg, value)
    return None


def _comparison(tree: A_Expr, alias: str | None, types: Mapping[str, str]) -> Condition | None:
    from postgast import pg_query_pb2

    if not tree.HasField("lexpr") or tree.kind not in (pg_query_pb2.AEXPR_OP, pg_query_pb2.AEXPR_OP_ANY):
        return None
    operator = tree.name[-1].string.sval
    is_any = tree.kind == pg_query_pb2.AEXPR_OP_ANY
    own, other = _Side.of(tree.lexpr), _Side.of(tree.rexpr)
    is_turned = other.is_of(alias) and not own.is_of(alias) if alias is not None else not own.columns
    if is_turned:
        if operator not in _TURNED or is_any:
            return None
        own, other, operator = other, own, _TURNED[operator]
    # Of the same table on both sides no index can help; nor where its own side holds others' columns, or what it is
    # compared with is another thing for each row.
    if not own.columns or own.qualifier in {qualifier for qualifier, _ in other.columns}:
        return None
    if SUB_PLAN_CALL in sql_text(other.tree):
        return None
    if len({qualifier for qualifier, _ in own.columns}) > 1 or (alias is not None and not own.is_of(alias)):
        return None
    kind, function, cast = _own(own.tree, types)
    if kind is None:
        kind = _kind(operator, is_any)
    elif _kind(operator, is_any) is Kind.OTHER:  # `lower(a) <> $1`: no index would find it
        kind = Kind.OTHER
    pattern = _string(other.tree) if operator in _LIKES else None
    return _made(
        kind,
        own,
        f"{operator} ANY" if is_any else operator,
        function=function,
        cast=cast,
        other_side=sql_text(other.tree),
        pattern=pattern,
        other_columns=other.columns,
    )


def _kind(operator: str, is_any: bool) -> Kind:
    if operator == "=":
        return Kind.EQUALITY
    if operator in _LIKES:
        return Kind.LIKE
    if is_any:
        return Kind.OTHER
    return Kind.RANGE if operator in _RANGES else Kind.CONTAINMENT if operator in _CONTAINMENTS else Kind.OTHER


def _own(tree: Tree, types: Mapping[str, str]) -> tuple[Kind | None, str | None, str | None]:
    """What stands around the column: the kind that this makes of the condition (None: nothing that matters), the
    function, the cast.
    """
    if _is_column(tree) or (tree.HasField("row_expr") and all(map(_is_column, tree.row_expr.args))):
        return None, None, None
    if tree.HasField("type_cast"):
        inside, target = tree.type_cast.arg, type_name(tree.type_cast.type_name)
        kind, function, _ = _own(inside, types)
        if not _is_column(inside):
            return kind or Kind.CAST, function, target
        source = types.get(_name(inside))
        is_harmless = target in ("text", "character varying") if source is None else _same_operators(source, target)
        return None if is_harmless else Kind.CAST, None, target
    if tree.HasField("func_call"):
        names = [part.string.sval for part in tree.func_call.funcname]
        return Kind.FUNCTION, ".".join(names[1:] if names[0] == "pg_catalog" else names), None
    if tree.HasField("coalesce_expr"):
        return Kind.FUNCTION, "coalesce", None
    return Kind.FUNCTION, None, None


def _same_operators(source: str, target: str) -> bool:
    if source.endswith("[]") and target.endswith("[]"):  # arrays are compared by their elements
        source, target = source[:-2], target[:-2]
    return source == target or (source, target) in _NAMES_ONLY


def type_name(tree: TypeName) -> str:
    """As format_type writes it, without modifiers."""
    names = [part.string.sval for part in tree.names]
    last = _TYPE_NAMES.get(names[-1], names[-1]) if len(names) == 1 or names[0] == "pg_catalog" else ".".join(names)
    return last + ("[]" if tree.array_bounds else "")


def _made(kind: Kind, side: _Side, operator: str | None, **more: object) -> Condition:
    return Condition(kind, side.names, side.qualifier, sql_text(unqualified(side.tree)), operator, **more)  # type: ignore[arg-type]


def _is_column(tree: Tree) -> bool:
    return bool(tree.HasField("column_ref") and tree.column_ref.fields[-1].HasField("string"))


def _name(tree: Tree) -> str:
    name: str = tree.column_ref.fields[-1].string.sval
    return name


def references(tree: Tree) -> Iterator[tuple[str | None, str]]:
    """Every column, as (qualifier, name); a whole row is none."""
    import postgast
    from postgast.pg_query_pb2 import ColumnRef

    for found in postgast.find_nodes(tree, ColumnRef):
        if found.fields[-1].HasField("string"):
            yield (found.fields[-2].string.sval if len(found.fields) > 1 else None), found.fields[-1].string.sval


def unqualified(tree: Tree) -> Tree:
    import postgast
    from postgast.pg_query_pb2 import ColumnRef
    from postgast.pg_query_pb2 import Node as Message

    copy = Message()
    copy.CopyFrom(tree)
    for found in postgast.find_nodes(copy, ColumnRef):
        del found.fields[:-1]
    return copy


def _string(tree: Tree) -> str | None:
    """The value of a text constant."""
    while tree.HasField("type_cast"):
        tree = tree.type_cast.arg
    is_string = tree.HasField("a_const") and tree.a_const.HasField("sval")
    return tree.a_const.sval.sval if is_string else None


def sql_text(tree: Tree) -> str:
    """Empty where it cannot be written."""
    from dbopt import grammar

    try:
        return grammar.expression_text(tree)
    except Exception:  # noqa: BLE001 - a tree that libpg_query reads and cannot write
        return ""
