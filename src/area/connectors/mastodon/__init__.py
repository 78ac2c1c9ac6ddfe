"""Mastodon: triggers on posts, hashtags, notifications and favourites of any server; posts, boosts and favourites."""

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator

from area.connectors.mastodon import hints
from area.sdk import (
    Context,
    Event,
    Events,
    Output,
    Pages,
    Permanent,
    Sentence,
    Service,
    composed,
    output,
    param,
    parse,
    without_blanks,
)
from area.sdk.forms import form, secret, server, tried
from area.sdk.shapes import MENTIONS

EVERY = timedelta(minutes=2)  # of 300 requests in 5 minutes: https://docs.joinmastodon.org/api/rate-limits/
ME = "/api/v1/accounts/verify_credentials"  # https://docs.joinmastodon.org/methods/accounts/#verify_credentials
_BREAK = re.compile(r"<br\s*/?>|</p>\s*<p>")
_TAG = re.compile(r"<[^>]*>")
POST = "https://mastodon.social/@Gargron/1"

service = Service(
    "mastodon",
    "Mastodon",
    "React to posts, hashtags, notifications and favourites; post, boost and favourite, on any server.",
    docs="https://docs.joinmastodon.org/client/token/",
    auth=form(
        tried(
            ME,
            "{server} rejected this access token.",
            at="id",
            other="{server} is not a Mastodon server.",
            account="acct",
        ),
        headers={"Authorization": "Bearer {access_token}"},  # https://docs.joinmastodon.org/client/authorized/
        base_url="{server}",
        server=server("https://mastodon.social"),
        access_token=secret("Access token, from Preferences > Development > New application", "ZA-Yj3aBD8U8Cm7l"),
    ),
    # https://docs.joinmastodon.org/api/guidelines/#pagination: the newest first
    pages=Pages(next="-1.id", cursor="max_id", query={"limit": "40"}),
    synonyms={
        "": "social media, social network, fediverse, Twitter, toot",
        "status_posted": "tweet by, toot by, someone posts",
        "hashtag_used": "keyword, tag, trend",
        "notification_received": (
            "someone mentions me, mention, someone follows me, new follower, someone boosts me, reply, someone likes my"
            " post"
        ),
        "status_favourited": "I like a post, like",
        "post_status": "tweet, toot, publish on social media",
        "boost": "retweet, repost, share",
        "favourite": "like",
        "bookmark": "save for later, read later",
    },
)


def _text(html: str) -> str:
    return unescape(_TAG.sub("", _BREAK.sub("\n", html))).strip()


Html = Annotated[str, AfterValidator(_text)]
StatusId = Annotated[str, param("ID or URL of the post", "103254962155278888", min_length=1)]
Kind = Annotated[
    Literal["any", "mention", "favourite", "reblog", "follow", "follow_request", "poll", "status", "update"],
    param("Type of notification; reblog is a boost", "mention"),
]
Whose = Annotated[str, param("Account, as name@server; yours if empty", "Gargron@mastodon.social")]
Replies = Annotated[bool, param("Include replies to others", False)]
Boosts = Annotated[bool, param("Include boosts", False)]
Hashtag = Annotated[str, param("Hashtag", "caturday", pattern=r"^#?\w+$")]
Visibility = Literal["public", "unlisted", "private", "direct"]


class Status(Output):
    id: str = output("id", "Post ID on your server", "103254962155278888")
    url: str | None = output("url", "URL", POST)
    text: Html = output("content", "Plain text", "Hello #world")
    html: str = output("content", "HTML", "<p>Hello</p>")
    warning: str = output("spoiler_text", "Content warning, if any", "spoilers")
    author: str = output("account.display_name account.username", "Author", "Eugen")
    account: str = output("account.acct", "Account, as name@server", "Gargron@mastodon.social")
    visibility: str = output("visibility", "Visibility", "public")
    media: list[str] = output("media_attachments.*.url", "URLs of pictures and videos", ["https://files.example/1.png"])
    boost: bool = output("boost", "Whether it is a boost of someone else's post", False)


class Notification(Output):
    kind: str = output("type", "Type of notification", "mention")
    author: str = output("account.display_name account.username", "Person", "Eugen")
    account: str = output("account.acct", "Account, as name@server", "Gargron@mastodon.social")
    text: Html = output("status.content", "Text of the post, if it is about one", "@you hello")
    status_id: str = output("status.id", "Post ID, if it is about a post", "103254962155278888")
    url: str = composed("{status.url account.url}", "URL of the post or of the person", POST)


@service.poll("New post by an account", every=EVERY, newest_first=True)
async def status_posted(
    ctx: Context, account: Whose = "", *, replies: Replies = False, boosts: Boosts = False
) -> Events[Status]:
    """Triggers for each new post by you or another account your server knows."""
    if "account" not in ctx.state:
        ctx.state["account"] = await _account(ctx, account.strip().removeprefix("@"))
    query = {"exclude_replies": str(not replies).lower(), "exclude_reblogs": str(not boosts).lower()}
    # https://docs.joinmastodon.org/methods/accounts/#statuses
    async for row in ctx.http.rows(f"/api/v1/accounts/{ctx.state['account']}/statuses", params=query):
        yield Event(row["id"], _status(row), _time(row))


@service.poll("New post with a hashtag", every=EVERY, newest_first=True)
async def hashtag_used(ctx: Context, hashtag: Hashtag) -> Events[Status]:
    """Triggers for each new public post with a hashtag that your server sees."""
    # https://docs.joinmastodon.org/methods/timelines/#tag
    async for row in ctx.http.rows(f"/api/v1/timelines/tag/{quote(hashtag.lstrip('#'))}"):
        yield Event(row["id"], _status(row), _time(row))


@service.poll("New notification", every=EVERY, newest_first=True, hint=hints.notified)
async def notification_received(ctx: Context, kind: Kind = "any") -> Events[Notification]:
    """Triggers when someone mentions, follows, favourites or boosts you, and for other notifications."""
    query: dict[str, str] = {} if kind == "any" else {"types[]": kind}
    # https://docs.joinmastodon.org/methods/notifications/#get
    async for row in ctx.http.rows("/api/v1/notifications", params=query):
        told = parse(Notification, {"text": "", "status_id": "", **row}, "Mastodon")
        yield Event(row["id"], told, _time(row))


@service.poll("Post favourited by you", every=EVERY)
async def status_favourited(ctx: Context) -> Events[Status]:
    """Triggers for each post you favourite."""
    # https://docs.joinmastodon.org/methods/favourites/#get
    rows = await ctx.http.get("/api/v1/favourites", params={"limit": "40"})
    for row in reversed(rows):  # oldest first, for nothing is told of when
        yield Event(row["id"], _status(row))


@service.reaction("Publish a post", idempotent="key")
async def post_status(
    ctx: Context,
    text: Annotated[
        str, param("Text; your server sets the maximum length", "Hello #world", min_length=1, shape=MENTIONS)
    ],
    visibility: Annotated[
        Visibility, param("Visibility; direct shows it only to people mentioned", "public")
    ] = "public",
    warning: Annotated[str, param("Content warning to show first", "spoilers")] = "",
    reply_to: Annotated[str, param("ID or URL of the post to reply to", "103254962155278888")] = "",
    language: Annotated[str, param("Language code", "en", pattern=r"^([a-z]{2,3})?$")] = "",
) -> Status:
    """Publish a post. Retries within an hour never post it twice."""
    body = {"status": text, "visibility": visibility} | without_blanks(spoiler_text=warning, language=language)
    body |= without_blanks(in_reply_to_id=reply_to and await _id(ctx, reply_to))
    # https://docs.joinmastodon.org/methods/statuses/#create
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return _status(await ctx.http.post("/api/v1/statuses", json=body, headers=headers))


@service.reaction("Boost a post", idempotent="same")
async def boost(ctx: Context, status: StatusId) -> Status:
    """Boost a post. Succeeds if you have already boosted it."""
    # https://docs.joinmastodon.org/methods/statuses/#boost
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, status)}/reblog"))


@service.reaction("Favourite a post", idempotent="same")
async def favourite(ctx: Context, status: StatusId) -> Status:
    """Favourite a post. Succeeds if it is already a favourite."""
    # https://docs.joinmastodon.org/methods/statuses/#favourite
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, status)}/favourite"))


@service.reaction("Bookmark a post", idempotent="same")
async def bookmark(ctx: Context, status: StatusId) -> Status:
    """Bookmark a post, privately."""
    # https://docs.joinmastodon.org/methods/statuses/#bookmark
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, status)}/bookmark"))


async def _account(ctx: Context, name: str) -> str:
    if not name:
        return await ctx.http.get(ME, str, at="id")
    # https://docs.joinmastodon.org/methods/accounts/#search; an account of the server itself has no server in its
    # `acct`
    for one in await ctx.http.get("/api/v1/accounts/search", params={"q": name, "resolve": "true", "limit": "5"}):
        if name.lower() in (one["acct"].lower(), f"{one['acct']}@{urlsplit(one['url']).hostname}".lower()):
            return str(one["id"])
    raise Permanent(Sentence("Your server can't find the account %(name)s.", name=name))


async def _id(ctx: Context, status: str) -> str:
    """A post's ID on the user's server, also from its URL."""
    if not status.startswith("http"):
        return quote(status, safe="")
    # https://docs.joinmastodon.org/methods/search/#v2
    query = {"q": status, "resolve": "true", "type": "statuses", "limit": "1"}
    for one in (await ctx.http.get("/api/v2/search", params=query))["statuses"]:
        return str(one["id"])
    raise Permanent(Sentence("Your server can't find a post at %(url)s.", url=status))


def _status(row: Any) -> Status:
    shown = row.get("reblog") or row
    return parse(Status, shown | {"boost": shown is not row}, "Mastodon")


def _time(row: Any) -> datetime:
    return datetime.fromisoformat(row["created_at"])
