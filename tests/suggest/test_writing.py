"""Reports as index specs: new files, and changes in files that are there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.errors import Error
from dbopt.postgres.normalized import normalized
from dbopt.spec.lint import lint
from dbopt.spec.load import load
from dbopt.suggest.model import Candidate, Evidence, Helped, Item, Key, Report, Suggestion, WriteCost
from dbopt.suggest.served import served
from dbopt.suggest.writing import Updated, entries, new_file, update
from tests.suggest import reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server import Database

    from dbopt.spec.model import IndexSpec, SpecFile

# As dbopt writes it, the whole of it: people review this text.
WRITTEN = """\
# yaml-language-server: $schema=./index-spec.v1.json
# shop; the last 58 min
# Suggested by dbopt suggest: read each `why`, and take out what you do not want.
# Costs: estimates of PostgreSQL's planner with HypoPG 1.3.1; of one call, without the list and with all of it.
# `dbopt plan` with this file shows what would be done, `dbopt optimize` does it.
# Indexes that dbopt has not made are dropped only with --prune-foreign.
spec: 1
domain: shop
defaults: {schema: public}

indexes:
  - name: orders_customer_id_created_at_idx
    table: orders
    keys: [customer_id, {column: created_at, order: desc}]
    include: [id, status]
    why: >-
      Finds the rows of one customer_id; has them in the order of created_at, so that nothing is
      sorted; includes id and status, so that the table need not be read. Helps 2 statements
      (queryids 1111, 22, -23): all calls cost 17,252,490 -> 11,230, worth 61 % of the workload's
      cost, by the planner's estimates. Size about 21MB, built in some 3.2 s; the workload's writes
      would cost 12,300 entries, 1.2MB of WAL, 30 updates no longer HOT. To know: updates of its
      columns are HOT no longer, so that they write to every index; it takes a tenth of its table's
      size, or more.
    serves:
      # queryid 1111: 1,200 calls, cost 13,402 -> 8.44
      - query: SELECT id, status FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2
        expect: {uses: yes, no_sort: yes}
      # queryids 22, -23: 90 calls, cost 13,001 -> 12.2
      - query: SELECT count(*) FROM orders WHERE customer_id = $1
        expect: {uses: yes}
    priority: 1

  - name: users_lower_email_idx
    table: {schema: crm, name: users}
    keys: [{expr: lower((email)::text)}]
    why: >-
      Finds the rows of one lower((email)::text). Helps 1 statement (queryid 4444): all calls cost
      482,400 -> 9,960, worth 20 % of the workload's cost, by the planner's estimates. Size about
      3MB, built in some 400 ms; the workload's writes would cost 14 entries, 2000B of WAL. To know:
      the planner knows its expression only after ANALYZE, which dbopt optimize runs.
    serves:
      # queryid 4444: 1,200 calls, cost 402 -> 8.3
      - query: SELECT * FROM crm.users WHERE lower(email) = $1
        expect: {uses: yes}
    priority: 2

  - name: orders_shop_id_idx
    table: orders
    keys: [shop_id]
    where: status = 'open'::text
    why: >-
      Finds the rows of one shop_id; holds only the rows where (status = 'open'::text). Helps 1
      statement: all calls cost 15,600 -> 120, worth 8 % of the workload's cost, by the planner's
      estimates. Size about 176kB; nobody wrote to its table. To know: its statements were seen less
      than ten times.
    serves:
      # statement 3 of the file: 3 calls, cost 5,200 -> 40
      - query: SELECT * FROM orders o WHERE o.status = 'open' AND o.region = $1 AND o.shop_id = $2
        expect: {uses: yes}
    priority: 3

  - name: docs_body_trgm_idx
    table: docs
    method: gin
    keys: [{column: body, opclass: gin_trgm_ops}]
    needs: {extension: pg_trgm}
    why: >-
      Searches body: a GIN index knows what each value consists of, which no btree does. Helps 1
      statement (queryid 5555): all calls cost 1,080,000 -> 36,000, worth < 0.1 % of the workload's
      cost, as dbopt reckons from statistics. Size not known; the workload's writes would cost 1
      entry, 900B of WAL. To know: no planner has seen it: its costs are reckoned from statistics.
    serves:
      # queryid 5555: 1,200 calls, cost 900 -> 30
      - query: SELECT id FROM docs WHERE body LIKE $1
    priority: 4

  - name: orders_note_idx
    table: orders
    state: absent
    why: >-
      Not used: no scan in the 62 d 3 h since the statistics began. It takes 100MB. All statements
      were planned without it, and none costs more (HypoPG's hide function).
    guard: {unused_for: '7d'}

  - name: orders_customer_id_idx
    table: orders
    state: absent
    why: >-
      The suggested indexes do all that it did: orders_customer_id_created_at_idx begins with its
      columns. It takes 10.5MB. Not proved by a plan without it.

# Extended statistics are no indexes: run these by hand, if the estimates are to be mended.
#
# city = $1 AND zip = $2 is estimated at 3 rows, and statistics of both together say 900.
# CREATE STATISTICS "public"."orders_city_zip_stat" (dependencies, mcv) ON "city", "zip" FROM "public"."orders";
# ANALYZE "public"."orders";
"""
FULL = replace(reports.FULL, hypopg_version="1.3.1")


def read(folder: Path, text: str) -> SpecFile:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    specs = load([path])
    assert lint(specs) == []
    [file] = specs.files
    return file


def report(*suggestions: Suggestion, **more: Any) -> Report:
    return replace(reports.NOTHING, outcomes=(), suggestions=suggestions, **more)


def suggestion(candidate: Candidate, name: str = "i", *helped: Helped, **more: Any) -> Suggestion:
    given = {"benefit": 0.5, "size": None, "writes": WriteCost(), **more}
    return Suggestion(candidate=candidate, name=name, helped=helped, **given)


def candidate_of(entry: IndexSpec) -> Candidate:
    """What the loader understood."""
    keys = tuple(
        Key(
            column=key.column or "",
            expression=key.expr or "",
            opclass=key.opclass or "",
            descending=key.order == "desc",
            nulls_first=(key.order == "desc") if key.nulls is None else key.nulls == "first",
        )
        for key in entry.keys
    )
    return Candidate(
        (entry.schema_name, entry.table.name),
        keys,
        include=entry.include,
        where=entry.where or "",
        method=entry.method,
        parameters=tuple(entry.with_.items()),
    )


def test_a_new_file(tmp_path: Path) -> None:
    text = new_file(FULL, domain="shop", schema="public", about=["shop; the last 58 min"])
    assert text == WRITTEN
    file = read(tmp_path, text)
    made = [candidate_of(entry) for entry in file.indexes if entry.state == "present"]
    asked = [one.candidate for one in FULL.suggestions]
    assert made == [candidate._replace(where=candidate.where.strip("()")) for candidate in asked]


def test_nothing_to_suggest_is_a_spec_too(tmp_path: Path) -> None:
    text = new_file(reports.NOTHING, domain="shop", schema="public")
    assert text.endswith("\nindexes: []\n")
    assert read(tmp_path, text).indexes == ()


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=15)
# What lint remarks on whoever wrote it.
REMARKED = {"column-looks-like-expression", "name-looks-qualified", "repeated-column"}


@given(NAMES, NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True), st.booleans(), st.booleans(), NAMES)
def test_any_names(
    tmp_path_factory: pytest.TempPathFactory,
    schema: str,
    table: str,
    columns: list[str],
    descending: bool,
    nulls_first: bool,
    extra: str,
) -> None:
    key = Key(columns[0], descending=descending, nulls_first=nulls_first)
    candidate = Candidate((schema, table), (key, *map(Key, columns[1:])), include=(extra,))
    made = report(suggestion(candidate, "an index", reason=f"Reads {table}"))
    text = new_file(made, domain="d", schema="public")
    path = tmp_path_factory.mktemp("s") / "spec.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    specs = load([path])
    if set(schema) & set("*?"):
        assert specs.indexes == ()
        assert "left out" in text
    else:
        assert [candidate_of(entry) for entry in specs.indexes] == [candidate]
        assert {finding.code for finding in lint(specs)} <= REMARKED
    again = update(made, specs.files[0], text)
    assert again.text == text


def test_methods_without_order_and_storage_parameters(tmp_path: Path) -> None:
    brin = Candidate(("public", "t"), (Key("at"),), method="brin", parameters=(("pages_per_range", "32"),))
    column = Candidate(("public", "t"), (Key(expression="(at)"), Key("id", nulls_first=True)))
    text = new_file(report(suggestion(brin, "a"), suggestion(column, "b")), domain="d", schema="public")
    assert "    method: brin\n    keys: [at]\n    with: {pages_per_range: 32}\n" in text
    assert "    keys: [at, {column: id, nulls: first}]\n" in text
    read(tmp_path, text)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("(state = 'OPEN'::\"State\")", "state = 'OPEN'"),
        ("((state = 'OPEN'::\"State\") AND (at > '2026-01-31'::date))", "state = 'OPEN' AND at > '2026-01-31'::date"),
        ("(state = ANY (ARRAY['A'::\"State\", 'B'::\"State\"]))", "state IN ('A', 'B')"),
        ("(state = ANY ('{A,B}'::\"State\"[]))", "state = ANY('{A,B}')"),
        ("(state = 'OPEN'::app.state)", "state = 'OPEN'::app.state"),
        ("((state)::text = 'open'::text)", "(state)::text = 'open'::text"),
    ],
)
def test_predicates_name_no_type_that_another_session_may_not_find(where: str, expected: str) -> None:
    [made] = entries(report(suggestion(Candidate(("public", "t"), (Key("a"),), where=where))))
    assert made["where"] == expected


@pytest.mark.parametrize(
    ("opclass", "expected"),
    [
        ("gin_trgm_ops", "gin_trgm_ops"),
        ('"ext".gin_trgm_ops', "ext.gin_trgm_ops"),
        ('"My ext"."gin_trgm_ops"', '"My ext"."gin_trgm_ops"'),
    ],
)
def test_operator_classes_of_extensions(opclass: str, expected: str) -> None:
    candidate = Candidate(("public", "t"), (Key("a", opclass=opclass),), method="gin")
    [made] = entries(report(suggestion(candidate)))
    assert made["keys"] == [{"column": "a", "opclass": expected}]
    assert made["needs"] == {"extension": "pg_trgm"}


def test_names_that_are_taken_elsewhere() -> None:
    [first, *_] = entries(reports.FULL, taken={"orders_customer_id_created_at_idx", "orders_note_idx"})
    assert first["name"] == "orders_customer_id_created_at_covering_idx"
    text = new_file(reports.FULL, domain="d", schema="public", taken={"orders_note_idx"})
    assert "name: orders_note_idx" not in text
    assert "# left out: the drop of orders_note_idx: it is for the spec that has its name to say" in text


def test_statements_beyond_what_anybody_reads() -> None:
    helped = [
        Helped(item=reports.item(n, f"SELECT c{n} FROM t WHERE a = $1"), before=100.0 - n, after=1.0) for n in range(30)
    ]
    [made] = entries(report(suggestion(Candidate(("public", "t"), (Key("a"),)), "i", *helped)))
    assert len(made["serves"]) == 20  # type: ignore[arg-type]
    assert "Helps 30 statements (queryids 0, 1111, 2222 and 27 more)" in str(made["why"])


def item(query: str, shown: str | None = None) -> Item:
    return Item(number=1, query=query, shown=normalized(query) if shown is None else shown, calls=1)


OPEN, KIND = "(status = 'open'::text)", "(data ->> 'kind'::text)"


@pytest.mark.parametrize(
    ("query", "where", "expression", "text", "is_exact"),
    [
        # The constant of the predicate stays; what is compared for equality besides makes no difference.
        ("SELECT id FROM o WHERE status = 'open' AND a = 7", OPEN, "", "status = 'open' AND a = $1", True),
        ("SELECT id FROM o x WHERE 7 = a AND x.status = 'open'", OPEN, "", "$1 = a AND x.status = 'open'", True),
        ("UPDATE o SET b = 5 WHERE status = 'open' AND a IN (7, 8)", OPEN, "", "'open' AND a IN ($2, $3)", True),
        # A range or a pattern may be planned in another way for any value; how many rows are asked for stays.
        ("SELECT id FROM o WHERE status = 'open' AND a > 7", OPEN, "", "status = 'open' AND a > $1", False),
        ("SELECT id FROM o WHERE status = 'open' LIMIT 7", OPEN, "", "status = 'open' LIMIT 7", True),
        ("SELECT id FROM o WHERE a = 5 LIMIT length('secret')", "", "", "LIMIT length($2)", False),
        ("SELECT id FROM o WHERE a = 5 LIMIT 7 OFFSET $1", "", "", "WHERE a = $2 LIMIT 7 OFFSET $1", True),
        ("SELECT id FROM o WHERE a LIKE 'x%'", "", "", "a LIKE $1", False),
        # Where the planner saw that very text, it is its word that counts.
        ("SELECT id FROM o WHERE status = $1 AND a > $2 LIMIT $3", OPEN, "", "status = $1 AND a > $2 LIMIT $3", True),
        ("SELECT id FROM o WHERE gone IS NULL AND a = 7", "(gone IS NULL)", "", "gone IS NULL AND a = $1", True),
        # Another constant than the predicate's is somebody's.
        ("SELECT id FROM o WHERE status = 'late' AND a = 7", OPEN, "", "status = $1 AND a = $2", False),
        (
            "SELECT id FROM o WHERE status IN ('open', 'late') AND a = 7",
            "((status)::text = ANY (ARRAY['late'::text, 'open'::text]))",
            "",
            "status IN ('open', 'late') AND a = $1",
            True,
        ),
        ("SELECT id FROM o WHERE active = true AND a = 7", "active", "", "active = true AND a = $1", True),
        ("SELECT id FROM o WHERE data ->> 'kind' = 'x'", "", KIND, "(data ->> 'kind') = $1", True),
        ("SELECT id FROM o WHERE data ->> 'size' = 'x'", "", KIND, "data ->> $1 = $2", False),
    ],
)
def test_statements_keep_the_constants_that_the_index_has(
    query: str, where: str, expression: str, text: str, is_exact: bool
) -> None:
    found = served(item(query), Candidate(("s", "o"), (Key("a"), Key(expression=expression)), where=where))
    assert found is not None
    assert found.query.endswith(text)
    assert found.is_exact is is_exact


def test_statements_without_a_text_for_a_spec() -> None:
    index = Candidate(("s", "o"), (Key("a"),))
    assert served(item("SELECT * FROM o WHERE a = ", "SELECT * FROM o WHERE a = ?"), index) is None
    assert served(item("VACUUM o"), index) is None
    # As pg_stat_statements shows a typed constant, which PostgreSQL would not take; the planner was given SQL.
    typed, explained = "SELECT id FROM o WHERE a > date $1", "SELECT id FROM o WHERE a > CAST($1 AS date)"
    assert [served(item(typed, typed), index, text).query for text in (None, explained)] == [  # type: ignore[union-attr]
        "SELECT id FROM o WHERE a > $1::date",
        explained,
    ]
    # A text that has values in it is never shown.
    assert served(item("SELECT id FROM o WHERE a =", "SELECT id FROM o WHERE a = 'secret'"), index) is None


def test_an_expectation_is_said_only_where_the_plan_uses_the_index() -> None:
    index = Candidate(("public", "o"), (Key("a"),))
    helped = [
        Helped(item=reports.item(1, "SELECT id FROM o WHERE a = $1"), before=9.0, after=1.0, uses=False, no_sort=True),
        Helped(item=reports.item(2, "SELECT id FROM o WHERE a > 5"), before=8.0, after=1.0, uses=True),
        Helped(item=reports.item(3, "SELECT n FROM o WHERE a > $1"), before=7.0, after=1.0, uses=True),
    ]
    [made] = entries(report(suggestion(index, "i", *helped)))
    assert made["serves"] == [
        {"query": helped[0].item.shown},
        {"query": helped[1].item.shown},
        {"query": helped[2].item.shown, "expect": {"uses": True}},
    ]


# An existing file

HERE = """\
# The shop's own.
spec: 1
domain: shop
defaults: {schema: public}

indexes:
  # found in March
  - name: by_customer   # an old name
    table: orders
    keys: [customer_id, {column: created_at, order: desc, nulls: first}]
    include: [status, id]
    why: Somebody's own words   # stays

  - name: orders_shop_id_idx
    table: orders
    keys: [shop_id]  # all of them
    where: status = 'late'
    why: Somebody wrote that
    serves:
      - query: SELECT 5 FROM orders WHERE shop_id = $1
        expect: {uses: true}
    owner: web

  - name: orders_note_idx
    table: orders
    keys: [note]
    unique: no
    why: Search
    priority: 3
# the end
"""


def updated(tmp_path: Path, text: str, what: Report = FULL, **more: Any) -> Updated:
    return update(what, read(tmp_path, text), text, **more)


def test_an_existing_file(tmp_path: Path) -> None:
    done = updated(tmp_path, HERE)
    assert (done.added, done.rewritten) == (["users_lower_email_idx", "docs_body_trgm_idx"], ["orders_shop_id_idx"])
    assert done.same == ["orders_customer_id_created_at_idx"]
    assert done.dropped == ["orders_note_idx", "orders_customer_id_idx"]
    assert done.by_hand == []
    # What was there but for two entries, comments included.
    untouched = HERE[: HERE.index("  - name: orders_shop_id_idx")]
    assert done.text.startswith(untouched)
    for comment in ("# all of them", "# the end"):
        assert comment in done.text
    file = read(tmp_path, done.text)
    by_name = {entry.name: entry for entry in file.indexes}
    rewritten, dropped = by_name["orders_shop_id_idx"], by_name["orders_note_idx"]
    assert rewritten.where == "status = 'open'::text"
    assert str(rewritten.why).endswith(" Before: Somebody wrote that")
    assert [serve.query for serve in rewritten.serves][1:] == ["SELECT 5 FROM orders WHERE shop_id = $1"]
    assert rewritten.owner == "web"
    assert dropped.state == "absent"
    assert dropped.guard is not None
    assert dropped.guard.unused_for == 7 * 86_400
    assert str(dropped.why).endswith(" Before: Search")
    assert dropped.priority == 100
    assert by_name["users_lower_email_idx"].schema_name == "crm"
    assert "CREATE STATISTICS" in done.text

    again = updated(tmp_path, done.text)
    assert again.text == done.text
    assert (again.added, again.rewritten, again.dropped) == ([], [], [])


def test_windows_line_breaks_and_lists_in_flow_style(tmp_path: Path) -> None:
    done = updated(tmp_path, HERE.replace("\n", "\r\n"))
    assert done.text.replace("\r\n", "\n") == updated(tmp_path, HERE).text
    assert "\n" not in done.text.replace("\r\n", "")
    flow = "spec: 1\ndomain: d\nindexes: [{name: a, table: t, keys: [x], why: w}]\n"
    done = updated(tmp_path, flow, replace(FULL, statistics=()))
    assert len(read(tmp_path, done.text).indexes) == 7
    assert updated(tmp_path, done.text, replace(FULL, statistics=())).text == done.text


def test_our_own_reasons_are_replaced(tmp_path: Path) -> None:
    text = new_file(FULL, domain="shop", schema="public").replace(
        "    serves:\n      # statement 3", "    serves:\n      # mine: 3 calls, cost 1 -> 2\n      # statement 3"
    )
    helped = replace(reports.OPEN_ORDERS.helped[0], item=replace(reports.OPEN, calls=9.0))
    candidate = reports.BY_SHOP._replace(include=("id",))
    wider = replace(reports.OPEN_ORDERS, candidate=candidate, benefit=0.3, helped=(helped,))
    again = replace(FULL, suggestions=(wider,), drops=(), statistics=())
    done = updated(tmp_path, text, again)
    assert done.rewritten == ["orders_shop_id_idx"]
    entry = next(one for one in read(tmp_path, done.text).indexes if one.name == "orders_shop_id_idx")
    assert entry.include == ("id",)
    assert "worth 30 %" in str(entry.why)
    assert "Before" not in str(entry.why)
    assert len(entry.serves) == 1
    # Numbers that are no longer true are gone with what they were about; comments of people are not.
    remarks = [line.strip() for line in done.text.splitlines() if "of the file:" in line]
    assert remarks == ["# statement 3 of the file: 9 calls, cost 5,200 -> 40"]
    assert "# mine: 3 calls, cost 1 -> 2" in done.text
    assert updated(tmp_path, done.text, again).text == done.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("table: orders\n    keys: [x]\n    unique: yes", ["orders_shop_id_partial_idx"]),
        ("table: items\n    keys: [x]", ["orders_shop_id_partial_idx"]),
        ("table: {schema: 'pub*', name: orders}\n    keys: [x]", ["orders_shop_id_partial_idx"]),
        (
            "table: orders\n    sql: CREATE INDEX orders_shop_id_idx ON public.orders (x)",
            ["orders_shop_id_partial_idx"],
        ),
        ("table: {schema: other, name: orders}\n    keys: [x]", ["orders_shop_id_idx"]),
        ("table: orders\n    state: absent", []),
    ],
)
def test_an_entry_that_has_the_name_for_something_else(tmp_path: Path, line: str, expected: list[str]) -> None:
    text = "spec: 1\ndomain: d\nindexes:\n  - name: orders_shop_id_idx\n    table: x\n    why: w\n".replace(
        "table: x", line
    )
    done = updated(tmp_path, text, report(reports.OPEN_ORDERS))
    assert done.added == expected
    assert done.rewritten == ([] if expected else ["orders_shop_id_idx"])
    assert "absent" not in done.text


@pytest.mark.parametrize(
    "line",
    [
        "keys: [shop_id]\n    where: (status)::text = 'open'",
        "keys: [{column: shop_id, order: asc, nulls: last}]\n    where: status = 'open'\n    unique: yes",
        "keys: shop_id\n    where: status = 'open'\n    with: {fillfactor: 70}",
    ],
)
def test_the_same_index_in_other_words(tmp_path: Path, line: str) -> None:
    text = f"spec: 1\ndomain: d\nindexes:\n  - name: mine\n    table: orders\n    {line}\n    why: w\n"
    done = updated(tmp_path, text, report(reports.OPEN_ORDERS))
    assert done.text == text
    assert done.same == ["orders_shop_id_idx"]


@pytest.mark.parametrize(
    "line",
    [
        "keys: [shop_id]",
        "keys: [shop_id]\n    where: status = 'late'",
        "keys: [{column: shop_id, order: desc}]\n    where: status = 'open'",
        "keys: [{column: shop_id, collation: C}]\n    where: status = 'open'",
        "keys: [shop_id, id]\n    where: status = 'open'",
        "method: hash\n    keys: [shop_id]\n    where: status = 'open'",
    ],
)
def test_another_index(tmp_path: Path, line: str) -> None:
    text = f"spec: 1\ndomain: d\nindexes:\n  - name: mine\n    table: orders\n    {line}\n    why: w\n"
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    [file] = load([path]).files
    assert update(report(reports.OPEN_ORDERS), file, text).added == ["orders_shop_id_idx"]


def test_drops_that_are_not_for_this_file_to_say(tmp_path: Path) -> None:
    text = (
        "spec: 1\ndomain: d\nindexes:\n  - name: orders_note_idx\n    table: {schema: 'p*', name: orders}\n"
        "    keys: [x]\n    why: w\n"
    )
    drops = report(drops=(reports.UNUSED,))
    done = updated(tmp_path, text, drops)
    assert done.text == text
    assert done.by_hand == ["orders_note_idx may go: the entry orders_note_idx (line 4) stands for more than that"]
    bare = "spec: 1\ndomain: d\nindexes: []\n"
    done = updated(tmp_path, bare, drops, taken={"orders_note_idx"})
    assert done.text == bare
    assert done.by_hand == ["left out: the drop of orders_note_idx: it is for the spec that has its name to say"]


def test_a_file_too_artful_for_a_program(tmp_path: Path) -> None:
    text = "{spec: 1, domain: d}\n"
    with pytest.raises(Error, match="too artful"):
        updated(tmp_path, text, report(reports.OPEN_ORDERS))


def test_statistics_of_odd_names_stay_comments(tmp_path: Path) -> None:
    odd = replace(reports.MENDING, relation=("s\nindexes: 1", "t"), why="one\nindexes: []")
    text = new_file(report(statistics=(odd,)), domain="d", schema="public")
    assert read(tmp_path, text).indexes == ()
    assert "CREATE" not in text


def test_a_drop_says_what_proves_it() -> None:
    drop = replace(reports.BEATEN, evidence=Evidence.REDUNDANT, how="no copy was given")
    [made] = entries(report(drops=(drop,)), schema="public")
    assert "guard" not in made
    assert str(made["why"]).endswith("It takes 10.5MB. Not proved by a plan without it (no copy was given).")


TABLES = """
    CREATE EXTENSION pg_trgm;
    CREATE SCHEMA crm;
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, created_at timestamptz, status text, shop_id int,
                         region text, note text);
    CREATE TABLE crm.users (id bigint PRIMARY KEY, email varchar(80));
    CREATE TABLE docs (id bigint PRIMARY KEY, body text);
    CREATE INDEX orders_note_idx ON orders (note);
    INSERT INTO orders SELECT n, n % 1000, now(), CASE WHEN n % 50 = 0 THEN 'open' ELSE 'shut' END, n % 97, 'r' || n % 9
      FROM generate_series(1, 20000) AS n;
    INSERT INTO crm.users SELECT n, 'user' || n FROM generate_series(1, 20000) AS n;
    ANALYZE;
    CREATE INDEX orders_customer_id_idx ON orders (customer_id);
"""


def test_optimize_applies_the_file_unchanged(database: Database, run_cli: Callable[..., Any], tmp_path: Path) -> None:
    database.sql(TABLES)
    beaten = replace(FULL, drops=(reports.BEATEN,))
    path = tmp_path / "suggested.yaml"
    path.write_text(new_file(beaten, domain="shop", schema="public"))
    where = ("-d", database.conninfo)
    assert run_cli("lint", str(path)).code == 0
    done = run_cli("optimize", str(path), *where, "--yes", "--prune-foreign")
    assert done.code == 0, done.err
    plan = run_cli("plan", str(path), *where, "--check", "--prune-foreign")
    assert plan.code == 0, plan.out
    assert plan.out == ""  # in a pipe, a step a line
    # What stands on the index is what was approved.
    [(comment,)] = database.sql("SELECT obj_description('orders_shop_id_idx'::regclass, 'pg_class')")
    assert comment.startswith("Finds the rows of one shop_id; holds only")
