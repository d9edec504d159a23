"""Grow a list, then better it: by dropping, swapping, widening and merging. The best found so far is always at hand.

After Extend (Schlosser, Kossmann, Boissier: "Efficient Scalable Multi-Attribute Index Selection Using Recursive
Strategies", ICDE 2019), which came off best in Kossmann et al., "Magic mirror in my hand", VLDB 2020: a list grows by
what gains most for its bytes. Unlike it, whole sets that one statement's plan takes together may come in at once, what
an index costs in writing counts, and nothing that was chosen has to stay.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from dbopt.suggest.candidates.existing import is_prefix
from dbopt.suggest.search import moves
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.suggest.model import Candidate, Name, Table
    from dbopt.suggest.search.problem import Choice, Problem, Set

# An index has to gain so much of what the workload costs with those chosen so far: one statement in a thousand is not
# worth what everybody who reads the schema has to know. Our own.
LEAST_GAIN = 0.001
# A larger index has to gain more: as much again for each hundredth of the heap that it takes. What is not in use has to
# be cached, vacuumed, replicated and backed up all the same. Our own.
BYTES_SHARE = 0.01
# And some statement has to become so much cheaper, or the planner's error is larger than the gain. Our own.
LEAST_SAVING = 0.05
LEAST_COST = 10.0  # and that by so many of the planner's units a call: some ten pages
# Of a covering index one call has to gain so much, in the planner's units: fifty random pages. The planner thinks that
# each comes from a disk, but those of rows that are read often are in memory. Our own.
COVERING_LEAST = 200.0
_ROUNDS_MAX = 6  # of bettering; after two or three nothing changes any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    budget_bytes: int | None = None
    max_indexes: int | None = None


class Search:
    """`possible`: by the number of a statement, the candidates that were thought of for it."""

    def __init__(
        self,
        problem: Problem,
        possible: Sequence[Sequence[Candidate]],
        tables: Mapping[Name, Table],
        limits: Limits,
        progress: Callable[[str], None],
    ) -> None:
        self._problem = problem
        self._possible = [problem.choices(made) for made in possible]
        self._tables = tables
        self._limits = limits
        self._is_rationed = limits.budget_bytes is not None
        self._progress = progress
        self._heap_bytes = max(sum(table.relation.size_bytes for table in tables.values()), 1)
        self._banned: set[Choice] = set()
        self._fans: dict[Choice, set[int]] = {}  # statements that a candidate helps by itself
        self.is_complete = True

    def run(self) -> frozenset[Candidate]:
        """The best list found. The same for the same answers, as long as there is time."""
        return _candidates(self._run())

    def bettered(self, chosen: Iterable[Candidate]) -> frozenset[Candidate]:
        """A list that something was taken out of, filled up and bettered."""
        return _candidates(self._bettered(self._problem.choices(chosen), self._promising()))

    def ban(self, candidate: Candidate) -> None:
        self._banned.add(self._problem.choice(candidate))

    def _run(self) -> Set:
        start: Set = frozenset()
        promising = self._promising()
        limits = self._limits
        self._limits = Limits(max_indexes=limits.max_indexes)
        chosen = self._grown(start, promising, by_bytes=False)
        self._limits = limits
        if limits.budget_bytes is None or self._fits(chosen):
            return self._bettered(chosen, promising)
        with self._problem.evened():
            chosen = self._bettered(self._grown(start, promising, by_bytes=True), promising)
        # By their own weights, each has to be worth what is written to it.
        return frozenset(item for item in chosen if self._loss(chosen, item) > 0)

    def _promising(self) -> list[Set]:
        """Single candidates, and what plans take of all that was thought of for a statement together."""
        problem = self._problem
        every = [made - self._banned for made in self._possible]
        alone = {(number, item): frozenset((item,)) for number, made in enumerate(every) for item in sorted(made)}
        problem.learn((number, frozenset()) for number in range(len(every)))
        problem.learn((number, chosen) for (number, _), chosen in alone.items())
        # What makes a statement dearer by itself, as the planner falls for it, would hide what helps.
        sound: list[set[Choice]] = [set() for _ in every]
        for (number, item), chosen in alone.items():
            share = problem.ratio(number, chosen)
            if share <= 1:
                sound[number].add(item)
            if share <= 1 - LEAST_SAVING:
                self._fans.setdefault(item, set()).add(number)
        together = [frozenset(items) for items in sound]
        problem.learn(enumerate(together))
        found: dict[Set, None] = {}
        for number, made in enumerate(together):
            if problem.ratio(number, made) <= 1 - LEAST_SAVING:
                found[problem.used(number, made)] = None
        for item in sorted(self._fans):
            if item not in self._banned:
                found[frozenset((item,))] = None
        return list(found)

    def _grown(self, start: Set, promising: Sequence[Set], *, by_bytes: bool) -> Set:
        """What gains most comes first. Gains are looked at again only when they come to the top: they seldom grow."""
        chosen = start
        heap = [(-self._value(start, item, by_bytes=by_bytes), sorted(item), item) for item in promising]
        heapq.heapify(heap)
        while heap and not self._is_late():
            _, key, item = heapq.heappop(heap)
            added = item - chosen
            if not added or not self._fits(chosen | added) or _is_doubled(chosen, added):
                continue
            value = self._value(chosen, added, by_bytes=by_bytes)
            if value <= 0:
                continue
            if heap and -value > heap[0][0]:
                heapq.heappush(heap, (-value, key, item))
                continue
            if self._is_worth_it(chosen, chosen | added):
                chosen |= added
                self._progress(f"indexes: {len(chosen)}")
        return chosen

    def _value(self, chosen: Set, added: Set, *, by_bytes: bool) -> float:
        new = chosen | added
        gain = self._problem.saving(chosen, new) - self._problem.upkeep(added - chosen)
        return gain / (self._problem.bytes(added - chosen) + 8192) if by_bytes else gain

    def _is_worth_it(self, before: Set, after: Set) -> bool:
        """Whether the gain is more than noise."""
        problem = self._problem
        gain = problem.saving(before, after) - problem.upkeep(after - before) + problem.upkeep(before - after)
        if gain < self._least(before, problem.bytes(after - before) - problem.bytes(before - after)):
            return False
        for number in range(len(problem.subjects)):
            new, old = problem.planned(number, after), problem.planned(number, before)
            if new < (1 - LEAST_SAVING) * old and old - new >= LEAST_COST:
                return True
        return False

    def _bettered(self, chosen: Set, promising: Sequence[Set]) -> Set:
        for _ in range(_ROUNDS_MAX):
            before = chosen
            chosen = self._dropped(chosen)
            chosen = self._exchanged(chosen, promising)
            chosen = self._merged(chosen)
            chosen = self._grown(chosen, promising, by_bytes=False)
            if chosen == before or self._is_late():
                break
        return self._dropped(chosen)

    def _dropped(self, chosen: Set) -> Set:
        """Without those that the others have made superfluous, the least useful first."""
        chosen = frozenset(item for item in chosen if not _is_doubled(chosen - {item}, (item,)))
        while chosen and not self._is_late():
            spare = {
                item: self._loss(chosen, item) - self._least(chosen, self._problem.bytes((item,)))
                for item in sorted(chosen)
            }
            least = min(sorted(chosen), key=lambda item: spare[item])
            if spare[least] >= 0:
                break
            chosen -= {least}
        return chosen

    def _loss(self, chosen: Set, item: Choice) -> float:
        users = self._users(chosen, (item,))
        return self._problem.saving(chosen - {item}, chosen, users) - self._problem.upkeep((item,))

    def _exchanged(self, chosen: Set, promising: Sequence[Set]) -> Set:
        """Each for a wider or narrower one, or for another of its table."""
        singles = [next(iter(item)) for item in promising if len(item) == 1]
        for item in sorted(chosen):
            if item not in chosen or self._is_late():
                continue
            users = self._users(chosen, (item,))
            narrower = map(self._problem.choice, moves.narrower(item.candidate))
            wider = self._covering(chosen, item, users)
            others = [*narrower, *wider, *(other for other in singles if _is_alike(other, item))]
            chosen = self._best_exchange(chosen, [item], others)
        return chosen

    def _covering(self, chosen: Set, item: Choice, users: Sequence[int]) -> list[Choice]:
        """With more columns, where that saves one of its statements enough of the table's pages."""
        problem = self._problem
        subjects = [problem.subjects[number] for number in users]
        made = {
            other: (chosen - {item}) | {other}
            for other in map(problem.choice, moves.wider(item.candidate, subjects, self._tables))
        }
        problem.learn((number, new) for new in made.values() for number in users)
        return [
            other
            for other, new in made.items()
            if any(problem.planned(number, chosen) - problem.planned(number, new) >= COVERING_LEAST for number in users)
        ]

    def _users(self, chosen: Set, items: Iterable[Choice]) -> list[int]:
        """The statements in whose plans any of these is."""
        wanted = frozenset(items)
        return [
            number
            for number in self._problem.concerned(wanted)
            if not wanted.isdisjoint(self._problem.used(number, chosen))
        ]

    def _merged(self, chosen: Set) -> Set:
        for one, other in itertools.permutations(sorted(chosen), 2):
            if one in chosen and other in chosen and not self._is_late():
                chosen = self._best_exchange(chosen, [one, other], self._made_of(one, other))
        return chosen

    def _made_of(self, one: Choice, other: Choice) -> list[Choice]:
        return [self._problem.choice(made) for made in moves.merged(one.candidate, other.candidate, self._tables)]

    def _best_exchange(self, chosen: Set, old: Sequence[Choice], others: Iterable[Choice]) -> Set:
        """With the best of the others in the place of the old ones, if that is better than what is."""
        rest = chosen - frozenset(old)
        possible = {
            other: rest | {other}
            for other in dict.fromkeys(others)
            if other not in chosen and other not in self._banned and self._fits(rest | {other})
        }
        if not possible:
            return chosen
        # Those that used what goes, and those whom the new one helps: to all others it makes no difference.
        users = set(self._users(chosen, old))
        numbers = {other: sorted(users | self._fans.get(other, set())) for other in possible}
        self._problem.learn((number, new) for other, new in possible.items() for number in numbers[other])
        best, most = chosen, 0.0
        for other, new in possible.items():
            gain = self._advantage(chosen, new, numbers[other])
            if gain > most:
                best, most = new, gain
        return best

    def _advantage(self, before: Set, after: Set, numbers: Sequence[int]) -> float:
        """What the second list gains; where it is as good as the first, fewer bytes count."""
        problem = self._problem
        gain = problem.saving(before, after, numbers) + problem.upkeep(before - after) - problem.upkeep(after - before)
        larger = problem.bytes(after - before) - problem.bytes(before - after)
        least = self._least(before, abs(larger))
        if larger >= 0:
            return gain if gain >= least else 0.0
        return max(gain + least, 0.0) if gain > -least / 2 else 0.0

    def _least(self, chosen: Set, size_bytes: int) -> float:
        """What so many bytes have to gain. With a budget, that is what they are rationed by."""
        if self._is_rationed:
            return LEAST_GAIN * self._problem.cost(chosen)
        share = size_bytes / (BYTES_SHARE * self._heap_bytes)
        return LEAST_GAIN * self._problem.cost(chosen) * max(share, 1.0)

    def _fits(self, chosen: Set) -> bool:
        limits = self._limits
        if not chosen.isdisjoint(self._banned):
            return False
        if limits.max_indexes is not None and len(chosen) > limits.max_indexes:
            return False
        if limits.budget_bytes is None:
            return True
        if any(self._problem.size(item) is None for item in chosen):
            return False  # nobody knows whether it would fit
        return self._problem.bytes(chosen) <= limits.budget_bytes

    def _is_late(self) -> bool:
        if self._problem.is_late:
            self.is_complete = False
        return self._problem.is_late


def _is_alike(one: Choice, other: Choice) -> bool:
    """Whether it could take the other's place: of two indexes of a table, they have a key in common."""
    first, second = one.candidate, other.candidate
    names = {key.name for key in first.keys}
    return first.relation == second.relation and not names.isdisjoint(key.name for key in second.keys)


def _candidates(chosen: Set) -> frozenset[Candidate]:
    return frozenset(item.candidate for item in chosen)


def _is_doubled(chosen: Set, items: Iterable[Choice]) -> bool:
    """Whether another one begins with all that one of these is."""
    return any(is_prefix(item.candidate, other.candidate) for item in items for other in chosen)
