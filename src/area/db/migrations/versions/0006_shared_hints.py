"""Subscriptions of vendors are looked for by their ids, when several sources share one."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_source_hints_subscription", "source_hints", ["subscription"])


def downgrade() -> None:
    op.drop_index("ix_source_hints_subscription", "source_hints")
