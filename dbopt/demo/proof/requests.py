"""What users ask: the applications' own queries in a mix, their parameters by Zipf's law.

Owners of many rows are asked for as often as they have rows: parameters follow the law that the data itself follows
(recipe.Parent). A seed gives the same requests each time.
"""

from __future__ import annotations

import random
from hashlib import md5
from itertools import islice
from typing import TYPE_CHECKING, Any

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class Draw:
    """Chance, with a seed; `rows` says how many rows each table has."""

    def __init__(self, rows: Mapping[str, int], seed: str) -> None:
        self.rows = rows
        self.random = random.Random(seed)

    def number(self, table: str, among: float = 1) -> int:
        """Of a row: the k-th is asked for 1/k as often as the first. `among`: only of the first share of the table."""
        parents = max(1, round(self.rows[table] * among))
        return int((parents + 1.0) ** self.random.random())

    def id(self, table: str, among: float = 1) -> str:
        return identifier(table, self.number(table, among))

    def pick(self, **weights: float) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]


@dataclass(frozen=True, slots=True)
class Request:
    """One query of an application. `ask` gives its answer, or with an AsyncDatabase what to await."""

    name: str
    weight: float
    ask: Callable[[Any, Draw], Any]


def identifier(table: str, number: int) -> str:
    """As recipe.identifier has the server make it."""
    return f"c{number:08x}{md5(f'{table}{number}'.encode(), usedforsecurity=False).hexdigest()[:16]}"


class Recorder:
    """Stands for an application: an answer is what was asked."""

    def __getattr__(self, name: str) -> Callable[..., tuple[object, ...]]:
        return lambda *args, **options: (name, args, tuple(sorted(options.items())))


def different(mix: Sequence[Request], draw: Draw, reads: int) -> int:
    """How many of so many requests nobody has made before."""
    asked = Recorder()
    return len({request.ask(asked, draw) for request in islice(stream(mix, draw), reads)})


def stream(mix: Sequence[Request], draw: Draw) -> Iterator[Request]:
    """Without an end."""
    weights = [request.weight for request in mix]
    while True:
        yield from draw.random.choices(mix, weights, k=64)
