"""Home Assistant: triggers on states and events of the user's server; calls services, sends notifications, fires
events.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson

from area.sdk import Context, Event, Events, Option, Output, Retry, Service, output, param, parse, without_blanks
from area.sdk.forms import form, secret, server, tried
from area.sdk.shapes import JSON, Place, Shape

NAME = r"^\w+\.\w+$"  # a domain and a name
SILENCE = 120  # seconds; a living server says `ping` every 50
LONGEST = 2_000_000  # bytes of one event
MADE = "Administrator's long-lived access token, from Profile > Security"

service = Service(
    "home_assistant",
    "Home Assistant",
    "React to states and events of your own server; call services, send notifications and fire events.",
    docs="https://developers.home-assistant.io/docs/api/rest/",
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/
    auth=form(
        tried("/api/", "{server} rejected this token.", at="message", other="{server} is not a Home Assistant server."),
        headers={"Authorization": "Bearer {token}"},
        base_url="{server}",
        server=server("http://homeassistant.local:8123", scheme=""),
        token=secret(MADE, "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", min_length=1),
    ),
)
# https://developers.home-assistant.io/docs/api/rest/: GET /api/states
service.options("entities", "/api/states", "entity_id", "attributes.friendly_name", "entity_id")

Entity = Annotated[str, param("Entity ID", "binary_sensor.front_door", pick="entities", pattern=NAME)]
Becomes = Annotated[str, param("Only when it changes to this state", "on")]
Was = Annotated[str, param("Only when it changes from this state", "off")]
Type = Annotated[str, param("Event type", "tag_scanned", pattern=r"^\w+$")]
About = Annotated[str, param("Target entity", "light.kitchen", pick="entities", pattern=r"^(\w+\.\w+)?$")]
WHOM = "Name of the notify service, such as a phone's"
Notifier = Annotated[str, param(WHOM, "mobile_app_phone", pick="notifiers", pattern=r"^\w+$")]


def _literal(text: str) -> str:
    """A template that renders to exactly this text: Home Assistant evaluates templates in messages, even untrusted
    ones.

    https://www.home-assistant.io/integrations/notify/, https://jinja.palletsprojects.com/templates/#literals
    """
    if "{" not in text:
        return text
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'{{{{ "{escaped}" }}}}'


LITERAL = Place(lambda before, first: lambda text, _: _literal(text), alone=True)  # noqa: ARG005 -- `Place.encode`
# https://www.home-assistant.io/integrations/logbook/, /persistent_notification/, /telegram_bot/: what they say is a
# template
RENDERED = ("notify.", "logbook.", "persistent_notification.", "telegram_bot.", "{{")


def _data(texts: Mapping[str, str]) -> Shape:
    return replace(JSON, place=LITERAL) if texts.get("service", "").strip().startswith(RENDERED) else JSON


class State(Output):
    entity: str = output("entity_id", "ID", "binary_sensor.front_door")
    name: str = output("name", "Name", "Front door")
    state: str = output("new_state.state", "Current state", "on")
    before: str = output("old_state.state", "Previous state", "off")
    attributes: dict[str, Any] = output("new_state.attributes", "Attributes", {"device_class": "door"})
    changed_at: datetime = output("new_state.last_changed", "Time of the change", "2026-11-23T09:00:00Z")


class Happened(Output):
    event_type: str = output("event_type", "Type", "tag_scanned")
    data: dict[str, Any] = output("data", "Text", {"tag_id": "42"})
    fired_at: datetime = output("time_fired", "Time of the event", "2026-11-23T09:00:00Z")


@service.listen("State changed")
async def state_changed(ctx: Context, entity: Entity, to: Becomes = "", before: Was = "") -> Events[State]:
    """Triggers when an entity's state changes: a door opens, a light turns on."""
    async for event in _changes(ctx, entity):
        if to in ("", event.data.state) and before in ("", event.data.before):
            yield event


@service.listen("Number crosses a threshold")
async def threshold_passed(
    ctx: Context,
    entity: Entity,
    direction: Annotated[Literal["above", "below"], param("Above or below the threshold", "above")],
    value: Annotated[float, param("Threshold", 25)],
) -> Events[State]:
    """Triggers when an entity's number rises above or drops below a value."""
    async for event in _changes(ctx, entity):
        now, before = _number(event.data.state), _number(event.data.before)
        if now is None or before is None:
            continue
        if before <= value < now if direction == "above" else now < value <= before:
            yield event


@service.listen("Event fired")
async def event_fired(ctx: Context, event_type: Type) -> Events[Happened]:
    """Triggers when an event of this type is fired: a tag is scanned, a button pressed, an automation triggered."""
    async for told in _stream(ctx, event_type):
        data = parse(Happened, told, "Home Assistant")
        yield Event(_name(told), data, data.fired_at)


@service.reaction("Turn on a device")
async def turn_on(ctx: Context, entity: Entity) -> None:
    """Turn on a light, a switch, a script or any other entity."""
    await _call(ctx, "homeassistant.turn_on", {"entity_id": entity})


@service.reaction("Turn off a device")
async def turn_off(ctx: Context, entity: Entity) -> None:
    """Turn off a light, a switch or any other entity."""
    await _call(ctx, "homeassistant.turn_off", {"entity_id": entity})


@service.reaction("Call a service", on_crash="fail")
async def call_service(
    ctx: Context,
    service: Annotated[str, param("Service, as domain.name", "light.turn_on", pick="services", pattern=NAME)],
    entity: About = "",
    data: Annotated[Mapping[str, Any], param("Other data for the service", {"brightness": 255}, shape=_data)] = {},
) -> None:
    """Call any service (Home Assistant also calls them actions)."""
    await _call(ctx, service, {**data, **without_blanks(entity_id=entity)})


@service.reaction("Send a notification", on_crash="fail")
async def notify(
    ctx: Context,
    message: Annotated[str, param("Text", "The washing is done", min_length=1)],
    title: Annotated[str, param("Title", "Laundry")] = "",
    notifier: Notifier = "persistent_notification",
) -> None:
    """Show a notification in Home Assistant or on a phone with its app. `{{…}}` in inserted values is shown as is,
    not evaluated.
    """
    await _call(ctx, f"notify.{notifier}", without_blanks(message=_literal(message), title=_literal(title)))


@service.reaction("Fire an event", on_crash="fail")
async def fire_event(
    ctx: Context, event_type: Type, data: Annotated[Mapping[str, Any], param("Text", {"door": "front"})] = {}
) -> None:
    """Fire an event that automations can listen for."""
    # https://developers.home-assistant.io/docs/api/rest/: POST /api/events/<event_type>
    await ctx.http.call("POST", f"/api/events/{event_type}", json=data)


@service.picker
async def services(ctx: Context) -> list[Option]:
    """All services."""
    return [Option(f"{domain}.{name}", f"{domain}.{name}") for domain, name in await _services(ctx)]


@service.picker
async def notifiers(ctx: Context) -> list[Option]:
    """The services that notify."""
    return [Option(name, name) for domain, name in await _services(ctx) if domain == "notify"]


async def _services(ctx: Context) -> list[tuple[str, str]]:
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/services
    return [(row["domain"], name) async for row in ctx.http.rows("/api/services") for name in row["services"]]


async def _call(ctx: Context, name: str, body: dict[str, Any]) -> None:
    # https://developers.home-assistant.io/docs/api/rest/: POST /api/services/<domain>/<service>
    await ctx.http.call("POST", f"/api/services/{name.replace('.', '/')}", json=body)


async def _stream(ctx: Context, kind: str) -> AsyncIterator[dict[str, Any]]:
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/stream
    query, accept = {"restrict": kind}, {"Accept": "text/event-stream"}
    async for line in ctx.http.lines("/api/stream", params=query, headers=accept, silence=SILENCE, longest=LONGEST):
        if line.startswith("data: {"):
            try:
                told = orjson.loads(line.removeprefix("data: "))
            except orjson.JSONDecodeError as error:
                raise Retry("Home Assistant sent an incomplete event.") from error
            if told.get("event_type") == kind:  # it also tells that it stops
                yield told
    raise Retry("Home Assistant closed its event stream. It may be restarting.")


async def _changes(ctx: Context, entity: str) -> Events[State]:
    # https://www.home-assistant.io/docs/configuration/events/#state_changed
    async for told in _stream(ctx, "state_changed"):
        data = told["data"]
        new, old = data.get("new_state"), data.get("old_state")
        if data["entity_id"] == entity and new and old and new["state"] != old["state"]:
            name = str(new["attributes"].get("friendly_name") or entity)
            state = parse(State, {**data, "name": name}, "Home Assistant")
            yield Event(_name(told), state, state.changed_at)


def _name(told: dict[str, Any]) -> str:
    """A unique name for the event; one context may have several."""
    return f"{told['context']['id']} {told['data'].get('entity_id', '')} {told['time_fired']}"


def _number(state: str) -> float | None:
    """The state as a number, or None, as for `unknown` and `unavailable`."""
    return float(state) if re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", state) else None
