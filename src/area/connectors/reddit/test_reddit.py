"""Reddit against a double written from its documentation and the requests of praw, its client library, because it
publishes no description.
"""

import time
from datetime import timedelta

import pytest

from area.connectors.reddit import service
from area.sdk import Permanent, Retry
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes


@pytest.fixture
async def vendor():
    async with Double(None, at="https://oauth.reddit.com") as double:
        double.on("GET", "/api/v1/me", {"id": "abc", "name": "ada"})
        double.again("POST", "/api/save")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def post(name: str, minutes: int = 0, **more):
    data = {
        "name": f"t3_{name}",
        "title": "T",
        "selftext": "Hi",
        "author": "bob",
        "subreddit": "s",
        "url": "https://x.example",
    }
    data |= {"permalink": f"/r/s/comments/{name}/t/", "created_utc": time.time() + 60 * minutes, **more}
    return {"kind": "t3", "data": data}


def listing(*rows, after: str | None = None):
    return {"kind": "Listing", "data": {"after": after, "children": list(rows)}}


@pytest.mark.parametrize(
    ("name", "params", "path", "query"),
    [
        ("post_created", {"subreddit": "r/s1"}, "/r/s1/new", {}),
        ("post_found", {"query": "a b"}, "/search", {"q": "a b", "sort": "new", "type": "link"}),
        (
            "post_found",
            {"query": "a", "subreddit": "s1"},
            "/r/s1/search",
            {"q": "a", "sort": "new", "type": "link", "restrict_sr": "true"},
        ),
        ("comment_created", {"user": "bob"}, "/user/bob/comments", {"sort": "new"}),
        ("item_kept", {}, "/user/ada/saved", {}),
        ("item_kept", {"kind": "upvoted"}, "/user/ada/upvoted", {}),
    ],
)
async def test_each_thing_is_told_once(ctx, vendor, name, params, path, query):
    watch = Watch(ctx, service.actions[name], **params)
    vendor.on("GET", path, listing(post("old", -2)))
    assert await watch.look() == []
    if name == "item_kept":
        vendor.on("GET", path, listing(post("new"), post("old", -2)))
    else:  # over two pages, and no further than the window
        first, second = (
            listing(post("pin", -9999, stickied=True), after="a"),
            listing(post("new"), post("older", -999), after="b"),
        )
        vendor.on("GET", path, lambda request: second if "after" in request.query else first)
    (event,) = await watch.look()
    assert (event.id, event.data.title, event.data.text, event.data.author) == ("t3_new", "T", "Hi", "bob")
    assert event.data.url == "https://www.reddit.com/r/s/comments/new/t/"
    requests = vendor.asked[-1]
    sent = {key: value for key, value in requests.query.items() if key not in ("after", "limit")}
    assert sent == {"raw_json": "1", **query}
    assert requests.headers["User-Agent"].startswith("web:area-server:")
    assert await watch.look() == []
    await outcomes(ctx, vendor, watch.look)


async def test_what_comes_into_view_because_another_is_no_longer_saved_is_old(ctx, vendor):
    watch = Watch(ctx, service.actions["item_kept"])
    for rows, new in ((["c", "b"], []), (["c", "a"], []), (["d", "c", "a"], ["t3_d"])):
        vendor.on("GET", "/user/ada/saved", listing(*[post(name) for name in rows]))
        assert await watch.ids() == new


MADE = {"json": {"errors": [], "data": {"name": "t3_x", "id": "x", "url": "https://www.reddit.com/r/s/comments/x/t/"}}}
SAID = {
    "json": {
        "errors": [],
        "data": {"things": [{"kind": "t1", "data": {"name": "t1_y", "permalink": "/r/s/comments/x/t/y/"}}]},
    }
}
LINK = {"subreddit": "/r/s1", "title": "T", "url": "https://x.example"}


@pytest.mark.parametrize(
    ("name", "params", "path", "answer", "form"),
    [
        ("submit_link", LINK, "/api/submit", MADE,
         {"sr": "s1", "title": "T", "kind": "link", "url": "https://x.example", "resubmit": "false", "api_type": "json"}),
        ("submit_text", {"subreddit": "s1", "title": "T", "text": "Hi"}, "/api/submit", MADE,
         {"sr": "s1", "title": "T", "kind": "self", "text": "Hi", "api_type": "json"}),
        ("comment", {"target": "https://www.reddit.com/r/s/comments/x/t/", "text": "Hi"}, "/api/comment", SAID,
         {"thing_id": "t3_x", "text": "Hi", "api_type": "json"}),
        ("comment", {"target": "https://www.reddit.com/r/s/comments/x/t/y/?context=3", "text": "Hi"}, "/api/comment", SAID,
         {"thing_id": "t1_y", "text": "Hi", "api_type": "json"}),
        ("save", {"target": "t3_x"}, "/api/save", {}, {"id": "t3_x"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, path, answer, form):
    vendor.on("POST", path, answer)
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    created = await call()
    assert dict(vendor.asked[-1].form) == form
    assert name == "save" or created.url.startswith("https://www.reddit.com/r/s/comments/x/t/")
    await outcomes(ctx, vendor, call, garbage=name != "save")


@pytest.mark.parametrize(
    ("error", "kind", "after"),
    [
        (["RATELIMIT", "Take a break for 9 minutes before trying again.", "ratelimit"], Retry, timedelta(minutes=10)),
        (["ALREADY_SUB", "that link has already been submitted", "url"], Permanent, None),
    ],
)
async def test_a_refusal_that_is_answered_with_200(ctx, vendor, error, kind, after):
    vendor.on("POST", "/api/submit", {"json": {"errors": [error]}})
    reaction = service.reactions["submit_link"]
    with pytest.raises(kind, match=error[1][:20]) as caught:
        await act(ctx, reaction, **LINK)
    assert getattr(caught.value, "after", None) == after


async def test_how_long_to_wait(ctx, vendor):
    vendor.on("GET", "/r/s1/new", Answer(429, headers={"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "42"}))
    with pytest.raises(Retry) as caught:
        await Watch(ctx, service.actions["post_created"], subreddit="s1").look()
    assert (caught.value.after, caught.value.parks) == (timedelta(seconds=43), True)


async def test_what_is_no_post_is_refused(ctx):
    reaction = service.reactions["save"]
    with pytest.raises(Permanent, match="not the ID or URL"):
        await act(ctx, reaction, target="https://example.com")


async def test_subreddits_to_choose_from(ctx, vendor):
    row = {"kind": "t5", "data": {"display_name": "s1", "title": "S"}}
    vendor.on(
        "GET",
        "/subreddits/mine/subscriber",
        lambda request: listing(row, after=None if "after" in request.query else "a"),
    )
    assert [(item.value, item.hint) for item in await service.pickers["subreddits"](ctx, {})] == [("s1", "S")] * 2


async def test_who_agreed(ctx):
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email) == ("abc", "ada", None)
