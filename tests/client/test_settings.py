"""What a Database is made with: who wins, what each setting becomes, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from dbopt.client.setting_fields import FIELDS, MOST
from dbopt.client.settings import Settings, changed, table
from dbopt.config.environment import GUIDE
from dbopt.errors import ConfigError, UsageError
from dbopt.postgres import dsn

URL = "postgresql://app:secret@db1:5433/shop"
NUMBERS = [each for each in FIELDS if each.least is not None]


def test_defaults_are_the_guides_for_production() -> None:
    made = Settings.from_env({})
    assert (made.max_connections, made.min_connections, made.slow_threshold_ms) == (30, 5, 500)
    assert (made.connect_timeout_ms, made.acquire_timeout_ms, made.idle_timeout_ms) == (10_000, 30_000, 60_000)
    assert (made.statement_timeout_ms, made.query_timeout_ms) == (30_000, 30_000)
    assert made.conninfo == ""


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("DB_MAX_CONNECTIONS", "7", "max_connections", 7),
        ("DB_MIN_CONNECTIONS", "3", "min_connections", 3),
        ("DB_CONNECTION_TIMEOUT", "2500", "connect_timeout_ms", 2500),
        ("DB_ACQUIRE_TIMEOUT", "100", "acquire_timeout_ms", 100),
        ("DB_IDLE_TIMEOUT", "0", "idle_timeout_ms", 0),
        ("DB_STATEMENT_TIMEOUT", "60000", "statement_timeout_ms", 60000),
        ("DB_QUERY_TIMEOUT", "5000", "query_timeout_ms", 5000),
        ("DB_QUERY_TIMEOUT", "60000", "statement_timeout_ms", 60000),
        ("DB_SSL_REJECT_UNAUTHORIZED", "false", "reject_unauthorized", False),
        ("SLOW_QUERY_THRESHOLD", "100", "slow_threshold_ms", 100),
        ("DBOPT_APPLICATION", "shop-web", "application", "shop-web"),
        ("DBOPT_CACHE_URL", "redis://cache:6379/0", "cache_url", "redis://cache:6379/0"),
        ("DBOPT_CURSOR_SECRET", "one", "cursor_secrets", ("one",)),
        ("DBOPT_CURSOR_SECRETS", "one, two,", "cursor_secrets", ("one", "two")),
        ("DBOPT_STORE_URL", "sqlite:///past.db", "store_url", "sqlite:///past.db"),
        ("PGAPPNAME", "my shop (web)", "application", "my-shop-web-"),
        ("PGCONNECT_TIMEOUT", "4", "connect_timeout_ms", 4000),
    ],
)
def test_variables(variable: str, text: str, name: str, value: object) -> None:
    made = Settings.from_env({"DATABASE_URL": URL, variable: text})
    assert getattr(made, name) == value
    assert getattr(Settings.from_env({"DATABASE_URL": URL, variable: "  "}), name) == getattr(Settings(), name)


def test_the_newer_secret_signs_and_the_older_ones_are_accepted() -> None:
    made = Settings.from_env({"DBOPT_CURSOR_SECRET": "new", "DBOPT_CURSOR_SECRETS": "old,older"})
    assert made.cursor_secrets == ("new", "old", "older")
    assert Settings.of(cursor_secrets="one").cursor_secrets == ("one",)


@pytest.mark.parametrize(
    ("statement", "query", "limit"),
    [("20000", "10000", 10000), ("10000", "20000", 10000), ("0", "10000", 10000), ("10000", "0", 10000), ("0", "0", 0)],
)
def test_the_smaller_limit_of_two_holds(statement: str, query: str, limit: int) -> None:
    made = Settings.from_env({"DB_STATEMENT_TIMEOUT": statement, "DB_QUERY_TIMEOUT": query})
    assert made.statement_timeout_ms == limit


def test_a_keyword_wins_over_a_variable_and_that_over_the_url() -> None:
    url = f"{URL}?connection_limit=3&statement_timeout=3&application_name=of-url&connect_timeout=3"
    variables = {"DB_MAX_CONNECTIONS": "4", "DB_STATEMENT_TIMEOUT": "4000", "DBOPT_APPLICATION": "of-variable"}
    said = []
    for env, overrides in (
        ({"DATABASE_URL": url}, {}),
        ({"DATABASE_URL": url, **variables}, {}),
        (
            {"DATABASE_URL": url, **variables},
            {"max_connections": 5, "statement_timeout_ms": 5000, "application": "own"},
        ),
    ):
        made = Settings.from_env(env, **overrides)
        said.append((made.max_connections, made.statement_timeout_ms, made.application, made.connect_timeout_ms))
    assert said == [(3, 3000, "of-url", 3000), (4, 4000, "of-variable", 3000), (5, 5000, "own", 3000)]
    assert Settings.of(url, min_connections=1).max_connections == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Prisma
        ("connection_limit=7&pool_timeout=20", {"max_connections": 7, "acquire_timeout_ms": 20_000}),
        ("pgbouncer=true", {"pooler": True}),
        ("schema=app&socket_timeout=5", {"query_timeout_ms": 5_000}),
        ("statement_cache_size=0", {"prepared_statements": False}),
        ("statement_cache_size=100", {"prepared_statements": None}),
        # SQLAlchemy
        ("pool_size=5&max_overflow=10", {"max_connections": 15}),
        ("pool_recycle=60&pool_pre_ping=false", {"recycle_seconds": 60, "pre_ping": False}),
        # node-pg
        ("max=9&min=2&idleTimeoutMillis=1500", {"max_connections": 9, "min_connections": 2, "idle_timeout_ms": 1500}),
        ("connectionTimeoutMillis=1500", {"connect_timeout_ms": 2000}),
        # pgx
        ("pool_max_conns=9&pool_min_conns=1", {"max_connections": 9, "min_connections": 1}),
        (
            "pool_max_conn_lifetime=1h30m&pool_max_conn_idle_time=90s",
            {"recycle_seconds": 5400, "idle_timeout_ms": 90_000},
        ),
        ("default_query_exec_mode=simple_protocol", {"prepared_statements": False}),
        # Rails
        ("pool=4&checkout_timeout=2.5", {"max_connections": 4, "acquire_timeout_ms": 2_500}),
        ("prepared_statements=false", {"prepared_statements": False}),
    ],
)
def test_what_a_url_says_of_the_pool(query: str, expected: dict[str, Any]) -> None:
    made = Settings.of(f"{URL}?{query}")
    assert {name: getattr(made, name) for name in expected} == expected


def test_other_clients_urls() -> None:
    jdbc = Settings.of("jdbc:postgresql://db1/shop?user=app&prepareThreshold=0&socketTimeout=7&ApplicationName=till")
    assert (jdbc.prepared_statements, jdbc.query_timeout_ms, jdbc.application) == (False, 7_000, "till")
    url = sa.make_url("postgresql+asyncpg://app:a%20secret@db1/shop?command_timeout=9")
    assert Settings.of(url).query_timeout_ms == 9_000
    assert dsn.translate(Settings.of(url).conninfo).parameters["password"] == "a secret"


@pytest.mark.parametrize("query", ["connection_limit=many", "pool_timeout=soon", "pgbouncer=perhaps", "min=-1"])
def test_a_url_that_makes_no_sense(query: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"DATABASE_URL": f"{URL}?{query}"})
    key, _, value = query.partition("=")
    assert caught.value.message == f"invalid value for {key} in DATABASE_URL"
    assert caught.value.hint is not None
    assert value not in caught.value.hint


# Values that make no sense


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
@given(
    value=st.one_of(st.integers(max_value=-1), st.just(math.nan), st.just(math.inf), st.booleans(), st.text("abc -"))
)
def test_numbers_that_make_no_sense(each: Any, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.of(**{each.name: value})
    assert each.name in caught.value.message


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_a_number_is_refused_with_its_variable_and_unit(each: Any) -> None:
    for value in (each.least - 1, each.most + 1):
        with pytest.raises(ConfigError) as caught:
            Settings.of(**{each.name: value})
        assert caught.value.message.startswith(f"invalid value for {each.name}")
        assert all(variable in caught.value.message for variable in each.variables[:1])
        assert caught.value.detail == f"found {value}"
        assert caught.value.hint is not None
        words = {"ms": "milliseconds", "s": "seconds"}.get(each.unit, each.unit)
        assert f"{words}, {each.least} or more" in caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"pre_ping": 1},
        {"pre_ping": None},
        {"pooler": "yes"},
        {"application": ""},
        {"application": "a/b"},
        {"application": None},
        {"cache_bytes": "lots"},
        {"cache_url": ""},
        {"store_url": 7},
        {"cursor_secrets": ("",)},
        {"cursor_secrets": ["a", 7]},
        {"connect_timeout_ms": 1.5},
        {"max_connections": MOST},
    ],
)
def test_other_values_that_make_no_sense(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ConfigError, match=f"invalid value for {name}"):
        Settings.of(**wrong)


def test_more_at_least_than_at_most() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"DB_MAX_CONNECTIONS": "4", "DB_MIN_CONNECTIONS": "5"})
    assert caught.value.detail is not None
    assert "DB_MIN_CONNECTIONS) is 5 connections" in caught.value.detail
    assert Settings.of(max_connections=2).min_connections == 2  # the default goes along
    assert Settings.of(max_connections=2, min_connections=0).min_connections == 0


@pytest.mark.parametrize("variable", sorted(GUIDE))
def test_a_variable_that_makes_no_sense(variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        Settings.from_env({variable: "much"})


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(UsageError, match="no setting is called 'max_conections'") as caught:
        Settings.of(max_conections=3)
    assert caught.value.hint == "Did you mean max_connections?"
    with pytest.raises(UsageError):
        changed(Settings(), nothing=1)
    with pytest.raises(ConfigError, match="unknown variable DBOPT_CURSOR_SECERT"):
        Settings.from_env({"DBOPT_CURSOR_SECERT": "x"})


def test_a_variable_that_looks_like_the_guides_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Settings.from_env({"DB_MAX_CONNECTION": "3", "DB_HOST": "db1", "DBOPT_TEST_PG": "x"})
    assert caplog.messages == ["unknown variable DB_MAX_CONNECTION; did you mean DB_MAX_CONNECTIONS?"]


def test_changed() -> None:
    made = Settings.of(URL, max_connections=3)
    other = changed(made, slow_threshold_ms=10)
    assert (other.max_connections, other.slow_threshold_ms, other.conninfo) == (3, 10, made.conninfo)
    with pytest.raises(ConfigError):
        changed(made, max_connections=0)


def test_secrets_are_not_shown() -> None:
    secrets = {
        "cursor_secrets": ("secret one",),
        "cache_url": "redis://:secret@h",
        "store_url": "postgresql://a:secret@b/c",
    }
    assert "secret" not in repr(Settings.of(URL, **secrets)).replace("cursor_secrets", "")
    for name in secrets:
        with pytest.raises(ConfigError) as caught:
            Settings.of(**{name: [b"secret"]})
        assert "secret" not in f"{caught.value} {caught.value.detail}".replace("cursor_secrets", "").replace(
            "SECRET", ""
        )


# What they become


def test_parameters_of_libpq() -> None:
    made = Settings.of(URL, connect_timeout_ms=2_001, query_timeout_ms=10_000, application="till")
    assert made.parameters() == {
        "user": "app",
        "password": "secret",
        "host": "db1",
        "port": "5433",
        "dbname": "shop",
        "application_name": "till",
        "connect_timeout": "3",
        "tcp_user_timeout": "10000",
        "keepalives_idle": "5",
        "keepalives_interval": "1",
        "keepalives_count": "4",
    }
    assert Settings.of("dbname=shop keepalives_idle=7").parameters()["keepalives_idle"] == "7"
    assert "tcp_user_timeout" not in Settings.of(query_timeout_ms=0).parameters()


@pytest.mark.parametrize(
    ("mode", "reject", "expected"),
    [
        ("require", True, {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("require", False, {"sslmode": "require"}),
        ("verify-full", False, {"sslmode": "require"}),
        ("verify-ca", True, {"sslmode": "verify-ca"}),
        ("prefer", True, {"sslmode": "prefer"}),
        ("require", None, {"sslmode": "require"}),
        ("", True, {}),
    ],
)
def test_certificates(
    mode: str, reject: bool | None, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {} if reject is None else {"DB_SSL_REJECT_UNAUTHORIZED": str(reject).lower()}
    for made in (
        Settings.from_env({"DATABASE_URL": f"{URL}?sslmode={mode}", **said}),
        Settings.of(f"{URL}?sslmode={mode}", reject_unauthorized=reject),
    ):
        assert {key: value for key, value in made.parameters().items() if key.startswith("ssl")} == expected
    monkeypatch.setenv("PGSSLMODE", mode)
    found = Settings.of(URL, reject_unauthorized=reject).parameters()
    assert found.get("sslmode", mode) == expected.get("sslmode", "")
    authority = {"sslmode": "require", "sslrootcert": "/ca.pem"}
    own = Settings.of(f"{URL}?sslmode=require&sslrootcert=/ca.pem", reject_unauthorized=True).parameters()
    assert {**own, **authority, "sslmode": "verify-full"} == own


def test_a_timeout_among_libpqs_options_stays() -> None:
    options = "options='-c statement_timeout=7s'"
    assert Settings.of(options).statement_timeout_ms is None
    assert Settings.of(options, statement_timeout_ms=5).statement_timeout_ms == 5
    assert Settings.from_env({"PGOPTIONS": "-c statement_timeout=7s"}).statement_timeout_ms is None


def test_an_environment_of_ones_own_is_all_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Settings.from_env({"PGHOST": "db2", "PGDATABASE": "shop", "PGAPPNAME": "till"})
    assert dsn.translate(made.conninfo).parameters == {"host": "db2", "dbname": "shop"}
    assert made.parameters()["application_name"] == "till"
    monkeypatch.setenv("DB_MAX_CONNECTIONS", "3")
    monkeypatch.setenv("DATABASE_URL", URL)
    assert Settings.from_env({}).max_connections == 30
    assert Settings.from_env().max_connections == 3
    assert Settings.of(URL).max_connections == 30
    assert Settings.from_env().conninfo == Settings.of(URL).conninfo


def test_the_programs_name_is_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    for argument, name in (
        ("/srv/shop/web.py", "web"),
        ("/srv/shop/__main__.py", "shop"),
        ("-c", "python"),
        ("", "python"),
        ("/srv/_my app.py", "my-app"),
    ):
        monkeypatch.setattr("sys.argv", [argument])
        assert Settings.of().application == name


def test_the_table_has_every_setting_and_every_variable() -> None:
    text = table()
    names = [field.name for field in FIELDS]
    assert set(names) | {"conninfo"} == set(Settings.__slots__)
    assert len(text.splitlines()) == len(names) + 2
    assert all(f"\n| `{name}` |" in text for name in names)
    assert all(f"`{variable}`" in text for variable in GUIDE)
    assert "| 64MB |" in text
    assert "`connection_limit`" in text
    assert str(Path.home()) not in text
