"""Home Assistant's stream of events: https://developers.home-assistant.io/docs/api/rest/ (`/api/stream`)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from area.kit.net import Blocked, Guard
from area.sdk import AuthExpired, Permanent, Retry, explain, tls_context

TIMEOUT = 20  # seconds
SILENCE = 120  # seconds; a living server says `ping` every 50
LONGEST = 2_000_000  # bytes of one event
NO_TLS = "does not speak TLS: its address begins with http rather than https."


async def events(guard: Guard, server: str, token: str, kind: str) -> AsyncIterator[dict[str, Any]]:
    """What happens at `server` from now on, of one type of events. Does not end; raises one of the three errors.

    Asked in HTTP/1.0, so that the answer comes as it is, without chunks.
    """
    reader, writer = await _connected(guard, server)
    try:
        request = f"GET /api/stream?restrict={quote(kind, safe='')} HTTP/1.0\r\nHost: {urlsplit(server).netloc}\r\n"
        request += f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        writer.write(request.encode())
        first = await _line(reader, server, TIMEOUT)
        _check(first.split(b" ")[1:2], server)
        while True:
            line = (await _line(reader, server, SILENCE)).strip()
            if line.startswith(b"data: {"):
                yield _event(line.removeprefix(b"data: "), server)
    finally:
        writer.close()


async def _connected(guard: Guard, server: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(server)
    host, tls = parts.hostname or "", parts.scheme == "https"
    try:
        sock = await guard.open_socket(host, parts.port or (443 if tls else 80), TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.open_connection(
                sock=sock, ssl=tls_context() if tls else None, server_hostname=host if tls else None, limit=LONGEST
            )
    except Blocked as error:
        raise Permanent(str(error)) from error
    except OSError as error:
        raise explain(error, f"Home Assistant at {server}", host, timeout=TIMEOUT, no_tls=NO_TLS) from error


async def _line(reader: asyncio.StreamReader, server: str, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            line = await reader.readline()
    except TimeoutError as error:
        raise Retry(f"Home Assistant at {server} has been silent for {seconds:g} seconds.") from error
    except OSError as error:
        raise Retry(f"Home Assistant at {server} broke the connection off: {error.strerror or error}.") from error
    except ValueError as error:
        raise Permanent(f"Home Assistant at {server} sent an event of more than {LONGEST:,} bytes.") from error
    if not line:
        raise Retry(f"Home Assistant at {server} ended the connection: it may be restarting.")
    return line


def _check(status: list[bytes], server: str) -> None:
    said = status[0].decode("ascii", "replace") if status else "nothing that is HTTP"
    if said == "200":
        return
    if said == "401":  # https://developers.home-assistant.io/docs/auth_api/#making-authenticated-requests
        raise AuthExpired(f"{server} no longer takes the token, or its user is no administrator.")
    if said.startswith("5") or said == "429":
        raise Retry(f"{server} answered {said} to its stream of events.")
    raise Permanent(f"{server} answered {said} to its stream of events.")


def _event(data: bytes, server: str) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Retry(f"Home Assistant at {server} sent an event that is cut off.") from error
    return dict(event)
