"""Why an AREA, a source or a connection doesn't work is stored with the parts of its sentence, for translation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("area_health", "sources", "connection_states")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("said", JSONB(), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "said")
