"""GitLab against a double written from docs.gitlab.com, because the only packaged API description is of version 3, from
2017.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from area.connectors.gitlab import service
from area.sdk import Hook, Nothing, OAuth2, Permanent, Refused
from area.sdk.testing import Answer, Double, Watch, act, connector, deliver, outcomes

PROJECT = {"project": "octo/hello-world"}
HOOK = Hook("https://area.example/hooks/token", "s3cret")
AT = "/api/v4/projects/{project}"
PAGE = "https://gitlab.com/octo/hello-world/-/issues/42"
USER = {"username": "octocat"}
ISSUE = {"id": 301, "iid": 42, "title": "T", "description": None, "web_url": PAGE, "author": USER, "labels": ["bug"]}
CHANGES = {**ISSUE, "source_branch": "mend", "target_branch": "main"}
PIPELINE = {"id": 31, "status": "created", "ref": "main", "web_url": PAGE, "user": USER}


@pytest_asyncio.fixture
async def vendor():
    async with Double(None, "https://gitlab.com") as double:
        double.again(
            "POST", AT + "/merge_requests", Answer(409, {"message": ["Another open merge request already exists"]})
        )
        yield double


@pytest_asyncio.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


# https://docs.gitlab.com/api/notes/#create-an-issue-note
NOTE = {"id": 302, "body": "Hi", "author": {"id": 1, "username": "pipin"}, "created_at": "2026-11-23T09:00:00Z"}


def body(kind: str, action: str = "", **more):
    """A delivery, as https://docs.gitlab.com/user/project/integrations/webhook_events/ shows them."""
    answer = {"iid": 42, "title": "T", "url": PAGE, "source_branch": "mend", "target_branch": "main", "note": "Hi"}
    answer |= {"id": 31, "noteable_type": "Issue", "status": "success", "ref": "main", "duration": 63, "action": action}
    result = {
        "object_kind": kind, "user": USER, "project": {"path_with_namespace": "octo/hello-world"},
        "object_attributes": answer, "labels": [{"title": "bug"}], "issue": {"title": "T"}, "commit": {"message": "M"},
        "ref": "refs/heads/main", "after": "da15", "user_username": "octocat", "total_commits_count": 2, "message": None,
        "commits": [{"id": "1", "message": "old"}, {"id": "2", "message": "new"}],
    }  # fmt: skip
    return result | more


async def sent(ctx, name, answer, params=PROJECT, token="s3cret"):
    headers = {"X-Gitlab-Token": token, "Idempotency-Key": "k-1"}
    return await deliver(ctx, service.actions[name], params, json=answer, headers=headers, secret="s3cret")


@pytest.mark.parametrize(
    ("name", "fires", "other"),
    [
        ("new_issue", body("issue", "open"), body("issue", "update")),
        ("issue_closed", body("issue", "close"), body("issue", "open")),
        ("new_merge_request", body("merge_request", "open"), body("merge_request", "merge")),
        ("merge_request_merged", body("merge_request", "merge"), body("merge_request", "close")),
        ("new_comment", body("note", "create"), body("note", "update")),
        ("pipeline_ended", body("pipeline"), body("pipeline") | {"object_attributes": {"status": "running"}}),
        ("new_push", body("push"), body("push", after="0" * 40)),
    ],
)
async def test_a_delivery_fires_once_and_others_do_not(ctx, name, fires, other):
    (event,) = await sent(ctx, name, fires)
    assert (event.id, event.data.project) == ("k-1", "octo/hello-world")
    assert await sent(ctx, name, other) == []
    assert await sent(ctx, name, body("wiki_page", "create")) == []
    for token in ("", "other"):
        with pytest.raises(Refused):
            await sent(ctx, name, fires, token=token)
    with pytest.raises(Refused):
        await deliver(ctx, service.actions[name], PROJECT, json=fires, secret="s3cret")
    with pytest.raises(Permanent):
        await sent(ctx, name, [])


async def test_what_is_chosen_is_all_that_fires(ctx):
    (push,) = await sent(ctx, "new_push", body("push"), {**PROJECT, "branch": "main"})
    assert (push.data.branch, push.data.message, push.data.count) == ("main", "new", 2)
    assert not await sent(ctx, "new_push", body("push"), {**PROJECT, "branch": "next"})
    assert await sent(ctx, "pipeline_ended", body("pipeline"), {**PROJECT, "status": "success"})
    assert not await sent(ctx, "pipeline_ended", body("pipeline"), {**PROJECT, "status": "failed"})


async def test_gitlab_is_asked_for_a_hook_once(ctx, vendor):
    action, hooks = service.actions["new_issue"], []
    params = action.params(**PROJECT)

    def make(request):
        hooks.append({"id": 7, "url": request.json["url"]})
        return Answer(201, hooks[-1])

    def listed(requests):  # two pages, the hook on the second
        return Answer(
            200,
            hooks if requests.query["page"] == "2" else [],
            headers={"X-Next-Page": "2" if requests.query["page"] == "1" else ""},
        )

    vendor.on("GET", f"{AT}/hooks", listed)
    vendor.on("POST", f"{AT}/hooks", make)
    vendor.on("DELETE", f"{AT}/hooks/{{hook}}", Answer(204))
    first, again = [await action.on_subscribe(ctx, params, HOOK) for _ in range(2)]
    assert (first.id, again.id, len(hooks)) == ("7", "7", 1)
    created = next(item for item in vendor.asked if item.method == "POST")
    assert created.params["project"] == "octo/hello-world"
    assert created.json == {
        "url": HOOK.url, "token": "s3cret", "enable_ssl_verification": True, "push_events": False, "issues_events": True,
    }  # fmt: skip
    await action.on_unsubscribe(ctx, params, HOOK, "7")
    assert vendor.asked[-1].method == "DELETE"
    pushes = service.actions["new_push"]
    hooks.clear()
    await pushes.on_subscribe(ctx, params, HOOK)
    assert vendor.asked[-1].json["push_events"] is True


async def test_what_could_not_be_delivered_is_asked_for_again_once(ctx, vendor):
    action = service.actions["new_issue"]
    rows = [
        {"id": number, "response_status": status}
        for number, status in ((9, "503"), (8, "401"), (7, "internal error"), (6, "200"))
    ]
    vendor.on("GET", f"{AT}/hooks/{{hook}}/events", lambda _: rows)
    vendor.on("POST", f"{AT}/hooks/{{hook}}/events/{{event}}/resend", {"response_status": 200})
    for _ in range(2):
        renewed = await action.on_renew(ctx, action.params(**PROJECT), HOOK, "7")
    assert renewed.expires_at > datetime.now(UTC)
    assert [item.params["event"] for item in vendor.asked if item.method == "POST"] == ["7", "9"]


async def test_todos(ctx, vendor):
    def todo(number, project):
        stamp = datetime.now(UTC).isoformat()
        row = {
            "id": number,
            "project": project,
            "action_name": "mentioned",
            "target": {"title": "T"},
            "target_url": PAGE,
        }
        return row | {"body": "@octocat", "created_at": stamp}

    rows = [todo(1, None)]
    vendor.on("GET", "/api/v4/todos", lambda _: rows)
    watch = Watch(ctx, service.actions["new_todo"])
    assert await watch.look() == []
    rows.insert(0, todo(2, {"path_with_namespace": "octo/hello-world"}))
    rows.insert(0, todo(3, None))
    assert sorted(await watch.ids()) == ["2", "3"]
    assert await watch.look() == []
    await outcomes(ctx, vendor, watch.look)


@pytest.mark.parametrize(
    ("name", "params", "method", "path", "told", "body"),
    [
        (
            "open_issue", {"title": "T", "labels": "bug"}, "POST", "/issues", ISSUE,
            {"title": "T", "description": "", "labels": "bug"},
        ),
        ("write_comment", {"number": 42, "body": "Hi"}, "POST", "/issues/{number}/notes", NOTE, {"body": "Hi"}),
        (
            "write_comment", {"on": "merge_request", "number": 7, "body": "Hi"}, "POST", "/merge_requests/{number}/notes",
            NOTE, {"body": "Hi"},
        ),
        ("add_labels", {"number": 42, "labels": "bug"}, "PUT", "/issues/{number}", ISSUE, {"add_labels": "bug"}),
        ("close_issue", {"number": 42}, "PUT", "/issues/{number}", ISSUE, {"state_event": "close"}),
        (
            "open_merge_request", {"title": "T", "source": "mend", "target": "main"}, "POST", "/merge_requests", CHANGES,
            {"title": "T", "description": "", "source_branch": "mend", "target_branch": "main"},
        ),
        (
            "run_pipeline", {"variables": {"A": "1"}}, "POST", "/pipeline", PIPELINE,
            {"ref": "main", "variables": [{"key": "A", "value": "1"}]},
        ),
    ],
)  # fmt: skip
async def test_a_reaction_sends_what_gitlab_documents(ctx, vendor, name, params, method, path, told, body):
    reaction = service.reactions[name]
    vendor.on(method, AT + path, told)
    returned = await act(ctx, reaction, **PROJECT, **params)
    assert isinstance(returned, reaction.returns) or (returned is None and reaction.returns is Nothing)
    assert vendor.asked[-1].json == body
    await outcomes(
        ctx, vendor, lambda: act(ctx, reaction, **PROJECT, **params), garbage=reaction.returns is not Nothing
    )


async def test_the_account_has_an_address_only_if_gitlab_says_so(ctx, vendor):
    vendor.on("GET", "/api/v4/user", {"id": 1, "username": "octocat", "email": "o@example.org"})
    vendor.on("GET", "/oauth/userinfo", {"sub": "1", "email": "o@example.org", "email_verified": True})
    result = await service.auth.account(ctx)
    assert (result.id, result.email, result.email_verified) == ("1", "o@example.org", True)
    vendor.on("GET", "/oauth/userinfo", {"sub": "1", "email": "o@example.org", "email_verified": False})
    assert not (await service.auth.account(ctx)).email_verified
    vendor.on("GET", "/oauth/userinfo", Answer(403, {"error": "insufficient_scope"}))
    assert (await service.auth.account(ctx)).email is None


async def test_pickers(ctx, vendor):
    vendor.on("GET", "/api/v4/projects", [{"path_with_namespace": "octo/hello", "name_with_namespace": "Octo / Hello"}])
    vendor.on("GET", f"{AT}/repository/branches", [{"name": "main"}])
    assert [item.value for item in await service.pickers["projects"](ctx, {})] == ["octo/hello"]
    assert await service.pickers["branches"](ctx, {"project": "no"}) == []
    assert [item.value for item in await service.pickers["branches"](ctx, PROJECT)] == ["main"]


def test_it_may_be_a_server_of_ones_own():
    own = replace(service)
    own.move("https://gitlab.example.org/")
    assert own.base_url == "https://gitlab.example.org"
    assert isinstance(own.auth, OAuth2)
    assert own.auth.authorize_url == "https://gitlab.example.org/oauth/authorize"
    assert own.auth.token_url == "https://gitlab.example.org/oauth/token"
    assert own.auth.revoke_url == "https://gitlab.example.org/oauth/revoke"
    assert service.base_url == "https://gitlab.com"
    with pytest.raises(TypeError, match="no servers"):
        replace(service, own_server=False).move("https://gitlab.example.org")
