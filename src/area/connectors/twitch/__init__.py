"""Twitch: streams, followers, clips and videos in; messages, announcements, clips and titles out."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from area.sdk import (
    Account,
    Context,
    Event,
    Nothing,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Quirks,
    Retry,
    Row,
    Service,
    found,
    parse,
)

OFTEN = timedelta(minutes=1)  # 800 points a minute are allowed: https://dev.twitch.tv/docs/api/guide#twitch-rate-limits
SOMETIMES = timedelta(minutes=5)
PAGES = 5  # of 100 rows
FOLLOWED = ("user:read:follows",)
TOO_FAST = {"msg_ratelimit", "msg_slowmode"}  # https://dev.twitch.tv/docs/irc/msg-id/


async def _account(ctx: Context) -> Account:
    # https://dev.twitch.tv/docs/api/reference#get-users: `email` is "the user's verified email address"
    me = (await ctx.http.get("/users"))["data"][0]
    return Account(me["id"], me["display_name"], me.get("email"), email_verified=bool(me.get("email")))


service = Service(
    "twitch",
    "Twitch",
    "Streams that begin, followers, clips and videos; messages, announcements, clips and titles.",
    docs="https://dev.twitch.tv/docs/api/reference",
    base_url="https://api.twitch.tv/helix",
    auth=OAuth2(  # https://dev.twitch.tv/docs/authentication/getting-tokens-oauth#authorization-code-grant-flow
        "https://id.twitch.tv/oauth2/authorize",
        "https://id.twitch.tv/oauth2/token",
        _account,
        scopes=("user:read:email",),
        login_scopes=("user:read:email",),
        revoke_url="https://id.twitch.tv/oauth2/revoke",  # https://dev.twitch.tv/docs/authentication/revoke-tokens
        quirks=Quirks(
            client_auth="post",
            pkce=False,
            client_id_header="Client-Id",
            # https://dev.twitch.tv/docs/authentication/refresh-tokens
            error_field="message",
            refused=frozenset({"Invalid refresh token"}),
        ),
    ),
)


class OfChannel(BaseModel):
    """Which channel."""

    channel: Annotated[str, Pick("channels")] = Field(
        pattern=r"^\w{1,25}$", description="Name of the channel, as in its address", examples=["twitchdev"]
    )


class Message(OfChannel):
    """What to say, and where."""

    text: str = Field(min_length=1, max_length=500, description="What to say", examples=["Hello, chat!"])


class Announcement(Message):
    """What to announce, and where."""

    color: Literal["primary", "blue", "green", "orange", "purple"] = Field(
        "primary", description="Colour; primary is the channel's own", examples=["purple"]
    )


class Title(BaseModel):
    """What the channel shows."""

    title: str = Field(min_length=1, max_length=140, description="Title of the stream", examples=["Speedrun"])
    category: str = Field("", description="Category or game by its exact name; empty: as it is", examples=["Chess"])


class Stream(Row):
    """A stream."""

    id: str = found("id", "Its id", "40952121085")
    channel: str = found("user_login", "Name of the channel, as in its address", "twitchdev")
    name: str = found("user_name", "Name of the channel, as it is shown", "TwitchDev")
    title: str = found("title", "Its title", "Speedrun")
    category: str = found("game_name", "Its category or game", "Chess", "")
    url: str = found("url", "Its address", "https://www.twitch.tv/twitchdev")
    started_at: datetime = found("started_at", "When it began", "2026-11-23T09:00:00Z")


class Follower(Row):
    """Somebody who follows you."""

    id: str = found("user_id", "Their id", "141981764")
    login: str = found("user_login", "Their name, as in their address", "ada_l")
    name: str = found("user_name", "Their name, as it is shown", "Ada_L")
    followed_at: datetime = found("followed_at", "Since when", "2026-11-23T09:00:00Z")


class Clip(Row):
    """A clip."""

    id: str = found("id", "Its id", "AwkwardHelplessSalamanderSwiftRage")
    title: str = found("title", "Its title", "What a move")
    creator: str = found("creator_name", "Who made it", "Ada_L", "")
    url: str = found("url", "Its address", "https://clips.twitch.tv/AwkwardHelplessSalamanderSwiftRage")
    created_at: datetime = found("created_at", "When it was made", "2026-11-23T09:00:00Z")


class Video(Row):
    """A video."""

    id: str = found("id", "Its id", "335921245")
    title: str = found("title", "Its title", "Speedrun")
    type: str = found("type", "archive, highlight or upload", "archive")
    duration: str = found("duration", "How long it is", "3m21s", "")
    url: str = found("url", "Its address", "https://www.twitch.tv/videos/335921245")
    published_at: datetime = found("published_at", "When it was published", "2026-11-23T09:00:00Z")


class Sent(Row):
    """A message that was sent."""

    id: str = found("message_id", "Its id", "abc-123-def")


class Clipped(Row):
    """A clip that is being made."""

    id: str = found("id", "Its id", "AwkwardHelplessSalamanderSwiftRage")
    url: str = found("url", "Its address", "https://clips.twitch.tv/AwkwardHelplessSalamanderSwiftRage")
    edit_url: str = found("edit_url", "Where it can be edited", "https://clips.twitch.tv/AwkwardHelpless/edit")


@service.poll("A channel goes live", every=OFTEN, scopes=FOLLOWED)
async def stream_started(ctx: Context, params: OfChannel, since: datetime) -> AsyncIterator[Event[Stream]]:  # noqa: ARG001
    """A channel goes live."""
    # https://dev.twitch.tv/docs/api/reference#get-streams
    async for event in _streams(ctx, "/streams", {"user_login": params.channel}):
        yield event


@service.poll("A channel that you follow goes live", every=OFTEN, scopes=FOLLOWED)
async def followed_stream_started(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Stream]]:  # noqa: ARG001
    """Any channel that you follow goes live."""
    # https://dev.twitch.tv/docs/api/reference#get-followed-streams
    async for event in _streams(ctx, "/streams/followed", {"user_id": await _known(ctx, "")}):
        yield event


@service.poll("Somebody follows you", every=OFTEN, scopes=("moderator:read:followers",))
async def follower_gained(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Follower]]:  # noqa: ARG001
    """Somebody begins to follow your channel."""
    # https://dev.twitch.tv/docs/api/reference#get-channel-followers: the newest first
    async for row in _all(ctx, "/channels/followers", {"broadcaster_id": await _known(ctx, "")}):
        one = parse(Follower, row, "Twitch")
        yield Event(f"{one.id} {one.followed_at.isoformat()}", one, one.followed_at)
        if one.followed_at < since:
            return


@service.poll("A clip is made", every=SOMETIMES, scopes=FOLLOWED)
async def clip_created(ctx: Context, params: OfChannel, since: datetime) -> AsyncIterator[Event[Clip]]:
    """Somebody makes a clip of a channel."""
    window = {
        "started_at": f"{since:%Y-%m-%dT%H:%M:00Z}",
        "ended_at": f"{datetime.now(UTC) + OFTEN:%Y-%m-%dT%H:%M:00Z}",
    }
    # https://dev.twitch.tv/docs/api/reference#get-clips: the most seen first, and seconds do not count
    async for row in _all(ctx, "/clips", {"broadcaster_id": await _known(ctx, params.channel), **window}):
        clip = parse(Clip, row, "Twitch")
        yield Event(clip.id, clip, clip.created_at)


@service.poll("A video is published", every=SOMETIMES, scopes=FOLLOWED)
async def video_published(ctx: Context, params: OfChannel, since: datetime) -> AsyncIterator[Event[Video]]:  # noqa: ARG001
    """A channel has a new video: an upload, a highlight, or a stream that is being recorded."""
    # https://dev.twitch.tv/docs/api/reference#get-videos
    query = {"user_id": await _known(ctx, params.channel), "sort": "time", "first": "20"}
    for row in (await ctx.http.get("/videos", params=query))["data"]:
        video = parse(Video, row, "Twitch")
        yield Event(video.id, video, video.published_at)


@service.reaction("Send a chat message", on_crash="fail", scopes=("user:write:chat", *FOLLOWED))
async def send_message(ctx: Context, params: Message) -> Sent:
    """Send a message to the chat of a channel."""
    body = {"broadcaster_id": await _id(ctx, params.channel), "sender_id": await _id(ctx), "message": params.text}
    # https://dev.twitch.tv/docs/api/reference#send-chat-message
    sent = (await ctx.http.post("/chat/messages", json=body))["data"][0]
    if not sent["is_sent"]:
        why = sent.get("drop_reason") or {}
        kind = Retry if why.get("code") in TOO_FAST else Permanent
        raise kind(f"Twitch did not send the message. {why.get('message', '')}".strip())
    return parse(Sent, sent, "Twitch")


@service.reaction("Make an announcement", on_crash="fail", scopes=("moderator:manage:announcements", *FOLLOWED))
async def announce(ctx: Context, params: Announcement) -> Nothing:
    """Announce something in the chat of your channel, or of one that you moderate."""
    query = {"broadcaster_id": await _id(ctx, params.channel), "moderator_id": await _id(ctx)}
    # https://dev.twitch.tv/docs/api/reference#send-chat-announcement
    await ctx.http.call(
        "POST", "/chat/announcements", params=query, json={"message": params.text, "color": params.color}
    )
    return Nothing()


@service.reaction("Create a clip", on_crash="fail", scopes=("clips:edit", *FOLLOWED))
async def create_clip(ctx: Context, params: OfChannel) -> Clipped:
    """Make a clip of what a channel shows right now. It has to be live."""
    # https://dev.twitch.tv/docs/api/reference#create-clip
    made = (await ctx.http.post("/clips", params={"broadcaster_id": await _id(ctx, params.channel)}))["data"][0]
    return parse(Clipped, made | {"url": f"https://clips.twitch.tv/{made['id']}"}, "Twitch")


@service.reaction("Change the title of your stream", scopes=("channel:manage:broadcast",))
async def update_channel(ctx: Context, params: Title) -> Nothing:
    """Change the title of your channel's stream, and its category."""
    body = {"title": params.title}
    if params.category:
        # https://dev.twitch.tv/docs/api/reference#get-games
        games = (await ctx.http.get("/games", params={"name": params.category}))["data"]
        if not games:
            raise Permanent(f"Twitch has no category {params.category!r}.")
        body["game_id"] = games[0]["id"]
    # https://dev.twitch.tv/docs/api/reference#modify-channel-information
    await ctx.http.call("PATCH", "/channels", params={"broadcaster_id": await _id(ctx)}, json=body)
    return Nothing()


@service.picker
async def channels(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's channel and those that they follow."""
    me = (await ctx.http.get("/users"))["data"][0]
    # https://dev.twitch.tv/docs/api/reference#get-followed-channels
    rows = [row async for row in _all(ctx, "/channels/followed", {"user_id": me["id"]})]
    followed = [Option(row["broadcaster_login"], row["broadcaster_name"]) for row in rows]
    return [Option(me["login"], me["display_name"]), *followed]


async def _all(ctx: Context, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    query = {"first": "100", **query}
    for _ in range(PAGES):  # https://dev.twitch.tv/docs/api/guide#pagination
        page = await ctx.http.get(path, params=query)
        for row in page["data"]:
            yield row
        after = (page.get("pagination") or {}).get("cursor")
        if not after:
            return
        query["after"] = after


async def _streams(ctx: Context, path: str, query: dict[str, str]) -> AsyncIterator[Event[Stream]]:
    async for row in _all(ctx, path, query):
        stream = parse(Stream, row | {"url": f"https://www.twitch.tv/{row['user_login']}"}, "Twitch")
        yield Event(stream.id, stream)  # undated: it is seen some time after it began


async def _known(ctx: Context, channel: str) -> str:
    """The id of a channel, or of the user's own, which a trigger asks for once."""
    if "id" not in ctx.state:
        ctx.state["id"] = await _id(ctx, channel)
    return str(ctx.state["id"])


async def _id(ctx: Context, channel: str = "") -> str:
    # https://dev.twitch.tv/docs/api/reference#get-users
    users = (await ctx.http.get("/users", params={"login": channel} if channel else {}))["data"]
    if not users:
        raise Permanent(f"Twitch has no channel {channel!r}.")
    return str(users[0]["id"])
