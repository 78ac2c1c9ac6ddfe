"""What is still to be undone at vendors: tokens to revoke and subscriptions to end, however their rows are deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)

# Triggers, since a row is also deleted by a cascade, which no code of ours sees.
TRIGGERS = (
    """
create function keep_revocation() returns trigger language plpgsql as $$
declare
    number integer := case when tg_table_name = 'named_connections' then (to_jsonb(old)->>'id')::int else 0 end;
begin
    insert into vendor_cleanups (kind, user_id, service_id, connection_id, account_id, oauth_token, refresh_token,
        token_expires_at)
    values ('revoke', old.user_id, old.service_id, number,
        (select account_id from connection_states s
         where s.user_id = old.user_id and s.service_id = old.service_id and s.connection_id = number),
        old.oauth_token, old.refresh_token, old.token_expires_at);
    perform pg_notify('cleanup_queued', '');
    return null;
end $$
""",
    """
create trigger keep_revocation after delete on user_services for each row
when (old.oauth_token is not null) execute function keep_revocation()
""",
    """
create trigger keep_revocation after delete on named_connections for each row
when (old.oauth_token is not null) execute function keep_revocation()
""",
    """
create trigger keep_revocation_of_disconnected after update of oauth_token on named_connections for each row
when (old.oauth_token is not null and new.oauth_token is null) execute function keep_revocation()
""",
    """
create function keep_subscription() returns trigger language plpgsql as $$
begin
    insert into vendor_cleanups (kind, user_id, service_id, connection_id, component_id, source_id, source_key, params,
        state, subscription)
    select 'unsubscribe', old.user_id, c.service_id, old.connection_id, c.id, old.id, old.key, old.params, old.state,
        old.state->'subscription'->>'id'
    from components c where c.id = old.component_id and old.state ? 'subscription';
    insert into vendor_cleanups (kind, user_id, service_id, connection_id, component_id, source_id, source_key, params,
        state, subscription, server, token, secret)
    select 'end_hint', old.user_id, c.service_id, old.connection_id, c.id, old.id, old.key, old.params, old.state,
        h.subscription, h.server, h.token, h.secret
    from source_hints h join components c on c.id = old.component_id
    where h.source_id = old.id and h.subscription is not null;
    perform pg_notify('cleanup_queued', '');
    return old;
end $$
""",
    "create trigger keep_subscription before delete on sources for each row execute function keep_subscription()",
)


def upgrade() -> None:
    op.create_table(
        "vendor_cleanups",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("connection_id", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("account_id", sa.String(255), nullable=True),
        sa.Column("oauth_token", sa.Text(), nullable=True),
        sa.Column("refresh_token", sa.Text(), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(timezone=False), nullable=True),
        sa.Column("component_id", sa.Integer(), nullable=True),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("source_key", sa.String(64), nullable=True),
        sa.Column("params", JSONB(), nullable=True),
        sa.Column("state", JSONB(), nullable=True),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("created_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.Column("next_attempt_at", AWARE, server_default=sa.func.now(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", AWARE, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_vendor_cleanups_service_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["component_id"], ["components.id"], name="fk_vendor_cleanups_component_id", ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_vendor_cleanups"),
    )
    op.create_index("ix_vendor_cleanups_next_attempt_at", "vendor_cleanups", ["next_attempt_at"])
    for statement in TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop function keep_subscription() cascade")
    op.execute("drop function keep_revocation() cascade")
    op.drop_table("vendor_cleanups")
