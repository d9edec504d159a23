"""docs/benchmarks.md, from the document of a run: `python -m dbopt.render.benchmarks_page RUN.json docs`.

Every figure on the page is out of that document, verdicts included.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbopt.render.amounts import UNKNOWN, number, percent
from dbopt.render.proof import COLUMNS, summary, verdict_rows
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FILE_NAME = "benchmarks.md"
_HEAD = """\
# What was promised, measured

<!-- Made by `make bench-apps`. -->

The two applications that dbopt succeeds each came with a guide that promised numbers. This page measures them: both
schemas with sample data, before and after `dbopt optimize` with their specs, and their own queries written with
`dbopt.client`. Nothing here is written by hand; a promise that is missed says **no**.
"""
_HOW = """\
## How it is measured

- **Repeat it**: `make bench-apps` (`ROWS=100000` for a smaller one), or in short `dbopt demo --proof`. The private
  server does without durability (`fsync=off`), which no read notices. Server and users share the cores named above.
- **Access paths**: each statement as the application's ORM sends it, with the parameters of a typical row, one at a
  time, on a warm server; the median and the 95th percentile of the runs. Where a plan did not change, the times differ
  by noise, and the promise counts as missed.
- **Users**: asyncio tasks on one `AsyncDatabase` with a pool of 30 connections in one process. Each asks his next query
  when he has the answer, without a pause unless the table says so. The times hold waiting for a connection. With the
  cache, a crowd finds in it what the one before has asked for.
- **The mix**: the applications' own queries. Whose data is asked for follows Zipf's law, as the data itself does: the
  k-th owner is asked for 1/k as often as the first.
- **The cache**: the same reads, one after the other, without it, with it, and while one call in a hundred writes, which
  makes all answers from that table invalid. Within one time to live; what it holds is bounded as by default.
- **Load**: `pg_stat_statements` over those reads, and the CPU time of the sessions.
- **Index coverage**: as `dbopt stats` counts it, while the access paths are measured; the guides did not say of what.
"""


def page(run: Mapping[str, Any]) -> str:
    return "\n".join([_HEAD, *_where(run), "", *_promises(run), *_apps(run), "", _HOW])


def _where(run: Mapping[str, Any]) -> Iterator[str]:
    machine, first = run["machine"], run["apps"][0]
    server = first["settings"]
    load = "" if machine["load_before"] is None else f", load {machine['load_before']:.1f} when it began"
    largest = max(max(app["rows"].values()) for app in run["apps"])
    yield (
        f"Measured on {str(run['taken_at'])[:10]} in {format_duration(run['seconds'])}: {machine['system']}, "
        f"{machine['cores']} cores{load}; PostgreSQL {server['server_version']} with "
        f"`shared_buffers` {server['shared_buffers']}; Python {machine['python']}, dbopt {machine['dbopt']}; "
        f"{largest:,} rows in the largest tables."
    )


def _promises(run: Mapping[str, Any]) -> Iterator[str]:
    yield "## Promises"
    yield ""
    titles = {app["app"]: app["title"] for app in run["apps"]}
    named = [{**one, "app": titles[one["app"]]} for one in run["promises"]]
    yield from _table([column.title or "" for column in COLUMNS], verdict_rows(named))
    yield ""
    yield summary(run["promises"])


def _apps(run: Mapping[str, Any]) -> Iterator[str]:
    for app in run["apps"]:
        yield ""
        yield f"## {app['title']}"
        yield ""
        rows = sum(app["rows"].values())
        failed = f", {app['failed']} failed" if app["failed"] else ""
        yield f"{rows:,} rows in {len(app['rows'])} tables; {app['applied']} indexes made online{failed}."
        for title, lines in (
            ("Access paths", _paths(app["paths"])),
            ("Users", _users(app["users"])),
            ("Cache", _cache(app["cache"])),
        ):
            yield ""
            yield f"### {app['title']}: {title.lower()}"
            yield ""
            yield from lines


def _paths(paths: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    heads = ["Access path", "Before", "p95", "After", "p95", "Times faster", "Buffers", "Plan before", "Plan after"]
    yield from _table(heads, [_path(path) for path in paths])


def _path(path: Mapping[str, Any]) -> list[object]:
    before, after = path["before"], path["after"]
    return [
        path["path"],
        _ms(before["median_ms"]),
        _ms(before["p95_ms"]),
        _ms(after["median_ms"]),
        _ms(after["p95_ms"]),
        "as before" if path["same_plan"] else f"{number(path['times_faster'])}x",
        f"{before['buffers']:,} -> {after['buffers']:,}",
        f"`{before['plan']}`",
        f"`{after['plan']}`",
    ]


def _users(users: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    heads = [
        "Indexes",
        "Cache",
        "Users",
        "Pause",
        "Queries a second",
        "Median",
        "p95",
        "Errors",
        "Served",
        "Connections",
    ]
    rows = [[when, *_crowd(crowd)] for when in ("before", "after") for crowd in users[when]]
    yield from _table(heads, rows)


def _crowd(crowd: Mapping[str, Any]) -> list[object]:
    failed = sum(crowd["errors"].values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in crowd["errors"].items())
    return [
        "no" if not crowd["cached"] else "yes" if crowd["hit_ratio"] is None else f"{percent(crowd['hit_ratio'])} hits",
        f"{crowd['users']:,}",
        format_duration(crowd["think_seconds"]) if crowd["think_seconds"] else "none",
        number(round(crowd["per_second"], 1)),
        _ms(crowd["p50_ms"]),
        _ms(crowd["p95_ms"]),
        f"{percent(failed / crowd['asked'])} ({kinds})" if failed else "none",
        f"{crowd['served']:,}",
        crowd["connections"],
    ]


def _cache(cache: Mapping[str, Any]) -> Iterator[str]:
    heads = [
        "",
        "Hit rate",
        "From the cache",
        "p95",
        "From the database",
        "p95",
        "Statements",
        "Time in the server",
        "Buffers",
        "CPU",
        "In all",
    ]
    titles = {
        "without": "without the cache",
        "with_cache": "with the cache",
        "with_writes": f"with the cache, {cache['writes']:,} writes in between",
    }
    yield f"{cache['reads']:,} reads each, {cache['different']:,} of which nobody had asked before."
    yield ""
    yield from _table(heads, [_reading(title, cache[key]) for key, title in titles.items()])


def _reading(title: str, reading: Mapping[str, Any]) -> list[object]:
    server = reading["server"]
    cost = [UNKNOWN] * 4
    if server is not None:
        cpu = server["cpu_seconds"]
        cost = [
            f"{server['statements']:,}",
            format_duration(server["exec_time_ms"] / 1000),
            f"{server['buffers']:,}",
            UNKNOWN if cpu is None else format_duration(cpu),
        ]
    return [
        title,
        "" if reading["hit_ratio"] is None else percent(reading["hit_ratio"]),
        _ms(reading["cached_p50_ms"]),
        _ms(reading["cached_p95_ms"]),
        _ms(reading["other_p50_ms"]),
        _ms(reading["other_p95_ms"]),
        *cost,
        format_duration(reading["seconds"]),
    ]


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def main(arguments: Sequence[str]) -> None:
    run = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    (Path(arguments[1]) / FILE_NAME).write_text(page(run), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
