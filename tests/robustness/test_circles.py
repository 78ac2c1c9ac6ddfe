"""An AREA whose reaction calls its own webhook, on a running installation."""

import asyncio

from area.engine.circles import LONGEST


async def test_loop_http_hook(site):
    area = await site.make("webhook.received", {}, "http.request", url=f"{site.here}/sink", body="{{body}}")
    reaction = {"component": "http.request", "parameters": {"url": area["webhook_url"], "body": "again"}}
    status, answer = await site.api("PATCH", f"/api/areas/{area['id']}", json={"reaction": reaction})
    assert status == 200, answer
    async with site.session.post(area["webhook_url"], data=b"begin") as response:
        assert response.status == 202

    async def runs():
        return await site.database.fetch(
            "select status, error_message from area_executions where area_id = $1 order by id", area["id"]
        )

    async with asyncio.timeout(60):
        while not any(row["status"] == "failed" for row in await runs()):
            await asyncio.sleep(0.05)
    rows = await runs()
    assert [row["status"] for row in rows] == ["success"] * (LONGEST - 1) + ["failed"]
    assert "this looks like a loop" in rows[-1]["error_message"]
    await site.lives()
    assert len(await runs()) == LONGEST
