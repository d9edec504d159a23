"""The page as a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dbopt.errors import UsageError
from dbopt.report import file

PAGE = f"<!doctype html>\n{file.MARK}\nα"


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    file.write(tmp_path / "r.html", PAGE)
    other = tmp_path / "other"
    other.touch()
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == PAGE
    assert (tmp_path / "r.html").stat().st_mode == other.stat().st_mode


def test_an_earlier_page_keeps_its_mode(tmp_path):
    path = tmp_path / "r.html"
    file.write(path, PAGE)
    path.chmod(0o640)
    file.check(path)
    file.write(path, PAGE + "2")
    assert path.read_text(encoding="utf-8") == PAGE + "2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["r.html"]


def test_what_a_link_names_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "r.html"
    link.symlink_to(tmp_path / "there" / "real.html")
    file.check(link)
    file.write(link, PAGE)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.html").read_text(encoding="utf-8") == PAGE


def test_something_else_is_never_overwritten(tmp_path):
    path = tmp_path / "dbopt.yaml"
    path.write_text("store: none\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no report of dbopt"):
        file.check(path)
    (tmp_path / "empty").touch()
    file.check(tmp_path / "empty")


@pytest.mark.parametrize("name", [".", "no/such/folder.html"])
def test_a_place_where_no_file_can_be(name, tmp_path):
    with pytest.raises(UsageError) as caught:
        file.check(tmp_path / name)
    assert caught.value.hint


def test_a_device_is_written_to():
    file.check(Path("/dev/null"))
    file.write(Path("/dev/null"), PAGE)
    assert Path("/dev/null").is_char_device()
    with pytest.raises(UsageError, match="could not write /dev/full"):
        file.write(Path("/dev/full"), PAGE)


def test_a_failure_leaves_the_earlier_page_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    file.write(path, PAGE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsageError) as caught:
        file.write(path, "half")
    assert caught.value.detail == "No space left on device"
    assert path.read_text(encoding="utf-8") == PAGE
    assert os.listdir(tmp_path) == ["r.html"]
