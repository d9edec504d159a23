"""What a reading of all counters costs: `dbopt snapshot` on 2,000 tables, 10,000 indexes and 5,000 statements whose
texts are 72 MB, and one sample of `dbopt metrics --interval 1s`.

In each round a store is made anew: the first reading fetches texts, the second and the third compare, with a little
done between them. Temporary files and statements are counted by the server's log.
"""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import DBOPT, Figure, Run, environment, is_statement, logged, median, note, options, report, run, server
from health import LARGE, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import EmbeddedServer

STATEMENTS, TEXTS_MB = 5_000, 72
CONDITIONS = ("id = 1", "account_id = 1 AND status = 'open'", "due_at IS NULL AND created_at < now()")
# As an ORM writes them: names quoted, each column with its table and an alias.
COLUMNS = 220

SNAPSHOT_WANTED, GROWTH_MB_WANTED, METRICS_WANTED = 1.5, 1.0, 5
STORE = Path(environment()["DBOPT_STORE_URL"].removeprefix("sqlite:///"))
ROUND = ("first", "second", "third")


def main() -> None:
    chosen = options(__doc__, runs=(5, "rounds of three snapshots"))
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.max": str(STATEMENTS * 2),
        "pg_stat_statements.track_utility": "off",
        "log_line_prefix": "%p ",
        "log_temp_files": "0",
    }
    with server(**settings) as private:
        note("making the database")
        conninfo = make(private, "large", LARGE)
        version, megabytes = fill(conninfo)
        note(f"{STATEMENTS} statements with {megabytes:.0f} MB of texts")
        figures = [*snapshots(private, conninfo, chosen.runs), *metrics(private, conninfo)]
    report("snapshot", figures, as_json=chosen.json, server_version=version)


def fill(conninfo: str) -> tuple[str | None, float]:
    """pg_stat_statements. The server's version, and how long the texts are."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        with conn.pipeline():
            for number in range(STATEMENTS):
                conn.execute(statement(number), prepare=False)
        row = conn.execute("SELECT pg_catalog.sum(pg_catalog.length(query)) / 1e6 FROM pg_stat_statements").fetchone()
        assert row is not None
        return conn.info.parameter_status("server_version"), float(row[0])


def statement(number: int) -> bytes:
    table = f"t{number % LARGE}"
    columns = ", ".join(
        f'"app"."{table}"."account_id" AS "{table}_CustomerAccountReference_{column}"' for column in range(COLUMNS)
    )
    return f'SELECT {columns} FROM "app"."{table}" WHERE {CONDITIONS[number // LARGE]} LIMIT 10'.encode()


def little(conninfo: str) -> None:
    """What a quiet database does between two readings: fifty tables are read and written."""
    with psycopg.connect(conninfo, autocommit=True) as conn, conn.pipeline():
        for number in range(50):
            conn.execute(statement(number), prepare=False)
            conn.execute(f"UPDATE app.t{number} SET due_at = now() WHERE id = 1".encode(), prepare=False)


def snapshots(private: EmbeddedServer, conninfo: str, times: int) -> Iterator[Figure]:
    command = [DBOPT, "snapshot", "-d", conninfo]
    run(command)  # reads the files from disk and compiles them
    runs: dict[str, list[Run]] = {name: [] for name in ROUND}
    grown: dict[str, list[float]] = {name: [] for name in ROUND}
    for _ in range(times):
        forget()
        size = 0
        for name in ROUND:
            runs[name].append(run(command))
            size, before = STORE.stat().st_size, size
            grown[name].append((size - before) / 1e6)
            little(conninfo)
    for name in ROUND:
        yield Figure(f"{name} snapshot", median(runs[name], "seconds"), "s", SNAPSHOT_WANTED)
        yield Figure(f"{name} snapshot, CPU time of dbopt", median(runs[name], "cpu_seconds"), "s")
        wanted = None if name == "first" else GROWTH_MB_WANTED  # the first has the texts of the costly statements
        yield Figure(f"{name} snapshot, the store grows by", statistics.median(grown[name]), "MB", wanted)
    yield Figure("peak memory of dbopt", max(one.peak_mb for name in ROUND for one in runs[name]), "MB")
    forget()
    for name in ROUND[:2]:
        lines = logged(private, lambda: run(command))
        yield Figure(f"{name} snapshot, statements", sum(map(is_statement, lines)), "")
        yield Figure(f"{name} snapshot, temporary files", sum("temporary file" in line for line in lines), "", 0)


def metrics(private: EmbeddedServer, conninfo: str) -> Iterator[Figure]:
    """Two samples a call, and what the session asks before them."""
    forget()
    command = [DBOPT, "metrics", "-d", conninfo, "--interval", "1s"]
    one = run(command)
    lines = logged(private, lambda: run(command))
    yield Figure("metrics --interval 1s, besides the second", one.seconds - 1, "s")
    yield Figure("metrics --interval 1s, all statements", sum(map(is_statement, lines)), "")
    yield Figure("metrics --interval 1s, statements a sample", sample(lines), "", METRICS_WANTED)
    yield Figure("metrics --interval 1s, temporary files", sum("temporary file" in line for line in lines), "", 0)


def sample(lines: list[str]) -> int:
    """Statements from the first of one sample to the first of the next."""
    starts = [number for number, line in enumerate(lines) if "what the server counts" in line]
    return sum(map(is_statement, lines[starts[0] : starts[1]]))


def forget() -> None:
    for path in STORE.parent.glob(f"{STORE.name}*"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


if __name__ == "__main__":
    main()
