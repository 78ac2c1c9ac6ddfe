"""Mail to be sent (RFC 5322): addresses as people type them, and a message that nothing can be smuggled into."""

import re
from email.message import EmailMessage
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

__all__ = ["Addresses", "Letter", "addresses", "ascii_domain", "compose"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PIECE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,;"])+')
_NAMED = re.compile(r"([^<>]*)<\s*([^<>\s]*)\s*>\s*")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")


def addresses(given: Any) -> Any:
    """Addresses separated by commas, as they stand in a header; semicolons and a list of them are taken too."""
    text = ", ".join(map(str, given)) if isinstance(given, list | tuple) else given
    if not isinstance(text, str):
        return text
    written = []
    for piece in filter(str.strip, _PIECE.findall(text)):
        match = _NAMED.fullmatch(piece)
        name, address = match.groups() if match else ("", piece.strip())
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{piece.strip()!r} is no e-mail address; write name@example.com.")
        name = " ".join("".join(c if c.isprintable() and c not in '"\\' else " " for c in name).split())
        written.append(f'"{name}" <{ascii_domain(address)}>' if name else ascii_domain(address))
    return ", ".join(written)


def ascii_domain(address: str) -> str:
    """The address with its domain as the name servers know it (RFC 3492)."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{domain if domain.isascii() else domain.encode('idna').decode()}"
    except UnicodeError:
        return address


Addresses = Annotated[str, BeforeValidator(addresses)]


class Letter(BaseModel):
    """A mail to send."""

    to: Addresses = Field(
        description="One or several addresses, separated by commas", examples=["ann@example.org, Bob <bob@example.com>"],
        min_length=1,
    )  # fmt: skip
    subject: str = Field("", description="Subject", examples=["New issue: {{title}}"])
    text: str | None = Field(None, description="Plain text; this or the HTML is needed", examples=["{{body}}"])
    html: str | None = Field(None, description="HTML text", examples=["<p>{{body}}</p>"])
    cc: Addresses | None = Field(None, description="Addresses that get a copy", examples=["carol@example.com"])
    bcc: Addresses | None = Field(None, description="Addresses that get a hidden copy", examples=["dave@example.com"])
    reply_to: Addresses | None = Field(None, description="Address that answers go to", examples=["help@example.org"])

    @model_validator(mode="after")
    def _some_body(self) -> Self:
        if self.text is None and self.html is None:  # one that a template left empty is fine
            raise ValueError("Give the mail a text, an HTML text, or both.")
        return self


def compose(letter: Letter, **headers: str) -> EmailMessage:
    """Write the mail, with further `headers` (`In_Reply_To`); who gets a hidden copy is not in it.

    `EmailMessage` refuses line breaks in headers; those of the subject become blanks.
    """
    message = EmailMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    for name, given in (("To", letter.to), ("Cc", letter.cc), ("Reply-To", letter.reply_to)):
        if given:
            message[name] = given
    message["Subject"] = " ".join(_CONTROL.sub(" ", letter.subject).split())
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply, please
    if letter.text or not letter.html:
        message.set_content(letter.text or "")
    if letter.html and letter.text:
        message.add_alternative(letter.html, subtype="html")
    elif letter.html:
        message.set_content(letter.html, subtype="html")
    return message
