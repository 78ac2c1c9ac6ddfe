"""MQTT against Mosquitto: nothing lost, nothing duplicated, and error messages."""

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from pydantic import ValidationError
from tests import peers
from tests.ports import free_port

from area.connectors.mqtt import (
    MAX_PAYLOAD,
    Broker,
    Message,
    line,
    message_received,
    publish,
    service,
    try_broker,
)
from area.kit.http import Client
from area.sdk import AuthExpired, Context, Guard, Http, Permanent, Retry, tls_context

ALLOWED = ("127.0.0.1", "localhost")
VERSIONS = ("5", "3.1.1")


@pytest.fixture(scope="module")
def peer():
    with peers.mosquitto() as running:
        yield running


listened: list[line.Line] = []


@pytest.fixture(autouse=True)
def _watched(monkeypatch):
    """Trusts nobody at first, and notes each line that listens: whose subscription the broker has confirmed."""
    messages = line.Line.messages

    def noting(self):
        listened.append(self)
        return messages(self)

    monkeypatch.setattr(line.Line, "messages", noting)
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


def broker(peer, **changes) -> Broker:
    given = {
        "host": peer.host, "port": peer.port, "security": "none", "login": peer.login, "password": peer.password,
    }  # fmt: skip
    return Broker(**given | changes)


def context(credential: Broker, state: dict[str, Any] | None = None, *, key: str = "", allow=ALLOWED) -> Context:
    guard = Guard(allow)
    return Context(
        http=Http(Client(guard)),
        guard=guard,
        platform=cast(Any, None),
        credential=credential,
        state={} if state is None else state,
        idempotency_key=key,
    )


async def send(peer, topic: str, payload: Any, **changes: Any):
    return await publish.function(context(broker(peer)), publish.params(topic=topic, payload=payload, **changes))


class Listener:
    """The generator as the engine runs it: `committed` is the state that would survive a crash."""

    def __init__(self, ctx: Context, **params: Any) -> None:
        self.ctx = ctx
        self.generator = message_received.function(ctx, message_received.params(**params))
        self.task: asyncio.Task[Any] | None = None
        self.committed = ctx.state

    async def ready(self) -> None:
        """Run it until it listens."""
        before = len(listened)
        self.task = asyncio.ensure_future(anext(self.generator))
        async with asyncio.timeout(30):
            while len(listened) == before:
                assert not self.task.done(), self.task
                await asyncio.sleep(0.005)

    async def next(self, seconds: float = 30):
        """The next event, committed."""
        task, self.task = self.task or asyncio.ensure_future(anext(self.generator)), None
        async with asyncio.timeout(seconds):
            event = await task
        self.committed = orjson.loads(orjson.dumps(self.ctx.state))
        return event

    async def stop(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.wait([self.task])
        await self.generator.aclose()


@asynccontextmanager
async def listening(peer, topic: str, state: dict[str, Any] | None = None, **params: Any):
    changes = {key: params.pop(key) for key in ("version", "port", "security", "login") if key in params}
    listener = Listener(context(broker(peer, **changes), state), topic=topic, **params)
    try:
        await listener.ready()
        yield listener
    finally:
        await listener.stop()


# receiving


@pytest.mark.parametrize("version", VERSIONS)
async def test_round_trip_through_wildcards(peer, version):
    async with listening(peer, f"trip{version}/+/temperature/#", version=version) as listener:
        await send(peer, f"trip{version}/kitchen/humidity", "no")
        await send(peer, f"trip{version}/kitchen/temperature", {"celsius": 21.5, "ok": True})
        event = await listener.next()
    message = event.data
    assert message.topic == f"trip{version}/kitchen/temperature"
    assert message.parts == [f"trip{version}", "kitchen", "temperature"]
    assert message.payload == {"celsius": 21.5, "ok": True}
    assert orjson.loads(message.text) == message.payload
    assert (message.qos, message.retain, message.binary, message.truncated) == (1, False, False, False)


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_not_committed_is_offered_again_under_the_same_id(peer, version):
    topic = f"crash{version}"
    async with listening(peer, topic, version=version) as listener:
        await send(peer, topic, "0")
        await listener.next()
        before = listener.committed
        await send(peer, topic, "1")
        await send(peer, topic, "2")
        first = await listener.next()
        after = listener.committed  # closed after the yield, without asking for more: no acknowledgement
    async with listening(peer, topic, dict(after), version=version) as again:  # the crash came after the commit
        event = await again.next()
        assert (event.id, event.data.text) == (first.id, "1")
    async with listening(peer, topic, dict(before), version=version) as again:  # or before it
        event = await again.next()
        assert (event.id, event.data.text) == (first.id, "1")
        second = await again.next()
        assert second.data.text == "2"
        assert second.id != first.id
        third = asyncio.ensure_future(anext(again.generator))
        await asyncio.sleep(0.2)
        assert not third.done(), "acknowledged for good"
        third.cancel()
        await asyncio.wait([third])


async def test_the_same_message_sent_twice_fires_twice(peer):
    async with listening(peer, "same") as listener:
        for _ in range(5):
            await send(peer, "same", "on")
        ids = [(await listener.next()).id for _ in range(5)]
    assert len(set(ids)) == 5


async def test_packet_ids_that_are_used_again_are_new_messages(peer):
    """Brokers may use a free packet id at once; Mosquitto counts to 65,535 first, so this is told to `_event_id`
    itself.
    """
    from area.connectors.mqtt import _event_id

    def offered(mid: int, payload: bytes, *, dup: bool = False):
        message = line.MQTTMessage(mid=mid, topic=b"t")
        message.payload, message.qos, message.dup = payload, 1, dup
        return message

    state: dict[str, Any] = {"session": "s", "count": 0, "recent": []}
    assert [_event_id(state, offered(1, b"on")) for _ in range(3)] == ["s:1", "s:2", "s:3"]
    assert _event_id(state, offered(1, b"on", dup=True)) == "s:3"
    assert _event_id(state, offered(1, b"off", dup=True)) == "s:4", "its first delivery was lost on the way"
    assert _event_id(state, offered(2, b"on", dup=True)) == "s:5", "so was this one's"
    for mid in range(10, 1010):
        _event_id(state, offered(mid, b"on"))
    assert _event_id(state, offered(1009, b"on", dup=True)) == "s:1005"
    assert len(orjson.dumps(state)) < 5000
    zero = offered(0, b"on")
    zero.qos = 0
    assert _event_id(state, zero) != _event_id(state, zero)


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_came_while_it_was_away_is_caught_up(peer, version):
    topic = f"away{version}"
    state: dict[str, Any] = {}
    async with listening(peer, topic, state, version=version) as listener:
        await send(peer, topic, "0")
        await listener.next()
        listener.task = asyncio.ensure_future(anext(listener.generator))  # acknowledges it
        await asyncio.sleep(0.1)
    for number in range(1, 31):
        await send(peer, topic, str(number))
    async with listening(peer, topic, orjson.loads(orjson.dumps(state)), version=version) as listener:
        events = [await listener.next() for _ in range(30)]
    assert [event.data.text for event in events] == [str(number) for number in range(1, 31)]
    assert len({event.id for event in events}) == 30


async def test_many_more_than_the_broker_may_send_ahead_arrive_in_order(peer, monkeypatch):
    monkeypatch.setattr(line, "WAITING", 5)  # so that the line is left unread, and read again
    async with listening(peer, "flood/#") as listener:
        async with broker(peer).connected(listener.ctx) as other:
            for number in range(300):
                await other.publish(f"flood/{number}", b"x", 1, retain=False, key="")
        assert [(await listener.next()).data.parts[1] for _ in range(300)] == [str(number) for number in range(300)]


async def test_a_broken_line_is_to_be_retried_and_nothing_is_lost_or_doubled(peer):
    state: dict[str, Any] = {}
    ids = []
    async with peers.relay(peer.port) as relay:
        async with listening(peer, "line", state, port=relay.port) as listener:
            await send(peer, "line", "1")
            await send(peer, "line", "2")
            ids.append((await listener.next()).id)
            await asyncio.sleep(0.2)
            relay.cut()
            await asyncio.sleep(0.1)
            ids.append((await listener.next()).id)  # what had arrived still comes
            with pytest.raises(Retry, match=f"The MQTT broker 127.0.0.1:{relay.port} closed the connection"):
                await listener.next()
        async with listening(peer, "line", state, port=relay.port) as listener:
            await send(peer, "line", "3")
            events = [await listener.next() for _ in range(3)]
    assert [event.data.text for event in events] == ["1", "2", "3"], "no acknowledgement had come through"
    assert [event.id for event in events][:2] == ids


async def test_a_line_that_went_dead_is_noticed(peer, monkeypatch):
    monkeypatch.setattr(line, "KEEPALIVE", 1)
    monkeypatch.setattr(line, "TICK", 0.1)
    async with peers.relay(peer.port) as relay, listening(peer, "dead", port=relay.port) as listener:
        relay.dead = True
        with pytest.raises(Retry, match="closed the connection"):
            await listener.next()


async def test_a_broker_that_restarts_keeps_the_session_or_begins_a_new_one():
    with peers.mosquitto() as own:
        state: dict[str, Any] = {}
        async with listening(own, "again", state) as listener:
            await send(own, "again", "1")
            first = await listener.next()
            listener.task = asyncio.ensure_future(anext(listener.generator))
            await asyncio.sleep(0.3)  # for the acknowledgement
            own.stop()
            with pytest.raises(Retry):
                await listener.next()
        own.start()
        await send(own, "again", "2")
        async with listening(own, "again", state) as listener:
            second = await listener.next()
            assert second.data.text == "2"
            assert second.id.split(":")[0] == first.id.split(":")[0]
        own.stop()
        own.forget()
        own.start()
        async with listening(own, "again", state) as listener:
            await send(own, "again", "3")
            third = await listener.next()
            assert third.data.text == "3"
            assert third.id.split(":")[0] != first.id.split(":")[0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_retained_messages_are_the_past_unless_asked_for(peer, version):
    topic = f"kept{version}"
    await send(peer, topic, "old", retain=True)
    state: dict[str, Any] = {}
    async with listening(peer, topic, version=version) as without:
        async with listening(peer, topic, state, version=version, retained=True) as listener:
            event = await listener.next()
            assert (event.data.text, event.data.retain) == ("old", True)
            await send(peer, topic, "new", retain=True)
            assert (await listener.next()).data.text == "new"
            listener.task = asyncio.ensure_future(anext(listener.generator))
            await asyncio.sleep(0.1)
        assert (await without.next()).data.text == "new"
    async with listening(peer, topic, state, version=version, retained=True) as listener:
        await send(peer, topic, "live")
        assert (await listener.next()).data.text == "live"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_retained_message_fires_once_whatever_happens(version):
    """Live, after a restart, when it came meanwhile, and when the broker has lost the session."""
    topic, state = "house/state", {}
    with peers.mosquitto() as own:

        @asynccontextmanager
        async def again():
            async with listening(own, topic, state, version=version, retained=True) as listener:
                yield listener
                listener.task = listener.task or asyncio.ensure_future(anext(listener.generator))
                await asyncio.sleep(0.2)  # for the acknowledgement
                assert not listener.task.done(), "something fired twice"
            state.update(listener.committed)

        async with again() as listener:
            await send(own, topic, "live", retain=True)
            assert (await listener.next()).data.text == "live"
        async with again():
            pass
        await send(own, topic, "meanwhile", retain=True)
        async with again() as listener:
            assert (await listener.next()).data.text == "meanwhile"
        own.stop()
        own.forget()
        own.start()
        await send(own, topic, "meanwhile", retain=True)
        async with again():
            pass
        await send(own, topic, "new", retain=True)
        async with again() as listener:
            assert (await listener.next()).data.text == "new"


async def test_what_only_version_5_carries(peer):
    async with listening(peer, "five") as listener:
        ctx = context(broker(peer), key="execution-7")
        extras = {"content_type": "text/plain", "response_topic": "answers/1", "user_properties": {"a": "é"}}
        for _ in range(2):  # a second attempt says that it is one
            await publish.function(ctx, publish.params(topic="five", payload="x", **extras))
            data = (await listener.next()).data
            assert (data.content_type, data.response_topic) == ("text/plain", "answers/1")
            assert data.user_properties == {"a": "é", "idempotency-key": "execution-7"}
        await send(peer, "five", "y")
        assert (await listener.next()).data.content_type == ""
    old = context(broker(peer, version="3.1.1"))
    for name, value in extras.items():
        with pytest.raises(Permanent, match="need MQTT version 5"):
            await publish.function(old, publish.params(topic="five", payload="x", **{name: value}))
    with pytest.raises(ValidationError, match="when publishing"):
        publish.params(topic="five", response_topic="a/#")


async def test_payloads_of_every_kind(peer):
    async with listening(peer, "kinds") as listener, broker(peer).connected(listener.ctx) as other:

        async def seen(payload: bytes) -> Message:
            await other.publish("kinds", payload, 1, retain=False, key="")
            data = (await listener.next()).data
            assert isinstance(data, Message)
            assert "\0" not in data.text
            assert "\\u0000" not in orjson.dumps(data.payload).decode()
            return data

        assert (await seen(b"")).payload == ""
        assert (await seen(b"21.5")).payload == 21.5
        assert (await seen(b"21.5\0")).payload == 21.5
        assert (await seen("Grüße".encode())).payload == "Grüße"
        assert (await seen(b'{"a\\u0000": ["\\u0000b"]}')).payload == {"a": ["b"]}
        assert (await seen(b"NaN")).payload == "NaN"
        assert isinstance((await seen(b"[" * 500 + b"]" * 500)).payload, str), "nested too deep"
        binary = await seen(b"\xff\xfe\0\x01")
        assert (binary.binary, binary.text, binary.payload, binary.size) == (True, "//4AAQ==", "//4AAQ==", 4)
        large = await seen("é".encode() * MAX_PAYLOAD)
        assert (large.truncated, large.binary, large.size) == (True, False, 2 * MAX_PAYLOAD)
        assert large.text == "é" * (MAX_PAYLOAD // 2)
        odd = await seen(b"x" + "é".encode() * MAX_PAYLOAD)
        assert (odd.truncated, odd.binary) == (True, False)


async def test_stopping_is_prompt_wherever_it_is(peer, monkeypatch):
    monkeypatch.setattr(line, "TIMEOUT", 600.0)  # a stop that waited for the broker would take as long, and be ended
    async with listening(peer, "stop"):
        pass
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        for security in ("none", "tls"):
            ctx = context(broker(peer, port=silent.getsockname()[1], security=security))
            task = asyncio.ensure_future(anext(message_received.function(ctx, message_received.params(topic="t"))))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("topic", ["", "a/#/b", "a#", "a/b+", "+a", "a\0b", "x" * 70_000])
def test_filters_that_are_none(topic):
    with pytest.raises(ValidationError):
        message_received.params(topic=topic)


def test_filters_that_are_some():
    for topic in ("#", "+", "a/+/b/#", "/", "$SYS/broker/#", "$share/group/a"):
        assert message_received.params(topic=topic, qos="1").topic == topic
    for topic in ("a/+", "#"):
        with pytest.raises(ValidationError, match="when publishing"):
            publish.params(topic=topic)


# publishing


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ("on", b"on"),
        ("", b""),
        (None, b""),
        ({"a": "é"}, '{"a": "é"}'.encode()),
        ([1, 2.5], b"[1, 2.5]"),
        (True, b"true"),
        (7, b"7"),
    ],
)
async def test_what_is_published(peer, payload, sent):
    async with listening(peer, "pub") as listener:
        result = await send(peer, "pub", payload)
        assert (result.topic, result.size) == ("pub", len(sent))
        assert (await listener.next()).data.text == sent.decode()


@pytest.mark.parametrize("version", VERSIONS)
async def test_publishing_without_promise_and_with_a_key(peer, version):
    async with listening(peer, "zero", qos=0) as listener:
        ctx = context(broker(peer, version=version), key="execution-7")
        await publish.function(ctx, publish.params(topic="zero", payload="x", qos=0))
        event = await listener.next()
        assert event.data.qos == 0


async def test_what_the_broker_forbids_is_said(peer):
    guest = context(broker(peer, login=peer.guest))
    with pytest.raises(Permanent, match="refused a message on secret: Not authorized"):
        await publish.function(guest, publish.params(topic="secret", payload="x"))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_login_asks_for_a_new_connection(peer, version):
    nobody = {"login": "", "password": None}
    for changes, said in (({"password": "wrong"}, "rejected the login"), (nobody, "requires a login")):
        ctx = context(broker(peer, version=version, **changes))
        with pytest.raises(AuthExpired, match=said):
            await publish.function(ctx, publish.params(topic="t", payload="x"))
        with pytest.raises(AuthExpired, match=said):
            await anext(message_received.function(ctx, message_received.params(topic="t")))
        with pytest.raises(Permanent, match=said):
            await try_broker(ctx, ctx.credential)


async def test_certificates(peer, monkeypatch):
    with pytest.raises(Permanent, match=r"can't be trusted: self[- ]signed certificate"):
        await try_broker(context(broker(peer)), broker(peer, security="tls", port=peer.tls_port))
    monkeypatch.setenv("SSL_CERT_FILE", str(peer.ca))
    tls_context.cache_clear()
    for host in ("127.0.0.1", "localhost"):
        await try_broker(context(broker(peer)), broker(peer, security="tls", port=peer.tls_port, host=host))
    async with listening(peer, "tls", security="tls", port=peer.tls_port) as listener:
        for number in range(100):
            await send(peer, "tls", "x" * 50_000 + str(number))
        for number in range(100):
            assert (await listener.next()).data.text.endswith(f"x{number}")
    with peers.mosquitto(names=["other.example"]) as wrong:
        monkeypatch.setenv("SSL_CERT_FILE", str(wrong.ca))
        tls_context.cache_clear()
        with pytest.raises(Permanent, match="not valid for 'localhost'"):
            await try_broker(
                context(broker(wrong)), broker(wrong, security="tls", port=wrong.tls_port, host="localhost")
            )
    with peers.mosquitto(days=-1) as expired:
        monkeypatch.setenv("SSL_CERT_FILE", str(expired.ca))
        tls_context.cache_clear()
        with pytest.raises(Retry, match="certificate has expired"):
            await try_broker(context(broker(expired)), broker(expired, security="tls", port=expired.tls_port))


async def test_addresses_that_are_wrong(peer, monkeypatch):
    async def said(credential: Broker, allow=ALLOWED) -> str:
        with pytest.raises((Permanent, Retry)) as caught:
            await try_broker(context(credential, allow=allow), credential)
        return str(caught.value)

    assert "refuses connections" in await said(broker(peer, port=free_port()))
    assert "127.0.0.1 is refused" in await said(broker(peer), allow=())
    assert "can't be found" in await said(broker(peer, host="no-such-host.invalid"))
    assert "closed the connection during the TLS handshake" in await said(broker(peer, security="tls"))
    assert "Port 8883 usually needs TLS" in await said(broker(peer, port=peer.tls_port))
    monkeypatch.setattr(line, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for security in ("none", "tls"):
            broken = broker(peer, port=silent.getsockname()[1], security=security)
            assert "did not respond within 0.2 seconds" in await said(broken)


async def test_a_peer_that_speaks_something_else(peer):
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\xff" * 1000)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        other = broker(peer, port=server.sockets[0].getsockname()[1])
        with pytest.raises(Retry, match="closed the connection"):
            await try_broker(context(other), other)


def test_the_sample_is_a_message():
    sample = orjson.loads((Path(__file__).parent / "fixtures" / "message_received.json").read_bytes())
    assert Message.model_validate(sample["data"]).payload == {"celsius": 21.5}
    assert service.actions["message_received"].returns is Message
