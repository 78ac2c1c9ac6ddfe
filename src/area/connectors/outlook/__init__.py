"""Outlook: receives and sends e-mail through Microsoft Graph."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, EmailStr

from area.sdk import (
    Context,
    Event,
    Events,
    Option,
    Output,
    Service,
    new_events,
    output,
    param,
    quoted,
    timestamp,
    without_blanks,
)
from area.sdk.mail import Addresses, mailboxes
from area.sdk.shapes import HTML, by_format
from area.vendors.microsoft import GRAPH, PAGES, hint, microsoft

service = Service(
    "outlook",
    "Outlook mail",
    "React to new and flagged e-mail in Outlook.com and Microsoft 365; send, reply, move and mark e-mail.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/mail-api-overview",
    pages=PAGES,
    auth=microsoft(login=True),
    quality="verified",
    synonyms={
        "": "Hotmail, Office 365, Microsoft 365, Exchange, Live, mailbox, inbox",
        "new_mail": (
            "incoming mail, mail arrives, receive mail, get a mail, email from, unread email, message in my mailbox,"
            " someone writes me"
        ),
        "new_mail_matching": "mail from, mail about, keyword",
        "mail_flagged": "important, flagged message, follow up",
        "send_mail": "write a mail, forward email, mail to",
        "create_draft": "prepare a reply",
        "reply_to_mail": "auto reply, answer an email, respond",
        "move_mail": "archive email, file away, delete email, trash, spam",
        "mark_mail": "mark as read, unread, flag",
    },
)

# ids that stay when a mail is moved: https://learn.microsoft.com/graph/outlook-immutable-id
IDS = {"Prefer": 'IdType="ImmutableId"'}
PREFER = {"Prefer": f'{IDS["Prefer"]}, outlook.body-content-type="text"'}
FIELDS = "id,subject,from,toRecipients,receivedDateTime,lastModifiedDateTime,body,importance,hasAttachments,webLink"
READ, WRITE, SEND = ("Mail.Read",), ("Mail.ReadWrite",), ("Mail.Send",)
MINUTE, FIVE = timedelta(minutes=1), timedelta(minutes=5)
FOLDERS = 20  # requests at most for a list of folders


def _joined(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


Everybody = Annotated[Addresses, param("Recipients, separated by commas", "ada@example.com, bob@example.com")]
Folder = Annotated[str, param("Folder", "inbox", pick="folders")]
Sender = Annotated[EmailStr | None, param("Only e-mails from this sender", "ada@example.com")]
Query = Annotated[str, param("Words, or operators such as from:ada", "subject:invoice", min_length=1)]
Subject = Annotated[str, param("Subject", "Invoice 42")]
Text = Annotated[str, param("Text", "Please find it here.", shape=by_format("format", {"html": HTML}))]
To = Annotated[str, BeforeValidator(_joined)]
Copy = Annotated[Addresses, param("Cc recipients", "eve@example.com")]
Unseen = Annotated[Addresses, param("Bcc recipients", "boss@example.com")]
Format = Annotated[Literal["text", "html"], param("Format of the text", "html")]
Which = Annotated[str, param("E-mail ID", "{{id}}", min_length=1)]


class Mail(Output):
    id: str = output("id", "ID, which stays the same when it is moved", "AAkALgAAAAAAHYQDEapmEc2byACqAC")
    subject: str | None = output("subject", "Subject", "Invoice 42", None)
    from_name: str | None = output("from.emailAddress.name", "Sender's name", "Ada", None)
    from_address: str | None = output("from.emailAddress.address", "Sender's address", "ada@example.com", None)
    to: To = output("toRecipients.*.emailAddress.address", "Recipients", "bob@example.com", "")
    received_at: datetime = output("receivedDateTime", "Time received", "2026-11-23T09:00:00Z")
    changed_at: datetime = output("lastModifiedDateTime", "Date of the last change", "2026-11-23T09:05:00Z")
    text: str | None = output("body.content", "Text", "Please find it here.", None)
    importance: str | None = output("importance", "low, normal or high", "normal", None)
    has_attachments: bool = output("hasAttachments", "Whether it has attachments", True)
    web_link: str | None = output("webLink", "URL in Outlook", "https://outlook.office.com/mail/x", None)


class _Folder(Output):
    id: str
    name: str = output("displayName", "Name", "Inbox")
    folders: int = output("childFolderCount", "How many it holds", 2, 0)


@service.poll("New e-mail", every=MINUTE, scopes=READ, hint=hint("me/mailFolders('{folder}')/messages"))
def new_mail(ctx: Context, since: datetime, folder: Folder = "inbox", sender: Sender = None) -> Events[Mail]:
    """Triggers for each new e-mail in a folder, from anyone or from one sender."""
    window = f"receivedDateTime ge {timestamp(since)}"
    if sender:
        window += " and from/emailAddress/address eq '{}'".format(sender.replace("'", "''"))
    query = {"$filter": window, "$orderby": "receivedDateTime desc"}
    return new_events(_mails(ctx, quoted("/me/mailFolders/{}/messages", folder), query, most=1000), at="received_at")


@service.poll(
    "New e-mail matching a search", every=FIVE, overlap=timedelta(days=1), scopes=READ, hint=hint("me/messages")
)
async def new_mail_matching(ctx: Context, since: datetime, query: Query) -> Events[Mail]:
    """Triggers for each new e-mail, in any folder, that matches an Outlook search."""
    # https://learn.microsoft.com/graph/search-query-parameter
    search = {"$search": '"{}"'.format(query.replace('"', '\\"'))}
    async for mail in _mails(ctx, "/me/messages", search, most=100):
        if mail.received_at >= since:
            yield Event(mail.id, mail, mail.received_at)


@service.poll("E-mail flagged", every=MINUTE, scopes=READ, hint=hint("me/messages", "updated"))
def mail_flagged(ctx: Context) -> Events[Mail]:
    """Triggers when an e-mail in any folder is flagged; once per e-mail, even if it is flagged again."""
    # all, to know those that were flagged before; what was flagged last comes first
    flagged = "lastModifiedDateTime ge 1900-01-01T00:00:00Z and flag/flagStatus eq 'flagged'"
    query = {"$filter": flagged, "$orderby": "lastModifiedDateTime desc"}
    return new_events(_mails(ctx, "/me/messages", query, most=200), at="changed_at")


def _mails(ctx: Context, path: str, query: dict[str, str], *, most: int) -> AsyncIterator[Mail]:
    # https://learn.microsoft.com/graph/api/user-list-messages
    query = {**query, "$top": "100", "$select": FIELDS}
    return ctx.http.rows(path, Mail, params=query, headers=PREFER, most=most)


@service.reaction("Send an e-mail", on_crash="fail", scopes=SEND)
async def send_mail(
    ctx: Context, to: Everybody, subject: Subject, text: Text, cc: Copy = "", bcc: Unseen = "", format: Format = "text"
) -> None:
    """Send an e-mail from the connected account."""
    # https://learn.microsoft.com/graph/api/user-sendmail
    mail = {"Message": _message(subject, text, format, to, cc, bcc), "SaveToSentItems": True}
    await ctx.http.call("POST", "/me/sendMail", json=mail)


@service.reaction("Create a draft", on_crash="fail", scopes=WRITE)
async def create_draft(
    ctx: Context, to: Everybody, subject: Subject, text: Text, cc: Copy = "", bcc: Unseen = "", format: Format = "text"
) -> Mail:
    """Save an e-mail as a draft, to review and send by hand."""
    # https://learn.microsoft.com/graph/api/user-post-messages
    return await ctx.http.post("/me/messages", Mail, json=_message(subject, text, format, to, cc, bcc), headers=IDS)


@service.reaction("Reply to an e-mail", on_crash="fail", scopes=SEND)
async def reply_to_mail(
    ctx: Context, mail: Which, text: Annotated[str, param("Text of the reply", "Thank you!")]
) -> None:
    """Reply to the sender of an e-mail."""
    # https://learn.microsoft.com/graph/api/message-reply
    await ctx.http.call("POST", quoted("/me/messages/{}/reply", mail), json={"Comment": text}, headers=IDS)


@service.reaction("Move an e-mail", scopes=WRITE, idempotent="same")
async def move_mail(ctx: Context, mail: Which, folder: Annotated[Folder, param("Folder", "archive")]) -> Mail:
    """Move an e-mail to another folder."""
    # https://learn.microsoft.com/graph/api/message-move
    path = quoted("/me/messages/{}/move", mail)
    return await ctx.http.post(path, Mail, json={"DestinationId": folder}, headers=IDS)


@service.reaction("Mark an e-mail", scopes=WRITE, idempotent="same")
async def mark_mail(
    ctx: Context,
    mail: Which,
    read: Annotated[bool | None, param("Mark as read", True)] = None,
    flag: Annotated[Literal["flagged", "complete", "notFlagged"] | None, param("Flag", "flagged")] = None,
) -> Mail:
    """Mark an e-mail as read or unread, or flag or unflag it."""
    # https://learn.microsoft.com/graph/api/message-update
    marks = without_blanks(isRead=read, flag=flag and {"flagStatus": flag})
    return await ctx.http.ask("PATCH", quoted("/me/messages/{}", mail), Mail, json=marks, headers=IDS)


def _message(subject: str, text: str, format: str, to: str, cc: str, bcc: str) -> dict[str, Any]:
    # https://learn.microsoft.com/graph/api/resources/message
    message: dict[str, Any] = {"subject": subject, "body": {"contentType": format, "content": text}}
    for field, people in {"toRecipients": to, "ccRecipients": cc, "bccRecipients": bcc}.items():
        if people:
            each = [{"name": box.name or box.address, "address": box.address} for box in mailboxes(people)]
            message[field] = [{"emailAddress": address} for address in each]
    return message


@service.picker
async def folders(ctx: Context) -> list[Option]:
    """The folders of the mailbox, and those in them."""
    # https://learn.microsoft.com/graph/api/user-list-mailfolders
    options: list[Option] = []
    waiting = [("/me/mailFolders", "")]
    for path, above in waiting:
        async for row in ctx.http.rows(path, _Folder, params={"$top": "100"}):
            options.append(Option(row.id, f"{above}{row.name}"))
            if row.folders and len(waiting) < FOLDERS:
                waiting.append((quoted("/me/mailFolders/{}/childFolders", row.id), f"{above}{row.name} / "))
    return options
