"""Static files: in memory, compressed once, at versioned URLs."""

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
FOLDERS = ("static", "vendor")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".woff2": "font/woff2"}
COMPRESSED = {".woff2", ".png"}
FOREVER = b"public, max-age=31536000, immutable"


@cache
def _files() -> tuple[str, dict[str, tuple[bytes, dict[bytes, bytes]]]]:
    """The version of all files, and each file's content type and bytes by encoding."""
    digest, files = hashlib.sha256(), {}
    for folder in FOLDERS:
        for path in sorted((HERE / folder).iterdir()):
            if not path.is_file() or path.suffix in (".br", "") or path.name.startswith("."):
                continue
            content = path.read_bytes()
            digest.update(path.name.encode() + content)
            kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            forms = {b"identity": content}
            if path.suffix not in COMPRESSED:
                forms[b"gzip"] = gzip.compress(content, 9, mtime=0)
                brotli = path.with_name(path.name + ".br")
                if brotli.is_file():
                    forms[b"br"] = brotli.read_bytes()
            files[path.relative_to(HERE).as_posix()] = (kind.encode(), forms)
    return digest.hexdigest()[:12], files


def asset(name: str) -> str:
    """URL of a file in static/ or vendor/. Raises `LookupError` if missing: run `python hatch_build.py`."""
    version, files = _files()
    for folder in FOLDERS:
        if f"{folder}/{name}" in files:
            return f"/static/{version}/{folder}/{name}"
    raise LookupError(f"There is no file {name} to serve; `python hatch_build.py` fetches those of others.")


async def serve(scope: MutableMapping[str, Any], send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
    """Answer `/static/{version}/{name}`; the version only keeps browsers from using an old one."""
    name = scope["path"].split("/", 3)[-1]
    file = _files()[1].get(name)
    if file is None or scope["method"] not in ("GET", "HEAD"):
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"no such file\n"})
        return
    kind, forms = file
    accepted = next((value for key, value in scope["headers"] if key == b"accept-encoding"), b"")
    encoding = next((coding for coding in (b"br", b"gzip") if coding in forms and coding in accepted), b"identity")
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(forms[encoding])).encode()),
        (b"cache-control", FOREVER),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if encoding != b"identity":
        headers.append((b"content-encoding", encoding))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else forms[encoding]})
