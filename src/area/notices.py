"""Notices: messages to users from AREA, each posted once per key, and the inbox that shows them."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Notice
from area.db.notify import Channel, send
from area.db.session import notify
from area.kit.clock import now
from area.kit.sentences import Sentence, SentenceError, read
from area.kit.text import clean_text, dump_json, dump_parts, one_line
from area.mail import CONFIRMED
from area.settings import Settings

NOTICE = (
    "insert into notices (user_id, level, title, body, key, area_id, said)"
    " values ($1, $2, left($3, 255), $4, $5, $6, $7::text::jsonb) on conflict (user_id, key) do nothing returning id"
)
MAILED = ("warning", "error")
# An unconfirmed address gets one mail that asks its owner to confirm it, and nothing else.
MAIL = f"""
with owner as (
    select u.id, u.email, {CONFIRMED} as confirmed, coalesce(s.mail_notices, true) as wanted,
           (select count(*) from outgoing_mail m where m.user_id = u.id and m.kind = 'notice'
            and m.created_at > now() - interval '1 day') as today
    from users u left join user_settings s on s.user_id = u.id where u.id = $1 and u.is_active
)
insert into outgoing_mail (user_id, recipient, share, kind, notice_id)
select id, email, 'user:' || id, case when confirmed then 'notice' else 'confirm' end,
    case when confirmed then $2::bigint end
from owner where wanted and case when confirmed then today < $3
    else not exists (select from outgoing_mail m where m.recipient = owner.email and m.kind = 'confirm') end
returning kind, (select today from owner) as today
"""  # noqa: S608 - constants
MAILABLE = f"""
select {CONFIRMED} as confirmed, coalesce(s.mail_notices, true) as wanted,
       (select count(*) from outgoing_mail m where m.user_id = u.id and m.kind = 'notice'
        and m.created_at > now() - interval '1 day') as today
from users u left join user_settings s on s.user_id = u.id where u.id = $1
"""  # noqa: S608 - constants
POSTED = "select id from notices where user_id = $1 and key = $2"
SWITCH_OFF = (
    "update areas a set is_active = false, updated_at = now() from area_health h"
    " where a.id = $1 and h.area_id = a.id and a.is_active returning a.user_id, a.name"
)
SWITCHED_OFF = "update area_health set switched_off_at = now(), reason = $2, said = $3::text::jsonb where area_id = $1"


async def notice(
    conn: Any,
    settings: Settings,
    user_id: int,
    level: str,
    title: str,
    body: str,
    *,
    key: str | None = None,
    area_id: int | None = None,
    mailed: bool = True,
) -> int | None:
    """Post a notice to the user's inbox, in the caller's transaction. Returns its id, or None if its key was posted
    before. Sentences are shown in the reader's language.

    Warnings and errors are mailed too, unless `mailed` is false, to a confirmed address, and at most as many per day as
    the settings allow.
    """
    parts = dump_json(dumped(title, body)).decode() if isinstance(title, Sentence) else None
    row = await conn.fetchrow(NOTICE, user_id, level, one_line(title), body, key, area_id, parts)
    if row is None:
        return None
    await send(conn, Channel.NOTICES_CHANGED, str(user_id))
    if mailed and level in MAILED and settings.smtp_url is not None:
        await _mail(conn, settings, user_id, row[0])
    return int(row[0])


class UnmailableError(SentenceError):
    """The user can't be mailed. The message says why, and what to do."""


async def mail_notice(
    conn: Any, settings: Settings, user_id: int, title: str, body: str, *, key: str | None, area_id: int | None
) -> int:
    """Post a notice and mail it to the user's confirmed address, in the caller's transaction. Returns its id; one whose
    key was posted before is not mailed again. Raises `UnmailableError`.
    """
    if posted := await conn.fetchval(POSTED, user_id, key):
        return int(posted)
    if settings.smtp_url is None:
        raise UnmailableError(Sentence("This server can't send e-mail. Ask its administrator to set AREA_SMTP_URL."))
    owner = await conn.fetchrow(MAILABLE, user_id)
    if not owner["confirmed"]:
        raise UnmailableError(Sentence("Your e-mail address isn't confirmed. Confirm it in your profile."))
    if not owner["wanted"]:
        raise UnmailableError(Sentence("You don't receive notices by e-mail. Switch them on in your profile."))
    if owner["today"] >= settings.mail_per_day:
        raise UnmailableError(
            Sentence("You got %(number)s e-mails in a day, the most this server allows.", number=settings.mail_per_day)
        )
    number = await notice(conn, settings, user_id, "info", title, body, key=key, area_id=area_id)
    if number is None:  # another attempt was faster
        return int(await conn.fetchval(POSTED, user_id, key))
    await _mail(conn, settings, user_id, number)
    return number


def dumped(title: str, body: str) -> dict[str, Any]:
    """A notice's sentences in stored form."""
    return {"title": Sentence(title).dumped(), "body": Sentence(body).dumped()}


async def _mail(conn: Any, settings: Settings, user_id: int, notice_id: int) -> None:
    queued = await conn.fetchrow(MAIL, user_id, notice_id, settings.mail_per_day)
    if queued is None:
        return
    await send(conn, Channel.MAIL_QUEUED)
    if queued["kind"] == "notice" and queued["today"] + 1 >= settings.mail_per_day:
        await notice(
            conn,
            settings,
            user_id,
            "info",
            Sentence("Daily limit for e-mailed notices reached"),
            Sentence(
                "You received %(number)s notices by e-mail within a day, the most this server allows."
                " Further notices appear only in this inbox.",
                number=settings.mail_per_day,
            ),
            key=f"mail-limit:{now():%Y-%m-%d}",
        )


async def notify_switched_off(conn: Any, settings: Settings, area_id: int, failures: int, reason: str) -> None:
    """Switch an AREA off after too many permanent failures in a row, and notify its owner."""
    row = await conn.fetchrow(SWITCH_OFF, area_id)
    if row is None:
        return
    why = Sentence("Failed %(number)s times in a row. Last error: %(error)s", number=failures, error=reason)
    await conn.execute(SWITCHED_OFF, area_id, clean_text(why), dump_parts(why))
    await notice(
        conn,
        settings,
        row["user_id"],
        "error",
        Sentence("%(name)s was switched off", name=row["name"]),
        Sentence(
            "%(error)s\n\nFix the cause, then switch it back on. Events from while it was off are not replayed.",
            error=why,
        ),
        area_id=area_id,
    )


async def event_left_out(conn: Any, settings: Settings, area_id: int, event_id: str, reason: str) -> None:
    """Notify an AREA's owner that an event did not trigger it, and why."""
    row = await conn.fetchrow("select user_id, name from areas where id = $1", area_id)
    if row is None:
        return
    key = f"left out:{area_id}:{hashlib.sha256(event_id.encode(errors='replace')).hexdigest()}"
    await notice(
        conn,
        settings,
        row["user_id"],
        "error",
        Sentence("%(name)s skipped an event", name=row["name"]),
        Sentence("%(error)s\n\nThis event didn't trigger the AREA. Other events still do.", error=reason),
        key=key,
        area_id=area_id,
    )


class NoticeView(BaseModel):
    """A message in the inbox. One `posted` by an AREA is in its owner's words, the others are in AREA's: `said`, unless
    an older version posted it.
    """

    id: int
    level: str
    title: str
    body: str
    area_id: int | None
    posted: bool
    created_at: datetime
    read_at: datetime | None
    said: Any = Field(None, exclude=True)

    def in_words(self, lang: str, zone: str = "") -> tuple[str, str] | None:
        """Title and body in a language and a time zone; None if only the English is known."""
        return in_words(self.said, lang, zone)


def in_words(said: Any, lang: str, zone: str = "") -> tuple[str, str] | None:
    """Title and body of what `dumped` returned, in a language and a time zone; None for anything else."""
    title, body = (read(said.get(part)) for part in ("title", "body")) if isinstance(said, dict) else (None, None)
    return (title.translated(lang, zone), body.translated(lang, zone)) if title and body else None


async def inbox(
    session: AsyncSession, user_id: int, *, limit: int, before: int | None = None, unread: bool = False
) -> list[NoticeView]:
    """The user's inbox, newest first, with an id below `before`."""
    statement = select(Notice).where(Notice.user_id == user_id)
    if before is not None:
        statement = statement.where(Notice.id < before)
    if unread:
        statement = statement.where(Notice.read_at.is_(None))
    rows = await session.scalars(statement.order_by(Notice.id.desc()).limit(limit))
    return [
        NoticeView(
            id=row.id,
            level=row.level,
            title=row.title,
            body=row.body,
            area_id=row.area_id,
            posted=(row.key or "").startswith("execution:"),
            created_at=row.created_at,
            read_at=row.read_at,
            said=row.said,
        )
        for row in rows
    ]


async def unread(session: AsyncSession, user_id: int) -> int:
    """The number of unread notices."""
    statement = select(func.count()).select_from(Notice).where(Notice.user_id == user_id, Notice.read_at.is_(None))
    return await session.scalar(statement) or 0


async def mark_read(session: AsyncSession, user_id: int, ids: Collection[int] | None = None) -> int:
    """Mark these notices of the user (None: all) as read. Returns how many were unread."""
    statement = update(Notice).where(Notice.user_id == user_id, Notice.read_at.is_(None))
    if ids is not None:
        statement = statement.where(Notice.id.in_(ids))
    marked = (await session.scalars(statement.values(read_at=func.now()).returning(Notice.id))).all()
    if marked:  # the user's other tabs update their count
        await notify(session, Channel.NOTICES_CHANGED, str(user_id))
    return len(marked)
