"""Several connections of a user to one service, each with a name, beside the default ones of `user_services`."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# all of them: those of `user_services` have the number 0 and no name
VIEW = """
create view connections as
select user_id, service_id, 0 as connection_id, ''::varchar(100) as name, oauth_token, refresh_token, token_expires_at,
       created_at, updated_at
from user_services
union all
select user_id, service_id, id, name, oauth_token, refresh_token, token_expires_at, created_at, updated_at
from named_connections
"""


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "named_connections",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("oauth_token", sa.Text(), nullable=True),
        sa.Column("refresh_token", sa.Text(), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(timezone=False), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_named_connections_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_named_connections_service_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_named_connections")),
        sa.UniqueConstraint("user_id", "service_id", "name", name=op.f("uq_named_connections_user_id_service_id_name")),
    )
    op.create_table(
        "area_connections",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["area_id"], ["areas.id"], name=op.f("fk_area_connections_area_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["named_connections.id"], name=op.f("fk_area_connections_connection_id")
        ),
        sa.PrimaryKeyConstraint("area_id", "kind", name=op.f("pk_area_connections")),
    )
    op.create_index(op.f("ix_area_connections_connection_id"), "area_connections", ["connection_id"])
    for table in ("sources", "connection_states"):
        zero = sa.Column("connection_id", sa.Integer(), server_default=sa.text("0"), nullable=False)
        op.add_column(table, zero)
    op.add_column("connection_states", sa.Column("access_token", sa.Text(), nullable=True))
    op.drop_constraint("pk_connection_states", "connection_states")
    op.create_primary_key("pk_connection_states", "connection_states", ["user_id", "service_id", "connection_id"])
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("drop view connections")
    op.execute("delete from connection_states where connection_id <> 0")
    op.drop_constraint("pk_connection_states", "connection_states")
    op.create_primary_key("pk_connection_states", "connection_states", ["user_id", "service_id"])
    op.drop_column("connection_states", "access_token")
    op.drop_column("connection_states", "connection_id")
    op.drop_column("sources", "connection_id")
    op.drop_table("area_connections")
    op.drop_table("named_connections")
