"""What `dbopt suggest` has promised of indexes, so that it can be held to it.

As with 0001, a step back puts the table aside under another name, and the next upgrade takes it back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "suggestions"
ASIDE = "aside_0006_"


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(ASIDE + TABLE):
        op.rename_table(ASIDE + TABLE, TABLE)
        return
    moment = sa.DateTime(timezone=True)
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        TABLE,
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("promised_at", moment, nullable=False),
        sa.Column("seen_at", moment),
        sa.Column("dbopt_version", sa.Text, nullable=False),
        sa.Column("schema_name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("index_name", sa.Text, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_suggestions"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_suggestions_target_id"),
        sa.UniqueConstraint(
            *("target_id", "schema_name", "table_name", "index_name"),
            name="uq_suggestions_target_id_schema_name_table_name_index_name",
        ),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.rename_table(TABLE, ASIDE + TABLE)
