"""Mail (RFC 5322): sending, with addresses as people type them and no way to inject headers; receiving, with headers as
strangers write them.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from area.kit import mime
from area.kit.decoding import charset_in, codec_of, decode_text
from area.kit.headers import Sender, bytes_text, decoded, header_text, senders
from area.kit.mime import Mailbox, Message
from area.kit.sentences import Sentence
from area.kit.template import as_text
from area.sdk.shapes import HTML, Shape, Shaped

__all__ = [
    "Addresses", "Letter", "Mailbox", "Message", "Sender", "addresses", "compose", "decoded", "header_text",
    "mailboxes", "mime", "received_text", "recipients", "senders", "written",
]  # fmt: skip

MOST = 100  # addresses of one field; RFC 5321 §4.5.3.1.8 asks servers for no more
# A quote without an end reaches to the end of the text, and nothing is tried twice: time grows with the length alone.
_QUOTED = r'"(?:[^"\\]|\\.)*+'
_PIECE = re.compile(rf'(?:{_QUOTED}(?:"|\\?\Z)|[^,;"])++', re.DOTALL)
_NAMED = re.compile(rf'((?:{_QUOTED}"|[^<>"])*+)<\s*+([^<>\s]*+)\s*+>\s*+', re.DOTALL)


def mailboxes(text: str) -> list[Mailbox]:
    """Parse addresses with or without names, separated by commas or semicolons. Raises `ValueError` with a sentence."""
    mailboxes: list[Mailbox] = []
    for piece in _pieces(text):
        if len(mailboxes) == MOST:
            raise ValueError(Sentence("Enter at most %(most)s addresses.", most=MOST))
        mailboxes.append(_mailbox(piece))
    return mailboxes


def _pieces(text: str) -> Iterator[str]:
    return filter(str.strip, (match[0] for match in _PIECE.finditer(text)))


def _mailbox(text: str | Mapping[str, Any]) -> Mailbox:
    """One address, with or without a name."""
    if isinstance(text, str):
        match = _NAMED.fullmatch(text)
        name, address = match.groups() if match else ("", text.strip())
    else:
        name, address = as_text(text.get("name")), as_text(text.get("address")).strip()
    plain = "".join(letter if letter.isprintable() and letter not in '"\\' else " " for letter in name)
    try:
        return Mailbox(mime.address(address), " ".join(plain.split()))
    except ValueError:
        sentence = Sentence(
            "'%(text)s' is not a valid e-mail address. Use one like name@example.com.", text=repr(address[:100])[1:-1]
        )
        raise ValueError(sentence) from None


def recipients(text: str) -> Any:
    """The addresses of a text for `Shape.split`, with names and addresses separate."""
    matches = [(piece, _NAMED.fullmatch(piece)) for piece in _pieces(text)]
    return [{"name": match[1], "address": match[2]} if match else piece.strip() for piece, match in matches]


def addresses(given: Any) -> Any:
    """Addresses separated by commas or semicolons, as typed. Each item of a list is one address."""
    if isinstance(given, list | tuple):
        each = [entry for entry in given if isinstance(entry, Mapping) or as_text(entry).strip()]
        if len(each) > MOST:
            raise ValueError(Sentence("Enter at most %(most)s addresses.", most=MOST))
        boxes = [_mailbox(entry if isinstance(entry, Mapping) else as_text(entry)) for entry in each]
    elif isinstance(given, str):
        boxes = mailboxes(given)
    else:
        return given
    return ", ".join(f'"{box.name}" <{box.address}>' if box.name else box.address for box in boxes)


def written(header: str) -> str:
    """The addresses in a received header, to reply to. Raises `ValueError` with a sentence."""
    return str(addresses([sender._asdict() for sender in senders(header) if sender.address]))


Addresses = Annotated[str, BeforeValidator(addresses), Shaped(Shape(split=recipients, several=True))]


class Letter(BaseModel):
    """A mail to send."""

    to: Addresses = Field(
        description="One or more addresses, separated by commas", examples=["ann@example.org, Bob <bob@example.com>"],
        min_length=1,
    )  # fmt: skip
    subject: str = Field("", description="Subject", examples=["New issue: {{title}}"])
    text: str | None = Field(None, description="Plain text; required unless you write HTML", examples=["{{body}}"])
    html: Annotated[str | None, Shaped(HTML)] = Field(None, description="HTML text", examples=["<p>{{body}}</p>"])
    cc: Addresses | None = Field(None, description="Addresses for a copy", examples=["carol@example.com"])
    bcc: Addresses | None = Field(None, description="Addresses for a blind copy", examples=["dave@example.com"])
    reply_to: Addresses | None = Field(None, description="Address for replies", examples=["help@example.org"])

    @model_validator(mode="after")
    def _some_body(self) -> Self:
        if self.text is None and self.html is None:  # one that a template left empty is fine
            raise ValueError(Sentence("Enter a text, an HTML text, or both."))
        return self


def compose(
    letter: Letter,
    *,
    sender: str = "",
    date: datetime | None = None,
    bcc: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Message:
    """Write the mail, with additional `headers` such as `In-Reply-To`. Bcc recipients appear in it only with `bcc`."""
    return mime.compose(
        sender=Mailbox(sender) if sender else None,
        to=mailboxes(letter.to),
        cc=mailboxes(letter.cc or ""),
        bcc=mailboxes(letter.bcc or "") if bcc else (),
        reply_to=mailboxes(letter.reply_to or ""),
        date=date,
        subject=letter.subject,
        text=letter.text if letter.text or not letter.html else None,
        html=letter.html or None,
        headers={"Auto-Submitted": "auto-generated"} | dict(headers or {}),  # RFC 3834: no out-of-office reply, please
    )


def received_text(data: bytes, content_type: str) -> str:
    """The text of a received part after unpacking: UTF-8, or else in the charset of its Content-Type."""
    charset = charset_in(content_type)
    if charset and codec_of(charset) == "iso2022_jp" and b"\x1b" in data:  # ASCII, and so UTF-8, to look at
        return decode_text(data, charset)
    return bytes_text(data, charset)
