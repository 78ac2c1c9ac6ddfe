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
from area.kit.text import folded
from area.web.parts import offers
from area.web.parts.pages import Fields, Page, SignedIn

router = APIRouter()

Text = Annotated[str, Query(max_length=2000)]
Keys = Annotated[list[str], Query(max_length=20)]
Fares = Literal["none", "unavailable", "works", "parked", "expired"] | None


class Owned(BaseModel):
    """A named connection, its state, and the AREAs that use it."""

    view: ConnectionView
    state: Fares
    needing: list[Dependent]
    pausing: str
    consent: str


class Tile(BaseModel):
    """A service in the gallery. `state` is None if it needs no connection."""

    service: ServiceView
    connection: ConnectionView | None
    state: Fares

    def fits(self, words: str) -> bool:
        """Whether it matches the search."""
        terms = folded(words).split()
        if not terms:
            return True
        service = self.service
        parts = [
            service.name,
            service.description or "",
            *(component.title for component in service.actions + service.reactions),
        ]
        text = folded(" ".join(parts))
        return all(term in text for term in terms)


@dataclass(frozen=True, slots=True)
class Renaming:
    """A rejected new name and the error."""

    account: str
    name: str
    error: str


@router.get("/services")
async def gallery(page: SignedIn, session: SessionDep, q: Text = "", show: Text = "") -> Response:
    """The services that are switched on."""
    tiles = await _tiles(page, session)
    matches = [
        tile
        for tile in tiles
        if tile.fits(q) and (show != "connected" or tile.state not in (None, "none", "unavailable"))
    ]
    values: dict[str, Any] = {"tiles": matches, "q": q, "show": show}
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
    """One service and its connections.

    `component`: what it is needed for, which decides the permissions to ask for; `account`: the connection to make or
    renew.
    """
    return await _show(page, session, slug, back=local(next, ""), components=component, account=account)


@router.post("/services/{slug}")
async def connect(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Test the credentials and store them if they work; otherwise show the errors."""
    state = page.state
    back, account = local(form.get("next"), ""), form.get("account")
    connector, _ = connections.connectable(state.registry, slug)
    declared = connection_forms.form(connector)
    values, errors = _parse(page, declared, form)
    values = {name: value for name, value in values.items() if _is_shown(declared, name, values)}
    errors = {name: sentence for name, sentence in errors.items() if _is_shown(declared, name, values)}
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
                values,
                name=account or "",
            )
        except Invalid as error:  # before anything was written
            examples = {field.name: field.placeholder for field in declared}
            errors = {
                entry["field"]: _plainly(page, entry["message"], examples.get(entry["field"]))
                for entry in error.errors
                if entry["field"] in examples
            }
            others = [
                _plainly(page, entry["message"], None) for entry in error.errors if entry["field"] not in examples
            ]
            problem = " ".join(others) or ("" if errors else page.tell(error))
        else:
            message = page.say("%(name)s connected.", name=view.connection or page.words(slug)(view.name))
            if view.note:
                message = page.say(
                    "%(name)s was saved, but AREA couldn't check whether it works.", name=view.connection
                )
            return page.to(back or f"/services/{slug}", said=message)
    typed = {field.name: form.get(field.name, "") for field in declared if not field.secret}
    return await _show(
        page, session, slug, 422, back=back, errors=errors, problem=problem, typed=typed, account=account
    )


@router.post("/services/{slug}/consent")
async def ask_consent(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Redirect to the service's site to connect another, named account."""
    back, account = local(form.get("next"), ""), form.get("account", "").strip()
    if not account:
        errors = {"account": page.say("Enter a name, such as Work.")}
        return await _show(page, session, slug, 422, back=back, errors=errors, account="")
    return page.to(consent_address(slug, back or f"/services/{slug}", [], account))


@router.post("/services/{slug}/test")
async def test(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Test the stored connection."""
    state, user_id = page.state, page.user.id
    connector, _ = connections.connectable(state.registry, slug)
    account = form.get("account", "")
    tested = await consent.try_connection(state, user_id, slug, account)
    if tested is None:
        sentence = page.say("This connection can't be read. Reconnect it.")
        return await _show(page, session, slug, 404, problem=sentence)
    await connections.note(session, state.registry, user_id, slug, tested, name=account)
    if tested.works:
        name = account or page.words(slug)(connector.name)
        message = page.say("%(name)s works.", name=name)
        if tested.message:
            message = page.say("AREA couldn't check whether %(name)s works.", name=name)
        return page.to(f"/services/{slug}", said=message)
    return page.to(f"/services/{slug}")


@router.post("/services/{slug}/rename")
async def rename(page: SignedIn, slug: Slug, form: Fields, session: SessionDep) -> Response:
    """Rename a connection."""
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
    """Delete the connection. A worker revokes its access where the service supports it."""
    account = form.get("account", "")
    needing = await connections.disconnect(session, page.state.registry, page.user.id, slug, name=account)
    name = account or page.words(slug)(page.state.registry.services[slug].name)
    waiting = _names(needing)
    if not waiting:
        return page.to(f"/services/{slug}", said=page.say("%(name)s disconnected.", name=name))
    message = page.say(
        "%(name)s disconnected. These AREAs wait until you reconnect: %(areas)s.", name=name, areas=waiting
    )
    return page.to(f"/services/{slug}", said=message)


async def _tiles(page: Page, session: AsyncSession) -> list[Tile]:
    registry = page.state.registry
    mine: dict[str, list[ConnectionView]] = {}
    for view in await connections.views(session, registry, page.user.id, page.state.settings):
        mine.setdefault(view.service, []).append(view)
    return [_tile(service, mine.get(service.slug, [])) for service in await offers.services(page, session)]


def _tile(service: ServiceView, mine: Sequence[ConnectionView]) -> Tile:
    """A service with its connection that most needs attention."""
    order: tuple[Fares, ...] = ("expired", "parked", "works", "unavailable", "none", None)
    views: Sequence[ConnectionView | None] = [view for view in mine if view.connected] or mine[:1] or [None]
    worst = min(views, key=lambda view: order.index(_state(view)))
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
    views = await connections.views(session, registry, page.user.id, settings)
    owned = [connection for connection in views if connection.service == slug]
    mine = owned[0] if owned else None
    if not (view.is_active or any(connection.connected for connection in owned)):
        raise NotFound("This service doesn't exist, or an administrator has switched it off.")
    needing: list[Dependent] = []
    accounts: list[Owned] = []
    if mine:
        needing = await connections.dependents(session, registry, page.user.id, slug)
    for connection in owned:
        if name := connection.connection:
            areas = await connections.dependents(session, registry, page.user.id, slug, name=name)
            again = consent_address(slug, f"/services/{slug}", [], name)
            accounts.append(
                Owned(view=connection, state=_state(connection), needing=areas, pausing=_names(areas), consent=again)
            )
    actions = [action for action in view.actions if action.is_active]
    say = page.words(slug)
    known = {component.key for component in (*view.actions, *view.reactions)}
    missing = page.user.is_admin and mine is not None and not mine.available
    clients = registrations.clients(registry, settings) if missing else []
    return await page.show(
        "service.html",
        status,
        nav="services",
        service=view,
        actions=actions,
        reactions=[reaction for reaction in view.reactions if reaction.is_active],
        how=_how(page),
        connection=mine,
        state=_state(mine),
        needing=needing,
        pausing=_names(needing),
        accounts=accounts,
        account=account,
        renaming=renaming,
        back=back,
        consent=consent_address(
            slug, back or f"/services/{slug}", [component for component in components if component in known]
        ),
        client=next((client for client in clients if any(served.service == slug for served in client.services)), None),
        errors=errors or {},
        problem=problem,
        typed=typed,
        labels={field.name: _label(say(field.description)) for field in mine.fields} if mine else {},
        shown=say,
    )


def consent_address(slug: str, back: str, components: Sequence[str], name: str = "") -> str:
    """URL that starts the consent at the service's site and returns to `back`."""
    query: dict[str, Any] = {"next": back, "component": components} | ({"name": name} if name else {})
    return f"/api/connections/{slug}/authorize?" + urlencode(query, doseq=True)


def _names(needing: list[Dependent]) -> str:
    """Names of the active AREAs for a sentence, shortened."""
    names = [area.name for area in needing if area.is_active]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _how(page: Page) -> Callable[[ComponentView], str]:
    """How the events of an action arrive."""
    sentences = {
        "timer": page.say("Runs on a schedule."),
        "webhook": page.say("Instant: the service sends requests to the AREA's webhook URL."),
        "listen": page.say("Instant: AREA keeps listening."),
    }

    def how(component: ComponentView) -> str:
        if component.kind == "poll" and component.polling_interval:
            length = timedelta(seconds=component.polling_interval)
            time = format_timedelta(length, locale=page.language, threshold=1.5)
            return page.say("Checks every %(time)s.", time=time)
        return sentences.get(component.kind or "", "")

    return how


def _label(description: str) -> tuple[str, str]:
    """A field's description as its label and, after a semicolon or colon, its hint."""
    for sign in ("; ", ": "):
        label, separator, hint = description.partition(sign)
        if separator:
            return label.strip(), hint[:1].upper() + hint[1:]
    return description, ""


def _parse(page: Page, declared: list[FieldView], form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Typed values converted to the fields' types without empty ones, and the errors."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in declared:
        text = form.get(field.name, "")
        text = text if field.secret else text.strip()
        if field.type == "boolean":
            values[field.name] = text == "1"
        elif not text:
            if field.required:
                errors[field.name] = page.say("This field is required.")
        elif field.type == "number":
            with suppress(ValueError):
                values[field.name] = float(text) if "." in text else int(text)
            if field.name not in values:
                errors[field.name] = page.say("Enter a number.")
        elif field.type == "json":
            try:
                values[field.name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                errors[field.name] = page.say("That isn't valid JSON.")
        else:
            values[field.name] = text
    return values, errors


def _is_shown(declared: list[FieldView], name: str, values: Mapping[str, Any]) -> bool:
    """Whether the form shows a field, given the other values."""
    when = next((field.when for field in declared if field.name == name), {})
    return all(values.get(other) in choices for other, choices in when.items())


def _plainly(page: Page, message: str, example: str | None) -> str:
    """Pydantic's message in plain words."""
    if message.startswith("String should match pattern"):
        if example:
            return page.say("Invalid format. Example: %(example)s.", example=example)
        return page.say("Invalid format.")
    message = message.replace("value is not a valid email address:", "Enter a valid e-mail address:")
    if (translated := page.say(message)) != message:
        return translated if translated.endswith((".", "!", "?")) else f"{translated}."
    for begin in ("Input should", "String should", "Value should"):
        message = message.replace(begin, "It should")
    return page.say(message if message.endswith((".", "!", "?")) else f"{message}.")
