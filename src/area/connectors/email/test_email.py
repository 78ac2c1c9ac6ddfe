"""E-mail against Dovecot, Cyrus 3.6, Exim 4.96 and aiosmtpd: receiving, sending, and error messages."""

import asyncio
import re
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import Message
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from pydantic import SecretStr, ValidationError
from tests import mail_peers, peers
from tests.kit import hostile_mail
from tests.ports import free_port

from area.connectors.email import Account, Letter, imap, message, new_email, send_email, server, service, try_account
from area.connectors.email.message import Mail, header, read
from area.connectors.email.parser import MAX_TEXT, decode
from area.kit.http import Client
from area.sdk import AuthExpired, Context, Credentials, Guard, Http, Partial, Permanent, Retry, tls_context
from area.sdk.mail import mailboxes

ALLOWED = ("127.0.0.1", "localhost")
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def box():
    with peers.dovecot() as peer:
        yield peer


@pytest.fixture(scope="module")
def cyrus():
    with mail_peers.cyrus() as peer:
        yield peer


@pytest.fixture(scope="module")
def exim():
    with mail_peers.exim(most=2) as peer:
        yield peer


@pytest.fixture(scope="module")
def post():
    with peers.smtp_server() as peer:
        yield peer


@pytest.fixture(autouse=True)
def _clean(post):
    post.refuse.clear()
    post.mails.clear()
    post.most, post.after = 100, {}
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@contextmanager
def trusting(monkeypatch, ca):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    tls_context.cache_clear()
    yield


def context(account: Account, state: dict[str, Any] | None = None, *, key: str = "", allow=ALLOWED) -> Context:
    guard = Guard(allow)
    return Context(
        http=Http(Client(guard)),
        guard=guard,
        platform=cast(Any, None),
        credential=account,
        state={} if state is None else state,
        idempotency_key=key,
    )


def receiving(peer, **changes) -> Account:
    given = {
        "imap_host": peer.host, "imap_port": peer.port, "imap_security": "none",
        "login": peer.login, "password": peer.password,
    }  # fmt: skip
    return Account(**given | changes)


def sending(peer, **changes) -> Account:
    given = {
        "smtp_host": peer.host, "smtp_port": peer.port, "smtp_security": "none",
        "login": peer.login, "password": peer.password, "from_address": "ann@example.org",
    }  # fmt: skip
    return Account(**given | changes)


class Listener:
    """The generator as the engine runs it: an event's state counts when the next one is asked for."""

    def __init__(self, ctx: Context, **params: Any) -> None:
        self.ctx = ctx
        self.generator = new_email.function(ctx, new_email.params(**params))
        self.task: asyncio.Task[Any] | None = None

    async def ready(self) -> None:
        self.task = asyncio.ensure_future(anext(self.generator))
        async with asyncio.timeout(30):
            while "last_uid" not in self.ctx.state:
                assert not self.task.done(), self.task
                await asyncio.sleep(0.01)

    async def next(self, seconds: float = 30):
        task, self.task = self.task or asyncio.ensure_future(anext(self.generator)), None
        async with asyncio.timeout(seconds):
            return await task


@asynccontextmanager
async def listening(ctx, **params):
    listener = Listener(ctx, **params)
    try:
        await listener.ready()
        yield listener
    finally:
        if listener.task:
            listener.task.cancel()
            await asyncio.wait([listener.task])
        await listener.generator.aclose()


# receiving


async def test_a_push_fires_and_nothing_old_does(box):
    box.deliver(peers.mail("Old"), "Push")
    async with listening(context(receiving(box)), folder="Push") as listener:
        await asyncio.sleep(0.3)  # it idles by now
        box.deliver(peers.mail("Grüße", "Hallo\n", sender='"Müller, Jörg" <joerg@example.com>'), "Push")
        event = await listener.next()
        assert event.data.subject == "Grüße"
        assert (event.data.sender, event.data.sender_name) == ("joerg@example.com", "Müller, Jörg")
        assert event.data.to == [peers.LOGIN]
        assert event.data.text == "Hallo\n"
        assert event.data.folder == "Push"
        assert event.id == f"{listener.ctx.state['uidvalidity']}:2"
        assert event.at is not None
        assert abs(event.at - datetime.now(UTC)) < timedelta(minutes=30)
        assert event.data.message_id.endswith("@example.com>")
        assert listener.ctx.state["last_uid"] == 2, "committed together with the event"
    assert not [path for path in box.mails("Push") if path.name.endswith("S")], "nothing is marked as read"


async def test_many_at_once_fire_in_order_and_mail_that_comes_between_is_not_overlooked(box):
    box.create("Many")
    async with listening(context(receiving(box)), folder="Many") as listener:
        for number in range(30):
            box.deliver(peers.mail(str(number)), "Many")
            await asyncio.sleep(0.01)
        events = [await listener.next() for _ in range(30)]
    assert [event.data.subject for event in events] == [str(number) for number in range(30)]


async def test_restart_catches_up_and_repeats_nothing(box):
    box.create("Restart")
    state: dict[str, Any] = {}
    async with listening(context(receiving(box), state), folder="Restart") as listener:
        box.deliver(peers.mail("1"), "Restart")
        assert (await listener.next()).data.subject == "1"
    kept = orjson.loads(orjson.dumps(state))  # what was committed
    for number in "234":
        box.deliver(peers.mail(number), "Restart")
    async with listening(context(receiving(box), kept), folder="Restart") as listener:
        first = await listener.next()
        uncommitted = {"uidvalidity": kept["uidvalidity"], "last_uid": 1}
        assert [first.data.subject, (await listener.next()).data.subject] == ["2", "3"]
    async with listening(context(receiving(box), uncommitted), folder="Restart") as listener:
        assert (await listener.next()).id == first.id, "a crash before the commit offers the same event again"


async def test_of_a_folder_numbered_anew_only_what_came_since_is_new(box):
    for number in range(3):
        box.deliver(peers.mail(f"Old {number}"), "Anew")
    state: dict[str, Any] = {}
    async with listening(context(receiving(box), state), folder="Anew") as listener:
        box.deliver(peers.mail("Fired"), "Anew")
        assert (await listener.next()).data.subject == "Fired"
    before = orjson.loads(orjson.dumps(state))
    box.forget_uids("Anew")
    box.deliver(peers.mail("Since"), "Anew")
    async with listening(context(receiving(box), before), folder="Anew") as listener:
        assert (await listener.next()).data.subject == "Since"
        assert before["uidvalidity"] != state["uidvalidity"]
        box.deliver(peers.mail("New"), "Anew")
        assert (await listener.next()).data.subject == "New"


async def test_a_state_of_an_older_version_goes_on(box):
    box.deliver(peers.mail("Fired"), "Older")
    state: dict[str, Any] = {}
    async with listening(context(receiving(box), state), folder="Older"):
        pass
    box.deliver(peers.mail("Since"), "Older")
    older = {"uidvalidity": state["uidvalidity"], "last_uid": 1}
    async with listening(context(receiving(box), older), folder="Older") as listener:
        assert (await listener.next()).data.subject == "Since"


async def test_a_folder_deleted_and_made_anew_is_watched_on(cyrus, monkeypatch):
    monkeypatch.setattr(imap, "IDLE", 0.3)  # a renewal, which is when it is found out
    cyrus.create("Projekte")
    cyrus.deliver(peers.mail("Old"), "Projekte")
    state: dict[str, Any] = {}
    async with listening(context(receiving(cyrus), state), folder="Projekte"):
        first = state["uidvalidity"]
        await asyncio.sleep(0.5)  # it idles; what is open stays open for who has it open (RFC 2180 §3.2)
        await asyncio.to_thread(cyrus.make_anew, "Projekte", peers.mail("New"))
    subjects: list[str] = []
    async with asyncio.timeout(30):
        while len(subjects) < 2:  # as the engine does: what breaks is opened again
            with suppress(Permanent, TimeoutError):
                async with listening(context(receiving(cyrus), state), folder="Projekte") as listener:
                    subjects.append((await listener.next()).data.subject)
                    await asyncio.to_thread(cyrus.deliver, peers.mail("Next"), "Projekte")
                    subjects.append((await listener.next(5)).data.subject)
    assert subjects == ["New", "Next"]
    assert state["uidvalidity"] != first


async def test_a_renewal_finds_a_folder_made_anew(cyrus, monkeypatch):
    """The server doesn't tell: what it has open is the old folder."""
    monkeypatch.setattr(imap, "IDLE", 0.3)
    cyrus.create("Behind")
    cyrus.deliver(peers.mail("Old"), "Behind")
    async with listening(context(receiving(cyrus)), folder="Behind") as listener:
        wait = imap.Mailbox.wait
        done = asyncio.Event()

        async def wait_while_it_is_made_anew(self: imap.Mailbox) -> None:
            if not done.is_set():
                await asyncio.to_thread(cyrus.make_anew, "Behind", peers.mail("New"))
                done.set()
            await wait(self)

        monkeypatch.setattr(imap.Mailbox, "wait", wait_while_it_is_made_anew)
        assert (await listener.next()).data.subject == "New"
        await asyncio.to_thread(cyrus.deliver, peers.mail("Next"), "Behind")
        assert (await listener.next()).data.subject == "Next"


async def test_a_folder_made_anew_while_the_line_is_cut(cyrus):
    cyrus.create("Away")
    cyrus.deliver(peers.mail("Old"), "Away")
    state: dict[str, Any] = {}
    async with listening(context(receiving(cyrus), state), folder="Away"):
        pass
    cyrus.delete("Away")
    with pytest.raises(Permanent, match='can\'t open the folder "Away"'):
        await anext(new_email.function(context(receiving(cyrus), state), new_email.params(folder="Away")))
    cyrus.make(folder="Away", content=peers.mail("New"))
    async with listening(context(receiving(cyrus), state), folder="Away") as listener:
        assert (await listener.next()).data.subject == "New"


async def test_the_picker_lists_folders_that_hold_mail(box, cyrus):
    for folder in ("&ANw-bersicht", "Work.Invoices"):
        box.create(folder)
    names = [option.value for option in await service.pickers["folders"](context(receiving(box)), {})]
    assert names[0] == "INBOX"
    assert {"Übersicht", "Work.Invoices"} <= set(names)
    assert "Work" not in names, "it is only a level of names"
    cyrus.create('"&ANw-ber"')
    names = [option.value for option in await service.pickers["folders"](context(receiving(cyrus)), {})]
    assert {"INBOX", "Über"} <= set(names)
    async with listening(context(receiving(cyrus)), folder="Über") as listener:
        cyrus.deliver(peers.mail("Umlaut"), '"&ANw-ber"')
        assert (await listener.next()).data.subject == "Umlaut"


async def test_a_folder_that_has_another_name_on_the_server_is_suggested(box):
    box.create("Work.Projekte")
    with pytest.raises(Permanent, match=r'can.t open the folder "Projekte".* Did you mean "Work\.Projekte"\?'):
        await anext(new_email.function(context(receiving(box)), new_email.params(folder="Projekte")))


async def test_a_mail_that_the_server_refuses_to_return_does_not_stop_those_behind_it(box, monkeypatch):
    box.create("Refused")
    fetch = imap.Mailbox.fetch

    async def refuse(self: imap.Mailbox, uid: int, *args: Any) -> Any:
        if uid == 1:
            raise imap.Unfetchable("The IMAP server couldn't return e-mail 1: NO")
        return await fetch(self, uid, *args)

    monkeypatch.setattr(imap.Mailbox, "fetch", refuse)
    state: dict[str, Any] = {}
    async with listening(context(receiving(box), state), folder="Refused") as listener:
        box.deliver(peers.mail("Broken"), "Refused")
        with pytest.raises(Retry, match="couldn't return e-mail 1"):
            await listener.next()
    box.deliver(peers.mail("Next"), "Refused")
    with pytest.raises(Retry, match="couldn't return e-mail 1"):
        await anext(new_email.function(context(receiving(box), state), new_email.params(folder="Refused")))
    async with listening(context(receiving(box), state), folder="Refused") as listener:
        broken = (await listener.next()).data
        assert (broken.problem, broken.truncated) == ("The IMAP server couldn't return e-mail 1: NO", True)
        assert state["note"] == (
            "The latest e-mail, \"-\", can't be read in full. The IMAP server couldn't return e-mail 1: NO"
        )
        assert (await listener.next()).data.subject == "Next"
        assert "note" not in state


async def test_filters_look_at_name_address_and_subject_in_any_case(box):
    box.create("Filter")
    params = {"folder": "Filter", "sender_contains": "EXAMPLE.com", "subject_contains": "größe"}
    async with listening(context(receiving(box)), **params) as listener:
        box.deliver(peers.mail("Größe", sender="x@example.net"), "Filter")
        box.deliver(peers.mail("Other"), "Filter")
        box.deliver(peers.mail("GRÖSSE 1: Die GRÖßE"), "Filter")
        assert (await listener.next()).data.subject == "GRÖSSE 1: Die GRÖßE"
        assert listener.ctx.state["last_uid"] == 3


async def test_without_idle_it_looks_again_after_a_while(monkeypatch):
    monkeypatch.setattr(imap, "POLL", 0.2)
    with peers.dovecot(idle=False) as peer:
        async with listening(context(receiving(peer))) as listener:
            await asyncio.sleep(0.3)
            peer.deliver(peers.mail("Polled"))
            assert (await listener.next()).data.subject == "Polled"


async def test_idle_is_renewed(box, monkeypatch):
    monkeypatch.setattr(imap, "IDLE", 0.1)
    box.create("Renew")
    async with listening(context(receiving(box)), folder="Renew") as listener:
        await asyncio.sleep(0.5)
        box.deliver(peers.mail("Later"), "Renew")
        assert (await listener.next()).data.subject == "Later"


async def test_a_large_mail_fires_with_what_its_beginning_says(box, monkeypatch):
    monkeypatch.setattr(imap, "MAX_FETCH", 10_000)
    box.create("Large")
    async with listening(context(receiving(box)), folder="Large") as listener:
        box.deliver(peers.mail("Large", "word " * 10_000), "Large")
        mail = (await listener.next()).data
    assert mail.truncated
    assert mail.subject == "Large"
    assert mail.text.startswith("word word")


async def test_stopping_is_prompt_wherever_it_is(box, monkeypatch):
    monkeypatch.setattr(imap, "TIMEOUT", 600.0)  # a stop that waited for the server would take as long, and be ended
    ctx = context(receiving(box))
    listener = Listener(ctx)
    await listener.ready()
    await asyncio.sleep(0.2)
    assert listener.task
    listener.task.cancel()  # while it idles
    with pytest.raises(asyncio.CancelledError):
        await listener.task
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        for security in ("none", "tls"):
            account = receiving(box, imap_port=silent.getsockname()[1], imap_security=security)
            task = asyncio.ensure_future(anext(new_email.function(context(account), new_email.params())))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_line_that_breaks_is_to_be_retried(box):
    async with peers.relay(box.port) as line, listening(context(receiving(box, imap_port=line.port))) as listener:
        await asyncio.sleep(0.2)
        line.cut()
        with pytest.raises(Retry, match=f"The IMAP server 127.0.0.1:{line.port}"):
            await listener.next()


async def test_a_line_that_went_dead_is_noticed(box, monkeypatch):
    monkeypatch.setattr(imap, "IDLE", 0.1)
    monkeypatch.setattr(imap, "TIMEOUT", 1.5)
    async with peers.relay(box.port) as line, listening(context(receiving(box, imap_port=line.port))) as listener:
        line.dead = True
        with pytest.raises(Retry, match="did not respond within"):
            await listener.next()


async def test_a_folder_that_is_not_there(box):
    with pytest.raises(Permanent, match=r"can't open the folder \"Entwürfe\".*"):
        await anext(new_email.function(context(receiving(box)), new_email.params(folder="Entwürfe")))


# what strangers write

BROKEN = {
    "no headers at all": b"\r\njust a body\r\n",
    "empty": b"",
    "only NULs": b"\0" * 100,
    "unknown charset": b"Subject: =?martian?q?hi?=\r\nContent-Type: text/plain; charset=martian\r\n\r\nhi\r\n",
    "wrong base64": b"Subject: =?utf-8?b?####?=\r\nContent-Transfer-Encoding: base64\r\n\r\n####\r\n",
    "8-bit headers": "Subject: Grüße\r\nFrom: Jörg <j@example.com>\r\n\r\nhé\r\n".encode("latin-1"),
    "no date": b"Subject: x\r\n\r\n",
    "impossible date": b"Date: Fri, 99 Foo 20260 25:61:61 +9999\r\nSubject: x\r\n\r\n",
    "far date": b"Date: Fri, 31 Dec 9999 23:59:59 -1200\r\n\r\n",
    "half surrogates": b"Subject: =?utf-7?q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA-\r\n",
    "charset that is no charset": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * 100_000,
    "unclosed multipart": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>hi",
    "multipart without boundary": b"Content-Type: multipart/mixed\r\n\r\nhi",
    "nested too deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
    ),
    "nested mails": b"Content-Type: message/rfc822\r\n\r\n" * 5000,
    "address of brackets": b"From: " + b"(" * 19_000 + b"\r\nSubject: x\r\n\r\n",
    "name in pieces": b"Content-Disposition: attachment; filename*0*=martian''%ff; filename*2=z\r\n\r\nx",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_broken_mail_never_raises_and_is_always_storable(content):
    mail = await read(content, len(content), NOW, "INBOX", 1)
    text = mail.model_dump_json()
    assert "\\u0000" not in text
    assert orjson.loads(text)["date"]
    assert mail.date.tzinfo


CASES = Path(peers.__file__).parent / "connectors" / "cases" / "mail"
IMAGE = {"name": "", "type": "image/png", "size": 3}
EXPECTED: dict[str, dict[str, Any]] = {
    "subject-gb2312-gb18030": {"subject": "朱镕基 发票"},
    "subject-ks-c-5601": {"subject": "안녕 똠방각하"},
    "body-gb2312-really-gb18030": {"text": "朱镕基 €\n"},
    "name-raw-utf8": {"attachments": [{"name": "0 дней.xls", "type": "application/pdf", "size": 3}]},
    "inline-image-without-name": {"text": "hello", "attachments": [IMAGE]},
    "calendar-invitation": {"text": "hello", "attachments": [{"name": "", "type": "text/calendar", "size": 30}]},
    "text-part-named": {"text": "hello", "attachments": []},
}


@pytest.mark.parametrize("case", EXPECTED)
async def test_mails_as_they_are_sent(case):
    content = (CASES / f"{case}.eml").read_bytes()
    mail = (await read(content, len(content), NOW, "INBOX", 1)).model_dump()
    assert {name: mail[name] for name in EXPECTED[case]} == EXPECTED[case]
    assert (mail["problem"], mail["truncated"]) == ("", False)


def test_each_case_is_tried():
    assert {path.stem for path in CASES.glob("*.eml")} == set(EXPECTED)


async def test_filter_sender_unquoted_comma(box):
    box.create("Comma")
    async with listening(context(receiving(box)), folder="Comma", sender_contains="jobs@example.com") as listener:
        box.deliver(b"From: Acme, Inc. Jobs <jobs@example.com>\r\nSubject: x\r\n\r\nx\r\n", "Comma")
        mail = (await listener.next()).data
    assert (mail.sender, mail.sender_name) == ("jobs@example.com", "Acme, Inc. Jobs")


def parts(*each: str, subtype: str = "mixed") -> bytes:
    """A mail of these parts, of which each begins with its headers."""
    head = f"From: b@x.org\r\nContent-Type: multipart/{subtype}; boundary=BB\r\n\r\n"
    return (head + "".join(f"--BB\r\n{part}\r\n" for part in each) + "--BB--\r\n").encode("utf-8", "surrogateescape")


async def whole(content: bytes, *headers: str) -> Mail:
    return await read(content, len(content), NOW, "INBOX", 1, headers)


async def test_a_part_that_cant_be_read_takes_no_other(monkeypatch):
    def read_payload(part: Any, i: Any = None, decode: bool = False) -> Any:
        if decode and part.get_content_type() == "application/pdf":
            raise AssertionError
        return get_payload(part, i, decode)

    get_payload = Message.get_payload
    monkeypatch.setattr(Message, "get_payload", read_payload)
    content = parts(
        "Content-Type: text/plain\r\n\r\nhello",
        'Content-Type: application/pdf; name="a.pdf"\r\n\r\nx',
        'Content-Type: image/png; name="b.png"\r\n\r\nx',
    )
    fields = decode(content, size=len(content))
    assert fields["text"] == "hello"
    assert [file["name"] for file in fields["attachments"]] == ["a.pdf", "b.png"]
    assert (fields["truncated"], fields["problem"]) == (True, "Part 2 is malformed (AssertionError).")


async def test_what_follows_too_many_parts_is_told():
    nested = "\r\n".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\nContent-Type: text/plain\r\n\r\n{n}\r\n--b{n}--"
        for n in range(40)
    )
    mail = await whole(parts("Content-Type: text/plain\r\n\r\nhello", nested))
    assert mail.text.startswith("hello")
    assert mail.truncated
    assert mail.problem == "It has more than 30 nested parts."
    many = await whole(parts("Content-Type: text/plain\r\n\r\nhello", *["Content-Type: image/png\r\n\r\nx"] * 600))
    assert (many.text, len(many.attachments), many.problem) == ("hello", 499, "It has more than 500 parts.")


async def test_what_takes_too_long_still_fires_with_its_headers(monkeypatch):
    class Slow:
        async def read(self, sender: str, content: bytes, **options: Any) -> Any:
            if b"slow" in content:
                raise Permanent("too slow")
            return decode(content, **options)

    monkeypatch.setattr(message, "_parser", Slow())
    mail = await whole(b"From: b@x.org\r\nSubject: Hi\r\n\r\nslow")
    assert (mail.subject, mail.sender, mail.truncated) == ("Hi", "b@x.org", True)
    assert mail.problem == "It takes too long or too much memory to read."


async def test_texts_and_files():
    mail = await whole(
        parts(
            "Content-Type: text/html\r\n\r\n<p>Grüße &amp; mehr</p>",
            'Content-Type: text/plain; name="notes.txt"\r\n\r\nnotes',
            "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nmore",
            "Content-Type: application/pdf\r\n\r\nx",
        )
    )
    assert mail.text == "Grüße & mehr", "of the HTML, since there is no other"
    assert [(file.name, file.type) for file in mail.attachments] == [
        ("notes.txt", "text/plain"), ("", "text/plain"), ("", "application/pdf"),
    ]  # fmt: skip
    both = parts(
        'Content-Type: text/plain; name="body.txt"\r\n\r\nplain',
        'Content-Type: text/html; name="body.html"\r\n\r\n<b>rich</b>',
        subtype="alternative",
    )
    mail = await whole(both)
    assert (mail.text, mail.html, mail.attachments) == ("plain", "<b>rich</b>", [])


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("gb2312", "朱镕基".encode("gb18030"), "朱镕基"),
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("iso-8859-1", b"\x80 5", "€ 5"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("utf-8", "Grüße".encode("latin-1"), "Grüße"),
        ("martian", "Grüße".encode(), "Grüße"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
    ],
)
async def test_labels_mean_what_browsers_mean(label, data, text):
    head = f"Content-Type: text/plain; charset={label}\r\n\r\n".encode()
    assert (await whole(head + data)).text == text


async def test_bytes_without_a_charset_are_in_the_one_that_the_mail_names_elsewhere():
    raw = "发票".encode("gb18030")
    content = b"From: " + raw + b" <b@x.org>\r\nSubject: " + raw + b"\r\nContent-Type: text/html\r\n\r\n"
    content += b'<meta charset="gb2312"><p>' + raw + b"</p>"
    mail = await whole(content)
    assert (mail.subject, mail.sender_name, mail.text) == ("发票", "发票", "发票")


async def test_copies_replies_and_chosen_headers():
    content = (
        b"From: b@x.org\r\nTo: Smith, J. <j@x.org>, undisclosed-recipients:;\r\nCc: C <c@x.org>, d@x.org\r\n"
        b"Reply-To: help@x.org\r\nList-Id: =?utf-8?q?N=C3=A9ws?= <news.x.org>\r\nX-Spam: no\r\n\r\nx"
    )
    mail = await whole(content, "List-ID", "X-None")
    assert (mail.to, mail.cc, mail.reply_to) == (["j@x.org"], ["c@x.org", "d@x.org"], ["help@x.org"])
    assert mail.headers == {"list-id": "Néws <news.x.org>"}


async def test_mutilated_mail_never_raises():
    import random

    whole = (
        b'From: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r\nTo: a@b.c, "x, y" <d@e.f>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0100\r\n'
        b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nh=C3=A9\r\n--b\r\n"
        b'Content-Type: application/pdf; name="=?utf-8?b?w6kucGRm?="\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n'
    )
    chance = random.Random(1)
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 12)):
            place = chance.randrange(len(content))
            content[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 9))
        assert Mail.model_validate({"date": NOW, **decode(bytes(content), size=len(content))})
    mail = await read(whole, len(whole), NOW, "INBOX", 1)
    assert (mail.subject, mail.sender_name, mail.to) == ("Grüße", "Jörg", ["a@b.c", "d@e.f"])
    assert mail.text == "hé"
    assert [attachment.model_dump() for attachment in mail.attachments] == [
        {"name": "é.pdf", "type": "application/pdf", "size": 3}
    ]
    assert mail.date == NOW - timedelta(hours=1)
    assert not mail.truncated


async def test_broken_mail_goes_through_the_server_and_does_not_stop_what_follows(box):
    box.create("Broken")
    async with listening(context(receiving(box)), folder="Broken") as listener:
        for content in BROKEN.values():
            box.deliver(content, "Broken")
        box.deliver(peers.mail("Alive"), "Broken")
        subjects = [(await listener.next()).data.subject for _ in range(len(BROKEN) + 1)]
    assert subjects[-1] == "Alive"
    assert "Grüße" in subjects


async def test_long_text_is_cut():
    mail = await read(peers.mail("x", "é" * (MAX_TEXT + 1)), 0, NOW, "INBOX", 1)
    assert len(mail.text) == MAX_TEXT
    assert mail.truncated


# sending


async def test_what_is_sent_arrives(post):
    params = Letter(
        to="Ann <ann@example.org>, bob@example.com",
        cc="carol@example.com",
        bcc="dave@example.com",
        reply_to="Jörg Müller <help@example.org>",
        subject="Grüße\r\nBcc: evil@example.com",
        text="Ein ✓\r\n.\r\nEnde",
        html="<p>Ein ✓</p>",
    )
    result = await send_email.function(context(sending(post), key="execution-7"), params)
    again = await send_email.function(context(sending(post), key="execution-7"), params)
    assert again.message_id == result.message_id, "whoever gets both sees that they are one"
    assert post.mails.pop().recipients == result.accepted
    assert result.accepted == ["ann@example.org", "bob@example.com", "carol@example.com", "dave@example.com"]
    assert result.refused == []
    (mail,) = post.mails
    assert mail.sender == "ann@example.org"
    assert mail.recipients == result.accepted
    message = message_from_bytes(mail.content, policy=policy.default)
    assert message["Subject"] == "Grüße Bcc: evil@example.com"
    assert message["Bcc"] is None
    assert message["Message-ID"] == result.message_id
    assert message["Reply-To"] == "Jörg Müller <help@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n") == "Ein ✓\n.\nEnde\n"
    assert message.get_body(("html",)).get_content().strip() == "<p>Ein ✓</p>"


async def test_attempts_of_one_run_carry_the_same_message_id(post):
    params = Letter(to="ann@example.org", html="<p>x</p>")
    ids = {
        (await send_email.function(context(sending(post), key=key), params)).message_id for key in ("1", "1", "2", "")
    }
    assert len(ids) == 3
    assert all(one.endswith("@example.org>") for one in ids)


async def test_a_server_without_login(post):
    with peers.smtp_server(auth=False) as open_relay:
        account = sending(open_relay, login="", password=None)
        await send_email.function(context(account), Letter(to="ann@example.org", text="x"))
        assert len(open_relay.mails) == 1
        with pytest.raises(Permanent, match=r"No suitable authentication method"):
            await send_email.function(context(sending(open_relay)), Letter(to="ann@example.org", text="x"))


@pytest.mark.parametrize(
    ("refuse", "error", "words"),
    [
        ({"a@x.org": "550 5.1.1 No such user here"}, Permanent, "a@x.org: 550 5.1.1 No such user here"),
        ({"a@x.org": "451 4.7.1 Greylisted"}, Retry, "451 4.7.1 Greylisted"),
        ({"MAIL": "553 5.7.1 Not your address"}, Permanent, "553 5.7.1 Not your address"),
        ({"DATA": "452 4.3.1 Disk full"}, Retry, "452 4.3.1 Disk full"),
        ({"DATA": "554 5.7.1 Spam"}, Permanent, "554 5.7.1 Spam"),
    ],
)
async def test_refusals_are_told_in_the_servers_words(post, refuse, error, words):
    post.refuse.update(refuse)
    with pytest.raises(error) as caught:
        await send_email.function(context(sending(post)), Letter(to="a@x.org", text="x"))
    assert words in str(caught.value)


async def test_one_refused_recipient_of_two_is_no_success(post):
    post.refuse["b@x.org"] = "550 No such user"
    params = Letter(to=["a@x.org", "b@x.org"], text="x")
    with pytest.raises(Partial) as caught:
        await send_email.function(context(sending(post), key="1"), params)
    assert str(caught.value).endswith(
        "refused some recipients. b@x.org: 550 No such user. It accepted the e-mail for a@x.org."
    )
    assert caught.value.result.accepted == ["a@x.org"]
    assert [(refusal.address, refusal.reason) for refusal in caught.value.result.refused] == [
        ("b@x.org", "550 No such user")
    ]
    post.refuse.clear()
    replayed = await send_email.function(context(sending(post), caught.value.state, key="2"), params)
    assert [mail.recipients for mail in post.mails] == [["a@x.org"], ["b@x.org"]]
    assert replayed.accepted == ["a@x.org", "b@x.org"]
    assert replayed.message_id == caught.value.result.message_id


async def test_who_is_refused_for_now_is_tried_again_and_nobody_gets_it_twice(post):
    post.refuse.update({"b@x.org": "451 4.7.1 Greylisted", "c@x.org": "550 No such user"})
    params = Letter(to=["a@x.org", "b@x.org", "c@x.org"], text="x")
    with pytest.raises(
        Retry, match=r"b@x\.org: 451 4\.7\.1 Greylisted\. It accepted the e-mail for a@x\.org"
    ) as caught:
        await send_email.function(context(sending(post), key="1"), params)
    state = caught.value.state
    del post.refuse["b@x.org"], post.refuse["c@x.org"]
    with pytest.raises(Partial) as caught:
        await send_email.function(context(sending(post), state, key="1"), params)
    assert [mail.recipients for mail in post.mails] == [["a@x.org"], ["b@x.org"]], "c was refused for good in this run"
    assert caught.value.result.accepted == ["a@x.org", "b@x.org"]
    assert [refusal.address for refusal in caught.value.result.refused] == ["c@x.org"]
    await send_email.function(context(sending(post), state, key="2"), params)
    assert post.mails[-1].recipients == ["b@x.org", "c@x.org"], "a replay asks again for who was refused"
    ids = {message_from_bytes(mail.content)["Message-ID"] for mail in post.mails}
    assert len(ids) == 1


@pytest.mark.parametrize("too_many", ["452 4.5.3 Too many recipients", "552 Too many recipients"])
async def test_more_recipients_than_a_server_takes_at_once(post, too_many):
    post.most, post.too_many = 10, too_many
    everybody = [f"{number}@x.org" for number in range(95)]
    result = await send_email.function(context(sending(post)), Letter(to=everybody, text="x"))
    assert result.accepted == everybody
    assert [len(mail.recipients) for mail in post.mails] == [10] * 9 + [5]
    assert [address for mail in post.mails for address in mail.recipients] == everybody


async def test_a_line_that_breaks_between_two_parts_of_the_recipients_repeats_none(post):
    post.most = 2
    params = Letter(to=["a@x.org", "b@x.org", "c@x.org"], text="x")
    post.after = {1: {"DATA": "421 4.3.2 Shutting down"}}
    with pytest.raises(Retry) as caught:
        await send_email.function(context(sending(post), key="1"), params)
    assert caught.value.state["accepted"] == ["a@x.org", "b@x.org"]
    post.after = {}
    post.refuse["DATA"] = "554 5.7.1 Spam"
    with pytest.raises(Partial, match=r"c@x\.org: .*554 5\.7\.1 Spam"):
        await send_email.function(context(sending(post), caught.value.state, key="1"), params)
    post.refuse.clear()
    await send_email.function(context(sending(post), caught.value.state, key="1"), params)
    assert [mail.recipients for mail in post.mails] == [["a@x.org", "b@x.org"], ["c@x.org"]]


@pytest.mark.parametrize("text", hostile_mail.TEXTS)
async def test_a_strangers_text_writes_no_header(post, text):
    params = Letter(
        to=[f'"{text}" <a@x.org>'] if '"' not in text else "a@x.org", subject=text, text="x", reply_to="r@x.org"
    )
    await send_email.function(context(sending(post)), params)
    (mail,) = post.mails
    assert mail.recipients == ["a@x.org"]
    own = [name for name in hostile_mail.names(mail.content) if not name.startswith("X-")]
    assert own == [
        "From", "To", "Reply-To", "Subject", "Date", "Auto-Submitted", "Message-ID", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert mail.content.partition(b"\r\n\r\n")[2] == b"x\r\n"


# a name may look like anything, and blanks of any kind around an address are none of it
@pytest.mark.parametrize("to", [one for one in hostile_mail.ADDRESSES if "<" not in one and "\u2028" not in one])
def test_an_impossible_recipient_is_told(to):
    with pytest.raises(ValidationError, match=r"is not a valid e-mail address|at least 1 character"):
        Letter(to=to, text="x")


async def test_a_wrong_password_asks_for_a_new_connection(box, post):
    with pytest.raises(AuthExpired, match=r"rejected the sign-in of ann@example.org: 535"):
        await send_email.function(context(sending(post, password="wrong")), Letter(to="a@x.org", text="x"))
    for password in ("wrong", "pässword"):
        with pytest.raises(AuthExpired, match=r"rejected the sign-in of ann@example.org: .*AUTHENTICATIONFAILED"):
            await anext(new_email.function(context(receiving(box, password=password)), new_email.params()))


@pytest.mark.parametrize(
    "to", ["", " , ", "nobody", "a@b@c", "a b@c.d", "a@x.org, x", "a@x.org\r\nBcc: b@x.org", "a@x.org b@x.org", 7]
)
def test_addresses_that_are_none(to):
    with pytest.raises(ValidationError):
        Letter(to=to, text="x")


def test_addresses_are_read_liberally():
    assert Letter(to="a@x.org,b@x.org,", text="x").to == "a@x.org, b@x.org"
    assert Letter(to=["a@x.org"], text="x").to == "a@x.org"
    assert Letter(to='"Müller, Jörg" <j@bücher.example>', text="x").to == '"Müller, Jörg" <j@xn--bcher-kva.example>'
    assert Letter(to='Ann "A" \\\\ <a@x.org>; b@x.org\n', text="").to == '"Ann A" <a@x.org>, b@x.org'
    assert Letter(to="a@x.org", cc="", text="x").cc == ""
    with pytest.raises(ValidationError, match="text, an HTML text, or both"):
        Letter(to="a@x.org")


async def test_exim_takes_some_recipients_now_and_some_later(exim, monkeypatch):
    with trusting(monkeypatch, exim.ca):
        account = sending(exim, smtp_security="starttls")
        params = Letter(to=[f"{name}@x.org" for name in "abcde"], bcc="f@x.org", subject="Grüße", text="x")
        with pytest.raises(AuthExpired, match="535"):
            await send_email.function(context(sending(exim, smtp_security="starttls", password="wrong")), params)
        exim.refuse(for_now={"b@x.org": "4.2.1 Greylisted"}, for_good={"c@x.org": "5.1.1 No such user"})
        with pytest.raises(Retry, match=r"b@x\.org: 451 4\.2\.1 Greylisted") as caught:
            await send_email.function(context(account, key="1"), params)
        assert caught.value.state["accepted"] == ["a@x.org", "d@x.org", "e@x.org", "f@x.org"]
        exim.refuse(for_now={"data": "4.3.1 Disk full"})
        with pytest.raises(Retry, match=r"4\.3\.1 Disk full") as again:
            await send_email.function(context(account, caught.value.state, key="1"), params)
        exim.refuse()
        with pytest.raises(Partial) as partial:
            await send_email.function(context(account, again.value.state, key="1"), params)
        assert [refusal.address for refusal in partial.value.result.refused] == ["c@x.org"]
        assert len(partial.value.result.accepted) == 5
        over_tls = sending(exim, smtp_security="tls", smtp_port=exim.tls_port)
        await send_email.function(context(over_tls, partial.value.state, key="2"), params)
        async with asyncio.timeout(30):
            while not all(exim.mails(f"{name}@x.org") for name in "abcdef"):
                await asyncio.sleep(0.05)
        mails = [mail for name in "abcdef" for mail in exim.mails(f"{name}@x.org")]
        assert len(mails) == 6, "each once"
        assert len({mail["Message-ID"] for mail in mails}) == 1
        assert not any(mail["Bcc"] for mail in mails)


# the connection


async def test_every_encryption_works_when_the_certificate_is_trusted(box, monkeypatch):
    for security, port in (("tls", box.tls_port), ("starttls", box.port)):
        with peers.smtp_server(security=security) as relay, trusting(monkeypatch, relay.ca):
            known = await try_account(context(sending(relay)), sending(relay, smtp_security=security))
            assert known.name == sending(relay).from_address
            account = sending(relay, smtp_security=security)
            await send_email.function(context(account), Letter(to="a@x.org", text=security))
            assert len(relay.mails) == 1
        with trusting(monkeypatch, box.ca):
            account = receiving(box, imap_security=security, imap_port=port, imap_host="localhost")
            await try_account(context(account), account)
            folder = f"Over-{security}"
            box.create(folder)
            async with listening(context(account), folder=folder) as listener:
                box.deliver(peers.mail(security), folder)
                assert (await listener.next()).data.subject == security


async def test_certificates_that_are_wrong(box, monkeypatch):
    def accounts(peer, security, **hosts):
        return sending(peer, smtp_security=security, **hosts)

    imap_tls = receiving(box, imap_security="tls", imap_port=box.tls_port)
    for account in (imap_tls, receiving(box, imap_security="starttls")):
        with pytest.raises(Permanent, match=r"The IMAP server .* can't be trusted: self[- ]signed certificate"):
            await try_account(context(account), account)
    for security in ("tls", "starttls"):
        with peers.smtp_server(security=security, names=["127.0.0.1"]) as relay:
            with pytest.raises(Permanent, match=r"The SMTP server .* can't be trusted: self[- ]signed certificate"):
                await try_account(context(sending(relay)), accounts(relay, security))
            with trusting(monkeypatch, relay.ca), pytest.raises(Permanent, match="not valid for 'localhost'"):
                await try_account(context(sending(relay)), accounts(relay, security, smtp_host="localhost"))
            monkeypatch.undo()
            tls_context.cache_clear()
    with (
        peers.smtp_server(security="tls", days=-1) as relay,
        trusting(monkeypatch, relay.ca),
        pytest.raises(Retry, match="certificate has expired"),
    ):
        await try_account(context(sending(relay)), accounts(relay, "tls"))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(server, "SILENCE", 0.2)


async def said_of(account: Account) -> str:
    with pytest.raises(Permanent) as caught:
        await try_account(context(account), account)
    return str(caught.value)


async def test_encryption_that_the_port_does_not_speak_is_told(box, exim, quick):
    for security in ("none", "starttls"):
        account = receiving(box, imap_port=box.tls_port, imap_security=security)
        assert (
            await said_of(account) == f"The IMAP server 127.0.0.1:{box.tls_port} speaks TLS from the start."
            " Choose tls as its encryption."
        )
        account = sending(exim, smtp_port=exim.tls_port, smtp_security=security)
        assert "speaks TLS from the start. Choose tls" in await said_of(account)
    assert "doesn't speak TLS from the start" in await said_of(sending(exim, smtp_security="tls"))


async def test_a_server_without_starttls_or_without_passwords_in_clear(post, cyrus, quick):
    assert "doesn't offer STARTTLS. Choose tls, usually on port 465." in await said_of(
        sending(post, smtp_security="starttls")
    )
    with recording_server(capability=b"IMAP4rev1 LOGINDISABLED") as (port, heard):
        account = Account(imap_host="127.0.0.1", imap_port=port, imap_security="none", login="a", password="b")
        assert "requires encryption. Choose starttls or tls as its encryption." in await said_of(account)
    assert b"LOGIN" not in heard
    with recording_server() as (port, _):
        account = Account(imap_host="127.0.0.1", imap_port=port, imap_security="starttls", login="a", password="b")
        assert "doesn't offer STARTTLS. Choose tls, usually on port 993." in await said_of(account)


async def test_servers_taken_for_each_other(box, post, quick):
    assert "is not an IMAP server" in await said_of(receiving(box, imap_port=post.port))
    assert "is not an SMTP server" in await said_of(sending(post, smtp_port=box.port))


async def test_addresses_that_are_wrong(box, monkeypatch):
    async def said(account: Account, allow=ALLOWED) -> str:
        with pytest.raises((Permanent, Retry)) as caught:
            await try_account(context(account, allow=allow), account)
        return str(caught.value)

    port = free_port()
    for half in ({"imap_host": "127.0.0.1", "imap_port": port, "login": "a"}, sending_half(port)):
        assert f"server 127.0.0.1:{port} refuses connections" in await said(Account(**half))
    assert "127.0.0.1 is refused" in await said(receiving(box), allow=())
    assert "can't be found" in await said(receiving(box, imap_host="no-such-host.invalid"))
    assert "doesn't speak TLS from the start" in await said(receiving(box, imap_security="tls"))
    assert "AUTHENTICATIONFAILED" in await said(receiving(box, password="wrong"))
    monkeypatch.setattr(server, "TIMEOUT", 0.2)
    monkeypatch.setattr(imap, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for security in ("none", "tls"):
            account = receiving(box, imap_port=silent.getsockname()[1], imap_security=security)
            assert "did not respond within 0.2 seconds" in await said(account)


def both(box: Any, post: Any) -> Account:
    return Account(**receiving(box).model_dump(exclude_defaults=True, exclude={"password"}) | {
        "password": box.password, "smtp_host": post.host, "smtp_port": post.port, "smtp_security": "none",
        "from_address": "ann@example.org",
    })  # fmt: skip


def received(**headers: str) -> bytes:
    given = {"From": "Bob <bob@example.com>", "To": "ann@example.org, carol@x.org", "Subject": "Question"} | headers
    return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items()).encode() + b"\r\nx\r\n"


async def act(account: Account, name: str, **params: Any) -> Any:
    reaction = service.reactions[name]
    return await reaction.function(context(account, key="1"), reaction.params(**params))


@pytest.fixture(scope="module")
def old():
    """A server without MOVE and UIDPLUS."""
    with peers.dovecot(idle=False) as peer:
        yield peer


@pytest.mark.parametrize("peer", ["box", "old", "cyrus"])
async def test_a_mail_is_moved_once(request, peer):
    peer = request.getfixturevalue(peer)
    for folder in ("From here", "To there"):
        peer.create(f'"{folder}"' if peer.login == "ann" else folder)
    names = ('"From here"', '"To there"') if peer.login == "ann" else ("From here", "To there")
    for message_id in ("<1@x>", "<11@x>", '<"q\\"1@x>'):
        peer.deliver(received(Message_ID=message_id), names[0])
    account = receiving(peer)
    for message_id in ("<1@x>", "<1@x>", '<"q\\"1@x>'):  # an attempt more than once
        given = {"message_id": message_id, "folder": "From here", "to_folder": "To there"}
        assert (await act(account, "move_email", **given)).folder == "To there"
    place = server.Server("IMAP", peer.host, peer.port, "none")
    async with imap.connected(Guard(ALLOWED), place, peer.login, peer.password) as mailbox:

        async def left(folder: str) -> list[str]:
            await mailbox.open(folder)
            every = (await mailbox.uid("SEARCH", "UNDELETED"))[0].split()
            return sorted(
                [
                    header(
                        next(
                            item[1]
                            for item in await mailbox.uid("FETCH", uid, "(BODY.PEEK[HEADER])")
                            if isinstance(item, tuple)
                        ),
                        "message-id",
                    )
                    for uid in every
                ]
            )

        assert await left("From here") == ["<11@x>"]
        assert await left("To there") == ['<"q\\"1@x>', "<1@x>"]
    with pytest.raises(Permanent, match="has no e-mail with this Message-ID"):
        await act(account, "move_email", message_id="<2@x>", folder="From here", to_folder="To there")
    with pytest.raises(Permanent, match='can\'t open the folder "Nowhere"'):
        await act(account, "move_email", message_id="<11@x>", folder="From here", to_folder="Nowhere")
    with pytest.raises(ValidationError, match="control characters"):
        await act(account, "move_email", message_id="<1@x>\r\nX DELETE", folder="From here", to_folder="To there")
    with pytest.raises(Permanent, match="isn't a Message-ID"):
        await act(account, "move_email", message_id="<é@x>", folder="From here", to_folder="To there")


@pytest.mark.parametrize("peer", ["box", "cyrus"])
async def test_a_mail_is_marked(request, peer):
    peer = request.getfixturevalue(peer)
    peer.create("Marked")
    for message_id in ("<1@x>", "<2@x>"):
        peer.deliver(received(Message_ID=message_id), "Marked")
    account, where = receiving(peer), {"message_id": "<1@x>", "folder": "Marked"}

    async def flags() -> list[bytes]:
        place = server.Server("IMAP", peer.host, peer.port, "none")
        async with imap.connected(Guard(ALLOWED), place, peer.login, peer.password) as mailbox:
            await mailbox.open("Marked")
            return sorted(re.findall(rb"\\(?:Seen|Flagged)", b"".join(await mailbox.uid("FETCH", "1:*", "(FLAGS)"))))

    for _ in range(2):
        await act(account, "mark_email", **where, read=True, flagged=True)
        assert await flags() == [b"\\Flagged", b"\\Seen"], "of one of the two"
    await act(account, "mark_email", **where, flagged=False)
    assert await flags() == [b"\\Seen"]
    await act(account, "mark_email", **where, read=False)
    assert await flags() == []


async def test_a_reply_joins_the_conversation(box, post):
    box.create("Asked")
    box.deliver(
        received(
            Message_ID="<1@x>", References="<0@x>", Cc="Dave <dave@x.org>, ann@example.org",
            From="Acme, Inc. Jobs <jobs@example.com>", Subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        ), "Asked",
    )  # fmt: skip
    account = both(box, post)
    for to_all, recipients in (
        (False, ["jobs@example.com"]),
        (True, ["jobs@example.com", "carol@x.org", "dave@x.org"]),
    ):
        reply = {"message_id": "<1@x>", "folder": "Asked", "text": "Thanks", "to_all": to_all}
        result = await act(account, "reply_to_email", **reply)
        assert result.accepted == recipients
        assert (await act(account, "reply_to_email", **reply)).message_id == result.message_id, "a second attempt"
        message = message_from_bytes(post.mails[-1].content, policy=policy.default)
        assert (message["To"], message["Subject"]) == ('"Acme, Inc. Jobs" <jobs@example.com>', "Re: Grüße")
        assert (message["In-Reply-To"], message["References"]) == ("<1@x>", "<0@x> <1@x>")
    assert not [path for path in box.mails("Asked") if path.name.endswith("S")], "it stays unread"


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}, {"From": "ann@example.org"}, {"From": "MAILER-DAEMON"},
    ],
    ids=str,
)  # fmt: skip
async def test_what_would_loop_gets_no_reply(box, post, headers):
    box.create("Loops")
    message_id = f"<{next(iter(headers.values()))}@loops>"
    box.deliver(received(Message_ID=message_id, **headers), "Loops")
    with pytest.raises(Partial, match="so AREA doesn't reply to it"):
        await act(both(box, post), "reply_to_email", message_id=message_id, folder="Loops", text="Thanks")
    assert post.mails == []


def sending_half(port: int) -> dict[str, Any]:
    return {"smtp_host": "127.0.0.1", "smtp_port": port, "from_address": "ann@example.org"}


def test_the_form_says_what_is_missing():
    with pytest.raises(ValidationError, match="Enter an IMAP server to receive, an SMTP server to send, or both"):
        Account()
    with pytest.raises(ValidationError, match="Enter the address to send from"):
        Account(smtp_host="x.org")
    with pytest.raises(ValidationError, match="control characters"):
        Account(imap_host="x.org", login="a\r\nb")
    assert "secret" not in repr(Account(imap_host="x.org", login="a", password="secret"))


async def test_half_a_connection_says_which_half_is_missing(box, post):
    with pytest.raises(Permanent, match="has no SMTP server"):
        await send_email.function(context(receiving(box)), Letter(to="a@x.org", text="x"))
    with pytest.raises(Permanent, match="has no IMAP server"):
        await anext(new_email.function(context(sending(post)), new_email.params()))


def test_the_sample_is_a_mail():
    sample = orjson.loads((Path(__file__).parent / "fixtures" / "new_email.json").read_bytes())
    assert Mail.model_validate(sample["data"]).attachments
    assert service.actions["new_email"].returns is Mail


# No text of the connection becomes a command


@contextmanager
def recording_server(capability: bytes = b"IMAP4rev1"):
    """An IMAP server that takes every login and keeps the bytes that it was sent."""
    heard = bytearray()

    def serve(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # nobody came, which is as it should be
            return
        with connection, suppress(ConnectionError):
            connection.sendall(b"* OK ready\r\n")
            rest = b""
            while data := connection.recv(4096):
                heard.extend(data)
                rest += data
                while b"\r\n" in rest:
                    line, rest = rest.split(b"\r\n", 1)
                    capable = b"* CAPABILITY " + capability + b"\r\n" if b"CAPABILITY" in line else b""
                    connection.sendall(capable + (line.split() or [b"*"])[0] + b" OK done\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard


INJECTED = [{"password": "x\r\nX1 NOOP"}, {"login": "ann\r\nX1 NOOP"}, {"password": "x\nX1 DELETE INBOX"}]


@pytest.mark.parametrize("wrong", INJECTED, ids=str)
async def test_a_line_break_in_a_login_is_never_sent(wrong):
    with recording_server() as (port, heard):
        given = {"login": "ann", "password": "open sesame"} | wrong
        place = server.Server("IMAP", "127.0.0.1", port, "none")
        with pytest.raises(Permanent, match="line break"):
            async with imap.connected(Guard(ALLOWED), place, given["login"], given["password"]):
                pass
    assert b"LOGIN" not in heard
    assert b"X1" not in heard


async def test_the_recording_server_hears_a_proper_login():
    with recording_server() as (port, heard):
        place = server.Server("IMAP", "127.0.0.1", port, "none")
        async with imap.connected(Guard(ALLOWED), place, "ann", "open sesame"):
            pass
    assert b'LOGIN "ann" "open sesame"' in heard or b'LOGIN ann "open sesame"' in heard


@pytest.mark.parametrize("wrong", INJECTED, ids=str)
async def test_dovecot_hears_no_second_command(box, wrong):
    assert isinstance(service.auth, Credentials)
    given = receiving(box).model_dump() | {"password": box.password} | wrong
    with pytest.raises(ValidationError, match="line break"):
        service.auth.read(given)
    before = box.log()
    kept = Account.model_construct(
        **(dict(receiving(box)) | wrong | {"password": SecretStr(wrong.get("password", "x"))})
    )
    with pytest.raises(Permanent, match="line break"):
        await try_account(context(kept), kept)
    assert "X1" not in box.log()[len(before) :]


@pytest.mark.parametrize(
    "text",
    ['\\"' * 300_000, '"' * 600_001, "<" + " " * 600_000 + "x y", '"a" ' * 150_000 + "<", "a@b.example," * 50_000],
    ids=["quotes in quotes", "quotes", "blanks", "names", "addresses"],
)
def test_addresses_are_read_in_one_pass(text: str):
    begun = time.process_time()
    with pytest.raises(ValueError, match="address"):
        mailboxes(text)
    assert time.process_time() - begun < 5  # what tries each beginning again takes an hour
