"""Why a run failed or waits is kept with what the sentence was made of, so that it can be said in other languages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("execution_records", sa.Column("said", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("execution_records", "said")
