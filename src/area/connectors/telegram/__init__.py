"""Telegram: what a bot is told in, and what it says and shows out."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import uuid4

from area.sdk import (
    AuthExpired,
    Context,
    Event,
    Events,
    Gone,
    Output,
    Pages,
    Permanent,
    Response,
    Retry,
    Service,
    composed,
    lookup,
    output,
    param,
    parse,
    without_blanks,
)
from area.sdk.forms import form, secret
from area.sdk.shapes import ADDRESS, HTML, MARKDOWN, by_format

MEDIA = ("photo", "document", "voice", "video", "audio", "animation", "sticker", "video_note")
OTHERS = ("location", "contact", "poll", "new_chat_members", "left_chat_member", "pinned_message")
ID = r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,32})$"
Answer = TypeVar("Answer")


async def _works(ctx: Context, bot: Any) -> None:
    try:  # https://core.telegram.org/bots/api#getwebhookinfo
        elsewhere = await ctx.http.post("/getWebhookInfo", str, at="result.url")
    except (AuthExpired, Permanent) as error:
        raise Permanent(f"Telegram does not know this token; @BotFather tells it again. {error}") from error
    if elsewhere:
        raise Permanent("Another program gets this bot's messages by a webhook. Make a bot of its own for AREA.")


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | None:
    if response.status == 409:
        return Retry(f"Another program reads this bot's messages; make a bot of its own for AREA. {response.excerpt()}")
    wait = lookup("parameters.retry_after", body)  # https://core.telegram.org/bots/api#responseparameters
    return Retry(f"Telegram asks to wait for {wait} s.", timedelta(seconds=wait), parks=True) if wait else None


service = Service(
    "telegram",
    "Telegram",
    "Messages and commands that a bot gets in its chats, and messages and photos that it sends.",
    docs="https://core.telegram.org/bots/api",
    auth=form(
        _works,
        base_url="https://api.telegram.org/bot{token}",  # https://core.telegram.org/bots/api#authorizing-your-bot
        token=secret("Token that @BotFather gave you", "123456:ABC-DEF1234"),
    ),
    refusal=_refusal,
    # https://core.telegram.org/bots/api#getupdates: all before `offset` is acknowledged
    pages=Pages("result", lambda told: (lookup("result.-1.update_id", told) or -1) + 1, cursor="offset", most=1000),
)

Chat = Annotated[str, param("The chat by its id, or @name of a public group or channel", "-1001234567890", pattern=ID)]
MessageId = Annotated[int, param("The message, by its message_id", 42)]
WRITTEN = by_format("format", {"HTML": HTML, "MarkdownV2": MARKDOWN})
Silent = Annotated[bool, param("Without a sound", False)]
Quietly = Annotated[bool, param("Without telling the members", True)]
PHOTO = "Address of a picture, or a file_id"
Photo = Annotated[str, param(PHOTO, "https://example.com/cat.jpg", min_length=1, shape=ADDRESS)]
Caption = Annotated[str, param("What stands below it", "Our cat", max_length=1024)]
NewText = Annotated[str, param("What it says from now on", "Done", min_length=1, max_length=4096)]


class Message(Output):
    kind: str = output("kind", "text, command, photo, document, voice, video, location and so on", "text")
    text: str = output("text", "What it says, or the caption", "/light kitchen on")
    command: str = output("command", "The command without slash, if it is one", "light")
    arguments: str = output("arguments", "What follows the command", "kitchen on")
    chat: str = composed("{chat.id}", "Id of the chat", "-1001234567890")
    chat_name: str = output("chat_name", "Title of the group or channel, or who the chat is with", "Home")
    private: bool = output("private", "Whether it is a chat with the bot alone", False)
    message_id: int = output("message_id", "What names the message in its chat", 42)
    sender: str = output("sender", "Who wrote it", "Ada Lovelace")
    sender_id: str = composed("{who.id}", "Id of who wrote it", "123456789")
    sender_username: str = output("who.username", "Their @name, without @", "ada", "")
    file_id: str = output("file.file_id", "What names the photo or file at Telegram", "AgACAgIAAxkBAAM", "")


class Members(Output):
    count: int = output("count", "How many there are now", 101)
    before: int = output("before", "How many there were", 100)


class Sent(Output):
    chat: str = composed("{chat.id}", "Id of the chat", "-1001234567890")
    message_id: int = output("message_id", "What names the message in its chat", 43)


@service.listen("A message is received")
async def message_received(ctx: Context) -> Events[Message]:
    """Fires for each message, command, photo or file that the bot gets. Conditions choose which: by kind, command or chat.

    Telegram keeps what comes while AREA is away for a day, and each message is acknowledged once its run is stored.
    """
    wanted: dict[str, Any] = {"allowed_updates": ["message", "channel_post"]}
    if "begun" not in ctx.state:
        async for _ in ctx.http.rows("/getUpdates", method="POST", json=wanted | {"offset": -1}):
            pass  # what waited before is forgotten
        ctx.state["begun"] = True
        await ctx.save()
    while True:  # nothing for 50 s ends the list; after a quiet week Telegram counts from a lower number
        async for row in ctx.http.rows("/getUpdates", method="POST", json=wanted | {"timeout": 50}, timeout=60):
            if message := lookup("message channel_post", row):
                at = datetime.fromtimestamp(message["date"], UTC)
                yield Event(f"{message['chat']['id']}:{message['message_id']}", _read(message), at)


@service.poll("A message is pinned", every=timedelta(minutes=2))
async def message_pinned(ctx: Context, chat: Chat) -> Events[Message]:
    """Fires when a message that is newer than the others is pinned in a chat that the bot is in."""
    there = await _call(ctx, "getChat", dict[str, Any], chat)  # https://core.telegram.org/bots/api#getchat
    if message := there.get("pinned_message"):
        yield Event(f"{there['id']}:{message['message_id']}", _read(message))


@service.poll("The number of members changes", every=timedelta(minutes=5))
async def members_changed(ctx: Context, chat: Chat) -> Events[Members]:
    """Fires when a group or channel has more or fewer members than when it was looked at before."""
    # https://core.telegram.org/bots/api#getchatmembercount
    count = await _call(ctx, "getChatMemberCount", int, chat)
    before, ctx.state["count"] = ctx.state.get("count", count), count
    if count != before:
        # nobody names such a change; it is not seen again, for the count is kept together with it
        yield Event(uuid4().hex, Members(count=count, before=before))


@service.reaction("Send a message", on_crash="fail")
async def send_message(
    ctx: Context,
    chat: Chat,
    text: Annotated[str, param("What to say", "The *build* is green", min_length=1, max_length=4096, shape=WRITTEN)],
    format: Annotated[Literal["plain", "HTML", "MarkdownV2"], param("How the text is written", "HTML")] = "plain",
    *,
    silent: Silent = False,
    reply_to: Annotated[int | None, param("Message to answer, by its message_id", 42)] = None,
    preview: Annotated[bool, param("Whether the first link is shown with a preview", True)] = True,
) -> Sent:
    """Sends a message to a person who has written to the bot, or to a group or channel that it is in."""
    body = {"text": text, "disable_notification": silent}
    body |= without_blanks(parse_mode=format.replace("plain", ""), reply_parameters=without_blanks(message_id=reply_to))
    body |= without_blanks(link_preview_options={} if preview else {"is_disabled": True})
    return await _call(ctx, "sendMessage", Sent, chat, **body)  # https://core.telegram.org/bots/api#sendmessage


@service.reaction("Send a photo", on_crash="fail")
async def send_photo(ctx: Context, chat: Chat, photo: Photo, caption: Caption = "", *, silent: Silent = False) -> Sent:
    """Sends a picture that Telegram fetches from its address (up to 5 MB), or one that the bot has got."""
    body = {"photo": photo, "caption": caption, "disable_notification": silent}
    return await _call(ctx, "sendPhoto", Sent, chat, **body)  # https://core.telegram.org/bots/api#sendphoto


@service.reaction("Edit a message")
async def edit_message(ctx: Context, chat: Chat, message_id: MessageId, text: NewText) -> Sent:
    """Replaces the text of a message that the bot has sent; that it says so already is no failure."""
    with suppress(Gone):  # https://core.telegram.org/bots/api#editmessagetext
        await _call(ctx, "editMessageText", Any, chat, message_id=message_id, text=text)
    return Sent(chat=chat, message_id=message_id)


@service.reaction("Pin a message")
async def pin_message(ctx: Context, chat: Chat, message_id: MessageId, *, silent: Quietly = True) -> Sent:
    """Pins a message; in groups and channels the bot needs the right to."""
    # https://core.telegram.org/bots/api#pinchatmessage
    await _call(ctx, "pinChatMessage", bool, chat, message_id=message_id, disable_notification=silent)
    return Sent(chat=chat, message_id=message_id)


def _read(message: dict[str, Any]) -> Message:
    """https://core.telegram.org/bots/api#message."""
    chat, sender = message["chat"], lookup("from sender_chat chat", message)
    text = lookup("text caption", message, "")
    kind = next((one for one in (*MEDIA, *OTHERS) if one in message), "text" if text else "other")
    file = max(message.get("photo", ()), key=lambda size: size["width"], default=message.get(kind))
    begun = [one["length"] for one in message.get("entities", ()) if (one["type"], one["offset"]) == ("bot_command", 0)]
    length = begun[0] if begun else 0  # /light@home_bot; it is ASCII, so that lengths in UTF-16 are in characters
    command, rest = text[1:length].partition("@")[0], text[length:].strip() if length else ""
    told = {"kind": "command" if length else kind, "text": text, "command": command, "arguments": rest, "file": file}
    told |= {"chat_name": _name(chat), "private": chat["type"] == "private", "sender": _name(sender), "who": sender}
    return parse(Message, message | told, "Telegram")


def _name(one: dict[str, Any]) -> str:
    return one.get("title") or " ".join(one[part] for part in ("first_name", "last_name") if one.get(part))


async def _call(ctx: Context, method: str, kind: type[Answer], chat: str, **body: Any) -> Answer:
    body["chat_id"] = chat if chat.startswith("@") else int(chat)
    return await ctx.http.post(f"/{method}", kind, at="result", json=body, gone=("message is not modified",))
