"""Conditions as the server prints them. No server: test_findings_scans.py has its own words."""

from __future__ import annotations

import pytest

from dbopt.workload.conditions import Condition, Kind, conditions, of_node
from dbopt.workload.finding import Column, Relation
from dbopt.workload.plan import Node


def _only(text: str, **how: object) -> Condition:
    [condition] = conditions(text, **how)  # type: ignore[arg-type]
    return condition


@pytest.mark.parametrize(
    ("text", "kind", "columns", "operator"),
    [
        ("((o.status)::text = $1)", Kind.EQUALITY, ("status",), "="),
        ("(a = ANY ($3))", Kind.EQUALITY, ("a",), "= ANY"),
        ("(a = ANY ('{1,2}'::integer[]))", Kind.EQUALITY, ("a",), "= ANY"),
        ("late", Kind.EQUALITY, ("late",), "="),
        ("(NOT o.late)", Kind.EQUALITY, ("late",), "="),
        ("(late IS TRUE)", Kind.EQUALITY, ("late",), "="),
        ("(late IS NOT TRUE)", Kind.OTHER, ("late",), None),
        ("($1 < a)", Kind.RANGE, ("a",), ">"),
        ("($1 >= a)", Kind.RANGE, ("a",), "<="),
        ("(ROW(o.a, o.b) > ROW($1, $2))", Kind.RANGE, ("a", "b"), ">"),
        ("(a <> $1)", Kind.OTHER, ("a",), "<>"),
        ("(name ~~ $2)", Kind.LIKE, ("name",), "~~"),
        ("((name)::text ~~* $2)", Kind.LIKE, ("name",), "~~*"),
        ("(name !~~ $2)", Kind.OTHER, ("name",), "!~~"),
        ("($1 ~~ name)", Kind.OTHER, ("name",), None),
        ("(c IS NULL)", Kind.NULL_TEST, ("c",), "IS NULL"),
        ("(c IS NOT NULL)", Kind.NULL_TEST, ("c",), "IS NOT NULL"),
        ("(tags @> $1)", Kind.CONTAINMENT, ("tags",), "@>"),
        ("($1 <@ tags)", Kind.CONTAINMENT, ("tags",), "@>"),
        ("($1 = ANY (tags))", Kind.OTHER, ("tags",), None),
        ("(lower((u.email)::text) = $1)", Kind.FUNCTION, ("email",), "="),
        ("(lower(a) <> $1)", Kind.OTHER, ("a",), "<>"),
        ("((a + b) > $1)", Kind.FUNCTION, ("a", "b"), ">"),
        ("((data ->> 'a'::text) = $1)", Kind.FUNCTION, ("data",), "="),
        ("(COALESCE(a, 0) = $1)", Kind.FUNCTION, ("a",), "="),
        ('((x COLLATE "C") = $1)', Kind.FUNCTION, ("x",), "="),
        ("((id)::numeric = $1)", Kind.CAST, ("id",), "="),
        ("((created_at)::date = $1)", Kind.CAST, ("created_at",), "="),
        ("((a = 1) OR (b = 2))", Kind.OTHER, ("a", "b"), None),
        ("(a.x = a.y)", Kind.OTHER, ("x", "y"), None),
        ("((o.*)::text = 'x'::text)", Kind.OTHER, (), None),
        ("($1 = 1)", Kind.OTHER, (), None),
        ("(a = (SubPlan 1))", Kind.OTHER, ("a",), None),
        ("(a = $0)", Kind.EQUALITY, ("a",), "="),
        ("(a = (InitPlan 1).col1)", Kind.EQUALITY, ("a",), "="),
    ],
)
def test_kinds(text: str, kind: Kind, columns: tuple[str, ...], operator: str | None) -> None:
    found = _only(text)
    assert (found.kind, found.columns, found.operator) == (kind, columns, operator)


def test_all_that_have_to_hold() -> None:
    found = conditions("((a = 1) AND ((b > 2) AND (c IS NULL)) AND (hashed SubPlan 1) AND (NOT (hashed SubPlan 2)))")
    assert [item.columns for item in found] == [("a",), ("b",), ("c",), (), ()]


@pytest.mark.parametrize(
    "text",
    [
        "(NOT (ANY (a = (hashed SubPlan 1).col1)))",
        "(alternatives: SubPlan 1 or hashed SubPlan 2)",
        "(ANY ((a = (SubPlan 1).col1) AND (b = (SubPlan 1).col2)))",
    ],
)
def test_what_only_plans_have(text: str) -> None:
    assert conditions(f"((x = $1) AND {text})")[0].kind is Kind.EQUALITY


@pytest.mark.parametrize("text", ["", "a = ", "a) OR (b", "a; DROP TABLE b", "\x00", "(" * 5000])
def test_what_cannot_be_read(text: str) -> None:
    assert conditions(text) == ()


def test_its_own_side() -> None:
    joined = "(o.customer_id = c.id)"
    assert (_only(joined).columns, _only(joined).qualifier) == (("customer_id",), "o")
    turned = _only(joined, alias="c")
    assert (turned.columns, turned.qualifier, turned.other_columns) == (("id",), "c", (("o", "customer_id"),))
    assert turned.is_join
    assert turned.other_side == "o.customer_id"
    assert not _only("(a = 1)").is_join
    assert _only("(c.id = o.a)", alias="x").kind is Kind.OTHER
    assert _only("((o.a + c.b) = $1)").kind is Kind.OTHER
    assert _only("(o.a < c.b)", alias="c").operator == ">"


def test_names_as_the_catalog_has_them() -> None:
    found = _only('("Odd ""x"."Na me" = $1)')
    assert (found.columns, found.qualifier, found.expression) == (("Na me",), 'Odd "x', '"Na me"')


def test_what_stands_around_a_column() -> None:
    found = _only("(lower((u.email)::text) = $1)")
    assert (found.function, found.expression, found.cast) == ("lower", "lower(email::text)", None)
    assert _only("(app.slug(o.name) = $1)").function == "app.slug"
    assert _only("(EXTRACT(year FROM a) = $1)").function == "extract"
    assert _only("((id)::bigint = $1)").cast == "bigint"


def test_patterns() -> None:
    assert _only("((name)::text ~~ '%a%'::text)").pattern == "%a%"
    assert _only("(name ~~ $1)").pattern is None
    assert _only("(name = 'a'::text)").pattern is None


@pytest.mark.parametrize(
    ("own", "target", "is_harmful"),
    [
        ("character varying", "text", False),
        ("character varying[]", "text[]", False),
        ("text", "character varying", False),
        ("cidr", "inet", False),
        ("character", "text", True),
        ("name", "text", True),
        ("citext", "text", True),
        ("integer", "text", True),
        ("integer", "numeric", True),
        ("text", "integer", True),
        ("timestamp without time zone", "date", True),
    ],
)
def test_casts(own: str, target: str, is_harmful: bool) -> None:
    found = _only(f"((a)::{target} = $1)", types={"a": own})
    assert (found.kind is Kind.CAST) is is_harmful
    assert found.cast == target


def test_of_a_scan() -> None:
    """A domain is what lies below it."""
    column = Column(name="a", attnum=1, type_name="code", base_type="character", has_statistics=True)
    relation = Relation(oid=1, schema="s", name="t", relkind="r", rows=1.0, size_bytes=0, columns=(column,), indexes=())
    raw = {"Node Type": "Seq Scan", "Alias": "t", "Filter": "((t.a)::text = o.b)"}
    node = Node(0, 0, raw, (), 1.0)
    [found] = of_node(node, relation)
    assert (found.kind, found.is_join) == (Kind.CAST, True)
    assert of_node(node, relation, "Index Cond") == ()
