"""Spans and metrics by OpenTelemetry's conventions for databases (`pip install 'dbopt[opentelemetry]'`).

https://opentelemetry.io/docs/specs/semconv/db/: a span for each statement, `db.client.operation.duration`, and
`db.client.connection.*` of the pool. Texts are without values; errors are their SQLSTATE and class, as their words may
repeat what is in a row.

    from dbopt.client.opentelemetry import instrument
    instrument(db)
"""

from __future__ import annotations

import weakref
from time import perf_counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

import dbopt
from dbopt.client.connections import pool
from dbopt.client.failures import sqlstate
from dbopt.client.meter import statements
from dbopt.errors import UsageError
from dbopt.postgres import dsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.metrics import Histogram as Instrument
    from opentelemetry.metrics import Meter as OtelMeter
    from opentelemetry.trace import Span, Tracer, TracerProvider
    from sqlalchemy.engine import ExceptionContext

    from dbopt.client.aio import AsyncDatabase
    from dbopt.client.connections.pool import PoolFigures
    from dbopt.client.database import Database
    from dbopt.client.settings import Settings

# The conventions' own, in seconds.
DURATION_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_DEFAULT_PORT = 5432
_UNDER_WAY = "_dbopt_span"


def instrument(
    database: Database | AsyncDatabase,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """From now on, of a Database or an AsyncDatabase; without providers, those of the process. What it returns ends the
    spans and durations again. Raises UsageError where opentelemetry-api is not installed.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise UsageError(
            "opentelemetry-api is not installed", hint="Install it: pip install 'dbopt[opentelemetry]'"
        ) from None
    tracer = trace.get_tracer("dbopt.client", dbopt.__version__, tracer_provider)
    meter = metrics.get_meter("dbopt.client", dbopt.__version__, meter_provider)
    durations = meter.create_histogram(
        "db.client.operation.duration",
        unit="s",
        description="Duration of database client operations.",
        explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
    )
    engine = database.engine if isinstance(database.engine, sa.Engine) else database.engine.sync_engine
    where = _where(database.settings)
    _observe_pool(meter, engine, where)
    return _Hooks(tracer, durations, where).attach(engine)


class _Hooks:
    def __init__(self, tracer: Tracer, durations: Instrument, where: dict[str, Any]) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._tracer, self._durations, self._where = tracer, durations, where
        self._kind, self._has_failed = SpanKind.CLIENT, Status(StatusCode.ERROR)

    def attach(self, engine: sa.Engine) -> Callable[[], None]:
        hooks = (
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        )
        for name, hook in hooks:
            event.listen(engine, name, hook)

        def detach() -> None:
            for name, hook in hooks:
                if event.contains(engine, name, hook):
                    event.remove(engine, name, hook)

        return detach

    def _before(self, _connection: Any, _cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        if context is None:
            return
        statement, source = statements.with_source(context, text)
        operation = statement.operation.upper()
        attributes = {**self._where, "db.operation.name": operation}
        if statement.table is not None:
            attributes["db.collection.name"] = statement.table
        summary = f"{operation} {statement.table}" if statement.table else operation
        span = self._tracer.start_span(summary, kind=self._kind, attributes=attributes)
        if span.is_recording():
            span.set_attribute("db.query.text", statements.shown(source))
            span.set_attribute("db.query.summary", summary)
            if many and len(parameters) > 1:
                span.set_attribute("db.operation.batch.size", len(parameters))
        setattr(context, _UNDER_WAY, (span, perf_counter(), attributes))

    def _after(
        self,
        _connection: Any,
        _cursor: Any,
        _text: str,
        _parameters: Any,
        context: Any,
        _many: bool,
    ) -> None:
        self._end(context, None)

    def _failed(self, failure: ExceptionContext) -> None:
        self._end(failure.execution_context, failure.original_exception)

    def _end(self, context: Any, error: BaseException | None) -> None:
        under_way: tuple[Span, float, dict[str, Any]] | None = getattr(context, _UNDER_WAY, None)
        if under_way is None:
            return
        setattr(context, _UNDER_WAY, None)
        span, began, attributes = under_way
        if error is not None:
            state = sqlstate(error)
            failed = {"error.type": state or f"{type(error).__module__}.{type(error).__qualname__}"}
            if state is not None:
                failed["db.response.status_code"] = state
            attributes |= failed
            span.set_attributes(failed)
            span.set_status(self._has_failed)
        self._durations.record(perf_counter() - began, attributes)
        span.end()


def _where(settings: Settings) -> dict[str, Any]:
    """The server's address, as the conventions have it, from the connection string; nothing of who logs in."""
    parameters = dsn.translate(settings.conninfo).parameters
    found: dict[str, Any] = {"db.system.name": "postgresql"}
    host = parameters.get("host") or parameters.get("hostaddr")
    if host and "," not in host:
        found["server.address"] = host
        port = parameters.get("port", "")
        if port.isdigit() and int(port) != _DEFAULT_PORT:
            found["server.port"] = int(port)
    if parameters.get("dbname"):
        found["db.namespace"] = parameters["dbname"]
    return found


def _observe_pool(meter: OtelMeter, engine: sa.Engine, where: dict[str, Any]) -> None:
    """Asked for when metrics are exported; an engine that is gone says nothing."""
    from opentelemetry.metrics import Observation as Observed

    name = f"{where.get('server.address', '')}/{where.get('db.namespace', '')}"
    attributes = {**where, "db.client.connection.pool.name": name}
    reference = weakref.ref(engine)

    def asked(values: Callable[[PoolFigures], Iterable[tuple[float, dict[str, str]]]]) -> Any:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            engine = reference()
            if engine is None:
                return []
            return [Observed(value, {**attributes, **more}) for value, more in values(pool.figures(engine))]

        return [observe]

    state = "db.client.connection.state"
    meter.create_observable_up_down_counter(
        "db.client.connection.count",
        asked(lambda now: [(now.used, {state: "used"}), (max(0, now.open - now.used), {state: "idle"})]),
        unit="{connection}",
        description="The number of connections that are currently in state described by the `state` attribute.",
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.max",
        asked(lambda now: [(now.size, {})]),
        unit="{connection}",
        description="The maximum number of open connections allowed.",
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.pending_requests",
        asked(lambda now: [(now.waiting, {})]),
        unit="{request}",
        description="The number of current pending requests for an open connection.",
    )
    meter.create_observable_counter(
        "db.client.connection.timeouts",
        asked(lambda now: [(now.timeouts, {})]),
        unit="{timeout}",
        description="The number of connection timeouts that have occurred trying to obtain a connection from the pool.",
    )
