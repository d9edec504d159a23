"""A year of readings every five minutes of a database with 200 tables, kept as `dbopt snapshot` keeps them, and then
asked: how big the store is, and how long `dbopt history metric` takes.

No server has a part in it: what the counters say is made up, with the rhythm of a day and of a week, for a fifth of
the tables, indexes and statements in each reading. Tables and indexes on one core, all other families on another.
What is older than two months is kept by the day, so that there is a reading an hour of that time; --every makes all of
them, for half an hour.
"""

from __future__ import annotations

import contextlib
import gc
import math
import multiprocessing
import random
import sqlite3
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from _measure import DBOPT, Figure, environment, median, note, options, report, run

from dbopt.snapshot.families import DEFINITIONS
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.snapshot.server import SERVER_COUNTS, SERVER_GROUPS, SERVER_LEVELS
from dbopt.store import plain, snapshots
from dbopt.store.location import Location
from dbopt.store.targets import Whose, find_or_add

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EVERY, SELDOM = timedelta(minutes=5), timedelta(hours=1)
BY_DAY = timedelta(days=62)  # from which age on only the sum of each day is kept, and somewhat more
HISTORY_WANTED = 1.0
SUBJECTS = {Family.IO: 30, Family.STATEMENTS: 400, Family.TABLES: 200, Family.INDEXES: 600, Family.RELATIONS: 1}
BUSY = 0.2  # of them do something in each reading: the same ones mostly
CORES = ((Family.TABLES, Family.INDEXES), (Family.SERVER, Family.RELATIONS, Family.IO, Family.STATEMENTS))
TARGET = "app on db1"  # nobody can tell how it was reached but by this name
WHOSE = Whose("7000000000000000001", "app", "7000000000000000001")


def first(family: Family, at: datetime) -> Part:
    """Nothing was counted yet."""
    if family is Family.SERVER:
        subjects = {
            group: Subject(group, group, tuple(0.0 if name in names else None for name in SERVER_COUNTS), (), at)
            for group, names in SERVER_GROUPS.items()
        }
        return Part(family=family, taken_at=at, lineage="1/1", counts=SERVER_COUNTS, subjects=subjects, since=at)
    shape = DEFINITIONS[family]
    subjects = {}
    for number in range(SUBJECTS[family]):
        if family is Family.STATEMENTS:
            name = str(7 ** (number % 20 + 2) * (number + 1))
            key = f"{name}/10/1"
        else:
            key, name = str(16384 + number), f"app.{family}_with_a_name_{number}"
        subjects[key] = Subject(key, name, (0,) * len(shape.counts), (0,) * len(shape.gauges), at)
    return Part(
        family=family,
        taken_at=at,
        lineage="1/1",
        counts=shape.counts,
        gauges=shape.gauges,
        subjects=subjects,
        since=at,
        has_own_since=family is Family.STATEMENTS,
    )


class Database:
    """What its counters say, reading after reading."""

    def __init__(self, parts: Mapping[Family, Part]) -> None:
        self._random = random.Random(4)  # the same year each time
        self.parts = dict(parts)

    def next(self, at: datetime) -> list[Part]:
        load = self._load(at)
        for family, part in self.parts.items():
            subjects = dict(part.subjects)
            for key in self._busy(list(subjects)):
                subjects[key] = self._moved(subjects[key], load)
            levels = {name: float(self._random.randint(1, 50)) for name in SERVER_LEVELS}
            self.parts[family] = replace(
                part, taken_at=at, subjects=subjects, levels=levels if family is Family.SERVER else {}
            )
        return list(self.parts.values())

    def _load(self, at: datetime) -> float:
        hours = at.hour + at.minute / 60
        return (1.2 - math.cos(hours / 24 * math.tau)) * (0.4 if at.weekday() > 4 else 1.0)

    def _busy(self, keys: Sequence[str]) -> list[str]:
        if len(keys) < 10:
            return list(keys)
        often = keys[: int(len(keys) * BUSY * 0.8)]
        return [*often, *self._random.sample(keys, int(len(keys) * BUSY * 0.2))]

    def _moved(self, subject: Subject, load: float) -> Subject:
        most = int(load * 5000) + 1
        counts = tuple(None if value is None else value + self._random.randrange(most) for value in subject.counts)
        return Subject(
            subject.key, subject.name, counts, tuple((value or 0) + 8192 for value in subject.gauges), subject.since
        )


def store() -> Path:
    return Path(environment()["DBOPT_STORE_URL"].removeprefix("sqlite:///"))


def main() -> None:
    chosen = options(
        __doc__,
        flags={"every": "a reading every five minutes of the whole time"},
        days=(365, "how long a past to make"),
        runs=(5, "calls of history"),
    )
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    started = time.perf_counter()
    count = make(now - timedelta(days=chosen.days), now, now if chosen.every else now - BY_DAY)
    note(f"{chosen.days} days made in {time.perf_counter() - started:.0f} s")
    figures = [
        Figure("readings", count, ""),
        Figure("the store", store().stat().st_size / 1e6, "MB"),
        *sizes(),
        *histories(chosen.days, chosen.runs),
        Figure("keeping another reading", one_more(now, 20) * 1000, "ms"),
    ]
    report("history", figures, as_json=chosen.json)


def make(since: datetime, until: datetime, seldom_until: datetime) -> int:
    """How many readings it was."""
    context = multiprocessing.get_context("spawn")
    paths = [store().with_name(f"part{number}.db") for number in range(len(CORES))]
    work = [(path, families, since, until, seldom_until) for path, families in zip(paths, CORES, strict=True)]
    with context.Pool(len(CORES)) as pool:
        [count, *_] = pool.starmap(keep, work)
    whole = Location(store())
    plain.make_ready(whole)
    with plain.transaction(whole, reading=False, wait_seconds=1) as session:
        find_or_add(session, WHOSE)
    with contextlib.closing(sqlite3.connect(store(), isolation_level=None)) as file:
        for path in paths:
            file.execute("ATTACH :path AS part", {"path": str(path)})
            file.execute("INSERT INTO snapshot_heads SELECT * FROM part.snapshot_heads")
            file.execute(
                "INSERT INTO intervals (target_id, family, span, from_at, to_at, packed)"
                " SELECT target_id, family, span, from_at, to_at, packed FROM part.intervals"
            )
            file.execute("DETACH part")
            path.unlink()
    return count


def keep(path: Path, families: Sequence[Family], since: datetime, until: datetime, seldom_until: datetime) -> int:
    gc.set_threshold(200_000)  # as dbopt does
    location = Location(path)
    plain.make_ready(location)
    database = Database({family: first(family, since) for family in families})
    at, count = since, 0
    while at < until:
        step = SELDOM if at < seldom_until else EVERY
        with plain.transaction(location, reading=False, wait_seconds=1) as session:
            for _ in range(timedelta(days=1) // step):
                at += step
                snapshots.keep(session, WHOSE, TARGET, database.next(at))
                count += 1
    return count


def one_more(now: datetime, times: int) -> float:
    """What keeping another reading takes, on the store as it is now, with opening and closing it."""
    location = Location(store())
    with plain.transaction(location, reading=True, wait_seconds=1) as session:
        heads = {family: snapshots.head(session, 1, family) for family in Family}
    database = Database({family: part for family, part in heads.items() if part is not None})
    seconds = []
    for number in range(1, times + 1):
        parts = database.next(now + timedelta(days=1) + number * EVERY)
        started = time.perf_counter()
        plain.make_ready(location)
        with plain.transaction(location, reading=False, wait_seconds=1) as session:
            snapshots.keep(session, WHOSE, TARGET, parts)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def sizes() -> Iterator[Figure]:
    with contextlib.closing(sqlite3.connect(store())) as file:
        for family, bytes_ in file.execute("SELECT family, sum(length(packed)) FROM intervals GROUP BY family"):
            yield Figure(f"the store: {family}", bytes_ / 1e6, "MB")
        [(count,)] = file.execute("SELECT count(*) FROM intervals").fetchall()
        yield Figure("the store: intervals", count, "")


def histories(days: int, times: int) -> Iterator[Figure]:
    for words, wanted in (
        (("history", "metric", "cache_hit_ratio", "-t", TARGET, "--since", f"{days}d"), HISTORY_WANTED),
        (("history", "metric", "cache_hit_ratio", "-t", TARGET, "--since", "7d"), HISTORY_WANTED),
        (("history",), HISTORY_WANTED),
        (("store", "status"), None),
    ):
        command = [DBOPT, *words]
        run(command)
        seconds = median([run(command) for _ in range(times)], "seconds")
        yield Figure(f"dbopt {' '.join(words).replace(TARGET, '...')}", seconds, "s", wanted)


if __name__ == "__main__":
    main()
