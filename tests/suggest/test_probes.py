"""Values to plan with: where they come from, and that they go nowhere else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from dbopt.suggest.cost.prepared import plain
from dbopt.suggest.model import GENERIC, Probe, Subject
from dbopt.suggest.probes import all_probes, probes
from dbopt.suggest.reading.accesses import accesses, written
from dbopt.suggest.tables import tables
from suggest.readings import Reader, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE TYPE state AS ENUM ('new', 'paid', 'lost');
    CREATE TABLE t (id int PRIMARY KEY, customer int, state state, code text, name varchar(40), at timestamptz,
      tags text[], doc jsonb, flag boolean, words tsvector, amount numeric, quote text) WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT g, CASE WHEN g % 2 = 0 THEN 1 ELSE g % 500 END,
      (CASE WHEN g % 100 = 0 THEN 'lost' WHEN g % 10 = 0 THEN 'new' ELSE 'paid' END)::state, 'code' || g % 300,
      'Person' || g, timestamptz '2026-01-01 00:00Z' + g * interval '1 hour',
      ARRAY['common', 'tag' || g % 20], jsonb_build_object('kind', g % 3), g % 50 = 0,
      to_tsvector('simple', 'often word' || g % 30), g % 1000, CASE g % 3 WHEN 0 THEN 'it''s \\ "odd"' ELSE 'plain' END
      FROM generate_series(1, 5000) g;
    CREATE TABLE never (id int, a int) WITH (autovacuum_enabled = off);
    INSERT INTO never SELECT g, g FROM generate_series(1, 10) g;
    CREATE TABLE events (at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
    INSERT INTO events SELECT date '2026-01-01' + g % 300, CASE WHEN g % 9 = 0 THEN g % 300 ELSE 5 END
      FROM generate_series(1, 6000) g;
    ANALYZE t; ANALYZE events_1; ANALYZE events_2;
"""


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


@pytest.fixture
def reader(world: Database) -> Iterator[Reader]:
    with reading(world) as one:
        yield one


def subjects(reader: Reader, *queries: str) -> list[Subject]:
    read = [reader.prepared(query) for query in queries]
    found = tables(reader.conn, reader.server, read).tables
    made = [
        Subject(item=one.item, planned=one.planned, accesses=accesses(one, found), written=written(one, found))
        for one in read
    ]
    return all_probes(reader.conn, reader.server, made, found)


def values(reader: Reader, query: str) -> dict[str, dict[int, str | None]]:
    """By the probe's name, what each parameter is; those that are like the typical one as well."""
    [subject] = subjects(reader, query)
    assert subject.probes[0] == GENERIC
    found = {
        probe.name: {number: plain(literal) for number, literal in probe.values.items()} for probe in subject.probes[1:]
    }
    return {name: found.get(name, found["typical"]) for name in ("common", "typical", "rare")} if found else {}


def test_a_skewed_column_has_common_typical_and_rare_values(reader: Reader) -> None:
    found = values(reader, "SELECT * FROM t WHERE customer = $1")
    assert found["common"] == {1: "1"}
    assert found["rare"] != found["common"]
    assert int(found["rare"][1] or 0) % 2 == 1


def test_values_have_the_types_of_the_parameters(reader: Reader) -> None:
    [subject] = subjects(reader, "SELECT * FROM t WHERE state = $1 AND customer = $2::bigint")
    assert [probe.name for probe in subject.probes] == ["generic", "typical", "rare"]  # most rows are of the commonest
    assert subject.probes[1].values == {1: "'paid'::state", 2: "'1'::bigint"}


def test_where_all_values_are_alike_any_values_will_do(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM t WHERE code = $1") == {}
    assert values(reader, "SELECT * FROM t WHERE id = $1") == {}
    assert values(reader, "SELECT * FROM t") == {}


def test_a_boolean_has_two(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM t WHERE flag = $1")["common"] == {1: "f"}
    assert values(reader, "SELECT * FROM t WHERE flag = $1")["rare"] == {1: "t"}


def test_ranges_reach_from_nearly_all_to_hardly_any(reader: Reader) -> None:
    found = values(reader, "SELECT * FROM t WHERE id > $1")
    common, typical, rare = (int(found[name][1] or 0) for name in ("common", "typical", "rare"))
    assert common < 500 < 4000 < typical < 4900 < rare
    both = values(reader, "SELECT * FROM t WHERE id BETWEEN $1 AND $2")
    assert all(int(pair[1] or 0) < int(pair[2] or 0) for pair in both.values())
    assert int(both["typical"][2] or 0) - int(both["typical"][1] or 0) < 500


def test_the_next_page_begins_somewhere_in_the_middle(reader: Reader) -> None:
    query = "SELECT * FROM t WHERE (amount, id) > ($1, $2) ORDER BY amount, id LIMIT $3"
    typical = values(reader, query)["typical"]
    assert 400 < float(typical[1] or 0) < 600
    assert 2000 < int(typical[2] or 0) < 3000
    assert typical[3] == "20"


def test_limit_is_a_usual_one(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM t ORDER BY id LIMIT $1 OFFSET $2")["typical"] == {1: "20", 2: "0"}


def test_patterns_are_made_of_real_values(reader: Reader) -> None:
    found = values(reader, "SELECT * FROM t WHERE name LIKE $1")
    # All begin alike: that finds everything, and nobody looks for it.
    assert found["typical"][1].startswith("Person")
    assert found["typical"][1][6:-1].isdigit()
    assert found["common"] == {1: "%Pe%"}
    assert found["rare"][1].startswith("%Person")  # type: ignore[union-attr]
    assert values(reader, "SELECT * FROM t WHERE name LIKE '%' || $1 || '%'")["typical"] == {1: "Pers"}
    assert values(reader, "SELECT * FROM t WHERE name ~ $1")["typical"] == {1: "^Pers"}


def test_lists_have_several_values(reader: Reader) -> None:
    typical = values(reader, "SELECT * FROM t WHERE id = ANY ($1)")["typical"][1]
    assert typical is not None
    assert len(set(typical.strip("{}").split(","))) == 4
    listed = values(reader, "SELECT * FROM t WHERE customer IN ($1, $2, $3)")["common"]
    assert listed[1] == "1"
    assert len(set(listed.values())) == 3


def test_elements_of_arrays_and_documents(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM t WHERE tags @> $1")["common"] == {1: '{"common"}'}
    assert values(reader, "SELECT * FROM t WHERE tags @> $1")["rare"] != {1: '{"common"}'}
    assert values(reader, "SELECT * FROM t WHERE doc @> $1")["common"][1] in (
        '{"kind": 0}',
        '{"kind": 1}',
        '{"kind": 2}',
    )
    words = values(reader, "SELECT * FROM t WHERE words @@ to_tsquery('simple', $1)")
    assert words["common"] == {1: "often"}


def test_what_the_functions_of_a_column_give_is_like_its_values(reader: Reader) -> None:
    found = values(reader, "SELECT * FROM t WHERE lower(name) = $1 AND customer = $2")
    assert found["common"][1] == found["common"][1].lower()  # type: ignore[union-attr]
    assert found["common"][1].startswith("person")  # type: ignore[union-attr]


def test_each_parameter_has_a_value_or_there_is_no_probe(reader: Reader) -> None:
    query = "SELECT $3::interval + at FROM t WHERE customer = $1 AND amount + $2 > 7"
    assert values(reader, query)["common"] == {1: "1", 2: "1", 3: "7 days"}
    assert values(reader, "SELECT $2::box FROM t WHERE customer = $1") == {}


def test_a_value_of_another_type_is_none(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM t WHERE length(name) > $1")["common"] == {1: "1"}


def test_strange_values_are_literals_nevertheless(reader: Reader) -> None:
    [subject] = subjects(reader, "SELECT * FROM t WHERE quote = $1 AND id > $2")
    for probe in subject.probes[1:]:
        query = "SELECT " + ", ".join(probe.values.values())
        row = reader.conn.execute(query).fetchone()  # type: ignore[call-overload]
        assert row is not None
        assert row[0] in ('it\'s \\ "odd"', "plain")


def test_without_statistics_there_are_none(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM never WHERE a > $1") == {}


def test_a_leaf_tells_for_a_partitioned_table(reader: Reader) -> None:
    assert values(reader, "SELECT * FROM events WHERE kind = $1")["common"] == {1: "5"}


def test_what_a_role_may_not_see_is_not_tried(world: Database) -> None:
    if world.server_version < (14,):
        pytest.skip("nobody but a superuser plans on tables that he may not read")
    world.sql("CREATE ROLE g_some LOGIN; GRANT SELECT (id) ON t TO g_some")
    try:
        with reading(world, make_conninfo(world.conninfo, user="g_some")) as one:
            assert values(one, "SELECT id FROM t WHERE id > $1") != {}
            world.sql("GRANT SELECT (customer) ON t TO g_some")
            assert values(one, "SELECT id FROM t WHERE customer = $1") != {}
            world.sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON t USING (id > 0)")
            assert values(one, "SELECT id FROM t WHERE customer = $1") == {}
    finally:
        world.sql("ALTER TABLE t DISABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS all_of_it ON t")
        world.sql("DROP OWNED BY g_some; DROP ROLE g_some")


def test_one_statement_for_all(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    read = [reader.prepared(f"SELECT * FROM t WHERE {name} = $1") for name in ("customer", "code", "flag", "id")]
    found = tables(reader.conn, reader.server, read).tables
    made = [Subject(item=one.item, planned=one.planned, accesses=accesses(one, found)) for one in read]
    with caplog.at_level(logging.DEBUG, logger="dbopt.sql"):
        probed = all_probes(reader.conn, reader.server, made, found)
    assert len(caplog.records) == 1
    assert probes(reader.conn, reader.server, made[0], found) == probed[0].probes


def test_values_do_not_show() -> None:
    probe = Probe(name="common", values={1: "'secret'::text"})
    assert "secret" not in repr(probe)
