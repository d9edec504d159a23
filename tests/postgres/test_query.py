"""Reading rows."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from dbopt.postgres.index_catalog import INDEXES

if TYPE_CHECKING:
    from server import Database


def test_what_many_rows_have_in_common_is_kept_once(database: Database) -> None:
    """And is what it would be otherwise."""
    database.sql('CREATE TABLE t (a int, "grün, ""x""" text, c text)')
    for name in ("i", "j"):
        database.sql(f'CREATE INDEX {name} ON t (a DESC, "grün, ""x""", lower(c)) WITH (fillfactor = 70)')
        database.sql(f"COMMENT ON INDEX {name} IS '{{1,2}}'")
    with database.connect() as conn:
        asked = {"oids": [oid for (oid,) in database.sql("SELECT 't'::regclass::oid::int8")]}
        one, two = INDEXES.rows(conn, database.server_version, asked)
        others = replace(INDEXES, alike=False).rows(conn, database.server_version, asked)
    assert [asdict(one), asdict(two)] == [asdict(other) for other in others]
    assert one.columns == ["a", 'grün, "x"', None]
    assert one.columns is two.columns
    assert one.method is two.method
    assert others[0].columns is not others[1].columns
