"""Microsoft Teams: messages of channels and chats in and out, by Microsoft Graph."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field

from area.sdk import Context, Event, Option, Pick, Row, Service, found, parse
from area.sdk.microsoft import GRAPH, NAME, changes, hint, microsoft, rows, stamp

service = Service(
    "teams",
    "Microsoft Teams",
    "Messages of channels and chats in and out, and new channels. For work and school accounts.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/teams-api-overview",
    auth=microsoft(),
    quality="verified",
)

CHOOSE = ("Team.ReadBasic.All", "Channel.ReadBasic.All")  # for the lists of teams and channels
CHATS = ("Chat.ReadBasic",)
MINUTE = timedelta(minutes=1)


class Team(BaseModel):
    """Which team."""

    team: Annotated[str, Pick("teams")] = Field(description="The team", examples=["fbe2bf47-16c8-47cf"])


class Channel(Team):
    """Which channel of which team."""

    channel: Annotated[str, Pick("channels")] = Field(description="The channel", examples=["19:4a95f7d8@thread.tacv2"])


class Chat(BaseModel):
    """Which chat."""

    chat: Annotated[str, Pick("chats")] = Field(description="The chat", examples=["19:2da4c29f@thread.v2"])


class Said(BaseModel):
    """What to say."""

    text: str = Field(min_length=1, description="What to say", examples=["Hello!"])
    format: Literal["text", "html"] = Field("text", description="What the text is written in", examples=["html"])


class ToChannel(Said, Channel):
    """What to say in which channel."""


class Reply(ToChannel):
    """What to answer to which message."""

    message: str = Field(min_length=1, description="Id of the message", examples=["{{id}}"])


class ToChat(Said, Chat):
    """What to say in which chat."""


class NewChannel(Team):
    """The channel to make."""

    name: str = Field(min_length=1, max_length=50, description="Its name", examples=["Release 2"])
    description: str = Field("", max_length=1024, description="What it is for", examples=["All about the release"])


class Message(Row):
    """A message."""

    id: str = found("id", "What names it in its channel or chat", "1616964509832")
    author: str | None = found("from.user.displayName from.application.displayName", "Who wrote it", "Ada", None)
    author_id: str | None = found("from.user.id from.application.id", "Id of who wrote it", "8ea0e38b", None)
    subject: str | None = found("subject", "Its subject, if it has one", "Lunch", None)
    content: str | None = found("body.content", "What it says", "<p>Hello!</p>", None)
    format: str | None = found("body.contentType", "What that is written in: text or html", "html", None)
    importance: str | None = found("importance", "normal, high or urgent", "normal", None)
    created_at: datetime = found("createdDateTime", "When it was written", "2026-11-23T09:00:00Z")
    web_url: str | None = found("webUrl", "Its address, in a channel", "https://teams.microsoft.com/l/message/x", None)


class ChannelMade(Row):
    """A channel."""

    id: str = found("id", "What names it", "19:4a95f7d8@thread.tacv2")
    name: str = found("displayName", "Its name", "Release 2")
    description: str | None = found("description", "What it is for", "All about the release", None)
    kind: str | None = found("membershipType", "standard, private or shared", "standard", None)
    created_at: datetime | None = found("createdDateTime", "When it was made", "2026-11-23T09:00:00Z", None)
    web_url: str | None = found("webUrl", "Its address", "https://teams.microsoft.com/l/channel/x", None)


class _Named(Row):
    id: str
    name: str | None = found("displayName topic", "Its name", "Engineering", None)
    kind: str | None = found("chatType", "What kind of chat", "oneOnOne", None)
    members: list["_Named"] = found("members", "Who is in it", [], [])


@service.poll(
    "A message is posted in a channel",
    every=MINUTE,
    scopes=(*CHOOSE, "ChannelMessage.Read.All"),
    hint=hint("/teams/{team}/channels/{channel}/messages"),
)
async def new_channel_message(ctx: Context, params: Channel, since: datetime) -> AsyncIterator[Event[Message]]:
    """A message is posted in a channel. Answers to messages do not count."""
    # https://learn.microsoft.com/graph/api/chatmessage-delta
    query = {"$filter": f"lastModifiedDateTime gt {stamp(since)}", "$top": "50"}
    async for row in changes(ctx, f"{_path(params)}/messages/delta", query):
        if (message := _written(row)) and message.created_at >= since:
            yield Event(message.id, message, message.created_at)


@service.poll("A message is posted in a chat", every=MINUTE, scopes=("Chat.Read",), hint=hint("/chats/{chat}/messages"))
async def new_chat_message(ctx: Context, params: Chat, since: datetime) -> AsyncIterator[Event[Message]]:
    """A message is posted in a chat."""
    # https://learn.microsoft.com/graph/api/chat-list-messages
    window = f"lastModifiedDateTime gt {stamp(since)}"
    query = {"$filter": window, "$orderby": "lastModifiedDateTime desc", "$top": "50"}
    async for row in rows(ctx, f"/chats/{_id(params.chat)}/messages", query, dict[str, Any]):
        if message := _written(row):
            yield Event(message.id, message, message.created_at)


@service.poll("A channel is made", every=timedelta(minutes=5), scopes=CHOOSE, hint=hint("/teams/{team}/channels"))
async def new_channel(ctx: Context, params: Team, since: datetime) -> AsyncIterator[Event[ChannelMade]]:  # noqa: ARG001
    """A channel is made in a team."""
    # https://learn.microsoft.com/graph/api/channel-list
    async for channel in rows(ctx, f"/teams/{_id(params.team)}/channels", {}, ChannelMade, most=1000):
        yield Event(channel.id, channel, channel.created_at)


def _written(row: dict[str, Any]) -> Message | None:
    """The message, if a person or a bot wrote it and did not take it back."""
    if row.get("messageType") != "message" or row.get("deletedDateTime"):
        return None
    return parse(Message, row, NAME)


@service.reaction("Post a message in a channel", on_crash="fail", scopes=(*CHOOSE, "ChannelMessage.Send"))
async def send_channel_message(ctx: Context, params: ToChannel) -> Message:
    """Post a message in a channel, in the name of the connected account."""
    # https://learn.microsoft.com/graph/api/channel-post-messages
    return await _post(ctx, f"{_path(params)}/messages", params)


@service.reaction("Answer a message", on_crash="fail", scopes=(*CHOOSE, "ChannelMessage.Send"))
async def reply_to_message(ctx: Context, params: Reply) -> Message:
    """Answer a message of a channel."""
    # https://learn.microsoft.com/graph/api/chatmessage-post-replies
    return await _post(ctx, f"{_path(params)}/messages/{_id(params.message)}/replies", params)


@service.reaction("Post a message in a chat", on_crash="fail", scopes=(*CHATS, "ChatMessage.Send"))
async def send_chat_message(ctx: Context, params: ToChat) -> Message:
    """Post a message in a chat, in the name of the connected account."""
    # https://learn.microsoft.com/graph/api/chat-post-messages
    return await _post(ctx, f"/chats/{_id(params.chat)}/messages", params)


@service.reaction("Make a channel", on_crash="fail", scopes=(*CHOOSE, "Channel.Create"))
async def create_channel(ctx: Context, params: NewChannel) -> ChannelMade:
    """Make a channel that all of the team can see."""
    # https://learn.microsoft.com/graph/api/channel-post
    made = {"displayName": params.name, "description": params.description, "membershipType": "standard"}
    return parse(ChannelMade, await ctx.http.post(f"/teams/{_id(params.team)}/channels", json=made), NAME)


async def _post(ctx: Context, path: str, said: Said) -> Message:
    body = {"contentType": said.format, "content": said.text}
    return parse(Message, await ctx.http.post(path, json={"body": body}), NAME)


def _path(channel: Channel) -> str:
    return f"/teams/{_id(channel.team)}/channels/{_id(channel.channel)}"


def _id(name: str) -> str:
    return quote(name, safe="")


@service.picker
async def teams(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The teams that the user is in."""
    # https://learn.microsoft.com/graph/api/user-list-joinedteams
    return [Option(one.id, one.name or one.id) async for one in rows(ctx, "/me/joinedTeams", {}, _Named)]


@service.picker
async def channels(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The channels of the team that is chosen."""
    if not (team := form.get("team")):
        return []
    path = f"/teams/{_id(team)}/channels"
    return [Option(one.id, one.name or one.id) async for one in rows(ctx, path, {}, _Named)]


@service.picker
async def chats(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's chats, by their topic or by who is in them."""
    # https://learn.microsoft.com/graph/api/chat-list
    return [
        Option(one.id, one.name or ", ".join(each.name or "?" for each in one.members) or one.id, one.kind or "")
        async for one in rows(ctx, "/me/chats", {"$expand": "members"}, _Named, most=200)
    ]
