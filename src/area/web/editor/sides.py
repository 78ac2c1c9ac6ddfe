"""The two halves of the editor: the selected component, or the picker."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from area.catalog import ComponentView, ServiceView
from area.catalog.search import search
from area.connections import registrations
from area.registry import Registry
from area.web.editor.forms import LINK, Form, Side
from area.web.editor.inputs import FieldView
from area.web.editor.sight import Sight
from area.web.parts.pages import Page

MOST_FOUND = 30
MOST_OPTIONS = 3  # that are not folded where all fields are optional
ANY_SERVICE = {
    "action": ("webhook.received", "http.value_changed"),
    "reaction": ("http.request",),
}  # reaches the others

Offer = tuple[ServiceView, ComponentView]


class Picker(BaseModel):
    """The component picker: services, or search results.

    `unknown` are words of the search that no service knows, and `otherwise` what reaches services that AREA doesn't
    have. `corrected` and `suggestion` are as in `search.Results`.
    """

    q: str = ""
    within: ServiceView | None = None
    services: list[ServiceView] = []
    away: set[str] = set()  # services that can't be connected on this server
    found: list[Offer] | None = None
    unknown: list[str] = []
    corrected: str = ""
    suggestion: str = ""
    otherwise: list[Offer] = []


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

    @property
    def own(self) -> list[FieldView]:
        """The component's own fields, without those that all have."""
        return [field for field in self.fields if field.variable not in ("only_if", "delay")]

    @property
    def folded(self) -> list[FieldView]:
        """Optional fields that are shown on request: if there are several, and others stay or they are too many."""
        options = [field for field in self.own if not field.required and not field.main]
        several = len(options) > 1 and (len(options) < len(self.own) or len(options) > MOST_OPTIONS)
        return options if several and self.view and self.view.key != LINK else []


def half(registry: Registry, services: Sequence[ServiceView], form: Form, side: Side) -> Half:
    """Build one half with its selection."""
    chosen_half = Half(side=side)
    key = form.component(side)
    for service in services:
        for component in service.actions if side == "action" else service.reactions:
            if component.key == key:
                code = registry.action(key) if side == "action" else registry.reaction(key)
                chosen_half.view, chosen_half.service = component, service
                chosen_half.available = component.is_active and code is not None
    return chosen_half


async def picker(page: Page, services: Sequence[ServiceView], side: Side, sight: Sight) -> Picker:
    """The services with components, and those matching the search or in the open service. Services that can't be
    connected on this server come last.
    """
    registry, settings = page.state.registry, page.state.settings
    away = {slug for slug, service in registry.services.items() if not registrations.available(service, settings)}

    def offers(service: ServiceView) -> list[ComponentView]:
        return [view for view in (service.actions if side == "action" else service.reactions) if view.is_active]

    offered = [service for service in services if service.is_active and offers(service)]
    q = sight.q.get(side, "")
    offered.sort(key=lambda service: service.slug in away)
    choice = Picker(q=q, services=offered, away=away)
    if q:
        by_key = {view.key: (service, view) for service in offered for view in offers(service)}
        results = await search(registry, side, page.language, q, away)
        choice.found = [by_key[key] for key in results.keys if key in by_key][:MOST_FOUND]
        choice.unknown, choice.corrected, choice.suggestion = [*results.unknown], results.corrected, results.suggestion
        if choice.unknown or not choice.found:
            choice.otherwise = [by_key[key] for key in ANY_SERVICE[side] if key in by_key]
    elif within := sight.within.get(side):
        choice.within = next((service for service in offered if service.slug == within), None)
        choice.found = [(choice.within, view) for view in offers(choice.within)] if choice.within else None
    return choice


def first_field(halves: Mapping[Side, Half], name: str) -> str:
    """Id of a side's first field to fill in, or of what follows if there is none."""
    side: Side = "action" if name == "action" else "reaction"
    folded = {field.id for field in halves[side].folded}
    shown = [field for field in halves[side].own if field.id not in folded]
    if shown:
        return next((field for field in shown if field.required), shown[0]).id
    return "find-reaction" if side == "action" and halves["reaction"].picker else f"change-{side}"
