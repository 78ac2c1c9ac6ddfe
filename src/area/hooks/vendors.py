"""Webhooks by which vendors announce changes: for a whole service, or for one source."""

import structlog
from starlette.requests import Request as WebRequest

from area.connections import introductions
from area.connections.registrations import keys_of
from area.doors import deps
from area.doors.body import Allowance, read
from area.engine import hints, nudges
from area.engine.state import State
from area.hooks.answers import (
    BURST,
    MAX_BODY,
    Answer,
    Bucket,
    Buckets,
    Receive,
    Scope,
    check,
    later,
    name_in,
    plain,
    problem,
    refused,
    replied,
    request_of,
    secret_of,
)
from area.kit import compression
from area.kit.crypto import hash_token
from area.kit.sentences import Sentence
from area.sdk import ConnectorError, Inbound, Nothing, Refused, Reply, Request, Service

# of Web Push, whose content isn't needed: https://www.rfc-editor.org/rfc/rfc8188#section-2, and its draft's
ENCRYPTIONS = {"aes128gcm", "aesgcm"}

log = structlog.get_logger()


class Vendors:
    """`/webhooks/{service}` and `/hints/{token}`. Signatures can only be verified after reading the body, so the
    allowance is small.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._sources = Buckets()
        self._introductions = Bucket.full(1, BURST)
        self._held = Allowance(32_000_000, 4_000_000)

    async def of_service(self, scope: Scope, receive: Receive) -> Answer:
        """Service-wide webhook: poll the accounts that the vendor names."""
        service = self._state.registry.services.get(name_in(scope, "/webhooks/"))
        if service is None or service.inbound is None:
            return problem(404, Sentence("No service receives webhooks at this address."))
        if scope["method"] in ("HEAD", "OPTIONS"):
            return 200, b"", []
        address = await deps.address(WebRequest(scope), self._state)
        with self._held.of(address) as share:
            request = request_of(scope, await read(scope, receive, MAX_BODY, share), self._state.settings.base_url)
            clear = plain(request, MAX_BODY, share)
            return await self._of_service(service, service.inbound, request, clear, address)

    async def _of_service(
        self, service: Service, inbound: Inbound, request: Request, clear: Request, address: str
    ) -> Answer:
        reply = inbound.handshake(clear) if inbound.handshake else None
        if reply is not None:
            return replied(reply)
        if await self._introduced(service, inbound, clear, address):
            return 200, b"{}", []
        verify = inbound.verify
        try:
            secret = secret_of(self._state, service, client=verify.uses_client_secret)
            check(verify, request, clear, secret, Nothing())
        except Refused as error:
            return refused(error)
        try:
            nudged = await self._named(service, inbound, clear)
        except ConnectorError as error:
            return problem(400, str(error))
        log.info("webhook.nudged", service=service.slug, sources=nudged)
        return 202, b'{"nudged":%d}' % nudged, []

    async def _named(self, service: Service, inbound: Inbound, request: Request) -> int:
        """Make the sources of the accounts in a verified request due. Returns how many. Raises `Permanent` if it names
        none.
        """
        nudged = 0
        if inbound.accounts is not None:
            nudged += await nudges.nudge(self._state, service, inbound.accounts(request))
        if inbound.subscriptions is not None:
            subscriptions = inbound.subscriptions(request)
            await hints.record_delivery(self._state, service, subscriptions)
            nudged += await nudges.nudge_subscriptions(self._state, service, subscriptions)
        return nudged

    async def _introduced(self, service: Service, inbound: Inbound, request: Request, address: str) -> bool:
        """Whether the request announces a verification token. Anyone can send one while no secret is set; an
        administrator chooses.
        """
        keys = keys_of(service, self._state.settings)
        if inbound.token is None or keys is None or keys.signing is not None:
            return False
        try:
            token = inbound.token(request)
        except ConnectorError:
            return False  # it isn't signed
        if token is None or not self._introductions.take():
            return False
        async with self._state.database.transaction() as session:
            stored = await introductions.keep(session, self._state.keyring, service.slug, token, address)
        log.info("webhook.token", service=service.slug, address=address, kept=stored)
        return stored

    async def of_source(self, scope: Scope, receive: Receive) -> Answer:
        """Webhook of one source's subscription: poll it now."""
        token = name_in(scope, "/hints/")
        source = await hints.of_token(self._state, hash_token(token)) if token else None
        if source is None:
            return problem(404, Sentence("This address is no longer in use."))
        if scope["method"] in ("HEAD", "OPTIONS"):
            return 200, b"", []
        rate = float(self._state.settings.webhook_rate)
        if not self._sources.take(source.source, rate, rate * BURST):
            return problem(429, Sentence("Too many requests to this address."), later(1))
        with self._held.of(source.source) as share:
            request = request_of(scope, await read(scope, receive, MAX_BODY, share), self._state.settings.base_url)
            encrypted = ENCRYPTIONS.issuperset(compression.codings(request.headers.get("content-encoding", "")))
            return await self._of_source(source, request, request if encrypted else plain(request, MAX_BODY, share))

    async def _of_source(self, source: hints.HintAddress, request: Request, clear: Request) -> Answer:
        try:
            reply = self._checked(source, request, clear)
        except Refused as error:
            return refused(error)
        except ConnectorError as error:
            return problem(400, str(error))
        if reply is None and not source.watched:
            # a vendor may end a subscription after this status (https://www.w3.org/TR/websub/#content-distribution),
            # so don't rely on it when the source is watched again
            await hints.record_end(self._state, source.source)
            return problem(410, Sentence("AREA no longer watches this."))
        if not source.heard:
            await hints.record_news(self._state, source.source)
        if reply is not None:
            return replied(reply)
        if source.hint.over is not None and source.hint.over(clear):
            await hints.record_end(self._state, source.source)
        nudged = await nudges.nudge_source(self._state, source.source)
        log.info("hint.nudged", service=source.service.slug, source=source.source, sources=nudged)
        return 202, b'{"nudged":%d}' % nudged, []

    def _checked(self, source: hints.HintAddress, request: Request, clear: Request) -> Reply | None:
        """The vendor's challenge response, if any, for a verified request. Raises `Refused`."""
        hint, verify = source.hint, source.verify
        secret = secret_of(self._state, source.service, client=True) if verify.uses_client_secret else source.secret
        if hint.signs_all:
            check(verify, request, clear, secret, Nothing())
        reply = hint.handshake(clear) if hint.handshake else None
        if reply is None and source.watched and not hint.signs_all:
            check(verify, request, clear, secret, Nothing())
        return reply
