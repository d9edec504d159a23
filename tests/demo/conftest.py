"""Both sample applications, small, loaded once a session; and with their specs applied."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dbopt import resources
from dbopt.demo import app as apps
from dbopt.demo import data, schema
from dbopt.optimize.apply import apply
from dbopt.optimize.events import Result
from dbopt.optimize.plan import make_plan
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.demo.app import App
    from dbopt.demo.data import Loaded
    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet

ROWS = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """An application in a database, before its spec."""

    app: App
    database: Database
    loaded: Loaded
    specs: SpecSet


@dataclass(frozen=True, slots=True)
class Optimized:
    """The same database afterwards: what was planned, and what came of it."""

    sample: Sample
    plan: Plan
    result: Result


@pytest.fixture(scope="session", params=schema.APPS)
def sample(request: pytest.FixtureRequest, pg: Server) -> Iterator[Sample]:
    app = apps.get(request.param)
    with pg.database() as database:
        open_session = functools.partial(connect, database.conninfo, command="test", read_only=False)
        loaded = data.load(open_session, app.book(ROWS))
        yield Sample(app, database, loaded, load([resources.indexes() / f"{app.name}.yaml"]))


@pytest.fixture(scope="session")
def optimized(sample: Sample) -> Optimized:
    open_session = functools.partial(connect, sample.database.conninfo, command="test")
    with open_session(read_only=True) as conn:
        plan = make_plan(conn, inspect(conn), sample.specs)
    *_, last = apply(plan, open_session)
    assert isinstance(last, Result)
    return Optimized(sample, plan, last)
