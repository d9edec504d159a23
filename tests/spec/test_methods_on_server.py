"""The data of lint held against the server: what an access method can do, and which functions are not immutable."""

from __future__ import annotations

import psycopg
import pytest

from dbopt.spec.methods import METHODS, Choice, Number, Switch
from dbopt.spec.rules.expressions import AGGREGATES, NOT_IMMUTABLE, OFTEN_WRAPPED

# A column that each method has a default operator class for.
COLUMN = {"btree": "a", "hash": "a", "gist": "p", "spgist": "p", "gin": "d", "brin": "a"}


@pytest.fixture
def attempt(database):
    database.sql("CREATE TABLE t (a int, b int, p point, d int[])")

    def run(definition: str) -> str | None:
        """The SQLSTATE of a CREATE INDEX, None when it was made."""
        try:
            database.sql(f"CREATE {definition}")
        except psycopg.Error as exc:
            return exc.sqlstate
        return None

    return run


@pytest.mark.parametrize("method", METHODS)
def test_abilities(attempt, database, method):
    column, traits = COLUMN[method], METHODS[method]
    using = f"ON t USING {method} ({column}"
    include = traits.include and (method != "spgist" or database.server_version >= (14, 0))
    abilities = [
        (traits.unique, f"UNIQUE INDEX {using})"),
        (traits.order, f"INDEX {using} ASC)"),
        (traits.order, f"INDEX {using} NULLS FIRST)"),
        (include, f"INDEX {using}) INCLUDE (b)"),
        (traits.several_keys, f"INDEX {using}, {column})"),
    ]
    for can, definition in abilities:
        assert attempt(definition) == (None if can else "0A000"), definition


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method, traits in METHODS.items() for name in traits.parameters]
)
def test_storage_parameters(attempt, database, method, name):
    if name == "vacuum_cleanup_index_scale_factor" and database.server_version >= (14, 0):
        pytest.skip("gone in 14")
    match METHODS[method].parameters[name]:
        case Number(low=low, high=high):
            good, bad = [low, high], [low - 1, high + 1]
        case Switch():
            good, bad = ["on", "off"], ["maybe"]
        case Choice(words=words):
            good, bad = list(words), ["maybe", "no"]
    for value in [*good, *bad]:
        expected = None if value in good else "22023"
        assert attempt(f"INDEX ON t USING {method} ({COLUMN[method]}) WITH ({name} = '{value}')") == expected, value
    assert attempt(f"INDEX ON t USING {method} ({COLUMN[method]}) WITH (fillfctor = 70)") == "22023"


def test_functions(database):
    """No variant of a name called not immutable may be immutable, none of an aggregate's a plain function."""
    rows = database.sql(
        "SELECT proname, bool_or(provolatile = 'i'), bool_or(prokind <> 'a') FROM pg_catalog.pg_proc"
        " WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace GROUP BY proname"
    )
    immutable = {name for name, some, _ in rows if some}
    plain = {name for name, _, some in rows if some}
    assert not (NOT_IMMUTABLE | OFTEN_WRAPPED) & immutable
    assert not AGGREGATES & plain
    if database.server_version >= (18, 0):
        assert {name for name, _, _ in rows} >= NOT_IMMUTABLE | OFTEN_WRAPPED | AGGREGATES
