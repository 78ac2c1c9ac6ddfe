"""The webhook door: what is answered when, on the ASGI interface itself."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import re

import asyncpg
import orjson
import pytest
from sqlalchemy import text

from area import areas, catalog
from area.api import docs, make_api
from area.areas import bundles
from area.connectors.webhook import Received
from area.doors import body
from area.engine import control
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.hooks import MAX_BODY, Hooks, answers
from area.hooks.refusals import Refusals
from area.kit.budget import MAX_EVENT
from area.kit.problems import Invalid
from area.registry import registry as loaded
from area.sdk import Event, Request
from area.settings import Settings
from tests.engine.senders import report, send

from .conftest import make_area, make_user, rows, until, worker


@pytest.fixture
async def hooks(state):
    intake = Intake(state.database.dsn)
    intake.start()
    yield Hooks(state, Cache(state), intake)
    await intake.stop()


async def test_202_and_the_execution(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, answer, _ = await send(hooks, area.webhook_url + "?a=1", b'{"n": 1}', chunks=3)
    assert (status, answer["duplicate"]) == (202, False)
    (row,) = await rows(state)
    assert row["id"] == answer["execution_id"]
    data = orjson.loads(row["trigger_data"])
    assert (data["body"], data["query"], data["method"]) == ({"n": 1}, {"a": "1"}, "POST")


async def switch(state, user, hooks, area, *, active):
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, area.id, active=active)
    hooks.cache.forget("area_changed", str(area.id))


async def test_404_unknown_503_off_and_on_again(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, "http://x/hooks/nothing"))[0] == 404
    assert (await send(hooks, "http://x/hooks/"))[0] == 404
    await switch(state, user, hooks, area, active=False)
    status, _, headers = await send(hooks, area.webhook_url)
    assert (status, headers[b"retry-after"]) == (503, b"300")
    await switch(state, user, hooks, area, active=True)
    assert (await send(hooks, area.webhook_url))[0] == 202


async def test_503_even_if_the_memory_still_says_on(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, area.webhook_url))[0] == 202
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, area.id, active=False)
    assert (await send(hooks, area.webhook_url))[0] == 503
    assert len(await rows(state)) == 1


async def test_what_arrives_while_it_is_off_is_recorded_if_its_owner_says_so(state, user, hooks, world):
    parameters = {"signature": "hmac_sha256", "secret": "a very secret word", "signature_header": "X-Sig"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    async with state.database.transaction() as session:
        patch = areas.AreaPatch(when_off="skip", is_active=False)
        view = await areas.change(session, control.scope(state), user, area.id, patch)
        (exported,) = await bundles.export(session, control.scope(state), user, [area.id])
    assert (view.when_off, exported.when_off) == ("skip", "skip")
    signed = {"x-sig": hmac.new(b"a very secret word", b"{}", hashlib.sha256).hexdigest(), "idempotency-key": "1"}
    assert (await send(hooks, area.webhook_url))[0] == 401
    status, answer, _ = await send(hooks, area.webhook_url, b"{}", signed)
    assert status == 202
    assert (await send(hooks, area.webhook_url, b"{}", signed))[:2] == (200, answer | {"duplicate": True})
    (row,) = await rows(state)
    assert (row["id"], row["status"]) == (answer["execution_id"], "skipped")
    assert "off when this arrived" in row["error_message"]
    assert (await rows(state, "select triggered_count from areas")) == [{"triggered_count": 0}]
    async with worker(state):
        async with state.database.transaction() as session:
            await control.replay(session, state, user, row["id"], "as_it_was")
        await until(lambda: [text for _, text in world.sent] == ["POST"])


async def test_what_an_administrator_switched_off_answers_503(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    pool = await state.database.pool()
    await pool.execute("update components set is_active = false where id = $1", area.component_action_id)
    assert (await send(hooks, area.webhook_url))[0] == 503


async def test_only_webhooks_have_it(state, user):
    area = await make_area(state, user)
    assert area.when_off is None
    async with state.database.transaction() as session:
        with pytest.raises(Invalid):
            await areas.change(session, control.scope(state), user, area.id, areas.AreaPatch(when_off="skip"))


async def test_asking_starts_nothing(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    preflight = {"origin": "https://x.example", "access-control-request-headers": "content-type"}
    status, answer, headers = await send(hooks, area.webhook_url, b"", preflight, method="OPTIONS")
    assert (status, answer) == (204, None)
    assert headers[b"access-control-allow-origin"] == b"*"
    assert headers[b"access-control-allow-headers"] == b"content-type"
    assert (await send(hooks, area.webhook_url, b"", method="HEAD"))[:2] == (200, None)
    assert await rows(state) == []
    status, _, headers = await send(hooks, area.webhook_url, b"{}", {"origin": "https://x.example"})
    assert (status, headers[b"access-control-allow-origin"]) == (202, b"*")


async def test_a_path_after_the_address_is_told(state, user, hooks):
    """Some senders append one, such as a Matrix server to an application service's address."""
    area = await make_area(state, user, action="webhook.received", text="{{method}} {{path}}")
    for path in ("/_matrix/app/v1/transactions/7", "/", ""):
        assert (await send(hooks, area.webhook_url, slash=path))[0] == 202
    events = await rows(state, "select trigger_data from area_executions order by id")
    assert [orjson.loads(row["trigger_data"])["path"] for row in events] == ["/_matrix/app/v1/transactions/7", "", ""]
    half = area.webhook_url[:-5]
    assert (await send(hooks, half, slash=area.webhook_url[-5:]))[0] == 202, "that is the address itself"
    assert (await send(hooks, half, slash="/" + area.webhook_url[-5:]))[0] == 404


async def test_408_for_a_body_that_does_not_come(state, user, hooks, monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.05)
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, _, headers = await send(hooks, area.webhook_url, b"", {"content-length": "10"}, method="STALLED")
    assert (status, headers[b"connection"]) == (408, b"close")
    assert await rows(state) == []


async def test_bodies_that_are_held_are_bounded_for_each_user(state, user, hooks):
    """While a user's large bodies come in slowly, there is room for another's."""
    mine = await make_area(state, user, action="webhook.received", text="{{method}}")
    other = await make_area(state, await make_user(state, "bob"), action="webhook.received", text="{{method}}")
    slow = [asyncio.create_task(send(hooks, mine.webhook_url, b" " * 900_000, method="STALLED")) for _ in range(30)]
    await until(lambda: sum(task.done() for task in slow) >= 13)  # 16 MB are held
    assert {task.result()[0] for task in slow if task.done()} == {429}
    assert (await send(hooks, other.webhook_url, b'"' + b"x" * 900_000 + b'"'))[0] == 202
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await until(lambda: not hooks._refusals._last)
    assert (await send(hooks, mine.webhook_url))[0] == 202


async def test_who_knocks_too_fast_is_refused_before_its_body_is_read(state, user, hooks):
    mine = await make_area(state, user, action="webhook.received", text="{{method}}")
    bob = await make_user(state, "bob")
    other = await make_area(state, bob, action="webhook.received", text="{{method}}")
    state.load.heard(report(done={user: 100, bob: 10}))
    state.load.accepted(user, 4000)  # 40 seconds' worth
    state.load.accepted(bob, 20)
    status, _, headers = await send(hooks, mine.webhook_url, b"", method="STALLED")
    assert status == 429
    assert 10 <= int(headers[b"retry-after"]) <= 20
    assert (await send(hooks, other.webhook_url))[0] == 202
    for _ in range(20):
        state.load.heard(report(done={user: 100}))
    await until(lambda: not hooks._refusals._last)
    assert (await send(hooks, mine.webhook_url))[0] == 202


async def test_a_refusal_is_repeated_for_a_moment(state, user, hooks):
    """Without a look at who sends: that is what makes it cheap. Whoever reads another language gets one of its own."""
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    state.load.heard(report(done={user: 100}))
    state.load.accepted(user, 4000)
    _, first, headers = await send(hooks, area.webhook_url)
    again = await send(hooks, area.webhook_url)
    assert again == (429, first, headers)
    _, french, headers = await send(hooks, area.webhook_url, headers={"accept-language": "fr"})
    assert headers[b"content-language"] == b"fr"
    assert french["request_id"] != first["request_id"]
    other = await make_area(state, user, action="webhook.received", text="{{method}}")
    _, another, _ = await send(hooks, other.webhook_url)
    assert another["request_id"] != first["request_id"]
    await until(lambda: not hooks._refusals._last)
    _, later, _ = await send(hooks, area.webhook_url)
    assert later["request_id"] != first["request_id"]


@pytest.mark.parametrize(("path", "repeated"), [("/hooks/x", True), ("/webhooks/github", False), ("/hints/x", False)])
async def test_only_refusals_of_a_users_own_address_are_repeated(path, repeated):
    sent = []

    async def send_(message):
        sent.append(message)

    scope = {"path": path, "method": "POST", "headers": []}
    refusals = Refusals()
    refusals.keep(scope, {"status": 429}, {"body": b"for one sender"})
    assert await refusals.repeat(scope, send_) is repeated
    assert bool(sent) is repeated


async def test_413_by_length_and_by_counting(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, area.webhook_url, b"", {"content-length": str(MAX_BODY + 1)}))[0] == 413
    assert (await send(hooks, area.webhook_url, b"x" * (MAX_BODY + 1), chunks=7))[0] == 413
    status, answer, _ = await send(hooks, area.webhook_url, b'"' + b"x" * (MAX_BODY - 2) + b'"')
    assert (status, answer["duplicate"]) == (202, False)


async def test_413_for_an_event_that_becomes_larger_than_its_body(state, user, hooks):
    """The body is within its limit; what is picked of it is kept a second time."""
    area = await make_area(
        state, user, action="webhook.received", action_parameters={"pick": "@"}, text="{{query.padding}}"
    )

    async def filled(size, padding=0):
        url = f"{area.webhook_url}?padding={'x' * (1 + padding)}"
        return await send(hooks, url, orjson.dumps({"text": "y" * size}), {"content-type": "application/json"})

    status, answer, _ = await filled(MAX_EVENT // 2)
    assert (status, answer["title"]) == (413, "Too large")
    match = re.fullmatch(
        r"This event has ([\d,]+) bytes; the limit is 1,048,576. Send less, or select a part of it.",
        answer["detail"],
    )
    around = int(match[1].replace(",", "")) - MAX_EVENT  # what isn't the text
    half, odd = divmod(MAX_EVENT - around, 2)
    assert (await filled(half, odd + 1))[0] == 413
    assert await rows(state) == []
    assert await rows(state, "select triggered_count from areas") == [{"triggered_count": 0}]
    status, answer, _ = await filled(half, odd)
    assert status == 202
    (row,) = await rows(state)
    assert row["id"] == answer["execution_id"]
    assert len(orjson.loads(row["trigger_data"])["body"]["text"]) == half


async def test_429_when_flooding(state, user, hooks, tmp_path):
    state.settings = Settings(_env_file=None, data_dir=tmp_path, webhook_rate=2)
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    outcomes = [await send(hooks, area.webhook_url) for _ in range(14)]
    refused = [answer for answer in outcomes if answer[0] == 429]
    assert 2 <= len(refused) <= 4
    assert refused[0][2][b"retry-after"] == b"1"


async def test_401_unless_signed(state, user, hooks):
    parameters = {"signature": "hmac_sha256", "secret": "a very secret word", "signature_header": "X-Sig"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    digest = hmac.new(b"a very secret word", b"{}", hashlib.sha256).hexdigest()
    json = {"content-type": "application/json"}
    assert (await send(hooks, area.webhook_url))[0] == 401
    assert (await send(hooks, area.webhook_url, b"{}", json | {"x-sig": ""}))[0] == 401
    assert (await send(hooks, area.webhook_url, b"{ }", json | {"x-sig": digest}))[0] == 401
    assert (await send(hooks, area.webhook_url, b"{}", json | {"x-sig": f"sha256={digest}"}))[0] == 202


async def test_400_says_what_is_wrong(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, answer, headers = await send(hooks, area.webhook_url, b"{not json")
    assert status == 400
    assert "declared as JSON" in answer["detail"]
    assert headers[b"content-type"] == b"application/problem+json"


async def test_compressed_bodies_are_signed_before_or_after(state, user, hooks):
    parameters = {"signature": "hmac_sha256", "secret": "a very secret word", "signature_header": "X-Sig"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    sent = gzip.compress(b'{"a": 1}')
    for signed in (sent, b'{"a": 1}'):
        digest = hmac.new(b"a very secret word", signed, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "content-encoding": "gzip", "x-sig": digest}
        assert (await send(hooks, area.webhook_url, sent, headers))[0] == 202
    assert [orjson.loads(row["trigger_data"])["body"] for row in await rows(state)] == [{"a": 1}] * 2
    headers["x-sig"] = hmac.new(b"another word", sent, hashlib.sha256).hexdigest()
    assert (await send(hooks, area.webhook_url, sent, headers))[0] == 401


async def test_what_an_action_refuses_by_a_certificate_is_401(state, user, hooks):
    wanted = {"signature": "sns", "secret": "arn:aws:sns:eu-west-1:123456789012:doors"}
    area = await make_area(state, user, action="webhook.received", action_parameters=wanted, text="{{method}}")
    message = {"Type": "Notification", "TopicArn": wanted["secret"], "Signature": "AAAA", "SignatureVersion": "2"}
    message |= {"SigningCertURL": "https://sns.example.org/cert.pem"}
    status, answer, _ = await send(hooks, area.webhook_url, orjson.dumps(message))
    assert (status, answer["code"]) == (401, "signature-refused")
    assert answer["detail"] == "The message names a certificate or page that isn't the sender's."
    assert await rows(state) == []


async def test_challenges_are_answered_and_start_nothing(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    query = "?hub.mode=subscribe&hub.challenge=abc123&hub.verify_token=x"
    sent = []

    async def ask(method, path, body=b""):
        scope = {"type": "http", "method": method, "path": "/hooks/" + path.partition("/hooks/")[2].partition("?")[0]}
        scope |= {"query_string": path.partition("?")[2].encode(), "headers": []}

        async def receive():
            return {"type": "http.request", "body": body}

        async def answer(message):
            sent.append(message)

        await hooks(scope, receive, answer)
        start, end = sent[-2:]
        return start["status"], end["body"], dict(start["headers"])

    status, body, headers = await ask("GET", area.webhook_url + query)
    assert (status, body, headers[b"content-type"]) == (200, b"abc123", b"text/plain")
    assert headers[b"content-security-policy"].startswith(b"sandbox;")
    slack = orjson.dumps({"type": "url_verification", "challenge": "3eZ"})
    assert (await ask("POST", area.webhook_url, slack))[:2] == (200, b'{"challenge":"3eZ"}')
    assert (await ask("HEAD", area.webhook_url))[:2] == (200, b"")
    assert await rows(state) == []


async def test_the_response_can_be_chosen(state, user, hooks):
    chosen = {"response_status": "201", "response_body": '{"ok": true}', "response_type": "application/json"}
    area = await make_area(state, user, action="webhook.received", action_parameters=chosen, text="{{method}}")
    for _ in range(2):  # a repeated delivery gets the same
        status, answer, headers = await send(hooks, area.webhook_url, headers={"idempotency-key": "1"})
        assert (status, answer, headers[b"content-type"]) == (201, {"ok": True}, b"application/json")
    assert len(await rows(state)) == 1
    area = await make_area(
        state, user, action="webhook.received", action_parameters={"response_status": "204"}, text="{{method}}"
    )
    status, answer, headers = await send(hooks, area.webhook_url)
    assert (status, answer) == (204, None)
    assert b"content-length" not in headers


async def test_senders_that_wait_to_be_asked_for_a_password_are_asked(state, user, hooks):
    parameters = {"signature": "basic", "username": "area", "secret": "a very secret word"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    status, _, headers = await send(hooks, area.webhook_url)
    assert (status, headers[b"www-authenticate"]) == (401, b'Basic realm="AREA"')
    login = base64.b64encode(b"area:a very secret word").decode()
    assert (await send(hooks, area.webhook_url, headers={"authorization": f"Basic {login}"}))[0] == 202
    (row,) = await rows(state)
    assert "authorization" not in orjson.loads(row["trigger_data"])["headers"]


async def test_transfer_codings_are_taken_off(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    headers = {"content-type": "application/json", "transfer-encoding": "gzip, chunked"}
    assert (await send(hooks, area.webhook_url, gzip.compress(b'{"a": 1}'), headers))[0] == 202
    (row,) = await rows(state)
    assert orjson.loads(row["trigger_data"])["body"] == {"a": 1}


async def test_415_for_an_encoding_that_is_not_known(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, answer, headers = await send(hooks, area.webhook_url, b"x", {"content-encoding": "lzma"})
    assert (status, headers[b"accept-encoding"]) == (415, b"gzip, deflate, br, zstd")
    assert answer["detail"] == "This Content-Encoding isn't supported. Use one of: gzip, deflate, br, zstd."
    assert (await send(hooks, area.webhook_url, b"x", {"transfer-encoding": "lzma, chunked"}))[0] == 415
    bomb = gzip.compress(bytes(MAX_BODY + 1))
    assert (await send(hooks, area.webhook_url, bomb, {"content-encoding": "gzip"}))[0] == 413
    assert (await send(hooks, area.webhook_url, b"no gzip", {"content-encoding": "gzip"}))[0] == 400
    assert await rows(state) == []


async def test_a_request_of_several_events_is_accepted_as_a_whole(state, user, hooks, monkeypatch):
    hooked = await make_area(state, user, action="webhook.received", text="{{method}}")
    large = "x" * MAX_EVENT

    async def several(_ctx, _params, request):
        for content in request.json():
            yield Event("", Received.model_construct(body=content, headers={}, query={}, method="POST"))

    area = await hooks.cache.area(hooked.id)
    monkeypatch.setattr(area.plan.action, "function", several)
    status, answer, _ = await send(hooks, hooked.webhook_url, b'["a", "b"]')
    assert (status, len(answer["execution_ids"])) == (202, 2)
    monkeypatch.setattr(Request, "json", lambda _: ["a", large])
    assert (await send(hooks, hooked.webhook_url))[0] == 413
    assert [orjson.loads(row["trigger_data"])["body"] for row in await rows(state)] == ["a", "b"]


async def test_problems_have_a_type_a_code_and_a_request_id(state, user, hooks):
    status, answer, headers = await send(hooks, "nobodys")
    assert (status, answer["type"], answer["code"]) == (404, "/api/docs#not-found", "not-found")
    assert answer["request_id"] == headers[b"x-request-id"].decode()
    parameters = {"signature": "hmac_sha256", "secret": "a very secret word"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    status, answer, _ = await send(hooks, area.webhook_url, headers={"accept-language": "fr"})
    assert (status, answer["code"]) == (401, "signature-refused")
    assert "X-Signature-256 est absent ou mal formé." in answer["detail"]
    page = docs.render(make_api(state, hooks.cache).openapi())
    assert all(f'<tr id="{code}">' in page for code in answers.CODES.values())


async def test_gh_push_2000_commits(state, user, hooks):
    """GitHub sends up to 25 MB, and 2,048 commits in a push. What is kept fits an event, which says what it leaves out."""
    state.registry.add(loaded().services["github"])
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    hooked = await make_area(
        state, user, action="github.new_push", action_parameters={"repository": "o/r"}, text="{{count}}"
    )
    pool = await state.database.pool()
    token_hash = hashlib.sha256(b"known").hexdigest()  # its address is told to GitHub alone
    await pool.execute("update triggers set token_hash = $2 where area_id = $1", hooked.id, token_hash)
    area = await hooks.cache.area(hooked.id)
    known = "/hooks/known"
    commit = {"id": "6dcb09b5", "message": "m" * 500, "author": {"name": "ann"}, "added": ["file"] * 60}
    push = {
        "ref": "refs/heads/main",
        "after": "6dcb09b5",
        "compare": "https://github.com/o/r/compare/a...b",
        "commits": [{**commit, "id": str(number)} for number in range(2048)],
        "head_commit": commit,
        "pusher": {"name": "ann"},
        "repository": {"full_name": "o/r"},
    }
    body = orjson.dumps(push)
    assert len(body) > 2_000_000
    digest = hmac.new(area.secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-github-event": "push",
        "x-github-delivery": "1",
        "x-hub-signature-256": f"sha256={digest}",
    }
    assert (await send(hooks, known, body, headers | {"x-hub-signature-256": "sha256=" + "0" * 64}))[0] == 401
    assert (await send(hooks, known, body, headers, chunks=30))[0] == 202
    (row,) = await rows(state)
    data = orjson.loads(row["trigger_data"])
    assert data["count"] == 2048
    assert 500 < len(data["commits"]) < 2048
    assert data["commits"] == push["commits"][: len(data["commits"])]
    assert data["left_out"] == [{"path": "commits", "kept": len(data["commits"]), "of": 2048}]
    status, answer, _ = await send(hooks, known, b"", headers | {"content-length": "25000001"})
    assert status == 413
    assert "25,000,000" in answer["detail"]
    other = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, other.webhook_url, body, headers))[0] == 413


async def test_503_and_nothing_kept_when_the_database_is_away(state, user):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")
    intake = Intake("postgresql://postgres@/nowhere?host=/nowhere")
    intake.start()
    hooks = Hooks(state, Cache(state), intake)
    status, answer, headers = await send(hooks, area.webhook_url)
    await intake.stop()
    assert (status, headers[b"retry-after"]) == (503, b"5")
    assert "Try again" in answer["detail"]
    assert await rows(state) == []


async def test_503_while_the_disk_is_full(state, user, hooks, monkeypatch):
    area = await make_area(state, user, action="webhook.received", text="{{method}}")

    async def full(_offer):
        raise asyncpg.DiskFullError("could not extend file: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hooks.intake, "take", full)
        status, answer, headers = await send(hooks, area.webhook_url)
    assert (status, headers[b"retry-after"], answer["code"]) == (503, b"5", "service-unavailable")
    assert (await send(hooks, area.webhook_url))[0] == 202


def test_no_limit_is_reset_by_many_addresses(monkeypatch):
    """Only what is full again is forgotten, as it is like new."""
    monkeypatch.setattr(answers, "REMEMBERED", 100)
    clock = [0.0]
    monkeypatch.setattr(answers.time, "monotonic", lambda: clock[0])
    buckets = answers.Buckets()
    assert [buckets.take(1, 1, 2) for _ in range(3)] == [True, True, False]
    for number in range(2, 1000):
        buckets.take(number, 1, 2)
    assert not buckets.take(1, 1, 2)
    clock[0] = 2.0
    for number in range(1000, 3000):
        buckets.take(number, 1, 2)
    assert len(buckets) <= 2000 + 200  # those of before are full again, and gone
    assert [buckets.take(2999, 1, 2) for _ in range(3)] == [True, False, False]


async def test_an_area_that_changes_while_it_is_read_is_read_again(state, user, monkeypatch):
    area = await make_area(state, user)
    cache = Cache(state)
    load = cache._load

    def changes_meanwhile(row):
        cache.forget(
            "area_changed", str(area.id)
        )  # as the listening connection says it, between the read and its keeping
        return load(row)

    monkeypatch.setattr(cache, "_load", changes_meanwhile)
    assert (await cache.area(area.id)).name == area.name
    monkeypatch.setattr(cache, "_load", load)
    async with state.database.transaction() as session:
        await session.execute(text("update areas set name = 'new name' where id = :id"), {"id": area.id})
    assert (await cache.area(area.id)).name == "new name"


async def test_why_nothing_was_taken_is_said_in_the_senders_language(hooks):
    status, answer, headers = await send(hooks, "nobodys", headers={"accept-language": "fr"})
    assert (status, headers[b"content-language"], headers[b"vary"]) == (404, b"fr", b"accept-language")
    assert answer["detail"].startswith("URL de webhook inconnue.")
