"""Vendors that are asked to say when there is news of what a source watches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "source_hints",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("expires_at", AWARE, nullable=True),
        sa.Column("due_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.Column("heard_at", AWARE, nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], "fk_source_hints_source_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", name="pk_source_hints"),
        sa.UniqueConstraint("token_hash", name="uq_source_hints_token_hash"),
    )


def downgrade() -> None:
    op.drop_table("source_hints")
