"""The two halves of the editor: the selected component, or the picker."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from area.catalog import ComponentView, ServiceView
from area.connections import registrations
from area.registry import Registry
from area.web.editor.forms import Form, Side
from area.web.editor.inputs import FieldView
from area.web.editor.sight import Sight
from area.web.parts.pages import Page
from area.web.parts.show import folded

MOST_FOUND = 30


class Picker(BaseModel):
    """The component picker: services, or search results."""

    q: str = ""
    within: ServiceView | None = None
    services: list[ServiceView] = []
    away: set[str] = set()  # services that can't be connected on this server
    found: list[tuple[ServiceView, ComponentView]] | None = None


class Half(BaseModel):
    """One half of the page."""

    side: Side
    view: ComponentView | None = None
    service: ServiceView | None = None
    available: bool = True
    connection: str = ""  # what is missing: "unavailable", "missing", "expired", or "more" permissions than were given
    connect: str = ""  # the address where that is mended
    accounts: list[tuple[str, str]] = []  # the connections that may be chosen: names as they are, and as they are read
    add: str = ""  # the address where one is added
    optional: bool = False
    fields: list[FieldView] = []
    errors: list[str] = []
    picker: Picker | None = None

    @property
    def letter(self) -> str:
        """How its fields' names begin."""
        return self.side[0]


def half(registry: Registry, services: Sequence[ServiceView], form: Form, side: Side) -> Half:
    """Build one half with its selection."""
    found = Half(side=side)
    key = form.component(side)
    for service in services:
        for one in service.actions if side == "action" else service.reactions:
            if one.key == key:
                code = registry.action(key) if side == "action" else registry.reaction(key)
                found.view, found.service = one, service
                found.available = one.is_active and code is not None
    return found


def picker(page: Page, services: Sequence[ServiceView], side: Side, sight: Sight) -> Picker:
    """The services with components, and those matching the search or in the open service. Services that can't be
    connected on this server come last.
    """
    registry, settings = page.state.registry, page.state.settings
    away = {slug for slug, one in registry.services.items() if not registrations.available(one, settings)}

    def offers(service: ServiceView) -> list[ComponentView]:
        return [one for one in (service.actions if side == "action" else service.reactions) if one.is_active]

    offered = [one for one in services if one.is_active and offers(one)]
    q = sight.q.get(side, "")
    offered.sort(key=lambda one: one.slug in away)
    found = Picker(q=q, services=offered, away=away)
    if q:
        words = folded(q).split()
        scored = []
        for service in offered:
            for one in offers(service):
                near = folded(f"{one.title} {service.name}")
                text = f"{near} {folded(one.description or '')} {folded(_as_written(registry, one))}"
                if all(word in text for word in words):
                    scored.append((-sum(word in near for word in words), service, one))
        scored.sort(key=lambda three: three[0])
        found.found = [(service, one) for _, service, one in scored[:MOST_FOUND]]
    elif within := sight.within.get(side):
        found.within = next((one for one in offered if one.slug == within), None)
        found.found = [(found.within, one) for one in offers(found.within)] if found.within else None
    return found


def _as_written(registry: Registry, view: ComponentView) -> str:
    """English titles of components, for suggested names."""
    code = registry.action(view.key) if view.type == "action" else registry.reaction(view.key)
    return f"{view.key} {code.title} {code.description} {code.service.name}" if code else view.key


def first_field(halves: Mapping[Side, Half], name: str) -> str:
    """Id of a side's first field to fill in, or of what follows if there is none."""
    side: Side = "action" if name == "action" else "reaction"
    own = [one for one in halves[side].fields if one.variable not in ("only_if", "delay")]
    if own:
        return next((one for one in own if one.required), own[0]).id
    return "find-reaction" if side == "action" and halves["reaction"].picker else f"change-{side}"
