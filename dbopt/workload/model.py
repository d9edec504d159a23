"""The values: a Statement with what it cost, how it is planned, and what was found about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from datetime import datetime
from enum import StrEnum
from math import sqrt
from typing import Any

from dbopt.values import dataclass


class Kind(StrEnum):
    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    UTILITY = "utility"  # what has no plan: DDL, VACUUM, COPY, SET, BEGIN
    OWN = "dbopt"  # sent by dbopt
    UNKNOWN = "unknown"  # the text is hidden, gone, or cut off where it cannot be told

    @property
    def has_plan(self) -> bool:
        return self in (Kind.SELECT, Kind.INSERT, Kind.UPDATE, Kind.DELETE, Kind.MERGE)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a text alone says. Texts that differ in values, in white space, in how many values an IN list has or in
    which schema an unqualified table is found have one fingerprint.
    """

    fingerprint: str  # 16 hexadecimal digits
    kind: Kind
    relations: tuple[
        str, ...
    ]  # as they are written, `schema.table` or `table`, each once; common table expressions not


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a statement did in a window; sums over all who ran it. None: not counted (an old pg_stat_statements, a
    sample, a log), which is not 0. Times in ms, blocks of the server's block size (8 kB), variance from the squares.
    """

    calls: float = 0.0
    total_exec_time_ms: float = 0.0
    sum_squares_ms2: float | None = None
    rows: float | None = None
    plans: float | None = None
    total_plan_time_ms: float | None = None
    shared_blks_hit: float | None = None
    shared_blks_read: float | None = None
    shared_blks_dirtied: float | None = None
    shared_blks_written: float | None = None
    temp_blks_read: float | None = None
    temp_blks_written: float | None = None
    blk_read_time_ms: float | None = None
    blk_write_time_ms: float | None = None
    wal_bytes: float | None = None

    @property
    def mean_exec_time_ms(self) -> float | None:
        return self.total_exec_time_ms / self.calls if self.calls > 0 else None

    @property
    def stddev_exec_time_ms(self) -> float | None:
        if self.sum_squares_ms2 is None or self.calls <= 0:
            return None
        mean = self.total_exec_time_ms / self.calls
        return sqrt(max(0.0, self.sum_squares_ms2 / self.calls - mean**2))

    @property
    def rows_per_call(self) -> float | None:
        return None if self.rows is None or self.calls <= 0 else self.rows / self.calls

    @property
    def io_time_ms(self) -> float | None:
        """None: not counted. 0 is also what a server says that has track_io_timing off."""
        if self.blk_read_time_ms is None and self.blk_write_time_ms is None:
            return None
        return (self.blk_read_time_ms or 0.0) + (self.blk_write_time_ms or 0.0)

    @property
    def hit_ratio(self) -> float | None:
        if self.shared_blks_hit is None or self.shared_blks_read is None:
            return None
        whole = self.shared_blks_hit + self.shared_blks_read
        return self.shared_blks_hit / whole if whole > 0 else None

    def __add__(self, other: Counters) -> Counters:
        return Counters(**{name: _sum(getattr(self, name), getattr(other, name)) for name in COUNTS})


def _sum(one: float | None, other: float | None) -> Any:
    return other if one is None else one if other is None else one + other


COUNTS: tuple[str, ...] = tuple(item.name for item in fields(Counters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something found about one statement. `code` is the file's name in findings/ with `-` for `_`.

    `message`: what is seen, with its numbers. `why`: what it costs. `hint`: what to do or to type. `spec`: an entry of
    an index spec, where an index would help. `nodes`: numbers of the plan's nodes that it is about.
    """

    code: str
    message: str
    why: str
    hint: str | None = None
    spec: Mapping[str, Any] | None = None
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplanned:
    """Why there is no plan, and what to type. `is_lasting`: the text is why, so that it need not be tried again."""

    reason: str
    hint: str | None = None
    is_lasting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How the planner would run a statement for any values of its parameters; never run, unless `is_analyzed`.

    `documents` is what EXPLAIN (FORMAT JSON) said, whole: usually one, of a rule several. `parameter_types`: of $1 on,
    as they were inferred. `search_path`: by which the names in it were found; None: the session's own.
    """

    query: str  # as it was explained: `date $1` is no SQL, `CAST($1 AS date)` is
    documents: tuple[Mapping[str, Any], ...]
    planned_at: datetime
    parameter_types: tuple[str, ...] = ()
    search_path: tuple[str, ...] | None = None
    is_analyzed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A plan that a statement has had: seen first and last, and in a few words: `Index Scan using a on b`."""

    digest: str
    summary: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The plan became another one, at a time between these two looks."""

    before: Shape
    after: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement, be it under several ids. `queryids`: those of pg_stat_statements, the costliest first; empty where
    the source has none. `share`: of the time of all statements in the window, 0..1. `before`: the same in the window
    that it is compared with; None: nothing to compare with; zero calls: it is new.
    """

    fingerprint: str | None  # None: the text is not known
    queryids: tuple[int, ...] = ()
    query: str | None = None  # normalized: without values, comments and passwords
    kind: Kind = Kind.UNKNOWN
    relations: tuple[str, ...] = ()
    users: tuple[str, ...] = ()  # the one that it took the most time for first, as the ids
    userids: tuple[int, ...] = ()
    dbname: str | None = None  # where it is not the database that dbopt is connected to
    counters: Counters
    share: float | None = None
    calls_share: float | None = None  # of the calls of all statements
    seconds: float | None = None  # for how long it was watched; None: not known
    # Since the server's counters began, not of the window; of a sample, the longest that was seen.
    max_exec_time_ms: float | None = None
    samples: int | None = None  # of a sample: how often it was seen at work
    sessions: int | None = None  # of a sample: the most that ran it at once
    waits: tuple[tuple[str, int], ...] = ()  # of a sample: what it waited for, how often
    before: Counters | None = None
    before_seconds: float | None = None
    planned: Planned | Unplanned | None = None  # None: nobody has asked for a plan
    advice: tuple[Advice, ...] = ()
    flips: tuple[Flip, ...] = ()  # the newest first

    @property
    def queryid(self) -> int | None:
        return self.queryids[0] if self.queryids else None

    @property
    def calls_per_second(self) -> float | None:
        return None if not self.seconds else self.counters.calls / self.seconds

    @property
    def slower(self) -> float | None:
        """How many times the mean time is what it was."""
        mean, old = self.counters.mean_exec_time_ms, None if self.before is None else self.before.mean_exec_time_ms
        return None if mean is None or not old else mean / old

    @property
    def more_frequent(self) -> float | None:
        """How many times as often it is called, each second."""
        if self.before is None or not self.before.calls or not self.before_seconds or not self.seconds:
            return None
        return (self.counters.calls / self.seconds) / (self.before.calls / self.before_seconds)


class Source(StrEnum):
    SNAPSHOTS = "snapshots"  # readings in the store, and the fresh one
    INTERVAL = "interval"  # two readings taken by this call
    SINCE_RESET = "since_reset"  # the server's counters as they stand
    SAMPLE = "sample"  # pg_stat_activity, looked at again and again
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The real time that numbers are about; `from_at` None: nobody knows since when. `seconds`: what was watched."""

    source: Source
    from_at: datetime | None
    to_at: datetime
    seconds: float | None
    breaks: tuple[str, ...] = ()
    looks: int | None = None  # of a sample
    place: str | None = None  # of a log: the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What is counted and not shown, in statements and in ms, by reason."""

    filtered: int = 0  # by options such as --user
    quick: int = 0  # below --min-mean and --min-calls
    more: int = 0  # beyond --limit
    utility: int = 0
    own: int = 0
    textless: int = 0  # their texts are hidden or gone
    utility_time_ms: float = 0.0
    own_time_ms: float = 0.0
    textless_time_ms: float = 0.0
    unread: int = 0  # to have their texts read would cost the server more than they have
    unread_time_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one call shows of one database."""

    span: Span
    before: Span | None = None
    statements: tuple[Statement, ...]
    totals: Counters  # of all statements in the window, those that are not shown among them
    others: Others = field(default_factory=Others)
    slow_ms: float
    notes: tuple[str, ...] = ()
    lacks: tuple[tuple[str, str | None], ...] = ()  # what could not be had: reason, what to type
