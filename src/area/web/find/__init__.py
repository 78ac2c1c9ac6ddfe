"""One search for everything: the user's AREAs, what can happen, what can be done, services and pages."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import areas
from area.areas.views import AreaOut
from area.catalog import ServiceView
from area.doors.deps import ScopeDep, SessionDep
from area.kit.text import folded
from area.web import templates
from area.web.editor import sides
from area.web.editor.forms import Side
from area.web.editor.sides import Picker
from area.web.editor.sight import Sight
from area.web.parts import offers
from area.web.parts.pages import Page, SignedIn

router = APIRouter()

MOST = 5  # of each kind


class Offers(BaseModel):
    """What a new AREA may begin or end with, by a query."""

    action: Picker
    reaction: Picker

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return bool(self.action.found or self.reaction.found)

    @property
    def corrected(self) -> str:
        """The query as it was understood, if a word of it is misspelled."""
        return self.action.corrected if self.action.found else self.reaction.corrected

    @property
    def suggestion(self) -> str:
        """A similar query if nothing was found."""
        return "" if self.any else self.action.suggestion or self.reaction.suggestion

    @property
    def unknown(self) -> list[str]:
        """Words that neither side knows."""
        return [word for word in self.action.unknown if word in self.reaction.unknown]


@router.get("/find")
async def find(
    page: SignedIn,
    scope: ScopeDep,
    session: SessionDep,
    q: Annotated[str, Query(max_length=255)] = "",
    only: str = "",
) -> Response:
    """What a query finds, best first; without one, the pages. With `only=offers`, actions and reactions only."""
    query, q = q, q.strip().replace("\0", "")
    if only == "offers":
        return await page.show("_find_offers.html", offered=await look_up(page, session, q) if q else None)
    own: list[AreaOut] = []
    services: list[ServiceView] = []
    examples: list[templates.Card] = []
    offered = None
    if q:
        own = await areas.find(session, scope, page.user.id, limit=MOST, q=q, addresses=False)
        every = await offers.services(page, session)
        services = [service for service in every if begins(service.name, q)][:MOST]
        offered = await look_up(page, session, q)
        examples = (await templates.found(page, session, q))[:MOST]
    return await page.show(
        "_find.html",
        query=query,
        q=q,
        own=own,
        services=services,
        offered=offered,
        examples=examples,
        pages=_pages(page, q),
    )


async def look_up(page: Page, session: AsyncSession, q: str) -> Offers:
    """The best actions and reactions for a query."""
    every = await offers.services(page, session)

    async def best(side: Side) -> Picker:
        choice = await sides.picker(page, every, side, Sight(q={side: q}))
        return choice.model_copy(update={"found": (choice.found or [])[:MOST]})

    return Offers(action=await best("action"), reaction=await best("reaction"))


def begins(name: str, q: str) -> bool:
    """Whether each word of a query begins a word of the name."""
    words = folded(name).split()
    return all(any(word.startswith(part) for word in words) for part in folded(q).split())


def _pages(page: Page, q: str) -> list[dict[str, Any]]:
    say = page.say
    every = [
        ("/areas/new", "plus", say("New AREA")),
        ("/templates", "sparkles", say("Templates")),
        ("/", "home", say("Your AREAs")),
        ("/runs", "history", say("Runs")),
        ("/runs?status=failed", "alert-triangle", say("Failed runs")),
        ("/services", "plug", say("Services")),
        ("/inbox", "inbox", say("Inbox")),
        ("/profile", "user", say("Your account")),
        ("/profile/security", "shield", say("Password and sessions")),
        ("/profile/tokens", "key", say("API tokens")),
        ("/profile/data", "download", say("Your data")),
        ("/help", "book", say("Help")),
    ]
    if page.user.is_admin:
        every += [
            ("/admin", "dashboard", say("Administration")),
            ("/admin/users", "users", say("Users")),
            ("/admin/health", "activity", say("Health")),
        ]
    return [{"address": address, "icon": icon, "name": name} for address, icon, name in every if begins(name, q)]
