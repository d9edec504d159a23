"""Marks: where counting begins, and what the counters said there."""

from __future__ import annotations

from dbopt.snapshot.model import Family
from dbopt.store import marks
from dbopt.store.marks import Kind

from .readings import DAY, HOUR, START, WHOSE, counted, keep, opened, part


def add(url, target_id, at, kind=Kind.BASELINE, scope="", parts=()):
    with opened(url) as session:
        return marks.add(
            session, target_id, "main", at, kind=kind, scope=scope, os_user="anna", role="deployer", parts=parts
        )


def test_the_last_mark_is_the_one_that_was_set_last(url):
    target_id = keep(url, part(START, 1))
    with opened(url) as session:
        assert (marks.last(session, target_id), marks.all(session, target_id)) == (None, [])
    first = add(url, target_id, START + HOUR, Kind.RESET, "pg_stat_io")
    second = add(url, target_id, START)  # the clock went back meanwhile
    with opened(url) as session:
        last = marks.last(session, target_id)
        found = marks.all(session, target_id)
    assert (last.id, last.marked_at, last.kind, last.os_user, last.role) == (
        second,
        START,
        Kind.BASELINE,
        "anna",
        "deployer",
    )
    assert [(mark.id, mark.scope) for mark in found] == [(second, ""), (first, "pg_stat_io")]


def test_a_mark_has_what_the_counters_said(url):
    said = [part(START, 7, q1=3), part(START, 9, Family.INDEXES)]
    target_id = keep(url, *said)
    mark_id = add(url, target_id, START, parts=said)
    with opened(url) as session:
        assert marks.parts(session, mark_id) == {item.family: item for item in said}
        assert marks.parts(session, mark_id + 1) == {}


def test_marks_of_another_database_are_none_of_ours(url):
    other = keep(url, part(START, 1), whose=WHOSE.__class__("7001", "crm", "7001"))
    target_id = keep(url, part(START, 1))
    add(url, other, START)
    with opened(url) as session:
        assert marks.last(session, target_id) is None


def test_amended_and_removed(url):
    target_id = keep(url, part(START, 1))
    mark_id = add(url, target_id, START, Kind.RESET, "a; b", parts=[part(START, 1)])
    with opened(url) as session:
        marks.amend(session, mark_id, "a")
        assert marks.last(session, target_id).scope == "a"
        marks.remove(session, mark_id)
        assert (marks.last(session, target_id), marks.parts(session, mark_id)) == (None, {})


def test_nothing_is_added_up_over_a_mark(sqlite_url):
    """Within one hour: two readings before the mark, two after it; then days later they become hours."""
    times = [START, START + HOUR / 4, START + HOUR / 3, START + HOUR / 2.5]
    target_id = keep(sqlite_url, *(part(at, count) for at, count in zip(times, (0, 10, 30, 70), strict=True)))
    add(sqlite_url, target_id, times[2])
    keep(sqlite_url, part(START + 4 * DAY, 100), part(START + 5 * DAY, 150))
    assert counted(sqlite_url, target_id) == 150
    assert counted(sqlite_url, target_id, times[2]) == 120
