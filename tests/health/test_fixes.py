"""The closed loop: what health finds becomes a spec, `dbopt optimize` carries it out, and health finds nothing more."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import assert_index, index_names, invalid_indexes

from dbopt.errors import Error, UsageError
from dbopt.health import fixes
from dbopt.health.check import Finding, Result, Status, Unit
from dbopt.health.checks import load
from dbopt.health.verdict import About, Verdict
from dbopt.spec.finding import Severity
from dbopt.spec.lint import lint
from dbopt.spec.load import load as load_spec
from tests.health.index_zoo import wait_for_scan
from tests.health.looks import look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result as Run
    from server import Database

CHECKS = ("duplicate-index", "unused-index", "invalid-index", "foreign-key-without-index")
LIMITS = {"unused-index": {"window": 0.0, "min_size": 0.0}}
PLANTED = """
CREATE SCHEMA "My app";
CREATE TABLE "My app".customers (id int PRIMARY KEY);
INSERT INTO "My app".customers SELECT generate_series(1, 100);
CREATE TABLE "My app".orders (
    id int PRIMARY KEY, customer_id int REFERENCES "My app".customers, status text, note text, at timestamptz, code int
);
INSERT INTO "My app".orders SELECT g, g % 100 + 1, 'open', g, now(), g % 3 FROM generate_series(1, 12000) g;
CREATE INDEX status_at ON "My app".orders (status, at);
CREATE INDEX "only status" ON "My app".orders (status);
CREATE INDEX note_one ON "My app".orders (lower(note));
CREATE INDEX note_two ON "My app".orders (lower(note));
CREATE INDEX note_three ON "My app".orders (note);
CREATE TABLE events (id int, day int, order_id int REFERENCES "My app".orders) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (50);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (50) TO (101);
INSERT INTO events SELECT g, g % 100, g FROM generate_series(1, 12000) g;
ANALYZE
"""


def _verdict(database: Database) -> Verdict:
    return look_at(database, checks=CHECKS, limits=LIMITS)[0]


def _found(verdict: Verdict) -> dict[str, set[str]]:
    return {result.id: {finding.subject for finding in result.findings} for result in verdict.results}


def _plant(database: Database) -> None:
    database.sql(PLANTED)
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        database.sql('CREATE UNIQUE INDEX CONCURRENTLY code_once ON "My app".orders (code, at)')
    database.sql("""UPDATE "My app".orders SET at = at + id * interval '1 s'""")
    with database.connect() as conn:  # so that status_at is in use
        conn.execute("""SET enable_seqscan = off; DROP INDEX "My app"."only status\"""")
        conn.execute("""SELECT 1 FROM "My app".orders WHERE status = 'x'""")
        conn.rollback()
    wait_for_scan(database, '"My app".status_at')


def test_found_fixed_and_gone(database: Database, tmp_path: Path, run_cli: Callable[..., Run]) -> None:
    _plant(database)
    before = _verdict(database)
    assert _found(before) == {
        "duplicate-index": {'"My app"."only status"', '"My app".note_two'},
        "unused-index": {'"My app".note_three', '"My app"."only status"'},
        "invalid-index": {'"My app".code_once'},
        "foreign-key-without-index": {'"My app".orders.orders_customer_id_fkey', "public.events.events_order_id_fkey"},
    }
    path = tmp_path / "fixes.yaml"
    assert fixes.write_spec(path, [before]) == 6
    specs = load_spec([path])
    assert [finding for finding in lint(specs) if finding.severity is not Severity.INFO] == []
    assert all(entry.why for entry in specs.indexes)

    words = fixes.command(path).split()
    assert words == ["dbopt", "optimize", str(path), "--prune-foreign"]
    run = run_cli(*words[1:], "--yes", "-d", database.conninfo)
    assert run.code == 0, run.err

    after = _verdict(database)
    assert _found(after) == {check_id: set() for check_id in CHECKS}
    assert after.status is Status.OK
    assert invalid_indexes(database) == []
    assert_index(database, 'UNIQUE "My app".orders (code, at)')
    assert_index(database, '"My app".orders (customer_id)')
    assert index_names(database, '"My app".orders') == [
        "code_once",
        "note_one",
        "orders_customer_id_idx",
        "orders_pkey",
        "status_at",
    ]
    again = run_cli(*words[1:], "--yes", "-d", database.conninfo)
    assert again.code == 0, again.err


def test_what_no_spec_can_say_stands_in_it_as_sql(database: Database, tmp_path: Path) -> None:
    database.sql("CREATE TABLE t (a int UNIQUE, b int); ALTER TABLE t ADD UNIQUE (a)")
    path = tmp_path / "fixes.yaml"
    assert fixes.write_spec(path, [_verdict(database)]) == 0
    assert not path.exists()
    database.sql("CREATE INDEX i ON t (b); CREATE INDEX j ON t (b)")
    assert fixes.write_spec(path, [_verdict(database)]) == 1
    assert [entry.name for entry in load_spec([path]).indexes] == ["j"]
    assert "#   ALTER TABLE public.t DROP CONSTRAINT" in path.read_text()


def test_nothing_found_makes_no_file(database: Database, tmp_path: Path) -> None:
    assert fixes.write_spec(tmp_path / "fixes.yaml", [_verdict(database)]) == 0
    assert not (tmp_path / "fixes.yaml").exists()


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "fixes.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already") as caught:
        fixes.write_spec(path, [_made(_entry("a", ["x"]))])
    assert (caught.value.exit_code, caught.value.hint) == (3, "Name another file, or move that one away.")
    assert path.read_text() == "mine"


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"could not write .*: no such file or directory"):
        fixes.write_spec(tmp_path / "none" / "fixes.yaml", [_made(_entry("a", ["x"]))])


def test_two_databases_are_two_specs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a spec is for one database, and 2 have findings that one would mend"):
        fixes.write_spec(tmp_path / "fixes.yaml", [_made(_entry("a", ["x"])), _made(_entry("a", ["x"]))])
    assert fixes.write_spec(tmp_path / "fixes.yaml", [_made(), _made(_entry("a", ["x"]))]) == 1


@pytest.mark.parametrize(
    ("made", "left"),
    [
        ([("a", ["x"]), ("b", ["x", "y"])], ["b"]),
        ([("a", ["x"]), ("b", ["x"])], ["a"]),
        ([("b", ["x"]), ("a", ["x"])], ["a"]),
        ([("a", ["y"]), ("b", ["x", "y"])], ["a", "b"]),
    ],
)
def test_no_two_entries_do_the_same(made: list[tuple[str, list[str]]], left: list[str]) -> None:
    entries = fixes.entries(_made(*(_entry(name, keys) for name, keys in made)))
    assert [entry["name"] for entry in entries] == left


def test_unique_one_serves_for_a_plain_one() -> None:
    entries = fixes.entries(_made(_entry("a", ["x"]), {**_entry("b", ["x"]), "unique": "yes"}))
    assert [entry["name"] for entry in entries] == ["b"]


def test_two_reasons_are_one_entry() -> None:
    table = {"schema": "app", "name": "t"}
    unused = {"name": "i", "table": table, "state": "absent", "guard": {"unused_for": "9s"}, "why": "idle"}
    twice = {"name": "i", "table": table, "state": "absent", "why": "twice"}
    assert fixes.entries(_made(twice, unused)) == [{**twice, "why": "twice; idle"}]
    assert fixes.entries(_made(unused)) == [unused]


def test_odd_names_survive(tmp_path: Path) -> None:
    entry = _entry("no", ["1e3", "a: b # c", 'say "x"', "ünï\u2028code"])
    assert fixes.write_spec(tmp_path / "fixes.yaml", [_made(entry)]) == 1
    [read] = load_spec([tmp_path / "fixes.yaml"]).indexes
    assert read.name == "no"
    assert [key.column for key in read.keys] == entry["keys"]


def _entry(name: str, keys: list[str]) -> dict[str, Any]:
    return {"name": name, "table": {"schema": "app", "name": "t"}, "keys": keys, "why": "a test"}


def _made(*fragments: dict[str, Any]) -> Verdict:
    found = tuple(
        Finding(
            subject=fragment["name"],
            status=Status.WARNING,
            measure=1,
            unit=Unit.BYTES,
            detail="made\nup",
            remedy="SELECT 1;",
            fragment=fragment,
        )
        for fragment in fragments
    )
    results = (Result(check=load("duplicate-index"), status=Status.WARNING, findings=found),)
    about = About(name=None, place="host:5432/app")
    return Verdict(about=about, collected_at=datetime(2026, 1, 1, tzinfo=UTC), seconds=0.1, results=results)
