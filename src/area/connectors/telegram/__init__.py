"""Telegram: what a bot is told in, and what it says and shows out."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import orjson
from pydantic import BaseModel, Field, SecretStr

from area.sdk import Access, AuthExpired, Context, Credentials, Event, Nothing, Permanent, Retry, Service

WAIT = 50  # seconds that Telegram holds a request while there is nothing to tell
MEDIA = ("photo", "document", "voice", "video", "audio", "animation", "sticker", "video_note")  # have a file
OTHERS = ("location", "contact", "poll", "new_chat_members", "left_chat_member", "pinned_message")


class Bot(BaseModel):
    """A bot, made by @BotFather."""

    token: SecretStr = Field(description="Token that @BotFather gave you", examples=["123456:ABC-DEF1234"])


class Chat(BaseModel):
    """Which chat."""

    chat: str = Field(
        pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,32})$",
        description="The chat by its id, or @name of a public group or channel",
        examples=["-1001234567890"],
    )


class Message(BaseModel):
    """A message."""

    kind: str = Field(description="text, command, photo, document, voice, video, location and so on", examples=["text"])
    text: str = Field(description="What it says, or the caption", examples=["/light kitchen on"])
    command: str = Field(description="The command without slash, if it is one", examples=["light"])
    arguments: str = Field(description="What follows the command", examples=["kitchen on"])
    chat: str = Field(description="Id of the chat", examples=["-1001234567890"])
    chat_name: str = Field(description="Title of the group or channel, or who the chat is with", examples=["Home"])
    private: bool = Field(description="Whether it is a chat with the bot alone", examples=[False])
    message_id: int = Field(description="What names the message in its chat", examples=[42])
    sender: str = Field(description="Who wrote it", examples=["Ada Lovelace"])
    sender_id: str = Field(description="Id of who wrote it", examples=["123456789"])
    sender_username: str = Field(description="Their @name, without @", examples=["ada"])
    file_id: str = Field(description="What names the photo or file at Telegram", examples=["AgACAgIAAxkBAAM"])


class Members(BaseModel):
    """How many are in a chat."""

    count: int = Field(description="How many there are now", examples=[101])
    before: int = Field(description="How many there were", examples=[100])


class Text(Chat):
    """A message to send."""

    text: str = Field(min_length=1, max_length=4096, description="What to say", examples=["The *build* is green"])
    format: Literal["plain", "HTML", "MarkdownV2"] = Field(
        "plain", description="How the text is written", examples=["HTML"]
    )
    silent: bool = Field(False, description="Without a sound", examples=[False])
    reply_to: int | None = Field(None, description="Message to answer, by its message_id", examples=[42])
    preview: bool = Field(True, description="Whether the first link is shown with a preview", examples=[True])


class Photo(Chat):
    """A photo to send."""

    photo: str = Field(
        min_length=1, description="Address of a picture, or a file_id", examples=["https://example.com/cat.jpg"]
    )
    caption: str = Field("", max_length=1024, description="What stands below it", examples=["Our cat"])
    silent: bool = Field(False, description="Without a sound", examples=[False])


class One(Chat):
    """A message of the bot's chat."""

    message_id: int = Field(description="The message, by its message_id", examples=[42])


class Edit(One):
    """What a message of the bot is to say instead."""

    text: str = Field(min_length=1, max_length=4096, description="What it says from now on", examples=["Done"])


class Pin(One):
    """A message to pin."""

    silent: bool = Field(True, description="Without telling the members", examples=[True])


class Sent(BaseModel):
    """What was sent."""

    chat: str = Field(description="Id of the chat", examples=["-1001234567890"])
    message_id: int = Field(description="What names the message in its chat", examples=[43])


def access(bot: Bot) -> Access:
    """The token stands in the path: https://core.telegram.org/bots/api#authorizing-your-bot."""
    token = bot.token.get_secret_value().strip()
    return Access(base_url=f"https://api.telegram.org/bot{token}", secrets=(token,))


async def works(ctx: Context, bot: Bot) -> None:  # noqa: ARG001
    """Ask who the bot is, and whether somebody else gets its messages."""
    try:
        # https://core.telegram.org/bots/api#getme, #getwebhookinfo
        await _call(ctx, "getMe")
        hook = await _call(ctx, "getWebhookInfo")
    except (AuthExpired, Permanent) as error:
        raise Permanent(f"Telegram does not know this token; @BotFather tells it again. {error}") from error
    if hook["url"]:
        raise Permanent("Another program gets this bot's messages by a webhook. Make a bot of its own for AREA.")


service = Service(
    "telegram",
    "Telegram",
    "Messages and commands that a bot gets in its chats, and messages and photos that it sends.",
    docs="https://core.telegram.org/bots/api",
    auth=Credentials(Bot, works, access),
)


@service.listen("A message is received")
async def message_received(ctx: Context, params: Nothing) -> AsyncIterator[Event[Message]]:  # noqa: ARG001
    """Fires for each message, command, photo or file that the bot gets. Conditions choose which: by kind, command or chat.

    Telegram keeps what comes while AREA is away for a day, and each message is acknowledged once its run is stored.
    """
    asked: dict[str, Any] = {"allowed_updates": ["message", "channel_post"]}
    if "begun" not in ctx.state:
        # https://core.telegram.org/bots/api#getupdates: a negative offset forgets what waited before
        for row in await _updates(ctx, asked | {"offset": -1}):
            await _updates(ctx, asked | {"offset": row["update_id"] + 1})
        ctx.state["begun"] = True
        await ctx.save()
    while True:
        rows = await _updates(ctx, asked | {"timeout": WAIT})
        asked.pop("offset", None)  # it was acknowledged; after a quiet week Telegram counts from a lower number
        for row in rows:
            if message := row.get("message") or row.get("channel_post"):
                at = datetime.fromtimestamp(message["date"], UTC)
                yield Event(f"{message['chat']['id']}:{message['message_id']}", _read(message), at)
            asked["offset"] = row["update_id"] + 1


@service.poll("A message is pinned", every=timedelta(minutes=2))
async def message_pinned(ctx: Context, params: Chat, since: datetime) -> AsyncIterator[Event[Message]]:  # noqa: ARG001
    """Fires when a message that is newer than the others is pinned in a chat that the bot is in."""
    # https://core.telegram.org/bots/api#getchat
    found = await _call(ctx, "getChat", chat_id=_id(params.chat))
    if message := found.get("pinned_message"):
        yield Event(f"{found['id']}:{message['message_id']}", _read(message))


@service.poll("The number of members changes", every=timedelta(minutes=5))
async def members_changed(ctx: Context, params: Chat, since: datetime) -> AsyncIterator[Event[Members]]:  # noqa: ARG001
    """Fires when a group or channel has more or fewer members than when it was looked at before."""
    # https://core.telegram.org/bots/api#getchatmembercount
    count = int(await _call(ctx, "getChatMemberCount", chat_id=_id(params.chat)))
    before = ctx.state.setdefault("count", count)
    if count != before:
        # nobody names such a change: it is numbered, anew whenever the watching begins anew
        session = ctx.state.setdefault("session", uuid4().hex[:12])
        ctx.state.update(count=count, changes=ctx.state.get("changes", 0) + 1)
        yield Event(f"{session}:{ctx.state['changes']}", Members(count=count, before=before))


@service.reaction("Send a message", on_crash="fail")
async def send_message(ctx: Context, params: Text) -> Sent:
    """Sends a message to a person who has written to the bot, or to a group or channel that it is in."""
    body: dict[str, Any] = {"text": params.text, "disable_notification": params.silent}
    if params.format != "plain":
        body["parse_mode"] = params.format
    if params.reply_to is not None:
        body["reply_parameters"] = {"message_id": params.reply_to}
    if not params.preview:
        body["link_preview_options"] = {"is_disabled": True}
    # https://core.telegram.org/bots/api#sendmessage
    return _sent(await _call(ctx, "sendMessage", chat_id=_id(params.chat), **body))


@service.reaction("Send a photo", on_crash="fail")
async def send_photo(ctx: Context, params: Photo) -> Sent:
    """Sends a picture that Telegram fetches from its address (up to 5 MB), or one that the bot has got."""
    body = {"photo": params.photo, "caption": params.caption, "disable_notification": params.silent}
    # https://core.telegram.org/bots/api#sendphoto
    return _sent(await _call(ctx, "sendPhoto", chat_id=_id(params.chat), **body))


@service.reaction("Edit a message")
async def edit_message(ctx: Context, params: Edit) -> Sent:
    """Replaces the text of a message that the bot has sent; that it says so already is no failure."""
    try:
        # https://core.telegram.org/bots/api#editmessagetext
        await _call(ctx, "editMessageText", chat_id=_id(params.chat), message_id=params.message_id, text=params.text)
    except Permanent as error:
        if "message is not modified" not in str(error):
            raise
    return Sent(chat=params.chat, message_id=params.message_id)


@service.reaction("Pin a message")
async def pin_message(ctx: Context, params: Pin) -> Sent:
    """Pins a message; in groups and channels the bot needs the right to."""
    body = {"message_id": params.message_id, "disable_notification": params.silent}
    # https://core.telegram.org/bots/api#pinchatmessage
    await _call(ctx, "pinChatMessage", chat_id=_id(params.chat), **body)
    return Sent(chat=params.chat, message_id=params.message_id)


def _id(chat: str) -> int | str:
    return chat if chat.startswith("@") else int(chat)


def _sent(message: Any) -> Sent:
    return Sent(chat=str(message["chat"]["id"]), message_id=message["message_id"])


def _read(message: dict[str, Any]) -> Message:
    """https://core.telegram.org/bots/api#message."""
    chat, sender = message["chat"], message.get("from") or message.get("sender_chat") or message["chat"]
    text = message.get("text") or message.get("caption") or ""
    kind = next((one for one in (*MEDIA, *OTHERS) if one in message), "text" if text else "other")
    file = message.get(kind) if kind in MEDIA else None
    file = max(file, key=lambda size: size["width"]) if isinstance(file, list) else file
    entities = message.get("entities", ())
    length = next((e["length"] for e in entities if e["type"] == "bot_command" and e["offset"] == 0), 0)
    return Message(
        kind="command" if length else kind,
        text=text,
        command=text[1:length].partition("@")[
            0
        ],  # /light@home_bot; it is ASCII, so that lengths in UTF-16 are in characters
        arguments=text[length:].strip() if length else "",
        chat=str(chat["id"]),
        chat_name=_name(chat),
        private=chat["type"] == "private",
        message_id=message["message_id"],
        sender=_name(sender),
        sender_id=str(sender["id"]),
        sender_username=sender.get("username", ""),
        file_id=file["file_id"] if file else "",
    )


def _name(one: dict[str, Any]) -> str:
    return one.get("title") or " ".join(one[part] for part in ("first_name", "last_name") if one.get(part))


async def _updates(ctx: Context, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What is not acknowledged yet, in order; all before `offset` is from now on."""
    # https://core.telegram.org/bots/api#getupdates
    return list(await _call(ctx, "getUpdates", **asked))


async def _call(ctx: Context, method: str, **body: Any) -> Any:
    response = await ctx.http.request("POST", f"/{method}", json=body or None, timeout=WAIT + 10)
    if response.status == 409:
        raise Retry(f"Another program reads this bot's messages; make a bot of its own for AREA. {response.excerpt()}")
    told: Any = None
    with suppress(orjson.JSONDecodeError):
        told = orjson.loads(response.body)
    # https://core.telegram.org/bots/api#responseparameters
    wait = told.get("parameters", {}).get("retry_after") if isinstance(told, dict) else None
    if response.status == 429 and wait:
        raise Retry(f"Telegram asks to wait for {wait} s.", timedelta(seconds=wait), parks=True)
    ctx.http.check(response)
    if not isinstance(told, dict) or "result" not in told:
        raise Permanent(f"Telegram answered {method} with something else than it documents.")
    return told["result"]
