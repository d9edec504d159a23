"""Whether a subject's counters went on between two readings, and if not, from where they count and since when. Pure.

Whatever cannot be told is left out of rates, and counted as the least that it can have been: a sum may be too small
where counters were destroyed, and is never too big.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from dbopt.snapshot.model import CLIENTS, Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dbopt.snapshot.model import Part, Subject

# Sums of floating-point numbers may come out a little smaller when the server adds to them.
_RELATIVE_NOISE = 1e-9

# REINDEX CONCURRENTLY calls an index so until it takes the place of the old one.
_BEING_REBUILT = re.compile(r'_ccnew\d*"?$')
_LAST_NAME = re.compile(r'(?:"(?:[^"]|"")+"|[^".]+)$')


@dataclass(frozen=True, slots=True)
class Course:
    """How a subject came from the reading before to this one.

    `base`: what to subtract; None: nothing, it was counted from zero. `lost_seconds`: how much of the time between the
    two its counts do not speak of; None: that is not known, so they speak of no time at all.
    """

    base: Subject | None
    lost_seconds: float | None = 0.0
    is_known: bool = True  # False: the two cannot be compared
    was: str = ""
    why: str = ""  # what interrupted the counting, in words


# In words, as intervals say it.
STARTED_ANEW = "the counters were started anew"
EVICTED = "statements were dropped from pg_stat_statements to make room"
DROPPED = "a table or index was dropped"
FELL = "the counters fell, and nobody reset them"

UNKNOWN = Course(None, None, is_known=False)
_FALLEN = Course(None, None, is_known=False, why=FELL)


class Rule:
    """What is the same for all subjects of a family. This one: each has its own time of reset."""

    has_sizes = True  # whose end is a change
    same_is_idle = False  # a subject that says the same as before needs no course: it did nothing

    def __init__(self, before: Part, now: Part) -> None:
        self.before = before
        self.now = now
        self.counts = places(before.counts, now.counts)
        self._replaced: set[str] = set()

    @property
    def breaks(self) -> tuple[str, ...]:
        """What is to be said of the interval as a whole."""
        return ()

    def course(self, subject: Subject) -> Course:
        earlier = self.before.subjects.get(subject.key)
        if earlier is None or earlier.identity != subject.identity:
            return self.restarted(subject.since)
        if self.fell(earlier, subject):
            return self.restarted(subject.since) if subject.since != earlier.since else _FALLEN
        if subject.since == earlier.since or subject.since is None or earlier.since is None:
            return Course(earlier)
        return self.restarted(subject.since)

    def gone(self, key: str) -> Course | None:
        """Of a subject that is there no more. None: it has another key."""
        return None if key in self._replaced else UNKNOWN

    def fell(self, earlier: Subject, subject: Subject, names: Iterable[str] | None = None) -> bool:
        """Whether a counter is lower than it was; `names`: one of these."""
        if names is None and self.before.counts == self.now.counts:
            return any(map(is_less, subject.counts, earlier.counts))
        chosen = None if names is None else set(names)
        return any(
            at is not None and (chosen is None or name in chosen) and is_less(value, earlier.counts[at])
            for value, at, name in zip(subject.counts, self.counts, self.now.counts, strict=True)
        )

    def restarted(self, at: datetime | None) -> Course:
        """`at` this moment. It has to lie between the two readings: else it was there before, and was not seen."""
        if at is None or at <= self.before.taken_at:
            return UNKNOWN
        return Course(None, self.until(at), why=STARTED_ANEW)

    def until(self, at: datetime) -> float:
        """Seconds from the reading before to a moment."""
        return (min(at, self.now.taken_at) - self.before.taken_at).total_seconds()


class _Whole(Enum):
    """What became of all counters of the database."""

    WENT_ON = "nobody reset anything"
    PART_OF_IT = "some were reset one by one"
    RESET = "all were reset"
    UNCLEAR = "the one or the other"


class OfDatabase(Rule):
    """Counters that share the database's time of reset, which also moves when one table is reset."""

    def __init__(self, before: Part, now: Part) -> None:
        super().__init__(before, now)
        self.whole, self.lost_seconds = self._whole()
        self.same_is_idle = self.whole is _Whole.WENT_ON

    def course(self, subject: Subject) -> Course:
        earlier = self.before.subjects.get(subject.key)
        if earlier is not None and earlier.identity != subject.identity:
            earlier = None
        if self.whole is _Whole.RESET:
            return Course(None, self.lost_seconds, why=STARTED_ANEW)
        # Any of them may have been reset by itself, and may have counted more since than it had before.
        lost = 0.0 if self.whole is _Whole.WENT_ON else None
        if earlier is None:
            return Course(None, lost)
        if self.fell(earlier, subject):
            return _FALLEN if self.whole is _Whole.WENT_ON else Course(None, None, why=STARTED_ANEW)
        return Course(earlier, lost)

    def _whole(self) -> tuple[_Whole, float | None]:
        """And for how long after the reading before nothing is known; None: not even that."""
        before, now = self.before, self.now
        if now.since == before.since or now.since is None or before.since is None:
            return _Whole.WENT_ON, 0.0
        database_fell = any(map(is_less, now.of_database, before.of_database))
        if now.remembers is not None and now.remembers <= before.taken_at:
            # Both at once: it is being reset right now.
            return (_Whole.UNCLEAR, None) if database_fell else (_Whole.PART_OF_IT, 0.0)
        if now.since <= before.taken_at or not database_fell:
            return _Whole.UNCLEAR, None
        # What is remembered from before the last reset is from after the one that erased all: that was an earlier one.
        is_last = now.remembers is None or now.remembers >= now.since
        return _Whole.RESET, self.until(now.since) if is_last else None


class OfIndexes(OfDatabase):
    """REINDEX CONCURRENTLY gives an index another oid, and copies its counters there."""

    @cached_property
    def _named(self) -> dict[tuple[str, str], Subject]:
        """Those of before by their table and name; where nothing moved, nobody asks."""
        return {(item.identity, _last_name(item.name)): item for item in self.before.subjects.values()}

    def course(self, subject: Subject) -> Course:
        earlier = self.before.subjects.get(subject.key)
        if earlier is not None and (earlier.name, earlier.identity) == (subject.name, subject.identity):
            return super().course(subject)
        old = self._named.get((subject.identity, _last_name(subject.name)))
        if old is None or old.key == subject.key:
            return super().course(subject)
        if earlier is not None and not _BEING_REBUILT.search(earlier.name):
            return super().course(subject)  # renamed
        if self.whole is _Whole.RESET:
            self._replaced.add(old.key)
            return Course(None, self.lost_seconds, was=old.key, why=STARTED_ANEW)
        # As long as the old one waits for its last readers, it goes on counting what it had when it was copied.
        base = self.now.subjects.get(old.key, old)
        if self.before.counts != self.now.counts:
            return UNKNOWN
        fell = any(map(is_less, subject.counts, base.counts))
        if fell and self.whole is _Whole.WENT_ON:
            return Course(None)  # dropped, and made anew under the same name
        self._replaced.add(old.key)
        if fell:  # rebuilt, and reset
            return Course(None, None, was=old.key, why=STARTED_ANEW)
        return Course(base, 0.0 if self.whole is _Whole.WENT_ON else None, was=old.key)


class OfSums(OfDatabase):
    """Sums over many: one that is dropped takes along what it has counted. `identity`: who is in the sum."""

    def course(self, subject: Subject) -> Course:
        earlier = self.before.subjects.get(subject.key)
        if earlier is None:
            return UNKNOWN
        is_complete = members(earlier.identity) <= members(subject.identity)
        if self.whole is _Whole.RESET:
            return Course(None, self.lost_seconds if is_complete else None, why=STARTED_ANEW)
        if not is_complete:
            return Course(None, None, is_known=False, why=DROPPED)
        if self.whole is not _Whole.WENT_ON:
            return Course(None, None, is_known=False, why=STARTED_ANEW)  # whoever was reset took along its share
        return _FALLEN if self.fell(earlier, subject) else Course(earlier)


class OfServer(Rule):
    """The server's own groups, each with its own time of reset; those of the database among them."""

    def __init__(self, before: Part, now: Part) -> None:
        super().__init__(before, now)
        self._of_database = OfDatabase(before, now)

    def course(self, subject: Subject) -> Course:
        if subject.key != "database":
            return super().course(subject)
        earlier = self.before.subjects.get(subject.key)
        if earlier is None:
            return UNKNOWN
        whole = self._of_database.whole
        if whole is _Whole.RESET:
            return self._of_database.course(subject)
        if self.fell(earlier, subject, [name for name in self.now.counts if not name.startswith("catalog_")]):
            return _FALLEN
        # A catalog may have been reset by itself: a column that fell is left out.
        return Course(earlier, 0.0 if whole is not _Whole.UNCLEAR else None)


class OfStatements(Rule):
    """Entries of pg_stat_statements: dropped to make room, or all at once, and made anew by the next call."""

    has_sizes = False
    same_is_idle = True

    def __init__(self, before: Part, now: Part) -> None:
        super().__init__(before, now)
        self._gauges = places(before.gauges, now.gauges)
        self._reset = now.since if now.since is not None and now.since > before.taken_at else None
        if now.evictions is None:  # before 1.9, or nothing is there
            self._evicts = any(
                key not in now.subjects or self._is_new(subject, now.subjects[key])
                for key, subject in before.subjects.items()
            )
        else:
            self._evicts = now.evictions != (0 if self._reset is not None else before.evictions or 0)

    @property
    def breaks(self) -> tuple[str, ...]:
        return (EVICTED,) if self._evicts else ()

    def course(self, subject: Subject) -> Course:
        earlier = self.before.subjects.get(subject.key)
        if earlier is not None and not self._is_new(earlier, subject):
            return Course(earlier)
        own = subject.since if self.now.has_own_since else None
        if own is not None and own <= self.before.taken_at:
            return UNKNOWN  # it was there, and was not seen
        if not self._evicts and self._reset is not None:
            # From the reset on, there was no entry because there was no call.
            return Course(None, self.until(self._reset), why=STARTED_ANEW)
        if not self._evicts and earlier is None:
            return Course(None)
        return Course(None, None if own is None else self.until(own), why="" if earlier is None else STARTED_ANEW)

    def gone(self, key: str) -> Course | None:
        if not self._evicts and self._reset is not None:
            return Course(None, self.until(self._reset), is_known=False)
        return super().gone(key)

    def _is_new(self, earlier: Subject, subject: Subject) -> bool:
        """Whether it is another entry under the same key."""
        if self.now.has_own_since:
            return subject.since != earlier.since
        return subject.since != earlier.since or self.fell(earlier, subject) or self._passed_its_marks(earlier, subject)

    def _passed_its_marks(self, earlier: Subject, subject: Subject) -> bool:
        """The most that a statement ever took never falls, and the least never rises, as long as its entry lives."""
        for name, value, at in zip(self.now.gauges, subject.gauges, self._gauges, strict=True):
            old = None if at is None else earlier.gauges[at]
            if value is None or old is None:
                continue
            if (name.startswith("max_") and value < old) or (name.startswith("min_") and value > old):
                return True
        return False


class OfProcess(Rule):
    """What a process of an application counts. The next one under its name begins at zero: nobody reset anything."""

    def restarted(self, at: datetime | None) -> Course:
        course = super().restarted(at)
        return Course(None, course.lost_seconds, course.is_known)


def rule(before: Part, now: Part) -> Rule:
    """Of the same family."""
    return _RULES.get(now.family, OfProcess if now.family.startswith(CLIENTS) else Rule)(before, now)


_RULES: dict[str, type[Rule]] = {
    Family.SERVER: OfServer,
    Family.RELATIONS: OfSums,
    Family.STATEMENTS: OfStatements,
    Family.TABLES: OfDatabase,
    Family.INDEXES: OfIndexes,
}


def is_other_machine(before: Part, now: Part) -> bool:
    """A standby that others stand behind the same name for: none of its counters began when ours did, and not all of
    them since the reading before.
    """
    pairs = [
        (old, new) for old, new in zip(before.machine, now.machine, strict=False) if old is not None and new is not None
    ]
    return bool(pairs) and all(old != new for old, new in pairs) and min(new for _, new in pairs) <= before.taken_at


def gaps(oids: Iterable[int]) -> str:
    """A set of oids, so that it takes little room: the first, and how far each is from the one before."""
    last, words = 0, []
    for oid in sorted(oids):
        words.append(str(oid - last))
        last = oid
    return " ".join(words)


def members(identity: str) -> set[int]:
    """The oids again."""
    last, found = 0, set()
    for word in identity.split():
        last += int(word)
        found.add(last)
    return found


def places(old: tuple[str, ...], new: tuple[str, ...]) -> list[int | None]:
    where = {name: at for at, name in enumerate(old)}
    return [where.get(name) for name in new]


def is_less(value: float | None, old: float | None) -> bool:
    return value is not None and old is not None and value < old * (1 - _RELATIVE_NOISE)


def _last_name(name: str) -> str:
    """Without the schema, which is that of the table."""
    found = _LAST_NAME.search(name)
    return name if found is None else found[0]
