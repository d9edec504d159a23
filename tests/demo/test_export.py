"""Both samples, exported: nothing is to be done with what comes out, before their specs and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.optimize.exports import assert_empty, exported, names, plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Optimized, Sample


def test_nothing_is_to_be_done_with_it(sample: Sample, tmp_path: Path) -> None:
    found = exported(sample.database)
    assert len(names(found)) >= 5
    assert_empty(plan_of(sample.database, tmp_path / "specs", found))


def test_nor_with_what_dbopt_has_made(optimized: Optimized, tmp_path: Path) -> None:
    sample = optimized.sample
    found = exported(sample.database)
    assert {item.name for item in sample.specs.indexes} <= {name for _, name in names(found)}
    assert_empty(plan_of(sample.database, tmp_path / "specs", found))
    marked = [item for item in found if getattr(item, "domain", None) == sample.app.name]
    assert len(marked) == len(sample.specs.indexes)
