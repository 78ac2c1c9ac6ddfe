"""Runs migrations on the connection that area.db.schema gives."""

from typing import Any

from alembic import context

from area.db.models import Base


def ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether autogenerate looks at a table: PgQueuer's are its own."""
    return kind != "table" or name is None or not name.startswith("pgqueuer")


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=ours,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
