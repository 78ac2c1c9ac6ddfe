"""A received e-mail."""

from collections.abc import Sequence
from datetime import datetime
from email.parser import BytesHeaderParser
from pathlib import Path

from area.sdk import Output, Permanent, Reader, output
from area.sdk.mail import header_text

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
    cc: list[str] = output("cc", "Addresses in Cc", ["bob@example.org"], [])
    reply_to: list[str] = output("reply_to", "Addresses for replies, if not the sender's", ["help@example.com"], [])
    date: datetime = output("date", "Date written", "2026-11-23T09:00:00+01:00")
    text: str = output("text", "Plain text, or the text of the HTML if there is no other", "Please find attached …", "")
    html: str = output("html", "HTML text", "<p>Please find attached …</p>", "")
    message_id: str = output("message_id", "Message-ID", "<20261123.1@example.com>", "")
    headers: dict[str, str] = output(
        "headers", "The headers you chose, with names in lower case", {"list-id": "<news.example.com>"}, {}
    )
    attachments: list[Attachment] = output("attachments", "Name, type and size of each attachment", [ATTACHED], [])
    truncated: bool = output("truncated", "Whether text or parts were left out", False, False)
    problem: str = output("problem", "What couldn't be read; usually empty", "", "")
    folder: str = output("folder", "Folder", "INBOX", "")
    uid: int = output("uid", "Number in the folder", 4711, 0)


def header(content: bytes, name: str) -> str:
    """One of a mail's headers, on one line."""
    message = BytesHeaderParser().parsebytes(content)
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    return header_text(raw)


async def read(
    content: bytes, size: int, received: datetime, folder: str, uid: int, headers: Sequence[str] = ()
) -> Mail:
    """Parse a mail of `size` bytes, of which `content` may be only the beginning. `headers` are the names of others to
    keep. Raises `Retry`.

    What can't be read is left out and told in `problem`.
    """
    names = [name.lower() for name in headers]
    try:
        fields = await _parser.read("The mail server", content, size=size, headers=names)
    except Permanent:  # it must still fire, with its headers, and not stop those behind it
        try:
            head = content[: content.find(b"\r\n\r\n") + 4]
            fields = await _parser.read("The mail server", head, size=size, headers=names)
        except Permanent:
            fields = {"truncated": True}
        fields["problem"] = "It takes too long or too much memory to read."
    return Mail.model_validate({"date": received, "folder": folder, "uid": uid, **fields})
