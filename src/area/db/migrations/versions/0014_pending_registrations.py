"""Registrations that wait until the link in a mail is followed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "pending_registrations",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("language", sa.String(10), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=True),
        sa.Column("created_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", AWARE, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pending_registrations"),
        sa.UniqueConstraint("token_hash", name="uq_pending_registrations_token_hash"),
    )
    op.create_index("ix_pending_registrations_email", "pending_registrations", ["email"])
    op.create_index("ix_pending_registrations_expires_at", "pending_registrations", ["expires_at"])
    op.add_column("outgoing_mail", sa.Column("registration_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        "fk_outgoing_mail_registration_id",
        "outgoing_mail",
        "pending_registrations",
        ["registration_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_outgoing_mail_registration_id", "outgoing_mail", ["registration_id"])


def downgrade() -> None:
    op.drop_column("outgoing_mail", "registration_id")
    op.drop_table("pending_registrations")
