"""What `dbopt optimize` adds to the statements that it runs: against psql, one after another, on a copy.

The statements are those of `dbopt plan`: CREATE INDEX CONCURRENTLY, COMMENT, ANALYZE. dbopt's time is that of its whole
process, with start, plan, proofs and watching. On a busy machine look at the CPU time, which counts the server's too.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg
from _measure import DBOPT, Figure, Run, median, note, options, report, run, server, server_cpu_seconds
from psycopg.conninfo import make_conninfo

from dbopt.embedded.binaries import find_packaged_binaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RATIO_WANTED = 1.05
# Nothing of the server's own doing may fall into one run and not into the other.
QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}

SETUP = """
CREATE TABLE {table} (
    id bigint PRIMARY KEY, account_id int NOT NULL, status text NOT NULL, email text NOT NULL, amount numeric NOT NULL,
    created_at timestamptz NOT NULL, note text NOT NULL
);
INSERT INTO {table}
    SELECT n, hashint8(n) % 50000, (ARRAY['open', 'paid', 'overdue', 'void'])[1 + abs(hashint8(n + 1)) % 4],
           md5(n::text) || '@example.com', n % 9973, '2024-01-01'::timestamptz + n * interval '1 second',
           repeat(md5((n + 2)::text), 3)
      FROM generate_series(1, {rows}) AS n;
"""
TABLES = ("invoices", "orders", "payments")
ENTRIES = """
  - {{name: {table}_by_account, table: {table}, why: bench, keys: [account_id, {{column: created_at, order: desc}}]}}
  - {{name: {table}_email, table: {table}, why: bench, keys: [{{expr: lower(email)}}], unique: true}}
  - {{name: {table}_open, table: {table}, why: bench, keys: [created_at], where: "status IN ('open', 'overdue')"}}
  - {{name: {table}_amounts, table: {table}, why: bench, keys: [note, amount], include: [status]}}
"""


def main() -> None:
    chosen = options(__doc__, runs=(3, "runs of each"), rows=(1_500_000, "rows in each of three tables"))
    psql = find_packaged_binaries()
    if psql is None:
        note("optimize: no psql, which comes with dbopt[embedded]; nothing measured")
        return
    with server(**QUIET) as private, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as scratch:
        folder = Path(scratch)
        specs, original, version = filled(private.conninfo, folder, chosen.rows)
        statements = planned(specs, original, folder)
        script = folder / "statements.sql"
        script.write_text("".join(f"{statement};\n" for statement in statements))
        result = folder / "result.jsonl"
        commands = {
            "psql": [str(psql.bindir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), "-d"],
            "dbopt": [DBOPT, "optimize", str(specs), "--yes", "--format", "json", "-d"],
        }
        run([DBOPT, "store", "upgrade"])  # made once in its life, not in every run
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        used: dict[str, list[float]] = {name: [] for name in commands}  # CPU seconds, of client and server
        inside = []  # seconds that dbopt itself counts from the first step to the last
        for turn in range(chosen.runs):
            for name in sorted(commands, reverse=turn % 2 == 1):
                conninfo = copied(private.conninfo)
                before = server_cpu_seconds(private.pid)
                runs[name].append(run([*commands[name], conninfo], stdout=result))
                after = server_cpu_seconds(private.pid)
                if before is not None and after is not None:
                    used[name].append(after - before + runs[name][-1].cpu_seconds)
                note(f"{name}: {runs[name][-1].seconds:.2f} s")
                if name == "dbopt":
                    inside.append(json.loads(result.read_text().splitlines()[-1])["seconds"])
    figures = compared(runs, used, inside, len(statements))
    report("optimize", figures, as_json=chosen.json, server_version=version)


def filled(conninfo: str, folder: Path, rows: int, more: LiteralString = "") -> tuple[Path, str, str | None]:
    """The specs, the database that they are for, and the server's version. `more`: a statement for what else it has."""
    specs = folder / "bench.yaml"
    specs.write_text("spec: 1\ndomain: bench\nindexes:" + "".join(ENTRIES.format(table=table) for table in TABLES))
    note(f"filling {len(TABLES)} tables with {rows} rows")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        version = conn.info.parameter_status("server_version")
        conn.execute("CREATE DATABASE original")
    original = make_conninfo(conninfo, dbname="original")
    with psycopg.connect(original, autocommit=True) as conn:
        for table in TABLES:
            conn.execute(SETUP.format(table=table, rows=rows))
        if more:
            conn.execute(more)
        conn.execute("VACUUM (FREEZE, ANALYZE)")
    return specs, original, version


def planned(specs: Path, conninfo: str, folder: Path) -> list[str]:
    """The statements of the plan, in its order."""
    out = folder / "plan.json"
    run([DBOPT, "plan", str(specs), "--format", "json", "-d", conninfo], stdout=out)
    return [statement for step in json.loads(out.read_text())["steps"] for statement in step["statements"]]


def copied(conninfo: str) -> str:
    """A fresh copy of the original, nothing of it left to be written."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS copy")
        conn.execute("CREATE DATABASE copy TEMPLATE original")
        conn.execute("CHECKPOINT")
    return make_conninfo(conninfo, dbname="copy")


def compared(
    runs: Mapping[str, Sequence[Run]], used: Mapping[str, Sequence[float]], inside: Sequence[float], statements: int
) -> list[Figure]:
    psql, dbopt = median(runs["psql"], "seconds"), median(runs["dbopt"], "seconds")
    pairs = [ours.seconds / theirs.seconds for ours, theirs in zip(runs["dbopt"], runs["psql"], strict=True)]
    started = statistics.median(one.seconds - seconds for one, seconds in zip(runs["dbopt"], inside, strict=True))
    figures = [
        Figure(f"psql, {statements} statements", psql, "s"),
        Figure("dbopt optimize", dbopt, "s"),
        Figure("dbopt / psql", dbopt / psql, "times", RATIO_WANTED),
        Figure("dbopt / psql, least of the pairs", min(pairs), "times"),
        Figure("dbopt / psql, greatest of the pairs", max(pairs), "times"),
        Figure("of dbopt: start and plan", started, "s"),
        Figure("of dbopt: CPU time of its process", median(runs["dbopt"], "cpu_seconds"), "s"),
    ]
    if all(used.values()):
        cpu = statistics.median(used["dbopt"]) / statistics.median(used["psql"])
        figures.append(Figure("dbopt / psql, CPU time of client and server", cpu, "times"))
    return figures


if __name__ == "__main__":
    main()
