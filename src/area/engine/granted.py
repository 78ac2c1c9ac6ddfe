"""Tokens of connections that hold a client's own credentials (RFC 6749 §4.4): requested when needed, and stored
encrypted.

Processes share them through the database. If two request one at once, the later is stored; both are valid.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import orjson
import structlog
from pydantic import SecretStr

from area.connections import grants
from area.connections.vault import Ref
from area.db.away import asking
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.http import Response
from area.kit.remembered import Remembered
from area.kit.text import dump_json
from area.sdk import Access, Service
from area.sdk.credentials import ClientGrant

if TYPE_CHECKING:
    from area.engine.state import State

log = structlog.get_logger()

TTL = 3600.0  # seconds that a token is cached
LARGEST = 50_000  # connections with cached tokens

READ = """
select cs.access_token from connection_states cs join services s on s.id = cs.service_id
where cs.user_id = $1 and s.name = $2 and cs.connection_id = $3
"""
STORE = """
update connection_states cs set access_token = $4 from services s
where s.id = cs.service_id and cs.user_id = $1 and s.name = $2 and cs.connection_id = $3
"""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and when to request another."""

    value: SecretStr
    until: datetime | None


class GrantedTokens:
    """One process's tokens. Concurrent callers share one request to the vendor."""

    def __init__(self, state: "State") -> None:
        self._state = state
        self._kept: Remembered[Ref, Token] = Remembered(LARGEST, TTL)
        self._asking: WeakValueDictionary[Ref, asyncio.Lock] = WeakValueDictionary()

    def forget(self, ref: Ref) -> None:
        """The connection changed: forget its token."""
        self._kept.forget(ref)

    def forget_all(self) -> None:
        """Forget all tokens."""
        self._kept.clear()

    async def good(self, ref: Ref, service: Service, grant: ClientGrant, stale: str = "") -> SecretStr:
        """A token other than `stale`. Raises `AuthExpired` if the client is refused, `Retry` if the vendor can't be
        asked.
        """
        lock = self._asking.setdefault(ref, asyncio.Lock())
        async with lock:
            with self._kept.loading([ref]) as keep:
                token = self._kept.get(ref) or await self._read(ref, service)
                over = token is None or (token.until is not None and token.until <= now())
                if token is None or over or token.value.get_secret_value() == stale:
                    token = await self._ask(ref, service, grant)
                keep(ref, token)
            return token.value

    async def _read(self, ref: Ref, service: Service) -> Token | None:
        with asking():
            pool = await self._state.database.pool()
            scopes = await pool.fetchval(READ, ref.user_id, service.name, ref.number)
        if not scopes:
            return None
        try:
            read = orjson.loads(self._state.keyring.decrypt(scopes, ref.context("access_token")))
        except Undecryptable:
            return None  # request another
        return Token(SecretStr(read["token"]), datetime.fromisoformat(read["until"]) if read["until"] else None)

    async def _ask(self, ref: Ref, service: Service, grant: ClientGrant) -> Token:
        granted = await grant.ask(self._state.client)
        token = Token(granted.access, grants.refresh_moment(granted, now())[1])
        written = dump_json({"token": token.value.get_secret_value(), "until": token.until and token.until.isoformat()})
        sealed = self._state.keyring.encrypt(written.decode(), ref.context("access_token"))
        with asking():
            pool = await self._state.database.pool()
            await pool.execute(STORE, ref.user_id, service.name, ref.number, sealed)
        log.info("client_token.granted", user=ref.user_id, service=service.slug)
        return token


class Granted:
    """The `Authority` of such a connection."""

    bound = True

    def __init__(self, tokens: GrantedTokens, service: Service, grant: ClientGrant, ref: Ref) -> None:
        self._tokens = tokens
        self._service = service
        self._grant = grant
        self._ref = ref
        self.base_url = grant.base_url

    async def access(self) -> Access:
        """The current token."""
        return self._grant.access(await self._tokens.good(self._ref, self._service, self._grant))

    async def renewed(self, refused: Access, status: int) -> Access | None:  # noqa: ARG002 - part of the protocol
        """A token other than the refused one."""
        (stale,) = refused.secrets
        return self._grant.access(await self._tokens.good(self._ref, self._service, self._grant, stale))

    def refuses(self, response: Response) -> bool:
        """By the status alone."""
        return response.status == 401
