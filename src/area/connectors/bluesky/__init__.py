"""Bluesky: posts, searches, notifications and likes in; posts, likes, reposts and follows out, at any server of the AT Protocol."""

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from area.connectors.bluesky.session import Login, access, begin, call, whose
from area.sdk import AuthExpired, Context, Credentials, Event, Nothing, Permanent, Service, parse

EVERY = timedelta(minutes=2)
PAGES = 4  # of 100
YEAR = 365 * 24 * 3600 * 10**6  # microseconds
KEYS = 1_672_531_200 * 10**6  # 2023: the year that record keys made here seem to be of
DIGITS = "234567abcdefghijklmnopqrstuvwxyz"  # https://atproto.com/specs/tid
LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]}']")
MENTION = re.compile(r"(?<![\w@.])@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})")
TAG = re.compile(r"(?<!\S)#(\w*[^\W\d_]\w*)")
Reason = Literal["any", "mention", "reply", "like", "repost", "follow", "quote"]
ACTOR = r"^@?(did:[a-z]+:[A-Za-z0-9._:%-]+|([A-Za-z0-9-]+\.)+[A-Za-z]{2,})$"


class Whose(BaseModel):
    """Whose posts."""

    actor: str = Field(pattern=ACTOR, description="Whose, by handle", examples=["ada.bsky.social"])
    replies: bool = Field(False, description="Also answers to others", examples=[False])
    reposts: bool = Field(False, description="Also what they repost", examples=[False])


class Search(BaseModel):
    """What to look for."""

    query: str = Field(
        min_length=1, description="Words, #hashtag, from:handle", examples=["#python -from:ada.bsky.social"]
    )


class About(BaseModel):
    """Which notifications."""

    reason: Reason = Field("any", description="What they are about", examples=["mention"])


class Post(BaseModel):
    """A post."""

    uri: str = Field(
        description="What names the post", examples=["at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3k"]
    )
    link: str = Field(description="Its address", examples=["https://bsky.app/profile/did:plc:z72i7h/post/3k"])
    text: str = Field(description="What it says", examples=["Hello #world"])
    handle: str = Field(description="Handle of who wrote it", examples=["ada.bsky.social"])
    author: str = Field(description="Who wrote it", examples=["Ada"])
    reposted_by: str = Field(
        "", description="Handle of who reposted it, if it is a repost", examples=["bob.bsky.social"]
    )


class Notification(BaseModel):
    """Something that concerns you."""

    reason: str = Field(description="What it is about", examples=["mention"])
    handle: str = Field(description="Handle of who did it", examples=["ada.bsky.social"])
    author: str = Field(description="Who did it", examples=["Ada"])
    text: str = Field(description="What their post says, if it is one", examples=["@you hello"])
    uri: str = Field(
        description="What names their post, like or follow", examples=["at://did:plc:z7/app.bsky.feed.post/3k"]
    )
    subject: str = Field(
        description="Your post that it is about, if any", examples=["at://did:plc:y6/app.bsky.feed.post/2j"]
    )


class Write(BaseModel):
    """A post to publish."""

    text: str = Field(
        min_length=1, max_length=3000, description="What to say, in 300 characters; links, @handles and #hashtags become such", examples=["Hello #world"]
    )  # fmt: skip
    reply_to: str = Field(
        "", description="Post to answer, by uri or address", examples=["at://did:plc:z7/app.bsky.feed.post/3k"]
    )
    language: str = Field(
        "", pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$", description="Its language", examples=["en"]
    )


class One(BaseModel):
    """Which post."""

    post: str = Field(
        min_length=1, description="The post, by uri or address", examples=["at://did:plc:z7/app.bsky.feed.post/3k"]
    )


class Person(BaseModel):
    """Whom to follow."""

    actor: str = Field(pattern=ACTOR, description="Whom, by handle", examples=["ada.bsky.social"])


class Made(BaseModel):
    """What was made."""

    uri: str = Field(description="What names it", examples=["at://did:plc:z7/app.bsky.feed.post/3k"])


async def works(ctx: Context, login: Login) -> None:
    """Begin a session."""
    try:
        await begin(ctx, login)
    except AuthExpired as error:
        raise Permanent(f"{login.server} does not take this handle and app password. {error}") from error


service = Service(
    "bluesky",
    "Bluesky",
    "Posts, searches, notifications and likes, and posts, likes, reposts and follows by your account.",
    docs="https://docs.bsky.app/docs/get-started",
    auth=Credentials(Login, works, access),
    quality="verified",
)


@service.poll("Somebody posts", every=EVERY)
async def post_published(ctx: Context, params: Whose, since: datetime) -> AsyncIterator[Event[Post]]:
    """Fires for each new post of an account."""
    query = {"actor": params.actor.removeprefix("@"), "filter": f"posts_{'with' if params.replies else 'no'}_replies"}
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-author-feed
    async for row in _pages(ctx, "app.bsky.feed.getAuthorFeed", "feed", since, query):
        post, reason = _post(row["post"]), row.get("reason") or {}
        if "by" not in reason:
            yield Event(post.uri, post, _time(row["post"]))
        elif params.reposts:
            post.reposted_by = reason["by"]["handle"]
            yield Event(f"{post.uri}:{reason['indexedAt']}", post, _time(reason))


@service.poll("A post is found", every=EVERY, overlap=timedelta(minutes=30))
async def post_found(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Post]]:
    """Fires for each new post that a search finds: words, a hashtag, an address."""
    # https://docs.bsky.app/docs/api/app-bsky-feed-search-posts
    async for row in _pages(ctx, "app.bsky.feed.searchPosts", "posts", since, {"q": params.query, "sort": "latest"}):
        yield Event(row["uri"], _post(row), _time(row))


@service.poll("You are notified", every=EVERY)
async def notification_received(ctx: Context, params: About, since: datetime) -> AsyncIterator[Event[Notification]]:
    """Fires when somebody mentions, answers, likes, reposts, quotes or follows you."""
    query: dict[str, str] = {} if params.reason == "any" else {"reasons": params.reason}
    # https://docs.bsky.app/docs/api/app-bsky-notification-list-notifications
    async for row in _pages(ctx, "app.bsky.notification.listNotifications", "notifications", since, query):
        data = Notification(
            reason=row["reason"],
            handle=row["author"]["handle"],
            author=row["author"].get("displayName") or row["author"]["handle"],
            text=row["record"].get("text", ""),
            uri=row["uri"],
            subject=row.get("reasonSubject", ""),
        )
        yield Event(f"{row['reason']}:{row['uri']}", data, _time(row))


@service.poll("You like a post", every=EVERY)
async def post_liked(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Post]]:  # noqa: ARG001
    """Fires for each post that you like; to keep it elsewhere, say."""
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-actor-likes
    found = await call(ctx, "GET", "app.bsky.feed.getActorLikes", {"actor": await whose(ctx), "limit": "100"})
    for row in reversed(found["feed"]):  # oldest first, for nothing is told of when
        yield Event(row["post"]["uri"], _post(row["post"]))


@service.reaction("Publish a post")
async def create_post(ctx: Context, params: Write) -> Post:
    """Publishes a post. However often it is tried, it is published once."""
    record: dict[str, Any] = {"text": params.text, "facets": await _facets(ctx, params.text)}
    if params.language:
        record["langs"] = [params.language]
    if params.reply_to:
        parent = await _found(ctx, params.reply_to)
        root = parent["record"].get("reply", {}).get("root")
        record["reply"] = {"root": root or _reference(parent), "parent": _reference(parent)}
    made = await _put(ctx, "app.bsky.feed.post", record)
    handle = ctx.credential.handle
    return Post(uri=made.uri, link=_link(made.uri), text=params.text, handle=handle, author=handle)


@service.reaction("Like a post")
async def like_post(ctx: Context, params: One) -> Made:
    """Likes a post; that you do already is no failure."""
    return await _once(ctx, params.post, "like")


@service.reaction("Repost a post")
async def repost(ctx: Context, params: One) -> Made:
    """Reposts a post; that you have already is no failure."""
    return await _once(ctx, params.post, "repost")


@service.reaction("Follow somebody")
async def follow(ctx: Context, params: Person) -> Made:
    """Follows an account."""
    return await _put(ctx, "app.bsky.graph.follow", {"subject": await _did(ctx, params.actor.removeprefix("@"))})


async def _once(ctx: Context, post: str, what: Literal["like", "repost"]) -> Made:
    found = await _found(ctx, post)
    if already := found.get("viewer", {}).get(what):
        return Made(uri=already)
    return await _put(ctx, f"app.bsky.feed.{what}", {"subject": _reference(found)})


async def _put(ctx: Context, collection: str, record: dict[str, Any]) -> Made:
    """Write a record under a key that every attempt of one execution shares."""
    body = {
        "repo": await whose(ctx),
        "collection": collection,
        "rkey": _key(f"{collection} {ctx.idempotency_key}"),
        "record": {"$type": collection, "createdAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"), **record},
    }
    # https://docs.bsky.app/docs/api/com-atproto-repo-put-record
    return parse(Made, await call(ctx, "POST", "com.atproto.repo.putRecord", json=body), "Bluesky")


def _key(text: str) -> str:
    """A record key of the form of a TID; it may have any value (https://atproto.com/specs/record-key)."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    value = (KEYS + number % YEAR) << 10 | number // YEAR % 1024
    return "".join(DIGITS[value >> shift & 31] for shift in range(60, -1, -5))


async def _facets(ctx: Context, text: str) -> list[dict[str, Any]]:
    """Links, mentions and hashtags, by their places in UTF-8: https://docs.bsky.app/docs/advanced-guides/post-richtext."""
    found = [(one, {"$type": "app.bsky.richtext.facet#link", "uri": one[0]}) for one in LINK.finditer(text)]
    found += [(one, {"$type": "app.bsky.richtext.facet#tag", "tag": one[1]}) for one in TAG.finditer(text)]
    for one in MENTION.finditer(text):
        try:
            found.append((one, {"$type": "app.bsky.richtext.facet#mention", "did": await _did(ctx, one[1])}))
        except Permanent:
            ctx.log.info("bluesky.no_such_handle", handle=one[1])  # it stays text, as in Bluesky's own app
    return [
        {
            "index": {"byteStart": len(text[: m.start()].encode()), "byteEnd": len(text[: m.end()].encode())},
            "features": [f],
        }
        for m, f in found
    ]


async def _did(ctx: Context, actor: str) -> str:
    if actor.startswith("did:"):
        return actor
    # https://docs.bsky.app/docs/api/com-atproto-identity-resolve-handle
    return str((await call(ctx, "GET", "com.atproto.identity.resolveHandle", {"handle": actor}))["did"])


async def _found(ctx: Context, post: str) -> Any:
    """A post, by its uri or by its address in the app."""
    parts = re.fullmatch(r"(?:at:/|https://[^/]+/profile)/([^/]+)/(?:app\.bsky\.feed\.)?post/([^/?#]+)", post.strip())
    if parts is None:
        raise Permanent(f"{post} is neither the uri nor the address of a post.")
    uri = f"at://{await _did(ctx, parts[1])}/app.bsky.feed.post/{parts[2]}"
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-posts
    posts = (await call(ctx, "GET", "app.bsky.feed.getPosts", {"uris": uri}))["posts"]
    if not posts:
        raise Permanent(f"There is no post {post}, or it can't be seen by you.")
    return posts[0]


def _reference(post: Any) -> dict[str, str]:
    return {"uri": post["uri"], "cid": post["cid"]}


async def _pages(ctx: Context, name: str, key: str, since: datetime, query: dict[str, str]) -> AsyncIterator[Any]:
    """The newest first, until they are older than the window."""
    query = {"limit": "100", **query}
    for _ in range(PAGES):
        answer = await call(ctx, "GET", name, query)
        for row in answer[key]:
            yield row
        if not answer[key] or not answer.get("cursor") or _time(answer[key][-1].get("post", answer[key][-1])) < since:
            break
        query["cursor"] = answer["cursor"]


def _post(view: Any) -> Post:
    author = view["author"]
    told = {"uri": view["uri"], "link": _link(view["uri"]), "text": view["record"].get("text", "")}
    told |= {"handle": author["handle"], "author": author.get("displayName") or author["handle"]}
    return parse(Post, told, "Bluesky")


def _link(uri: str) -> str:
    did, _, key = uri.removeprefix("at://").split("/")
    return f"https://bsky.app/profile/{did}/post/{key}"


def _time(row: Any) -> datetime:
    return datetime.fromisoformat(row["indexedAt"])
