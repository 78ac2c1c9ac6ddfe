"""The services: what each can do, and the user's connections to those that need one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import orjson
from babel.dates import format_timedelta
from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import connections
from area.catalog import ComponentView, ServiceView
from area.connections import ConnectionView, Dependent, registrations
from area.connections import forms as connection_forms
from area.connections.forms import FieldView
from area.doors import consent
from area.doors.browser import local
from area.doors.deps import SessionDep, Slug
from area.kit.clock import now
from area.kit.problems import Conflict, Invalid, NotFound
from area.web.parts import offers
from area.web.parts.pages import Fields, Page, SignedIn
from area.web.parts.show import folded

router = APIRouter()

Text = Annotated[str, Query(max_length=2000)]
Keys = Annotated[list[str], Query(max_length=20)]
Fares = Literal["none", "unavailable", "works", "parked", "expired"] | None


class Owned(BaseModel):
    """A connection that has a name, how it fares, and the AREAs that use it."""

    view: ConnectionView
    state: Fares
    needing: list[Dependent]
    pausing: str
    consent: str


class Tile(BaseModel):
    """A service as it stands in the gallery. `state` is None where nothing needs to be connected."""

    service: ServiceView
    connection: ConnectionView | None
    state: Fares

    def fits(self, words: str) -> bool:
        """Whether it has to do with what is looked for."""
        wanted = folded(words).split()
        if not wanted:
            return True
        service = self.service
        parts = [service.name, service.description or "", *(one.title for one in service.actions + service.reactions)]
        text = folded(" ".join(parts))
        return all(word in text for word in wanted)


@dataclass(frozen=True, slots=True)
class Renaming:
    """A new name that was refused, and why."""

    account: str
    name: str
    error: str


@router.get("/services")
async def gallery(page: SignedIn, session: SessionDep, q: Text = "", show: Text = "") -> Response:
    """All services that are switched on."""
    tiles = await _tiles(page, session)
    found = [
        tile
        for tile in tiles
        if tile.fits(q) and (show != "connected" or tile.state not in (None, "none", "unavailable"))
    ]
    values: dict[str, Any] = {"tiles": found, "q": q, "show": show}
    if page.partial:
        return await page.show("_services.html", **values)
    return await page.show("services.html", nav="services", **values)


@router.get("/services/{slug}")
async def service_page(
    page: SignedIn,
    slug: Slug,
    session: SessionDep,
    next: Text = "",  # noqa: A002 - the address says so
    component: Keys = [],  # noqa: B006
    account: Text | None = None,
) -> Response:
    """One service, with what connects it; `component` is what is to be used, as what is asked for depends on it. `account` is the name of
    a connection that is to be made or made anew.
    """
    return await _show(page, session, slug, back=local(next, ""), components=component, account=account)


@router.post("/services/{slug}")
async def connect(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Try what was typed in, and keep it if it works; else say what was wrong, field by field or in a sentence."""
    state = page.state
    back, account = local(form.get("next"), ""), form.get("account")
    connector, _ = connections.connectable(state.registry, slug)
    declared = connection_forms.form(connector)
    given, errors = _given(page, declared, form)
    given = {name: value for name, value in given.items() if _is_shown(declared, name, given)}
    errors = {name: sentence for name, sentence in errors.items() if _is_shown(declared, name, given)}
    problem = ""
    if account is not None and not account.strip() and connector.requires_auth:
        errors["account"] = page.say("Enter a name, such as Work.")
    if not errors:
        try:
            view = await connections.connect(
                session,
                state.keyring,
                state.client,
                state.guard,
                state.registry,
                page.user.id,
                slug,
                given,
                name=account or "",
            )
        except Invalid as error:  # before anything was written
            examples = {one.name: one.placeholder for one in declared}
            errors = {
                one["field"]: _plainly(page, one["message"], examples.get(one["field"]))
                for one in error.errors
                if one["field"] in examples
            }
            loose = [_plainly(page, one["message"], None) for one in error.errors if one["field"] not in examples]
            problem = " ".join(loose) or ("" if errors else page.tell(error))
        else:
            said = page.say("%(name)s is connected.", name=view.connection or page.words(slug)(view.name))
            if view.note:
                said = page.say("%(name)s was saved, but AREA could not check whether it works.", name=view.connection)
            return page.to(back or f"/services/{slug}", said=said)
    typed = {one.name: form.get(one.name, "") for one in declared if not one.secret}
    return await _show(
        page, session, slug, 422, back=back, errors=errors, problem=problem, typed=typed, account=account
    )


@router.post("/services/{slug}/consent")
async def ask_consent(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Go to the service's own site to connect another account, which is given a name first."""
    back, account = local(form.get("next"), ""), form.get("account", "").strip()
    if not account:
        errors = {"account": page.say("Enter a name, such as Work.")}
        return await _show(page, session, slug, 422, back=back, errors=errors, account="")
    return page.to(consent_address(slug, back or f"/services/{slug}", [], account))


@router.post("/services/{slug}/test")
async def test(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Try the connection as it is kept."""
    state, user_id = page.state, page.user.id
    connector, _ = connections.connectable(state.registry, slug)
    account = form.get("account", "")
    tested = await consent.try_connection(state, user_id, slug, account)
    if tested is None:
        sentence = page.say("There is no connection that can be read. Connect again.")
        return await _show(page, session, slug, 404, problem=sentence)
    await connections.note(session, state.registry, user_id, slug, tested, name=account)
    if tested.works:
        name = account or page.words(slug)(connector.name)
        said = page.say("Tried just now: %(name)s works.", name=name)
        if tested.message:
            said = page.say("Tried just now: AREA could not check whether %(name)s works.", name=name)
        return page.to(f"/services/{slug}", said=said)
    return page.to(f"/services/{slug}")


@router.post("/services/{slug}/rename")
async def rename(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Give a connection another name."""
    account, name = form.get("account", ""), form.get("name", "")
    try:
        await connections.rename(session, page.state.registry, page.user.id, slug, account, name)
    except (Invalid, Conflict) as error:
        wrong = page.tell(error) if name.strip() else page.say("Enter a name, such as Work.")
        if isinstance(error, Conflict):
            wrong = page.say("You already have a connection called %(name)s. Choose another name.", name=name.strip())
        return await _show(page, session, slug, error.status, renaming=Renaming(account, name, wrong))
    return page.to(f"/services/{slug}", said=page.say("Renamed to %(name)s.", name=name.strip()))


@router.post("/services/{slug}/disconnect")
async def disconnect(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Forget the connection; the service is told that AREA no longer may, where it takes that."""
    account = form.get("account", "")
    await consent.revoke(page.state, page.user.id, slug, name=account)
    needing = await connections.disconnect(session, page.state.registry, page.user.id, slug, name=account)
    name = account or page.words(slug)(page.state.registry.services[slug].name)
    waiting = _names(needing)
    if not waiting:
        return page.to(f"/services/{slug}", said=page.say("%(name)s is disconnected.", name=name))
    said = page.say(
        "%(name)s is disconnected. Until you connect again, these wait: %(areas)s.", name=name, areas=waiting
    )
    return page.to(f"/services/{slug}", said=said)


async def _tiles(page: Page, session: AsyncSession) -> list[Tile]:
    registry = page.state.registry
    mine: dict[str, list[ConnectionView]] = {}
    for view in await connections.views(session, registry, page.user.id, page.state.settings):
        mine.setdefault(view.service, []).append(view)
    return [_tile(one, mine.get(one.slug, [])) for one in await offers.services(page, session)]


def _tile(service: ServiceView, mine: Sequence[ConnectionView]) -> Tile:
    """A service with the one of its connections that needs the user most."""
    order: tuple[Fares, ...] = ("expired", "parked", "works", "unavailable", "none", None)
    views: Sequence[ConnectionView | None] = [one for one in mine if one.connected] or mine[:1] or [None]
    worst = min(views, key=lambda one: order.index(_state(one)))
    return Tile(service=service, connection=worst, state=_state(worst))


def _state(view: ConnectionView | None) -> Fares:
    if view is None:
        return None
    if not view.connected:
        return None if view.optional else "none" if view.available else "unavailable"
    if view.status == "expired":
        return "expired"
    return "parked" if view.parked_until and view.parked_until > now() else "works"


async def _show(
    page: Page,
    session: AsyncSession,
    slug: str,
    status: int = 200,
    *,
    back: str = "",
    components: Sequence[str] = (),
    errors: Mapping[str, str] | None = None,
    problem: str = "",
    typed: Mapping[str, str] | None = None,
    account: str | None = None,
    renaming: Renaming | None = None,
) -> Response:
    registry, settings = page.state.registry, page.state.settings
    view = await offers.service(page, session, slug)
    found = await connections.views(session, registry, page.user.id, settings)
    mine = next((one for one in found if one.service == slug), None)
    if not (view.is_active or any(one.connected for one in found if one.service == slug)):
        raise NotFound("There is no such service here, or an administrator has switched it off.")
    needing: list[Dependent] = []
    accounts: list[Owned] = []
    if mine:
        needing = await connections.dependents(session, registry, page.user.id, slug)
    for one in found:
        if one.service == slug and one.connection:
            its = await connections.dependents(session, registry, page.user.id, slug, name=one.connection)
            again = consent_address(slug, f"/services/{slug}", [], one.connection)
            accounts.append(Owned(view=one, state=_state(one), needing=its, pausing=_names(its), consent=again))
    actions = [one for one in view.actions if one.is_active]
    say = page.words(slug)
    known = {one.key for one in (*view.actions, *view.reactions)}
    missing = page.user.is_admin and mine is not None and not mine.available
    clients = registrations.clients(registry, settings) if missing else []
    return await page.show(
        "service.html",
        status,
        nav="services",
        service=view,
        actions=actions,
        reactions=[one for one in view.reactions if one.is_active],
        how=_how(page),
        connection=mine,
        state=_state(mine),
        needing=needing,
        pausing=_names(needing),
        accounts=accounts,
        account=account,
        renaming=renaming,
        back=back,
        consent=consent_address(slug, back or f"/services/{slug}", [one for one in components if one in known]),
        client=next((one for one in clients if any(served.service == slug for served in one.services)), None),
        errors=errors or {},
        problem=problem,
        typed=typed,
        labels={one.name: _label(say(one.description)) for one in mine.fields} if mine else {},
        shown=say,
    )


def consent_address(slug: str, back: str, components: Sequence[str], name: str = "") -> str:
    """Where somebody begins who agrees at the service's own site, to come `back` afterwards."""
    query: dict[str, Any] = {"next": back, "component": components} | ({"name": name} if name else {})
    return f"/api/connections/{slug}/authorize?" + urlencode(query, doseq=True)


def _names(needing: list[Dependent]) -> str:
    """The AREAs that are on, to be read in a sentence; not more than one wants to read."""
    names = [one.name for one in needing if one.is_active]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _how(page: Page) -> Callable[[ComponentView], str]:
    """What says how the events of an action arrive."""
    sentences = {
        "timer": page.say("Fires by the clock."),
        "webhook": page.say("Fires at once: others send to an address of its own."),
        "listen": page.say("Fires at once: it keeps listening."),
    }

    def how(component: ComponentView) -> str:
        if component.kind == "poll" and component.polling_interval:
            length = timedelta(seconds=component.polling_interval)
            time = format_timedelta(length, locale=page.language, threshold=1.5)
            return page.say("Looks for something new every %(time)s.", time=time)
        return sentences.get(component.kind or "", "")

    return how


def _label(description: str) -> tuple[str, str]:
    """A field's description as its label and, after a semicolon or colon, its hint."""
    for sign in ("; ", ": "):
        label, found, hint = description.partition(sign)
        if found:
            return label.strip(), hint[:1].upper() + hint[1:]
    return description, ""


def _given(page: Page, declared: list[FieldView], form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed in, in the fields' types, what is empty left out; and what can't be used."""
    given: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for one in declared:
        text = form.get(one.name, "")
        text = text if one.secret else text.strip()
        if one.type == "boolean":
            given[one.name] = text == "1"
        elif not text:
            if one.required:
                errors[one.name] = page.say("This is needed.")
        elif one.type == "number":
            with suppress(ValueError):
                given[one.name] = float(text) if "." in text else int(text)
            if one.name not in given:
                errors[one.name] = page.say("This is no number.")
        elif one.type == "json":
            try:
                given[one.name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                errors[one.name] = page.say("This is no JSON.")
        else:
            given[one.name] = text
    return given, errors


def _is_shown(declared: list[FieldView], name: str, given: Mapping[str, Any]) -> bool:
    """Whether the form shows a field, for what is chosen in the others."""
    when = next((one.when for one in declared if one.name == name), {})
    return all(given.get(field) in values for field, values in when.items())


def _plainly(page: Page, message: str, example: str | None) -> str:
    """What pydantic said, for people."""
    if message.startswith("String should match pattern"):
        if example:
            return page.say("This does not look as it should: for example, %(example)s.", example=example)
        return page.say("This does not look as it should.")
    message = message.replace("value is not a valid email address:", "This is no e-mail address:")
    if (said := page.say(message)) != message:
        return said if said.endswith((".", "!", "?")) else f"{said}."
    for begin in ("Input should", "String should", "Value should"):
        message = message.replace(begin, "It should")
    return page.say(message if message.endswith((".", "!", "?")) else f"{message}.")
