"""Notices to users about changes to how they sign in. As warnings, they are also mailed."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area import mail, notices
from area.db.models import Notice
from area.db.notify import Channel
from area.db.session import notify
from area.kit.sentences import Sentence

BODY = Sentence("If this wasn't you, change your password and sign out everywhere in your profile, under Security.")


async def alert(session: AsyncSession, user_id: int, title: Sentence) -> None:
    """Notify the user."""
    row = insert(Notice).values(
        user_id=user_id, level="warning", title=title, body=BODY, said=notices.dumped(title, BODY)
    )
    notice_id = (await session.execute(row.returning(Notice.id))).scalar_one()
    await mail.enqueue_notice(session, user_id, notice_id)
    await notify(session, Channel.NOTICES_CHANGED, str(user_id))
