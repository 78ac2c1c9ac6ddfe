"""Mails as bytes (RFC 5322, RFC 2045 to 2047): each header is written here, and no text is read as an encoded word.

`email.message.EmailMessage` decodes what looks like one, and before Python 3.11.10 and 3.12.5 writes its line breaks as
they are (CVE-2024-6923). Imports only the standard library, so that any Python can run this.
"""

import binascii
import re
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

LINE = 76  # characters of a folded line; RFC 2047 §2 allows no more with an encoded word
LONGEST = 998  # characters of any line, RFC 5322 §2.1.1
LONGEST_WORD = 60  # characters; longer words are encoded, since they can't be folded
CHUNK = 45  # bytes: 60 characters in base64, 72 as an encoded word
MOST_REFERENCES = 20

_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")  # RFC 5322 §3.2.3, with the dots
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_VERBATIM = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>")
_ENDS = re.compile(r"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, checked by `address`, and its display name."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A mail with CRLF line ends. `utf8`: an address is not ASCII, so the server must offer SMTPUTF8 (RFC 6531)."""

    content: bytes
    utf8: bool


def compose(
    *,
    to: Sequence[Mailbox],
    subject: str,
    text: str | None = None,
    html: str | None = None,
    sender: Mailbox | None = None,
    cc: Sequence[Mailbox] = (),
    bcc: Sequence[Mailbox] = (),
    reply_to: Sequence[Mailbox] = (),
    date: datetime | None = None,
    headers: Mapping[str, str] | None = None,
) -> Message:
    """Write a mail. `headers` are written as they are: ASCII, such as a Message-ID. Without `html` it is plain text.

    Line breaks and control characters in subject and names become spaces. Raises `ValueError` for an address or one of
    `headers` that is not allowed in a mail.
    """
    lines: list[str] = []
    utf8 = False
    for name, boxes in (
        ("From", [sender] if sender else []),
        ("To", to),
        ("Cc", cc),
        ("Bcc", bcc),
        ("Reply-To", reply_to),
    ):
        if boxes:
            lines.append(_fold(name, _mailboxes(boxes, len(name) + 2)))
            utf8 = utf8 or not all(box.address.rpartition("@")[0].isascii() for box in boxes)
    lines.append(_fold("Subject", _text(subject, len("Subject: "))))
    if date is not None:
        lines.append(_fold("Date", format_datetime(date).split()))
    for name, value in (headers or {}).items():
        if (
            not _NAME.fullmatch(name)
            or not _VERBATIM.fullmatch(value)
            or len(max(value.split(), key=len)) > LONGEST - 2
        ):
            raise ValueError(f"The header {name[:50]!r} can't be written.")
        lines.append(_fold(name, value.split()))
    lines.append("MIME-Version: 1.0")
    head = "\r\n".join(lines).encode()
    return Message(head + b"\r\n" + _body(text, html), utf8)


def address(text: str) -> str:
    """An address as used in mails, its domain in ASCII (RFC 3492). Raises `ValueError` with a sentence."""
    local, _, domain = text.rpartition("@")
    try:
        host = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        host = ""
    known = "".join(
        letter if letter.isascii() or unicodedata.category(letter)[0] not in "LMN" else "a" for letter in local
    )
    if (
        not _ATOM.fullmatch(known)
        or not _HOST.fullmatch(host)
        or "=?" in local  # looks like an encoded word: some readers would decode it
        or len(local.encode()) > 64
        or len(local.encode()) + len(host) > 253  # RFC 5321 §4.5.3.1
    ):
        raise ValueError(f"{text[:100]!r} is not a valid e-mail address. Use one like name@example.com.")
    return f"{local}@{host}"


def one_line(text: str) -> str:
    """`text` with line breaks and control characters as spaces, runs of spaces as one, and lone surrogates as
    U+FFFD.
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    shown = (" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in whole)
    return " ".join("".join(shown).split())


def message_id(token: str, domain: str) -> str:
    """A Message-ID from our own `token`; non-ASCII characters are dropped."""
    plain = (re.sub(r"[^A-Za-z0-9.-]", "", part) for part in (token, domain))
    return "<{}@{}>".format(*(part or "area" for part in plain))


def message_ids(text: str) -> str:
    """The Message-IDs of another mail's header, for references: the last twenty valid ones."""
    return " ".join(_MESSAGE_ID.findall(text)[-MOST_REFERENCES:])


# Headers


def _fold(name: str, words: Sequence[str]) -> str:
    """A header folded between words, so that no line is longer than `LINE` unless a word is."""
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > LINE and lines[-1].strip() != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _text(text: str, used: int) -> list[str]:
    """The words of a text: as they are if plain ASCII, else encoded. `used` characters precede them."""
    line = one_line(text)
    words = line.split(" ") if line else []
    if line.isascii() and "=?" not in line and all(len(word) <= LONGEST_WORD for word in words):
        return words
    return list(_encoded(line, used))


def _encoded(text: str, used: int) -> Iterator[str]:
    """Encoded words (RFC 2047 §2) in base64; a character is never split between two."""
    room = max(3, min(CHUNK, (LINE - used - len("=?utf-8?B??=")) // 4 * 3))
    chunk = b""
    for letter in text:
        data = letter.encode()
        if len(chunk) + len(data) > room and chunk:
            yield f"=?utf-8?B?{b64encode(chunk).decode()}?="
            chunk, room = b"", CHUNK
        chunk += data
    if chunk:
        yield f"=?utf-8?B?{b64encode(chunk).decode()}?="


def _mailboxes(boxes: Sequence[Mailbox], used: int) -> list[str]:
    """The words of a list of mailboxes (RFC 5322 §3.4). Raises `ValueError`."""
    words: list[str] = []
    for box in boxes:
        if words:
            words[-1] += ","
        name, plain = one_line(box.name), address(box.address)
        if not name:
            words.append(plain)
            continue
        if name.isascii() and "=?" not in name and len(name) <= LONGEST_WORD:
            words.append('"{}"'.format(re.sub(r'(["\\])', r"\\\1", name)))
        else:
            words += _encoded(name, used if not words else 1)
        words.append(f"<{plain}>")
    return words


# The body


def _body(text: str | None, html: str | None) -> bytes:
    """The headers that describe the body, and the body."""
    if text is not None and html is not None:
        boundary = f"=_{secrets.token_hex(16)}"
        parts = (_part(text, "plain"), _part(html, "html"))
        inner = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
        kind = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'
        return kind.encode() + inner + f"--{boundary}--\r\n".encode()
    return _part(text or "", "plain") if html is None else _part(html, "html")


def _part(text: str, subtype: str) -> bytes:
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    whole = _ENDS.sub("\n", whole)
    data = (whole if whole.endswith("\n") else f"{whole}\n").encode()
    if data.isascii() and b"\0" not in data and max(map(len, data.split(b"\n"))) <= LONGEST:
        encoding, written = "7bit", data
    else:
        quoted, packed = binascii.b2a_qp(data, istext=True), _base64(data)
        encoding, written = ("quoted-printable", quoted) if len(quoted) <= len(packed) else ("base64", packed)
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + written.replace(b"\n", b"\r\n")


def _base64(data: bytes) -> bytes:
    packed = b64encode(data.replace(b"\n", b"\r\n"))
    return b"".join(packed[at : at + LINE] + b"\n" for at in range(0, len(packed), LINE))
