"""Past runs as a page has them, by the driver alone: the same as `dbopt history` reads them, on both databases."""

from __future__ import annotations

from datetime import timedelta

from dbopt.store import past, plain, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose

from .values import MORNING, events_of, make_plan, read, record


def runs(url, since=MORNING, limit=10, dbname="app"):
    location = locate(url)
    with plain.transaction(location, reading=True, wait_seconds=1) as session:
        target_id = targets.find(session, Whose("7000000000000000001", dbname, None))
        return past.runs(session, target_id, since, limit)


def test_they_are_what_history_shows(url):
    done = record(url, events_of(make_plan()))
    failed = record(url, events_of(make_plan(), error="canceled", hint="Try again."))
    killed = record(url, events_of(make_plan()))
    with plain.transaction(locate(url), reading=False, wait_seconds=1) as session:
        session.run("UPDATE runs SET finished_at = NULL, interrupted = NULL WHERE id = :id", [{"id": killed}])
    expected = []
    for run_id in (killed, failed, done):
        run, steps = read(url, run_id)
        expected.append((run, tuple(steps)))
    assert runs(url) == expected


def test_which_of_them(url):
    early = record(url, events_of(make_plan()), clock=lambda: MORNING - timedelta(days=2))
    late = record(url, events_of(make_plan()))
    record(url, events_of(make_plan(dbname="crm")))
    assert [run.id for run, _ in runs(url)] == [late]
    assert [run.id for run, _ in runs(url, since=MORNING - timedelta(days=3))] == [late, early]
    assert [run.id for run, _ in runs(url, since=MORNING - timedelta(days=3), limit=1)] == [late]
    assert runs(url, since=MORNING + timedelta(hours=1)) == []
