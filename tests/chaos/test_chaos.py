"""dbopt killed in every way at random moments of a plan, an application writing on: the next run puts all right."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.chaos.harness import harness
from tests.chaos.report import table

if TYPE_CHECKING:
    from dbopt.embedded import Binaries

RUNS = 25


def test_every_killed_run_converges(server_binaries: Binaries) -> None:
    """Another seed each time; the report says which, and `make chaos SEED=... ARGS='--only RUN'` does a run again."""
    seed = random.randrange(1_000_000)
    outcomes = list(harness(seed, range(RUNS), server_binaries))
    bad = [f"run {one.number} ({one.kind}): {'; '.join(one.problems)}" for one in outcomes if one.problems]
    assert not bad, "\n".join([f"seed {seed}", *bad, table(outcomes)])
    assert sum(one.when == "during" for one in outcomes) > RUNS / 2, table(outcomes)
