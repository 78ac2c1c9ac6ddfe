"""Profile pictures: cleaned, stored in the database, and read by their unguessable names."""

import asyncio
import re
from pathlib import Path
from secrets import token_hex

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Picture, User
from area.kit.fair import Fair
from area.kit.problems import Invalid, NotFound, Problem, TooMany
from area.kit.sandbox import DecodeError, Decoder

MOST_BYTES = 5_000_000
NAME = re.compile(r"[0-9a-f]{32}\.webp")

log = structlog.get_logger(__name__)

# One at a time of each user, and one more that waits for it.
slots = Fair(
    "pictures",
    "AREA is working on other pictures. Try again in a few seconds.",
    slots=2,
    per_key=1,
    waiting=20,
    waiting_per_key=1,
    patience=30,
)
decoder = Decoder(Path(__file__).with_name("picture.py"), slots, memory=400_000_000)


async def shrink(content: bytes) -> bytes:
    """The picture as a small WebP without metadata. Raises `Invalid` with the field `picture`, `TooMany`."""
    try:
        small: bytes = await decoder.decode(content)
    except DecodeError as error:
        raise _refusal(error) from error
    return small


async def keep(session: AsyncSession, user_id: int, content: bytes) -> str:
    """Store what `shrink` made as the user's picture, in place of an earlier one. Returns its `icon_path`."""
    await forget(session, user_id)
    name = f"{token_hex(16)}.webp"
    await session.execute(insert(Picture).values(name=name, user_id=user_id, content=content))
    return f"/avatars/{name}"


async def forget(session: AsyncSession, user_id: int, but: str | None = None) -> None:
    """Delete the user's stored pictures, except the one with the `icon_path` `but`."""
    name = (but or "").rpartition("/")[2]
    await session.execute(delete(Picture).where(Picture.user_id == user_id, Picture.name != name))


async def read(session: AsyncSession, name: str) -> bytes:
    """A picture by its name. Raises `NotFound`."""
    content = await session.scalar(select(Picture.content).where(Picture.name == name))
    if content is None:
        raise NotFound
    return content


async def adopt(session: AsyncSession, folder: Path) -> list[Path]:
    """Store the pictures that an older version kept as files. Returns the files that are no longer needed."""
    files = await asyncio.to_thread(lambda: sorted(folder.glob("*.webp")) if folder.is_dir() else [])
    adopted = []
    for file in files:
        owner = await session.scalar(select(User.id).where(User.icon_path == f"/avatars/{file.name}").limit(1))
        if owner is None or not NAME.fullmatch(file.name):
            continue  # nobody's: left where it is
        content = await asyncio.to_thread(file.read_bytes)
        row = upsert(Picture).values(name=file.name, user_id=owner, content=content)
        await session.execute(row.on_conflict_do_nothing())
        adopted.append(file)
    return adopted


async def clear(files: list[Path]) -> None:
    """Delete files whose pictures are in the database."""
    for file in files:
        try:
            await asyncio.to_thread(file.unlink, missing_ok=True)
        except OSError as error:
            log.warning("picture.not_removed", file=str(file), error=str(error))
    if files:
        log.info("pictures.adopted", files=len(files))


def _refusal(error: DecodeError) -> Problem:
    match str(error) if error.reason == "unreadable" else error.reason:
        case "busy":
            return TooMany("AREA is too busy for this picture. Try again in a few seconds.", retry_after=5)
        case "pixels" | "memory":
            return Invalid.field(
                "picture", "This picture has too many pixels. Save it at a smaller size and upload that."
            )
        case "side":
            return Invalid.field(
                "picture", "This picture is more than 10,000 pixels wide or high. Choose a smaller one."
            )
        case "scans" | "time":
            return Invalid.field(
                "picture", "This picture takes too long to process. Save it again as PNG or JPEG and upload that."
            )
        case _:
            return Invalid.field("picture", "AREA can't read this picture. Choose a JPEG, PNG, WebP or GIF.")
