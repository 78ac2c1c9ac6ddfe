"""What becomes of an AREA's webhooks while it is off."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("triggers", sa.Column("when_off", sa.String(10), server_default=sa.text("'retry'"), nullable=False))


def downgrade() -> None:
    op.drop_column("triggers", "when_off")
