"""What `dbopt health` remembers: its runs, what its checks said since when, findings, samples of counters.

As with 0001, a step back puts the tables aside under other names, and the next upgrade takes them back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("health_runs", "health_checks", "health_findings", "health_samples")
ASIDE = "aside_0002_"


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(ASIDE + "health_runs"):
        for name in TABLES:
            op.rename_table(ASIDE + name, name)
        return
    moment = sa.DateTime(timezone=True)
    create(
        "health_runs",
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("dbopt_version", sa.Text, nullable=False),
        sa.Column("collected_at", moment, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("checks", sa.Integer, nullable=False),
        index="collected_at",
    )
    create(
        "health_checks",
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
        index="is_over",
    )
    create(
        "health_findings",
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("measure", sa.Double),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
        index="is_over",
    )
    create(
        "health_samples",
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("taken_at", moment, nullable=False),
        sa.Column("counters", sa.LargeBinary, nullable=False),
        index="check_id",
    )


def create(name: str, *columns: sa.Column, index: str) -> None:
    """A table about targets, found by target and `index`."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=f"fk_{name}_target_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(f"ix_{name}_target_id_{index}", name, ["target_id", index])


def downgrade() -> None:
    for name in TABLES:
        op.rename_table(name, ASIDE + name)
