"""Sources are looked at in turn by user, timers by a loop of their own; workers say when they ran."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# which of the other two a source is, its worker finds out
FILL = """
update sources x set
    share_of = coalesce(x.user_id, (select min(a.user_id) from triggers t join areas a on a.id = t.area_id
                                    where t.source_id = x.id), 0),
    lane = case when c.polling_interval is null and c.webhook_endpoint is null then 'timer' else 'poll' end
from components c where c.id = x.component_id
"""
DUE = sa.text("due_at is not null")


def upgrade() -> None:
    op.add_column("sources", sa.Column("share_of", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("sources", sa.Column("lane", sa.String(10), server_default=sa.text("'poll'"), nullable=False))
    op.execute(FILL)
    op.drop_index("ix_sources_due_at", "sources")
    op.create_index("ix_sources_lane_due_at", "sources", ["lane", "due_at"], postgresql_where=DUE)
    op.create_index("ix_sources_lane_share_of", "sources", ["lane", "share_of", "due_at"], postgresql_where=DUE)
    op.create_table(
        "worker_lives",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_worker_lives_seen_at", "worker_lives", ["seen_at"])


def downgrade() -> None:
    op.drop_table("worker_lives")
    op.drop_index("ix_sources_lane_share_of", "sources")
    op.drop_index("ix_sources_lane_due_at", "sources")
    op.create_index("ix_sources_due_at", "sources", ["due_at"], postgresql_where=DUE)
    op.drop_column("sources", "lane")
    op.drop_column("sources", "share_of")
