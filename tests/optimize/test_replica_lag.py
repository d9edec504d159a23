"""--max-lag: no build starts while a streaming replica is behind. A real standby, its replay paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.errors import NotPermitted
from dbopt.optimize.apply import ApplyOptions
from dbopt.optimize.events import StepStarted, Waiting
from dbopt.optimize.lag import LAG
from tests.health.standby import pair
from tests.optimize.runs import PATIENCE_SECONDS, Project

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt import embedded


def test_builds_wait_for_a_replica_and_are_left_when_it_stays_behind(
    server_binaries: embedded.Binaries, tmp_path: Path
) -> None:
    with pair(server_binaries) as (primary, standby):
        database, replica = primary.database, standby.database
        database.sql(
            "CREATE TABLE posts (id int, author int); INSERT INTO posts SELECT i, i FROM generate_series(1, 99) i"
        )
        position = database.sql("SELECT pg_current_wal_lsn()::text")[0][0]
        wait_until(lambda: replica.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])[0][0], "the replay")
        with Project(database, tmp_path / "specs") as project:
            project.wants("name: by_author, table: posts, keys: [author]", "name: by_id, table: posts, keys: [id]")
            plan = project.plan()
            replica.sql("SELECT pg_wal_replay_pause()")
            # Written out at once: a private server commits asynchronously.
            database.sql("SET synchronous_commit = local; INSERT INTO posts SELECT i, i FROM generate_series(1, 999) i")
            options = ApplyOptions(wait_seconds=1.5, max_lag_seconds=0.2)
            left = project.start(plan, options=options).finish()
            assert left.statuses == {"by_author": "left", "by_id": "left"}
            assert any(event.phase == LAG for event in left.of(Waiting))
            assert not database.sql("SELECT FROM pg_index WHERE indrelid = 'posts'::regclass")

            options = ApplyOptions(wait_seconds=PATIENCE_SECONDS, max_lag_seconds=0.2)
            run = project.start(plan, options=options)
            wait_until(lambda: any(event.phase == LAG for event in run.of(Waiting)), "waiting for the replica")
            assert len(run.of(StepStarted)) == 1
            replica.sql("SELECT pg_wal_replay_resume()")
            run.finish().assert_applied()
            database.sql("CREATE ROLE blind LOGIN; ALTER TABLE posts OWNER TO blind")
            project.conninfo = f"{database.conninfo} user=blind"
            with pytest.raises(NotPermitted, match="may not see how far"):
                project.start(plan, options=options).finish()
