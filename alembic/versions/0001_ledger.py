"""The ledger: targets, runs and steps.

A step back must lose nothing, so the downgrade puts the tables aside under other names, and the next upgrade takes them
back. (The SQL of `--sql` cannot look for them, and always makes new ones.)
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("targets", "runs", "steps")
ASIDE = "aside_0001_"


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(ASIDE + "runs"):
        for name in TABLES:
            op.rename_table(ASIDE + name, name)
        return
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "targets",
        sa.Column("id", row_id, nullable=False),
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("dbname", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_targets"),
        sa.UniqueConstraint("server", "dbname", name="uq_targets_server_dbname"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("dbopt_version", sa.Text, nullable=False),
        sa.Column("server_version", sa.Text, nullable=False),
        sa.Column("os_user", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("spec_digest", sa.Text),
        sa.Column("plan_state", sa.Text, nullable=False),
        sa.Column("planned", sa.Integer, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("seconds", sa.Double),
        sa.Column("applied", sa.Integer),
        sa.Column("failed", sa.Integer),
        sa.Column("refused", sa.Integer),
        sa.Column("unchanged", sa.Integer),
        sa.Column("interrupted", sa.Boolean),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_runs_target_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_target_id", "runs", ["target_id"])
    op.create_index("ix_runs_started_at", "runs", ["started_at"])
    op.create_table(
        "steps",
        sa.Column("run_id", row_id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("domain", sa.Text),
        sa.Column("schema_name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("index_name", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("statements", sa.JSON, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("hint", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_steps"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_steps_run_id"),
    )


def downgrade() -> None:
    for name in TABLES:
        op.rename_table(name, ASIDE + name)
