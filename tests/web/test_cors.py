"""A page of another site sends a form to a webhook, in Chromium: its preflight starts nothing, and its POST arrives."""

import pytest_asyncio
from aiohttp import web

from tests.web.acting import hook, over

SEND = """
async ([url, type, body]) => {
    const answer = await fetch(url, {method: 'POST', headers: {'Content-Type': type, 'X-Shop': '7'}, body})
    return [answer.status, await answer.json()]
}
"""


@pytest_asyncio.fixture
async def elsewhere():
    async def page(_: web.BaseRequest) -> web.Response:
        return web.Response(text="<!doctype html><title>Shop</title>", content_type="text/html")

    runner = web.ServerRunner(web.Server(page, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_cors_browser(person, browser, elsewhere):
    area = await hook(person, is_active=True)
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(elsewhere)
    status, answer = await page.evaluate(SEND, [area["webhook_url"], "application/json", '{"id": 7}'])
    assert (status, answer["duplicate"]) == (202, False)
    status, answer = await page.evaluate(SEND, [area["webhook_url"], "application/json", "{no json"])
    assert (status, answer["code"]) == (400, "bad-request")  # a page can read why, too
    assert len(await over(person, area)) == 1
    await context.close()
