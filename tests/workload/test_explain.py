"""Plans of normalized texts: by whose search_path, with which rights, and what is said where there is none."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import open_transaction
from pooler import pooled
from psycopg.conninfo import make_conninfo

from dbopt.errors import Error, UsageError
from dbopt.postgres.connect import connect
from dbopt.postgres.search_paths import SEARCH_PATH, joined, split
from dbopt.postgres.server import inspect
from dbopt.workload.explain import Planner
from dbopt.workload.model import Planned, Unplanned
from dbopt.workload.plan import root, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE SCHEMA app; CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA closed; CREATE SCHEMA plans_own;
    CREATE TABLE public.orders (id int PRIMARY KEY, customer int, status text, due date)
      WITH (autovacuum_enabled = off);
    INSERT INTO public.orders SELECT g, g % 500, 'open', date '2026-01-01' + g % 90 FROM generate_series(1, 5000) g;
    CREATE INDEX by_customer ON public.orders (customer);
    CREATE TABLE app.orders (id int, only_in_app text);
    CREATE TABLE app.lines (id int, order_id int);
    CREATE TABLE one.items (id int); CREATE TABLE two.items (id int);
    CREATE TABLE closed.safe (id int, note text);
    CREATE TABLE plans_own.mine (id int);
    CREATE TABLE public.calls (n int);
    CREATE FUNCTION public.touch(n int) RETURNS int VOLATILE LANGUAGE sql
      AS 'INSERT INTO public.calls VALUES (n) RETURNING n';
    CREATE FUNCTION public.raises(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql
      AS $$ BEGIN RAISE EXCEPTION 'card 4111111111111111'; END $$;
    CREATE FUNCTION public.slow() RETURNS int IMMUTABLE LANGUAGE plpgsql
      AS $$ BEGIN PERFORM pg_sleep(30); RETURN 1; END $$;
    CREATE SEQUENCE public.numbers;
    CREATE FUNCTION public.writes() RETURNS int IMMUTABLE LANGUAGE plpgsql
      AS $$ BEGIN RETURN nextval('public.numbers'); END $$;
    ALTER TABLE closed.safe ENABLE ROW LEVEL SECURITY;
    ANALYZE public.orders;
"""
ROLES = ("plans_plain", "plans_own", "plans_path", "plans_monitor")


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    """One for all: nothing here changes it."""
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        for role in ROLES:
            fresh.sql(f"CREATE ROLE {role} LOGIN")
        fresh.sql(f'ALTER ROLE plans_path IN DATABASE {fresh.name} SET search_path = "$user", app')
        fresh.sql("ALTER ROLE plans_path SET search_path = one; GRANT pg_monitor TO plans_monitor")
        fresh.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO plans_monitor")
        yield fresh
        fresh.sql("".join(f"DROP OWNED BY {role}; DROP ROLE {role};" for role in ROLES))


@contextlib.contextmanager
def asking(db: Database, *, user: str | None = None, **limits: int) -> Iterator[Planner]:
    conninfo = db.conninfo if user is None else make_conninfo(db.conninfo, user=user)
    with connect(conninfo, command="test", read_only=True, settings={"search_path": "pg_catalog"}) as conn:
        yield Planner(conn, inspect(conn), **limits)
        assert conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
        assert conn.execute("SHOW search_path").fetchone() == ("pg_catalog",)
        assert conn.info.transaction_status.name == "IDLE"


@pytest.fixture(scope="module")
def planner(shop: Database) -> Iterator[Planner]:
    with asking(shop) as made:
        yield made


def userid(db: Database, role: str) -> int:
    [(number,)] = db.sql("SELECT oid FROM pg_roles WHERE rolname = %s", [role])
    return int(number)


def read(answer: Planned | Unplanned) -> str:
    """What the plan reads."""
    assert isinstance(answer, Planned), answer
    tree = root(answer.documents[0])
    assert tree is not None
    return summary(tree)


def why(answer: Planned | Unplanned) -> tuple[str, str | None, bool]:
    assert isinstance(answer, Unplanned), answer
    return answer.reason, answer.hint, answer.is_lasting


def rows(db: Database) -> list[tuple[Any, ...]]:
    return db.sql("SELECT (SELECT count(*) FROM public.calls), sum(hashtext(o::text)) FROM public.orders o")


def test_a_plan_for_any_value(planner: Planner) -> None:
    answer = planner.plan("SELECT id FROM orders WHERE customer = $1 AND due > date $2", None)
    assert isinstance(answer, Planned)
    assert (answer.parameter_types, answer.search_path) == (("integer", "date"), ("public",))
    assert answer.query == "SELECT id FROM orders WHERE customer = $1 AND due > CAST($2 AS date)"
    assert not answer.is_analyzed
    tree = root(answer.documents[0])
    assert tree is not None
    assert "$1" in str([node.raw for node in tree.walk()])
    assert tree.raw["Output"] == ["id"]  # VERBOSE, in which tables have their schema
    assert ("public", "orders") in [node.relation for node in tree.walk()]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM orders",
        "SELECT id FROM orders WHERE customer = $1 FOR UPDATE",
        "UPDATE orders SET status = $1 WHERE id = $2",
        "DELETE FROM orders WHERE customer = $1",
        "DELETE FROM orders",
        "INSERT INTO calls SELECT id FROM orders WHERE customer = $1",
        "SELECT touch($1)",
        "SELECT touch(1)",
        "WITH gone AS (DELETE FROM orders WHERE id = $1 RETURNING id) SELECT * FROM gone",
    ],
)
def test_nothing_is_run(planner: Planner, shop: Database, query: str) -> None:
    before = rows(shop)
    assert isinstance(planner.plan(query, None), Planned)
    assert rows(shop) == before


@pytest.mark.pg(">= 15")
def test_merge(planner: Planner) -> None:
    merge = "MERGE INTO orders o USING calls c ON o.id = c.n WHEN MATCHED THEN UPDATE SET status = $1"
    assert "orders" in read(planner.plan(merge, None))


@pytest.mark.pg("< 15")
def test_merge_is_not_known(planner: Planner) -> None:
    merge = "MERGE INTO orders o USING calls c ON o.id = c.n WHEN MATCHED THEN UPDATE SET status = $1"
    assert why(planner.plan(merge, None)) == ("it has syntax that this server does not know", None, True)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("VACUUM orders", "utility statements have no plan"),
        ("CREATE TABLE t AS SELECT $1", "utility statements have no plan"),
        ("SELECT * FROM orders WHERE", "its text is cut off"),
        ("SELECT * FROM orders WHERE status = 'secr", "its text is cut off"),
        ("SELECT * FROM orders WHERE hunter2 hunter2", "its text is no SQL that PostgreSQL's grammar knows"),
        ("<insufficient privilege>", "its text is no SQL that PostgreSQL's grammar knows"),
        ("SELECT 1; DROP TABLE orders", "its text cannot be read: expected one statement, found 2"),
        ("", "its text cannot be read: expected one statement, found none"),
        ("SELECT " + "(" * 200 + "1" + ")" * 200 + " + $1" * 200, "its text cannot be read: nested too deeply to be read"),  # noqa: E501
    ],
)  # fmt: skip
def test_texts_that_have_no_plan(planner: Planner, query: str, reason: str) -> None:
    said, _, is_lasting = why(planner.plan(query, None))
    assert (said, is_lasting) == (reason, True)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT * FROM gone WHERE id = $1", 'relation "gone" does not exist'),
        ("SELECT * FROM app.gone WHERE id = $1", 'relation "app.gone" does not exist'),
        ("SELECT gone FROM orders WHERE id = $1", 'column "gone" does not exist'),
        ("SELECT gone(id) FROM orders WHERE id = $1", "function gone(integer) does not exist"),
        ("SELECT CAST($1 AS gone)", 'type "gone" does not exist'),
        ("SELECT gone.f($1)", 'schema "gone" does not exist'),
        ("SELECT raises(1) FROM orders WHERE id = $1", "planning it fails: raise exception (SQLSTATE P0001)"),
        ("SELECT 1 / 0 FROM orders WHERE id = $1", "planning it fails: division by zero (SQLSTATE 22012)"),
        ("SELECT * FROM orders WHERE id = 'hunter2' OR id = $1",
         "planning it fails: invalid text representation (SQLSTATE 22P02)"),
        ("SELECT writes() FROM orders WHERE id = $1", "a function that the planner runs wants to write"),
    ],
)  # fmt: skip
def test_what_the_server_refuses(planner: Planner, query: str, reason: str) -> None:
    """None of it for good: tables come back, and functions are mended. No values in the reasons."""
    said, hint, is_lasting = why(planner.plan(query, None))
    assert (said, is_lasting) == (reason, False)
    assert "hunter2" not in f"{said}{hint}"


def test_a_locked_table(shop: Database) -> None:
    with asking(shop, lock_timeout_ms=50) as planner, open_transaction(shop, "LOCK TABLE public.orders"):
        assert why(planner.plan("SELECT * FROM orders WHERE id = $1", None))[0] == "a table of it is locked"
        assert isinstance(planner.plan("SELECT * FROM calls WHERE n = $1", None), Planned)


def test_planning_that_takes_too_long(shop: Database) -> None:
    with asking(shop, statement_timeout_ms=300) as planner:
        assert (
            why(planner.plan("SELECT slow() FROM orders WHERE id = $1", None))[0]
            == "planning it takes longer than 0.3 s"
        )
        assert isinstance(planner.plan("SELECT * FROM orders WHERE id = $1", None), Planned)


def test_a_lost_connection_goes_up(shop: Database) -> None:
    with connect(shop.conninfo, command="test", read_only=True) as conn:
        planner = Planner(conn, inspect(conn))
        with shop.connect(autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)" if shop.server_version >= (14,)
                          else "SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])  # fmt: skip
        with pytest.raises(psycopg.OperationalError):
            planner.plan("SELECT * FROM orders WHERE id = $1", None)


def test_a_text_that_the_session_cannot_send(shop: Database) -> None:
    with connect(shop.conninfo, command="test", read_only=True, settings={"client_encoding": "LATIN1"}) as conn:
        answer = Planner(conn, inspect(conn)).plan('SELECT id AS "日本" FROM orders WHERE id = $1', None)
    assert why(answer)[0] == "its text has characters that the session's encoding lacks"


def test_the_servers_own_reading_of_strings_opens_no_door(shop: Database) -> None:
    """What is one string to the grammar is a string and a statement where standard_conforming_strings is off."""
    query = r"SELECT '\''; DROP TABLE public.calls; --' FROM orders"
    with connect(
        shop.conninfo, command="test", read_only=False, settings={"standard_conforming_strings": "off"}
    ) as conn:
        planner = Planner(conn, inspect(conn))
        assert isinstance(planner.plan(query, None), Planned)
        assert isinstance(planner.plan(query + "\n WHERE id = $1", None), Planned)
    assert rows(shop)


# By which schemas names are found


def test_the_path_of_whoever_ran_it(planner: Planner, shop: Database) -> None:
    plain, own, path = (userid(shop, role) for role in ("plans_plain", "plans_own", "plans_path"))
    query = "SELECT * FROM orders WHERE id = $1"
    assert (read(planner.plan(query, plain)), read(planner.plan(query, path))) == (
        "Index Scan using orders_pkey on orders",
        "Seq Scan on orders",
    )
    answer = planner.plan("SELECT * FROM mine WHERE id = $1", own)
    assert isinstance(answer, Planned)
    assert answer.search_path == ("plans_own", "public")
    gone = planner.plan(query, 4_000_000_000)  # a role that was dropped
    assert isinstance(gone, Planned)
    assert gone.search_path == ("public",)


def test_settings_of_roles_and_databases_in_their_order(shop: Database) -> None:
    def value(role: str | None) -> str:
        with shop.connect(autocommit=True) as conn:
            number = None if role is None else userid(shop, role)
            return SEARCH_PATH.rows(conn, shop.server_version, {"userid": number})[0].value

    assert [value(role) for role in ("plans_path", "plans_plain", None)] == ['"$user", app', *['"$user", public'] * 2]
    shop.sql(f"ALTER DATABASE {shop.name} SET search_path = two; ALTER ROLE plans_plain SET search_path = three")
    try:
        assert [value(role) for role in ("plans_path", "plans_plain", "plans_own", None)] == [
            *('"$user", app', "three", "two", "two")
        ]
        shop.sql(f"ALTER DATABASE {shop.name} RESET search_path; ALTER ROLE postgres SET search_path = four")
        # What our own role has of its own is nobody else's.
        assert [value("postgres"), value("plans_own")] == ["four", '"$user", public']
    finally:
        shop.sql(f"ALTER DATABASE {shop.name} RESET search_path; ALTER ROLE plans_plain RESET search_path")
        shop.sql("ALTER ROLE postgres RESET search_path")


def test_the_one_schema_that_has_them_all(planner: Planner) -> None:
    answer = planner.plan("SELECT * FROM lines JOIN orders ON order_id = orders.id WHERE only_in_app = $1", None)
    assert isinstance(answer, Planned)
    assert answer.search_path == ("app", "public")


def test_what_the_path_lacks_is_found_elsewhere(planner: Planner) -> None:
    """No schema has both: `calls` is where the path finds it, `mine` where it is."""
    answer = planner.plan("SELECT * FROM calls JOIN mine ON n = id WHERE id = $1", None)
    assert isinstance(answer, Planned)
    assert answer.search_path == ("public", "plans_own")


def test_two_schemas_that_might_be_meant(planner: Planner, shop: Database) -> None:
    said, hint, _ = why(planner.plan("SELECT * FROM items WHERE id = $1", userid(shop, "plans_own")))
    assert said == "several schemas have tables of these names: one, two"
    assert hint == 'ALTER ROLE "plans_own" SET search_path = ...; says which of them its statements mean.'


def test_a_temporary_table(planner: Planner, shop: Database) -> None:
    with shop.connect() as conn:
        conn.execute("CREATE TEMPORARY TABLE scratch (id int)")
        conn.commit()
        assert why(planner.plan("SELECT * FROM scratch WHERE id = $1", None)) == (
            "it reads a temporary table, which only the session that made it can see",
            None,
            False,
        )


def test_functions_of_extensions_in_a_schema_of_their_own(planner: Planner, shop: Database) -> None:
    shop.sql("CREATE SCHEMA extensions; CREATE EXTENSION pg_stat_statements SCHEMA extensions")
    answer = planner.plan("SELECT pg_stat_statements_reset($1)", None)
    assert isinstance(answer, Planned)
    assert answer.search_path == ("public", "extensions")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('"$user", public', ["$user", "public"]),
        ('Sales,"Sales EU" , "a""b"', ["sales", "Sales EU", 'a"b']),
        ("", []),
        ('""', [""]),
    ],
)
def test_lists_of_names(value: str, names: list[str]) -> None:
    assert split(value) == names
    assert split(joined(names)) == names


# Rights


def test_rights_that_are_lacking(shop: Database) -> None:
    with asking(shop, user="plans_monitor") as planner:
        assert why(planner.plan("SELECT * FROM orders WHERE id = $1", None)) == (
            "no right to SELECT on public.orders",
            'GRANT SELECT ON "public"."orders" TO "plans_monitor";',
            False,
        )
        assert why(planner.plan("UPDATE orders SET status = $1 WHERE id = $2", None)) == (
            "no right to SELECT, UPDATE on public.orders",
            'GRANT SELECT, UPDATE ON "public"."orders" TO "plans_monitor";',
            False,
        )
        assert why(planner.plan("SELECT * FROM closed.safe WHERE id = $1", None)) == (
            "no right to use schema closed",
            'GRANT USAGE ON SCHEMA "closed" TO "plans_monitor";',
            False,
        )
        # Found by its name alone: a schema that may not be used is as if it were not there.
        assert why(planner.plan("SELECT * FROM safe WHERE id = $1", None))[1] == (
            'GRANT USAGE ON SCHEMA "closed" TO "plans_monitor";'
        )
        several = why(planner.plan("SELECT * FROM orders, calls WHERE id = $1", None))[1]
        assert several == (
            'GRANT pg_read_all_data TO "plans_monitor";'
            if shop.server_version >= (14,)
            else 'GRANT SELECT ON "public"."orders" TO "plans_monitor";'
            ' GRANT SELECT ON "public"."calls" TO "plans_monitor";'
        )


def test_row_level_security_is_no_obstacle(shop: Database) -> None:
    shop.sql("GRANT USAGE ON SCHEMA closed TO plans_plain; GRANT SELECT ON closed.safe TO plans_plain")
    with asking(shop, user="plans_plain") as planner:
        assert isinstance(planner.plan("SELECT note FROM closed.safe WHERE id = $1", None), Planned)


# With values


def test_analyze(planner: Planner, caplog: pytest.LogCaptureFixture) -> None:
    query = "SELECT id FROM orders WHERE customer = $1 AND status = $2 AND due > now() - $3"
    with caplog.at_level(logging.DEBUG, "dbopt.sql"):
        answer = planner.analyze(query, {1: "7", 2: "s3cret", 3: "100 years"}, None, timeout_ms=5000)
    assert answer.is_analyzed
    assert answer.parameter_types == ("integer", "text", "interval")
    tree = root(answer.documents[0])
    assert tree is not None
    assert tree.actual_rows == 0
    assert "Shared Hit Blocks" in tree.raw
    assert "s3cret" not in caplog.text
    assert "s3cret" in str(answer.documents)  # planned for this value


def test_analyze_counts_what_is_there(planner: Planner) -> None:
    tree = root(
        planner.analyze("SELECT id FROM orders WHERE customer = $1", {1: "7"}, None, timeout_ms=5000).documents[0]
    )
    assert tree is not None
    assert tree.actual_rows == 10
    assert planner.analyze("SELECT count(*) FROM orders", {}, None, timeout_ms=5000).is_analyzed
    nothing = root(
        planner.analyze("SELECT id FROM orders WHERE id = $1", {1: None}, None, timeout_ms=5000).documents[0]
    )
    assert nothing is not None
    assert nothing.actual_rows == 0


def test_analyze_of_a_parameter_that_stands_for_another(planner: Planner) -> None:
    query = "SELECT coalesce(status, $1), count(*) FROM orders GROUP BY ROLLUP (coalesce(status, $2)) LIMIT $3"
    answer = planner.analyze(query, {1: "a", 2: "a", 3: "1"}, None, timeout_ms=5000)
    assert answer.is_analyzed


def test_values_that_are_missing_or_too_many(planner: Planner) -> None:
    query = "SELECT id FROM orders WHERE customer = $1 AND status = $2 AND id = $3"
    with pytest.raises(UsageError) as caught:
        planner.analyze(query, {2: "open"}, None, timeout_ms=5000)
    assert (caught.value.message, caught.value.detail, caught.value.hint) == (
        "2 parameters of the statement have no value",
        "$1 integer, $3 integer",
        "Give each its value: --value 1=... --value 3=...",
    )
    with pytest.raises(UsageError, match=r"the statement has no parameter \$4") as caught:
        planner.analyze(query, {4: "x"}, None, timeout_ms=5000)
    assert caught.value.detail == "It has $1, $2, $3."


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM orders WHERE id = $1", "the statement is not run: it writes, or locks rows"),
        ("SELECT id FROM orders WHERE id = $1 FOR UPDATE", "the statement is not run: it writes, or locks rows"),
        (
            "WITH gone AS (DELETE FROM orders WHERE id = $1 RETURNING id) SELECT * FROM gone",
            "the statement is not run: it writes, or locks rows",
        ),
        ("SELECT touch($1)", "the statement is not run: it writes"),
        ("SELECT id FROM orders WHERE pg_sleep($1 * 30) IS NULL", "the statement did not end within 0.2 s"),
        ("SELECT $1 / 0", "the statement failed"),
        ("SELECT id FROM gone WHERE id = $1", "the statement could not be run"),
        ("VACUUM orders", "the statement cannot be run"),
    ],
)
def test_what_is_not_run(planner: Planner, shop: Database, query: str, message: str) -> None:
    before = rows(shop)
    with pytest.raises(Error) as caught:
        planner.analyze(query, {1: "1"}, None, timeout_ms=200)
    assert caught.value.message == message
    assert rows(shop) == before


def test_behind_a_pooler(pg: Server, shop: Database) -> None:
    """Session settings go nowhere there, and what stays prepared another client would meet."""
    with (
        pooled(pg, shop) as conninfo,
        connect(conninfo, command="test", read_only=True) as conn,
    ):
        planner = Planner(conn, inspect(conn))
        for query in (
            "SELECT id FROM orders WHERE customer = $1",
            "SELECT sum($1) FROM orders",
            "SELECT raises($1), $2 / 0",
        ):
            planner.plan(query, None)
        assert isinstance(
            planner.analyze("SELECT id FROM orders WHERE id = $1", {1: "1"}, None, timeout_ms=500), Planned
        )
        assert conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
