"""What a trigger left out at its last look, which it keeps in its state, as a column of its own: the state may be large."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "sources", sa.Column("note", sa.Text(), sa.Computed("state ->> 'note'", persisted=True), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("sources", "note")
