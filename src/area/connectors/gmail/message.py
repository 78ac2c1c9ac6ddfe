"""Gmail's messages as they are read: written by strangers, so whatever is missing or broken, something readable comes out."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any

from pydantic import BaseModel, Field

LONGEST = 100_000  # characters of the text, and of the HTML

Raw = Mapping[str, Any]


class Mail(BaseModel):
    """A mail."""

    id: str = Field(description="ID of the mail, at Gmail", examples=["18c2f6b1d0a3e4f5"])
    thread_id: str = Field(description="ID of its conversation", examples=["18c2f6b1d0a3e4f5"])
    subject: str = Field(description="Subject", examples=["Your invoice"])
    sender: str = Field(description="Address of the sender", examples=["billing@example.com"])
    sender_name: str = Field(description="Name of the sender", examples=["Example Billing"])
    to: list[str] = Field(description="Addresses it is to", examples=[["ann@example.org"]])
    received_at: datetime = Field(description="When Gmail got it", examples=["2026-11-23T09:00:00Z"])
    snippet: str = Field(description="Its beginning", examples=["Please find attached …"])
    text: str = Field(description="Plain text", examples=["Please find attached the invoice."])
    html: str = Field(description="HTML text", examples=["<p>Please find attached the invoice.</p>"])
    attachments: list[str] = Field(description="Names of its files", examples=[["invoice.pdf"]])
    labels: list[str] = Field(description="IDs of its labels", examples=[["INBOX", "UNREAD"]])


class Attached(Mail):
    """A file, and the mail that it came with."""

    part: str = Field(description="Number of the part that holds the file", examples=["1"])
    file_name: str = Field(description="Name of the file", examples=["invoice.pdf"])
    file_type: str = Field(description="Media type of the file", examples=["application/pdf"])
    file_size: int = Field(description="Size of the file in bytes", examples=[48213])


def read_mail(raw: Raw) -> Mail:
    """The mail of a message (https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages)."""
    name, sender = next(iter(getaddresses([header(raw, "From")])), ("", ""))
    parts = list(_leaves(raw.get("payload") or {}))
    return Mail(
        id=raw.get("id", ""),
        thread_id=raw.get("threadId", ""),
        subject=header(raw, "Subject"),
        sender=sender,
        sender_name=name,
        to=[address for _, address in getaddresses([header(raw, "To")]) if address],
        received_at=datetime.fromtimestamp(int(raw.get("internalDate", 0)) / 1000, UTC),
        snippet=raw.get("snippet", ""),
        text="\n".join(_texts(parts, "text/plain"))[:LONGEST],
        html="".join(_texts(parts, "text/html"))[:LONGEST],
        attachments=[one["filename"] for one in parts if one.get("filename")],
        labels=list(raw.get("labelIds", ())),
    )


def files(raw: Raw) -> Iterator[Attached]:
    """A mail's files."""
    mail = read_mail(raw).model_dump()
    for one in _leaves(raw.get("payload") or {}):
        if one.get("filename"):
            size = (one.get("body") or {}).get("size", 0)
            yield Attached(
                **mail,
                part=one.get("partId", ""),
                file_name=one["filename"],
                file_type=one.get("mimeType", ""),
                file_size=size,
            )


def header(raw: Raw, name: str) -> str:
    """A header of the mail on one line, or nothing."""
    told = (raw.get("payload") or {}).get("headers") or ()
    found = next((one.get("value", "") for one in told if one.get("name", "").lower() == name.lower()), "")
    return " ".join(found.split())


def _leaves(part: Raw) -> Iterator[Raw]:
    """The parts that are no containers."""
    if not part.get("parts"):
        yield part
    for child in part.get("parts") or ():
        yield from _leaves(child)


def _texts(parts: list[Raw], kind: str) -> Iterator[str]:
    for one in parts:
        if one.get("mimeType") == kind and not one.get("filename"):
            content = urlsafe_b64decode((one.get("body") or {}).get("data", "") + "==")
            try:
                yield content.decode()
            except UnicodeDecodeError:
                yield content.decode("latin-1")
