"""Profile pictures: upload, clean, store and serve."""

import asyncio
import re
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import structlog
from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from area.kit.fair import Fair
from area.kit.problems import Invalid, NotFound, Problem, TooLarge, TooMany
from area.kit.sandbox import DecodeError, Decoder
from area.settings import Settings
from area.web.parts.pages import Visit

router = APIRouter()

MOST_BYTES = 5_000_000
AROUND = 10_000  # bytes that a form has around its file
MOST_READ = 50_000_000  # bytes of a file that is too long; who is cut off while sending does not hear why
NAME = re.compile(r"/avatars/([0-9a-f]{32}\.webp)")

log = structlog.get_logger(__name__)

# One at a time of each user, and one more that waits for it.
pictures = Fair(
    "pictures",
    "AREA is working on other pictures. Try again in a few seconds.",
    slots=2,
    per_key=1,
    waiting=20,
    waiting_per_key=1,
    patience=30,
)
small = Decoder(Path(__file__).with_name("picture.py"), pictures, memory=400_000_000)


@router.get("/avatars/{name}")
async def serve(page: Visit, name: Annotated[str, InPath(pattern=r"^[0-9a-f]{32}\.webp$")]) -> Response:
    """A picture by its unguessable name; each upload gets a new one."""
    try:
        content = await asyncio.to_thread((_folder(page.state.settings) / name).read_bytes)
    except FileNotFoundError:
        raise NotFound from None
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Vary": "Accept-Encoding",
    }
    return Response(content, media_type="image/webp", headers=headers)


async def received(request: Request, field: str) -> bytes:
    """The file of a form. Raises `Invalid` when there is none, and `TooLarge`."""
    parts: list[bytes] = []
    size, most = 0, MOST_BYTES + AROUND
    too_large = TooLarge("This picture is larger than 5 MB. Choose a smaller one.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:12]) > MOST_READ:
        raise too_large
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_READ:
            raise too_large
        if size <= most:
            parts.append(chunk)
    if size > most:
        raise too_large

    async def receive() -> Message:
        return {"type": "http.request", "body": b"".join(parts), "more_body": False}

    async with Request(request.scope, receive).form(max_files=1, max_fields=5) as form:
        file = form.get(field)
        content = await file.read() if isinstance(file, UploadFile) else b""
    if not content:
        raise Invalid.field(field, "Choose a picture first.")
    if len(content) > MOST_BYTES:
        raise too_large
    return content


async def keep(settings: Settings, content: bytes) -> str:
    """Shrink a picture, strip its metadata and store it; returns its path. Raises `Invalid`, `TooMany`."""
    try:
        made = await small.decode(content)
    except DecodeError as error:
        raise _refusal(error) from error
    name = f"{token_hex(16)}.webp"
    await asyncio.to_thread(_write, _folder(settings), name, made)
    return f"/avatars/{name}"


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


async def forget(settings: Settings, icon_path: str | None) -> None:
    """Delete the file of a picture no longer in use."""
    named = NAME.fullmatch(icon_path or "")
    if not named:
        return
    try:
        await asyncio.to_thread((_folder(settings) / named[1]).unlink, missing_ok=True)
    except OSError as error:
        log.warning("avatar.not_removed", name=named[1], error=str(error))


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "avatars"


def _write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}"
    temporary.write_bytes(content)
    temporary.rename(folder / name)
