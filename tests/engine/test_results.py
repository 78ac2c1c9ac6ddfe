"""Webhooks that respond with the result of their run: which response, when, and what waiting costs."""

import asyncio
import gc
import time

import orjson
import pytest
from pydantic import ValidationError

from area import areas
from area.areas import AreaIn, Part
from area.areas.forms import LinkIn
from area.connectors import webhook
from area.engine import control, metrics
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.platform import UserPlatform
from area.hooks import Hooks, results
from area.sdk import Permanent, Reply, Request
from tests.engine.senders import send

from .conftest import make_area, offer, rows, settled, until, worker

WAITS = {"answer": "with_result"}


@pytest.fixture
async def hooks(state):
    intake = Intake(state.database.dsn)
    intake.start()
    door = Hooks(state, Cache(state), intake)
    yield door
    await door.close()
    await intake.stop()


async def answering(state, user, parameters, *then, **more):
    """A webhook that answers by itself, or by a link."""
    wanted = AreaIn(
        name="First",
        action=Part(component="webhook.received", parameters=WAITS | more),
        reaction=Part(component="webhook.answer", parameters=parameters),
        then=[LinkIn.model_validate(link) for link in then],
    )
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user, wanted)


async def test_the_result_of_the_last_run_is_the_response(state, user, hooks):
    area = await make_area(state, user, action="webhook.received", action_parameters=WAITS, text="{{body.name}}")
    async with worker(state):
        status, answer, headers = await send(hooks, area.webhook_url, b'{"name": "Ann"}')
    (row,) = await rows(state)
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert answer == {
        "execution_id": row["id"],
        "duplicate": False,
        "status": "success",
        "result": {"text": "Ann"},
    }


async def test_a_reaction_writes_status_body_and_headers(state, user, hooks):
    area = await answering(
        state,
        user,
        {
            "status": "{{body.status}}",
            "body": '{"hello": "{{body.name}}", "all": "{{body}}"}',
            "headers": "X-Name: {{body.name}}\nCache-Control: no-store",
        },
    )
    async with worker(state):
        status, answer, headers = await send(hooks, area.webhook_url, b'{"name": "A\\"nn", "status": 201}')
    assert (status, answer) == (201, {"hello": 'A"nn', "all": {"name": 'A"nn', "status": 201}})
    assert (headers[b"x-name"], headers[b"cache-control"]) == (b'A"nn', b"no-store")
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-security-policy"].startswith(b"sandbox"), "its page must not act as one of AREA's"


async def test_html_escapes_what_is_filled_in(state, user, hooks):
    area = await answering(state, user, {"content_type": "text/html", "body": "<p>{{body.name}}</p>"})
    async with worker(state):
        scope = send(hooks, area.webhook_url, b'{"name": "<script>"}')
        with pytest.raises(orjson.JSONDecodeError):  # it is no JSON
            await scope
    ((reply,),) = [tuple(row.values()) for row in await rows(state, "select reply from run_answers")]
    assert orjson.loads(reply)["body"] == "<p>&lt;script&gt;</p>"


async def test_a_later_link_answers_with_what_came_before(state, user, hooks):
    wanted = AreaIn(
        name="First",
        action=Part(component="webhook.received", parameters=WAITS),
        reaction=Part(component="probe.send", parameters={"text": "{{body.name}}"}),
        then=[
            LinkIn(
                name="Answer",
                reaction=Part(
                    component="webhook.answer",
                    parameters={"body": '{"said": "{{result.text}}", "to": "{{origin.body.name}}"}'},
                ),
                then=[
                    LinkIn(name="More", reaction=Part(component="probe.send", parameters={"text": "{{result.first}}"}))
                ],
            )
        ],
    )
    async with state.database.transaction() as session:
        area = await areas.create(session, control.scope(state), user, wanted)
    async with worker(state):
        status, answer, _ = await send(hooks, area.webhook_url, b'{"name": "Ann"}')
        await until(lambda: settled(state))
    assert (status, answer) == (200, {"said": "Ann", "to": "Ann"})
    assert len(await rows(state)) == 3


async def test_what_fails_says_so_unless_a_link_answers(state, user, hooks, world):
    async def behave(ctx, params, attempt):
        raise Permanent("It broke.")

    world.behaviour = behave
    area = await make_area(state, user, action="webhook.received", action_parameters=WAITS, text="x")
    failing = AreaIn(
        name="Failing",
        action=Part(component="webhook.received", parameters=WAITS),
        reaction=Part(component="probe.send", parameters={"text": "x"}),
        then=[
            LinkIn(
                name="Told",
                when="failed",
                reaction=Part(
                    component="webhook.answer",
                    parameters={
                        "status": 502,
                        "content_type": "application/json",
                        "body": '{"why": "{{error.message}}"}',
                    },
                ),
            )
        ],
    )
    async with state.database.transaction() as session:
        handled = await areas.create(session, control.scope(state), user, failing)
    async with worker(state):
        status, answer, _ = await send(hooks, area.webhook_url)
        (row,) = await rows(state)
        assert (status, answer["detail"]) == (500, f"Run {row['id']} failed. Its page says why.")
        assert (await send(hooks, handled.webhook_url))[:2] == (502, {"why": "It broke."})


async def test_what_is_skipped_is_told(state, user, hooks):
    parameters = WAITS | {"only_if": "body.go"}
    area = await make_area(state, user, action="webhook.received", action_parameters=parameters, text="x")
    async with worker(state):
        status, answer, _ = await send(hooks, area.webhook_url, b'{"go": false}')
    assert (status, answer["status"], answer["result"]) == (200, "skipped", None)


async def test_who_has_waited_long_gets_the_address_of_the_run(state, user, hooks, monkeypatch):
    """And the answer itself when it asks again with the same delivery ID."""
    area = await answering(state, user, {"body": '{"n": "{{body.n}}"}'})
    delivery = {"idempotency-key": "7", "content-type": "application/json"}
    monkeypatch.setattr(results, "LONGEST", 0.05)
    status, late, headers = await send(hooks, area.webhook_url, b'{"n": 1}', delivery)
    (row,) = await rows(state)
    assert (status, late["execution_id"], late["duplicate"]) == (202, row["id"], False)
    assert late["run"] == headers[b"location"].decode() == f"{state.settings.base_url}/runs/{row['id']}"
    assert not hooks._areas.results._waiting
    async with worker(state):
        await until(lambda: settled(state))
    monkeypatch.undo()
    assert (await send(hooks, area.webhook_url, b'{"n": 1}', delivery))[:2] == (200, {"n": 1})
    assert len(await rows(state)) == 1


async def test_who_waits_holds_no_connection_and_others_are_answered(state, user, hooks):
    area = await answering(state, user, {"body": "{{body.n}}"})
    other = await make_area(state, user, action="webhook.received", text="x")
    waiting = [asyncio.create_task(send(hooks, area.webhook_url, b'{"n": %d}' % n)) for n in range(30)]
    await until(lambda: sum(map(len, hooks._areas.results._waiting.values())) == 30)
    pool = await state.database.pool()
    await until(lambda: pool.get_idle_size() == pool.get_size())
    assert not hooks._areas._held.held, "nor its body"
    assert (await send(hooks, other.webhook_url))[0] == 202
    async with worker(state):
        answers = await asyncio.gather(*waiting)
    assert sorted(answer for _, answer, _ in answers) == [*range(30)]


async def test_a_wait_holds_no_body_and_is_no_slow_webhook(state, user, hooks):
    slow = metrics.hook_seconds.labels("202")
    area, before = await answering(state, user, {"body": "{}"}), slow._sum.get()
    begun = time.perf_counter()
    task = asyncio.create_task(send(hooks, area.webhook_url, b'{"n": 1}'))
    await until(lambda: hooks._areas.results._waiting)
    waits = time.perf_counter()
    gc.collect()
    assert not [held for held in gc.get_objects() if isinstance(held, Request)]
    await asyncio.sleep(0.1)
    waited = time.perf_counter() - waits
    await hooks.close()
    assert (await task)[0] == 202
    assert slow._sum.get() - before <= time.perf_counter() - begun - waited


async def test_more_than_some_do_not_wait(state, user, hooks, monkeypatch):
    monkeypatch.setattr(results, "MOST_WAITING", 2)
    area = await answering(state, user, {"body": "x", "content_type": "application/json"})
    waiting = [asyncio.create_task(send(hooks, area.webhook_url)) for _ in range(2)]
    await until(lambda: len(hooks._areas.results._waiting) == 2)
    assert (await send(hooks, area.webhook_url))[0] == 202
    await hooks.close()
    assert [answer[0] for answer in await asyncio.gather(*waiting)] == [202, 202], "the server stops"


async def test_a_sender_that_leaves_costs_nothing(state, user, hooks):
    area = await answering(state, user, {"body": "x"})
    path = "/hooks/" + area.webhook_url.rpartition("/")[2]
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]
    left = asyncio.Event()

    async def receive():
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def answer(_message):
        pass

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    task = asyncio.create_task(hooks(scope, receive, answer))
    await until(lambda: hooks._areas.results._waiting)
    left.set()
    await task
    assert not hooks._areas.results._waiting
    assert not hooks._areas.results._of


async def test_a_lost_connection_loses_no_answer(state, user, hooks):
    area = await answering(state, user, {"body": '{"n": 1}'})
    waiting = asyncio.create_task(send(hooks, area.webhook_url))
    await until(lambda: hooks._areas.results._listening)
    pool = await state.database.pool()
    cut = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where query ilike 'listen%' and datname = current_database()"
    )
    await until(lambda: pool.fetchval(cut))
    await until(lambda: not hooks._areas.results._listening)
    async with worker(state):
        assert (await waiting)[:2] == (200, {"n": 1})


async def test_a_second_attempt_answers_once(state, user, hooks):
    area = await answering(state, user, {"body": "x"})
    accepted = await offer(state, area, {"body": 1})
    platform = UserPlatform(state, user, area.id, execution=accepted.execution_id)
    assert await platform.answer(Reply("first"))
    assert await platform.answer(Reply("second attempt"))
    assert not await UserPlatform(state, user, area.id, execution=0).answer(Reply("of no run"))
    (row,) = await rows(state, "select * from run_answers")
    assert (row["root"], orjson.loads(row["reply"])["body"]) == (accepted.execution_id, "first")


async def test_the_first_answer_counts(state, user, hooks):
    again = {
        "name": "Again",
        "reaction": {"component": "webhook.answer", "parameters": {"body": '{"n": 2}'}},
    }
    area = await answering(state, user, {"body": '{"n": 1}'}, again)
    async with worker(state):
        assert (await send(hooks, area.webhook_url))[:2] == (200, {"n": 1})
        await until(lambda: settled(state))
    given = [orjson.loads(row["execution_result"]) for row in await rows(state)]
    assert given == [{"status": 200, "first": True}, {"status": 200, "first": False}]


@pytest.mark.parametrize(
    "headers",
    [
        "Set-Cookie: a=b",
        "Content-Length: 3",
        "Content-Security-Policy: none",
        "X-Request-Id: mine",
        "WWW-Authenticate: Basic",
        "X-Accel-Redirect: /internal",
        "x-accel-buffering: no",
        "X-Sendfile: /etc/passwd",
        "X-LIGHTTPD-send-file: /etc/passwd",
        "X-Reproxy-URL: http://10.0.0.1",
        "no header",
        {"X-A": "a\nb"},
        {"X-A": "é"},
    ],
)
def test_headers_that_are_refused(headers):
    with pytest.raises(ValidationError):
        webhook.answer.params(body="x", headers=headers)


def test_the_response_is_written_in_one_place():
    with pytest.raises(ValidationError, match="The response is the run's"):
        webhook.received.params(answer="with_result", response_body="ok")
