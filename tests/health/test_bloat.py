"""What tables and indexes waste: estimates and measurements against the truth, which is what a rewrite gives back."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction, wait_until

from dbopt.health.bloat import Bloat, Part, Storage, row_count
from dbopt.health.check import Gap, Status
from dbopt.health.checks import index_bloat, load
from dbopt.health.judge import scene_of
from dbopt.postgres.statistics import ColumnStatistics
from dbopt.sizes.distinct import distinct_if_clustered
from dbopt.sizes.heap import Attribute, heap, packed, toast
from tests.health.bloat_shapes import SHAPES
from tests.health.looks import look_at, only, run_check, subjects, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.health.check import Result
    from dbopt.health.scene import Facts

CHECKS = ("table-bloat", "index-bloat")
SMALL = {check: {"min_size": 0.0} for check in CHECKS}
PAGE = 8192

HALF_DELETED = """
CREATE TABLE half (id int PRIMARY KEY, a int, note text) WITH (autovacuum_enabled = off);
INSERT INTO half SELECT g, g % 10, repeat('x', 50) FROM generate_series(1, 20000) AS g;
DELETE FROM half WHERE id % 10 < 7;
"""


def size_of(database: Database, relation: str) -> int:
    """Of a table with its TOAST table, or of an index."""
    [(size,)] = database.sql(
        "SELECT pg_relation_size(c.oid) + COALESCE(pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0)"
        " FROM pg_class c WHERE c.oid = %s::regclass",
        [relation],
    )
    return int(size)


def has_pgstattuple(database: Database) -> bool:
    return bool(database.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pgstattuple'"))


def bloats(facts: Facts | None) -> dict[str, Bloat]:
    assert facts is not None
    found = {}
    for check in (tuned(check_id, limits=SMALL[check_id]) for check_id in CHECKS):
        for bloat in check.rows(facts.rows[check.query], scene_of(check, facts)):
            found[bloat.relation.removeprefix("public.")] = bloat
    return found


def settle(database: Database) -> None:
    """Until the counters of the last statements have been reported; before 15 they come when they like."""
    wait_until(
        lambda: (
            not database.sql(
                "SELECT 1 FROM pg_stat_user_tables WHERE last_vacuum IS NULL AND last_analyze IS NULL"
                " AND relname NOT LIKE %s",
                ["%more"],
            )
        ),
        "statistics about all tables",
    )


def vacuum(database: Database, table: str) -> None:
    database.sql(f"VACUUM (ANALYZE, TRUNCATE false) {table}")
    settle(database)


def small(database: Database, check: str = "table-bloat", **options: object) -> Result:
    return run_check(database, check, limits={"min_size": 0.0}, **options)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Shapes:
    estimated: dict[str, Bloat]
    measured: dict[str, Bloat]  # empty where the server has no pgstattuple
    truth: dict[str, float]


@pytest.fixture(scope="module")
def shapes(pg: Server) -> Iterator[Shapes]:
    with pg.database() as database:
        with database.connect(autocommit=True) as conn:
            for shape in SHAPES:
                conn.execute(shape.statements.encode())
                conn.execute(shape.statistics.encode())
        settle(database)
        estimated = bloats(look_at(database, checks=CHECKS, limits=SMALL)[1])
        measured = {}
        if has_pgstattuple(database):
            database.sql("CREATE EXTENSION pgstattuple")
            verdict, facts = look_at(database, checks=CHECKS, limits=SMALL, exact=True)
            assert verdict.notes == ()
            measured = bloats(facts)
        truth = {}
        for shape in SHAPES:
            before = size_of(database, shape.relation)
            database.sql(f"REINDEX INDEX {shape.relation}" if shape.is_index else f"VACUUM FULL {shape.table}")
            truth[shape.relation] = 1 - size_of(database, shape.relation) / before
        yield Shapes(estimated, measured, truth)


def test_estimates_are_near(shapes: Shapes) -> None:
    assert [name for name in shapes.truth if shapes.estimated[name].gap is not None] == []
    errors = {name: abs(shapes.estimated[name].ratio - truth) for name, truth in shapes.truth.items()}
    assert len(errors) >= 18
    assert {name: round(error, 3) for name, error in errors.items() if error > 0.10} == {}
    assert statistics.mean(errors.values()) < 0.02
    assert min(bloat.ratio for bloat in shapes.estimated.values()) >= 0


def test_what_is_as_it_should_be_is_no_problem(shapes: Shapes) -> None:
    healthy = [name for name, truth in shapes.truth.items() if truth < 0.25]
    assert len(healthy) >= 8
    assert [name for name in healthy if shapes.estimated[name].ratio >= 0.30] == []


def test_measured_ones_are_near(shapes: Shapes) -> None:
    if not shapes.measured:
        pytest.skip("this server has no pgstattuple")
    assert all(shapes.measured[name].is_measured for name in shapes.truth)
    errors = {name: abs(shapes.measured[name].ratio - truth) for name, truth in shapes.truth.items()}
    # Dropped columns lie within live rows; only an estimate sees them.
    assert {name for name, error in errors.items() if error > 0.10} <= {"shape_dropped_columns"}
    assert statistics.mean(errors.values()) < 0.04


# Verdicts


def test_nothing_in_an_empty_database(database: Database) -> None:
    for check in CHECKS:
        assert run_check(database, check).status is Status.OK


def test_small_relations_do_not_matter(database: Database) -> None:
    database.sql(HALF_DELETED)
    vacuum(database, "half")
    for check in CHECKS:
        assert run_check(database, check).status is Status.OK
        assert small(database, check).status is Status.CRITICAL


def test_what_to_type(database: Database) -> None:
    database.sql(HALF_DELETED.replace("half", '"Half Past"'))
    database.sql('VACUUM (ANALYZE, TRUNCATE false) "Half Past"')
    settle(database)
    table, index = only(small(database)), only(small(database, "index-bloat"))
    assert (table.subject, index.subject) == ('public."Half Past"', 'public."Half Past_pkey"')
    assert "estimated" in table.detail
    assert table.measure == pytest.approx(0.7, abs=0.05)
    assert index.remedy == 'REINDEX INDEX CONCURRENTLY public."Half Past_pkey";'
    database.sql(index.remedy)
    assert small(database, "index-bloat").status is Status.OK
    assert table.remedy is not None
    first, *others = table.remedy.splitlines()
    assert first == 'VACUUM (VERBOSE, ANALYZE) public."Half Past";'
    assert all(line.startswith("-- ") for line in others)  # a rewrite locks: nobody shall paste it unseen
    database.sql(first)
    database.sql(others[-1].removeprefix("-- "))
    assert small(database).status is Status.OK


def test_an_exclusion_constraint_cannot_be_reindexed_concurrently(database: Database) -> None:
    database.sql(HALF_DELETED.replace("id int PRIMARY KEY", "id int, CONSTRAINT apart EXCLUDE USING btree (id WITH =)"))
    vacuum(database, "half")
    remedy = only(small(database, "index-bloat")).remedy
    assert remedy is not None
    assert remedy.endswith("\nREINDEX INDEX public.apart;")
    database.sql(remedy)


def test_a_materialized_view(database: Database) -> None:
    database.sql("CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT g AS id FROM generate_series(1, 20000) AS g")
    database.sql("CREATE MATERIALIZED VIEW mv WITH (autovacuum_enabled = off) AS SELECT id FROM t")
    database.sql("CREATE UNIQUE INDEX ON mv (id)")
    database.sql("DELETE FROM t WHERE id > 5000")
    database.sql("REFRESH MATERIALIZED VIEW CONCURRENTLY mv")
    database.sql("ANALYZE t; ANALYZE mv")
    settle(database)
    finding = next(finding for finding in small(database).findings if finding.subject == "public.mv")
    assert finding.remedy is not None
    database.sql(finding.remedy)
    assert size_of(database, "mv") < 40 * PAGE


# What is not known


def test_never_analyzed(database: Database) -> None:
    database.sql(HALF_DELETED)
    wait_until(lambda: small(database).status is not Status.OK, "the counters of its rows")
    for check in CHECKS:
        result = small(database, check)
        assert (result.status, result.blind, result.hint) == (Status.UNKNOWN, False, "ANALYZE public.half;")


def test_after_a_reset_nothing_is_known(database: Database) -> None:
    database.sql(HALF_DELETED)
    vacuum(database, "half")
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: small(database).status is Status.UNKNOWN, "the reset")
    for check in CHECKS:
        result = small(database, check)
        assert (result.status, result.blind, result.findings) == (Status.UNKNOWN, False, ())
        assert "since statistics began" in (result.reason or "")
    database.sql("ANALYZE half")
    wait_until(lambda: small(database).status is Status.CRITICAL, "the numbers of ANALYZE")


def test_who_may_not_read_statistics_is_told_so(database: Database) -> None:
    database.sql(HALF_DELETED)
    database.sql("CREATE INDEX half_expr ON half ((a + id))")
    vacuum(database, "half")
    database.sql('CREATE ROLE "bloat Reader" LOGIN')
    try:
        user = "bloat Reader"
        for check in CHECKS:
            result = small(database, check, user=user)
            assert (result.status, result.blind) == (Status.UNKNOWN, True)
        hint = small(database, user=user).hint or ""
        if database.server_version >= (14,):
            assert hint == 'GRANT pg_read_all_data TO "bloat Reader";'
        else:
            assert hint == 'GRANT SELECT ON public.half TO "bloat Reader";'
        database.sql(hint)
        assert small(database, user=user).status is Status.CRITICAL
        assert "public.half_pkey" in subjects(small(database, "index-bloat", user=user))
        database.sql("ALTER TABLE half ENABLE ROW LEVEL SECURITY")
        hint = small(database, user=user).hint or ""
        assert hint == 'ALTER ROLE "bloat Reader" BYPASSRLS;'
        database.sql(hint)
        assert small(database, user=user).status is Status.CRITICAL
    finally:
        database.sql('DROP OWNED BY "bloat Reader"; DROP ROLE "bloat Reader"')


def test_without_rows_no_statistics_are_needed(database: Database) -> None:
    database.sql(HALF_DELETED)
    database.sql("DELETE FROM half; ANALYZE half; CREATE ROLE bloat_reader LOGIN")
    settle(database)
    try:
        finding = only(small(database, user="bloat_reader"))
        assert (finding.measure, finding.status) == (1.0, Status.CRITICAL)
    finally:
        database.sql("DROP ROLE bloat_reader")


def test_other_methods_are_unknown(database: Database) -> None:
    database.sql("CREATE TABLE t (tags int[])")
    database.sql("INSERT INTO t SELECT ARRAY[g, g + 1, g % 100] FROM generate_series(1, 20000) AS g")
    database.sql("CREATE INDEX tags ON t USING gin (tags)")
    vacuum(database, "t")
    result = small(database, "index-bloat")
    assert (result.status, result.blind) == (Status.UNKNOWN, False)
    assert result.reason == "nothing tells what an index of method gin should take: public.tags"


def test_how_often_keys_repeat_may_be_unknown(database: Database) -> None:
    """ANALYZE takes 5 rows of a value that lie side by side for 10 that lie anywhere: see distinct_if_clustered()."""
    database.sql("CREATE TABLE t (ref uuid) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT md5((g / 5)::text)::uuid FROM generate_series(1, 20000) AS g")
    database.sql("CREATE INDEX ref ON t (ref)")
    vacuum(database, "t")
    _, facts = look_at(database, checks=CHECKS, limits=SMALL)
    assert facts is not None
    check = tuned("index-bloat", limits=SMALL["index-bloat"])
    scene = scene_of(check, facts)
    seen = replace(
        facts.rows[check.query][0], n_live_tup=500_000, n_tup_ins=500_000, table_reltuples=5e5, table_relpages=6500,
        n_distinct=49_760, bounds=11, common_freqs=[],
    )  # fmt: skip
    fresh = 6_774_784  # as built

    def bloat(size: float, correlation: float = 0.0) -> Bloat:
        return index_bloat.bloat_of([replace(seen, size_bytes=round(size), correlation=correlation)], scene)

    assert (bloat(fresh).gap, bloat(fresh).ratio < 0.2) == (None, True)
    assert (bloat(fresh * 1.15).gap or Gap("")).hint == "Run dbopt health --exact, which reads it."
    assert (bloat(fresh * 3).gap, bloat(fresh * 3).ratio) == (None, pytest.approx(0.67, abs=0.1))
    assert (bloat(fresh * 1.15, 0.99).gap, bloat(fresh * 1.15, 0.99).ratio < 0.2) == (None, True)


# Other sessions


@pytest.mark.parametrize("statement", ["LOCK TABLE half IN ACCESS EXCLUSIVE MODE", "REINDEX INDEX half_pkey"])
def test_a_lock_costs_the_exact_size(database: Database, statement: str) -> None:
    database.sql(HALF_DELETED)
    database.sql("CREATE INDEX half_part ON half (id) WHERE a < 8")
    vacuum(database, "half")
    before = {check: {f.subject: f.measure for f in small(database, check).findings} for check in CHECKS}
    with open_transaction(database, statement):
        for check in CHECKS:
            found = {f.subject: f.measure for f in small(database, check).findings}
            assert found == pytest.approx(before[check], abs=0.02)
        check = "table-bloat" if statement.startswith("LOCK") else "index-bloat"
        details = [finding.detail for finding in small(database, check).findings]
        assert any("size as VACUUM or ANALYZE last saw it" in detail for detail in details)


def test_rows_of_an_open_transaction_are_no_waste(database: Database) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT generate_series(1, 20000)")
    vacuum(database, "t")
    with open_transaction(database, "INSERT INTO t SELECT generate_series(20001, 100000)"):
        for check in CHECKS:
            assert small(database, check).status is Status.OK


# --exact


def test_exact_without_the_extension_says_what_to_type(database: Database) -> None:
    database.sql(HALF_DELETED)
    vacuum(database, "half")
    verdict, _ = look_at(database, checks=CHECKS, limits=SMALL, exact=True)
    assert verdict.notes == ("--exact needs pgstattuple, so all is estimated: CREATE EXTENSION pgstattuple;",)
    assert verdict.status is Status.CRITICAL


def test_exact_knows_what_statistics_do_not(database: Database) -> None:
    if not has_pgstattuple(database):
        pytest.skip("this server has no pgstattuple")
    database.sql('CREATE SCHEMA "Tools"; CREATE EXTENSION pgstattuple SCHEMA "Tools"')
    database.sql(HALF_DELETED)
    database.sql("VACUUM half")
    database.sql("CREATE ROLE bloat_reader LOGIN")
    try:
        assert "measured" in only(small(database, exact=True)).detail
        verdict, _ = look_at(database, checks=CHECKS, limits=SMALL, exact=True, user="bloat_reader")
        assert "GRANT pg_stat_scan_tables TO" in verdict.notes[0]
        database.sql('GRANT pg_stat_scan_tables TO bloat_reader; GRANT USAGE ON SCHEMA "Tools" TO bloat_reader')
        result = small(database, exact=True, user="bloat_reader")
        assert (result.status, result.blind) == (Status.CRITICAL, False)
    finally:
        database.sql("DROP OWNED BY bloat_reader; DROP ROLE bloat_reader")


def test_exact_keeps_to_its_time_and_leaves_locked_tables_alone(database: Database) -> None:
    if not has_pgstattuple(database):
        pytest.skip("this server has no pgstattuple")
    database.sql("CREATE EXTENSION pgstattuple")
    database.sql(HALF_DELETED)
    vacuum(database, "half")
    limits = {"table-bloat": {"min_size": 0.0, "exact_seconds": 0.0}}
    verdict, _ = look_at(database, checks=CHECKS[:1], limits=limits, exact=True)
    assert verdict.notes == ("public.half is not measured but estimated: exact_seconds are over",)
    with open_transaction(database, "LOCK TABLE half IN ACCESS EXCLUSIVE MODE"):
        verdict, _ = look_at(database, checks=CHECKS[:1], limits=SMALL, exact=True)
    assert verdict.notes == ("public.half is not measured but estimated: somebody has locked it, or waits to",)
    assert verdict.status is Status.CRITICAL


# On paper


@pytest.mark.parametrize(
    ("size", "fresh", "ratio"),
    [(100, 70.0, 0.3), (100, 120.0, 0.0), (0, 0.0, 0.0), (100, None, 1.0), (100, 0.0, 1.0)],
)
def test_ratio(size: int, fresh: float | None, ratio: float) -> None:
    bloat = Bloat("t", (Part(1, Storage.HEAP, size, fresh),), "")
    assert bloat.ratio == pytest.approx(ratio)


def test_thresholds() -> None:
    judge = load("table-bloat").thresholds.judge
    assert [judge(ratio) for ratio in (0.0, 0.29, 0.30, 0.59, 0.60, 1.0)] == [
        Status.OK, Status.OK, Status.WARNING, Status.WARNING, Status.CRITICAL, Status.CRITICAL,
    ]  # fmt: skip


def test_a_gap_is_not_judged() -> None:
    bloat = Bloat("t", (Part(1, Storage.HEAP, 100, None),), "", gap=Gap("why"))
    assert load("table-bloat").gap(bloat) == Gap("why")


@pytest.mark.parametrize(
    ("counts", "rows"),
    [
        ((1000, 1000, 1000, 0), 1000),
        ((500, 1500, 1000, 500), 500),  # reported after the VACUUM that had counted them already
        ((1000, 300, 1000, 700), 300),  # deleted since
        ((1000, 1200, 200, 0), 1000),  # the rest was inserted before a reset
        ((1000, 0, 0, 0), 0),
    ],
)
def test_two_of_three_counts_agree(counts: tuple[float, int, int, int], rows: float) -> None:
    assert row_count(*counts) == rows


@pytest.mark.parametrize(
    ("columns", "per_page"),
    [
        ([Attribute(4, "i", 0.0, 4)], 226),  # 24 + 4, aligned to 32, and 4 for the pointer
        ([Attribute(1, "c", 0.0, 1), Attribute(8, "d", 0.0, 8), Attribute(1, "c", 0.0, 1)], 157),  # 24 + 24
        ([Attribute(8, "d", 0.0, 8), Attribute(1, "c", 0.0, 1), Attribute(1, "c", 0.0, 1)], 185),  # 24 + 16
        ([Attribute(8, "d", 1.0, 8)] * 8, 291),  # a bitmap for 8 columns fits into the header
        ([Attribute(8, "d", 1.0, 8)] * 9, 226),
        ([], 291),
    ],
)
def test_rows_on_a_page(columns: list[Attribute], per_page: int) -> None:
    assert heap(per_page * 100, columns) == 100 * PAGE
    assert heap(per_page * 100 + 1, columns) == 101 * PAGE


def test_free_room_that_is_wanted_is_no_waste() -> None:
    column = [Attribute(4, "i", 0.0, 4)]
    assert heap(100_000, column, fillfactor=50) == pytest.approx(2 * heap(100_000, column), rel=0.01)
    assert heap(0, column) == 0


def test_chunks_of_long_values() -> None:
    assert toast(0, None) == 0
    assert toast(400, None) == 100 * PAGE
    assert toast(400, 400.0) == 100 * PAGE  # of single chunks nothing tells how long they are
    assert 0.8 < toast(400, 100.0) / toast(400, None) < 1


def test_pointers_to_removed_rows_are_waste() -> None:
    assert packed(226, 28, PAGE) == PAGE
    assert packed(113, 28, PAGE) == PAGE / 2
    assert packed(0, 0, 100) == 100


def statistics_of(n_distinct: float, bounds: int | None = 11) -> ColumnStatistics:
    return ColumnStatistics(
        relation_oid=1, column="a", attnum=1, type="int8", attlen=8, attalign="d", null_frac=0.0, avg_width=8,
        n_distinct=n_distinct, common_freqs=[], bounds=bounds, element_freqs=[], elements=None, element_len=None,
        element_bytes=None, common_lengths=None, lengths=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "pages", "distinct"),
    [
        (statistics_of(49_760), 6500, 100_000),  # seen in a table with 5 rows of each value
        (statistics_of(49_760), 2000, 49_760),  # all pages were read
        (statistics_of(-1), 6000, -1),
        (statistics_of(5, bounds=None), 6000, 5),
    ],
)
def test_values_that_lie_side_by_side(found: ColumnStatistics, pages: int, distinct: float) -> None:
    assert distinct_if_clustered(found, 500_000, pages) == pytest.approx(distinct, rel=0.05)
