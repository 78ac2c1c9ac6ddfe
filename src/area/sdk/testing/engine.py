"""The engine's part in a connector test: a context, checks of a poll, deliveries to a webhook."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import orjson
import pytest
from pydantic import SecretStr
from typing_extensions import override

from area.kit.clock import now
from area.kit.http import Client, Response, Target
from area.kit.net import Guard
from area.kit.pool import Place
from area.sdk.context import Context, alone
from area.sdk.credentials import Credentials
from area.sdk.dedupe import Seen, fresh
from area.sdk.errors import AuthExpired, ConnectorError, Gone, NothingFound, Permanent, Retry
from area.sdk.events import Event, Headers, Request
from area.sdk.http import Access, Fixed, Http
from area.sdk.oauth2 import OAuth2
from area.sdk.service import Action, Reaction, Service
from area.sdk.testing.attempts import attempted
from area.sdk.testing.double import Double

CLIENT_ID = "client"
_doubles: WeakKeyDictionary[Http, tuple[Double, ...]] = WeakKeyDictionary()  # that a client reaches

HOOK = "https://area.example/hooks/t0ken"  # an AREA's address


class Elsewhere(Client):
    """Send requests to the vendors' doubles, and to no one else."""

    def __init__(self, guard: Guard, doubles: tuple[Double, ...]) -> None:
        super().__init__(guard)
        self._doubles = doubles

    @override
    def _destination(self, target: Target) -> Place:
        double = next((double for double in self._doubles if double.plays(target.text)), None)
        if double is None:
            raise AssertionError(f"{target.text}: no double plays {target.origin}")
        return Place("127.0.0.1", urlsplit(double.url).port or 0, tls=False)


class _Granted(Fixed):
    """An OAuth2 connection's token, which can't be refreshed."""

    def __init__(self, auth: OAuth2, token: str) -> None:
        super().__init__(auth.access(CLIENT_ID, SecretStr(token)))
        self._auth = auth

    @override
    def refuses(self, response: Response) -> bool:
        return self._auth.refuses(response)


@contextlib.asynccontextmanager
async def connector(
    service: Service,
    *doubles: Double,
    credential: Any = None,
    access: Access | None = None,
    token: str = "t0ken",  # noqa: S107 - of a test
    app_token: str = "app-t0ken",  # noqa: S107 - of a test
) -> AsyncIterator[Context]:
    """A context whose `http` reaches the doubles under the vendors' URLs, connected like a user's.

    With OAuth2 it sends `token`, and `http.app` sends `app_token`; otherwise whatever the service makes of
    `credential`, or `access`. Doubles without their own expectations expect the same.
    """
    auth, authority = service.auth, None
    if access is not None:
        authority = Fixed(access)
    elif isinstance(auth, OAuth2):
        authority = _Granted(auth, token)
    elif isinstance(auth, Credentials) and auth.access is not None and (credential is not None or not auth.optional):
        assert credential is not None, f"{service.name} is connected with a form: say credential=…"
        authority = Fixed(auth.access(credential))
    for double in doubles:
        if double.access is None and authority is not None:
            double.access = await authority.access()
    guard = Guard(allow=["127.0.0.1"])
    client = Elsewhere(guard, doubles)
    http = service.http(client, authority, _Granted(auth, app_token) if isinstance(auth, OAuth2) else None)
    _doubles[http] = doubles
    try:
        yield alone(http, guard, credential, AssertionError("There is no platform in this test."))
    finally:
        await client.close()


class Watch:
    """Check a poll as the engine does: the first check is the baseline, and a failed one leaves no trace."""

    def __init__(self, ctx: Context, action: Action, **params: Any) -> None:
        self.ctx = ctx
        self.action = action
        self.params = action.params(**params)
        self.seen: Seen | None = None
        self.state: dict[str, Any] = {}

    async def look(self, at: datetime | None = None) -> list[Event[Any]]:
        """The new events, oldest first, as of now or `at`. Each must match the action's return model."""
        moment = at or now()
        self.ctx.state = orjson.loads(orjson.dumps(self.state))
        since = (self.seen.since if self.seen else moment) - self.action.lookback
        offered = [event async for event in self.action.function(self.ctx, self.params, since)]
        _check_events(self.action, offered)
        new, seen = fresh(offered, self.seen or Seen(moment), moment, self.action.overlap)
        baseline = self.seen is None
        self.seen, self.state = seen, orjson.loads(orjson.dumps(self.ctx.state))
        return [] if baseline else new

    async def ids(self, at: datetime | None = None) -> list[str]:
        """IDs of the new events."""
        return [event.id for event in await self.look(at)]


async def act(ctx: Context, reaction: Reaction, **params: Any) -> Any:
    """Run a reaction with these parameters and return its result.

    One that declares `idempotent` is attempted again, which leaves no trace at the doubles: `AssertionError` if that
    isn't what it declares.
    """
    return await attempted(ctx, reaction, reaction.params(**params), _doubles.get(ctx.http, ()))


async def finds_nothing(ctx: Context, reaction: Reaction, **params: Any) -> None:
    """Check that a look-up finds nothing: it stops there, or returns empty values, as the user chose."""
    with pytest.raises(NothingFound):
        await act(ctx, reaction, **params)
    result = await act(ctx, reaction, **params, if_nothing="go_on")
    assert not any(result.model_dump(mode="json").values()), f"{reaction.key} found {result}"


def delivery(
    *,
    body: bytes = b"",
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    method: str = "POST",
    url: str = HOOK,
) -> Request:
    """A vendor's request to an AREA's webhook URL, `url`."""
    raw = orjson.dumps(json) if json is not None else body
    standard = {"Content-Type": "application/json"} if json is not None else {}
    pairs = [*(standard | dict(headers or {})).items()]
    return Request(method, urlsplit(url).path, Headers(pairs), dict(query or {}), raw, now(), url)


async def deliver(
    ctx: Context, action: Action, params: Any = None, *, secret: str = "", request: Request | None = None, **sent: Any
) -> list[Event[Any]]:
    """The events a webhook makes of a `request`, or of what `delivery` makes of `body`, `json`, `headers`, `query`,
    `method`.

    `params` is the action's model or its fields; `secret` signs deliveries. Raises `Refused` if the signature is wrong.
    A vendor's challenge gives no events; `action.handshake(delivery(…))` is the response to it.
    """
    assert action.verify is not None, f"{action.key} is no webhook"
    request = request or delivery(**sent)
    validated = params if isinstance(params, action.params) else action.params.model_validate(params or {})
    if action.handshake is not None and action.handshake(request) is not None:
        return []
    action.verify.check(request, secret, validated)
    events = [event async for event in action.function(ctx, validated, request)]
    _check_events(action, events)
    return events


def _check_events(action: Action, events: list[Event[Any]]) -> None:
    for event in events:
        action.returns.model_validate_json(event.data.model_dump_json())
        assert event.at is None or event.at.tzinfo is not None, f"{action.key}: the time of {event.id} has no offset"


async def outcomes(
    ctx: Context,
    double: Double,
    call: Callable[[], Awaitable[Any]],
    *,
    body: Any = None,
    said: str = "The vendor says no",
    garbage: bool = True,
) -> None:
    """Check that `call` turns the vendor's errors into the right ones of `Retry`, `Permanent` and `AuthExpired`.

    `body` is an error in the vendor's format that contains the sentence `said`, which the user must see. Without
    `garbage`, invalid JSON isn't tried: for calls that read none.
    """
    refusal = {"message": said} if body is None else body
    expired: type[ConnectorError] = AuthExpired if ctx.http.connected else Permanent
    cases: list[tuple[int, Any, dict[str, str], type[ConnectorError]]] = [
        (401, refusal, {}, expired),
        *((status, refusal, {}, Permanent) for status in (403, 404, 422)),
        (429, refusal, {"Retry_After": "7"}, Retry),
        *((status, refusal, {}, Retry) for status in (500, 503)),
    ]
    if garbage:
        cases.append((200, b"<html>It works!</html>", {}, Permanent))
    try:
        for status, answer, headers, expected in cases:
            double.fails(status, answer, **headers)
            with pytest.raises(ConnectorError) as caught:
                await call()
            error = caught.value
            right = isinstance(error, expected) and not isinstance(error, Gone)
            assert right, f"{status} became {type(error).__name__}: {error}"
            if status in (403, 404, 422):
                assert said in str(error), f"of {status} the user reads nothing that the vendor said: {error}"
            if status == 429:
                assert isinstance(error, Retry)
                assert error.after == timedelta(seconds=7), f"Retry-After was 7 s, and became {error.after}"
    finally:
        double.works()
