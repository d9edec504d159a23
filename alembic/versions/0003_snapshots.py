"""Counters over time: readings, the intervals between them, marks where counting began, texts of statements.

As with 0001, a step back puts the tables aside under other names, and the next upgrade takes them back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("snapshot_heads", "intervals", "marks", "mark_parts", "statement_texts", "statements")
ASIDE = "aside_0003_"


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(ASIDE + "snapshot_heads"):
        for name in TABLES:
            op.rename_table(ASIDE + name, name)
        return
    moment = sa.DateTime(timezone=True)
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "snapshot_heads",
        sa.Column("target_id", row_id, autoincrement=False, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("taken_at", moment, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("target_id", "family", name="pk_snapshot_heads"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_snapshot_heads_target_id"),
    )
    op.create_table(
        "intervals",
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("span", sa.Integer, nullable=False),
        sa.Column("from_at", moment, nullable=False),
        sa.Column("to_at", moment, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_intervals"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_intervals_target_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_intervals_target_id_family_to_at_span", "intervals", ["target_id", "family", "to_at", "span"])
    op.create_table(
        "marks",
        sa.Column("id", row_id, nullable=False),
        sa.Column("target_id", row_id, nullable=False),
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("marked_at", moment, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("os_user", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_marks"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_marks_target_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_marks_target_id_marked_at", "marks", ["target_id", "marked_at"])
    op.create_table(
        "mark_parts",
        sa.Column("mark_id", row_id, autoincrement=False, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("mark_id", "family", name="pk_mark_parts"),
        sa.ForeignKeyConstraint(["mark_id"], ["marks.id"], name="fk_mark_parts_mark_id"),
    )
    op.create_table(
        "statement_texts",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_statement_texts"),
    )
    op.create_table(
        "statements",
        sa.Column("target_id", row_id, autoincrement=False, nullable=False),
        sa.Column("queryid", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("target_id", "queryid", name="pk_statements"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_statements_target_id"),
        sa.ForeignKeyConstraint(["digest"], ["statement_texts.digest"], name="fk_statements_digest"),
    )


def downgrade() -> None:
    for name in TABLES:
        op.rename_table(name, ASIDE + name)
