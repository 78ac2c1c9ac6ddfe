"""The inbox."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from area import notices
from area.api.paging import Page, Paging, paging
from area.api.problems import answers
from area.doors.deps import In, SessionDep, Someone
from area.doors.route import Route

router = APIRouter(prefix="/notices", tags=["notices"], route_class=Route)


class Notices(Page[notices.NoticeView]):
    """A page of the inbox, and the total number of unread notices."""

    unread: int


class Read(In):
    """The notices to mark as read. Default: all."""

    ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] | None = Field(None, max_length=1000)


class Unread(BaseModel):
    """How many unread notices are left."""

    unread: int


@router.get("", responses=answers(401, 422), summary="List notices")
async def read(
    identity: Someone,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("notices"))],
    unread: Annotated[bool, Query(description="Only unread notices")] = False,  # noqa: FBT002 - a query parameter
) -> Notices:
    """Notices from the system and from `inbox.post`, newest first."""
    user_id = identity.user.id
    rows = await notices.inbox(session, user_id, limit=page.limit + 1, before=page.before, unread=unread)
    return Notices(**page.cut(rows), unread=await notices.unread(session, user_id))


@router.post("/read", responses=answers(400, 401, 403, 413, 422), summary="Mark as read")
async def mark_read(form: Read, identity: Someone, session: SessionDep) -> Unread:
    """Mark notices as read."""
    await notices.mark_read(session, identity.user.id, form.ids)
    return Unread(unread=await notices.unread(session, identity.user.id))
