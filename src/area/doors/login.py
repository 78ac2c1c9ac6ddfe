"""Registering and logging in, as every door does it: with what counts attempts and what notes them kept whatever follows."""

from collections.abc import Awaitable

from sqlalchemy.ext.asyncio import AsyncSession

from area import accounts, audit
from area.accounts import UserView, addresses, attempts, reset, sessions
from area.engine.state import State
from area.kit.fair import Full
from area.kit.problems import Forbidden, Unauthenticated


async def register(
    state: State,
    session: AsyncSession,
    *,
    email: str,
    username: str,
    password: str,
    invitation: str | None,
    setup_code: str | None,
    client: str,
    address: str,
) -> tuple[str, UserView]:
    """Make an account and begin a session: its token, and whose it is. Raises as `accounts.register` does, and `TooMany`."""
    async with state.database.transaction() as counting:
        await attempts.limit_registrations(counting, state.settings, address)
    user = await accounts.register(
        session,
        state.settings,
        email=email,
        username=username,
        password=password,
        invitation=invitation,
        setup_code=setup_code,
        address=address,
    )
    await addresses.ask_confirmation(session, state.settings, user.id, address)
    token = await sessions.open_session(session, state.settings, user.id, name=client, address=address)
    return token, user


async def log_in(
    state: State, session: AsyncSession, *, login: str, password: str, client: str, address: str
) -> tuple[str, UserView]:
    """Begin a session: its token, and whose it is. Raises `Unauthenticated`, `Forbidden` and `TooMany`."""
    async with state.database.transaction() as counting:
        attempt = await attempts.attempt(counting, state.settings, login, address)
    try:
        await _looked_at(state, attempt, attempts.check(attempt, password))
        user = await attempts.log_in(session, attempt)
    except (Unauthenticated, Forbidden) as error:
        await session.rollback()  # gives its connection back before another one is taken
        # not what was typed: it may be a password in the wrong field
        subject = f"user {attempt.user_id}" if attempt.user_id else "nobody known"
        async with state.database.transaction() as noting:
            await audit.record(noting, None, "login.failed", subject, {"reason": error.code}, address)
        raise
    token = await sessions.open_session(session, state.settings, user.id, name=client, address=address)
    await audit.record(session, user.id, "login.succeeded", f"user {user.id}", None, address)
    return token, user


async def prove(
    state: State, session: AsyncSession, user_id: int, password: str | None, address: str, field: str = "password"
) -> None:
    """Ask for the password again, as limited as log-in is. Raises `Invalid`, naming `field`, and `TooMany`."""
    async with state.database.transaction() as counting:
        attempt = await attempts.attempt(counting, state.settings, user_id, address)
    await _looked_at(state, attempt, attempts.prove(attempt, password, field))
    await attempts.forgive(session, attempt)


async def reset_password(
    state: State, session: AsyncSession, token: str, new_password: str, *, tokens: bool, address: str
) -> None:
    """Set a forgotten password by a mailed link. Raises `Gone`, before any hashing is done, and `Invalid`."""
    async with state.database.transaction() as looking:
        if not await addresses.is_valid(looking, token, "reset"):
            raise addresses.over()
    hashed = await reset.hashed(new_password)
    await reset.apply(session, state.settings, token, hashed, tokens=tokens, address=address)


async def _looked_at(state: State, attempt: attempts.Attempt, check: Awaitable[None]) -> None:
    """Look at the password. When that is refused for want of time, the attempt does not count. Raises as `check`, and `Full`."""
    try:
        await check
    except Full:
        async with state.database.transaction() as counting:
            await attempts.withdraw(counting, attempt)
        raise
