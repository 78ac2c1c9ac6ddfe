"""The pages in a real Chromium, on loopback: what home with 200 AREAs weighs, how long the server takes, LCP and CLS.

python -m bench.web [--areas N] [--rounds N]

LCP and CLS are what the browser's own observers say (https://web.dev/articles/lcp, https://web.dev/articles/cls). Bytes of a first
visit are what came over the wire, compressed, by the browser's network log. Those of a second one are counted on the way: the
log has 0 for a page that our service worker asks for. They are all that the server sent, headers and streams too.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.async_api import Browser, async_playwright
from tests.web.conftest import CHROMIUM, FLAGS, WIDE, Person, arrive, installation
from tests.web.world import furnish

OBSERVE = """
window.seen = {lcp: 0, cls: 0};
new PerformanceObserver((list) => { for (const one of list.getEntries()) seen.lcp = one.startTime; })
  .observe({type: "largest-contentful-paint", buffered: true});
new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) seen.cls += one.value; })
  .observe({type: "layout-shift", buffered: true});
"""


class Wire:
    """Stands between the browser and the server, and counts what the server sends."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._port = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, forth, counted=False), self._pass(back, writer, counted=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.sent += len(data) if counted else 0
                writer.write(data)
                await writer.drain()
        writer.close()


async def again(browser: Browser, person: Person, address: str) -> dict[str, Any]:
    """Open a page a second time, in another tab, with what the browser keeps of the first time."""
    context = await browser.new_context(
        viewport=WIDE, locale="en-GB", storage_state=await person.context.storage_state()
    )
    async with Wire(urlsplit(person.server.url).port or 80) as wire:
        first = await context.new_page()
        await first.goto(wire.url + address, wait_until="load")
        await first.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await first.close()
        page = await context.new_page()
        await page.add_init_script(OBSERVE)
        before = wire.sent
        await page.goto(wire.url + address, wait_until="load")
        await page.wait_for_timeout(700)
        sent = wire.sent - before
        seen = await page.evaluate("seen")
        await context.close()
    return {"kb": round(sent / 1000, 1), "lcp_ms": round(seen["lcp"]), "cls": round(seen["cls"], 4)}


async def visit(browser: Browser, person: Person, address: str) -> dict[str, Any]:
    """Open a page with an empty cache, and say what came over the wire."""
    context = await browser.new_context(
        viewport=WIDE, locale="en-GB", storage_state=await person.context.storage_state()
    )
    page = await context.new_page()
    await page.add_init_script(OBSERVE)
    network = await context.new_cdp_session(page)
    await network.send("Network.enable")
    kinds: dict[str, str] = {}
    sizes: dict[str, float] = {}
    network.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["response"]["url"]}))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    await page.goto(person.server.url + address, wait_until="load")
    await page.wait_for_timeout(700)
    seen = await page.evaluate("seen")
    await context.close()
    by_name = {kinds.get(key, "?").rpartition("/")[2]: size for key, size in sizes.items()}
    return {
        "kb": round(sum(size for name, size in by_name.items() if not name.endswith(".woff2")) / 1000, 1),
        "fonts_kb": round(sum(size for name, size in by_name.items() if name.endswith(".woff2")) / 1000, 1),
        "largest": dict(
            sorted(((name, round(size / 1000, 1)) for name, size in by_name.items()), key=lambda p: -p[1])[:6]
        ),
        "lcp_ms": round(seen["lcp"]),
        "cls": round(seen["cls"], 4),
    }


async def server_time(person: Person, address: str, rounds: int) -> dict[str, float]:
    """Milliseconds from the request to the last byte, one after the other."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        answer = await person.context.request.get(person.server.url + address)
        await answer.body()
        taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    return {"median": round(statistics.median(taken), 1), "p95": round(taken[int(len(taken) * 0.95)], 1)}


async def main(areas: int, rounds: int) -> None:
    """Measure, and print JSON, a line each."""
    print(json.dumps({"bench": "web", "load_average": os.getloadavg(), "areas": areas}))
    with tempfile.TemporaryDirectory() as place, installation(Path(place)) as server:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            person = await arrive(server, browser, "ann")
            world = await furnish(person)
            mine = len((await person.api("GET", "/api/areas?limit=100"))["items"])
            kinds = [("webhook.received", {}), ("timer.daily_timer", {"time": "08:00"})]
            for number in range(areas - mine):
                action, parameters = kinds[number % 2]
                await person.make(
                    action,
                    "inbox.post",
                    f"Number {number} of my many AREAs",
                    action_parameters=parameters,
                    reaction_parameters={"title": "{{date}}" if number % 2 else "{{method}}"},
                )
            for name, address in {"home": "/", **world.pages()}.items():
                first, second = await visit(browser, person, address), await again(browser, person, address)
                took = await server_time(person, address, rounds if name == "home" else max(5, rounds // 5))
                print(json.dumps({"page": name, "first": first, "second": second, "server_ms": took}))
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--areas", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(main(given.areas, given.rounds))
