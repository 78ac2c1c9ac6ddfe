"""Whole requests as programs send them, over a socket: what AREA responds, and what it makes of them."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.robustness.conftest import exchange

REQUESTS = Path(__file__).parent / "requests"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def file(filename: str, content_type: str, content: bytes) -> dict[str, str]:
    return {"filename": filename, "content_type": content_type, "base64": encoded(content)}


ANY: Any = object()
# what the event holds as body, by the request's file name
BODIES: dict[str, Any] = {
    "absolute-form": "x",
    "charset-json-latin1-lie": {"a": "é"},
    "charset-quoted": {"a": 1},
    "charset-utf8mb4": {"a": 1},
    "chunked": {"a": 1},
    "chunked-trailer": {"a": 1},
    "ct-cloudevents-batch": [{"id": "1"}],
    "ct-invalid": {"a": 1},
    "ct-vendor-json": {"a": 1},
    "deflate-json": {"a": 1},
    "empty-body-json": None,
    "expect-100": "x",
    "form-brackets": {"user[name]": "x", "tags[]": ["1", "2"]},
    "form-json-payload": {"payload": '{"a":1}'},
    "form-latin1": {"q": "é"},
    "gzip-form": {"a": "1"},
    "gzip-json": {"a": 1},
    "header-authorization": "x",
    "header-case": "x",
    "header-utf8": "x",
    "http10": {"a": 1},
    "http10-nohost": "x",
    "image-ascii-safe": "<svg/>",
    "json-backslash": {"eventname": "\\core\\event\\course_created"},
    "json-bigint": {"n": "12345678901234567890123"},
    "json-dup-keys": {"a": 2},
    "json-lone-surrogate": {"t": "cut \ufffd"},
    "json-nul": {"t": "a\ufffdb"},
    "json-scalar": True,
    "method-put": "x",
    "multipart-empty-file": {"f": file("", "application/octet-stream", b""), "a": "1"},
    "multipart-file-content-type": {"f": file("a.png", "image/png", b"\x89PNG")},
    "multipart-json-part": {"payload": '{"event":"media.play"}'},
    "multipart-mixed": '------b0undary\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n------b0undary--\r\n',
    "multipart-preamble": {"a": "1"},
    "multipart-quoted-boundary": {"a": "1"},
    "multipart-repeated": {"f": [file("a", "", b"1"), file("b", "", b"2")]},
    "ndjson": '{"a":1}\n{"a":2}\n',
    "no-length-no-body": None,
    "octet-ascii": encoded(b"abc"),
    "path-encoded": "x",
    "path-slash": "x",
    "query-duplicate": None,
    "query-flag": None,
    "query-nul": None,
    "query-rawutf8": None,
    "query-unicode": None,
    "text": "hello wörld",
    "text-cp1252": "€",
    "text-latin1-declared": "café",
    "text-latin1-undeclared": "caf\ufffd",
    "text-xml-latin1-decl": '<?xml version="1.0" encoding="ISO-8859-1"?><a>café</a>',
    "token-encoded": "x",
    "wrong-ct-form-no-ct": "a=1",
    "wrong-ct-json-as-form": {"a": 1},
    "wrong-ct-json-no-ct": {"a": 1},
    "xml": '<?xml version="1.0"?><a><b>1</b></a>',
}
QUERIES = {
    "query-duplicate": {"id": ["1", "2"]},
    "query-flag": {"debug": "", "x": "1"},
    "query-nul": {"q": "\ufffd"},
    "query-rawutf8": {"q": "é"},
    "query-unicode": {"q": "é x"},
}
HEADERS = {"header-case": ("x-my-header", "V"), "header-utf8": ("x-n", "é")}
# the others, which start nothing: the status
STATUSES = {
    "get-challenge": 200,
    "head": 200,
    "json-lf-in-string": 400,
    "json-trailing-comma": 400,
    "multipart-lf": 400,
    "options-preflight": 204,
    "smuggle-cl-te": ANY,
}


@pytest_asyncio.fixture(scope="module")
async def area(site) -> tuple[int, str]:
    created = await site.make("webhook.received", {}, "http.request", url=f"{site.here}/sink", body="{{method}}")
    return created["id"], created["webhook_url"].rpartition("/")[2]


async def events(site, area_id: int) -> list[dict[str, Any]]:
    rows = await site.database.fetch("select trigger_data from area_executions where area_id = $1 order by id", area_id)
    return [orjson.loads(row["trigger_data"]) for row in rows]


async def send(site, area, name: str) -> tuple[int, bytes, list[dict[str, Any]]]:
    area_id, token = area
    before = await events(site, area_id)
    request = (REQUESTS / f"{name}.http").read_bytes()
    request = request.replace(b"{token}", token.encode())
    request = request.replace(b"{encoded_token}", f"%{ord(token[0]):02X}{token[1:]}".encode())
    request = request.replace(b"127.0.0.1:8530", f"127.0.0.1:{site.area.port}".encode())
    status, body = await asyncio.to_thread(exchange, site.area.port, request)
    return status, body, (await events(site, area_id))[len(before) :]


def test_each_request_has_its_expectation():
    assert {path.stem for path in REQUESTS.glob("*.http")} == {*BODIES, *STATUSES}


@pytest.mark.parametrize("name", BODIES)
async def test_requests(site, area, name):
    status, answer, added = await send(site, area, name)
    assert status == 202, answer
    (event,) = added
    assert BODIES[name] is ANY or event["body"] == BODIES[name]
    assert event["query"] == QUERIES.get(name, {})
    if name in HEADERS:
        header, value = HEADERS[name]
        assert event["headers"][header] == value
    assert "authorization" not in event["headers"]


@pytest.mark.parametrize("name", STATUSES)
async def test_what_starts_nothing(site, area, name):
    status, answer, added = await send(site, area, name)
    if name == "smuggle-cl-te":  # one request, read as chunked, or none
        assert status == 400 or (status == 202 and [event["body"] for event in added] == ["x"])
        return
    assert status == STATUSES[name], answer
    assert added == []


VENDORS = Path(__file__).parent / "vendors"
FORM = "application/x-www-form-urlencoded"
# those that don't send JSON
TYPES = {
    "github-form": FORM,
    "slack-interactive": FORM,
    "slack-slash": FORM,
    "twilio-sms": FORM,
    "mailgun": "multipart/form-data; boundary=x",
    "sns": "text/plain; charset=UTF-8",
}
SENT = {
    "github-form": {"payload": '{"action":"opened","issue":{"title":"T"}}'},
    "slack-interactive": {"payload": '{"type":"block_actions","user":{"id":"U1"}}'},
    "twilio-sms": {
        "ToCountry": "US",
        "MessageSid": "SM1",
        "From": "+15551234567",
        "Body": "Hi there! \U0001f44b",
        "NumMedia": "0",
        "To": "+15557654321",
    },
    "slack-slash": {
        "token": "t",
        "team_id": "T1",
        "command": "/deploy",
        "text": "prod now",
        "response_url": "https://hooks.slack.com/x",
        "trigger_id": "1.2",
    },
    "mailgun": {
        "sender": "a@e.org",
        "body-plain": "Hi",
        "attachment-1": file("a.txt", "text/plain", b"hello"),
    },
}


@pytest.mark.parametrize("name", sorted(path.stem for path in VENDORS.iterdir()))
async def test_vendors_bodies(site, area, name):
    area_id, token = area
    (path,) = VENDORS.glob(f"{name}.*")
    before = len(await events(site, area_id))
    headers = {"Content-Type": TYPES.get(name, "application/json")}
    async with site.session.post(f"/hooks/{token}", data=path.read_bytes(), headers=headers) as answer:
        assert answer.status == 202, await answer.text()
    (event,) = (await events(site, area_id))[before:]
    assert event["body"] == (SENT[name] if name in SENT else orjson.loads(path.read_bytes()))
