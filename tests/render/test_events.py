"""One stream of events as its three readers tell it."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest

from dbopt.optimize.events import Event, Notice, Progress, Result, RunStarted, StepFinished, StepStarted, Waiting
from dbopt.optimize.steps import ItemStatus
from dbopt.render.events import Both, reporter
from dbopt.render.events_log import LogReporter
from dbopt.render.events_terminal import TerminalReporter
from dbopt.render.output import Format, Stream

from .values import ANALYZE, BLOCKER, CREATE, HOSTILE, PLAN, REFUSED, UNCHANGED, Memory, item

RERUN = "dbopt optimize -d app"


def progress(seconds: float, phase: str = "building index: scanning table") -> Progress:
    return Progress(step=CREATE, phase=phase, done=seconds / 60, elapsed_seconds=seconds, eta_seconds=60 - seconds)


def waiting(seconds: float) -> Waiting:
    return Waiting(step=CREATE, phase=BLOCKER.phase, blockers=(BLOCKER,), waited_seconds=seconds, limit_seconds=300.0)


FINISHED = StepFinished(number=1, total=2, step=CREATE, seconds=63.2, size_bytes=50331648)
FAILED = StepFinished(
    number=2,
    total=2,
    step=ANALYZE,
    seconds=0.4,
    error="canceling statement due to lock timeout",
    hint="SELECT * FROM pg_stat_activity;",
)
RESULT = Result(
    applied=1, failed=0, refused=0, unchanged=31, seconds=65.0,
    items=(item("orders_open", ItemStatus.APPLIED, seconds=63.2), *UNCHANGED),
)  # fmt: skip
BUILD: list[Event] = [
    RunStarted(plan=PLAN),
    StepStarted(number=1, total=2, step=CREATE),
    *(progress(float(second)) for second in range(1, 25)),
    progress(25.0, "building index: sorting live tuples"),
    *(waiting(float(second)) for second in range(1, 13)),
    Notice(step=CREATE, message="removed an INVALID leftover"),
    FINISHED,
    StepStarted(number=2, total=2, step=ANALYZE),
    FAILED,
]


def told(events: list[Event], memory: Memory) -> Memory:
    with reporter(memory.output, rerun=RERUN) as report:
        for event in events:
            report.handle(event)
    return memory


def test_who_reads() -> None:
    def kind(memory: Memory) -> type:
        return type(reporter(memory.output, rerun=RERUN))

    assert kind(Memory(Format.JSON, terminal=True)) is Both
    assert kind(Memory(Format.TABLE, terminal=True)) is TerminalReporter
    assert kind(Memory(Format.LINES, terminal=True)) is TerminalReporter
    assert kind(Memory(Format.TABLE, terminal=True, quiet=True)) is LogReporter
    assert kind(Memory(Format.TABLE)) is LogReporter


def test_log_has_a_line_for_each_change_and_every_ten_seconds() -> None:
    who = "pid 4711 (user web, application checkout, idle in transaction, for 3 min 02 s)"
    assert told(BUILD, Memory(Format.LINES)).err == (
        "2 steps on app, PostgreSQL 18.6\n"
        "[1/2] creating orders_open on app.orders\n"
        "orders_open on app.orders: building index: scanning table, 2 %, 1.0 s elapsed, about 59.0 s left\n"
        "orders_open on app.orders: building index: scanning table, 18 %, 11.0 s elapsed, about 49.0 s left\n"
        "orders_open on app.orders: building index: scanning table, 35 %, 21.0 s elapsed, about 39.0 s left\n"
        "orders_open on app.orders: building index: sorting live tuples, 42 %, 25.0 s elapsed, about 35.0 s left\n"
        f"orders_open on app.orders: waiting for writers before build: {who}, waited 1.0 s of at most 5 min 00 s\n"
        f"orders_open on app.orders: waiting for writers before build: {who}, waited 11.0 s of at most 5 min 00 s\n"
        "orders_open on app.orders: removed an INVALID leftover\n"
        "created   orders_open on app.orders in 1 min 03 s, 48MB\n"
        "[2/2] analyzing app.orders\n"
        "failed    analyzing app.orders after 400 ms: canceling statement due to lock timeout\n"
        "  hint: SELECT * FROM pg_stat_activity;\n"
    )


def test_quiet_leaves_failures() -> None:
    memory = told([*BUILD, RESULT], Memory(Format.LINES, quiet=True))
    assert memory.err.startswith("failed    analyzing app.orders after 400 ms: ")
    assert memory.err.count("\n") == 2
    assert memory.out.startswith("orders_open\tapp.orders\tapplied\t63.2\t\n")


def test_a_new_blocker_is_told_at_once() -> None:
    other = dataclasses.replace(waiting(2.0), blockers=(dataclasses.replace(BLOCKER, pid=None, gid="batch-7"),))
    err = told([waiting(1.0), other], Memory()).err
    assert err.count("\n") == 2
    assert "prepared transaction batch-7 (user web" in err


def test_nothing_known_about_progress() -> None:
    unknown = Progress(step=CREATE, phase="initializing", done=None, elapsed_seconds=2.0, eta_seconds=None)
    assert told([unknown], Memory()).err == "orders_open on app.orders: initializing, 2.0 s elapsed\n"


def test_the_result_for_people() -> None:
    assert told([RESULT], Memory(width=60)).out == (
        "\n"
        "index         table        status          time\n"
        "───────────────────────────────────────────────\n"
        "orders_open   app.orders   applied   1 min 03 s\n"
        "\n"
        "1 applied, 31 unchanged in 1 min 05 s\n"
    )


def test_what_to_look_at_after_failures() -> None:
    error = "could not create unique index"
    failed = StepFinished(number=1, total=1, step=CREATE, seconds=1.0, error=error, hint="Remove the duplicates.")
    result = Result(
        applied=0, failed=1, refused=1, unchanged=0, seconds=1.5,
        items=(item("orders_open", ItemStatus.FAILED, seconds=1.0, error=error), REFUSED),
    )  # fmt: skip
    assert told([failed, result], Memory(width=100)).out == (
        "\n"
        "index         table        status     time\n"
        "──────────────────────────────────────────\n"
        "orders_open   app.orders   failed    1.0 s\n"
        "orders_old    app.orders   refused\n"
        "\n"
        "failed    orders_open on app.orders: could not create unique index\n"
        "  hint: Remove the duplicates.\n"
        "refused   orders_old on app.orders: the constraint orders_pkey needs it\n"
        "\n"
        "1 failed, 1 refused in 1.5 s\n"
        "What was applied stays. Once the causes above are removed, run: dbopt optimize -d app\n"
    )


def test_an_interrupted_run_says_how_to_go_on() -> None:
    result = Result(applied=2, failed=0, refused=0, unchanged=0, seconds=9.0, items=(), interrupted=True)
    assert told([result], Memory()).out == (
        "interrupted: 2 applied in 9.0 s\nTo go on where this stopped: dbopt optimize -d app\n"
    )


def test_json_is_one_event_a_line_and_the_last_is_the_result() -> None:
    memory = told([*BUILD, RESULT], Memory(Format.JSON))
    events = [json.loads(line) for line in memory.out.splitlines()]
    assert "created" in memory.err
    assert len(events) == len(BUILD) + 1
    assert [event["event"] for event in events if event["event"] not in ("progress", "waiting")] == [
        "run_started",
        "step_started",
        "notice",
        "step_finished",
        "step_started",
        "step_finished",
        "result",
    ]
    assert events[-1]["items"][0] == {
        "index": "orders_open",
        "table": "app.orders",
        "status": "applied",
        "seconds": 63.2,
        "error": None,
    }
    del events[-1]["items"]
    assert events[-1] == {
        "event": "result",
        "applied": 1,
        "failed": 0,
        "left": 0,
        "refused": 0,
        "unchanged": 31,
        "seconds": 65.0,
        "interrupted": False,
    }
    assert events[2] == {
        "event": "progress",
        "action": "create",
        "index": "orders_open",
        "table": "app.orders",
        "phase": "building index: scanning table",
        "done": 1 / 60,
        "elapsed_seconds": 1.0,
        "eta_seconds": 59.0,
    }


def test_every_json_line_is_flushed() -> None:
    class Counting(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    memory, file = Memory(Format.JSON), Counting()
    output = dataclasses.replace(memory.output, out=Stream(file=file))
    with reporter(output, rerun=RERUN) as report:
        for event in BUILD:
            report.handle(event)
            assert file.flushed == len(file.getvalue())


def board(events: list[Event], width: int, *, color: bool = False, at: float = 90.0) -> str:
    """The screen's moving part after these events, `at` seconds after the first."""
    memory = Memory(width=width, terminal=True, color=color)
    now = [0.0]
    report = TerminalReporter(memory.output, RERUN, clock=lambda: now[0])
    for event in events:
        report.handle(event)
    now[0] = at
    memory.output.out.print(report)
    return memory.out


def test_bar_on_terminals_narrow_and_wide() -> None:
    events: list[Event] = [StepStarted(number=1, total=2, step=CREATE), progress(30.0)]
    assert board(events, 60, at=10.0) == (
        "[1/2] creating orders_open on app.orders\n"
        "    ━━━━━━━━━━             50 %  0:10  about 20.0 s left\n"
        "                          building index: scanning table\n"
    )
    for width in (100, 200):
        assert board(events, width, at=10.0) == (
            "[1/2] creating orders_open on app.orders\n"
            "    ━━━━━━━━━━             50 %  0:10  about 20.0 s left  building index: scanning table\n"
        )


def test_bar_names_who_is_waited_for() -> None:
    blockers = tuple(dataclasses.replace(BLOCKER, pid=pid) for pid in range(1, 8))
    events: list[Event] = [
        StepStarted(number=1, total=2, step=CREATE),
        progress(30.0),
        dataclasses.replace(waiting(3.0), blockers=blockers),
    ]
    text = board(events, 100)
    assert "50 %  1:30  waiting for writers before build, gives up after 5 min 00 s\n" in text
    assert "    waits for pid 5 (user web, application checkout, idle in transaction, for 3 min 02 s)\n" in text
    assert text.endswith("    and for 2 more\n")
    assert "waits for" not in board([*events, progress(31.0)], 100)


def test_bars_end_as_one_line_each() -> None:
    memory = Memory(width=100, terminal=True)
    told([*BUILD, RESULT], memory)
    assert "created   orders_open on app.orders in 1 min 03 s, 48MB\n" in memory.err
    assert memory.err.count("\x1b[?25l") == memory.err.count("\x1b[?25h") == 1  # the cursor is back
    assert board(BUILD, 100).strip() == ""


def test_the_cursor_comes_back_after_an_error() -> None:
    memory = Memory(width=100, terminal=True)

    def interrupted() -> None:
        with reporter(memory.output, rerun=RERUN) as report:
            report.handle(StepStarted(number=1, total=2, step=CREATE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert memory.err.count("\x1b[?25h") == 1


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_steer_nothing(name: str, width: int) -> None:
    from rich.cells import cell_len

    step = dataclasses.replace(CREATE, index=name, schema=name, table=name)
    who = dataclasses.replace(BLOCKER, usename=name, application_name=name, state=name)
    events: list[Event] = [
        StepStarted(number=1, total=1, step=step),
        Progress(step=step, phase=name, done=None, elapsed_seconds=1.0, eta_seconds=None),
        Waiting(step=step, phase=name, blockers=(who,), waited_seconds=1.0, limit_seconds=None),
    ]
    drawn = board(events, width)
    assert max(map(cell_len, drawn.split("\n"))) <= width
    finished = StepFinished(number=1, total=1, step=step, seconds=1.0, error=name, hint=name)
    result = dataclasses.replace(RESULT, items=(dataclasses.replace(REFUSED, index=name, schema=name, error=name),))
    log = told([*events, Notice(step=step, message=name), finished, result], Memory(width=width))
    for text in (drawn, log.out, log.err):
        assert text.replace("\n", "").replace("\u200d", "").isprintable()
    assert log.err.count("\n") == 6


def test_beside_json_people_read_on_stderr_what_goes_wrong() -> None:
    memory = told([FAILED, waiting(1.0)], Memory(Format.JSON))
    assert "canceling statement due to lock timeout" in memory.err
    assert f"pid {BLOCKER.pid}" in memory.err
    assert [json.loads(line)["event"] for line in memory.out.splitlines()] == ["step_finished", "waiting"]
