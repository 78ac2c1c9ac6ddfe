"""Responses to webhooks, and their rate limits."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel

from area.connections.registrations import keys_of
from area.doors.body import Share
from area.engine.state import State
from area.kit import compression, language
from area.kit.clock import now
from area.kit.problems import Gone, NotFound, TooLarge, TooMany
from area.kit.sentences import Sentence
from area.sdk import Headers, Refused, Reply, Request, Service, Verify

MAX_BODY = 1_000_000  # bytes
BURST = 5  # burst of an address, in seconds of its rate
REMEMBERED = 20_000  # buckets
RETRY_AFTER = timedelta(seconds=30)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
Answer = tuple[int, "bytes | Sentence", list[Header]]  # the body, or the response if there is none

SANDBOX = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; form-action 'none'"

TITLES = {
    400: Sentence("Bad request"),
    401: Sentence("Signature refused"),
    404: Sentence("Not found"),
    408: Sentence("Too slow"),
    409: Sentence("Circle"),
    410: Sentence("Gone"),
    413: Sentence("Too large"),
    415: Sentence("Unsupported encoding"),
    429: Sentence("Too many requests"),
    500: Sentence("Error"),
    503: Sentence("Unavailable"),
}

# the anchors of /api/docs
CODES = {
    400: "bad-request",
    401: "signature-refused",
    404: NotFound.code,
    408: "request-timeout",
    409: "circle",
    410: Gone.code,
    413: TooLarge.code,
    415: "unsupported-media-type",
    429: TooMany.code,
    500: "internal-server-error",
    503: "service-unavailable",
}


def problem(status: int, detail: str, *headers: Header) -> Answer:
    """A response whose sentence explains why the request was rejected."""
    return status, Sentence(detail), list(headers)


def written(scope: Scope, answer: Answer) -> tuple[int, bytes, list[Header]]:
    """Serialise a response: a sentence becomes problem details (RFC 9457) in the sender's preferred language."""
    status, body, headers = answer
    if isinstance(body, bytes):
        return status, body, headers
    accepted = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-language"), "")
    lang = language.choose(None, accepted)
    code = CODES[status]
    details = {
        "type": f"/api/docs#{code}",
        "title": TITLES[status].translated(lang),
        "status": status,
        "detail": body.translated(lang),
        "code": code,
        "request_id": scope["area.request_id"],
    }
    about = [(b"content-language", lang.encode()), (b"vary", b"accept-language")]
    return status, orjson.dumps(details), [*headers, *about]


def refused(error: Refused) -> Answer:
    """The response to a request that doesn't prove where it comes from."""
    headers = [(b"www-authenticate", error.challenge.encode())] if error.challenge else []
    return problem(401, str(error), *headers)


def later(seconds: float) -> Header:
    """When to retry."""
    return b"retry-after", b"%d" % max(1, round(seconds))


def replied(reply: Reply) -> Answer:
    """A connector's own response."""
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
    # a page of a user's own text must not act as one of AREA's
    about = [(b"content-type", reply.content_type.encode()), (b"content-security-policy", SANDBOX)]
    return reply.status, reply.body.encode(), [*about, *headers]


def request_of(scope: Scope, body: bytes, base_url: str) -> Request:
    """The request as connectors receive it. Its body is still compressed if the sender compressed it."""
    raw = scope.get("query_string", b"")
    query = text_of(raw) if raw else ""
    try:
        pairs = [(name.decode("latin-1"), value.decode()) for name, value in scope["headers"]]
    except UnicodeDecodeError:
        pairs = [(name.decode("latin-1"), text_of(value)) for name, value in scope["headers"]]
    return Request(
        method=scope["method"],
        path=scope["path"],
        headers=Headers(pairs),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        body=body,
        received_at=now(),
        url=base_url + scope["path"],
        query_string=query,
    )


def text_of(raw: bytes) -> str:
    """A header or a query as text: UTF-8, as most programs send it, or else Latin-1, which fits every byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain(request: Request, limit: int, share: Share) -> Request:
    """The request with its body decompressed. Raises `compression.UnknownEncodingError`, `TooLargeError` or
    `BrokenError`, and `Crowded`.
    """
    encoding, transfer = request.headers.get("content-encoding"), request.headers.get("transfer-encoding")
    encodings = compression.codings(encoding) if encoding else []
    if transfer:  # the server undoes "chunked", and no other transfer coding (RFC 9112 §6.1)
        encodings += [name for name in compression.codings(transfer) if name != "chunked"]
    if not encodings or not request.body:
        return request
    body = compression.decompressed(request.body, encodings, limit)
    share.take(len(body), reading=False)
    return replace(request, body=body)


def check(verify: Verify, request: Request, clear: Request, secret: str, params: BaseModel) -> None:
    """Raises `Refused` unless the request, or the same with its body decompressed (`clear`), proves where it comes
    from: a sender may sign before it compresses or after.
    """
    try:
        verify.check(request, secret, params)
    except Refused:
        if clear is request:
            raise
        verify.check(clear, secret, params)


def name_in(scope: Scope, prefix: str) -> str:
    """The path after the prefix, without a trailing slash."""
    path: str = scope["path"]
    return path.removeprefix(prefix).removesuffix("/")


def secret_of(state: State, service: Service, *, client: bool) -> str:
    """A secret of AREA's registration at the vendor: the client secret or signing secret. Empty if unset, which fails
    verification.
    """
    keys = keys_of(service, state.settings)
    secret = keys and (keys.secret if client else keys.signing)
    return secret.get_secret_value() if secret else ""


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` per second, `burst` at once."""

    rate: float
    burst: float
    level: float
    at: float

    @classmethod
    def full(cls, rate: float, burst: float) -> "Bucket":
        """A new, full bucket."""
        return cls(rate, burst, burst, time.monotonic())

    def fill(self) -> float:
        """Add the tokens earned since the last call. Returns how many there are."""
        moment = time.monotonic()
        self.level = min(self.burst, self.level + (moment - self.at) * self.rate)
        self.at = moment
        return self.level

    def take(self) -> bool:
        """Take a token, if there is one."""
        if self.fill() < 1:
            return False
        self.level -= 1
        return True


class Buckets:
    """One bucket per key. Only full ones are dropped: otherwise a sender with many addresses could reset limits."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._look_at = REMEMBERED

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: int, rate: float, burst: float) -> bool:
        """Take a token for this key, if there is one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._look_at:
                self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.fill() < bucket.burst}
                self._look_at = max(REMEMBERED, 2 * len(self._buckets))
            bucket = self._buckets[key] = Bucket.full(rate, burst)
        return bucket.take()
