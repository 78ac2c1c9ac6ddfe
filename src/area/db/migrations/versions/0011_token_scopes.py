"""What an API token may do. Those that exist keep what they could do."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("scope", sa.String(10), nullable=True))
    op.execute(
        "update access_tokens t set scope = case when u.is_admin then 'admin' else 'manage' end"
        " from users u where u.id = t.user_id and t.kind = 'api'"
    )


def downgrade() -> None:
    op.drop_column("access_tokens", "scope")
