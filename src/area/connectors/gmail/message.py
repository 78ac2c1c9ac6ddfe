"""Parse Gmail's messages. They come from strangers: missing or broken parts must still give something readable."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from area.sdk import Output, output, parse
from area.sdk.mail import Sender, received_text, senders

LONGEST = 100_000  # characters of the text, and of the HTML
NO_NAME = "noname"  # what Gmail calls a file without a name

Raw = Mapping[str, Any]


class Mail(Output):
    id: str = output("id", "Gmail's message ID", "18c2f6b1d0a3e4f5", "")
    thread_id: str = output("threadId", "Conversation ID", "18c2f6b1d0a3e4f5", "")
    subject: str = output("subject", "Subject", "Your invoice")
    sender: str = output("sender", "Sender's address", "billing@example.com")
    sender_name: str = output("sender_name", "Sender's name", "Example Billing")
    to: list[str] = output("to", "Recipients' addresses", ["ann@example.org"])
    cc: list[str] = output("cc", "Addresses in Cc", ["bob@example.org"], [])
    reply_to: list[str] = output("reply_to", "Addresses for replies, if not the sender's", ["help@example.com"], [])
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
    sender = next(iter(senders(header(raw, "From"))), Sender("", ""))
    parts = list(_leaves(raw.get("payload") or {}))
    texts, attached = _sorted(parts)
    result = {
        "subject": header(raw, "Subject"),
        "sender": sender.address,
        "sender_name": sender.name,
        "to": _addresses(raw, "To"),
        "cc": _addresses(raw, "Cc"),
        "reply_to": _addresses(raw, "Reply-To"),
        "received_at": datetime.fromtimestamp(int(raw.get("internalDate", 0)) / 1000, UTC),
        "text": "\n".join(map(_text, texts["text/plain"]))[:LONGEST],
        "html": "".join(map(_text, texts["text/html"]))[:LONGEST],
        "attachments": [part.get("filename") or NO_NAME for part in attached],
    }
    return parse(Mail, {**raw, **result}, "Gmail")


def files(raw: Raw) -> list[Attached]:
    """An e-mail's attachments."""
    mail = read_mail(raw).model_dump()
    _, attached = _sorted(list(_leaves(raw.get("payload") or {})))
    return [
        parse(Attached, {**mail, **part, "filename": part.get("filename") or NO_NAME}, "Gmail") for part in attached
    ]


def header(raw: Raw, name: str) -> str:
    """A header on one line, or an empty string."""
    return _header(raw.get("payload") or {}, name)


def _header(part: Raw, name: str) -> str:
    headers = part.get("headers") or ()
    value = next((entry.get("value", "") for entry in headers if entry.get("name", "").lower() == name.lower()), "")
    return " ".join(value.split())


def _addresses(raw: Raw, name: str) -> list[str]:
    return [sender.address for sender in senders(header(raw, name)) if sender.address]


def _leaves(part: Raw) -> Iterator[Raw]:
    """Parts that aren't containers."""
    if not part.get("parts"):
        yield part
    for child in part.get("parts") or ():
        yield from _leaves(child)


def _sorted(parts: list[Raw]) -> tuple[dict[str, list[Raw]], list[Raw]]:
    """The parts that are the text, by type, and the attached ones, with a name or without. Some programs give the text
    itself a name.
    """
    texts: dict[str, list[Raw]] = {"text/plain": [], "text/html": []}
    attached, named = [], []
    for part in parts:
        kind, body = part.get("mimeType", ""), part.get("body") or {}
        if kind in texts and not part.get("filename"):
            texts[kind].append(part)
        elif kind in texts and body.get("data") and not _is_attachment(part):
            named.append(part)
            attached.append(part)
        elif part.get("filename") or body.get("size") or body.get("attachmentId"):
            attached.append(part)
    if not any(texts.values()):
        for part in named:
            if not texts[part["mimeType"]]:
                texts[part["mimeType"]].append(part)
                attached.remove(part)
    return texts, attached


def _is_attachment(part: Raw) -> bool:
    return _header(part, "Content-Disposition").lower().startswith("attachment")


def _text(part: Raw) -> str:
    data = urlsafe_b64decode((part.get("body") or {}).get("data", "") + "==")
    return received_text(data, _header(part, "Content-Type"))
