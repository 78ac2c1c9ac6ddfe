"""Registrations with a confirmed address: the account is created once the mailed link is followed.

Nothing visible to the visitor depends on whether the address has an account; a worker checks when it writes the mail.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from area import mail
from area.accounts.places import network
from area.db.models import PendingRegistration
from area.kit import crypto
from area.kit.problems import Gone, TooMany

GOOD_FOR = timedelta(days=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PER_ADDRESS = 3  # mails an hour
PER_ADDRESS_A_DAY = 10
PER_NETWORK = 20  # mails an hour


@dataclass(frozen=True, slots=True)
class Pending:
    """A registration waiting for its mailed link."""

    id: int
    email: str
    username: str
    password_hash: str = field(repr=False)


async def keep(
    session: AsyncSession, *, email: str, username: str, password_hash: str, language: str, address: str
) -> None:
    """Store the registration and mail the link, unless the address has received too many. Raises `TooMany`."""
    source = network(address)
    if await mail.count(session, "register", HOUR, source=source) >= PER_NETWORK:
        raise TooMany("Too many requests from your network. Try again in an hour.", retry_after=HOUR.total_seconds())
    if await mail.count(session, "register", HOUR, recipient=email) >= PER_ADDRESS:
        return
    if await mail.count(session, "register", DAY, recipient=email) >= PER_ADDRESS_A_DAY:
        return
    row = insert(PendingRegistration).values(
        email=email,
        username=username,
        password_hash=password_hash,
        language=language,
        expires_at=func.now() + GOOD_FOR,
    )
    number = await session.scalar(row.returning(PendingRegistration.id))
    await mail.enqueue(session, "register", email, source=source, registration_id=number)


async def find(session: AsyncSession, token: str) -> Pending:
    """The registration of a link. Raises `Gone`."""
    row = (
        await session.execute(
            select(
                PendingRegistration.id,
                PendingRegistration.email,
                PendingRegistration.username,
                PendingRegistration.password_hash,
            ).where(
                PendingRegistration.token_hash == crypto.hash_token(token), PendingRegistration.expires_at > func.now()
            )
        )
    ).one_or_none()
    if row is None:
        raise Gone("This link has expired or was already used. If you finished signing up, sign in.")
    return Pending(*row)


async def use_up(session: AsyncSession, pending: Pending) -> None:
    """Invalidate all links mailed to the address."""
    await session.execute(delete(PendingRegistration).where(PendingRegistration.email == pending.email))
