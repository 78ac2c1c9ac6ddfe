"""The pages in real Chromium, on loopback: the weight of home with 200 AREAs, server time, LCP and CLS.

python -m bench.web [--areas N] [--rounds N]

LCP and CLS come from the browser's own observers (https://web.dev/articles/lcp, https://web.dev/articles/cls). Bytes of
a first visit are the compressed bytes on the wire, from the browser's network log. A second visit is counted on the
wire by a proxy, because the log reports 0 for pages that our service worker fetches; this includes headers and streams.
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
new PerformanceObserver((list) => { for (const entry of list.getEntries()) seen.lcp = entry.startTime; })
  .observe({type: "largest-contentful-paint", buffered: true});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.cls += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


class Wire:
    """A proxy between browser and server that counts what the server sends."""

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
    """Open a page a second time, in another tab, with the browser's cache of the first visit."""
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
    """Open a page with an empty cache; returns the bytes on the wire."""
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
    """Milliseconds from request to last byte, one request after the other."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        answer = await person.context.request.get(person.server.url + address)
        await answer.body()
        taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    return {"median": round(statistics.median(taken), 1), "p95": round(taken[int(len(taken) * 0.95)], 1)}


async def main(areas: int, rounds: int) -> None:
    """Measure, and print JSON lines."""
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
    options = parser.parse_args()
    asyncio.run(main(options.areas, options.rounds))
