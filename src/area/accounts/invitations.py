"""Invitations: each allows one registration."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.db.models import Invitation
from area.kit import crypto
from area.kit.problems import Forbidden, NotFound
from area.settings import Settings

INVITATION_DAYS = 7


class InvitationView(BaseModel):
    """An invitation. `id` is not secret; it only identifies it."""

    id: str
    created_by: int | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


async def invite(
    session: AsyncSession, admin_id: int | None, *, days: int = INVITATION_DAYS, address: str | None = None
) -> tuple[str, InvitationView]:
    """Create an invitation for one registration. Returns its token, which is never shown again, and its entry in the
    list.
    """
    token = crypto.new_token("area_i_")
    values = {
        "token_hash": crypto.hash_token(token),
        "created_by": admin_id,
        "expires_at": datetime.now(UTC) + timedelta(days=days),
    }
    await session.execute(insert(Invitation).values(values))
    await audit.record(
        session, admin_id, "invitation.created", f"invitation {crypto.hash_token(token)[:16]}", {"days": days}, address
    )
    view = next(
        invitation for invitation in await invitations(session) if invitation.id == crypto.hash_token(token)[:16]
    )
    return token, view


async def invitations(session: AsyncSession) -> list[InvitationView]:
    """Recent invitations, newest first."""
    rows = await session.scalars(select(Invitation).order_by(Invitation.created_at.desc()).limit(1000))
    return [
        InvitationView(
            id=row.token_hash[:16],
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
        )
        for row in rows
    ]


async def withdraw_invitation(
    session: AsyncSession, admin_id: int | None, invitation_id: str, address: str | None = None
) -> None:
    """Revoke an invitation. Raises `NotFound`."""
    named = and_(func.left(Invitation.token_hash, 16) == invitation_id, Invitation.used_at.is_(None))
    if await session.scalar(delete(Invitation).where(named).returning(Invitation.token_hash)) is None:
        raise NotFound("No such unused invitation.")
    await audit.record(session, admin_id, "invitation.withdrawn", f"invitation {invitation_id}", None, address)


async def let_in(session: AsyncSession, settings: Settings, invitation: str | None) -> bool:
    """Use up the invitation, if one is required. Returns False if the address must be confirmed first. Raises
    `Forbidden`.
    """
    if settings.registration == "open":
        return True
    if settings.registration == "closed":
        raise Forbidden("Registration is closed. Ask an administrator for an account.")
    used = bool(invitation) and await _use_up(session, invitation or "")
    if settings.registration == "confirm" or used:
        return used
    if not invitation:
        raise Forbidden("Registration needs an invitation. Ask an administrator for one.")
    raise Forbidden("This invitation is invalid, used or expired. Ask an administrator for a new one.")


async def _use_up(session: AsyncSession, invitation: str) -> bool:
    good = and_(
        Invitation.token_hash == crypto.hash_token(invitation),
        Invitation.used_at.is_(None),
        Invitation.expires_at > func.now(),
    )
    used = update(Invitation).where(good).values(used_at=func.now()).returning(Invitation.token_hash)
    return await session.scalar(used) is not None
