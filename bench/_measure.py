"""What the benches share: a child process measured, a private server, figures printed.

A bench judges nothing: it prints what it measured beside what is wanted, and its exit code is 0. Figures that are
ratios of two things measured in turns hold on a busy machine too; seconds do not, so the load stands beside them.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dbopt.embedded import EmbeddedServer

PYTHON = sys.executable
DBOPT = str(Path(PYTHON).with_name("dbopt"))


@dataclass(frozen=True, slots=True)
class Run:
    """One child process. The peak is no smaller than ours was when it started: Linux counts what fork copied."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Figure:
    """`wanted` is the most that it may be; None: a figure that only explains the others."""

    name: str
    value: float
    unit: str
    wanted: float | None = None

    def __str__(self) -> str:
        wanted = "" if self.wanted is None else f"   wanted: at most {self.wanted:g}"
        return f"{self.name:<52} {self.value:8.2f} {self.unit:<5}{wanted}".rstrip()


def options(
    description: str | None,
    *,
    flags: Mapping[str, str] | None = None,
    paths: Mapping[str, str] | None = None,
    **numbers: tuple[int, str],
) -> argparse.Namespace:
    """The command line of a bench: `--json`, switches and paths with their help, numbers with their default too."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    for name, words in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    for name, words in (paths or {}).items():
        parser.add_argument(f"--{name}", type=Path, help=words)
    for name, (default, words) in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{words} (default {default})")
    return parser.parse_args()


def run(command: Sequence[str], stdout: Path | None = None) -> Run:
    """Run a command to its end. Raises SystemExit with what it said when it fails: then there is nothing to measure."""
    with (
        tempfile.TemporaryFile() as words,
        (stdout or Path(os.devnull)).open("wb") as out,
    ):
        actions = [
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, words.fileno(), 2),
        ]
        started = time.perf_counter()
        pid = os.posix_spawn(command[0], list(command), environment(), file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        if code := os.waitstatus_to_exitcode(status):
            words.seek(0)
            raise SystemExit(f"{' '.join(command)}: exit code {code}\n{words.read().decode(errors='replace')}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def in_turns(commands: Mapping[str, Sequence[str]], times: int) -> dict[str, list[Run]]:
    """Each command so many times, one after the other in each round: what disturbs one disturbs all."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for command in commands.values():
        run(command)  # the first call reads the files from disk and compiles them
    for _ in range(times):
        for name, command in commands.items():
            runs[name].append(run(command))
    return runs


def median(runs: Sequence[Run], what: Literal["seconds", "cpu_seconds", "peak_mb"]) -> float:
    return statistics.median([float(getattr(one, what)) for one in runs])


def server_cpu_seconds(pid: int) -> float | None:
    """What the sessions of a server that have ended so far used, by its postmaster's account; None but on Linux."""
    time.sleep(0.2)  # the last one ends a little after its client
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime and cstime of proc(5)


@contextlib.contextmanager
def server(**settings: str) -> Iterator[EmbeddedServer]:
    """A private server, of the binaries in DBOPT_TEST_PG or of those that dbopt finds."""
    from dbopt import embedded
    from dbopt.embedded.binaries import inspect

    chosen = os.environ.get("DBOPT_TEST_PG")
    binaries = inspect(Path(chosen), "DBOPT_TEST_PG") if chosen else embedded.find_binaries()
    note(f"server: {binaries}")
    with embedded.start(binaries=binaries, settings=settings) as running:
        yield running


def logged(private: EmbeddedServer, work: Callable[[], object]) -> list[str]:
    """What the server logs of others' sessions while the work is done, connections and statements included. Its
    log_line_prefix has to be "%p ".
    """
    import psycopg

    log = private.directory / "log"
    before = log.stat().st_size
    with psycopg.connect(private.conninfo, autocommit=True) as conn:
        own = f"{conn.info.backend_pid} "
        for name, value in (("log_connections", "on"), ("log_statement", "'all'")):
            conn.execute(f"ALTER SYSTEM SET {name} = {value}")
        conn.execute("SELECT pg_reload_conf()")
        work()
        conn.execute("ALTER SYSTEM RESET ALL")
        conn.execute("SELECT pg_reload_conf()")
    with log.open(errors="replace") as lines:
        lines.seek(before)
        return [line for line in lines if not line.startswith(own)]


def is_statement(line: str) -> bool:
    """One that a client has sent, of either protocol."""
    return " statement: " in line or re.search(r" execute [^:]*: ", line) is not None


def note(message: str) -> None:
    """What goes on, on stderr: the figures have stdout for themselves."""
    print(message, file=sys.stderr, flush=True)


def report(bench: str, figures: Sequence[Figure], *, as_json: bool, server_version: str | None = None) -> None:
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "server_version": server_version,
    }
    if as_json:
        print(json.dumps({"bench": bench, "machine": facts, "figures": [asdict(figure) for figure in figures]}))
        return
    print(f"{bench}: " + ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
    for figure in figures:
        print(f"  {figure}")


def environment() -> dict[str, str]:
    """Ours without what would lead dbopt or psql to another server or configuration, and a store of its own."""
    foreign = ("PG", "DBOPT_", "XDG_", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "HOME": _home(),
        "PYTHONPYCACHEPREFIX": f"{_home()}/bytecode",
        "DBOPT_STORE_URL": f"sqlite:///{_home()}/store.db",
    }


@functools.cache
def _home() -> str:
    """A folder for what belongs to a person: gone with this process."""
    folder = tempfile.TemporaryDirectory(prefix="dbopt-bench-")
    atexit.register(folder.cleanup)
    return folder.name
