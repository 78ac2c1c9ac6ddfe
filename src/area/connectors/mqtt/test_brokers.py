"""MQTT 3.1.1 against two more brokers: aedes and RabbitMQ."""

import asyncio

import pytest
from tests import peers

from area.connectors.mqtt import Broker, publish, service
from area.connectors.mqtt.test_mqtt import _watched, broker, context, listening  # noqa: F401 -- a fixture
from area.sdk import AuthExpired, Permanent


@pytest.fixture(scope="module", params=["aedes", "rabbitmq"])
def peer(request):
    with getattr(peers, request.param)() as running:
        yield running


@pytest.fixture
def old(peer):
    """Both speak 3.1.1."""
    return {"version": "3.1.1"}


async def say(peer, topic: str, payload: str, **params):
    ctx = context(broker(peer, version="3.1.1"))
    return await publish.function(ctx, publish.params(topic=topic, payload=payload, **params))


async def test_everything_comes_once_and_in_order(peer, old):
    state: dict = {}
    async with listening(peer, "house/+/t", state, **old) as listener:
        for number in range(30):
            await say(peer, f"house/{number % 3}/t", str(number), qos=1)
        events = [await listener.next() for _ in range(30)]
        listener.task = asyncio.ensure_future(anext(listener.generator))  # acknowledges the last
        await asyncio.sleep(0.3)
    assert [event.data.text for event in events] == [str(number) for number in range(30)]
    for number in range(30, 60):  # while it is away
        await say(peer, "house/1/t", str(number), qos=1)
    async with listening(peer, "house/+/t", listener.committed, **old) as listener:
        later = [await listener.next() for _ in range(30)]
        listener.task = asyncio.ensure_future(anext(listener.generator))
        await asyncio.sleep(0.3)
        assert not listener.task.done(), "nothing comes twice"
    assert [event.data.text for event in later] == [str(number) for number in range(30, 60)]
    assert len({event.id for event in [*events, *later]}) == 60


async def test_what_is_retained_fires_once(peer, old):
    state: dict = {}
    await say(peer, "kept", "1", retain=True)
    async with listening(peer, "kept", state, retained=True, **old) as listener:
        assert (await listener.next()).data.text == "1"
        await say(peer, "kept", "2", retain=True)
        assert (await listener.next()).data.text == "2"
        listener.task = asyncio.ensure_future(anext(listener.generator))
        await asyncio.sleep(0.3)
    async with listening(peer, "kept", listener.committed, retained=True, **old) as listener:
        await say(peer, "kept", "3")
        assert (await listener.next()).data.text == "3"


@pytest.mark.parametrize("qos", [0, 1])
async def test_publishing_what_is_forbidden_fails(peer, qos):
    """These brokers can only break the connection off: in 3.1.1 nothing says no."""
    guest = context(broker(peer, login=peer.guest, version="3.1.1"))
    with pytest.raises(Permanent, match="guest publishes on secret"):
        await publish.function(guest, publish.params(topic="secret", payload="x", qos=qos))
    assert (await say(peer, "secret", "x", qos=qos)).size == 1


async def test_a_wrong_password_is_no_login(peer):
    wrong: Broker = broker(peer, version="3.1.1", password="wrong")
    with pytest.raises(AuthExpired, match="rejected the login"):
        await publish.function(context(wrong), publish.params(topic="t", payload="x"))
    assert (await service.auth.test(context(broker(peer, version="3.1.1")), broker(peer, version="3.1.1"))).name == (
        f"{peer.login}@{peer.host}"
    )
