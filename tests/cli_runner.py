"""`dbopt` as a test runs it: in the test's own process, or as a process of its own."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from dbopt.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

STOP_TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def run_in_process(
    argv: Sequence[str], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, stdin: str
) -> Result:
    patch.setattr(sys, "stdin", io.StringIO(stdin))
    capsys.readouterr()  # what was printed before is none of this command's
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = main(list(argv))
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    return Result(code, captured.out, captured.err)


def cli_arguments(argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "dbopt", *argv]


class Spawned:
    """The processes that a test has started; none outlives it."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=STOP_TIMEOUT_SECONDS)

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(env)
        )
        self._processes.append(process)
        return process
