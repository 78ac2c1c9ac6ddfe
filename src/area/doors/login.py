"""Registration and log-in for pages and API. Attempts are counted and committed even if the request fails.

Every way in, by password or provider, ends in `let_in`, which starts the session or asks for the second factor. A
passkey counts as both factors.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from area import accounts, audit
from area.accounts import (
    Identity,
    UserView,
    addresses,
    attempts,
    passkeys,
    places,
    reset,
    sessions,
    signups,
    tickets,
    two_factor,
)
from area.accounts.places import network
from area.doors.deps import Visitor
from area.engine.state import State
from area.kit import crypto
from area.kit.fair import Full
from area.kit.problems import Forbidden, Gone, Invalid, Problem, SecondFactorRequired, Unauthenticated

MOST_REGULARS = 10_000

# Names and networks that have signed in here: exempt while the process rejects strangers without a query.
_regulars: dict[tuple[str, str], None] = {}


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that a signed-in user is the owner: one of these fields."""

    password: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    ticket: str = field(default="", repr=False)  # the passkey's
    passkey: Mapping[str, Any] | None = field(default=None, repr=False)


async def register(
    state: State,
    session: AsyncSession,
    *,
    email: str,
    username: str,
    password: str,
    invitation: str | None,
    setup_code: str | None,
    visitor: Visitor,
    language: str = "en",
    timezone: str | None = None,
) -> tuple[str, UserView] | None:
    """Create an account and start a session. Returns its token and user, or None if a mail was sent instead.

    Raises as `accounts.register` does, and `TooMany`.
    """
    async with state.database.transaction() as counting:
        await attempts.limit_registrations(counting, state.settings, visitor.address)
    user = await accounts.register(
        session,
        state.settings,
        email=email,
        username=username,
        password=password,
        invitation=invitation,
        setup_code=setup_code,
        language=language,
        timezone=timezone,
        address=visitor.address,
    )
    if user is None:
        return None
    await addresses.ask_confirmation(session, state.settings, user.id, visitor.address)
    return await _begin(state, session, user, visitor), user


async def finish_registration(
    state: State,
    session: AsyncSession,
    token: str,
    password: str,
    visitor: Visitor,
    *,
    username: str | None = None,
    timezone: str | None = None,
) -> tuple[str, UserView]:
    """Create the account by a mailed link and the chosen password, and start a session. Returns its token and user.

    The password proves that the link's holder registered: anyone can enter someone else's address with their own
    password. Raises as `accounts.finish_registration` does, and `TooMany`.
    """
    async with state.database.transaction() as counting:
        pending = await signups.find(counting, token)
        attempt = await attempts.at_registration(counting, state.settings, pending, visitor.address)
    try:
        await _looked_at(state, attempt, attempts.check(attempt, password))
    except Unauthenticated:
        raise Invalid.field("password", "Incorrect password. Enter the one you chose when you signed up.") from None
    await attempts.forgive(session, attempt)
    user = await accounts.finish_registration(session, state.settings, token, username, visitor.address, timezone)
    await addresses.mark_confirmed(session, user.id, user.email)
    return await _begin(state, session, user, visitor), user


async def _begin(state: State, session: AsyncSession, user: UserView, visitor: Visitor) -> str:
    """The first session of an account."""
    token = await open_session(state, session, user, visitor)
    for name in (user.email, user.username):
        _remember(name, visitor)
    return token


async def log_in(
    state: State, session: AsyncSession, *, login: str, password: str, visitor: Visitor
) -> tuple[str, UserView]:
    """Start a session. Returns its token and user.

    Raises `Unauthenticated`, `Forbidden`, `TooMany`, and `SecondFactorRequired` if the password is right but not
    enough.
    """
    if (login.lower(), network(visitor.address)) in _regulars:
        return await _log_in(state, session, login, password, visitor)
    with crypto.hashing.admitted():  # a flood of strangers must not load the database
        return await _log_in(state, session, login, password, visitor)


async def _log_in(
    state: State, session: AsyncSession, login: str, password: str, visitor: Visitor
) -> tuple[str, UserView]:
    async with state.database.transaction() as counting:
        attempt = await attempts.attempt(counting, state.settings, login, visitor.address, visitor.device)
    try:
        await _looked_at(state, attempt, attempts.check(attempt, password))
        user = await attempts.log_in(session, attempt)
        token = await let_in(state, session, user, visitor)
    except SecondFactorRequired:
        await session.rollback()
        async with state.database.transaction() as forgiving:  # the password was right
            await attempts.forgive(forgiving, attempt)
        raise
    except (Unauthenticated, Forbidden) as error:
        await session.rollback()  # release the connection before taking another one
        await _note_failure(state, attempt.user_id, error, visitor)
        raise
    _remember(login, visitor)
    return token, user


def _remember(login: str, visitor: Visitor) -> None:
    _regulars[login.lower(), network(visitor.address)] = None
    if len(_regulars) > MOST_REGULARS:
        del _regulars[next(iter(_regulars))]


async def let_in(
    state: State, session: AsyncSession, user: UserView, visitor: Visitor, *, provider: str | None = None
) -> str:
    """Start the session of a user who has passed one factor. Returns its token.

    Raises `SecondFactorRequired`; roll back then.
    """
    if user.two_factor:
        ticket = tickets.issue(state.keyring, "second-factor", f"{user.id}|{await _fingerprint(session, user.id)}")
        raise await _asked(state, session, user, ticket)
    detail = {"provider": provider} if provider else None
    await audit.record(session, user.id, "login.succeeded", f"user {user.id}", detail, visitor.address)
    return await open_session(state, session, user, visitor)


async def open_session(state: State, session: AsyncSession, user: UserView, visitor: Visitor) -> str:
    """Start a session, and remember the place."""
    await places.remember(session, user.id, visitor.address, visitor.device)
    return await sessions.open_session(session, state.settings, user.id, name=visitor.client, address=visitor.address)


async def second_factor(
    state: State,
    session: AsyncSession,
    ticket: str,
    visitor: Visitor,
    *,
    code: str | None = None,
    passkey: Mapping[str, Any] | None = None,
) -> tuple[str, UserView]:
    """Check the second factor for `SecondFactorRequired`. Raises `Gone`, `Invalid`, `Forbidden`, `TooMany`."""
    user_id, fingerprint = _ticket_of(state, ticket)
    how = "passkey"
    try:
        if passkey is not None:  # signatures can't be guessed
            await passkeys.used(session, state.settings, ticket, passkey, user_id)
        else:
            async with state.database.transaction() as counting:
                attempt = await attempts.second(counting, state.settings, user_id, visitor.address, visitor.device)
            how = await two_factor.check(session, state.keyring, user_id, code or "")
            await tickets.use_up(session, ticket)
            await attempts.forgive(session, attempt)
    except Invalid as error:
        await session.rollback()
        await _note_failure(state, user_id, error, visitor)
        raise
    if fingerprint != await _fingerprint(session, user_id):
        raise Gone("Your password was changed in the meantime. Start again.")
    return await _arrived(state, session, user_id, how, visitor)


async def with_passkey(
    state: State, session: AsyncSession, ticket: str, passkey: Mapping[str, Any], visitor: Visitor
) -> tuple[str, UserView]:
    """Start a session with a passkey alone. Raises `Invalid`, `Gone`, `Forbidden`."""
    tickets.about(state.keyring, "passkey", ticket)
    user_id = await passkeys.used(session, state.settings, ticket, passkey)
    return await _arrived(state, session, user_id, "passkey", visitor)


async def _arrived(
    state: State, session: AsyncSession, user_id: int, how: str, visitor: Visitor
) -> tuple[str, UserView]:
    user = await attempts.welcome(session, user_id)
    await audit.record(session, user_id, "login.succeeded", f"user {user_id}", {"second_factor": how}, visitor.address)
    return await open_session(state, session, user, visitor), user


def _ticket_of(state: State, ticket: str) -> tuple[int, str]:
    user_id, _, fingerprint = tickets.about(state.keyring, "second-factor", ticket).partition("|")
    return int(user_id), fingerprint


async def second_options(state: State, session: AsyncSession, ticket: str) -> SecondFactorRequired:
    """The second factors accepted for this ticket, as first returned. Raises `Gone`."""
    user_id, _ = _ticket_of(state, ticket)
    try:
        user = await accounts.user(session, user_id)
    except Problem:
        raise Gone("This took too long. Start again.") from None
    return await _asked(state, session, user, ticket)


async def _asked(state: State, session: AsyncSession, user: UserView, ticket: str) -> SecondFactorRequired:
    now = await two_factor.status(session, state.settings, user)
    options = None
    if now.passkeys and passkeys.possible(state.settings):
        options = await passkeys.request(session, state.settings, ticket, user.id)
    there = {"app": now.app, "passkey": options is not None, "recovery_code": now.recovery_codes > 0}
    return SecondFactorRequired(ticket, [name for name, has in there.items() if has], options)


async def _fingerprint(session: AsyncSession, user_id: int) -> str:
    """Changes with the password, so that a ticket does not outlive it."""
    return crypto.hash_token(f"{user_id} {await attempts.password_hash(session, user_id)}")[:16]


async def _note_failure(state: State, user_id: int | None, error: Problem, visitor: Visitor) -> None:
    # not the input: it may be a password in the wrong field
    subject = f"user {user_id}" if user_id else "unknown user"
    async with state.database.transaction() as noting:
        await audit.record(noting, None, "login.failed", subject, {"reason": error.code}, visitor.address)


# Re-authentication


async def prove(
    state: State, session: AsyncSession, identity: Identity, proof: Proof, address: str, field: str = "password"
) -> None:
    """Re-authenticate with the password or a passkey, or with a code if there is no password. Limited per session, so
    that attackers elsewhere don't interfere. Raises `Invalid` for `field`, `Gone`, `TooMany`.
    """
    user = identity.user
    if proof.passkey is not None:
        bound(state, identity, "prove", proof.ticket)
        await passkeys.used(session, state.settings, proof.ticket, proof.passkey, user.id)
        return
    async with state.database.transaction() as counting:
        attempt = await attempts.again(counting, state.settings, user.id, identity.token_id, address)
    if user.has_password:
        await _looked_at(state, attempt, attempts.prove(attempt, proof.password, field))
    elif user.two_factor:
        await two_factor.check(session, state.keyring, user.id, proof.code or "")
    await attempts.forgive(session, attempt)


def bound(state: State, identity: Identity, purpose: tickets.Purpose, ticket: str) -> None:
    """Raise `Gone` unless the ticket was issued to this session."""
    if tickets.about(state.keyring, purpose, ticket) != str(identity.token_id):
        raise Gone("This took too long. Start again.")


async def prove_options(state: State, session: AsyncSession, identity: Identity) -> tuple[str, passkeys.Options]:
    """A ticket, and options for the browser to use a passkey in `prove`. Raises `Conflict`."""
    ticket = tickets.issue(state.keyring, "prove", str(identity.token_id))
    return ticket, await passkeys.request(session, state.settings, ticket, identity.user.id)


# Password reset


async def reset_password(
    state: State, session: AsyncSession, token: str, new_password: str, *, tokens: bool, address: str
) -> None:
    """Set a new password by a mailed link. Raises `Gone`, before any hashing, and `Invalid`."""
    async with state.database.transaction() as looking:
        if not await addresses.is_valid(looking, token, "reset"):
            raise addresses.over()
    hashed = await reset.hashed(new_password)
    await reset.apply(session, state.settings, token, hashed, tokens=tokens, address=address)


async def _looked_at(state: State, attempt: attempts.Attempt, check: Awaitable[None]) -> None:
    """Check the password. If there is no capacity to check it, the attempt doesn't count. Raises as `check`, and
    `Full`.
    """
    try:
        await check
    except Full:
        async with state.database.transaction() as counting:
            await attempts.withdraw(counting, attempt)
        raise
