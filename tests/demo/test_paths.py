"""Access paths: parameters from the data, plans in EXPLAIN's words, the same rows before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dbopt.demo.paths import MIN_RUNS, AccessPath, Measurement, Typical, bind, measure, plan_node
from dbopt.demo.walkthrough import Comparison
from dbopt.errors import Error
from dbopt.postgres.connect import connect

if TYPE_CHECKING:
    from server import Database

    from .conftest import Sample


def node(kind: str, *plans: dict[str, Any], buffers: int = 0, **more: Any) -> dict[str, Any]:
    return {"Node Type": kind, "Shared Hit Blocks": buffers, "Shared Read Blocks": 0, "Plans": list(plans), **more}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (node("Seq Scan", **{"Relation Name": "Campaign"}), "Seq Scan on Campaign"),
        (
            node("Limit", node("Sort", node("Seq Scan", **{"Relation Name": "t", "Parallel Aware": True}))),
            "Parallel Seq Scan on t + Sort",
        ),
        (
            node("Index Scan", **{"Relation Name": "t", "Index Name": "i", "Scan Direction": "Backward"}),
            "Index Scan Backward using i",
        ),
        (
            node(
                "Bitmap Heap Scan",
                node(
                    "BitmapAnd",
                    node("Bitmap Index Scan", **{"Index Name": "a"}),
                    node("Bitmap Index Scan", **{"Index Name": "b"}),
                ),
                **{"Relation Name": "t"},
            ),
            "Bitmap Heap Scan using a, b",
        ),
        (
            node(
                "Nested Loop",
                node("Seq Scan", buffers=2, **{"Relation Name": "small"}),
                node("Seq Scan", buffers=900, **{"Relation Name": "large"}),
            ),
            "Seq Scan on large",
        ),
        (node("Result"), "Result"),
    ],
)
def test_the_scan_that_takes_the_time_is_named(plan: dict[str, Any], expected: str) -> None:
    assert plan_node(plan) == expected


def test_parameters_are_those_of_a_typical_row(database: Database) -> None:
    """60 of 100 rows are the largest owner's, and he has the one in the middle; NULL owns nothing."""
    database.sql(
        "CREATE TABLE t (owner text); INSERT INTO t SELECT 'large' FROM generate_series(1, 60);"
        " INSERT INTO t SELECT 'small ' || i FROM generate_series(1, 40) AS i;"
        " INSERT INTO t SELECT NULL FROM generate_series(1, 500)"
    )
    path = AccessPath("by owner", "SELECT 1 FROM t WHERE owner = %(who)s", Typical("t", {"who": "owner"}), {"k": 1})
    with connect(database.conninfo, command="test", read_only=True) as conn:
        [bound] = bind(conn, [path])
        [measured] = measure(conn, [bound])
    assert bound.parameters == {"who": "large", "k": 1}
    assert measured.rows == 60
    assert measured.runs >= MIN_RUNS
    assert 0 < measured.milliseconds <= measured.p95_milliseconds
    assert measured.plan_node == "Seq Scan on t"


def test_an_empty_table_has_no_parameters(database: Database) -> None:
    database.sql("CREATE TABLE t (owner text)")
    path = AccessPath("by owner", "SELECT 1 FROM t WHERE owner = %(who)s", Typical("t", {"who": "owner"}))
    with (
        connect(database.conninfo, command="test", read_only=True) as conn,
        pytest.raises(Error, match='no parameters for access path "by owner"'),
    ):
        bind(conn, [path])


def test_every_path_finds_rows_at_full_scale_or_says_none(sample: Sample) -> None:
    """All paths run as written, read-only, and their names are unique: they are the rows of the table."""
    paths = sample.app.paths
    assert len({path.name for path in paths}) == len(paths)
    with connect(sample.database.conninfo, command="test", read_only=True) as conn:
        for bound in bind(conn, paths):
            conn.execute(bound.path.sql, bound.parameters)


def measurement(milliseconds: float, plan: str = "Seq Scan on t", buffers: int = 10) -> Measurement:
    path = AccessPath("p", "SELECT 1")
    return Measurement(
        path=path,
        milliseconds=milliseconds,
        p95_milliseconds=milliseconds,
        runs=3,
        rows=1,
        plan_node=plan,
        buffers=buffers,
    )


@pytest.mark.parametrize(
    ("after", "much_faster", "about_the_same"),
    [
        (measurement(1.0, "Index Scan using i", 3), True, False),
        (measurement(1.1, "Index Scan using i", 3), False, False),
        (measurement(9.0, "Index Scan using i", 3), False, True),
        (measurement(20.0, "Index Scan using i", 3), False, False),
        (measurement(0.5), False, True),  # the plan of before: the machine was busy with something else
    ],
)
def test_a_comparison_tells_gain_from_noise(after: Measurement, much_faster: bool, about_the_same: bool) -> None:
    pair = Comparison(measurement(10.0), after)
    assert (pair.much_faster, pair.about_the_same) == (much_faster, about_the_same)
