"""What is thought of for an access: as somebody who knows would."""

from __future__ import annotations

import pytest

from dbopt.suggest.candidates.existing import finds_one_row, is_prefix, is_there
from dbopt.suggest.candidates.expressions import may_be_key
from dbopt.suggest.candidates.generate import candidates, covering, with_patterns
from dbopt.suggest.model import SortKey
from suggest.worlds import access, candidate, index, subject, table, words

TEXT = {"type_name": "text", "avg_width": 20}
COLUMNS = {
    "id": {"n_distinct": -1.0},
    "a": {"n_distinct": 50.0},
    "b": {"n_distinct": 5000.0},
    "c": {},
    "at": {"type_name": "timestamp with time zone", "avg_width": 8, "correlation": 0.999, "n_distinct": -0.9},
    "plain": {"type_name": "timestamp without time zone", "avg_width": 8},
    "done": {"type_name": "boolean", "avg_width": 1, "n_distinct": 2.0},
    "status": {**TEXT, "n_distinct": 5.0},
    "email": {**TEXT, "n_distinct": -1.0},
    "doc": {"type_name": "jsonb", "avg_width": 300, "n_distinct": -0.5},
    "tags": {"type_name": "text[]", "avg_width": 40},
    "body": {**TEXT, "avg_width": 2000},
    "found": {"type_name": "tsvector", "avg_width": 500},
    "mood": {"type_name": 'other."Mood"', "n_distinct": 3.0},
    "during": {"type_name": "tstzrange", "avg_width": 22},
}
PKEY = index("t_pkey", "id", unique=True)
TABLE = table(COLUMNS, PKEY)


def made(*args: object, **more: object) -> list[str]:
    one = subject(1, access(*args, **more))  # type: ignore[arg-type]
    return [words(item) for item in candidates(one, {TABLE.name: TABLE}, {"pg_trgm": ""})]


def test_what_is_equal_comes_first_then_the_order() -> None:
    assert made("a = $1 AND b = $2", order="at desc")[0] == "(b, a, at)"


def test_a_range_comes_last() -> None:
    found = made("a = $1 AND at >= $2 AND at < $3")
    assert found[0] == "(a, at)"
    assert "(at, a)" not in found


def test_an_order_of_both_directions_keeps_them() -> None:
    assert made("a = $1", order="b desc, c")[0] == "(a, b, c desc)"


def test_nulls_that_stand_where_they_usually_do_not_are_kept() -> None:
    one = subject(1, access("a = $1"))
    asked = access("a = $1")
    asked = type(asked)(
        relation=asked.relation, alias="t", conditions=asked.conditions, order=(SortKey("b", None, True, False),)
    )
    first = candidates(subject(1, asked), {TABLE.name: TABLE}, {})[0]
    assert one.item.number == 1
    # Read backward it is b DESC NULLS LAST.
    assert (first.keys[1].descending, first.keys[1].nulls_first) == (False, True)


def test_a_join_is_looked_up_alone_and_with_what_is_equal() -> None:
    found = made("a = $1", joins="t.b = o.id")
    assert {"(b)", "(a, b)", "(b, a)", "(a)"} <= set(found)


def test_a_list_stands_behind_what_is_equal() -> None:
    assert {"(b, a)", "(b)"} <= set(made("b = $1 AND a = ANY ($2)"))


def test_nothing_is_needed_beside_what_finds_one_row() -> None:
    assert made("id = $1 AND a = $2", order="at") == []
    assert made("email = $1 AND a = $2") == ["(email)"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lower(email) = $1", "(lower(email))"),
        ("lower(email) ~~ 'ab%'", "(lower(email) text_pattern_ops)"),
        ("email ~~ 'ab%'", "(email text_pattern_ops)"),
        ("email ~~ ($1 || '%')", "(email text_pattern_ops)"),
        ("email ~~* $1", "gin (email gin_trgm_ops)"),
        ("email ~~ '%ab%'", "gin (email gin_trgm_ops)"),
        ("doc @> $1", "gin (doc jsonb_path_ops)"),
        ("doc ? $1", "gin (doc)"),
        ("(doc ->> 'kind') = $1", "(doc ->> 'kind')"),
        ("tags && $1", "gin (tags)"),
        ("found @@ $1", "gin (found)"),
        ("to_tsvector('english', body) @@ $1", "gin (to_tsvector('english', body))"),
        ("during && $1", "gist (during)"),
        ("at >= $1", "brin (at)"),
        ("status = 'queued'", "(a) where status = 'queued'"),
        ("status = 'queued'::text", "(a) where status = 'queued'"),
        ("mood = 'Sad'::\"Mood\" AND a = $1", "(a) where mood = 'Sad'"),
        ("NOT done AND a = $1", "(a) where NOT done"),
        ("a = $1 AND at IS NULL", "(a) where at IS NULL"),
        ("date_trunc('day', plain) = $1", "(date_trunc('day', plain))"),
        ("a = $1 OR b = $2", "(b)"),
        ("c = $3 AND (a = $1 OR b = $2)", "(c, b)"),
        ("status ~~* $1 OR email ~~* $1", "gin (email gin_trgm_ops)"),
    ],
)
def test_each_operator_has_its_index(where: str, expected: str) -> None:
    output = frozenset({"a", "status"}) if "queued" in where else None
    assert expected in made(where, output=output), made(where, output=output)


@pytest.mark.parametrize(
    "where",
    [
        "date_trunc('day', at) = $1",  # depends on TimeZone
        "(doc ->> $2) = $1",
        "to_tsvector(body) @@ $1",  # depends on default_text_search_config
        "a <> $1",
        "my.own(a) = $1",
        "body = $1",  # too wide for a btree
        "a = $1 OR b <> $2",  # all of it is read anyway
    ],
)
def test_no_index_that_the_server_would_refuse(where: str) -> None:
    assert made(where) == []


def test_a_pattern_that_is_a_parameter_may_be_either() -> None:
    assert {"(email text_pattern_ops)", "gin (email gin_trgm_ops)"} <= set(made("email ~~ $1"))


def test_without_the_extension_there_is_no_trigram() -> None:
    one = subject(1, access("email ~~* $1"))
    assert candidates(one, {TABLE.name: TABLE}, {}) == ()
    found = candidates(one, {TABLE.name: TABLE}, {"pg_trgm": "ext"})
    assert [words(item) for item in found] == ["gin (email ext.gin_trgm_ops)"]


def test_what_is_there_is_not_proposed() -> None:
    known = table(COLUMNS, PKEY, index("t_a_at", "a", "at"))
    found = candidates(subject(1, access("a = $1", order="at desc")), {known.name: known}, {})
    assert "(a, at)" not in map(words, found)
    assert "(a)" not in map(words, found)


def test_a_small_table_needs_none() -> None:
    small = table(COLUMNS, rows=100)
    assert candidates(subject(1, access("a = $1")), {small.name: small}, {}) == ()


def test_group_and_extreme() -> None:
    assert "(a, b, c)" in made("a = $1", group=("b", "c"))
    assert "(a, b)" in made("a = $1", extreme=("b",))


def test_covering_holds_what_is_read() -> None:
    asked = access("a = $1", output=frozenset({"a", "c", "b"}))
    found = covering(candidate("a"), asked, TABLE.relation)
    assert found is not None
    assert words(found) == "(a) include (b, c)"
    wide = access("a = $1", output=frozenset({"a", "body"}))
    assert covering(candidate("a"), wide, TABLE.relation) is None
    assert covering(candidate("a"), access("a = $1"), TABLE.relation) is None


def test_a_unique_index_finds_one_row() -> None:
    assert finds_one_row(TABLE.relation, {"id", "a"})
    assert not finds_one_row(TABLE.relation, {"a"})


def test_an_index_read_backward_is_the_same() -> None:
    known = table(COLUMNS, index("t_a_b", "a", "b"))
    assert is_there(candidate("a desc", "b desc"), known.relation)
    assert not is_there(candidate("a", "b desc"), known.relation)
    assert not is_there(candidate("a", include=("c",)), known.relation)
    assert not is_there(candidate("a text_pattern_ops"), known.relation)


def test_a_longer_one_does_what_a_shorter_does() -> None:
    assert is_prefix(candidate("a"), candidate("a", "b"))
    assert is_prefix(candidate("a", include=("b",)), candidate("a", "b"))
    assert not is_prefix(candidate("b"), candidate("a", "b"))
    assert not is_prefix(candidate("a"), candidate("a", "b", where="done"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("lower(email)", True),
        ("COALESCE(a, 0)", True),
        ("(status || ' '::text) || email", True),
        ("status || a", False),  # how a number is written depends on settings
        ("(doc ->> 'n')::integer", True),
        ("(doc ->> 'n')::date", False),  # depends on DateStyle
        ("at::date", False),
        ("plain::date", True),
        ("at::text", False),
        ("now()", False),
        ("lower(gone)", False),
        ("lower(", False),
    ],
)
def test_only_what_is_immutable_is_a_key(expression: str, expected: bool) -> None:
    assert may_be_key(expression, TABLE.relation) is expected


@pytest.mark.parametrize("where", ["email = 'somebody@example.org'", "b = 17", "c = 17"])
def test_a_constant_that_is_one_of_many_is_no_predicate(where: str) -> None:
    assert not [words for words in made(f"{where} AND a = $1", order="at") if "where" in words]


@pytest.mark.parametrize("predicate", ["status = 'open'::text", "(status = 'open'::character varying(9))"])
def test_a_partial_index_that_is_there_is_known_as_the_catalog_spells_it(predicate: str) -> None:
    relation = table(COLUMNS, index("t_a", "a", predicate=predicate)).relation
    assert is_there(candidate("a", where="status = 'open'"), relation)
    assert not is_there(candidate("a", where="status = 'shut'"), relation)


def test_a_short_list_of_constants_makes_a_partial_index() -> None:
    found = made("status = ANY ('{new,paid}'::text[])", order="at")
    assert "(at) where status = ANY ('{new,paid}')" in [item.lower().replace("any", "ANY") for item in found]
    assert not [item for item in made("status = ANY ('{new,paid}'::text[])") if "where" in item.lower()]
    many = made("status = ANY ('{a,b,c,d,e,f,g}'::text[])", order="at")
    assert not [item for item in many if "any" in item.lower()]
    assert not [item for item in made("status = ANY ($1)", order="at") if "any" in item.lower()]


def test_what_is_ordered_by_a_parameter_is_no_key() -> None:
    asked = access("a = $1")
    for expression, may in (("ts_rank(found, plainto_tsquery('simple', $2))", False), ("lower(email)", True)):
        key = SortKey(None, expression, False, False)
        one = type(asked)(relation=asked.relation, alias="t", conditions=asked.conditions, order=(key,))
        names = [key.expression for item in candidates(subject(1, one), {TABLE.name: TABLE}, {}) for key in item.keys]
        assert (expression in names) is may


def test_who_looks_up_texts_may_share_an_index_for_patterns() -> None:
    plain, pattern = (
        candidates(subject(1, access(what)), {TABLE.name: TABLE}, {}) for what in ("email = $1", "email ~~ $1")
    )
    equal, like = with_patterns([plain, pattern])
    assert [words(item) for item in plain] == ["(email)"]
    assert [words(item) for item in equal] == ["(email)", "(email text_pattern_ops)"]
    assert like == pattern
