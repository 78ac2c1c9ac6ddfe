"""Discord: messages, members, reactions and threads of servers in, by a bot; messages, threads and roles out. People log in with it."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from area.sdk import (
    Access,
    Account,
    AuthExpired,
    Context,
    Credentials,
    Event,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Service,
    parse,
)

EPOCH = 1_420_070_400_000  # ms, https://docs.discord.com/developers/reference#snowflakes
SPOKEN = {
    0,
    19,
    20,
}  # types of messages: said, said in answer, said by a command; the others tell of joins, pins and such
TEXTUAL = {0, 5}  # types of channels: text, announcements
PAGES = 10
# https://docs.discord.com/developers/reference#user-agent: without one of this form requests may be blocked
AGENT = {"User-Agent": "DiscordBot (https://area.invalid, 1)"}
ID = r"^[0-9]{1,20}$"


class Bot(BaseModel):
    """A bot, made in Discord's developer portal."""

    token: SecretStr = Field(description="The bot's token, under Bot, Reset Token", examples=["MTA2.GhX.4ccf"])


class Server(BaseModel):
    """Which server."""

    server: Annotated[str, Pick("servers")] = Field(
        pattern=ID, description="The server, by its id", examples=["197038439483310086"]
    )


class Channel(Server):
    """Which channel."""

    channel: Annotated[str, Pick("channels")] = Field(
        pattern=ID, description="The channel, by its id", examples=["41771983423143937"]
    )


class Posts(Channel):
    """Which messages."""

    bots: bool = Field(False, description="Also what bots and webhooks post, AREA among them", examples=[False])


class Reacting(Channel):
    """Which reactions."""

    message: str = Field(pattern=ID, description="The message, by its id", examples=["162701077035089920"])
    emoji: str = Field(min_length=1, description="An emoji, or name:id of the server's own", examples=["👍"])


class Message(BaseModel):
    """A message."""

    id: str = Field(description="Id of the message", examples=["162701077035089920"])
    channel: str = Field(description="Id of the channel", examples=["41771983423143937"])
    text: str = Field(description="What it says", examples=["The build is green"])
    author: str = Field(description="Who wrote it", examples=["Ada"])
    author_id: str = Field(description="Id of who wrote it", examples=["53908099506183680"])
    attachments: list[str] = Field(
        description="Addresses of its files", examples=[["https://cdn.discordapp.com/a.png"]]
    )
    link: str = Field(description="Its address", examples=["https://discord.com/channels/1970/4177/1627"])


class Person(BaseModel):
    """Somebody."""

    id: str = Field(description="Id of the person", examples=["53908099506183680"])
    name: str = Field(description="Name that is shown", examples=["Ada"])
    username: str = Field(description="Name that nobody else has", examples=["ada_l"])


class Thread(BaseModel):
    """A thread, or a post of a forum."""

    id: str = Field(description="Id of the thread", examples=["41771983423143999"])
    name: str = Field(description="Its name", examples=["Where to eat"])
    parent_id: str | None = Field(None, description="Id of the channel that it is in", examples=["41771983423143937"])
    owner_id: str | None = Field(None, description="Id of who began it", examples=["53908099506183680"])


class Post(Channel):
    """A message to post."""

    text: str = Field(min_length=1, max_length=2000, description="What to say, in Markdown", examples=["**Done**"])
    reply_to: str = Field("", pattern=r"^[0-9]{0,20}$", description="Message to answer, by its id", examples=["1627"])


class Direct(BaseModel):
    """A message to somebody."""

    user: str = Field(pattern=ID, description="Who gets it, by id", examples=["53908099506183680"])
    text: str = Field(min_length=1, max_length=2000, description="What to say, in Markdown", examples=["Tea is ready"])


class Begin(Channel):
    """A thread to begin."""

    name: str = Field(min_length=1, max_length=100, description="What it is called", examples=["Where to eat"])
    message: str = Field(
        "", pattern=r"^[0-9]{0,20}$", description="Message that it begins at, by id", examples=["1627"]
    )


class Give(Server):
    """A role to give."""

    user: str = Field(pattern=ID, description="Who gets it, by id", examples=["53908099506183680"])
    role: Annotated[str, Pick("roles")] = Field(
        pattern=ID, description="The role, by id", examples=["41771983423143936"]
    )


class Done(BaseModel):
    """What was made or changed."""

    id: str = Field(description="Its id", examples=["162701077035089920"])


def access(bot: Bot) -> Access:
    """https://docs.discord.com/developers/reference#authentication."""
    return Access(headers={"Authorization": f"Bot {bot.token.get_secret_value().strip()}", **AGENT})


async def works(ctx: Context, bot: Bot) -> None:  # noqa: ARG001
    """Ask who the bot is."""
    try:
        await _get(ctx, "/users/@me")
    except AuthExpired as error:
        raise Permanent(
            f"Discord does not know this token; Reset Token in the developer portal makes one. {error}"
        ) from error


async def account(ctx: Context) -> Account:
    """Who logs in."""
    # https://docs.discord.com/developers/resources/user#get-current-user
    me = await ctx.http.get("/users/@me", headers=AGENT)
    verified = me.get("verified") is True
    return Account(me["id"], me.get("global_name") or me["username"], me.get("email"), email_verified=verified)


service = Service(
    "discord",
    "Discord",
    "Messages, members, reactions and threads of servers, and messages, threads and roles by a bot of your own.",
    docs="https://docs.discord.com/developers/quick-start/getting-started",
    base_url="https://discord.com/api/v10",
    auth=Credentials(Bot, works, access),
    # https://docs.discord.com/developers/topics/oauth2#shared-resources-oauth2-urls
    login=OAuth2(
        "https://discord.com/oauth2/authorize",
        "https://discord.com/api/oauth2/token",
        account,
        scopes=("identify",),
        login_scopes=("identify", "email"),
        revoke_url="https://discord.com/api/oauth2/token/revoke",
    ),
)


@service.poll("A message is posted in a channel", every=timedelta(minutes=1))
async def message_posted(ctx: Context, params: Posts, since: datetime) -> AsyncIterator[Event[Message]]:
    """Fires for each new message of a channel that the bot can read."""
    # https://docs.discord.com/developers/resources/message#get-channel-messages
    async for row in _pages(ctx, f"/channels/{params.channel}/messages", 100, after=_snowflake(since)):
        if row["type"] in SPOKEN and (params.bots or not (row["author"].get("bot") or row.get("webhook_id"))):
            message = Message(
                id=row["id"],
                channel=row["channel_id"],
                text=row["content"],
                author=_person(row["author"]).name,
                author_id=row["author"]["id"],
                attachments=[one["url"] for one in row["attachments"]],
                link=f"https://discord.com/channels/{params.server}/{row['channel_id']}/{row['id']}",
            )
            yield Event(message.id, message, _time(message.id))


@service.poll("Somebody joins a server", every=timedelta(minutes=5))
async def member_joined(ctx: Context, params: Server, since: datetime) -> AsyncIterator[Event[Person]]:  # noqa: ARG001
    """Fires for each new member of a server; not for bots. The bot needs the Server Members Intent."""
    # https://docs.discord.com/developers/resources/guild#list-guild-members
    async for row in _pages(ctx, f"/guilds/{params.server}/members", 1000, key=lambda one: one["user"]["id"]):
        if not row["user"].get("bot"):
            person = _person(row["user"])
            yield Event(f"{person.id}:{row['joined_at']}", person, datetime.fromisoformat(row["joined_at"]))


@service.poll("Somebody reacts to a message", every=timedelta(minutes=1))
async def reaction_added(ctx: Context, params: Reacting, since: datetime) -> AsyncIterator[Event[Person]]:  # noqa: ARG001
    """Fires for each person who reacts to one message with one emoji: to give those a role, say."""
    # https://docs.discord.com/developers/resources/message#get-reactions
    path = (
        f"/channels/{params.channel}/messages/{params.message}/reactions/{quote(params.emoji.strip('<:>'), safe=':')}"
    )
    async for row in _pages(ctx, path, 100):
        yield Event(row["id"], _person(row))


@service.poll("A thread begins", every=timedelta(minutes=2))
async def thread_created(ctx: Context, params: Server, since: datetime) -> AsyncIterator[Event[Thread]]:  # noqa: ARG001
    """Fires for each new thread of a server, also for each new post of a forum, that the bot can see."""
    # https://docs.discord.com/developers/resources/guild#list-active-guild-threads
    for row in (await _get(ctx, f"/guilds/{params.server}/threads/active"))["threads"]:
        yield Event(row["id"], parse(Thread, row, "Discord"), _time(row["id"]))


@service.reaction("Post a message")
async def send_message(ctx: Context, params: Post) -> Done:
    """Posts in a channel or thread, or answers a message. It mentions people and roles, but never everyone."""
    body = _said(ctx, params.text)
    if params.reply_to:
        body["message_reference"] = {"message_id": params.reply_to}
    # https://docs.discord.com/developers/resources/message#create-message
    return await _post(ctx, f"/channels/{params.channel}/messages", body)


@service.reaction("Send a direct message")
async def send_direct_message(ctx: Context, params: Direct) -> Done:
    """Sends a message to somebody who shares a server with the bot and lets its members write to them."""
    # https://docs.discord.com/developers/resources/user#create-dm
    opened = await _post(ctx, "/users/@me/channels", {"recipient_id": params.user})
    return await _post(ctx, f"/channels/{opened.id}/messages", _said(ctx, params.text))


@service.reaction("Begin a thread", on_crash="fail")
async def create_thread(ctx: Context, params: Begin) -> Done:
    """Begins a public thread in a channel, or at one of its messages."""
    if params.message:
        # https://docs.discord.com/developers/resources/channel#start-thread-from-message
        return await _post(ctx, f"/channels/{params.channel}/messages/{params.message}/threads", {"name": params.name})
    # https://docs.discord.com/developers/resources/channel#start-thread-without-message: 11 is a public one
    return await _post(ctx, f"/channels/{params.channel}/threads", {"name": params.name, "type": 11})


@service.reaction("React to a message")
async def add_reaction(ctx: Context, params: Reacting) -> Done:
    """Reacts to a message with an emoji, as the bot."""
    emoji = quote(params.emoji.strip("<:>"), safe=":")
    # https://docs.discord.com/developers/resources/message#create-reaction
    await ctx.http.call("PUT", f"/channels/{params.channel}/messages/{params.message}/reactions/{emoji}/@me")
    return Done(id=params.message)


@service.reaction("Give a role")
async def add_role(ctx: Context, params: Give) -> Done:
    """Gives a member a role that is below the bot's own; that they have it already is no failure."""
    # https://docs.discord.com/developers/resources/guild#add-guild-member-role
    await ctx.http.call("PUT", f"/guilds/{params.server}/members/{params.user}/roles/{params.role}")
    return Done(id=params.user)


@service.picker
async def servers(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Servers that the bot is in."""
    # https://docs.discord.com/developers/resources/user#get-current-user-guilds
    return [Option(row["id"], row["name"]) async for row in _pages(ctx, "/users/@me/guilds", 200)]


@service.picker
async def channels(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Text channels of the chosen server."""
    # https://docs.discord.com/developers/resources/guild#get-guild-channels
    return [
        Option(one["id"], f"#{one['name']}")
        for one in await _of_server(ctx, form, "channels")
        if one["type"] in TEXTUAL
    ]


@service.picker
async def roles(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Roles of the chosen server that can be given."""
    # https://docs.discord.com/developers/resources/guild#get-guild-roles; that of everyone has the server's id
    rows = await _of_server(ctx, form, "roles")
    return [Option(one["id"], one["name"]) for one in rows if not one["managed"] and one["id"] != form["server"]]


async def _of_server(ctx: Context, form: Mapping[str, str], what: str) -> list[Any]:
    server = form.get("server", "")
    return list(await _get(ctx, f"/guilds/{server}/{what}")) if server.isdecimal() else []


def _said(ctx: Context, text: str) -> dict[str, Any]:
    # of messages with the same nonce, Discord makes the first only, for some minutes; it has 25 characters
    nonce = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:25]
    return {"content": text, "allowed_mentions": {"parse": ["users", "roles"]}, "nonce": nonce, "enforce_nonce": True}


def _person(user: Mapping[str, Any]) -> Person:
    return Person(id=user["id"], name=user.get("global_name") or user["username"], username=user["username"])


async def _pages(
    ctx: Context, path: str, size: int, after: str = "0", key: Any = lambda one: one["id"]
) -> AsyncIterator[Any]:
    """What comes after an id, in pages."""
    for _ in range(PAGES):
        rows = await _get(ctx, path, limit=str(size), after=after)
        for row in rows:
            yield row
        if len(rows) < size:
            break
        after = str(max(int(key(row)) for row in rows))


async def _get(ctx: Context, path: str, **query: str) -> Any:
    return await ctx.http.get(path, params=query)


async def _post(ctx: Context, path: str, body: Mapping[str, Any]) -> Done:
    return parse(Done, await ctx.http.post(path, json=body), "Discord")


def _time(snowflake: str) -> datetime:
    return datetime.fromtimestamp(((int(snowflake) >> 22) + EPOCH) / 1000, UTC)


def _snowflake(at: datetime) -> str:
    return str(max(0, int(at.timestamp() * 1000) - EPOCH) << 22)
