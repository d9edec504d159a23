"""Sums by statement, while the log is read. Memory grows with the number of different statements, not with the log."""

from __future__ import annotations

from datetime import datetime

from dbopt.workload.log.durations import Phase
from dbopt.workload.log.identity import Identities
from dbopt.workload.log.values import Entry
from dbopt.workload.model import Counters

STATEMENTS_MAX = 10_000
PLANS_MAX_CHARACTERS = 64 * 1024 * 1024  # of the plans that are kept until the end, all together
QUERYIDS_MAX = 100  # of one statement: each length of an IN list has one of its own before 18


class Sum:
    """Executions. `fetches`: parts of executions of which the first part is counted where it was logged."""

    __slots__ = ("calls", "fetches", "max_ms", "squares_ms2", "total_ms")

    def __init__(self) -> None:
        self.calls = self.fetches = 0
        self.total_ms = self.squares_ms2 = self.max_ms = 0.0

    def add(self, ms: float, *, is_fetch: bool = False) -> None:
        self.total_ms += ms
        self.squares_ms2 += ms * ms
        self.max_ms = max(self.max_ms, ms)
        self.fetches += is_fetch
        self.calls += not is_fetch

    def counters(self) -> Counters:
        return Counters(
            calls=float(self.calls or self.fetches),
            total_exec_time_ms=self.total_ms,
            sum_squares_ms2=self.squares_ms2,
        )


class Tallied:
    """One statement. `explained`: as auto_explain saw it: other executions, or the same ones once more."""

    __slots__ = (
        *("dbnames", "explained", "first_at", "last_at", "logged", "plan", "plan_ms", "queryids", "raw", "raw_ms"),
        "users",
    )

    def __init__(self) -> None:
        self.logged, self.explained = Sum(), Sum()
        self.users: set[str] = set()
        self.dbnames: set[str] = set()
        self.queryids: dict[int, None] = {}
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.plan: str | None = None  # as it was logged
        self.plan_ms = self.raw_ms = -1.0
        self.raw: str | None = None

    @property
    def executions(self) -> Sum:
        """Whichever saw more: each has a threshold of its own. Of one and the same execution the server logs more time
        than auto_explain, which does not see how it was planned.
        """
        return self.explained if self.explained.total_ms > self.logged.total_ms else self.logged


class Tally:
    """`others`: of statements beyond those that are told apart."""

    def __init__(self, *, literals: bool) -> None:
        self.statements: dict[str, Tallied] = {}
        self.identities = Identities(STATEMENTS_MAX)
        self.others = Tallied()
        self.shortest_ms: float | None = None
        self._literals = literals
        self._plan_characters = 0

    def add(self, entry: Entry, at: datetime | None, ms: float, phase: Phase, text: str, plan: str | None) -> None:
        """One execution. `plan`: as it was logged, when that is what tells of the execution."""
        self.shortest_ms = ms if self.shortest_ms is None else min(self.shortest_ms, ms)
        fingerprint = self.identities.of(text)
        if fingerprint is None:
            (self.others.explained if plan else self.others.logged).add(ms, is_fetch=phase is Phase.FETCH)
            return
        statement = self.statements.get(fingerprint)
        if statement is None:
            statement = self.statements[fingerprint] = Tallied()
        if plan is None:
            statement.logged.add(ms, is_fetch=phase is Phase.FETCH)
        else:
            statement.explained.add(ms)
            self._keep(statement, plan, ms)
        if entry.user is not None:
            statement.users.add(entry.user)
        if entry.dbname is not None:
            statement.dbnames.add(entry.dbname)
        if entry.query_id and len(statement.queryids) < QUERYIDS_MAX:
            statement.queryids[entry.query_id] = None
        if at is not None:
            statement.first_at = at if statement.first_at is None else min(statement.first_at, at)
            statement.last_at = at if statement.last_at is None else max(statement.last_at, at)
        if self._literals and ms > statement.raw_ms:
            statement.raw, statement.raw_ms = text, ms

    def _keep(self, statement: Tallied, plan: str, ms: float) -> None:
        """As text: parsed at the end, if it is still the slowest and anybody looks at it."""
        grown = self._plan_characters + len(plan) - len(statement.plan or "")
        if ms > statement.plan_ms and grown <= PLANS_MAX_CHARACTERS:
            statement.plan, statement.plan_ms = plan, ms
            self._plan_characters = grown
