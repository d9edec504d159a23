"""How long a build will take, from what builds have taken. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.optimize.canonical import Definition
from dbopt.optimize.pace import Built, Pace
from dbopt.optimize.steps import Action, Proof, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 2**20


def build(size: float, table: float | None, method: str = "btree", statement: str = "CREATE INDEX ...") -> Step:
    """Sizes in MB."""
    form = Definition(
        method=method,
        unique=False,
        nulls_not_distinct=False,
        keys=(),
        include=(),
        predicate=None,
        parameters=(),
        tablespace=None,
    )
    known = {"size_bytes": int(size * MB), "rows": 1}
    return Step(
        action=Action.CREATE,
        index="i",
        schema="public",
        table="t",
        statements=(statement,),
        reason="",
        estimate=known if table is None else {**known, "table_bytes": int(table * MB)},
        proofs=(Proof(schema="public", index="i", table="t", definition=form),),
    )


def took(seconds: float, size: float, table: float | None, method: str = "btree") -> Built:
    return Built(method, int(size * MB), None if table is None else int(table * MB), seconds)


def test_nothing_is_known_of_another_method_or_of_none() -> None:
    assert Pace().seconds(build(10, 40)) is None
    assert Pace([took(1, 10, 40, "gin")]).seconds(build(10, 40)) is None


def test_what_builds_nothing_takes_no_time_to_build() -> None:
    assert Pace([took(1, 10, 40)]).seconds(build(10, 40, statement="ALTER INDEX ...")) is None


def test_both_the_table_and_the_index_take_time() -> None:
    pace = Pace([took(1, 10, 40)])
    assert pace.seconds(build(30, 120)) == pytest.approx(3)
    assert pace.seconds(build(10, 190)) == pytest.approx(4)  # a partial index of a large table


def test_without_the_size_of_tables_that_of_the_index_has_to_do() -> None:
    assert Pace([took(1, 10, None)]).seconds(build(30, 500)) == pytest.approx(3)
    assert Pace([took(1, 10, 40)]).seconds(build(30, None)) == pytest.approx(3)


def test_one_slow_build_does_not_slow_down_all() -> None:
    """Three quarters of the bytes were moved at the pace that counts, or a better one."""
    pace = Pace([took(1, 10, 40) for _ in range(7)] + [took(60, 10, 40)])
    assert pace.seconds(build(10, 40)) == pytest.approx(1)
    assert Pace([took(1, 10, 40), took(2, 10, 40)]).seconds(build(10, 40)) == pytest.approx(2)


def test_small_builds_say_little_about_large_ones() -> None:
    small = [took(0.02, 0.016, 0.016) for _ in range(50)]
    assert Pace([*small, took(10, 100, 400)]).seconds(build(200, 800)) == pytest.approx(20)
    assert Pace(small).seconds(build(200, 800)) is None
    assert Pace(small).seconds(build(1, 1)) == pytest.approx(1.25, rel=0.001)


def test_no_build_is_quicker_than_the_quickest() -> None:
    assert Pace([took(10, 100, 400), took(0.05, 0.5, 2)]).seconds(build(0.008, 0.008)) == pytest.approx(0.05)


def test_this_run_counts_alone_once_it_has_moved_as_much() -> None:
    pace = Pace([took(100, 100, 400)])
    pace.add(took(2, 10, 40))
    assert pace.seconds(build(10, 40)) == pytest.approx(2)
    assert pace.seconds(build(11, 40)) == pytest.approx(10.2)  # with what past runs have taken
    pace.add(took(2, 10, 40))
    assert pace.seconds(build(11, 40)) == pytest.approx(2.04)


def test_past_runs_are_read_once_and_only_when_they_are_needed() -> None:
    read = []

    def past() -> Iterator[Built]:
        read.append(1)
        yield took(1, 10, 40)

    pace = Pace(past())
    pace.add(took(1, 10, 40))
    assert pace.seconds(build(10, 40)) == pytest.approx(1)
    assert read == []
    for _ in range(2):
        assert pace.seconds(build(20, 80)) == pytest.approx(2)
    assert read == [1]
