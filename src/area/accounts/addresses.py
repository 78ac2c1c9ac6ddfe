"""Accounts' e-mail addresses: confirmed by a mailed link, changed only to a confirmed address."""

from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area import accounts, audit, mail
from area.accounts import rules, sessions
from area.accounts.places import network
from area.db.locks import Lock
from area.db.models import ConfirmedEmail, EmailChange, EmailLink, User, UserOAuth2Account, UserSettings
from area.db.session import lock
from area.kit import crypto
from area.kit.problems import Conflict, Gone, TooMany
from area.mail import Kind, Purpose
from area.settings import Settings

DAY = timedelta(days=1)
PER_ADDRESS = 3  # confirmations a day
PER_NETWORK = 20  # confirmations a day
PER_USER = 5  # changes of address a day

_CONFIRMED = or_(
    select(ConfirmedEmail.user_id)
    .where(ConfirmedEmail.user_id == User.id, ConfirmedEmail.email == User.email)
    .exists(),
    select(UserOAuth2Account.user_id)
    .where(UserOAuth2Account.user_id == User.id, UserOAuth2Account.email == User.email)
    .exists(),
)


class EmailView(BaseModel):
    """An account's e-mail address. `pending` is the new address until it is confirmed; `mail` says whether this server
    sends mail.
    """

    email: str
    confirmed: bool
    pending: str | None
    mail_notices: bool
    mail: bool


async def view(session: AsyncSession, settings: Settings, user_id: int) -> EmailView:
    """The account's address and mail settings."""
    statement = (
        select(User.email, _CONFIRMED, EmailChange.email, func.coalesce(UserSettings.mail_notices, text("true")))
        .outerjoin(EmailChange, EmailChange.user_id == User.id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(User.id == user_id)
    )
    email, confirmed, pending, mail_notices = (await session.execute(statement)).one()
    return EmailView(
        email=email, confirmed=confirmed, pending=pending, mail_notices=mail_notices, mail=settings.smtp_url is not None
    )


async def ask_confirmation(session: AsyncSession, settings: Settings, user_id: int, address: str) -> bool:
    """Mail a link that confirms the account's address. Returns False if none is sent: not needed, or sent too often."""
    if settings.smtp_url is None:
        return False
    now = await view(session, settings, user_id)
    if now.confirmed:
        return False
    return await _enqueue(session, "confirm", now.email, user_id, address)


async def resend(session: AsyncSession, settings: Settings, user_id: int, address: str) -> None:
    """`ask_confirmation` for the owner, also for a pending address. Raises `TooMany`, `Conflict`."""
    now = await view(session, settings, user_id)
    if not now.mail:
        raise Conflict("This server has no mail set up.")
    if now.pending:
        sent = await _enqueue(session, "change", now.pending, user_id, address)
    elif now.confirmed:
        raise Conflict("Your e-mail address is already confirmed.")
    else:
        sent = await _enqueue(session, "confirm", now.email, user_id, address)
    if not sent:
        raise TooMany(
            "We already sent this mail several times today. Try again tomorrow.", retry_after=DAY.total_seconds()
        )


async def change(session: AsyncSession, settings: Settings, user_id: int, email: str, address: str) -> None:
    """Change the account's address to `email`, after `prove`: once confirmed, or immediately if this server sends no
    mail.

    Only the owner of an address learns that another account has it. Raises `Invalid`, `Conflict`, `TooMany`.
    """
    if settings.smtp_url is None:
        await accounts.change_profile(session, user_id, {"email": email}, address)
        return
    email = rules.checked({"email": email})["email"]
    now = await view(session, settings, user_id)
    await session.execute(delete(EmailChange).where(EmailChange.user_id == user_id))
    await forget_links(session, user_id, "change")
    if email == now.email:
        return
    if await mail.count(session, "change", DAY, user_id=user_id) >= PER_USER:
        raise TooMany("You changed your address too often today. Try again tomorrow.", retry_after=DAY.total_seconds())
    await session.execute(upsert(EmailChange).values(user_id=user_id, email=email))
    if now.confirmed:
        await mail.enqueue(session, "changing", now.email, user_id=user_id)
    await _enqueue(session, "change", email, user_id, address)
    await audit.record(session, user_id, "account.email_change_asked", f"user {user_id}", None, address)


async def withdraw(session: AsyncSession, user_id: int) -> None:
    """Cancel a pending change and keep the current address."""
    await session.execute(delete(EmailChange).where(EmailChange.user_id == user_id))
    await forget_links(session, user_id, "change")


async def is_valid(session: AsyncSession, token: str, *purposes: Purpose) -> bool:
    """Whether a link is still valid. Doesn't use it up."""
    good = (EmailLink.token_hash == crypto.hash_token(token), EmailLink.expires_at > func.now())
    return await session.scalar(select(EmailLink.user_id).where(*good, EmailLink.purpose.in_(purposes))) is not None


def over() -> Gone:
    """The error for a link that was used, has expired or never existed."""
    return Gone("This link has expired or was already used.")


async def use(session: AsyncSession, token: str, *purposes: Purpose) -> tuple[int, str, str]:
    """Use up a link. Returns its user, the address it was mailed to, and its purpose. Raises `Gone`."""
    good = (EmailLink.token_hash == crypto.hash_token(token), EmailLink.expires_at > func.now())
    used = delete(EmailLink).where(*good, EmailLink.purpose.in_(purposes))
    row = (await session.execute(used.returning(EmailLink.user_id, EmailLink.email, EmailLink.purpose))).one_or_none()
    if row is None:
        raise over()
    return row.user_id, row.email, row.purpose


async def confirm(session: AsyncSession, token: str, address: str) -> str:
    """Confirm an address by its link. Returns the address, which is now the account's. Raises `Gone`, `Conflict`."""
    await lock(session, Lock.ACCOUNTS, "")
    user_id, email, purpose = await use(session, token, "confirm", "change")
    if purpose == "change":
        pending = delete(EmailChange).where(EmailChange.user_id == user_id, EmailChange.email == email)
        if await session.scalar(pending.returning(EmailChange.user_id)) is None:
            raise over()
        await _move(session, user_id, email)
        await audit.record(session, user_id, "account.email_changed", f"user {user_id}", None, address)
    elif await session.scalar(select(User.email).where(User.id == user_id)) != email:
        raise over()
    await mark_confirmed(session, user_id, email)
    await audit.record(session, user_id, "account.email_confirmed", f"user {user_id}", None, address)
    return email


async def undo(session: AsyncSession, token: str, address: str) -> str:
    """Undo a change of address, even a completed one, and sign out everywhere. Returns the address. Raises `Gone`."""
    await lock(session, Lock.ACCOUNTS, "")
    user_id, email, _ = await use(session, token, "undo")
    await withdraw(session, user_id)
    if await session.scalar(select(User.email).where(User.id == user_id)) != email:
        await _move(session, user_id, email)
        await mark_confirmed(session, user_id, email)
    ended = await sessions.end_sessions(session, user_id) + await sessions.end_tokens(session, user_id)
    await audit.record(session, user_id, "account.email_change_undone", f"user {user_id}", {"ended": ended}, address)
    return email


async def mark_confirmed(session: AsyncSession, user_id: int, email: str) -> None:
    """Record that the user owns the mailbox `email`."""
    row = upsert(ConfirmedEmail).values(user_id=user_id, email=email)
    await session.execute(
        row.on_conflict_do_update(index_elements=["user_id"], set_={"email": email, "confirmed_at": func.now()})
    )
    await forget_links(session, user_id, "confirm")


async def set_mail_notices(session: AsyncSession, user_id: int, *, wanted: bool) -> None:
    """Turn mailed notices on or off."""
    row = upsert(UserSettings).values(user_id=user_id, mail_notices=wanted)
    await session.execute(row.on_conflict_do_update(index_elements=["user_id"], set_={"mail_notices": wanted}))


async def unsubscribe(session: AsyncSession, keyring: crypto.Keyring, signed: str) -> None:
    """Turn off mailed notices by the link in one. Raises `Gone`."""
    try:
        user_id = int(keyring.unsign(signed, mail.UNSUBSCRIBE))
    except crypto.BadSignature:
        raise Gone("This link is invalid. You can turn these mails off in your profile.") from None
    if await session.scalar(select(User.id).where(User.id == user_id)) is not None:
        await set_mail_notices(session, user_id, wanted=False)


async def tell_password_changed(session: AsyncSession, settings: Settings, user_id: int) -> None:
    """Mail a confirmed address that the password was changed."""
    now = await view(session, settings, user_id)
    if now.mail and now.confirmed:
        await mail.enqueue(session, "password", now.email, user_id=user_id)


async def _enqueue(session: AsyncSession, kind: Kind, email: str, user_id: int, address: str) -> bool:
    """Send a mail to an address that may be a stranger's, unless address or sender has reached today's limit."""
    source = network(address)
    await lock(session, Lock.ADDRESS, f"mail {email}")
    if await mail.count(session, kind, DAY, recipient=email) >= PER_ADDRESS:
        return False
    if await mail.count(session, kind, DAY, source=source) >= PER_NETWORK:
        return False
    await mail.enqueue(session, kind, email, user_id=user_id, source=source)
    return True


async def _move(session: AsyncSession, user_id: int, email: str) -> None:
    taken = select(User.id).where(User.email == email, User.id != user_id)
    if await session.scalar(taken) is not None:
        raise Conflict("Another account has this address. Sign in to that one, or use another address.")
    await session.execute(update(User).where(User.id == user_id).values(email=email))
    await forget_links(session, user_id, "reset", "confirm")  # they were mailed to the old address


async def forget_links(session: AsyncSession, user_id: int, *purposes: Purpose) -> None:
    """Invalidate mailed links for these purposes."""
    await session.execute(delete(EmailLink).where(EmailLink.user_id == user_id, EmailLink.purpose.in_(purposes)))
