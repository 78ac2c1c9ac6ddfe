"""Real programs that send webhooks, through AREA's own door."""

import asyncio

import aiohttp
import orjson

from tests import peers

TOKEN = "a token that only Alertmanager has"


async def test_alertmanager(site):
    made = await site.make(
        "webhook.received",
        {"signature": "bearer", "secret": TOKEN, "pick": "alerts[0]"},
        "http.request",
        url=f"{site.here}/alerts",
        body='{"status": "{{body.status}}", "name": "{{picked.labels.alertname}}", "text": "{{picked.annotations.summary}}"}',
    )
    alert = {"labels": {"alertname": "DiskFull", "instance": "nas"}, "annotations": {"summary": "Été <95 %> {{x}}"}}

    async def arrived(count: int) -> list[dict]:
        async with asyncio.timeout(60):
            while len(bodies := site.arrived.get("/alerts", [])) < count:
                await asyncio.sleep(0.02)
        return [orjson.loads(body) for body in bodies]

    with peers.alertmanager(made["webhook_url"], TOKEN) as address:
        async with aiohttp.ClientSession(address) as session:
            async with session.post("/api/v2/alerts", json=[alert]) as answer:
                assert answer.status == 200, await answer.text()
            told = {"status": "firing", "name": "DiskFull", "text": "Été <95 %> {{x}}"}
            assert await arrived(1) == [told]
            over = alert | {"endsAt": "2026-01-01T00:00:00Z"}
            async with session.post("/api/v2/alerts", json=[over | {"startsAt": "2025-12-31T00:00:00Z"}]) as answer:
                assert answer.status == 200, await answer.text()
            assert await arrived(2) == [told, told | {"status": "resolved"}]
    with peers.alertmanager(made["webhook_url"], "another") as address:
        async with aiohttp.ClientSession(address) as session:
            async with session.post("/api/v2/alerts", json=[alert]) as answer:
                assert answer.status == 200, await answer.text()
            async with asyncio.timeout(60):
                while not (await _failures(session)):
                    await asyncio.sleep(0.05)
    assert len(site.arrived["/alerts"]) == 2


async def _failures(session: aiohttp.ClientSession) -> float:
    """How many notifications Alertmanager says have failed."""
    async with session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = 'alertmanager_notifications_failed_total{integration="webhook"}'
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))
