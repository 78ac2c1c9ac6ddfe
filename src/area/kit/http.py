"""The only outgoing HTTP client: guarded against request forgery, limited in time and size, sharing its connections.

One module, since each part is a step of one request: parse the address and headers, connect through the guard, follow
redirects, read the body, explain the error.
"""

import asyncio
import base64
import html
import re
import socket
import ssl
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from yarl import URL

from area import __version__
from area.kit.compression import BrokenError, Decoder, TooLargeError, decoder
from area.kit.deadline import Deadline
from area.kit.decoding import charset_in, decode_text, parse_json
from area.kit.http1 import Broken, Connection
from area.kit.net import Guard, LookupFailed
from area.kit.pool import NotConnected, Place, Pool, connect
from area.kit.sentences import Sentence
from area.kit.text import escaped

MAX_REDIRECTS = 5
MAX_URL = 16_384
MAX_ADDED = 1 << 22  # bytes that one read of a stream may decompress to
DECODED_HERE = 1 << 16  # bytes of a compressed body; more are decompressed in a thread
REFUSED = 10_000  # bytes to read of a response that isn't a stream

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # in the value of a header
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_UNENCODED = re.compile(r"[^!$%&-;=?-Z_a-z~\[\]]|%(?![0-9A-Fa-f]{2})")  # not allowed in a path and query by RFC 3986
_IN_QUERY = "!$'()*,/:?@"  # what `params` needn't encode
_PAGE = re.compile(r"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_PAGE_START = 4000  # bytes of a page that are read for its title
_TITLE = re.compile(r"<title\b[^>]*>([^<]+)", re.IGNORECASE)
_MARKUP = re.compile(r"<(?:script|style)\b.*?(?:</(?:script|style)>|$)|<[^>]*(?:>|$)", re.IGNORECASE | re.DOTALL)

# The client sets these itself. From a user they could make one request look like two to the server, and the next user
# of the pooled connection would read the response to the second.
_FRAMING = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_KEPT_ACROSS_ORIGINS = {"accept", "content-type", "user-agent"}
_ABOUT_THE_BODY = {"content-encoding", "content-language", "content-location", "content-type"}
_REDIRECTS = {301, 302, 303, 307, 308}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # others may be sent, too
_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}  # https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
_STATES_EMPTY = {"POST", "PUT", "PATCH"}  # that there is no body: https://www.rfc-editor.org/rfc/rfc9110#section-8.6


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
            return parse_json(self.body, charset_in(self.headers.get("content-type", "")))
        except ValueError as error:
            if self.body:
                message = Sentence(
                    "%(host)s returned %(status)s with invalid JSON: %(said)s",
                    host=self.host,
                    status=self.status,
                    said=self.excerpt(80),
                )
            else:
                message = Sentence(
                    "%(host)s returned %(status)s with an empty body instead of JSON.",
                    host=self.host,
                    status=self.status,
                )
            raise RequestFailed(message, permanent=True) from error

    def excerpt(self, limit: int = 200) -> str:
        """The first `limit` characters of the body as one line, without unprintable characters; of an HTML page, its
        title or its text.
        """
        text = _decode(self.body[: limit * 8], self.headers)
        if _PAGE.match(text):  # people read a page's title, or its text, rather than its markup
            page = _decode(self.body[:_PAGE_START], self.headers)
            title = _TITLE.search(page)
            text = html.unescape(title[1] if title else _MARKUP.sub(" ", page))
            return textwrap.shorten("".join(c if c.isprintable() else " " for c in text), limit, placeholder="…")
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
        self._canonical = lru_cache(maxsize=1024)(self._checked)
        self._user_agent = user_agent
        self._pool = Pool(guard, limit)
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
        verb = method.upper()
        if verb not in _METHODS and (not _TOKEN.fullmatch(method) or verb in {"CONNECT", "TRACE"}):
            raise RequestFailed(Sentence("'%(method)s' is not a valid method.", method=escaped(method)), permanent=True)
        try:
            async with Deadline(timeout):
                return await self._follow(verb, target, sent, body or b"", max_bytes, follow=follow)
        except TimeoutError as error:
            raise RequestFailed(
                Sentence("%(host)s did not respond within %(number)s s.", host=target.shown, number=f"{timeout:g}")
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
        connection: Connection | None = None
        try:
            try:
                async with asyncio.timeout(timeout):
                    target = self._admit(target)
                    if self._closed:
                        raise RuntimeError("The client is closed.")
                    connection = await connect(self._guard, self._destination(target))
                    await connection.send(self._head("GET", target, sent, b""), b"", streams=True)
                    await connection.begun()
            except TimeoutError as error:
                raise RequestFailed(
                    Sentence("%(host)s did not respond within %(number)s s.", host=target.shown, number=f"{timeout:g}")
                ) from error
            except (NotConnected, Broken) as error:
                raise _failure(target.shown, error) from error
            stream = _Stream(target.shown, connection, decoder(connection.headers.get("content-encoding", "")))
            begin = (await stream.read(timeout))[:REFUSED] if connection.status != 200 else b""
            yield (
                Response(connection.status, connection.headers, begin, target.text),
                _lines(stream, silence, longest),
            )
        finally:
            if connection is not None:
                connection.close()

    async def close(self) -> None:
        """Close all connections. The client can't be used afterwards."""
        self._closed = True
        self._pool.close()

    async def _follow(
        self, method: str, target: "Target", headers: dict[str, str], body: bytes, max_bytes: int, *, follow: bool
    ) -> Response:
        """Send a request, and follow redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            target = self._admit(target)
            response = await self._send(method, target, headers, body, max_bytes)
            if not follow or response.status not in _REDIRECTS:
                return response
            location = response.headers.get("location")
            if location is None:
                return response
            following = _redirected(target, location)
            if (response.status == 303 and method != "HEAD") or (response.status in (301, 302) and method == "POST"):
                method, body = "GET", b""
                headers = {name: value for name, value in headers.items() if name.lower() not in _ABOUT_THE_BODY}
            if following.origin != target.origin:
                headers = {name: value for name, value in headers.items() if name.lower() in _KEPT_ACROSS_ORIGINS}
            target = following
        raise RequestFailed(
            Sentence("%(host)s redirected more than %(most)s times.", host=target.shown, most=MAX_REDIRECTS),
            permanent=True,
        )

    def _admit(self, target: "Target") -> "Target":
        """The target with its canonical host. Raises `Blocked`; the address that is connected to is checked, too."""
        place = self._canonical(target.place)
        self._guard.admit_http(place.host, place.port)
        return target if place is target.place else target.at(place)

    def _destination(self, target: "Target") -> Place:
        """Where a request to `target` is sent to."""
        return target.place

    def _checked(self, place: Place) -> Place:
        host = self._guard.check(place.host, place.port)
        return place if host == place.host else Place(host, place.port, place.tls)

    async def _send(
        self, method: str, target: "Target", headers: dict[str, str], body: bytes, max_bytes: int
    ) -> Response:
        """Send one request, and read its response."""
        place, head = self._destination(target), self._head(method, target, headers, body)
        try:
            try:
                answer = await self._exchange(place, head, body, max_bytes, method)
            except Broken as error:
                # a kept connection that the server had closed: RFC 9112 §9.3.1
                if not error.stale or method not in _IDEMPOTENT:
                    raise
                answer = await self._exchange(place, head, body, max_bytes, method, new=True)
        except (NotConnected, Broken) as error:
            raise _failure(target.shown, error, max_bytes) from error
        status, fields, content = answer
        coding = fields.get("content-encoding")
        if content and coding is not None and (undo := decoder(coding)):
            content = await _decoded(target.shown, undo, content, max_bytes)
        return Response(status, fields, content, target.text)

    async def _exchange(
        self, place: Place, head: bytes, body: bytes, most: int, method: str, *, new: bool = False
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = await self._pool.take(place, new=new)
        try:
            await connection.send(head, body, most, head_only=method == "HEAD")
            await connection.whole()
            parts = connection.body
            return connection.status, connection.headers, parts[0] if len(parts) == 1 else b"".join(parts)
        except BaseException:
            connection.close()
            raise
        finally:
            self._pool.give(place, connection)

    def _head(self, method: str, target: "Target", headers: dict[str, str], body: bytes) -> bytes:
        """The head of a request: the caller's headers, and what they leave out."""
        lines = [f"{method} {target.path} HTTP/1.1\r\nHost: {target.shown}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        names = {name.lower() for name in headers}
        if "user-agent" not in names:
            lines.append(f"User-Agent: {self._user_agent}")
        if "accept" not in names:
            lines.append("Accept: */*")
        if "accept-encoding" not in names:
            lines.append("Accept-Encoding: gzip, deflate")
        if body:
            lines.append(f"Content-Length: {len(body)}")
            if "content-type" not in names:
                lines.append("Content-Type: application/octet-stream")
        elif method in _STATES_EMPTY:
            lines.append("Content-Length: 0")
        lines.append("\r\n")
        return "\r\n".join(lines).encode()


def _nobody_counts(_outcome: str) -> None:
    """The default of `Client.observe`, which is called with `1xx` to `5xx`, `failed` or `blocked` per request."""


async def _decoded(host: str, undo: Decoder, content: bytes, most: int) -> bytes:
    """The decompressed body."""
    try:
        if len(content) <= DECODED_HERE:
            return undo.decode(content, most)
        return await asyncio.to_thread(undo.decode, content, most)
    except BrokenError as error:
        raise _undecodable(host) from error
    except TooLargeError as error:
        raise _too_long(host, most) from error


@dataclass(slots=True)
class _Stream:
    """The body of a response that may never end."""

    host: str
    connection: Connection
    decoder: Decoder | None

    async def read(self, silence: float) -> bytes:
        """The next bytes, decompressed; empty at the end."""
        try:
            async with asyncio.timeout(silence):
                while data := await self.connection.read():
                    if self.decoder is None:
                        return data
                    if data := self.decoder.decode(data, MAX_ADDED):
                        return data
                return b""
        except TimeoutError as error:
            raise RequestFailed(
                Sentence("%(host)s sent nothing for %(number)s s.", host=self.host, number=f"{silence:g}")
            ) from error
        except Broken as error:
            raise _failure(self.host, error) from error
        except BrokenError as error:
            raise _undecodable(self.host) from error
        except TooLargeError as error:
            raise _too_long(self.host, MAX_ADDED) from error


async def _lines(stream: _Stream, silence: float, longest: int) -> AsyncIterator[bytes]:
    line = bytearray()
    while part := await stream.read(silence):
        for place, piece in enumerate(part.split(b"\n")):
            if place:
                yield bytes(line).removesuffix(b"\r")
                line.clear()
            line += piece
            if len(line) > longest:
                raise RequestFailed(
                    Sentence(
                        "%(host)s sent a line longer than %(size)s MB.",
                        host=stream.host,
                        size=f"{longest / 1000000:g}",
                    ),
                    permanent=True,
                )
    if line:
        yield bytes(line)


def _too_long(host: str, most: int) -> RequestFailed:
    return RequestFailed(
        Sentence("%(host)s sent a response larger than %(size)s MB.", host=host, size=f"{most / 1000000:g}"),
        permanent=True,
    )


def _undecodable(host: str) -> RequestFailed:
    return RequestFailed(Sentence("%(host)s sent a body that can't be decompressed.", host=host))


@dataclass(frozen=True, slots=True)
class Target:
    """An address to send to, without its credentials. `shown` is the host as messages show it, since paths and queries
    may contain secrets; `credentials` are the value of a header.
    """

    place: Place
    origin: str
    shown: str
    path: str
    credentials: str | None = None

    @property
    def text(self) -> str:
        """The whole address."""
        return f"{self.origin}{self.path}"

    def at(self, place: Place) -> "Target":
        """The same at another name of the host."""
        default = place.port == (443 if place.tls else 80)
        host = f"[{place.host}]" if ":" in place.host else place.host
        shown = host if default else f"{host}:{place.port}"
        return Target(place, f"http{'s' * place.tls}://{shown}", shown, self.path, self.credentials)


def origin(address: str) -> str:
    """Scheme, host and port of `address`. Raises `RequestFailed` if it has none."""
    return _parse(address).origin


@lru_cache(maxsize=1024)
def _parse(text: str) -> Target:
    """The address to send to. Valid percent-encoding stays as it is, byte for byte, since it may be signed."""
    if _CONTROL.search(text):
        raise RequestFailed(Sentence("The address contains a line break or another control character."), permanent=True)
    if len(text) > MAX_URL:
        raise RequestFailed(Sentence("The address is longer than %(most)s characters.", most=MAX_URL), permanent=True)
    try:
        text.encode()  # a lone surrogate has no encoding
        url = URL(text).with_fragment(None)
        raw = URL(text, encoded=True)
        if url.scheme not in ("http", "https"):
            raise RequestFailed(Sentence("The address must begin with http:// or https://."), permanent=True)
        if not url.raw_host:
            raise RequestFailed(Sentence("The address has no host."), permanent=True)
        place = Place(url.raw_host, url.port or 0, url.scheme == "https")
        shown, start = url.host_port_subcomponent or "", str(url.origin())
    except ValueError:
        # The parser's message may repeat the address, with its password.
        raise RequestFailed(
            Sentence("The address is malformed: its host or port is invalid."), permanent=True
        ) from None
    credentials = None
    if url.raw_user is not None or url.raw_password is not None:
        pair = f"{url.user or ''}:{url.password or ''}"
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Target(place, start, shown, _encoded(raw.raw_path_qs), credentials)


def _encoded(path: str) -> str:
    """The path and query with everything encoded that must be, and nothing else."""
    return _UNENCODED.sub(lambda match: quote(match[0], safe=""), path)


def _addressed(
    url: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> tuple[Target, dict[str, str]]:
    """The address and the headers, with the user and password of the address as a header."""
    target, sent = _parse(url), _headers(headers)
    if params:
        query = urlencode(params, doseq=True, safe=_IN_QUERY)
        start = target.path if "?" in target.path else f"{target.path}?"
        target = replace(target, path=f"{start}{'' if start.endswith(('?', '&')) else '&'}{query}")
    if target.credentials is not None:
        if any(name.lower() == "authorization" for name in sent):
            raise RequestFailed(
                Sentence("Use either a password in the address or an Authorization header, not both."), permanent=True
            )
        sent["Authorization"] = target.credentials
    return target, sent


def _redirected(target: Target, location: str) -> Target:
    """Where `location` leads from `target` (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.2), without
    credentials.
    """
    try:
        following = _parse(urljoin(target.text, location.strip()))
    except (RequestFailed, ValueError) as error:
        raise RequestFailed(
            Sentence(
                "%(host)s redirected to an address that can't be requested. %(error)s", host=target.shown, error=error
            ),
            permanent=True,
        ) from error
    if target.place.tls and not following.place.tls:
        raise RequestFailed(
            Sentence(
                "%(host)s redirected from https to unencrypted http, which AREA doesn't follow.", host=target.shown
            ),
            permanent=True,
        )
    return replace(following, credentials=None) if following.credentials else following


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the caller's headers. Raises if one can't be sent as it is; the message never contains a value."""
    sent = dict(headers or {})
    for name, value in sent.items():
        if not _TOKEN.fullmatch(name):
            raise RequestFailed(Sentence("'%(name)s' is not a valid header name.", name=escaped(name)), permanent=True)
        if _UNSENDABLE.search(value):
            raise RequestFailed(
                Sentence("The %(name)s header contains a line break or another control character.", name=name),
                permanent=True,
            )
        if name.lower() in _FRAMING:
            raise RequestFailed(Sentence("AREA sets the %(name)s header itself. Remove it.", name=name), permanent=True)
    return sent


def _failure(host: str, error: NotConnected | Broken, most: int = 0) -> RequestFailed:
    """Explain why there is no response. Most may be temporary: names, certificates and servers get fixed."""
    if isinstance(error, NotConnected):
        return RequestFailed(_not_connected(host, error.__cause__), unsent=True)
    match error.reason:
        case "malformed":
            message = Sentence("%(host)s sent an invalid HTTP response.", host=host)
        case "incomplete":
            message = Sentence("%(host)s closed the connection before the response was complete.", host=host)
        case "no_answer":
            message = Sentence("%(host)s closed the connection without responding.", host=host)
        case "too_long":
            return _too_long(host, most)
    return RequestFailed(message)


def _not_connected(host: str, cause: BaseException | None) -> str:
    match cause:
        case LookupFailed():
            return str(cause)
        case socket.gaierror():
            return Sentence("%(host)s could not be found: its name doesn't resolve.", host=host)
        case ssl.SSLCertVerificationError():
            why = cause.verify_message or str(cause)
            return Sentence("The TLS certificate of %(host)s is not valid: %(said)s.", host=host, said=why.rstrip("."))
        case ssl.SSLError():
            return Sentence(
                "The TLS handshake with %(host)s failed: %(said)s.", host=host, said=cause.strerror or cause
            )
        case ConnectionRefusedError():
            return Sentence("%(host)s refused the connection.", host=host)
        case _:
            reason = getattr(cause, "strerror", None) or cause
            return Sentence("%(host)s could not be reached: %(said)s.", host=host, said=reason)


def _decode(body: bytes, headers: Mapping[str, str]) -> str:
    return decode_text(body, charset_in(headers.get("content-type", "")))
