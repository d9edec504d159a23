"""Looking again and again, until somebody interrupts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dbopt.errors import AnotherRunner, UsageError
from dbopt.render.output import Format
from dbopt.render.redraw import fitted
from dbopt.render.watch import watch

from .values import Memory
from .verdicts import HEALTHY, TROUBLED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.health.verdict import Verdict


def watched(memory: Memory, look: Callable[[], Sequence[Verdict]], times: int = 2) -> list[float]:
    """How long it slept after each look, the last of which Ctrl-C ended."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == times:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(memory.output, 5.0, look, sleep=sleep)
    return slept


def test_a_terminal_is_drawn_over() -> None:
    memory = Memory(terminal=True, width=80)
    slept = watched(memory, lambda: [HEALTHY])
    assert [0 <= seconds <= 5.0 for seconds in slept] == [True, True]
    first, second = memory.out.split("\x1b[H")[1:]
    assert first.startswith("every 5 s, ")
    assert second.startswith("\x1b[Jevery 5 s, ")
    assert first.endswith("health: 2 ok · app on PostgreSQL 18.4 · 80.0 ms\n")


def test_a_file_gets_one_after_another() -> None:
    memory = Memory()
    watched(memory, lambda: [HEALTHY])
    line = "health: 2 ok · app on PostgreSQL 18.4 · 80.0 ms\n"
    assert memory.out == f"{line}\n{line}"


def test_json_is_a_document_a_line() -> None:
    memory = Memory(Format.JSON)
    watched(memory, lambda: [TROUBLED])
    documents = [json.loads(line) for line in memory.out.splitlines()]
    assert [document["status"] for document in documents] == ["critical", "critical"]


def test_csv_has_its_head_once() -> None:
    memory = Memory(Format.CSV)
    watched(memory, lambda: [HEALTHY], times=3)
    assert memory.out.count("status,group") == 1
    assert len(memory.out.split("\r\n")) == 1 + 3 * 2 + 1


@pytest.mark.parametrize("terminal", [True, False])
def test_that_another_runs_is_no_reason_to_stop(terminal: bool) -> None:
    memory = Memory(terminal=terminal, width=80)

    def look() -> Sequence[Verdict]:
        raise AnotherRunner("another dbopt health is at work")

    assert len(watched(memory, look)) == 2
    assert (memory.out if terminal else memory.err).count("another dbopt health is at work") == 2


@pytest.mark.parametrize("format", [Format.PROMETHEUS, Format.NAGIOS])
def test_monitors_do_not_watch(format: Format) -> None:
    with pytest.raises(UsageError, match=f"does not write {format}"):
        watch(Memory(format).output, 1, list)


def test_what_a_screen_does_not_hold_gives_way_to_the_last_line() -> None:
    text = "".join(f"line {number}\n" for number in range(30)) + "sum\n"
    shown = fitted(text, columns=40, rows=10).splitlines()
    assert len(shown) == 9
    assert shown[0] == "line 0"
    assert shown[-2:] == ["... 23 more lines; without --watch they are all shown", "sum"]
    assert fitted(text, columns=40, rows=32) == text


def test_a_long_line_takes_several_rows() -> None:
    text = "\x1b[31m" + "x" * 100 + "\x1b[0m\nb\nsum\n"
    assert fitted(text, columns=40, rows=6) == text
    assert "... 2 more lines" in fitted(text, columns=40, rows=5)
