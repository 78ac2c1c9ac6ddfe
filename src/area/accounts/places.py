"""Places from which an account has signed in: networks, and browsers by an unguessable cookie.

Failed attempts from these count separately, so that an attacker elsewhere can't lock the owner out.
"""

import ipaddress
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import KnownPlace
from area.kit import crypto

KEPT = timedelta(days=180)  # unused
MAX_PLACES = 50  # per account; the oldest is dropped


def browser(device: str) -> str:
    """The stored form of a browser cookie."""
    return f"device:{crypto.hash_token(device)[:40]}"


async def known(session: AsyncSession, user_id: int, address: str, device: str) -> str | None:
    """The place, if the account has signed in from it: the browser rather than its network."""
    places = [f"net:{network(address)}", *([browser(device)] if device else [])]
    matches = await session.scalars(
        select(KnownPlace.place).where(
            KnownPlace.user_id == user_id, KnownPlace.place.in_(places), KnownPlace.last_at > func.now() - KEPT
        )
    )
    return min(matches, default=None)  # "device" sorts before "net"


async def remember(session: AsyncSession, user_id: int, address: str, device: str) -> None:
    """Record that the account signed in from here."""
    for place in (f"net:{network(address)}", *([browser(device)] if device else [])):
        row = upsert(KnownPlace).values(user_id=user_id, place=place)
        await session.execute(
            row.on_conflict_do_update(index_elements=["user_id", "place"], set_={"last_at": func.now()})
        )
    newest = select(KnownPlace.place).where(KnownPlace.user_id == user_id).order_by(KnownPlace.last_at.desc())
    await session.execute(
        delete(KnownPlace).where(KnownPlace.user_id == user_id, KnownPlace.place.not_in(newest.limit(MAX_PLACES)))
    )


async def forget(session: AsyncSession, user_id: int) -> None:
    """Forget all places of the account."""
    await session.execute(delete(KnownPlace).where(KnownPlace.user_id == user_id))


def network(address: str) -> str:
    """What counts as one address: IPv6 is assigned by /64, so one address means all of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
