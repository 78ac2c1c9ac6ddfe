"""Turn a mail's bytes into fields, in a separate process (see `area.kit.sandbox`).

Mail comes from strangers: broken input must still give something readable. Imports nothing else of AREA.
"""

import codecs
import re
from binascii import Error as BinasciiError
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

MAX_HEADER = 20_000  # characters of one header
MAX_HEADERS = 200_000  # bytes of all
MAX_TEXT = 100_000  # characters of the text, and of the HTML
MAX_NESTED = 30  # parts within parts: each looks at all lines of those inside, which takes the parser minutes at worst

# Python's decoders that are no charsets of mail, some in quadratic time; and what many say whose mail is UTF-8.
_NO_CHARSETS = {"ascii", "idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}

_MULTIPART = re.compile(rb"^content-type\s*:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_UNFOLD = re.compile(r"\r?\n\s*|\t")

Fields = dict[str, Any]


def decode(content: bytes, *, size: int) -> Fields:
    """The fields of `Mail` that could be parsed. `size` is in bytes; `content` may be only the beginning."""
    mail: Fields = {"truncated": True}
    with suppress(Exception):  # a mail that breaks the parser must still fire, and not stop those behind it
        _read_head(mail, BytesHeaderParser().parsebytes(content[:MAX_HEADERS]))
        if len(_MULTIPART.findall(content)) <= MAX_NESTED:
            _read_body(mail, message_from_bytes(content), cut=size > len(content))
    return mail


def _read_head(mail: Fields, message: Message) -> None:
    mail["subject"] = _decoded(_header(message, "subject"))
    mail["message_id"] = _header(message, "message-id")
    senders = _addresses(_header(message, "from"))
    mail["sender_name"], mail["sender"] = senders[0] if senders else ("", "")
    mail["to"] = [address for _, address in _addresses(_header(message, "to")) if address]
    try:
        date = parsedate_to_datetime(_header(message, "date"))
        mail["date"] = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        pass  # then it is the time it arrived


def _read_body(mail: Fields, message: Message, *, cut: bool) -> None:
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attachments: list[Fields] = []
    for part in _leaves(message):
        kind, name = part.get_content_type(), part.get_filename()
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if name is None and kind in texts and part.get_content_disposition() != "attachment":
            texts[kind].append(_text(content, part.get_content_charset()))
        elif name is not None or part.get_content_disposition() == "attachment" or kind == "message/rfc822":
            size = len(content) or len(part.as_bytes())
            attachments.append({"name": _decoded(name or ""), "type": _clean(kind), "size": size})
    text, html = "\n".join(texts["text/plain"]), "".join(texts["text/html"])
    mail["truncated"] = cut or len(text) > MAX_TEXT or len(html) > MAX_TEXT
    mail["attachments"] = attachments
    mail["text"], mail["html"] = text[:MAX_TEXT], html[:MAX_TEXT]


def _leaves(part: Message) -> Iterator[Message]:
    """Parts that aren't containers; an attached mail is one part."""
    children = part.get_payload() if part.get_content_maintype() == "multipart" else None
    if not isinstance(children, list):
        yield part
        return
    for child in children:
        if isinstance(child, Message):
            yield from _leaves(child)


def _header(message: Message, name: str) -> str:
    """A raw header on one line; 8-bit bytes are UTF-8 or else Latin-1."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    return _UNFOLD.sub(" ", _text(raw[:MAX_HEADER].encode("utf-8", "surrogateescape"), None)).strip()


def _decoded(value: str) -> str:
    """The text with RFC 2047 encoded words decoded."""
    try:
        parts = decode_header(value)
    except (MessageError, BinasciiError, ValueError):
        return _clean(value)
    texts = (
        part if isinstance(part, str)
        # what stands between encoded words comes back in this escape
        else part.decode("raw-unicode-escape", "replace") if charset is None
        else _text(part, charset)
        for part, charset in parts
    )  # fmt: skip
    return " ".join(_clean("".join(texts)).split())


def _addresses(value: str) -> list[tuple[str, str]]:
    """Names and addresses. Split before decoding, because a decoded name may contain a comma."""
    found = [(_decoded(name), _clean(address).strip()) for name, address in getaddresses([value])]
    return [(name, address if "@" in address else "") for name, address in found if name or address]


def _text(content: bytes, charset: str | None) -> str:
    """Decode with the named charset, else UTF-8, else Latin-1."""
    known = None
    if charset:
        with suppress(LookupError, ValueError):
            known = codecs.lookup(charset).name
    if known and known.replace("_", "-") not in _NO_CHARSETS:
        with suppress(LookupError, ValueError):
            return _clean(content.decode(known, "replace"))
    try:
        return _clean(content.decode())
    except UnicodeDecodeError:
        return _clean(content.decode("latin-1"))


def _clean(text: str) -> str:
    """The text without NUL and lone surrogates, which databases and JSON reject; line ends become newlines."""
    return text.encode("utf-8", "replace").decode().replace("\0", "").replace("\r\n", "\n")
