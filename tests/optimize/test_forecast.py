"""The forecast against the truth: in each situation, a real statement is run and waits for just those foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import wait_until
from server import Server

from dbopt import embedded
from dbopt.optimize import queue, waits
from dbopt.optimize.others import QUERY_SHOWN
from dbopt.optimize.waits import OTHER_BUILD, READERS, SNAPSHOTS, WRITERS
from dbopt.postgres.server import inspect
from tests.health.waiting import role
from tests.optimize.forecasts import FILL, Stage, truth
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server import Database

    from dbopt.optimize.steps import Blocker

WRITE = "UPDATE posts SET author = 1 WHERE id = 1"
READ = "SELECT count(*) FROM posts"
REPEATABLE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
CRAWL = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1"
# Slow enough to be seen at its second step, the indexes.
CRAWL_QUICKLY = (
    "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 8; SET vacuum_cost_page_miss = 1;"
    " SET vacuum_cost_page_dirty = 0; SET min_parallel_index_scan_size = 0"
)
HAS_SNAPSHOT = "backend_xmin IS NOT NULL"
LEADS = "EXISTS (SELECT FROM pg_stat_activity AS w WHERE w.leader_pid = a.pid AND w.backend_xmin IS NOT NULL)"
PARALLEL = (
    "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;"
    " SET parallel_leader_participation = off"
)


@pytest.fixture(scope="module")
def stages(server_binaries: embedded.Binaries) -> Iterator[Database]:
    """A database whose server can prepare transactions and decode."""
    settings = {"max_prepared_transactions": "3", "wal_level": "logical", "autovacuum": "off"}
    with embedded.start(binaries=server_binaries, settings=settings) as running, Server(running).database() as database:
        database.sql(FILL)
        yield database


@pytest.fixture
def stage(stages: Database) -> Iterator[Stage]:
    with Stage(stages) as made:
        yield made
    for (name,) in stages.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"):
        stages.sql(f"DROP INDEX {name}")


def walsender(stage: Stage, name: str, *commands: str) -> None:
    """A client that speaks the replication protocol and has a snapshot."""
    conn = psycopg.connect(stage.database.conninfo, autocommit=True, replication="database")
    for command in commands:
        assert not conn.pgconn.exec_(command.encode()).error_message
    pid = conn.info.backend_pid
    stage.names[pid] = name

    def end() -> None:
        conn.close()
        wait_until(
            lambda: (
                not stage.database.sql(f"SELECT 1 FROM pg_replication_slots WHERE active_pid = {pid}")
                and not stage.database.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}")
            ),
            "the end of a walsender",
        )
        for (slot,) in stage.database.sql("SELECT slot_name FROM pg_replication_slots"):
            stage.database.sql("SELECT pg_drop_replication_slot(%s)", [slot])

    stage.ends[pid] = end


def building(stage: Stage, statement: str) -> None:
    """A build elsewhere, in the middle of its work."""
    stage.shut_gate()
    stage.busy("build", statement, until=f"{HAS_SNAPSHOT} AND wait_event = 'advisory'")


def reindexing(stage: Stage) -> None:
    stage.database.sql("DROP INDEX IF EXISTS again; CREATE INDEX again ON elsewhere (author gated)")
    building(stage, "REINDEX INDEX CONCURRENTLY again")


def waiting_build(stage: Stage) -> None:
    stage.idle("writer elsewhere", "DELETE FROM elsewhere WHERE id = 1")
    stage.busy("build", "CREATE INDEX CONCURRENTLY ON elsewhere ((author + 1))", until="wait_event = 'virtualxid'")


def vacuum_in_a_queue(stage: Stage) -> None:
    stage.idle("other lock", "LOCK TABLE elsewhere IN SHARE MODE")
    stage.busy("vacuum", "VACUUM elsewhere")


def parameters(stage: Stage) -> None:
    stage.idle("it").execute("SELECT count(*) FROM other WHERE id > %s", [1])


def queued(statement: str) -> Callable[[Stage], None]:
    def made(stage: Stage) -> None:
        stage.idle("reader", READ)
        stage.busy("queued", statement, autocommit=False)

    return made


def idle(*statements: str) -> Callable[[Stage], None]:
    return lambda stage: stage.idle("it", *statements) and None


def busy(statement: str, *before: str, until: str = HAS_SNAPSHOT) -> Callable[[Stage], None]:
    return lambda stage: stage.busy("it", statement, *before, until=until) and None


def prepared(*statements: str) -> Callable[[Stage], None]:
    return lambda stage: stage.prepared("it", *statements)


def sending(*commands: str) -> Callable[[Stage], None]:
    return lambda stage: walsender(stage, "it", *commands)


def same_row(stage: Stage) -> None:
    stage.idle("first", WRITE)
    stage.busy("second", WRITE, autocommit=False)


W, S, R = {"it": WRITERS}, {"it": SNAPSHOTS}, {"it": READERS}
NOBODY: dict[str, str] = {}
SLOT = "CREATE_REPLICATION_SLOT {} LOGICAL test_decoding"

# What happens; whom a build waits for and in which phase; whom a drop waits for.
SITUATIONS: dict[str, tuple[Callable[[Stage], Any], dict[str, str], dict[str, str]]] = {
    "a writer": (idle(WRITE), W, R),
    "a writer with a snapshot": (idle(REPEATABLE, WRITE), W, R),
    "a lock that lets writers wait": (idle("LOCK TABLE posts IN SHARE MODE"), W, R),
    "a lock as ours": (idle("LOCK TABLE posts IN SHARE UPDATE EXCLUSIVE MODE"), W, R),
    "two for one row": (same_row, {"first": WRITERS, "second": WRITERS}, {"first": READERS, "second": READERS}),
    "a reader": (idle(READ), NOBODY, R),
    "rows locked here": (idle("SELECT * FROM posts WHERE id = 1 FOR UPDATE"), NOBODY, R),
    "a writer whose transaction failed": (idle(WRITE, "SELECT 1 / 0"), NOBODY, NOBODY),
    "a writer who took it back": (idle("SAVEPOINT s", WRITE, "ROLLBACK TO s"), NOBODY, NOBODY),
    "a lock queue behind a reader": (
        queued("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"),
        {"queued": WRITERS},
        {"queued": READERS, "reader": READERS},
    ),
    "an ALTER TABLE behind a reader": (
        queued("ALTER TABLE posts ALTER author SET STATISTICS 7, ALTER author DROP NOT NULL"),
        {"queued": WRITERS},
        {"queued": READERS, "reader": READERS},
    ),
    "a comment on the index": (idle("COMMENT ON INDEX posts_author IS 'x'"), NOBODY, R),
    "a comment on another index": (idle("COMMENT ON INDEX posts_pkey IS 'x'"), NOBODY, NOBODY),
    "repeatable read": (idle(REPEATABLE, "SELECT count(*) FROM other"), S, NOBODY),
    "an open cursor": (idle("DECLARE c CURSOR FOR SELECT * FROM other"), S, NOBODY),
    "a cursor with hold": (idle("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM other", "COMMIT"), NOBODY, NOBODY),
    "a statement with parameters": (parameters, S, NOBODY),
    "a running statement": (busy("SELECT pg_sleep(60)"), S, NOBODY),
    "a parallel statement": (
        busy("SELECT count(*) FROM crawl WHERE pg_sleep(0.01) IS NOT NULL", PARALLEL, until=LEADS),
        S,
        NOBODY,
    ),
    "a writer elsewhere": (idle("INSERT INTO other VALUES (1)"), NOBODY, NOBODY),
    "rows locked elsewhere": (idle("SELECT * FROM elsewhere FOR UPDATE"), NOBODY, NOBODY),
    "an advisory lock": (idle("SELECT pg_advisory_lock(1)"), NOBODY, NOBODY),
    "a prepared writer": (prepared(WRITE), W, R),
    "a prepared writer with subtransactions": (prepared("SAVEPOINT s", WRITE, "SAVEPOINT u", WRITE), W, R),
    "a prepared reader": (prepared(READ), NOBODY, R),
    "a prepared writer elsewhere": (prepared("INSERT INTO other VALUES (1)"), NOBODY, NOBODY),
    "VACUUM elsewhere": (
        busy("VACUUM crawl", CRAWL, until=f"{HAS_SNAPSHOT} AND wait_event = 'VacuumDelay'"),
        NOBODY,
        NOBODY,
    ),
    "VACUUM in parallel elsewhere": (
        busy("VACUUM (PARALLEL 2, TRUNCATE false) crawl", CRAWL_QUICKLY, until=LEADS),
        NOBODY,
        NOBODY,
    ),
    "VACUUM in a queue elsewhere": (vacuum_in_a_queue, NOBODY, NOBODY),
    "ANALYZE elsewhere": (
        busy("ANALYZE crawl", CRAWL, until=f"{HAS_SNAPSHOT} AND wait_event = 'VacuumDelay'"),
        S,
        NOBODY,
    ),
    "a build with an expression": (
        lambda stage: building(stage, "CREATE INDEX CONCURRENTLY ON elsewhere ((author + 1) gated)"),
        {"build": SNAPSHOTS},
        NOBODY,
    ),
    "a partial build": (
        lambda stage: building(stage, "CREATE INDEX CONCURRENTLY ON elsewhere (author gated) WHERE id > 1"),
        {"build": SNAPSHOTS},
        NOBODY,
    ),
    "a build that locks writers out": (
        lambda stage: building(stage, "CREATE INDEX ON elsewhere (author gated)"),
        {"build": SNAPSHOTS},
        NOBODY,
    ),
    "a build that waits for others": (waiting_build, NOBODY, NOBODY),
    "a slot that has exported its snapshot": (sending(SLOT.format("exported") + " EXPORT_SNAPSHOT"), S, NOBODY),
    "a slot whose snapshot is used": (
        sending("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", SLOT.format("used") + " USE_SNAPSHOT"),
        S,
        NOBODY,
    ),
    "a temporary slot": (sending(SLOT.format("passing TEMPORARY")), S, NOBODY),
    "a slot without a snapshot": (sending(SLOT.format("plain") + " NOEXPORT_SNAPSHOT"), NOBODY, NOBODY),
}
NOT_OF_DROPS = [
    "a comment on another index",
    "repeatable read",
    "a statement with parameters",
    "a writer elsewhere",
    "a prepared writer elsewhere",
]
# Since 14 others do not wait for a plain concurrent build.
SAFE = {
    "a concurrent build": lambda stage: building(stage, "CREATE INDEX CONCURRENTLY ON elsewhere (author gated)"),
    "a concurrent rebuild": reindexing,
}


def foreseen(database: Database) -> waits.Waits:
    with database.connect(autocommit=True) as conn:
        found = waits.foresee(conn, inspect(conn), [oid(database, "posts"), oid(database, "posts_author")])
    conn.close()
    return found


def oid(database: Database, name: str) -> int:
    [(number,)] = database.sql("SELECT %s::regclass::oid::int8", [name])
    return int(number)


def named(stage: Stage, blockers: tuple[Blocker, ...]) -> dict[str, str]:
    keys = [who.gid if who.pid is None else who.pid for who in blockers]
    assert None not in keys
    assert len(set(keys)) == len(keys)  # each once
    return {stage.names.get(key or 0, str(key)): who.phase for key, who in zip(keys, blockers, strict=True)}


def assert_build(stage: Stage, expected: dict[str, str]) -> None:
    assert named(stage, foreseen(stage.database).of_build(oid(stage.database, "posts"))) == expected
    found = truth(stage, "CREATE INDEX CONCURRENTLY again_by_author ON posts (author)")
    stage.clear()
    stage.database.sql("DROP INDEX again_by_author")
    assert found.keys() == expected.keys()
    for name, phase in found.items():  # None: for its own lock on the table
        assert (expected[name] == SNAPSHOTS) == (phase == SNAPSHOTS), found


def assert_drop(stage: Stage, expected: dict[str, str]) -> None:
    oids = [oid(stage.database, "posts"), oid(stage.database, "posts_author")]
    assert named(stage, foreseen(stage.database).of_drop(oids)) == expected
    found = truth(stage, "DROP INDEX CONCURRENTLY posts_author")
    stage.clear()
    stage.database.sql("CREATE INDEX posts_author ON posts (author)")
    assert found.keys() == expected.keys()


@pytest.mark.parametrize(("made", "builds", "_drops"), SITUATIONS.values(), ids=SITUATIONS)
def test_of_a_build(stage: Stage, made: Callable[[Stage], None], builds: dict[str, str], _drops: object) -> None:
    made(stage)
    assert_build(stage, builds)


@pytest.mark.parametrize("name", [name for name, (_, _, drops) in SITUATIONS.items() if drops] + NOT_OF_DROPS)
def test_of_a_drop(stage: Stage, name: str) -> None:
    made, _, drops = SITUATIONS[name]
    made(stage)
    assert_drop(stage, drops)


@pytest.mark.parametrize("made", SAFE.values(), ids=SAFE)
def test_of_a_build_beside_others(stage: Stage, made: Callable[[Stage], None]) -> None:
    made(stage)
    assert_build(stage, NOBODY if stage.database.server_version >= (14,) else {"build": SNAPSHOTS})


# What is told of them

SECRET = "s3cr3t"


def test_a_session_is_told_with_what_it_does_but_not_with_its_values(stage: Stage) -> None:
    stage.idle("it", f"UPDATE posts SET author = 4242 WHERE id = 1 /* {SECRET} */ AND '{SECRET}' <> $${SECRET}2$$")
    [who] = foreseen(stage.database).of_build(oid(stage.database, "posts"))
    assert who.query == "UPDATE posts SET author = $1 WHERE id = $2 AND $3 <> $4"
    assert (who.usename, who.state) == ("postgres", "idle in transaction")
    assert who.idle_seconds is not None
    assert who.xact_age_seconds is not None
    assert 0 <= who.idle_seconds <= who.xact_age_seconds


def test_a_long_statement_is_cut(stage: Stage) -> None:
    columns = ", ".join(f"'{SECRET}{number}' AS a_long_name_{number}" for number in range(200))
    stage.idle("it", REPEATABLE, f"SELECT {columns}")
    [who] = foreseen(stage.database).of_build(oid(stage.database, "posts"))
    assert who.query is not None
    assert len(who.query) == QUERY_SHOWN
    assert who.query.startswith("SELECT ")
    assert who.query.endswith("…")
    assert SECRET not in who.query


def test_a_running_statement_is_not_idle(stage: Stage) -> None:
    stage.busy("it", "SELECT pg_sleep(60)", until=HAS_SNAPSHOT)
    [who] = foreseen(stage.database).of_build(oid(stage.database, "posts"))
    assert (who.state, who.idle_seconds) == ("active", None)


def test_a_prepared_transaction_is_told_with_its_owner_and_age(stage: Stage) -> None:
    stage.prepared("it", WRITE)
    [who] = foreseen(stage.database).of_build(oid(stage.database, "posts"))
    assert (who.pid, who.gid, who.usename, who.query) == (None, "it", "postgres", None)
    assert who.xact_age_seconds is not None


@pytest.mark.parametrize("option", ["EXPORT_SNAPSHOT", "TEMPORARY"])
def test_the_slot_of_a_snapshot_is_named(stage: Stage, option: str) -> None:
    before, after = ("TEMPORARY", "") if option == "TEMPORARY" else ("", option)
    walsender(stage, "it", f'CREATE_REPLICATION_SLOT "the_slot" {before} LOGICAL test_decoding {after}')
    [who] = foreseen(stage.database).of_build(oid(stage.database, "posts"))
    assert who.slot == "the_slot"
    assert stage.names[who.pid or 0] == "it"


def test_who_may_not_see_others_statements_sees_who_they_are(stage: Stage) -> None:
    database = stage.database
    with role(database) as name, psycopg.connect(database.conninfo, user=name, autocommit=True) as conn:
        walsender(stage, "sender", SLOT.format("hidden"))  # it waits for all who write
        stage.idle("it", WRITE)
        blockers = waits.foresee(conn, inspect(conn), [oid(database, "posts")]).of_build(oid(database, "posts"))
        assert named(stage, blockers) == {"it": WRITERS, "sender": SNAPSHOTS}
        assert {(who.usename, who.query, who.state, who.xact_age_seconds) for who in blockers} == {
            ("postgres", None, None, None)
        }


# Before something is started


def standing(stage: Stage, **how: Any) -> dict[str, str]:
    options = {"drop": False, "old_seconds": 3600.0, **how}
    with psycopg.connect(stage.database.conninfo, autocommit=True) as conn:
        return named(stage, waits.standing(conn, inspect(conn), "public", "posts", **options))


def snapshots(stage: Stage, **how: Any) -> dict[str, str]:
    with psycopg.connect(stage.database.conninfo, autocommit=True) as conn:
        return named(stage, waits.snapshots(conn, inspect(conn), **{"old_seconds": 3600.0, **how}))


def test_who_stands_in_the_way_and_stays(stage: Stage) -> None:
    """The idle and the prepared at once, those that work when their transaction is old."""
    stage.idle("reader", READ)
    ours = stage.idle("writer", WRITE).info.backend_pid
    stage.prepared("gone", WRITE.replace("id = 1", "id = 3"))
    stage.busy("working", "UPDATE posts SET author = 2 WHERE id = 2 AND pg_sleep(60) IS NULL", until=HAS_SNAPSHOT)
    writers = {"writer": WRITERS, "gone": WRITERS}
    wait_until(lambda: standing(stage) == writers, "idling for some time")
    assert standing(stage, old_seconds=0.0) == {**writers, "working": WRITERS}
    assert standing(stage, ours=[ours]) == {"gone": WRITERS}
    readers = {"reader": READERS, "writer": READERS, "gone": READERS}
    wait_until(lambda: standing(stage, drop=True) == readers, "idling for some time")
    assert snapshots(stage) == {}
    assert snapshots(stage, old_seconds=0.0) == {"working": SNAPSHOTS}


def test_whose_snapshot_stays(stage: Stage) -> None:
    ours = stage.idle("it", REPEATABLE, "SELECT count(*) FROM other").info.backend_pid
    wait_until(lambda: snapshots(stage) == {"it": SNAPSHOTS}, "idling for some time")
    assert snapshots(stage, ours=[ours]) == {}
    assert standing(stage) == {}


def test_who_holds_the_index_stands_in_the_way_of_its_drop(stage: Stage) -> None:
    stage.idle("it", "COMMENT ON INDEX posts_author IS 'x'")
    wait_until(lambda: standing(stage, drop=True, index="posts_author") == {"it": READERS}, "idling for some time")
    assert standing(stage, drop=True) == {}


def test_looking_waits_for_no_lock(stage: Stage) -> None:
    stage.idle("it", "LOCK TABLE posts")
    with psycopg.connect(stage.database.conninfo, autocommit=True, options="-c lock_timeout=1") as conn:
        server = inspect(conn)
        found = [oid(stage.database, "pg_class"), *(o for (o,) in conn.execute("SELECT 'posts'::regclass::oid::int8"))]
        waits.foresee(conn, server, found)
        waits.standing(conn, server, "public", "posts", drop=True, old_seconds=0.0)
        waits.snapshots(conn, server, old_seconds=0.0)
        waits.other_builds(conn, server, "public", "posts")
        queue.behind(conn, server, conn.info.backend_pid)


def test_builds_of_ours_are_no_others(stage: Stage) -> None:
    stage.idle("writer", "DELETE FROM elsewhere WHERE id = 1")
    pid = stage.busy("it", "CREATE INDEX CONCURRENTLY ON elsewhere (author)", until="wait_event = 'virtualxid'")
    with psycopg.connect(stage.database.conninfo, autocommit=True) as conn:
        server = inspect(conn)
        assert named(stage, waits.other_builds(conn, server, "public", "elsewhere")) == {"it": OTHER_BUILD}
        assert waits.other_builds(conn, server, "public", "elsewhere", ours=[pid]) == ()


# Step by step


def plan_waits(database: Database, folder: Path, stage: Stage, entry: str) -> dict[str, dict[str, str]]:
    """By the table of each step that builds or drops."""
    with Project(database, folder / "specs") as project:
        steps = project.wants(entry).plan().steps
    return {step.table: named(stage, step.waits_for) for step in steps if step.builds or "DROP" in step.statements[0]}


def test_a_replacement_waits_as_a_build_and_then_as_a_drop(stage: Stage, tmp_path: Path) -> None:
    stage.idle("reader", READ)
    stage.idle("writer", WRITE, READ)
    stage.idle("snapshot", REPEATABLE, READ)
    entry = "name: posts_author, table: posts, keys: [author, id]"
    assert plan_waits(stage.database, tmp_path, stage, entry) == {
        "posts": {"writer": WRITERS, "snapshot": SNAPSHOTS, "reader": READERS}
    }


def test_a_repair_waits_as_a_drop_first(stage: Stage, tmp_path: Path) -> None:
    stage.database.sql("CREATE INDEX broken ON posts (author)")
    stage.database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
    stage.idle("reader", READ)
    stage.idle("snapshot", REPEATABLE, "SELECT count(*) FROM other")
    entry = "name: broken, table: posts, keys: [author]"
    assert plan_waits(stage.database, tmp_path, stage, entry) == {"posts": {"reader": READERS, "snapshot": SNAPSHOTS}}


def test_each_partition_has_those_of_its_own(stage: Stage, tmp_path: Path) -> None:
    stage.database.sql(
        "CREATE TABLE tree (id int, at int) PARTITION BY RANGE (id);"
        "CREATE TABLE leaf1 PARTITION OF tree FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE leaf2 PARTITION OF tree FOR VALUES FROM (10) TO (20)"
    )
    stage.idle("writer", "INSERT INTO tree VALUES (1, 1)")
    stage.idle("snapshot", REPEATABLE, "SELECT count(*) FROM leaf2")
    entry = "name: tree_at, table: tree, keys: [at]"
    assert plan_waits(stage.database, tmp_path, stage, entry) == {
        "tree": {"writer": WRITERS},  # catalog rows only: nobody's snapshot matters
        "leaf1": {"writer": WRITERS, "snapshot": SNAPSHOTS},
        "leaf2": {"snapshot": SNAPSHOTS},
    }
    stage.clear()
    stage.database.sql("DROP TABLE tree")
