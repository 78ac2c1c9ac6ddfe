"""Parse Gmail's messages. They come from strangers: missing or broken parts must still give something readable."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any

from area.sdk import Output, output, parse

LONGEST = 100_000  # characters of the text, and of the HTML
LONGEST_HEADER = 20_000  # characters

Raw = Mapping[str, Any]


class Mail(Output):
    id: str = output("id", "Gmail's message ID", "18c2f6b1d0a3e4f5", "")
    thread_id: str = output("threadId", "Conversation ID", "18c2f6b1d0a3e4f5", "")
    subject: str = output("subject", "Subject", "Your invoice")
    sender: str = output("sender", "Sender's address", "billing@example.com")
    sender_name: str = output("sender_name", "Sender's name", "Example Billing")
    to: list[str] = output("to", "Recipients' addresses", ["ann@example.org"])
    received_at: datetime = output("received_at", "Time Gmail received it", "2026-11-23T09:00:00Z")
    snippet: str = output("snippet", "Start of the text", "Please find attached …", "")
    text: str = output("text", "Plain text", "Please find attached the invoice.")
    html: str = output("html", "HTML text", "<p>Please find attached the invoice.</p>")
    attachments: list[str] = output("attachments", "Names of the attachments", ["invoice.pdf"])
    labels: list[str] = output("labelIds", "Label IDs", ["INBOX", "UNREAD"], [])


class Attached(Mail):
    part: str = output("partId", "Number of the part with the file", "1", "")
    file_name: str = output("filename", "File name", "invoice.pdf")
    file_type: str = output("mimeType", "Media type of the file", "application/pdf", "")
    file_size: int = output("body.size", "Size of the file in bytes", 48213, 0)


def read_mail(raw: Raw) -> Mail:
    """The e-mail in a message (https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages)."""
    name, sender = next(iter(_addresses(raw, "From")), ("", ""))
    parts = list(_leaves(raw.get("payload") or {}))
    made = {
        "subject": header(raw, "Subject"),
        "sender": sender,
        "sender_name": name,
        "to": [address for _, address in _addresses(raw, "To") if address],
        "received_at": datetime.fromtimestamp(int(raw.get("internalDate", 0)) / 1000, UTC),
        "text": "\n".join(_texts(parts, "text/plain"))[:LONGEST],
        "html": "".join(_texts(parts, "text/html"))[:LONGEST],
        "attachments": [one["filename"] for one in parts if one.get("filename")],
    }
    return parse(Mail, {**raw, **made}, "Gmail")


def files(raw: Raw) -> list[Attached]:
    """An e-mail's attachments."""
    mail, parts = read_mail(raw).model_dump(), _leaves(raw.get("payload") or {})
    return [parse(Attached, {**mail, **one}, "Gmail") for one in parts if one.get("filename")]


def header(raw: Raw, name: str) -> str:
    """A header on one line, or an empty string."""
    told = (raw.get("payload") or {}).get("headers") or ()
    value = next((one.get("value", "") for one in told if one.get("name", "").lower() == name.lower()), "")
    return " ".join(value.split())


def _addresses(raw: Raw, name: str) -> list[tuple[str, str]]:
    try:
        return getaddresses([header(raw, name)[:LONGEST_HEADER]])
    except RecursionError:  # thousands of brackets
        return []


def _leaves(part: Raw) -> Iterator[Raw]:
    """Parts that aren't containers."""
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
