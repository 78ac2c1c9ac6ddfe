"""Password reset: a link mailed to the account's address, valid once, for 30 minutes."""

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit, mail
from area.accounts import addresses, attempts, rules, sessions
from area.accounts.places import network
from area.db.locks import Lock
from area.db.models import User
from area.db.session import lock
from area.kit.problems import Forbidden, TooMany
from area.settings import Settings

HOUR = timedelta(hours=1)
PER_ADDRESS = 3  # per hour; an earlier request by somebody else has sent the owner the mail anyway
PER_NETWORK = 20  # an hour


async def ask(session: AsyncSession, settings: Settings, email: str, address: str) -> None:
    """Request a reset link. Nothing here depends on whether the account exists: a worker looks it up later.

    Raises `Invalid`, `Forbidden` if this server sends no mail, and `TooMany` for the client, never for the account.
    """
    if settings.smtp_url is None:
        raise Forbidden("This server has no mail set up. Ask an administrator for a new password.")
    email = rules.checked({"email": email})["email"]
    source = network(address)
    await lock(session, Lock.ADDRESS, f"reset {source}")
    if await mail.count(session, "reset", HOUR, source=source) >= PER_NETWORK:
        raise TooMany("Too many requests from your network. Try again in an hour.", retry_after=HOUR.total_seconds())
    if await mail.count(session, "reset", HOUR, recipient=email) < PER_ADDRESS:
        await mail.enqueue(session, "reset", email, source=source)


async def hashed(new_password: str) -> str:
    """The hash of the new password. Raises `Invalid`."""
    return await rules.hash_password(rules.checked({"new_password": new_password})["new_password"])


async def apply(
    session: AsyncSession, settings: Settings, token: str, password_hash: str, *, tokens: bool, address: str
) -> None:
    """Set the password by a link. All sessions end, and with `tokens` the API tokens. A second factor stays on.

    Following the link also confirms the address. Raises `Gone`.
    """
    user_id, email, _ = await addresses.use(session, token, "reset")
    account = update(User).where(User.id == user_id, User.email == email, User.is_active)
    if await session.scalar(account.values(password_hash=password_hash).returning(User.id)) is None:
        raise addresses.over()
    await addresses.forget_links(session, user_id, "reset")
    await addresses.mark_confirmed(session, user_id, email)
    await attempts.forget(session, user_id)  # the owner is not locked out
    ended = await sessions.end_sessions(session, user_id)
    if tokens:
        ended += await sessions.end_tokens(session, user_id)
    await audit.record(session, user_id, "account.password_reset", f"user {user_id}", {"ended": ended}, address)
    await addresses.tell_password_changed(session, settings, user_id)
