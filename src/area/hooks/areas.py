"""Webhooks of single AREAs."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import orjson

from area.connections.vault import Ref
from area.doors.body import Allowance, declared, read
from area.engine import access, circles
from area.engine.cache import Broken, Cache, Runnable
from area.engine.intake import BULK, NORMAL, EventTooLargeError, Offer
from area.engine.lanes import Intake
from area.engine.pace import Pace
from area.engine.state import State
from area.hooks import shorten
from area.hooks.answers import (
    BURST,
    MAX_BODY,
    RETRY_AFTER,
    Answer,
    Buckets,
    Header,
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
from area.hooks.results import Results, Run
from area.kit.crypto import hash_token
from area.kit.fair import user, working_for
from area.kit.sentences import Sentence
from area.kit.text import dump_model
from area.runs.record import RunRecord
from area.sdk import AuthExpired, ConnectorError, Refused, Request, Retry, Verify
from area.sdk.decoding import Reader

FLOOD_RATE = 200.0  # events per second and user; faster ones queue behind other users' events
FLOOD_BURST = 300.0
OFF_RETRY_AFTER = 300  # seconds
LARGE_TOTAL, LARGE_EACH = 52_000_000, 26_000_000  # bytes of bodies over `MAX_BODY`: two at once, one for each user
KEPT_OF_LARGE = 900_000  # bytes
CIRCLE = Sentence(
    "AREAs have called each other's webhooks %(number)s times in a row, which is the limit: this looks like a loop.",
    number=circles.LONGEST,
)
OFF = Sentence("This AREA is off or unavailable. Try again later.")
SKIPPED = "The AREA was off when this arrived."

_shorten = Reader(Path(shorten.__file__), seconds=10, memory=600_000_000)


async def _shortened(request: Request) -> Request:
    """The request with its body cut to what an event can hold. Raises `Permanent` and `Retry`."""
    if len(request.body) <= MAX_BODY:
        return request
    body = await _shorten.read("", request.body, most=KEPT_OF_LARGE)
    return replace(request, body=body)


class Areas:
    """`/hooks/{token}`. Bodies are held until the response, which bounds what waits for a commit."""

    def __init__(self, state: State, cache: Cache, intake: Intake) -> None:
        self._state, self._cache, self._intake = state, cache, intake
        self._addresses, self._users = Buckets(), Buckets()
        self._held = Allowance(64_000_000, 16_000_000)
        self._pace = Pace(state.load)
        self._large = Allowance(LARGE_TOTAL, LARGE_EACH)
        self.results = Results(state)

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """An event for an AREA. Rejections happen before the body is read."""
        token = name_in(scope, "/hooks/").partition("/")[0]  # some senders add a path, such as Matrix servers
        area_id = await self._cache.area_of_token(hash_token(token)) if token else None
        area = await self._cache.area(area_id) if area_id is not None else None
        if area is None:
            return problem(404, Sentence("Unknown webhook URL. It may have been rotated or deleted."))
        if scope["method"] in ("HEAD", "OPTIONS"):
            return self._asked(scope, area)
        return await self._taken(scope, receive, area)

    async def _taken(self, scope: Scope, receive: Receive, area: Runnable | Broken) -> Answer:
        rate = float(self._state.settings.webhook_rate)
        if not self._addresses.take(area.id, rate, rate * BURST):
            return problem(429, Sentence("Too many requests to this address."), later(1))
        off = not (area.active and area.available)
        if isinstance(area, Broken) or area.plan.action.verify is None or (off and area.when_off == "retry"):
            return problem(503, OFF, later(OFF_RETRY_AFTER))
        pause = self._state.load.pause(area.user_id, self._state.settings.longest_wait)
        if pause:
            return problem(429, Sentence("Earlier requests are still being processed. Try again later."), later(pause))
        large = area.plan.action.max_body > MAX_BODY and declared(scope["headers"]) > MAX_BODY
        most = area.plan.action.max_body if large else MAX_BODY
        with (self._large if large else self._held).of(area.user_id) as share:
            request = request_of(scope, await read(scope, receive, most, share), self._state.settings.base_url)
            clear = plain(request, MAX_BODY, share)
            reply = area.plan.action.greeting(clear, area.plan.params)
            if reply is not None:
                return replied(reply)
            answer = await self._accept(area, area.plan.action.verify, request, clear, off=off)
        if not isinstance(answer, Run):
            return answer
        del request, clear  # whose bodies the share doesn't count any more
        begun = time.perf_counter()
        try:
            return await self.results.answer(answer, receive)
        finally:
            scope["area.waited"] = time.perf_counter() - begun

    async def _accept(
        self, area: Runnable, verify: Verify, request: Request, clear: Request, *, off: bool
    ) -> Answer | Run:
        plan, service = area.plan, area.plan.action.service
        try:
            secret = secret_of(self._state, service, client=True) if verify.uses_client_secret else area.secret
            check(verify, request, clear, secret, plan.params)
        except Refused as error:
            return refused(error)
        chain = circles.read(self._state.keyring, request.headers.get(circles.HEADER, ""))
        if len(chain) >= circles.LONGEST:
            return problem(409, CIRCLE)
        credential, ref = None, Ref(area.user_id, service.slug, plan.action_connection)
        if service.auth is not None:
            credential = (await self._cache.connection(*ref)).credential
        context = access.context(self._state, self._cache.tokens, service, ref, credential, area_id=area.id)
        flooding = not self._users.take(area.user_id, FLOOD_RATE, FLOOD_BURST)
        offers = []  # all, before the first is stored: a request is accepted as a whole or not at all
        try:
            with working_for(user(area.user_id)):
                clear = await _shortened(clear)
                async for event in plan.action.function(context, plan.params, clear):
                    data = dump_model(event.data)
                    offers.append(
                        Offer(
                            area.id,
                            event.id,
                            data,
                            BULK if flooding else NORMAL,
                            record=RunRecord(chain=chain) if chain else None,
                            skipped=SKIPPED if off else "",
                        )
                    )
        except (Retry, AuthExpired) as error:  # ask the vendor to send it again
            after = error.after if isinstance(error, Retry) and error.after else RETRY_AFTER
            return problem(503, str(error), later(after.total_seconds()))
        except Refused as error:  # by what the action had to fetch, such as the sender's certificate
            return refused(error)
        except EventTooLargeError as error:
            return problem(413, str(error))
        except ConnectorError as error:
            return problem(400, str(error))
        return await self._store(area, offers, clear, off=off)

    async def _store(self, area: Runnable, offers: list[Offer], request: Request, *, off: bool) -> Answer | Run:
        await self._pace.enter(area.user_id)
        try:
            if len(offers) == 1:  # without a task
                accepted = [await self._intake.take(offers[0])]
            else:
                accepted = await asyncio.gather(*(self._intake.take(offer) for offer in offers))
        finally:
            self._pace.leave(area.user_id)
        if any(event.execution_id is None and not event.known for event in accepted):  # it has just been switched off
            return problem(503, OFF, later(1 if area.when_off == "skip" else OFF_RETRY_AFTER))
        if not off:
            self._state.load.accepted(area.user_id, sum(not event.known for event in accepted))
        awaits = area.plan.action.awaits
        if awaits and not off and len(accepted) == 1 and accepted[0].execution_id and awaits(area.plan.params):
            return Run(accepted[0].execution_id, area.user_id, accepted[0].known)
        respond = area.plan.action.respond
        reply = respond(request, area.plan.params) if respond else None
        if reply is not None:
            return replied(reply)
        if len(accepted) == 1:
            event = accepted[0]
            known = b"true" if event.known else b"false"
            number = b"%d" % event.execution_id if event.execution_id is not None else b"null"
            return (200 if event.known else 202), b'{"execution_id":%b,"duplicate":%b}' % (number, known), []
        return 202, orjson.dumps({"execution_ids": [event.execution_id for event in accepted]}), []

    def _asked(self, scope: Scope, area: Runnable | Broken) -> Answer:
        """Answer HEAD and OPTIONS without starting anything: some vendors probe the URL with HEAD, and browsers send
        CORS preflights. Any origin is allowed, and cookies don't matter here.
        """
        request = request_of(scope, b"", self._state.settings.base_url)
        reply = area.plan.action.greeting(request, area.plan.params) if isinstance(area, Runnable) else None
        if reply is not None:
            return replied(reply)
        if scope["method"] == "HEAD":
            return 200, b"", []
        request_headers = dict(scope["headers"])
        requested = request_headers.get(b"access-control-request-headers", b"content-type")
        headers: list[Header] = [
            (b"allow", b"GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", requested[:1000]),
            (b"access-control-max-age", b"7200"),
        ]
        if origin := request_headers.get(b"webhook-request-origin"):
            # https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection
            headers += [(b"webhook-allowed-origin", origin[:1000]), (b"webhook-allowed-rate", b"*")]
        return 204, b"", headers
