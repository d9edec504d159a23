"""A part of what bench/estimates.py measures, on so few rows that ANALYZE sees all: it comes out the same each time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from dbopt.optimize import estimate
from dbopt.sizes import elements, together
from tests.optimize.estimate_set import EXTENSIONS, HELPERS, SHAPES, TABLES, Shape
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

ROWS = 20_000
CHOSEN = (
    (
        "orders",
        "(customer_id)",
        "(state)",
        "(paid_at)",
        "(token)",
        "(note)",
        "(shop_id, state)",
        "(meta)",
        "(line_ids)",
    ),
    (
        "orders",
        "(customer_id) INCLUDE (total, state)",
        "(shop_id) WITH (deduplicate_items = off)",
        "(upper(reference))",
    ),
    ("orders", "(coupon) WHERE coupon IS NOT NULL", "(lower(note)) WHERE note IS NOT NULL", "((meta ->> 'source'))"),
    ("orders", "USING hash (reference)", "USING gin (labels)", "USING gin (meta)", "USING gin ((meta -> 'utm'))"),
    ("orders", "USING gin (shop_id, labels)", "USING gist (placed_at, shop_id)", "USING brin (placed_at)"),
    ("orders", "USING brin (token uuid_bloom_ops)", "USING brin (customer_id int4_minmax_multi_ops)"),
    ("events", "(account_id, at)", "(account_id, kind, day)", "(digest)", "(seen)", "USING spgist (seen)"),
    ("events", "USING gin (payload jsonb_path_ops)", "USING brin (ip inet_inclusion_ops)", "USING gist (seen)"),
    ("docs", "(title)", "USING gin (search)", "USING gin (search) WHERE lang = 'de'", "USING gin (tags, search)"),
    (
        "docs",
        "USING gin (lower(title) gin_trgm_ops)",
        "USING gin (to_tsvector('simple', title))",
        "USING gist (search)",
    ),
    ("bookings", "USING gist (during)", "USING gist (room_id, during)", "USING spgist (at)", "USING gist (area)"),
)


@pytest.fixture(scope="module")
def shapes(pg: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pg.database() as database, Project(database, tmp_path_factory.mktemp("set") / "specs") as project:
        for extension in EXTENSIONS:
            database.sql(f"CREATE EXTENSION {extension}")
        database.sql(HELPERS)
        for statements in TABLES.values():
            database.sql(statements.replace("{rows}", str(ROWS)))
        database.sql("VACUUM ANALYZE")
        yield project


def chosen(major: int) -> list[Shape]:
    wanted = {(table, definition) for table, *definitions in CHOSEN for definition in definitions}
    found = [shape for shape in SHAPES if (shape.table, shape.definition) in wanted]
    assert len(found) == len(wanted)
    return [shape for shape in found if shape.since <= major]


def test_estimates_are_near(shapes: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "SAMPLING_SECONDS", math.inf)
    database = shapes.database
    asked = chosen(database.server_version[0])
    entries = [shape.statement(f"x{n}").replace("'", "''") for n, shape in enumerate(asked)]
    shapes.wants(*(f"name: x{n}, table: {asked[n].table}, sql: '{text}'" for n, text in enumerate(entries)))
    plan = shapes.plan()
    assert plan.refused == ()
    estimated = {step.index: step.estimate["size_bytes"] for step in plan.steps if step.estimate}
    far = {}
    for number, shape in enumerate(asked):
        database.sql(shape.statement("built"))
        [(size,)] = database.sql("SELECT pg_relation_size('built')")
        database.sql("DROP INDEX built")
        error = estimated.get(f"x{number}", 0) / size - 1
        if abs(error) > shape.limit:
            far[str(shape)] = round(error, 3)
    assert far == {}


# On paper


def pages(*values: list[int | None], rows: int = 20) -> list[tuple[int, list[int | None]]]:
    """Pages of so many rows, every tenth of the table."""
    return [(number // rows * 10, value) for number, value in enumerate(values)]


def test_columns_that_go_their_own_way_have_as_many_combinations_as_chance_makes() -> None:
    assert together.combinations(pages(*([n % 7, n % 11] for n in range(4000))), 2000) is None


def test_columns_that_depend_on_each_other() -> None:
    cities = pages(*([n * 7919 % 300, n * 7919 % 300 % 20] for n in range(4000)))
    assert together.combinations(cities, 2000) == pytest.approx(300)
    written_together = pages(*([n // 4, n // 4 * 7] for n in range(4000)))
    assert together.combinations(written_together, 2000) == pytest.approx(10_000)


def test_too_few_rows_tell_nothing() -> None:
    assert together.combinations(pages(*([n // 9, n // 9] for n in range(400))), 200) is None
    assert together.combinations(pages(*([None] for _ in range(4000))), 200, dependent=True) is None


def test_the_elements_that_are_not_listed_have_their_share() -> None:
    shares = [0.5 / rank for rank in range(1, 101)]
    for steepness in (0.0, 0.7, 1.0):
        groups = elements._tail(shares, 3.0, 1e-5, steepness)
        assert sum(per_row for _, per_row in groups) == pytest.approx(3.0)
        assert all(per_row / many <= shares[-1] + 1e-9 for many, per_row in groups)
    assert sum(many for many, _ in elements._tail([], 2.0, 1e-3, 0.0)) == pytest.approx(2000)
