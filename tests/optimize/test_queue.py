"""Whether others pile up behind a build: real sessions that queue behind a lock such as builds have, or a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from dbopt.optimize import queue
from dbopt.postgres.server import inspect
from tests.health.waiting import role
from tests.optimize.forecasts import FILL, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database, Server

TREE = """
CREATE TABLE tree (id int) PARTITION BY RANGE (id);
CREATE TABLE leaf1 PARTITION OF tree FOR VALUES FROM (0) TO (10);
CREATE TABLE leaf2 PARTITION OF tree FOR VALUES FROM (10) TO (20);
"""
ALTER = "ALTER TABLE posts ADD COLUMN more int"
READ = "SELECT count(*) FROM posts"
BUILDING = "LOCK TABLE posts IN SHARE UPDATE EXCLUSIVE MODE"


@pytest.fixture(scope="module")
def crowded(pg: Server) -> Iterator[Database]:
    with pg.database() as database:
        database.sql(FILL + TREE)
        yield database


@pytest.fixture
def stage(crowded: Database) -> Iterator[Stage]:
    with Stage(crowded) as made:
        yield made


def behind(stage: Stage, user: str | None = None) -> tuple[str, int] | None:
    """The name of who waits for the build, and how many pile up."""
    [pid] = [pid for pid, name in stage.names.items() if name == "build"]
    assert isinstance(pid, int)
    named = {"user": user} if user else {}
    with psycopg.connect(stage.database.conninfo, autocommit=True, **named) as conn:
        found = queue.behind(conn, inspect(conn), pid)
    return (stage.names[found.waiter.pid or 0], found.piled) if found else None


def build(stage: Stage) -> None:
    stage.idle("build", BUILDING)


def alone(stage: Stage) -> None:
    build(stage)


def lone_alter(stage: Stage) -> None:
    build(stage)
    stage.busy("alter", ALTER)


def lone_vacuum(stage: Stage) -> None:
    build(stage)
    stage.busy("vacuum", "VACUUM posts")


def only_those_whom_it_stops_itself(stage: Stage) -> None:
    lone_vacuum(stage)
    stage.busy("alter", ALTER)
    stage.busy("another", "ALTER TABLE posts ADD COLUMN others int")


def reader(stage: Stage) -> None:
    lone_alter(stage)
    stage.busy("reader", READ)


def readers_and_writers(stage: Stage) -> None:
    reader(stage)
    stage.busy("second reader", READ)
    stage.busy("locker", "SELECT FROM posts FOR UPDATE")
    stage.busy("writer", "UPDATE posts SET author = 1 WHERE id = 1")


def reader_behind_two(stage: Stage) -> None:
    build(stage)
    stage.busy("alter", ALTER)
    stage.busy("another", "ALTER TABLE posts ADD COLUMN others int")
    stage.busy("reader", READ)


def several_levels(stage: Stage) -> None:
    """The writer has locked a row elsewhere, for which somebody waits, for whom somebody waits."""
    lone_alter(stage)
    stage.busy(
        "writer",
        "UPDATE posts SET author = 1 WHERE id = 1",
        "UPDATE elsewhere SET author = 1 WHERE id = 1",
        autocommit=False,
    )
    stage.busy(
        "second",
        "UPDATE elsewhere SET author = 2 WHERE id = 1",
        "UPDATE crawl SET author = 2 WHERE id = 1",
        autocommit=False,
    )
    stage.busy("third", "UPDATE crawl SET author = 3 WHERE id = 1")


def of_another_table(stage: Stage) -> None:
    """It waits for us with a lock that it has already."""
    build(stage)
    stage.busy("alter", ALTER, "LOCK TABLE elsewhere", autocommit=False)
    stage.busy("reader", "SELECT count(*) FROM elsewhere")


def of_a_tree(stage: Stage) -> None:
    stage.idle("build", "LOCK TABLE ONLY leaf2 IN SHARE UPDATE EXCLUSIVE MODE")
    stage.busy("alter", "ALTER TABLE tree ADD COLUMN more int")
    stage.busy("reader", "SELECT count(*) FROM tree")
    stage.busy("reader of a leaf", "SELECT count(*) FROM leaf1")


def planned_again(stage: Stage) -> None:
    build(stage)
    ready = stage.idle("prepared", autocommit=True)
    ready.execute("PREPARE ready AS SELECT count(*) FROM posts; EXECUTE ready")
    stage.busy("alter", ALTER)
    stage.go_on(ready, "EXECUTE ready")


def somebody_elses(stage: Stage) -> None:
    """A pile behind another session, and one that waits for something else."""
    lone_alter(stage)
    stage.idle("other", "LOCK TABLE elsewhere IN SHARE MODE", "SELECT pg_advisory_lock(1)")
    stage.busy("other alter", "ALTER TABLE elsewhere ADD COLUMN more int")
    stage.busy("other reader", "SELECT count(*) FROM elsewhere")
    stage.busy("advisory", "SELECT pg_advisory_lock(1)")


def another_build_that_waits_for_our_snapshot(stage: Stage) -> None:
    """VACUUM behind it waits for that one's lock, not for ours."""
    stage.idle("build", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT FROM other", BUILDING)
    stage.busy("other build", "CREATE INDEX CONCURRENTLY ON elsewhere (author)", until="wait_event = 'virtualxid'")
    stage.busy("vacuum", "VACUUM elsewhere")


def real(stage: Stage) -> None:
    stage.idle("writer", "UPDATE posts SET author = 1 WHERE id = 1")
    stage.busy("build", "CREATE INDEX CONCURRENTLY ON posts (author)", until="wait_event = 'virtualxid'")
    stage.busy("alter", ALTER)
    stage.busy("reader", READ)


PILES: dict[str, tuple[Callable[[Stage], None], tuple[str, int] | None]] = {
    "nobody": (alone, None),
    "a lone ALTER TABLE": (lone_alter, None),
    "a lone VACUUM": (lone_vacuum, None),
    "only those whom it stops itself": (only_those_whom_it_stops_itself, None),
    "somebody else's": (somebody_elses, None),
    "another build that waits for our snapshot": (another_build_that_waits_for_our_snapshot, None),
    "a reader": (reader, ("alter", 1)),
    "readers and writers": (readers_and_writers, ("alter", 4)),
    "a reader behind two": (reader_behind_two, ("alter", 1)),
    "several levels": (several_levels, ("alter", 3)),
    "readers of another table": (of_another_table, ("alter", 1)),
    "readers of a tree": (of_a_tree, ("alter", 2)),
    "a prepared statement": (planned_again, ("alter", 1)),
    "a real build": (real, ("alter", 1)),
}


@pytest.mark.parametrize(("made", "expected"), PILES.values(), ids=PILES)
def test_who_piles_up(stage: Stage, made: Callable[[Stage], None], expected: tuple[str, int] | None) -> None:
    made(stage)
    assert behind(stage) == expected


def test_without_rights_the_same_is_seen(stage: Stage) -> None:
    reader(stage)
    with role(stage.database) as name:
        assert behind(stage, user=name) == ("alter", 1)
