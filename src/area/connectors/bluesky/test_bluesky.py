"""Bluesky against a double that enforces its lexicons (@atproto/api), including records. The lexicons don't say which
requests need a session.
"""

import asyncio
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.bluesky import PICTURE, _facets, service, session, works
from area.connectors.bluesky.facets import marks
from area.sdk import Access, AuthExpired, Permanent
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, lexicons, outcomes

bluesky = lexicons()
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
Login = service.auth.model
LOGIN = Login(handle="@me.bsky.social", app_password="abcd-efgh")
ME, ADA = "did:plc:me", "did:plc:ada"
FEED, SEARCH = "/xrpc/app.bsky.feed.getAuthorFeed", "/xrpc/app.bsky.feed.searchPosts"
TOLD, LIKES = "/xrpc/app.bsky.notification.listNotifications", "/xrpc/app.bsky.feed.getActorLikes"
CREATE, REFRESH = "/xrpc/com.atproto.server.createSession", "/xrpc/com.atproto.server.refreshSession"
PUT, POSTS = "/xrpc/com.atproto.repo.putRecord", "/xrpc/app.bsky.feed.getPosts"
RECORD = "/xrpc/com.atproto.repo.getRecord"
PROFILE, BLOB = "/xrpc/app.bsky.actor.getProfile", "/xrpc/com.atproto.repo.uploadBlob"
EXPIRED = Answer(400, json={"error": "ExpiredToken", "message": "Token has expired"}, unchecked="an error")


class Server:
    """Gives sessions, and takes only the newest."""

    def __init__(self) -> None:
        self.number, self.refreshable = 0, True

    def begin(self, asked: Asked):
        assert asked.json == {"identifier": "me.bsky.social", "password": "abcd-efgh"}
        return self.session()

    def refresh(self, asked: Asked):
        assert asked.headers["Authorization"] == f"Bearer refresh{self.number}"
        return self.session() if self.refreshable else EXPIRED

    def session(self):
        self.number += 1
        return {
            "accessJwt": f"access{self.number}",
            "refreshJwt": f"refresh{self.number}",
            "handle": "me.bsky.social",
            "did": ME,
        }

    def only(self, answer):
        """Lets nobody in without the session that is good now."""

        def answered(asked: Asked):
            if asked.headers.get("Authorization") != f"Bearer access{self.number}":
                return EXPIRED
            return answer(asked) if callable(answer) else answer

        return answered


@pytest.fixture(autouse=True)
def _begin(monkeypatch):
    """A run of all tests takes longer than what is new stays new."""
    monkeypatch.setattr(sys.modules[__name__], "START", datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))


@pytest.fixture
def server():
    session._sessions.clear()
    return Server()


@pytest.fixture
async def vendor(server):
    async with Double(bluesky, at="https://bsky.social") as double:
        double.on("POST", CREATE, server.begin)
        double.on("POST", REFRESH, server.refresh)
        double.on(
            "POST",
            PUT,
            server.only(
                lambda asked: {"uri": f"at://{ME}/{asked.json['collection']}/{asked.json['rkey']}", "cid": "c"}
            ),
        )
        double.on("GET", "/xrpc/com.atproto.identity.resolveHandle", server.only(resolved))
        double.on("GET", PROFILE, server.only(profile()))
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=LOGIN) as context:
        context.idempotency_key = "here-7"
        yield context


def profile() -> dict:
    return {"did": ADA, "handle": "ada.bsky.social"}


def resolved(asked: Asked):
    if asked.query["handle"] == "ada.bsky.social":
        return {"did": ADA}
    return Answer(400, json={"error": "HandleNotFound", "message": "Unable to resolve handle"}, unchecked="an error")


def view(number: int, minutes: float, **more) -> dict:
    at = (START + timedelta(minutes=minutes)).isoformat()
    record = {"$type": "app.bsky.feed.post", "text": f"post {number}", "createdAt": at}
    author = {"did": ADA, "handle": "ada.bsky.social"}
    return {
        "uri": f"at://{ADA}/app.bsky.feed.post/{number}",
        "cid": f"c{number}",
        "author": author,
        "record": record,
        "indexedAt": at,
        **more,
    }


def paged(key: str, rows: list[dict]):
    """The newest first, two at once."""

    def answer(asked: Asked):
        begin = int(asked.query.get("cursor", 0))
        return {key: rows[::-1][begin : begin + 2], **({"cursor": str(begin + 2)} if begin + 2 < len(rows) else {})}

    return answer


@pytest.mark.parametrize(
    ("name", "path", "key", "params"),
    [
        ("post_published", FEED, "feed", {"actor": "@ada.bsky.social"}),
        ("post_found", SEARCH, "posts", {"query": "#python"}),
        ("post_liked", LIKES, "feed", {}),
    ],
)
async def test_a_post_fires_once(vendor, ctx, server, name, path, key, params):
    rows = [view(1, 0)]

    def answer(asked: Asked):
        shown = [{"post": row} for row in rows] if key == "feed" else rows
        return {key: shown[::-1]} if name == "post_liked" else paged(key, shown)(asked)

    vendor.on("GET", path, server.only(answer))
    watch = Watch(ctx, service.actions[name], **params)
    assert await watch.ids() == []
    rows += [view(number, number) for number in (2, 3, 4)]
    events = await watch.look()
    assert [one.id for one in events] == [row["uri"] for row in rows[1:]]
    assert (events[0].data.text, events[0].data.author) == ("post 2", "ada.bsky.social")
    assert events[0].data.link == f"https://bsky.app/profile/{ADA}/post/2"
    assert await watch.ids() == []
    wanted = {
        "post_published": ("actor", "ada.bsky.social"),
        "post_found": ("q", "#python"),
        "post_liked": ("actor", ME),
    }[name]
    assert vendor.asked[-1].query[wanted[0]] == wanted[1]
    assert server.number == 1, "one session does for all"


async def test_reposts_and_notifications_fire_once(vendor, ctx, server):
    by = {"did": ADA, "handle": "ada.bsky.social", "displayName": "Ada"}
    reason = {"$type": "app.bsky.feed.defs#reasonRepost", "by": by, "indexedAt": START.isoformat()}
    feed, told = (
        [{"post": view(1, -900), "reason": reason}],
        [{**view(1, 0), "author": by, "reason": "follow", "isRead": False, "record": {}}],
    )
    vendor.on("GET", FEED, server.only(paged("feed", feed)))
    vendor.on("GET", TOLD, server.only(paged("notifications", told)))
    reposts = Watch(ctx, service.actions["post_published"], actor="ada.bsky.social", reposts=True)
    without = Watch(ctx, service.actions["post_published"], actor="ada.bsky.social")
    notified = Watch(ctx, service.actions["notification_received"])
    assert await reposts.ids() == await without.ids() == await notified.ids() == []
    feed.append({"post": view(2, -900), "reason": {**reason, "indexedAt": (START + timedelta(minutes=1)).isoformat()}})
    mention = view(7, 1, author=by, reason="mention", isRead=False, reasonSubject=f"at://{ME}/app.bsky.feed.post/1")
    told.append(mention)
    (event,) = await reposts.look()
    assert (event.data.text, event.data.reposted_by) == ("post 2", "ada.bsky.social")
    assert await without.ids() == []
    (event,) = await notified.look()
    assert (event.id, event.data.text, event.data.author) == (f"mention:{mention['uri']}", "post 7", "Ada")
    assert await reposts.ids() == await notified.ids() == []
    await Watch(ctx, service.actions["notification_received"], reason="mention").look()
    assert vendor.asked[-1].query["reasons"] == "mention"


def written(asked: Asked) -> dict:
    """What was written, at a key of the form of a TID; that the record is one of its collection, the double sees to."""
    body = asked.json
    assert re.fullmatch("[2-7a-j][2-7a-z]{12}", body["rkey"])
    assert (body["repo"], body["record"]["$type"]) == (ME, body["collection"])
    return body


async def test_what_is_written(vendor, ctx, server):
    root = {"uri": f"at://{ADA}/app.bsky.feed.post/0", "cid": "c0"}
    parent = view(1, 0)
    parent["record"]["reply"] = {"root": root, "parent": root}
    vendor.on("GET", POSTS, server.only({"posts": [parent]}))
    made = await act(
        ctx,
        service.reactions["create_post"],
        text="hi",
        language="en",
        reply_to="https://bsky.app/profile/ada.bsky.social/post/1",
    )
    first = written(vendor.asked[-1])
    assert first["record"]["reply"] == {"root": root, "parent": {"uri": parent["uri"], "cid": "c1"}}
    assert (first["record"]["text"], first["record"]["langs"]) == ("hi", ["en"])
    assert (made.uri, vendor.asked[-2].query["uris"]) == (
        f"at://{ME}/app.bsky.feed.post/{first['rkey']}",
        parent["uri"],
    )
    assert (made.handle, made.author) == ("me.bsky.social", "me.bsky.social")
    await act(ctx, service.reactions["create_post"], text="hi")
    assert written(vendor.asked[-1])["rkey"] == first["rkey"], "the same run writes to the same place"
    ctx.idempotency_key = "here-8"
    await act(ctx, service.reactions["create_post"], text="hi")
    assert written(vendor.asked[-1])["rkey"] != first["rkey"]
    for name, what in (("like_post", "like"), ("repost", "repost")):
        await act(ctx, service.reactions[name], post=parent["uri"])
        body = written(vendor.asked[-1])
        assert (body["collection"], body["record"]["subject"]) == (
            f"app.bsky.feed.{what}",
            {"uri": parent["uri"], "cid": "c1"},
        )
        already = f"at://{ME}/app.bsky.feed.{what}/3k"
        vendor.on("GET", POSTS, server.only({"posts": [{**parent, "viewer": {what: already}}]}))
        assert (await act(ctx, service.reactions[name], post=parent["uri"])).uri == already
        assert vendor.asked[-1].route == POSTS
    await act(ctx, service.reactions["follow"], actor="@ada.bsky.social")
    assert written(vendor.asked[-1])["record"]["subject"] == ADA
    already = f"at://{ME}/app.bsky.graph.follow/3k"
    vendor.on("GET", PROFILE, server.only({**profile(), "viewer": {"following": already}}))
    assert (await act(ctx, service.reactions["follow"], actor="ada.bsky.social")).uri == already
    assert vendor.asked[-1].route == PROFILE, "nobody is followed twice"
    vendor.on("GET", POSTS, server.only({"posts": []}))
    record = {"uri": parent["uri"], "cid": "c1", "value": {"$type": "app.bsky.feed.post", "text": "hi"}}
    vendor.on("GET", RECORD, server.only(record))
    await act(ctx, service.reactions["like_post"], post=parent["uri"])
    subject = written(vendor.asked[-1])["record"]["subject"]
    assert subject == {"uri": parent["uri"], "cid": "c1"}, "what was published a moment ago isn't shown yet"
    missing = {"error": "RecordNotFound", "message": "Could not locate record"}
    vendor.on("GET", RECORD, server.only(Answer(400, json=missing, unchecked="an error")))
    for post, said in ((parent["uri"], "exist"), ("https://example.com/", "not the URI or URL")):
        with pytest.raises(Permanent, match=said):
            await act(ctx, service.reactions["repost"], post=post)


# what @atproto/api 0.21.0 makes of these texts; it was asked
FACETS = {
    "see https://example.com/a_(b) now": [("https://example.com/a_(b)", "link", "https://example.com/a_(b)")],
    "(https://example.com/a).": [("https://example.com/a", "link", "https://example.com/a")],
    "https://e.com/x» y": [("https://e.com/x»", "link", "https://e.com/x»")],
    "go to example.com/path?x=1, ok": [("example.com/path?x=1", "link", "https://example.com/path?x=1")],
    "notes.txt foo.notatld my-site.com HTTPS://A.com/x": [],
    "#a-b #a.b #it's": [("#a-b", "tag", "a-b"), ("#a.b", "tag", "a.b"), ("#it's", "tag", "it's")],
    "#1 #1a ##b \uff03wide #c\u200bd text#tag #日本語。": [
        ("#1a", "tag", "1a"), ("##b", "tag", "#b"), ("\uff03wide", "tag", "wide"), ("#c", "tag", "c"), ("#日本語", "tag", "日本語")
    ],
    "#" + "x" * 64: [("#" + "x" * 64, "tag", "x" * 64)],
    "#" + "x" * 65: [],
    "$AAPL, ($aapl) $toolong": [("$AAPL", "tag", "$AAPL"), ("$aapl", "tag", "$AAPL")],
    "(@ada.test) @ada.bsky.social. mail@ada.test @ada": [
        ("@ada.test", "mention", "ada.test"), ("@ada.bsky.social", "mention", "ada.bsky.social")
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", FACETS)
def test_the_same_becomes_clickable_as_in_bluesky(text):
    found = sorted(marks(text), key=lambda mark: mark.start)
    assert [(text[mark.start : mark.end], mark.kind, mark.target) for mark in found] == FACETS[text]


async def test_facets_count_bytes(ctx):
    text = "Été 👍 @ada.bsky.social (see https://x.example/é?a=1). #café #1 a@b.example @nobody.test"
    raw = text.encode()
    found = await _facets(ctx, text)
    told = [(raw[f["index"]["byteStart"] : f["index"]["byteEnd"]].decode(), f["features"][0]) for f in found]
    kind = "app.bsky.richtext.facet#"
    assert told == [
        ("@ada.bsky.social", {"$type": f"{kind}mention", "did": ADA}),
        ("https://x.example/é?a=1", {"$type": f"{kind}link", "uri": "https://x.example/é?a=1"}),
        ("#café", {"$type": f"{kind}tag", "tag": "café"}),
    ]


async def test_a_session_is_refreshed_once_and_begun_anew_when_that_is_over(vendor, ctx, server):
    vendor.on("GET", FEED, server.only({"feed": []}))

    async def look():
        return await Watch(ctx, service.actions["post_published"], actor="ada.bsky.social").look()

    await asyncio.gather(*(look() for _ in range(20)))
    server.number = 2  # elsewhere, so that ours is over
    session._sessions.update(
        {
            key: one.model_copy(update={"refresh": one.refresh.__class__("refresh2")})
            for key, one in session._sessions.items()
        }
    )
    await asyncio.gather(*(look() for _ in range(20)))
    assert [one.route for one in vendor.asked if one.method == "POST"] == [CREATE, REFRESH]
    server.number, server.refreshable = 9, False
    session._sessions.update(
        {
            key: one.model_copy(update={"refresh": one.refresh.__class__("refresh9")})
            for key, one in session._sessions.items()
        }
    )
    await look()
    assert [one.route for one in vendor.asked if one.method == "POST"][2:] == [REFRESH, CREATE]
    vendor.on("GET", FEED, EXPIRED)
    with pytest.raises(AuthExpired, match="ended the session"):
        await look()


async def test_refusals(vendor, ctx, server):
    account = await works(ctx, LOGIN)
    assert (account.id, account.name) == (ME, "me.bsky.social"), "not what was typed"
    await act(ctx, service.reactions["follow"], actor=ADA)

    async def follow():
        return await act(ctx, service.reactions["follow"], actor=ADA)

    await outcomes(
        ctx, vendor, follow, body={"error": "InvalidRequest", "message": "Record too long"}, said="Record too long"
    )
    vendor.fails(401, {"error": "AuthenticationRequired", "message": "Invalid identifier or password"})
    with pytest.raises(Permanent, match="rejected this handle and app password") as caught:
        await works(ctx, LOGIN)
    assert "abcd-efgh" not in str(caught.value)
    assert server.number == 2


def uploaded(asked: Asked):
    assert (asked.headers["Content-Type"], asked.body) == ("image/png", b"pixels")
    blob = {"$type": "blob", "ref": {"$link": "bafk"}, "mimeType": "image/png", "size": len(asked.body)}
    return {"blob": blob}


async def test_pictures_and_cards(vendor, server):
    vendor.on("POST", BLOB, server.only(uploaded))
    picture = Answer(body=b"pixels", headers={"Content-Type": "image/png"})
    pictures = Double(None, at="https://pictures.example", access=Access())
    async with pictures, connector(service, vendor, pictures, credential=LOGIN) as ctx:
        ctx.idempotency_key = "here-9"
        pictures.on("GET", "/1.png", picture)
        pictures.on("GET", "/page", Answer(body=b"<p>", headers={"Content-Type": "text/html"}))
        pictures.on("GET", "/large", Answer(body=b"x" * (PICTURE + 1), headers={"Content-Type": "image/png"}))

        async def post(**params):
            await act(ctx, service.reactions["create_post"], text="hi", **params)
            return written(vendor.asked[-1])["record"]["embed"]

        shown = await post(picture="https://pictures.example/1.png", alt_text="A cat")
        assert (shown["$type"], shown["images"][0]["alt"]) == ("app.bsky.embed.images", "A cat")
        assert shown["images"][0]["image"]["ref"] == {"$link": "bafk"}
        assert "Authorization" not in pictures.asked[-1].headers
        card = await post(link="https://news.example/1", link_title="News", link_description="What happened")
        assert card["external"] == {"uri": "https://news.example/1", "title": "News", "description": "What happened"}
        card = await post(link="https://news.example/1", picture="https://pictures.example/1.png")
        assert (card["external"]["title"], card["external"]["thumb"]["mimeType"]) == ("news.example", "image/png")
        for path, said in (("page", "is not a picture: its type is text/html"), ("large", "larger than 2 MB")):
            with pytest.raises(Permanent, match=said):
                await post(picture=f"https://pictures.example/{path}")


@pytest.mark.parametrize("quoting", [False, True])
async def test_what_a_post_shows(vendor, ctx, server, quoting):
    image = {"thumb": "https://cdn.example/t", "fullsize": "https://cdn.example/f", "alt": "A cat"}
    card = {"uri": "https://news.example/1", "title": "News", "description": ""}
    embeds = [
        {"$type": "app.bsky.embed.images#view", "images": [image]},
        {"$type": "app.bsky.embed.external#view", "external": card},
    ]
    if quoting:
        gone = {
            "$type": "app.bsky.embed.record#viewNotFound",
            "uri": f"at://{ADA}/app.bsky.feed.post/0",
            "notFound": True,
        }
        quoted = {"$type": "app.bsky.embed.recordWithMedia#view", "record": {"record": gone}}
        embeds = [quoted | {"media": embed} for embed in embeds]
    rows: list[dict] = []
    vendor.on("GET", SEARCH, server.only(paged("posts", rows)))
    watch = Watch(ctx, service.actions["post_found"], query="x")
    await watch.look()
    rows += [view(number, number, embed=embed) for number, embed in enumerate(embeds, 1)]
    first, second = [event.data for event in await watch.look()]
    assert (first.pictures, first.alt_texts, first.card_url) == (["https://cdn.example/f"], ["A cat"], "")
    assert (second.pictures, second.card_url, second.card_title) == ([], "https://news.example/1", "News")


def test_names_and_addresses():
    assert (LOGIN.server, Login(handle="a.b", app_password="x", server="pds.example/x").server) == (
        "https://bsky.social",
        "https://pds.example",
    )
    for server in ("ftp://pds.example", "https://"):
        with pytest.raises(ValidationError):
            Login(handle="a.b", app_password="x", server=server)
    with pytest.raises(ValidationError):
        service.actions["post_published"].params(actor="ada")
