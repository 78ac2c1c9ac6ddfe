"""`python -m bench.floor.worker SINK`: posts received webhooks to a URL and records each response."""

import asyncio
import sys

import aiohttp
import asyncpg
import orjson
import uvloop

from bench.floor import BATCH, WAKE, dsn

AT_ONCE = 4  # groups
CLAIM = """
UPDATE executions SET status = 'running', claimed_at = now()
WHERE id IN (
    SELECT id FROM executions
    WHERE status = 'pending' OR (status = 'running' AND claimed_at < now() - interval '1 minute')
    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id, received
"""
RECORD = """
UPDATE executions SET status = 'success', answered = done.status, completed_at = now()
FROM unnest($1::bigint[], $2::int[]) AS done (id, status) WHERE executions.id = done.id
"""


async def main(sink: str) -> None:
    """Work until the process is stopped."""
    woken = [asyncio.Event() for _ in range(AT_ONCE)]
    listener = await asyncpg.connect(dsn())
    await listener.add_listener(WAKE, lambda *_: [event.set() for event in woken])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE * BATCH)) as session:

        async def post(number: int, received: str) -> int:
            event = orjson.loads(received)
            body = orjson.dumps({"id": event["id"], "title": event["title"]})
            headers = {"Content-Type": "application/json", "Idempotency-Key": str(number)}
            async with session.post(sink, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        async def work(woken: asyncio.Event) -> None:
            connection = await asyncpg.connect(dsn())
            while True:
                woken.clear()
                rows = await connection.fetch(CLAIM, BATCH)
                if rows:
                    statuses = await asyncio.gather(*(post(row["id"], row["received"]) for row in rows))
                    await connection.execute(RECORD, [row["id"] for row in rows], statuses)
                else:
                    await woken.wait()

        await asyncio.gather(*map(work, woken))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
