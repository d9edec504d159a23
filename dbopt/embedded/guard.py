"""A shell that waits for the end of this process, however it comes, and then ends the server and removes its files.

It reads from a pipe that only we hold open. SIGKILL cannot be caught, but the kernel closes our end of the pipe then:
the shell reads the end of the file instead of a word, and cleans up.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Immediate shutdown, because nobody will need the data. The state file goes if it is about this server and not about
# another. The second removal is for an initdb that was still writing.
_SCRIPT = """
read -r word && exit
if read -r pid <"$1/data/postmaster.pid"; then
    kill -QUIT "$pid"
    tries=100
    while kill -0 "$pid" && [ $tries -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
fi
grep -qF "$1" "$2" && rm -f -- "$2"
rm -rf -- "$1"
[ ! -e "$1" ] || { sleep 1; rm -rf -- "$1"; }
"""


class Guard:
    def __init__(self, home: Path, state_file: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "dbopt-guard", str(home), str(state_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath},  # rm, grep and sleep, whatever our own PATH is
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """There is nothing to guard any more."""
        self._end(b"done\n")

    def fire(self) -> None:
        """Clean up now, as if this process had ended."""
        self._end(b"")

    def _end(self, word: bytes) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(BrokenPipeError):  # somebody has killed the shell
                self._process.communicate(word)
