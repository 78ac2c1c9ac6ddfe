"""Connections that the editor's halves can use, and those still to be made."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncSession

from area import connections
from area.connections import ConnectionView
from area.registry import Registry
from area.web.editor.forms import Form, Side
from area.web.editor.sides import Half
from area.web.parts.pages import Page
from area.web.services import consent_address


async def note_connections(
    page: Page, session: AsyncSession, halves: Mapping[Side, Half], form: Form, back: str
) -> None:
    """Note the available connections, and which selected components still need one and where to connect; `back` is
    where to return.
    """
    registry, settings = page.state.registry, page.state.settings
    chosen = [(half.view.key, half) for half in halves.values() if half.view and half.service]
    views = await connections.views(session, registry, page.user.id, settings) if chosen else []
    for key, side_half in chosen:
        slug = key.partition(".")[0]
        mine = [view for view in views if view.service == slug]
        if not mine:
            continue
        named = form.connection(side_half.side)
        side_half.optional = mine[0].optional
        side_half.accounts = _accounts(page, mine, named)
        side_half.connect = f"/services/{slug}?" + urlencode({"next": back})
        side_half.add = f"/services/{slug}?" + urlencode({"next": back, "account": ""}) + "#add-account"
        view = next((view for view in mine if (view.connection or "") == named), None)
        if view is None:
            side_half.connection = "missing"
            continue
        if view.optional and not named:
            continue
        together = [
            other for other, half in chosen if other.startswith(f"{slug}.") and form.connection(half.side) == named
        ]
        side_half.connection = _missing(registry, view, key)
        if named:
            side_half.connect = f"/services/{slug}?" + urlencode({"next": back, "account": named}) + "#add-account"
        if view.kind == "oauth2" and view.available:
            side_half.connect = consent_address(slug, back, together, named)


def _accounts(page: Page, mine: Sequence[ConnectionView], chosen: str) -> list[tuple[str, str]]:
    """Options of the connection field; empty when there is no choice."""
    named = [view.connection for view in mine if view.connection]
    if chosen and chosen not in named:
        named.append(chosen)
    if not named:
        return []
    if mine[0].optional:
        first = page.say("None")
    else:
        first = page.say("Default: %(account)s", account=mine[0].account) if mine[0].account else page.say("Default")
    return [("", first), *((name, name) for name in named)]


def _missing(registry: Registry, view: ConnectionView, key: str) -> str:
    """What a component's connection still lacks."""
    if not view.connected:
        return "missing" if view.available else "unavailable"
    if view.status == "expired":
        return "expired"
    component = registry.action(key) or registry.reaction(key)
    granted = set(view.scopes)
    return "more" if component and view.kind == "oauth2" and not granted.issuperset(component.scopes) else ""
