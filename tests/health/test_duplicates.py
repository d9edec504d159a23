"""duplicate-index: precision and recall on the zoo, the keeper, and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.health.index_zoo import TABLE, ZOO, wait_for_scan
from tests.health.looks import only, run_check, subjects

if TYPE_CHECKING:
    from server import Database, Server

    from dbopt.embedded import Binaries
    from dbopt.health.check import Finding

CHECK = "duplicate-index"


@pytest.fixture(scope="module")
def found(pg: Server) -> dict[str, dict[str, str]]:
    """What goes for what, by the prefix of the case. The whole zoo stands in one database and is looked at once."""
    with pg.database() as database, database.connect(autocommit=True) as conn:
        for number, case in enumerate(ZOO):
            if database.server_version[0] >= case.since:
                for statement in (TABLE, *case.statements):
                    conn.execute(_named(statement, number))  # type: ignore[call-overload]
        result = run_check(database, CHECK)
    pairs: dict[str, dict[str, str]] = {}
    for finding in result.findings:
        prefix = _bare(finding.subject).split("_")[0]
        pairs.setdefault(prefix, {})[_bare(finding.subject)] = _keeper(finding)
    return pairs


@pytest.mark.parametrize("number", range(len(ZOO)), ids=[case.name for case in ZOO])
def test_zoo(number: int, found: dict[str, dict[str, str]], server_binaries: Binaries) -> None:
    case = ZOO[number]
    if server_binaries.version[0] < case.since:
        pytest.skip(f"for PostgreSQL {case.since} and newer")
    expected = {_named(gone, number): _named(keeper, number) for gone, keeper in case.goes.items()}
    assert found.get(f"t{number}", {}) == expected


def test_zoo_is_as_large_as_was_asked() -> None:
    assert len(ZOO) >= 60
    assert sum(not case.goes for case in ZOO) >= 25
    assert len({case.name for case in ZOO}) == len(ZOO)


def test_more_used_is_kept(database: Database) -> None:
    database.sql("CREATE TABLE t (a int); INSERT INTO t SELECT g FROM generate_series(1, 2000) g")
    database.sql("CREATE INDEX first ON t (a); CREATE INDEX second ON t (a)")
    with database.connect() as conn:
        conn.execute("SET enable_seqscan = off; DROP INDEX first")
        conn.execute("SELECT 1 FROM t WHERE a = 1")
        conn.rollback()
    wait_for_scan(database, "second")
    finding = only(run_check(database, CHECK))
    assert finding.subject == "public.first"
    assert finding.detail.endswith("public.second, which is used more: 1 scans against 0")


def test_names_the_bytes_and_the_statement(database: Database) -> None:
    database.sql('CREATE SCHEMA "my app"; CREATE TABLE "my app"."Odd ""one""" (a int)')
    database.sql('INSERT INTO "my app"."Odd ""one""" SELECT g FROM generate_series(1, 5000) g')
    database.sql('CREATE INDEX one ON "my app"."Odd ""one""" (a)')
    database.sql('CREATE INDEX "Two ""2""" ON "my app"."Odd ""one""" (a)')
    finding = only(run_check(database, CHECK))
    assert finding.subject == '"my app"."Two ""2"""'
    assert finding.measure == database.sql("SELECT pg_relation_size(%s::regclass)", [finding.subject])[0][0]
    assert finding.remedy == 'DROP INDEX CONCURRENTLY "my app"."Two ""2""";'
    assert finding.fragment is not None
    assert finding.fragment["table"] == {"schema": "my app", "name": 'Odd "one"'}
    database.sql(finding.remedy)
    assert run_check(database, CHECK).status == "ok"


def test_constraint_is_dropped_as_a_constraint(database: Database) -> None:
    database.sql('CREATE TABLE t (a int CONSTRAINT one UNIQUE); ALTER TABLE t ADD CONSTRAINT "Two" UNIQUE (a)')
    finding = only(run_check(database, CHECK))
    assert finding.remedy == 'ALTER TABLE public.t DROP CONSTRAINT "Two";'
    assert finding.fragment is None
    database.sql(finding.remedy)
    assert run_check(database, CHECK).status == "ok"


def test_cluster_mark_moves_to_the_keeper(database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b int); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a, b)")
    database.sql("ALTER TABLE t CLUSTER ON i")
    finding = only(run_check(database, CHECK))
    assert finding.fragment is None
    for line in (finding.remedy or "").splitlines():
        database.sql(line)
    assert database.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered") == [("j",)]


def test_bare_login_sees_the_same(database: Database) -> None:
    database.sql("CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a)")
    database.sql("CREATE ROLE duplicates_bare LOGIN")
    try:
        assert subjects(run_check(database, CHECK, user="duplicates_bare")) == ["public.j"]
    finally:
        database.sql("DROP ROLE duplicates_bare")


def test_locked_indexes_cost_their_exact_size_only(database: Database) -> None:
    database.sql("CREATE TABLE t (a int); INSERT INTO t SELECT g FROM generate_series(1, 5000) g")
    database.sql("CREATE INDEX i ON t (a); CREATE INDEX j ON t (a)")
    with database.connect() as conn:
        conn.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        conn.execute("ALTER INDEX j SET (fillfactor = 80)")
        conn.execute("REINDEX INDEX j")
        finding = only(run_check(database, CHECK))
        conn.rollback()
    assert "(estimated)" in finding.detail
    assert finding.measure > 0


def test_extension_tables_are_left_alone(database: Database) -> None:
    database.sql("CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a)")
    database.sql(
        "INSERT INTO pg_depend SELECT 'pg_class'::regclass, 't'::regclass, 0, 'pg_extension'::regclass, oid, 0, 'e'"
        " FROM pg_extension WHERE extname = 'plpgsql'"
    )
    assert run_check(database, CHECK).status == "ok"


def _named(text: str, number: int) -> str:
    """With the name of the case's table for T."""
    words = text.replace("T_", f"t{number}_")
    return words.replace(" T ", f" t{number} ").replace("T.*", f"t{number}.*").replace("(T)", f"(t{number})")


def _bare(name: str) -> str:
    return name.removeprefix("public.")


def _keeper(finding: Finding) -> str:
    """The index that the detail names."""
    return _bare(finding.detail.split("; ")[1].split(", which")[0].split(", by which")[0].split(" ")[-1])
