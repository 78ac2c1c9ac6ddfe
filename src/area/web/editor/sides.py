"""The two halves of the editor: what is chosen and what could be, what is open, and what is wrong with which field."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area import catalog, connections
from area.catalog import ComponentView, ServiceView
from area.connections import ConnectionView, registrations
from area.kit.problems import FieldError
from area.registry import Registry
from area.sdk import keys
from area.sdk.fields import by_name
from area.web.editor import rows
from area.web.editor.forms import FieldView, Form, Side
from area.web.editor.rows import Row, Rows
from area.web.parts.pages import Page
from area.web.parts.show import folded
from area.web.services import consent_address

SIDES: tuple[Side, Side] = ("action", "reaction")
MOST_FOUND = 30


class Picker(BaseModel):
    """The choice of a component: services, or what is found."""

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


class Sight(BaseModel):
    """What of the page is open, which is no part of the AREA."""

    open: dict[Side, bool] = {}
    q: dict[Side, str] = {}
    within: dict[Side, str] = {}
    touched: set[str] = set()
    tried: bool = False  # to save or to try
    trying: bool = False
    focus: str = ""
    run: int | None = None
    problem: str = ""
    moved: str = ""  # the name of the credential that a secret was just moved into
    restored: bool = False
    stale: bool = False  # the AREA was changed after the draft


def read_sight(posted: Mapping[str, str]) -> Sight:
    """What was open when it was posted."""
    return Sight(
        open={side: posted.get(f"open.{side}") == "1" for side in SIDES},
        q={side: posted.get(f"q.{side}", "").strip()[:100] for side in SIDES},
        within={side: posted.get(f"within.{side}", "")[:100] for side in SIDES},
        touched=set(posted.get("touched", "")[:5000].split()),
        tried=posted.get("tried") == "1",
        trying=posted.get("trying") == "1",
        restored=posted.get("restored") == "1",
        stale=posted.get("stale") == "1",
    )


# What buttons do


async def press(session: AsyncSession, registry: Registry, form: Form, sight: Sight, verb: str, rest: str) -> None:
    """Do what a button says."""
    word, _, argument = rest.partition(" ")
    if word in SIDES:
        side: Side = "action" if word == "action" else "reaction"
        if verb == "open":
            sight.open[side], sight.q[side], sight.within[side], sight.focus = True, "", "", f"find-{side}"
        elif verb == "close":
            sight.open[side], sight.focus = False, f"change-{side}"
        elif verb == "service":
            await _service(session, registry, form, sight, side, argument)
        elif verb == "choose":
            _choose(form, sight, side, argument)
    elif verb == "row" and form.condition is not None:
        if word == "add":
            number = max((int(row.name) for row in form.condition.rows if row.name.isdecimal()), default=-1) + 1
            form.condition.rows.append(Row(name=str(number)))
            sight.focus = f"c-{number}-field"
        else:
            form.condition.rows = [row for row in form.condition.rows if row.name != argument]
            sight.focus = "row-add"
    elif verb == "as":
        text = form.only_if
        form.condition = rows.read(text) if word == "rows" else None
        if form.condition is None:
            form.action_values["only_if"] = text
        else:
            form.action_values.pop("only_if", None)
        sight.focus = "row-add" if form.condition is not None else "only-if"


async def _service(session: AsyncSession, registry: Registry, form: Form, sight: Sight, side: Side, slug: str) -> None:
    """Look at what one service offers; what it offers alone is chosen."""
    offered = await catalog.components(session, registry, type=side, service=slug) if slug else []
    if len(offered) == 1:
        _choose(form, sight, side, offered[0].key)
    else:
        sight.within[side], sight.q[side], sight.focus = slug, "", f"found-{side}-0" if slug else f"find-{side}"


def _choose(form: Form, sight: Sight, side: Side, key: str) -> None:
    if key != form.component(side):
        form.values(side).clear()
        if key.partition(".")[0] != form.component(side).partition(".")[0]:
            form.action_connection, form.reaction_connection = (
                ("", form.reaction_connection) if side == "action" else (form.action_connection, "")
            )
        form.removed = [name for name in form.removed if not name.startswith(side[0])]
        form.long = [name for name in form.long if not name.startswith(side[0])]
        sight.touched = {name for name in sight.touched if not name.startswith(side[0])}
        if side == "action":
            form.action, form.condition = key, Rows()
        else:
            form.reaction = key
    sight.open[side], sight.q[side], sight.within[side], sight.focus = False, "", "", f"first-{side}"


# What is shown


def half(registry: Registry, services: Sequence[ServiceView], form: Form, side: Side) -> Half:
    """One half, with what is chosen."""
    found = Half(side=side)
    key = form.component(side)
    for service in services:
        for one in service.actions if side == "action" else service.reactions:
            if one.key == key:
                code = registry.action(key) if side == "action" else registry.reaction(key)
                found.view, found.service = one, service
                found.available = one.is_active and code is not None
    return found


def row_errors(page: Page, form: Form) -> dict[str, str]:
    """What is missing in lines of the condition, by their names."""
    found = form.condition.rows if form.condition else []
    return {row.name: page.say("Choose a value and what to compare it with.") for row in found if not row.complete}


def by_field(errors: Sequence[FieldError]) -> dict[str, list[str]]:
    """Errors as the form names its fields: `a.url`; `a` for what is wrong with all of a half."""
    found: dict[str, list[str]] = defaultdict(list)
    for error in errors:
        parts = error["field"].split(".")
        key = parts[0][:1] if parts[0] in SIDES else parts[0]
        if parts[1:2] == ["parameters"] and len(parts) > 2:
            key = f"{key}.{parts[2]}"
        if error["message"] not in found[key]:
            found[key].append(error["message"])
    return dict(found)


def visible(form: Form, sight: Sight, errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The errors of what somebody has typed in, has touched, or wanted to save."""
    typed = {f"{side[0]}.{name}" for side in SIDES for name, text in form.values(side).items() if text}
    return {
        key: found
        for key, found in errors.items()
        if sight.tried or key in typed or key in sight.touched or (key == "a.only_if" and form.condition is None)
    }


def summary(halves: Mapping[Side, Half], errors: Mapping[str, list[str]], form: Form) -> list[tuple[str, str, str]]:
    """What is wrong: the id of the field, its label, and the sentence."""
    found = []
    for side in SIDES:
        letter = side[0]
        whole = f"find-{side}" if halves[side].picker else f"change-{side}"
        found += [(whole, "", sentence) for sentence in errors.get(letter, [])]
        for one in halves[side].fields:
            target = one.id
            if one.variable == "only_if":
                target = "only-if" if form.condition is None else "row-add"
            found += [(target, one.label, sentence) for sentence in errors.get(one.name, [])]
    known = {one.name for side in SIDES for one in halves[side].fields} | {"a", "r"}
    return found + [("f-name", "", sentence) for key in errors if key not in known for sentence in errors[key]]


def picker(page: Page, services: Sequence[ServiceView], side: Side, sight: Sight) -> Picker:
    """The services that offer something, and what fits the search or belongs to the service that is looked at. Those that
    can't be connected on this server come last.
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
    """What a component is called in the code, whatever language it is shown in."""
    code = registry.action(view.key) if view.type == "action" else registry.reaction(view.key)
    return f"{view.key} {code.title} {code.description} {code.service.name}" if code else view.key


async def note_connections(
    page: Page, session: AsyncSession, halves: Mapping[Side, Half], form: Form, back: str
) -> None:
    """Note the connections that can be chosen, which of those chosen still need to be connected, and where; from there one comes
    `back`.
    """
    registry, settings = page.state.registry, page.state.settings
    chosen = [(one.view.key, one) for one in halves.values() if one.view and one.service]
    views = await connections.views(session, registry, page.user.id, settings) if chosen else []
    for key, one in chosen:
        slug = key.partition(".")[0]
        mine = [view for view in views if view.service == slug]
        if not mine:
            continue
        named = form.connection(one.side)
        one.optional = mine[0].optional
        one.accounts = _accounts(page, mine, named)
        one.connect = f"/services/{slug}?" + urlencode({"next": back})
        one.add = f"/services/{slug}?" + urlencode({"next": back, "account": ""}) + "#add-account"
        view = next((view for view in mine if (view.connection or "") == named), None)
        if view is None:
            one.connection = "missing"
            continue
        if view.optional and not named:
            continue
        together = [
            other for other, half in chosen if other.startswith(f"{slug}.") and form.connection(half.side) == named
        ]
        one.connection = _missing(registry, view, key)
        if named:
            one.connect = f"/services/{slug}?" + urlencode({"next": back, "account": named}) + "#add-account"
        if view.kind == "oauth2" and view.available:
            one.connect = consent_address(slug, back, together, named)


def note_secrets(registry: Registry, form: Form, half: Half) -> None:
    """Note the fields with a secret that had better be in a credential."""
    component = registry.action(form.action) if half.side == "action" else registry.reaction(form.reaction)
    if component is None or component.service.auth is None or component.service.requires_auth:
        return
    values = form.values(half.side)
    for one in half.fields:
        holds = by_name(component.params)[one.variable].holds if one.variable in by_name(component.params) else None
        if holds and not form.connection(half.side):
            lifted = keys.lift(holds, one.value, values.get("url", ""))
            one.movable = lifted is not None and keys.fits(component.service.auth, lifted[1])


def _accounts(page: Page, mine: Sequence[ConnectionView], chosen: str) -> list[tuple[str, str]]:
    """What may be chosen, where there is a choice."""
    named = [one.connection for one in mine if one.connection]
    if chosen and chosen not in named:
        named.append(chosen)
    if not named:
        return []
    if mine[0].optional:
        first = page.say("None")
    else:
        first = page.say("Default: %(account)s", account=mine[0].account) if mine[0].account else page.say("Default")
    return [("", first), *((one, one) for one in named)]


def _missing(registry: Registry, view: ConnectionView, key: str) -> str:
    """What a component still needs of its service's connection."""
    if not view.connected:
        return "missing" if view.available else "unavailable"
    if view.status == "expired":
        return "expired"
    component = registry.action(key) or registry.reaction(key)
    granted = set(view.scopes)
    return "more" if component and view.kind == "oauth2" and not granted.issuperset(component.scopes) else ""


def first_field(halves: Mapping[Side, Half], name: str) -> str:
    """The first field of a side, or what comes after it where there is none."""
    side: Side = "action" if name == "action" else "reaction"
    own = [one for one in halves[side].fields if one.variable not in ("only_if", "delay")]
    if own:
        return next((one for one in own if one.required), own[0]).id
    return "find-reaction" if side == "action" and halves["reaction"].picker else f"change-{side}"
