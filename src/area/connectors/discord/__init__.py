"""Discord: triggers on messages, members, reactions and threads through a bot; sends messages, threads and roles. Also
a sign-in provider.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from area.sdk import (
    Context,
    Event,
    Events,
    Made,
    OAuth2,
    Output,
    Pages,
    Service,
    composed,
    lookup,
    output,
    param,
    parse,
    profile,
    without_blanks,
)
from area.sdk.forms import form, secret, tried
from area.sdk.shapes import Shape, marks

EPOCH = 1_420_070_400_000  # ms, https://docs.discord.com/developers/reference#snowflakes
SPOKEN = {0, 19, 20}  # types of messages: said, in answer, by a command; the others tell of joins, pins and such
ID, MAYBE = r"^[0-9]{1,20}$", r"^[0-9]{0,20}$"
LINK = "https://discord.com/channels/{server}/{channel_id}/{id}"

service = Service(
    "discord",
    "Discord",
    "React to messages, members, reactions and threads; send messages, start threads and give roles with your own bot.",
    docs="https://docs.discord.com/developers/quick-start/getting-started",
    base_url="https://discord.com/api/v10",
    # https://docs.discord.com/developers/reference#user-agent: without one of this form requests may be blocked
    headers={"User-Agent": "DiscordBot (https://area.invalid, 1)"},
    auth=form(
        tried(
            "/users/@me",
            "Discord rejected this token. Create one with Reset Token in the developer portal.",
            account="username",  # https://docs.discord.com/developers/resources/user#user-object
        ),
        headers={"Authorization": "Bot {token}"},  # https://docs.discord.com/developers/reference#authentication
        token=secret("Bot token, from Bot > Reset Token", "MTA2.GhX.4ccf"),
    ),
    login=OAuth2(  # https://docs.discord.com/developers/topics/oauth2#shared-resources-oauth2-urls
        "https://discord.com/oauth2/authorize",
        "https://discord.com/api/oauth2/token",
        # https://docs.discord.com/developers/resources/user#get-current-user
        profile("/users/@me", id="id", name="global_name username", email="email", verified="verified"),
        scopes=("identify",),
        login_scopes=("identify", "email"),
        revoke_url="https://discord.com/api/oauth2/token/revoke",
    ),
    synonyms={
        "": "chat, gaming, guild, server",
        "message_posted": "chat message, someone writes, DM",
        "member_joined": "someone joins my server, new user",
        "reaction_added": "emoji",
        "thread_created": "new discussion",
        "send_message": "channel message, chat, webhook message, announce, notify the team",
        "send_direct_message": "DM, private message, text me, send me a message",
        "create_thread": "discussion",
        "add_reaction": "emoji",
        "add_role": "assign role, permission, rank",
    },
)


def _after(size: int, id: str = "id", begin: str = "0") -> Pages:
    """Pagination by `after` an ID, in any order, while pages are full."""

    def highest(rows: list[Any]) -> str | None:
        return str(max(int(lookup(id, row)) for row in rows)) if len(rows) == size else None

    return Pages(next=highest, cursor="after", query={"limit": str(size), "after": begin}, most=10)


# https://docs.discord.com/developers/resources/user#get-current-user-guilds
service.options("servers", "/users/@me/guilds", pages=_after(200))
# https://docs.discord.com/developers/resources/guild#get-guild-channels: 0 is for text, 5 for announcements
service.options(
    "channels", "/guilds/{server}/channels", label="#{name}", where=lambda channel: channel["type"] in (0, 5)
)
# https://docs.discord.com/developers/resources/guild#get-guild-roles: those that can be given
service.options(
    "roles", "/guilds/{server}/roles", where=lambda role: role["name"] != "@everyone" and not role["managed"]
)

# a channel is chosen among those of a server, which is then no longer needed
Server = Annotated[str, param("Server ID", "197038439483310086", pick="servers", pattern=ID)]
Channel = Annotated[str, param("Channel ID", "41771983423143937", pick="channels", pattern=ID)]
Bots = Annotated[bool, param("Include messages from bots and webhooks, AREA included", False)]
MessageId = Annotated[str, param("Message ID", "162701077035089920", pattern=ID)]
Emoji = Annotated[str, param("Emoji, or name:id for a custom emoji of the server", "👍", min_length=1)]
# https://docs.discord.com/developers/reference#message-formatting: users, roles and channels
QUIET = Shape(place=marks(r"<(?=[@#]|\Z)", "<\u200b", "escape_markdown"))
Text = Annotated[str, param("Text, in Markdown", "**Done**", min_length=1, max_length=2000, shape=QUIET)]
Words = Annotated[Text, param("Text, in Markdown", "Tea is ready")]
User = Annotated[str, param("User ID of the recipient", "53908099506183680", pattern=ID)]
Role = Annotated[str, param("Role ID", "41771983423143936", pick="roles", pattern=ID)]
Name = Annotated[str, param("Name", "Where to eat", min_length=1, max_length=100)]
ReplyTo = Annotated[str, param("ID of the message to reply to", "1627", pattern=MAYBE)]
Begin = Annotated[str, param("ID of the message to start from", "1627", pattern=MAYBE)]


class Message(Output):
    id: str = output("id", "Message ID", "162701077035089920")
    channel: str = output("channel_id", "Channel ID", "41771983423143937")
    text: str = output("content", "Text", "The build is green")
    author: str = composed("{author.global_name author.username}", "Author", "Ada")
    author_id: str = composed("{author.id}", "Author's ID", "53908099506183680")
    attachments: list[str] = output(
        "attachments.*.url", "URLs of the attached files", ["https://cdn.discordapp.com/a.png"]
    )
    link: str = composed(LINK, "URL", "https://discord.com/channels/1970/4177/1627")


class Person(Output):
    id: str = output("id", "User ID", "53908099506183680")
    name: str = composed("{global_name username}", "Display name", "Ada")
    username: str = output("username", "Username", "ada_l")


class Thread(Output):
    id: str = output("id", "Thread ID", "41771983423143999")
    name: str = output("name", "Name", "Where to eat")
    parent_id: str | None = output("parent_id", "Channel ID", "41771983423143937", None)
    owner_id: str | None = output("owner_id", "ID of the person who started it", "53908099506183680", None)


@service.poll("New message in a channel", every=timedelta(minutes=1))
async def message_posted(
    ctx: Context, server: Server, channel: Channel, since: datetime, *, bots: Bots = False
) -> Events[Message]:
    """Triggers for each new message in a channel the bot can read."""
    # https://docs.discord.com/developers/resources/message#get-channel-messages
    async for row in ctx.http.rows(f"/channels/{channel}/messages", pages=_after(100, begin=_snowflake(since))):
        if row["type"] in SPOKEN and (bots or not (row["author"].get("bot") or row.get("webhook_id"))):
            yield Event(row["id"], parse(Message, row | {"server": server}, "Discord"), _time(row["id"]))


@service.poll("New server member", every=timedelta(minutes=5))
async def member_joined(ctx: Context, server: Server) -> Events[Person]:
    """Triggers for each new member of a server, except bots. The bot needs the Server Members Intent."""
    # https://docs.discord.com/developers/resources/guild#list-guild-members
    async for row in ctx.http.rows(f"/guilds/{server}/members", pages=_after(1000, "user.id")):
        if not row["user"].get("bot"):
            person, joined = parse(Person, row["user"], "Discord"), row["joined_at"]
            yield Event(f"{person.id}:{joined}", person, datetime.fromisoformat(joined))


@service.poll("New reaction to a message", every=timedelta(minutes=1))
async def reaction_added(
    ctx: Context, server: Server, channel: Channel, message: MessageId, emoji: Emoji
) -> Events[Person]:
    """Triggers for each person who reacts to a message with an emoji, for example to give them a role."""
    # https://docs.discord.com/developers/resources/message#get-reactions
    async for person in ctx.http.rows(_reactions(channel, message, emoji), Person, pages=_after(100)):
        yield Event(person.id, person)


@service.poll("New thread", every=timedelta(minutes=2))
async def thread_created(ctx: Context, server: Server) -> Events[Thread]:
    """Triggers for each new thread or forum post the bot can see on a server."""
    # https://docs.discord.com/developers/resources/guild#list-active-guild-threads
    for thread in await ctx.http.get(f"/guilds/{server}/threads/active", list[Thread], at="threads"):
        yield Event(thread.id, thread, _time(thread.id))


@service.reaction("Post a message", idempotent="key")
async def send_message(ctx: Context, server: Server, channel: Channel, text: Text, reply_to: ReplyTo = "") -> Made:
    """Post in a channel or thread, or reply to a message. It can mention people and roles, but never everyone, and
    mentions inside inserted values don't notify anyone.
    """
    # https://docs.discord.com/developers/resources/message#create-message
    body = _said(ctx, text) | without_blanks(message_reference=without_blanks(message_id=reply_to))
    return await ctx.http.post(f"/channels/{channel}/messages", Made, json=body)


@service.reaction("Send a direct message", idempotent="key")
async def send_direct_message(ctx: Context, user: User, text: Words) -> Made:
    """Send a message to someone who shares a server with the bot and accepts direct messages from its members."""
    # https://docs.discord.com/developers/resources/user#create-dm
    opened = await ctx.http.post("/users/@me/channels", Made, json={"recipient_id": user})
    return await ctx.http.post(f"/channels/{opened.id}/messages", Made, json=_said(ctx, text))


@service.reaction("Start a thread", on_crash="fail")
async def create_thread(ctx: Context, server: Server, channel: Channel, name: Name, message: Begin = "") -> Made:
    """Start a public thread in a channel, or from a message."""
    # https://docs.discord.com/developers/resources/channel#start-thread-from-message, #start-thread-without-message
    path, public = (f"messages/{message}/threads", None) if message else ("threads", 11)
    return await ctx.http.post(f"/channels/{channel}/{path}", Made, json={"name": name} | without_blanks(type=public))


@service.reaction("React to a message", idempotent="same")
async def add_reaction(ctx: Context, server: Server, channel: Channel, message: MessageId, emoji: Emoji) -> Made:
    """React to a message with an emoji, as the bot."""
    # https://docs.discord.com/developers/resources/message#create-reaction
    await ctx.http.call("PUT", f"{_reactions(channel, message, emoji)}/@me")
    return Made(id=message)


@service.reaction("Give a role", idempotent="same")
async def add_role(ctx: Context, server: Server, user: User, role: Role) -> Made:
    """Give a member a role below the bot's own. Succeeds if they already have it."""
    # https://docs.discord.com/developers/resources/guild#add-guild-member-role
    await ctx.http.call("PUT", f"/guilds/{server}/members/{user}/roles/{role}")
    return Made(id=user)


def _said(ctx: Context, text: str) -> dict[str, Any]:
    # of messages with the same nonce, Discord makes the first only, for some minutes; it has 25 characters
    nonce = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:25]
    return {"content": text, "allowed_mentions": {"parse": ["users", "roles"]}, "nonce": nonce, "enforce_nonce": True}


def _reactions(channel: str, message: str, emoji: str) -> str:
    return f"/channels/{channel}/messages/{message}/reactions/{quote(emoji.strip('<:>'), safe=':')}"


def _time(snowflake: str) -> datetime:
    return datetime.fromtimestamp(((int(snowflake) >> 22) + EPOCH) / 1000, UTC)


def _snowflake(at: datetime) -> str:
    return str(max(0, int(at.timestamp() * 1000) - EPOCH) << 22)
