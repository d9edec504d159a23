"""What `dbopt init` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from dbopt.errors import Error, UsageError
from dbopt.spec import schema, starter
from dbopt.spec.lint import lint
from dbopt.spec.load import load


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_starter_is_clean(tmp_path):
    folder = tmp_path / "deep" / "project"
    written = starter.init(folder)
    assert [str(path.relative_to(folder)) for path in written] == [
        "dbopt.yaml",
        "indexes/example.yaml",
        "indexes/index-spec.v1.json",
    ]
    specs = load([folder / "indexes"])
    assert [file.domain for file in specs.files] == ["example"]
    assert specs.indexes == ()  # a plan on a fresh project has nothing to complain of
    assert lint(specs) == []
    assert json.loads((folder / "indexes" / "index-spec.v1.json").read_text()) == schema.schema()
    assert (folder / "indexes" / "example.yaml").read_text().splitlines()[0] == (
        "# yaml-language-server: $schema=./index-spec.v1.json"
    )
    assert yaml.safe_load((folder / "dbopt.yaml").read_text()) == {"specs": "indexes/"}


def test_its_examples_are_clean_too(tmp_path):
    starter.init(tmp_path)
    path = tmp_path / "indexes" / "example.yaml"
    head, _, body = path.read_text().partition("indexes:\n")
    path.write_text(f"{head}indexes:\n{re.sub('(?m)^#', '', body)}")
    specs = load([path])
    assert [index.name for index in specs.indexes] == ["invoices_open_by_customer", "users_email_ci"]
    assert lint(specs) == []


@pytest.mark.parametrize("taken", ["dbopt.yaml", "indexes/example.yaml", "indexes/index-spec.v1.json"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path, taken):
    (tmp_path / "indexes").mkdir()
    (tmp_path / taken).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=re.escape(taken)):
        starter.init(tmp_path)
    assert tree(tmp_path) == before
    assert (tmp_path / taken).read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dbopt.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        starter.init(folder)
    assert tree(folder) == ["dbopt.yaml"]


def test_what_was_written_is_taken_back(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "indexes").write_text("a file where the folder should be")
    with pytest.raises(Error, match="could not write"):
        starter.init(tmp_path / "project")
    assert tree(tmp_path / "project") == ["indexes"]


def test_folders_are_taken_back_too(tmp_path, monkeypatch):
    monkeypatch.setattr(starter, "SPEC", "\ud800")  # cannot be encoded: fails in the middle of the second file
    with pytest.raises(UnicodeEncodeError):
        starter.init(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
