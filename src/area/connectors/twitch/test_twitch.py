"""Twitch against a double written from its reference, because it publishes no description."""

import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
import pytest
from pydantic import SecretStr

from area.connectors.twitch import service
from area.sdk import Hook, Nothing, Permanent, Refused, Reply, Retry, now
from area.sdk.testing import Answer, Double, Watch, act, connector, delivery, outcomes

ME = {"id": "1", "login": "ada", "display_name": "Ada"}
OTHER = {"id": "2", "login": "bob", "display_name": "Bob"}


@pytest.fixture
async def vendor():
    async with Double(None, at="https://api.twitch.tv/helix") as double:
        double.on("GET", "/users", lambda request: {"data": [OTHER if "login" in request.query else ME]})
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
            lambda request: second if "after" in request.query else {"data": [newest], "pagination": {"cursor": "c"}},
        )
    assert {event.data.id for event in await watch.look()} == {"new", "newest"}
    assert await watch.look() == []
    sent = vendor.asked[-1]
    assert query.items() <= dict(sent.query).items()
    assert sent.headers["Client-Id"] == "client"
    assert ("started_at" in sent.query) is (name == "clip_created")
    assert sum(item.path == "/users" for item in vendor.asked) <= 1
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
        return await act(ctx, reaction, **params)

    created = await call()
    request = vendor.asked[-1]
    assert (request.method, request.path, dict(request.query)) == (method, path, query)
    assert (request.json if request.body else None) == body
    if name == "create_clip":
        assert (created.url, created.edit_url) == ("https://clips.twitch.tv/c", "https://e")
    await outcomes(ctx, vendor, call)


@pytest.mark.parametrize(("code", "error"), [("msg_duplicate", Permanent), ("msg_slowmode", Retry)])
async def test_a_message_that_is_held_back(ctx, vendor, code, error):
    dropped = {"message_id": "", "is_sent": False, "drop_reason": {"code": code, "message": "Not like this."}}
    vendor.on("POST", "/chat/messages", {"data": [dropped]})
    reaction = service.reactions["send_message"]
    with pytest.raises(error, match=r"didn't send the message: Not like this"):
        await act(ctx, reaction, channel="bob", text="Hi")


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [("create_clip", {"channel": "nobody"}, 'no channel "nobody"'), ("update_channel", {"title": "T", "category": "?"}, "no category")],
)  # fmt: skip
async def test_what_there_is_not(ctx, vendor, name, params, said):
    vendor.on("GET", "/users", {"data": []})
    vendor.on("GET", "/games", {"data": []})
    reaction = service.reactions[name]
    with pytest.raises(Permanent, match=said):
        await act(ctx, reaction, **params)


async def test_channels_to_choose_from(ctx, vendor):
    row = {"broadcaster_id": "2", "broadcaster_login": "bob", "broadcaster_name": "Bob"}
    pages = {None: {"data": [row], "pagination": {"cursor": "c"}}, "c": {"data": [row], "pagination": {}}}
    vendor.on("GET", "/channels/followed", lambda request: pages[request.query.get("after")])
    results = [(item.value, item.label) for item in await service.pickers["channels"](ctx, {})]
    assert results == [("ada", "Ada"), ("bob", "Bob"), ("bob", "Bob")]


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


# EventSub

HOOK = Hook("https://area.example/hints/t0ken", "s3cret-of-ten-and-more")


class EventSub:
    """Its subscriptions, as https://dev.twitch.tv/docs/api/reference#create-eventsub-subscription tells of them."""

    conditions: ClassVar = {
        ("stream.online", "1"): {"broadcaster_user_id"},
        ("channel.follow", "2"): {"broadcaster_user_id", "moderator_user_id"},
    }

    def __init__(self):
        self.kept = []
        self.followed = True  # whether the user let this client read the followers

    def listed(self, request):
        assert not set(request.query) - {"user_id", "after"}, "of status, type and user_id only one may be asked for"
        rows = [item for item in self.kept if request.query["user_id"] in item["condition"].values()]
        if "after" not in request.query:
            return {"data": rows[:1], "pagination": {"cursor": "c"} if rows[1:] else {}}
        return {"data": rows[1:], "pagination": {}}

    def made(self, request):
        body = request.json
        kind, how = (body["type"], body["version"]), body["transport"]
        to = urlsplit(how["callback"])
        if (to.scheme, to.port or 443) != ("https", 443) or not 10 <= len(how["secret"]) <= 100:
            return Answer(400, json={"message": "invalid transport"})
        if how["method"] != "webhook" or self.conditions.get(kind) != set(body["condition"]):
            return Answer(400, json={"message": "invalid condition"})
        if kind[0] == "channel.follow" and not self.followed:
            return Answer(403, json={"message": "subscription missing proper authorization"})
        same = [item for item in self.kept if (item["type"], item["condition"]) == (kind[0], body["condition"])]
        same = [item for item in same if item["status"] == "enabled"]
        if any(item["transport"]["callback"] == how["callback"] for item in same):
            return Answer(409, json={"message": "subscription already exists"})
        if len(same) == 3:
            return Answer(429, json={"message": "too many of them"})
        result = {**body, "id": f"s{len(self.kept)}", "status": "webhook_callback_verification_pending"}
        result["transport"] = {"method": "webhook", "callback": how["callback"]}
        self.kept.append(result)
        return Answer(202, json={"data": [result], "total": len(self.kept)})

    def ended(self, request):
        results = [item for item in self.kept if item["id"] == request.query["id"]]
        if not results:
            return Answer(404, json={"message": "subscription not found"})
        self.kept.remove(results[0])
        return Answer(204)


@pytest.fixture
async def eventsub(vendor):
    it = EventSub()
    token = service.auth.access("client", SecretStr("app-t0ken"))
    async with Double(None, at="https://api.twitch.tv/helix/eventsub", access=token) as it.double:
        it.double.on("GET", "/subscriptions", it.listed)
        it.double.on("POST", "/subscriptions", it.made)
        it.double.on("DELETE", "/subscriptions", it.ended)
        async with connector(service, it.double, vendor) as it.ctx:
            yield it


@pytest.mark.parametrize(
    ("name", "params", "kind", "condition"),
    [
        ("stream_started", {"channel": "bob"}, "stream.online", {"broadcaster_user_id": "2"}),
        ("follower_gained", {}, "channel.follow", {"broadcaster_user_id": "1", "moderator_user_id": "1"}),
    ],
)
async def test_twitch_is_asked_to_tell_of_it(eventsub, name, params, kind, condition):
    hint, request = service.actions[name].hint, service.actions[name].params(**params)
    created = await hint.subscribe(eventsub.ctx, request, HOOK)
    (stored,) = eventsub.kept
    assert (created.id, stored["type"], stored["condition"]) == (stored["id"], kind, condition)
    assert eventsub.double.asked[-1].json["transport"]["secret"] == HOOK.secret
    assert timedelta(hours=23) < created.expires_at - now() <= timedelta(days=1), "it is seen to each day"
    for status in ("webhook_callback_verification_pending", "enabled"):
        stored["status"] = status
        assert (await hint.subscribe(eventsub.ctx, request, HOOK)).id == created.id, "it is found by its address"
    stored["status"] = "notification_failures_exceeded"
    anew = await hint.subscribe(eventsub.ctx, request, HOOK)
    assert anew.id != created.id, "what has ended does not count"
    assert (await hint.subscribe(eventsub.ctx, request, HOOK)).id == anew.id, "on the second page, too"
    for item in (created.id, anew.id):
        await hint.unsubscribe(eventsub.ctx, request, HOOK, item)
    assert eventsub.kept == []
    with pytest.raises(Permanent):
        await hint.unsubscribe(eventsub.ctx, request, HOOK, created.id)


async def test_what_eventsub_refuses(eventsub):
    hint, params = service.actions["follower_gained"].hint, service.actions["follower_gained"].params()
    eventsub.followed = False
    with pytest.raises(Permanent, match="missing proper authorization"):
        await hint.subscribe(eventsub.ctx, params, HOOK)
    eventsub.followed = True
    with pytest.raises(Permanent, match="invalid transport"):
        await hint.subscribe(eventsub.ctx, params, replace(HOOK, url="http://area.example/hints/t0ken"))
    eventsub.double.fails(401, {"message": "Invalid OAuth token"})
    with pytest.raises(Permanent, match="Invalid OAuth token"):  # and not AuthExpired: the user's token is good
        await hint.subscribe(eventsub.ctx, params, HOOK)


def message(kind: str, json: Any, *, secret: str = HOOK.secret, age: timedelta = timedelta(), **headers: str):
    """What EventSub sends: https://dev.twitch.tv/docs/eventsub/handling-webhook-events#verifying-the-event-message"""
    stamp = (now() - age).strftime("%Y-%m-%dT%H:%M:%S.%f123Z")
    body = orjson.dumps(json)
    signed = hmac.new(secret.encode(), f"e76c6bd4{stamp}".encode() + body, hashlib.sha256).hexdigest()
    head = {"Id": "e76c6bd4", "Timestamp": stamp, "Type": kind, "Signature": f"sha256={signed}"} | headers
    return delivery(body=body, headers={f"Twitch-Eventsub-Message-{name}": value for name, value in head.items()})


def test_what_eventsub_signs_is_taken_for_ten_minutes():
    hint = service.actions["stream_started"].hint
    event = {"subscription": {"type": "stream.online"}, "event": {"broadcaster_user_id": "2"}}
    for age in (timedelta(), timedelta(minutes=9), timedelta(seconds=-30)):
        hint.verify.check(message("notification", event, age=age), HOOK.secret, Nothing())
    refused = [
        (message("notification", event, age=timedelta(minutes=11)), "ten minutes old"),
        (message("notification", event, secret="other"), "doesn't match"),
        (message("notification", event, Id="another"), "doesn't match"),
        (message("notification", event, Timestamp="2026-11-23T09:00:00Z"), "doesn't match"),
        (message("notification", event, Signature=""), "doesn't match"),
    ]
    for request, sentence in refused:
        with pytest.raises(Refused, match=sentence):
            hint.verify.check(request, HOOK.secret, Nothing())
    with pytest.raises(Refused, match="no secret"):
        hint.verify.check(message("notification", event, secret=""), "", Nothing())
    unsaid = hmac.new(HOOK.secret.encode(), b"idx{}", hashlib.sha256).hexdigest()
    head = {"Id": "id", "Timestamp": "x", "Signature": f"sha256={unsaid}"}
    request = delivery(body=b"{}", headers={f"Twitch-Eventsub-Message-{name}": value for name, value in head.items()})
    with pytest.raises(Refused, match="no time"):
        hint.verify.check(request, HOOK.secret, Nothing())


def test_what_eventsub_sends_beside_events():
    hint = service.actions["follower_gained"].hint
    request = message("webhook_callback_verification", {"challenge": "pogchamp-kappa-360noscope-vohiyo"})
    hint.verify.check(request, HOOK.secret, Nothing())
    assert hint.handshake(request) == Reply("pogchamp-kappa-360noscope-vohiyo", "text/plain", 200)
    assert hint.signs_all
    with pytest.raises(Permanent):
        hint.handshake(message("webhook_callback_verification", {}))
    revoked = message("revocation", {"subscription": {"status": "authorization_revoked"}})
    event = message("notification", {"event": {}})
    assert [(hint.handshake(item), hint.over(item)) for item in (revoked, event)] == [(None, True), (None, False)]
