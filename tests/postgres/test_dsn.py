"""Connection strings of other clients, read as libpq would have them."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from dbopt.errors import ConfigError
from dbopt.postgres.dsn import conninfo, is_complete, translate, without

SECRET = "s3cr3t-Pa55"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("app", {"dbname": "app"}),
        ("", {}),
        ("host=db1 password='a b'", {"host": "db1", "password": "a b"}),
        ("postgresql://", {}),
        (
            "postgres://me:p%40ss%2Fw@db1:5433/app",
            {"user": "me", "password": "p@ss/w", "host": "db1", "port": "5433", "dbname": "app"},
        ),
        (
            "postgresql://me@[2001:db8::1]:5433/app",
            {"user": "me", "host": "2001:db8::1", "port": "5433", "dbname": "app"},
        ),
        ("postgresql://h1:5432,h2,h3:5434/app", {"host": "h1,h2,h3", "port": "5432,,5434", "dbname": "app"}),
        ("postgresql:///app?host=/var/run/postgresql", {"host": "/var/run/postgresql", "dbname": "app"}),
        ("postgresql://%2Fvar%2Frun/app", {"host": "/var/run", "dbname": "app"}),
        ("postgresql+psycopg://me@db1/app", {"user": "me", "host": "db1", "dbname": "app"}),
        (
            "postgresql+psycopg2://me@/app?host=h1:1&host=h2:2",
            {"user": "me", "host": "h1,h2", "port": "1,2", "dbname": "app"},
        ),
        ("postgresql+asyncpg://db1/app?ssl=verify-full", {"host": "db1", "dbname": "app", "sslmode": "verify-full"}),
        ("jdbc:postgresql:app", {"dbname": "app"}),
        (
            "jdbc:postgresql://h1:1,h2:2/app?user=me&ssl=true&targetServerType=secondary&tcpKeepAlive=true",
            {
                "host": "h1,h2",
                "port": "1,2",
                "dbname": "app",
                "user": "me",
                "sslmode": "require",
                "target_session_attrs": "standby",
                "keepalives": "1",
            },
        ),
        ("jdbc:postgresql://h/app?currentSchema=a,b", {"host": "h", "dbname": "app", "options": "-c search_path=a,b"}),
        ("postgres://h/app?sslmode=no-verify", {"host": "h", "dbname": "app", "sslmode": "require"}),
        ("postgres://h/app?ssl=false", {"host": "h", "dbname": "app", "sslmode": "disable"}),
        ("postgres://h/app?application_name=x%20y", {"host": "h", "dbname": "app", "application_name": "x y"}),
    ],
)
def test_parameters(text: str, parameters: dict[str, str]) -> None:
    assert translate(text).parameters == parameters


def test_prisma_url_of_the_guide() -> None:
    dsn = translate(
        "postgresql://me:pw@db1:5432/app?schema=Sales%20EU&connection_limit=5&pool_timeout=10&connect_timeout=10"
        "&statement_timeout=30&query_timeout=20&prepared_statements=false&statement_cache_size=0&pgbouncer=true"
        "&sslmode=prefer&sslaccept=accept_invalid_certs&socket_timeout=60",
        source="DATABASE_URL",
    )
    assert dsn.parameters == {
        "user": "me",
        "password": "pw",
        "host": "db1",
        "port": "5432",
        "dbname": "app",
        "connect_timeout": "10",
        "sslmode": "prefer",
        "options": '-c search_path="Sales\\ EU"',
    }
    assert dsn.statement_timeout_ms == 30_000
    assert dsn.warnings == ()
    assert {note.split()[0] for note in dsn.notes} == {
        "schema",
        "connection_limit",
        "pool_timeout",
        "statement_timeout",
        "query_timeout",
        "prepared_statements",
        "statement_cache_size",
        "pgbouncer",
        "sslaccept",
        "socket_timeout",
    }


@pytest.mark.parametrize(
    ("query", "milliseconds"),
    [
        ("statement_timeout=500", 500),  # node-pg counts milliseconds
        ("statement_timeout=30&schema=app", 30_000),  # Prisma's guide counted seconds
        ("statement_timeout=30000&schema=app", 30_000),  # and nobody means eight hours
        ("statement_timeout=45s", 45_000),
        ("query_timeout=700", 700),
        ("statement_timeout=600&query_timeout=700", 600),
        ("statement_timeout=0", 0),
    ],
)
def test_statement_timeout_in_the_unit_of_its_client(query: str, milliseconds: int) -> None:
    assert translate(f"postgres://h/app?{query}").statement_timeout_ms == milliseconds


def test_prismas_strict_is_verify_full() -> None:
    dsn = translate("postgres://h/app?sslmode=require&sslaccept=strict")
    assert dsn.parameters["sslmode"] == "verify-full"
    assert dsn.parameters["sslrootcert"] == "system"


def test_unknown_parameters_are_named_and_set_aside() -> None:
    dsn = translate("postgres://h/app?frobnicate=1&ssl_mode=require", source="DATABASE_URL")
    assert dsn.parameters == {"host": "h", "dbname": "app"}
    assert dsn.notes == ("unknown parameter frobnicate in DATABASE_URL was set aside",)
    assert dsn.warnings == ("unknown parameter ssl_mode in DATABASE_URL was set aside; did you mean sslmode?",)


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://me:{SECRET}/x@db1/app",
        f"postgres://me:{SECRET}?x@db1/app",
        f"postgres://me:a@{SECRET}/x@db1/app",
        f"postgres://me:{SECRET}%zz@db1/app",
        f"postgres://me:{SECRET}%ff@db1/app",
        f"postgres://me:{SECRET}@db1:port/app",
        f"postgres://me:{SECRET}@db1:99999/app",
        f"mysql://me:{SECRET}@db1/app",
        f"prisma://accelerate.example/?api_key={SECRET}",
        f"host=db1 passwrod={SECRET}",
        f"host=db1 password='{SECRET}",
        f"postgres://me:{SECRET}\x00@db1/app",
    ],
)
def test_errors_say_what_to_do_and_repeat_no_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(text, source="DATABASE_URL")
    error = caught.value
    assert "DATABASE_URL" in error.message
    assert error.hint
    assert SECRET not in f"{error.message} {error.detail} {error.hint}"


def test_misspelled_key_of_pairs() -> None:
    with pytest.raises(ConfigError) as caught:
        translate("hots=db1")
    assert caught.value.hint == "Did you mean host?"


def test_only_strings_with_a_place_are_complete() -> None:
    assert is_complete("host=db1")
    assert is_complete("postgres://db1")
    assert not is_complete("app")


def test_without_leaves_the_rest() -> None:
    assert without(translate("postgres://me:pw@h/app"), "password").conninfo == "user='me' host='h' dbname='app'"


words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=words, password=words, name=words)
def test_whatever_is_encoded_comes_back(user: str, password: str, name: str) -> None:
    """libpq reads our key=value form just as it reads the URI."""
    text = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db1:5432/{quote(name, safe='')}"
    read = conninfo_to_dict(translate(text).conninfo)
    assert read == {"user": user, "password": password, "host": "db1", "port": "5432", "dbname": name}
    assert read == conninfo_to_dict(text)


@given(st.dictionaries(st.sampled_from(["user", "password", "dbname", "options", "host"]), words))
def test_conninfo_is_read_back_by_libpq(parameters: dict[str, str]) -> None:
    assert conninfo_to_dict(conninfo(parameters)) == parameters


@given(st.text(string.printable, max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        dsn = translate("postgres://" + text)
    except ConfigError:
        return
    conninfo_to_dict(dsn.conninfo)
