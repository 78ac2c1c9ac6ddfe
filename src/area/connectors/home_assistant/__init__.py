"""Home Assistant: states and events of your own server in; services, notifications and events out."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from area.connectors.home_assistant.stream import events
from area.sdk import Access, AuthExpired, Context, Credentials, Event, Nothing, Option, Permanent, Pick, Service, parse

NAME = r"^\w+\.\w+$"  # a domain and a name


def _origin(text: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("It must be the address of a server, such as http://homeassistant.local:8123.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Login(BaseModel):
    """A server, and a token made there."""

    server: Annotated[str, AfterValidator(_origin)] = Field(
        description="Address of your server", examples=["http://homeassistant.local:8123"]
    )
    token: SecretStr = Field(
        min_length=1,
        description="Long-lived access token of an administrator, made in your profile under Security",
        examples=["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"],
    )


class OfEntity(BaseModel):
    """Which entity."""

    entity: Annotated[str, Pick("entities")] = Field(
        pattern=NAME, description="Entity, by its id", examples=["binary_sensor.front_door"]
    )


class Change(OfEntity):
    """Which change of which entity."""

    to: str = Field("", description="Only when it becomes this state", examples=["on"])
    before: str = Field("", description="Only when it was this state", examples=["off"])


class Threshold(OfEntity):
    """Which entity, and what number it has to pass."""

    direction: Literal["above", "below"] = Field(description="On which side it has to come to be", examples=["above"])
    value: float = Field(description="The number to pass", examples=[25])


class Kind(BaseModel):
    """Which events."""

    event_type: str = Field(pattern=r"^\w+$", description="Type of the events", examples=["tag_scanned"])


class Fire(Kind):
    """An event to fire."""

    data: dict[str, Any] = Field({}, description="What it says", examples=[{"door": "front"}])


class Call(BaseModel):
    """A service to call."""

    service: Annotated[str, Pick("services")] = Field(
        pattern=NAME, description="Service, by its domain and name", examples=["light.turn_on"]
    )
    entity: Annotated[str, Pick("entities")] = Field(
        "", pattern=r"^(\w+\.\w+)?$", description="Entity that it is about", examples=["light.kitchen"]
    )
    data: dict[str, Any] = Field({}, description="What else the service takes", examples=[{"brightness": 255}])


class Notice(BaseModel):
    """What to tell, and whom."""

    message: str = Field(min_length=1, description="What to say", examples=["The washing is done"])
    title: str = Field("", description="Title", examples=["Laundry"])
    notifier: Annotated[str, Pick("notifiers")] = Field(
        "persistent_notification",
        pattern=r"^\w+$",
        description="Name of the notify service, such as that of a phone",
        examples=["mobile_app_phone"],
    )


class State(BaseModel):
    """An entity that changed."""

    entity: str = Field(description="Its id", examples=["binary_sensor.front_door"])
    name: str = Field(description="Its name", examples=["Front door"])
    state: str = Field(description="What it is now", examples=["on"])
    before: str = Field(description="What it was", examples=["off"])
    attributes: dict[str, Any] = Field(description="Its attributes", examples=[{"device_class": "door"}])
    changed_at: datetime = Field(description="When it changed", examples=["2026-11-23T09:00:00Z"])


class Happened(BaseModel):
    """An event."""

    event_type: str = Field(description="Its type", examples=["tag_scanned"])
    data: dict[str, Any] = Field(description="What it says", examples=[{"tag_id": "42"}])
    fired_at: datetime = Field(description="When it was fired", examples=["2026-11-23T09:00:00Z"])


def access(login: Login) -> Access:
    """https://developers.home-assistant.io/docs/api/rest/."""
    return Access(headers={"Authorization": f"Bearer {login.token.get_secret_value().strip()}"}, base_url=login.server)


async def works(ctx: Context, login: Login) -> None:
    """Ask whether the API answers."""
    try:
        answer = await ctx.http.get("/api/")  # https://developers.home-assistant.io/docs/api/rest/: GET /api/
    except AuthExpired as error:
        raise Permanent(f"{login.server} does not take this token. {error}") from error
    if not isinstance(answer, dict) or "message" not in answer:
        raise Permanent(f"{login.server} is no Home Assistant.")


service = Service(
    "home_assistant",
    "Home Assistant",
    "States and events of your own server as they happen; services, notifications and events.",
    docs="https://developers.home-assistant.io/docs/api/rest/",
    auth=Credentials(Login, works, access),
)


@service.listen("A state changes")
async def state_changed(ctx: Context, params: Change) -> AsyncIterator[Event[State]]:
    """The state of an entity changes: a door opens, a light goes on."""
    async for event in _changes(ctx, params.entity):
        if params.to in ("", event.data.state) and params.before in ("", event.data.before):
            yield event


@service.listen("A number passes a threshold")
async def threshold_passed(ctx: Context, params: Threshold) -> AsyncIterator[Event[State]]:
    """The number that an entity shows comes to be above or below a value, and was not before."""
    async for event in _changes(ctx, params.entity):
        if _beyond(event.data.state, params) and _beyond(event.data.before, params) is False:
            yield event


@service.listen("An event is fired")
async def event_fired(ctx: Context, params: Kind) -> AsyncIterator[Event[Happened]]:
    """An event of a type is fired: a tag is scanned, a button pressed, an automation triggered."""
    async for told in _stream(ctx, params.event_type):
        data = Happened(event_type=params.event_type, data=told["data"], fired_at=told["time_fired"])
        yield Event(_name(told), data, data.fired_at)


@service.reaction("Turn something on")
async def turn_on(ctx: Context, params: OfEntity) -> Nothing:
    """Turn a light, a switch, a script or anything else on."""
    return await _call(ctx, "homeassistant.turn_on", {"entity_id": params.entity})


@service.reaction("Turn something off")
async def turn_off(ctx: Context, params: OfEntity) -> Nothing:
    """Turn a light, a switch or anything else off."""
    return await _call(ctx, "homeassistant.turn_off", {"entity_id": params.entity})


@service.reaction("Call a service", on_crash="fail")
async def call_service(ctx: Context, params: Call) -> Nothing:
    """Call any service, which Home Assistant calls an action, too."""
    return await _call(ctx, params.service, params.data | ({"entity_id": params.entity} if params.entity else {}))


@service.reaction("Send a notification", on_crash="fail")
async def notify(ctx: Context, params: Notice) -> Nothing:
    """Show a notification in Home Assistant, or on a phone with its app."""
    body = {"message": params.message} | ({"title": params.title} if params.title else {})
    return await _call(ctx, f"notify.{params.notifier}", body)


@service.reaction("Fire an event", on_crash="fail")
async def fire_event(ctx: Context, params: Fire) -> Nothing:
    """Fire an event that automations can wait for."""
    # https://developers.home-assistant.io/docs/api/rest/: POST /api/events/<event_type>
    await ctx.http.call("POST", f"/api/events/{params.event_type}", json=params.data)
    return Nothing()


@service.picker
async def entities(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """All entities."""
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/states
    rows = parse(list[dict[str, Any]], await ctx.http.get("/api/states"), "Home Assistant")
    return [Option(row["entity_id"], _label(row), row["entity_id"]) for row in rows]


@service.picker
async def services(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """All services."""
    return [Option(f"{domain}.{name}", f"{domain}.{name}") for domain, name in await _services(ctx)]


@service.picker
async def notifiers(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The services that notify."""
    return [Option(name, name) for domain, name in await _services(ctx) if domain == "notify"]


async def _services(ctx: Context) -> list[tuple[str, str]]:
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/services
    rows = parse(list[dict[str, Any]], await ctx.http.get("/api/services"), "Home Assistant")
    return [(row["domain"], name) for row in rows for name in row["services"]]


async def _call(ctx: Context, name: str, body: dict[str, Any]) -> Nothing:
    # https://developers.home-assistant.io/docs/api/rest/: POST /api/services/<domain>/<service>
    await ctx.http.call("POST", f"/api/services/{name.replace('.', '/')}", json=body)
    return Nothing()


async def _stream(ctx: Context, kind: str) -> AsyncIterator[dict[str, Any]]:
    login: Login = ctx.credential
    async for told in events(ctx.guard, login.server, login.token.get_secret_value().strip(), kind):
        if told.get("event_type") == kind:  # it also tells that it stops
            yield told


async def _changes(ctx: Context, entity: str) -> AsyncIterator[Event[State]]:
    # https://www.home-assistant.io/docs/configuration/events/#state_changed
    async for told in _stream(ctx, "state_changed"):
        data = told["data"]
        new, old = data.get("new_state"), data.get("old_state")
        if data["entity_id"] == entity and new and old and new["state"] != old["state"]:
            found = {"entity": entity, "name": _label(new), "state": new["state"], "before": old["state"]}
            found |= {"attributes": new["attributes"], "changed_at": new["last_changed"]}
            state = parse(State, found, "Home Assistant")
            yield Event(_name(told), state, state.changed_at)


def _name(told: dict[str, Any]) -> str:
    """What tells an event from all others: one context may have several."""
    return f"{told['context']['id']} {told['data'].get('entity_id', '')} {told['time_fired']}"


def _label(state: dict[str, Any]) -> str:
    return str(state["attributes"].get("friendly_name") or state["entity_id"])


def _beyond(state: str, params: Threshold) -> bool | None:
    """Whether a state is a number on that side; None where it is no number: `unknown`, `unavailable`."""
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", state):
        return None
    return float(state) > params.value if params.direction == "above" else float(state) < params.value
