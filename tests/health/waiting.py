"""Sessions that wait for others, made real."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import psycopg
from helpers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database


@contextlib.contextmanager
def running(db: Database, statement: str, *before: str, until: str = "wait_event_type = 'Lock'") -> Iterator[int]:
    """A session that runs the statement in a thread, in a transaction; its pid, once pg_stat_activity shows `until`."""
    with db.connect() as conn:
        for text in before:
            conn.execute(text)  # type: ignore[call-overload]  # tests paste SQL together

        def run() -> None:
            with contextlib.suppress(psycopg.Error):
                conn.execute(statement)  # type: ignore[call-overload]

        thread = threading.Thread(target=run)
        thread.start()
        pid = conn.info.backend_pid
        try:
            wait_until(
                lambda: db.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND {until}"), f"{statement}: {until}"
            )
            yield pid
        finally:
            conn.cancel_safe()
            thread.join()


@contextlib.contextmanager
def role(db: Database, *grants: str) -> Iterator[str]:
    """A role that may log in, with these roles granted."""
    name = f"role_{db.name}"
    db.sql(f"CREATE ROLE {name} LOGIN")
    try:
        for granted in grants:
            db.sql(f"GRANT {granted} TO {name}")
        yield name
    finally:
        db.sql(f"DROP ROLE {name}")
