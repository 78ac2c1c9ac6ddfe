"""Mail that AREA sends: a head that blocks the queue, strangers as recipients, headers that an event writes."""

import asyncio
import time
from email import message_from_bytes
from email.header import decode_header, make_header

from tests.fair.stage import Person, Stage

from . import attack

MAIL = {"AREA_SMTP_URL": ""}  # without a login
NOTICE = 120.0  # seconds until a notice is mailed: they are looked at every thirty
OURS = {
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding",
    "auto-submitted", "list-unsubscribe", "list-unsubscribe-post", "reply-to", "x-peer", "x-mailfrom", "x-rcptto",
    "precedence", "user-agent", "x-area-execution", "list-id",
}  # fmt: skip


async def confirm(stage: Stage, person: Person) -> None:
    """Follow the link of the mail that confirms an address."""
    answer = await stage.request("POST", "/api/auth/email/confirm", json_body={"token": await stage.link(person.email)})
    assert answer.status == 200, answer


async def _notice(stage: Stage, person: Person, title: str) -> int:
    hook = await person.hook("inbox.post", title=title, level="error")
    return (await person.ask("POST", hook, {"id": 1})).status


async def _mailed(stage: Stage, person: Person, title: str) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < NOTICE + 10:
        if any(title in str(make_header(decode_header(str(message_from_bytes(letter)["subject"]))))
               for letter in stage.mail.to(person.email)):  # fmt: skip
            break
        await asyncio.sleep(0.5)
    return round(time.monotonic() - begun, 1)


@attack(**MAIL)
async def bounce_head(stage: Stage) -> None:
    """A notice to an address that bounces, and one of a title with a line break, before the victim's."""
    bouncing = await stage.register("bounce")
    await confirm(stage, stage.victim)
    await confirm(stage, stage.attacker)
    await _notice(stage, bouncing, "to nobody")
    hook = await stage.attacker.hook("inbox.post", title="{{body.title}}", level="error")
    await stage.attacker.ask("POST", hook, {"title": "two\nlines"})
    await asyncio.sleep(2)
    await _notice(stage, stage.victim, "for Victor")
    stage.table.at_most(
        stage.attack, "the victim's notice is mailed, s", await _mailed(stage, stage.victim, "for Victor"), NOTICE
    )


@attack(**MAIL)
async def relay(stage: Stage) -> None:
    """Mail to the address of a stranger, by registering with it and posting to one's own inbox."""
    stranger = await stage.register("relay", "stranger@third-party.example")
    hook = await stranger.hook("inbox.post", title="Your bank account is locked", body="{{body.text}}", level="error")
    for number in range(5):
        await stranger.ask("POST", hook, {"text": f"Pay at once: {number}"})
    await asyncio.sleep(40)  # notices are looked at every thirty seconds
    bad = [mail for mail in stage.mail.to(stranger.email) if b"bank" in mail or b"Pay" in mail]
    stage.table.at_most(stage.attack, "mails with the attacker's words to a stranger", len(bad), 0)
    stage.table.at_most(stage.attack, "mails to a stranger at all", len(stage.mail.to(stranger.email)), 1)


ENCODED = (
    "=?utf-8?q?Invoice=0d=0aReply-To:_evil@x.example=0d=0aContent-Type:_text/html=0d=0a=0d=0a<h1>Pay_here</h1>?=",
    "=?utf-8?b?SW52b2ljZQ0KQmNjOiBldmlsQHguZXhhbXBsZQ0KDQo8aDE+?=",
    "=?us-ascii?q?x=0aBcc:_evil@x.example?= =?us-ascii?q?=0a=0a<h1>?=",
    "plain\r\nBcc: evil@x.example\r\n\r\n<h1>Pay here</h1>",
    "a\u2028Bcc: evil@x.example\u0085X: y",
)


@attack(alone=False)
async def encoded_words(stage: Stage) -> None:
    """Subjects that hold encoded words with line breaks; the bytes that the server gets are parsed."""
    connection = {
        "smtp_host": "127.0.0.1", "smtp_port": stage.mail.port, "smtp_security": "none",
        "from_address": "mallory@example.org",
    }  # fmt: skip
    answer = await stage.attacker.ask("POST", "/api/connections/email", connection)
    assert answer.status == 200, answer
    hook = await stage.attacker.hook("email.send_email", to="victor@example.org", subject="{{body.s}}", text="Hello")
    before = len(stage.mail.mails)
    for subject in ENCODED:
        await stage.attacker.ask("POST", hook, {"s": subject})
    for _ in range(100):
        if len(stage.mail.mails) - before >= len(ENCODED):
            break
        await asyncio.sleep(0.1)
    mails = [mail.content for mail in stage.mail.mails[before:]]
    stage.table.is_so(stage.attack, "all are sent", len(mails), len(mails) == len(ENCODED))
    for mail in mails:
        parsed = message_from_bytes(mail)
        foreign = {name.lower() for name in parsed.keys()} - OURS  # noqa: SIM118 - a message yields no names by itself
        evil = b"\nReply-To:" in mail or b"\nBcc:" in mail or b"text/html" in mail.partition(b"\r\n\r\n")[0]
        clean = not foreign and not evil and parsed.get_payload(decode=True).strip() == b"Hello"
        stage.table.is_so(stage.attack, f"only AREA's headers: {str(parsed['subject'])[:30]!r}", foreign or "ok", clean)
