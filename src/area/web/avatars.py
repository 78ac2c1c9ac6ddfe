"""Pictures of users: taken in, made small and harmless, kept, and served."""

import asyncio
import re
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import structlog
from fastapi import APIRouter
from fastapi import Path as InPath
from PIL import Image, ImageOps
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from area.kit.problems import Invalid, NotFound, TooLarge
from area.settings import Settings
from area.web.pages import Visit

router = APIRouter()

SIDE = 256  # pixels of what is kept
MOST_BYTES = 5_000_000
MOST_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
AROUND = 10_000  # bytes that a form has around its file
MOST_READ = 50_000_000  # bytes of a file that is too long; who is cut off while sending does not hear why
NAME = re.compile(r"/avatars/([0-9a-f]{32}\.webp)")

log = structlog.get_logger(__name__)

_one_at_a_time = asyncio.Semaphore(1)  # forty million pixels take 160 MB


@router.get("/avatars/{name}")
async def serve(page: Visit, name: Annotated[str, InPath(pattern=r"^[0-9a-f]{32}\.webp$")]) -> Response:
    """A picture, by the name that nobody guesses; another picture has another name."""
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
    """Make a picture small, without anything but its pixels, and keep it; returns its address. Raises `Invalid`."""
    async with _one_at_a_time:
        made = await asyncio.to_thread(made_small, content)
    name = f"{token_hex(16)}.webp"
    await asyncio.to_thread(_write, _folder(settings), name, made)
    return f"/avatars/{name}"


async def forget(settings: Settings, icon_path: str | None) -> None:
    """Remove the file of a picture that nobody has any more."""
    named = NAME.fullmatch(icon_path or "")
    if not named:
        return
    try:
        await asyncio.to_thread((_folder(settings) / named[1]).unlink, missing_ok=True)
    except OSError as error:
        log.warning("avatar.not_removed", name=named[1], error=str(error))


def made_small(content: bytes) -> bytes:
    """The picture as a square WebP. Raises `Invalid` for what is no picture, or one that would fill the memory."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            # known from its first bytes, before anything is unpacked
            if image.width * image.height > MOST_PIXELS:
                raise Invalid.field("picture", "This picture has more than 40 million pixels. Choose a smaller one.")
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            upright = ImageOps.exif_transpose(image)
            square = ImageOps.fit(upright.convert("RGBA"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        clean = Image.new("RGBA", (SIDE, SIDE))  # has nothing of what stood beside the pixels
        clean.paste(square)
        file = BytesIO()
        clean.save(file, "WEBP", quality=85)
    except Invalid:
        raise
    except Image.DecompressionBombError:
        raise Invalid.field("picture", "This picture has more than 40 million pixels. Choose a smaller one.") from None
    except Exception as error:  # noqa: BLE001 - what the decoders raise at what is no picture is many things
        log.info("avatar.refused", kind=type(error).__name__)
        raise Invalid.field(
            "picture", "This is no picture that can be read. Choose a JPEG, PNG, WebP or GIF."
        ) from None
    return file.getvalue()


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "avatars"


def _write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}"
    temporary.write_bytes(content)
    temporary.rename(folder / name)
