"""Takes webhooks in: concurrent ones share a commit, and each is answered after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson

from bench.floor import BATCH, WAKE, dsn

INSERT = "INSERT INTO executions (received) SELECT * FROM unnest($1::json[]) RETURNING id"
Waiting = tuple[str, asyncio.Future[int]]
waiting: asyncio.Queue[Waiting] = asyncio.Queue()


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    orjson.loads(body)
    number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting.put_nowait((body.decode(), number))
    text = orjson.dumps({"execution_id": await number})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Run the writer from before the first request until after the last."""
    await receive()
    writing = asyncio.create_task(write(await asyncpg.connect(dsn())))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    writing.cancel()
    await send({"type": "lifespan.shutdown.complete"})


async def write(connection: asyncpg.Connection) -> None:
    """Commit what waits, group by group."""
    while True:
        group = [await waiting.get()]
        while len(group) < BATCH and not waiting.empty():
            group.append(waiting.get_nowait())
        async with connection.transaction():
            rows = await connection.fetch(INSERT, [body for body, _ in group])
            await connection.execute(f"NOTIFY {WAKE}")
        for (_, number), row in zip(group, rows, strict=True):
            number.set_result(row["id"])
