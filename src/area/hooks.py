"""POST /hooks/{token}: verify, hand to intake, answer once it is committed. Plain ASGI, for it is the hot path.

POST /webhooks/{service}: verify, have what is polled for the accounts that it names asked at once. POST /hints/{token}: likewise,
one source that a vendor was asked to tell of.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog

from area import providers
from area.connections import keys_of
from area.engine import access, hints, metrics, nudges
from area.engine.away import is_away
from area.engine.cache import Cache, Loaded
from area.engine.intake import BULK, NORMAL, Intake, Offer
from area.engine.state import State
from area.kit.clock import now
from area.kit.crypto import hash_token
from area.kit.text import dump_model
from area.sdk import AuthExpired, ConnectorError, Headers, Inbound, Nothing, Refused, Reply, Request, Retry, Service

log = structlog.get_logger()

MAX_BODY = 1_000_000  # bytes
MOST_READ = 10_000_000  # of a body that is too large: a sender that is still sending would not see the answer
BURST = 5  # seconds' worth of requests that an address takes at once
FLOOD_RATE = 200.0  # events a second of one user; what comes faster waits behind other users' events
FLOOD_BURST = 300.0
REMEMBERED = 20_000  # buckets
RETRY_AFTER = timedelta(seconds=30)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, list[tuple[bytes, bytes]]]


class BodyTooLarge(Exception):
    """More than `MAX_BODY`."""


class BodyCutOff(Exception):
    """The sender went away before the end of the body."""


@dataclass(slots=True)
class Bucket:
    """A token bucket."""

    level: float
    at: float

    def take(self, rate: float, burst: float) -> bool:
        """Whether one more fits."""
        moment = time.monotonic()
        self.level = min(burst, self.level + (moment - self.at) * rate)
        self.at = moment
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass
class Hooks:
    """The ASGI application for `/hooks/…`, `/hints/…` and `/webhooks/…`."""

    state: State
    cache: Cache
    intake: Intake
    _addresses: dict[int, Bucket] = field(default_factory=dict)
    _sources: dict[int, Bucket] = field(default_factory=dict)
    _users: dict[int, Bucket] = field(default_factory=dict)
    _introductions: Bucket = field(default_factory=lambda: Bucket(BURST, time.monotonic()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = time.perf_counter()
        try:
            status, answer, headers = await self._answer(scope, receive)
        except Exception as error:
            if is_away(error):
                log.warning("hook.unavailable", error=str(error), kind=type(error).__name__)
                status, headers = 503, [(b"retry-after", b"5")]
                answer = _problem(
                    503, "Not accepted: the database can't be reached just now. Send it again in a moment."
                )
            else:
                log.exception("hook.bug", path=scope["path"][:7])
                status, headers = 500, []
                answer = _problem(500, "Not accepted: AREA met an error of its own; the server's log has it.")
        metrics.hook_seconds.labels(str(status)).observe(time.perf_counter() - begun)
        head = [(b"content-length", str(len(answer)).encode()), *headers]
        if all(name != b"content-type" for name, _ in headers):
            head.append((b"content-type", b"application/json" if status < 400 else b"application/problem+json"))
        head.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            if scope["path"].startswith("/webhooks/"):
                return await self._of_vendor(scope, receive)
            if scope["path"].startswith("/hints/"):
                return await self._of_source(scope, receive)
            return await self._of_area(scope, receive)
        except BodyTooLarge:
            return 413, _problem(413, f"At most {MAX_BODY:,} bytes are taken at once."), []
        except BodyCutOff:
            return 400, _problem(400, "The connection was closed before the end of the body."), []

    async def _of_vendor(self, scope: Scope, receive: Receive) -> Answer:
        """A vendor says at the one address of its service that there is news of some accounts: they are asked now."""
        service = self.state.registry.services.get(scope["path"].removeprefix("/webhooks/"))
        if service is None or service.inbound is None:
            return 404, _problem(404, "No service takes webhooks at this address."), []
        request = _request(scope, await _body(scope, receive), self.state.settings.base_url)
        reply = service.inbound.handshake(request) if service.inbound.handshake else None
        if reply is not None:
            return _reply(reply)
        if await self._introduced(service, service.inbound, request):
            return 200, b"{}", []
        verify = service.inbound.verify
        try:
            verify.check(request, self._secret(service, client=verify.uses_client_secret), Nothing())
        except Refused as error:
            return 401, _problem(401, str(error)), []
        try:
            nudged = await self._named(service, service.inbound, request)
        except ConnectorError as error:
            return 400, _problem(400, str(error)), []
        log.info("webhook.nudged", service=service.slug, sources=nudged)
        return 202, b'{"nudged":%d}' % nudged, []

    async def _named(self, service: Service, inbound: Inbound, request: Request) -> int:
        """Have those asked that a checked request names; returns how many. Raises `Permanent` for what names nobody."""
        nudged = 0
        if inbound.accounts is not None:
            nudged += await nudges.nudge(self.state, service, inbound.accounts(request))
        if inbound.subscriptions is not None:
            told = inbound.subscriptions(request)
            await hints.told(self.state, service, told)
            nudged += await nudges.nudge_subscriptions(self.state, service, told)
        return nudged

    async def _introduced(self, service: Service, inbound: Inbound, request: Request) -> bool:
        """Whether the vendor told what it will sign with, which anybody may say as long as no administrator has set it."""
        keys = keys_of(service, self.state.settings)
        if inbound.token is None or keys is None or keys.signing is not None:
            return False
        try:
            token = inbound.token(request)
        except ConnectorError:
            return False  # whatever it is, it is not signed
        if token is None or not self._introductions.take(1, BURST):
            return False
        async with self.state.database.transaction() as session:
            await providers.keep_token(session, self.state.keyring, service.slug, token)
        log.info("webhook.token", service=service.slug)
        return True

    async def _of_source(self, scope: Scope, receive: Receive) -> Answer:
        """A vendor that was asked for it says that there is news of what a source watches: it is asked now."""
        token = scope["path"].removeprefix("/hints/")
        found = await hints.of_token(self.state, hash_token(token)) if token else None
        if found is None:
            return 404, _problem(404, "Nobody has this address any more."), []
        rate = float(self.state.settings.webhook_rate)
        if not _bucket(self._sources, found.source, rate * BURST).take(rate, rate * BURST):
            return 429, _problem(429, "Too many requests to this address."), [(b"retry-after", b"1")]
        request = _request(scope, await _body(scope, receive), self.state.settings.base_url)
        try:
            reply = self._checked(found, request)
        except Refused as error:
            return 401, _problem(401, str(error)), []
        except ConnectorError as error:
            return 400, _problem(400, str(error)), []
        if reply is None and not found.watched:
            return 410, _problem(410, "Nobody watches this any more."), []
        if not found.heard:
            await hints.heard(self.state, found.source)
        if reply is not None:
            return _reply(reply)
        if found.hint.over is not None and found.hint.over(request):
            await hints.ended(self.state, found.source)
        nudged = await nudges.nudge_source(self.state, found.source)
        log.info("hint.nudged", service=found.service.slug, source=found.source, sources=nudged)
        return 202, b'{"nudged":%d}' % nudged, []

    def _checked(self, found: hints.Found, request: Request) -> Reply | None:
        """What the vendor wants to hear, if anything, of a request that is its own. Raises `Refused`."""
        hint, verify = found.hint, found.verify
        secret = self._secret(found.service, client=True) if verify.uses_client_secret else found.secret
        if hint.signs_all:
            verify.check(request, secret, Nothing())
        reply = hint.handshake(request) if hint.handshake else None
        if reply is None and found.watched and not hint.signs_all:
            verify.check(request, secret, Nothing())
        return reply

    async def _of_area(self, scope: Scope, receive: Receive) -> Answer:
        """Something happened that one AREA waits for."""
        token = scope["path"].removeprefix("/hooks/")
        area_id = await self.cache.area_of_token(hash_token(token)) if token else None
        area = await self.cache.area(area_id) if area_id is not None else None
        if area is None:
            return 404, _problem(404, "Nobody has this address. It may have been renewed or deleted."), []
        if not (area.active and area.available) or area.plan is None or area.plan.action.verify is None:
            return 410, _problem(410, "The AREA behind this address is switched off."), []
        rate = float(self.state.settings.webhook_rate)
        if not _bucket(self._addresses, area.id, rate * BURST).take(rate, rate * BURST):
            return 429, _problem(429, "Too many requests to this address."), [(b"retry-after", b"1")]
        request = _request(scope, await _body(scope, receive), self.state.settings.base_url)
        reply = area.plan.action.handshake(request) if area.plan.action.handshake else None
        if reply is not None:
            return _reply(reply)
        return await self._accept(area, request)

    async def _accept(self, area: Loaded, request: Request) -> Answer:
        plan = area.plan
        assert plan is not None and plan.action.verify is not None  # noqa: S101, PT018 - _answer has seen to it
        verify, service = plan.action.verify, plan.action.service
        try:
            secret = self._secret(service, client=True) if verify.uses_client_secret else area.secret
            verify.check(request, secret, plan.params)
        except Refused as error:
            return 401, _problem(401, str(error)), []
        credential = None
        if service.auth is not None:
            credential = (await self.cache.connection(area.user_id, service.slug)).credential
        context = access.context(self.state, self.cache.tokens, service, area.user_id, credential, area.id)
        flooding = not _bucket(self._users, area.user_id, FLOOD_BURST).take(FLOOD_RATE, FLOOD_BURST)
        accepted = []
        try:
            async for event in plan.action.function(context, plan.params, request):
                data = dump_model(event.data)
                offer = Offer(area.id, event.id, data, BULK if flooding else NORMAL)
                accepted.append(await self.intake.take(offer))
        except (Retry, AuthExpired) as error:  # the vendor is to send it again
            after = error.after if isinstance(error, Retry) and error.after else RETRY_AFTER
            return 503, _problem(503, str(error)), [(b"retry-after", b"%d" % after.total_seconds())]
        except ConnectorError as error:
            return 400, _problem(400, str(error)), []
        if any(one.execution_id is None and not one.known for one in accepted):
            return 410, _problem(410, "The AREA behind this address is switched off."), []
        if len(accepted) == 1:
            one = accepted[0]
            known = b"true" if one.known else b"false"
            number = b"%d" % one.execution_id if one.execution_id is not None else b"null"
            return (200 if one.known else 202), b'{"execution_id":%b,"duplicate":%b}' % (number, known), []
        return 202, orjson.dumps({"execution_ids": [one.execution_id for one in accepted]}), []

    def _secret(self, service: Service, *, client: bool) -> str:
        """A secret of AREA's registration at the vendor: the client's, or that for signing; empty, which refuses, without it."""
        keys = keys_of(service, self.state.settings)
        secret = keys and (keys.secret if client else keys.signing)
        return secret.get_secret_value() if secret else ""


def _reply(reply: Reply) -> Answer:
    return reply.status, reply.body.encode(), [(b"content-type", reply.content_type.encode())]


def _request(scope: Scope, body: bytes, base_url: str) -> Request:
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(
        method=scope["method"],
        path=scope["path"],
        headers=Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        body=body,
        received_at=now(),
        url=base_url + scope["path"],
    )


async def _body(scope: Scope, receive: Receive) -> bytes:
    declared = 0
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():  # Python refuses to read numbers of thousands of digits
            declared = int(value) if len(value) < 12 else MOST_READ + 1
    parts: list[bytes] = []
    size, more = 0, declared <= MOST_READ
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyCutOff
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_READ:
            raise BodyTooLarge
        if size > MAX_BODY:
            parts.clear()
        else:
            parts.append(part)
        more = message.get("more_body", False)
    if max(size, declared) > MAX_BODY:
        raise BodyTooLarge
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bucket(buckets: dict[int, Bucket], key: int, level: float) -> Bucket:
    found = buckets.get(key)
    if found is None:
        if len(buckets) > REMEMBERED:
            buckets.clear()
        found = buckets[key] = Bucket(level, time.monotonic())
    return found


def _problem(status: int, detail: str) -> bytes:
    return orjson.dumps({"type": "about:blank", "title": TITLES[status], "status": status, "detail": detail})


TITLES = {
    400: "Bad request",
    401: "Signature refused",
    404: "Not found",
    410: "Switched off",
    413: "Too large",
    429: "Too many requests",
    500: "Error",
    503: "Not available",
}
