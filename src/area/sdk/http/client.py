"""The client's requests: guarded, bounded, and mapping responses to the three errors.

Long because it is one class: every kind of request shares the same checks of where it goes and what the response means.
"""

import hashlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, overload

import orjson

from area.kit.http import Client, RequestFailed, Response, origin
from area.kit.net import Blocked
from area.kit.sentences import Sentence
from area.sdk.answers import lookup
from area.sdk.errors import AuthExpired, ConnectorError, Gone, Permanent, Retry, Unauthorized
from area.sdk.http.access import Access, Authority
from area.sdk.http.pages import Pages, next_page
from area.sdk.http.parse import Parsed, json_of, object_of, parse

Where = Callable[[dict[str, Any]], object]
Refusal = Callable[[Response, Mapping[str, Any]], ConnectorError | None]
MAX_RETRY_AFTER = timedelta(hours=24)
MAX_SAID = 500  # characters of a vendor's message
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110 §9.2.2
LIMITED = timedelta(minutes=1)  # where a vendor that limits requests does not say for how long
WHOLE = Pages()  # of a vendor whose lists come whole, or with the next address in `Link`

# as https://url.spec.whatwg.org/#double-dot-path-segment has them
_UP = re.compile(r"/(?:\.|%2e){1,2}(?=/|\Z|#)", re.IGNORECASE)


class Http:
    """Requests on behalf of one connection. Its `authority` authorizes requests to the service's own hosts, and to no
    others.

    These are the host of `base_url` (or of the user's own server) and `hosts`: names, reached by https, or whole
    origins; `*.example.com` matches every subdomain. A redirect to another host carries no authorization.

    `app` authorizes requests that AREA makes for itself, through `http.app`.

    `name` is the vendor's name, `pages` how it paginates, `refusal` interprets its responses beyond their status,
    `retry` lists temporary failures (as for `call`), `headers` are sent with every request, and `limited` lists the
    codes of GraphQL errors that mean too many requests.

    Every method raises `Retry` if the server can't be reached, is too slow or returns 408, 425, 429 or 5xx (with its
    `Retry-After`), or a 403 that means a rate limit; `AuthExpired` on 401 if there is a connection; and `Permanent` on
    any other status from 400.
    """

    def __init__(
        self,
        client: Client,
        base_url: str = "",
        *,
        authority: Authority | None = None,
        app: Authority | None = None,
        hosts: Sequence[str] = (),
        connected: bool = False,
        name: str = "",
        pages: Pages = WHOLE,
        refusal: Refusal | None = None,
        headers: Mapping[str, str] | None = None,
        limited: Collection[str] = (),
        retry: Collection[int | str] = (),
    ) -> None:
        self._client = client
        self._retry = tuple(retry)
        self._limited = frozenset(limited)
        self._headers = dict(headers or {})
        self._name = name
        self._pages = pages
        self._refusal = refusal
        self._base_url = (authority.base_url if authority else "") or base_url
        self._authority = authority
        self._app = app
        self.connected = connected or authority is not None
        self._domains = tuple(host[1:] for host in hosts if host.startswith("*."))
        named = [host for host in hosts if not host.startswith("*.")]
        addresses = [self._base_url, *(host if "://" in host else f"https://{host}" for host in named)]
        self._origins = frozenset(result for address in addresses if (result := _origin(address)))
        self._masks: Callable[[str], str] = str
        self._more: tuple[Callable[[str], bool], Callable[[], Mapping[str, str]]] | None = None

    def sending_to(self, which: Callable[[str], bool], headers: Callable[[], Mapping[str, str]]) -> "Http":
        """The same client, which also sends what `headers` returns with requests to the URLs that `which` accepts."""
        other = copy(self)
        other._more = which, headers  # noqa: SLF001 - it is one of us
        return other

    @property
    def app(self) -> "Http":
        """The same vendor, called with AREA's own registration rather than as a user.

        A 401 says nothing about the user's connection, so it is `Permanent` here. Raises `Permanent` for a service that
        isn't connected with OAuth2.
        """
        if self._app is None:
            raise Permanent(Sentence("This server isn't registered with %(name)s.", name=self._name or "this service"))
        other = copy(self)
        other._authority, other.connected = self._app, False  # noqa: SLF001 - it is one of us
        return other

    @property
    def anonymous(self) -> "Http":
        """The same client without the connection."""
        other = copy(self)
        other._authority, other.connected = None, False  # noqa: SLF001 - it is one of us
        return other

    def hide(self, text: str) -> str:
        """The text with dots instead of the connection's secrets."""
        return self._masks(text)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30,
        max_bytes: int = 10_000_000,
        follow: bool = True,
    ) -> Response:
        """Send a request and return the response, whatever its status. Pass at most one of `json`, `data` (form) and
        `body`.

        Raises `Retry` if there is no response, and `Permanent` if the response is longer than `max_bytes` or the URL is
        malformed or not allowed.
        """
        if json is not None:
            body = orjson.dumps(json)
        options: dict[str, Any] = {
            "params": params, "data": data, "body": body, "timeout": timeout, "max_bytes": max_bytes, "follow": follow,
        }  # fmt: skip
        target = self._target(url)
        sent = self._given(target, headers)
        if json is not None and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        authority = self._authority
        if authority is None or not self._is_ours(target):
            self._refuse_elsewhere(target)
            return await self._send(method, target, sent, options)
        access = await authority.access()
        response = await self._send_with(access, method, target, sent, options)
        if authority.refuses(response) and self._is_ours(response.url):
            other = await authority.renewed(access, response.status)
            if other is not None:
                response = await self._send_with(other, method, target, sent, options)
        return response

    def _target(self, url: str) -> str:
        """The full URL. Raises `Permanent` for a path that leads up in the service: a value has become a segment."""
        if not url.startswith("/"):
            return url
        if _UP.search(url.partition("?")[0]):
            raise Permanent(Sentence('"." and ".." can\'t be a part of an address.'))
        return self._base_url + url

    async def _send_with(
        self, access: Access, method: str, target: str, headers: Mapping[str, str], options: Mapping[str, Any]
    ) -> Response:
        sent = self._let_in(access, headers)
        if not access.params:
            return await self._send(method, target, sent, options)
        # what is in the address would go along with a redirect, and into what is told of the answer
        params = {**(options["params"] or {}), **access.params}
        response = await self._send(method, target, sent, {**options, "params": params, "follow": False})
        if options["follow"] and 300 <= response.status < 400 and "location" in response.headers:
            raise Permanent(
                Sentence(
                    "%(host)s redirected. AREA doesn't follow redirects when the URL contains a key.",
                    host=response.host,
                )
            )
        return replace(response, url=target)

    def _let_in(self, access: Access, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers; the access's own take precedence."""
        self._masks = access.without_secrets
        names = {name.lower() for name in access.headers}
        return {name: value for name, value in headers.items() if name.lower() not in names} | dict(access.headers)

    async def _send(self, method: str, target: str, headers: Mapping[str, str], options: Mapping[str, Any]) -> Response:
        with self._failing(method):
            response = await self._client.request(method, target, headers=headers, **options)
        self._client.observe(f"{response.status // 100}xx")
        return response

    @contextmanager
    def _failing(self, method: str) -> Iterator[None]:
        """Map the client's exceptions to two of the three errors."""
        try:
            yield
        except Blocked as error:
            self._client.observe("blocked")
            raise Permanent(str(error)) from error
        except RequestFailed as error:
            self._client.observe("failed")
            if error.permanent:
                raise Permanent(str(error)) from error
            raise Retry(str(error), unsure=not error.unsent and method.upper() not in IDEMPOTENT) from error

    def _refuse_elsewhere(self, target: str) -> None:
        """Raises `Permanent` for a request elsewhere if the connection is bound to one origin."""
        if self._authority is not None and self._authority.bound and not self._is_ours(target):
            place = _origin(target) or "another address"
            raise Permanent(
                Sentence(
                    "The credential is for %(base_url)s, but the request goes to %(place)s. Choose another"
                    " credential, or none.",
                    base_url=self._base_url,
                    place=place,
                )
            )

    def _given(self, target: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        more = self._more[1]() if self._more and self._more[0](target) else {}
        return {**(self._headers if self._headers and self._is_ours(target) else {}), **(headers or {}), **more}

    def _is_ours(self, address: str) -> bool:
        """Whether the URL is on one of the service's own hosts, according to the parser that also sends it."""
        place = _origin(address)
        return place in self._origins or (place.startswith("https://") and place.endswith(self._domains))

    async def call(
        self,
        method: str,
        url: str,
        *,
        retry: Collection[int | str] = (),
        gone: Collection[int | str] = (),
        **options: Any,
    ) -> Response:
        """Like `request`, but maps statuses from 400 to one of the three errors; those in `retry` become `Retry`.

        Those in `gone` raise `Gone`, for callers that can handle it. Both may also list words to look for in 4xx
        responses.
        """
        response = await self.request(method, url, **options)
        if _is_one(response, gone):
            raise Gone(
                self._masks(
                    Sentence(
                        "%(host)s returned %(status)s: %(said)s",
                        host=response.host,
                        status=response.status,
                        said=response.excerpt(),
                    )
                )
            )
        try:
            self.check(response, retry)
        except Retry as error:
            # a gateway does not know either: RFC 9110 §15.6.3, §15.6.5
            error.unsure = response.status in (502, 504) and method.upper() not in IDEMPOTENT
            raise
        return response

    @overload
    async def get(self, url: str, **options: Any) -> Any: ...
    @overload
    async def get(self, url: str, kind: type[Parsed], *, at: str = "", **options: Any) -> Parsed: ...
    async def get(self, url: str, kind: Any = Any, *, at: str = "", **options: Any) -> Any:
        """GET and parse JSON: as a `kind`, if given, from the path `at` (as for `output`) in the response."""
        return self._parsed(await self.call("GET", url, **options), kind, at)

    @overload
    async def post(self, url: str, **options: Any) -> Any: ...
    @overload
    async def post(self, url: str, kind: type[Parsed], *, at: str = "", **options: Any) -> Parsed: ...
    async def post(self, url: str, kind: Any = Any, *, at: str = "", **options: Any) -> Any:
        """POST and parse JSON, like `get`. Without a `kind`, None if the response has no body."""
        response = await self.call("POST", url, **options)
        return self._parsed(response, kind, at) if response.body or kind is not Any else None

    async def ask(self, method: str, url: str, kind: type[Parsed], *, at: str = "", **options: Any) -> Parsed:
        """Send a request and parse JSON, like `get`."""
        parsed: Parsed = self._parsed(await self.call(method, url, **options), kind, at)
        return parsed

    def _parsed(self, response: Response, kind: Any, at: str) -> Any:
        body = json_of(response)
        return (
            body
            if kind is Any and not at
            else parse(kind, lookup(at, body) if at else body, self._name or response.host)
        )

    @overload
    def rows(
        self,
        url: str,
        *,
        at: str | None = None,
        pages: Pages | None = None,
        most: int = 0,
        where: Where | None = None,
        **options: Any,
    ) -> AsyncIterator[dict[str, Any]]: ...
    @overload
    def rows(
        self,
        url: str,
        kind: type[Parsed],
        *,
        at: str | None = None,
        pages: Pages | None = None,
        most: int = 0,
        where: Where | None = None,
        **options: Any,
    ) -> AsyncIterator[Parsed]: ...
    async def rows(
        self,
        url: str,
        kind: Any = dict[str, Any],
        *,
        at: str | None = None,
        pages: Pages | None = None,
        most: int = 0,
        where: Where | None = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Request a list page by page and yield each row as a `kind` if `where` is true of it: all rows, or at most
        `most`.

        `pages` replaces the service's own, and `at` its `rows`. `options` are those of `call`, and `method`. Raises
        like `call`, and `Permanent` if the response contains no list.
        """
        path = (pages or self._pages).rows if at is None else at
        vendor, count = self._name or url, 0
        async for answer in self.answers(url, Any, pages=pages, **options):
            rows = lookup(path, answer, []) if path else answer
            for row in parse(list[Any], rows, vendor):
                if where is not None and not where(row):
                    continue
                yield parse(kind, row, vendor)
                count += 1
                if count == most:
                    return

    async def answers(
        self,
        url: str,
        kind: Any = dict[str, Any],
        *,
        pages: Pages | None = None,
        method: str = "GET",
        **options: Any,
    ) -> AsyncIterator[Any]:
        """The pages of such a list, each as a `kind`, for vendors whose pages contain more than rows."""
        how = pages or self._pages
        body = options.pop("json", None)
        options["params"] = {**how.query, **(options.get("params") or {})}
        for _ in range(how.most):
            response = await self.call(method, url, json=body, **options)
            answer = json_of(response)
            yield parse(kind, answer, self._name or response.host)
            following = next_page(how, response, answer)
            if not following or (how.more and not lookup(how.more, answer)):
                return
            if isinstance(following, Mapping):
                options["params"] = {**options["params"], **{name: str(value) for name, value in following.items()}}
            elif not how.cursor:
                url, options["params"] = str(following), {}
            elif body is None:
                options["params"] = {**options["params"], how.cursor: str(following)}
            else:
                body = {**body, how.cursor: following}

    async def lines(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = 120,
        longest: int = 1_000_000,
    ) -> AsyncGenerator[str, None]:
        """GET a response that may never end, such as server-sent events, and yield its lines as they arrive, without
        line ends.

        Raises like `call`, `Retry` if nothing arrives for `silence` seconds or the connection breaks, and `Permanent`
        for a line of more than `longest` bytes and for any status but 200: redirects are not followed. Returns when the
        other side ends the response.
        """
        target = self._target(url)
        authority = self._authority if self._is_ours(target) else None
        access = await authority.access() if authority else Access()
        provided = self._given(target, headers)
        for renewable in (True, False):
            sent = self._let_in(access, provided) if authority else provided
            query = {**(params or {}), **access.params}
            with self._failing("GET"):
                async with self._client.stream(
                    target, params=query, headers=sent, silence=silence, longest=longest
                ) as (begun, lines):
                    head = replace(begun, url=target)  # without what lets in
                    self._client.observe(f"{head.status // 100}xx")
                    if renewable and authority and authority.refuses(head):
                        other = await authority.renewed(access, head.status)
                        if other is not None:
                            access = other
                            continue
                    self.check(head)
                    if head.status != 200:
                        raise Permanent(
                            Sentence(
                                "%(host)s returned %(status)s instead of a stream.", host=head.host, status=head.status
                            )
                        )
                    async for line in lines:
                        yield line.decode(errors="replace")
            return

    @overload
    async def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, *, at: str = "", **options: Any
    ) -> dict[str, Any]: ...
    @overload
    async def graphql(
        self, query: str, variables: Mapping[str, Any] | None, kind: type[Parsed], *, at: str = "", **options: Any
    ) -> Parsed: ...
    async def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        kind: Any = dict[str, Any],
        *,
        at: str = "",
        path: str = "/graphql",
        **options: Any,
    ) -> Any:
        """The `data` of a GraphQL response, or the value at the path `at` in it, as a `kind`. `options` are those of
        `request`.

        An error, whatever the status, raises `Permanent` with its message, or `Retry` for the whole connection if its
        code or type in `extensions` is one of the service's `limited`; otherwise the status counts.
        https://spec.graphql.org/October2021/#sec-Response-Format
        """
        response = await self.request("POST", path, json={"query": query, "variables": variables or {}}, **options)
        if response.status in (401, 408, 425, 429) or response.status >= 500:
            self.check(response)
        body = parse(dict[str, Any], response, response.host) if response.status < 400 else object_of(response)
        errors = body.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            first = errors[0]
            more = first.get("extensions")
            codes = {more.get("code"), more.get("type")} if isinstance(more, dict) else set()
            message = self._masks(
                Sentence(
                    "%(host)s returned an error: %(said)s",
                    host=response.host,
                    said=str(first.get("message"))[:MAX_SAID],
                )
            )
            if codes & self._limited:
                raise Retry(message, response.retry_after(), parks=self.connected)
            raise Permanent(message)
        self.check(response)
        data = body.get("data")
        return parse(kind, lookup(at, data) if at else data, self._name or response.host)

    async def nodes(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        kind: Any = dict[str, Any],
        *,
        at: str,
        most: int = 5,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """The nodes of the GraphQL connection at the path `at`, each as a `kind`. Reads at most `most` pages.

        The query takes `$after` and selects `pageInfo { hasNextPage endCursor }`
        (https://relay.dev/graphql/connections.htm). Raises like `graphql`.
        """
        values = ({"after": None} if "$after" in query else {}) | dict(variables or {})
        for _ in range(most):
            page = await self.graphql(query, values, at=at, **options)
            for node in parse(list[Any], page.get("nodes"), self._name):
                yield parse(kind, node, self._name)
            values["after"] = lookup("pageInfo.endCursor", page)
            if not values["after"] or not lookup("pageInfo.hasNextPage", page):
                return

    async def get_if_changed(self, url: str, state: dict[str, Any], **options: Any) -> Response | None:
        """GET with the ETag and Last-Modified in `state`; None if nothing changed (RFC 9110 §13).

        Stores the response's validators in `state`, and the hash of its body for servers that send neither header.
        """
        headers = dict(options.pop("headers", None) or {})
        if state.get("url") == url:
            if state.get("etag"):
                headers["If-None-Match"] = state["etag"]
            if state.get("last_modified"):
                headers["If-Modified-Since"] = state["last_modified"]
        response = await self.request("GET", url, headers=headers, **options)
        if response.status == 304:
            return None
        self.check(response)
        digest = hashlib.sha256(response.body).hexdigest()
        same = state.get("url") == url and state.get("sha256") == digest
        state.update(
            url=url,
            etag=response.headers.get("etag"),
            last_modified=response.headers.get("last-modified"),
            sha256=digest,
        )
        return None if same else response

    def check(self, response: Response, retry: Collection[int | str] = ()) -> None:
        """Raise the error for the status (`Retry` for those in `retry`, too). Does nothing below 400."""
        status = response.status
        ours = self.connected and (not (self._origins or self._domains) or self._is_ours(response.url))
        if self._authority is not None and ours and status < 400 and self._authority.refuses(response):
            raise AuthExpired(Sentence("%(host)s no longer accepts this connection. Reconnect it.", host=response.host))
        if (
            self._refusal is not None
            and self._is_ours(response.url)
            and (error := self._refusal(response, object_of(response)))
        ):
            error.args = (self._masks(str(error)),)
            raise error
        if status < 400:
            return
        if response.body:
            sentence = Sentence(
                "%(host)s returned %(status)s: %(said)s", host=response.host, status=status, said=response.excerpt()
            )
        else:
            sentence = Sentence("%(host)s returned %(status)s.", host=response.host, status=status)
        sentence = Sentence(self._masks(sentence))
        if status == 401 and ours:
            raise Unauthorized(sentence)
        passes = _is_one(response, retry) or (self._is_ours(response.url) and _is_one(response, self._retry))
        if status in (408, 425, 429) or status >= 500 or passes:
            after = response.retry_after()
            raise Retry(
                sentence, min(after, MAX_RETRY_AFTER) if after else None, parks=status == 429 and self.connected
            )
        if status == 403 and (wait := _quota(response)):
            raise Retry(sentence, min(wait, MAX_RETRY_AFTER), parks=self.connected)
        raise Permanent(sentence)


def _is_one(response: Response, of: Collection[int | str]) -> bool:
    """Whether the status is listed, or a 4xx response contains one of the listed words."""
    words = [word for word in of if isinstance(word, str)] if 400 <= response.status < 500 else []
    return response.status in of or any(word in response.text for word in words)


def _quota(response: Response) -> timedelta | None:
    """How long to wait if a 403 means a rate limit, as at GitHub and Google; None if it doesn't.

    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    if after := response.retry_after():
        return after
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        seconds = int(reset) - time.time() if re.fullmatch(r"[0-9]{10}", reset) else LIMITED.total_seconds()
        return timedelta(seconds=max(1, seconds))
    return LIMITED if "rate limit" in response.excerpt(1000).lower() else None


def _origin(address: str) -> str:
    """The origin of `address`, or "" if it can't be sent; the client raises the error when it sends it."""
    try:
        return origin(address) if address else ""
    except RequestFailed:
        return ""
