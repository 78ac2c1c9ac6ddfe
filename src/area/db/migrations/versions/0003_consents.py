"""OAuth2: who is on the way to a page of consent, and what an OAuth2 connection was granted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)
ADDED = (
    ("account", sa.String(255)),
    ("scopes", sa.Text()),
    ("granted_at", AWARE),
    ("refresh_at", AWARE),
    ("refreshing_until", AWARE),
)


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("state_hash", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("service", sa.String(100), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("bound_to", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("kept", sa.Text(), nullable=False),
        sa.Column("expires_at", AWARE, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_consents_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("state_hash", name="pk_consents"),
    )
    op.create_index("ix_consents_user_id", "consents", ["user_id"])
    op.create_index("ix_consents_expires_at", "consents", ["expires_at"])
    for name, kind in ADDED:
        op.add_column("connection_states", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name, _ in ADDED:
        op.drop_column("connection_states", name)
    op.drop_table("consents")
