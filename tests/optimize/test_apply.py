"""Runs in which nothing goes wrong: every action, the order of events, what a replacement hands on."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import assert_index, index_comment, index_names, invalid_indexes, open_transaction, wait_until

from dbopt.optimize.apply import ApplyOptions
from dbopt.optimize.events import Progress, Result, RunStarted, StepFinished, StepStarted
from dbopt.optimize.steps import Action
from tests.optimize.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database

    from tests.optimize.runs import Project

POSTS = (
    "CREATE TABLE posts (id int PRIMARY KEY, author int, title text, score int);"
    "INSERT INTO posts SELECT i, i % 100, md5(i::text), i % 7 FROM generate_series(1, {rows}) AS i"
)
BY_AUTHOR = "name: by_author, table: posts, keys: [author]"


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(POSTS.format(rows=2_000))
    database.sql("ANALYZE posts")
    return database


def test_every_action_of_a_plan_is_carried_out(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX old_name ON posts (score)")
    posts.sql("CREATE INDEX changed ON posts (author)")
    posts.sql("CREATE INDEX gone ON posts (id, author)")
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        posts.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON posts (author)")
    assert invalid_indexes(posts) == ["broken"]
    project.wants(
        "name: fresh, table: posts, keys: [{expr: lower(title)}]",
        "name: new_name, table: posts, keys: [score], was: [old_name]",
        "name: changed, table: posts, keys: [author, score]",
        "name: broken, table: posts, keys: [{column: author, order: desc}]",
        "name: gone, table: posts, keys: [id], state: absent",
        "name: posts_title, table: posts, keys: [title], comment: first text",
    )
    plan = project.plan(prune_foreign=True)
    run = project.run(plan)

    run.assert_applied()
    assert run.result.applied == 6
    assert index_names(posts, "posts") == ["broken", "changed", "fresh", "new_name", "posts_pkey", "posts_title"]
    assert_index(posts, "public.posts (author, score)")
    assert invalid_indexes(posts) == []
    assert {step.action for step in plan.steps} == {
        Action.CREATE,
        Action.RENAME,
        Action.REPLACE,
        Action.REPAIR,
        Action.DROP,
        Action.ANALYZE,
    }
    assert run.statuses == dict.fromkeys(("fresh", "new_name", "changed", "broken", "gone", "posts_title"), "applied")
    project.assert_settled()

    project.wants("name: posts_title, table: posts, keys: [title], comment: second text")
    plan = project.plan()
    assert [step.action for step in plan.steps] == [Action.COMMENT]
    project.run(plan).assert_applied()
    comment = index_comment(posts, "posts_title")
    assert comment is not None
    assert comment.startswith("second text")


def test_events_come_in_order(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR, "name: by_score, table: posts, keys: [score]")
    run = project.run()
    told = [event for event in run.events if not isinstance(event, Progress)]
    assert [type(event) for event in told] == [
        RunStarted,
        StepStarted,
        StepFinished,
        StepStarted,
        StepFinished,
        Result,
    ]
    finished = run.of(StepFinished)
    assert [(event.number, event.total) for event in finished] == [(1, 2), (2, 2)]
    assert all(event.size_bytes and event.size_bytes > 0 and event.seconds > 0 for event in finished)
    assert run.result.items[0].seconds > 0
    assert not run.result.interrupted


def test_a_second_run_has_nothing_to_do(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    project.run().assert_applied()
    run = project.run()
    assert [type(event) for event in run.events] == [RunStarted, Result]
    assert (run.result.applied, run.result.unchanged, run.result.failed) == (0, 1, 0)


def test_a_build_runs_with_the_settings_of_its_spec_only(project: Project, posts: Database) -> None:
    posts.sql(
        "CREATE TABLE seen (tag text, memory text, workers text);"
        "CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  INSERT INTO public.seen VALUES (tg_tag, current_setting('maintenance_work_mem'),"
        "    current_setting('max_parallel_maintenance_workers')); END $$;"
        "CREATE EVENT TRIGGER look ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION look()"
    )
    build = "build: {maintenance_work_mem: 77MB, parallel_workers: 0}"
    project.wants(f"{BY_AUTHOR}, priority: 1, {build}", "name: by_score, table: posts, keys: [score], priority: 2")
    project.run().assert_applied()
    [(_, memory, workers), (_, after, _)] = posts.sql("SELECT * FROM seen")
    assert (memory, workers) == ("77MB", "0")
    assert after == posts.sql("SHOW maintenance_work_mem")[0][0] != "77MB"


# Replacement

QUERY = "SELECT count(*) FROM posts WHERE author = 3"


@contextlib.contextmanager
def sampling(
    database: Database, look: Callable[[psycopg.Connection[tuple[object, ...]]], object]
) -> Iterator[list[object]]:
    """What 50 looks a second have seen during the block."""
    seen: list[object] = []
    over = threading.Event()

    def work() -> None:
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            while not over.wait(0.02):
                seen.append(look(conn))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: seen, "a first look")
        yield seen
    finally:
        over.set()
        thread.join()


def node(conn: psycopg.Connection[tuple[object, ...]]) -> str:
    conn.execute("SET enable_seqscan = off")
    lines = conn.execute(f"EXPLAIN (COSTS off) {QUERY}").fetchall()
    return "Seq Scan" if any("Seq Scan" in str(line[0]) for line in lines) else "Index"


def test_a_replacement_leaves_no_instant_without_an_index(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author)")
    project.wants("name: by_author, table: posts, keys: [author, score]")
    with sampling(posts, node) as seen:
        with open_transaction(posts, "SELECT count(*) FROM posts") as reader:
            run = project.start()
            run.until_it_waits_for(reader)  # the drop of the old one; build and swap did not mind the reader
            assert "by_author_dbopt_old" in index_names(posts, "posts")
            assert_index(posts, "public.posts (author, score)")
        run.finish().assert_applied()
    assert set(seen) == {"Index"}
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_a_replacement_hands_on_what_the_old_one_had(project: Project, posts: Database) -> None:
    posts.sql(
        "CREATE INDEX by_title ON posts (lower(title));"
        "COMMENT ON INDEX by_title IS 'asked for by the search page';"
        "ALTER TABLE posts CLUSTER ON by_title;"
        "ALTER INDEX by_title ALTER COLUMN 1 SET STATISTICS 321"
    )
    project.wants("name: by_title, table: posts, keys: [{expr: lower(title)}, score]")
    project.run().assert_applied()
    assert posts.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered") == [("by_title",)]
    [(target,)] = posts.sql(
        "SELECT attstattarget FROM pg_attribute WHERE attrelid = 'by_title'::regclass AND attnum = 1"
    )
    assert target == 321
    comment = index_comment(posts, "by_title")
    assert comment is not None
    assert comment.startswith("asked for by the search page")
    project.assert_settled()


def oid_of(database: Database, index: str) -> int:
    [(oid,)] = database.sql("SELECT %s::regclass::oid::int8", [index])
    return int(oid)


def test_a_replacement_interrupted_before_the_swap_is_not_built_again(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author)")
    project.wants("name: by_author, table: posts, keys: [author, score]")
    with open_transaction(posts, "LOCK TABLE pg_description IN SHARE MODE"):  # keeps the comment from being written
        run = project.start()
        wait_until(lambda: any("the lock is not to be had" in words for words in run.notices), "a try at the comment")
        run.interrupt().finish()
    assert run.result.interrupted
    built = oid_of(posts, "by_author_dbopt_new")
    assert_index(posts, "public.posts (author)")
    plan = project.plan()
    assert not any("CREATE INDEX" in statement for step in plan.steps for statement in step.statements)
    project.assert_converges()
    assert oid_of(posts, "by_author") == built


def test_a_replacement_interrupted_after_the_swap_is_cleaned_up(
    project: Project, posts: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbopt.optimize.lane.CLEANUP_SECONDS", 0.3)
    posts.sql("CREATE INDEX by_author ON posts (author)")
    project.wants("name: by_author, table: posts, keys: [author, score]")
    with open_transaction(posts, "SELECT count(*) FROM posts") as reader:
        run = project.start()
        run.until_it_waits_for(reader)
        run.interrupt().finish()
        assert run.result.interrupted
        assert_index(posts, "public.posts (author, score)")
        new = oid_of(posts, "by_author")
    project.assert_converges()
    assert oid_of(posts, "by_author") == new
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


# Under load

WRITES_AT_ONCE = 3


def test_indexes_built_under_writes_hold_every_row(project: Project, database: Database) -> None:
    database.sql(POSTS.format(rows=50_000))
    over = threading.Event()
    written = [0] * WRITES_AT_ONCE
    failed: list[psycopg.Error] = []

    def write(number: int) -> None:
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            while not over.is_set():
                key = 100_000 + number * 1_000_000 + written[number]
                try:
                    conn.execute("INSERT INTO posts VALUES (%s, 3, md5(%s), 1)", (key, str(key)))
                    conn.execute("UPDATE posts SET author = 3, score = 5 WHERE id = %s", (key % 50_000,))
                    conn.execute("DELETE FROM posts WHERE id = %s", ((key * 7) % 50_000,))
                except psycopg.Error as exc:
                    failed.append(exc)
                    return
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITES_AT_ONCE)]
    project.wants(
        BY_AUTHOR,
        "name: by_title, table: posts, keys: [{expr: upper(title)}]",
        "name: by_score, table: posts, keys: [score], where: author = 3",
    )
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: min(written) > 10, "some writes")
        run = project.run()
    finally:
        over.set()
        for writer in writers:
            writer.join()
    run.assert_applied()
    assert failed == []
    with database.connect() as conn:
        for condition, index in (("author = 3", "by_author"), ("upper(title) >= ''", "by_title")):
            counts = []
            for scan in ("on", "off"):
                conn.execute(f"SET LOCAL enable_seqscan = {scan}")
                conn.execute(f"SET LOCAL enable_indexscan = {'off' if scan == 'on' else 'on'}")
                conn.execute(f"SET LOCAL enable_bitmapscan = {'off' if scan == 'on' else 'on'}")
                conn.execute("SET LOCAL enable_indexonlyscan = off")
                statement = f"SELECT count(*) FROM posts WHERE {condition}"
                shown = " ".join(str(line[0]) for line in conn.execute(f"EXPLAIN {statement}").fetchall())
                assert ("Seq Scan" in shown) is (scan == "on")
                assert (index in shown) is (scan == "off"), shown
                counts.append(conn.execute(statement).fetchone())
            assert counts[0] == counts[1]


TIMEOUTS = {
    "statement_timeout": 13,
    "lock_timeout": 13,
    "idle_in_transaction_session_timeout": 13,
    "idle_session_timeout": 14,
    "transaction_timeout": 17,
}


@pytest.mark.parametrize("whose", ["role", "database"])
def test_timeouts_of_role_and_database_end_no_build(project: Project, posts: Database, whose: str) -> None:
    user = "hasty_role"
    posts.sql(f"DROP ROLE IF EXISTS {user}; CREATE ROLE {user} LOGIN; ALTER TABLE posts OWNER TO {user}")
    posts.sql(f"GRANT CREATE ON SCHEMA public TO {user}; GRANT pg_monitor TO {user}")
    project.conninfo = psycopg.conninfo.make_conninfo(posts.conninfo, user=user)
    project.wants(BY_AUTHOR)
    plan = project.plan()
    owner = f"ROLE {user}" if whose == "role" else f"DATABASE {posts.name}"
    writer = posts.connect()
    writer.execute("UPDATE posts SET score = 1 WHERE id = 1")
    for name, major in TIMEOUTS.items():
        if posts.server_version >= (major,):
            posts.sql(f"ALTER {owner} SET {name} = '200ms'")
    try:
        run = project.start(plan)
        run.until_it_waits_for(writer.info.backend_pid)
        time.sleep(1)  # five times what the settings would allow
        writer.rollback()
        run.finish().assert_applied()
    finally:
        posts.sql(f"ALTER {owner} RESET ALL")
        posts.sql(f"REASSIGN OWNED BY {user} TO CURRENT_USER; DROP OWNED BY {user}; DROP ROLE {user}")
    assert invalid_indexes(posts) == []


def test_the_listener_that_goes_away_takes_the_build_along(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1") as holder:
        run = Run()
        stream = project.events(project.plan(), ApplyOptions())
        for event in stream:
            run.events.append(event)
            if run.waits_for(holder):
                break
        stream.close()
        # A session that is closed takes the server an instant to end; the snapshot would hold up a build for longer.
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dbopt optimize'"
        wait_until(lambda: not posts.sql(ours), "the end of our sessions")
    project.assert_converges()
