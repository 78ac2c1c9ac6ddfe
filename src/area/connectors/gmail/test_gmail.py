"""Gmail, against a double that enforces its discovery document.

That Gmail fills in the sender of a mail that names none is not said there.
"""

import sys
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from pydantic import ValidationError

from area.connectors.gmail import service
from area.connectors.gmail.message import read_mail
from area.sdk import Hook, Permanent, now
from area.sdk.mail import Letter
from area.sdk.testing import Answer, Double, Watch, act, connector, discovered, finds_nothing, outcomes
from area.sdk.testing.engine import delivery

gmail = discovered("gmail.v1")
ME = "/gmail/v1/users/{userId}"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def begins(monkeypatch):
    """The present is when a test begins: a whole run takes longer than a window."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def vendor():
    async with Double(gmail) as double:
        double.again("POST", "/gmail/v1/users/{userId}/messages/{id}/modify")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def part(kind, text="", **more):
    data = text if isinstance(text, bytes) else text.encode()
    return {"mimeType": kind, "body": {"data": urlsafe_b64encode(data).decode().rstrip("="), "size": len(data)}} | more


def mail(name, minutes=0, *, labels=("INBOX",), parts=None, **headers):
    answer = {
        "From": "Ann <ann@example.org>",
        "To": "me@example.com, Bob <bob@example.com>",
        "Subject": name,
        **headers,
    }
    payload = {"mimeType": "multipart/mixed", "parts": parts or [part("text/plain", "Hello"), part("text/html", "<p>")]}
    payload["headers"] = [{"name": key.replace("_", "-"), "value": value} for key, value in answer.items()]
    moment = NOW + timedelta(minutes=minutes)
    return {
        "id": name, "threadId": f"t{name}", "labelIds": list(labels), "snippet": "Hel", "payload": payload,
        "internalDate": str(int(moment.timestamp() * 1000)),
    }  # fmt: skip


class Box:
    """A mailbox of two pages."""

    def __init__(self, vendor, *mails):
        self.mails = {item["id"]: item for item in mails}
        vendor.on("GET", f"{ME}/messages", self.list)
        vendor.on("GET", f"{ME}/messages/{{id}}", self.get)

    def list(self, request):
        ids = [{"id": item, "threadId": "t"} for item in self.mails]
        return {"messages": ids[1:]} if "pageToken" in request.query else {"messages": ids[:1], "nextPageToken": "2"}

    def get(self, request):
        return self.mails.get(request.params["id"]) or Answer(404, unchecked="an error is not described")


async def test_a_mail_arrives_once(ctx, vendor):
    box = Box(vendor, mail("old", -5), mail("older", -6))
    watch = Watch(ctx, service.actions["mail_received"], query="from:ann OR from:bob")
    assert await watch.ids() == []
    box.mails = {"new": mail("new", 1), **box.mails}
    (event,) = await watch.look()
    assert (event.id, event.at, event.data.sender, event.data.sender_name) == (
        "new", NOW + timedelta(minutes=1), "ann@example.org", "Ann",
    )  # fmt: skip
    assert (event.data.text, event.data.html, event.data.to) == ("Hello", "<p>", ["me@example.com", "bob@example.com"])
    assert await watch.ids() == []
    request = next(item for item in vendor.asked if item.route == f"{ME}/messages")
    assert request.query["q"].startswith("(from:ann OR from:bob) after:1")
    assert request.query.getall("labelIds") == ["INBOX"]


async def test_a_sender_made_of_brackets_does_not_stop_the_mail(ctx, vendor):
    box = Box(vendor, mail("old", -5))
    watch = Watch(ctx, service.actions["mail_received"])
    await watch.look()
    box.mails["new"] = mail("new", 1, From="(" * 100_000, To="<" * 100_000)
    (event,) = await watch.look()
    assert (event.data.sender, event.data.text) == ("", "Hello")


async def test_each_file_fires(ctx, vendor):
    files = [
        part("text/plain", "Bonjour \xe9".encode("latin-1")),
        {"mimeType": "application/pdf", "filename": "a.pdf", "partId": "1", "body": {"attachmentId": "x", "size": 9}},
        {"mimeType": "image/png", "filename": "b.png", "partId": "2", "body": {"size": 3}},
    ]
    box = Box(vendor, mail("old", -5))
    watch = Watch(ctx, service.actions["attachment_received"], label="")
    await watch.look()
    box.mails["new"] = mail("new", 1, parts=files)
    events = await watch.look()
    assert [(event.id, event.data.file_name, event.data.file_size) for event in events] == [
        ("new 1", "a.pdf", 9), ("new 2", "b.png", 3),
    ]  # fmt: skip
    assert events[0].data.text == "Bonjour é"
    assert events[0].data.attachments == ["a.pdf", "b.png"]
    assert await watch.ids() == []
    request = next(item for item in vendor.asked if item.route == f"{ME}/messages")
    assert request.query["q"].startswith("(has:attachment) after:")
    assert "labelIds" not in request.query


FILE = {"body": {"attachmentId": "x", "size": 9}}


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (
            [part("text/plain", "hello"), part("text/calendar", "BEGIN"), {"mimeType": "image/png", **FILE}],
            {"text": "hello", "attachments": ["noname", "noname"]},
        ),
        ([part("text/plain", "hello", filename="body.txt")], {"text": "hello", "attachments": []}),
        (
            [part("text/html", "<p>"), part("text/plain", "notes", filename="notes.txt")],
            {"text": "", "html": "<p>", "attachments": ["notes.txt"]},
        ),
        (
            [part("text/plain", "朱镕基".encode("gb18030"), headers=[{"name": "Content-Type", "value": "text/plain; charset=gb2312"}])],
            {"text": "朱镕基"},
        ),
        (
            [part("text/plain", b"\x1b$B-!\x1b(B", headers=[{"name": "Content-Type", "value": "text/plain; charset=iso-2022-jp"}])],
            {"text": "①"},
        ),
        ([part("text/plain", "Grüße", headers=[{"name": "Content-Type", "value": "text/plain; charset=iso-8859-1"}])], {"text": "Grüße"}),
    ],
    ids=["calendar-invitation", "text-part-named", "named notes", "body-gb2312-really-gb18030", "iso-2022-jp", "made UTF-8"],
)  # fmt: skip
def test_what_is_text_and_what_a_file(parts, wanted):
    dumped = read_mail(mail("x", parts=parts)).model_dump()
    assert {name: dumped[name] for name in wanted} == wanted


def test_names_and_copies():
    variables = read_mail(
        mail("x", From="Acme, Inc. Jobs <jobs@example.com>", Cc="C <c@x.org>, d@x.org", Reply_To="h@x.org")
    )
    assert (variables.sender, variables.sender_name) == ("jobs@example.com", "Acme, Inc. Jobs")
    assert (variables.cc, variables.reply_to) == (["c@x.org", "d@x.org"], ["h@x.org"])


async def test_a_label_is_given(ctx, vendor):
    Box(vendor, mail("a"), mail("b"))
    vendor.on("GET", f"{ME}/profile", {"historyId": "7"})
    starred = Watch(ctx, service.actions["mail_starred"])
    labelled = Watch(ctx, service.actions["mail_labelled"], label="Label_1")
    assert [await starred.ids(), await labelled.ids()] == [[], []]
    history = [
        {"id": "8", "labelsAdded": [{"message": {"id": "a"}, "labelIds": ["STARRED", "Label_1"]}]},
        {"id": "9", "labelsAdded": [{"message": {"id": "gone"}, "labelIds": ["STARRED"]}]},
        {"id": "10", "messagesAdded": [{"message": {"id": "b", "labelIds": ["Label_1"]}}]},
    ]
    first = {"history": history[:1], "historyId": "10", "nextPageToken": "2"}
    rest = {"history": history[1:], "historyId": "10"}
    vendor.on("GET", f"{ME}/history", lambda request: rest if "pageToken" in request.query else first)
    assert await starred.ids() == ["a 8"]
    assert await labelled.ids() == ["a 8", "b 10"]
    assert [item.query["startHistoryId"] for item in vendor.asked if "history" in item.route] == ["7"] * 4
    vendor.on("GET", f"{ME}/history", {"historyId": "10"})
    assert await starred.ids() == []
    assert vendor.asked[-1].query["startHistoryId"] == "10"
    vendor.on("GET", f"{ME}/history", Answer(404, unchecked="an error is not described"))
    assert await starred.ids() == []
    assert starred.state == {"history": "7"}, "the history does not go back so far: it begins anew"


def sent(request, *path):
    value = request.json
    for name in path:
        value = value[name]
    return message_from_bytes(urlsafe_b64decode(value["raw"]), policy=policy.default)


async def test_send_and_draft(ctx, vendor):
    letter = Letter(
        to="Ann <ann@example.org>", bcc="c@example.com", subject="Hi\r\nBcc: x@evil.example", html="<b>é</b>"
    )
    vendor.on("POST", f"{ME}/messages/send", {"id": "1", "threadId": "2", "labelIds": ["SENT"]})
    done = await service.reactions["send_mail"].function(ctx, letter)
    assert done.model_dump() == {"id": "1", "thread_id": "2", "label_ids": ["SENT"]}
    message = sent(vendor.asked[-1])
    assert (message["To"], message["Bcc"], message["Subject"]) == (
        "Ann <ann@example.org>", "c@example.com", "Hi Bcc: x@evil.example",
    )  # fmt: skip
    assert message.get_content().strip() == "<b>é</b>"
    vendor.on("POST", f"{ME}/drafts", {"id": "d", "message": {"id": "1", "threadId": "2"}})
    assert (await service.reactions["create_draft"].function(ctx, Letter(to="a@b.example", text="x"))).label_ids == []
    assert sent(vendor.asked[-1], "message").get_content().strip() == "x"
    for wrong in ("ann", "a@b.example\r\nBcc: c@d.example", ""):
        with pytest.raises(ValidationError):
            Letter(to=wrong, text="x")
    assert {service.reactions[name].on_crash for name in ("send_mail", "reply_to_mail")} == {"fail"}


async def test_answer(ctx, vendor):
    request = mail("m", Message_ID="<1@x>", References="<0@x>", Cc="cc@example.com", Reply_To="Desk <desk@example.org>")
    Box(vendor, request)
    vendor.on("POST", f"{ME}/messages/send", {"id": "1", "threadId": "tm"})
    reply = service.reactions["reply_to_mail"]
    await act(ctx, reply, message_id="m", text="Thanks", to_all=True)
    message = sent(vendor.asked[-1])
    assert vendor.asked[-1].json["threadId"] == "tm"
    assert (message["To"], message["Subject"]) == ("Desk <desk@example.org>", "Re: m")
    assert message["Cc"] == "me@example.com, Bob <bob@example.com>, cc@example.com"
    assert (message["In-Reply-To"], message["References"]) == ("<1@x>", "<0@x> <1@x>")
    await act(ctx, reply, message_id="m", text="Thanks")
    assert sent(vendor.asked[-1])["Cc"] is None
    Box(vendor, mail("m", From="Acme, Inc. Jobs <jobs@example.com>"))
    await act(ctx, reply, message_id="m", text="Thanks")
    assert sent(vendor.asked[-1])["To"] == '"Acme, Inc. Jobs" <jobs@example.com>'
    Box(vendor, mail("m", From="nobody at all"))
    with pytest.raises(Permanent, match="Can't reply"):
        await act(ctx, reply, message_id="m", text="Thanks")


async def test_labels(ctx, vendor):
    vendor.on("POST", f"{ME}/messages/{{id}}/modify", {"id": "m", "threadId": "t", "labelIds": []})
    for name, field in (("add_label", "addLabelIds"), ("remove_label", "removeLabelIds")):
        await act(ctx, service.reactions[name], message_id="m", label="INBOX")
        assert vendor.asked[-1].json == {field: ["INBOX"]}
    answer = [{"id": "INBOX", "name": "INBOX", "type": "system"}, {"id": "Label_1", "name": "Work", "type": "user"}]
    vendor.on("GET", f"{ME}/labels", {"labels": answer})
    assert [(item.value, item.label) for item in await service.pickers["labels"](ctx, {})] == [
        ("Label_1", "Work"), ("INBOX", "INBOX"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["mail_received", "mail_starred"])
async def test_refusals_of_a_look(ctx, vendor, name):
    await outcomes(ctx, vendor, Watch(ctx, service.actions[name]).look)


async def test_refusals(ctx, vendor):
    letter = Letter(to="a@b.example", text="x")
    await outcomes(ctx, vendor, lambda: service.reactions["send_mail"].function(ctx, letter))
    await outcomes(ctx, vendor, lambda: service.pickers["labels"](ctx, {}))


# Hints

HOOK = Hook("projects/area/topics/mail", "")


def in_ms(after: timedelta) -> str:
    return str(int((now() + after).timestamp() * 1000))


async def test_a_mailbox_is_watched_once_and_each_day_anew(ctx, vendor):
    vendor.on("GET", f"{ME}/profile", {"emailAddress": "Me@Example.com", "historyId": "7"})
    for lasts, expected in ((timedelta(days=7), timedelta(hours=36)), (timedelta(hours=1), timedelta(hours=1))):
        vendor.on("POST", f"{ME}/watch", {"historyId": "7", "expiration": in_ms(lasts)})
        for action in service.actions.values():
            created = await action.hint.subscribe(ctx, action.params.model_construct(), HOOK)
            assert created.id == "me@example.com"
            assert expected - timedelta(minutes=1) < created.expires_at - now() <= expected
    request = [item.json for item in vendor.asked if item.route == f"{ME}/watch"]
    assert request == [{"topicName": HOOK.url}] * 8, "all changes: another call for other labels would take its place"


async def test_only_the_mailbox_that_was_watched_is_stopped(ctx, vendor):
    hint, params = service.actions["mail_starred"].hint, service.actions["mail_starred"].params()
    for mailbox, stops in (("me@example.com", 1), ("other@example.com", 0)):
        vendor.asked.clear()
        vendor.on("GET", f"{ME}/profile", {"emailAddress": mailbox})
        await hint.unsubscribe(ctx, params, HOOK, "me@example.com")
        assert sum(item.route == f"{ME}/stop" for item in vendor.asked) == stops


async def test_what_gmail_refuses_of_watching(ctx, vendor):
    hint, params = service.actions["mail_starred"].hint, service.actions["mail_starred"].params()
    vendor.on("GET", f"{ME}/profile", {"emailAddress": "me@example.com"})
    vendor.on("POST", f"{ME}/watch", {"historyId": "7", "expiration": in_ms(timedelta(days=7))})
    await outcomes(ctx, vendor, lambda: hint.subscribe(ctx, params, HOOK))
    await outcomes(ctx, vendor, lambda: hint.unsubscribe(ctx, params, HOOK, "me@example.com"))


def pushed(data):
    """As https://docs.cloud.google.com/pubsub/docs/push has it."""
    message = {"data": data, "messageId": "2070443601311540", "publishTime": "2021-02-26T19:13:55.749Z"}
    return delivery(json={"message": message, "subscription": "projects/area/subscriptions/mail"})


def test_what_a_push_tells():
    # the example of https://developers.google.com/workspace/gmail/api/guides/push
    example = "eyJlbWFpbEFkZHJlc3MiOiAidXNlckBleGFtcGxlLmNvbSIsICJoaXN0b3J5SWQiOiAiMTIzNDU2Nzg5MCJ9"
    assert service.inbound.subscriptions(pushed(example)) == ["user@example.com"]
    answer = b'{"emailAddress":"a>b?c~@x.org","historyId":9}'
    for data in (urlsafe_b64encode(answer), b64encode(answer)):
        for padding in ("=", ""):
            assert service.inbound.subscriptions(pushed(data.decode().rstrip("=") + padding)) == ["a>b?c~@x.org"]
    for wrong in ("", "bm8", "e30", "MQ", "é", 7, None):
        with pytest.raises(Permanent):
            service.inbound.subscriptions(pushed(wrong))
    with pytest.raises(Permanent):
        service.inbound.subscriptions(delivery(json=[]))


async def test_a_mail_is_looked_up(ctx, vendor):
    vendor.on("GET", "/gmail/v1/users/{userId}/messages", {"messages": [{"id": "m1", "threadId": "t1"}]})
    head = [{"name": "Subject", "value": "Invoice"}, {"name": "From", "value": "Bill <bill@example.com>"}]
    raw = {
        "id": "m1",
        "threadId": "t1",
        "internalDate": "1795424400000",
        "payload": {"mimeType": "text/plain", "headers": head},
    }
    vendor.on("GET", "/gmail/v1/users/{userId}/messages/{id}", raw)
    mail = await act(ctx, service.reactions["find_mail"], search="from:bill")
    assert (mail.found, mail.id, mail.subject, mail.sender) == (True, "m1", "Invoice", "bill@example.com")
    assert vendor.asked[0].query["q"] == "from:bill"
    vendor.on("GET", "/gmail/v1/users/{userId}/messages", {"resultSizeEstimate": 0})
    await finds_nothing(ctx, service.reactions["find_mail"], search="from:bill")
