"""W4: W1 at 64 connections with an empty log, a million executions, 100,000 waiting jobs. W5: one and two workers."""

import asyncio
import json
from datetime import timedelta

import asyncpg

from bench.stack import Area
from bench.w1 import measure, measured, prepare, sink

LOAD = ("-c", "64")
MILLION = """
insert into area_executions (area_id, status, trigger_data, execution_result, completed_at, execution_time_ms)
select 1, 'success', '{"body": {"id": "x", "title": "hello"}, "method": "POST", "headers": {}}', '{"status": 200}',
       timezone('utc', now()), 5 from generate_series(1, 1000000)
"""


async def wait_jobs(dsn: str, number: int) -> None:
    """`number` executions due tomorrow, each with its own job."""
    from area.engine.intake import LaterJob, enqueue_later
    from area.kit.clock import now

    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(0, number, 5000):
            async with connection.transaction():
                rows = await connection.fetch(
                    "insert into area_executions (area_id, trigger_data)"
                    " select 1, '{}' from generate_series(1, 5000) returning id"
                )
                due = now() + timedelta(days=1)
                await enqueue_later(connection, [LaterJob(row[0], due, "delay") for row in rows])
        await connection.execute("analyze")
    finally:
        await connection.close()


def w4(seconds: int = 20) -> list[dict]:
    lines = []
    with sink(), Area() as area:
        path = prepare(area)
        measure(area.port, path, ("-c", "16"), 3, area.folder, "warm")
        for name in ("empty", "a million executions", "and 100,000 jobs waiting", "empty again"):
            if name.startswith("a million"):
                area.query(MILLION)
                area.query("vacuum analyze area_executions")
            elif name.startswith("and"):
                asyncio.run(wait_jobs(area.dsn, 100_000))
            elif name == "empty again":
                area.query("truncate area_executions, execution_jobs")
                area.query("delete from pgqueuer")
                area.query("vacuum pgqueuer")
            line = {"bench": "w4", "log": name} | measured(area, path, LOAD, seconds, name[:5].replace(" ", ""))
            lines.append(line)
            print(json.dumps(line), flush=True)
    return lines


def w5(seconds: int = 20) -> list[dict]:
    lines = []
    for workers in (1, 2):
        with sink(), Area(workers=workers) as area:
            path = prepare(area)
            measure(area.port, path, ("-c", "16"), 3, area.folder, "warm")
            line = {"bench": "w5", "workers": workers} | measured(area, path, LOAD, seconds, f"w{workers}")
            lines.append(line)
            print(json.dumps(line), flush=True)
    return lines
