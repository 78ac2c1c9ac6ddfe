"""What happens in it, what it is told to do, and what a token may do."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests import peers

from area.connectors.home_assistant import ORDINARY, service
from area.kit.http import Client
from area.sdk import Context, Event, Guard, Permanent

pytestmark = pytest.mark.slow
Login = service.auth.model  # type: ignore[union-attr]
LAMP, TEMPERATURE = "input_boolean.lamp", "input_number.temperature"


@pytest.fixture(scope="module")
def home():
    with peers.home_assistant() as running:
        yield running


def context(home: peers.HomeAssistant, token: str) -> Context:
    guard, login = Guard(["127.0.0.1"]), Login(server=home.url, token=token)
    http = service.http(Client(guard), service.fixed(login))
    return Context(http=http, guard=guard, platform=cast(Any, None), credential=login, state={}, idempotency_key="")


@pytest.fixture
async def ctx(home):
    ctx = context(home, home.owner)
    await do(ctx, "turn_off", entity=LAMP)
    await do(ctx, "call_service", service="input_number.set_value", entity=TEMPERATURE, data={"value": 20})
    return ctx


async def do(ctx: Context, name: str, **params: Any) -> Any:
    reaction = service.reactions[name]
    return await reaction.function(ctx, reaction.params(**params))


async def listeners(ctx: Context) -> int:
    """How many hear all events, as streams do."""
    rows = await ctx.http.get("/api/events")
    return sum(row["listener_count"] for row in rows if row["event"] == "*")


@asynccontextmanager
async def hearing(ctx: Context, name: str, **params: Any):
    """The events of an action, from when its stream is open."""
    action = service.actions[name]
    events: asyncio.Queue[Event[Any]] = asyncio.Queue()

    async def hear() -> None:
        async for event in action.function(ctx, action.params(**params)):
            events.put_nowait(event)

    before = await listeners(ctx)
    task = asyncio.create_task(hear())
    while await listeners(ctx) == before:
        assert not task.done(), task
        await asyncio.sleep(0.02)
    try:
        yield lambda: asyncio.wait_for(events.get(), 20)
        await asyncio.sleep(0.2)
        assert events.empty(), "nothing more happened"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_state_changes(ctx):
    async with hearing(ctx, "state_changed", entity=LAMP, to="on") as event:
        await do(ctx, "turn_on", entity=LAMP)
        told = (await event()).data
        assert (told.state, told.before, told.name) == ("on", "off", "Lamp")
        await do(ctx, "turn_off", entity=LAMP)


async def test_a_number_passes_a_threshold(ctx):
    async with hearing(ctx, "threshold_passed", entity=TEMPERATURE, direction="above", value=25) as event:
        for value in (24, 26, 27):
            await do(ctx, "call_service", service="input_number.set_value", entity=TEMPERATURE, data={"value": value})
        assert float((await event()).data.state) == 26


async def test_being_away_for_a_while_is_ignored(ctx):
    outside = "sensor.outside"
    async with (
        hearing(ctx, "state_changed", entity=outside) as every,
        hearing(ctx, "state_changed", entity=outside, ignore_unavailable=True) as steady,
    ):
        await do(ctx, "turn_on", entity=LAMP)
        assert (await every()).data.state == "unavailable"
        await do(ctx, "turn_off", entity=LAMP)
        assert float((await every()).data.state) == 20
        await do(ctx, "call_service", service="input_number.set_value", entity=TEMPERATURE, data={"value": 30})
        assert float((await every()).data.state) == 30
        told = (await steady()).data
        assert (float(told.before), float(told.state)) == (20, 30)


async def test_an_attribute_changes(ctx):
    async with hearing(ctx, "attribute_changed", entity="weather.home", attribute="temperature") as event:
        await do(ctx, "call_service", service="input_number.set_value", entity=TEMPERATURE, data={"value": 31})
        told = (await event()).data
        assert (told.value, told.value_before) == (31, 20)


async def test_an_event_is_fired(ctx):
    async with hearing(ctx, "event_fired", event_type="bell") as event:
        await do(ctx, "fire_event", event_type="bell", data={"door": "front {{ 1 }}"})
        assert (await event()).data.data == {"door": "front {{ 1 }}"}


async def test_values_are_no_templates(ctx, home):
    await do(ctx, "notify", message="{{ states('sensor.outside') }} 50 {% off \"é\"\\", notifier="notes")
    assert home.notes.splitlines()[-1] == "{{ states('sensor.outside') }} 50 {% off \"é\"\\"


async def test_what_is_not_there_is_not_switched(ctx):
    with pytest.raises(Permanent, match=r"no entity light\.none"):
        await do(ctx, "turn_on", entity="light.none")
    called = await do(ctx, "call_service", service="input_boolean.toggle", entity=LAMP)
    assert (called.changed[0], called.answer) == (LAMP, {})
    with pytest.raises(Permanent, match="returned 400"):
        await do(ctx, "call_service", service="input_boolean.explode", entity=LAMP)


async def test_a_service_that_only_answers(ctx):
    """This version can't answer over its REST API."""
    with pytest.raises(Permanent, match="only answers"):
        await do(ctx, "call_service", service="weather.get_forecasts", entity="weather.home", data={"type": "daily"})


async def test_a_token_of_an_ordinary_user(ctx, home):
    guest = context(home, home.guest)
    account = await service.auth.test(guest, guest.credential)  # type: ignore[union-attr]
    assert account.note == ORDINARY
    assert (await service.auth.test(ctx, ctx.credential)).note == ""  # type: ignore[union-attr]
    await do(guest, "turn_on", entity=LAMP)
    with pytest.raises(Permanent, match="not an administrator's"):
        await do(guest, "fire_event", event_type="bell")
    action = service.actions["event_fired"]
    with pytest.raises(Permanent, match="not an administrator's"):
        await anext(action.function(guest, action.params(event_type="bell")))


async def test_a_token_that_is_none(home):
    wrong = context(home, "eyJ0eXAi.wrong.token")
    with pytest.raises(Permanent, match="rejected this token"):
        await service.auth.test(wrong, wrong.credential)  # type: ignore[union-attr]


async def test_what_can_be_chosen(ctx):
    options = {name: {one.value for one in await pick(ctx, {})} for name, pick in service.pickers.items()}
    assert {LAMP, TEMPERATURE, "weather.home"} <= options["entities"]
    assert {"input_boolean.toggle", "weather.get_forecasts"} <= options["services"]
    assert {"notes", "persistent_notification"} <= options["notifiers"]
