"""dbopt migration from the outside: where it writes, what it says, which revision it follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import index_names

from tests.optimize.revisions import Revisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

SPEC = """\
spec: 1
domain: billing
indexes:
  - {name: t_x, table: t, keys: [x], why: "the page of \\"one\\" customer"}
"""
OLD = 'revision = "{0}"\ndown_revision = {1}\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n'


@pytest.fixture
def app(database: Database) -> Database:
    database.sql("CREATE TABLE t (x int, y text); ANALYZE t")
    Path("indexes").mkdir()
    Path("indexes/a.yaml").write_text(SPEC, encoding="utf-8")
    return database


def test_sql_on_stdout(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("migration", "-d", app.conninfo, "-m", "One customer's page")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("-- One customer's page\n-- Made by dbopt ")
    assert 'CREATE INDEX CONCURRENTLY "t_x" ON "public"."t" USING "btree" ("x");\n' in result.out
    assert index_names(app, "t") == []


def test_sql_in_files(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("migration", "-d", app.conninfo, "-o", "up.sql", "--down", "down.sql")
    assert (result.code, result.out, result.err) == (0, "", "dbopt: wrote up.sql\ndbopt: wrote down.sql\n")
    assert run_cli("migration", "-q", "-d", app.conninfo, "-o", "up.sql").err == ""
    app.sql("".join(line for line in Path("up.sql").read_text().splitlines(True) if line.startswith("CREATE")))
    assert index_names(app, "t") == ["t_x"]
    assert 'DROP INDEX CONCURRENTLY "public"."t_x";' in Path("down.sql").read_text()


@pytest.mark.parametrize("given", [[], ["--format", "alembic", "--down-revision", "base"]])
def test_nothing_to_do(app: Database, run_cli: Callable[..., Result], given: list[str]) -> None:
    app.sql("CREATE INDEX t_x ON t (x)")
    result = run_cli("migration", "-d", app.conninfo, "-o", "file", *given)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"dbopt: nothing to do on {app.name}: no migration was written\n"
    assert not Path("file").exists()


def test_what_is_refused_is_said_and_the_rest_is_written(app: Database, run_cli: Callable[..., Result]) -> None:
    Path("indexes/a.yaml").write_text(SPEC + "  - {name: t_z, table: t, keys: [z], why: no}\n", encoding="utf-8")
    result = run_cli("migration", "-d", app.conninfo)
    assert result.code == 1
    assert '"t_x"' in result.out
    assert "t_z" not in result.out
    assert "column z of public.t does not exist" in result.err


def test_a_revision_is_put_behind_the_head(app: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    project = Revisions(app, tmp_path / "db")
    project.add("a1", OLD.format("a1", None))
    project.add("b2", OLD.format("b2", '"a1"'))
    result = run_cli(
        "migration", "-d", app.conninfo, "--alembic", str(project.ini), "-m", "Invoice indexes: 1", "--rev-id", "c3"
    )
    path = project.versions / "c3_invoice_indexes_1.py"
    assert (result.code, result.out, result.err) == (0, "", f"dbopt: wrote {path}\n")
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""Invoice indexes: 1\n\nRevision ID: c3\nRevises: b2\nCreate Date: ')
    assert 'down_revision = "b2"\n' in text
    project.upgrade()
    assert index_names(app, "t") == ["t_x"]
    assert run_cli("plan", "--check", "-d", app.conninfo).code == 0
    project.downgrade()
    assert index_names(app, "t") == []


@pytest.mark.parametrize("place", ["db", "db/versions"])
def test_a_folder_does_as_well(place: str, app: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    project = Revisions(app, tmp_path / "db")
    project.add("a1", OLD.format("a1", None))
    assert run_cli("migration", "-d", app.conninfo, "--alembic", place, "--rev-id", "b2").code == 0
    [path] = project.versions.glob("b2_*.py")
    assert path.name == f"b2_indexes_of_{app.name}.py"
    assert 'down_revision = "a1"\n' in path.read_text()


def test_the_first_revision_follows_none(app: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    project = Revisions(app, tmp_path / "db")
    assert run_cli("migration", "-d", app.conninfo, "--alembic", "db").code == 0
    [path] = project.versions.glob("*.py")
    assert "down_revision = None\n" in path.read_text()
    assert "Revises:\n" in path.read_text()
    project.upgrade()


def test_several_heads(app: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    project = Revisions(app, tmp_path / "db")
    for name in ("a1", "b2"):
        project.add(name, OLD.format(name, None))
    result = run_cli("migration", "-d", app.conninfo, "--alembic", "db")
    assert result.code == 3
    assert "several heads\n  detail: a1, b2\n" in result.err
    result = run_cli("migration", "-d", app.conninfo, "--alembic", "db", "--down-revision", "b2", "--rev-id", "c3")
    assert result.code == 0
    assert 'down_revision = "b2"\n' in next(project.versions.glob("c3_*")).read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--format", "alembic"], "which revision comes before this one is not known"),
        (["--alembic", "nowhere"], "there is no nowhere"),
        (["--alembic", "indexes/a.yaml"], "could not read the revisions of indexes/a.yaml"),
        (["--alembic", "db", "--format", "sql"], "--alembic belongs to --format alembic"),
        (["--alembic", "db", "-o", "x"], "--alembic and --out contradict each other"),
        (["--down-revision", "base"], "--down-revision belongs to --format alembic"),
        (["--format", "alembic", "--down-revision", "base", "--down", "x"], "--down belongs to --format sql"),
        (["--format", "alembic", "--down-revision", "base", "--rev-id", "a-b"], '"a-b" cannot be the id of a revision'),
        (["-o", "no/such/folder"], "could not write no/such/folder"),
    ],
)
def test_what_makes_no_sense(given: list[str], said: str, app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("migration", "-d", app.conninfo, *given)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"dbopt: error: {said}\n")


def test_a_revision_that_cannot_be_imported(app: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    Revisions(app, tmp_path / "db").add("a1", "1 / 0")
    result = run_cli("migration", "-d", app.conninfo, "--alembic", "db")
    assert result.code == 3
    assert "could not read the revisions of db\n  detail: ZeroDivisionError: division by zero\n" in result.err
