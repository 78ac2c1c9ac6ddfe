"""What AREA itself put into inboxes is kept with what it was made of, so that it can be said in other languages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notices", sa.Column("said", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("notices", "said")
