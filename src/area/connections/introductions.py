"""Tokens that vendors say they will sign with, before anything is set here: for administrators to read and choose from.

Anybody can send one, so none replaces another: those of each sender and of all are bounded in number, and an administrator clears
them. Nothing is ever checked with them; what counts is `AREA_<SERVICE>_SIGNING_SECRET`.
"""

from contextlib import suppress
from datetime import datetime

import orjson
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area.connections import registrations
from area.db.models import Meta
from area.kit.clock import now
from area.kit.crypto import Keyring, Undecryptable
from area.registry import Registry
from area.settings import Settings

LONGEST = 255  # characters of a token
MOST, MOST_OF_ONE = 9, 3  # tokens kept of a service, and of these from one address


class SentToken(BaseModel):
    """What somebody at an address sent; `at` and `address` are None for what an older version kept."""

    token: str
    at: datetime | None = None
    address: str | None = None


async def keep(session: AsyncSession, keyring: Keyring, slug: str, token: str, address: str) -> bool:
    """Keep a token. False when it is one too many; the same one again changes nothing."""
    key = _key(slug)
    await session.execute(insert(Meta).values(key=key, value="").on_conflict_do_nothing())
    row = await session.scalar(select(Meta).where(Meta.key == key).with_for_update())
    assert row is not None  # noqa: S101 - inserted above, in this transaction
    kept = _read(keyring, slug, row.value)
    token = token[:LONGEST]
    if any(one.token == token for one in kept):
        return True
    if len(kept) >= MOST or sum(one.address == address for one in kept) >= MOST_OF_ONE:
        return False
    kept.append(SentToken(token=token, at=now(), address=address))
    row.value = keyring.encrypt(orjson.dumps([one.model_dump(mode="json") for one in kept]).decode(), f"meta|{key}")
    return True


async def clear(session: AsyncSession, slug: str) -> None:
    """Forget them, so that the vendor may send another."""
    await session.execute(delete(Meta).where(Meta.key == _key(slug)))


async def sent(
    session: AsyncSession, keyring: Keyring, registry: Registry, settings: Settings
) -> dict[str, list[SentToken]]:
    """By service, what was sent, oldest first, as long as nothing is set here."""
    found = {}
    for slug, connector in registry.services.items():
        keys = registrations.keys_of(connector, settings)
        if connector.inbound is None or connector.inbound.token is None or keys is None or keys.signing is not None:
            continue
        row = await session.get(Meta, _key(slug))
        if row is not None and (kept := _read(keyring, slug, row.value)):
            found[slug] = kept
    return found


def _key(slug: str) -> str:
    return f"token:{slug}"


def _read(keyring: Keyring, slug: str, value: str) -> list[SentToken]:
    with suppress(Undecryptable):  # it was sent before the keys were changed, and can be sent again
        text = keyring.decrypt(value, f"meta|{_key(slug)}") if value else ""
        if text.startswith("["):
            return [SentToken.model_validate(one) for one in orjson.loads(text)]
        return [SentToken(token=text)] if text else []
    return []
