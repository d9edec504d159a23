"""Constraints, keys and collations: promises that the catalogs hold and the rows may not."""

from __future__ import annotations

import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo
from server import Database

from dbopt.health.check import Status
from tests.health.looks import counted, only, run_check, subjects


class TestConstraintNotValid:
    def test_what_is_validated_ends_it(self, database: Database, bare: str) -> None:
        database.sql(
            "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p_id int REFERENCES p, v int);"
            "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p_id) REFERENCES p NOT VALID;"
            'ALTER TABLE c ADD CONSTRAINT "V check" CHECK (v > 0) NOT VALID;'
            "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);"
            "ALTER TABLE parent ADD CONSTRAINT positive CHECK (a > 0) NOT VALID;"
            "CREATE DOMAIN d AS int; CREATE TABLE of_domain (v d);"
            "ALTER DOMAIN d ADD CONSTRAINT d_positive CHECK (VALUE > 0) NOT VALID"
        )
        expected = ['public.c."V check"', "public.c.c_p", "public.d.d_positive", "public.parent.positive"]
        for user in (None, bare):
            result = run_check(database, "constraint-not-valid", user=user)
            assert (result.status, subjects(result)) == (Status.WARNING, expected)
        for finding in result.findings:
            database.sql(finding.remedy or "")
        assert run_check(database, "constraint-not-valid").status is Status.OK

    def test_a_partition_alone(self, database: Database) -> None:
        database.sql(
            "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);"
            "ALTER TABLE p1 ADD CONSTRAINT odd CHECK (a % 2 = 1) NOT VALID"
        )
        assert subjects(run_check(database, "constraint-not-valid")) == ["public.p1.odd"]

    @pytest.mark.pg(">= 18")
    def test_not_null_and_not_enforced(self, database: Database) -> None:
        database.sql(
            "CREATE TABLE t (a int, b int CHECK (b > 0) NOT ENFORCED);"
            "ALTER TABLE t ADD CONSTRAINT a_given NOT NULL a NOT VALID"
        )
        finding = only(run_check(database, "constraint-not-valid"))
        assert finding.remedy == "ALTER TABLE public.t VALIDATE CONSTRAINT a_given;"


class TestPrimaryKeyMissing:
    def test_who_has_none(self, database: Database, bare: str) -> None:
        fill = "SELECT g, g FROM generate_series(1, 2000) AS g"
        database.sql(
            "CREATE TABLE keyless (a int, b int); CREATE TABLE small (a int);"
            "CREATE TABLE keyed (a int PRIMARY KEY, b int);"
            "CREATE TABLE pgbench_history (a int, b int);"
            "CREATE TABLE pairs (a int NOT NULL, b int NOT NULL); CREATE UNIQUE INDEX ON pairs (a, b);"
            "CREATE TABLE loose (a int NOT NULL, b int); CREATE UNIQUE INDEX ON loose (a, b);"
            "CREATE TABLE parts (a int, b int) PARTITION BY RANGE (a);"
            "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (500);"
            "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (500) TO (9000);"
            + "".join(
                f"INSERT INTO {name} {fill};"
                for name in ("keyless", "keyed", "pgbench_history", "pairs", "loose", "parts")
            )
        )
        counted(database, "loose", n_live_tup=2000)
        counted(database, "parts_2", n_live_tup=1500)
        for user in (None, bare):
            result = run_check(database, "primary-key-missing", user=user)
            assert sorted(subjects(result)) == ["public.keyless", "public.loose", "public.parts"]

    def test_published_rows_that_nobody_can_name(self, database: Database) -> None:
        database.sql(
            "SET client_min_messages = error;"
            "CREATE TABLE stuck (a int); CREATE TABLE whole (a int); ALTER TABLE whole REPLICA IDENTITY FULL;"
            "CREATE TABLE appended (a int); CREATE TABLE nothing (a int PRIMARY KEY);"
            "ALTER TABLE nothing REPLICA IDENTITY NOTHING;"
            "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p DEFAULT;"
            "CREATE PUBLICATION all_of_it FOR TABLE stuck, whole, nothing, p;"
            "CREATE PUBLICATION inserts FOR TABLE appended WITH (publish = 'insert')"
        )
        result = run_check(database, "primary-key-missing")
        assert sorted(subjects(result)) == ["public.nothing", "public.p", "public.stuck"]
        assert "UPDATE and DELETE fail" in result.findings[0].detail

    @pytest.mark.pg(">= 15")
    def test_published_by_schema(self, database: Database) -> None:
        database.sql(
            "SET client_min_messages = error; CREATE SCHEMA s; CREATE TABLE s.t (a int); CREATE TABLE u (a int);"
            "CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA s"
        )
        assert subjects(run_check(database, "primary-key-missing")) == ["s.t"]


class TestCollationVersionMismatch:
    def test_a_collation_in_use(self, database: Database, bare: str) -> None:
        try:
            database.sql("CREATE COLLATION german (provider = icu, locale = 'de')")
        except errors.FeatureNotSupported:
            pytest.skip("this server was built without ICU")
        database.sql(
            "CREATE COLLATION unchanged (provider = icu, locale = 'sv');"
            'CREATE TABLE t (name text COLLATE german); CREATE INDEX "By name" ON t (name)'
        )
        assert run_check(database, "collation-version-mismatch").status is Status.OK
        database.sql("UPDATE pg_collation SET collversion = '1.1' WHERE collname = 'german'")
        for user in (None, bare):
            finding = only(run_check(database, "collation-version-mismatch", user=user))
            assert finding.subject == "public.german"
        assert finding.remedy is not None
        assert 'REINDEX INDEX CONCURRENTLY public."By name";' in finding.remedy
        for statement in finding.remedy.splitlines():
            database.sql(statement)
        assert run_check(database, "collation-version-mismatch").status is Status.OK

    @pytest.mark.pg(">= 15")
    def test_the_default_of_a_database(self, database: Database) -> None:
        name = f"{database.name}_icu"
        try:
            database.sql(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'")
        except errors.FeatureNotSupported:
            pytest.skip("this server was built without ICU")
        german = Database(make_conninfo(database.conninfo, dbname=name), name)
        try:
            assert run_check(german, "collation-version-mismatch").status is Status.OK
            german.sql("UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()")
            finding = only(run_check(german, "collation-version-mismatch"))
            assert finding.subject == name
            assert "REFRESH COLLATION VERSION" in (finding.remedy or "")
        finally:
            german.close()
            database.sql(f"DROP DATABASE {name} WITH (FORCE)")
