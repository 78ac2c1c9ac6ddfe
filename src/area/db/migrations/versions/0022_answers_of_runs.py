"""What runs answer the requests that started them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_answers",
        sa.Column("root", sa.BigInteger(), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("reply", JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["root"], ["area_executions.id"], name=op.f("fk_run_answers_root"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("root", name=op.f("pk_run_answers")),
    )


def downgrade() -> None:
    op.drop_table("run_answers")
