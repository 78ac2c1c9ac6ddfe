"""Mastodon: posts, hashtags, notifications and favourites of any server in; posts, boosts and favourites out."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from html import unescape
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from area.sdk import Access, AuthExpired, Context, Credentials, Event, Nothing, Permanent, Service, parse

EVERY = timedelta(minutes=2)  # of 300 requests in 5 minutes: https://docs.joinmastodon.org/api/rate-limits/
PAGES = 5  # of 40
_BREAK = re.compile(r"<br\s*/?>|</p>\s*<p>")
_TAG = re.compile(r"<[^>]*>")

Kind = Literal["any", "mention", "favourite", "reblog", "follow", "follow_request", "poll", "status", "update"]
Visibility = Literal["public", "unlisted", "private", "direct"]


def _origin(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"https://{text.strip()}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("It must be the address of a server, such as https://mastodon.social.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Login(BaseModel):
    """A server, and a token made there."""

    server: Annotated[str, AfterValidator(_origin)] = Field(
        description="Address of your server", examples=["https://mastodon.social"]
    )
    access_token: SecretStr = Field(
        description="Access token, made under Preferences, Development, New application", examples=["ZA-Yj3aBD8U8Cm7l"]
    )


class Whose(BaseModel):
    """Whose posts."""

    account: str = Field("", description="Whose, as name@server; empty: your own", examples=["Gargron@mastodon.social"])
    replies: bool = Field(False, description="Also answers to others", examples=[False])
    boosts: bool = Field(False, description="Also what they boost", examples=[False])


class Tag(BaseModel):
    """Which hashtag."""

    hashtag: str = Field(pattern=r"^#?\w+$", description="The hashtag", examples=["caturday"])


class About(BaseModel):
    """Which notifications."""

    kind: Kind = Field("any", description="What they are about; reblog is a boost", examples=["mention"])


class Status(BaseModel):
    """A post."""

    id: str = Field(description="What names the post on your server", examples=["103254962155278888"])
    url: str | None = Field(description="Its address", examples=["https://mastodon.social/@Gargron/1"])
    text: str = Field(description="What it says, without markup", examples=["Hello #world"])
    html: str = Field(description="What it says, with markup", examples=["<p>Hello</p>"])
    warning: str = Field(description="Warning before it, if there is one", examples=["spoilers"])
    author: str = Field(description="Who wrote it", examples=["Eugen"])
    account: str = Field(description="Their name@server", examples=["Gargron@mastodon.social"])
    visibility: str = Field(description="Who may see it", examples=["public"])
    media: list[str] = Field(description="Addresses of pictures and videos", examples=[["https://files.example/1.png"]])
    boost: bool = Field(description="Whether it is somebody else's, boosted", examples=[False])


class Notification(BaseModel):
    """Something that concerns you."""

    kind: str = Field(description="What it is about", examples=["mention"])
    author: str = Field(description="Who did it", examples=["Eugen"])
    account: str = Field(description="Their name@server", examples=["Gargron@mastodon.social"])
    text: str = Field(description="What the post says, if it is about one", examples=["@you hello"])
    status_id: str = Field(description="What names the post, if it is about one", examples=["103254962155278888"])
    url: str = Field(
        description="Address of the post, or of who did it", examples=["https://mastodon.social/@Gargron/1"]
    )


class Post(BaseModel):
    """A post to publish."""

    text: str = Field(min_length=1, description="What to say; your server says how much", examples=["Hello #world"])
    visibility: Visibility = Field(
        "public", description="Who may see it; direct: who is mentioned", examples=["public"]
    )
    warning: str = Field("", description="Warning to show before it", examples=["spoilers"])
    reply_to: str = Field("", description="Post to answer, by id or address", examples=["103254962155278888"])
    language: str = Field("", pattern=r"^([a-z]{2,3})?$", description="Language, by its code", examples=["en"])


class One(BaseModel):
    """Which post."""

    status: str = Field(min_length=1, description="The post, by id or address", examples=["103254962155278888"])


def access(login: Login) -> Access:
    """https://docs.joinmastodon.org/client/authorized/."""
    token = login.access_token.get_secret_value().strip()
    return Access(headers={"Authorization": f"Bearer {token}"}, base_url=login.server)


async def works(ctx: Context, login: Login) -> None:
    """Ask whose token it is."""
    try:
        # https://docs.joinmastodon.org/methods/accounts/#verify_credentials
        await ctx.http.get("/api/v1/accounts/verify_credentials")
    except AuthExpired as error:
        raise Permanent(f"{login.server} does not take this access token. {error}") from error


service = Service(
    "mastodon",
    "Mastodon",
    "Posts, hashtags, notifications and favourites of your account, and posts and boosts by it, on any server.",
    docs="https://docs.joinmastodon.org/client/token/",
    auth=Credentials(Login, works, access),
)


@service.poll("Somebody posts", every=EVERY)
async def status_posted(ctx: Context, params: Whose, since: datetime) -> AsyncIterator[Event[Status]]:
    """Fires for each new post of yours, or of another account that your server knows."""
    if "account" not in ctx.state:
        ctx.state["account"] = await _account(ctx, params.account.strip().removeprefix("@"))
    # https://docs.joinmastodon.org/methods/accounts/#statuses
    query = {"exclude_replies": str(not params.replies).lower(), "exclude_reblogs": str(not params.boosts).lower()}
    async for row in _pages(ctx, f"/api/v1/accounts/{ctx.state['account']}/statuses", since, query):
        yield Event(row["id"], _status(row), _time(row))


@service.poll("A hashtag is used", every=EVERY)
async def hashtag_used(ctx: Context, params: Tag, since: datetime) -> AsyncIterator[Event[Status]]:
    """Fires for each new public post with a hashtag that your server sees."""
    # https://docs.joinmastodon.org/methods/timelines/#tag
    async for row in _pages(ctx, f"/api/v1/timelines/tag/{quote(params.hashtag.lstrip('#'))}", since, {}):
        yield Event(row["id"], _status(row), _time(row))


@service.poll("You are notified", every=EVERY)
async def notification_received(ctx: Context, params: About, since: datetime) -> AsyncIterator[Event[Notification]]:
    """Fires when somebody mentions, follows, favourites or boosts you, and so on."""
    query: dict[str, str] = {} if params.kind == "any" else {"types[]": params.kind}
    # https://docs.joinmastodon.org/methods/notifications/#get
    async for row in _pages(ctx, "/api/v1/notifications", since, query):
        told, status = row["account"], row.get("status") or {}
        data = Notification(
            kind=row["type"],
            author=told["display_name"] or told["username"],
            account=told["acct"],
            text=_text(status.get("content", "")),
            status_id=status.get("id", ""),
            url=status.get("url") or told["url"],
        )
        yield Event(row["id"], data, _time(row))


@service.poll("You favourite a post", every=EVERY)
async def status_favourited(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Status]]:  # noqa: ARG001
    """Fires for each post that you favourite."""
    # https://docs.joinmastodon.org/methods/favourites/#get
    rows = await ctx.http.get("/api/v1/favourites", params={"limit": "40"})
    for row in reversed(rows):  # oldest first, for nothing is told of when
        yield Event(row["id"], _status(row))


@service.reaction("Publish a post")
async def post_status(ctx: Context, params: Post) -> Status:
    """Publishes a post. Tried again within an hour, it is published once."""
    body: dict[str, Any] = {"status": params.text, "visibility": params.visibility}
    if params.warning:
        body["spoiler_text"] = params.warning
    if params.language:
        body["language"] = params.language
    if params.reply_to:
        body["in_reply_to_id"] = await _id(ctx, params.reply_to)
    # https://docs.joinmastodon.org/methods/statuses/#create
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return _status(await ctx.http.post("/api/v1/statuses", json=body, headers=headers))


@service.reaction("Boost a post")
async def boost(ctx: Context, params: One) -> Status:
    """Boosts a post; that you have already is no failure."""
    # https://docs.joinmastodon.org/methods/statuses/#boost
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, params.status)}/reblog"))


@service.reaction("Favourite a post")
async def favourite(ctx: Context, params: One) -> Status:
    """Favourites a post; that you have already is no failure."""
    # https://docs.joinmastodon.org/methods/statuses/#favourite
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, params.status)}/favourite"))


@service.reaction("Bookmark a post")
async def bookmark(ctx: Context, params: One) -> Status:
    """Bookmarks a post, which nobody else sees."""
    # https://docs.joinmastodon.org/methods/statuses/#bookmark
    return _status(await ctx.http.post(f"/api/v1/statuses/{await _id(ctx, params.status)}/bookmark"))


async def _account(ctx: Context, name: str) -> str:
    if not name:
        # https://docs.joinmastodon.org/methods/accounts/#verify_credentials
        return str((await ctx.http.get("/api/v1/accounts/verify_credentials"))["id"])
    # https://docs.joinmastodon.org/methods/accounts/#search; an account of the server itself has no server in its `acct`
    for one in await ctx.http.get("/api/v1/accounts/search", params={"q": name, "resolve": "true", "limit": "5"}):
        if name.lower() in (one["acct"].lower(), f"{one['acct']}@{urlsplit(one['url']).hostname}".lower()):
            return str(one["id"])
    raise Permanent(f"Your server finds no account {name}.")


async def _id(ctx: Context, status: str) -> str:
    """What names a post on the user's server, also where it is given by its address."""
    if not status.startswith("http"):
        return quote(status, safe="")
    # https://docs.joinmastodon.org/methods/search/#v2
    query = {"q": status, "resolve": "true", "type": "statuses", "limit": "1"}
    found = (await ctx.http.get("/api/v2/search", params=query))["statuses"]
    if not found:
        raise Permanent(f"Your server finds no post at {status}.")
    return str(found[0]["id"])


async def _pages(ctx: Context, path: str, since: datetime, query: dict[str, str]) -> AsyncIterator[Any]:
    """The newest first, until they are older than the window."""
    query = {"limit": "40", **query}
    for _ in range(PAGES):
        rows = await ctx.http.get(path, params=query)
        for row in rows:
            yield row
        if not rows or _time(rows[-1]) < since:
            break
        query["max_id"] = rows[-1]["id"]


def _status(row: Any) -> Status:
    shown = row["reblog"] or row
    author = shown["account"]
    told = {
        "id": shown["id"], "url": shown["url"], "text": _text(shown["content"]), "html": shown["content"], "warning": shown["spoiler_text"],
        "author": author["display_name"] or author["username"], "account": author["acct"], "visibility": shown["visibility"],
        "media": [one["url"] for one in shown["media_attachments"] if one["url"]], "boost": shown is not row,
    }  # fmt: skip
    return parse(Status, told, "Mastodon")


def _text(html: str) -> str:
    return unescape(_TAG.sub("", _BREAK.sub("\n", html))).strip()


def _time(row: Any) -> datetime:
    return datetime.fromisoformat(row["created_at"])
