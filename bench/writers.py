"""What writers feel of `dbopt optimize`: against the same statements run by psql, under the same load of pgbench.

pgbench updates and inserts rows of the tables that are indexed, as fast as the machine lets it, and writes down each
transaction. Throughput and the longest wait are those of the time during which the indexes were built.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _measure import DBOPT, Figure, note, options, report, run, server
from optimize import QUIET, copied, filled, planned
from psycopg.conninfo import conninfo_to_dict

from dbopt.embedded.binaries import find_packaged_binaries
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THROUGHPUT_WANTED = 0.95  # of that with psql, at least
WAIT_WANTED = 1.1  # times the longest with psql, at most
CLIENTS = 4
WARM_UP_SECONDS = 2.0

NEW_PAYMENTS = "CREATE SEQUENCE new_payments START 1000000000"  # beyond all rows that are there
SCRIPT = """\\set id random(1, {rows})
UPDATE invoices SET amount = amount + 1 WHERE id = :id;
UPDATE orders SET status = 'paid' WHERE id = :id;
INSERT INTO payments (id, account_id, status, email, amount, created_at, note)
    SELECT nextval('new_payments'), 1, 'open', nextval('new_payments') || '@example.org', 1, now(), '';
"""


@dataclass(frozen=True, slots=True)
class Felt:
    """What the writers did while indexes were built."""

    seconds: float
    transactions_per_second: float
    longest_ms: float


def main() -> None:
    chosen = options(__doc__, runs=(3, "runs of each"), rows=(300_000, "rows in each of three tables"))
    programs = find_packaged_binaries()
    if programs is None:
        note("writers: no psql and pgbench, which come with dbopt[embedded]; nothing measured")
        return
    psql, pgbench = str(programs.bindir / "psql"), str(programs.bindir / "pgbench")
    with server(**QUIET) as private, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as scratch:
        folder = Path(scratch)
        specs, original, version = filled(private.conninfo, folder, chosen.rows, NEW_PAYMENTS)
        script = folder / "statements.sql"
        script.write_text("".join(f"{statement};\n" for statement in planned(specs, original, folder)))
        load = folder / "load.sql"
        load.write_text(SCRIPT.format(rows=chosen.rows))
        commands = {
            "psql": [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), "-d"],
            "dbopt": [DBOPT, "optimize", str(specs), "--yes", "--format", "json", "-d"],
        }
        run([DBOPT, "store", "upgrade"])  # made once in its life, not in every run
        felt: dict[str, list[Felt]] = {name: [] for name in commands}
        for turn in range(chosen.runs):
            for name in sorted(commands, reverse=turn % 2 == 1):
                conninfo = copied(private.conninfo)
                with tempfile.TemporaryDirectory(prefix="dbopt-load-") as logs:
                    felt[name].append(during([*commands[name], conninfo], [pgbench, "-f", str(load)], conninfo, logs))
                last = felt[name][-1]
                note(
                    f"{name}: {last.seconds:.1f} s, {last.transactions_per_second:.0f} transactions a second,"
                    f" the longest {last.longest_ms:.0f} ms"
                )
    report("writers", figures(felt["psql"], felt["dbopt"]), as_json=chosen.json, server_version=version)


def during(command: Sequence[str], pgbench: Sequence[str], conninfo: str, logs: str) -> Felt:
    """Run a command while pgbench writes."""
    place = conninfo_to_dict(conninfo)
    options_ = ["-n", "-c", str(CLIENTS), "-j", "1", "-T", "600", "--log", "--log-prefix", f"{logs}/log"]
    at = ["-h", str(place["host"]), "-p", str(place.get("port", 5432)), "-U", str(place["user"]), str(place["dbname"])]
    writers = subprocess.Popen([*pgbench, *options_, *at], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(WARM_UP_SECONDS)
        begun = time.time()
        run(command)
        ended = time.time()
    finally:
        writers.terminate()
        writers.wait()
    done = [latency for when, latency in transactions(Path(logs)) if begun <= when <= ended]
    return Felt(ended - begun, len(done) / (ended - begun), max(done, default=0.0))


def transactions(logs: Path) -> Iterator[tuple[float, float]]:
    """When each ended, by the epoch, and how long it took, in ms. A last line may be cut short."""
    for file in logs.iterdir():
        for line in file.read_text().splitlines():
            fields = line.split()
            if len(fields) >= 6:
                yield int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1000


def figures(psql: Sequence[Felt], dbopt: Sequence[Felt]) -> list[Figure]:
    def rate(runs: Sequence[Felt]) -> float:
        return sum(one.transactions_per_second * one.seconds for one in runs) / sum(one.seconds for one in runs)

    theirs, ours = max(one.longest_ms for one in psql), max(one.longest_ms for one in dbopt)
    return [
        Figure("writers beside psql", rate(psql), "transactions a second"),
        Figure("writers beside dbopt", rate(dbopt), "transactions a second"),
        Figure("throughput, psql / dbopt", rate(psql) / rate(dbopt), "times", 1 / THROUGHPUT_WANTED),
        Figure("longest transaction beside psql", theirs, "ms"),
        Figure("longest transaction beside dbopt", ours, "ms"),
        Figure("longest transaction, dbopt / psql", ours / theirs, "times", WAIT_WANTED),
    ]


if __name__ == "__main__":
    main()
