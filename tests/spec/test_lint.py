"""Every code of lint: what brings it up, where it points, and what is close to it and fine."""

from __future__ import annotations

import ast
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from dbopt.spec import codes
from dbopt.spec.finding import Severity
from dbopt.spec.lint import lint
from dbopt.spec.methods import METHODS
from dbopt.spec.model import IndexSpec, SpecFile, SpecSet
from tests.spec.values import ALL_FIELDS, HEAD, collect, entry

TODAY = date(2026, 6, 1)
LONG = "ä" * 32  # 64 bytes
A_TO = "abcdefghijklmnopqrstuvwxyzABCDEFG"  # 33


def found(folder, text):
    specs, findings = collect(folder, text)
    assert findings == []
    return lint(specs, today=TODAY)


def whole(body: str) -> str:
    """A file with one index that has a reason to be there."""
    return entry(body + "\nwhy: tested")


def file(*entries: str) -> str:
    return HEAD + "indexes:\n" + "".join(f"  - {{{item}, why: tested}}\n" for item in entries)


class Case(NamedTuple):
    code: str
    severity: str
    place: tuple[int, int]
    words: str
    bad: str
    good: str


def case(code, severity, place, words, bad, good):
    """`bad` and `good`: lines of one entry, or a whole file."""
    return Case(code, severity, place, words, *(text if "spec:" in text else whole(text) for text in (bad, good)))


CASES = [
    case(
        "duplicate-name", "error", (5, 12), "twice",
        file("name: a, table: t, keys: x", "name: a, table: u, keys: x"),
        file("name: a, table: t, keys: x", "name: a, table: {schema: other, name: u}, keys: x"),
    ),
    case(
        "duplicate-name", "error", (5, 12), "twice",
        file("name: a, table: {schema: 'tenant_?', name: t}, keys: x", "name: a, table: u, schema: tenant_1, keys: x"),
        file("name: a, table: {schema: 'tenant_?', except: tenant_1, name: t}, keys: x",
             "name: a, table: u, schema: tenant_1, keys: x"),
    ),
    case(
        "names-meet", "error", (5, 12), "one name",
        file(f"name: {'x' * 63}a, table: t, keys: x", f"name: {'x' * 63}b, table: t, keys: y"),
        file(f"name: {'x' * 62}a, table: t, keys: x", f"name: {'x' * 62}b, table: t, keys: y"),
    ),
    case("name-too-long", "error", (4, 12), "64 bytes", file(f"name: {LONG}, table: t, keys: x"),
         file(f"name: {LONG[1:]}x, table: t, keys: x")),
    case("name-too-long", "error", (6, 12), "64 bytes", f"keys: [{LONG}]", f"keys: [{LONG[1:]}]"),
    case("name-too-long", "error", (7, 15), "1 too many", f"keys: a\ninclude: [{LONG}]", "keys: a\ninclude: [b]"),
    case("name-too-long", "error", (7, 10), "64 bytes", f"keys: a\nwas: {LONG}", "keys: a\nwas: b"),
    case("name-too-long", "error", (7, 13), "64 bytes", f"keys: a\nschema: {LONG}", "keys: a\nschema: b"),
    case("name-too-long", "error", (7, 17), "64 bytes", f"keys: a\ntablespace: {LONG}", "keys: a\ntablespace: b"),
    case("name-is-table", "error", (4, 12), "name of a table", file("name: t, table: t, keys: x"),
         file("name: t, table: u, keys: x")),
    case("leftover-name", "warning", (4, 12), "REINDEX", file("name: i_ccnew, table: t, keys: x"),
         file("name: i_ccnewer, table: t, keys: x")),
    case("leftover-name", "warning", (4, 12), "REINDEX", file("name: i_ccold12, table: t, keys: x"),
         file("name: ccold, table: t, keys: x")),
    case("was-own-name", "warning", (7, 5), "own name", "keys: a\nwas: [i, j]", "keys: a\nwas: [j]"),
    case(
        "was-conflict", "error", (5, 39), "wanted by",
        file("name: a, table: t, keys: x", "name: b, table: t, keys: y, was: a"),
        file("name: a, table: t, keys: x, was: a0", "name: b, table: t, keys: y, was: b0"),
    ),
    case(
        "was-conflict", "error", (5, 40), "wanted by",
        file("name: a, table: t, keys: x, was: [c]", "name: b, table: t, keys: y, was: [c]"),
        file("name: a, table: t, keys: x, was: [c]", "name: b, table: {schema: s, name: t}, keys: y, was: [c]"),
    ),
    case("name-looks-qualified", "info", (4, 22), "one table", file("name: a, table: s.t, keys: x"),
         file("name: a, table: {schema: s, name: t}, keys: x")),
    case("column-looks-like-expression", "info", (6, 12), "name of a column", "keys: [lower(a)]",
         "keys: [{expr: lower(a)}]"),
    case("column-looks-like-expression", "info", (6, 12), "name of a column", "keys: [created_at DESC]",
         "keys: [Total (EUR)]"),
    case("column-looks-like-expression", "info", (7, 15), "name of a column", "keys: a\ninclude: [data->>'x']",
         "keys: a\ninclude: [data-x]"),
    case("expr-is-column", "info", (6, 19), "just a column", "keys: [{expr: email}]", "keys: [{expr: lower(email)}]"),
    case("repeated-column", "warning", (6, 5), "comes twice", "keys: [a, b, a]", "keys: [a, b]"),
    case("repeated-column", "warning", (6, 5), "comes twice", "keys: [a]\ninclude: [a]", "keys: [a]\ninclude: [b]"),
    case("repeated-column", "warning", (6, 5), "comes twice", "keys: [a]\ninclude: [b, b]",
         "method: gist\nkeys: [{column: a, opclass: x_ops}, {column: a, opclass: y_ops}]"),
    case("unknown-method", "info", (7, 13), "none of PostgreSQL's own", "keys: a\nmethod: hnsw",
         "keys: a\nmethod: hash"),
    case("unknown-method", "error", (7, 13), "none of PostgreSQL's own", "keys: a\nmethod: BTREE",
         "keys: a\nmethod: btree"),
    case("too-many-columns", "error", (6, 5), "33 columns", f"keys: [{', '.join(A_TO)}]",
         f"keys: [{', '.join(A_TO[1:])}]"),
    case("too-many-columns", "error", (6, 5), "33 columns", f"keys: [{', '.join(A_TO[1:])}]\ninclude: z_",
         f"keys: [{', '.join(A_TO[2:])}]\ninclude: z_"),
    case("unknown-parameter", "error", (7, 23), "no storage parameter", "keys: a\nwith: {fillfctor: 70}",
         "keys: a\nwith: {FillFactor: 70}"),
    case("unknown-parameter", "error", (7, 24), "no storage parameter", "keys: a\nwith: {fastupdate: on}",
         "keys: a\nmethod: gin\nwith: {fastupdate: on}"),
    case(
        "duplicate-definition", "warning", (5, 25), "same definition",
        file("name: a, table: t, keys: [x], where: y   >  1",
             "name: b, table: t, keys: [{column: x, order: asc}], where: y>1"),
        file("name: a, table: t, keys: [x], where: y > 1", "name: b, table: t, keys: [x], where: y > 2"),
    ),
    case(
        "duplicate-definition", "warning", (5, 38), "same definition",
        file("name: a, table: t, method: gin, keys: [x, y]", "name: b, table: t, method: gin, keys: [x, y]"),
        file("name: a, table: t, method: gin, keys: [x, y]", "name: b, table: t, method: gin, keys: [y, x]"),
    ),
    case(
        "redundant-prefix", "warning", (4, 25), "its keys are the first of",
        file("name: a, table: t, keys: [x]", "name: b, table: t, keys: [x, y]"),
        file("name: a, table: t, keys: [y]", "name: b, table: t, keys: [x, y]"),
    ),
    case(
        "redundant-prefix", "warning", (4, 25), "its keys are the first of",
        file("name: a, table: t, keys: [x]", "name: b, table: t, keys: [x], unique: yes"),
        file("name: a, table: t, keys: [x], unique: yes", "name: b, table: t, keys: [x, y]"),
    ),
    case(
        "redundant-prefix", "warning", (4, 25), "its keys are the first of",
        file("name: a, table: t, keys: [x], include: [y]", "name: b, table: t, keys: [x, y]"),
        file("name: a, table: t, keys: [x], include: [z]", "name: b, table: t, keys: [x, y]"),
    ),
    case(
        "redundant-prefix", "warning", (4, 25), "its keys are the first of",
        file("name: a, table: t, keys: [{expr: lower(x)}]", "name: b, table: t, keys: [{expr: LOWER( x )}, y]"),
        file("name: a, table: t, keys: [{column: x, order: desc}]", "name: b, table: t, keys: [x, y]"),
    ),
    case("expression-syntax", "error", (6, 19), "syntax error", "keys: [{expr: 'lower('}]",
         "keys: [{expr: 'lower(a)'}]"),
    case("expression-syntax", "error", (6, 19), 'near ")" (character 2', "keys: [{expr: 'a), (b'}]",
         "keys: [{expr: '(a) + (b)'}]"),
    case("expression-syntax", "error", (7, 12), "", "keys: a\nwhere: 'a); DROP TABLE t; SELECT (1'",
         "keys: a\nwhere: a = ');'"),
    case("expression-syntax", "error", (7, 12), "character 11, before", "keys: a\nwhere: a = 1 AND )",
         "keys: a\nwhere: a = 1 -- b"),
    case("aggregate", "error", (6, 19), "aggregate max", "keys: [{expr: max(a)}]", "keys: [{expr: my.max(a)}]"),
    case("aggregate", "error", (7, 12), "aggregate f", "keys: a\nwhere: f(DISTINCT a) > 1", "keys: a\nwhere: f(a) > 1"),
    case("window-function", "error", (6, 19), "rank", "keys: [{expr: rank() OVER ()}]", "keys: [{expr: rank(a)}]"),
    case("subquery", "error", (7, 12), "subquery", "keys: a\nwhere: a IN (SELECT 1)", "keys: a\nwhere: a IN (1, 2)"),
    case("parameter", "error", (7, 12), "$1", "keys: a\nwhere: a = $1", "keys: a\nwhere: a = '$1'"),
    case("not-immutable", "error", (7, 12), "now()", "keys: a\nwhere: b > now()", "keys: a\nwhere: b > 'now()'"),
    case("not-immutable", "error", (7, 12), "current_date", "keys: a\nwhere: b > CURRENT_DATE",
         "keys: a\nwhere: current_day > b"),
    case("not-immutable", "error", (7, 12), "current_timestamp", "keys: a\nwhere: b > current_timestamp(3)",
         "keys: a\nwhere: b > my.now()"),
    case("not-immutable", "error", (6, 19), "random", "keys: [{expr: pg_catalog.random()}]", "keys: [{expr: abs(a)}]"),
    case("not-immutable", "warning", (6, 19), "concat", "keys: [{expr: 'concat(a, b)'}]", "keys: [{expr: a || b}]"),
    case("not-immutable", "error", (6, 19), "concat", "keys: [{expr: 'pg_catalog.concat(a)'}]",
         "keys: [{expr: x.concat(a)}]"),
    case("sql-syntax", "error", (6, 10), "one CREATE INDEX", "sql: DROP TABLE t", "sql: CREATE INDEX ON t (a)"),
    case("sql-syntax", "error", (6, 10), "found 2", "sql: CREATE INDEX i ON t (a); DROP TABLE t",
         "sql: CREATE INDEX i ON t (a);"),
    case("sql-other-table", "error", (6, 10), '"public.u"', "sql: CREATE INDEX i ON u (a)",
         "sql: CREATE INDEX i ON public.t (a)"),
    case("sql-other-table", "error", (6, 10), '"x.t"', "sql: CREATE INDEX i ON x.t (a)",
         "schema: x\nsql: CREATE INDEX i ON t (a)"),
    case("sql-other-name", "error", (6, 10), '"j"', "sql: CREATE INDEX j ON t (a)", "sql: CREATE INDEX i ON t (a)"),
    case("sql-on-only", "error", (6, 10), "ONLY", "sql: CREATE INDEX i ON ONLY t (a)", "sql: CREATE INDEX i ON t (a)"),
    case("sql-redundant-words", "info", (6, 10), "CONCURRENTLY", "sql: CREATE INDEX CONCURRENTLY i ON t (a)",
         "sql: CREATE INDEX i ON t (a)"),
    case("sql-redundant-words", "info", (6, 10), "IF NOT EXISTS", "sql: CREATE INDEX IF NOT EXISTS i ON t (a)",
         "sql: CREATE INDEX i ON t (a)"),
    case("not-immutable", "error", (6, 10), "now()", "sql: CREATE INDEX i ON t (a) WHERE b > now()",
         "sql: CREATE INDEX i ON t (a) WHERE b > 1"),
    case("sql-and-fields", "error", (7, 11), "`keys`", "sql: CREATE INDEX i ON t (a)\nkeys: a",
         "sql: CREATE INDEX i ON t (a)\nwas: j"),
    case("sql-and-fields", "error", (7, 5), "`with`", "sql: CREATE INDEX i ON t (a)\nwith: {fillfactor: 70}",
         "sql: CREATE INDEX i ON t (a) WITH (fillfactor = 70)"),
    case("no-definition", "error", (4, 5), "neither", "state: present", "state: absent"),
    case("no-definition", "error", (6, 5), "neither", "keys: []", "state: absent"),
    case("absent-with-definition", "warning", (7, 11), "`keys`", "state: absent\nkeys: a", "state: present\nkeys: a"),
    case("absent-with-definition", "warning", (7, 10), "`sql`", "state: absent\nsql: CREATE INDEX i ON t (a)",
         "state: absent"),
    case("guard-without-absent", "warning", (7, 5), "drops", "keys: a\nguard: {unused_for: 3d}",
         "state: absent\nguard: {unused_for: 3d}"),
    case("why-missing", "info", (4, 5), "`why`", entry("keys: a"), entry("keys: a\nwhy: because")),
    case("why-missing", "info", (4, 5), "`why`", entry("state: absent\nwhy: ' '"), entry("state: absent\nwhy: gone")),
    case("expired", "warning", (7, 14), "2026-05-31", "keys: a\nexpires: 2026-05-31", "keys: a\nexpires: 2026-06-01"),
    case("serves-syntax", "error", (7, 22), "syntax error", "keys: a\nserves: [{query: SELCT 1}]",
         "keys: a\nserves: [{query: SELECT 1}]"),
    case("serves-syntax", "error", (7, 22), "plans", "keys: a\nserves: [{query: DROP TABLE t}]",
         "keys: a\nserves: [{query: 'DELETE FROM t WHERE a = $1'}]"),
    case("leaf-missing", "error", (7, 24), "{leaf}", "keys: a\npartitions: {name: x}",
         "keys: a\npartitions: {name: 'x_{leaf}'}"),
]  # fmt: skip


@pytest.mark.parametrize("given", CASES, ids=lambda given: given.code)
def test_bad_and_good(tmp_path, given):
    findings = [finding for finding in found(tmp_path, given.bad) if finding.code == given.code]
    assert findings, "nothing was said"
    first = findings[0]
    assert (first.severity, (first.line, first.column)) == (given.severity, given.place)
    assert given.words in first.message
    assert first.index is not None
    assert first.file == str(tmp_path / "test.yaml")
    assert first.source == given.bad.splitlines()[given.place[0] - 1]
    assert "\n" not in first.message
    assert not first.message.endswith(".")
    assert first.hint is None or first.hint.endswith((".", "?"))
    assert given.code not in [finding.code for finding in found(tmp_path, given.good)]


ABILITIES = {
    "unique": ("keys: a\nunique: yes", (7, 13)),
    "included columns": ("keys: a\ninclude: b", (7, 14)),
    "several keys": ("keys: [a, b]", (6, 15)),
    "`order`": ("keys: [{column: a, order: asc}]", (6, 31)),
    "`nulls`": ("keys: [{column: a, nulls: last}]", (6, 31)),
}
# As test_methods_on_server.py has it from the server.
CAN = {
    "btree": {"unique", "included columns", "several keys", "`order`", "`nulls`"},
    "hash": set(),
    "gist": {"included columns", "several keys"},
    "spgist": {"included columns"},
    "gin": {"several keys"},
    "brin": {"several keys"},
    "hnsw": {"unique", "included columns", "several keys", "`order`", "`nulls`"},  # not for us to say
}


@pytest.mark.parametrize("method", CAN)
@pytest.mark.parametrize("ability", ABILITIES)
def test_what_a_method_can_do(tmp_path, method, ability):
    body, place = ABILITIES[ability]
    findings = [f for f in found(tmp_path, whole(f"{body}\nmethod: {method}")) if f.code == "method-cannot"]
    if ability in CAN[method]:
        assert findings == []
    else:
        (finding,) = findings
        assert finding.severity is Severity.ERROR
        assert ability in finding.message
        assert (finding.line, finding.column) == place


PARAMETERS = [
    *((method, "fillfactor", ("10", "100", "+70"), ("9", "101", "70.5", "x", "1_0", "٣٠", "")) for method in
      ("btree", "hash", "gist", "spgist")),
    ("btree", "deduplicate_items", ("on", "off", "no", "True", "0", "1"), ("maybe", "2", "''")),
    ("btree", "vacuum_cleanup_index_scale_factor", ("0", "0.5", "1e3", "10000000000"), ("-1", "nan", "1e11")),
    ("gist", "buffering", ("on", "off", "auto", "AUTO"), ("yes", "no", "1")),
    ("gin", "fastupdate", ("on", "no"), ("of", "x")),
    ("gin", "gin_pending_list_limit", ("64", "2147483647"), ("63", "2147483648", "1MB")),
    ("brin", "pages_per_range", ("1", "131072"), ("0", "131073")),
    ("brin", "autosummarize", ("yes",), ("x",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "name", "good", "bad"), PARAMETERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_storage_parameters(tmp_path, method, name, good, bad):
    for value in (*good, *bad):
        quoted = value if value == "''" else f'"{value}"'
        findings = found(tmp_path, whole(f"keys: a\nmethod: {method}\nwith: {{{name}: {quoted}}}"))
        assert [f.code for f in findings] == ([] if value in good else ["parameter-value"]), value
        assert all((f.line, f.column) == (8, 14 + len(name)) or value in ("", "''") for f in findings)


def test_every_parameter_was_tried():
    tried = {(method, name) for method, name, _, _ in PARAMETERS}
    assert tried == {(method, name) for method, traits in METHODS.items() for name in traits.parameters}


def test_nothing_is_wrong_with_the_whole_format(tmp_path):
    assert found(tmp_path, ALL_FIELDS) == []


def test_redundancy_is_told_once_and_names_the_other(tmp_path):
    text = file(
        "name: a, table: t, keys: [x]",
        "name: b, table: t, keys: [x, y]",
        "name: c, table: t, keys: [x, y, z]",
        "name: d, table: t, keys: [x]",
        "name: e, table: other, keys: [x]",
        "name: f, table: t, keys: [x, y], state: absent",
    )
    said = [
        (f.index, f.code, f.message) for f in found(tmp_path, text) if "redundant" in f.code or "definition" in f.code
    ]
    path = tmp_path / "test.yaml"
    assert said == [
        ("a", "redundant-prefix", f'its keys are the first of "b" ({path}:5)'),
        ("b", "redundant-prefix", f'its keys are the first of "c" ({path}:6)'),
        ("d", "duplicate-definition", f'the same definition as "a" ({path}:4)'),
        ("f", "absent-with-definition", "an absent index needs no `keys`"),
    ]


def test_findings_stand_in_the_order_of_the_file(tmp_path):
    text = file("name: z, table: t.t, keys: [lower(x)], where: now() > (select 1)", "name: y, table: t, state: present")
    places = [(f.line, f.column) for f in found(tmp_path, text)]
    assert places == sorted(places)
    assert len(places) == 5


def test_a_value_made_by_hand_has_no_place():
    index = IndexSpec.model_validate({"name": "i\0", "table": {"schema": "s", "name": "t"}, "keys": ["a"]})
    findings = lint(SpecSet(files=(SpecFile(spec=1, domain="d", indexes=(index,)),)))
    assert [(f.code, f.file, f.line, f.source) for f in findings] == [
        ("nul-character", None, None, None),
        ("why-missing", None, None, None),
    ]


def test_every_code_has_a_sentence_and_a_case():
    assert {given.code for given in CASES} | {
        "method-cannot",
        "parameter-value",
        "nul-character",
    } == set(codes.LINT)
    assert all(sentence.endswith(".") and sentence[0] in sentence[0].upper() + "`" for sentence in codes.CODES.values())
    assert all(code == code.lower() and " " not in code and "_" not in code for code in codes.CODES)
    assert not set(codes.LOADER) & set(codes.LINT)


def test_every_code_of_the_registry_is_in_use():
    folder = Path(str(codes.__file__)).parent
    trees = [ast.parse(module.read_text()) for module in folder.rglob("*.py") if module.name != "codes.py"]
    literals = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(codes.LOADER | codes.LINT) <= literals  # the others: test_codes.py
