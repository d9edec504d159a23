"""Runs spread over servers, each of which bears one run at a time."""

from __future__ import annotations

import os
import queue
import shlex
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt import embedded
from tests.chaos.run import Chaos, Outcome
from tests.chaos.world import make_template
from tests.health.standby import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.embedded import Binaries

# A run waits as long as it works: for its writers' transactions, for the kill, for a server's start.
SERVERS = min((os.cpu_count() or 1) + 1, 4)
_SETTINGS = {
    "synchronous_commit": "on",  # what was committed before an immediate stop is there after it
    "shared_buffers": "32MB",
    "log_statement": "ddl",
    "log_line_prefix": "%m [%p] %d %a ",
}


@contextmanager
def _server(binaries: Binaries | None) -> Iterator[tuple[Node, str]]:
    with embedded.start(binaries=binaries, settings=_SETTINGS) as server:
        program = shlex.split((server.directory / "data/postmaster.opts").read_text())[0]
        node = Node(server.directory, program)
        make_template(server.conninfo)
        try:
            yield node, server.conninfo
        finally:
            if (node.home / "data" / "postmaster.pid").exists():
                node.stop()


def harness(seed: int, numbers: Iterable[int], binaries: Binaries | None = None) -> Iterator[Outcome]:
    """The outcomes as they come. Folders of runs that failed are left where the outcome says."""
    folder = Path(tempfile.mkdtemp(prefix="dbopt-chaos-"))
    failed = False
    with ExitStack() as stack:
        free: queue.Queue[tuple[Node, str, Path]] = queue.Queue()
        for number in range(SERVERS):
            node, conninfo = stack.enter_context(_server(binaries))
            lane = folder / str(number)
            lane.mkdir()
            free.put((node, conninfo, lane))

        def run(number: int) -> Outcome:
            node, conninfo, lane = free.get()
            try:
                return Chaos(node, conninfo, lane, seed, number).run()
            finally:
                free.put((node, conninfo, lane))

        with ThreadPoolExecutor(max_workers=SERVERS) as threads:
            for done in as_completed([threads.submit(run, number) for number in numbers]):
                outcome = done.result()
                failed = failed or bool(outcome.problems)
                yield outcome
    if not failed:
        shutil.rmtree(folder)
