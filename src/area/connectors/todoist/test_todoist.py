"""Todoist against a double written from its documentation and its SDK, because no package contains its OpenAPI
document.
"""

import base64
import hashlib
import hmac
from datetime import timedelta

import pytest

from area.connectors.todoist import service
from area.sdk import Headers, Nothing, Permanent, Refused, Request, now
from area.sdk.testing import Answer, Double, Watch, act, connector, finds_nothing, outcomes

TASK = {
    "id": "6X7rM8997g3RQmvh", "content": "Buy milk", "description": "", "project_id": "p", "labels": ["shop"], "priority": 4,
    "due": {"date": "2026-11-23", "string": "today", "is_recurring": False}, "added_at": "2026-11-23T09:00:00.000000Z",
    "completed_at": None,
}  # fmt: skip
PROJECT = {"id": "p", "name": "Home", "created_at": "2026-11-23T09:00:00.000000Z"}


@pytest.fixture
async def todoist():
    async with Double(None, at="https://api.todoist.com/api/v1", token="t0ken") as double:
        double.on("POST", "/tasks", TASK)
        double.on("POST", "/tasks/quick", TASK)
        double.on("POST", "/tasks/{id}/close", Answer(status=204))
        double.on("POST", "/comments", {"id": "c", "content": "Hi", "posted_at": "2026-11-23T09:00:00Z"})
        yield double


@pytest.fixture
async def ctx(todoist):
    async with connector(service, todoist) as ctx:
        ctx.idempotency_key = "execution-7"
        yield ctx


def completed(name: str) -> dict:
    return TASK | {"id": name, "completed_at": (now() + timedelta(seconds=5)).isoformat()}


@pytest.mark.parametrize(
    ("name", "params", "path", "field", "row", "query"),
    [
        ("task_added", {"project": "p"}, "/tasks", "results", lambda name: TASK | {"id": name}, {"project_id": "p"}),
        ("task_completed", {"project": "p"}, "/tasks/completed/by_completion_date", "items", completed, {"project_id": "p"}),
        ("task_completed", {}, "/tasks/completed/by_completion_date", "items", completed, {}),
        ("project_added", {}, "/projects", "results", lambda name: PROJECT | {"id": name}, {}),
    ],
)  # fmt: skip
async def test_each_thing_is_told_once(ctx, todoist, name, params, path, field, row, query):
    old, new = row("old"), row("new")
    watch = Watch(ctx, service.actions[name], **params)
    todoist.on("GET", path, {field: [old], "next_cursor": None})
    assert await watch.look() == []
    todoist.on(
        "GET",
        path,
        lambda request: {
            field: [new if "cursor" in request.query else old],
            "next_cursor": None if "cursor" in request.query else "next",
        },
    )
    (event,) = await watch.look()
    assert event.data.id == "new"
    assert todoist.asked[-1].query["cursor"] == "next"
    sent = {
        key: value for key, value in todoist.asked[-1].query.items() if key not in ("limit", "cursor", "since", "until")
    }
    assert sent == query
    assert ("since" in todoist.asked[-1].query) is (name == "task_completed")
    assert await watch.ids() == []
    await outcomes(ctx, todoist, watch.look)


async def test_a_task_that_repeats_is_told_each_time(ctx, todoist):
    watch = Watch(ctx, service.actions["task_completed"])
    for expected in (0, 1, 1):
        todoist.on("GET", "/tasks/completed/by_completion_date", {"items": [completed("same")], "next_cursor": None})
        assert len(await watch.ids()) == expected


@pytest.mark.parametrize(
    ("name", "params", "path", "body"),
    [
        (
            "create_task",
            {"content": "Buy milk", "project": "p", "due": "tomorrow", "priority": "p1", "labels": "shop, home"}, "/tasks",
            {"content": "Buy milk", "description": "", "priority": 4, "labels": ["shop", "home"], "project_id": "p", "due_string": "tomorrow"},
        ),
        ("create_task", {"content": "x"}, "/tasks", {"content": "x", "description": "", "priority": 1, "labels": []}),
        ("quick_add", {"text": "Buy milk #Home"}, "/tasks/quick", {"text": "Buy milk #Home"}),
        ("complete_task", {"task": "t"}, "/tasks/t/close", None),
        ("comment_on_task", {"task": "t", "text": "Hi"}, "/comments", {"task_id": "t", "content": "Hi"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, todoist, name, params, path, body):
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    created = await call()
    first, request = todoist.asked[-1].headers["X-Request-Id"], todoist.asked[-1]
    assert (request.path, request.json, len(first)) == (path, body, 36)
    await call()
    assert todoist.asked[-1].headers["X-Request-Id"] == first
    await outcomes(ctx, todoist, call, garbage=name != "complete_task")
    if name == "quick_add":
        assert (created.due, created.url) == ("2026-11-23", "https://app.todoist.com/app/task/6X7rM8997g3RQmvh")


async def test_projects_to_choose_from(ctx, todoist):
    page = lambda request: {"results": [PROJECT], "next_cursor": None if "cursor" in request.query else "next"}  # noqa: E731
    todoist.on("GET", "/projects", page)
    assert [(item.value, item.label) for item in await service.pickers["projects"](ctx, {})] == [("p", "Home")] * 2


async def test_who_agreed(ctx, todoist):
    todoist.on("GET", "/user", {"id": "42", "full_name": "Ada", "email": "ada@example.com"})
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email, account.email_verified) == ("42", "Ada", "ada@example.com", False)


def test_news_of_an_account():
    def call(body: bytes, signature: str = "") -> Request:
        return Request("POST", "/webhooks/todoist", Headers([("X-Todoist-Hmac-SHA256", signature)]), {}, body, now())

    body, inbound = b'{"event_name": "item:added", "user_id": "42", "event_data": {}}', service.inbound
    signature = base64.b64encode(hmac.new(b"client secret", body, hashlib.sha256).digest()).decode()
    inbound.verify.check(call(body, signature), "client secret", Nothing())
    for wrong, secret in (("AAAA", "client secret"), ("", "client secret"), (signature, "other"), (signature, "")):
        with pytest.raises(Refused):
            inbound.verify.check(call(body, wrong), secret, Nothing())
    assert inbound.accounts(call(body)) == ["42"]
    for wrong in (b"[]", b"{}", b"?"):
        with pytest.raises(Permanent):
            inbound.accounts(call(wrong))


async def test_a_task_is_looked_up(ctx, todoist):
    todoist.on("GET", "/tasks/filter", {"results": [TASK], "next_cursor": None})
    task = await act(ctx, service.reactions["find_task"], filter="search: milk")
    assert (task.found, task.id) == (True, TASK["id"])
    assert dict(todoist.asked[-1].query) == {"query": "search: milk", "limit": "1"}
    todoist.on("GET", "/tasks/filter", {"results": [], "next_cursor": None})
    await finds_nothing(ctx, service.reactions["find_task"], filter="search: milk")
