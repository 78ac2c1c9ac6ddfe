"""Vendors that send hints to one address: the account of each connection, and when a source was last nudged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connection_states", sa.Column("account_id", sa.String(255), nullable=True))
    op.create_index("ix_connection_states_account_id", "connection_states", ["account_id"])
    op.add_column("sources", sa.Column("nudged_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("sources", "nudged_at")
    op.drop_index("ix_connection_states_account_id")
    op.drop_column("connection_states", "account_id")
