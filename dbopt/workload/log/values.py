"""What is read out of a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from dbopt.values import dataclass
from dbopt.workload.model import Counters, Kind

CUT_OFF = "entries that are cut off"  # by a crash, a rotation, or because the log is still being written


class Entry(NamedTuple):
    """One entry of the log, continuation lines included; a tuple, as there is one for each. What the log does not say
    is None or empty.
    """

    at: str | None  # as the log writes it
    pid: str | None
    user: str | None
    dbname: str | None
    message: str
    detail: str = ""
    context: str = ""
    query_id: int = 0
    statement: str = ""  # of an error: what was running


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatement:
    """One statement. `counters`: of its logged executions only; rows and blocks are not in a log. `document`: the plan
    of its slowest execution that auto_explain logged, as EXPLAIN (FORMAT JSON) has it, values replaced by `$n`.
    """

    fingerprint: str
    query: str  # normalized
    kind: Kind
    relations: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    dbnames: tuple[str, ...] = ()
    queryids: tuple[int, ...] = ()  # csvlog and jsonlog since 14, where the server computes them
    counters: Counters
    max_exec_time_ms: float
    first_at: datetime | None
    last_at: datetime | None
    document: Mapping[str, Any] | None = None
    raw: str | None = None  # its slowest execution with values; only for those who asked for them


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWorkload:
    """`statements`: the costliest first. `others`: executions of statements beyond the number that is told apart.
    `textless`: durations of which the log does not say whose they are. `skipped`: entries that count nowhere, by
    reason. `canceled`, for those who have asked: what a timeout or somebody ended, the most frequent first; how long it
    had run no log says, so that its time is 0.
    """

    from_at: datetime | None  # None: the log's lines have no time
    to_at: datetime | None
    format: str
    entries: int
    statements: tuple[LogStatement, ...]
    skipped: Counter[str]
    notes: tuple[str, ...]
    shortest_ms: float | None  # of the logged executions: log_min_duration_statement is not above it
    others: Counters = Counters()
    textless: Counters = Counters()
    canceled: tuple[LogStatement, ...] = ()
