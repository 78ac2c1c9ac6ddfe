"""Telegram: what a bot is told in, and what it says and shows out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import uuid4

from pydantic import BaseModel, SecretStr

from area.sdk import Access, Context, Credentials, Event, Events, Response, Service, asked, look, parse
from area.sdk.answers import Row, filled, found
from area.sdk.errors import AuthExpired, Permanent, Retry

WAIT = 50  # seconds that Telegram holds a request while there is nothing to tell
MEDIA = ("photo", "document", "voice", "video", "audio", "animation", "sticker", "video_note")  # have a file
OTHERS = ("location", "contact", "poll", "new_chat_members", "left_chat_member", "pinned_message")
CHAT = r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,32})$"
Updates = list[dict[str, Any]]
Answer = TypeVar("Answer")


class Bot(BaseModel):
    token: Annotated[SecretStr, asked("Token that @BotFather gave you", "123456:ABC-DEF1234")]


def access(bot: Bot) -> Access:
    """The token stands in the path: https://core.telegram.org/bots/api#authorizing-your-bot."""
    token = bot.token.get_secret_value().strip()
    return Access(base_url=f"https://api.telegram.org/bot{token}", secrets=(token,))


async def works(ctx: Context, bot: Bot) -> None:
    """Ask who the bot is, and whether somebody else gets its messages."""
    try:
        # https://core.telegram.org/bots/api#getme, #getwebhookinfo
        await _call(ctx, "getMe", dict[str, Any])
        hook = await _call(ctx, "getWebhookInfo", dict[str, Any])
    except (AuthExpired, Permanent) as error:
        raise Permanent(f"Telegram does not know this token; @BotFather tells it again. {error}") from error
    if hook["url"]:
        raise Permanent("Another program gets this bot's messages by a webhook. Make a bot of its own for AREA.")


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | None:
    if response.status == 409:
        return Retry(f"Another program reads this bot's messages; make a bot of its own for AREA. {response.excerpt()}")
    # https://core.telegram.org/bots/api#responseparameters
    wait = look("parameters.retry_after", body)
    if response.status == 429 and wait:
        return Retry(f"Telegram asks to wait for {wait} s.", timedelta(seconds=wait), parks=True)
    return None


service = Service(
    "telegram",
    "Telegram",
    "Messages and commands that a bot gets in its chats, and messages and photos that it sends.",
    docs="https://core.telegram.org/bots/api",
    auth=Credentials(Bot, works, access),
    refusal=_refusal,
)

Chat = Annotated[
    str, asked("The chat by its id, or @name of a public group or channel", "-1001234567890", pattern=CHAT)
]
MessageId = Annotated[int, asked("The message, by its message_id", 42)]
Silent = Annotated[bool, asked("Without a sound", False)]
Quietly = Annotated[bool, asked("Without telling the members", True)]
Photo = Annotated[str, asked("Address of a picture, or a file_id", "https://example.com/cat.jpg", min_length=1)]
Caption = Annotated[str, asked("What stands below it", "Our cat", max_length=1024)]
NewText = Annotated[str, asked("What it says from now on", "Done", min_length=1, max_length=4096)]


class Message(Row):
    kind: str = found("kind", "text, command, photo, document, voice, video, location and so on", "text")
    text: str = found("text", "What it says, or the caption", "/light kitchen on")
    command: str = found("command", "The command without slash, if it is one", "light")
    arguments: str = found("arguments", "What follows the command", "kitchen on")
    chat: str = filled("{chat.id}", "Id of the chat", "-1001234567890")
    chat_name: str = found("chat_name", "Title of the group or channel, or who the chat is with", "Home")
    private: bool = found("private", "Whether it is a chat with the bot alone", False)
    message_id: int = found("message_id", "What names the message in its chat", 42)
    sender: str = found("sender", "Who wrote it", "Ada Lovelace")
    sender_id: str = found("sender_id", "Id of who wrote it", "123456789")
    sender_username: str = found("sender_username", "Their @name, without @", "ada")
    file_id: str = found("file_id", "What names the photo or file at Telegram", "AgACAgIAAxkBAAM")


class Members(Row):
    count: int = found("count", "How many there are now", 101)
    before: int = found("before", "How many there were", 100)


class Sent(Row):
    chat: str = filled("{chat.id}", "Id of the chat", "-1001234567890")
    message_id: int = found("message_id", "What names the message in its chat", 43)


@service.listen("A message is received")
async def message_received(ctx: Context) -> Events[Message]:
    """Fires for each message, command, photo or file that the bot gets. Conditions choose which: by kind, command or chat.

    Telegram keeps what comes while AREA is away for a day, and each message is acknowledged once its run is stored.
    """
    wanted: dict[str, Any] = {"allowed_updates": ["message", "channel_post"]}
    if "begun" not in ctx.state:
        # https://core.telegram.org/bots/api#getupdates: a negative offset forgets what waited before
        for row in await _call(ctx, "getUpdates", Updates, **wanted, offset=-1):
            await _call(ctx, "getUpdates", Updates, **wanted, offset=row["update_id"] + 1)
        ctx.state["begun"] = True
        await ctx.save()
    while True:
        # what is not acknowledged yet, in order; all before `offset` is from now on
        rows = await _call(ctx, "getUpdates", Updates, **wanted, timeout=WAIT)
        wanted.pop("offset", None)  # it was acknowledged; after a quiet week Telegram counts from a lower number
        for row in rows:
            if message := row.get("message") or row.get("channel_post"):
                at = datetime.fromtimestamp(message["date"], UTC)
                yield Event(f"{message['chat']['id']}:{message['message_id']}", _read(message), at)
            wanted["offset"] = row["update_id"] + 1


@service.poll("A message is pinned", every=timedelta(minutes=2))
async def message_pinned(ctx: Context, chat: Chat) -> Events[Message]:
    """Fires when a message that is newer than the others is pinned in a chat that the bot is in."""
    # https://core.telegram.org/bots/api#getchat
    there = await _call(ctx, "getChat", dict[str, Any], chat_id=_id(chat))
    if message := there.get("pinned_message"):
        yield Event(f"{there['id']}:{message['message_id']}", _read(message))


@service.poll("The number of members changes", every=timedelta(minutes=5))
async def members_changed(ctx: Context, chat: Chat) -> Events[Members]:
    """Fires when a group or channel has more or fewer members than when it was looked at before."""
    # https://core.telegram.org/bots/api#getchatmembercount
    count = await _call(ctx, "getChatMemberCount", int, chat_id=_id(chat))
    before = ctx.state.setdefault("count", count)
    if count != before:
        # nobody names such a change: it is numbered, anew whenever the watching begins anew
        session = ctx.state.setdefault("session", uuid4().hex[:12])
        ctx.state.update(count=count, changes=ctx.state.get("changes", 0) + 1)
        yield Event(f"{session}:{ctx.state['changes']}", Members(count=count, before=before))


@service.reaction("Send a message", on_crash="fail")
async def send_message(
    ctx: Context,
    chat: Chat,
    text: Annotated[str, asked("What to say", "The *build* is green", min_length=1, max_length=4096)],
    format: Annotated[Literal["plain", "HTML", "MarkdownV2"], asked("How the text is written", "HTML")] = "plain",
    *,
    silent: Silent = False,
    reply_to: Annotated[int | None, asked("Message to answer, by its message_id", 42)] = None,
    preview: Annotated[bool, asked("Whether the first link is shown with a preview", True)] = True,
) -> Sent:
    """Sends a message to a person who has written to the bot, or to a group or channel that it is in."""
    body: dict[str, Any] = {"chat_id": _id(chat), "text": text, "disable_notification": silent}
    body |= {"parse_mode": format} if format != "plain" else {}
    body |= {"reply_parameters": {"message_id": reply_to}} if reply_to is not None else {}
    body |= {} if preview else {"link_preview_options": {"is_disabled": True}}
    # https://core.telegram.org/bots/api#sendmessage
    return await _call(ctx, "sendMessage", Sent, **body)


@service.reaction("Send a photo", on_crash="fail")
async def send_photo(ctx: Context, chat: Chat, photo: Photo, caption: Caption = "", *, silent: Silent = False) -> Sent:
    """Sends a picture that Telegram fetches from its address (up to 5 MB), or one that the bot has got."""
    body = {"chat_id": _id(chat), "photo": photo, "caption": caption, "disable_notification": silent}
    # https://core.telegram.org/bots/api#sendphoto
    return await _call(ctx, "sendPhoto", Sent, **body)


@service.reaction("Edit a message")
async def edit_message(ctx: Context, chat: Chat, message_id: MessageId, text: NewText) -> Sent:
    """Replaces the text of a message that the bot has sent; that it says so already is no failure."""
    try:
        # https://core.telegram.org/bots/api#editmessagetext
        await _call(ctx, "editMessageText", dict[str, Any], chat_id=_id(chat), message_id=message_id, text=text)
    except Permanent as error:
        if "message is not modified" not in str(error):
            raise
    return Sent(chat=chat, message_id=message_id)


@service.reaction("Pin a message")
async def pin_message(ctx: Context, chat: Chat, message_id: MessageId, *, silent: Quietly = True) -> Sent:
    """Pins a message; in groups and channels the bot needs the right to."""
    body = {"chat_id": _id(chat), "message_id": message_id, "disable_notification": silent}
    # https://core.telegram.org/bots/api#pinchatmessage
    await _call(ctx, "pinChatMessage", bool, **body)
    return Sent(chat=chat, message_id=message_id)


def _id(chat: str) -> int | str:
    return chat if chat.startswith("@") else int(chat)


def _read(message: dict[str, Any]) -> Message:
    """https://core.telegram.org/bots/api#message."""
    chat, sender = message["chat"], message.get("from") or message.get("sender_chat") or message["chat"]
    text = message.get("text") or message.get("caption") or ""
    kind = next((one for one in (*MEDIA, *OTHERS) if one in message), "text" if text else "other")
    file = message.get(kind) if kind in MEDIA else None
    file = max(file, key=lambda size: size["width"]) if isinstance(file, list) else file
    entities = message.get("entities", ())
    length = next((e["length"] for e in entities if e["type"] == "bot_command" and e["offset"] == 0), 0)
    told = {"chat_name": _name(chat), "private": chat["type"] == "private", "file_id": file["file_id"] if file else ""}
    told |= {"sender": _name(sender), "sender_id": str(sender["id"]), "sender_username": sender.get("username", "")}
    # /light@home_bot; it is ASCII, so that lengths in UTF-16 are in characters
    told |= {"kind": "command" if length else kind, "text": text, "command": text[1:length].partition("@")[0]}
    told |= {"arguments": text[length:].strip() if length else ""}
    return parse(Message, message | told, "Telegram")


def _name(one: dict[str, Any]) -> str:
    return one.get("title") or " ".join(one[part] for part in ("first_name", "last_name") if one.get(part))


async def _call(ctx: Context, method: str, kind: type[Answer], **body: Any) -> Answer:
    return await ctx.http.post(f"/{method}", kind, at="result", json=body or None, timeout=WAIT + 10)
