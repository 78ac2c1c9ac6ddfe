"""Home Assistant: triggers on states and events of the user's server; calls services, sends notifications, fires
events.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson

from area.connectors.home_assistant.models import AttributeChange, Called, Current, Fired, Happened, State
from area.sdk import (
    Account,
    AuthExpired,
    Context,
    Event,
    Events,
    Gone,
    Option,
    Permanent,
    Retry,
    Sentence,
    Service,
    lookup,
    param,
    parse,
    quoted,
    without_blanks,
)
from area.sdk.decoding import parse_json
from area.sdk.forms import form, secret, server
from area.sdk.shapes import JSON, Place, Shape

NAME = r"^\w+\.\w+$"  # a domain and a name
SILENCE = 120  # seconds; a living server says `ping` every 50
LONGEST = 2_000_000  # bytes of one event
SSE = {"Accept": "text/event-stream"}
MADE = "Administrator's long-lived access token, from Profile > Security"
GONE = ("unavailable", "unknown")  # states of an entity that can't be read right now
ORDINARY = "This token is not an administrator's. Home Assistant lets it call services, but not read or fire events."


async def works(ctx: Context, login: Any) -> Account:
    """Ask whether this is Home Assistant, and whether the token may read events."""
    try:
        # https://developers.home-assistant.io/docs/api/rest/: GET /api/
        answer = await ctx.http.get("/api/")
    except AuthExpired as error:
        raise Permanent(
            Sentence("%(server)s rejected this token. %(error)s", server=login.server, error=error)
        ) from error
    if lookup("message", answer) is None:
        raise Permanent(Sentence("%(server)s is not a Home Assistant server.", server=login.server))
    host = urlsplit(login.server).netloc
    return Account(host, host, note="" if await _is_administrator(ctx) else ORDINARY)


async def _is_administrator(ctx: Context) -> bool:
    """Whether the token may read events. Home Assistant answers 401 to users who are no administrators."""
    try:
        async with aclosing(ctx.http.lines("/api/stream", params={"restrict": "area"}, headers=SSE)) as lines:
            await anext(lines, None)  # it says `ping` at once
    except AuthExpired:
        return False
    return True


service = Service(
    "home_assistant",
    "Home Assistant",
    "React to states and events of your own server; call services, send notifications and fire events.",
    docs="https://developers.home-assistant.io/docs/api/rest/",
    auth=form(
        works,
        headers={"Authorization": "Bearer {token}"},
        base_url="{server}",
        server=server("http://homeassistant.local:8123", scheme=""),
        token=secret(MADE, "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", min_length=1),
    ),
    quality="verified",
    synonyms={
        "": "smart home, domotics, IoT, Zigbee, Hue, device, light, lamp, plug, switch, sensor",
        "state_changed": (
            "motion detected, door opens, window, someone comes home, presence, leaves home, light turns on, battery"
            " low, washing machine finished, machine done, alarm, smoke, water leak, doorbell, device online, garage,"
            " TV on, car charging"
        ),
        "threshold_passed": (
            "sensor value too high, temperature inside, humidity, power consumption, battery, CO2, soil moisture,"
            " solar, electricity, power, dryer"
        ),
        "event_fired": "button pressed, remote, scene",
        "turn_on": (
            "switch on, light, lamp, Philips Hue, smart plug, lights on, heating, fan, coffee machine, TV, garage door,"
            " siren, open, unlock"
        ),
        "turn_off": "switch off, lights off, lamp, Philips Hue, smart plug, fan, TV, all lights, close",
        "call_service": (
            "thermostat, heating, blinds, set brightness, scene, media player, vacuum, lock, set temperature, air"
            " conditioning, garage door, open the door, close the blinds, dim, colour, volume, speak, TTS, play on"
            " speaker"
        ),
        "notify": "push notification, phone notification, alert, mobile app",
        "fire_event": "custom event",
    },
)
# https://developers.home-assistant.io/docs/api/rest/: GET /api/states
service.options("entities", "/api/states", "entity_id", "attributes.friendly_name", "entity_id")

Entity = Annotated[str, param("Entity ID", "binary_sensor.front_door", pick="entities", pattern=NAME)]
Steady = Annotated[bool, param("Ignore the time when it is unavailable or unknown", False)]
Attribute = Annotated[str, param("Attribute", "current_temperature", min_length=1)]
BecomesAttribute = Annotated[str, param("Only when it changes to this value", "21.5")]
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


LITERAL = Place(lambda before, first: lambda text, _: _literal(text), alone=True, deep=True)  # noqa: ARG005 -- `Place`
# https://www.home-assistant.io/integrations/logbook/, /persistent_notification/, /telegram_bot/: what they say is a
# template
PLAIN = "notify.send_message"  # the one of entities, whose messages are no templates
RENDERED = ("notify.", "logbook.", "persistent_notification.", "telegram_bot.", "{{")


def _data(texts: Mapping[str, str]) -> Shape:
    name = texts.get("service", "").strip()
    return replace(JSON, place=LITERAL) if name.startswith(RENDERED) and name != PLAIN else JSON


@service.listen("State changed")
async def state_changed(
    ctx: Context, entity: Entity, to: Becomes = "", before: Was = "", *, ignore_unavailable: Steady = False
) -> Events[State]:
    """Triggers when an entity's state changes: a door opens, a light turns on."""
    wanted = () if not ignore_unavailable or {to, before} & {*GONE} else GONE
    async for event in _changes(ctx, entity, wanted):
        if event.data.state != event.data.before and to in ("", event.data.state) and before in ("", event.data.before):
            yield event


@service.listen("Attribute changed")
async def attribute_changed(
    ctx: Context, entity: Entity, attribute: Attribute, to: BecomesAttribute = ""
) -> Events[AttributeChange]:
    """Triggers when an attribute of an entity changes: a thermostat's temperature, a player's title. The time when the
    entity is unavailable or unknown is ignored.
    """
    async for event in _changes(ctx, entity, GONE):
        now, then = (states.get(attribute) for states in (event.data.attributes, event.data.attributes_before))
        if now != then and to in ("", now if isinstance(now, str) else orjson.dumps(now).decode()):
            told = event.data.model_dump() | {"attribute": attribute, "value": now, "value_before": then}
            yield Event(event.id, AttributeChange.model_validate(told), event.at)


@service.listen("Number crosses a threshold")
async def threshold_passed(
    ctx: Context,
    entity: Entity,
    direction: Annotated[Literal["above", "below"], param("Above or below the threshold", "above")],
    value: Annotated[float, param("Threshold", 25)],
) -> Events[State]:
    """Triggers when an entity's number rises above or drops below a value."""
    async for event in _changes(ctx, entity, GONE):
        now, before = _number(event.data.state), _number(event.data.before)
        if now is None or before is None:
            continue
        if before <= value < now if direction == "above" else now < value <= before:
            yield event


@service.listen("Event fired")
async def event_fired(ctx: Context, event_type: Type) -> Events[Happened]:
    """Triggers when an event of this type is fired: a tag is scanned, a button pressed, an automation triggered."""
    async for told in _stream(ctx, event_type):
        happened = parse(Happened, told, "Home Assistant")
        yield Event(_name(told), happened, happened.fired_at)


@service.reaction("Turn on a device", idempotent="same")
async def turn_on(ctx: Context, entity: Entity) -> Called:
    """Turn on a light, a switch, a script or any other entity."""
    return await _switch(ctx, "homeassistant.turn_on", entity)


@service.reaction("Turn off a device", idempotent="same")
async def turn_off(ctx: Context, entity: Entity) -> Called:
    """Turn off a light, a switch or any other entity."""
    return await _switch(ctx, "homeassistant.turn_off", entity)


@service.reaction("Call a service", on_crash="fail")
async def call_service(
    ctx: Context,
    service: Annotated[str, param("Service, as domain.name", "light.turn_on", pick="services", pattern=NAME)],
    entity: About = "",
    data: Annotated[Mapping[str, Any], param("Other data for the service", {"brightness": 255}, shape=_data)] = {},
) -> Called:
    """Call any service (an action in newer versions) and return its response."""
    return await _call(ctx, service, {**data, **without_blanks(entity_id=entity)}, entity)


@service.reaction("Send a notification", on_crash="fail")
async def notify(
    ctx: Context,
    message: Annotated[str, param("Text", "The washing is done", min_length=1)],
    title: Annotated[str, param("Title", "Laundry")] = "",
    notifier: Notifier = "persistent_notification",
) -> Called:
    """Show a notification in Home Assistant or on a phone with its app. `{{…}}` in inserted values is shown as is,
    not evaluated.
    """
    return await _call(ctx, f"notify.{notifier}", without_blanks(message=_literal(message), title=_literal(title)))


@service.reaction("Fire an event", on_crash="fail")
async def fire_event(
    ctx: Context, event_type: Type, data: Annotated[Mapping[str, Any], param("Text", {"door": "front"})] = {}
) -> Fired:
    """Fire an event that automations can listen for."""
    try:
        # https://developers.home-assistant.io/docs/api/rest/: POST /api/events/<event_type>
        return await ctx.http.post(f"/api/events/{event_type}", Fired, json=data)
    except AuthExpired as error:
        raise await _refused(ctx, error) from error


@service.lookup("Get an entity's state")
async def get_state(ctx: Context, entity: Entity) -> Current | None:
    """Get the current state and the attributes of an entity."""
    try:
        # https://developers.home-assistant.io/docs/api/rest/: GET /api/states/<entity_id>
        return await ctx.http.get(quoted("/api/states/{}", entity), Current, gone=(404,))
    except Gone:
        return None


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


async def _switch(ctx: Context, name: str, entity: str) -> Called:
    """Turn an entity on or off. Raises `Permanent` if there is no such entity, `Retry` if it can't be reached."""
    called = await _call(ctx, name, {"entity_id": entity}, entity)
    if not called.changed and await _state(ctx, entity) == GONE[0]:
        raise Retry(Sentence("%(entity)s is unavailable.", entity=entity))
    return called


async def _call(ctx: Context, name: str, body: dict[str, Any], entity: str = "") -> Called:
    """Call a service, for its answer if it has one. Raises `Permanent` if it changes nothing and there is no `entity`.

    https://developers.home-assistant.io/docs/api/rest/: POST /api/services/<domain>/<service>
    """
    path = f"/api/services/{name.replace('.', '/')}"
    try:
        answer = await ctx.http.post(f"{path}?return_response", json=body, gone=("does not support responses",))
    except Gone:  # what has no answer may not be asked for one, and is refused before it is called
        answer = await ctx.http.post(path, json=body)
    except Retry as error:
        if not error.unsure and await _only_answers(ctx, name):
            raise Permanent(
                Sentence(
                    "%(name)s only returns a response, and this version of Home Assistant can't return one over its"
                    " REST API. Update Home Assistant.",
                    name=name,
                )
            ) from error
        raise
    called = parse(Called, answer if isinstance(answer, dict) else {"changed_states": answer}, "Home Assistant")
    if entity and not called.changed and not called.answer:
        await _state(ctx, entity)
    return called


async def _state(ctx: Context, entity: str) -> str:
    """An entity's state. Raises `Permanent` if there is no such entity: Home Assistant calls services all the same."""
    try:
        # https://developers.home-assistant.io/docs/api/rest/: GET /api/states/<entity_id>
        return await ctx.http.get(quoted("/api/states/{}", entity), str, at="state", gone=(404,))
    except Gone as error:
        raise Permanent(Sentence("Home Assistant has no entity %(entity)s.", entity=entity)) from error


async def _only_answers(ctx: Context, name: str) -> bool:
    """Whether this version of Home Assistant would need `return_response`, which it doesn't know, to call it."""
    domain, _, service = name.partition(".")
    async for row in ctx.http.rows("/api/services"):
        if row["domain"] == domain and service in row["services"]:
            return lookup(f"{service}.response.optional", row["services"]) is False
    return False


async def _refused(ctx: Context, error: AuthExpired) -> Exception:
    """What a 401 to something of administrators means: the token is no longer good, or it is another user's."""
    try:
        await ctx.http.get("/api/")
    except AuthExpired:
        return error
    return Permanent(ORDINARY)


async def _stream(ctx: Context, kind: str) -> AsyncIterator[dict[str, Any]]:
    # https://developers.home-assistant.io/docs/api/rest/: GET /api/stream
    lines = ctx.http.lines("/api/stream", params={"restrict": kind}, headers=SSE, silence=SILENCE, longest=LONGEST)
    try:
        async for line in lines:
            if line.startswith("data: {"):
                try:
                    told = parse_json(line.removeprefix("data: "))
                except ValueError as error:
                    raise Retry("Home Assistant sent an incomplete event.") from error
                if told.get("event_type") == kind:  # it also tells that it stops
                    yield told
    except AuthExpired as error:
        raise await _refused(ctx, error) from error
    raise Retry("Home Assistant closed its event stream. It may be restarting.")


async def _changes(ctx: Context, entity: str, skipped: tuple[str, ...] = ()) -> Events[State]:
    """Changes of an entity's state or attributes, as if it had never been in the states that are `skipped`."""
    held: dict[str, Any] | None = None  # its last state before one of those
    # https://www.home-assistant.io/docs/configuration/events/#state_changed
    async for told in _stream(ctx, "state_changed"):
        data = told["data"]
        new, old = data.get("new_state"), data.get("old_state")
        if data["entity_id"] != entity or not new or not old:
            continue
        if new["state"] in skipped:
            held = held if old["state"] in skipped else old
            continue
        before, held = (held if old["state"] in skipped else old), new
        if before is None:
            continue
        name = str(new["attributes"].get("friendly_name") or entity)
        state = parse(State, {**data, "old_state": before, "name": name}, "Home Assistant")
        yield Event(_name(told), state, state.changed_at)


def _name(told: dict[str, Any]) -> str:
    """A unique name for the event; one context may have several."""
    return f"{told['context']['id']} {told['data'].get('entity_id', '')} {told['time_fired']}"


def _number(state: str) -> float | None:
    """The state as a number, or None, as for `unknown` and `unavailable`."""
    return float(state) if re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", state) else None
