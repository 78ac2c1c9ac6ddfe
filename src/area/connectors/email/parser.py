"""Turn a mail's bytes into fields, in a separate process (see `area.kit.sandbox`).

Mail comes from strangers: broken input must still give something readable, and a part that can't be read takes no other
part with it.
"""

import re
from collections.abc import Collection, Iterator
from datetime import UTC
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from typing import Any

from area.kit.budget import Budget
from area.kit.decoding import codec_of, decode_text
from area.kit.headers import bytes_text, decoded, file_name, header_text, senders
from area.kit.template.html import strip_html
from area.kit.text import clean_text

MAX_HEADERS = 200_000  # bytes of all
MAX_TEXT = 100_000  # characters of the text, and of the HTML
MAX_NESTED = 30  # parts within parts: each looks at all lines of those inside, which takes the parser minutes at worst
MAX_PARTS = 500

_CONTAINER = re.compile(rb"^content-type[ \t]*:[ \t]*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_TEXTS = ("text/plain", "text/html")

Fields = dict[str, Any]


def decode(content: bytes, *, size: int, headers: Collection[str] = ()) -> Fields:
    """The fields of `Mail` that could be parsed. `size` is in bytes; `content` may be only the beginning. `headers` are
    the names of others to return, in lower case.
    """
    mail: Fields = {"truncated": size > len(content), "problem": ""}
    # the charset that the mail names somewhere: most likely that of bytes whose charset it does not name
    charset = _named(_CHARSET.search(content))
    try:
        _read_head(mail, BytesHeaderParser().parsebytes(content[:MAX_HEADERS]), charset, headers)
        containers = [match.start() for match in _CONTAINER.finditer(content)]
        if len(containers) > MAX_NESTED:
            content = content[: containers[MAX_NESTED]]
            _cut(mail, f"It has more than {MAX_NESTED} nested parts.")
        _read_body(mail, message_from_bytes(content), charset)
    except Exception as error:  # noqa: BLE001 - a mail that breaks the parser must still fire
        _cut(mail, f"It is malformed ({type(error).__name__}).")
    return mail


def _cut(mail: Fields, problem: str) -> None:
    mail["truncated"] = True
    mail["problem"] = f"{mail['problem']} {problem}".strip()


def _named(match: re.Match[bytes] | None) -> str | None:
    """The charset that was found, unless it says nothing about bytes beyond ASCII."""
    label = match[1].decode() if match else ""
    return label if codec_of(label) not in (None, "ascii", "utf-8") else None


def _read_head(mail: Fields, message: Message, charset: str | None, headers: Collection[str]) -> None:
    def text(name: str) -> str:
        return _header(message, name, charset)

    mail["subject"] = decoded(text("subject"))
    mail["message_id"] = clean_text(text("message-id"))
    mail["sender_name"], mail["sender"] = next(iter(senders(text("from"))), ("", ""))
    mail["to"] = _addresses(text("to"))
    mail["cc"] = _addresses(text("cc"))
    mail["reply_to"] = _addresses(text("reply-to"))
    mail["headers"] = {name: value for name in headers if (value := decoded(text(name)))}
    try:
        date = parsedate_to_datetime(text("date"))
        mail["date"] = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        pass  # then it is the time it arrived


def _addresses(value: str) -> list[str]:
    return [sender.address for sender in senders(value) if sender.address]


def _header(message: Message, name: str, charset: str | None) -> str:
    """The first of a part's headers with this name, on one line."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    return header_text(raw, charset)


def _read_body(mail: Fields, message: Message, charset: str | None) -> None:
    named: list[tuple[str, str, Fields]] = []  # texts that have a name, which may be files
    texts: dict[str, list[str]] = {kind: [] for kind in _TEXTS}
    attachments: list[Fields] = []
    for number, part in enumerate(_leaves(message), 1):
        if number > MAX_PARTS:
            _cut(mail, f"It has more than {MAX_PARTS} parts.")
            break
        file = {"name": "", "type": "application/octet-stream", "size": 0}
        try:
            disposition = _header(part, "content-disposition", charset)
            file["name"] = file_name(disposition, _header(part, "content-type", charset))
            kind = file["type"] = clean_text(part.get_content_type())
            attached = disposition.lower().startswith("attachment")
            content = part.get_payload(decode=True)
            data = content if isinstance(content, bytes) else b""
            file["size"] = len(data) or len(part.as_bytes())
            if kind not in _TEXTS or attached:
                attachments.append(file)
            elif not file["name"]:
                texts[kind].append(_text(part, data, charset))
            else:
                attachments.append(file)
                named.append((kind, _text(part, data, charset), file))
        except Exception as error:  # noqa: BLE001 - the other parts can be read
            attachments.append(file)
            _cut(mail, f"Part {number} is malformed ({type(error).__name__}).")
    if not any(texts.values()):  # some programs give the text itself a name
        for kind, text, file in named:
            if not texts[kind]:
                texts[kind].append(text)
                attachments.remove(file)
    text, html = "\n".join(texts["text/plain"]), "".join(texts["text/html"])
    if not text.strip() and html:
        text = strip_html(html[: 2 * MAX_TEXT], Budget(10**9))  # this process has a limit of its own
    mail["truncated"] = mail["truncated"] or len(text) > MAX_TEXT or len(html) > MAX_TEXT
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


def _text(part: Message, data: bytes, charset: str | None) -> str:
    """A part's text, in the charset that it names, or what its HTML or another part names."""
    own = part.get_content_charset()
    if own and codec_of(own) not in (None, "ascii", "utf-8"):
        text = decode_text(data, own)
    else:
        text = bytes_text(data, _named(_META.search(data[:2000])) or charset)
    return clean_text(text).replace("\r\n", "\n")
