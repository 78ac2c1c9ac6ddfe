"""Drafts of the editor, stored on the server so that they survive a reload and the session."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas.plans import open_draft, seal_draft
from area.db.models import Draft
from area.kit.crypto import Keyring, Undecryptable

LARGEST = 500_000  # bytes; what is larger is not kept
MOST = 50  # drafts of one user; the oldest go


async def find(session: AsyncSession, keyring: Keyring, user_id: int, key: str) -> dict[str, Any] | None:
    """The draft; None if there is none or it can't be decrypted."""
    draft = await session.get(Draft, (user_id, key))
    if draft is None:
        return None
    try:
        return open_draft(keyring, user_id, key, draft.content)
    except Undecryptable:
        return None


async def save(session: AsyncSession, keyring: Keyring, user_id: int, key: str, content: Mapping[str, Any]) -> bool:
    """Store the draft, replacing the previous one. False if it is too large."""
    if len(orjson.dumps(content)) > LARGEST:
        return False
    statement = insert(Draft).values(user_id=user_id, key=key, content=seal_draft(keyring, user_id, key, content))
    changed = {"content": statement.excluded.content, "updated_at": func.now()}
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "key"], set_=changed))
    newest = select(Draft.key).where(Draft.user_id == user_id).order_by(Draft.updated_at.desc()).limit(MOST)
    await session.execute(delete(Draft).where(Draft.user_id == user_id, Draft.key.not_in(newest)))
    return True


async def remove(session: AsyncSession, user_id: int, key: str) -> None:
    """Delete the draft, if any."""
    await session.execute(delete(Draft).where(Draft.user_id == user_id, Draft.key == key))
