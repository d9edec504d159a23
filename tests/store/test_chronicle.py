"""What `dbopt history` asks of the store, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbopt.health.check import Status
from dbopt.snapshot.model import Family
from dbopt.store import chronicle, packing, snapshots
from dbopt.store.health import Memory
from dbopt.store.targets import Whose

from .readings import DAY, HOUR, START, WHOSE, keep, opened, part
from .test_health import keep as keep_health
from .test_health import result

FOREVER = (START - 900 * DAY, START + 900 * DAY)


@pytest.fixture
def target_id(url):
    """A target whose health was looked at four times: a was there, went, and came again; b is still there."""
    memory = Memory(url)
    runs = (["a"], ["a", "b"], ["b"], ["a", "b"])
    for number, subjects in enumerate(runs):
        keep_health(
            memory,
            result("unused-index", *subjects, status=Status.CRITICAL if number == 3 else Status.WARNING),
            at=START + number * HOUR,
            whose=WHOSE,
        )
    with opened(url, reading=True) as session:
        return chronicle.databases(session)[0].target_id


def test_findings_with_when_they_were_there(url, target_id):
    with opened(url, reading=True) as session:
        found = chronicle.findings(session, target_id, *FOREVER)
        only_first = chronicle.findings(session, target_id, START, START + timedelta(minutes=1))
        last = chronicle.findings(session, target_id, START + 3 * HOUR, START + DAY)
    rows = {(item.subject, item.is_gone, item.runs, item.first_at, item.last_at) for item in found}
    assert rows == {
        ("a", True, 2, START, START + HOUR),
        ("b", False, 3, START + HOUR, START + 3 * HOUR),
        ("a", False, 1, START + 3 * HOUR, START + 3 * HOUR),
    }
    assert [item.first_at for item in found] == sorted((item.first_at for item in found), reverse=True)
    assert [item.subject for item in only_first] == ["a"]
    assert {(item.subject, item.status) for item in last} == {("a", "critical"), ("b", "critical")}


def test_runs_and_what_a_check_said(url, target_id):
    with opened(url, reading=True) as session:
        runs = chronicle.health_runs(session, target_id, *FOREVER)
        said = chronicle.stretches(session, target_id, "unused-index", *FOREVER)
        nothing = chronicle.stretches(session, target_id, "deadlocks", *FOREVER)
    assert [(item.status, item.runs, item.first_at) for item in runs] == [
        ("critical", 1, START + 3 * HOUR),
        ("warning", 3, START),
    ]
    assert [(item.status, item.is_over) for item in said] == [("critical", False), ("warning", True)]
    assert nothing == []


def test_databases_by_the_names_that_they_have_and_had(url):
    other = Whose("7002", "crm", "7002")
    keep_health(Memory(url), result("unused-index"), at=START, whose=WHOSE)  # as main
    keep(url, part(START + HOUR, 1, Family.SERVER), name="renamed")
    keep(url, part(START, 1, Family.SERVER), whose=other, name="other")
    with opened(url, reading=True) as session:
        known = chronicle.databases(session)
    assert [(item.name, item.dbname, item.has_readings, item.has_health) for item in known] == [
        ("renamed", "app", True, True),
        ("other", "crm", True, False),
    ]
    assert [item.name for item in chronicle.named(known, ["main"])] == ["renamed"]
    assert [item.name for item in chronicle.named(known, ["crm", "app", "renamed"])] == ["other", "renamed"]
    assert chronicle.named(known, ["nobody"]) == []
    keep(url, part(START + 2 * HOUR, 1, Family.SERVER), whose=other, name="main")
    with opened(url, reading=True) as session:
        taken = chronicle.databases(session)
    assert [item.dbname for item in chronicle.named(taken, ["main"])] == ["crm"]  # who has the name now


def test_from_when_to_when_there_are_intervals(url):
    target_id = keep(url, part(START, 1), part(START + HOUR, 2), part(START + 3 * HOUR, 5))
    with opened(url, reading=True) as session:
        assert chronicle.ends(session, target_id, "tables") == (START, START + 3 * HOUR)
        assert chronicle.ends(session, target_id, "indexes") is None


def test_some_subjects_alone_are_as_they_are_among_all(url):
    odd = 'a "b" \\ \u00fc], ["t'
    target_id = keep(
        url, *(part(START + step * HOUR, step, **{"q-7": step * 2.0, odd: step * 3.0}) for step in range(3))
    )
    with opened(url, reading=True) as session:

        def read(wanted=None):
            found = snapshots.intervals(session, target_id, "tables", wanted=wanted)
            return [interval.changes for interval in found]

        whole = read()
        for wanted, key in (
            (packing.only(keys=["t"]), "t"),
            (packing.only(keys=[odd]), odd),
            (packing.only(key_starts=["q-"]), "q-7"),
            (packing.only(names=["-7"]), "q-7"),
        ):
            assert read(wanted) == [{key: changes[key]} for changes in whole]
        assert read(packing.only(keys=["q"])) == [{}, {}]
