"""Requests to a real HTTP server on loopback, with the SSRF guard on."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area.connectors.http import Call, Watched, WatchedList, get_json, new_list_item, request, service, value_changed
from area.connectors.http.fields import statuses
from area.kit.http import Client
from area.sdk import Context, Event, Guard, Http, Permanent, Retry
from area.sdk.dedupe import Seen, fresh
from area.sdk.testing import act, finds_nothing

START = datetime.now(UTC)


class Peer:
    """A server that keeps what it gets, and answers what the test lays out."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.headers, self.body = 200, {"Content-Type": "application/json"}, b'{"ok": true}'

    def url(self, path: str = "/") -> str:
        return str(self.server.make_url(path))

    def says(self, value: Any, status: int = 200, **headers: str) -> None:
        self.status, self.body = status, value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers = {"Content-Type": "application/json"} | {n.replace("_", "-"): v for n, v in headers.items()}

    async def handle(self, incoming: web.Request) -> web.Response:
        body = await incoming.read()
        self.got.append((incoming.method, str(incoming.rel_url), dict(incoming.headers), body))
        if incoming.path == "/old":
            return web.Response(status=307, headers={"Location": "/new"})
        if self.headers.get("ETag") and incoming.headers.get("If-None-Match") == self.headers["ETag"]:
            return web.Response(status=304)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    application = web.Application(client_max_size=10**8)
    server = TestServer(application)
    it = Peer(server)
    application.router.add_route("*", "/{path:.*}", it.handle)
    await server.start_server()
    yield it
    await server.close()


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    guard = Guard(allow=["127.0.0.1"])
    client = Client(guard)
    yield Context(http=Http(client), guard=guard, platform=cast(Any, None), idempotency_key="execution-7")
    await client.close()


async def send(ctx: Context, **params: Any) -> Any:
    return await request.function(ctx, Call(**params))


# --- request ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "body", "content_type"),
    [
        ({"body": {"a": 1}}, b'{"a":1}', "application/json"),
        ({"body": [1, 2]}, b"[1,2]", "application/json"),
        ({"body": '{"a": 1}'}, b'{"a": 1}', "application/json"),
        ({"body": " [1]"}, b" [1]", "application/json"),
        ({"body": "{nearly"}, b"{nearly", "text/plain; charset=utf-8"),
        ({"body": "café"}, "café".encode(), "text/plain; charset=utf-8"),
        ({"body": 42}, b"42", "text/plain"),
        ({"body": False}, b"false", "text/plain"),
        ({"body": "<a/>", "content_type": "application/xml"}, b"<a/>", "application/xml"),
        ({"body": {"a": 1}, "content_type": "application/ld+json"}, b'{"a":1}', "application/ld+json"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"body": "x", "headers": {"content-type": "a/b"}, "content_type": "c/d"}, b"x", "c/d"),
        (
            {"body": {"a": "x y&", "b": [1, True], "c": None}, "content_type": "application/x-www-form-urlencoded"},
            b"a=x+y%26&b=1&b=true&c=",
            "application/x-www-form-urlencoded",
        ),
        (
            {"body": "a=1", "content_type": "application/x-www-form-urlencoded"},
            b"a=1",
            "application/x-www-form-urlencoded",
        ),
        (
            {"body": '{"a": 1}', "content_type": "application/x-www-form-urlencoded"},
            b"a=1",
            "application/x-www-form-urlencoded",
        ),
    ],
)
async def test_bodies(ctx, peer, params, body, content_type):
    await send(ctx, url=peer.url(), **params)
    method, _, headers, got = peer.got[0]
    assert (method, got) == ("POST", body)
    assert [value for name, value in headers.items() if name.lower() == "content-type"] == [content_type]


@pytest.mark.parametrize(
    "params",
    [
        # json-text-bare-number-placeholder
        {"body": '{"text": "a "b"\nc", "n": 5}'},
        {"body": '{"n": , "text": "x"}'},
        {"body": '[{"a": 1},]', "content_type": "application/json"},
        {"body": '{"a": x}', "content_type": "application/ld+json; charset=utf-8"},
    ],
)
async def test_a_body_that_is_meant_as_json_and_is_none_is_not_sent(ctx, peer, params):
    with pytest.raises(Permanent, match="looks like JSON"):
        await send(ctx, url=peer.url(), **params)
    assert peer.got == []


@pytest.mark.parametrize("params", [{"body": "[INFO] up"}, {"body": '{"a":', "content_type": "text/plain"}])
async def test_a_text_that_begins_like_json_is_sent(ctx, peer, params):
    await send(ctx, url=peer.url(), **params)
    assert peer.got[0][3] == params["body"].encode()


@pytest.mark.parametrize("method", ["get", "GET", "head", "delete", "POST"])
@pytest.mark.parametrize("body", [None, ""])
async def test_no_body_unless_given(ctx, peer, method, body):
    await send(ctx, url=peer.url(), method=method, body=body)
    got_method, _, headers, got = peer.got[0]
    assert (got_method, got) == (method.upper(), b"")
    assert headers.get("Content-Length", "0") == "0"


async def test_get_may_have_a_body(ctx, peer):
    await send(ctx, url=peer.url(), method="GET", body={"q": 1})
    assert peer.got[0][3] == b'{"q":1}'


async def test_the_answer_comes_back(ctx, peer):
    peer.says({"id": 42}, 201, X_Kind="order", Set_Cookie="secret")
    answer = await send(ctx, url=peer.url())
    assert (answer.status, answer.body, answer.truncated) == (201, {"id": 42}, False)
    assert answer.headers["x-kind"] == "order"
    assert "set-cookie" not in answer.headers
    type(answer).model_validate(answer.model_dump())


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "text/plain", None),
        (b"hello", "text/plain", "hello"),
        (b"caf\xe9", "text/plain; charset=latin-1", "café"),
        (b"\xff", "image/png", "\ufffd"),
        (b'{"a": 1}', "text/html", {"a": 1}),
        (b"{", "application/json", "{"),
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": "\\ud83d"}', "application/json", {"a": "\ufffd"}),
    ],
)
async def test_answers_of_all_kinds(ctx, peer, body, content_type, expected):
    peer.says(body, Content_Type=content_type)
    assert (await send(ctx, url=peer.url())).body == expected


async def test_a_long_answer_is_cut(ctx, peer):
    peer.says(["x" * 1000] * 100)
    answer = await send(ctx, url=peer.url())
    assert answer.truncated
    assert len(answer.body) == 65_536
    assert answer.body.startswith('["xxx')


async def test_idempotency_key(ctx, peer):
    await send(ctx, url=peer.url())
    await send(ctx, url=peer.url(), headers="idempotency-key: mine")
    ctx.idempotency_key = ""
    await send(ctx, url=peer.url())
    ctx.idempotency_key = "execution-7"
    await send(ctx, url=peer.url())
    keys = [[v for n, v in headers.items() if n.lower() == "idempotency-key"] for _, _, headers, _ in peer.got]
    assert keys == [["execution-7"], ["mine"], [], ["execution-7"]], "a second attempt has the same"


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "1", "X-B": 2}, '{"X-A": "1", "X-B": 2}', "X-A: 1\n\nX-B:2\n", " X-A : 1\r\nX-B: 2"],
)
async def test_headers(ctx, peer, headers):
    await send(ctx, url=peer.url(), headers=headers)
    assert peer.got[0][2]["X-A"] == "1"
    assert peer.got[0][2]["X-B"] == "2"


@pytest.mark.parametrize(
    ("status", "headers", "error", "said"),
    [
        (400, {}, Permanent, "returned 400: "),
        (401, {}, Permanent, "returned 401"),
        (404, {}, Permanent, "no such order"),
        (408, {}, Retry, "returned 408"),
        (425, {}, Retry, "returned 425"),
        (429, {"Retry-After": "120"}, Retry, "returned 429"),
        (500, {}, Retry, "returned 500"),
        (503, {"Retry-After": "7"}, Retry, "returned 503"),
    ],
)
async def test_unexpected_statuses(ctx, peer, status, headers, error, said):
    peer.says({"error": "no such order"}, status, **headers)
    with pytest.raises(error, match=said) as caught:
        await send(ctx, url=peer.url())
    if headers:
        assert caught.value.after == timedelta(seconds=int(headers["Retry-After"]))


async def test_expected_status(ctx, peer):
    peer.says({}, 404)
    assert (await send(ctx, url=peer.url(), expected_status="200,404")).status == 404
    assert (await send(ctx, url=peer.url(), expected_status=404)).status == 404
    with pytest.raises(Permanent, match="returned 404"):
        await send(ctx, url=peer.url(), expected_status="200-299")
    peer.says({"why": "because"}, 200)
    with pytest.raises(Permanent, match=r'returned 200; expected 201: ."why": "because"'):
        await send(ctx, url=peer.url(), expected_status="201")


def test_statuses():
    assert statuses("200, 404,500-502") == {200, 404, 500, 501, 502}


async def test_redirects_are_followed(ctx, peer):
    await send(ctx, url=peer.url("/old"), body="x")
    assert [(method, path, body) for method, path, _, body in peer.got] == [
        ("POST", "/old", b"x"),
        ("POST", "/new", b"x"),
    ]


async def test_an_address_goes_out_as_it_was_written(ctx, peer):
    await send(ctx, url=peer.url() + "a%2Fb?x=%20y&sig=a%2Bb&empty")
    assert peer.got[0][1] == "/a%2Fb?x=%20y&sig=a%2Bb&empty"


async def test_what_can_not_be_reached(ctx, unused_tcp_port):
    with pytest.raises(Retry, match="refused the connection"):
        await send(ctx, url=f"http://127.0.0.1:{unused_tcp_port}/")
    with pytest.raises(Permanent, match="refused"):
        await send(ctx, url="http://169.254.169.254/latest/meta-data")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"url": "example.com"}, "https://"),
        ({"url": "ftp://example.com"}, "https://"),
        ({"url": "/relative"}, "https://"),
        ({"url": "https:///nothing"}, "https://"),
        ({"method": "BREW"}, "GET"),
        ({"headers": "no colon"}, "one header per line"),
        ({"headers": '{"a": '}, "look like JSON"),
        ({"headers": {"a b": "1"}}, "not a valid header name"),
        ({"headers": {"": "1"}}, "not a valid header name"),
        ({"headers": {"Host": "x"}}, "AREA sets"),
        ({"headers": "content-length: 3"}, "AREA sets"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "AREA sets"),
        ({"headers": {"connection": "upgrade"}}, "AREA sets"),
        ({"headers": [1]}, "dictionary"),
        ({"expected_status": "2xx"}, "200-299"),
        ({"expected_status": "999"}, "200-299"),
        ({"timeout_seconds": 0}, "greater than or equal to 1"),
        ({"timeout_seconds": "61"}, "less than or equal to 60"),
    ],
)
def test_wrong_parameters_are_refused(params, said):
    with pytest.raises(ValidationError, match=said):
        Call(**({"url": "https://example.com"} | params))


def test_parameters_may_come_as_text():
    call = Call(
        url=" https://example.com ", method="put", timeout_seconds="5", expected_status=200, headers="", body=""
    )
    assert (call.url, call.method, call.timeout_seconds) == ("https://example.com", "PUT", 5)
    assert (call.expected_status, call.headers, call.body) == ("200", None, None)


# --- the polls, with the engine's rule ------------------------------------------------------------------------------


class Engine:
    """Looks as the engine does: the first look is the baseline, a state counts only when all went well."""

    def __init__(self, ctx: Context, action: Any, params: Any) -> None:
        self.ctx, self.action, self.params = ctx, action, params
        self.seen = Seen(START)
        self.now = START
        self.state: dict[str, Any] = {}
        self.first = True

    async def look(self) -> list[Event[Any]]:
        self.ctx.state = json.loads(json.dumps(self.state))
        events = [event async for event in self.action.function(self.ctx, self.params, START)]
        for event in events:
            self.action.returns.model_validate(event.data.model_dump())
        self.state = self.ctx.state
        new, self.seen = fresh(events, self.seen, datetime.now(UTC), self.action.overlap)
        self.first, baseline = False, self.first
        return [] if baseline else new


async def test_each_change_of_a_value_fires_once(ctx, peer):
    engine = Engine(ctx, value_changed, Watched(url=peer.url(), path="data.price"))
    fired = []
    for price in (1, 1, 2, 2, 1, 1, None, 1):
        peer.says({"data": {"price": price}, "noise": len(peer.got)})
        fired += [(event.data.previous, event.data.value) for event in await engine.look()]
    assert fired == [(1, 2), (2, 1), (1, None), (None, 1)]


async def test_a_value_is_the_same_in_another_order(ctx, peer):
    engine = Engine(ctx, value_changed, Watched(url=peer.url(), path="@"))
    peer.says(b'{"a": 1, "b": 2}')
    await engine.look()
    peer.says(b'{"b": 2,   "a": 1}')
    assert await engine.look() == []


async def test_an_unchanged_answer_is_not_sent_again(ctx, peer):
    engine = Engine(ctx, value_changed, Watched(url=peer.url(), path="a"))
    peer.says({"a": 1}, ETag='"one"')
    assert [await engine.look() for _ in range(3)] == [[], [], []]
    assert [headers.get("If-None-Match") for _, _, headers, _ in peer.got] == [None, '"one"', '"one"']
    peer.says({"a": 2}, ETag='"two"')
    assert [event.data.value for event in await engine.look()] == [2]


async def test_what_could_not_be_read_is_read_again(ctx, peer):
    engine = Engine(ctx, value_changed, Watched(url=peer.url(), path="a"))
    peer.says({"a": 1})
    await engine.look()
    peer.says(b"oops", ETag='"x"')
    for _ in range(2):
        with pytest.raises(Permanent, match="didn't return JSON: oops"):
            await engine.look()
    assert "x" not in str(engine.ctx.state.get("etag"))
    peer.says({"a": 2}, 500)
    with pytest.raises(Retry):
        await engine.look()
    peer.says({"a": 2})
    assert [event.data.value for event in await engine.look()] == [2]


@pytest.mark.parametrize(
    ("answer", "path", "said"),
    [
        (b"", "a", "nothing"),
        ({"a": "x" * 70_000}, "a", "larger than 64 KB"),
        ({"a": 1}, "length(a)", "doesn't match"),
        ({"a": 1}, "&a", "can't be stored"),
        (b"[" * 300 + b"]" * 300, "@", "can't be stored"),
    ],
)
async def test_values_that_can_not_be_watched(ctx, peer, answer, path, said):
    peer.says(answer)
    with pytest.raises(Permanent, match=said):
        await Engine(ctx, value_changed, Watched(url=peer.url(), path=path)).look()


@pytest.mark.parametrize("breaks", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0"])
def test_a_value_adds_no_header(breaks):
    for headers in ([["X-A", f"v{breaks}Authorization: x"]], {"X-A": f"v{breaks}Authorization: x"}):
        with pytest.raises(ValidationError, match="The header X-A contains a line break"):
            Call(url="https://example.com", headers=headers)
    assert Call(url="https://example.com", headers=[["X-A", " v\n"], ["X-B", " b: c"]]).headers == {
        "X-A": "v",
        "X-B": "b: c",
    }


def test_paths_are_checked():
    for path in ("a[", "nope(a)", ""):
        with pytest.raises(ValidationError):
            Watched(url="https://example.com", path=path)


async def test_new_items_fire_once_and_in_order(ctx, peer):
    engine = Engine(ctx, new_list_item, WatchedList(url=peer.url(), path="orders", date_field="at"))
    recent = [(START - timedelta(seconds=60 - index)).isoformat() for index in range(9)]
    orders = [{"id": index, "at": recent[index]} for index in range(9)]
    fired = []
    for shown in (orders[:3], orders[:3], orders[6::-1], orders[4:8], []):
        peer.says({"orders": shown})
        fired += [event.id for event in await engine.look()]
    assert fired == ["3", "4", "5", "6", "7"]


@pytest.mark.parametrize(
    ("item", "params", "expected"),
    [
        ({"id": 7, "url": "u"}, {}, "7"),
        ({"id": "", "guid": "g"}, {}, "g"),
        ({"id": None, "uuid": "u", "key": "k"}, {}, "u"),
        ({"id": {"a": 1}, "key": "k"}, {}, "k"),
        ({"url": "https://x"}, {}, "https://x"),
        ({"id": 7, "number": "n1"}, {"id_field": "number"}, "n1"),
        ({"b": 1, "a": 2}, {}, hashlib.sha256(b'{"a":2,"b":1}').hexdigest()),
        ("text", {}, hashlib.sha256(b'"text"').hexdigest()),
    ],
)
async def test_what_names_an_item(ctx, peer, item, params, expected):
    peer.says([item])
    found = new_list_item.function(ctx, WatchedList(url=peer.url(), **params), START)
    assert [event.id async for event in found] == [expected]


def room(*names: str, age: int, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "m", "content": {"body": name}, "age": age + len(name)} | more for name in names]


async def test_items_that_change_at_each_look_are_told_apart_by_what_looks_like_an_id(ctx, peer):
    engine = Engine(ctx, new_list_item, WatchedList(url=peer.url()))

    def page(age: int, *names: str) -> list[dict[str, Any]]:
        return [
            {"event_id": f"${name}", "sender": "ann"} | item
            for name, item in zip(names, room(*names, age=age), strict=True)
        ]

    fired = []
    for age, names in enumerate((("a", "b"), ("a", "b"), ("c", "a", "b"), ("c", "a", "b"), ("d", "c"))):
        peer.says(page(age, *names))
        fired.append([event.data.item["event_id"] for event in await engine.look()])
    assert fired == [[], [], ["$c"], [], ["$d"]]
    assert engine.state["note"] == "Every item of the list changes each time. AREA tells items apart by event_id."


async def test_a_list_that_gives_nothing_to_tell_its_items_apart_says_so(ctx, peer):
    engine = Engine(ctx, new_list_item, WatchedList(url=peer.url()))
    peer.says(room("a", "b", "c", age=1))
    assert await engine.look() == []
    for age in (2, 3):
        peer.says(room("a", "b", "c", age=age))
        with pytest.raises(Permanent, match=r"AREA can't tell the items of the list apart.* Unchanged: content\."):
            await engine.look()
    peer.says(room("z", age=4))  # all others are gone: that is a list of new items
    assert [event.data.item["content"]["body"] for event in await engine.look()] == ["z"]
    peer.says(room("z", age=5))
    assert len(await engine.look()) == 1
    assert engine.state["note"] == "Nothing identifies the only item of the list, so each change counts as a new item."


async def test_new_items_without_an_id_that_resemble_the_old_ones(ctx, peer):
    engine = Engine(ctx, new_list_item, WatchedList(url=peer.url()))
    fired = []
    for names in ("ab", "ba", "cab", "ef"):
        peer.says([{"name": name, "status": "open", "unit": "C"} for name in names])
        fired.append([event.data.item["name"] for event in await engine.look()])
    assert fired == [[], [], ["c"], ["e", "f"]]
    assert "note" not in engine.state


async def test_an_item_that_can_not_be_stored_is_left_out(ctx, peer):
    engine = Engine(ctx, new_list_item, WatchedList(url=peer.url()))
    peer.says([{"id": 0}])
    await engine.look()
    deep = b"[" * 300 + b"]" * 300
    peer.says(
        b'[{"id": 1, "deep": ' + deep + b'}, {"id": 2}, {"id": 123456789012345678901}, {"id": 123456789012345678902}]'
    )
    assert [event.id for event in await engine.look()] == ["2", "123456789012345678901", "123456789012345678902"]
    assert engine.state["note"] == "1 item of the list can't be stored and was left out."
    peer.says([{"id": 2}])
    await engine.look()
    assert "note" not in engine.state


@pytest.mark.parametrize(
    ("empty", "path"),
    [
        ({"a": {"b": None}}, "a.b"),
        ({"a": None}, "a.b"),
        ({"a": None}, "a.b[?x]"),
        ({"a.b": None}, '"a.b"'),
        ({"a": {"b": None}}, "a.b[*]"),
        (None, "@"),
    ],
)
async def test_null_is_a_list_without_items(ctx, peer, empty, path):
    peer.says(empty)
    assert await Engine(ctx, new_list_item, WatchedList(url=peer.url(), path=path)).look() == []


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b'{"v": "cut \\ud83d"}', "cut \ufffd"),
        (b'{"v": 123456789012345678901234567890}', "123456789012345678901234567890"),
        (b"\xef\xbb\xbf" + b'{"v": 1}', 1),
        ('{"v": "é"}'.encode("utf-16"), "é"),
        ('{"v": "é", "w": "'.encode() + b'\xff"}', "é"),
    ],
)
async def test_json_as_it_is_written(ctx, peer, document, value):
    engine = Engine(ctx, value_changed, Watched(url=peer.url(), path="v"))
    peer.says({"v": None})
    await engine.look()
    peer.says(document)
    assert [event.data.value for event in await engine.look()] == [value]


async def test_long_ids_are_hashed(ctx, peer):
    peer.says([{"id": "x" * 300}])
    events = [event async for event in new_list_item.function(ctx, WatchedList(url=peer.url()), START)]
    assert len(events[0].id) == 64
    assert len(events[0].data.id) == 300


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T08:00:01Z", datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-23 08:00:01", datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)),
        (1795420801, datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)),
        ("1795420801000", datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 09:00:01 +0100", datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)),
        ("2026-11-23", None),
        ("Mon, 23 Nov 2026 00:00:00 +0100", None),
        ("yesterday", None),
        (None, None),
        ({}, None),
    ],
)
async def test_dates_of_items(ctx, peer, value, expected):
    peer.says([{"id": 1, "at": value}])
    found = new_list_item.function(ctx, WatchedList(url=peer.url(), date_field="at"), START)
    assert [event.at async for event in found] == [expected]


@pytest.mark.parametrize(
    ("answer", "params", "said"),
    [
        ({"data": {}, "orders": []}, {}, "an object with the fields data, orders; try the path orders"),
        ({"a": 1}, {"path": "b"}, "value at b isn't a list. It is null"),
        ({"a": "x"}, {"path": "a"}, "is a string"),
        (5, {}, "is a number"),
        (True, {}, "is a boolean"),
        ([{"id": 1}], {"id_field": "nr"}, "field nr"),
        (list(range(1001)), {}, "1,001 items"),
    ],
)
async def test_lists_that_are_none(ctx, peer, answer, params, said):
    peer.says(answer)
    with pytest.raises(Permanent, match=said):
        await Engine(ctx, new_list_item, WatchedList(url=peer.url(), **params)).look()


async def test_headers_are_sent_when_looking(ctx, peer):
    peer.says([])
    for action, params in ((value_changed, Watched), (new_list_item, WatchedList)):
        await Engine(ctx, action, params(url=peer.url(), path="@", headers="X-Api-Key: k")).look()
    assert [headers["X-Api-Key"] for _, _, headers, _ in peer.got] == ["k", "k"]


@pytest.mark.parametrize("name", ["value_changed", "new_list_item"])
def test_fixtures_are_what_the_actions_return(name):
    sample = json.loads(Path(__file__).with_name("fixtures").joinpath(f"{name}.json").read_text())
    model = service.actions[name].returns
    assert set(sample["data"]) == set(model.model_fields)
    model.model_validate(sample["data"])


# --- get_json --------------------------------------------------------------------------------------------------------


async def test_json_is_looked_up(ctx, peer):
    peer.says({"orders": [{"id": 7, "total": 19.9}]})
    result = await act(ctx, get_json, url=peer.url("/o?key=s3cret"), path="orders[0].total", headers={"X-A": "b"})
    assert (result.found, result.value) == (True, 19.9)
    assert "s3cret" not in result.url
    assert peer.got[0][0] == "GET"
    assert peer.got[0][2]["X-A"] == "b"
    assert (await act(ctx, get_json, url=peer.url())).value == {"orders": [{"id": 7, "total": 19.9}]}
    await finds_nothing(ctx, get_json, url=peer.url(), path="nothing.there")
    await finds_nothing(ctx, get_json, url=peer.url(), path="orders[?id == `8`]")
    peer.says({}, status=404)
    await finds_nothing(ctx, get_json, url=peer.url())
    peer.says({}, status=403)
    with pytest.raises(Permanent):
        await act(ctx, get_json, url=peer.url())
