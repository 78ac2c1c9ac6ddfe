"""Hostile feeds and targets: a clear error, bounded memory, and everything else goes on meanwhile."""

import asyncio
import gzip
import json
import time

import pytest

from tests.robustness.conftest import sentence

ITEM = "<item><guid>{}</guid><title>{}</title></item>"
HEAD = b'<?xml version="1.0"?><rss version="2.0"><channel><title>f</title>'
TAIL = b"</channel></rss>"
ALLOWED = 300  # MB more than before that the worker may hold


def feed(*ids):
    return HEAD + "".join(ITEM.format(number, number) for number in ids).encode() + TAIL


def laughs(levels, start="lol"):
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, levels))
    return f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "{start}">{entities}]>'.encode()


def json_feed(*ids):
    items = [{"id": number, "content_text": "x"} for number in ids]
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "j", "items": items}).encode()


def plain(body, *headers):
    """A whole answer."""
    return b"\r\n".join(
        [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"Connection: close", b"", body]
    )


STREAMED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def zipped():
    """Made where it is served: every worker collects this."""
    body = gzip.compress(HEAD + b" " * 50_000_000 + TAIL, compresslevel=1)
    return plain(body, b"Content-Encoding: gzip")


# what is answered to the first look
FEEDS = {
    "laughs": plain(laughs(10) + feed("a").replace(b"<title>a", b"<title>&l9;").removeprefix(b'<?xml version="1.0"?>')),
    "quadratic": plain(
        laughs(1, "x" * 100_000)
        + b"<rss><channel><item><title>"
        + b"&l0;" * 20_000
        + b"</title></item></channel></rss>"
    ),
    "huge": "50 MB, length told",
    "endless": "50 MB, length not told",
    "zipped": zipped,
    "drips": "a byte a second",
    "silent": "nothing at all",
    "loops": b"HTTP/1.1 302 Found\r\nLocation: /feeds/loops\r\nContent-Length: 0\r\n\r\n",
    "leads inside": b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    "deep": plain(HEAD + b"<a>" * 10_000 + b"</a>" * 10_000 + TAIL),
    "attributes": plain(
        HEAD + b"<item " + b" ".join(b'a%d="x"' % number for number in range(10_000)) + b"></item>" + TAIL
    ),
    "braces": plain(b"{" * 1_000_000, b"Content-Type: application/json"),
    "deep JSON": plain(b'{"items":' + b"[" * 500_000),
    "a page": plain(b"<html>" + b"<div>" * 10_000),
    "NULs": plain(b"\0" * 1_000_000),
    "cut off": plain(feed("a", "b"))[:-60],
    "no HTTP": b"\x00\x01\x02" * 1000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"b" * 1_000_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n",
    "many items": plain(feed(*range(3000))),
    "hostile ids": plain(json_feed("old")),
    "XML that is forbidden": plain(feed("a\0b", "\x01", "￿")),
}
# what it answers later, and fires
LATER = {
    "hostile ids": plain(
        json_feed("old", "a\0b", "\ud800", "", "x" * 5000, "é" * 300, "'); drop table areas; --", "{{id}}", "10" * 2000)
    ),
    "many items": plain(feed("new", *range(3000))),
}


class Server:
    """Answers with bytes as they are, HTTP or not."""

    def __init__(self):
        self.answers = {name: answer() if callable(answer) else answer for name, answer in FEEDS.items()}
        self.writers = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        try:
            name = (await reader.readline()).split(b" ")[1].decode().rpartition("/")[2].replace("%20", " ")
            await self._answer(self.answers[name], writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, answer, writer):
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        elif answer.startswith("50 MB"):
            writer.write(
                STREAMED if answer.endswith("not told") else plain(b"").replace(b"Length: 0", b"Length: 50000000")
            )
            writer.write(HEAD)
            for _ in range(500):
                writer.write(b"<item><title>" + b"x" * 99_970 + b"</title></item>")
                await writer.drain()
        elif answer == "a byte a second":
            writer.write(STREAMED)
            for byte in HEAD * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        else:
            await asyncio.sleep(600)


class Health:
    """Asks how the site is, and how much its worker holds, five times a second."""

    def __init__(self, site):
        self._site = site
        self.took = []
        self.held = []
        self.children = []

    async def __aenter__(self):
        self.before = self._site.memory()[0]
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self):
        while True:
            begun = time.monotonic()
            async with self._site.session.get("/healthz") as answer:
                assert answer.status == 200
            self.took.append(time.monotonic() - begun)
            own, children = self._site.memory()
            self.held.append(own)
            self.children.append(children)
            await asyncio.sleep(0.2)


async def sources_of(site, areas):
    rows = await site.database.fetch(
        "select t.area_id, s.checked_at, s.last_error, s.id from triggers t join sources s on s.id = t.source_id"
        " where t.area_id = any($1::int[])",
        list(areas),
    )
    return {areas[row["area_id"]]: row for row in rows}


async def look_again(site):
    await site.database.fetch("update sources set due_at = now() where lease_until is null")


async def settled(site, areas, names, seconds=90):
    """Wait until each of them was looked at, or could not be."""
    end = time.monotonic() + seconds
    while True:
        result = await sources_of(site, areas)
        late = [name for name in names if not result[name]["checked_at"] and not result[name]["last_error"]]
        if not late:
            return result
        assert time.monotonic() < end, f"never looked at: {late}\n{site.area.tail()}"
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_feeds(site, capsys):
    async with Server() as server, Health(site) as health:
        areas = {}
        for name in FEEDS:
            url = f"{server.url}/feeds/{name.replace(' ', '%20')}"
            area = await site.make("rss.new_item", {"url": url}, "http.request", url=f"{site.here}/fed", body="{{id}}")
            areas[area["id"]] = name
        waits = [await site.lives() for _ in range(5)]
        slow = {"drips", "silent"}
        result = await settled(site, areas, set(FEEDS) - slow)
        for name, row in result.items():
            if row["last_error"]:
                assert sentence(row["last_error"]), (name, row["last_error"])
        failed = {name for name, row in result.items() if row["last_error"]}
        assert failed >= {"huge", "endless", "zipped", "loops", "leads inside", "braces", "deep JSON", "a page", "NULs",
                          "no HTTP", "headers without end", "cut off"}  # fmt: skip
        assert not failed & {"many items", "hostile ids", "laughs"}
        assert "larger than 10 MB" in result["endless"]["last_error"]

        # hostile items fire like others do
        server.answers.update(LATER)
        await look_again(site)
        waits += [await site.lives() for _ in range(3)]
        ids = {name: number for number, name in areas.items()}
        fired = await fired_all(site, ids["hostile ids"], 8)
        assert all(run["status"] == "success" for run in fired), fired
        (fired_item,) = await fired_all(site, ids["many items"], 1)
        assert (fired_item["id"], fired_item["status"]) == ("new", "success")
        for area_id in areas:  # the slow ones are still being read
            await site.api("DELETE", f"/api/areas/{area_id}")
        waits.append(await site.lives())
    with capsys.disabled():
        print(
            f"\n  hostile feeds: /healthz took at most {max(health.took) * 1000:.0f} ms, the worker held {health.before} MB"
            f" before and {max(health.held)} MB at most, its readers {max(health.children)} MB; another AREA ran after"
            f" {max(waits):.2f} s at most"
        )
    assert max(health.held) < health.before + ALLOWED


async def fired_all(site, area_id, number, seconds=60):
    end = time.monotonic() + seconds
    while True:
        rows = await site.database.fetch(
            "select status, error_message, trigger_data->>'id' as id from area_executions where area_id = $1", area_id
        )
        if len(rows) >= number and all(row["status"] not in ("pending", "running") for row in rows):
            assert len(rows) == number, rows
            return rows
        assert time.monotonic() < end, f"{rows}\n{site.area.tail()}"
        await asyncio.sleep(0.1)


async def test_targets(site, capsys):
    """The same things, answered to a reaction: it fails or is to be retried, with a sentence, or succeeds."""
    async with Server() as server, Health(site) as health:
        url = f"{server.url}/x/{{{{body}}}}"
        area = await site.make("webhook.received", {}, "http.request", url=url, timeout_seconds=2, body="x")
        executions = {}
        for name in FEEDS:
            async with site.session.post(area["webhook_url"], data=name) as answer:
                assert answer.status == 202
                executions[name] = (await answer.json())["execution_id"]
        await site.lives()
        ends = {name: await site.ended(number) for name, number in executions.items()}
        for name, end in ends.items():
            if end["status"] != "success":
                assert sentence(end["error_message"]), (name, end)
        assert {ends[name]["status"] for name in ("laughs", "deep", "braces", "NULs", "many items")} == {"success"}
        assert {ends[name]["reason"] for name in ("drips", "silent", "no HTTP")} == {"retry"}
        assert {ends[name]["status"] for name in ("huge", "endless", "zipped", "loops", "leads inside")} == {"failed"}
        await site.lives()
    with capsys.disabled():
        print(
            f"\n  hostile targets: /healthz took at most {max(health.took) * 1000:.0f} ms, the worker held"
            f" {health.before} MB before and {max(health.held)} MB at most"
        )
    assert max(health.held) < health.before + ALLOWED
