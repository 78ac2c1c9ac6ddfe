"""The client that connectors call the world with: guarded, bounded, and mapping answers to the three errors."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from area.kit.http import Client, RequestFailed, Response
from area.kit.net import Blocked
from area.sdk.errors import AuthExpired, Permanent, Retry

__all__ = ["Http", "Response"]

MAX_RETRY_AFTER = timedelta(hours=24)


class Http:
    """Requests on behalf of one connection. `headers` (its authentication) are added to requests to `base_url` only.

    Every method raises `Retry` when the other side can't be reached, is too slow or answers 408, 425, 429 or 5xx (with its
    `Retry-After`), `AuthExpired` on 401 when there is a connection, and `Permanent` on any other status from 400.
    """

    def __init__(
        self, client: Client, base_url: str = "", headers: Mapping[str, str] | None = None, *, connected: bool = False
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._headers = dict(headers or {})
        self._connected = connected

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
        """Send a request and return the answer, whatever its status; at most one of `json`, `data` (form) and `body`.

        A longer answer than `max_bytes` raises `Permanent`. Raises `Retry` when no answer came, `Permanent` when the address
        is refused by the guard or malformed.
        """
        sent = {**(self._headers if self._base_url and url.startswith("/") else {}), **(headers or {})}
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        target = self._base_url + url if url.startswith("/") else url
        try:
            response = await self._client.request(
                method, target, params=params, headers=sent, data=data, body=body,
                timeout=timeout, max_bytes=max_bytes, follow=follow,
            )  # fmt: skip
        except Blocked as error:
            self._client.observe("blocked")
            raise Permanent(str(error)) from error
        except RequestFailed as error:
            self._client.observe("failed")
            raise (Permanent if error.permanent else Retry)(str(error)) from error
        self._client.observe(f"{response.status // 100}xx")
        return response

    async def call(self, method: str, url: str, **options: Any) -> Response:
        """`request`, with a status from 400 turned into one of the three errors."""
        response = await self.request(method, url, **options)
        self.check(response)
        return response

    async def get(self, url: str, **options: Any) -> Any:
        """GET and parse JSON."""
        return _json(await self.call("GET", url, **options))

    async def post(self, url: str, **options: Any) -> Any:
        """POST and parse JSON; None when the answer has no body."""
        response = await self.call("POST", url, **options)
        return _json(response) if response.body else None

    async def get_if_changed(self, url: str, state: dict[str, Any], **options: Any) -> Response | None:
        """GET with the ETag and Last-Modified that `state` remembers; None when nothing changed (RFC 9110 §13).

        Remembers in `state` what the answer says, and the hash of its body for servers that know neither header.
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

    def check(self, response: Response) -> None:
        """Raise the error that the status stands for; nothing below 400."""
        status = response.status
        if status < 400:
            return
        said = f"{response.host} answered {status}{': ' + response.excerpt() if response.body else '.'}"
        if status == 401 and self._connected:
            raise AuthExpired(f"{said} The connection must be renewed.")
        if status in (408, 425, 429) or status >= 500:
            after = response.retry_after()
            raise Retry(said, min(after, MAX_RETRY_AFTER) if after else None, parks=status == 429 and self._connected)
        raise Permanent(said)


def _json(response: Response) -> Any:
    try:
        return response.json()
    except RequestFailed as error:
        raise Permanent(str(error)) from error
