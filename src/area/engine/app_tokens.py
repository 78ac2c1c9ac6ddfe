"""Tokens of AREA's own registrations at vendors (client credentials, RFC 6749 §4.4), for requests that no user's
connection makes.

They are cached in the process only: a lost one costs a request, and the tokens of several processes are valid side by
side.
"""

import asyncio
import time
from collections import defaultdict
from datetime import datetime, timedelta

import structlog
from pydantic import SecretStr

from area.connections import grants, registrations
from area.engine.state import State
from area.kit import oauth2
from area.kit.clock import now
from area.kit.http import Response
from area.kit.keys import Keys
from area.kit.oauth2 import GrantFailed
from area.kit.sentences import Sentence
from area.sdk import Access, OAuth2, Permanent, Retry, Service

log = structlog.get_logger()

REST = 10.0  # seconds between a refusal and the next try


class AppTokens:
    """One process's tokens, by client. Concurrent callers share one request to the vendor."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: dict[str, tuple[SecretStr, datetime | None]] = {}  # by client, with when to refresh
        self._resting: dict[str, tuple[float, str]] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def good(self, service: Service, auth: OAuth2, stale: str = "") -> Access:
        """Access with a token other than `stale`.

        Raises `Permanent` if AREA is not registered at the vendor, `Retry` if the vendor gives no token right now.
        """
        keys = registrations.keys_of(service, self._state.settings)
        if keys is None:
            raise Permanent(
                Sentence("This server has no client ID for %(name)s. Tell an administrator.", name=service.name)
            )
        client = registrations.client_of(service)
        async with self._asking[client]:
            token, refresh_at = self._kept.get(client, (None, None))
            due = refresh_at is not None and refresh_at <= now()
            if token is None or due or token.get_secret_value() == stale:
                token = await self._ask(service, auth, client, keys)
        return auth.access(keys.id, token)

    async def _ask(self, service: Service, auth: OAuth2, client: str, keys: Keys) -> SecretStr:
        until, message = self._resting.get(client, (0.0, ""))
        if until > time.monotonic():
            raise Retry(message, timedelta(seconds=REST))
        try:
            grant = await oauth2.client_credentials(self._state.client, auth.server, keys)
        except GrantFailed as error:
            message = Sentence(
                "%(name)s rejected this server's client ID or secret: %(error)s", name=service.name, error=error
            )
            self._resting[client] = (time.monotonic() + REST, message)
            raise Retry(message, timedelta(seconds=REST)) from None
        self._kept[client] = (grant.access, grants.refresh_moment(grant, now())[1])
        log.info("app_token.granted", service=service.slug)
        return grant.access


class AppBearer:
    """The `Authority` of AREA's own registration at a vendor."""

    base_url = ""
    bound = False

    def __init__(self, tokens: AppTokens, service: Service, auth: OAuth2) -> None:
        self._tokens = tokens
        self._service = service
        self._auth = auth

    async def access(self) -> Access:
        """The current token."""
        return await self._tokens.good(self._service, self._auth)

    async def renewed(self, refused: Access, status: int) -> Access | None:
        """A token other than the refused one; None if the status may mean something else."""
        (stale,) = refused.secrets
        return await self._tokens.good(self._service, self._auth, stale) if status == 401 else None

    def refuses(self, response: Response) -> bool:
        """By the status, or by the body of a 200."""
        return self._auth.refuses(response)
