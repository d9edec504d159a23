"""`make chaos RUNS=200`: dbopt killed again and again while an application writes; after each kill one more run.

Each run has a plan of twelve indexes of its own, and is killed in its own way at its own moment, all from the seed: the
same seed makes the same plans and kills, while the moment is as near as two processes can come. What did not end as it
should is listed with its folder. Exit code 1 then.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.chaos.harness import harness
from tests.chaos.report import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Kills dbopt at random moments.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", type=int, metavar="RUN", help="this run of the seed and no other")
    options = parser.parse_args()
    numbers = range(options.runs) if options.only is None else [options.only]
    print(f"seed {options.seed}", flush=True)
    outcomes = []
    for outcome in harness(options.seed, numbers):
        outcomes.append(outcome)
        for problem in outcome.problems:
            print(f"run {outcome.number} ({outcome.kind}): {problem}", flush=True)
    print(table(outcomes))
    return int(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
