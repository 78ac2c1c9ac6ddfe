"""Home Assistant 2024.3 itself (with `make test-slow`), and a double written from its documentation for what newer
versions answer: it publishes no description.
"""

import contextlib
from typing import Any

import orjson
import pytest

from area.connectors.home_assistant import ORDINARY, service
from area.sdk import AuthExpired, Permanent, Retry
from area.sdk.testing import Answer, Double, act, connector, finds_nothing, outcomes

Login = service.auth.model
SERVER = "http://home.example:8123"
AT = "2026-11-23T09:00:00+00:00"


@pytest.fixture
async def vendor():
    async with Double(None, at=SERVER) as double:
        for verb in ("turn_on", "turn_off"):
            double.again("POST", f"/api/services/homeassistant/{verb}")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=Login(server=f"{SERVER}/lovelace", token="t0ken")) as ctx:
        yield ctx


def tells(vendor, *told) -> None:
    """Its stream tells this and ends; as Home Assistant does it, with a ping between."""
    lines = (b"data: " + (one if isinstance(one, bytes) else orjson.dumps(one)) + b"\n\n" for one in told)
    body = b"".join(b"data: ping\n\n" + line for line in lines)
    vendor.on("GET", "/api/stream", Answer(body=body, headers={"Content-Type": "text/event-stream"}))


async def heard(ctx, name: str, error: type[Exception] = Retry, **params):
    """The events until the line ends, which it must with an error."""
    action, found = service.actions[name], []

    async def listen() -> None:
        async for event in action.function(ctx, action.params(**params)):
            action.returns.model_validate_json(event.data.model_dump_json())
            found.append(event)

    with pytest.raises(error):
        await listen()
    return found


def state(entity: str, value: str):
    return {"entity_id": entity, "state": value, "attributes": {"friendly_name": "Door"}, "last_changed": AT}


def change(number: int, before: str | None, after: str | None, entity: str = "sensor.door"):
    data = {"entity_id": entity}
    data |= {"old_state": before and state(entity, before), "new_state": after and state(entity, after)}
    return fired("state_changed", number, data)


def fired(kind: str, number: int, data):
    return {"event_type": kind, "data": data, "origin": "LOCAL", "time_fired": AT, "context": {"id": f"c{number}"}}


@pytest.mark.parametrize(
    ("name", "params", "told", "expected"),
    [
        ("state_changed", {}, [("off", "on"), ("on", "on"), (None, "on"), ("on", None), ("on", "off")], [0, 4]),
        ("state_changed", {"to": "on"}, [("off", "on"), ("on", "off")], [0]),
        ("state_changed", {"before": "on"}, [("off", "on"), ("on", "off")], [1]),
        ("state_changed", {}, [("on", "unavailable"), ("unavailable", "on")], [0, 1]),
        ("state_changed", {"ignore_unavailable": True}, [("on", "unavailable"), ("unavailable", "unknown"), ("unknown", "on"), ("on", "unavailable"), ("unavailable", "off")], [4]),
        ("state_changed", {"ignore_unavailable": True}, [("unavailable", "on"), ("on", "off")], [1]),
        ("state_changed", {"ignore_unavailable": True, "to": "unavailable"}, [("on", "unavailable")], [0]),
        ("threshold_passed", {"direction": "above", "value": 25}, [("24", "25.5"), ("25.5", "26"), ("26", "25"), ("unknown", "30")], [0, 3]),
        ("threshold_passed", {"direction": "above", "value": 25}, [("unknown", "30")], []),
        ("threshold_passed", {"direction": "below", "value": 0}, [("1", "-0.5"), ("-0.5", "unavailable"), ("0", "-1")], [0, 2]),
        ("attribute_changed", {"attribute": "friendly_name"}, [("off", "on")], []),
    ],
)  # fmt: skip
async def test_changes(ctx, vendor, name, params, told, expected):
    rows = [change(number, *one) for number, one in enumerate(told)]
    others = [change(9, "off", "on", "sensor.other"), fired("homeassistant_stop", 9, {})]
    tells(vendor, *rows, *others)
    found = await heard(ctx, name, entity="sensor.door", **params)
    assert [event.id for event in found] == [f"c{number} sensor.door {AT}" for number in expected]
    assert {event.data.name for event in found} <= {"Door"}
    asked = vendor.asked[0]
    assert (asked.query["restrict"], asked.headers["Authorization"]) == ("state_changed", "Bearer t0ken")


async def test_attributes(ctx, vendor):
    def told(number: int, before: Any, after: Any, then: str = "heat", now: str = "heat"):
        old, new = (
            {**state("climate.hall", value), "attributes": {"t": t}} for value, t in ((then, before), (now, after))
        )
        return fired("state_changed", number, {"entity_id": "climate.hall", "old_state": old, "new_state": new})

    changes = [told(1, 20, 21.5), told(2, 21.5, 21.5, now="off"), told(3, 21.5, None, now="unavailable")]
    changes += [told(4, None, 21.5, then="unavailable"), told(5, 21.5, 22), told(6, 22, None)]
    tells(vendor, *changes)
    events = await heard(ctx, "attribute_changed", entity="climate.hall", attribute="t")
    assert [event.id.split()[0] for event in events] == ["c1", "c5", "c6"], "being away for a while changes nothing"
    shown = events[0].data
    assert (shown.attribute, shown.value, shown.value_before, shown.state) == ("t", 21.5, 20, "heat")
    assert len(await heard(ctx, "attribute_changed", entity="climate.hall", attribute="t", to="22")) == 1


async def test_events(ctx, vendor):
    tells(vendor, fired("tag_scanned", 1, {"tag_id": "42"}), fired("homeassistant_stop", 2, {}))
    (event,) = await heard(ctx, "event_fired", event_type="tag_scanned")
    assert (event.data.data, event.data.fired_at.isoformat()) == ({"tag_id": "42"}, AT)


@pytest.mark.parametrize(("status", "error"), [(401, AuthExpired), (404, Permanent), (429, Retry), (503, Retry)])
async def test_a_stream_that_is_refused(ctx, vendor, status, error):
    tells(vendor)
    vendor.on("GET", "/api/", Answer(401))
    vendor.fails(status)
    assert await heard(ctx, "event_fired", error, event_type="x") == []


async def test_what_goes_wrong_on_the_line(ctx, vendor, monkeypatch):
    tells(vendor, b'{"cut')
    assert await heard(ctx, "event_fired", event_type="x") == []
    monkeypatch.setattr("area.connectors.home_assistant.LONGEST", 100)
    tells(vendor, fired("x", 1, {"long": "x" * 1000}))
    assert await heard(ctx, "event_fired", Permanent, event_type="x") == []


@pytest.mark.parametrize(
    ("name", "params", "path", "body"),
    [
        ("turn_on", {"entity": "light.a"}, "/api/services/homeassistant/turn_on", {"entity_id": "light.a"}),
        ("turn_off", {"entity": "light.a"}, "/api/services/homeassistant/turn_off", {"entity_id": "light.a"}),
        ("call_service", {"service": "light.toggle", "entity": "light.a", "data": {"transition": 2}},
         "/api/services/light/toggle", {"entity_id": "light.a", "transition": 2}),
        ("call_service", {"service": "script.tea"}, "/api/services/script/tea", {}),
        ("notify", {"message": "Hi"}, "/api/services/notify/persistent_notification", {"message": "Hi"}),
        ("notify", {"message": '50 {% "off"'}, "/api/services/notify/persistent_notification",
         {"message": '{{ "50 {% \\"off\\"" }}'}),
        ("notify", {"message": "Hi", "title": "T", "notifier": "mobile_app_a"}, "/api/services/notify/mobile_app_a",
         {"message": "Hi", "title": "T"}),
        ("fire_event", {"event_type": "bell", "data": {"door": 1}}, "/api/events/bell", {"door": 1}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, path, body):
    vendor.on("POST", path, {"message": "Event bell fired."} if name == "fire_event" else [])
    vendor.on("GET", "/api/", Answer(401))
    vendor.on("GET", "/api/states/light.a", state("light.a", "on"))
    vendor.on("GET", "/api/services", [])
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    await call()
    posted = next(asked for asked in vendor.asked if asked.method == "POST")
    assert (posted.path, posted.json) == (path, body)
    assert posted.headers["Authorization"] == "Bearer t0ken"
    await outcomes(ctx, vendor, call, garbage=False)


@pytest.mark.parametrize("name", ["turn_on", "turn_off"])
async def test_what_is_not_there_is_not_switched(ctx, vendor, name):
    vendor.on("POST", f"/api/services/homeassistant/{name}", [])
    reaction = service.reactions[name]
    for answer, error, said in (
        (Answer(404, json={"message": "Entity not found."}), Permanent, "no entity light.a"),
        (state("light.a", "unavailable"), Retry, "light.a is unavailable"),
    ):
        vendor.on("GET", "/api/states/light.a", answer)
        with pytest.raises(error, match=said):
            await act(ctx, reaction, entity="light.a")
    vendor.on("GET", "/api/states/light.a", state("light.a", "on"))  # is on already
    await act(ctx, reaction, entity="light.a")


FORECAST = {"weather.home": {"forecast": [{"temperature": 21.5}]}}
NEEDLESS = "Service does not support responses. Remove return_response from request."


async def call(ctx, **params):
    reaction = service.reactions["call_service"]
    return await act(ctx, reaction, **params)


async def test_what_a_service_answers_is_returned(ctx, vendor):
    told = {"changed_states": [], "service_response": FORECAST}
    vendor.on("POST", "/api/services/weather/get_forecasts", told)
    called = await call(ctx, service="weather.get_forecasts", entity="weather.home", data={"type": "daily"})
    assert (called.answer, called.changed) == (FORECAST, [])
    assert "return_response" in vendor.asked[-1].query

    def silent(asked):
        if "return_response" in asked.query:
            return Answer(400, json={"message": NEEDLESS})
        return [state("light.a", "on")]

    vendor.on("POST", "/api/services/light/toggle", silent)
    called = await call(ctx, service="light.toggle", entity="light.a")
    assert (called.answer, called.changed) == ({}, ["light.a"])


async def test_an_older_version_cannot_answer(ctx, vendor):
    listed = {"get_forecasts": {"response": {"optional": False}}, "get_forecast": {"response": {"optional": True}}}
    vendor.on("GET", "/api/services", [{"domain": "weather", "services": listed}])
    for name, error, said in (
        ("get_forecasts", Permanent, "only returns a response"),
        ("get_forecast", Retry, "returned 500"),
    ):
        vendor.on("POST", f"/api/services/weather/{name}", Answer(500, body=b"Server got itself in trouble"))
        with pytest.raises(error, match=said):
            await call(ctx, service=f"weather.{name}")


async def test_what_only_an_administrator_may(ctx, vendor):
    vendor.on("GET", "/api/", {"message": "API running."})
    vendor.on("GET", "/api/stream", Answer(401, body=b"401: Unauthorized"))
    vendor.on("POST", "/api/events/x", Answer(401, body=b"401: Unauthorized"))
    vendor.on("POST", "/api/services/light/toggle", [state("light.a", "on")])
    account = await service.auth.test(ctx, ctx.credential)
    assert (account.name, account.note) == ("home.example:8123", ORDINARY)
    assert await heard(ctx, "event_fired", Permanent, event_type="x") == []
    fire = service.reactions["fire_event"]
    with pytest.raises(Permanent, match="not an administrator's"):
        await fire.function(ctx, fire.params(event_type="x"))
    assert (await call(ctx, service="light.toggle", entity="light.a")).changed == ["light.a"]


async def test_what_can_be_chosen(ctx, vendor):
    vendor.on("GET", "/api/states", [state("sensor.door", "on"), state("light.a", "on") | {"attributes": {}}])
    vendor.on(
        "GET",
        "/api/services",
        [{"domain": "light", "services": {"turn_on": {}}}, {"domain": "notify", "services": {"phone": {}}}],
    )
    found = {name: [(one.value, one.label) for one in await pick(ctx, {})] for name, pick in service.pickers.items()}
    assert found == {
        "entities": [("sensor.door", "Door"), ("light.a", "light.a")],
        "services": [("light.turn_on", "light.turn_on"), ("notify.phone", "notify.phone")],
        "notifiers": [("phone", "phone")],
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"message": "API running."}, ""), ({"hello": 1}, "not a Home Assistant"), (Answer(401), "rejected this token")],
)
async def test_the_connection_is_tried(ctx, vendor, answer, said):
    vendor.on("GET", "/api/", answer)
    tells(vendor)
    with pytest.raises(Permanent, match=said) if said else contextlib.nullcontext():
        await service.auth.test(ctx, Login(server=SERVER, token="t0ken"))


@pytest.mark.parametrize("server", ["homeassistant.local", "ftp://home.example", "http://"])
def test_what_is_no_address(server):
    with pytest.raises(ValueError, match="Enter the address"):
        Login(server=server, token="t0ken")


async def test_a_state_is_looked_up(ctx, vendor):
    vendor.on("GET", "/api/states/{entity}", lambda asked: state(asked.params["entity"], "21.5"))
    now = await act(ctx, service.reactions["get_state"], entity="sensor.door")
    assert (now.found, now.entity, now.name, now.state) == (True, "sensor.door", "Door", "21.5")
    assert now.attributes == {"friendly_name": "Door"}
    vendor.on("GET", "/api/states/{entity}", Answer(404, {"message": "Entity not found."}))
    await finds_nothing(ctx, service.reactions["get_state"], entity="sensor.other")


async def test_what_was_changed_and_fired_is_returned(ctx, vendor):
    vendor.on("POST", "/api/services/homeassistant/turn_on", {"changed_states": [state("light.a", "on")]})
    assert (await act(ctx, service.reactions["turn_on"], entity="light.a")).changed == ["light.a"]
    vendor.on("POST", "/api/events/{kind}", {"message": "Event x fired."})
    assert (await act(ctx, service.reactions["fire_event"], event_type="x")).message == "Event x fired."
