"""paginate: how the server reads a page, however late it comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from dbopt.client import Database

from .blog import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

SCHEMA = """
CREATE TABLE event (id int PRIMARY KEY, kind int NOT NULL, at timestamptz NOT NULL, score int);
INSERT INTO event SELECT n, n % 3, '2026-01-01'::timestamptz + n / 2 * interval '1 s', nullif(n % 2000, 0)
FROM generate_series(1, 20000) AS n;
CREATE INDEX ON event (at, id);
CREATE INDEX ON event (at DESC, id);
CREATE INDEX ON event (kind, at DESC, id DESC);
CREATE INDEX ON event (kind, at DESC, id);
CREATE INDEX ON event (score, id);
CREATE INDEX ON event (score DESC NULLS LAST, id DESC);
CREATE TABLE mark (id int PRIMARY KEY, event_id int NOT NULL);
INSERT INTO mark SELECT n, (n + 1) / 2 FROM generate_series(1, 40000) AS n;
CREATE INDEX ON mark (event_id);
ANALYZE event, mark;
"""

event = sa.Table(
    "event",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("score", sa.Integer),
)
mark = sa.Table(
    "mark",
    event.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_id", sa.Integer, nullable=False),
)


@pytest.fixture(scope="module")
def many(pg: Server) -> Iterator[Database]:
    with pg.database() as own:
        own.sql(SCHEMA)
        with Database(own.conninfo, min_connections=0) as db:
            yield db


@pytest.mark.parametrize(
    ("order", "most_statements"),
    [
        (["at"], 1),
        (["-at"], 1),
        (["-at", "id"], 1),  # mixed, and few rows of one moment
        (["kind", "-at"], 1),  # mixed, and a third of all rows of one kind
        (["kind", "-at", "id"], 1),
        (["score"], 1),
        ([event.c.score.desc().nulls_last()], 1),
    ],
)
def test_a_late_page_is_read_by_an_index_from_its_first_row_on(
    many: Database, order: Any, most_statements: int
) -> None:
    """In both directions: counted in what was looked at for nothing, and in buffers."""
    page = many.paginate(event, order_by=order, size=10_000)
    page = many.paginate(event, order_by=order, size=10, after=page.next_cursor)
    for place in ({"after": page.next_cursor}, {"before": page.previous_cursor}):
        with statements(many) as sent:
            found = many.paginate(event, order_by=order, size=10, **place)
        assert len(found.items) == 10
        assert len(sent) <= most_statements
        for text, parameters in sent:
            plan = explained(many, text, parameters)
            assert plan["Actual Rows"] <= 12
            assert sum(looked_at_for_nothing(plan)) <= 12, text
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 40, text


def test_a_late_page_of_a_join(many: Database) -> None:
    """Several rows of one event: its own keys lead, and bound what is read of it."""
    what = sa.select(event.c.id, mark.c.id.label("mark")).join(mark, mark.c.event_id == event.c.id)
    page = many.paginate(what, order_by=event.c.at, size=10_000)
    with statements(many) as sent:
        found = many.paginate(what, order_by=event.c.at, size=10, after=page.next_cursor)
    assert [row.mark for row in found.items] == list(range(10_001, 10_011))
    [(text, parameters)] = sent
    plan = explained(many, text, parameters)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 300, text  # all of both tables are more


def test_what_is_behind_is_asked_of_the_index_too(many: Database) -> None:
    """Only where the row at the cursor is gone; by the nearest one, and not by a scan up to the first that fits."""
    page = many.paginate(event, order_by="-at", size=10_000)
    with psycopg.connect(many.settings.conninfo, autocommit=True) as conn:
        conn.execute("DELETE FROM event WHERE id = %s", [page.items[-1]["id"]])
    with statements(many) as sent:
        found = many.paginate(event, order_by="-at", size=10, after=page.next_cursor)
    assert (found.has_previous, len(sent)) == (True, 2)
    plan = explained(many, *sent[1])
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 10


def explained(db: Database, text: str, parameters: Any) -> dict[str, Any]:
    with psycopg.connect(db.settings.conninfo, cursor_factory=psycopg.ClientCursor) as conn:
        [(found,)] = conn.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", parameters)  # type: ignore[arg-type]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def looked_at_for_nothing(plan: dict[str, Any]) -> Iterator[int]:
    for kind in ("Filter", "Index Recheck"):
        yield plan.get(f"Rows Removed by {kind}", 0)
    if plan["Node Type"] in ("Sort", "Incremental Sort"):
        yield max(0, sum(inner["Actual Rows"] for inner in plan["Plans"]) - 12)
    for inner in plan.get("Plans", ()):
        yield from looked_at_for_nothing(inner)
