"""Telegram: triggers on a bot's messages; sends messages and photos."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import uuid4

from area.sdk import (
    Account,
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
    Sentence,
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


async def _works(ctx: Context, bot: Any) -> Account:
    try:  # https://core.telegram.org/bots/api#getme, #getwebhookinfo
        me = await ctx.http.post("/getMe", dict[str, Any], at="result")
        elsewhere = await ctx.http.post("/getWebhookInfo", str, at="result.url")
    except (AuthExpired, Permanent) as error:
        raise Permanent(
            Sentence("Telegram rejected this token. @BotFather shows it again. %(error)s", error=error)
        ) from error
    if elsewhere:
        raise Permanent(
            "Another program receives this bot's messages through a webhook. Create a separate bot for AREA."
        )
    return Account(str(me["id"]), f"@{me['username']}")


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | None:
    if response.status == 409:
        return Retry(
            Sentence(
                "Another program reads this bot's messages. Create a separate bot for AREA. %(said)s",
                said=response.excerpt(),
            )
        )
    wait = lookup("parameters.retry_after", body)  # https://core.telegram.org/bots/api#responseparameters
    if not wait:
        return None
    sentence = Sentence("Telegram asks AREA to wait %(number)s seconds.", number=wait)
    return Retry(sentence, timedelta(seconds=wait), parks=True)


service = Service(
    "telegram",
    "Telegram",
    "React to messages and commands your bot gets; send messages and photos.",
    docs="https://core.telegram.org/bots/api",
    auth=form(
        _works,
        base_url="https://api.telegram.org/bot{token}",  # https://core.telegram.org/bots/api#authorizing-your-bot
        token=secret("Token from @BotFather", "123456:ABC-DEF1234"),
    ),
    refusal=_refusal,
    # https://core.telegram.org/bots/api#getupdates: all before `offset` is acknowledged
    pages=Pages("result", lambda answer: (lookup("result.-1.update_id", answer) or -1) + 1, cursor="offset", most=1000),
    synonyms={
        "": "chat, bot, messenger, messaging",
        "message_received": "bot command, message to my bot, chat message, someone writes, text message",
        "message_pinned": "announcement",
        "members_changed": "someone joins the group, leaves",
        "send_message": (
            "text me, send me a message, SMS, push notification to my phone, notify me, send a text, text message, ping"
            " me, alert a group"
        ),
        "send_photo": "picture, image",
        "edit_message": "change a message",
    },
)

Chat = Annotated[str, param("Chat ID, or @name of a public group or channel", "-1001234567890", pattern=ID)]
MessageId = Annotated[int, param("message_id of the message", 42)]
WRITTEN = by_format("format", {"HTML": HTML, "MarkdownV2": MARKDOWN})
Silent = Annotated[bool, param("Send without sound", False)]
Quietly = Annotated[bool, param("Pin without notifying the members", True)]
PHOTO = "URL of a picture, or a file_id"
Photo = Annotated[str, param(PHOTO, "https://example.com/cat.jpg", min_length=1, shape=ADDRESS)]
Caption = Annotated[str, param("Caption", "Our cat", max_length=1024)]
NewText = Annotated[str, param("New text", "Done", min_length=1, max_length=4096)]


class Message(Output):
    kind: str = output("kind", "Kind: text, command, photo, document, voice, video, location and so on", "text")
    text: str = output("text", "Text or caption", "/light kitchen on")
    command: str = output("command", "Command without the slash, if any", "light")
    arguments: str = output("arguments", "Text after the command", "kitchen on")
    chat: str = composed("{chat.id}", "Chat ID", "-1001234567890")
    chat_name: str = output("chat_name", "Title of the group or channel, or name of the person", "Home")
    private: bool = output("private", "Whether it is a private chat with the bot", False)
    message_id: int = output("message_id", "Identifies the message in its chat", 42)
    sender: str = output("sender", "Author", "Ada Lovelace")
    sender_id: str = composed("{who.id}", "Author's ID", "123456789")
    sender_username: str = output("who.username", "Username, without @", "ada", "")
    file_id: str = output("file.file_id", "Telegram's ID of the photo or file", "AgACAgIAAxkBAAM", "")


class Members(Output):
    count: int = output("count", "Members now", 101)
    before: int = output("before", "Members before", 100)


class Sent(Output):
    chat: str = composed("{chat.id}", "Chat ID", "-1001234567890")
    message_id: int = output("message_id", "Identifies the message in its chat", 43)


@service.listen("New message")
async def message_received(ctx: Context) -> Events[Message]:
    """Triggers for each message, command, photo or file the bot gets. Add conditions to filter by kind, command or
    chat.

    Telegram keeps messages for a day while AREA is down, and each message is acknowledged once its run is stored.
    """
    params: dict[str, Any] = {"allowed_updates": ["message", "channel_post"]}
    if "begun" not in ctx.state:
        async for _ in ctx.http.rows("/getUpdates", method="POST", json=params | {"offset": -1}):
            pass  # what waited before is forgotten
        ctx.state["begun"] = True
        await ctx.save()
    while True:  # nothing for 50 s ends the list; after a quiet week Telegram counts from a lower number
        async for row in ctx.http.rows("/getUpdates", method="POST", json=params | {"timeout": 50}, timeout=60):
            if message := lookup("message channel_post", row):
                at = datetime.fromtimestamp(message["date"], UTC)
                yield Event(f"{message['chat']['id']}:{message['message_id']}", _read(message), at)


@service.poll("Message pinned", every=timedelta(minutes=2))
async def message_pinned(ctx: Context, chat: Chat) -> Events[Message]:
    """Triggers when a newer message is pinned in a chat the bot is in."""
    there = await _call(ctx, "getChat", dict[str, Any], chat)  # https://core.telegram.org/bots/api#getchat
    if message := there.get("pinned_message"):
        yield Event(f"{there['id']}:{message['message_id']}", _read(message))


@service.poll("Number of members changed", every=timedelta(minutes=5))
async def members_changed(ctx: Context, chat: Chat) -> Events[Members]:
    """Triggers when a group or channel gains or loses members."""
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
    text: Annotated[str, param("Text", "The *build* is green", min_length=1, max_length=4096, shape=WRITTEN)],
    format: Annotated[Literal["plain", "HTML", "MarkdownV2"], param("Format of the text", "HTML")] = "plain",
    *,
    silent: Silent = False,
    reply_to: Annotated[int | None, param("message_id of the message to reply to", 42)] = None,
    preview: Annotated[bool, param("Show a preview of the first link", True)] = True,
) -> Sent:
    """Send a message to a person who has written to the bot, or to a group or channel the bot is in."""
    body = {"text": text, "disable_notification": silent}
    body |= without_blanks(parse_mode=format.replace("plain", ""), reply_parameters=without_blanks(message_id=reply_to))
    body |= without_blanks(link_preview_options={} if preview else {"is_disabled": True})
    return await _call(ctx, "sendMessage", Sent, chat, **body)  # https://core.telegram.org/bots/api#sendmessage


@service.reaction("Send a photo", on_crash="fail")
async def send_photo(ctx: Context, chat: Chat, photo: Photo, caption: Caption = "", *, silent: Silent = False) -> Sent:
    """Send a picture from a URL (up to 5 MB), or one the bot has received."""
    body = {"photo": photo, "caption": caption, "disable_notification": silent}
    return await _call(ctx, "sendPhoto", Sent, chat, **body)  # https://core.telegram.org/bots/api#sendphoto


@service.reaction("Edit a message", idempotent="same")
async def edit_message(ctx: Context, chat: Chat, message_id: MessageId, text: NewText) -> Sent:
    """Replace the text of a message the bot has sent. Succeeds if nothing needs changing."""
    with suppress(Gone):  # https://core.telegram.org/bots/api#editmessagetext
        await _call(ctx, "editMessageText", Any, chat, message_id=message_id, text=text)
    return Sent(chat=chat, message_id=message_id)


@service.reaction("Pin a message", idempotent="same")
async def pin_message(ctx: Context, chat: Chat, message_id: MessageId, *, silent: Quietly = True) -> Sent:
    """Pin a message. In groups and channels the bot needs permission to pin."""
    # https://core.telegram.org/bots/api#pinchatmessage
    await _call(ctx, "pinChatMessage", bool, chat, message_id=message_id, disable_notification=silent)
    return Sent(chat=chat, message_id=message_id)


def _read(message: dict[str, Any]) -> Message:
    """https://core.telegram.org/bots/api#message."""
    chat, sender = message["chat"], lookup("from sender_chat chat", message)
    text = lookup("text caption", message, "")
    kind = next((item for item in (*MEDIA, *OTHERS) if item in message), "text" if text else "other")
    file = max(message.get("photo", ()), key=lambda size: size["width"], default=message.get(kind))
    begun = [
        entity["length"]
        for entity in message.get("entities", ())
        if (entity["type"], entity["offset"]) == ("bot_command", 0)
    ]
    length = begun[0] if begun else 0  # /light@home_bot; it is ASCII, so that lengths in UTF-16 are in characters
    command, rest = text[1:length].partition("@")[0], text[length:].strip() if length else ""
    fields = {"kind": "command" if length else kind, "text": text, "command": command, "arguments": rest, "file": file}
    fields |= {"chat_name": _name(chat), "private": chat["type"] == "private", "sender": _name(sender), "who": sender}
    return parse(Message, message | fields, "Telegram")


def _name(one: dict[str, Any]) -> str:
    return one.get("title") or " ".join(one[part] for part in ("first_name", "last_name") if one.get(part))


async def _call(ctx: Context, method: str, kind: type[Answer], chat: str, **body: Any) -> Answer:
    body["chat_id"] = chat if chat.startswith("@") else int(chat)
    return await ctx.http.post(f"/{method}", kind, at="result", json=body, gone=("message is not modified",))
