"""Profile pictures: receives the form, and serves them."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from area.accounts import pictures
from area.accounts.pictures import MOST_BYTES
from area.doors.deps import SessionDep
from area.kit.problems import Invalid, TooLarge
from area.web.parts.pages import Visit

router = APIRouter()

AROUND = 10_000  # bytes that a form has around its file
MOST_READ = 50_000_000  # bytes of a file that is too long; who is cut off while sending does not hear why


@router.get("/avatars/{name}")
async def serve(
    _: Visit, session: SessionDep, name: Annotated[str, InPath(pattern=r"^[0-9a-f]{32}\.webp$")]
) -> Response:
    """A picture by its unguessable name; each upload gets a new one."""
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Vary": "Accept-Encoding",
    }
    return Response(await pictures.read(session, name), media_type="image/webp", headers=headers)


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
