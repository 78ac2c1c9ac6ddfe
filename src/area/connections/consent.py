"""The OAuth2 round trip through a vendor's consent page. `state` is signed, bound to the browser session, and valid
once for ten minutes.

Vendors redirect everyone to one URL, so the state says what the trip is for. `start` and `finish` need their own
transactions: a state is used up even if the request fails later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import orjson
from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from area.db import contexts
from area.db.models import Consent
from area.kit import oauth2
from area.kit.crypto import BadSignature, Keyring, SignatureExpired, Undecryptable, hash_token, new_token
from area.kit.keys import Keys
from area.kit.oauth2 import Server
from area.kit.problems import Gone, Invalid, TooMany
from area.kit.text import dump_json

Purpose = Literal["connect", "log_in"]

GOOD_FOR = timedelta(minutes=10)
MOST_UNDER_WAY = 100  # of anonymous users, per address
LOST = Gone("This was already used, has expired, or was started in another browser. Start again.").message


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The purpose of a round trip, and its service."""

    purpose: Purpose
    slug: str
    nonce: str


@dataclass(frozen=True, slots=True)
class FinishedTrip:
    """The stored data of a completed round trip."""

    user_id: int | None
    verifier: SecretStr
    scopes: tuple[str, ...]
    next: str
    invitation: SecretStr | None = field(default=None, repr=False)
    connection: str = ""  # the name of the new connection
    nonce: str = ""


async def start(
    session: AsyncSession,
    keyring: Keyring,
    purpose: Purpose,
    slug: str,
    server: Server,
    keys: Keys,
    *,
    bound_to: str,
    redirect_uri: str,
    scopes: Sequence[str],
    next: str,  # noqa: A002 - as it is called in addresses
    user_id: int | None = None,
    invitation: str | None = None,
    address: str | None = None,
    connection: str = "",
) -> str:
    """Start a round trip. Returns the URL of the consent page. Only the holder of `bound_to` can complete it.

    `address` is set for anonymous users; raises `TooMany` if that address has too many pending trips.
    """
    nonce, verifier = new_token(), oauth2.verifier()
    data: dict[str, Any] = {
        "verifier": verifier,
        "scopes": list(scopes),
        "next": next,
        "invitation": invitation,
        "connection": connection,
        "oidc_nonce": new_token() if "openid" in scopes else "",  # some servers insist on one
    }
    number = hash_token(nonce)
    await session.execute(delete(Consent).where(Consent.expires_at <= func.now()))
    if address is not None:
        here = select(func.count()).where(Consent.address == address)
        if (await session.scalar(here) or 0) >= MOST_UNDER_WAY:
            raise TooMany("Too many unfinished sign-ins from your network. Try again in a minute.", retry_after=60)
    await session.execute(
        insert(Consent).values(
            state_hash=number,
            purpose=purpose,
            service=slug,
            user_id=user_id,
            bound_to=hash_token(bound_to),
            address=address,
            kept=keyring.encrypt(dump_json(data).decode(), contexts.consent(number)),
            expires_at=func.now() + GOOD_FOR,
        )
    )
    return oauth2.authorization_address(
        server,
        keys.id,
        redirect_uri=redirect_uri,
        state=keyring.sign(f"{purpose} {slug} {nonce}", _sent_to(redirect_uri), GOOD_FOR.total_seconds()),
        challenge=oauth2.challenge(verifier),
        scopes=scopes,
        nonce=data["oidc_nonce"],
    )


def read_state(keyring: Keyring, state: str, redirect_uri: str) -> RoundTrip:
    """The purpose of the state in a callback.

    Raises `Invalid` if it wasn't made for this URL, `Gone` if it has expired.
    """
    try:
        purpose, slug, nonce = keyring.unsign(state, _sent_to(redirect_uri), GOOD_FOR.total_seconds()).split()
    except SignatureExpired:
        raise Gone(LOST) from None
    except BadSignature:
        raise Invalid.field("state", LOST) from None
    return RoundTrip("connect" if purpose == "connect" else "log_in", slug, nonce)


async def finish(session: AsyncSession, keyring: Keyring, trip: RoundTrip, bound_to: str) -> FinishedTrip:
    """The stored data of a round trip; works once. Raises `Gone` if it has expired or belongs to another browser."""
    number = hash_token(trip.nonce)
    mine = (
        Consent.state_hash == number,
        Consent.bound_to == hash_token(bound_to),
        Consent.purpose == trip.purpose,
        Consent.service == trip.slug,
        Consent.expires_at > func.now(),
    )
    row = (await session.execute(delete(Consent).where(*mine).returning(Consent.user_id, Consent.kept))).one_or_none()
    if row is None:
        raise Gone(LOST)
    try:
        data = orjson.loads(keyring.decrypt(row.kept, contexts.consent(number)))
    except Undecryptable:
        raise Gone(LOST) from None
    return FinishedTrip(
        user_id=row.user_id,
        verifier=SecretStr(data["verifier"]),
        scopes=tuple(data["scopes"]),
        next=data["next"],
        invitation=SecretStr(data["invitation"]) if data["invitation"] else None,
        connection=data.get("connection", ""),
        nonce=data.get("oidc_nonce", ""),
    )


def _sent_to(redirect_uri: str) -> str:
    """The signing context of a state. A state for one vendor is invalid for another (RFC 9700 §4.4)."""
    return f"consent {redirect_uri}"
