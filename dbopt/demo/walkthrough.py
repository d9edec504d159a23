"""The demo as a stream of values: a private server, a sample application, its access paths before and after its spec.

Nothing is printed here and no number is made here; `dbopt.render.demo` tells it.
"""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbopt import embedded, resources
from dbopt.demo import counted, data
from dbopt.demo.paths import Effort, Measurement, bind, measure
from dbopt.optimize.apply import apply
from dbopt.optimize.events import Event, Result
from dbopt.optimize.plan import make_plan
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.spec.load import load
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from dbopt.demo.app import App
    from dbopt.demo.data import Loaded
    from dbopt.demo.proof.collect import Site
    from dbopt.demo.proof.values import Crowd, Evidence, Scale
    from dbopt.demo.recipe import Book
    from dbopt.embedded import EmbeddedServer
    from dbopt.optimize.steps import Plan
    from dbopt.stats.coverage import Coverage

# A load as fast as it gets on a server whose data may be lost: rows of new tables skip the WAL.
SETTINGS = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "4GB"}

SAME_WITHIN = 1.5  # two medians of one plan differ by this much on a machine that has other things to do
FASTER_FROM = 10.0  # the factor that the two applications' own guides promised


@dataclass(frozen=True, slots=True)
class StageStarted:
    what: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    what: str
    seconds: float
    result: Loaded | Plan | Result | None = None


@dataclass(frozen=True, slots=True)
class Applying:
    """What apply tells."""

    event: Event


@dataclass(frozen=True, slots=True)
class Comparison:
    """One access path before and after."""

    before: Measurement
    after: Measurement

    @property
    def factor(self) -> float:
        return self.before.milliseconds / self.after.milliseconds

    @property
    def same_plan(self) -> bool:
        """The planner had no use for a new index: what the times differ by is noise."""
        return self.before.plan_node == self.after.plan_node and self.before.buffers == self.after.buffers

    @property
    def much_faster(self) -> bool:
        return not self.same_plan and self.factor >= FASTER_FROM

    @property
    def about_the_same(self) -> bool:
        return self.same_plan or 1 / SAME_WITHIN < self.factor < SAME_WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """`conninfo` None: the server is gone again. `evidence` None: it was not asked for."""

    app: App
    loaded: Loaded
    plan: Plan
    result: Result
    comparisons: tuple[Comparison, ...]
    coverage: tuple[Coverage, Coverage]  # before and after, over the time of measuring
    spec: Path
    evidence: Evidence | None = None
    seconds: float = 0.0
    conninfo: str | None = None


DemoEvent = StageStarted | StageFinished | Applying | Finished


def run(
    app: App, rows: int, *, keep_in: Path | None = None, proof: Scale | None = None
) -> Generator[DemoEvent, None, None]:
    """The whole demo. The server ends with it, however it ends; only when all went well, `keep_in` keeps it.

    `keep_in` is the folder by which `stop` finds it again. With `proof`, users are let at it before and after.
    """
    started = time.monotonic()
    book = app.book(rows)
    yield StageStarted("start a private PostgreSQL")
    with embedded.start(keep_in, settings=SETTINGS) as server:
        conninfo = _create_database(server, app.name)
        yield StageFinished("start a private PostgreSQL", time.monotonic() - started)
        finished = yield from _on(app, book, server, conninfo, proof)
        if keep_in is not None:
            server.keep()
    yield replace(finished, seconds=time.monotonic() - started, conninfo=conninfo if keep_in is not None else None)


def stop(keep_in: Path) -> bool:
    """End a server that was kept, and remove its files. False: there is none."""
    server = embedded.find_kept(keep_in)
    if server is not None:
        server.stop()
    with contextlib.suppress(OSError):  # never there, or the user has put something else into it
        keep_in.rmdir()
    return server is not None


def _on(
    app: App, book: Book, server: EmbeddedServer, conninfo: str, proof: Scale | None
) -> Generator[DemoEvent, None, Finished]:
    """Everything but the server's own life."""
    session = functools.partial(connect, conninfo, command="demo")
    effort = Effort() if proof is None else proof.effort
    clock = _Clock()
    yield clock.start(f"load {app.title}")
    loaded = data.load(functools.partial(session, read_only=False, statement_timeout_ms=0), book)
    yield clock.stop(loaded)

    with contextlib.closing(session(read_only=True)) as conn:
        yield clock.start("measure its access paths")
        bound = bind(conn, app.paths)
        start = counted.read(conn)
        before = list(measure(conn, bound, effort))
        bare = counted.covered(conn, start, counted.read(conn))
        yield clock.stop()

        site = None if proof is None else _site(app, loaded, server, conninfo, proof)
        crowds: tuple[Crowd, ...] = ()
        if site is not None:
            yield clock.start("let users read")
            crowds = site.before()
            yield clock.stop()

        spec = resources.indexes() / f"{app.name}.yaml"
        yield clock.start(f"plan {spec.name}")
        plan = make_plan(conn, inspect(conn), load([spec]))
        yield clock.stop(plan)

        yield clock.start("apply the plan")
        result = None
        for event in apply(plan, session):
            yield Applying(event)
            result = event if isinstance(event, Result) else result
        assert result is not None  # the last event of every run
        yield clock.stop(result)

        yield clock.start("measure the access paths again")
        start = counted.read(conn)
        after = list(measure(conn, bound, effort))
        indexed = counted.covered(conn, start, counted.read(conn))
        yield clock.stop()
    finished = Finished(
        app=app,
        loaded=loaded,
        plan=plan,
        result=result,
        comparisons=tuple(map(Comparison, before, after)),
        coverage=(bare, indexed),
        spec=spec,
    )
    if site is None:
        return finished
    yield clock.start("let users read again")
    crowds_after = site.after()
    yield clock.stop()
    yield clock.start("read without and with the cache")
    caching = site.caching()
    yield clock.stop()
    return replace(finished, evidence=site.evidence(finished, crowds, crowds_after, caching))


def _site(app: App, loaded: Loaded, server: EmbeddedServer, conninfo: str, scale: Scale) -> Site:
    from dbopt.demo.proof.collect import Site  # the client, SQLAlchemy and asyncio: only who asks for it waits for them

    return Site(app, loaded.rows, server, conninfo, scale)


def _create_database(server: EmbeddedServer, name: str) -> str:
    with contextlib.closing(connect(server.conninfo, command="demo", read_only=False)) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(server.conninfo, dbname=name)


@dataclass(slots=True)
class _Clock:
    """Times one stage after another."""

    what: str = ""
    since: float = 0.0

    def start(self, what: str) -> StageStarted:
        self.what, self.since = what, time.monotonic()
        return StageStarted(what)

    def stop(self, result: Loaded | Plan | Result | None = None) -> StageFinished:
        return StageFinished(self.what, time.monotonic() - self.since, result)
