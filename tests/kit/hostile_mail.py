"""Mails of hostile text, written and read back: run by test_mime.py, and by itself with any other Python (`python
hostile_mail.py SRC`).
"""

import email
import email.header
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from area.kit import mime
from area.kit.mime import Mailbox

SMUGGLED = "Reply-To: evil@x.example\r\nContent-Type: text/html\r\n\r\n<h1>Pay here</h1>"
TEXTS = [
    "Hello",
    "",
    "Grüße aus Köln ✓",
    "=?utf-8?q?Invoice=0d=0aReply-To:_evil@x.example=0d=0aContent-Type:_text/html=0d=0a=0d=0a<h1>Pay_here</h1>?=",
    "=?utf-8?B?SW52b2ljZQ0KQmNjOiBldmlsQHguZXhhbXBsZQ0KDQp4?=",
    "a =?us-ascii?q?x=0aBcc:_e@x?= b =?utf-8?q?c?=",
    f"Hi\r\n{SMUGGLED}",
    f"Hi\n{SMUGGLED}",
    f"Hi\r{SMUGGLED}",
    "a\0b\x07c\x1b[31md\x7fe",
    "a\u2028Bcc: x@x.example\u2029b\u0085c",
    "\ud800 half \udfff and \ud83d\ude00 whole",
    "x" * 10_000,
    "ü" * 10_000,
    "wörd " * 2_000,
    "word " * 2_000,
    " \t leading and trailing \t ",
    "?==?=?utf-8?",
    'quotes " and \\ and (comment) <a@b.example>, c@d.example; e',
    "\u202egnp.exe \u2066x\u2069",
]
BODIES = [
    "",
    "a\r\n.\r\nb",
    "lone\rreturn\nand\r\nboth",
    "x" * 5_000,
    "é\0\ud800" * 500,
    "From me\n.\n..\n",
    "--=_boundary--\n",
]
ADDRESSES = [
    "",
    "nobody",
    "a b@c.example",
    "a@b@c.example",
    "=?utf-8?q?x=0aBcc:_e@x?= <c@d.example>",
    "=?utf-8?q?x=0aBcc?=@d.example",
    "a@x.example\r\nBcc: b@x.example",
    "a@x.example\nBcc: b@x.example",
    "a\0@x.example",
    "a@x.example\u2028",
    "a@x\u0085.example",
    "a\u202eb@x.example",
    "\ud800@x.example",
    "a@\ud800.example",
    f"{'a' * 65}@x.example",
    f"a@{'x' * 64}.example",
    "a@" + ".".join(["x" * 60] * 5),
    "a@-x.example>",
    '"a b"@x.example',
    "a@x..example",
]


def names(content: bytes) -> list[str]:
    """The names of the headers, as a receiver that knows nothing but lines sees them."""
    head = content.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"[^\r]\n|\r[^\n]", head), head
    lines = head.split(b"\r\n")
    assert all(len(line) <= 998 for line in lines), max(map(len, lines))
    assert all(line.strip() for line in lines), head
    assert all(len(line) <= 76 for line in lines if b"=?" in line), lines
    return [line.partition(b":")[0].decode() for line in lines if line[:1] not in (b" ", b"\t")]


def decoded(value: str) -> str:
    """What a reader shows, by the standard library's older reader."""
    return str(email.header.make_header(email.header.decode_header(re.sub(r"\r\n(?=[ \t])", "", value))))


def _refusal(write: Callable[..., object], *provided: object, **named: object) -> str:
    """What a `ValueError` says; nothing when there is none."""
    try:
        write(*provided, **named)
    except ValueError as error:
        return str(error)
    return ""


def check() -> int:
    """Write every text in every place, and read it; returns how many mails were."""
    count = 0
    fixed = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    for text in TEXTS:
        box = Mailbox("ann@example.org", text)
        for subject, sender, reply_to, expected in (
            (text, None, [], ["To", "Subject", "Date", "Message-ID"]),
            (
                "x",
                box,
                [box, Mailbox("bob@bücher.example", text)],
                ["From", "To", "Reply-To", "Subject", "Date", "Message-ID"],
            ),
        ):
            content = mime.compose(
                to=[box], subject=subject, text="Hi", sender=sender, reply_to=reply_to,
                date=datetime(2026, 11, 30, tzinfo=UTC), headers={"Message-ID": "<1@example.org>"},
            ).content  # fmt: skip
            assert names(content) == expected + fixed, (text, names(content))
            for read in (policy.compat32, policy.default):
                message = email.message_from_bytes(content, policy=read)
                assert message.keys() == expected + fixed
                assert message.get_payload(decode=True) == b"Hi\r\n"
            old = email.message_from_bytes(content)
            assert decoded(old["Subject"]) == mime.one_line(subject), subject
            assert not re.search("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]", decoded(old["To"])), text
            new = email.message_from_bytes(content, policy=policy.default)
            if len(text) < 100:  # the newer reader takes quadratic time
                assert [address.addr_spec for address in new["To"].addresses] == ["ann@example.org"], text
            count += 1
    for text in BODIES:
        for parts in ({"text": text}, {"html": text}, {"text": text, "html": text}):
            message = email.message_from_bytes(mime.compose(to=[Mailbox("a@b.example")], subject="", **parts).content)
            for part in message.walk():
                if part.is_multipart():
                    assert len(part.get_payload()) == 2
                    continue
                assert part.keys()[-2:] == ["Content-Type", "Content-Transfer-Encoding"]
                requested = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
                requested = re.sub("\r\n?", "\n", requested)
                result = part.get_payload(decode=True).decode().replace("\r\n", "\n")
                assert result.removesuffix("\n") == requested.removesuffix("\n"), (text, result)
            count += 1
    for wrong in ADDRESSES:
        for refused in (_refusal(mime.address, wrong), _refusal(mime.compose, to=[Mailbox(wrong)], subject="")):
            assert "is not a valid e-mail address" in refused, wrong
            assert refused.isprintable(), refused
    for value in ("a\r\nBcc: x@x.example", "a\nb", "é", "", " ", "x" * 997, "a  b"):
        assert _refusal(mime.compose, to=[Mailbox("a@b.example")], subject="", headers={"X": value}), value
    return count


if __name__ == "__main__":
    print(check(), sys.version.split()[0])
