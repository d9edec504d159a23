"""What twins are, what they leave behind (nothing), and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import index_names
from psycopg.conninfo import make_conninfo

from dbopt.optimize.twin import OBJECTS_AT_A_TIME

if TYPE_CHECKING:
    from server import Database

    from dbopt.optimize.steps import Plan
    from tests.optimize.runs import Project


def counts(database: Database) -> list[tuple[int, ...]]:
    """Relations and types, those of temporary schemas included."""
    return database.sql("SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_type)")


def refusals(plan: Plan) -> dict[str | None, tuple[str, str]]:
    return {one.index: (one.code, one.message) for one in plan.findings if one.severity.value == "error"}


def actions(plan: Plan) -> list[tuple[str, str | None]]:
    return [(step.action.value, step.index) for step in plan.steps if step.index is not None]


def test_a_plan_leaves_nothing(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b text); CREATE INDEX gone ON t (b) WHERE a = 1 AND b = 'x'")
    before = counts(database)
    project.wants(
        "name: one, table: t, keys: [{expr: lower(b)}]",
        "name: bad, table: t, keys: [{expr: nothing(b)}]",
        "name: gone, table: t, keys: [b], where: b = 'x' AND 1 = a",
    )
    assert actions(project.plan()) == [("create", "one")]
    assert counts(database) == before


def test_more_than_is_asked_at_a_time(project: Project, database: Database) -> None:
    """Each of another type: no two of them can share a twin, nor an answer."""
    tables = range(OBJECTS_AT_A_TIME + 5)
    database.sql("; ".join(f"CREATE TABLE t{n} (a varchar({n + 1})); CREATE INDEX i{n} ON t{n} (a)" for n in tables))
    project.wants(*(f"name: i{n}, table: t{n}, keys: [a{', a' if n == 7 else ''}]" for n in tables))
    plan = project.plan()
    assert actions(plan) == [("replace", "i7")]
    assert len(plan.unchanged) == len(tables) - 1


def test_tables_that_share_a_twin_are_not_taken_for_one_another(project: Project, database: Database) -> None:
    """The same words mean something else where a column has another type or collation, or the table another name."""
    database.sql("CREATE TABLE t (a text, b int, c text)")
    database.sql('CREATE TABLE u (a int, b int, c text COLLATE "C")')
    database.sql("CREATE TABLE v (a text, b int, d text)")
    database.sql("CREATE INDEX i1 ON t (a) WHERE c > 'x'; CREATE INDEX i2 ON u (a) WHERE c > 'x'")
    database.sql("CREATE INDEX i3 ON v (a) WHERE d > 'x'; CREATE INDEX j1 ON t (c); CREATE INDEX j2 ON u (c)")
    database.sql("CREATE INDEX k1 ON t ((t.b + 1)); CREATE INDEX k2 ON u ((u.b + 1))")
    project.wants(
        "name: i1, table: t, keys: [a], where: c > 'x'",
        "name: i2, table: u, keys: [a], where: c > 'x'",
        "name: i3, table: v, keys: [a], where: d > 'x'",
        "name: j1, table: t, keys: [c]",
        "name: j2, table: u, keys: [c]",
        "name: j3, table: u, keys: [{column: c, collation: C}]",
        "name: k1, table: t, keys: [{expr: t.b + 1}]",
        "name: k2, table: u, keys: [{expr: u.b + 1}]",
        "name: k3, table: v, keys: [{expr: u.b + 1}]",
        "name: k4, table: v, keys: [{expr: upper(c)}]",
        "name: k5, table: u, keys: [{expr: upper(a)}]",
    )
    plan = project.plan()
    assert actions(plan) == [("create", "j3")]
    assert len(plan.unchanged) == 7
    assert {index: code for index, (code, _) in refusals(plan).items()} == {
        "k3": "invalid-definition",
        "k4": "missing-column",
        "k5": "missing-function",
    }


def test_tables_of_one_name_with_a_twin_each(project: Project, database: Database) -> None:
    database.sql("CREATE SCHEMA app; CREATE SCHEMA crm; CREATE TABLE app.users (a int, b int)")
    database.sql("CREATE TABLE crm.users (a text, c text)")
    of = "table: {{schema: {}, name: users}}"
    project.wants(
        f"name: i, {of.format('app')}, keys: [{{expr: users.a + 1}}]",
        f"name: j, {of.format('crm')}, keys: [{{expr: lower(users.a)}}]",
        f"name: k, {of.format('app')}, keys: [{{expr: users.a + 2}}], where: users.b > 0",
        f"name: bad, {of.format('app')}, keys: [{{expr: lower(users.c)}}]",
    )
    plan = project.plan()
    assert sorted(actions(plan)) == [("create", "i"), ("create", "j"), ("create", "k")]
    assert {index: code for index, (code, _) in refusals(plan).items()} == {"bad": "missing-column"}


def test_a_type_that_the_role_may_not_use_costs_the_others_nothing(project: Project, database: Database) -> None:
    """Their tables would share a twin with one that cannot be made."""
    database.sql("CREATE TYPE mood AS ENUM ('ok', 'sad'); REVOKE USAGE ON TYPE mood FROM PUBLIC")
    database.sql("CREATE TABLE t (a int); CREATE TABLE u (m mood)")
    database.sql(f"CREATE ROLE {database.name} LOGIN; GRANT CREATE ON SCHEMA public TO {database.name}")
    database.sql(f"ALTER TABLE t OWNER TO {database.name}; ALTER TABLE u OWNER TO {database.name}")
    project.conninfo = make_conninfo(database.conninfo, user=database.name)
    try:
        plan = project.wants("name: i, table: t, keys: [a]", "name: j, table: u, keys: [m]").plan()
        assert actions(plan) == [("create", "i")]
        assert list(refusals(plan)) == ["j"]
    finally:
        database.sql(f"DROP OWNED BY {database.name}; DROP ROLE {database.name}")


def test_one_refused_definition_costs_the_others_nothing(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b text, c json)")
    database.sql("CREATE TABLE u (a int)")
    project.wants(
        "name: good, table: t, keys: [a]",
        "name: no_opclass, table: t, keys: [c]",
        "name: no_function, table: t, keys: [{expr: nothing(a)}]",
        "name: not_immutable, table: t, keys: [a], where: b < now()::text",
        "name: no_column, table: t, keys: [{expr: lower(missing)}]",
        "name: good_too, table: u, keys: [a]",
    )
    plan = project.plan()
    assert sorted(actions(plan)) == [("create", "good"), ("create", "good_too")]
    assert {index: code for index, (code, _) in refusals(plan).items()} == {
        "no_opclass": "missing-object",
        "no_function": "missing-function",
        "not_immutable": "not-immutable",
        "no_column": "missing-column",
    }


@pytest.mark.parametrize("path", ["", "nowhere", "public, pg_temp", '"$user", app'])
def test_the_search_path_of_the_role_does_not_matter(project: Project, database: Database, path: str) -> None:
    database.sql("CREATE SCHEMA app; CREATE TYPE public.mood AS ENUM ('ok', 'sad')")
    database.sql("CREATE TABLE app.mood (m public.mood, v varchar); CREATE INDEX i ON app.mood (v) WHERE m = 'ok'")
    database.sql(f"ALTER DATABASE {database.name} SET search_path = {path or chr(39) * 2}")
    project.wants("name: i, table: {schema: app, name: mood}, keys: [v], where: m = 'ok'::public.mood")
    project.assert_settled()


def test_settings_of_the_database_tell_no_lie(project: Project, database: Database) -> None:
    for setting in ("extra_float_digits = -10", "TimeZone = 'Asia/Kolkata'", "DateStyle = 'SQL, DMY'"):
        database.sql(f"ALTER DATABASE {database.name} SET {setting}")
    database.sql("CREATE TABLE t (f float8, tz timestamptz, d date)")
    database.sql("CREATE INDEX float ON t (f) WHERE f > '0.12345678901'")
    database.sql("CREATE INDEX zone ON t (f) WHERE tz > '2024-01-01'")
    database.sql("CREATE INDEX day ON t (f) WHERE d > '01/02/2024'")
    project.wants(
        "name: float, table: t, keys: [f], where: f > '0.12345678902'",
        "name: zone, table: t, keys: [f], where: tz > '2023-12-31 18:30+00'",
        "name: day, table: t, keys: [f], where: d > '2024-02-01'",
    )
    assert actions(project.plan()) == [("replace", "float")]
    project.assert_converges()


@pytest.mark.pg(">= 15")
def test_tablespaces(project: Project, database: Database) -> None:
    """Where a spec is silent any tablespace will do; one for temporary tables does not get in the way."""
    with database.connect(autocommit=True) as conn:
        conn.execute("SET allow_in_place_tablespaces = on")
        conn.execute("CREATE TABLESPACE dbopt_test_one LOCATION ''")
        conn.execute("CREATE TABLESPACE dbopt_test_two LOCATION ''")
    try:
        database.sql("CREATE TABLE t (a int, b int)")
        database.sql("CREATE INDEX i ON t (a) TABLESPACE dbopt_test_one; CREATE INDEX j ON t (b)")
        database.sql(f"ALTER DATABASE {database.name} SET temp_tablespaces = 'dbopt_test_two'")
        project.wants("name: i, table: t, keys: [a]", "name: j, table: t, keys: [b]").assert_settled()
        project.wants("name: i, table: t, keys: [a], tablespace: dbopt_test_one").assert_settled()
        project.wants("name: i, table: t, keys: [a], tablespace: dbopt_test_two")
        assert actions(project.plan()) == [("replace", "i")]
        project.assert_converges()
        project.wants("name: i, table: t, keys: [a, b]").assert_converges()
        assert database.sql("SELECT tablespace FROM pg_indexes WHERE indexname = 'i'") == [("dbopt_test_two",)]
    finally:
        database.sql("DROP TABLE t")
        database.sql("DROP TABLESPACE dbopt_test_one")
        database.sql("DROP TABLESPACE dbopt_test_two")


@pytest.mark.pg(">= 18")
@pytest.mark.parametrize("key", ["twice", "{expr: twice + 1}"])
def test_a_virtual_column_is_refused(project: Project, database: Database, key: str) -> None:
    database.sql("CREATE TABLE t (a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL)")
    plan = project.wants(f"name: i, table: t, keys: [{key}]").plan()
    message = "column twice of public.t is a virtual generated column, which cannot be indexed"
    assert refusals(plan) == {"i": ("not-supported-by-server", message)}


def test_a_function_of_the_whole_row_is_refused(project: Project, database: Database) -> None:
    """The twin's row is another type than the table's."""
    database.sql("CREATE TABLE t (a int)")
    database.sql("CREATE FUNCTION whole(t) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1.a; END'")
    plan = project.wants("name: i, table: t, keys: [{expr: whole(t)}]").plan()
    assert {index: code for index, (code, _) in refusals(plan).items()} == {"i": "missing-function"}


def test_a_dropped_column_of_the_table_is_no_trap(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b int, c text, d text); ALTER TABLE t DROP COLUMN a")
    project.wants(
        "name: i, table: t, keys: [{column: c, opclass: text_pattern_ops}, b], include: [d], where: b > 0"
    ).assert_converges()
    database.sql("ALTER TABLE t ADD COLUMN a int")
    project.assert_settled()


def test_thirty_two_keys_and_thirty_three(project: Project, database: Database) -> None:
    columns = [f"c{n}" for n in range(33)]
    database.sql(f"CREATE TABLE t ({', '.join(f'{name} int' for name in columns)})")
    project.wants(f"name: i, table: t, keys: [{', '.join(columns[:32])}]").assert_converges()
    assert index_names(database, "t") == ["i"]
    plan = project.wants(f"name: j, table: t, keys: [{', '.join(columns)}]").plan()
    assert {index: code for index, (code, _) in refusals(plan).items()} == {"j": "too-many-columns"}


def test_planner_settings_of_the_role_do_not_matter(project: Project, database: Database) -> None:
    """Two wordings are the same if the planner can prove it, whatever plans it is told to avoid."""
    for setting in ("enable_indexscan = off", "enable_bitmapscan = off", "constraint_exclusion = on"):
        database.sql(f"ALTER DATABASE {database.name} SET {setting}")
    database.sql("CREATE TABLE t (a int, v varchar); CREATE INDEX i ON t (lower(v), (a + 4)) WHERE v IN ('x', 'y')")
    key = "{expr: lower(v)}, {expr: a + 2 * 2}"
    project.wants(f"name: i, table: t, keys: [{key}], where: v = 'y' OR v = 'x'").assert_settled()
    project.wants(f"name: i, table: t, keys: [{key}], where: v = 'y' OR v = 'z'")
    assert actions(project.plan()) == [("replace", "i")]


def test_constants_that_cannot_be_folded_are_refused(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int); CREATE INDEX i ON t (a) WHERE a > 0")
    plan = project.wants("name: i, table: t, keys: [a], where: a > 1 / 0").plan()
    assert plan.steps == ()
    assert refusals(plan) == {"i": ("invalid-definition", "division by zero [SQLSTATE 22012]")}


def test_wordings_of_several_tables(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b bool); CREATE TABLE u (a int, b bool)")
    database.sql("CREATE DOMAIN truth AS bool; CREATE TABLE v (a int, b truth)")
    for table in ("t", "u", "v"):
        database.sql(f"CREATE INDEX i_{table} ON {table} (a) WHERE b = true AND a > 0")
    project.wants(*(f"name: i_{table}, table: {table}, keys: [a], where: a > 0 AND b" for table in ("t", "u", "v")))
    project.assert_settled()
    database.sql("DROP TABLE u; CREATE TABLE u (a int, b bool, c int)")
    database.sql("CREATE INDEX i_u ON u (a) WHERE b = true AND a > 1")
    assert actions(project.plan()) == [("replace", "i_u")]
