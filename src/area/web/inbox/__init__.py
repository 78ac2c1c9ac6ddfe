"""The inbox: notices of the system and of `inbox.post`."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import areas, notices
from area.doors.deps import SessionDep
from area.notices import NoticeView
from area.web.parts.pages import Fields, Page, SignedIn

router = APIRouter()

LIMIT = 30  # notices on a page

Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


@router.get("/inbox")
async def inbox(page: SignedIn, session: SessionDep, show: str = "", before: Before = None) -> Response:
    """The user's notices, newest first."""
    return await _show(page, session, only_unread=show == "unread", before=before)


@router.post("/inbox/read")
async def mark_read(page: SignedIn, form: Fields, session: SessionDep) -> Response:
    """Mark one notice as read, or all of them."""
    chosen = form.get("id", "")
    ids = [int(chosen)] if chosen.isdigit() and len(chosen) < 19 else None
    if ids or not chosen:
        await notices.mark_read(session, page.user.id, ids)
    only_unread = form.get("show") == "unread"
    before = form.get("before", "")
    if not page.partial:
        return page.to("/inbox?show=unread" if only_unread else "/inbox")
    return await _show(
        page, session, only_unread=only_unread, before=int(before) if before.isdigit() and len(before) < 19 else None
    )


async def _show(page: Page, session: AsyncSession, *, only_unread: bool, before: int | None) -> Response:
    user_id = page.user.id
    left = await notices.unread(session, user_id)  # first: what comes in between makes the page ask again
    rows = await notices.inbox(session, user_id, limit=LIMIT + 1, before=before, unread=only_unread)
    return await page.show(
        "_inbox.html" if page.partial else "inbox.html",
        nav="inbox",
        notices=[_told(page, row) for row in rows[:LIMIT]],
        names=await areas.names(session, user_id, {row.area_id for row in rows if row.area_id}),
        older=rows[LIMIT - 1].id if len(rows) > LIMIT else None,
        only_unread=only_unread,
        before=before,
        left=left,
    )


def _told(page: Page, notice: NoticeView) -> NoticeView:
    """A notice in the reader's language, if AREA wrote it and its parts are known."""
    if words := notice.in_words(page.language, page.user.timezone):
        return notice.model_copy(update={"title": words[0], "body": words[1]})
    return notice
