"""Questions that tests ask a database, in the words of the domain."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database

WAIT_SECONDS = 20.0


def index_names(db: Database, table: str) -> list[str]:
    """The table's indexes, sorted. `table` as SQL writes it: public.posts, "Odd Name"."""
    rows = db.sql(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        ' WHERE i.indrelid = %s::regclass ORDER BY c.relname COLLATE "C"',
        [table],
    )
    return [name for (name,) in rows]


def invalid_indexes(db: Database) -> list[str]:
    """Those that a failed or running build has left unusable."""
    rows = db.sql(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive) ORDER BY 1"
    )
    return [name for (name,) in rows]


def index_comment(db: Database, index: str) -> str | None:
    [(comment,)] = db.sql("SELECT obj_description(%s::regclass, 'pg_class')", [index])
    return comment


def definitions(db: Database) -> list[str]:
    """Every valid index outside the catalogs in the short form that `assert_index` takes."""
    rows = db.sql(
        "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indisvalid AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)"
        " ORDER BY 1"
    )
    name = r'(?:"(?:[^"]|"")+"|[^" ])+'
    short = []
    for (text,) in rows:
        match = re.fullmatch(rf"CREATE (UNIQUE )?INDEX {name} ON (?:ONLY )?(.+)", text, re.DOTALL)
        assert match is not None, text
        short.append((match[1] or "") + match[2].replace(" USING btree", "", 1))
    return short


def assert_index(db: Database, definition: str) -> None:
    """There is just one valid index so defined: `public.posts (id)`, `UNIQUE public.posts (a) WHERE (b > 0)`."""
    found = definitions(db)
    assert found.count(definition) == 1, f"{found.count(definition)} indexes are {definition}; there are {found}"


@contextlib.contextmanager
def open_transaction(db: Database, statement: str) -> Iterator[int]:
    """A session that has run the statement and neither commits nor ends meanwhile; its pid."""
    with db.connect() as conn:
        conn.execute(statement)  # type: ignore[call-overload]  # tests paste SQL together
        yield conn.info.backend_pid
        conn.rollback()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Until it is true, at most WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {WAIT_SECONDS:.0f} s"
        time.sleep(0.02)
