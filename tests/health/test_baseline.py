"""Only what is new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbopt.errors import UsageError
from dbopt.health.baseline import of_target, read
from dbopt.health.check import Status
from dbopt.render.health_json import document
from dbopt.render.json import _plain

from .results import finding, result, subjects, verdict


def written(*verdicts) -> Path:
    path = Path("baseline.json")
    path.write_text(json.dumps(_plain(document(verdicts))), encoding="utf-8")
    return path


def test_what_was_there_is_known_and_what_got_worse_is_new() -> None:
    path = written(verdict(result("unused-index", finding("a"), finding("b", Status.CRITICAL))))
    [before] = read(path)
    now = result(
        "unused-index", finding("a", Status.CRITICAL), finding("b", Status.CRITICAL), finding("b2"), finding("c")
    )
    left = before.without_known(now)
    assert subjects(left.findings) == ["a", "b2", "c"]
    assert subjects(left.known) == ["b"]
    assert left.status is Status.CRITICAL
    better = before.without_known(result("unused-index", finding("b")))
    assert (better.status, subjects(better.known)) == (Status.OK, ["b"])
    assert before.without_known(result("duplicate-index", finding("a"))).known == ()


def test_what_a_baseline_knew_already_stays_known() -> None:
    [first] = read(written(verdict(result("unused-index", finding("a")))))
    [second] = read(written(verdict(first.without_known(result("unused-index", finding("a"))))))
    assert second.without_known(result("unused-index", finding("a"))).findings == ()


def test_a_check_that_cannot_see_stays_unknown() -> None:
    [before] = read(written(verdict(result("unused-index", finding("a")))))
    left = before.without_known(result("unused-index", finding("a"), reason="no right: b", blind=True))
    assert (left.status, left.blind) == (Status.UNKNOWN, True)


def test_of_several_databases_each_has_its_own() -> None:
    path = written(
        verdict(result("unused-index", finding("a")), name="main"),
        verdict(result("unused-index", finding("b")), name="reports"),
    )
    every = read(path)
    mine = of_target(every, verdict(name="reports").about)
    assert mine is not None
    assert set(mine.known) == {("unused-index", "b")}
    assert of_target(every, verdict(name="other").about) is None
    assert of_target(read(written(verdict())), verdict(name="main").about) is not None  # by the database's name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("status\tcheck\n", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("{}", "it is not what"),
        ("[]", "it is not what"),
        ('{"schema_version": 1, "command": "history", "runs": []}', "it is not what"),
        ('{"schema_version": 2, "command": "health", "target": {}, "checks": []}', "it is not what"),
        (
            '{"schema_version": 1, "command": "health", "target": {}, "checks": [{"id": 1, "findings": [{}]}]}',
            "it is not what",
        ),
    ],
)
def test_files_of_others(text: str, words: str) -> None:
    path = Path("other")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read(path)
    assert words in (raised.value.detail or "")
    assert "dbopt health --format json > FILE" in (raised.value.hint or "")


def test_no_file() -> None:
    with pytest.raises(UsageError, match="could not read the baseline missing"):
        read(Path("missing"))
