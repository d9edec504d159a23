"""Whether suggestions that were applied have kept what they promised: facts about each in, a verdict out. Pure.

What a statement was promised is a plan's cost; what is held against it is its measured time, before the index was built
and since. A statement that became faster for another reason, another index of the same list say, speaks for this one
too; one whose table has grown tenfold speaks against it. So nothing is dropped by this: whoever approved the index is
shown the numbers, and an entry to approve.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.spec.fragment import absent
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dbopt.suggest.remembering import Promise, PromisedStatement

# health's unused-index: a week has one of everything weekly.
LEAST_AGE = timedelta(days=7)
# Our own reasoning: a mean of fewer says nothing, and neither does it that fewer have not used an index.
CALLS_LEAST = 10
# Our own reasoning: a mean time moves by some percent from week to week with nothing done at all.
FASTER_RATIO = 0.9


class Verdict(StrEnum):
    """In the order in which they are shown: what asks for a decision first."""

    NOT_USED = "not used"
    NO_FASTER = "no faster"
    GONE = "gone"
    EARNED = "earned"
    TOO_EARLY = "too early"
    UNKNOWN = "unknown"  # nobody counts what it is for
    NOT_APPLIED = "not applied"

    @property
    def asks_to_drop(self) -> bool:
        return self in (Verdict.NOT_USED, Verdict.NO_FASTER)


@dataclass(frozen=True, slots=True)
class Times:
    """What a statement did in some time."""

    calls: float
    time_ms: float

    @property
    def mean_ms(self) -> float | None:
        return self.time_ms / self.calls if self.calls > 0 else None

    def __add__(self, other: Times) -> Times:
        return Times(self.calls + other.calls, self.time_ms + other.time_ms)


@dataclass(frozen=True, slots=True)
class Built:
    """The index came to be within this time: not before the one, and surely by the other."""

    from_at: datetime
    by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """The index as it is. `name`: it may have been renamed. `scans`: since it was built, those of known replicas
    included; None: nobody counts them. `counted_since`: from when on scans are counted; None: not known. `unasked`:
    replicas that could not be asked, and why. `domain`: in the name of which a spec made it; None: no spec did.
    """

    name: str
    is_valid: bool
    size_bytes: int
    scans: int | None
    counted_since: datetime | None
    unasked: tuple[tuple[str, str], ...] = ()
    domain: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFacts:
    """A statement that the index was to help. `before`, `after`: what it did before the index was built, and since;
    None: nobody has counted then. `query`: normalized, where the text is kept.
    """

    promised: PromisedStatement
    before: Times | None
    after: Times | None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one promise. `there` None: no such index now. `built` None: it was never seen."""

    promise: Promise
    promised_at: datetime
    there: There | None
    built: Built | None
    dropped_at: datetime | None
    statements: tuple[StatementFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """`reason`: why that is the verdict, in words, with its numbers. `before_ms`, `after_ms`: the mean time of all
    calls since, as they would have been before and as they are; None: they cannot be compared.
    """

    facts: Facts
    verdict: Verdict
    reason: str
    calls: float | None
    before_ms: float | None = None
    after_ms: float | None = None

    @property
    def since(self) -> datetime | None:
        return None if self.facts.built is None or self.facts.there is None else self.facts.built.by

    @property
    def index(self) -> str:
        return self.facts.promise.index if self.facts.there is None else self.facts.there.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All that was promised of one database. `at` by its clock. `lacks`: what could not be had, and what to type."""

    at: datetime
    found: tuple[Reviewed, ...]
    notes: tuple[str, ...] = ()
    lacks: tuple[tuple[str, str | None], ...] = ()


def reviewed(facts: Sequence[Facts], now: datetime) -> tuple[Reviewed, ...]:
    """Each with its verdict, those first that ask for a decision."""
    ranks = {verdict: rank for rank, verdict in enumerate(Verdict)}
    found = [judge(item, now) for item in facts]
    return tuple(
        sorted(
            found,
            key=lambda item: (ranks[item.verdict], item.facts.promise.schema, item.facts.promise.table, item.index),
        )
    )


def judge(facts: Facts, now: datetime) -> Reviewed:
    """The verdict on one. `now` by the clock of the database."""
    calls = _calls(facts)
    before_ms, after_ms = compared(facts.statements)

    def says(verdict: Verdict, reason: str) -> Reviewed:
        return Reviewed(
            facts=facts, verdict=verdict, reason=reason, calls=calls, before_ms=before_ms, after_ms=after_ms
        )

    there, built = facts.there, facts.built
    if there is None:
        if facts.dropped_at is not None:
            return says(Verdict.GONE, f"dropped on {facts.dropped_at:%Y-%m-%d}")
        if built is not None:
            return says(Verdict.GONE, "it was there, and is not any more")
        return says(Verdict.NOT_APPLIED, "there is no such index")
    if not there.is_valid:
        return says(Verdict.NOT_APPLIED, "it is INVALID: its build failed, or is not finished")
    if built is None or now - built.by < LEAST_AGE:
        day = (now if built is None else built.by) + LEAST_AGE
        known = "first seen now" if built is None else f"known for {_ago(now, built.by)}"
        return says(Verdict.TOO_EARLY, f"{known}: judged from {day:%Y-%m-%d} on")
    if there.scans is None:
        return says(Verdict.UNKNOWN, "scans are not counted: track_counts is off")
    if calls is None:
        return says(Verdict.UNKNOWN, f"{_scans(there.scans)}; nothing is known of its statements since it was built")
    if calls < CALLS_LEAST:
        return says(Verdict.TOO_EARLY, f"{_scans(there.scans)}; {_called(calls)} since, {CALLS_LEAST} are needed")
    if there.scans == 0:
        counted = built.by if there.counted_since is None else max(built.by, there.counted_since)
        if now - counted < LEAST_AGE:
            return says(Verdict.TOO_EARLY, f"no scan, but scans are counted for {_ago(now, counted)} only")
        if there.unasked:
            name, why = there.unasked[0]
            return says(Verdict.UNKNOWN, f"no scan here; what the replica {name} scans is not known: {why}")
        return says(Verdict.NOT_USED, f"no scan in {_ago(now, counted)}, though {_called(calls)}")
    if before_ms is None or after_ms is None:
        return says(Verdict.UNKNOWN, f"{_scans(there.scans)}; how long its statements took before is not known")
    took = f"{_scans(there.scans)}; its statements take {_ms(after_ms)} and took {_ms(before_ms)}"
    is_faster = after_ms <= FASTER_RATIO * before_ms
    return says(Verdict.EARNED if is_faster else Verdict.NO_FASTER, took)


def compared(statements: Sequence[StatementFacts]) -> tuple[float | None, float | None]:
    """The mean time of a call before and since, in ms. Weighed by the calls since, on both sides: that one of the
    statements is called more often now makes none of them slower.
    """
    calls = was = took = 0.0
    for item in statements:
        mean = None if item.before is None else item.before.mean_ms
        if mean is not None and item.after is not None and item.after.calls > 0:
            calls += item.after.calls
            was += item.after.calls * mean
            took += item.after.time_ms
    return (was / calls, took / calls) if calls > 0 else (None, None)


def proposals(found: Sequence[Reviewed], now: datetime) -> tuple[Mapping[str, object], ...]:
    """Entries of a spec that let those go which did not earn their place. `optimize` looks again at what is not used
    before it drops anything. Without those that no spec can name.
    """
    entries = (_absent(item, now) for item in found if item.verdict.asks_to_drop)
    return tuple(entry for entry in entries if entry is not None)


def _absent(item: Reviewed, now: datetime) -> Mapping[str, object] | None:
    promise = item.facts.promise
    why = (
        f"suggested on {item.facts.promised_at:%Y-%m-%d} for {_statements(len(promise.statements))};"
        f" as of {now:%Y-%m-%d} {item.verdict}: {item.reason}"
    )
    guard = {"guard": {"unused_for": f"{LEAST_AGE.days}d"}} if item.verdict is Verdict.NOT_USED else {}
    return absent(promise.schema, promise.table, item.index, why, **guard)


def _calls(facts: Facts) -> float | None:
    """Of all its statements since; None: nobody has counted them."""
    counted = [item.after.calls for item in facts.statements if item.after is not None]
    return sum(counted) if counted else None


def _called(calls: float) -> str:
    return f"its statements were called {calls:,.0f} time{'' if calls == 1 else 's'}"


def _scans(scans: int) -> str:
    return "no scan" if scans == 0 else f"{scans:,} scan{'' if scans == 1 else 's'}"


def _statements(number: int) -> str:
    return f"{number} statement{'' if number == 1 else 's'}"


def _ms(milliseconds: float) -> str:
    return format_duration(milliseconds / 1000)


def _ago(now: datetime, then: datetime) -> str:
    return format_duration(max(0.0, (now - then).total_seconds()))
