"""`dbopt suggest --workload FILE.sql`: what is read out of a file, how much it is, and what is said of the rest."""

from __future__ import annotations

import pytest

from dbopt.errors import Error
from dbopt.suggest.file import FileWorkload, read
from dbopt.suggest.model import Origin
from dbopt.suggest.script import Script

SECRET = "k5sesame"


def workload(text: str) -> FileWorkload:
    return read(text, "w.sql")


def planned(text: str) -> dict[str, tuple[float, float | None]]:
    return {one.item.query: (one.item.calls, one.item.time_ms) for one in workload(text).found if one.unread is None}


def queries(text: str) -> list[str]:
    return list(planned(text))


def unread(text: str) -> list[tuple[str, str]]:
    return [(one.item.shown, one.unread[0]) for one in workload(text).found if one.unread is not None]


# How a file is cut.


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("SELECT 1; SELECT 2", [("SELECT 1", 1), ("SELECT 2", 1)]),
        ("\ufeffSELECT 1;\n\n\nSELECT\n2;\n", [("SELECT 1", 1), ("SELECT\n2", 4)]),
        ("SELECT ';', \";\", $$;$$, $a$;$$;$a$, E'\\';';", [("SELECT ';', \";\", $$;$$, $a$;$$;$a$, E'\\';'", 1)]),
        ("SELECT 1 -- a; b\n + 2 /* ; /* ; */ ; */;", [("SELECT 1 -- a; b\n + 2 /* ; /* ; */ ; */", 1)]),
        ("SELECT 1 \\gx\nSELECT 2 \\; SELECT 3 \\g out.txt", [("SELECT 1", 1), ("SELECT 2", 2), ("SELECT 3", 2)]),
        ("SELECT a$b FROM t WHERE x = $1;", [("SELECT a$b FROM t WHERE x = $1", 1)]),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;",
            [
                (
                    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                    1,
                ),
                ("SELECT 3", 1),
            ],
        ),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            [("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", 1), ("SELECT 3", 1)],
        ),
        ("COPY t FROM stdin;\n1\tit's\n\\.\nSELECT 1;", [("COPY t FROM stdin", 1), ("SELECT 1", 4)]),
        ("COPY t FROM stdin;\n1\t2\n", [("COPY t FROM stdin", 1)]),
        ("SELECT (1; SELECT 2;", [("SELECT (1", 1), ("SELECT 2", 1)]),
        (";;\n ; -- nothing\n", []),
    ],
)
def test_cut_as_psql_cuts(text: str, pieces: list[tuple[str, int]]) -> None:
    assert [(piece.text, piece.line) for piece in Script(text)] == pieces


def test_psqls_own_commands_are_passed_over() -> None:
    found = workload("\\timing on\n\\set id 5\nSELECT a FROM t\n\\x\nWHERE b = 1;\n\\d t\n\\q\n")
    assert [" ".join(one.item.query.split()) for one in found.found] == ["SELECT a FROM t WHERE b = 1"]
    assert found.notes == ("5 commands of psql passed over: \\timing, \\set, \\x and others",)


# What is planned.


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("EXPLAIN (ANALYZE, BUFFERS) SELECT a FROM t WHERE b = 1;", "SELECT a FROM t WHERE b = 1"),
        ("EXPLAIN ANALYZE VERBOSE UPDATE t SET a = 1 WHERE b = 2;", "UPDATE t SET a = 1 WHERE b = 2"),
        ("PREPARE q AS SELECT a FROM t WHERE b = $1;", "SELECT a FROM t WHERE b = $1"),
        (
            "PREPARE q(int, text[]) AS SELECT a FROM t WHERE b = $1 AND c = ANY ($2);",
            "SELECT a FROM t WHERE b = CAST($1 AS int) AND c = ANY(CAST($2 AS text[]))",
        ),
        ("PREPARE q(unknown) AS SELECT a FROM t WHERE b = $1;", "SELECT a FROM t WHERE b = $1"),
        ("DECLARE c CURSOR FOR SELECT a FROM t;", "SELECT a FROM t"),
        ("COPY (SELECT a FROM t WHERE b = 1) TO STDOUT;", "SELECT a FROM t WHERE b = 1"),
        ("CREATE TABLE n AS SELECT a FROM t;", "SELECT a FROM t"),
        ("SELECT a INTO n FROM t;", "SELECT a FROM t"),
        (
            "SELECT a FROM t WHERE b = :id AND c = :'name' AND d > :id;",
            "SELECT a FROM t WHERE b = $1 AND c = $2 AND d > $1",
        ),
        (
            "SELECT a FROM t WHERE b = %s AND c = %(x)s AND d = %(x)s;",
            "SELECT a FROM t WHERE b = $1 AND c = $2 AND d = $2",
        ),
        ("SELECT a FROM t WHERE b = ? AND c = $1 AND d = '?';", "SELECT a FROM t WHERE b = $2 AND c = $1 AND d = '?'"),
        ("SELECT a FROM t WHERE j ? 'key' AND b = 1;", "SELECT a FROM t WHERE j ? 'key' AND b = 1"),
        ("SELECT f(1);", "SELECT f(1)"),
    ],
)
def test_what_has_the_plan(text: str, query: str) -> None:
    assert queries(text) == [query]


def test_constants_are_planned_with_and_never_shown() -> None:
    [one] = workload(f"SELECT a FROM t WHERE b = '{SECRET}';").found
    assert one.item.query == f"SELECT a FROM t WHERE b = '{SECRET}'"
    assert one.item.shown == "SELECT a FROM t WHERE b = $1"
    assert (one.item.origin, one.item.userid, one.relations) == (Origin.FILE, None, ("t",))


# How much it is.


def test_weights() -> None:
    found = planned(
        "-- calls: 1,200\n-- time: 3.5s\nSELECT a FROM t;\n"
        "-- the customer page\n-- calls: 5, time: 20ms\nSELECT b FROM t;\n"
        "SELECT c FROM t; -- calls: 7\n"
        "SELECT d FROM t;\n"
        "/* calls: 9 */ SELECT e FROM t;"
    )
    assert found == {
        "SELECT a FROM t": (1200, 3500),
        "SELECT b FROM t": (5, 20),
        "SELECT c FROM t": (1, None),
        "SELECT d FROM t": (7, None),
        "SELECT e FROM t": (1, None),
    }


def test_a_weight_that_is_none_is_told() -> None:
    found = workload("-- calls: many\nSELECT a FROM t;\n-- time: 5\nSELECT b FROM t;\n-- calls: 0\nSELECT c FROM t;")
    assert [one.item.calls for one in found.found] == [1, 1, 1]
    assert found.notes == ("a weight that is none, lines 2, 4, 6: write -- calls: 1200 or -- time: 3.5s",)


def test_the_same_several_times_adds_up() -> None:
    assert planned(
        "-- calls: 5, time: 1s\nSELECT a FROM t WHERE b = 1;\nSELECT a\n  FROM t WHERE b = 1 /* request 5 */;\n"
        "-- time: 500ms\nSELECT a FROM t WHERE b = 1;"
    ) == {"SELECT a FROM t WHERE b = 1": (7, 1500)}


def test_executions_are_the_calls_of_what_was_prepared() -> None:
    text = "PREPARE q(int) AS SELECT a FROM t WHERE b = $1;\nEXECUTE q(1);\n-- calls: 10\nEXECUTE q(2);\nDEALLOCATE q;"
    assert planned(text) == {"SELECT a FROM t WHERE b = CAST($1 AS int)": (11, None)}
    again = f"{text}\nPREPARE q AS DELETE FROM t WHERE b = $1;\nEXPLAIN EXECUTE q(3);"
    assert planned(again) == {**planned(text), "DELETE FROM t WHERE b = $1": (1, None)}
    assert unread("EXECUTE q(1);") == [("EXECUTE q($1)", "line 1 of w.sql: nothing of this name is prepared before it")]


def test_a_few_constants_are_a_few_statements() -> None:
    """A partial index may serve one of them, and not the other."""
    text = "-- calls: 90\nSELECT a FROM t WHERE s = 'open';\n-- calls: 10\nSELECT a FROM t WHERE s = 'failed';"
    assert planned(text) == {
        "SELECT a FROM t WHERE s = 'open'": (90, None),
        "SELECT a FROM t WHERE s = 'failed'": (10, None),
    }


def test_many_constants_are_a_parameter_and_what_never_changes_stays() -> None:
    text = "".join(
        f"SELECT a FROM t WHERE s = 'open' AND b = {number} AND c = date '2026-01-{number:02}';\n"
        for number in range(1, 20)
    )
    assert planned(text) == {"SELECT a FROM t WHERE s = 'open' AND b = $1 AND c = CAST($2 AS date)": (19, None)}


def test_lists_of_many_lengths_are_one_statement() -> None:
    text = "".join(f"SELECT a FROM t WHERE b IN ({', '.join(map(str, range(number)))});\n" for number in range(1, 9))
    found = workload(text).found
    assert sum(one.item.calls for one in found) == 8
    assert {one.item.fingerprint for one in found if one.item.calls == 1} == set()
    assert all("$1" in one.item.query for one in found)


# What is not.


def test_what_cannot_be_read_ends_nothing() -> None:
    text = f"SELECT a FROM t;\n\nSELEC a FROM t WHERE b = '{SECRET}';\nSELECT\n  a FROM\n  WHERE;\nSELECT b FROM t;"
    assert queries(text) == ["SELECT a FROM t", "SELECT b FROM t"]
    assert unread(text) == [
        ("SELEC a FROM t WHERE b = ?", "line 3 of w.sql: syntax error"),
        ("SELECT a FROM WHERE", "line 4 of w.sql: syntax error in line 6"),
    ]
    assert SECRET not in repr([one.item for one in workload(text).found if one.unread])


@pytest.mark.parametrize("opening", ["'", '"', "$$", "/*", "E'"])
def test_a_quote_without_its_end_costs_one_statement(opening: str) -> None:
    text = (
        f"SELECT a FROM t;\nSELECT {opening}x FROM t;\nSELECT b FROM t WHERE c = 'd';\nSELECT d FROM t WHERE e = 'f';"
    )
    assert queries(text) == [
        "SELECT a FROM t",
        "SELECT b FROM t WHERE c = 'd'",
        "SELECT d FROM t WHERE e = 'f'",
    ]
    [(_, reason)] = unread(text)
    assert reason.startswith("line 2 of w.sql: ")


def test_what_is_set_aside() -> None:
    found = workload(
        "BEGIN;\nSET search_path = app;\nSELECT a FROM t;\nSELECT relname FROM pg_class;\n"
        "SELECT * FROM information_schema.tables;\nSELECT 1;\nSELECT /* dbopt: its own */ a FROM u;\nCOMMIT;"
    )
    assert [one.item.query for one in found.found] == ["SELECT a FROM t"]
    assert found.notes == (
        "set aside: 3 statements without a plan (utility), lines 1, 2, 8",
        "set aside: 1 statement of dbopt's own, line 7",
        "set aside: 2 statements on system catalogs alone, lines 4, 5",
        "set aside: 1 statement that read no table, line 6",
        "SET search_path is not obeyed, line 2: names are found as a new session finds them",
    )


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "it is empty"),
        (" \n\t\n", "it is empty"),
        ("-- nothing yet\n", None),
        ("\\d t\n", "1 command of psql passed over: \\d"),
        ("BEGIN; COMMIT;", "set aside: 2 statements without a plan (utility), line 1"),
    ],
)
def test_nothing_to_plan_is_an_error(text: str, detail: str | None) -> None:
    with pytest.raises(Error) as raised:
        workload(text)
    assert raised.value.message == "no statement that has a plan in w.sql"
    assert raised.value.detail == detail
    assert "-- calls: 1200" in (raised.value.hint or "")
