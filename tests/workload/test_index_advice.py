"""Which index is advised, which is not; and that dbopt itself takes what it advises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.workload.finding import Column, Index, Key, Relation
from dbopt.workload.index_advice import advise, is_large
from tests.workload.real_plans import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cli_runner import Result
    from server import Database, Server

LONG = "ü" * 31  # 62 bytes
_ODD = f"""
    CREATE SCHEMA "Odd ""one";
    CREATE TABLE "Odd ""one"."Ta ble" (id int, "Sel ect" int, "{LONG}" text, j json, p point, d varchar(9), "no" int,
                                       x xml, tags text[], js json[], data jsonb, mood bpchar)
        WITH (autovacuum_enabled = off);
    INSERT INTO "Odd ""one"."Ta ble" (id, "Sel ect", "{LONG}", d, "no")
    SELECT g, g % 100, g, g % 7, g % 50 FROM generate_series(1, 10000) AS g;
    ANALYZE "Odd ""one"."Ta ble";
    CREATE TABLE parts (id int, kind int) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (5000) WITH (autovacuum_enabled = off);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (5000) TO (10001) WITH (autovacuum_enabled = off);
    INSERT INTO parts SELECT g, g % 3000 FROM generate_series(1, 10000) AS g;
    ANALYZE parts;
"""
TABLE = ('Odd "one', "Ta ble")


@pytest.fixture(scope="module")
def database(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(_ODD)
        yield fresh


@pytest.fixture(scope="module")
def relations(database: Database) -> Mapping[tuple[str, str], Relation]:
    """As they are read from the catalogs."""
    shop = Shop(database)
    odd = shop.scene('SELECT * FROM "Odd ""one"."Ta ble"', kind="select")
    parts = shop.scene("SELECT * FROM parts", kind="select")
    shop.close()
    return {**odd.relations, **parts.relations}


@pytest.fixture
def taken(
    database: Database, run_cli: Callable[..., Result], tmp_path: Path
) -> Callable[[Mapping[str, Any] | None], str]:
    """`taken(entry)`: lint and plan have nothing against it; what the plan would run."""

    def run(entry: Mapping[str, Any] | None) -> str:
        assert entry is not None
        file = tmp_path / "advised.yaml"
        file.write_text(json.dumps({"spec": 1, "domain": "advised", "indexes": [entry]}))  # JSON is YAML
        lint = run_cli("lint", str(file))
        assert (lint.code, lint.out, lint.err) == (0, "", "")
        plan = run_cli("plan", "--format", "json", str(file), env={"DBOPT_DSN": database.conninfo})
        assert plan.code == 0, plan.out + plan.err
        assert plan.json["findings"] == []
        [step, *_] = plan.json["steps"]
        assert step["action"] == "create"
        return "\n".join(statement for step in plan.json["steps"] for statement in step["statements"])

    return run


@pytest.mark.parametrize(
    ("wanted", "definition"),
    [
        ({"equality": ["Sel ect"]}, '("Sel ect")'),
        ({"equality": ["no", "Sel ect"]}, '("Sel ect", "no")'),  # the more distinct first
        ({"equality": ["no"], "range_": ["d"]}, '("no", "d")'),
        ({"range_": [LONG]}, f'("{LONG}")'),
        ({"equality": ["d"], "sort": [("no", False), ("Sel ect", True)]}, '("d", "no", "Sel ect" DESC)'),
        ({"equality": ["d"], "sort": [("no", True), ("Sel ect", True)]}, '("d", "no", "Sel ect")'),
        ({"expression": f'lower("{LONG}")'}, f'((lower("{LONG}")))'),
        ({"expression": "lower(d::text)"}, "((lower(d::text)))"),
        ({"equality": ["d"], "where": '"no" > 3'}, '("d") WHERE "no" > 3'),
        ({"equality": ["tags"], "method": "gin"}, 'USING gin ("tags")'),
        ({"equality": ["data"], "method": "gin"}, 'USING gin ("data")'),
        ({"equality": ["d"], "opclass": "varchar_pattern_ops"}, '("d" varchar_pattern_ops)'),
    ],
)
def test_dbopt_takes_it(
    relations: Mapping[tuple[str, str], Relation],
    taken: Callable[..., str],
    wanted: dict[str, Any],
    definition: str,
) -> None:
    query = f'SELECT * FROM "Ta ble" WHERE "{LONG}" = $1'
    entry = advise(relations[TABLE], why='For "them"', query=query, **wanted)
    planned = taken(entry)
    assert definition.replace('"', "").replace(" ", "") in planned.replace('"', "").replace(" ", "").replace("\n", "")
    assert entry is not None
    assert len(str(entry["name"]).encode()) <= 63


def test_dbopt_takes_a_trigram_index(
    relations: Mapping[tuple[str, str], Relation], taken: Callable[..., str], database: Database
) -> None:
    if not database.sql("SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        pytest.skip("this server has no pg_trgm")
    database.sql("CREATE EXTENSION pg_trgm")
    try:
        trigrams = {"method": "gin", "opclass": "gin_trgm_ops", "why": "x"}
        assert "gin_trgm_ops" in taken(advise(relations[TABLE], equality=["d"], **trigrams))
        assert "gin_trgm_ops" in taken(advise(relations[TABLE], expression="lower(d)", **trigrams))
    finally:
        database.sql("DROP EXTENSION pg_trgm")


def test_dbopt_takes_one_of_a_partitioned_table(
    relations: Mapping[tuple[str, str], Relation], taken: Callable[..., str]
) -> None:
    """None of its partitions is large enough alone."""
    leaf, parent = relations["public", "parts_1"], relations["public", "parts"]
    assert leaf.parent == ("public", "parts")
    assert advise(leaf, equality=["kind"], why="x") is None
    entry = advise(leaf, parent=parent, equality=["kind"], why="x")
    assert entry is not None
    assert entry["table"] == {"schema": "public", "name": "parts"}
    assert "parts_2" in taken(entry)


@pytest.mark.parametrize(
    "wanted",
    [
        {"equality": ["j"]},
        {"equality": ["p", "x", "js"]},
        {"equality": ["not there"]},
        {"range_": ["ctid"]},
        {"sort": [("j", False)]},
        {},
    ],
)
def test_no_key_is_left(relations: Mapping[tuple[str, str], Relation], wanted: dict[str, Any]) -> None:
    assert advise(relations[TABLE], why="x", **wanted) is None


def _column(name: str, n_distinct: float | None = None, **fields: Any) -> Column:
    return Column(name=name, attnum=1, type_name="text", has_statistics=True, n_distinct=n_distinct, **fields)


def _table(*indexes: Index, **fields: Any) -> Relation:
    columns = (_column("a", 10), _column("b", 1000), _column("c", -1.0), _column("d"), _column("e", 5))
    base = {"oid": 1, "schema": "app", "name": "t", "relkind": "r", "rows": 50_000.0, "size_bytes": 0}
    return Relation(**{**base, "columns": columns, "indexes": indexes, **fields})


def _index(*names: str, **fields: Any) -> Index:
    """`-a`: descending; `(a)`: an expression."""
    keys = tuple(
        Key(
            column=None if name.startswith("(") else name.lstrip("-"),
            expression=name if name.startswith("(") else None,
            opclass=fields.get("opclass", "text_ops"),
            is_descending=name.startswith("-"),
        )
        for name in names
    )
    fields.pop("opclass", None)
    return Index(**{"name": "i", "method": "btree", "keys": keys, **fields})


def _keys(relation: Relation, **wanted: Any) -> Any:
    entry = advise(relation, why="x", **wanted)
    return None if entry is None else entry["keys"]


def test_order_and_number_of_keys() -> None:
    assert _keys(_table(), equality=["a", "b", "d"]) == ["b", "a", "d"]
    assert _keys(_table(), equality=["a", "c"]) == ["c"]  # each value of it is there once
    assert _keys(_table(), equality=["a"], range_=["d", "b"]) == ["a", "d"]
    assert _keys(_table(), equality=["a"], range_=["d"], sort=[("b", True)]) == ["a", "b"]
    assert _keys(_table(), equality=["a"], sort=[("a", False)]) == ["a"]
    columns = tuple(_column(name, 10) for name in "abcdef")
    assert _keys(_table(columns=columns), equality=list("abcdef")) == list("abcd")
    assert _keys(_table(columns=columns), equality=list("abcdef"), range_=["f"]) == list("abcd")
    assert _keys(_table(columns=columns), equality=list("abcde"), range_=["f"]) == list("abcf")
    assert _keys(_table(columns=columns), equality=list("abc"), sort=[("e", False), ("f", False)]) == list("abc")
    wide = (_column("a", avg_width=700), _column("b", avg_width=20))
    assert _keys(_table(columns=wide), equality=["a", "b"]) == ["b"]


@pytest.mark.parametrize(
    ("index", "wanted", "is_missing"),
    [
        (_index("a"), {"equality": ["a"]}, False),
        (_index("a", "e"), {"equality": ["a"]}, False),
        (_index("e", "a"), {"equality": ["a"]}, True),
        (_index("a"), {"equality": ["a", "e"]}, True),
        (_index("e", "a"), {"equality": ["a", "e"]}, False),  # their order is no matter
        (_index("a", is_unique=True), {"equality": ["a", "e"]}, False),
        (_index("a", predicate="(e > 0)"), {"equality": ["a"]}, True),
        (_index("a", is_valid=False), {"equality": ["a"]}, True),
        (_index("a", method="hash"), {"equality": ["a"]}, False),
        (_index("a", method="hash"), {"range_": ["a"]}, True),
        (_index("a", method="brin"), {"equality": ["a"]}, True),
        (_index("a", "-b"), {"equality": ["a"], "sort": [("b", False)]}, False),
        (_index("a", "b", "-e"), {"equality": ["a"], "sort": [("b", False), ("e", False)]}, True),
        (_index("a", "-b", "e"), {"equality": ["a"], "sort": [("b", False), ("e", True)]}, False),
        (_index("a", opclass="text_pattern_ops"), {"equality": ["a"]}, False),
        (_index("a", opclass="text_pattern_ops"), {"range_": ["a"]}, True),
        (_index("(lower((a)::text))"), {"expression": "lower(a::text)"}, False),
        (_index("(lower((a)::text))"), {"expression": "upper(a::text)"}, True),
        (_index("(lower((a)::text))"), {"equality": ["a"]}, True),
        (
            _index("a", method="gin", opclass="gin_trgm_ops"),
            {"equality": ["a"], "method": "gin", "opclass": "gin_trgm_ops"},
            False,
        ),
        (
            _index("a", method="gist", opclass="gist_trgm_ops"),
            {"equality": ["a"], "method": "gin", "opclass": "gin_trgm_ops"},
            False,
        ),
        (_index("a", method="gin", opclass="array_ops"), {"equality": ["a"], "method": "gin"}, False),
        (_index("a"), {"equality": ["a"], "opclass": "text_pattern_ops"}, True),
    ],
)
def test_whether_there_is_one(index: Index, wanted: dict[str, Any], is_missing: bool) -> None:
    assert (advise(_table(index), why="x", **wanted) is not None) is is_missing


def test_one_that_could_not_be_read_might_be_it() -> None:
    hidden = Index(name="i", method="btree", keys=(Key(column=None, expression=None, opclass="text_ops"),))
    assert advise(_table(hidden), expression="lower(a)", why="x") is None
    assert advise(_table(hidden), equality=["a"], why="x") is not None


@pytest.mark.parametrize(
    ("fields", "is_large_enough"),
    [
        ({"rows": 10_000.0}, True),
        ({"rows": 9_999.0}, False),
        ({"rows": 10.0, "size_bytes": 8 * 1024 * 1024}, True),
        ({"rows": None}, False),
    ],
)
def test_size(fields: dict[str, Any], is_large_enough: bool) -> None:
    table = _table(**fields)
    assert is_large(table) is is_large_enough
    assert (advise(table, equality=["a"], why="x") is not None) is is_large_enough


@pytest.mark.parametrize(
    "fields", [{"is_temporary": True}, {"schema": "pg_catalog"}, {"schema": "a*"}, {"relkind": "f"}]
)
def test_tables_without_advice(fields: dict[str, Any]) -> None:
    assert advise(_table(**fields), equality=["a"], why="x") is None


def test_a_name_that_is_free() -> None:
    first = advise(_table(), equality=["a"], why="x")
    assert first is not None
    assert first["name"] == "t_a_idx"
    second = advise(_table(_index("e", name="t_a_idx"), _index("e", name="t_a_idx1")), equality=["a"], why="x")
    assert second is not None
    assert second["name"] == "t_a_idx2"
    trigrams = advise(_table(), equality=["a"], method="gin", opclass="ext.gin_trgm_ops", why="x")
    assert trigrams is not None
    assert (trigrams["name"], trigrams["needs"]) == ("t_a_trgm_idx", {"extension": "pg_trgm"})
    pattern = advise(_table(), equality=["a"], opclass="text_pattern_ops", why="x")
    assert pattern is not None
    assert pattern["name"] == "t_a_pattern_idx"
    parent = _table(_index("e", name="t_a_idx"))
    third = advise(_table(parent=("app", "t")), parent=parent, equality=["a"], why="x")
    assert third is not None
    assert third["name"] == "t_a_idx1"


def test_what_it_serves() -> None:
    entry = advise(_table(), equality=["a"], why="x", query="SELECT $1")
    assert entry is not None
    assert entry["serves"] == [{"query": "SELECT $1"}]
    for query in ("SELECT a FROM", "VACUUM", None):
        entry = advise(_table(), equality=["a"], why="x", query=query)
        assert entry is not None
        assert "serves" not in entry
