"""Other advisors on the same workloads, each by its own program, where it can be had."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import note
from _suggest_extend import Extend
from _suggest_measure import HERE, TIMEOUT_SECONDS, execute
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _suggest_measure import Case

# What its calculator needs, in the releases that PyPI has for this Python; it pins others.
MCP = ("humanize", "psycopg[binary]", "psycopg-pool", "attrs", "typing_extensions", "pglast==7.22")


@dataclass(frozen=True, slots=True)
class Advised:
    """A list of CREATE INDEX statements. `seconds`, `explains` None: nobody measured it."""

    name: str
    statements: Sequence[str]
    seconds: float | None = None
    explains: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    why: str


# Of other registries than PyPI, npm and Debian's, so not to be had by their clients here.
ELSEWHERE = (
    Skipped("Dexter", "comes from RubyGems alone"),
    Skipped("Supabase index_advisor", "comes from its own site alone"),
)


def by_hand(workload: str) -> Advised:
    text = (HERE / f"_suggest_{workload}_hand.sql").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return Advised("by hand", [one.strip() for one in "\n".join(lines).split(";") if one.strip()])


def extend(conninfo: str, cases: Sequence[Case], budget_bytes: int | None) -> Advised:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        started = time.monotonic()
        search = Extend(conn, cases)
        statements = search.advise(budget_bytes)
        return Advised("Extend", statements, time.monotonic() - started, search.explains)


def qualstats(conninfo: str, cases: Sequence[Case]) -> Advised | Skipped:
    """It has to see the statements run. The time is that of its advice alone."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            conn.execute("CREATE EXTENSION IF NOT EXISTS pg_qualstats")
        except psycopg.Error:
            return Skipped("pg_qualstats", "not installed: apt-get install postgresql-15-pg-qualstats")
        conn.prepare_threshold = None
        conn.execute("SELECT pg_qualstats_reset()")
        conn.execute(f"SET statement_timeout = '{TIMEOUT_SECONDS}s'")
        conn.execute("SET pg_qualstats.enabled = on")
        for case in cases:
            conn.execute(sql.SQL("PREPARE bench AS {}").format(sql.SQL(case.query)))
            for values in case.values or ():
                try:
                    with conn.transaction(force_rollback=True):
                        conn.execute(execute(values))
                except psycopg.errors.QueryCanceled:
                    break  # as its users' would be
            conn.execute("DEALLOCATE bench")
        conn.execute("SET pg_qualstats.enabled = off")
        started = time.monotonic()
        row = conn.execute("SELECT pg_qualstats_index_advisor()").fetchone()
        assert row is not None
        return Advised("pg_qualstats", row[0]["indexes"], time.monotonic() - started, 0)


def postgres_mcp(
    conninfo: str, cases: Sequence[Case], folder: Path, budget_mb: int, *, mended: bool
) -> Advised | Skipped:
    name = "postgres-mcp, mended" if mended else "postgres-mcp, as shipped"
    python = folder / "mcp/bin/python"
    if not python.exists():
        pip = [python, "-m", "pip", "install", "-q", "--ignore-requires-python"]
        try:
            for command in (
                [sys.executable, "-m", "venv", folder / "mcp"],
                [*pip, "--no-deps", "postgres-mcp==0.3.0"],
                [*pip, *MCP],
            ):
                subprocess.run(command, check=True, capture_output=True, timeout=300)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return Skipped(name, "could not be installed from PyPI")
    texts = [(_with_values(case) if mended else case.query, case.calls) for case in cases]
    workload = [{"query": text, "calls": calls, "avg_exec_time": 1.0} for text, calls in texts]
    asked = {"conninfo": conninfo, "budget_mb": budget_mb, "workload": workload, "mended": mended}
    started = time.monotonic()
    done = subprocess.run(
        [python, HERE / "_suggest_mcp.py"], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Skipped(name, done.stderr.strip().splitlines()[-1])
    for line in done.stderr.splitlines():
        note(line)
    answer = json.loads(done.stdout)
    if answer["error"]:
        return Skipped(name, f"error: {answer['error'].splitlines()[0][:150]}")
    return Advised(name, answer["statements"], time.monotonic() - started, answer["explains"])


def _with_values(case: Case) -> str:
    """The text with the first of its values in it, for whoever cannot plan with $1."""
    values = case.values[0] if case.values else ()
    return re.sub(
        r"\$(\d+)", lambda found: sql.Literal(values[int(found[1]) - 1]).as_string() if values else found[0], case.query
    )
