"""Verification tokens that vendors announce before a signing secret is set here, for an administrator to choose from.

Anyone can send one, so tokens never replace each other: their number is bounded per sender and in total, and an
administrator clears them. They are never used for verification; that is `AREA_<SERVICE>_SIGNING_SECRET`.
"""

from contextlib import suppress
from datetime import datetime

import orjson
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.connections import registrations
from area.db import contexts
from area.db.models import Meta
from area.kit.clock import now
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import NotFound
from area.registry import Registry
from area.sdk import Service
from area.settings import Settings

LONGEST = 255  # characters of a token
MOST, MOST_OF_ONE = 9, 3  # tokens stored per service, and of these per address


class SentToken(BaseModel):
    """A token and its sender's address. `at` and `address` are None for tokens stored by older versions."""

    token: str
    at: datetime | None = None
    address: str | None = None


async def keep(session: AsyncSession, keyring: Keyring, slug: str, token: str, address: str) -> bool:
    """Store a token. Returns False if there are too many. Storing the same one twice changes nothing."""
    key = _key(slug)
    await session.execute(insert(Meta).values(key=key, value="").on_conflict_do_nothing())
    row = await session.scalar(select(Meta).where(Meta.key == key).with_for_update())
    assert row is not None  # noqa: S101 - inserted above, in this transaction
    tokens = _read(keyring, slug, row.value)
    token = token[:LONGEST]
    if any(sent_token.token == token for sent_token in tokens):
        return True
    if len(tokens) >= MOST or sum(sent_token.address == address for sent_token in tokens) >= MOST_OF_ONE:
        return False
    tokens.append(SentToken(token=token, at=now(), address=address))
    row.value = keyring.encrypt(
        orjson.dumps([sent_token.model_dump(mode="json") for sent_token in tokens]).decode(), contexts.meta(key)
    )
    return True


async def clear(
    session: AsyncSession, registry: Registry, slug: str, admin_id: int, address: str | None = None
) -> None:
    """Delete a service's tokens, so that it can send another. Raises `NotFound` for a service that sends none."""
    _sender(registry, slug)
    if await session.scalar(delete(Meta).where(Meta.key == _key(slug)).returning(Meta.key)) is not None:
        await audit.record(session, admin_id, "registration.tokens_cleared", slug, None, address)


async def of_service(
    session: AsyncSession, keyring: Keyring, registry: Registry, settings: Settings, slug: str
) -> list[SentToken]:
    """A service's tokens, oldest first, while no secret is set. Raises `NotFound` for a service that sends none."""
    keys = registrations.keys_of(_sender(registry, slug), settings)
    if keys is None or keys.signing is not None:
        return []
    row = await session.get(Meta, _key(slug))
    return _read(keyring, slug, row.value) if row is not None else []


async def sent(
    session: AsyncSession, keyring: Keyring, registry: Registry, settings: Settings
) -> dict[str, list[SentToken]]:
    """`of_service` for all services with tokens."""
    senders = [slug for slug, service in registry.services.items() if service.inbound and service.inbound.token]
    by_service = {slug: await of_service(session, keyring, registry, settings, slug) for slug in senders}
    return {slug: tokens for slug, tokens in by_service.items() if tokens}


def _sender(registry: Registry, slug: str) -> Service:
    service = registry.services.get(slug)
    if service is None or service.inbound is None or service.inbound.token is None:
        raise NotFound("No service %(name)s sends a verification token.", name=repr(slug))
    return service


def _key(slug: str) -> str:
    return f"token:{slug}"


def _read(keyring: Keyring, slug: str, value: str) -> list[SentToken]:
    with suppress(Undecryptable):  # sent before a key change; the vendor can send it again
        text = keyring.decrypt(value, contexts.meta(_key(slug))) if value else ""
        if text.startswith("["):
            return [SentToken.model_validate(item) for item in orjson.loads(text)]
        return [SentToken(token=text)] if text else []
    return []
