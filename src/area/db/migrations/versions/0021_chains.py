"""Chains: which AREA follows which, the place of an execution in its run, and replays without what follows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "area_links",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("follows", sa.Integer(), nullable=False),
        sa.Column("when", sa.String(10), nullable=False),
        sa.Column("for_each", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("broken", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], name=op.f("fk_area_links_area_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["follows"], ["areas.id"], name=op.f("fk_area_links_follows"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("area_id", "follows", name=op.f("pk_area_links")),
    )
    op.create_index(op.f("ix_area_links_follows"), "area_links", ["follows"])
    op.create_table(
        "execution_links",
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["area_executions.id"],
            name=op.f("fk_execution_links_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_execution_links")),
    )
    op.create_index(op.f("ix_execution_links_parent"), "execution_links", ["parent"])
    op.create_index("ix_execution_links_root_execution_id", "execution_links", ["root", "execution_id"])
    op.add_column(
        "execution_records", sa.Column("alone", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("execution_records", "alone")
    op.drop_table("execution_links")
    op.drop_table("area_links")
