"""Twitch: triggers on streams, followers, clips and videos; sends messages and announcements, creates clips, changes
titles.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from area.connectors.twitch import hints
from area.connectors.twitch.users import user_id
from area.sdk import (
    Context,
    Events,
    OAuth2,
    Option,
    Output,
    Pages,
    Permanent,
    Quirks,
    Retry,
    Sentence,
    Service,
    composed,
    new_events,
    output,
    param,
    profile,
)

OFTEN = timedelta(minutes=1)  # 800 points a minute are allowed: https://dev.twitch.tv/docs/api/guide#twitch-rate-limits
SOMETIMES = timedelta(minutes=5)
FOLLOWED, FOLLOWERS = ("user:read:follows",), ("moderator:read:followers",)
TOO_FAST = {"msg_ratelimit", "msg_slowmode"}  # https://dev.twitch.tv/docs/irc/msg-id/

service = Service(
    "twitch",
    "Twitch",
    "React to streams, followers, clips and videos; send messages and announcements, create clips, set the title.",
    docs="https://dev.twitch.tv/docs/api/reference",
    base_url="https://api.twitch.tv/helix",
    # https://dev.twitch.tv/docs/api/guide#pagination
    pages=Pages("data", next="pagination.cursor", cursor="after", query={"first": "100"}),
    auth=OAuth2(  # https://dev.twitch.tv/docs/authentication/getting-tokens-oauth#authorization-code-grant-flow
        "https://id.twitch.tv/oauth2/authorize",
        "https://id.twitch.tv/oauth2/token",
        # https://dev.twitch.tv/docs/api/reference#get-users: `email` is "the user's verified email address"
        profile("/users", id="data.0.id", name="data.0.display_name", email="data.0.email", verified=True),
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
    synonyms={
        "": "streaming, stream, gaming, live",
        "stream_started": "streamer goes live, live stream, on air",
        "followed_stream_started": "streamer goes live, live stream",
        "follower_gained": "someone follows me, new subscriber, fan",
        "clip_created": "highlight",
        "video_published": "VOD, replay",
        "send_message": "chat message on stream, bot",
        "announce": "chat message, highlight",
        "create_clip": "highlight",
        "update_channel": "category, game",
    },
)

Channel = Annotated[str, param("Channel name, as in its URL", "twitchdev", pick="channels", pattern=r"^\w{1,25}$")]
Text = Annotated[str, param("Text", "Hello, chat!", min_length=1, max_length=500)]
Colors = Literal["primary", "blue", "green", "orange", "purple"]
Color = Annotated[Colors, param("Colour; primary is the channel's own", "purple")]


class Stream(Output):
    id: str = output("id", "ID", "40952121085")
    channel: str = output("user_login", "Channel name, as in its URL", "twitchdev")
    name: str = output("user_name", "Display name of the channel", "TwitchDev")
    title: str = output("title", "Title", "Speedrun")
    category: str = output("game_name", "Category or game", "Chess", "")
    url: str = composed("https://www.twitch.tv/{user_login}", "URL", "https://www.twitch.tv/twitchdev")
    started_at: datetime = output("started_at", "Start time", "2026-11-23T09:00:00Z")


class Follower(Output):
    id: str = output("user_id", "User ID", "141981764")
    login: str = output("user_login", "Username, as in their URL", "ada_l")
    name: str = output("user_name", "Display name", "Ada_L")
    followed_at: datetime = output("followed_at", "Start date", "2026-11-23T09:00:00Z")


class Clip(Output):
    id: str = output("id", "ID", "AwkwardHelplessSalamanderSwiftRage")
    title: str = output("title", "Title", "What a move")
    creator: str = output("creator_name", "Creator", "Ada_L", "")
    url: str = output("url", "URL", "https://clips.twitch.tv/AwkwardHelplessSalamanderSwiftRage")
    created_at: datetime = output("created_at", "Date created", "2026-11-23T09:00:00Z")


class Video(Output):
    id: str = output("id", "ID", "335921245")
    title: str = output("title", "Title", "Speedrun")
    type: str = output("type", "Type: archive, highlight or upload", "archive")
    duration: str = output("duration", "Duration", "3m21s", "")
    url: str = output("url", "URL", "https://www.twitch.tv/videos/335921245")
    published_at: datetime = output("published_at", "Date published", "2026-11-23T09:00:00Z")


class Sent(Output):
    id: str = output("message_id", "ID", "abc-123-def")


class Clipped(Output):
    id: str = output("id", "ID", "AwkwardHelplessSalamanderSwiftRage")
    url: str = composed("https://clips.twitch.tv/{id}", "URL", "https://clips.twitch.tv/AwkwardHelpless")
    edit_url: str = output("edit_url", "URL to edit it", "https://clips.twitch.tv/AwkwardHelpless/edit")


@service.poll("Channel goes live", every=OFTEN, scopes=FOLLOWED, hint=hints.online)
def stream_started(ctx: Context, channel: Channel) -> Events[Stream]:
    """Triggers when a channel goes live."""
    # https://dev.twitch.tv/docs/api/reference#get-streams; undated: a stream is seen some time after it began
    return new_events(ctx.http.rows("/streams", Stream, params={"user_login": channel}))


@service.poll("Followed channel goes live", every=OFTEN, scopes=FOLLOWED)
async def followed_stream_started(ctx: Context) -> Events[Stream]:
    """Triggers when any channel you follow goes live."""
    # https://dev.twitch.tv/docs/api/reference#get-followed-streams
    return new_events(ctx.http.rows("/streams/followed", Stream, params={"user_id": await _known(ctx)}))


@service.poll("New follower", every=OFTEN, scopes=FOLLOWERS, hint=hints.follow, newest_first=True)
async def follower_gained(ctx: Context) -> Events[Follower]:
    """Triggers when someone follows your channel."""
    query = {"broadcaster_id": await _known(ctx)}
    # https://dev.twitch.tv/docs/api/reference#get-channel-followers
    return new_events(ctx.http.rows("/channels/followers", Follower, params=query), "{id} {followed_at}", "followed_at")


@service.poll("New clip", every=SOMETIMES, scopes=FOLLOWED)
async def clip_created(ctx: Context, channel: Channel, since: datetime) -> Events[Clip]:
    """Triggers when someone clips a channel."""
    query = {"broadcaster_id": await _known(ctx, channel), "started_at": f"{since:%Y-%m-%dT%H:%M:00Z}"}
    query["ended_at"] = f"{datetime.now(UTC) + OFTEN:%Y-%m-%dT%H:%M:00Z}"
    # https://dev.twitch.tv/docs/api/reference#get-clips: the most seen first, and seconds do not count
    return new_events(ctx.http.rows("/clips", Clip, params=query), at="created_at")


@service.poll("New video", every=SOMETIMES, scopes=FOLLOWED)
async def video_published(ctx: Context, channel: Channel) -> Events[Video]:
    """Triggers when a channel has a new video: an upload, a highlight, or a stream being recorded."""
    query = {"user_id": await _known(ctx, channel), "sort": "time", "first": "20"}
    # https://dev.twitch.tv/docs/api/reference#get-videos
    return new_events(ctx.http.rows("/videos", Video, pages=Pages("data", most=1), params=query), at="published_at")


@service.reaction("Send a chat message", on_crash="fail", scopes=("user:write:chat", *FOLLOWED))
async def send_message(ctx: Context, channel: Channel, text: Text) -> Sent:
    """Send a message to a channel's chat."""
    body = {"broadcaster_id": await user_id(ctx, channel), "sender_id": await user_id(ctx), "message": text}
    # https://dev.twitch.tv/docs/api/reference#send-chat-message
    sent = await ctx.http.post("/chat/messages", dict[str, Any], at="data.0", json=body)
    if not sent["is_sent"]:
        why = sent.get("drop_reason") or {}
        kind = Retry if why.get("code") in TOO_FAST else Permanent
        said = why.get("message")
        raise kind(
            Sentence("Twitch didn't send the message: %(said)s", said=said)
            if said
            else Sentence("Twitch didn't send the message.")
        )
    return Sent.model_validate(sent)


@service.reaction("Make an announcement", on_crash="fail", scopes=("moderator:manage:announcements", *FOLLOWED))
async def announce(ctx: Context, channel: Channel, text: Text, color: Color = "primary") -> None:
    """Post an announcement in the chat of your channel or one you moderate."""
    query = {"broadcaster_id": await user_id(ctx, channel), "moderator_id": await user_id(ctx)}
    # https://dev.twitch.tv/docs/api/reference#send-chat-announcement
    await ctx.http.call("POST", "/chat/announcements", params=query, json={"message": text, "color": color})


@service.reaction("Create a clip", on_crash="fail", scopes=("clips:edit", *FOLLOWED))
async def create_clip(ctx: Context, channel: Channel) -> Clipped:
    """Create a clip of a channel. It must be live."""
    # https://dev.twitch.tv/docs/api/reference#create-clip
    return await ctx.http.post("/clips", Clipped, at="data.0", params={"broadcaster_id": await user_id(ctx, channel)})


@service.reaction("Change your stream's title", scopes=("channel:manage:broadcast",), idempotent="same")
async def update_channel(
    ctx: Context,
    title: Annotated[str, param("Stream title", "Speedrun", min_length=1, max_length=140)],
    category: Annotated[str, param("Exact name of the category or game; unchanged if empty", "Chess")] = "",
) -> None:
    """Change your stream's title and, if given, its category."""
    body = {"title": title}
    if category:
        # https://dev.twitch.tv/docs/api/reference#get-games
        games = (await ctx.http.get("/games", params={"name": category}))["data"]
        if not games:
            raise Permanent(Sentence('Twitch has no category "%(name)s".', name=category))
        body["game_id"] = games[0]["id"]
    # https://dev.twitch.tv/docs/api/reference#modify-channel-information
    await ctx.http.call("PATCH", "/channels", params={"broadcaster_id": await user_id(ctx)}, json=body)


@service.picker
async def channels(ctx: Context) -> list[Option]:
    """The user's channel and those that they follow."""
    me = await ctx.http.get("/users", dict[str, Any], at="data.0")
    # https://dev.twitch.tv/docs/api/reference#get-followed-channels
    followed = ctx.http.rows("/channels/followed", params={"user_id": me["id"]})
    options = [Option(row["broadcaster_login"], row["broadcaster_name"]) async for row in followed]
    return [Option(me["login"], me["display_name"]), *options]


async def _known(ctx: Context, channel: str = "") -> str:
    """ID of the channel, or of the user's own; looked up once per trigger."""
    if "id" not in ctx.state:
        ctx.state["id"] = await user_id(ctx, channel)
    return str(ctx.state["id"])
