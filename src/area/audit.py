"""The audit log: log-ins, and changes by users and administrators."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import AuditEntry, User


class AuditView(BaseModel):
    """One entry."""

    id: int
    at: datetime
    user_id: int | None
    username: str | None
    action: str
    subject: str
    detail: Any | None
    address: str | None


async def record(
    session: AsyncSession,
    user_id: int | None,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    address: str | None = None,
) -> None:
    """Record that a user (None: unknown, or the command line) did `action` to `subject`. `detail` must not contain
    secrets. `address` is the client's; default: that of the request that the session belongs to.
    """
    address = address or session.info.get("address")
    await session.execute(
        insert(AuditEntry).values(
            user_id=user_id,
            action=action,
            subject=subject[:255],
            detail=dict(detail) if detail else None,
            address=address[:64] if address else None,
        )
    )


async def entries(
    session: AsyncSession,
    *,
    limit: int,
    before: int | None = None,
    user_id: int | None = None,
    action: str | None = None,
) -> list[AuditView]:
    """Entries with an id below `before`, newest first. `action` may be a prefix, such as `login.`."""
    statement = select(AuditEntry, User.username).outerjoin(User, User.id == AuditEntry.user_id)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    if user_id is not None:
        statement = statement.where(AuditEntry.user_id == user_id)
    if action:
        statement = statement.where(func.starts_with(AuditEntry.action, action))
    rows = await session.execute(statement.order_by(AuditEntry.id.desc()).limit(limit))
    return [
        AuditView(
            id=entry.id,
            at=entry.at,
            user_id=entry.user_id,
            username=username,
            action=entry.action,
            subject=entry.subject,
            detail=entry.detail,
            address=entry.address,
        )
        for entry, username in rows
    ]
