"""Builds that stand still for as long as a test wants: their index calls a function that waits for a lock.

So a fault can strike in the middle of a build, which has begun because nobody was in its way.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from helpers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database

KEY = 6
# A plan evaluates expressions too, over what pg_stats knows of the columns: it shall not wait.
HELD = f"""
    CREATE FUNCTION held(value int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF current_query() LIKE '%INDEX%CONCURRENTLY%' THEN
            PERFORM pg_advisory_lock_shared({KEY});
            PERFORM pg_advisory_unlock_shared({KEY});
        END IF;
        RETURN value;
    END $$;
"""
POSTS = (
    HELD + "CREATE TABLE posts (id int PRIMARY KEY, author int, title text);"
    "INSERT INTO posts SELECT i, i % 250, md5(i::text) FROM generate_series(1, 500) AS i;"
    "CREATE TABLE other (id int PRIMARY KEY, note text); INSERT INTO other SELECT generate_series(1, 500);"
    "ANALYZE posts, other"
)
BY_HELD = "name: by_held, table: posts, keys: [{expr: held(author)}], priority: 1"
ON_OTHER = "name: on_other, table: other, keys: [note, id], priority: 2"


@contextlib.contextmanager
def holding(database: Database) -> Iterator[Callable[[], None]]:
    """Builds of `held` indexes stand still until the end of the block, or until what it gives is called."""
    with database.connect(autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [KEY])
        yield conn.close


def held_pid(database: Database) -> int:
    """The session whose build stands still, as soon as it does."""
    held = (
        "SELECT a.pid FROM pg_stat_activity a JOIN pg_stat_progress_create_index p USING (pid)"
        " WHERE a.datname = current_database() AND a.wait_event = 'advisory'"
    )
    found: list[tuple[int]] = []
    with database.connect(autocommit=True) as conn:  # one for all looks: a session of its own for each would cost more
        wait_until(lambda: found.extend(conn.execute(held)) or found, "a build")  # type: ignore[func-returns-value]
    return found[0][0]
