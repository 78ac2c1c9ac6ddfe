"""YouTube, against a double that enforces its discovery document."""

import hashlib
import hmac
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.youtube import service
from area.sdk import Access, Hook, Nothing, Permanent, Refused, Reply
from area.sdk.testing import Answer, Double, Watch, act, connector, discovered, outcomes
from area.sdk.testing.engine import delivery

V3 = "/youtube/v3"
OWN = "UCBR8-60-B28hp2BmDPdntcQ"
VIDEO = "dQw4w9WgXcQ"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def begins(monkeypatch):
    """The present is when a test begins: a whole run takes longer than a window."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def vendor():
    async with Double(discovered("youtube.v3")) as double:
        lists = {"uploads": "UU1", "likes": "LL"}
        double.on("GET", f"{V3}/channels", {"items": [{"id": OWN, "contentDetails": {"relatedPlaylists": lists}}]})
        double.again("POST", f"{V3}/videos/rate")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def stamp(minutes):
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def item(name, added, published=None):
    snippet = {
        "publishedAt": stamp(added), "title": name.title(), "channelTitle": "List", "videoOwnerChannelTitle": "Owner",
        "thumbnails": {"high": {"url": f"https://i.example/{name}.jpg"}},
    }  # fmt: skip
    details = {"videoId": f"v-{name}"} | ({"videoPublishedAt": stamp(published)} if published is not None else {})
    return {"id": f"i-{name}", "snippet": snippet, "contentDetails": details}


def paged(vendor, route, shown):
    """The first of what is shown is on the first page, all others on the second."""

    def answer(request):
        return {"items": shown[1:]} if "pageToken" in request.query else {"items": shown[:1], "nextPageToken": "2"}

    vendor.on("GET", f"{V3}/{route}", answer)
    return shown


@pytest.mark.parametrize(
    ("name", "params", "playlist", "ids"),
    [
        ("video_published", {"channel": "https://www.youtube.com/@youtube/videos"}, "UU1", ["v-new"]),
        ("video_liked", {}, "LL", ["i-new"]),
        ("playlist_item_added", {"playlist": "PL1"}, "PL1", ["i-new"]),
    ],
)
async def test_a_video_comes_to_a_playlist_once(ctx, vendor, name, params, playlist, ids):
    shown = paged(vendor, "playlistItems", [item("a", -20, -20), item("b", -30, -30)])
    watch = Watch(ctx, service.actions[name], **params)
    assert await watch.ids() == []
    shown += [item("new", 1, 1), item("private", 2)]
    (event,) = await watch.look()
    assert ([event.id], event.data.id, event.data.channel_title) == (ids, "v-new", "Owner")
    assert event.data.thumbnail_url == "https://i.example/new.jpg"
    assert await watch.ids() == []
    assert vendor.asked[-1].query["playlistId"] == playlist
    request = [entry for entry in vendor.asked if entry.route == f"{V3}/channels"]
    assert len(request) == (0 if name == "playlist_item_added" else 1), "asked once, and kept"
    if name == "video_published":
        assert request[0].query["forHandle"] == "@youtube"


async def test_a_search_finds_a_video_once(ctx, vendor):
    def found(name, minutes):
        snippet = {"publishedAt": stamp(minutes), "title": name, "channelId": "c", "channelTitle": "C"}
        return {"id": {"kind": "youtube#video", "videoId": name}, "snippet": snippet}

    shown = paged(vendor, "search", [found("a", -9)])
    watch = Watch(ctx, service.actions["video_found"], query="bees")
    assert await watch.ids() == []
    shown += [found("late", -600), found("new", 1)]
    assert await watch.ids() == ["late", "new"]
    assert await watch.ids() == []
    query = vendor.asked[-1].query
    assert (query["q"], query["order"], query["publishedAfter"][-1]) == ("bees", "date", "Z")


async def test_somebody_subscribes_once(ctx, vendor):
    def one(name, minutes):
        who = {"channelId": f"UC{name}", "title": name, "description": ""}
        return {"id": name, "snippet": {"publishedAt": stamp(minutes)}, "subscriberSnippet": who}

    shown = paged(vendor, "subscriptions", [one("ann", -9)])
    watch = Watch(ctx, service.actions["subscriber_gained"])
    assert await watch.ids() == []
    shown.append(one("bob", 1))
    (event,) = await watch.look()
    assert (event.id, event.data.url) == ("bob", "https://www.youtube.com/channel/UCbob")
    assert await watch.ids() == []
    assert vendor.asked[-1].query["myRecentSubscribers"] == "true"


def thread(name, minutes):
    answer = {"textDisplay": "Hi", "authorDisplayName": "@ann", "videoId": VIDEO, "publishedAt": stamp(minutes)}
    return {"id": name, "snippet": {"topLevelComment": {"id": name, "snippet": answer}}}


async def test_a_comment_is_written_once(ctx, vendor):
    shown = paged(vendor, "commentThreads", [thread("a", -9)])
    watch = Watch(ctx, service.actions["comment_written"], channel="@youtube")
    assert await watch.ids() == []
    shown.insert(0, thread("b", 1))
    (event,) = await watch.look()
    assert (event.data.text, event.data.author, event.data.video_id) == ("Hi", "@ann", VIDEO)
    assert await watch.ids() == []
    assert vendor.asked[-1].query["allThreadsRelatedToChannelId"] == OWN
    vendor.on("GET", f"{V3}/channels", {})
    with pytest.raises(Permanent, match="has no channel @nobody"):
        await Watch(ctx, service.actions["comment_written"], channel="@nobody").look()


async def test_reactions(ctx, vendor):
    add, rate, say, follow = (
        service.reactions[name] for name in ("add_to_playlist", "rate_video", "comment_on_video", "subscribe")
    )
    vendor.on("GET", f"{V3}/playlistItems", {"items": []})
    vendor.on("POST", f"{V3}/playlistItems", {"id": "made"})
    vendor.again("GET", f"{V3}/playlistItems", Answer(json={"items": [{"id": "made"}]}))
    listed = {"playlist": "PL1", "video": f"https://youtu.be/{VIDEO}?t=3"}
    assert (await act(ctx, add, **listed)).id == "made"
    video = {"kind": "youtube#video", "videoId": VIDEO}
    assert vendor.asked[-1].json == {"snippet": {"playlistId": "PL1", "resourceId": video}}
    vendor.on("GET", f"{V3}/playlistItems", {"items": [{"id": "there"}]})
    assert (await act(ctx, add, **listed)).id == "there"
    vendor.on("POST", f"{V3}/videos/rate", None)
    await act(ctx, rate, video=f"https://www.youtube.com/watch?app=desktop&v={VIDEO}&t=3", rating="none")
    assert dict(vendor.asked[-1].query) == {"id": VIDEO, "rating": "none"}
    vendor.on("POST", f"{V3}/commentThreads", lambda request: thread("c", 0))
    assert (await act(ctx, say, video=VIDEO, text="Hi")).id == "c"
    assert vendor.asked[-1].json["snippet"]["topLevelComment"] == {"snippet": {"textOriginal": "Hi"}}
    vendor.on("GET", f"{V3}/subscriptions", {})
    vendor.on("POST", f"{V3}/subscriptions", {"id": "made"})
    vendor.again("GET", f"{V3}/subscriptions", Answer(json={"items": [{"id": "made"}]}))
    assert (await act(ctx, follow, channel=OWN)).id == "made"
    assert vendor.asked[-1].json["snippet"]["resourceId"]["channelId"] == OWN
    vendor.on("GET", f"{V3}/subscriptions", {"items": [{"id": "there"}]})
    assert (await act(ctx, follow, channel=f"https://www.youtube.com/channel/{OWN}")).id == "there"
    assert service.reactions["comment_on_video"].on_crash == "fail"


@pytest.mark.parametrize("wrong", ["", "bees", "https://example.com/", f"{VIDEO}x"])
def test_what_is_no_video_and_no_channel(wrong):
    with pytest.raises(ValidationError):
        service.reactions["rate_video"].params(video=wrong)
    with pytest.raises(ValidationError):
        service.reactions["subscribe"].params(channel=wrong)


async def test_pickers(ctx, vendor):
    vendor.on("GET", f"{V3}/channels", {"items": [{"id": OWN, "snippet": {"title": "Me"}}]})
    paged(vendor, "playlists", [{"id": char, "snippet": {"title": char.upper()}} for char in "ab"])
    paged(
        vendor,
        "subscriptions",
        [{"id": char, "snippet": {"title": char, "resourceId": {"channelId": f"UC{char}"}}} for char in "xy"],
    )
    assert [(entry.value, entry.label) for entry in await service.pickers["playlists"](ctx, {})] == [
        ("a", "A"),
        ("b", "B"),
    ]
    assert [entry.value for entry in await service.pickers["channels"](ctx, {})] == [OWN, "UCx", "UCy"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("video_published", {"channel": OWN}), ("video_liked", {}), ("playlist_item_added", {"playlist": "PL1"}),
        ("video_found", {"query": "x"}), ("subscriber_gained", {}), ("comment_written", {"channel": OWN}),
    ],
)  # fmt: skip
async def test_refusals_of_a_look(ctx, vendor, name, params):
    await outcomes(ctx, vendor, Watch(ctx, service.actions[name], **params).look)


async def test_refusals(ctx, vendor):
    rate, say = (service.reactions[name] for name in ("rate_video", "comment_on_video"))
    await outcomes(ctx, vendor, lambda: act(ctx, rate, video=VIDEO), garbage=False)
    await outcomes(ctx, vendor, lambda: act(ctx, say, video=VIDEO, text="Hi"))


HOOK = Hook("https://area.example/hints/t0ken", "s3cret")
TOPIC = f"https://www.youtube.com/feeds/videos.xml?channel_id={OWN}"


@pytest.mark.parametrize("channel", ["@youtube", OWN])
async def test_the_hub_is_asked_to_tell_of_videos(vendor, channel):
    hint, params = service.actions["video_published"].hint, service.actions["video_published"].params(channel=channel)
    async with (
        Double(None, at="https://pubsubhubbub.appspot.com", access=Access()) as hub,
        connector(service, vendor, hub) as ctx,
    ):
        hub.on("POST", "/subscribe", Answer(status=202))
        created = await hint.subscribe(ctx, params, HOOK)
        assert created.id == TOPIC
        assert timedelta(days=4, hours=23) < created.expires_at - datetime.now(UTC) <= timedelta(days=5)
        same = {"hub.topic": TOPIC, "hub.callback": HOOK.url, "hub.verify": "async"}
        request = {"hub.mode": "subscribe", "hub.secret": "s3cret", "hub.lease_seconds": "432000"}
        assert dict(hub.asked[0].form) == same | request
        assert "Authorization" not in hub.asked[0].headers, "the hub is not the user's account"
        assert (await hint.subscribe(ctx, params, HOOK)).id == created.id, "asked again, it is prolonged"
        await hint.unsubscribe(ctx, params, HOOK, created.id)
        assert dict(hub.asked[-1].form) == same | {"hub.mode": "unsubscribe"}
        assert [entry.query["forHandle"] for entry in vendor.asked] == ["@youtube"] * (
            2 if channel == "@youtube" else 0
        )
        hub.on("POST", "/subscribe", Answer(status=400, body=b"Invalid parameter: hub.callback"))
        with pytest.raises(Permanent):
            await hint.subscribe(ctx, params, HOOK)


def test_the_hubs_question_is_answered_and_its_word_is_checked():
    hint = service.actions["video_published"].hint
    query = {"hub.mode": "subscribe", "hub.topic": TOPIC, "hub.challenge": "12345", "hub.lease_seconds": "432000"}
    assert hint.handshake(delivery(method="GET", query=query)) == Reply("12345")
    assert hint.handshake(delivery(query=query)) is None
    body = b"<feed/>"
    signed = hmac.new(b"s3cret", body, hashlib.sha1).hexdigest()
    hint.verify.check(delivery(body=body, headers={"X-Hub-Signature": f"sha1={signed}"}), "s3cret", Nothing())
    for secret, signature in (("other", signed), ("s3cret", "0" * 40), ("s3cret", ""), ("", signed)):
        headers = {"X-Hub-Signature": f"sha1={signature}"}
        with pytest.raises(Refused):
            hint.verify.check(delivery(body=body, headers=headers), secret, Nothing())
