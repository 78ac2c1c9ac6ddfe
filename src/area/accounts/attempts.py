"""Logging in, and the attempts at it.

What proves who one is (log-in, and whatever asks for the password again) takes two steps, each a transaction of the caller:
`attempt` counts the try and commits, and only then is the password looked at. Counted the other way round, a hundred guesses
sent at the same moment would all pass the limit.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.accounts.locks import ADDRESS, LOGIN, lock
from area.accounts.views import UserView, is_called, user
from area.db.models import AccessToken, LoginAttempt, User
from area.kit import crypto, fair
from area.kit.problems import Forbidden, Invalid, TooMany, Unauthenticated
from area.settings import Settings

WINDOW = timedelta(minutes=15)
ADDRESS_FACTOR = 5  # an address may fail this much more often than an account: a household or office shares it


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted try to prove to be an account, or, without a `user_id`, one that there is not."""

    user_id: int | None
    password_hash: str | None = field(repr=False)
    address: str
    number: int  # of its row
    known: bool  # whether the account has a session from there


async def limit_registrations(session: AsyncSession, settings: Settings, address: str) -> None:
    """Count a registration from `address`. Raises `TooMany`. To be committed before `register`, which costs a bcrypt."""
    await lock(session, ADDRESS, network(address))
    await limit(session, LoginAttempt.address, network(address), settings.login_attempts * ADDRESS_FACTOR)
    await session.execute(insert(LoginAttempt).values(login="register", address=network(address)))


async def attempt(session: AsyncSession, settings: Settings, login: str | int, address: str) -> Attempt:
    """Count a try to prove to be `login` (e-mail address, username or user id) from `address`; returns it, to go on with.

    Raises `TooMany` when the account or the address had its share of failures in the last 15 minutes. To be committed before
    the password is looked at; what succeeds takes it back.
    """
    who = User.id == login if isinstance(login, int) else is_called(login)
    row = (await session.execute(select(User.id, User.password_hash).where(who).limit(1))).one_or_none()
    # by the account, however it is called, or else by the unknown name itself
    key = f"user:{row.id}" if row else f"name:{crypto.hash_token(str(login).lower())}"
    here = network(address)
    await lock(session, LOGIN, key)
    await lock(session, ADDRESS, here)
    await limit(session, LoginAttempt.login, key, settings.login_attempts)
    await limit(session, LoginAttempt.address, here, settings.login_attempts * ADDRESS_FACTOR)
    counted = insert(LoginAttempt).values(login=key, address=here).returning(LoginAttempt.id)
    number = (await session.execute(counted)).scalar_one()
    await session.execute(
        delete(LoginAttempt).where(
            or_(LoginAttempt.login == key, LoginAttempt.address == here), LoginAttempt.at <= func.now() - WINDOW
        )
    )
    if row is None:
        return Attempt(None, None, address, number, known=False)
    return Attempt(row.id, row.password_hash, address, number, known=await _known(session, row.id, here))


async def _known(session: AsyncSession, user_id: int, here: str) -> bool:
    mine = select(AccessToken.address).where(AccessToken.user_id == user_id, AccessToken.kind == "session").distinct()
    return any(one and network(one) == here for one in await session.scalars(mine))


async def withdraw(session: AsyncSession, attempt: Attempt) -> None:
    """Take back this attempt alone: its password was not looked at."""
    await session.execute(delete(LoginAttempt).where(LoginAttempt.id == attempt.number))


async def check(attempt: Attempt, password: str) -> None:
    """Compare the password, which takes a quarter of a second and no connection.

    Raises `Unauthenticated`, with the same words and after the same work whether there is such an account or not, and `Full`;
    then the password was not looked at, and the attempt is to be taken back (`withdraw`).
    """
    if not await _matches(attempt, password):
        raise Unauthenticated("This login and password do not belong together.")


async def _matches(attempt: Attempt, password: str) -> bool:
    if not attempt.known:
        return await crypto.hashing.run(crypto.check_password, password, attempt.password_hash)
    with fair.working_for(fair.user(attempt.user_id)):
        return await crypto.hashing_known.run(crypto.check_password, password, attempt.password_hash)


async def prove(attempt: Attempt, password: str | None, field: str = "password") -> None:
    """`check` for somebody who is logged in: raises `Invalid`, naming `field`.

    An account without a password (it logs in with a provider) has nothing to prove.
    """
    if attempt.password_hash is None:
        return
    try:
        await check(attempt, password or "")
    except Unauthenticated:
        sentence = "This is not your present password." if password else "Give your present password."
        raise Invalid.field(field, sentence) from None


async def log_in(session: AsyncSession, attempt: Attempt) -> UserView:
    """The account, once `check` found the password right. Raises `Forbidden` when it is disabled."""
    found = await user(session, attempt.user_id or 0)
    if not found.is_active:
        raise Forbidden("This account is disabled. Ask an administrator.")
    await forgive(session, attempt)
    # a log-in is no change of the account, so `updated_at` stays
    await session.execute(
        update(User).where(User.id == found.id).values(last_connection_at=func.now(), updated_at=User.updated_at)
    )
    return await user(session, found.id)


async def forgive(session: AsyncSession, attempt: Attempt) -> None:
    """Take back the attempts of this account from this address; those from elsewhere may be somebody else's guesses."""
    mine = (LoginAttempt.login == f"user:{attempt.user_id}", LoginAttempt.address == network(attempt.address))
    await session.execute(delete(LoginAttempt).where(*mine))


async def limit(session: AsyncSession, column: Any, value: str, most: int) -> None:
    """Raise `TooMany` when `most` attempts of the window have this value."""
    wait = func.extract("epoch", LoginAttempt.at + WINDOW - func.now())
    recent = select(wait).where(column == value, LoginAttempt.at > func.now() - WINDOW)
    left = await session.scalar(recent.order_by(LoginAttempt.at.desc()).offset(most - 1).limit(1))
    if left is not None:
        minutes = max(1, round(float(left) / 60))
        raise TooMany(
            "Too many failed attempts. Try again in %(minutes)s min.", retry_after=float(left), minutes=minutes
        )


def network(address: str) -> str:
    """What counts as one address: IPv6 is handed out by /64, so whoever has one address has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
