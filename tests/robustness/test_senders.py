"""Real programs that send webhooks, through AREA's own door."""

import asyncio
from urllib.parse import quote

import aiohttp
import orjson
import pytest

from tests import peers

TOKEN = "a token that only Alertmanager has"


async def test_alertmanager(site):
    area = await site.make(
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

    with peers.alertmanager(area["webhook_url"], TOKEN) as address:
        async with aiohttp.ClientSession(address) as session:
            async with session.post("/api/v2/alerts", json=[alert]) as answer:
                assert answer.status == 200, await answer.text()
            alert_body = {"status": "firing", "name": "DiskFull", "text": "Été <95 %> {{x}}"}
            assert await arrived(1) == [alert_body]
            over = alert | {"endsAt": "2026-01-01T00:00:00Z"}
            async with session.post("/api/v2/alerts", json=[over | {"startsAt": "2025-12-31T00:00:00Z"}]) as answer:
                assert answer.status == 200, await answer.text()
            assert await arrived(2) == [alert_body, alert_body | {"status": "resolved"}]
    with peers.alertmanager(area["webhook_url"], "another") as address:
        async with aiohttp.ClientSession(address) as session:
            async with session.post("/api/v2/alerts", json=[alert]) as answer:
                assert answer.status == 200, await answer.text()
            async with asyncio.timeout(60):
                while not (await _failures(session)):
                    await asyncio.sleep(0.05)
    assert len(site.arrived["/alerts"]) == 2


@pytest.mark.slow
async def test_synapse(site):
    """Messages to a Matrix room, each once; messages from it, by a push and by looking."""
    pushed = await site.make(
        "webhook.received",
        {"signature": "bearer", "secret": TOKEN},
        "http.request",
        url=f"{site.here}/pushed",
        body="{{path}} {{body.events.0.content.body}}",
    )
    with peers.synapse(pushed["webhook_url"], TOKEN) as address:
        async with aiohttp.ClientSession(address) as session:
            login = {"username": "ann", "password": "correct horse", "auth": {"type": "m.login.dummy"}}
            ann = {"Authorization": f"Bearer {(await _asked(session, 'POST', 'register', login))['access_token']}"}
            room = (await _asked(session, "POST", "createRoom", {"name": "Home"}, ann))["room_id"]
            place = f"{address}/_matrix/client/v3/rooms/{quote(room)}"
            sending = await site.make(
                "webhook.received",
                {},
                "http.request",
                url=f"{place}/send/m.room.message/{{{{run.key}}}}",
                method="PUT",
                headers=ann,
                body='{"msgtype": "m.text", "body": "{{body.text}}"}',
            )
            async with site.session.post(sending["webhook_url"], json={"text": 'Été "quoted"'}) as answer:
                assert answer.status == 202
                run = (await answer.json())["execution_id"]
            assert (await site.ended(run))["status"] == "success"
            messages = await _asked(session, "GET", f"rooms/{quote(room)}/messages?dir=b", None, ann)
            messages_sent = [event for event in messages["chunk"] if event["type"] == "m.room.message"]
            assert [event["content"]["body"] for event in messages_sent] == ['Été "quoted"']
            async with asyncio.timeout(60):
                while not any('Été "quoted"' in body.decode() for body in site.arrived.get("/pushed", [])):
                    await asyncio.sleep(0.05)
            assert all(body.startswith(b"/_matrix/app/v1/transactions/") for body in site.arrived["/pushed"])


async def _asked(session: aiohttp.ClientSession, method: str, path: str, body: object, headers=None) -> dict:
    async with session.request(method, f"/_matrix/client/v3/{path}", json=body, headers=headers) as answer:
        received = await answer.json()
        assert answer.status == 200, received
        return received


async def _failures(session: aiohttp.ClientSession) -> float:
    """How many notifications Alertmanager says have failed."""
    async with session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = 'alertmanager_notifications_failed_total{integration="webhook"}'
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))
