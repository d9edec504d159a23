"""Every command that reads a database's counters leaves its reading in the store, unless it is told not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.cli.frame import COMMANDS
from dbopt.snapshot.model import Family
from dbopt.store import plain, snapshots
from dbopt.store.location import locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_runner import Result
    from server import Database

    Run = Callable[..., Result]

# What each is called with, and the least that it leaves.
SERVER = {Family.SERVER}
SUMMARY = {Family.SERVER, Family.RELATIONS}
LISTS = {Family.SERVER, Family.TABLES, Family.INDEXES}
READING: dict[str, tuple[tuple[str, ...], set[Family]]] = {
    "health": (("--fail-on", "never"), SERVER),
    "metrics": (("--interval", "0.1s"), SUMMARY),
    "stats": ((), LISTS),
    "report": (("--html", "page.html"), SUMMARY | LISTS),
    "snapshot": ((), SUMMARY | LISTS),
    "reset-metrics": ((), SUMMARY | LISTS),
    "slow-queries": ((), {Family.SERVER, Family.STATEMENTS}),
    "suggest": ((), {Family.SERVER, Family.STATEMENTS}),
}
# The store is what they are for: they have no other way.
NEED_A_STORE = {"snapshot", "reset-metrics"}
ASIDE = [name for name in READING if name not in NEED_A_STORE]


@pytest.fixture
def run(run_cli: Run, database: Database, tmp_path: Path) -> Run:
    def call(name: str, *options: str, store: str | None = None) -> Result:
        if Family.STATEMENTS in READING[name][1]:
            database.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        database_and_store = {"DBOPT_DSN": database.conninfo, "DBOPT_STORE_URL": store or url(tmp_path)}
        return run_cli(name, *READING[name][0], *options, env=database_and_store)

    return call


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def left(tmp_path: Path) -> set[str]:
    """The families that the store has a reading of; none without a store."""
    location = locate(url(tmp_path))
    assert location is not None
    if not (tmp_path / "store.db").exists():
        return set()
    with plain.transaction(location, reading=True, wait_seconds=1) as session:
        return {family for known in snapshots.known(session) for family in snapshots.families(session, known.target_id)}


def test_none_is_missing_here() -> None:
    """A command that is new belongs into READING, or among those that read no counters."""
    others = {"init", "lint", "plan", "optimize", "export", "migration", "history", "store", "demo"}
    assert set(READING) | others == set(COMMANDS)


@pytest.mark.parametrize("name", READING)
def test_a_reading_is_left(name: str, run: Run, tmp_path: Path) -> None:
    result = run(name)
    assert result.code == 0, result.err
    assert "warning" not in result.err
    assert READING[name][1] <= left(tmp_path)


@pytest.mark.parametrize("name", ASIDE)
def test_without_the_store_none_is_left(name: str, run: Run, tmp_path: Path) -> None:
    result = run(name, "--no-store")
    assert result.code == 0, result.err
    assert "warning" not in result.err
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("name", ASIDE)
def test_that_there_is_no_store_is_no_news(name: str, run: Run, tmp_path: Path) -> None:
    result = run(name, store="none")
    assert result.code == 0, result.err
    assert "warning" not in result.err
    assert "store" not in result.err
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("name", ASIDE)
def test_a_store_that_cannot_be_used_is_one_warning(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    result = run(name)
    assert result.code == 0, result.err
    assert result.err.count("warning: ") == 1
    assert (tmp_path / "store.db").read_text() == "my notes\n" * 1000


@pytest.mark.parametrize("name", sorted(NEED_A_STORE))
@pytest.mark.parametrize("store", ["none", "broken"])
def test_who_is_there_for_the_store_fails_without(name: str, store: str, run: Run, tmp_path: Path) -> None:
    if store == "broken":
        (tmp_path / "store.db").write_text("my notes\n" * 1000)
    result = run(name, store="none" if store == "none" else None)
    assert (result.code, result.out) == (3, "")
    assert "store" in result.err
