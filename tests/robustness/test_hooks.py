"""Whatever comes through the webhook door: one answer, never a 5xx, and what was accepted is stored."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import orjson
import pytest_asyncio
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from area.engine.cache import Cache
from area.engine.intake import Offer
from area.engine.lanes import Intake
from area.hooks import MAX_BODY, Hooks
from area.sdk import Permanent
from tests.engine.conftest import make_area, rows

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

json_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def written(value):
    return json.dumps(value).encode()  # with lone surrogates, NaN and numbers of any size, as others write it


bodies = st.one_of(
    st.binary(max_size=300),
    json_text.map(written),
    json_text.map(lambda value: written({"id": value})),
    st.integers(1, 400).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(1, 400).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(0, 6000).map(lambda digits: b'{"id":1' + b"0" * digits + b"}"),
    st.sampled_from(
        [rb'{"id":"\u0000"}', rb'"\ud83d"', b"a=%00&b=%ED%A0%80", b"--x\r\n\r\n--x--", b"\0", b"\xff\xfe{"]
    ),
)
content_types = st.one_of(
    st.sampled_from([
        b"application/json", b"application/x-www-form-urlencoded", b"text/plain; charset=utf-16", b"text/plain;charset=",
        b"multipart/form-data; boundary=x", b"multipart/form-data", b"application/problem+json; charset=idna", b";", b"",
        b"application/octet-stream", b'text/plain; charset="utf-8', b"APPLICATION/JSON;",
    ]),
    st.binary(max_size=40),
)  # fmt: skip
names = st.one_of(
    st.sampled_from([
        b"idempotency-key", b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-signature-256", b"content-length",
        b"cookie", b"authorization", b"x-\xff",
    ]),
    st.binary(min_size=1, max_size=20),
)  # fmt: skip
headers = st.lists(
    st.tuples(names, st.one_of(st.binary(max_size=60), st.sampled_from([b"9" * 5000, b"-1", b"1e3"]))), max_size=8
)


def chunks(body, cuts):
    places = sorted({min(cut, len(body)) for cut in cuts})
    parts = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    return [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]] + [
        {"type": "http.request", "body": parts[-1], "more_body": False}
    ]


async def ask(hooks, path, messages, *, method="POST", query=b"", headers=()):
    """The one answer to a request."""
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers)}
    waiting, sent = list(messages), []

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async with asyncio.timeout(60):
        await hooks(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], orjson.loads(sent[1]["body"])


@pytest_asyncio.fixture
async def door(state, user):
    """The door with a real intake, and webhooks that check and pick in different ways."""
    intake = Intake(state.database.dsn)
    intake.start()
    areas = [
        await make_area(state, user, "webhook.received", "probe.send", action_parameters=parameters, text="{{body}}")
        for parameters in [
            {},
            {"pick": "id || a || [0]"},
            {"signature": "hmac_sha256", "secret": SECRET},
            {"signature": "standard_webhooks", "secret": SECRET},
        ]
    ]
    hooks = Hooks(state, Cache(state), intake)
    yield hooks, [area.webhook_url.partition("/hooks/")[1] + area.webhook_url.partition("/hooks/")[2] for area in areas]
    await intake.stop()


async def accepted(state, answer):
    (row,) = await rows(state, "select status, trigger_data from area_executions where id = $1", answer["execution_id"])
    assert row["status"] == "pending"
    data = orjson.loads(row["trigger_data"])
    assert set(data) >= {"body", "headers", "query", "method"}
    return data


async def fair(state, status, answer):
    assert status in (200, 202, 400, 401, 404, 413, 429), (status, answer)
    if status == 202:
        await accepted(state, answer)
    elif status >= 400:
        assert answer["detail"].endswith((".", ".)")), answer
        assert "internal error" not in answer["detail"]


@SETTINGS
@given(
    which=st.integers(0, 3),
    method=st.sampled_from(["POST", "GET", "PUT", "X" * 500, ""]),
    body=bodies,
    cuts=st.lists(st.integers(0, 300), max_size=4),
    content_type=content_types,
    extra=headers,
    query=st.one_of(st.binary(max_size=60), st.just(b"q=%00&%FF=%ED%A0%80&&=")),
    cut_off=st.integers(0, 20),
)
@example(
    which=0,
    method="POST",
    body=b"",
    cuts=[],
    content_type=b"",
    extra=[(b"content-length", b"9" * 5000)],
    query=b"",
    cut_off=9,
)
@example(
    which=0,
    method="POST",
    body=b"1",
    cuts=[],
    content_type=b"",
    extra=[(b"idempotency-key", b"a\0b")],
    query=b"",
    cut_off=9,
)
@example(which=0, method="POST", body=b"ab", cuts=[1], content_type=b"", extra=[], query=b"", cut_off=1)
@example(which=0, method="POST", body=b"ab", cuts=[], content_type=b"", extra=[], query=b"", cut_off=0)
async def test_anything(state, door, which, method, body, cuts, content_type, extra, query, cut_off):
    hooks, paths = door
    messages = chunks(body, cuts)
    given_headers = [(b"content-type", content_type), *extra]
    gone = cut_off < len(messages)
    status, answer = await ask(
        hooks, paths[which], messages[:cut_off], method=method, query=query, headers=given_headers
    )
    event(f"answered {status}")
    await fair(state, status, answer)
    if gone:
        assert status >= 400  # what was not read to its end is no event


@SETTINGS
@given(body=bodies, cuts=st.lists(st.integers(0, 300), max_size=4), encoding=st.sampled_from(["hex", "base64"]))
async def test_what_is_signed_is_read_as_it_was_sent(state, door, body, cuts, encoding):
    hooks, paths = door
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    signature = digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)
    status, answer = await ask(
        hooks, paths[2], chunks(body, cuts), headers=[(b"x-signature-256", b"sha256=" + signature)]
    )
    assert status in (202, 400), answer
    await fair(state, status, answer)
    status, _ = await ask(
        hooks, paths[2], chunks(body + b" ", cuts), headers=[(b"x-signature-256", b"sha256=" + signature)]
    )
    assert status == 401


@SETTINGS
@given(name=st.binary(min_size=1, max_size=400))
async def test_one_name_is_one_event(state, door, name):
    hooks, paths = door
    first, answer_of = await ask(hooks, paths[0], chunks(b"{}", []), headers=[(b"idempotency-key", name)])
    again, other = await ask(hooks, paths[0], chunks(b"{}", []), headers=[(b"idempotency-key", name)])
    assert (first, again) in ((202, 200), (200, 200))
    assert answer_of["execution_id"] == other["execution_id"]
    assert other["duplicate"] is True


@SETTINGS
@given(
    path=st.one_of(st.text(max_size=50), st.binary(max_size=50).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
)
async def test_addresses_that_nobody_has(state, door, path):
    hooks, _ = door
    status, answer = await ask(hooks, f"/hooks/{path}", chunks(b"{}", []))
    assert status == 404
    await fair(state, status, answer)


async def test_too_much_is_refused_in_time(state, door):
    hooks, paths = door
    million = {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}
    last = {"type": "http.request", "body": b"", "more_body": False}
    for messages in ([million, million, last], [million] * 10_000):
        begun = time.process_time()
        status, answer = await ask(hooks, paths[0], messages)
        assert status == 413
        await fair(state, status, answer)
        assert time.process_time() - begun < 1
    status, answer = await ask(hooks, paths[0], [{"type": "http.request", "body": b"x" * MAX_BODY, "more_body": False}])
    assert status == 202


async def test_one_that_cannot_be_stored_takes_nobody_along(state, door):
    """Events that arrive together are one commit; one that the database refuses must not refuse the others."""
    hooks, paths = door
    area_id = await hooks.cache.area_of_token(hashlib.sha256(paths[0].rpartition("/")[2].encode()).hexdigest())
    assert area_id is not None
    offers = [Offer(area_id, "", b'{"n": %d}' % number) for number in range(20)]
    offers[7] = Offer(area_id, "", b"{broken")
    outcome = await asyncio.gather(*(hooks.intake.take(offer) for offer in offers), return_exceptions=True)
    assert [type(step).__name__ for step in outcome].count("Accepted") == 19
    assert isinstance(outcome[7], Exception)
    assert not isinstance(outcome[7], Permanent)
    status, answer = await ask(hooks, paths[0], chunks(b"{}", []))
    assert status == 202
    await fair(state, status, answer)
