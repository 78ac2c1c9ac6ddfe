"""The webhook door: what is answered when, on the ASGI interface itself."""

import hashlib
import hmac

import orjson
import pytest

from area import areas
from area.engine import control
from area.engine.cache import Cache
from area.engine.intake import Intake
from area.hooks import MAX_BODY, Hooks
from area.settings import Settings

from .conftest import make_area, rows


@pytest.fixture
async def hooks(state):
    intake = Intake(state.database.dsn)
    intake.start()
    yield Hooks(state, Cache(state), intake)
    await intake.stop()


async def send(hooks, url, body=b"{}", headers=None, chunks=1):
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/hooks/" + path.rpartition("/")[2],
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode()) for name, value in (headers or {"content-type": "application/json"}).items()
        ],
    }
    size = max(1, -(-len(body) // chunks))
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    sent = []

    async def receive():
        return messages.pop(0)

    async def answer(message):
        sent.append(message)

    await hooks(scope, receive, answer)
    return sent[0]["status"], orjson.loads(sent[1]["body"]), dict(sent[0]["headers"])


async def test_202_and_the_execution(state, user, hooks):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, answer, _ = await send(hooks, made.webhook_url + "?a=1", b'{"n": 1}', chunks=3)
    assert (status, answer["duplicate"]) == (202, False)
    (row,) = await rows(state)
    assert row["id"] == answer["execution_id"]
    data = orjson.loads(row["trigger_data"])
    assert (data["body"], data["query"], data["method"]) == ({"n": 1}, {"a": "1"}, "POST")


async def test_404_unknown_410_off_and_on_again(state, user, hooks):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, "http://x/hooks/nothing"))[0] == 404
    assert (await send(hooks, "http://x/hooks/"))[0] == 404
    scope = control.scope(state)
    for active, expected in ((False, 410), (True, 202)):
        async with state.database.transaction() as session:
            await areas.set_active(session, scope, user, made.id, active=active)
        hooks.cache.forget("area_changed", str(made.id))
        assert (await send(hooks, made.webhook_url))[0] == expected


async def test_410_even_if_the_memory_still_says_on(state, user, hooks):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, made.webhook_url))[0] == 202
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, made.id, active=False)
    assert (await send(hooks, made.webhook_url))[0] == 410
    assert len(await rows(state)) == 1


async def test_413_by_length_and_by_counting(state, user, hooks):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    assert (await send(hooks, made.webhook_url, b"", {"content-length": str(MAX_BODY + 1)}))[0] == 413
    assert (await send(hooks, made.webhook_url, b"x" * (MAX_BODY + 1), chunks=7))[0] == 413
    status, answer, _ = await send(hooks, made.webhook_url, b'"' + b"x" * (MAX_BODY - 2) + b'"')
    assert (status, answer["duplicate"]) == (202, False)


async def test_429_when_flooding(state, user, hooks, tmp_path):
    state.settings = Settings(_env_file=None, data_dir=tmp_path, webhook_rate=2)
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    outcomes = [await send(hooks, made.webhook_url) for _ in range(14)]
    refused = [one for one in outcomes if one[0] == 429]
    assert 2 <= len(refused) <= 4
    assert refused[0][2][b"retry-after"] == b"1"


async def test_401_unless_signed(state, user, hooks):
    parameters = {"signature": "hmac_sha256", "secret": "a very secret word", "signature_header": "X-Sig"}
    made = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="{{method}}")
    digest = hmac.new(b"a very secret word", b"{}", hashlib.sha256).hexdigest()
    json = {"content-type": "application/json"}
    assert (await send(hooks, made.webhook_url))[0] == 401
    assert (await send(hooks, made.webhook_url, b"{}", json | {"x-sig": ""}))[0] == 401
    assert (await send(hooks, made.webhook_url, b"{ }", json | {"x-sig": digest}))[0] == 401
    assert (await send(hooks, made.webhook_url, b"{}", json | {"x-sig": f"sha256={digest}"}))[0] == 202


async def test_400_says_what_is_wrong(state, user, hooks):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    status, answer, headers = await send(hooks, made.webhook_url, b"{not json")
    assert status == 400
    assert "declared as JSON" in answer["detail"]
    assert headers[b"content-type"] == b"application/problem+json"


async def test_503_and_nothing_kept_when_the_database_is_away(state, user):
    made = await make_area(state, user, action="webhook.received", text="{{method}}")
    intake = Intake("postgresql://postgres@/nowhere?host=/nowhere")
    intake.start()
    hooks = Hooks(state, Cache(state), intake)
    status, answer, headers = await send(hooks, made.webhook_url)
    await intake.stop()
    assert (status, headers[b"retry-after"]) == (503, b"5")
    assert "Send it again" in answer["detail"]
    assert await rows(state) == []
