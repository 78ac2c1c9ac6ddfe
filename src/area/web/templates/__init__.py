"""The templates by what one wants to do: those that are ready with what the user has connected come first."""

import asyncio
from dataclasses import dataclass
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import connections
from area.catalog import ServiceView
from area.catalog.search import DESCRIPTION, NAME, SERVICE, SYNONYM, TITLE, Described, Index
from area.doors.deps import SessionDep
from area.kit import language
from area.registry import Registry
from area.web.parts import offers
from area.web.parts.pages import Page, SignedIn
from area.web.templates.examples import GROUPS, Group, Template, templates

router = APIRouter()


@dataclass(frozen=True)
class Card:
    """A template on the page. `missing` are names of services to connect first, and `away` of those that can't be
    connected on this server; `account` says whether it uses a service that needs an account.
    """

    template: Template
    services: list[ServiceView]
    missing: list[str]
    away: list[str]
    account: bool

    @property
    def ready(self) -> bool:
        """Whether nothing has to be connected first."""
        return not self.missing and not self.away


@router.get("/templates")
async def show(
    page: SignedIn, session: SessionDep, q: Annotated[str, Query(max_length=255)] = "", group: str = ""
) -> Response:
    """All templates, those of a group, or those that a query finds, best first."""
    query = q.strip().replace("\0", "")
    every = await found(page, session, query) if query else await cards(page, session)
    if group:
        every = [card for card in every if card.template.group == group]
    names = titles(page)
    sections = [("", every)] if query else _sections(page, every, names, all_groups=not group)
    return await page.show(
        "_templates.html" if page.partial else "templates.html",
        nav="templates",
        q=query,
        group=group,
        groups=names,
        sections=[(title, found) for title, found in sections if found],
        count=len(every),
    )


def _sections(
    page: Page, every: list[Card], names: dict[Group, str], *, all_groups: bool
) -> list[tuple[str, list[Card]]]:
    """Cards below headings: what connected services make ready, then the groups."""
    mine = [card for card in every if card.ready and card.account] if all_groups else []
    rest = [card for card in every if card not in mine]
    grouped = [(names[name], [card for card in rest if card.template.group == name]) for name in GROUPS]
    return [(page.say("Ready with what you have connected"), mine), *grouped]


async def cards(page: Page, session: AsyncSession, keys: tuple[str, ...] = ()) -> list[Card]:
    """The templates whose services are all there, ready ones first, or those with these keys."""
    state = page.state
    views = await connections.views(session, state.registry, page.user.id, state.settings)
    connected = {view.service for view in views if view.connected}
    needed = {view.service: view.available for view in views if not view.optional}
    services = {service.slug: service for service in await offers.services(page, session) if service.is_active}
    active = {view.key for service in services.values() for view in (*service.actions, *service.reactions)}
    made = []
    for template in templates(page.language).values():
        if (keys and template.key not in keys) or not active.issuperset(template.components):
            continue
        lacking = [slug for slug in template.services if slug in needed and slug not in connected]
        made.append(
            Card(
                template,
                [services[slug] for slug in template.services],
                [services[slug].name for slug in lacking if needed[slug]],
                [services[slug].name for slug in lacking if not needed[slug]],
                account=any(slug in needed for slug in template.services),
            )
        )
    return sorted(made, key=lambda card: (bool(card.away), bool(card.missing)))


async def found(page: Page, session: AsyncSession, q: str) -> list[Card]:
    """Those that a query finds, best first."""
    by_key = {card.template.key: card for card in await cards(page, session)}
    return [by_key[key] for key in await search(page.state.registry, page.language, q) if key in by_key]


def titles(page: Page) -> dict[Group, str]:
    """Names of the groups."""
    say = page.say
    return {
        "time": say("Reminders and schedules"),
        "news": say("News and feeds"),
        "mail": say("E-mail"),
        "chat": say("Chat and teams"),
        "work": say("Tasks and projects"),
        "code": say("Code"),
        "money": say("Sales and money"),
        "home": say("Weather and home"),
        "files": say("Files and tables"),
        "social": say("Social networks and video"),
        "watch": say("Monitoring and webhooks"),
        "chains": say("Several steps"),
    }


_indexes: WeakKeyDictionary[Registry, dict[str, Index]] = WeakKeyDictionary()


async def search(registry: Registry, lang: str, q: str) -> tuple[str, ...]:
    """Keys of the templates that a reader of this language means by a query, best first."""
    indexes = _indexes.setdefault(registry, {})
    if lang not in indexes:  # made when it is first needed, and holds nobody up
        indexes[lang] = await asyncio.to_thread(_index, registry, lang)
    return indexes[lang].search(q).keys


def _index(registry: Registry, lang: str) -> Index:
    return Index((_described(registry, template, lang) for template in templates("en").values()), lang)


def _described(registry: Registry, template: Template, lang: str) -> Described:
    described = Described(template.key)
    for name in dict.fromkeys((lang, "en")):
        own = templates(name)[template.key]
        described.titles.append(own.area.name)
        described.texts += [(own.area.name, TITLE, name), (own.text, SYNONYM, name)]
        for key in template.components:
            component = registry.action(key) or registry.reaction(key)
            if component:
                service = component.service
                say = language.words(name, registry.folders.get(service.slug)) if name != "en" else language.joined
                described.texts += [
                    (say(service.name), SERVICE, name),
                    (say(component.title), NAME, name),
                    (say(service.synonyms.get(component.name, "")), DESCRIPTION, name),
                ]
    return described
