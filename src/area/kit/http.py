"""The only outgoing HTTP client: guarded against request forgery, limited in time and size, sharing its connections.

One module, since each part is a step of one request: parse the address and headers, connect through the guard, follow
redirects, read the body, explain the error.
"""

import asyncio
import base64
import codecs
import io
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError
from typing_extensions import override
from yarl import URL

from area import __version__
from area.kit.net import Guard, LookupFailed
from area.kit.sentences import Sentence
from area.kit.text import escaped

MAX_REDIRECTS = 5
MAX_URL = 16_384
# Above this size aiohttp wants a file, which it sends in pieces instead of blocking the loop.
LARGE_BODY = 1 << 20
READ = 1 << 16  # bytes of a stream per read
REFUSED = 10_000  # bytes to read of a response that isn't a stream

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_ENCODED = re.compile(r"(?:[!$&-;=?-Z_a-z~\[\]]|%[0-9A-Fa-f]{2})*")  # allowed in a path and query by RFC 3986
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
# Python's decoders that are not charsets of the web; some take quadratic time.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}

# The client sets these itself. From a user they could make one request look like two to the server, and the next user
# of the pooled connection would read the response to the second.
_FRAMING = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_KEPT_ACROSS_ORIGINS = {"accept", "content-type", "user-agent"}
_ABOUT_THE_BODY = {"content-encoding", "content-language", "content-location", "content-type"}
_REDIRECTS = {301, 302, 303, 307, 308}
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError)


class RequestFailed(Exception):
    """There is no usable response. The message is a sentence. `permanent`: a retry would not help.

    `unsent`: the server can't have received the request.
    """

    def __init__(self, message: str, *, permanent: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.unsent = unsent


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response. `headers` are case-insensitive, `body` is decompressed, `url` is the address after
    redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str

    @property
    def host(self) -> str:
        """The host that responded, with its port unless that is the default."""
        return URL(self.url, encoded=True).host_port_subcomponent or ""

    @property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type, or else UTF-8; invalid bytes become U+FFFD."""
        return _decode(self.body, self.headers)

    def json(self) -> Any:
        """The body parsed as JSON (RFC 8259). Raises a permanent `RequestFailed` if it is invalid."""
        try:
            return orjson.loads(self.body.removeprefix(codecs.BOM_UTF8))
        except orjson.JSONDecodeError as error:
            if self.body:
                message = Sentence(
                    "%(host)s answered %(status)s with no valid JSON: %(said)s",
                    host=self.host,
                    status=self.status,
                    said=self.excerpt(80),
                )
            else:
                message = Sentence(
                    "%(host)s answered %(status)s with no valid JSON, the body is empty.",
                    host=self.host,
                    status=self.status,
                )
            raise RequestFailed(message, permanent=True) from error

    def excerpt(self, limit: int = 200) -> str:
        """The first `limit` characters of the body as one line, without unprintable characters."""
        text = _decode(self.body[: limit * 8], self.headers)
        line = " ".join("".join(c if c.isprintable() else " " for c in text).replace("\ufffd", " ").split())
        return line if len(line) <= limit and len(self.body) <= limit * 8 else line[: limit - 1] + "…"

    def retry_after(self) -> timedelta | None:
        """How long the server asks to wait, in either form of RFC 9110 §10.2.3, or with decimals; None if it
        doesn't.
        """
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", value):
            return timedelta(seconds=float(value))
        try:
            until = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)
        return wait if wait >= timedelta(0) else None


class Client:
    """Sends requests over shared keep-alive connections, at most `limit` of them and half of that per host.

    Keeps no cookies, ignores proxies in the environment, and connects only where `guard` allows, redirects included.
    """

    def __init__(self, guard: Guard, *, user_agent: str = f"AREA/{__version__}", limit: int = 200) -> None:
        self._guard = guard
        # The result depends only on the host as written, its port and the exceptions, and parsing costs microseconds.
        self._check = lru_cache(maxsize=1024)(guard.check)
        self._user_agent = user_agent
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None
        self._closed = False
        self.observe: Callable[[str], None] = _nobody_counts

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30,
        max_bytes: int = 10_000_000,
        follow: bool = True,
    ) -> Response:
        """Send a request to an http or https address and return the response, whatever its status.

        `params` are added to the query. `data` is sent as a form, or `body` as it is. `timeout` is in seconds and
        covers everything from the name lookup over redirects to the last byte; `max_bytes` limits the decompressed
        body. A user and password in `url` are sent as basic authentication (RFC 7617).

        Follows at most 5 redirects, as in https://fetch.spec.whatwg.org/#http-redirect-fetch: 303, and 301 and 302
        after POST, become GET without a body; 307 and 308 repeat method and body. A redirect to another origin only
        keeps the headers Accept, Content-Type and User-Agent. Redirects from https to http are not followed.

        Raises `Blocked` if the guard refuses a host, `RequestFailed` if there is no usable response.
        """
        if data is not None and body is not None:
            raise ValueError("Only one of data and body can be sent.")
        target, sent = _addressed(url, params, headers)
        if data is not None:
            body = urlencode(data).encode()
            if not any(name.lower() == "content-type" for name in sent):
                sent["Content-Type"] = "application/x-www-form-urlencoded"
        if not _TOKEN.fullmatch(method) or method.upper() in {"CONNECT", "TRACE"}:
            raise RequestFailed(
                Sentence("'%(method)s' is no method that can be sent.", method=escaped(method)), permanent=True
            )
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(method.upper(), target, sent, body, max_bytes, follow=follow)
        except TimeoutError as error:
            raise RequestFailed(
                Sentence("%(host)s did not answer within %(number)s s.", host=_host(target), number=f"{timeout:g}")
            ) from error

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
        silence: float = 120,
        longest: int = 1_000_000,
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """GET a response that may never end: its beginning, and its lines as they arrive, without line ends.

        It may take `timeout` seconds to begin, be silent for `silence` seconds, and have lines of `longest` bytes.
        Redirects are not followed. For another status than 200, the beginning of the body is returned. Streams don't
        use the connections of requests.

        Raises like `request`, also from the lines.
        """
        target, sent = _addressed(url, params, {"Accept-Encoding": "identity", **(headers or {})})
        try:
            async with asyncio.timeout(timeout):
                target = self._admit(target)
                answer = await self._ask("GET", target, sent, None, streams=True)
        except TimeoutError as error:
            raise RequestFailed(
                Sentence("%(host)s did not answer within %(number)s s.", host=_host(target), number=f"{timeout:g}")
            ) from error
        try:
            begin = await _part(answer, REFUSED, timeout) if answer.status != 200 else b""
            yield Response(answer.status, answer.headers, begin, str(target)), _lines(answer, silence, longest)
        finally:
            answer.close()

    async def close(self) -> None:
        """Close all connections. The client can't be used afterwards."""
        self._closed = True
        for session in (self._session, self._streams):
            if session is not None:
                await session.close()
        self._session = self._streams = None

    async def _follow(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None, max_bytes: int, *, follow: bool
    ) -> Response:
        """Send a request, and follow redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            url = self._admit(url)
            response = await self._send(method, url, headers, body, max_bytes)
            location = response.headers.get("location")
            if not follow or location is None or response.status not in _REDIRECTS:
                return response
            target = _redirected(url, location)
            if (response.status == 303 and method != "HEAD") or (response.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() not in _ABOUT_THE_BODY}
            if target.origin() != url.origin():
                headers = {name: value for name, value in headers.items() if name.lower() in _KEPT_ACROSS_ORIGINS}
            url = target
        raise RequestFailed(
            Sentence("%(host)s redirects more than %(most)s times.", host=_host(url), most=MAX_REDIRECTS),
            permanent=True,
        )

    def _admit(self, url: URL) -> URL:
        """Check the host here, since aiohttp doesn't call the resolver for addresses. Returns `url` with the canonical
        host.
        """
        host, port = self._check(url.raw_host or "", url.port or 0), url.port or 0
        self._guard.admit_http(host, port)
        return url if host == url.raw_host else url.with_host(host)

    async def _send(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None, max_bytes: int
    ) -> Response:
        """Send one request, and read its response."""
        answer = await self._ask(method, url, headers, body)
        try:
            content = await _read(answer, max_bytes)
        except _FAILURES as error:
            raise RequestFailed(_sentence(_host(url), error)) from error
        finally:
            answer.close()
        return Response(answer.status, answer.headers, content, str(url))

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None, *, streams: bool = False
    ) -> aiohttp.ClientResponse:
        """Send one request, and read the head of its response."""
        payload = io.BytesIO(body) if body and len(body) > LARGE_BODY else body or None
        session = self._streaming() if streams else self._opened()
        try:
            return await session.request(
                method, url, headers=headers, data=payload, allow_redirects=False, timeout=_NO_TIMEOUT
            )
        except aiohttp.ClientConnectorError as error:  # no connection, so nothing was sent
            raise RequestFailed(_sentence(_host(url), error), unsent=True) from error
        except _FAILURES as error:
            raise RequestFailed(_sentence(_host(url), error)) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open(self._limit)
        return self._session

    def _streaming(self) -> aiohttp.ClientSession:
        if self._streams is None:
            self._streams = self._open(0)
        return self._streams

    def _open(self, limit: int) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("The client is closed.")
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._guard),
            use_dns_cache=False,
            limit=limit,
            limit_per_host=max(1, limit // 2) if limit else 0,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent},
            max_line_size=32_768,
            max_field_size=32_768,
        )


def _nobody_counts(_outcome: str) -> None:
    """The default of `Client.observe`, which is called with `1xx` to `5xx`, `failed` or `blocked` per request."""


class _Resolver(AbstractResolver):
    """Makes aiohttp connect only to addresses that the guard returns."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    @override
    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._guard.resolve(host, port)
        ]

    @override
    async def close(self) -> None:
        pass


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The complete decompressed body. Stops as soon as it is too long."""
    # Responses to HEAD, and 304, state the length of a body that isn't sent.
    if not answer.content.at_eof() and (answer.content_length or 0) > max_bytes:
        raise _too_long(answer.url, max_bytes)
    chunks = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise _too_long(answer.url, max_bytes)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _part(answer: aiohttp.ClientResponse, size: int, silence: float) -> bytes:
    """What has arrived of the body, decompressed, at most `size` bytes; empty at its end."""
    try:
        async with asyncio.timeout(silence):
            return await answer.content.read(size)
    except TimeoutError as error:
        raise RequestFailed(
            Sentence("%(host)s has been silent for %(number)s s.", host=_host(answer.url), number=f"{silence:g}")
        ) from error
    except _FAILURES as error:
        raise RequestFailed(_sentence(_host(answer.url), error)) from error


async def _lines(answer: aiohttp.ClientResponse, silence: float, longest: int) -> AsyncIterator[bytes]:
    line = bytearray()
    while part := await _part(answer, READ, silence):
        for place, piece in enumerate(part.split(b"\n")):
            if place:
                yield bytes(line).removesuffix(b"\r")
                line.clear()
            line += piece
            if len(line) > longest:
                host = _host(answer.url)
                raise RequestFailed(
                    Sentence("%(host)s sent a line longer than %(size)s MB.", host=host, size=f"{longest / 1000000:g}"),
                    permanent=True,
                )
    if line:
        yield bytes(line)


def _too_long(url: URL, max_bytes: int) -> RequestFailed:
    return RequestFailed(
        Sentence("%(host)s sent an answer larger than %(size)s MB.", host=_host(url), size=f"{max_bytes / 1000000:g}"),
        permanent=True,
    )


def origin(address: str) -> str:
    """Scheme, host and port of `address`. Raises `RequestFailed` if it has none."""
    return str(_parse(address).origin())


@lru_cache(maxsize=1024)
def _parse(text: str) -> URL:
    """The address to send to. Valid percent-encoding stays as it is, byte for byte, since it may be signed."""
    if _CONTROL.search(text):
        raise RequestFailed(Sentence("The address holds a line break or another control character."), permanent=True)
    if len(text) > MAX_URL:
        raise RequestFailed(Sentence("The address is longer than %(most)s characters.", most=MAX_URL), permanent=True)
    try:
        text.encode()  # a lone surrogate has no encoding
        url = URL(text).with_fragment(None)
        raw = URL(text, encoded=True)
        if url.scheme not in ("http", "https"):
            raise RequestFailed(Sentence("The address must begin with http:// or https://."), permanent=True)
        if not url.raw_host:
            raise RequestFailed(Sentence("The address names no host."), permanent=True)
        if _ENCODED.fullmatch(raw.raw_path_qs):
            url = URL.build(
                scheme=url.scheme,
                authority=url.raw_authority,
                path=raw.raw_path,
                query_string=raw.raw_query_string,
                encoded=True,
            )
        if not url.raw_host:  # raises for some hosts that were parsed before, such as [::ffff:127.1]
            raise ValueError
    except ValueError:
        # The parser's message may repeat the address, with its password.
        raise RequestFailed(Sentence("The address is malformed: its host or port can't be."), permanent=True) from None
    return url


def _addressed(
    url: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> tuple[URL, dict[str, str]]:
    """The address and the headers, with the user and password of the address as a header."""
    target, sent = _parse(url), _headers(headers)
    if params:
        target = target.extend_query(params)
    if target.raw_user is not None or target.raw_password is not None:
        target = _authorize(target, sent)
    return target, sent


def _redirected(url: URL, location: str) -> URL:
    """Where `location` leads from `url` (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.2), without
    credentials.
    """
    host = _host(url)
    try:
        target = _parse(urljoin(str(url), location.strip()))
    except (RequestFailed, ValueError) as error:
        raise RequestFailed(
            Sentence("%(host)s redirects to where no request can go. %(error)s", host=host, error=error), permanent=True
        ) from error
    if url.scheme == "https" and target.scheme == "http":
        raise RequestFailed(
            Sentence("%(host)s redirects from https to unencrypted http, which is refused.", host=host), permanent=True
        )
    return target.with_user(None)


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the caller's headers. Raises if one can't be sent as it is; the message never contains a value."""
    sent = dict(headers or {})
    for name, value in sent.items():
        if not _TOKEN.fullmatch(name):
            raise RequestFailed(
                Sentence("'%(name)s' is no valid name of a header.", name=escaped(name)), permanent=True
            )
        if _CONTROL_BUT_TAB.search(value):
            raise RequestFailed(
                Sentence("The %(name)s header holds a line break or another control character.", name=name),
                permanent=True,
            )
        if name.lower() in _FRAMING:
            raise RequestFailed(
                Sentence("The %(name)s header is set by AREA itself and can't be given.", name=name), permanent=True
            )
    return sent


def _authorize(url: URL, headers: dict[str, str]) -> URL:
    """Move the user and password of `url` into a header."""
    if any(name.lower() == "authorization" for name in headers):
        raise RequestFailed(
            Sentence("There are a password in the address and an Authorization header; give one."), permanent=True
        )
    pair = f"{url.user or ''}:{url.password or ''}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return url.with_user(None)


def _host(url: URL) -> str:
    """The host as messages show it; paths and queries may contain secrets."""
    return url.host_port_subcomponent or ""


def _sentence(host: str, error: Exception) -> str:
    """Explain what aiohttp raised. Any of it may be temporary: names, certificates and servers get fixed."""
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailed() as problem):
            message = str(problem)
        case aiohttp.ClientConnectorDNSError():
            message = Sentence("%(host)s could not be found: its name does not resolve.", host=host)
        case aiohttp.ClientConnectorCertificateError(certificate_error=problem):
            why = getattr(problem, "verify_message", "") or str(problem)
            message = Sentence(
                "The TLS certificate of %(host)s is not valid: %(said)s.", host=host, said=why.rstrip(".")
            )
        case aiohttp.ClientConnectorSSLError(os_error=problem):
            message = Sentence(
                "%(host)s could not agree on a TLS connection: %(said)s.", host=host, said=problem.strerror or problem
            )
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            message = Sentence("%(host)s refused the connection.", host=host)
        case aiohttp.ClientConnectorError(os_error=problem):
            message = Sentence("%(host)s could not be reached: %(said)s.", host=host, said=problem.strerror or problem)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            message = Sentence("%(host)s sent an answer that is no valid HTTP.", host=host)
        case aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
            message = Sentence("%(host)s sent a body that can't be decompressed.", host=host)
        case aiohttp.ClientPayloadError():
            message = Sentence("%(host)s closed the connection before the answer was complete.", host=host)
        case _:
            message = Sentence("%(host)s closed the connection without an answer.", host=host)
    return message


def _decode(body: bytes, headers: Mapping[str, str]) -> str:
    match = _CHARSET.search(headers.get("content-type", ""))
    try:
        codec = codecs.lookup(match[1]).name if match else "utf-8"
        if codec != "utf-8" and codec not in _NO_CHARSETS:
            return body.decode(codec, errors="replace")
    except (LookupError, ValueError):
        pass  # not a charset that Python knows: UTF-8, as if none was given
    return body.decode("utf-8-sig", errors="replace")
