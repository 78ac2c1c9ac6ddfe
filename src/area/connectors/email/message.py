"""A mail that arrived."""

from datetime import datetime
from pathlib import Path

from area.sdk import Permanent, Reader
from area.sdk.answers import Row, found

_parser = Reader(Path(__file__).with_name("parser.py"))


class Attachment(Row):
    name: str = found("name", "File name, empty when the mail gives none", "invoice.pdf")
    type: str = found("type", "Media type", "application/pdf")
    size: int = found("size", "Size in bytes", 48213)


ATTACHED = {"name": "invoice.pdf", "type": "application/pdf", "size": 48213}


class Mail(Row):
    subject: str = found("subject", "Subject", "Your invoice", "")
    sender: str = found("sender", "Address of the sender", "billing@example.com", "")
    sender_name: str = found("sender_name", "Name of the sender", "Example Billing", "")
    to: list[str] = found("to", "Addresses it is to", ["ann@example.org"], [])
    date: datetime = found("date", "When it was written", "2026-11-23T09:00:00+01:00")
    text: str = found("text", "Plain text", "Please find attached …", "")
    html: str = found("html", "HTML text", "<p>Please find attached …</p>", "")
    message_id: str = found("message_id", "Message-ID", "<20261123.1@example.com>", "")
    attachments: list[Attachment] = found("attachments", "Name, type and size of each attachment", [ATTACHED], [])
    truncated: bool = found("truncated", "Whether text was cut or left out, being too long", False, False)
    folder: str = found("folder", "Folder it lies in", "INBOX", "")
    uid: int = found("uid", "Its number in the folder", 4711, 0)


async def read(content: bytes, size: int, received: datetime, folder: str, uid: int) -> Mail:
    """Parse a mail of `size` bytes, of which `content` may only be the first. Raises `Retry`."""
    try:
        fields = await _parser.read("The mail server", content, size=size)
    except Permanent:  # it must still fire, and not stop those behind it
        fields = {"truncated": True}
    return Mail.model_validate({"date": received, "folder": folder, "uid": uid, **fields})
