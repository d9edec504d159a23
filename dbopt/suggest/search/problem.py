"""What the search asks: what the whole workload costs with a set of candidates. Answers are kept, and used again.

A plan that uses the indexes U out of a set X is also the best one for every set between the two: what is not used may
go, and what would have been better was there to be chosen. So most sets need no planning.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt.suggest.candidates.terms import PATTERNS
from dbopt.suggest.model import GENERIC
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.model import Candidate, Costed, Name, Probe, Size, Subject, WriteCost

    Weighing = Callable[[Candidate], WriteCost]
    Measuring = Callable[[Candidate], Size | None]


Set = frozenset["Choice"]


class Choice:
    """A candidate, once in a search: sets of them are compared by identity, which costs far less than by value."""

    __slots__ = ("candidate",)

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate

    def __lt__(self, other: Choice) -> bool:
        return self.candidate < other.candidate


# What is written is certain, what a plan promises is not: so it has to promise twice as much. Our own.
CERTAINTY = 2.0
_MAIN = (GENERIC.name, "typical")
_OF_PATTERNS = ("typical", "common")


@dataclass(frozen=True, slots=True)
class _Known:
    """What one plan has told: it is that of every set of candidates that has `used` and nothing beyond `asked`."""

    asked: Set
    used: Set
    cost: float


class Problem:
    """`weights`: of each subject, what the workload pays for it as it is, in the planner's units. Of a set of
    candidates, a statement's own are those that could play a part in its plan.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        costing: Costing,
        weights: Sequence[float],
        *,
        size: Measuring,
        writes: Weighing,
        deadline: float,
    ) -> None:
        self.subjects = subjects
        self.weights = weights
        self._size = size
        self._writes = writes
        self._costing = costing
        self._deadline = deadline
        self._choices: dict[Candidate, Choice] = {}
        self._related: list[set[Choice]] = [set() for _ in subjects]
        self._interests = [_interests(subject) for subject in subjects]
        self._probes = [main_probes(subject) for subject in subjects]
        self._known: list[dict[str, list[_Known]]] = [defaultdict(list) for _ in subjects]
        self._exact: dict[tuple[int, str, Set], float] = {}
        self._base: dict[tuple[int, str], float] = {}

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    @contextlib.contextmanager
    def evened(self) -> Iterator[None]:
        """For a time, with the square roots of the weights, their sum kept: where there is no room for all, a statement
        that outweighs the others would fill it with ever smaller gains of its own. On TPC-H at half of its heap, whose
        Q20 is 97 % of the whole, the others come to 27 % of their cost by this, and to 41 % by the weights themselves.
        """
        kept = self.weights
        roots = [math.sqrt(weight) for weight in kept]
        whole = sum(roots)
        self.weights = [root * sum(kept) / whole if whole > 0 else root for root in roots]
        try:
            yield
        finally:
            self.weights = kept

    def choice(self, candidate: Candidate) -> Choice:
        found = self._choices.get(candidate)
        if found is None:
            found = self._choices[candidate] = Choice(candidate)
            for related, interests in zip(self._related, self._interests, strict=True):
                if _is_related(candidate, interests):
                    related.add(found)
        return found

    def choices(self, candidates: Iterable[Candidate]) -> Set:
        return frozenset(map(self.choice, candidates))

    def related(self, number: int) -> Collection[Choice]:
        """All choices so far that could play a part in a statement's plan."""
        return self._related[number]

    def own(self, number: int, chosen: Set) -> Set:
        return chosen & self._related[number]

    def learn(self, questions: Iterable[tuple[int, Set]]) -> None:
        """Plan what has to be planned for these, all at once."""
        wanted: dict[tuple[int, str, Set], Probe] = {}
        for number, chosen in questions:
            own = self.own(number, chosen)
            for probe in self._probes[number]:
                if self._recalled(number, probe.name, own) is None:
                    wanted[number, probe.name, own] = probe
        if not wanted:
            return
        answers = self._costing.ask(
            [
                (self.subjects[number], frozenset(item.candidate for item in own), probe)
                for (number, _, own), probe in wanted.items()
            ]
        )
        for ((number, _, own), probe), answer in zip(wanted.items(), answers, strict=True):
            self._note(number, probe, own, answer)

    def _note(self, number: int, probe: Probe, own: Set, answer: Costed | None) -> None:
        if answer is None:  # what cannot be planned now gains nothing
            self._exact[number, probe.name, own] = self._base.get((number, probe.name), 0.0)
            return
        if not own:
            self._base[number, probe.name] = answer.cost
        self._exact[number, probe.name, own] = answer.cost
        used = own & self.choices(answer.used)
        self._known[number][probe.name].append(_Known(own, used, answer.cost))

    def _recalled(self, number: int, probe: str, own: Set) -> float | None:
        exact = self._exact.get((number, probe, own))
        if exact is not None:
            return exact
        for known in self._known[number][probe]:
            if known.used <= own <= known.asked:
                self._exact[number, probe, own] = known.cost
                return known.cost
        return None

    def ratio(self, number: int, chosen: Set) -> float:
        """What the statement costs, as a share of what it costs as it is; over its main probes, each for itself."""
        own = self.own(number, chosen)
        shares = []
        for probe in self._probes[number]:
            cost = self._recalled(number, probe.name, own)
            if cost is None:
                self.learn([(number, frozenset()), (number, own)])
                cost = self._recalled(number, probe.name, own)
            base = self._base.get((number, probe.name), 0.0)
            shares.append(1.0 if base <= 0 or cost is None else cost / base)
        return sum(shares) / len(shares)

    def planned(self, number: int, chosen: Set) -> float:
        """What one call costs, on average over the main probes."""
        bases = [self._base.get((number, probe.name), 0.0) for probe in self._probes[number]]
        return self.ratio(number, chosen) * sum(bases) / len(bases)

    def used(self, number: int, chosen: Set) -> Set:
        """Of the set, what is in the statement's plans."""
        own = self.own(number, chosen)
        self.learn([(number, own)])
        found: set[Choice] = set()
        for probe in self._probes[number]:
            for known in self._known[number][probe.name]:
                if known.used <= own <= known.asked:
                    found |= known.used
                    break
        return frozenset(found)

    def cost(self, chosen: Set) -> float:
        """Of all statements."""
        self.learn((number, chosen) for number in range(len(self.subjects)))
        return sum(weight * self.ratio(number, chosen) for number, weight in enumerate(self.weights))

    def saving(self, before: Set, after: Set, numbers: Iterable[int] | None = None) -> float:
        """How much less the workload costs with the second set than with the first; `numbers`: or some statements."""
        concerned = self.concerned(before ^ after) if numbers is None else list(numbers)
        self.learn((number, chosen) for number in concerned for chosen in (before, after))
        return sum(
            self.weights[number] * (self.ratio(number, before) - self.ratio(number, after)) for number in concerned
        )

    def concerned(self, changed: Set) -> list[int]:
        """The statements in whose plans any of these could play a part."""
        return [number for number, related in enumerate(self._related) if not related.isdisjoint(changed)]

    def upkeep(self, chosen: Iterable[Choice]) -> float:
        """What writing to these costs, and a margin."""
        return CERTAINTY * sum(self._writes(item.candidate).cost for item in sorted(chosen))

    def size(self, item: Choice) -> Size | None:
        return self._size(item.candidate)

    def bytes(self, chosen: Iterable[Choice]) -> int:
        sizes = [self.size(item) for item in chosen]
        return sum(size.size_bytes for size in sizes if size is not None)


def main_probes(subject: Subject) -> tuple[Probe, ...]:
    """What the search looks at: any values and typical ones. Of a pattern that is a parameter, of which a plan for any
    values knows nothing, typical ones and common ones; common ones also where a LIMIT takes the first of an order, as
    only where there are many is sorting them long. All others are looked at when a list is proved.
    """
    is_first = any(access.order and access.limit and access.conditions for access in subject.accesses)
    names = _OF_PATTERNS if _has_patterns(subject) else (*_MAIN, "common") if is_first else _MAIN
    return tuple(probe for probe in subject.probes if probe.name in names) or subject.probes[:1] or (GENERIC,)


def _has_patterns(subject: Subject) -> bool:
    return any(
        condition.operator in PATTERNS and condition.pattern is None
        for access in subject.accesses
        for condition in access.conditions
    )


def _is_related(candidate: Candidate, interests: Mapping[Name, frozenset[str]]) -> bool:
    """Whether it begins with something that is asked for, or its predicate is about such."""
    names = interests.get(candidate.relation)
    if names is None:
        return False
    about = _columns(candidate.where) if candidate.where else frozenset((candidate.keys[0].name,))
    return about <= names


@lru_cache(maxsize=4096)
def _columns(predicate: str) -> frozenset[str]:
    from dbopt import grammar

    return frozenset(grammar.column_names(grammar.parse_expression(predicate)))


def _interests(subject: Subject) -> Mapping[Name, frozenset[str]]:
    """By table, the columns and expressions by which an index on it could be of use."""
    found: dict[Name, set[str]] = defaultdict(set)
    for access in subject.accesses:
        names = found[access.relation]
        for condition in (*access.conditions, *access.joins):
            names.update(condition.columns)
            names.add(condition.expression)
        names.update(item.column or item.expression or "" for item in access.order)
        names.update(access.group)
        names.update(access.extreme)
    return {name: frozenset(items) for name, items in found.items()}
