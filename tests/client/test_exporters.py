"""What Prometheus and OpenTelemetry get to see of a Database."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import exc

from dbopt.client.opentelemetry import instrument
from dbopt.client.prometheus import collector
from dbopt.errors import UsageError

SECRET = "hush-4711"
FAILING = f"INSERT INTO things VALUES (1, '{SECRET}')"


def use(connection):
    """Five statements; the last one fails."""
    connection.execute(sa.text("CREATE TABLE things (id int PRIMARY KEY, name text)"))
    for number in (1, 2):
        connection.execute(sa.text("INSERT INTO things VALUES (:id, :name)"), {"id": number, "name": SECRET})
    connection.execute(sa.text("SELECT * FROM things WHERE name = :name"), {"name": SECRET}).all()
    connection.commit()
    with pytest.raises(exc.IntegrityError):
        connection.execute(sa.text(FAILING))
    connection.rollback()


def samples(registry):
    """As a server of Prometheus reads them: `name{label="value"}`, without what changes from run to run."""
    text = generate_latest(registry).decode()
    assert SECRET not in text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_was_counted(db):
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector(db))
    with db.engine.connect() as connection:
        use(connection)
        found = samples(registry)
    of_things = (("table", "things"),)

    def by_table(name, operation):
        return found[(f"dbopt_client_{name}", ("operation", operation), *of_things)]

    assert (by_table("queries_total", "insert"), by_table("query_errors_total", "insert")) == (3, 1)
    assert (by_table("queries_total", "select"), by_table("query_rows_total", "select")) == (1, 2)
    assert by_table("query_time_seconds_total", "create") > 0
    assert found[("dbopt_client_errors_total", ("sqlstate_class", "23"))] == 1
    assert found[("dbopt_client_query_duration_seconds_bucket", ("le", "+Inf"), ("operation", "insert"))] == 3
    assert found[("dbopt_client_query_duration_seconds_count", ("operation", "insert"))] == 3
    buckets = [
        value
        for (name, *labels), value in found.items()
        if name == "dbopt_client_query_duration_seconds_bucket" and ("operation", "insert") in labels
    ]
    assert buckets == sorted(buckets)
    assert (found[("dbopt_client_pool_used",)], found[("dbopt_client_pool_open",)]) == (1, 1)
    assert found[("dbopt_client_pool_size",)] == db.settings.max_connections
    assert found[("dbopt_client_pool_acquire_duration_seconds_count",)] == 1
    assert found[("dbopt_client_cache_hits_total",)] == 0
    db.reset_metrics()
    assert samples(registry)[("dbopt_client_pool_acquire_duration_seconds_count",)] == 0


def test_names_are_as_openmetrics_wants_them(db):
    registry = CollectorRegistry()
    registry.register(collector(db))
    with db.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    text = openmetrics.generate_latest(registry).decode()
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly

    names = {family.name for family in strictly(text)}
    assert "dbopt_client_queries" in names
    assert all(name.startswith("dbopt_client_") for name in names)


def test_several_databases_are_told_apart(db):
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector({"main": db, "replica": db}))
    with db.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    found = samples(registry)
    for name in ("main", "replica"):
        labels = (("database", name), ("operation", "select"), ("table", ""))
        assert found[("dbopt_client_queries_total", *labels)] == 1
        assert found[("dbopt_client_pool_size", ("database", name))] == db.settings.max_connections


@pytest.fixture
def seen():
    """Exporters that keep what they get: (spans, metrics)."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider(metric_readers=[reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    yield {"tracer_provider": tracers, "meter_provider": meters}, spans, reader
    tracers.shutdown()
    meters.shutdown()


def points(reader):
    data = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def check_spans(spans, dbname):
    found = spans.get_finished_spans()
    assert [span.name for span in found] == [
        "CREATE things",
        "INSERT things",
        "INSERT things",
        "SELECT things",
        "INSERT things",
    ]
    assert {span.kind for span in found} == {SpanKind.CLIENT}
    select, failed = found[3], found[4]
    assert select.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": dbname,
        "server.address": select.attributes["server.address"],
        "db.operation.name": "SELECT",
        "db.collection.name": "things",
        "db.query.text": "SELECT * FROM things WHERE name = $1",
        "db.query.summary": "SELECT things",
    }
    assert select.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["db.query.text"] == "INSERT INTO things VALUES ($1, $2)"
    assert failed.attributes["error.type"] == failed.attributes["db.response.status_code"] == "23505"
    assert not any(span.events for span in found)
    assert SECRET not in repr([(span.name, dict(span.attributes), span.status) for span in found])


def test_opentelemetry_gets_spans_and_metrics(db, database, seen):
    providers, spans, reader = seen
    end = instrument(db, **providers)
    with db.engine.connect() as connection:
        use(connection)
        found = points(reader)
    check_spans(spans, database.name)
    durations = {
        (point.attributes["db.operation.name"], point.attributes.get("error.type")): point.count
        for point in found["db.client.operation.duration"]
    }
    assert durations == {("CREATE", None): 1, ("INSERT", None): 2, ("SELECT", None): 1, ("INSERT", "23505"): 1}
    connections = {
        point.attributes["db.client.connection.state"]: point.value for point in found["db.client.connection.count"]
    }
    assert connections == {"used": 1, "idle": 0}
    [most] = found["db.client.connection.max"]
    assert most.value == db.settings.max_connections
    assert {name for name in found if name.startswith("db.client.connection.")} == {
        "db.client.connection.count",
        "db.client.connection.max",
        "db.client.connection.pending_requests",
        "db.client.connection.timeouts",
    }
    spans.clear()
    end()
    end()
    with db.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    assert spans.get_finished_spans() == ()


def test_opentelemetry_under_asyncio(run_async, database, seen):
    providers, spans, reader = seen

    async def body(adb):
        instrument(adb, **providers)
        async with adb.engine.connect() as connection:
            await connection.run_sync(use)
            return points(reader)

    found = run_async(body)
    check_spans(spans, database.name)
    assert [point.value for point in found["db.client.connection.pending_requests"]] == [0]


def test_spans_are_where_the_application_is(db, seen):
    providers, spans, _ = seen
    instrument(db, **providers)
    tracer = providers["tracer_provider"].get_tracer("application")
    with tracer.start_as_current_span("request") as request, db.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    [inner, _] = spans.get_finished_spans()
    assert inner.parent.span_id == request.get_span_context().span_id


@pytest.mark.parametrize(
    ("missing", "make", "extra"),
    [("prometheus_client.registry", collector, "prometheus"), ("opentelemetry", instrument, "opentelemetry")],
)
def test_a_package_that_is_not_installed(db, monkeypatch, missing, make, extra):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match="is not installed") as caught:
        make(db)
    assert caught.value.hint == f"Install it: pip install 'dbopt[{extra}]'"
