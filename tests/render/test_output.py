from __future__ import annotations

import io

import pytest

from dbopt.render.output import UNLIMITED, Format, Output

from .values import HOSTILE, Memory


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def detect(out: io.StringIO, **more: object) -> Output:
    return Output.detect(stdout=out, stderr=io.StringIO(), **{"environ": {}, **more})  # type: ignore[arg-type]


def test_a_table_on_a_terminal_and_lines_in_a_pipe() -> None:
    assert detect(Tty()).format is Format.TABLE
    assert detect(io.StringIO()).format is Format.LINES
    assert detect(io.StringIO(), format=Format.CSV).format is Format.CSV


@pytest.mark.parametrize(
    ("environ", "color", "expected"),
    [
        ({"TERM": "xterm-256color"}, True, True),
        ({"TERM": "xterm-256color"}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_is_decided_once(environ: dict[str, str], color: bool, expected: bool) -> None:
    assert detect(Tty(), environ=environ, color=color).out.color is expected
    assert detect(io.StringIO(), environ=environ, color=color).out.color is False


def test_a_dumb_terminal_has_no_progress_bar_and_still_a_table() -> None:
    output = detect(Tty(), environ={"TERM": "dumb"})
    assert (output.format, output.out.terminal, output.out.live) == (Format.TABLE, True, False)


def test_width_is_the_terminals_own_unless_told() -> None:
    assert detect(Tty()).out.width is None
    assert detect(Tty(), environ={"COLUMNS": "72"}).out.width == 72
    assert detect(io.StringIO(), environ={"COLUMNS": "0"}).out.width == UNLIMITED
    assert detect(io.StringIO(), environ={"COLUMNS": "wide"}).out.width == UNLIMITED


def test_a_terminal_of_an_old_encoding_shows_escapes() -> None:
    raw = io.BytesIO()
    output = Output.detect(stdout=io.TextIOWrapper(raw, encoding="latin-1"), stderr=io.StringIO(), environ={})
    output.out.write("é \U0001f600")
    assert raw.getvalue() == b"\xe9 \\U0001f600"


def test_the_environment_cannot_force_colour_into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    from rich.text import Text

    memory = Memory()
    memory.output.out.print(Text("plain", "red"))
    assert memory.out == "plain\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_note_is_one_line_and_quiet_silences_it(name: str) -> None:
    loud, quiet = Memory(), Memory(quiet=True)
    loud.output.note(name)
    quiet.output.note(name)
    assert len(loud.err.splitlines()) == 1
    assert quiet.err == ""
