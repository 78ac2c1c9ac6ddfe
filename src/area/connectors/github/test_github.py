"""GitHub, against a double that enforces GitHub's own description of its API, and with deliveries made of that of its
webhooks.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from area.connectors.github import build, events, service
from area.sdk import AuthExpired, Hook, Nothing, Permanent, Refused, Retry
from area.sdk.testing import Answer, Double, Watch, act, connector, deliver, described, finds_nothing, outcomes

github = described("@octokit/openapi/generated/api.github.com.json")
webhooks = described("@octokit/openapi-webhooks/generated/api.github.com.json")
REPO = {"repository": "octocat/hello-world"}
HOOK = Hook("https://area.example/hooks/token", "s3cret")
MADE = [action for action in service.actions.values() if not action.translated]
ISSUE = "/repos/{owner}/{repo}/issues"
HOOKS = {"/repos/{owner}/{repo}/hooks": "octocat/hello-world", "/orgs/{org}/hooks": "octo-org"}


@pytest_asyncio.fixture
async def vendor():
    async with Double(github) as double:
        double.again("POST", ISSUE + "/{issue_number}/labels")
        double.again("POST", "/repos/{owner}/{repo}/pulls", Answer(422, {"message": "A pull request already exists"}))
        yield double


@pytest_asyncio.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def sample(name: str, **changes):
    """The body of an event, as GitHub describes it."""
    body = json.loads(json.dumps(service.actions[name].sample))
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = body
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return body


async def sent(ctx, name, event, body, params=REPO, secret="s3cret", **headers):
    raw = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    variables = {"X-GitHub-Event": event, "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": signature, **headers}
    return await deliver(ctx, service.actions[name], params, body=raw, headers=variables, secret="s3cret")


# Webhooks


@pytest.mark.parametrize(
    ("name", "made", "changes", "others"),
    [
        ("new_issue", "issues_opened", {}, ["issues_closed", "issues_labeled"]),
        ("new_comment", "issue_comment_created", {}, ["issue_comment_edited"]),
        ("new_pull_request", "pull_request_opened", {}, ["pull_request_closed"]),
        ("pull_request_merged", "pull_request_closed", {"pull_request__merged": True}, ["pull_request_opened"]),
        ("new_push", "push", {"ref": "refs/heads/main", "compare": "https://github.com/o/r/compare/a...b"}, ["fork"]),
        ("new_release", "release_published", {}, ["release_created"]),
        ("new_star", "star_created", {"sender__login": "hubot"}, ["star_deleted"]),
    ],
)
async def test_a_delivery_fires_once_and_others_do_not(ctx, name, made, changes, others):
    body = sample(made, **changes)
    (event,) = await sent(ctx, name, made if made == "push" else service_event(made), body)
    assert event.id == "d-1"
    assert event.data.repository == body["repository"]["full_name"]
    for other in others:
        assert await sent(ctx, name, service_event(other), sample(other)) == []
    assert await sent(ctx, name, "ping", sample("ping")) == []


def service_event(name: str) -> str:
    known = {event["name"]: event["event"] for event in json.loads(events.MADE.read_text())["events"]}
    return known[name]


async def test_what_is_chosen_is_all_that_fires(ctx):
    labeled = sample("issues_labeled", label__name="bug")
    assert await sent(ctx, "new_issue", "issues", labeled, {**REPO, "label": "bug"})
    assert not await sent(ctx, "new_issue", "issues", labeled, {**REPO, "label": "urgent"})
    assert not await sent(
        ctx, "pull_request_merged", "pull_request", sample("pull_request_closed", pull_request__merged=False)
    )
    push = sample("push", ref="refs/heads/main", compare="https://github.com/o/r/compare/a...b", deleted=False)
    (event,) = await sent(ctx, "new_push", "push", push, {**REPO, "branch": "main"})
    assert (event.data.branch, event.data.count) == ("main", len(push["commits"]))
    assert not await sent(ctx, "new_push", "push", push, {**REPO, "branch": "next"})
    assert not await sent(ctx, "new_push", "push", push | {"ref": "refs/tags/v1"})
    assert not await sent(ctx, "new_push", "push", push | {"deleted": True})


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc"])
async def test_what_github_did_not_sign_is_refused(ctx, signature):
    for name in ("new_issue", "issues_opened"):
        params = REPO if name == "new_issue" else {"place": "octo-org"}
        with pytest.raises(Refused):
            await sent(ctx, name, "issues", sample("issues_opened"), params, **{"X-Hub-Signature-256": signature})


# The events of GitHub's description


def test_every_event_of_the_description_is_there():
    described_ones = list(build.events(webhooks.document))
    assert len(described_ones) == len(webhooks.document["webhooks"]) == len(MADE)
    assert {item["name"] for item in described_ones} == {item.name for item in MADE}
    assert {item["event"] for item in described_ones if item["action"]} >= {"issues", "pull_request", "release"}
    opened = next(item for item in described_ones if item["name"] == "issues_opened")
    assert opened["description"].startswith("An issue was created.")
    assert {value["name"]: value["type"] for value in opened["values"]}["issue"] == "object"


def test_what_was_made_is_what_would_be_made(tmp_path):
    package = tmp_path / "generated"
    package.mkdir()
    (package / "api.github.com.json").write_text(json.dumps(webhooks.document))
    build.make(tmp_path, tmp_path / "made.json")
    assert (tmp_path / "made.json").read_text() == events.MADE.read_text(), "run `python hatch_build.py`"


async def test_each_event_fires_by_its_own_delivery_alone(ctx):
    hooked = {"Place": {"place": "octocat/hello-world"}, "Organization": {"organization": "octo-org"}, "Nothing": {}}
    for action in MADE:
        params, event = hooked[action.params.__name__], service_event(action.name)
        (answer,) = await sent(ctx, action.name, event, sample(action.name), params)
        assert answer.data.sender == action.sample.get("sender") or "sender" not in action.sample
        assert not await sent(ctx, action.name, "other", sample(action.name), params)
        if action.name != event:
            assert not await sent(ctx, action.name, event, sample(action.name) | {"action": "other"}, params)
        assert (action.on_subscribe is None) == (action.params is Nothing)


async def test_a_build_is_needed(monkeypatch, tmp_path):
    monkeypatch.setattr(events, "MADE", tmp_path / "made.json")
    with pytest.raises(RuntimeError, match=r"hatch_build\.py"):
        events.declare(service)


# Subscriptions


@pytest.mark.parametrize(("route", "place"), HOOKS.items())
async def test_github_is_asked_for_a_hook_once(ctx, vendor, route, place):
    action = service.actions["issues_opened"]
    params = action.params(place=place)
    hooks = []

    def make(request):
        created = vendor.example("POST", route) | {"id": 7}
        created["config"] = {"url": request.json["config"]["url"], "content_type": "json"}
        hooks.append(created)
        return Answer(201, created)

    vendor.on("GET", route, lambda _: hooks)
    vendor.on("POST", route, make)
    first = await action.on_subscribe(ctx, params, HOOK)
    again = await action.on_subscribe(ctx, params, HOOK)
    assert (first.id, again.id, len(hooks)) == ("7", "7", 1)
    assert first.expires_at > datetime.now(UTC)
    built = next(item for item in vendor.asked if item.method == "POST")
    config = {"url": HOOK.url, "content_type": "json", "secret": "s3cret", "insecure_ssl": "0"}
    assert built.json == {"name": "web", "active": True, "events": ["issues"], "config": config}
    await action.on_unsubscribe(ctx, params, HOOK, "7")
    assert (vendor.asked[-1].method, vendor.asked[-1].route) == ("DELETE", f"{route}/{{hook_id}}")


async def test_what_could_not_be_delivered_is_asked_for_again_once(ctx, vendor):
    route = "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"
    like = vendor.example("GET", route)[0]

    def failed(number, guid, status):
        return like | {"id": number, "guid": guid, "status_code": status, "status": "Service Unavailable"}

    rows = [failed(9, "b", 503), failed(8, "c", 401), failed(6, "a", 0), failed(5, "b", 502)]
    vendor.on("GET", route, lambda request: rows if request.query["status"] == "failure" else [])
    action = service.actions["new_issue"]
    params = action.params(**REPO)
    for _ in range(2):
        renewed = await action.on_renew(ctx, params, HOOK, "7")
    assert renewed.id == "7"
    again = [item.params["delivery_id"] for item in vendor.asked if item.method == "POST"]
    assert sorted(map(int, again)) == [6, 9]
    rows.insert(0, failed(10, "b", 503))  # it failed once more
    await action.on_renew(ctx, params, HOOK, "7")
    assert vendor.asked[-1].params["delivery_id"] in ("10", 10)


# Polls


async def test_notifications(ctx, vendor):
    row = vendor.example("GET", "/notifications")[0]
    rows = [row]
    vendor.on("GET", "/notifications", lambda _: rows)
    every = Watch(ctx, service.actions["new_notification"])
    mentions = Watch(ctx, service.actions["new_notification"], reason="mention")
    assert await every.look() == await mentions.look() == []
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    issue = row["subject"] | {"url": "https://api.github.com/repos/octokit/octokit.rb/pulls/123", "type": "PullRequest"}
    rows.insert(0, row | {"id": "2", "updated_at": stamp, "reason": "mention", "subject": issue})
    rows.insert(0, row | {"id": "3", "updated_at": stamp, "reason": "subscribed"})
    assert sorted(await every.ids()) == [f"2 {stamp}", f"3 {stamp}"]
    (event,) = await mentions.look()
    assert str(event.data.html_url) == f"{row['repository']['html_url']}/pull/123"
    assert await every.look() == await mentions.look() == []


async def test_more_notifications_than_one_page(ctx, vendor):
    row, requests = vendor.example("GET", "/notifications")[0], []
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def answer(request):
        requests.append(dict(request.query))
        first = 0 if "since" not in request.query else 50 * (int(request.query.get("page", "1")) - 1)
        rows = [row | {"id": str(number), "updated_at": stamp} for number in range(first, min(first + 50, 70))]
        following = f'<{github.server}/notifications?since={stamp}&page=2>; rel="next"'
        return Answer(200, rows, headers={"Link": following} if first == 0 else {})

    watch = Watch(ctx, service.actions["new_notification"])
    vendor.on("GET", "/notifications", [])
    await watch.look()
    vendor.on("GET", "/notifications", answer)
    assert len(await watch.ids()) == 70
    assert [item.get("page") for item in requests] == [None, None, "2"]


async def test_repositories_of_a_user(ctx, vendor):
    rows = vendor.example("GET", "/users/{username}/repos")
    vendor.on("GET", "/users/{username}/repos", lambda _: rows)
    watch = Watch(ctx, service.actions["new_repository"], username="octocat")
    assert await watch.look() == []
    rows.insert(0, rows[0] | {"id": 7, "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
    assert await watch.ids() == ["7"]
    assert await watch.look() == []


# Reactions


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "body"),
    [
        (
            "open_issue", {"title": "T", "labels": "bug, urgent", "assignees": "octocat"}, "POST", ISSUE,
            {"title": "T", "body": "", "labels": ["bug", "urgent"], "assignees": ["octocat"]},
        ),
        ("write_comment", {"number": 42, "body": "Hi"}, "POST", f"{ISSUE}/{{issue_number}}/comments", {"body": "Hi"}),
        ("add_labels", {"number": 42, "labels": "bug"}, "POST", f"{ISSUE}/{{issue_number}}/labels", {"labels": ["bug"]}),
        (
            "close_issue", {"number": 42, "reason": "not_planned"}, "PATCH", f"{ISSUE}/{{issue_number}}",
            {"state": "closed", "state_reason": "not_planned"},
        ),
        (
            "open_pull_request", {"title": "T", "head": "mend", "base": "main"}, "POST", "/repos/{owner}/{repo}/pulls",
            {"title": "T", "head": "mend", "base": "main", "body": "", "draft": False},
        ),
        (
            "make_gist", {"content": "Hi"}, "POST", "/gists",
            {"description": "", "public": False, "files": {"note.md": {"content": "Hi"}}},
        ),
        (
            "run_workflow", {"workflow": "ci.yml", "inputs": {"level": 1}}, "POST",
            "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches",
            {"ref": "main", "inputs": {"level": 1}, "return_run_details": True},
        ),
        ("star_repository", {}, "PUT", "/user/starred/{owner}/{repo}", None),
    ],
)  # fmt: skip
async def test_a_reaction_sends_what_the_description_allows(ctx, vendor, name, params, method, route, body):
    reaction = service.reactions[name]
    values = ({} if name == "make_gist" else REPO) | params
    if name == "run_workflow":
        vendor.on(method, route, Answer(200, vendor.example(method, route, 200)))
    returned = await act(ctx, reaction, **values)
    assert isinstance(returned, reaction.returns) or (returned is None and reaction.returns is Nothing)
    assert (vendor.asked[-1].method, vendor.asked[-1].route) == (method, route)
    assert vendor.asked[-1].json == body
    await outcomes(ctx, vendor, lambda: act(ctx, reaction, **values), garbage=reaction.returns is not Nothing)


async def test_a_403_of_too_many_requests_is_tried_again(ctx, vendor):
    reaction = service.reactions["star_repository"]
    vendor.fails(403, {"message": "You have exceeded a secondary rate limit."})
    with pytest.raises(Retry) as caught:
        await act(ctx, reaction, **REPO)
    assert caught.value.after.total_seconds() == 60
    vendor.works()


# Who agreed, and what may be chosen


async def test_the_account_has_an_address_only_if_github_says_so(ctx, vendor):
    emails = vendor.example("GET", "/user/emails")
    result = await service.auth.account(ctx)
    assert (result.id, result.email, result.email_verified) == ("1", emails[0]["email"], True)
    vendor.on("GET", "/user/emails", [emails[0] | {"verified": False}])
    assert not (await service.auth.account(ctx)).email_verified
    vendor.on("GET", "/user/emails", Answer(404, vendor.example("GET", "/user/emails", 404)))  # it was not asked for
    assert (await service.auth.account(ctx)).email is None
    vendor.fails(401, {"message": "Bad credentials"})
    with pytest.raises(AuthExpired):
        await service.auth.account(ctx)
    vendor.works()


async def test_pickers(ctx, vendor):
    repo = github.schemas.sample({"$ref": "#/components/schemas/repository"})

    def paged(request):
        name = f"octocat/r{request.query.get('page', '1')}"
        more = {} if "page" in request.query else {"Link": f'<{github.server}/user/repos?page=2>; rel="next"'}
        return Answer(200, [repo | {"full_name": name}], headers=more)

    vendor.on("GET", "/user/repos", paged)
    assert [item.value for item in await service.pickers["repositories"](ctx, {})] == ["octocat/r1", "octocat/r2"]
    places = [item.value for item in await service.pickers["places"](ctx, {})]
    assert places == ["github", "octocat/r1", "octocat/r2"]
    for what, kind in (("labels", "label"), ("branches", "short-branch")):
        named = github.schemas.sample({"$ref": f"#/components/schemas/{kind}"}) | {"name": "one"}
        vendor.on("GET", f"/repos/{{owner}}/{{repo}}/{what}", [named])
    for name in ("labels", "branches", "workflows"):
        assert await service.pickers[name](ctx, {}) == []
        options = await service.pickers[name](ctx, REPO)
        assert options
        assert all(option.value for option in options)


async def test_a_body_that_is_no_object_is_refused(ctx):
    with pytest.raises(Permanent, match="content type"):
        await sent(ctx, "new_issue", "issues", [])


async def test_an_issue_is_looked_up(ctx, vendor):
    find, answer = service.reactions["find_issue"], vendor.example("GET", "/search/issues")
    item = answer["items"][0]
    vendor.on("GET", "/search/issues", {**answer, "items": [item]})
    issue = await act(ctx, find, repository="octocat/hello-world", words="crash label:bug")
    assert (issue.found, issue.number, issue.title) == (True, item["number"], item["title"])
    assert vendor.asked[-1].query["q"] == "crash label:bug repo:octocat/hello-world is:issue"
    vendor.on("GET", "/search/issues", {**answer, "items": []})
    await finds_nothing(ctx, find, repository="octocat/hello-world", words="crash")
