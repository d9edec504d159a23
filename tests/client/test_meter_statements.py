"""What a text does and to which tables, by PostgreSQL's grammar."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from dbopt.client.meter import statements
from dbopt.client.meter.harmless import BUILT_IN
from dbopt.client.meter.statements import shown, statement

UNKNOWN = "who can tell"


@pytest.mark.parametrize(
    ("text", "operation", "table", "reads", "writes"),
    [
        ("SELECT 1", "select", None, "", ""),
        ("SELECT p.id FROM app.posts AS p WHERE p.id = %(id_1)s::INTEGER", "select", "app.posts", "app.posts", ""),
        ('SELECT 1 FROM "Odd Name" JOIN b ON true WHERE x = %s', "select", "Odd Name", "Odd Name b", ""),
        ("SELECT (SELECT count(*) FROM a) FROM b", "select", "b", "a b", ""),
        ("SELECT 1 FROM (SELECT 1 FROM a JOIN b ON true) AS s", "select", "a", "a b", ""),
        ("SELECT 1 FROM a UNION ALL SELECT 1 FROM b", "select", "a", "a b", ""),
        ("SELECT 1 FROM generate_series(1, 2) AS g, t TABLESAMPLE SYSTEM (1)", "select", "t", "t", ""),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM t)", "select", "t", "t", ""),
        ("WITH x AS (SELECT 1 FROM t) SELECT 1 FROM x", "select", "t", "t", ""),
        ("WITH RECURSIVE r AS (SELECT 1 FROM t UNION ALL SELECT 1 FROM t, r) SELECT 1 FROM r", "select", "t", "t", ""),
        ("SELECT 1 FROM t FOR UPDATE", "select", "t", "t", ""),
        ("VALUES (1)", "select", None, "", ""),
        # What is written.
        ("INSERT INTO t (a) VALUES (%(a__0)s::VARCHAR), (%(a__1)s::VARCHAR) RETURNING id", "insert", "t", "", "t"),
        ("INSERT INTO app.t SELECT a FROM u ON CONFLICT DO NOTHING", "insert", "app.t", "u", "app.t"),
        ("UPDATE t SET a = u.a FROM u WHERE t.id = u.id", "update", "t", "u", "t"),
        ("DELETE FROM t USING u WHERE t.id = u.id", "delete", "t", "u", "t"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "merge", "t", "u", "t"),
        ("WITH m AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM m", "insert", "b", "", "a b"),
        ("WITH w AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT count(*) FROM w", "insert", "t", "", "t"),
        ("COPY t (a) FROM STDIN", "copy", "t", "", "t"),
        ("COPY t TO STDOUT", "copy", "t", "t", ""),
        ("COPY (SELECT 1 FROM t) TO STDOUT", "copy", "t", "t", ""),
        ("TRUNCATE a, s.b", "truncate", "a", "", "a s.b"),
        ("TRUNCATE a CASCADE", "truncate", "a", "", UNKNOWN),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", "refresh", "v", "", "v"),
        ("EXPLAIN (ANALYZE) DELETE FROM t", "explain", "t", "", "t"),
        # Functions.
        ("SELECT now(), count(*), pg_catalog.lower(a), pg_sleep(1) FROM t", "select", "t", "t", ""),
        ("SELECT extract(year FROM d), COALESCE(a, 1), trim(b), CURRENT_DATE FROM t", "select", "t", "t", ""),
        ("SELECT close_month(1)", "select", None, "", UNKNOWN),
        ("SELECT app.count(a) FROM t", "select", "t", "t", UNKNOWN),
        ("INSERT INTO t VALUES (next_number())", "insert", "t", "", UNKNOWN),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", "select", None, "", UNKNOWN),
        ("CALL p(1)", "call", None, "", UNKNOWN),
        ("DO $$ BEGIN END $$", "do", None, "", UNKNOWN),
        ("EXECUTE q(1)", "execute", None, "", UNKNOWN),
        # Neither.
        ("BEGIN", "transaction", None, "", ""),
        ("SAVEPOINT a", "transaction", None, "", ""),
        ("SET search_path = a", "set", None, "", ""),
        ("VACUUM t", "vacuum", "t", "", ""),
        ("FETCH FORWARD 10 FROM c", "fetch", None, "", ""),
        ("-- a comment", "other", None, "", ""),
        ("", "other", None, "", ""),
        ("SELEC 1", "other", None, "", UNKNOWN),
        ("SELECT '\ud800'", "other", None, "", UNKNOWN),
        # Several.
        ("INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)", "insert", "a", "", "a"),
        ("INSERT INTO a VALUES (1); DELETE FROM b; SELECT 1 FROM c", "several", None, "c", "a b"),
        ("DELETE FROM a; CALL p()", "several", None, "", UNKNOWN),
        # Percent signs.
        ("SELECT 5 %% 2 FROM t WHERE a LIKE 'x%%' AND b = %s", "select", "t", "t", ""),
        ("SELECT a %s FROM t", "select", "t", "t", ""),
        # Before SQLAlchemy knows the length of a list.
        ("SELECT 1 FROM t WHERE a IN (__[POSTCOMPILE_a_1])", "select", "t", "t", ""),
        ("SELECT 1 FROM t WHERE a IN (__[POSTCOMPILE_a_1~~~~REPL~~::INTEGER~~])", "select", "t", "t", ""),
    ],
)
def test_statements(text: str, operation: str, table: str | None, reads: str, writes: str) -> None:
    found = statement(text)
    assert (found.operation, found.table, found.is_ddl) == (operation, table, False)
    names = lambda words: {word.replace("_", " ") if word == "Odd_Name" else word for word in words.split()}  # noqa: E731
    assert set(found.reads) == names(reads.replace("Odd Name", "Odd_Name"))
    assert found.writes == (None if writes == UNKNOWN else names(writes))


@pytest.mark.parametrize(
    ("text", "operation", "table", "writes"),
    [
        ("CREATE TABLE t (a int REFERENCES u)", "create", "t", {"t"}),
        ("CREATE TEMP TABLE x ON COMMIT DROP AS SELECT a FROM y", "create", "x", {"x"}),
        ("SELECT a INTO z FROM y", "create", "z", {"z"}),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "create", "t", set()),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM t", "create", "v", {"v"}),
        ("ALTER TABLE t ADD COLUMN b int", "alter", "t", {"t"}),
        ("ALTER TABLE t RENAME TO z", "alter", "t", None),
        ("DROP TABLE t", "drop", None, None),
        ("GRANT SELECT ON t TO x", "grant", "t", None),
    ],
)
def test_changes_of_the_schema(text: str, operation: str, table: str | None, writes: set[str] | None) -> None:
    found = statement(text)
    assert (found.operation, found.table, found.writes, found.is_ddl) == (operation, table, writes, True)


def test_functions_are_named_that_may_write() -> None:
    assert statement("SELECT close_month(1), app.f(), lower(a) FROM t").functions == {"close_month", "app.f"}


def test_whatever_the_length_of_a_list_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(
        statements.grammar, "parse", lambda text, real=statements.grammar.parse: read.append(1) or real(text)
    )
    for rows in (300, 400, 5000):
        values = ", ".join(
            f"(%(a_{n})s::VARCHAR(20), %(b_{n})s::TIMESTAMP WITHOUT TIME ZONE, %(c_{n})s)" for n in range(rows)
        )
        found = statement(f"INSERT INTO long_lists (a, b, c) VALUES {values} RETURNING id")
        assert (found.operation, found.table) == ("insert", "long_lists")
        ids = ", ".join(f"%(id_{n})s::INTEGER" for n in range(rows))
        assert statement(f"SELECT 1 FROM long_lists WHERE id IN ({ids})").reads == {"long_lists"}
    assert len(read) == 2


def test_a_text_without_end_is_not_read() -> None:
    values = ", ".join(f"('{n}')" for n in range(50_000))
    assert statement(f"INSERT INTO t VALUES {values}") == statements.UNKNOWN


def test_what_is_compiled_is_one_text_for_all_lists() -> None:
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("a", sa.Integer), sa.Column("b", sa.String))
    compiled = (
        sa.select(table).where(table.c.a.in_([1, 2]), table.c.b == "x").compile(dialect=postgresql.psycopg.dialect())
    )
    assert "POSTCOMPILE" in compiled.string
    assert statement(compiled.string).table == "t"
    assert shown(compiled.string).endswith("WHERE t.a IN ($1) AND t.b = $2::VARCHAR")


def test_shown_has_no_values() -> None:
    text = "SELECT * FROM t WHERE a = 'secret' AND b = %(b)s AND c = %(b)s AND d IN (1, 2) -- hint"
    assert shown(text) == "SELECT * FROM t WHERE a = $2 AND b = $1 AND c = $1 AND d IN ($3, $4)"


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="%"), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(_NAMES, _NAMES, st.sampled_from(["SELECT * FROM {}", "DELETE FROM {}", "UPDATE {} SET a = %(a)s"]))
def test_names_are_as_the_catalogs_have_them(schema: str, name: str, form: str) -> None:
    quote = postgresql.dialect().identifier_preparer.quote_identifier
    found = statement(form.format(f"{quote(schema)}.{quote(name)}"))
    assert found.table == f"{schema}.{name}"
    assert found.table in (found.reads | (found.writes or set()))


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert statement(text).operation
    assert isinstance(shown(text), str)


@pytest.mark.pg(">= 18")  # the newest knows them all
def test_functions_that_are_called_harmless_are_the_server_s(database) -> None:
    rows = database.sql("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
    assert BUILT_IN - {name for (name,) in rows} == set()
    assert not BUILT_IN & {"query_to_xml", "ts_stat", "ts_rewrite", "cursor_to_xml", "lo_unlink"}
