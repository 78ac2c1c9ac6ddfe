"""A forgotten password: a link that is mailed to the account's address, works once and for 30 minutes."""

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
PER_ADDRESS = 3  # an hour; whoever asked before the owner did has had the mail sent to the owner
PER_NETWORK = 20  # an hour


async def ask(session: AsyncSession, settings: Settings, email: str, address: str) -> None:
    """Have a link mailed, if there is such an account. Nothing here depends on whether there is: a worker looks for it.

    Raises `Invalid`, `Forbidden` where this server sends no mail, and `TooMany` for who asks, never for the account.
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
    """The new password as it is kept. Raises `Invalid`."""
    return await rules.hash_password(rules.checked({"new_password": new_password})["new_password"])


async def apply(
    session: AsyncSession, settings: Settings, token: str, password_hash: str, *, tokens: bool, address: str
) -> None:
    """Set the password by a link: all sessions end, with `tokens` the API tokens too. A second factor stays on.

    Following the link proves the address, so it is confirmed. Raises `Gone`.
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
