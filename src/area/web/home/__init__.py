"""The user's AREAs as cards, templates to begin with, and the web app manifest."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal

from cachetools import LRUCache
from fastapi import APIRouter, Cookie, Request
from markupsafe import Markup
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from area import accounts, areas
from area.areas import chains, links
from area.areas.views import AreaOut
from area.doors.body import BoundedRequest
from area.doors.deps import Id, ScopeDep, SessionDep, keep
from area.runs import figures
from area.web import sign_in, steps, templates
from area.web.find import look_up
from area.web.parts import offers
from area.web.parts.assets import asset
from area.web.parts.pages import Fields, Page, SignedIn, Visit, environment
from area.web.parts.sentences import sentences
from area.web.steps import Step
from area.web.templates import examples

router = APIRouter()

MOST = 1000  # cards
FIRST = 60  # cards, until all are asked for
MOST_DRAWN = 5000  # kept, of all users: some 7 MB
HOURS = 24
IDLE = ((0, 0),) * HOURS
TROUBLE = ("switched_off", "failing", "waiting_for_connection", "retrying", "unavailable")
View = Literal["cards", "list"]
VIEW = "area_view"  # cookie: how this browser shows the AREAs
YEAR = 365 * 24 * 3600  # seconds
ATTENTION = ("switched_off", "failing", "waiting_for_connection", "unavailable")  # what doesn't mend itself
MOST_ATTENTION = 5
SHOWN = attrgetter("version", "updated_at", "name", "is_active", "state", "waits_for", "last_triggered_at")


@dataclass(frozen=True, slots=True)
class Card:
    """An AREA, or the chain that it begins, as its owner sees it on the home page."""

    area: AreaOut
    hours: tuple[tuple[int, int], ...]
    chain: tuple[Step, ...] = ()  # with those that follow it, if the card stands for all of them

    @property
    def worst(self) -> AreaOut | Step:
        """The AREA whose state is that of the whole chain."""
        order = [*TROUBLE[:3], "unavailable", "retrying"]
        troubled = [step for step in self.chain if step.state in order]
        return min(troubled, key=lambda step: order.index(step.state), default=self.area)

    @property
    def runs(self) -> int:
        """Number of runs in these hours."""
        return sum(all_ for all_, _ in self.hours)

    def looks_like(self, other: "Card") -> bool:
        """Whether it is drawn in the same way; most often it is of the very same view of the AREA."""
        same = self.area is other.area or SHOWN(self.area) == SHOWN(other.area)
        return same and self.hours == other.hours and self.chain == other.chain


class Filter(BaseModel):
    """Filters from the query string."""

    q: str = ""
    service: str = ""
    state: str = ""
    order: str = "newest"
    all: str = ""
    view: View = "cards"

    @property
    def any(self) -> bool:
        """Whether any filter is set."""
        return bool(self.q or self.service or self.state)


@router.get("/")
async def home(
    page: Visit,
    scope: ScopeDep,
    session: SessionDep,
    q: str = "",
    service: str = "",
    state: str = "",
    order: str = "newest",
    all: str = "",  # noqa: A002 - the address says so
    view: str = "",
    remembered: Annotated[str, Cookie(alias=VIEW)] = "",
) -> Response:
    """Home, or the set-up page if there are no accounts yet. `view` is remembered by the browser."""
    if page.identity is None:
        if not await accounts.anybody(session):
            return await sign_in.first_run(page)
        return page.to("/sign-in")
    as_: View = "list" if (view or remembered) == "list" else "cards"
    q = q.strip()[:255].replace("\0", "")
    filter_ = Filter(q=q, service=service[:100], state=state, order=order, all=all[:1], view=as_)
    response = await _show(page, session, scope, filter_)
    if view:
        keep(response, page.request, page.state, VIEW, as_, YEAR)
    return response


@router.post("/areas/{area_id}/switch")
async def switch(
    page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep, chain: str = ""
) -> Response:
    """Switch an AREA on or off, with all of its chain if the card stands for it (`chain`); returns its card."""
    change = areas.switch_chain if chain else areas.set_active
    area = await change(session, scope, page.user.id, area_id, active=form.get("on") == "1")
    chains_of = {area.id: steps.steps(page, area.chain)} if chain and area.chain else {}
    (card,) = await _cards(session, [area], chains_of)
    (sentence,) = sentences(scope.registry, [area], page.language)
    return await page.show("_card.html", card=card, sentence=sentence)


@router.post("/areas/bulk")
async def bulk(page: SignedIn, request: Request, scope: ScopeDep, session: SessionDep) -> Response:
    """Switch on, switch off or delete the selected AREAs, all or none."""
    async with BoundedRequest(request.scope, request.receive).form(max_fields=MOST + 10) as form:
        ids = sorted(
            {int(str(number)) for number in form.getlist("area") if str(number).isdigit() and len(str(number)) < 10}
        )
        verb = str(form.get("do"))
    if form.get("chains"):
        graph = await links.graph(session, page.user.id)
        heads = [number for number in ids if not graph.up.get(number)]
        ids = sorted({*ids, *links.reach(graph.down, heads)})
    for area_id in await links.last_first(session, page.user.id, ids) if verb == "delete" else ids:
        if verb == "delete":
            await areas.remove(session, page.user.id, area_id)
        elif verb in ("on", "off"):
            await areas.set_active(session, scope, page.user.id, area_id, active=verb == "on")
    done = {
        "on": page.say("%(number)s switched on.", number=len(ids)),
        "off": page.say("%(number)s switched off.", number=len(ids)),
        "delete": page.say("%(number)s deleted.", number=len(ids)),
    }
    return page.to("/", said=done.get(verb, ""))


async def _show(page: Page, session: Any, scope: areas.Scope, wanted: Filter) -> Response:
    user_id = page.user.id
    q, service = wanted.q or None, wanted.service or None
    matching = await areas.find(session, scope, user_id, limit=MOST, q=q, service=service, addresses=False)
    every = None if wanted.q or wanted.service or len(matching) == MOST else matching
    if wanted.state:
        states = TROUBLE if wanted.state == "trouble" else (wanted.state,)
        matching = [area for area in matching if area.state in states]
    if wanted.order == "name":
        matching.sort(key=lambda area: area.name.casefold())
    elif wanted.order == "last_run":
        matching.sort(key=lambda area: (area.last_triggered_at is None, -_stamp(area)))
    elif wanted.order == "trouble":
        matching.sort(key=lambda area: area.state not in TROUBLE)
    attention = [] if wanted.any else [area for area in matching if area.state in ATTENTION]
    chains_of: dict[int, list[Step]] = {}
    if not wanted.any:
        trees = await chains.trees(session, scope, user_id)
        chains_of = {head: steps.steps(page, tree) for head, tree in trees.items()}
        below = {step.id for chain in chains_of.values() for step in chain[1:]}
        matching = [area for area in matching if area.id not in below]
    count = len(matching)
    offered = await look_up(page, session, wanted.q) if wanted.q else None
    cards = await _cards(session, matching if wanted.all else matching[:FIRST], chains_of)
    drawn = Markup("".join(_drawn(page, card) for card in cards))  # noqa: S704 - each is a template's
    shown: dict[str, Any] = {"cards": cards, "drawn": drawn, "wanted": wanted, "count": count, "offered": offered}
    shown |= {"attention": attention[:MOST_ATTENTION], "in_trouble": len(attention)}
    if page.partial:
        return await page.show("_cards.html", **shown)
    mine = await areas.services_in_use(session, scope.registry, user_id) if every is None else _services_of(page, every)
    return await page.show(
        "home.html",
        nav="home",
        **shown,
        mine=offers.named(page, mine),
        templates=await templates.cards(page, session, examples.FIRST) if not cards else [],
    )


def _services_of(page: Page, listed: Sequence[AreaOut]) -> list[tuple[str, str]]:
    parts = {part.component: part.service for area in listed for part in (area.action, area.reaction)}
    named = {component.partition(".")[0]: service for component, service in parts.items()}
    return [(slug, name) for slug, name in named.items() if slug in page.state.registry.services]


def _stamp(area: AreaOut) -> float:
    return area.last_triggered_at.timestamp() if area.last_triggered_at else 0.0


async def _cards(session: Any, listed: Sequence[AreaOut], chains_of: Mapping[int, Sequence[Step]]) -> list[Card]:
    bars = await figures.by_hour(session, [area.id for area in listed], hours=HOURS)
    return [
        Card(
            area,
            tuple(bars[area.id]) if area.id in bars else IDLE,
            tuple(chains_of.get(area.id, ())),
        )
        for area in listed
    ]


_kept: LRUCache[tuple[Hashable, ...], tuple[Card, Markup]] = LRUCache(MOST_DRAWN)


def _drawn(page: Page, card: Card) -> Markup:
    """The card's HTML; drawing takes a fifth of a millisecond, and most cards are as they were when last looked at."""
    key = (page.language, page.user.timezone, page.state.instance, card.area.id)
    before, html = _kept.get(key, (None, Markup("")))
    if before is None or not before.looks_like(card):
        (sentence,) = sentences(page.state.registry, [card.area], page.language)
        template = environment(page.language).get_template("_card.html")
        html = Markup(template.render(card=card, sentence=sentence, me=page.user))  # noqa: S704 - a template's
        _kept[key] = card, html
    return html


# Installable


@router.get("/manifest.webmanifest")
async def manifest(page: Visit) -> Response:
    """What a phone needs to know to keep AREA among its apps (https://www.w3.org/TR/appmanifest/)."""
    icons = [{"src": asset(f"icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png"} for size in (192, 512)]
    content = {
        "name": "AREA",
        "short_name": "AREA",
        "description": page.say("When something happens in one service, do something in another."),
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f7f7f5",
        "theme_color": "#0b6e63",
        "icons": [*icons, icons[-1] | {"purpose": "maskable"}],
    }
    return JSONResponse(content, media_type="application/manifest+json")


@router.get("/offline")
async def offline(page: Visit) -> Response:
    """Page shown while the server can't be reached."""
    page.identity = None
    return await page.show("offline.html")


@router.get("/service-worker.js")
async def service_worker() -> Response:
    """Service worker that caches the offline page and its assets, and no user data."""
    options = [
        "/offline",
        *(asset(name) for name in ("theme.js", "tabler.css", "app.css", "app.js", "htmx.js", "icons.svg")),
    ]
    script = SERVICE_WORKER.replace("VERSION", asset("app.js").split("/")[2]).replace(
        "FILES", ", ".join(f'"{name}"' for name in options)
    )
    headers = {"Cache-Control": "no-cache", "Service-Worker-Allowed": "/"}
    return Response(script, media_type="text/javascript", headers=headers)


SERVICE_WORKER = """\
const CACHE = "area-VERSION";
const KEPT = [FILES];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(old).then(() => self.clients.claim()));
});

// A form that can't be sent again, going back to its answer, fails with the server up: only a page that can't be had is
// offline.
self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate" && event.request.method === "GET") {
    event.respondWith(fetch(event.request).catch(() => caches.match("/offline")));
  } else if (new URL(event.request.url).pathname.startsWith("/static/")) {
    event.respondWith(caches.match(event.request).then((kept) => kept || fetch(event.request)));
  }
});
"""
