"""Linear against a double that enforces its GraphQL schema, derived from the types of its SDK. Linear doesn't document
that a token is revoked with the client's ID and secret in a form, as in RFC 7009.
"""

import hashlib
import hmac
import json
from uuid import UUID

import pytest

from area.connectors.linear import service
from area.sdk import Hook, Permanent, Refused, Retry, now
from area.sdk.testing import Answer, Double, Watch, act, connector, deliver, finds_nothing, graphed, outcomes

LINEAR = graphed("@linear/sdk/dist/index-D2pH4Pk9.d.mts")
HOOK = Hook("https://area.example/hooks/x", "our-secret")
TEAM, DONE = "team-1", "state-done"
ISSUE = {
    "id": "issue-1", "identifier": "ENG-42", "title": "Login fails", "description": "Since today", "priorityLabel": "High",
    "stateId": DONE, "state": {"name": "Done"}, "assignee": {"name": "Ada"}, "url": "https://linear.app/acme/issue/ENG-42",
}  # fmt: skip
COMMENT = {
    "id": "comment-1",
    "body": "Fixed",
    "issue": {"identifier": "ENG-42", "title": "Login fails"},
    "user": {"name": "Ada"},
}
TOLD = {name: value for name, value in ISSUE.items() if name != "stateId"}  # what a query is answered
SAID = {"errors": [{"message": "The vendor says no"}]}
HAPPENED = {
    "issue_created": {"type": "Issue", "action": "create", "data": ISSUE},
    "issue_moved": {"type": "Issue", "action": "update", "data": ISSUE, "updatedFrom": {"stateId": "state-todo"}},
    "comment_created": {"type": "Comment", "action": "create", "data": COMMENT, "url": "https://linear.app/c"},
}
every_webhook = pytest.mark.parametrize("name", HAPPENED)


@pytest.fixture
async def linear():
    async with Double(LINEAR, at="https://api.linear.app", token="t0ken") as double:
        double.again("POST", "/graphql")
        yield double


@pytest.fixture
async def ctx(linear):
    async with connector(service, linear) as ctx:
        yield ctx


def body_of(name: str, age: float = 0, **more) -> bytes:
    stamp = (now().timestamp() - age) * 1000
    return json.dumps(
        HAPPENED[name] | {"createdAt": "2026-11-23T09:00:00.000Z", "webhookTimestamp": int(stamp)} | more
    ).encode()


async def sent(ctx, name: str, body: bytes, params: dict | None = None, secret: str = HOOK.secret, **headers: str):
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    variables = {"Linear-Signature": signature, "Linear-Delivery": "delivery-1"} | headers
    return await deliver(
        ctx, service.actions[name], {"team": TEAM} | (params or {}), body=body, headers=variables, secret=HOOK.secret
    )


@every_webhook
async def test_what_linear_sends_is_the_event(ctx, name):
    (event,) = await sent(ctx, name, body_of(name))
    assert (event.id, event.at.isoformat()) == ("delivery-1", "2026-11-23T09:00:00+00:00")
    dumped = event.data.model_dump()
    assert dumped["title"] == "Login fails"
    assert dumped.get("state", "Done") == "Done"
    assert dumped["url"].startswith("https://linear.app/")
    for other in HAPPENED:
        if other != name:
            assert await sent(ctx, name, body_of(other)) == []
    with pytest.raises(Permanent, match="Linear-Delivery"):
        await sent(ctx, name, body_of(name), **{"Linear-Delivery": ""})


async def test_of_one_state_only(ctx):
    assert len(await sent(ctx, "issue_moved", body_of("issue_moved"), {"state": DONE})) == 1
    assert await sent(ctx, "issue_moved", body_of("issue_moved"), {"state": "state-other"}) == []
    assert await sent(ctx, "issue_moved", body_of("issue_moved", updatedFrom={"title": "x"})) == []


@every_webhook
async def test_what_is_not_signed_or_old_is_refused(ctx, name):
    for body, secret, headers in (
        (body_of(name), "other", {}),
        (body_of(name), HOOK.secret, {"Linear-Signature": ""}),
        (body_of(name, age=400), HOOK.secret, {}),
        (body_of(name, webhookTimestamp=None), HOOK.secret, {}),
        (b"[]", HOOK.secret, {}),
    ):
        with pytest.raises(Refused):
            await sent(ctx, name, body, secret=secret, **headers)


@every_webhook
async def test_it_subscribes_once(ctx, linear, name):
    action = service.actions[name]
    params = action.params(team=TEAM)
    there: list[dict[str, str]] = []

    def answer(request):
        if "webhookCreate(" in request.json["query"]:
            return {"data": {"webhookCreate": {"webhook": {"id": "hook-1"}}}}
        if "webhookDelete(" in request.json["query"]:
            return {"data": {"webhookDelete": {"success": True}}}
        return {"data": {"webhooks": {"nodes": there}}}

    linear.on("POST", "/graphql", answer)
    assert (await action.on_subscribe(ctx, params, HOOK)).id == "hook-1"
    expected = linear.asked[-1].json["variables"]["input"]
    assert (expected["url"], expected["secret"], expected["teamId"]) == (HOOK.url, HOOK.secret, TEAM)
    there.append({"id": "hook-0", "url": HOOK.url})
    assert (await action.on_subscribe(ctx, params, HOOK)).id == "hook-0"
    await action.on_unsubscribe(ctx, params, HOOK, "hook-0")
    assert linear.asked[-1].json["variables"] == {"id": "hook-0"}
    assert action.scopes == ("admin",)
    await outcomes(ctx, linear, lambda: action.on_subscribe(ctx, params, HOOK), body=SAID)


async def test_an_assignment_is_told_once(ctx, linear):
    watch = Watch(ctx, service.actions["issue_assigned"])
    nodes = [TOLD]
    linear.on("POST", "/graphql", lambda request: {"data": {"viewer": {"assignedIssues": {"nodes": nodes}}}})
    assert await watch.ids() == []
    nodes.append(TOLD | {"id": "issue-2", "assignee": None})
    (event,) = await watch.look()
    assert (event.id, event.data.assignee) == ("issue-2", None)
    assert await watch.ids() == []
    await outcomes(ctx, linear, watch.look, body=SAID)


@pytest.mark.parametrize(
    ("name", "params", "variables"),
    [
        (
            "create_issue", {"team": TEAM, "title": "Login fails", "text": "x", "priority": "high"},
            {"input": {"teamId": TEAM, "title": "Login fails", "description": "x", "priority": 2}},
        ),
        ("set_state", {"issue": "ENG-42", "team": TEAM, "state": DONE}, {"id": "ENG-42", "input": {"stateId": DONE}}),
        ("comment_on_issue", {"issue": "ENG-42", "text": "Fixed"}, {"input": {"issueId": "ENG-42", "body": "Fixed"}}),
    ],
)  # fmt: skip
async def test_reactions(ctx, linear, name, params, variables):
    reaction = service.reactions[name]
    comment = COMMENT | {"url": "https://linear.app/c"}
    result = {"create_issue": {"issueCreate": {"issue": TOLD}}, "set_state": {"issueUpdate": {"issue": TOLD}}}
    linear.on("POST", "/graphql", {"data": result.get(name, {"commentCreate": {"comment": comment}})})

    async def call():
        return await act(ctx, reaction, **params)

    assert (await call()).title == "Login fails"
    assert linear.asked[-1].json["variables"] == variables
    await outcomes(ctx, linear, call, body=SAID)
    linear.on(
        "POST", "/graphql", Answer(400, {"errors": [{"message": "slowly", "extensions": {"code": "RATELIMITED"}}]})
    )
    with pytest.raises(Retry, match="slowly"):
        await call()


@pytest.mark.parametrize(
    ("name", "kind", "params"),
    [
        ("create_issue", "issue", {"team": TEAM, "title": "Login fails"}),
        ("comment_on_issue", "comment", {"issue": "ENG-42", "text": "Fixed"}),
    ],
)
async def test_what_an_earlier_attempt_made_is_not_made_again(ctx, linear, name, kind, params):
    reaction, result = service.reactions[name], {}
    thing = TOLD if kind == "issue" else COMMENT | {"url": "https://linear.app/c"}

    def answer(request):
        variables = request.json["variables"]
        if f"{kind}Create" not in request.json["query"]:
            return (
                {"data": {kind: result[variables["id"]]}}
                if variables["id"] in result
                else {"errors": [{"message": "Not found"}]}
            )
        number = UUID(variables["input"]["id"])
        assert number.version == 4
        if str(number) in result:
            return {"errors": [{"message": "There is one with this id"}]}
        result[str(number)] = thing
        return {"data": {f"{kind}Create": {kind: thing}}}

    linear.on("POST", "/graphql", answer)
    ctx.idempotency_key = "execution-7"
    first, second = [await reaction.function(ctx, reaction.params(**params)) for _ in range(2)]
    assert first == second
    assert len(result) == 1
    linear.on("POST", "/graphql", SAID)
    with pytest.raises(Permanent, match="The vendor says no"):
        await act(ctx, reaction, **params)


async def test_pickers(ctx, linear):
    def answer(request):
        if "team(" in request.json["query"]:
            return {"data": {"team": {"states": {"nodes": [{"id": DONE, "name": "Done"}]}}}}
        second = request.json["variables"]["after"]
        page = {"hasNextPage": not second, "endCursor": "next"}
        return {
            "data": {"teams": {"nodes": [{"id": second or TEAM, "name": "Engineers", "key": "ENG"}], "pageInfo": page}}
        }

    linear.on("POST", "/graphql", answer)
    assert [item.value for item in await service.pickers["teams"](ctx, {})] == [TEAM, "next"]
    assert [item.label for item in await service.pickers["states"](ctx, {"team": TEAM})] == ["Done"]
    assert await service.pickers["states"](ctx, {}) == []


async def test_who_agreed(ctx, linear):
    linear.on("POST", "/graphql", {"data": {"viewer": {"id": "u", "name": "Ada", "email": "ada@example.com"}}})
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email_verified) == ("u", "Ada", False)


async def test_an_issue_is_looked_up(ctx, linear):
    node = {
        "id": "i",
        "identifier": "ENG-42",
        "title": "Login fails",
        "description": None,
        "url": "https://linear.app/i",
    }
    node |= {"priorityLabel": "High", "state": {"name": "Todo"}, "assignee": None}
    linear.on("POST", "/graphql", {"data": {"team": {"issues": {"nodes": [node]}}}})
    issue = await act(ctx, service.reactions["find_issue"], team="t", words="login")
    assert (issue.found, issue.identifier, issue.state) == (True, "ENG-42", "Todo")
    linear.on("POST", "/graphql", {"data": {"team": {"issues": {"nodes": []}}}})
    await finds_nothing(ctx, service.reactions["find_issue"], team="t", words="login")
