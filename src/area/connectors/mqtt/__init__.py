"""MQTT: receives and publishes messages."""

import base64
import codecs
import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Annotated, Any, Literal
from uuid import uuid4

from paho.mqtt.client import MQTTMessage
from pydantic import AfterValidator, BaseModel, SecretStr

from area.connectors.mqtt.line import IN_FLIGHT, Address, CutOff, Extras, Line, connected
from area.sdk import (
    Account,
    AuthExpired,
    Context,
    Credentials,
    Event,
    Events,
    Output,
    Permanent,
    Sentence,
    Service,
    output,
    param,
)
from area.sdk.decoding import parse_json
from area.sdk.shapes import JSON, Shape, segments

MAX_PAYLOAD = 1_000_000  # bytes
MAX_DEPTH = 100  # levels of nested JSON
REMEMBERED = 2 * IN_FLIGHT  # messages: more than a broker may offer a second time
LAST = 200  # topics whose last message is remembered, if retained ones are wanted


def _topic(text: str) -> str:
    """Validate what topic names and filters share: MQTT 5, §4.7."""
    if not text or "\0" in text or len(text.encode("utf-8", "replace")) > 65535:
        raise ValueError("A topic has 1 to 65,535 bytes and no NUL character.")
    return text


def _topic_filter(text: str) -> str:
    levels = _topic(text).split("/")
    if any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]:
        raise ValueError("# must be the last level, on its own, as in home/#.")
    if any("+" in level and level != "+" for level in levels):
        raise ValueError("+ must be a whole level, as in home/+/temperature.")
    return text


def _topic_name(text: str) -> str:
    if "+" in _topic(text) or "#" in text:
        raise ValueError("Wildcards (+ and #) can't be used when publishing.")
    return text


class Broker(BaseModel):
    """An MQTT broker and its credentials."""

    host: str = param("Host name or IP address of the broker", "mqtt.example.org", min_length=1)
    port: int = param("Port: 8883 with tls, 1883 without", 8883, default=8883, ge=1, le=65535)
    security: Literal["tls", "none"] = param(
        "Encryption; with none, the password is sent unencrypted", "tls", default="tls"
    )
    version: Literal["5", "3.1.1"] = param("MQTT version; 3.1.1 for older brokers", "5", default="5")
    login: str = param("Username, if the broker needs one", "ann", default="")
    password: SecretStr | None = param("Password", "correct horse", default=None)
    client_id_prefix: str = param(
        "Prefix of AREA's client IDs", "area", default="area", pattern=r"^[0-9A-Za-z_-]{1,32}$"
    )

    def new_id(self) -> str:
        """A unique client ID, at most 23 characters for old brokers."""
        return f"{self.client_id_prefix}-{uuid4().hex[:16]}"

    def connected(
        self, ctx: Context, client_id: str = "", *, lasting: bool = False
    ) -> AbstractAsyncContextManager[Line]:
        """A logged-in connection."""
        address = Address(self.host, self.port, self.security == "tls", self.version)
        password = self.password.get_secret_value() if self.password else ""
        return connected(ctx.guard, address, client_id or self.new_id(), self.login, password, lasting=lasting)


class Message(Output):
    topic: str = output("topic", "Topic", "home/kitchen/temperature")
    parts: list[str] = output("parts", "Topic levels", ["home", "kitchen", "temperature"])
    payload: Any = output("payload", "Payload: parsed if it is JSON, else text", {"celsius": 21.5})
    text: str = output("text", "Payload as text; base64 if it is binary", '{"celsius": 21.5}')
    binary: bool = output("binary", "Whether the payload is binary", False)
    size: int = output("size", "Size in bytes", 17)
    truncated: bool = output("truncated", "Whether it was over a million bytes and was shortened", False)
    qos: int = output("qos", "Quality of service", 1)
    retain: bool = output("retain", "Whether it was a retained message", False)
    content_type: str = output("content_type", "Content type of the payload (MQTT 5)", "application/json", "")
    response_topic: str = output("response_topic", "Topic for the response (MQTT 5)", "home/kitchen/answers", "")
    user_properties: dict[str, str] = output("user_properties", "User properties (MQTT 5)", {"source": "kitchen"}, {})


class Published(Output):
    topic: str = output("topic", "Topic", "home/kitchen/light/set")
    size: int = output("size", "Size in bytes", 15)


WATCHED = param("Topic; + matches one level, # at the end matches the rest", "home/+/temperature")
Watched = Annotated[str, AfterValidator(_topic_filter), WATCHED]
LEVELS = Shape(place=segments("/", "a topic"))  # MQTT 5, §4.7.1.1
Topic = Annotated[str, AfterValidator(_topic_name), param("Topic", "home/kitchen/light/set", shape=LEVELS)]
Answers = Annotated[
    str, AfterValidator(lambda text: text and _topic_name(text)),
    param("Topic for responses (MQTT 5)", "home/kitchen/answers", shape=LEVELS),
]  # fmt: skip
ContentType = Annotated[str, param("Content type of the payload (MQTT 5)", "application/json")]
Payload = str | dict[str, Any] | list[Any] | bool | int | float | None
GIVEN = param("Payload: text is sent as is, anything else as JSON", '{"state": "on"}', shape=JSON)
KEPT = param("Include messages the broker retained before the AREA was switched on", False)


async def try_broker(ctx: Context, broker: Broker) -> Account:
    """Log in and out."""
    try:
        async with broker.connected(ctx):
            pass
    except AuthExpired as error:
        raise Permanent(str(error)) from error
    name = f"{broker.login}@{broker.host}" if broker.login else broker.host
    return Account(name, name)


service = Service(
    "mqtt",
    "MQTT",
    "Receive and publish messages on an MQTT broker.",
    docs="https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html",
    auth=Credentials(Broker, try_broker),
    quality="verified",
    synonyms={
        "": "IoT, sensor, Zigbee, Tasmota, ESP32, broker, smart home",
        "message_received": "topic, sensor value, Zigbee button, subscribe",
        "publish": "send to a device, command",
    },
)


@service.listen("New message on a topic")
async def message_received(
    ctx: Context,
    topic: Watched,
    qos: Annotated[
        int, param("1: every message runs exactly once; 0: messages may be lost or repeated", 1, ge=0, le=1)
    ] = 1,
    *,
    retained: Annotated[bool, KEPT] = False,
) -> Events[Message]:
    """Triggers for each message on a topic, including those published while AREA was down.

    The broker keeps the session (seven days with MQTT 5), and each message is acknowledged once its run is stored.
    """
    broker: Broker = ctx.credential
    if "client_id" not in ctx.state:
        ctx.state["client_id"] = broker.new_id()
        await ctx.save()  # the broker keeps what comes for this name
    async with broker.connected(ctx, ctx.state["client_id"], lasting=True) as line:
        if not line.resumed or "session" not in ctx.state:  # the broker begins to count anew, so do we
            ctx.state.update(session=uuid4().hex[:12], count=0, recent=[], subscribed=False)
            await ctx.save()
        if not (retained and broker.version == "3.1.1" and line.resumed and ctx.state.get("subscribed")):
            await line.subscribe(topic, qos, retained=retained)
            if retained:  # 3.1.1 offers what is retained at each subscription, and the session keeps this one
                ctx.state["subscribed"] = True
                await ctx.save()
        async for message in line.messages():
            if retained and not (message.retain and _is_last(ctx.state, message)):
                _remember(ctx.state, message)
                yield Event(id=_event_id(ctx.state, message), data=_read(message))
            elif not retained and not message.retain:
                yield Event(id=_event_id(ctx.state, message), data=_read(message))
            line.acknowledge(message)


@service.reaction("Publish a message", idempotent="key")
async def publish(
    ctx: Context,
    topic: Topic,
    payload: Annotated[Payload, GIVEN] = "",
    qos: Annotated[int, param("1: wait for the broker to confirm; 0: don't wait", 1, ge=0, le=1)] = 1,
    *,
    retain: Annotated[bool, param("Retain it for later subscribers", False)] = False,
    content_type: ContentType = "",
    response_topic: Answers = "",
    user_properties: Annotated[
        Mapping[str, str], param("User properties (MQTT 5)", {"source": "area"}, shape=JSON)
    ] = {},
) -> Published:
    """Publish a message and wait for the broker to confirm it.

    MQTT 5 brokers also get the run's idempotency key, as the user property `idempotency-key`.
    """
    broker: Broker = ctx.credential
    text = payload if isinstance(payload, str) else "" if payload is None else json.dumps(payload, ensure_ascii=False)
    content = text.encode("utf-8", "replace")
    extras = Extras(content_type, response_topic, tuple(user_properties.items()))

    async def send() -> None:
        async with broker.connected(ctx) as line:
            await line.publish(topic, content, qos, retain=retain, key=ctx.idempotency_key, extras=extras)

    try:
        await send()
    except CutOff:  # by chance, or because it may not: then it will be again
        try:
            await send()
        except CutOff as error:
            raise Permanent(
                Sentence(
                    "%(error)s This happens each time %(login)s publishes on %(topic)s. It may not be allowed to, or"
                    " the message may be too large.",
                    error=error,
                    login=broker.login or "AREA",
                    topic=topic,
                )
            ) from error
    return Published(topic=topic, size=len(content))


def _place(message: MQTTMessage) -> str:
    return hashlib.sha256(message.topic.encode()).hexdigest()[:16]


def _remember(state: dict[str, Any], message: MQTTMessage) -> None:
    """Keep what came last on a topic: it may be what the broker retains."""
    last: dict[str, str] = state.get("last", {})
    last.pop(_place(message), None)
    state["last"] = {**dict([*last.items()][1 - LAST :]), _place(message): _content(message)}


def _is_last(state: dict[str, Any], message: MQTTMessage) -> bool:
    """Whether this is what came last on its topic."""
    return bool(state.get("last", {}).get(_place(message)) == _content(message))


def _content(message: MQTTMessage) -> str:
    return hashlib.sha256(message.topic.encode() + b"\0" + message.payload).hexdigest()[:16]


def _event_id(state: dict[str, Any], message: MQTTMessage) -> str:
    """An event ID that stays the same when the broker redelivers the message.

    MQTT has none: packet IDs are reused. So messages are numbered as they arrive, and the last numbers are kept with
    packet ID and content. A redelivery (flagged, with the same packet ID) gets the same number.
    """
    content = _content(message)
    if message.retain:
        return f"retained:{content}"  # offered at each subscription anew
    if message.qos == 0:
        return uuid4().hex  # offered only once
    recent: list[list[Any]] = state["recent"]
    if message.dup:
        for mid, number, known in reversed(recent):
            if (mid, known) == (message.mid, content):
                return f"{state['session']}:{number}"
    state["count"] += 1
    others = [one for one in recent if one[0] != message.mid]
    state["recent"] = [*others[1 - REMEMBERED :], [message.mid, state["count"], content]]
    return f"{state['session']}:{state['count']}"


def _read(message: MQTTMessage) -> Message:
    content = message.payload[:MAX_PAYLOAD]
    truncated = len(content) < len(message.payload)
    properties = message.properties  # None in 3.1.1
    payload: Any
    try:
        # a character cut in two at the end is no sign of binary content; a NUL at the end is C's
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=not truncated).replace("\0", "")
        payload, binary = text, False
    except UnicodeDecodeError:
        payload = text = base64.b64encode(content).decode()
        binary = True
    if not binary and not truncated:
        with suppress(ValueError):
            payload = _storable(parse_json(text))
    return Message(
        topic=message.topic,
        parts=message.topic.split("/"),
        payload=payload,
        text=text,
        binary=binary,
        size=len(message.payload),
        truncated=truncated,
        qos=message.qos,
        retain=message.retain,
        content_type=_storable(getattr(properties, "ContentType", "")),
        response_topic=_storable(getattr(properties, "ResponseTopic", "")),
        user_properties=_storable(dict(getattr(properties, "UserProperty", ()))),
    )


def _storable(value: Any, depth: int = 0) -> Any:
    """JSON without NUL, which PostgreSQL rejects. Raises `ValueError` if it is nested too deep."""
    if depth > MAX_DEPTH:
        raise ValueError
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key.replace("\0", ""): _storable(item, depth + 1) for key, item in value.items()}
    return value
