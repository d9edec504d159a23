"""dbopt as a process of its own, as a run of the chaos starts and kills it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Process:
    """dbopt, whose events are read as they come."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "dbopt", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,  # where it writes what undoes its drops
        )
        self.events: list[dict[str, Any]] = []
        self.err = ""
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill
                self.events.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.popen.stderr is not None
        self.err = self.popen.stderr.read()

    @property
    def steps(self) -> list[int]:
        """For each step that has begun, how many there are."""
        return [event["total"] for event in self.events if event["event"] == "step_started"]

    @property
    def result(self) -> dict[str, Any] | None:
        return next((event for event in self.events if event["event"] == "result"), None)

    def ended(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)
        return self.popen.returncode is not None

    def close(self) -> None:
        if self.popen.returncode is None:
            self.popen.kill()
            self.popen.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()
