"""`dbopt report` from the outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbopt.store import sqlite

from .conftest import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

    from .conftest import Reported


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[\s\u202f\u00a0]+", " ", " ".join(self.texts))


def test_it_needs_nothing_else(reported: Reported) -> None:
    for page in (reported.page, reported.first):
        elements = Elements(page.read_text(encoding="utf-8")).found
        assert {tag for tag, _ in elements} & {"script", "iframe", "object", "embed", "img", "base", "form"} == set()
        for _, attributes in elements:
            assert not [name for name in attributes if name.startswith("on")]
            assert all((attributes.get(name) or "#").startswith(("#", "data:,")) for name in ("href", "src"))
        style = page.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
        assert "url(" not in style
        assert "@import" not in style


def test_what_stands_on_it(reported: Reported) -> None:
    text = Elements(reported.text).text
    for words in ("Health", "Figures", "Tables", "Indexes", "What optimize did", "orders_by_customer", "created"):
        assert words in text
    assert re.search(r"1[78] readings", text)  # health leaves one too
    assert "Transactions over time" in text
    assert "spec shop" in text
    assert "public.orders" in text
    assert SCRIPT in text


def test_statements_stand_there_without_values(reported: Reported) -> None:
    text = Elements(reported.text).text
    if reported.has_statements:
        assert "INSERT INTO orders SELECT i, i % $1, $2 FROM generate_series($3, $4) AS i" in text
    else:
        assert "pg_stat_statements" in text


def test_without_a_past(reported: Reported) -> None:
    text = Elements(reported.first.read_text(encoding="utf-8")).text
    assert "there is no store that can be used" in text
    assert "There is no history yet" in text
    assert "Not known: there is no store with its runs." in text
    assert "public.orders" in text


def test_the_first_reading_tells_how_to_get_more(database: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("report", "-d", database.conninfo, "--html", "r.html", "--format", "json")
    assert (result.code, result.err) == (0, "")
    [file] = result.json["files"]
    text = Elements(Path("r.html").read_text(encoding="utf-8")).text
    assert (file["file"], file["databases"]) == ("r.html", 1)
    assert file["size_bytes"] == Path("r.html").stat().st_size
    assert "*/5 * * * * dbopt snapshot -d" in text
    assert "There are no tables." in text


def test_to_stdout(database: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("report", "-d", database.conninfo, "--html", "-", "--no-store")
    assert result.code == 0
    assert result.out.startswith("<!doctype html>\n<!-- dbopt report -->\n")
    assert result.out.endswith("</html>\n")
    assert "--no-store was given" in result.out


def test_several_targets_and_one_is_down(database: Database, run_cli: Callable[..., Result]) -> None:
    config = f"""\
targets:
  here: {{dsn: "{database.conninfo}"}}
  gone: {{dsn: "host=/nowhere dbname=gone"}}
"""
    Path("dbopt.yaml").write_text(config, encoding="utf-8")
    result = run_cli("report", "--all-targets", "--html", "r.html")
    assert result.code == 1
    page = Elements(Path("r.html").read_text(encoding="utf-8"))
    assert [attributes["id"] for tag, attributes in page.found if tag == "article"] == ["d1", "d2"]
    assert "2 databases" in page.text
    assert "/nowhere" in page.text
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_only_target_is_down(run_cli: Callable[..., Result]) -> None:
    result = run_cli("report", "-d", "host=/nowhere dbname=gone", "--html", "r.html")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("dbopt: error: ")
    assert not Path("r.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "report needs a file to write to"),
        (["--html", "."], "is a folder"),
        (["--html", "r.html", "--since", "soon"], "--since takes a duration or a date, not soon"),
        (["--html", "r.html", "--since", "2199-01-01"], "--since 2199-01-01 lies ahead"),
        (["--html", "notes.txt"], "notes.txt is there, and no report of dbopt"),
    ],
)
def test_words_of_the_call(options: list[str], words: str, run_cli: Callable[..., Result]) -> None:
    """Told before anything is connected to."""
    Path("notes.txt").write_text("mine", encoding="utf-8")
    result = run_cli("report", "-d", "host=/nowhere", *options)
    assert result.code == 3
    assert words in result.err.partition("\n")[0]
    assert Path("notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_store_that_cannot_be_used_costs_the_history_alone(
    database: Database, run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.2)
    (tmp_path / "store.db").write_text("no database at all, and long enough to be read as one", encoding="utf-8")
    env = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
    result = run_cli("report", "-d", database.conninfo, "--html", "r.html", env=env)
    assert result.code == 0
    assert "not a database" in result.err
    assert "dbopt store status" in Path("r.html").read_text(encoding="utf-8")


def test_a_role_without_rights(database: Database, run_cli: Callable[..., Result]) -> None:
    database.sql("DROP ROLE IF EXISTS report_plain; CREATE ROLE report_plain LOGIN")
    result = run_cli("report", "-d", f"{database.conninfo} user=report_plain", "--html", "r.html", "--no-store")
    text = Elements(Path("r.html").read_text(encoding="utf-8")).text
    database.sql("DROP ROLE report_plain")
    assert result.code == 0
    assert 'GRANT pg_read_all_stats TO "report_plain";' in text
