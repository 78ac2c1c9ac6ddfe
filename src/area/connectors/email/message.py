"""A received e-mail."""

from datetime import datetime
from pathlib import Path

from area.sdk import Output, Permanent, Reader, output

_parser = Reader(Path(__file__).with_name("parser.py"))


class Attachment(Output):
    name: str = output("name", "File name, empty when the mail gives none", "invoice.pdf")
    type: str = output("type", "Media type", "application/pdf")
    size: int = output("size", "Size in bytes", 48213)


ATTACHED = {"name": "invoice.pdf", "type": "application/pdf", "size": 48213}


class Mail(Output):
    subject: str = output("subject", "Subject", "Your invoice", "")
    sender: str = output("sender", "Sender's address", "billing@example.com", "")
    sender_name: str = output("sender_name", "Sender's name", "Example Billing", "")
    to: list[str] = output("to", "Recipients' addresses", ["ann@example.org"], [])
    date: datetime = output("date", "Date written", "2026-11-23T09:00:00+01:00")
    text: str = output("text", "Plain text", "Please find attached …", "")
    html: str = output("html", "HTML text", "<p>Please find attached …</p>", "")
    message_id: str = output("message_id", "Message-ID", "<20261123.1@example.com>", "")
    attachments: list[Attachment] = output("attachments", "Name, type and size of each attachment", [ATTACHED], [])
    truncated: bool = output("truncated", "Whether the text was too long and was shortened", False, False)
    folder: str = output("folder", "Folder", "INBOX", "")
    uid: int = output("uid", "Number in the folder", 4711, 0)


async def read(content: bytes, size: int, received: datetime, folder: str, uid: int) -> Mail:
    """Parse a mail of `size` bytes, of which `content` may be only the beginning. Raises `Retry`."""
    try:
        fields = await _parser.read("The mail server", content, size=size)
    except Permanent:  # it must still fire, and not stop those behind it
        fields = {"truncated": True}
    return Mail.model_validate({"date": received, "folder": folder, "uid": uid, **fields})
