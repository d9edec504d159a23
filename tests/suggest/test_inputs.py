"""Which statements a call of `dbopt suggest` works on: each once, by weight, and what is said of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from dbopt.postgres.server import inspect
from dbopt.suggest import foreign_keys, inputs
from dbopt.suggest.inputs import Aside, Chosen, Found, Wanted
from dbopt.suggest.model import Item, Origin
from dbopt.workload.model import Counters, Kind, Statement, Unplanned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server import Database


def found(query: str = "SELECT a FROM t WHERE b = $1", **given: Any) -> Found:
    rest = {name: given.pop(name) for name in ("kind", "relations", "rows", "unread") if name in given}
    given = {"calls": 1.0, "time_ms": 1.0, "fingerprint": query[-16:], **given}
    item = Item(number=0, query=query, shown=query, **given)
    return Found(**{"item": item, "kind": Kind.SELECT, "relations": ("t",), **rest})


def statement(query: str | None, calls: float = 10, time_ms: float = 100, **rest: Any) -> Statement:
    counters = Counters(calls=calls, total_exec_time_ms=time_ms, rows=rest.pop("rows", None))
    return Statement(**{"fingerprint": "f", "query": query, "kind": Kind.SELECT, "counters": counters, **rest})


def numbers(choice: Chosen) -> list[tuple[int, str]]:
    return [(item.number, item.query) for item in inputs.numbered(choice).items]


# What one source says.


def test_a_statement_keeps_who_ran_it_and_how_often() -> None:
    one = inputs.of_statement(
        statement("SELECT a FROM t", queryids=(5, 6), userids=(10, 11), relations=("t",), rows=30),
        Origin.STATEMENTS,
    )
    assert (one.item.queryids, one.item.userid, one.item.fingerprint) == ((5, 6), 10, "f")
    assert (one.item.calls, one.item.time_ms, one.rows) == (10, 100, 30)
    assert (one.kind, one.relations, one.unread) == (Kind.SELECT, ("t",), None)


def test_one_that_was_watched_for_less_counts_for_more() -> None:
    one = inputs.of_statement(statement("SELECT a FROM t", rows=3), Origin.LOG, factor=4.0)
    assert (one.item.calls, one.item.time_ms, one.rows) == (40, 400, 12)


def test_one_that_is_cut_off_says_why() -> None:
    cut = statement("SELECT a FROM", planned=Unplanned(reason="its text is cut off", hint="Restart."))
    choice = inputs.chosen([inputs.of_statement(cut, Origin.SAMPLE)], Wanted())
    [one] = inputs.numbered(choice).unread
    assert (one.reason, one.hint, one.share) == ("its text is cut off", "Restart.", 1.0)


@pytest.mark.parametrize(
    ("kind", "relations", "query", "reason"),
    [
        (Kind.OWN, ("t",), "SELECT", Aside.OWN),
        (Kind.UTILITY, (), "VACUUM", Aside.UTILITY),
        (Kind.SELECT, ("pg_class", "pg_catalog.pg_index"), "SELECT", Aside.CATALOGS),
        (Kind.SELECT, ("information_schema.tables",), "SELECT", Aside.CATALOGS),
        (Kind.SELECT, ("pg_class", "t"), "SELECT", None),
        (Kind.SELECT, ("app.pg_like",), "SELECT", None),
        (Kind.SELECT, (), "SELECT $1", Aside.NO_TABLE),
        (Kind.SELECT, (), "SELECT f($1)", None),  # a function may read tables
        (Kind.SELECT, (), None, None),  # its text is not read yet
        (Kind.UNKNOWN, (), "<insufficient privilege>", None),
    ],
)
def test_what_is_no_part_of_a_workload(
    kind: Kind, relations: Sequence[str], query: str | None, reason: Aside | None
) -> None:
    assert inputs.aside(kind, relations, query) is reason


# Of several sources.


def test_the_source_that_saw_most_of_a_statement_speaks_for_it() -> None:
    """Adding would count calls twice that both have seen."""
    counted = found(fingerprint="f", calls=1000, time_ms=50, queryids=(7,), userid=10)
    logged = found(fingerprint="f", calls=3, time_ms=90_000, origin=Origin.LOG)
    [one] = inputs.merged([[counted], [logged]])
    assert (one.item.calls, one.item.time_ms, one.item.origin) == (3, 90_000, Origin.LOG)
    assert (one.item.queryids, one.item.userid) == ((7,), 10)
    [other] = inputs.merged([[counted], [found(fingerprint="f", calls=3, time_ms=10, origin=Origin.LOG)]])
    assert (other.item.calls, other.item.time_ms, other.item.origin) == (1000, 50, Origin.STATEMENTS)


def test_one_source_has_it_under_several_ids() -> None:
    ids = [found(fingerprint="f", queryids=(number,), calls=number, time_ms=10 * number, rows=1) for number in (1, 2)]
    [one] = inputs.merged([ids])
    assert (one.item.calls, one.item.time_ms, one.item.queryids, one.rows) == (3, 30, (1, 2), 2)


def test_the_whole_text_is_planned_where_one_source_has_it() -> None:
    cut = found(
        "SELECT a FROM", fingerprint="f", time_ms=500, unread=("its text is cut off", None), origin=Origin.SAMPLE
    )
    whole = found("SELECT a FROM t", fingerprint="f", time_ms=5)
    [one] = inputs.merged([[cut], [whole]])
    assert (one.item.query, one.item.time_ms, one.unread) == ("SELECT a FROM t", 500, None)


def test_what_nobody_knows_stays_apart() -> None:
    unknown = [found("", fingerprint=None, queryids=(number,)) for number in (1, 2)]
    assert len(inputs.merged([unknown])) == 2


# Which are taken.


def test_the_heaviest_first_whatever_the_order() -> None:
    some = [
        found("SELECT quick", calls=90, time_ms=5),
        found("SELECT slow", calls=1, time_ms=50),
        found("SELECT b", calls=2, time_ms=5),
        found("SELECT a", calls=2, time_ms=5),
    ]
    wanted = [(1, "SELECT slow"), (2, "SELECT quick"), (3, "SELECT a"), (4, "SELECT b")]
    assert numbers(inputs.chosen(some, Wanted())) == wanted
    assert numbers(inputs.chosen(reversed(some), Wanted())) == wanted


def test_what_carries_the_workload_is_taken_and_the_rest_is_told() -> None:
    slow = [found(f"SELECT slow{number}", calls=1, time_ms=10_000) for number in range(10)]
    frequent = found("SELECT frequent", calls=1_000_000, time_ms=1)
    rare = [found(f"SELECT rare{number}", calls=1, time_ms=0.01) for number in range(4989)]
    choice = inputs.chosen([*rare, *slow, frequent], Wanted())
    assert choice.taken == (*sorted(slow, key=lambda one: one.item.query), frequent)
    assert choice.notes == ("4,989 statements left out as they make 0.05 % of the time and 0.5 % of the calls",)


def test_never_more_than_can_be_planned() -> None:
    alike = [found(f"SELECT {number}") for number in range(2000)]
    choice = inputs.chosen(alike, Wanted())
    assert len(choice.taken) == inputs.STATEMENTS_MAX
    assert choice.notes == ("1,500 statements left out as they make 75 % of the time and 75 % of the calls",)
    assert len(inputs.chosen(alike, Wanted(everything=True)).taken) == inputs.STATEMENTS_MAX


def test_what_nobody_has_measured_cannot_be_too_little() -> None:
    heavy, unmeasured = found("SELECT heavy", calls=10_000, time_ms=10_000), found("SELECT rare", time_ms=None)
    assert len(inputs.chosen([heavy, unmeasured], Wanted()).taken) == 2


def test_only_what_was_asked_for() -> None:
    some = [
        found("SELECT 1", relations=("app.orders", "t"), calls=5),
        found("SELECT 2", relations=("t",), calls=50),
        found("SELECT 3", relations=("orders",), calls=500),
    ]
    choice = inputs.chosen(some, Wanted(tables=("app.order*",)))
    assert sorted(one.item.query for one in choice.taken) == ["SELECT 1", "SELECT 3"]
    assert choice.notes == ("statements set aside: 1 left out by --table and --min-calls",)
    assert [one.item.query for one in inputs.chosen(some, Wanted(min_calls=500)).taken] == ["SELECT 3"]


def test_texts_that_are_told_later_may_set_a_statement_aside() -> None:
    mute = [found("", fingerprint=None, queryids=(number,), calls=number, relations=()) for number in (1, 2, 3)]
    known = found("SELECT a FROM t", fingerprint="f", queryids=(9,), calls=100)

    def texts(asked: Sequence[Found]) -> list[Found]:
        answers = {
            1: found("COMMIT", kind=Kind.UTILITY),
            2: found("SELECT a FROM t", fingerprint="f", queryids=(2,), calls=2),
            3: found("", fingerprint=None, queryids=(3,), calls=3),
        }
        return [answers[one.item.queryids[0]] for one in asked]

    choice = inputs.told(inputs.chosen([*mute, known], Wanted(everything=True)), texts)
    made = inputs.numbered(choice)
    assert [(item.query, item.queryids, item.calls) for item in made.items] == [("SELECT a FROM t", (9, 2), 102)]
    assert [(one.reason, one.item.queryids) for one in made.unread] == [("its text is not known", (3,))]
    assert choice.notes == ("statements set aside: 1 without a plan (utility)",)


def test_the_share_is_of_all_the_time() -> None:
    choice = inputs.chosen([found(time_ms=25, unread=("why", None))], Wanted())
    assert [one.share for one in inputs.numbered(choice, 100.0).unread] == [0.25]
    assert [one.share for one in inputs.numbered(choice).unread] == [1.0]
    untimed = inputs.chosen([found(time_ms=None, unread=("why", None))], Wanted())
    assert [one.share for one in inputs.numbered(untimed).unread] == [None]


# Foreign keys.


def test_what_the_server_asks_when_a_row_goes(database: Database) -> None:
    database.sql(
        'CREATE SCHEMA "Odd one"; CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE);'
        ' CREATE TABLE "Odd one"."Posts" (id int, "Author" int CONSTRAINT by REFERENCES users);'
        " CREATE TABLE indexed (author int REFERENCES users); CREATE INDEX ON indexed (author);"
        " CREATE TABLE partial (author int REFERENCES users);"
        " CREATE INDEX ON partial (author) WHERE author IS NOT NULL;"
        " CREATE TABLE mails (email text REFERENCES users (email)) PARTITION BY LIST (email);"
        " CREATE TABLE mails_rest PARTITION OF mails DEFAULT;"
        " INSERT INTO users SELECT i, i FROM generate_series(1, 100) i;"
        ' INSERT INTO "Odd one"."Posts" SELECT i, i FROM generate_series(1, 100) i;'
        " INSERT INTO indexed SELECT i FROM generate_series(1, 100) i;"
        " INSERT INTO partial SELECT i FROM generate_series(1, 100) i;"
        " INSERT INTO mails SELECT i FROM generate_series(1, 100) i; ANALYZE"
    )
    with database.connect(autocommit=True) as conn:
        bare = foreign_keys.collect(conn, inspect(conn), seconds=3600, counted=True)
        assert {one.key.table for one in bare} == {"Posts", "mails"}
        assert {one.deleted for one in bare} == {0}  # the counters are younger than a day
        assert foreign_keys.asked(bare, [found("SELECT id FROM users WHERE id = $1")]) == []
        removal = found("DELETE FROM users WHERE id = $1", kind=Kind.DELETE, calls=5, rows=70)
        posts, mails = sorted(foreign_keys.asked(bare, [removal]), key=lambda one: one.item.query)
        assert posts.item.query == 'SELECT 1 FROM "public"."mails" AS x WHERE x."email" = $1'
        assert mails.item.query == 'SELECT 1 FROM ONLY "Odd one"."Posts" AS x WHERE x."Author" = $1'
        for one in (posts, mails):
            assert (one.item.calls, one.item.time_ms, one.item.origin) == (70, None, Origin.FOREIGN_KEY)
            conn.execute(f"PREPARE check_it AS {one.item.query}")
            conn.execute("DEALLOCATE check_it")
        only = inputs.chosen([posts, mails], Wanted(tables=('"Odd one"."Posts"',)))
        assert [one.item.query for one in only.taken] == [mails.item.query]

        unmeasured = found("DELETE FROM public.users WHERE id = $1", kind=Kind.DELETE, calls=5)
        assert {one.item.calls for one in foreign_keys.asked(bare, [unmeasured])} == {5}
        for query in ("DELETE FROM other.users WHERE id = $1", "UPDATE users SET name = $1 WHERE id = $2"):
            kind = Kind.DELETE if query.startswith("DELETE") else Kind.UPDATE
            assert foreign_keys.asked(bare, [found(query, kind=kind)]) == []
        renaming = found("UPDATE users SET email = $1 WHERE id = $2", kind=Kind.UPDATE, calls=3)
        assert [one.item.query for one in foreign_keys.asked(bare, [renaming])] == [posts.item.query]


def test_checks_that_are_counted_are_not_asked_twice(database: Database) -> None:
    """With pg_stat_statements.track = all they are statements like others."""
    database.sql(
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE posts (author int REFERENCES users);"
        " INSERT INTO posts SELECT NULL FROM generate_series(1, 100); ANALYZE"
    )
    with database.connect(autocommit=True) as conn:
        bare = foreign_keys.collect(conn, inspect(conn), seconds=None, counted=False)
    removal = found("DELETE FROM users WHERE id = $1", kind=Kind.DELETE)
    check = 'SELECT $2 FROM ONLY "public"."posts" x WHERE $1 OPERATOR(pg_catalog.=) "author" FOR KEY SHARE OF x'
    other = 'SELECT $2 FROM ONLY "public"."posts" x WHERE $1 OPERATOR(pg_catalog.=) "editor" FOR KEY SHARE OF x'
    assert len(foreign_keys.asked(bare, [removal, found(other)])) == 1
    assert foreign_keys.asked(bare, [removal, found(check)]) == []
    cascade = 'DELETE FROM ONLY "public"."posts" WHERE $1 OPERATOR(pg_catalog.=) "author"'
    assert foreign_keys.asked(bare, [removal, found(cascade, kind=Kind.DELETE)]) == []


def test_rows_that_were_deleted_by_whomever(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cascade or a function deletes, too."""
    monkeypatch.setattr(foreign_keys, "COUNTED_LEAST_SECONDS", 0.0)
    database.sql(
        "CREATE TABLE users (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        " CREATE TABLE low PARTITION OF users FOR VALUES FROM (0) TO (100);"
        " CREATE TABLE high PARTITION OF users FOR VALUES FROM (100) TO (200);"
        " CREATE TABLE posts (author int REFERENCES users); INSERT INTO posts SELECT NULL FROM generate_series(1, 100);"
        " INSERT INTO users SELECT i FROM generate_series(0, 199) i; DELETE FROM users WHERE id % 2 = 0; ANALYZE"
    )
    with database.connect(autocommit=True) as conn:

        def deleted(seconds: float | None) -> float:
            [one] = foreign_keys.collect(conn, inspect(conn), seconds=seconds, counted=True)
            return one.deleted

        wait_until(lambda: deleted(3600) > 0, "the counters")
        assert deleted(7200) == pytest.approx(2 * deleted(3600), rel=0.2)
        assert deleted(None) == 0
        [one] = foreign_keys.collect(conn, inspect(conn), seconds=3600, counted=True)
        [check] = foreign_keys.asked([one], [])
        assert check.item.calls == one.deleted
