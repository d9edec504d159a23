"""What is known of statements beyond their counters: traits, the latest plan, the plans that they have had.

As with 0001, a step back puts the tables aside under other names, and the next upgrade takes them back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("statement_traits", "statement_plans", "plan_shapes")
ASIDE = "aside_0004_"


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(ASIDE + "statement_traits"):
        for name in TABLES:
            op.rename_table(ASIDE + name, name)
        return
    moment = sa.DateTime(timezone=True)
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "statement_traits",
        sa.Column("target_id", row_id, autoincrement=False, nullable=False),
        sa.Column("queryid", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("dbopt_version", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("relations", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("target_id", "queryid", name="pk_statement_traits"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_statement_traits_target_id"),
    )
    op.create_table(
        "statement_plans",
        sa.Column("target_id", row_id, autoincrement=False, nullable=False),
        sa.Column("queryid", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("planned_at", moment, nullable=False),
        sa.Column("dbopt_version", sa.Text, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("target_id", "queryid", name="pk_statement_plans"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_statement_plans_target_id"),
    )
    op.create_table(
        "plan_shapes",
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        sa.Column("queryid", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plan_shapes"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_plan_shapes_target_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_plan_shapes_target_id_queryid", "plan_shapes", ["target_id", "queryid"])


def downgrade() -> None:
    for name in TABLES:
        op.rename_table(name, ASIDE + name)
