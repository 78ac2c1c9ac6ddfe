"""Microsoft Teams: reads and posts messages in channels and chats through Microsoft Graph."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from area.sdk import Context, Event, Events, Option, Output, Service, output, param, parse, quoted, timestamp
from area.sdk.shapes import HTML, by_format
from area.vendors.microsoft import GRAPH, NAME, PAGES, changes, hint, microsoft

service = Service(
    "teams",
    "Microsoft Teams",
    "React to messages in channels and chats; post, reply and create channels. For work and school accounts.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/teams-api-overview",
    pages=PAGES,
    auth=microsoft(),
    quality="verified",
    synonyms={
        "": "chat, Microsoft 365, Office 365, meeting",
        "new_channel_message": "chat message, someone writes",
        "new_chat_message": "direct message, DM",
        "send_channel_message": "notify the team, write in a channel, announce, alert a channel",
        "send_chat_message": "DM, private message",
    },
)
# https://learn.microsoft.com/graph/api/user-list-joinedteams
service.options("teams", "/me/joinedTeams", label="displayName")
# https://learn.microsoft.com/graph/api/channel-list
service.options("channels", "/teams/{team}/channels", label="displayName")

CHOOSE = ("Team.ReadBasic.All", "Channel.ReadBasic.All")  # for the lists of teams and channels
READ, SEND = (*CHOOSE, "ChannelMessage.Read.All"), (*CHOOSE, "ChannelMessage.Send")
MINUTE = timedelta(minutes=1)

Team = Annotated[str, param("Team", "fbe2bf47-16c8-47cf", pick="teams")]
Channel = Annotated[str, param("Channel", "19:4a95f7d8@thread.tacv2", pick="channels")]
Chat = Annotated[str, param("Chat", "19:2da4c29f@thread.v2", pick="chats")]
Text = Annotated[str, param("Text", "Hello!", min_length=1, shape=by_format("format", {"html": HTML}))]
Format = Annotated[Literal["text", "html"], param("Format of the text", "html")]
MessageId = Annotated[str, param("Message ID", "{{id}}", min_length=1)]


class Message(Output):
    id: str = output("id", "Message ID in its channel or chat", "1616964509832")
    author: str | None = output("from.user.displayName from.application.displayName", "Author", "Ada", None)
    author_id: str | None = output("from.user.id from.application.id", "Author's ID", "8ea0e38b", None)
    subject: str | None = output("subject", "Subject, if any", "Lunch", None)
    content: str | None = output("body.content", "Text", "<p>Hello!</p>", None)
    format: str | None = output("body.contentType", "Format of the text: text or html", "html", None)
    importance: str | None = output("importance", "Importance: normal, high or urgent", "normal", None)
    created_at: datetime = output("createdDateTime", "Date written", "2026-11-23T09:00:00Z")
    web_url: str | None = output(
        "webUrl", "URL, for messages in channels", "https://teams.microsoft.com/l/message/x", None
    )


class ChannelMade(Output):
    id: str = output("id", "ID", "19:4a95f7d8@thread.tacv2")
    name: str = output("displayName", "Name", "Release 2")
    description: str | None = output("description", "Description", "All about the release", None)
    kind: str | None = output("membershipType", "Type: standard, private or shared", "standard", None)
    created_at: datetime | None = output("createdDateTime", "Date created", "2026-11-23T09:00:00Z", None)
    web_url: str | None = output("webUrl", "URL", "https://teams.microsoft.com/l/channel/x", None)


@service.poll(
    "New message in a channel",
    every=MINUTE,
    scopes=READ,
    hint=hint("/teams/{team}/channels/{channel}/messages"),
)
async def new_channel_message(ctx: Context, since: datetime, team: Team, channel: Channel) -> Events[Message]:
    """Triggers when a message is posted in a channel. Replies don't count."""
    # https://learn.microsoft.com/graph/api/chatmessage-delta
    query = {"$filter": f"lastModifiedDateTime gt {timestamp(since)}", "$top": "50"}
    async for message in changes(ctx, f"{_messages(team, channel)}/delta", Message, query, _written):
        if message.created_at >= since:
            yield Event(message.id, message, message.created_at)


@service.poll("New message in a chat", every=MINUTE, scopes=("Chat.Read",), hint=hint("/chats/{chat}/messages"))
async def new_chat_message(ctx: Context, since: datetime, chat: Chat) -> Events[Message]:
    """Triggers when a message is posted in a chat."""
    # https://learn.microsoft.com/graph/api/chat-list-messages
    window = f"lastModifiedDateTime gt {timestamp(since)}"
    query = {"$filter": window, "$orderby": "lastModifiedDateTime desc", "$top": "50"}
    async for row in ctx.http.rows(quoted("/chats/{}/messages", chat), params=query):
        if _written(row):
            message = parse(Message, row, NAME)
            yield Event(message.id, message, message.created_at)


@service.poll("New channel", every=timedelta(minutes=5), scopes=CHOOSE, hint=hint("/teams/{team}/channels"))
async def new_channel(ctx: Context, team: Team) -> Events[ChannelMade]:
    """Triggers when a channel is created in a team."""
    # https://learn.microsoft.com/graph/api/channel-list
    async for channel in ctx.http.rows(quoted("/teams/{}/channels", team), ChannelMade):
        yield Event(channel.id, channel, channel.created_at)


def _written(row: dict[str, Any]) -> bool:
    """Whether it is a person's or bot's message that hasn't been deleted."""
    return row.get("messageType") == "message" and not row.get("deletedDateTime")


@service.reaction("Post a message in a channel", on_crash="fail", scopes=SEND)
async def send_channel_message(
    ctx: Context, team: Team, channel: Channel, text: Text, format: Format = "text"
) -> Message:
    """Post a message in a channel as the connected account."""
    # https://learn.microsoft.com/graph/api/channel-post-messages
    return await _post(ctx, _messages(team, channel), text, format)


@service.reaction("Reply to a message", on_crash="fail", scopes=SEND)
async def reply_to_message(
    ctx: Context, team: Team, channel: Channel, text: Text, format: Format = "text", *, message: MessageId
) -> Message:
    """Reply to a message in a channel."""
    # https://learn.microsoft.com/graph/api/chatmessage-post-replies
    return await _post(ctx, _messages(team, channel) + quoted("/{}/replies", message), text, format)


@service.reaction("Post a message in a chat", on_crash="fail", scopes=("Chat.ReadBasic", "ChatMessage.Send"))
async def send_chat_message(ctx: Context, chat: Chat, text: Text, format: Format = "text") -> Message:
    """Post a message in a chat as the connected account."""
    # https://learn.microsoft.com/graph/api/chat-post-messages
    return await _post(ctx, quoted("/chats/{}/messages", chat), text, format)


@service.reaction("Create a channel", on_crash="fail", scopes=(*CHOOSE, "Channel.Create"))
async def create_channel(
    ctx: Context,
    team: Team,
    name: Annotated[str, param("Name", "Release 2", min_length=1, max_length=50)],
    description: Annotated[str, param("Description", "All about the release", max_length=1024)] = "",
) -> ChannelMade:
    """Create a channel that everyone in the team can see."""
    # https://learn.microsoft.com/graph/api/channel-post
    result = {"displayName": name, "description": description, "membershipType": "standard"}
    return await ctx.http.post(quoted("/teams/{}/channels", team), ChannelMade, json=result)


async def _post(ctx: Context, path: str, text: str, format: str) -> Message:
    return await ctx.http.post(path, Message, json={"body": {"contentType": format, "content": text}})


def _messages(team: str, channel: str) -> str:
    return quoted("/teams/{}/channels/{}/messages", team, channel)


@service.picker
async def chats(ctx: Context) -> list[Option]:
    """The user's chats, by their topic or by who is in them."""
    # https://learn.microsoft.com/graph/api/chat-list
    rows = ctx.http.rows("/me/chats", params={"$expand": "members"})
    return [Option(row["id"], row.get("topic") or _members(row), row.get("chatType") or "") async for row in rows]


def _members(chat: dict[str, Any]) -> str:
    return ", ".join(member.get("displayName") or "?" for member in chat.get("members") or []) or str(chat["id"])
