"""Inputs after public bug reports of other feed readers, calendars and automation tools, by the names of the cases: each
look is at the next file of a case, served by a real server, and judged by the engine's rule.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine
from aiohttp import web
from aiohttp.test_utils import TestServer

from area.areas.plans import Config, compile_config
from area.connectors import calendar, http, rss
from area.connectors.webhook.body import read
from area.kit.budget import Budget
from area.kit.http import Client
from area.registry import registry
from area.sdk import Context, Guard, Http, Permanent
from area.sdk.testing import Watch

CASES = Path(__file__).with_name("cases")


@dataclass
class Peer:
    """A server of the document that a test lays out."""

    url: str = ""
    body: bytes = b""
    content_type: str = "application/xml"
    ctx: Context = field(init=False)

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(body=self.body, headers={"Content-Type": self.content_type})


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    created = Peer()
    app = web.Application()
    app.router.add_get("/document", created.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        guard = Guard(allow=["127.0.0.1"])
        client = Client(guard)
        created.url = str(server.make_url("/document"))
        created.ctx = Context(http=Http(client), guard=guard, platform=cast(Any, None))
        yield created
        await client.close()


def files(kind: str, case: str) -> list[bytes]:
    paths = sorted((CASES / kind).glob(f"{case}.[0-9].*"))
    assert paths, case
    return [path.read_bytes() for path in paths]


# for each look after the first, the titles that fire
FEEDS: dict[str, list[list[str]]] = {
    "same-guid-two-items": [["one", "two"]],
    "constant-guid": [["b"]],
    "guid-rotates-each-fetch": [[], [], []],
    "no-guid-tracking-link": [[], []],
    "date-epoch-est": [["b"]],
    "date-two-days-back": [["late"]],
    "podcast-enclosure": [["ep1"]],
    "surrogate-pair-references": [["z", "x 😀 y"]],
    "json-feed-attachments": [["e"]],
    "img-with-bad-host": [["b", "a"]],
    "surrogate-decimal-references": [["b", "a"]],
    "reference-out-of-range": [["b", "a \ufffd"]],
    "rotating-guid-flood": [[], [], []],
    "all-items-old": [["b"]],
}


@pytest.mark.parametrize("case", FEEDS)
async def test_feeds(peer: Peer, case: str) -> None:
    trigger = Watch(peer.ctx, rss.new_item, url=peer.url)
    fired = []
    for document in files("feed", case):
        peer.body = document
        fired.append([event.data.title for event in await trigger.look()])
    assert [sorted(titles) for titles in fired] == [[], *map(sorted, FEEDS[case])]
    assert await trigger.look() == []  # once


@pytest.mark.parametrize("case", ["podcast-enclosure", "json-feed-attachments"])
async def test_attachments_are_values(peer: Peer, case: str) -> None:
    trigger = Watch(peer.ctx, rss.new_item, url=peer.url)
    for document in files("feed", case):
        peer.body = document
        events = await trigger.look()
    (attachment,) = events[0].data.attachments
    if case == "podcast-enclosure":
        answer = {
            "url": "http://p.example/ep1.mp3",
            "type": "audio/mpeg",
            "bytes": 1234,
            "seconds": 1865,
            "title": None,
        }
        assert events[0].data.image == "http://p.example/ep1.jpg"
    else:
        answer = {"url": "http://p.example/1.mp3", "type": "audio/mpeg", "bytes": None, "seconds": None, "title": None}
    assert attachment == answer


async def test_surrogates_and_impossible_pictures_are_read_or_left_out(peer: Peer) -> None:
    for case, name, value in (
        ("surrogate-decimal-references", "summary", "nice 😊"),
        ("img-with-bad-host", "image", None),
    ):
        trigger = Watch(peer.ctx, rss.new_item, url=peer.url)
        peer.body, peer.content_type = files("feed", case)[0], "application/rss+xml"
        await trigger.look()
        peer.body = files("feed", case)[1]
        events = {event.data.title: event.data for event in await trigger.look()}
        assert getattr(events["a"], name) == value
        assert "note" not in trigger.state


# when which event fires, by a clock that begins at 14:20 on the day of the cases
CALENDARS: dict[str, list[tuple[str, str]]] = {
    "tzone-microsoft-custom": [("14:29", "E")],
    "tzone-custom-unquoted-defined": [("15:14", "E")],
    "until-date-only": [("14:29", "E")],
    "until-date-only-utc": [("14:36", "E")],
    "rrule-interval-0": [("14:29", "E")],
    "uid-changes": [("14:29", "E")],
    "no-uid": [("14:29", "E")],
    "quoted-printable": [("14:29", "Café Nord")],
    "end-before-start": [("14:36", "E")],
    "duration-negative": [("14:36", "E")],
    "end-is-a-date": [("14:36", "E")],
    "trailing-space": [("14:36", "E")],
}
NOTES = {
    "rrule-interval-0": "1 event of the calendar can't be read and was left out.",
    "uid-changes": "The calendar's event UIDs change each time. AREA tells events apart by title and start.",
    "no-uid": "Some events of the calendar have no UID. AREA tells them apart by title and start.",
}


@pytest.mark.parametrize("case", CALENDARS)
async def test_calendars(peer: Peer, case: str) -> None:
    trigger = Watch(peer.ctx, calendar.event_starts, url=peer.url)
    documents = files("calendar", case)
    fired, notes = [], set()
    with time_machine.travel(datetime(2026, 11, 30, 14, 20, tzinfo=UTC), tick=False) as clock:
        for minute in range(65):
            # another document at each fetch, which is every five minutes
            peer.body, peer.content_type = documents[minute // 5 % len(documents)], "text/calendar"
            fired += [(f"{datetime.now(UTC):%H:%M}", event.data.summary) for event in await trigger.look()]
            notes.add(trigger.state.get("note"))
            clock.shift(60)
    assert fired == CALENDARS[case]
    assert notes - {None} == ({NOTES[case]} if case in NOTES else set())


def payload(body: str, data: Any) -> bytes | None:
    """What http.request would send for this event and this body."""
    config = Config("webhook.received", "http.request", {}, {"url": "https://example.org", "body": body})
    values = compile_config(registry(), config).values(data, Budget())
    params = http.request.params.model_validate(values)
    return http._payload(params.body, params.content_type or "")[0]


def test_json_text_bare_number_placeholder() -> None:
    body = read((CASES / "template/json-text-bare-number-placeholder.json").read_bytes(), "application/json")
    sent = payload('{"text": "{{body.t}}", "n": {{body.n}}}', {"body": body})
    assert json.loads(sent or b"") == {"text": 'a "b"\nc', "n": 5}
    with pytest.raises(Permanent, match="looks like JSON"):
        payload('{"text": "{{body.t}}", "n": {{body.n}},}', {"body": body})


def test_nested_json_text() -> None:
    body = read((CASES / "template/nested-json-text.json").read_bytes().strip(), "application/x-www-form-urlencoded")
    assert payload('{"n": {{body.payload | parse_json:"n.b"}}}', {"body": body}) == b'{"n":7}'


def test_lone_surrogate_in() -> None:
    body = read((CASES / "template/lone-surrogate-in.json").read_bytes(), "application/json")
    assert payload('{"t": "{{body.t}}"}', {"body": body}) == '{"t":"cut \ufffd"}'.encode()


def test_strip_html_table_cells() -> None:
    body = read((CASES / "template/strip-html-table-cells.json").read_bytes(), "application/json")
    assert payload("{{body.h | strip_html}}", {"body": body}) == b"Total 19.90"


async def test_lone_surrogate(peer: Peer) -> None:
    trigger = Watch(peer.ctx, http.value_changed, url=peer.url, path="v")
    first, second = files("http", "lone-surrogate")
    for document, values in ((first, []), (second, [2])):
        peer.body, peer.content_type = document, "application/json"
        assert [event.data.value for event in await trigger.look()] == values


async def test_null_list_first(peer: Peer) -> None:
    trigger = Watch(peer.ctx, http.new_list_item, url=peer.url, path="items")
    for document, ids in zip(files("http", "null-list-first"), ([], ["1"], ["2"]), strict=True):
        peer.body, peer.content_type = document, "application/json"
        assert await trigger.ids() == ids
