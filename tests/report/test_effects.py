"""What runs of optimize brought, from readings before and after."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

from dbopt.report import effects
from dbopt.snapshot.model import Change, Family, Interval
from dbopt.store.records import RunRecord, StepRecord

RAN = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Row:
    """As much of a row of tables or indexes as is looked at."""

    def __init__(self, **values):
        self.__dict__.update(values)


TABLES = [Row(schema="public", name="orders", relation_oid=7)]
INDEXES = [Row(schema="public", name="orders_i", size_bytes=2048, idx_scan=40, stats_since=RAN - HOUR)]


def run(**changes):
    values = dict.fromkeys(field.name for field in fields(RunRecord))
    values |= {"id": 1, "command": "optimize", "started_at": RAN, "finished_at": RAN + timedelta(minutes=1)}
    return RunRecord(**values | {"seconds": 60.0, "applied": 1, "interrupted": False} | changes)


def step(action="create", **changes):
    values = dict.fromkeys(field.name for field in fields(StepRecord))
    values |= {"number": 1, "action": action, "schema_name": "public", "table_name": "orders", "index_name": "orders_i"}
    return StepRecord(**values | {"started_at": RAN, "seconds": 1.0, "size_bytes": 1024} | changes)


def hour(family, at, counts, key, *values, lost=0.0):
    change = {key: Change(key, key, values, (), lost)} if values else {}
    return Interval(family=family, from_at=at, to_at=at + HOUR, seconds=3600, counts=counts, changes=change)


def history(*, before=1, after=1):
    """Statements took 10 ms before, 2 ms after; 36,000 rows of the table were read in an hour before, none after."""
    statements, tables = [], []
    for number in range(-before, after):
        # What the run itself lies in is neither before nor after.
        at = RAN + HOUR * number + (timedelta(minutes=2) if number >= 0 else timedelta(0))
        took = 1000.0 if number < 0 else 200.0
        statements.append(hour(Family.STATEMENTS, at, ("calls", "total_exec_time_ms"), "1/1/1", 100.0, took))
        tables.append(hour(Family.TABLES, at, ("seq_tup_read",), "7", *([36_000.0] if number < 0 else [])))
    return [*statements, *tables]


def effect(run, steps, tables, indexes, history):
    sides = effects.Sides([(run, steps)])
    for interval in history:
        sides.add(interval)
    return effects.effect(run, steps, tables, indexes, sides)


def test_before_and_after():
    found = effect(run(), [step()], TABLES, INDEXES, history())
    assert [(item.title, item.before, item.after) for item in found.compared] == [
        ("Mean time of a statement", 10.0, 2.0),
        ("Rows read by sequential scans of public.orders", 10.0, 0.0),
    ]
    assert found.before == (RAN - HOUR, RAN)


def test_the_interval_that_the_run_lies_in_tells_nothing():
    around = [hour(Family.STATEMENTS, RAN - HOUR / 2, ("calls",), "1/1/1", 5.0)]
    found = effect(run(), [step()], TABLES, INDEXES, around)
    assert (found.compared, found.why_not) == ((), "there are no readings of the day before and after it")


def test_not_known_without_readings():
    assert "before" in (effect(run(), [step()], TABLES, INDEXES, history(before=0)).why_not or "")
    assert "after" in (effect(run(), [step()], TABLES, INDEXES, history(after=0)).why_not or "")


def test_only_a_day_counts():
    early = effect(run(), [step()], TABLES, INDEXES, history(before=40))
    assert early.before is not None
    assert early.before[0] == RAN - timedelta(days=1)


def test_a_run_that_built_nothing_brought_nothing():
    found = effect(run(), [step("comment")], TABLES, INDEXES, history())
    assert found.why_not == "the run made and dropped no index"
    assert effect(run(), [step(seconds=None)], TABLES, INDEXES, history()).why_not is not None


def test_an_index_since_it_was_made():
    [item] = effect(run(), [step()], TABLES, INDEXES, history()).steps
    assert (item.size_now_bytes, item.scans, item.scans_since, item.is_gone) == (2048, 40, RAN, False)


def test_an_index_whose_counters_were_reset_since():
    later = [Row(schema="public", name="orders_i", size_bytes=1, idx_scan=3, stats_since=RAN + HOUR)]
    [item] = effect(run(), [step()], TABLES, later, history()).steps
    assert (item.scans, item.scans_since) == (3, RAN + HOUR)


def test_an_index_that_is_gone_or_cannot_be_seen():
    [gone] = effect(run(), [step()], TABLES, [], history()).steps
    [unseen] = effect(run(), [step()], None, None, history()).steps
    assert (gone.is_gone, gone.scans) == (True, None)
    assert (unseen.is_gone, unseen.scans) == (False, None)


def test_a_failed_step_made_no_index():
    [item] = effect(run(), [step(error="deadlock detected")], TABLES, INDEXES, history()).steps
    assert (item.size_now_bytes, item.scans) == (None, None)


def test_a_reset_between_is_left_out_of_the_rate():
    halved = history()
    at = next(number for number, item in enumerate(halved) if item.family == Family.TABLES)
    halved[at] = hour(Family.TABLES, halved[at].from_at, halved[at].counts, "7", 36_000.0, lost=1800.0)
    [_, rows] = effect(run(), [step()], TABLES, INDEXES, halved).compared
    assert rows.before == 20.0
