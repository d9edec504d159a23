"""The store's tables. `alembic/versions` makes them; `alembic check` proves that both say the same.

Names and types are those that SQLite and PostgreSQL share. Times are UTC, texts are never cut, `seconds` are elapsed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

SCHEMA = "dbopt"  # on PostgreSQL: apart from whatever else lives in that database

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Utc(sa.types.TypeDecorator[datetime]):
    """A moment. SQLite keeps no zone with it: what comes back from there is UTC, as it went in."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# SQLite numbers rows by itself only where the type is spelled INTEGER.
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

targets = sa.Table(
    "targets",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    # The system identifier; where the server does not tell it, the name by which the database was reached.
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("dbname", sa.Text, nullable=False),
    sa.UniqueConstraint("server", "dbname"),
    sqlite_autoincrement=True,
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False, index=True),
    # As the target was called in this run: a copy of a cluster has the identifier of the original.
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("dbopt_version", sa.Text, nullable=False),
    sa.Column("server_version", sa.Text, nullable=False),
    sa.Column("os_user", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("spec_digest", sa.Text),
    sa.Column("plan_state", sa.Text, nullable=False),
    sa.Column("planned", sa.Integer, nullable=False),
    sa.Column("started_at", Utc, nullable=False, index=True),
    # NULL from here on until the run ends: a run that was killed stays so.
    sa.Column("finished_at", Utc),
    sa.Column("seconds", sa.Double),
    sa.Column("applied", sa.Integer),
    sa.Column("failed", sa.Integer),
    sa.Column("refused", sa.Integer),
    sa.Column("unchanged", sa.Integer),
    sa.Column("interrupted", sa.Boolean),
    sa.Column("name", sa.Text),  # by which --undo knows it; NULL: it has dropped nothing
    sa.Column("left_over", sa.Integer),
    sqlite_autoincrement=True,  # a number that people have written down never means another run
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("run_id", _Id, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("domain", sa.Text),
    sa.Column("schema_name", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("index_name", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("statements", sa.JSON, nullable=False),
    sa.Column("started_at", Utc, nullable=False),
    # NULL from here on until the step ends.
    sa.Column("seconds", sa.Double),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("hint", sa.Text),
    sa.Column("size_before_bytes", sa.BigInteger),
    sa.Column("built_seconds", sa.Double),  # without waiting for others
    sa.Column("table_bytes", sa.BigInteger),  # of the table, when the build was planned
)

# What `dbopt health` remembers. A standby is a target of its own: it has its primary's identifier, not its counters.

health_runs = sa.Table(
    "health_runs",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("dbopt_version", sa.Text, nullable=False),
    sa.Column("collected_at", Utc, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("checks", sa.Integer, nullable=False),  # how many were run
    sa.Index(None, "target_id", "collected_at"),
    sqlite_autoincrement=True,
)

# One row for as long as a check says the same, not one a run: a month of runs every minute would be a million.
health_checks = sa.Table(
    "health_checks",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("check_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
    sa.Column("is_over", sa.Boolean, nullable=False),
    sa.Index(None, "target_id", "is_over"),
    sqlite_autoincrement=True,
)

# One row for as long as a finding is there, run after run. Its words are not kept: statements of users stand in them.
health_findings = sa.Table(
    "health_findings",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("check_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # in the last of its runs, as is the measure
    sa.Column("measure", sa.Double),  # NULL where it is no number
    sa.Column("runs", sa.Integer, nullable=False),  # in a row that have seen it
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
    sa.Column("is_over", sa.Boolean, nullable=False),
    sa.Index(None, "target_id", "is_over"),
    sqlite_autoincrement=True,
)

# Cumulative counters as they stood, for what they did since: of each check the last, and of slow ones some of a day.
health_samples = sa.Table(
    "health_samples",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("check_id", sa.Text, nullable=False),
    sa.Column("taken_at", Utc, nullable=False),  # by the database's clock
    sa.Column("counters", sa.LargeBinary, nullable=False),  # JSON, compressed by zlib
    sa.Index(None, "target_id", "check_id"),
    sqlite_autoincrement=True,
)

# Counters over time (dbopt/snapshot). Of each family the last reading, and what was counted between two readings.

snapshot_heads = sa.Table(
    "snapshot_heads",
    metadata,
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), primary_key=True, autoincrement=False),
    sa.Column("family", sa.Text, primary_key=True),  # `clients/...`: published by one process of an application
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("taken_at", Utc, nullable=False),  # by the database's clock, as all times of these tables
    sa.Column("packed", sa.LargeBinary, nullable=False),
)

intervals = sa.Table(
    "intervals",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("span", sa.Integer, nullable=False),  # 0: as taken; 3600, 86400: the sum of those of an hour, a day
    sa.Column("from_at", Utc, nullable=False),
    sa.Column("to_at", Utc, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.Index(None, "target_id", "family", "to_at", "span"),
    sqlite_autoincrement=True,
)

# Where somebody began to count: a reset on the server, or a baseline, which resets nothing.
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("marked_at", Utc, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # baseline or reset
    sa.Column("scope", sa.Text, nullable=False),  # of a reset: what was reset, in words
    sa.Column("os_user", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Index(None, "target_id", "marked_at"),
    sqlite_autoincrement=True,
)

# What the counters said just before.
mark_parts = sa.Table(
    "mark_parts",
    metadata,
    sa.Column("mark_id", _Id, sa.ForeignKey("marks.id"), primary_key=True, autoincrement=False),
    sa.Column("family", sa.Text, primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)

# Each text once, whichever databases run it; constants of statements that PostgreSQL does not normalize are masked.
statement_texts = sa.Table(
    "statement_texts",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),  # SHA-256 of the text
    sa.Column("query", sa.Text, nullable=False),
)

statements = sa.Table(
    "statements",
    metadata,
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), primary_key=True, autoincrement=False),
    sa.Column("queryid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, sa.ForeignKey("statement_texts.digest"), nullable=False),
)

# What `dbopt slow-queries` knows of a statement beyond its counters.

# As a text alone says. Of another dbopt's, nobody knows whether it told them apart in the same way.
statement_traits = sa.Table(
    "statement_traits",
    metadata,
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), primary_key=True, autoincrement=False),
    sa.Column("queryid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dbopt_version", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("relations", sa.Text, nullable=False),  # JSON: a list of names as they are written
)

# The latest plan, with what was found on it, or why there is none.
statement_plans = sa.Table(
    "statement_plans",
    metadata,
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), primary_key=True, autoincrement=False),
    sa.Column("queryid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("planned_at", Utc, nullable=False),
    sa.Column("dbopt_version", sa.Text, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),  # JSON, compressed by zlib
)

# One row for as long as a statement is planned in one way, look after look; the next id is the next way.
plan_shapes = sa.Table(
    "plan_shapes",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("queryid", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("first_at", Utc, nullable=False),
    sa.Column("last_at", Utc, nullable=False),
    sa.Index(None, "target_id", "queryid"),
    sqlite_autoincrement=True,
)

# What `dbopt suggest` has promised of an index when it wrote it into a spec: of each name the last promise.
suggestions = sa.Table(
    "suggestions",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("target_id", _Id, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("target_name", sa.Text, nullable=False),
    sa.Column("promised_at", Utc, nullable=False),
    sa.Column("seen_at", Utc),  # NULL until a review finds the index
    sa.Column("dbopt_version", sa.Text, nullable=False),
    sa.Column("schema_name", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("index_name", sa.Text, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),  # JSON, compressed by zlib
    sa.UniqueConstraint("target_id", "schema_name", "table_name", "index_name"),
    sqlite_autoincrement=True,
)
