"""Logging in, and rate limits on attempts.

Everything that checks a password takes two steps, each in its own transaction: `attempt` counts the try and commits;
only then is the password checked. The other way round, a hundred simultaneous guesses would all pass the limit.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.accounts import places
from area.accounts.places import network
from area.accounts.signups import Pending
from area.accounts.views import UserView, is_called, user
from area.db.locks import Lock
from area.db.models import LoginAttempt, User
from area.db.session import lock
from area.kit import crypto, fair
from area.kit.problems import Forbidden, Invalid, TooMany, Unauthenticated
from area.settings import Settings

WINDOW = timedelta(minutes=15)
ADDRESS_FACTOR = 5  # an address may fail this much more often than an account, since a household or office shares it


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt to authenticate as an account. Without a `user_id`, there is no such account."""

    user_id: int | None
    password_hash: str | None = field(repr=False)
    key: str  # what it is counted under
    address: str
    number: int  # of its row
    known: bool  # whether the account has signed in from there before


async def limit_registrations(session: AsyncSession, settings: Settings, address: str) -> None:
    """Count a registration from `address`. Raises `TooMany`. Commit before `register`, which costs a bcrypt."""
    await lock(session, Lock.ADDRESS, network(address))
    await limit(session, LoginAttempt.address, network(address), settings.login_attempts * ADDRESS_FACTOR)
    await session.execute(insert(LoginAttempt).values(login="register", address=network(address)))


async def attempt(session: AsyncSession, settings: Settings, login: str, address: str, device: str = "") -> Attempt:
    """Count an attempt to log in as `login` (e-mail address or username), and return it for the next step.

    Raises `TooMany` if that name or the address had too many failures in the last 15 minutes. Each name counts by
    itself, known or not, so that limits don't reveal which names belong together. Each place from which the account has
    signed in before also counts by itself, so that attackers elsewhere can't lock its owner out. Commit before checking
    the password; a success withdraws the attempt.
    """
    columns = select(User.id, User.password_hash)
    row = (await session.execute(columns.where(is_called(login)).limit(1))).one_or_none()
    if row is None:
        return await _count(session, settings, None, None, f"name:{crypto.hash_token(login.lower())}", address)
    key = f"user:{row.id}:{'email' if '@' in login else 'name'}"
    place = await places.known(session, row.id, address, device)
    return await _count(session, settings, row.id, row.password_hash, key, address, place)


async def second(session: AsyncSession, settings: Settings, user_id: int, address: str, device: str = "") -> Attempt:
    """Count an attempt at the second factor, like `attempt`. A correct password withdraws none of these."""
    place = await places.known(session, user_id, address, device)
    return await _count(session, settings, user_id, None, f"second:{user_id}", address, place)


async def again(session: AsyncSession, settings: Settings, user_id: int, token_id: int, address: str) -> Attempt:
    """Count an attempt to re-authenticate in this session, so that guesses elsewhere don't interfere."""
    password_hash = await session.scalar(select(User.password_hash).where(User.id == user_id))
    return await _count(session, settings, user_id, password_hash, f"again:{user_id}", address, f"session:{token_id}")


async def at_registration(session: AsyncSession, settings: Settings, pending: Pending, address: str) -> Attempt:
    """Count an attempt to finish a registration."""
    return await _count(session, settings, None, pending.password_hash, f"register:{pending.id}", address)


async def _count(
    session: AsyncSession,
    settings: Settings,
    user_id: int | None,
    password_hash: str | None,
    key: str,
    address: str,
    place: str | None = None,
) -> Attempt:
    if place is not None:
        key = f"{key}:{place}"
    here = network(address)
    await lock(session, Lock.LOGIN, key)
    await lock(session, Lock.ADDRESS, here)
    await limit(session, LoginAttempt.login, key, settings.login_attempts)
    if place is None or place.startswith("net:"):  # proofs that only the owner has need no limit by address
        await limit(session, LoginAttempt.address, here, settings.login_attempts * ADDRESS_FACTOR)
    counted = insert(LoginAttempt).values(login=key, address=here).returning(LoginAttempt.id)
    number = (await session.execute(counted)).scalar_one()
    await session.execute(
        delete(LoginAttempt).where(
            or_(LoginAttempt.login == key, LoginAttempt.address == here), LoginAttempt.at <= func.now() - WINDOW
        )
    )
    return Attempt(user_id, password_hash, key, address, number, known=place is not None)


async def withdraw(session: AsyncSession, attempt: Attempt) -> None:
    """Withdraw this attempt alone: its password was not checked."""
    await session.execute(delete(LoginAttempt).where(LoginAttempt.id == attempt.number))


async def check(attempt: Attempt, password: str) -> None:
    """Check the password, which takes a quarter of a second and no database connection.

    Raises `Unauthenticated` with the same message and after the same work whether the account exists or not, and
    `Full`, in which case the password was not checked and the attempt must be withdrawn (`withdraw`).
    """
    if not await _matches(attempt, password):
        raise Unauthenticated("Incorrect username or password.")


async def _matches(attempt: Attempt, password: str) -> bool:
    if not attempt.known:
        return await crypto.hashing.run(crypto.check_password, password, attempt.password_hash)
    with fair.working_for(fair.user(attempt.user_id)):
        return await crypto.hashing_known.run(crypto.check_password, password, attempt.password_hash)


async def prove(attempt: Attempt, password: str | None, path: str = "password") -> None:
    """`check` for a logged-in user. Raises `Invalid` for the field `path`.

    An account without a password (it logs in with a provider) has nothing to prove.
    """
    if attempt.password_hash is None:
        return
    try:
        await check(attempt, password or "")
    except Unauthenticated:
        if password:
            raise Invalid.field(path, "Incorrect password.") from None
        raise Invalid.field(path, "Enter your current password.") from None


async def log_in(session: AsyncSession, attempt: Attempt) -> UserView:
    """The account, after `check` accepted the password. Raises `Forbidden` if it is disabled."""
    account = await welcome(session, attempt.user_id or 0)
    await forgive(session, attempt)
    return account


async def welcome(session: AsyncSession, user_id: int) -> UserView:
    """The account that logs in. Raises `Forbidden` if it is disabled."""
    if not (await user(session, user_id)).is_active:
        raise Forbidden("This account is disabled. Ask an administrator.")
    # a log-in doesn't change the account, so `updated_at` stays
    await session.execute(
        update(User).where(User.id == user_id).values(last_connection_at=func.now(), updated_at=User.updated_at)
    )
    return await user(session, user_id)


async def password_hash(session: AsyncSession, user_id: int) -> str | None:
    """The hash of the account's password, if it has one."""
    hashed: str | None = await session.scalar(select(User.password_hash).where(User.id == user_id))
    return hashed


async def forget(session: AsyncSession, user_id: int) -> None:
    """Withdraw all failed attempts at the account's password, from everywhere."""
    await session.execute(delete(LoginAttempt).where(func.starts_with(LoginAttempt.login, f"user:{user_id}:")))


async def forgive(session: AsyncSession, attempt: Attempt) -> None:
    """Withdraw the attempts of this kind from this address; those from elsewhere may be an attacker's."""
    same = LoginAttempt.login == attempt.key
    if attempt.key.startswith("user:"):  # under either name, from any place
        same = func.starts_with(LoginAttempt.login, f"user:{attempt.user_id}:")
    await session.execute(delete(LoginAttempt).where(same, LoginAttempt.address == network(attempt.address)))


async def limit(session: AsyncSession, column: Any, value: str, most: int) -> None:
    """Raise `TooMany` if the window has `most` attempts with this value."""
    wait = func.extract("epoch", LoginAttempt.at + WINDOW - func.now())
    recent = select(wait).where(column == value, LoginAttempt.at > func.now() - WINDOW)
    left = await session.scalar(recent.order_by(LoginAttempt.at.desc()).offset(most - 1).limit(1))
    if left is not None:
        minutes = max(1, round(float(left) / 60))
        raise TooMany(
            "Too many failed attempts. Try again in %(minutes)s min.", retry_after=float(left), minutes=minutes
        )
