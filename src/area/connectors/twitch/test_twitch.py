"""Twitch, against a double written from its reference: it publishes no description."""

from datetime import timedelta

import pytest

from area.connectors.twitch import service
from area.kit.clock import now
from area.sdk import Permanent, Retry
from area.sdk.testing import Answer, Double, Watch, connector, outcomes

ME = {"id": "1", "login": "ada", "display_name": "Ada"}
OTHER = {"id": "2", "login": "bob", "display_name": "Bob"}


@pytest.fixture
async def vendor():
    async with Double(None, at="https://api.twitch.tv/helix") as double:
        double.on("GET", "/users", lambda asked: {"data": [OTHER if "login" in asked.query else ME]})
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def at(minutes: int) -> str:
    return (now() + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def stream(name: str, when: str):
    shown = {"id": name, "user_login": "bob", "user_name": "Bob", "title": "T", "game_name": "Chess", "type": "live"}
    return shown | {"started_at": when}


def follower(name: str, when: str):
    return {"user_id": name, "user_login": name, "user_name": name, "followed_at": when}


def clip(name: str, when: str):
    return {"id": name, "title": "T", "creator_name": "Ada", "url": "https://clips.twitch.tv/x", "created_at": when}


def video(name: str, when: str):
    return {"id": name, "title": "T", "type": "upload", "duration": "1m", "url": "https://x", "published_at": when}


@pytest.mark.parametrize(
    ("name", "params", "path", "row", "query"),
    [
        ("stream_started", {"channel": "bob"}, "/streams", stream, {"user_login": "bob"}),
        ("followed_stream_started", {}, "/streams/followed", stream, {"user_id": "1"}),
        ("follower_gained", {}, "/channels/followers", follower, {"broadcaster_id": "1"}),
        ("clip_created", {"channel": "bob"}, "/clips", clip, {"broadcaster_id": "2"}),
        ("video_published", {"channel": "bob"}, "/videos", video, {"user_id": "2", "sort": "time"}),
    ],
)
async def test_each_thing_is_told_once(ctx, vendor, name, params, path, row, query):
    watch = Watch(ctx, service.actions[name], **params)
    old, new, newest = row("old", at(-2)), row("new", at(0)), row("newest", at(0))
    vendor.on("GET", path, {"data": [old], "pagination": {}})
    assert await watch.look() == []
    if name == "video_published":  # one page is enough
        vendor.on("GET", path, {"data": [newest, new, old]})
    else:
        second = {"data": [new, old], "pagination": {}}
        vendor.on(
            "GET",
            path,
            lambda asked: second if "after" in asked.query else {"data": [newest], "pagination": {"cursor": "c"}},
        )
    assert {event.data.id for event in await watch.look()} == {"new", "newest"}
    assert await watch.look() == []
    asked = vendor.asked[-1]
    assert query.items() <= dict(asked.query).items()
    assert asked.headers["Client-Id"] == "client"
    assert ("started_at" in asked.query) is (name == "clip_created")
    assert sum(one.path == "/users" for one in vendor.asked) <= 1
    await outcomes(ctx, vendor, watch.look)


@pytest.mark.parametrize(
    ("name", "params", "method", "path", "answer", "query", "body"),
    [
        ("send_message", {"channel": "bob", "text": "Hi"}, "POST", "/chat/messages",
         {"data": [{"message_id": "m", "is_sent": True}]}, {}, {"broadcaster_id": "2", "sender_id": "1", "message": "Hi"}),
        ("announce", {"channel": "bob", "text": "Hi", "color": "blue"}, "POST", "/chat/announcements", Answer(204),
         {"broadcaster_id": "2", "moderator_id": "1"}, {"message": "Hi", "color": "blue"}),
        ("create_clip", {"channel": "bob"}, "POST", "/clips", Answer(202, json={"data": [{"id": "c", "edit_url": "https://e"}]}),
         {"broadcaster_id": "2"}, None),
        ("update_channel", {"title": "T", "category": "Chess"}, "PATCH", "/channels", Answer(204), {"broadcaster_id": "1"},
         {"title": "T", "game_id": "9"}),
        ("update_channel", {"title": "T"}, "PATCH", "/channels", Answer(204), {"broadcaster_id": "1"}, {"title": "T"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, path, answer, query, body):
    vendor.on(method, path, answer)
    vendor.on("GET", "/games", {"data": [{"id": "9", "name": "Chess"}]})
    reaction = service.reactions[name]

    async def call():
        return await reaction.function(ctx, reaction.params(**params))

    made = await call()
    asked = vendor.asked[-1]
    assert (asked.method, asked.path, dict(asked.query)) == (method, path, query)
    assert (asked.json if asked.body else None) == body
    if name == "create_clip":
        assert (made.url, made.edit_url) == ("https://clips.twitch.tv/c", "https://e")
    await outcomes(ctx, vendor, call)


@pytest.mark.parametrize(("code", "error"), [("msg_duplicate", Permanent), ("msg_slowmode", Retry)])
async def test_a_message_that_is_held_back(ctx, vendor, code, error):
    dropped = {"message_id": "", "is_sent": False, "drop_reason": {"code": code, "message": "Not like this."}}
    vendor.on("POST", "/chat/messages", {"data": [dropped]})
    reaction = service.reactions["send_message"]
    with pytest.raises(error, match=r"did not send the message\. Not like this"):
        await reaction.function(ctx, reaction.params(channel="bob", text="Hi"))


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [("create_clip", {"channel": "nobody"}, "no channel 'nobody'"), ("update_channel", {"title": "T", "category": "?"}, "no category")],
)  # fmt: skip
async def test_what_there_is_not(ctx, vendor, name, params, said):
    vendor.on("GET", "/users", {"data": []})
    vendor.on("GET", "/games", {"data": []})
    reaction = service.reactions[name]
    with pytest.raises(Permanent, match=said):
        await reaction.function(ctx, reaction.params(**params))


async def test_channels_to_choose_from(ctx, vendor):
    row = {"broadcaster_id": "2", "broadcaster_login": "bob", "broadcaster_name": "Bob"}
    pages = {None: {"data": [row], "pagination": {"cursor": "c"}}, "c": {"data": [row], "pagination": {}}}
    vendor.on("GET", "/channels/followed", lambda asked: pages[asked.query.get("after")])
    found = [(one.value, one.label) for one in await service.pickers["channels"](ctx, {})]
    assert found == [("ada", "Ada"), ("bob", "Bob"), ("bob", "Bob")]


@pytest.mark.parametrize(("more", "verified"), [({"email": "ada@example.com"}, True), ({}, False)])
async def test_who_agreed(ctx, vendor, more, verified):
    vendor.on("GET", "/users", {"data": [ME | more]})
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email, account.email_verified) == (
        "1",
        "Ada",
        more.get("email"),
        verified,
    )
