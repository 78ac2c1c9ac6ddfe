"""Bluesky: triggers on posts, searches, notifications and likes; posts, likes, reposts and follows. Any AT Protocol
server.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from area.connectors.bluesky.facets import marks
from area.connectors.bluesky.session import account, begin, call, refusal
from area.sdk import (
    Account,
    AuthExpired,
    Context,
    Event,
    Events,
    Output,
    Permanent,
    Sentence,
    Service,
    composed,
    lookup,
    output,
    param,
    parse,
)
from area.sdk.forms import form, secret, server
from area.sdk.shapes import ADDRESS, MENTIONS

HOME = "https://bsky.social"
EVERY = timedelta(minutes=2)
PAGES = 4  # of 100
PICTURE, THUMBNAIL = 2_000_000, 1_000_000  # bytes, by the lexicons app.bsky.embed.images and app.bsky.embed.external
MEMBER = {"link": "uri", "mention": "did", "tag": "tag"}  # of a facet, by the lexicon app.bsky.richtext.facet
YEAR = 365 * 24 * 3600 * 10**6  # microseconds
KEYS = 1_672_531_200 * 10**6  # 2023: the year that record keys made here seem to be of
DIGITS = "234567abcdefghijklmnopqrstuvwxyz"  # https://atproto.com/specs/tid
ACTOR = r"^@?(did:[a-z]+:[A-Za-z0-9._:%-]+|([A-Za-z0-9-]+\.)+[A-Za-z]{2,})$"
EXAMPLE = "at://did:plc:z7/app.bsky.feed.post/3k"
SAY = "Text, up to 300 characters; links, @handles and #hashtags become clickable"


async def works(ctx: Context, login: Any) -> Account:
    """Log in, to test the credentials."""
    try:
        session = await begin(ctx)
    except AuthExpired as error:
        raise Permanent(
            Sentence("%(server)s rejected this handle and app password. %(error)s", server=login.server, error=error)
        ) from error
    return Account(session.did, session.handle)


service = Service(
    "bluesky",
    "Bluesky",
    "React to posts, searches, notifications and likes; post, like, repost and follow.",
    docs="https://docs.bsky.app/docs/get-started",
    auth=form(
        works,
        base_url="{server}",  # what lets requests in is the session's
        handle=Annotated[str, param("Your handle or e-mail address", "ada.bsky.social", min_length=3)],
        app_password=secret("App password, from Settings > Privacy and security", "abcd-efgh-ijkl-mnop"),
        server=(server(HOME, "Your account's server, if it is not bsky.social"), HOME),
    ),
    refusal=refusal,
    quality="verified",
    synonyms={
        "": "social media, social network, Twitter, X, skeet",
        "post_published": "tweet by, someone posts",
        "post_found": "keyword, mention of my brand",
        "notification_received": (
            "someone mentions me, mention, someone follows me, new follower, someone likes my post, reply"
        ),
        "post_liked": "favourite",
        "create_post": "tweet, skeet, publish on social media",
        "repost": "retweet, boost, share",
        "follow": "subscribe",
    },
)


Actor = Annotated[str, param("Handle of the account", "ada.bsky.social", pattern=ACTOR)]
Replies = Annotated[bool, param("Include replies to others", False)]
Reposts = Annotated[bool, param("Include reposts", False)]
Query = Annotated[str, param("Words, #hashtag, from:handle", "#python -from:ada.bsky.social", min_length=1)]
About = Literal["any", "mention", "reply", "like", "repost", "follow", "quote"]
Reason = Annotated[About, param("Type of notification", "mention")]
Text = Annotated[str, param(SAY, "Hello #world", min_length=1, max_length=3000, shape=MENTIONS)]
ReplyTo = Annotated[str, param("URI or URL of the post to reply to", EXAMPLE)]
Language = Annotated[str, param("Language", "en", pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")]
PostId = Annotated[str, param("URI or URL of the post", EXAMPLE, min_length=1)]
Web = r"^(https?://\S+)?$"
CARD = "URL to show as a card below the text"
Link = Annotated[str, param(CARD, "https://example.com/news/1", pattern=Web, shape=ADDRESS)]
LinkTitle = Annotated[str, param("Title of the card; the URL's host if empty", "News from the lab")]
LinkText = Annotated[str, param("Description on the card", "What we found this week")]
PICTURE_URL = "URL of a picture, up to 1 MB on a card, 2 MB without"
Picture = Annotated[str, param(PICTURE_URL, "https://example.com/1.png", pattern=Web, shape=ADDRESS)]
Alt = Annotated[str, param("Alt text: what the picture shows, for people who can't see it", "A cat on a keyboard")]


class Post(Output):
    uri: str = output("uri", "Post URI", "at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3k")
    link: str = output("link", "URL", "https://bsky.app/profile/did:plc:z72i7h/post/3k")
    text: str = output("text", "Text", "Hello #world")
    handle: str = composed("{author.handle}", "Author's handle", "ada.bsky.social")
    author: str = composed("{author.displayName author.handle}", "Author", "Ada")
    reposted_by: str = output("reposted_by", "Handle of the account that reposted it, if any", "bob.bsky.social", "")
    pictures: list[str] = output("pictures", "URLs of its pictures", ["https://cdn.bsky.app/img/1@jpeg"], [])
    alt_texts: list[str] = output("alt_texts", "Alt texts of its pictures", ["A cat on a keyboard"], [])
    card_url: str = output("card_url", "URL of its link card, if any", "https://example.com/news/1", "")
    card_title: str = output("card_title", "Title of its link card, if any", "News from the lab", "")


class Notification(Output):
    reason: str = output("reason", "Type of notification", "mention")
    handle: str = composed("{author.handle}", "Handle of the person", "ada.bsky.social")
    author: str = composed("{author.displayName author.handle}", "Person", "Ada")
    text: str = output("text", "Text of their post, if it is a post", "@you hello")
    uri: str = output("uri", "URI of their post, like or follow", EXAMPLE)
    subject: str = output("subject", "URI of your post, if it is about one", "at://did:plc:y6/app.bsky.feed.post/2j")


class Made(Output):
    uri: str = output("uri", "ID", EXAMPLE)


@service.poll("New post by an account", every=EVERY)
async def post_published(
    ctx: Context, since: datetime, actor: Actor, *, replies: Replies = False, reposts: Reposts = False
) -> Events[Post]:
    """Triggers for each new post by an account."""
    query = {"actor": actor.removeprefix("@"), "filter": f"posts_{'with' if replies else 'no'}_replies"}
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-author-feed
    async for row in _pages(ctx, "app.bsky.feed.getAuthorFeed", "feed", since, query):
        post, reason = _post(row["post"]), row.get("reason") or {}
        if "by" not in reason:
            yield Event(post.uri, post, _time(row["post"]))
        elif reposts:
            post.reposted_by = reason["by"]["handle"]
            yield Event(f"{post.uri}:{reason['indexedAt']}", post, _time(reason))


@service.poll("New post matching a search", every=EVERY, overlap=timedelta(minutes=30))
async def post_found(ctx: Context, since: datetime, query: Query) -> Events[Post]:
    """Triggers for each new post that matches a search for words, a hashtag or a link."""
    # https://docs.bsky.app/docs/api/app-bsky-feed-search-posts
    async for row in _pages(ctx, "app.bsky.feed.searchPosts", "posts", since, {"q": query, "sort": "latest"}):
        yield Event(row["uri"], _post(row), _time(row))


@service.poll("New notification", every=EVERY)
async def notification_received(ctx: Context, since: datetime, reason: Reason = "any") -> Events[Notification]:
    """Triggers when someone mentions, likes, reposts or quotes you, replies to you or follows you."""
    query: dict[str, str] = {} if reason == "any" else {"reasons": reason}
    # https://docs.bsky.app/docs/api/app-bsky-notification-list-notifications
    async for row in _pages(ctx, "app.bsky.notification.listNotifications", "notifications", since, query):
        told = row | {"text": row["record"].get("text", ""), "subject": row.get("reasonSubject", "")}
        yield Event(f"{row['reason']}:{row['uri']}", parse(Notification, told, "Bluesky"), _time(row))


@service.poll("Post liked by you", every=EVERY)
async def post_liked(ctx: Context) -> Events[Post]:
    """Triggers for each post you like."""
    query = {"actor": (await account(ctx)).did, "limit": "100"}
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-actor-likes
    for row in reversed((await call(ctx, "GET", "app.bsky.feed.getActorLikes", params=query))["feed"]):
        yield Event(row["post"]["uri"], _post(row["post"]))  # oldest first, for nothing is told of when


@service.reaction("Publish a post", idempotent="key")
async def create_post(
    ctx: Context,
    text: Text,
    reply_to: ReplyTo = "",
    language: Language = "",
    link: Link = "",
    link_title: LinkTitle = "",
    link_description: LinkText = "",
    picture: Picture = "",
    alt_text: Alt = "",
) -> Post:
    """Publish a post, with a link card or a picture if you like. Retries never post it twice."""
    record: dict[str, Any] = {"text": text, "facets": await _facets(ctx, text)}
    record |= {"langs": [language]} if language else {}
    if link:
        record["embed"] = await _card(ctx, link, link_title, link_description, picture)
    elif picture:
        image = {"image": await _blob(ctx, picture, PICTURE), "alt": alt_text}
        record["embed"] = {"$type": "app.bsky.embed.images", "images": [image]}
    if reply_to:
        parent = await _found(ctx, reply_to)
        root = parent["record"].get("reply", {}).get("root")
        record["reply"] = {"root": root or _reference(parent), "parent": _reference(parent)}
    made = await _put(ctx, "app.bsky.feed.post", record)
    handle = (await account(ctx)).handle
    return Post(uri=made.uri, link=_link(made.uri), text=text, handle=handle, author=handle)


@service.reaction("Like a post", idempotent="key")
async def like_post(ctx: Context, post: PostId) -> Made:
    """Like a post. Succeeds if you already like it."""
    return await _once(ctx, post, "like")


@service.reaction("Repost a post", idempotent="key")
async def repost(ctx: Context, post: PostId) -> Made:
    """Repost a post. Succeeds if you have already reposted it."""
    return await _once(ctx, post, "repost")


@service.reaction("Follow an account", idempotent="key")
async def follow(ctx: Context, actor: Annotated[Actor, param("Handle of the account to follow")]) -> Made:
    """Follow an account. Succeeds if you already follow it."""
    # https://docs.bsky.app/docs/api/app-bsky-actor-get-profile
    profile = await call(ctx, "GET", "app.bsky.actor.getProfile", params={"actor": actor.removeprefix("@")})
    if already := lookup("viewer.following", profile):
        return Made(uri=already)
    return await _put(ctx, "app.bsky.graph.follow", {"subject": profile["did"]})


async def _once(ctx: Context, post: str, what: Literal["like", "repost"]) -> Made:
    there = await _found(ctx, post)
    if already := there.get("viewer", {}).get(what):
        return Made(uri=already)
    return await _put(ctx, f"app.bsky.feed.{what}", {"subject": _reference(there)})


async def _put(ctx: Context, collection: str, record: dict[str, Any]) -> Made:
    """Write a record under a key shared by all attempts of an execution."""
    body = {
        "repo": (await account(ctx)).did,
        "collection": collection,
        "rkey": _key(f"{collection} {ctx.idempotency_key}"),
        "record": {"$type": collection, "createdAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"), **record},
    }
    # https://docs.bsky.app/docs/api/com-atproto-repo-put-record
    return parse(Made, await call(ctx, "POST", "com.atproto.repo.putRecord", json=body), "Bluesky")


def _key(text: str) -> str:
    """A record key in the form of a TID; any value is allowed (https://atproto.com/specs/record-key)."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    value = (KEYS + number % YEAR) << 10 | number // YEAR % 1024
    return "".join(DIGITS[value >> shift & 31] for shift in range(60, -1, -5))


async def _card(ctx: Context, link: str, title: str, text: str, picture: str) -> dict[str, Any]:
    # https://docs.bsky.app/docs/advanced-guides/posts#website-card-embeds
    card: dict[str, Any] = {"uri": link, "title": title or urlsplit(link).hostname or link, "description": text}
    if picture:
        card["thumb"] = await _blob(ctx, picture, THUMBNAIL)
    return {"$type": "app.bsky.embed.external", "external": card}


async def _blob(ctx: Context, picture: str, largest: int) -> Any:
    """Upload a picture from its URL. Raises `Permanent` if it is no picture, or is too large."""
    fetched = await ctx.http.anonymous.call("GET", picture, max_bytes=largest)
    kind = fetched.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise Permanent(
            Sentence("%(url)s is not a picture: its type is %(kind)s.", url=picture, kind=kind or Sentence("unknown"))
        )
    # https://docs.bsky.app/docs/api/com-atproto-repo-upload-blob
    headers = {"Content-Type": kind}
    uploaded = await call(ctx, "POST", "com.atproto.repo.uploadBlob", body=fetched.body, headers=headers)
    return uploaded["blob"]


async def _facets(ctx: Context, text: str) -> list[dict[str, Any]]:
    """Links, mentions and hashtags by UTF-8 byte offset: https://docs.bsky.app/docs/advanced-guides/post-richtext."""
    facets = []
    for mark in sorted(marks(text), key=lambda mark: mark.start):
        value = mark.target
        if mark.kind == "mention":
            try:
                value = await _did(ctx, value)
            except Permanent:
                ctx.log.info("bluesky.no_such_handle", handle=value)  # it stays text, as in Bluesky's own app
                continue
        feature = {"$type": f"app.bsky.richtext.facet#{mark.kind}", MEMBER[mark.kind]: value}
        start, end = (len(text[:index].encode()) for index in (mark.start, mark.end))
        facets.append({"index": {"byteStart": start, "byteEnd": end}, "features": [feature]})
    return facets


async def _did(ctx: Context, actor: str) -> str:
    if actor.startswith("did:"):
        return actor
    # https://docs.bsky.app/docs/api/com-atproto-identity-resolve-handle
    return str((await call(ctx, "GET", "com.atproto.identity.resolveHandle", params={"handle": actor}))["did"])


async def _found(ctx: Context, post: str) -> Any:
    """A post by its URI or its URL in the app."""
    parts = re.fullmatch(r"(?:at:/|https://[^/]+/profile)/([^/]+)/(?:app\.bsky\.feed\.)?post/([^/?#]+)", post.strip())
    if parts is None:
        raise Permanent(Sentence("%(post)s is not the URI or URL of a post.", post=post))
    uri = f"at://{await _did(ctx, parts[1])}/app.bsky.feed.post/{parts[2]}"
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-posts
    posts = (await call(ctx, "GET", "app.bsky.feed.getPosts", params={"uris": uri}))["posts"]
    return posts[0] if posts else await _unindexed(ctx, post, uri)


async def _unindexed(ctx: Context, post: str, uri: str) -> Any:
    """A post that was published a moment ago: the account's server has it before it can be searched and shown."""
    repo, collection, rkey = uri.removeprefix("at://").split("/")
    try:
        # https://docs.bsky.app/docs/api/com-atproto-repo-get-record
        params = {"repo": repo, "collection": collection, "rkey": rkey}
        record = await call(ctx, "GET", "com.atproto.repo.getRecord", params=params)
    except Permanent as error:
        raise Permanent(Sentence("The post %(post)s doesn't exist, or you can't see it.", post=post)) from error
    return {"uri": record["uri"], "cid": record["cid"], "record": record["value"]}


def _reference(post: Any) -> dict[str, str]:
    return {"uri": post["uri"], "cid": post["cid"]}


async def _pages(ctx: Context, name: str, key: str, since: datetime, query: dict[str, str]) -> AsyncIterator[Any]:
    """Posts, newest first, back to the start of the window."""
    query = {"limit": "100", **query}
    for _ in range(PAGES):
        answer = await call(ctx, "GET", name, params=query)
        for row in answer[key]:
            yield row
        if not answer[key] or not answer.get("cursor") or _time(answer[key][-1].get("post", answer[key][-1])) < since:
            break
        query["cursor"] = answer["cursor"]


def _post(view: Any) -> Post:
    shown = view.get("embed") or {}
    shown = shown.get("media") or shown  # beside a quoted post
    images, card = shown.get("images") or shown.get("items") or [], shown.get("external") or {}
    told = {"text": view["record"].get("text", ""), "link": _link(view["uri"])}
    told |= {"pictures": [image["fullsize"] for image in images], "alt_texts": [image["alt"] for image in images]}
    told |= {"card_url": card.get("uri", ""), "card_title": card.get("title", "")}
    return parse(Post, view | told, "Bluesky")


def _link(uri: str) -> str:
    did, _, key = uri.removeprefix("at://").split("/")
    return f"https://bsky.app/profile/{did}/post/{key}"


def _time(row: Any) -> datetime:
    return datetime.fromisoformat(row["indexedAt"])
