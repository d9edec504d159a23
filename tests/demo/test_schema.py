"""The sample schemas are whole, and every supported server takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.demo import schema
from dbopt.demo.schema import Column

if TYPE_CHECKING:
    from .conftest import Sample

SIZES = {"thrive_send": (24, 75, 725, 122), "neonhub": (12, 13, 128, 10)}  # enums, tables, columns, foreign keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text", ("text", False, False, None)),
        ("varchar(100)?", ("varchar(100)", False, True, None)),
        ("text[]?", ("text", True, True, None)),
        ("UserRole = 'ADMIN'", ("UserRole", False, False, "'ADMIN'")),
        ("text? = '#000000'", ("text", False, True, "'#000000'")),
    ],
)
def test_a_column_says_type_array_null_and_default(text: str, expected: tuple[object, ...]) -> None:
    column = Column.parse("c", text)
    assert (column.type, column.array, column.nullable, column.default) == expected


def test_the_database_has_all_of_the_schema(sample: Sample) -> None:
    [found] = sample.database.sql(
        "SELECT (SELECT count(*) FROM pg_type WHERE typtype = 'e'),"
        " (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace),"
        " (SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        "   WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0),"
        " (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated)"
    )
    assert found == SIZES[sample.app.name]


@pytest.mark.parametrize("app", schema.APPS)
def test_every_reference_is_to_a_table_with_a_key_named_id(app: str) -> None:
    tables = schema.load(app).tables
    for table in tables.values():
        for reference in table.references.values():
            assert reference.column in table.columns
            assert tables[reference.table].key == ("id",)
