"""Other tools that say what is wrong with a database, as far as they are installed: how each is called.

They come from a folder of a virtual environment (`python -m venv DIR; DIR/bin/pip install pg-perf-check psycopg[binary]
pgsteward pg-diag`, given as --peers DIR) and from Debian's packages check-postgres and check-pgactivity. Suites of one
check a process run all of their checks that need no more than a connection, one after the other, as cron would.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECK_POSTGRES = Path("/usr/bin/check_postgres")
_CHECK_POSTGRES_ACTIONS = (
    *("autovac_freeze", "backends", "bloat", "commitratio", "connection", "database_size", "disabled_triggers"),
    *("hitratio", "index_size", "last_vacuum", "last_analyze", "locks", "prepared_txns", "query_time"),
    *("replication_slots", "sequence", "settings_checksum", "table_size", "txn_idle", "txn_time", "txn_wraparound"),
)
_ACTION_OPTIONS = {
    "autovac_freeze": "--warning=90% --critical=95%",
    "database_size": "--warning='100 GB' --critical='200 GB'",
    "index_size": "--warning='100 GB' --critical='200 GB'",
    "table_size": "--warning='100 GB' --critical='200 GB'",
    "settings_checksum": "--critical=0",
    "commitratio": "--warning=90% --critical=80%",
    "hitratio": "--warning=90% --critical=80%",
    "locks": "--warning=100 --critical=200",
    "prepared_txns": "--warning=300 --critical=600",
    "query_time": "--warning='5 minutes' --critical='30 minutes'",
    "txn_idle": "--warning='5 minutes' --critical='30 minutes'",
    "txn_time": "--warning='5 minutes' --critical='30 minutes'",
    "replication_slots": "--warning='1 GB' --critical='10 GB'",
    "last_vacuum": "--warning=7d --critical=30d",
    "last_analyze": "--warning=7d --critical=30d",
}
_CHECK_PGACTIVITY = Path("/usr/lib/nagios/plugins/check_pgactivity")
_PGACTIVITY_SERVICES = {
    "autovacuum": "",
    "backends": "",
    "backends_status": "",
    "btree_bloat": "-w 30% -c 60%",
    "commit_ratio": "",
    "connection": "",
    "database_size": "",
    "hit_ratio": "-w 90% -c 80%",
    "invalid_indexes": "",
    "is_master": "",
    "last_analyze": "-w 7d -c 30d",
    "last_vacuum": "-w 7d -c 30d",
    "locks": "-w 50% -c 80%",
    "longest_query": "-w 5m -c 30m",
    "max_freeze_age": "",
    "oldest_2pc": "-w 5m -c 30m",
    "oldest_idlexact": "-w 5m -c 30m",
    "oldest_xmin": "",
    "replication_slots": "",
    "sequences_exhausted": "-w 75% -c 90%",
    "settings": "",
    "stat_snapshot_age": "",
    "table_bloat": "-w 30% -c 60%",
    "table_unlogged": "",
    "temp_files": "",
}

_DEFAULTS = {"host": "", "port": "5432", "user": "postgres", "dbname": "postgres"}

_PGSTEWARD = """
import asyncio, sys, asyncpg, pgsteward.health as health
async def main():
    conn = await asyncpg.connect(sys.argv[1])
    for result in await health.run_health_checks(conn):
        print(result)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """`command` runs in a shell; its exit code is an opinion of the tool's, not a failure."""

    name: str
    command: str
    complaints: Callable[[str], str]  # of what it printed, the part that says something is wrong

    @property
    def arguments(self) -> list[str]:
        return ["/bin/sh", "-c", f"{self.command}\nexit 0"]


def peers(folder: Path | None, conninfo: str, scratch: Path) -> Iterator[Peer]:
    """Those that can be found. `scratch` is a folder for what they write."""
    known = conninfo_to_dict(conninfo)
    host, port, user, name = (str(known.get(key, default)) for key, default in _DEFAULTS.items())
    url = f"postgresql://{user}@/{name}?host={quote(host, safe='')}&port={port}"
    inside = None if folder is None else folder / "bin"
    if inside is not None:
        if (inside / "pg-perf-check").exists():
            call = f"{inside}/pg-perf-check --quiet --json --database-url {shlex.quote(url)}"
            yield Peer("pg-perf-check", call, _findings)
        if (inside / "pgsteward").exists():
            call = shlex.join([str(inside / "python"), "-W", "ignore", "-c", _PGSTEWARD, url])
            yield Peer("pgsteward", call, lambda text: _lines_without(text, "status=<Status.OK"))
        if (inside / "pg-diag").exists():
            report = scratch / "pg-diag.json"
            options = shlex.join(
                [
                    *("--host", host, "--port", port, "--user", user, "--database", name),
                    *("--collection-mode", "remote-db-only", "--output-format", "json", "--json-out", str(report)),
                ]
            )
            # It judges nothing: whatever its report names counts as found.
            call = f"cd {shlex.quote(str(scratch))} && {inside}/pg-diag one-shot {options} && cat {report}"
            yield Peer("pg-diag", call, lambda text: text)
    if _CHECK_POSTGRES.exists():
        place = shlex.join(["-H", host, "-p", port, "-db", name, "-u", user])
        calls = (
            f"{_CHECK_POSTGRES} --action={action} {place} {_ACTION_OPTIONS.get(action, '')}"
            for action in _CHECK_POSTGRES_ACTIONS
        )
        name = f"check_postgres, {len(_CHECK_POSTGRES_ACTIONS)} processes"
        yield Peer(name, "\n".join(calls), lambda text: _lines_without(text, " OK: "))
    if _CHECK_PGACTIVITY.exists():
        place = shlex.join(["-h", host, "-p", port, "-U", user, "-d", name, "--status-file", str(scratch / "pga.data")])
        calls = (
            f"{_CHECK_PGACTIVITY} -s {service} {place} {options}; echo"
            for service, options in _PGACTIVITY_SERVICES.items()
        )
        name = f"check_pgactivity, {len(_PGACTIVITY_SERVICES)} processes"
        yield Peer(name, "\n".join(calls), lambda text: _lines_without(text, " OK: "))


def _lines_without(text: str, word: str) -> str:
    return "\n".join(line for line in text.splitlines() if word not in line)


def _findings(text: str) -> str:
    return json.dumps(json.loads(text[text.index("{") :])["findings"])
