"""AREA's own mail: a queue in the database, filled in the transaction that causes a mail and emptied by workers."""

from datetime import timedelta
from typing import Literal

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import OutgoingMail
from area.db.notify import Channel
from area.db.session import notify

Kind = Literal["notice", "confirm", "reset", "change", "changing", "password", "register"]
Purpose = Literal["confirm", "reset", "change", "undo"]

UNSUBSCRIBE = "mail notices"  # signing context of the unsubscribe link in a notice, with the user's id
UNSUBSCRIBE_FOR = timedelta(days=400)

# An address is confirmed if its owner followed a mailed link, or a log-in provider has verified it. `u` is the account.
CONFIRMED = (
    "(exists (select from confirmed_emails c where c.user_id = u.id and c.email = u.email)"
    " or exists (select from user_oauth2_accounts o where o.user_id = u.id and o.email = u.email))"
)


NOTICE = f"""
insert into outgoing_mail (user_id, recipient, share, kind, notice_id)
select u.id, u.email, 'user:' || u.id, 'notice', cast(:notice_id as bigint) from users u
where u.id = :user_id and u.is_active and {CONFIRMED}
"""  # noqa: S608 - constants


async def enqueue_notice(session: AsyncSession, user_id: int, notice_id: int) -> None:
    """Queue a notice for a confirmed address. Whether the user wants it, and the daily limit, are checked when it is
    sent.
    """
    await session.execute(text(NOTICE), {"user_id": user_id, "notice_id": notice_id})
    await notify(session, Channel.MAIL_QUEUED, "")


async def enqueue(
    session: AsyncSession,
    kind: Kind,
    recipient: str,
    *,
    user_id: int | None = None,
    source: str | None = None,
    registration_id: int | None = None,
) -> None:
    """Queue a mail, sent once the transaction commits. `source` is the network that requested it."""
    share = f"user:{user_id}" if user_id else (source or recipient)[:64]
    await session.execute(
        insert(OutgoingMail).values(
            kind=kind,
            recipient=recipient,
            user_id=user_id,
            source=source,
            share=share,
            registration_id=registration_id,
        )
    )
    await notify(session, Channel.MAIL_QUEUED, "")


async def count(
    session: AsyncSession,
    kind: Kind,
    within: timedelta,
    *,
    recipient: str | None = None,
    source: str | None = None,
    user_id: int | None = None,
) -> int:
    """How many mails of a kind were requested: to an address, from a network, or by a user."""
    statement = select(func.count()).where(OutgoingMail.kind == kind, OutgoingMail.created_at > func.now() - within)
    if recipient is not None:
        statement = statement.where(OutgoingMail.recipient == recipient)
    if source is not None:
        statement = statement.where(OutgoingMail.source == source)
    if user_id is not None:
        statement = statement.where(OutgoingMail.user_id == user_id)
    return await session.scalar(statement) or 0
