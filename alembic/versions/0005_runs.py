"""What runs of optimize tell since they pace themselves: what was left, how long builds took, sizes before.

A step back puts the columns aside under other names, and the next upgrade takes them back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = (
    ("runs", "name", sa.Text()),
    ("runs", "left_over", sa.Integer()),
    ("steps", "size_before_bytes", sa.BigInteger()),
    ("steps", "built_seconds", sa.Double()),
    ("steps", "table_bytes", sa.BigInteger()),
)
ASIDE = "aside_0005_"


def upgrade() -> None:
    as_sql = op.get_context().as_sql
    for table, column, kind in COLUMNS:
        there = set() if as_sql else {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}
        if ASIDE + column in there:
            op.alter_column(table, ASIDE + column, new_column_name=column)
        else:
            op.add_column(table, sa.Column(column, kind))


def downgrade() -> None:
    for table, column, _ in COLUMNS:
        op.alter_column(table, column, new_column_name=ASIDE + column)
