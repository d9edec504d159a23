"""What a run leaves in the store, on both databases."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from dbopt.errors import ConfigError, UsageError
from dbopt.optimize import duplicates
from dbopt.optimize.duplicates import Duplicates, Group
from dbopt.optimize.events import Result, StepStarted
from dbopt.store.location import default_path, locate
from dbopt.store.records import Outcome
from dbopt.store.repository import State, find_store, open_store

from .values import CALLER, MORNING, events_of, make_plan, read, record, start


def test_a_run_is_recorded_whole(url):
    run, steps = read(url, record(url, events_of(make_plan(), error="canceled", hint="Try again.")))
    assert (run.command, run.target_name, run.server, run.dbname) == ("optimize", "main", "7000000000000000001", "app")
    assert (run.role, run.spec_digest, run.plan_state, run.planned) == ("deployer", "5bec", "ca7a109", 2)
    assert (run.applied, run.failed, run.refused, run.unchanged, run.seconds) == (1, 1, 0, 3, 3.0)
    assert run.started_at == run.finished_at == MORNING
    assert run.outcome is Outcome.ATTENTION
    first, second = steps
    assert first.statements == ('CREATE INDEX CONCURRENTLY "orders_1" ON "app"."orders" ("a")',)
    assert (first.outcome, first.seconds, first.size_bytes, first.error) == (Outcome.DONE, 1.5, 8192, None)
    assert first.started_at == MORNING - timedelta(seconds=1.5)
    assert (second.outcome, second.size_bytes, second.error, second.hint) == (
        Outcome.ATTENTION,
        None,
        "canceled",
        "Try again.",
    )


def test_both_databases_give_the_same(sqlite_url, postgresql_url):
    run_of = {url: read(url, record(url, events_of(make_plan(3)))) for url in (sqlite_url, postgresql_url)}
    assert run_of[sqlite_url] == run_of[postgresql_url]


def test_times_come_back_as_utc(url):
    summer = timezone(timedelta(hours=2))
    run, _ = read(url, record(url, events_of(make_plan()), clock=lambda: MORNING.astimezone(summer)))
    assert (run.started_at, run.started_at.tzinfo) == (MORNING, UTC)


def test_names_of_any_script_and_any_length(url):
    plan = make_plan(1)
    step = replace(plan.steps[0], index='über "größe" 🐘', statements=("-- \t\n'" + "x" * 100_000,))
    _, (found,) = read(url, record(url, events_of(replace(plan, steps=(step,)))))
    assert (found.index_name, found.statements) == (step.index, step.statements)


def test_the_newest_runs_come_first_by_target_and_time(url):
    old = record(url, events_of(make_plan()), clock=lambda: MORNING - timedelta(days=8))
    other = record(url, events_of(make_plan(dbname="crm")), replace(CALLER, target_name="crm"))
    new = record(url, events_of(make_plan()), replace(CALLER, target_name="renamed"))
    with contextlib.closing(open_store(url)) as store:
        assert [run.id for run in store.runs(limit=10)] == [new, other, old]
        assert [run.id for run in store.runs(limit=1)] == [new]
        assert [run.id for run in store.runs(limit=10, since=MORNING)] == [new, other]
        assert [run.id for run in store.runs(limit=10, names=["app"])] == [new, old]
        assert [run.id for run in store.runs(limit=10, names=["renamed", "crm"])] == [new, other]
        with pytest.raises(UsageError, match=f"there is no run {new + 1}") as raised:
            store.run(new + 1)
        assert raised.value.detail == f"the newest are {new}, {other}, {old}"


def test_a_server_that_hides_its_identifier_is_known_by_its_name(url):
    run, _ = read(url, record(url, events_of(make_plan(system_identifier=None))))
    assert run.server == "main"


def test_an_interrupted_run(url):
    events = [*events_of(make_plan())][:-1]
    ended = Result(applied=1, failed=0, refused=0, unchanged=0, seconds=2.0, items=(), interrupted=True)
    run, _ = read(url, record(url, [*events, ended]))
    assert run.outcome is Outcome.INTERRUPTED


KILLED = """
import os, signal, sys
from store.values import events_of, make_plan, record
record(sys.argv[1], list(events_of(make_plan()))[:4])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_unfinished_and_shows_the_step_it_was_in(url):
    killed = start(KILLED, url)
    assert (killed.communicate(), killed.returncode) == ((b"", b""), -signal.SIGKILL)
    run, (first, second) = read(url, 1)
    assert (run.outcome, run.finished_at, run.applied) == (Outcome.UNFINISHED, None, None)
    assert (first.outcome, second.outcome, second.seconds) == (Outcome.DONE, Outcome.UNFINISHED, None)


WRITER = """
import sys
from store.values import events_of, make_plan, record
for _ in range(5):
    record(sys.argv[1], events_of(make_plan(10)))
"""


def test_processes_that_write_at_once_lose_nothing(url):
    """The store does not exist yet: making it is part of the race."""
    writers = [start(WRITER, url) for _ in range(3)]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    with contextlib.closing(open_store(url)) as store:
        runs = store.runs(limit=100)
        assert len(runs) == 15
        assert {run.outcome for run in runs} == {Outcome.DONE}
        assert all(len(store.run(run.id)[1]) == 10 for run in runs)


def test_a_step_tried_again_is_one_step(url):
    plan = make_plan(1)
    started, *rest = events_of(plan)
    _, (step,) = read(url, record(url, [started, StepStarted(number=1, total=1, step=plan.steps[0]), *rest]))
    assert step.outcome is Outcome.DONE


def test_rows_of_the_users_tables_stay_out(url):
    words = "could not create unique index: Key (lower(email))=(ann@example.org) is duplicated."
    _, steps = read(url, record(url, events_of(make_plan(), error=words, hint=words)))
    assert steps[-1].error == steps[-1].hint == "could not create unique index: Key (lower(email))=(...) is duplicated."


def test_keys_that_are_there_more_than_once_stay_out(url):
    first = (
        Group(values=("ann@example.org", "(x)=(\n1)"), rows=2, ctids=("(0,1)", "(0,7)")),
        Group(values=("bob@example.org", None), rows=3),
    )
    found = Duplicates(keys=("email", "lower(name)"), groups=9, more=False, first=first, cleanup="SELECT 1; -- DELETE")
    failure = duplicates.failure(make_plan().steps[-1], found)
    assert "ann@example.org" in failure.message
    assert "bob@example.org" in failure.message
    _, steps = read(url, record(url, events_of(make_plan(), error=failure.message, hint=failure.hint)))
    assert steps[-1].error == (
        "could not build orders_2: 9 values are there more than once: (email, lower(name))=(...) 3 times; and 7 more"
    )
    assert steps[-1].hint == failure.hint


def test_none_records_nothing(warnings):
    assert record("none", events_of(make_plan())) is None
    assert (default_path().parent.exists(), warnings()) == (False, [])
    with pytest.raises(ConfigError, match="there is no store"):
        open_store("none")


def test_the_default_store_is_for_its_owner_alone():
    record(None, [*events_of(make_plan())][:3])  # no end: the files beside it are there
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in default_path().parent.iterdir()}
    assert modes == {"store.db": "0o600", "store.db-wal": "0o600", "store.db-shm": "0o600"}
    assert default_path().parent.stat().st_mode & 0o777 == 0o700


def test_status_makes_nothing(url):
    with contextlib.closing(find_store(url)) as store:
        assert (store.status().state, store.status().revision) == (State.ABSENT, None)
        assert store.location.path is None or not store.location.path.exists()


@pytest.mark.parametrize(
    ("written", "for_people"),
    [
        ("postgresql://ann:s3cret@db1:5433/fleet", "db1:5433/fleet"),
        ("postgres://db1/fleet?password=s3cret", "db1/fleet"),
        ("postgresql+psycopg:///fleet?host=/run/pg", "local socket/fleet"),
        ("sqlite:////srv/store.db", "/srv/store.db"),
    ],
)
def test_a_location_for_people_has_no_password(written, for_people):
    assert str(locate(written)) == for_people


@pytest.mark.parametrize(
    "written",
    [
        "",
        "store.db",
        "mysql://ann:s3cret@db1/fleet",
        "postgresql://ann:s3cret@db1:s3cret/fleet",
        "postgresql://ann:s3c/ret@db1:x/y",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////srv/s3cret.db?mode=ro",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_repeating_it(written):
    with pytest.raises(ConfigError) as raised:
        locate(written)
    assert "s3c" not in f"{raised.value} {raised.value.detail} {raised.value.hint}"
