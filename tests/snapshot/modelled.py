"""A server that knows the truth: what each thing really did, second by second, whatever its counters say of it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dbopt.snapshot.continuity import gaps
from dbopt.snapshot.model import Family, Part, Subject

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)
CATALOGS = 6
GROUPS = ("database", "checkpointer")


@dataclass
class Thing:
    """A table or an index: `count` is what the statistics say."""

    oid: int
    name: str
    rate: int  # a second
    birth: str
    count: float = 0.0


@dataclass
class Entry:
    """Of pg_stat_statements. The longer it lives, the longer its longest call and the shorter its shortest."""

    since: datetime
    calls: float = 0.0


@dataclass
class Modelled:
    """`variant`: of pg_stat_statements. Everything works at a steady rate, for `passed` seconds in turn."""

    variant: str
    clock: datetime = EPOCH
    seconds: float = 0.0  # that really passed
    timeline: int = 1
    database_oid: int = 5
    reset_at: datetime | None = None  # pg_stat_database.stats_reset
    server_since: datetime = EPOCH - timedelta(days=1)  # of what a crash resets
    checkpointer_since: datetime = EPOCH - timedelta(days=1)
    statements_since: datetime = EPOCH - timedelta(days=1)
    evictions: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    catalogs: list[float] = field(default_factory=lambda: [0.0] * CATALOGS)
    traces: dict[int, datetime] = field(default_factory=dict)
    tables: dict[int, Thing] = field(default_factory=dict)
    indexes: dict[int, Thing] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    truth: Counter[tuple[str, str]] = field(default_factory=Counter)  # by family and name

    def __post_init__(self) -> None:
        self._oids = itertools.count(16384)
        for number in range(3):
            self.make(Family.TABLES, f"t{number}")
            self.make(Family.INDEXES, f"i{number}")

    # What happens to it.

    def work(self, seconds: int) -> None:
        for group in GROUPS:
            self._did(Family.SERVER, group, 10 * seconds)
            self.groups[group] += 10 * seconds
        for number in range(CATALOGS):
            self.catalogs[number] += (number + 1) * seconds
        for family in (Family.TABLES, Family.INDEXES):
            for thing in self.things(family).values():
                thing.count += thing.rate * seconds
                self._did(family, thing.name, thing.rate * seconds)
                self._did(Family.RELATIONS, "all", thing.rate * seconds)
        for queryid in range(1, 5):
            entry = self.entries.setdefault(queryid, Entry(self.clock + A_MOMENT))
            entry.calls += queryid * seconds
            self._did(Family.STATEMENTS, str(queryid), queryid * seconds)
        self.clock += timedelta(seconds=seconds)
        self.seconds += seconds

    def _did(self, family: str, name: str, amount: float) -> None:
        self.truth[family, name] += amount

    def things(self, family: str) -> dict[int, Thing]:
        return self.tables if family == Family.TABLES else self.indexes

    def make(self, family: str, name: str, *, oid: int | None = None, rate: int = 7) -> Thing:
        oid = next(self._oids) if oid is None else oid
        thing = Thing(oid, name, rate, birth=f"xid {next(self._oids)}" if family == Family.TABLES else "of its table")
        self.things(family)[oid] = thing
        return thing

    def rebuild_concurrently(self, oid: int) -> None:
        old = self.indexes.pop(oid)
        self.make(Family.INDEXES, old.name, rate=old.rate).count = old.count

    def reset_database(self) -> None:
        self.clock += A_MOMENT
        self.reset_at = self.clock
        self._forget()

    def _forget(self) -> None:
        self.groups["database"] = 0
        self.catalogs = [0.0] * CATALOGS
        self.traces.clear()
        for thing in (*self.tables.values(), *self.indexes.values()):
            thing.count = 0.0

    def reset_one(self, thing: Thing) -> None:
        self.clock += A_MOMENT
        self.reset_at = self.clock
        thing.count = 0.0

    def reset_catalog(self, number: int) -> None:
        self.clock += A_MOMENT
        self.reset_at = self.clock
        self.catalogs[number] = 0.0
        self.traces.pop(number, None)

    def reset_checkpointer(self) -> None:
        self.clock += A_MOMENT
        self.checkpointer_since = self.clock
        self.groups["checkpointer"] = 0

    def crash(self, *, keeps_statements: bool) -> None:
        self.clock += A_MOMENT
        self.reset_at = None
        self.server_since = self.checkpointer_since = self.clock
        self._forget()
        self.groups["checkpointer"] = 0
        if not keeps_statements:
            self.reset_statements()

    def reset_statements(self) -> None:
        self.clock += A_MOMENT
        self.statements_since = self.clock
        self.evictions = 0
        self.entries.clear()

    def reset_statement(self, queryid: int) -> None:
        self.entries.pop(queryid, None)

    def evict(self, queryid: int) -> None:
        if self.entries.pop(queryid, None) is not None:
            self.evictions += 1

    def fail_over(self) -> None:
        """Another machine, which has worked before and has counted that for itself."""
        self.timeline += 1
        self.groups.update(dict.fromkeys(GROUPS, 12345))
        for thing in (*self.tables.values(), *self.indexes.values()):
            thing.count += 999.0

    # What it says.

    @property
    def database_since(self) -> datetime:
        return self.server_since if self.reset_at is None else max(self.reset_at, self.server_since)

    def read(self) -> list[Part]:
        common = {
            "taken_at": self.clock,
            "lineage": f"7/{self.timeline}",
            "of_database": (float(self.groups["database"]),),
            "remembers": min(self.traces.values(), default=None),
            "database_oid": self.database_oid,
            "machine": (self.server_since, self.checkpointer_since),
        }
        since = {"database": self.database_since, "checkpointer": self.checkpointer_since}
        groups = [
            Subject(group, group, tuple(self.groups[group] if name == group else None for name in GROUPS), (), when)
            for group, when in since.items()
        ]
        parts = [
            Part(
                family=Family.SERVER,
                counts=GROUPS,
                subjects={item.key: item for item in groups},
                since=self.database_since,
                **common,
            )
        ]
        every = {**self.tables, **self.indexes}
        everything = Subject(
            "all", "all", (sum(thing.count for thing in every.values()),), (), self.database_since, gaps(every)
        )
        parts.append(
            Part(
                family=Family.RELATIONS,
                counts=("count",),
                subjects={"all": everything},
                since=self.database_since,
                **common,
            )
        )
        for family in (Family.TABLES, Family.INDEXES):
            subjects = {
                str(oid): Subject(str(oid), thing.name, (thing.count,), (), self.database_since, thing.birth)
                for oid, thing in self.things(family).items()
            }
            parts.append(Part(family=family, counts=("count",), subjects=subjects, since=self.database_since, **common))
        parts.append(self._statements(common))
        return parts

    def _statements(self, common: dict[str, object]) -> Part:
        since = {"1.8": lambda _: None, "1.9": lambda _: self.statements_since, "1.11": lambda entry: entry.since}
        is_old = self.variant != "1.11"
        subjects = {}
        for queryid, entry in self.entries.items():
            gauges = (10 * entry.calls, 10_000 / (1 + entry.calls) if is_old else None)
            key = f"{queryid}/10/1"
            subjects[key] = Subject(key, str(queryid), (entry.calls,), gauges, since[self.variant](entry))
        told = bool(subjects) and self.variant != "1.8"
        return Part(
            family=Family.STATEMENTS,
            counts=("count",),
            gauges=("max_exec_time_ms", "min_exec_time_ms"),
            subjects=subjects,
            has_own_since=bool(subjects) and not is_old,
            source=self.variant if subjects else "",
            since=self.statements_since if told else None,
            evictions=self.evictions if told else None,
            **common,  # type: ignore[arg-type]
        )
