"""Two-factor authentication, and the places that accounts signed in from."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "known_places",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("last_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_known_places_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "place", name="pk_known_places"),
    )
    op.create_table(
        "two_factor",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("handle", sa.String(100), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_two_factor_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_two_factor"),
        sa.UniqueConstraint("handle", name="uq_two_factor_handle"),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_recovery_codes_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
    )
    op.create_table(
        "passkeys",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.String(1400), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.Column("last_used_at", AWARE, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_passkeys_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_passkeys"),
        sa.UniqueConstraint("credential_id", name="uq_passkeys_credential_id"),
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["user_id"])
    op.create_table(
        "used_tickets",
        sa.Column("ticket_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", AWARE, nullable=False),
        sa.PrimaryKeyConstraint("ticket_hash", name="pk_used_tickets"),
    )
    op.create_index("ix_used_tickets_expires_at", "used_tickets", ["expires_at"])


def downgrade() -> None:
    for table in ("used_tickets", "passkeys", "recovery_codes", "two_factor", "known_places"):
        op.drop_table(table)
