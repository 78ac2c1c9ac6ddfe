"""A chain made by a person's clicks, fired by a real feed, failed at a link, mended and continued, seen live."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import asyncpg
import pytest
from playwright.async_api import Locator, expect

from tests.web.acting import SAVED, axe, over
from tests.web.conftest import NARROW, WIDE

MOST_CLICKS = 24  # all choices, fields, chips and buttons, from the home page to the saved chain
ITEM = "<item><guid>{url}/pages/{number}</guid><title>Page {number}</title><link>{url}/pages/{number}</link></item>"


@dataclass
class World:
    """A site with a feed and pages as JSON, and a table that takes rows, but no tag of more than eight letters."""

    url: str = ""
    pages: int = 1
    rows: list[str] = field(default_factory=list)


@contextmanager
def site() -> Iterator[World]:
    """A local site, until the end of the block."""
    world = World()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/feed.xml":
                items = "".join(ITEM.format(url=world.url, number=number) for number in range(1, world.pages + 1))
                text = f'<rss version="2.0"><channel><title>Site</title>{items}</channel></rss>'
                self.answer(200, text, "application/rss+xml")
            else:
                self.answer(200, json.dumps({"tags": ["tea", "marmalade", "salt"]}), "application/json")

        def do_POST(self) -> None:
            tag = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["tag"]
            if len(tag) > 8:
                self.answer(422, "Too long.", "text/plain")
                return
            world.rows.append(tag)
            self.answer(201, "{}", "application/json")

        def answer(self, status: int, text: str, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    world.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Hand:
    """Somebody's clicks, counted."""

    clicks: int = 0

    async def click(self, target: Locator) -> None:
        self.clicks += 1
        await target.click()

    async def write(self, target: Locator, text: str) -> None:
        await self.click(target)
        await target.fill(text)


async def polled(dsn: str, area: int, *, again: bool = False) -> None:
    """Wait until the AREA's feed was read, `again` after it is due at once."""
    connection = await asyncpg.connect(dsn.replace("+asyncpg", ""))
    source = "from triggers t where t.source_id = s.id and t.area_id = $1"
    try:
        if again:
            await connection.execute(f"update sources s set due_at = now(), checked_at = null {source}", area)
        while not await connection.fetchval(f"select s.checked_at {source.replace('from', 'from sources s,')}", area):
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "size", [pytest.param(WIDE, id="wide"), pytest.param(NARROW, id="narrow", marks=pytest.mark.slow)]
)
async def test_a_feeds_tags_become_rows_and_what_fails_is_mended_and_continued(person, session_dsn, size):
    page, hand = person.page, Hand()
    await page.set_viewport_size(size)

    def box(name):
        return page.locator("#part-reaction").get_by_role("textbox", name=name, exact=True)

    def chip(group, name):
        return page.get_by_role("group", name=group).get_by_role("button", name=name, exact=True)

    async def choose(side, words, title):
        await hand.write(page.get_by_label(f"Search {side}s"), words)
        await hand.click(page.locator(".found button").filter(has_text=title).first)

    with site() as world:
        await person.go("/")
        await hand.click(page.locator("a[href='/areas/new']:visible").first)
        await choose("action", "new item in a feed", "New item in a feed")
        await hand.write(page.locator("#part-action").get_by_role("textbox", name="URL"), f"{world.url}/feed.xml")
        await choose("reaction", "get json", "Get JSON")
        await hand.click(box("URL"))
        await hand.click(page.locator("#chips").get_by_role("button", name="link", exact=True))
        await hand.click(page.get_by_role("button", name="Then…"))
        await page.wait_for_url("**/areas/new?then=*")

        await choose("reaction", "send a request", "Send an HTTP request")
        await hand.click(page.locator("#more-each summary"))
        await hand.write(page.get_by_role("combobox", name="For each item of"), "result.value.tags")
        await expect(chip("This run", "Item")).to_be_visible()
        await hand.write(box("URL"), f"{world.url}/rows")
        await hand.write(box("Body"), '{"tag": "')
        await hand.click(chip("This run", "Item"))
        await page.keyboard.type('"}')
        await expect(box("Body")).to_have_value('{"tag": "{{item}}"}')
        await hand.click(page.get_by_role("button", name="Then…"))
        await page.wait_for_url("**/areas/new?then=*")

        await choose("reaction", "notice", "Post a notice to your inbox")
        hand.clicks += 1
        await page.get_by_label("Run when").select_option("failed")
        await hand.click(box("Title"))
        await page.keyboard.type("No row for {{item}}")
        await axe(person, "a link for a failure")
        await hand.click(page.get_by_role("button", name="Save", exact=True))
        await page.wait_for_url(SAVED)
        assert hand.clicks <= MOST_CLICKS, hand.clicks

        areas = sorted(each["id"] for each in (await person.api("GET", "/api/areas"))["items"])
        first, rows, told = ({"id": number} for number in areas)
        await polled(session_dsn, first["id"])
        await person.go(f"/areas/{first['id']}")
        await page.evaluate("window.here = true")
        world.pages = 2
        await polled(session_dsn, first["id"], again=True)
        run = page.locator("#area-runs .run")
        await expect(run).to_have_count(1)
        await expect(run.locator(".run-status")).to_have_text("Failed")
        await expect(run).to_contain_text("3 items")
        assert await page.evaluate("window.here")  # without a reload
        assert sorted(world.rows) == ["salt", "tea"]
        assert [each["status"] for each in await over(person, told)] == ["success"]
        titles = [notice["title"] for notice in (await person.api("GET", "/api/notices"))["items"]]
        assert titles == ["No row for marmalade"]

        await run.get_by_role("link").first.press("Enter")
        whole = page.get_by_role("region", name="The whole run")
        await expect(whole.get_by_role("button", name="Continue from here")).to_have_count(1)
        await page.evaluate("window.here = true")
        other = await person.context.new_page()
        await other.goto(person.server.url + f"/areas/{rows['id']}/edit")
        await other.get_by_role("textbox", name="Body", exact=True).fill('{"tag": "{{item | truncate:8}}"}')
        await other.get_by_role("button", name="Save", exact=True).click()
        await other.wait_for_url(SAVED)
        await other.goto(page.url)
        await other.get_by_role("button", name="Continue from here").press("Enter")
        await other.locator("#confirm [value=yes]").click()
        await expect(whole.get_by_role("button", name="Continue from here")).to_have_count(0)
        await expect(whole.get_by_role("listitem").filter(has_text="item 2").filter(has_text="Success")).to_have_count(
            1
        )
        assert await page.evaluate("window.here")
        await other.close()
        assert sorted(world.rows)[:1] + sorted(world.rows)[2:] == ["marmala…", "tea"]
        await person.go("/runs")
        await expect(page.locator("#runs .run-status")).to_have_text(["Success"])
