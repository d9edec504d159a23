"""What somebody knows about, and what is said of entries that do nothing."""

from __future__ import annotations

from datetime import date

import pytest

from dbopt.config.health import IgnoreEntry
from dbopt.config.place import Place, Word
from dbopt.health.check import Status
from dbopt.health.checks import check_ids
from dbopt.health.ignores import ignore, notes, nothing_seen

from .results import finding, result, skipped, subjects

TODAY = date(2026, 10, 25)
_lines = iter(range(1, 1000))


def entry(check: str, subject: str, until: date | None = None) -> IgnoreEntry:
    place = Place("dbopt.yaml", next(_lines), 5, "")
    return IgnoreEntry(
        check=Word(check, place),
        subject=Word(subject, place),
        reason=Word("the yearly audit", place),
        until=until,
        place=place,
    )


def test_an_ignored_finding_does_not_count() -> None:
    found = result("unused-index", finding("public.audit_a", Status.CRITICAL), finding("public.orders_b"))
    [left] = ignore([found], [entry("unused-index", "public.audit_*")], TODAY).results
    assert (left.status, subjects(left.findings)) == (Status.WARNING, ["public.orders_b"])
    assert [(item.subject, item.reason) for item in left.ignored] == [("public.audit_a", "the yearly audit")]


def test_when_all_are_ignored_it_is_well() -> None:
    found = result("unused-index", finding("a"))
    [left] = ignore([found], [entry("*-index", "*")], TODAY).results
    assert (left.status, left.findings) == (Status.OK, ())


def test_what_a_check_could_not_see_is_never_ignored() -> None:
    found = result("unused-index", finding("a"), reason="no right: b", blind=True)
    [left] = ignore([found], [entry("*", "*")], TODAY).results
    assert (left.status, left.blind, left.reason) == (Status.UNKNOWN, True, "no right: b")


@pytest.mark.parametrize(
    ("check", "subject", "is_ignored"),
    [
        ("unused-index", "public.a", True),
        ("unused-*", "public.?", True),
        ("unused-index", "public.A", False),
        ("unused-index", "public", False),
        ("duplicate-index", "public.a", False),
    ],
)
def test_patterns(check: str, subject: str, is_ignored: bool) -> None:
    [left] = ignore([result("unused-index", finding("public.a"))], [entry(check, subject)], TODAY).results
    assert bool(left.ignored) is is_ignored


def test_a_subject_may_be_written_as_it_is_shown() -> None:
    [left] = ignore([result("unused-index", finding('public."a[b]"'))], [entry("*", 'public."a[b]"')], TODAY).results
    assert left.findings == ()


def test_until_is_the_last_day() -> None:
    found = [result("unused-index", finding("a"))]
    assert ignore(found, [entry("unused-index", "a", TODAY)], TODAY).results[0].findings == ()
    expired = ignore(found, [entry("unused-index", "a", date(2026, 10, 24))], TODAY)
    assert subjects(expired.results[0].findings) == ["a"]
    [[note]] = notes([expired])
    assert note.endswith('for unused-index "a" has expired on 2026-10-24: it ignores nothing any more')


def test_an_entry_that_matches_nothing_is_told() -> None:
    idle = entry("unused-index", "gone")
    [[note]] = notes([ignore([result("unused-index", finding("a"))], [idle], TODAY)])
    assert note == f'the ignore entry of dbopt.yaml:{idle.place.line} for unused-index "gone" matches nothing'


@pytest.mark.parametrize(
    "results",
    [
        [],
        [result("unused-index", reason="statistics are too young")],
        [result("unused-index", finding("a"), reason="no right: b")],
        [skipped("unused-index")],
    ],
)
def test_unless_its_check_could_not_tell(results: list) -> None:
    assert notes([ignore(results, [entry("unused-index", "gone")], TODAY)]) == [()]


def test_a_pattern_of_checks_is_idle_when_all_of_them_have_run() -> None:
    every = entry("*", "gone")
    assert notes([ignore([result("unused-index")], [every], TODAY)]) == [()]
    [[note]] = notes([ignore([result(check_id) for check_id in check_ids()], [every], TODAY)])
    assert "matches nothing" in note


def test_of_several_databases_one_that_it_matches_is_enough() -> None:
    one = entry("unused-index", "a")
    used = ignore([result("unused-index", finding("a"))], [one], TODAY)
    idle = ignore([result("unused-index")], [one], TODAY)
    assert notes([idle, used]) == [(), ()]
    assert [len(said) for said in notes([idle, idle])] == [1, 0]
    assert notes([idle, nothing_seen([one])]) == [(), ()]
