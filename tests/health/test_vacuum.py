"""Age, dead rows, statistics: what VACUUM and ANALYZE have left undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction, wait_until

from dbopt.health.check import Status, above, presence
from dbopt.health.checks import load
from dbopt.health.collect import collect
from dbopt.health.judge import judge
from dbopt.health.memory import sample
from dbopt.postgres.connect import connect
from dbopt.postgres.databases import DATABASES
from dbopt.postgres.tables import TABLE_STATE
from tests.health.looks import counted, only, run_check, subjects, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.health.scene import Facts
    from dbopt.postgres.tables import TableState

LOW = above(warning=1, critical=None, source="this test")


@pytest.fixture(scope="module")
def quiet(pg: Server) -> Iterator[Database]:
    """A database that its tests only look at, to alter what they saw."""
    with pg.database() as fresh:
        fresh.sql("CREATE TABLE t (id int, v text)")
        yield fresh


def facts_of(database: Database, *check_ids: str) -> Facts:
    with connect(database.conninfo, command="health", read_only=True) as conn:
        return collect(conn, [load(check_id) for check_id in check_ids])


def altered(facts: Facts, relation: str, **values: object) -> Facts:
    """The same look, had it seen other numbers of one table."""
    rows = [replace(row, **values) if row.relation == relation else row for row in facts.rows[TABLE_STATE]]
    return replace(facts, rows={**facts.rows, TABLE_STATE: rows})


def table(facts: Facts, relation: str) -> TableState:
    row: TableState
    (row,) = [row for row in facts.rows[TABLE_STATE] if row.relation == relation]
    return row


def half_dead(
    database: Database, name: str, *, options: str = "autovacuum_enabled = false", rows: int = 24_000
) -> None:
    database.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, v int) WITH ({options})")
    database.sql(f"INSERT INTO {name} SELECT g, g FROM generate_series(1, {rows}) AS g")
    database.sql(f"DELETE FROM {name} WHERE id % 2 = 0")
    counted(database, name, n_dead_tup=rows // 2, n_live_tup=1)


class TestWraparound:
    def test_a_young_server_is_measured_and_well(self, quiet: Database) -> None:
        result = run_check(quiet, "transaction-id-wraparound")
        assert result.status is Status.OK
        assert {"template0", "template1", "postgres", quiet.name} <= {item.subject for item in result.measured}

    def test_tables_and_databases_over_the_limit(self, database: Database) -> None:
        database.sql("CREATE TABLE old_one (id int); CREATE TABLE other (id int)")
        result = run_check(database, "transaction-id-wraparound", thresholds=LOW)
        found = {item.subject: item for item in result.findings}
        assert result.status is Status.WARNING
        assert found["public.old_one"].remedy == "VACUUM (FREEZE, VERBOSE) public.old_one;"
        assert "connected to database" in (found["postgres"].remedy or "")
        assert "ALLOW_CONNECTIONS true" in (found["template0"].remedy or "")
        assert "VACUUM (FREEZE, VERBOSE)" in (found[database.name].remedy or "")

    @pytest.mark.parametrize(
        ("age", "status"),
        [
            (199_999_999, Status.OK),
            (499_999_999, Status.OK),
            (500_000_000, Status.WARNING),
            (1_499_999_999, Status.WARNING),
            (1_500_000_000, Status.CRITICAL),
        ],
    )
    @pytest.mark.parametrize("kind", ["transaction-id", "multixact"])
    def test_limits(self, quiet: Database, kind: str, age: int, status: Status) -> None:
        column = {"transaction-id": "relfrozenxid_age", "multixact": "relminmxid_age"}[kind]
        facts = facts_of(quiet, f"{kind}-wraparound")
        for part in (column, f"toast_{column}"):
            result = judge(load(f"{kind}-wraparound"), altered(facts, "public.t", **{part: age}))
            assert result.status is status
            assert subjects(result) == ([] if status is Status.OK else ["public.t"])

    def test_a_server_told_to_be_patient(self, quiet: Database) -> None:
        facts = altered(
            facts_of(quiet, "transaction-id-wraparound"),
            "public.t",
            relfrozenxid_age=900_000_000,
            freeze_max_age=1_000_000_000,
        )
        assert judge(load("transaction-id-wraparound"), facts).status is Status.OK

    def test_database_of_which_no_table_is_seen(self, quiet: Database) -> None:
        facts = facts_of(quiet, "transaction-id-wraparound")
        rows = [replace(row, datfrozenxid_age=1_600_000_000) for row in facts.rows[DATABASES] if not row.is_current]
        result = judge(load("transaction-id-wraparound"), replace(facts, rows={**facts.rows, DATABASES: rows}))
        assert result.status is Status.CRITICAL
        assert "postgres" in subjects(result)


class TestDeadTuples:
    def test_nothing_in_an_empty_database(self, database: Database) -> None:
        assert run_check(database, "dead-tuples").status is Status.OK

    def test_half_dead(self, database: Database, bare: str) -> None:
        half_dead(database, "orders")
        for user in (None, bare):
            finding = only(run_check(database, "dead-tuples", user=user))
            assert (finding.subject, finding.status) == ("public.orders", Status.CRITICAL)
            assert finding.measure == pytest.approx(0.5, abs=0.01)
            assert finding.remedy == "VACUUM (ANALYZE, VERBOSE) public.orders;"
        database.sql(finding.remedy or "")
        wait_until(lambda: run_check(database, "dead-tuples").status is Status.OK, "VACUUM")

    def test_counted_twice_by_one_session(self, database: Database) -> None:
        with database.connect(autocommit=True) as conn:
            conn.execute("CREATE TABLE t (id int) WITH (autovacuum_enabled = false)")
            conn.execute("INSERT INTO t SELECT generate_series(1, 30000)")
            conn.execute("VACUUM t")
            conn.execute("DELETE FROM t WHERE id > 10000")
        counted(database, "t", n_dead_tup=20_000)
        assert only(run_check(database, "dead-tuples")).measure == pytest.approx(2 / 3, abs=0.01)

    @pytest.mark.parametrize(
        ("dead", "live", "status"),
        [
            (0, 0, Status.OK),
            (9_999, 0, Status.OK),
            (10_000, 40_001, Status.OK),
            (10_000, 40_000, Status.WARNING),
            (40_000, 60_000, Status.CRITICAL),
        ],
    )
    def test_limits(self, quiet: Database, dead: int, live: int, status: Status) -> None:
        facts = altered(facts_of(quiet, "dead-tuples"), "public.t", n_dead_tup=dead, n_live_tup=live)
        assert judge(load("dead-tuples"), facts).status is status

    def test_autovacuum_is_trusted_where_it_has_just_been(self, quiet: Database) -> None:
        facts = facts_of(quiet, "dead-tuples")
        now = facts.surroundings.now
        busy = {"n_dead_tup": 90_000, "n_live_tup": 10_000, "autovacuum_on": True, "autovacuum_enabled": True}

        def status(**more: object) -> Status:
            return judge(load("dead-tuples"), altered(facts, "public.t", **busy, **more)).status

        recent = now - timedelta(minutes=2)
        assert status(last_autovacuum=recent) is Status.OK
        assert status(last_autovacuum=now - timedelta(hours=1)) is Status.CRITICAL
        assert status(last_autovacuum=None) is Status.CRITICAL
        assert status(last_autovacuum=recent, horizon_held_since=now - timedelta(minutes=5)) is Status.CRITICAL
        assert status(last_autovacuum=recent, vacuum_trigger=2_000_000_000) is Status.CRITICAL  # it will not come
        busy["autovacuum_on"] = False
        assert status(last_autovacuum=recent) is Status.CRITICAL

    def test_dead_rows_that_somebody_may_still_see(self, database: Database, bare: str) -> None:
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v int)")
        database.sql("INSERT INTO t SELECT g, g FROM generate_series(1, 12000) AS g")
        with database.connect() as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            conn.execute("SELECT count(*) FROM t")
            database.sql("UPDATE t SET v = 0")
            counted(database, "t", n_tup_upd=12_000)
            database.sql("VACUUM t")
            counted(database, "t", vacuum_count=1, n_dead_tup=12_000)
            result = run_check(database, "dead-tuples")
            assert "keeps rows from being removed" in only(result).detail
            hidden = run_check(database, "dead-tuples", user=bare)
            assert (hidden.status, hidden.blind) == (Status.UNKNOWN, True)
            assert hidden.hint == f'GRANT pg_monitor TO "{bare}";'

    def test_after_a_reset_unknown(self, database: Database) -> None:
        half_dead(database, "orders")
        database.sql("VACUUM orders")
        database.sql("UPDATE orders SET v = 0")
        counted(database, "orders", n_tup_upd=12_000)
        database.sql("SELECT pg_stat_reset()")
        wait_until(lambda: not database.sql("SELECT 1 FROM pg_stat_user_tables WHERE n_tup_upd > 0"), "the reset")
        result = run_check(database, "dead-tuples", limits={"min_dead": 10_000})
        assert (result.status, result.blind, result.findings) == (Status.UNKNOWN, False, ())
        database.sql("ANALYZE orders")
        wait_until(lambda: run_check(database, "dead-tuples").status is Status.CRITICAL, "ANALYZE")

    def test_few_dead_rows_after_a_reset_are_few(self, quiet: Database) -> None:
        facts = altered(
            facts_of(quiet, "dead-tuples"), "public.t", n_dead_tup=15_000, n_live_tup=0, reltuples=1_000_000.0
        )
        assert judge(load("dead-tuples"), facts).findings == ()


def test_autovacuum_disabled(database: Database, bare: str) -> None:
    database.sql(
        "CREATE TABLE plain (id int); CREATE TABLE filled (id int) WITH (fillfactor = 80);"
        "CREATE TABLE off (id int) WITH (autovacuum_enabled = off);"
        'CREATE TABLE "Toast" (t text) WITH (toast.autovacuum_enabled = false);'
        "CREATE TABLE tuned (id int) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_enabled)"
    )
    for user in (None, bare):
        result = run_check(database, "autovacuum-disabled", user=user)
        assert sorted(subjects(result)) == ['public."Toast"', "public.off"]
    for finding in result.findings:
        database.sql(finding.remedy or "")
    assert run_check(database, "autovacuum-disabled").status is Status.OK


class TestStatisticsMissing:
    def test_who_is_never_analyzed(self, database: Database, bare: str) -> None:
        database.sql(
            "CREATE TABLE off (id int PRIMARY KEY) WITH (autovacuum_enabled = false);"
            "CREATE TABLE small (id int PRIMARY KEY) WITH (autovacuum_enabled = false);"
            "CREATE TABLE done (id int PRIMARY KEY) WITH (autovacuum_enabled = false);"
            "CREATE TABLE empty (id int PRIMARY KEY) WITH (autovacuum_enabled = false);"
            "INSERT INTO off SELECT generate_series(1, 10000); INSERT INTO done SELECT generate_series(1, 10000);"
            "INSERT INTO small SELECT generate_series(1, 100); ANALYZE done"
        )
        counted(database, "off", n_live_tup=10_000)
        for user in (None, bare):
            finding = only(run_check(database, "statistics-missing", user=user))
            assert (finding.subject, finding.remedy) == ("public.off", "ANALYZE (VERBOSE) public.off;")

    def test_statistics_outlive_a_reset(self, database: Database, bare: str) -> None:
        database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000)")
        database.sql("ANALYZE t")
        counted(database, "t", analyze_count=1)
        database.sql("SELECT pg_stat_reset()")
        wait_until(lambda: not database.sql("SELECT 1 FROM pg_stat_user_tables WHERE analyze_count > 0"), "the reset")
        assert run_check(database, "statistics-missing").status is Status.OK
        hidden = run_check(database, "statistics-missing", user=bare)
        assert (hidden.status, hidden.blind) == (Status.UNKNOWN, True)
        assert hidden.hint is not None
        database.sql(hidden.hint)
        assert run_check(database, "statistics-missing", user=bare).status is Status.OK

    def test_lost_counts_are_found_by_the_size(self, database: Database) -> None:
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = false)")
        database.sql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g")
        counted(database, "t", n_tup_ins=20_000)
        database.sql("SELECT pg_stat_reset()")
        wait_until(lambda: not database.sql("SELECT 1 FROM pg_stat_user_tables WHERE n_tup_ins > 0"), "the reset")
        assert subjects(run_check(database, "statistics-missing")) == ["public.t"]
        with open_transaction(database, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"):
            result = run_check(database, "statistics-missing")
            assert (result.status, result.reason) == (Status.UNKNOWN, "a lock hides how large they are: public.t")

    def test_autovacuum_is_waited_for(self, quiet: Database) -> None:
        check = load("statistics-missing")
        facts = altered(
            facts_of(quiet, check.id),
            "public.t",
            n_live_tup=50_000,
            n_mod_since_analyze=50_000,
            reltuples=-1.0,
            autovacuum_on=True,
        )
        result = judge(check, facts)
        assert (result.status, result.blind) == (Status.UNKNOWN, False)
        before = sample([check], facts)
        assert judge(check, later(facts, 10), before=before).status is Status.UNKNOWN
        assert subjects(judge(check, later(facts, 600), before=before)) == ["public.t"]


def later(facts: Facts, seconds: float) -> Facts:
    around = facts.surroundings
    return replace(facts, surroundings=replace(around, now=around.now + timedelta(seconds=seconds)))


class TestAutovacuumBehind:
    def test_two_looks(self, quiet: Database) -> None:
        check = load("autovacuum-behind")
        facts = altered(facts_of(quiet, check.id), "public.t", n_dead_tup=5_000, autovacuum_on=True)
        before = sample([check], facts)
        assert judge(check, facts).status is Status.UNKNOWN
        assert judge(check, later(facts, 30), before=before).status is Status.UNKNOWN
        finding = only(judge(check, later(facts, 600), before=before))
        assert (finding.subject, finding.measure) == ("public.t", 100)
        visited = altered(later(facts, 600), "public.t", last_autovacuum=facts.surroundings.now)
        assert judge(check, visited, before=before).status is Status.OK

    def test_the_line_follows_the_tables_options(self, database: Database) -> None:
        database.sql(
            "CREATE TABLE t (id int) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.5,"
            " autovacuum_vacuum_insert_threshold = -1, autovacuum_freeze_max_age = 150000000)"
        )
        database.sql("INSERT INTO t SELECT generate_series(1, 4000)")
        database.sql("VACUUM t")
        state = table(facts_of(database, "autovacuum-behind"), "public.t")
        assert (state.vacuum_trigger, state.insert_trigger, state.freeze_max_age) == (3_000, None, 150_000_000)

    @pytest.mark.pg(">= 18")
    def test_upper_limit_of_the_line(self, database: Database) -> None:
        database.sql("CREATE TABLE t (id int) WITH (autovacuum_vacuum_max_threshold = 70)")
        database.sql("INSERT INTO t SELECT generate_series(1, 4000)")
        database.sql("VACUUM t")
        assert table(facts_of(database, "autovacuum-behind"), "public.t").vacuum_trigger == 70


def test_every_check_of_tables_leaves_the_standby_to_its_primary(quiet: Database) -> None:
    for check_id in ("dead-tuples", "autovacuum-disabled", "autovacuum-behind", "statistics-missing"):
        facts = facts_of(quiet, check_id)
        standby = replace(facts, server=replace(facts.server, in_recovery=True))
        assert judge(tuned(check_id, presence(Status.WARNING, source="")), standby).status is Status.SKIPPED
