"""`dbopt export` from the outside: where it writes, what it never overwrites, what --update leaves alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

    from dbopt.embedded import Binaries

    Run = Callable[..., Result]

HEAD = """\
# yaml-language-server: $schema=./index-spec.v1.json
# The indexes of shop, as dbopt export found them; those that constraints brought are left out.
# Say in `why` what each is there for. `dbopt lint` checks this file, `dbopt plan` compares it with a database.
spec: 1
domain: {domain}
defaults: {{schema: {domain}}}

"""


@pytest.fixture
def shop(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with two schemas; the command line knows it."""
    database.sql("CREATE TABLE users (id int PRIMARY KEY, email text, at int); CREATE SCHEMA app")
    database.sql("CREATE UNIQUE INDEX users_email ON users (lower(email)); CREATE INDEX users_at ON users (at DESC)")
    database.sql("CREATE TABLE app.orders (id int); CREATE INDEX orders_id ON app.orders (id) WHERE id > 0")
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    return database


def normal(text: str, shop: Database) -> str:
    return text.replace(shop.name, "shop")


def test_stdout_is_the_spec(shop: Database, run_cli: Run) -> None:
    result = run_cli("export", "--schema", "public")
    assert (result.code, result.err) == (0, "")
    assert normal(result.out, shop) == HEAD.format(domain="public") + (
        "indexes:\n"
        "  - name: users_at\n    table: users\n    keys: [{column: at, order: desc}]\n\n"
        "  - name: users_email\n    table: users\n    keys: [{expr: lower(email)}]\n    unique: yes\n"
    )
    assert run_cli("export", "--format", "yaml", "-o", "-", "--schema", "public").out == result.out


def test_the_plan_finds_nothing_to_do(shop: Database, run_cli: Run) -> None:
    assert run_cli("export", "-o", "all.yaml").code == 0
    assert run_cli("plan", "all.yaml", "--check").code == 0
    assert run_cli("lint", "all.yaml").code == 0
    assert [path.name for path in Path().iterdir()] == ["all.yaml"]


def test_a_file_each_domain(shop: Database, run_cli: Run) -> None:
    shop.sql("COMMENT ON INDEX users_at IS 'Newest first [dbopt:1 lists/users_at sha=0123456789ab]'")
    result = run_cli("export", "--out-dir", "deep/specs")
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == [
        f"dbopt: wrote deep/specs/{name}.yaml: 1 index" for name in ("app", "lists", "public")
    ]
    assert sorted(path.name for path in Path("deep/specs").iterdir()) == [
        "app.yaml",
        "index-spec.v1.json",
        "lists.yaml",
        "public.yaml",
    ]
    assert "    why: Newest first\n" in Path("deep/specs/lists.yaml").read_text()
    assert run_cli("plan", "deep/specs", "--check").code == 0
    assert run_cli("export", "--out-dir", "one", "--domain", "lists", "-q").code == 0
    assert sorted(path.name for path in Path("one").glob("*.yaml")) == ["lists.yaml"]


def test_nothing_is_overwritten_unasked(shop: Database, run_cli: Run) -> None:
    Path("mine.yaml").write_text("mine")
    result = run_cli("export", "-o", "mine.yaml")
    assert result.code == 3
    assert result.err == (
        "dbopt: error: mine.yaml is there already\n"
        "  hint: --update mine.yaml brings it up to the database; --force overwrites it.\n"
    )
    Path("folder").mkdir()
    Path("folder/public.yaml").write_text("mine")
    assert run_cli("export", "--out-dir", "folder").code == 3
    assert {path.name: path.read_text() for path in Path("folder").iterdir()} == {"public.yaml": "mine"}
    assert Path("mine.yaml").read_text() == "mine"
    Path("mine.yaml").chmod(0o640)
    assert run_cli("export", "-o", "mine.yaml", "--force").code == 0
    assert Path("mine.yaml").read_text().startswith("# yaml-language-server")
    assert Path("mine.yaml").stat().st_mode & 0o777 == 0o640
    assert run_cli("export", "--out-dir", "folder", "--force").code == 0
    assert sorted(path.name for path in Path("folder").iterdir()) == ["app.yaml", "index-spec.v1.json", "public.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a", "--out-dir", "b"], "-o and --out-dir exclude each other"),
        (["-o", "a", "--update", "b"], "-o and --update exclude each other"),
        (["--force"], "--force is for -o and --out-dir"),
        (["--update", "a", "--force"], "--force is for -o and --out-dir"),
        (["--update", "a", "--domain", "b"], "--domain is not for --update: a spec has its domain"),
        (["--domain", "A b"], '"A b" is no name of a domain'),
        (["--table", "nothing"], "no table with indexes is meant by --table nothing"),
        (["-o", "."], ". is a folder"),
        (["-o", "nowhere/a.yaml"], "could not write nowhere/a.yaml"),
        (["--update", "nowhere.yaml"], "1 problem in 1 spec file"),
        (["--format", "json"], "invalid value for '--format': Value error, 'json' is not one of 'yaml'"),
    ],
)
def test_words_that_are_off(shop: Database, run_cli: Run, words: list[str], message: str) -> None:
    result = run_cli("export", *words)
    assert (result.code, result.out) == (3, "")
    assert result.err.splitlines()[0] == f"dbopt: error: {message}"
    assert list(Path().iterdir()) == []


def test_several_domains_do_not_go_into_one_file(shop: Database, run_cli: Run) -> None:
    for index, domain in (("users_at", "lists"), ("users_email", "login")):
        shop.sql(f"COMMENT ON INDEX {index} IS '[dbopt:1 {domain}/{index} sha=0123456789ab]'")
    result = run_cli("export")
    assert (result.code, result.out) == (3, "")
    assert "the indexes are of 2 domains, and a file holds one" in result.err
    chosen = run_cli("export", "--domain", "login")
    assert chosen.code == 0
    assert chosen.err == "dbopt: 1 index of domain lists left out\n"
    assert [line for line in chosen.out.splitlines() if line.startswith("  - name:")] == [
        "  - name: orders_id",
        "  - name: users_email",
    ]


def test_what_is_missing_is_said_and_counts(shop: Database, run_cli: Run) -> None:
    with open_transaction(shop, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"):
        result = run_cli("export", env={"PGOPTIONS": "-c lock_timeout=100"})
    words = (
        "left out: users_email on public.users: the table is locked exclusively, so that expressions and predicates "
        "cannot be read"
    )
    assert (result.code, result.err) == (1, f"dbopt: warning: {words}\n")
    assert f"\n  # {words}\n" in result.out
    assert "name: users_at" in result.out


def test_an_empty_database(database: Database, run_cli: Run) -> None:
    result = run_cli("export", "-d", database.conninfo)
    assert result.code == 0
    assert result.out.endswith("\nindexes: []\n")
    assert run_cli("export", "-d", database.conninfo, "--out-dir", "specs").code == 0
    assert list(Path("specs").iterdir()) == []


MINE = """\
# What users need.
spec: 1
domain: users
owner: team-users   # ask them

indexes:
  # Login
  - name: users_email
    table: users
    keys: [{expr: LOWER( email )}]      # as the application asks
    unique: yes
    why: One account an address
    priority: 1
  - name: users_at
    table: users
    keys:
      - id      # by id
      - at
    where: at > 0
    why: Lists
    serves:
      - query: SELECT 1
  - {name: users_gone, table: users, keys: [at, id]}
"""


def test_update_leaves_alone_what_is_true(shop: Database, run_cli: Run) -> None:
    Path("users.yaml").write_bytes(b"\xef\xbb\xbf" + MINE.replace("\n", "\r\n").encode())
    shop.sql("CREATE INDEX users_new ON users (email, at) INCLUDE (id)")
    result = run_cli("export", "--update", "users.yaml")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "dbopt: users.yaml: 1 appended, 1 rewritten",
        "dbopt: warning: users.yaml: index public.users_gone is gone; its entry stays",
    ]
    expected = MINE.replace(
        "    keys:\n      - id      # by id\n      - at\n    where: at > 0\n",
        "    # by id\n    keys: [{column: at, order: desc}]\n",
    )
    expected += "  - name: users_new\n    table: users\n    keys: [email, at]\n    include: [id]\n"
    assert Path("users.yaml").read_bytes() == b"\xef\xbb\xbf" + expected.replace("\n", "\r\n").encode()
    before = Path("users.yaml").stat()
    shop.sql("CREATE INDEX users_gone ON users (at, id)")
    result = run_cli("export", "--update", "users.yaml")
    assert (result.code, result.err) == (0, "dbopt: users.yaml: up to date\n")
    assert Path("users.yaml").stat() == before, "nothing to write, nothing written"
    assert run_cli("plan", "users.yaml").out.count("\n") <= 1  # at most an ANALYZE of the table


def test_update_keeps_out_of_what_is_somebody_elses(shop: Database, run_cli: Run) -> None:
    """Another domain's, another file's, and an index under a former name."""
    shop.sql("COMMENT ON INDEX users_at IS '[dbopt:1 lists/users_at sha=0123456789ab]'")
    shop.sql("CREATE INDEX users_of_other ON users (id, at); CREATE INDEX users_old ON users (id, email)")
    head = "spec: 1\ndomain: {}\nindexes:\n"
    Path("users.yaml").write_text(
        head.format("users") + "  - {name: users_now, table: users, keys: [id, email], was: [users_old]}\n"
        "  - {name: users_email, table: users, state: absent}\n"
    )
    Path("other.yaml").write_text(head.format("other") + "  - {name: users_of_other, table: users, keys: [id, at]}\n")
    before = Path("users.yaml").read_text()
    result = run_cli("export", "--update", "users.yaml")
    assert result.err.splitlines()[0] == "dbopt: users.yaml: up to date"
    assert Path("users.yaml").read_text() == before
    wider = run_cli("export", "--update", "users.yaml", "--schema", "app")
    assert wider.err.splitlines() == ["dbopt: users.yaml: 1 appended"]
    assert Path("users.yaml").read_text() == before + (
        "  - name: orders_id\n    table: {schema: app, name: orders}\n    keys: [id]\n    where: id > 0\n"
    )


def test_update_says_what_it_cannot_write(shop: Database, run_cli: Run) -> None:
    Path("users.yaml").write_text(
        "spec: 1\ndomain: users\nindexes:\n  - {name: users_at, table: users, keys: [at,  # newest\n      id]}\n"
        '  - {name: orders_id, table: {schema: "a?p", name: orders}, keys: [id, id]}\n'
        "  - {name: users_email, table: users, sql: CREATE INDEX users_email ON users (email)}\n"
    )
    result = run_cli("export", "--update", "users.yaml")
    assert result.code == 1
    assert result.err.splitlines() == [
        "dbopt: users.yaml: 1 rewritten",
        "dbopt: warning: users.yaml: users_at has changed, and its entry has to be rewritten by hand: "
        "keys [{column: at, order: desc}]",
        "dbopt: warning: users.yaml: app.orders_id on orders is not as the entry says, which stays as it is",
    ]
    assert (
        "  - {name: users_email, table: users, keys: [{expr: lower(email)}], unique: yes}\n"
        in Path("users.yaml").read_text()
    )


def test_a_standby_will_do_but_not_for_update(server_binaries: Binaries, run_cli: Run) -> None:
    with pair(server_binaries) as (primary, standby):
        primary.database.sql("CREATE TABLE t (a int); CREATE INDEX t_a ON t ((a + 1)) WHERE a > 0")
        caught_up(primary, standby)
        there = run_cli("export", "-d", standby.database.conninfo)
        assert there.code == 0
        assert there.out == run_cli("export", "-d", primary.database.conninfo).out
        Path("a.yaml").write_text("spec: 1\ndomain: a\n")
        result = run_cli("export", "-d", standby.database.conninfo, "--update", "a.yaml")
        assert result.code == 3
        assert "is on a standby" in result.err


def test_what_cannot_be_written_leaves_nothing(shop: Database, run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(name: str, place: Path) -> None:
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(os, "replace", full)
    result = run_cli("export", "-o", "all.yaml")
    assert result.code == 3
    assert "could not write all.yaml" in result.err
    assert list(Path().iterdir()) == []
