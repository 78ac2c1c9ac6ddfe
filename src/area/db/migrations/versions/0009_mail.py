"""Mail: a queue, confirmed addresses, address changes, single-use links, and who wants notices by mail."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    op.create_table(
        "outgoing_mail",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("recipient", sa.String(255), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=True),
        sa.Column("share", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=True),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("next_attempt_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempted_at", AWARE, nullable=True),
        sa.Column("lease_until", AWARE, nullable=True),
        sa.Column("repeated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sent_at", AWARE, nullable=True),
        sa.Column("given_up_at", AWARE, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_outgoing_mail_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], "fk_outgoing_mail_notice_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_outgoing_mail"),
    )
    op.create_index(
        "ix_outgoing_mail_next_attempt_at",
        "outgoing_mail",
        ["next_attempt_at"],
        postgresql_where=sa.text("sent_at is null and given_up_at is null"),
    )
    for columns in (
        ["share", "attempted_at"],
        ["recipient", "created_at"],
        ["source", "created_at"],
        ["user_id", "created_at"],
        ["notice_id"],
    ):
        op.create_index(f"ix_outgoing_mail_{'_'.join(columns)}", "outgoing_mail", columns)
    for table in ("confirmed_emails", "email_changes"):
        op.create_table(
            table,
            sa.Column("user_id", sa.Integer(), nullable=False),
            sa.Column("email", sa.String(255), nullable=False),
            sa.Column(
                "confirmed_at" if table == "confirmed_emails" else "created_at",
                AWARE,
                server_default=NOW,
                nullable=False,
            ),
            sa.ForeignKeyConstraint(["user_id"], ["users.id"], f"fk_{table}_user_id", ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("user_id", name=f"pk_{table}"),
        )
    op.create_table(
        "email_links",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("expires_at", AWARE, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_email_links_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_email_links"),
    )
    op.create_index("ix_email_links_user_id", "email_links", ["user_id"])
    op.create_index("ix_email_links_expires_at", "email_links", ["expires_at"])
    op.add_column(
        "user_settings", sa.Column("mail_notices", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("user_settings", "mail_notices")
    for table in ("email_links", "email_changes", "confirmed_emails", "outgoing_mail"):
        op.drop_table(table)
