"""An MQTT connection (5 and 3.1.1) for asyncio: paho's client on a guarded socket, with manual acknowledgement."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from typing_extensions import override

from area.sdk import AuthExpired, Blocked, ConnectorError, Guard, Permanent, Retry, Sentence, explain, tls_context

TIMEOUT = 30.0
KEEPALIVE = 60  # seconds of silence until a ping is sent, and until it must be answered
TICK = 5.0  # seconds between two looks at that
LASTING = 7 * 86400  # seconds that the broker keeps a session whose client is away
IN_FLIGHT = 50  # messages that the broker may send ahead of our acknowledgements
WAITING = 100  # messages read ahead; then the line is left unread
MAX_PACKET = 16_000_000

_properties: Any = Properties  # paho gives its constructor no types
_LOGIN = {134, 135, 138, 140}  # reasons of CONNACK that mean the login: MQTT 5, §3.2.2.2
_FOR_NOW = {136, 137, 139, 151, 159}
_WRONG_VERSION = 132
_NOT_AUTHORIZED = 135
SUCCESS = ReasonCode(PacketTypes.PUBACK)
NEVER = "area/never/subscribed"


@dataclass(frozen=True)
class Address:
    """The configured broker address."""

    host: str
    port: int
    tls: bool
    version: Literal["5", "3.1.1"]

    @override
    def __str__(self) -> str:
        return Sentence("The MQTT broker %(address)s", address=f"{self.host}:{self.port}")

    def explain(self, error: OSError) -> ConnectorError:
        """Explain a failed connection: the address, the certificate or the network."""
        no_tls = Sentence("doesn't speak TLS on this port. Port 1883 usually works without TLS.")
        return explain(error, str(self), self.host, timeout=TIMEOUT, no_tls=no_tls)

    def refused(self, reason: ReasonCode, login: str) -> ConnectorError:
        """Explain the broker's answer to the log-in."""
        if reason.value in _LOGIN:
            return AuthExpired(
                Sentence("%(server)s rejected the login %(login)s: %(said)s.", server=self, login=login, said=reason)
                if login
                else Sentence("%(server)s requires a login: %(said)s.", server=self, said=reason)
            )
        sentence = Sentence("%(server)s refused the connection: %(said)s.", server=self, said=reason)
        if reason.value == _WRONG_VERSION:
            return Permanent(Sentence("%(error)s Try the other MQTT version.", error=sentence))
        return Retry(sentence) if reason.value in _FOR_NOW else Permanent(sentence)


class CutOff(Retry):
    """The broker broke the connection off instead of answering. MQTT 3.1.1 knows no other way to refuse (§4.8)."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What MQTT 5 lets a message carry beside its payload (§3.3.2.3)."""

    content_type: str = ""
    response_topic: str = ""
    user_properties: tuple[tuple[str, str], ...] = ()


class _Paho(Client):
    """Paho's client on an already connected socket."""

    given: socket.socket | None = None

    @override
    def _create_socket(self) -> socket.socket:
        if self.given is None:
            raise OSError("not connected")
        return self.given


class Line:
    """One connection. `resumed` is whether the broker still had the session."""

    def __init__(self, address: Address, client_id: str, login: str, password: str, *, lasting: bool) -> None:
        self._address, self._login, self._lasting = address, login, lasting
        self._loop = asyncio.get_running_loop()
        self._five = address.version == "5"
        self._client = client = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._five else not lasting,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if login:
            client.username_pw_set(login, password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = lambda _client, _data, mid, reasons, _more: self._on_answer(mid, reasons[0])
        client.on_publish = lambda _client, _data, mid, reason, _more: self._on_answer(mid, reason)
        client.on_unsubscribe = lambda _client, _data, mid, _reasons, _more: self._on_answer(mid, SUCCESS)
        client.on_socket_open = lambda *_: self._watch(self._loop.add_reader, self._read)
        client.on_socket_close = lambda *_: self._watch(self._loop.remove_reader)
        client.on_socket_register_write = lambda *_: self._watch(self._loop.add_writer, self._write)
        client.on_socket_unregister_write = lambda *_: self._watch(self._loop.remove_writer)
        self._connected: asyncio.Future[bool] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}
        self._messages: asyncio.Queue[MQTTMessage | None] = asyncio.Queue()
        self._sock: socket.socket | None = None
        self._paused = False
        self._lost: ConnectorError | None = None
        self._closed = asyncio.Event()
        self._ticks: asyncio.TimerHandle | None = None
        self.resumed = False

    async def connect(self, guard: Guard) -> None:
        """Connect and log in. Raises `Retry`, `Permanent`, or `AuthExpired` if the login is rejected."""
        address, client = self._address, self._client
        try:
            sock = await guard.open_socket(address.host, address.port, TIMEOUT)
        except Blocked as error:
            raise Permanent(str(error)) from error
        try:
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # an acknowledgement would wait 40 ms for company
            if address.tls:
                sock = tls_context().wrap_socket(sock, server_hostname=address.host, do_handshake_on_connect=False)
                async with asyncio.timeout(TIMEOUT):
                    await _shake_hands(sock)
        except ConnectionError as error:
            sock.close()
            raise Retry(
                Sentence(
                    "%(server)s closed the connection during the TLS handshake. Port 1883 usually works without TLS.",
                    server=address,
                )
            ) from error
        except BaseException:
            sock.close()
            raise
        self._sock = client.given = sock
        options: dict[str, Any] = {}
        if self._five:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = LASTING if self._lasting else 0
            properties.ReceiveMaximum = IN_FLIGHT
            properties.MaximumPacketSize = MAX_PACKET
            options = {"clean_start": not self._lasting, "properties": properties}
        client.connect(address.host, address.port, KEEPALIVE, **options)
        self._tick()
        async with asyncio.timeout(TIMEOUT):
            self.resumed = await self._connected

    async def subscribe(self, topic: str, qos: int, *, retained: bool) -> None:
        """Subscribe to a topic; retained messages only on request and, in version 5, not on a session that had it."""
        # https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901169
        options = SubscribeOptions(qos=qos, retainHandling=1 if retained else 2)
        _, mid = self._client.subscribe(topic, options=options) if self._five else self._client.subscribe(topic, qos)
        reason = await self._answer(mid)
        if reason.is_failure:
            raise Permanent(
                Sentence(
                    "%(server)s refused the subscription to %(topic)s: %(said)s.",
                    server=self._address,
                    topic=topic,
                    said=reason,
                )
            )

    async def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, key: str, extras: Extras = Extras()
    ) -> None:
        """Send a message and wait for the broker's acknowledgement; without one, until the broker has read it.

        Raises `CutOff` when the broker breaks the connection off instead, `Permanent` when it says that it may not, or
        when there are `extras` and the version is not 5.
        """
        if not self._five and extras != Extras():
            raise Permanent("A content type, a response topic and user properties need MQTT version 5.")
        properties = self._publishing(extras, key) if self._five else None
        info = self._client.publish(topic, payload, qos, retain, properties)
        try:
            reason = await self._answer(info.mid)
        except TimeoutError:
            raise Retry(
                Sentence(
                    "%(server)s didn't confirm a message on %(topic)s within %(number)s seconds. %(login)s may not be"
                    " allowed to publish there.",
                    server=self._address,
                    topic=topic,
                    number=f"{TIMEOUT:g}",
                    login=self._login or "AREA",
                )
            ) from None
        if reason.is_failure:
            error = Retry if reason.value in _FOR_NOW else Permanent
            raise error(
                Sentence(
                    "%(server)s refused a message on %(topic)s: %(said)s.",
                    server=self._address,
                    topic=topic,
                    said=reason,
                )
            )
        if qos == 0:  # paho calls it published once it is written; this is answered only by a broker that went on
            _, mid = self._client.unsubscribe(NEVER)
            await self._answer(mid)

    def _publishing(self, extras: Extras, key: str) -> Any:
        properties = _properties(PacketTypes.PUBLISH)
        properties.UserProperty = [*extras.user_properties, *([("idempotency-key", key)] if key else [])]
        if extras.content_type:
            properties.ContentType = extras.content_type
        if extras.response_topic:
            properties.ResponseTopic = extras.response_topic
        return properties

    async def messages(self) -> AsyncIterator[MQTTMessage]:
        """Yield messages as they arrive. After a disconnect, yield what had arrived, then raise `Retry`."""
        while message := await self._messages.get():
            yield message
            if self._paused and self._messages.empty() and not self._lost:
                self._paused = False
                self._watch(self._loop.add_reader, self._read)
                self._read()  # what TLS holds back makes no socket readable
        raise self._lost or Retry(Sentence("%(server)s closed the connection.", server=self._address))

    def acknowledge(self, message: MQTTMessage) -> None:
        """Tell the broker not to send the message again."""
        if not self._lost:
            self._client.ack(message.mid, message.qos)

    async def close(self) -> None:
        """Disconnect; a lasting session stays on the broker."""
        if self._ticks:
            self._ticks.cancel()
        if (
            self._connected.done()
            and not self._connected.cancelled()
            and not self._connected.exception()
            and not self._lost
        ):
            self._client.disconnect()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), 2)
        self._drop()

    async def _answer(self, mid: int | None) -> ReasonCode:
        if self._lost or mid is None:
            raise self._lost or Retry(Sentence("%(server)s is not connected.", server=self._address))
        self._answers[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._answers[mid]
        finally:
            del self._answers[mid]

    def _on_connect(self, _client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, _more: Any) -> None:
        if self._connected.done():
            return
        if reason.is_failure:
            self._connected.set_exception(self._address.refused(reason, self._login))
        else:
            self._connected.set_result(bool(flags.session_present))

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _more: Any
    ) -> None:
        with_reason = flags.is_disconnect_packet_from_server
        refused = with_reason and reason.value == _NOT_AUTHORIZED
        error: type[ConnectorError] = Permanent if refused else CutOff
        sentence = Sentence("%(server)s closed the connection.", server=self._address)
        if with_reason:
            sentence = Sentence("%(server)s closed the connection: %(said)s.", server=self._address, said=reason)
        if not self._connected.done():
            sentence = Sentence(
                "%(server)s closed the connection before responding. Port 8883 usually needs TLS, and old brokers need"
                " MQTT version 3.1.1.",
                server=self._address,
            )
            error = Retry
        self._lose(error(sentence))

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            message.topic  # noqa: B018 -- decodes it
        except UnicodeDecodeError:
            client.ack(message.mid, message.qos)  # no topic at all by MQTT's rules
            return
        self._messages.put_nowait(message)
        if self._messages.qsize() >= WAITING and not self._paused:
            self._paused = True
            self._watch(self._loop.remove_reader)

    def _on_answer(self, mid: int, reason: ReasonCode) -> None:
        if (future := self._answers.get(mid)) and not future.done():
            future.set_result(reason)

    def _read(self) -> None:
        sock = self._sock
        try:
            self._client.loop_read()
            while not self._paused and not self._lost and isinstance(sock, ssl.SSLSocket) and sock.pending():
                self._client.loop_read()
        except (OSError, ValueError) as error:  # ValueError: what was sent is no MQTT
            self._lose(Retry(Sentence("%(server)s closed the connection: %(said)s.", server=self._address, said=error)))

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except OSError as error:
            self._lose(self._address.explain(error))

    def _tick(self) -> None:
        """Send a ping when due, and detect one that was not answered."""
        self._client.loop_misc()
        if not self._lost:
            self._ticks = self._loop.call_later(TICK, self._tick)

    def _lose(self, error: ConnectorError) -> None:
        if not self._lost:
            self._lost = error
            if not self._connected.done():
                self._connected.set_exception(error)
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(error)
            self._messages.put_nowait(None)
        self._drop()
        self._closed.set()

    def _drop(self) -> None:
        for change in (self._loop.remove_reader, self._loop.remove_writer):
            self._watch(change)
        if self._sock:
            self._sock.close()

    def _watch(self, change: Callable[..., Any], *callback: Callable[[], None]) -> None:
        """Add or remove a watcher of the socket, unless it is closed."""
        if self._sock and self._sock.fileno() >= 0:
            change(self._sock.fileno(), *callback)


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    """TLS handshake on a non-blocking socket."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
            reads = isinstance(want, ssl.SSLWantReadError)
            add, remove = (loop.add_reader, loop.remove_reader) if reads else (loop.add_writer, loop.remove_writer)
            ready = loop.create_future()
            add(sock.fileno(), ready.cancel)
            try:
                await asyncio.wait([ready])
            finally:
                remove(sock.fileno())
        else:
            return


@asynccontextmanager
async def connected(
    guard: Guard, address: Address, client_id: str, login: str, password: str, *, lasting: bool
) -> AsyncIterator[Line]:
    """A logged-in connection; with a `lasting` session the broker keeps messages while the client is away."""
    line = Line(address, client_id, login, password, lasting=lasting)
    try:
        await line.connect(guard)
        yield line
    except OSError as error:
        raise address.explain(error) from error
    finally:
        await line.close()
