"""What a list of indexes is worth: planned and run, before and after, in bytes and in WAL.

Run times are the executor's own (EXPLAIN ANALYZE without timing), as pg_stat_statements counts them: round trips and
planning are left out, so that what is left of a workload is not theirs.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import yaml
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 20  # a statement; one that is ended counts as so long
RUNS = 2  # of each statement with each values, after one that warms up; the shortest counts
LONG_MS = 1_000  # what takes longer is run once
REGRESSED_TIMES, REGRESSED_MS = 1.3, 0.2  # slower by so much, both of them: less is noise
REGRESSED_COST = 1.01  # by the planner
HEAVY = ("Q2", "Q17", "Q20")  # of TPC-H: almost all of its sum


@dataclass(frozen=True, slots=True)
class Case:
    """A statement of the workload. `values`: of its parameters, for each run; None: it is not run by itself."""

    name: str
    title: str
    query: str
    calls: float
    values: tuple[tuple[Any, ...], ...] | None

    @property
    def reads(self) -> bool:
        return self.query.lstrip("( ").upper().startswith(("SELECT", "WITH"))


@dataclass(frozen=True, slots=True)
class Times:
    """Of one statement: means over the values; `generic_cost`: of its plan for any values. `ended`: one of its runs
    took longer than the timeout.
    """

    cost: float
    generic_cost: float
    ms: float
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """`wal_bytes` None: the workload has no write batch."""

    times: Mapping[str, Times]
    wal_bytes: int | None

    def as_json(self) -> str:
        times = {name: [one.cost, one.generic_cost, one.ms, one.ended] for name, one in self.times.items()}
        return json.dumps({"times": times, "wal_bytes": self.wal_bytes})

    @classmethod
    def of_json(cls, text: str) -> Measured:
        data = json.loads(text)
        return cls({name: Times(*one) for name, one in data["times"].items()}, data["wal_bytes"])


def cases(workload: str, conn: psycopg.Connection[Any]) -> list[Case]:
    """Of _suggest_WORKLOAD.sql and its values, which come from the database."""
    found = []
    given = {one["name"]: one for one in yaml.safe_load((HERE / f"_suggest_{workload}.values.yaml").read_text())}
    text = (HERE / f"_suggest_{workload}.sql").read_text()
    for match in re.finditer(r"^-- (\w+): ([^\n]*)\n-- calls: ([\d.]+)\n(.*?);$", text, re.MULTILINE | re.DOTALL):
        name, title, calls, query = match.groups()
        entry = given.get(name)
        values = None
        if entry is not None:
            rows = conn.execute(entry["from"]).fetchall() if "from" in entry else entry["values"]
            values = tuple(map(tuple, rows))
            if not values:
                raise SystemExit(f"{workload} {name}: no values")
        found.append(Case(name, title, query, float(calls), values))
    return found


def measure(conn: psycopg.Connection[Any], all_cases: Sequence[Case], writes: str | None) -> Measured:
    """Plan and run each of the cases, reads first, then the write batch. `conn` in autocommit."""
    conn.prepare_threshold = None  # psycopg's own preparing would keep what `bench` was before
    conn.execute("SET jit = off")
    conn.execute(f"SET statement_timeout = '{TIMEOUT_SECONDS}s'")
    times = {}
    for case in sorted(all_cases, key=lambda case: not case.reads):
        if case.values is not None:
            times[case.name] = _times(conn, case)
    conn.execute("SET statement_timeout = 0")
    wal = None if writes is None else _wal(conn, writes)
    return Measured(times, wal)


def _times(conn: psycopg.Connection[Any], case: Case) -> Times:
    conn.execute(sql.SQL("PREPARE bench AS {}").format(sql.SQL(case.query)))
    try:
        costs, ms, ended = [], [], False
        conn.execute("SET plan_cache_mode = force_generic_plan")
        nothing = [None] * max(map(int, re.findall(r"\$(\d+)", case.query)), default=0)
        generic = _explained(conn, execute(nothing), analyze=False)["Plan"]["Total Cost"]
        conn.execute("SET plan_cache_mode = force_custom_plan")
        for values in case.values or ():
            statement = execute(values)
            costs.append(_explained(conn, statement, analyze=False)["Plan"]["Total Cost"])
            shortest = math.inf
            for _ in range(1 + RUNS):
                try:
                    with conn.transaction(force_rollback=True):
                        shortest = min(shortest, _explained(conn, statement, analyze=True)["Execution Time"])
                except psycopg.errors.QueryCanceled:
                    shortest, ended = TIMEOUT_SECONDS * 1000.0, True
                if shortest > LONG_MS:
                    break
            ms.append(shortest)
    finally:
        conn.execute("DEALLOCATE bench")
    return Times(sum(costs) / len(costs), generic, sum(ms) / len(ms), ended)


def execute(values: Sequence[Any]) -> sql.Composable:
    """Of the statement prepared as `bench`."""
    arguments = sql.SQL(", ").join(map(sql.Literal, values))
    return sql.SQL("EXECUTE bench ({})").format(arguments) if values else sql.SQL("EXECUTE bench")


def _explained(conn: psycopg.Connection[Any], statement: sql.Composable, *, analyze: bool) -> dict[str, Any]:
    options = "ANALYZE, TIMING OFF, FORMAT JSON" if analyze else "FORMAT JSON"
    row = conn.execute(sql.SQL("EXPLAIN ({}) {}").format(sql.SQL(options), statement)).fetchone()
    assert row is not None
    return row[0][0]


def _wal(conn: psycopg.Connection[Any], writes: str) -> int:
    """What the batch writes. Without full pages (the server has them off): those depend on the last checkpoint."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("CREATE TEMPORARY TABLE mark ON COMMIT DROP AS SELECT pg_current_wal_insert_lsn() AS lsn")
            conn.execute(writes)
            row = conn.execute("SELECT (pg_current_wal_insert_lsn() - lsn)::bigint FROM mark").fetchone()
    finally:
        conn.execute("VACUUM")  # what was rolled back
    assert row is not None
    return row[0]


class Indexes:
    """Makes the indexes of a list, and drops them, whatever happens. Nothing else may be made meanwhile."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn
        self.before = self._there()

    def make(self, statements: Iterable[str]) -> None:
        """CREATE INDEX and CREATE STATISTICS, then ANALYZE of the tables."""
        for statement in statements:
            self.conn.execute(re.sub(r"\bCONCURRENTLY\b", "", statement))
        self.analyze()

    def analyze(self) -> None:
        """The tables with something new."""
        for table in sorted({table for _, table in self.new()}):
            self.conn.execute(sql.SQL("ANALYZE {}").format(sql.SQL(table)))

    def new(self) -> list[tuple[str, str]]:
        """Commands that drop what is new, and the tables that it is on."""
        return sorted(self._there() - self.before)

    @property
    def bytes(self) -> int:
        row = self.conn.execute(
            "SELECT coalesce(sum(pg_relation_size(i.indexrelid)), 0)::bigint FROM pg_index i"
            " WHERE 'DROP INDEX ' || i.indexrelid::regclass = ANY (%s)",
            [[command for command, _ in self.new()]],
        ).fetchone()
        assert row is not None
        return row[0]

    def drop(self) -> None:
        for command, _ in self.new():
            self.conn.execute(sql.SQL("{}").format(sql.SQL(command)))

    def _there(self) -> set[tuple[str, str]]:
        return set(
            self.conn.execute(
                "SELECT 'DROP INDEX ' || i.indexrelid::regclass, i.indrelid::regclass::text FROM pg_index i"
                " JOIN pg_class c ON c.oid = i.indrelid"
                " WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)"
                " UNION ALL SELECT format('DROP STATISTICS %I.%I', n.nspname, s.stxname), s.stxrelid::regclass::text"
                " FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace"
            ).fetchall()
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """After against before, 1 = as much. `planned_worse`, `slower`: names of statements."""

    cost: float
    real: float
    geometric: float  # of the costs of statements, each counting as one
    generic: float  # the same of generic plans
    light_cost: float  # without HEAVY
    light_geometric: float
    light_generic: float
    light_real: float
    planned_worse: tuple[str, ...]
    slower: tuple[str, ...]


def compared(all_cases: Sequence[Case], before: Measured, after: Measured) -> Compared:
    run = [case for case in all_cases if case.name in before.times]
    light = [case for case in run if case.name not in HEAVY]

    def ratio(chosen: Sequence[Case], what: str) -> float:
        sums = [sum(case.calls * getattr(one.times[case.name], what) for case in chosen) for one in (after, before)]
        return sums[0] / sums[1]

    def mean(chosen: Sequence[Case], what: str) -> float:
        pairs = [(getattr(after.times[case.name], what), getattr(before.times[case.name], what)) for case in chosen]
        logs = [math.log(new / old) for new, old in pairs]
        return math.exp(sum(logs) / len(logs))

    worse, slower = [], []
    for case in run:
        old, new = before.times[case.name], after.times[case.name]
        if new.cost > old.cost * REGRESSED_COST:
            worse.append(case.name)
        if new.ms > old.ms * REGRESSED_TIMES and new.ms - old.ms > REGRESSED_MS:
            slower.append(case.name)
    return Compared(
        ratio(run, "cost"),
        ratio(run, "ms"),
        mean(run, "cost"),
        mean(run, "generic_cost"),
        ratio(light, "cost"),
        mean(light, "cost"),
        mean(light, "generic_cost"),
        ratio(light, "ms"),
        tuple(worse),
        tuple(slower),
    )
