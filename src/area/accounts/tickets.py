"""Tickets: short-lived, single-use proofs that link one step to the next. Signed; nothing is stored until use."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import UsedTicket
from area.kit import crypto
from area.kit.crypto import BadSignature, Keyring
from area.kit.problems import Gone

GOOD_FOR = timedelta(minutes=10)

# second-factor: the password was right; passkey: sign in; add-passkey: create one; prove: re-authenticate
Purpose = Literal["second-factor", "passkey", "add-passkey", "prove"]


def issue(keyring: Keyring, purpose: Purpose, about: str = "") -> str:
    """A ticket. Its holder can read `about`."""
    return keyring.sign(f"{secrets.token_urlsafe(16)}|{about}", f"ticket {purpose}", GOOD_FOR.total_seconds())


def about(keyring: Keyring, purpose: Purpose, ticket: str) -> str:
    """What the ticket was issued for. Raises `Gone`."""
    try:
        return keyring.unsign(ticket, f"ticket {purpose}", GOOD_FOR.total_seconds()).partition("|")[2]
    except BadSignature:
        raise Gone("This took too long. Start again.") from None


def challenge(ticket: str) -> bytes:
    """What an authenticator signs for this ticket."""
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()


async def use_up(session: AsyncSession, ticket: str) -> None:
    """Invalidate the ticket. Raises `Gone` if it was already used."""
    row = upsert(UsedTicket).values(ticket_hash=crypto.hash_token(ticket), expires_at=datetime.now(UTC) + 2 * GOOD_FOR)
    if await session.scalar(row.on_conflict_do_nothing().returning(UsedTicket.ticket_hash)) is None:
        raise Gone("This was already used. Start again.")
