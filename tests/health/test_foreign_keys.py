"""foreign-key-without-index: which indexes serve a key, and what the finding says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.health.check import above
from dbopt.relations.foreign_keys import leaves_out_nulls_only
from tests.health.looks import counted, only, run_check, subjects

if TYPE_CHECKING:
    from server import Database

CHECK = "foreign-key-without-index"
FEW = above(warning=1, critical=None, source="a test")
PARENT = "CREATE TABLE parent (x int, y int, PRIMARY KEY (x, y), UNIQUE (x)); INSERT INTO parent VALUES (1, 1);"
CHILD = (
    PARENT + "CREATE TABLE child (id int PRIMARY KEY, a int, b int, c int REFERENCES parent (x),"
    " CONSTRAINT both_columns FOREIGN KEY (a, b) REFERENCES parent); INSERT INTO child SELECT g, 1, 1, 1"
    " FROM generate_series(1, 50) g;"
)


# An index of table T, and whether it serves a key of (a, b).
OF_TWO = {
    "(a, b)": True,
    "(b, a)": True,
    "(b DESC, a, id)": True,
    "(a, b) INCLUDE (c)": True,
    "(a, b) WHERE a IS NOT NULL": True,
    "(a, b) WHERE a IS NOT NULL AND b IS NOT NULL": True,
    "USING gist (int4range(a, a))": False,
    "(a)": False,
    "(a) INCLUDE (b)": False,
    "(a, id, b)": False,
    "(id, a, b)": False,
    "(a, (b + 0))": False,
    "(a, b) WHERE id IS NOT NULL": False,
    "(a, b) WHERE a IS NULL": False,
    "(a, b) WHERE a > 5": False,
    "(a, b) WHERE a IS NOT NULL AND b > 5": False,
    "(a, b) WHERE a IS NOT NULL OR b > 5": False,
    "USING brin (a, b)": False,
}
OF_ONE = {"(c)": True, "(c, a)": True, "USING hash (c)": True, "USING brin (c)": False, "(a, c)": False}


def test_what_serves_a_key(database: Database) -> None:
    database.sql(PARENT)
    expected = set()
    for number, (index, serves) in enumerate([*OF_TWO.items(), *OF_ONE.items()]):
        key = "(a, b) REFERENCES parent (x, y)" if number < len(OF_TWO) else "(c) REFERENCES parent (x)"
        database.sql(
            f"CREATE TABLE t{number} (id int, a int, b int, c int, CONSTRAINT key FOREIGN KEY {key});"
            f"INSERT INTO t{number} SELECT g, 1, 1, 1 FROM generate_series(1, 9) g; CREATE INDEX ON t{number} {index};"
        )
        expected |= set() if serves else {f"public.t{number}.key"}
    found = run_check(database, CHECK, thresholds=FEW)
    assert set(subjects(found)) == expected
    database.sql("UPDATE pg_index SET indisvalid = false WHERE indrelid = 't0'::regclass")
    assert set(subjects(run_check(database, CHECK, thresholds=FEW))) == {*expected, "public.t0.key"}


def test_ten_thousand_rows(database: Database) -> None:
    database.sql(PARENT + 'CREATE TABLE child ("Odd ""one""" int REFERENCES parent (x) ON DELETE CASCADE)')
    database.sql("INSERT INTO child SELECT 1 FROM generate_series(1, 9999)")
    database.sql("ANALYZE child")
    assert run_check(database, CHECK).status == "ok"
    database.sql("INSERT INTO child VALUES (1); ANALYZE child")
    finding = only(run_check(database, CHECK))
    assert finding.measure == 10_000
    assert "each DELETE on public.parent deletes what refers to it, found by reading 10,000 rows here" in finding.detail
    assert finding.remedy == (
        'CREATE INDEX CONCURRENTLY ON public.child ("Odd ""one""");'
        "  -- dbopt suggest --table public.child finds one that serves its statements, too"
    )
    database.sql(finding.remedy)
    assert run_check(database, CHECK).status == "ok"


def test_empty_tables_are_no_matter(database: Database) -> None:
    database.sql(PARENT + "CREATE TABLE child (a int REFERENCES parent (x))")
    result = run_check(database, CHECK, thresholds=FEW)
    assert (result.status, result.reason) == ("ok", None)


def test_never_analyzed_and_bare(database: Database) -> None:
    """Who looks makes no difference, nor whether somebody has run ANALYZE: inserts are counted."""
    database.sql(PARENT + "CREATE TABLE child (a int REFERENCES parent (x)) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO child SELECT 1 FROM generate_series(1, 10000)")
    counted(database, "child", n_tup_ins=10_000)
    database.sql("CREATE ROLE keys_bare LOGIN")
    try:
        assert len(run_check(database, CHECK, user="keys_bare").findings) == 1
    finally:
        database.sql("DROP ROLE keys_bare")


def test_partition_tree_is_one(database: Database) -> None:
    database.sql(
        PARENT + "CREATE TABLE p (a int, k int REFERENCES parent (x)) PARTITION BY RANGE (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (900);"
        "INSERT INTO p SELECT g, 1 FROM generate_series(1, 300) g"
    )
    database.sql("ANALYZE p1; ANALYZE p2")
    finding = only(run_check(database, CHECK, thresholds=FEW))
    assert (finding.subject, finding.measure) == ("public.p.p_k_fkey", 300)
    assert finding.remedy is not None
    assert "CONCURRENTLY" not in finding.remedy
    assert finding.fragment is not None
    assert finding.fragment["name"] == "p_k_idx"
    database.sql("CREATE INDEX ON p2 (k)")
    assert only(run_check(database, CHECK, thresholds=FEW)).measure == 99  # the other partition
    database.sql("CREATE INDEX ON p1 (k)")
    assert run_check(database, CHECK, thresholds=FEW).status == "ok"


def test_name_that_is_taken(database: Database) -> None:
    database.sql(CHILD + "CREATE INDEX child_c_idx ON child (id, c); CREATE INDEX ON child (a, b)")
    fragment = only(run_check(database, CHECK, thresholds=FEW)).fragment
    assert fragment is not None
    assert fragment["name"] == "child_c_idx1"


@pytest.mark.parametrize(
    ("predicate", "attnums", "so"),
    [
        (
            "{NULLTEST :arg {VAR :varno 1 :varattno 2 :vartype 23} :nulltesttype 1 :argisrow false :location 9}",
            [2],
            True,
        ),
        (
            "{NULLTEST :arg {VAR :varno 1 :varattno 2 :vartype 23} :nulltesttype 1 :argisrow false :location 9}",
            [3],
            False,
        ),
        (
            "{NULLTEST :arg {VAR :varno 1 :varattno 2 :vartype 23} :nulltesttype 0 :argisrow false :location 9}",
            [2],
            False,
        ),
        ("{OPEXPR :opno 521}", [2], False),
    ],
)
def test_predicates(predicate: str, attnums: list[int], so: bool) -> None:
    assert leaves_out_nulls_only(predicate, attnums) is so
