"""Outlook: mails in, mails out, by Microsoft Graph."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from email.utils import getaddresses
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, BeforeValidator, EmailStr, Field

from area.sdk import Context, Event, Nothing, Option, Pick, Row, Service, found, parse
from area.sdk.microsoft import GRAPH, NAME, hint, microsoft, rows, stamp

service = Service(
    "outlook",
    "Outlook mail",
    "Mails of Outlook.com and Microsoft 365: new and flagged ones in; send, answer, file and mark them.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/mail-api-overview",
    auth=microsoft(login=True),
    quality="verified",
)

# ids that stay when a mail is moved: https://learn.microsoft.com/graph/outlook-immutable-id
IDS = {"Prefer": 'IdType="ImmutableId"'}
PREFER = f'{IDS["Prefer"]}, outlook.body-content-type="text"'
FIELDS = "id,subject,from,toRecipients,receivedDateTime,lastModifiedDateTime,body,importance,hasAttachments,webLink"
ARRIVED = hint("me/messages")
READ, WRITE, SEND = ("Mail.Read",), ("Mail.ReadWrite",), ("Mail.Send",)
MINUTE, FOLDERS = timedelta(minutes=1), 20  # requests at most for a list of folders


def _people(text: str) -> str:
    if text and not all("@" in address for _, address in getaddresses([text])):
        raise ValueError("Enter e-mail addresses, separated by commas.")
    return text


class _Person(Row):
    address: str | None = found("emailAddress.address", "Address", "ada@example.com", None)


def _joined(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return ", ".join(one.address or "" for one in parse(list[_Person], value, NAME))


People = Annotated[str, AfterValidator(_people)]


class Arriving(BaseModel):
    """Which mails to look for, and where."""

    folder: Annotated[str, Pick("folders")] = Field("inbox", description="Folder of the mails", examples=["inbox"])
    sender: EmailStr | None = Field(None, description="Only those of this sender", examples=["ada@example.com"])


class Search(BaseModel):
    """What to look for."""

    query: str = Field(min_length=1, description="Words, or such as from:ada", examples=["subject:invoice"])


class Mail(Row):
    """A mail."""

    id: str = found("id", "What names it, also when it is moved", "AAkALgAAAAAAHYQDEapmEc2byACqAC")
    subject: str | None = found("subject", "Its subject", "Invoice 42", None)
    from_name: str | None = found("from.emailAddress.name", "Name of the sender", "Ada", None)
    from_address: str | None = found("from.emailAddress.address", "Address of the sender", "ada@example.com", None)
    to: Annotated[str, BeforeValidator(_joined)] = found("toRecipients", "To whom it goes", "bob@example.com", "")
    received_at: datetime = found("receivedDateTime", "When it arrived", "2026-11-23T09:00:00Z")
    changed_at: datetime = found("lastModifiedDateTime", "When it was changed last", "2026-11-23T09:05:00Z")
    text: str | None = found("body.content", "Its text", "Please find it here.", None)
    importance: str | None = found("importance", "low, normal or high", "normal", None)
    has_attachments: bool = found("hasAttachments", "Whether files are attached", True)
    web_link: str | None = found("webLink", "Its address in Outlook", "https://outlook.office.com/mail/x", None)


class _Folder(Row):
    id: str
    name: str = found("displayName", "Its name", "Inbox")
    folders: int = found("childFolderCount", "How many it holds", 2, 0)


class Draft(BaseModel):
    """A mail to write."""

    to: People = Field(description="To whom, separated by commas", examples=["ada@example.com, bob@example.com"])
    subject: str = Field(description="Its subject", examples=["Invoice 42"])
    text: str = Field(description="What it says", examples=["Please find it here."])
    cc: People = Field("", description="Who gets a copy", examples=["eve@example.com"])
    bcc: People = Field("", description="Who gets a copy unseen", examples=["boss@example.com"])
    format: Literal["text", "html"] = Field("text", description="What the text is written in", examples=["html"])


class Which(BaseModel):
    """Which mail."""

    mail: str = Field(min_length=1, description="Id of the mail", examples=["{{id}}"])


class Answer(Which):
    """An answer to a mail."""

    text: str = Field(description="What to answer", examples=["Thank you!"])


class Move(Which):
    """What to put where."""

    folder: Annotated[str, Pick("folders")] = Field(description="Folder to put it into", examples=["archive"])


class Marks(Which):
    """What to mark, and how."""

    read: bool | None = Field(None, description="Whether it is read", examples=[True])
    flag: Literal["flagged", "complete", "notFlagged"] | None = Field(None, description="Flag", examples=["flagged"])


@service.poll("A mail arrives", every=MINUTE, scopes=READ, hint=hint("me/mailFolders('{folder}')/messages"))
async def new_mail(ctx: Context, params: Arriving, since: datetime) -> AsyncIterator[Event[Mail]]:
    """A mail arrives in a folder, from anybody or from one sender."""
    # https://learn.microsoft.com/graph/api/user-list-messages
    window = f"receivedDateTime ge {stamp(since)}"
    if params.sender:
        window += " and from/emailAddress/address eq '{}'".format(params.sender.replace("'", "''"))
    query = {"$filter": window, "$orderby": "receivedDateTime desc", "$top": "100", "$select": FIELDS}
    path = f"/me/mailFolders/{quote(params.folder, safe='')}/messages"
    async for mail in rows(ctx, path, query, Mail, prefer=PREFER, most=1000):
        yield Event(mail.id, mail, mail.received_at)


@service.poll(
    "A mail matches a search", every=timedelta(minutes=5), overlap=timedelta(days=1), scopes=READ, hint=ARRIVED
)
async def new_mail_matching(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Mail]]:
    """A mail arrives, in any folder, that Outlook's search finds."""
    # https://learn.microsoft.com/graph/search-query-parameter
    query = {"$search": '"{}"'.format(params.query.replace('"', '\\"')), "$top": "100", "$select": FIELDS}
    async for mail in rows(ctx, "/me/messages", query, Mail, prefer=PREFER, most=100):
        if mail.received_at >= since:
            yield Event(mail.id, mail, mail.received_at)


@service.poll("A mail is flagged", every=MINUTE, scopes=READ, hint=hint("me/messages", "updated"))
async def mail_flagged(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Mail]]:  # noqa: ARG001
    """A mail is flagged, in any folder. Each fires once, also when it is flagged again."""
    # all, to know those that were flagged before; what was flagged last comes first
    flagged = "lastModifiedDateTime ge 1900-01-01T00:00:00Z and flag/flagStatus eq 'flagged'"
    query = {"$filter": flagged, "$orderby": "lastModifiedDateTime desc", "$top": "100", "$select": FIELDS}
    async for mail in rows(ctx, "/me/messages", query, Mail, prefer=PREFER, most=200):
        yield Event(mail.id, mail, mail.changed_at)


@service.reaction("Send a mail", on_crash="fail", scopes=SEND)
async def send_mail(ctx: Context, params: Draft) -> Nothing:
    """Send a mail from the connected account."""
    # https://learn.microsoft.com/graph/api/user-sendmail
    await ctx.http.call("POST", "/me/sendMail", json={"Message": _message(params), "SaveToSentItems": True})
    return Nothing()


@service.reaction("Write a draft", scopes=WRITE)
async def create_draft(ctx: Context, params: Draft) -> Mail:
    """Put a mail into the drafts, to be looked through and sent by hand."""
    # https://learn.microsoft.com/graph/api/user-post-messages
    return parse(Mail, await ctx.http.post("/me/messages", json=_message(params), headers=IDS), NAME)


@service.reaction("Answer a mail", on_crash="fail", scopes=SEND)
async def reply_to_mail(ctx: Context, params: Answer) -> Nothing:
    """Answer the sender of a mail."""
    # https://learn.microsoft.com/graph/api/message-reply
    await ctx.http.call("POST", f"{_path(params.mail)}/reply", json={"Comment": params.text}, headers=IDS)
    return Nothing()


@service.reaction("Move a mail", scopes=WRITE)
async def move_mail(ctx: Context, params: Move) -> Mail:
    """Put a mail into another folder."""
    # https://learn.microsoft.com/graph/api/message-move
    where = {"DestinationId": params.folder}
    return parse(Mail, await ctx.http.post(f"{_path(params.mail)}/move", json=where, headers=IDS), NAME)


@service.reaction("Mark a mail", scopes=WRITE)
async def mark_mail(ctx: Context, params: Marks) -> Mail:
    """Mark a mail as read or unread, flag it, or take its flag away."""
    # https://learn.microsoft.com/graph/api/message-update
    marks = {"isRead": params.read, "flag": params.flag and {"flagStatus": params.flag}}
    marks = {name: value for name, value in marks.items() if value is not None}
    return parse(Mail, await ctx.http.call("PATCH", _path(params.mail), json=marks, headers=IDS), NAME)


def _path(mail: str) -> str:
    return f"/me/messages/{quote(mail, safe='')}"


def _message(draft: Draft) -> dict[str, Any]:
    # https://learn.microsoft.com/graph/api/resources/message
    people = {"toRecipients": draft.to, "ccRecipients": draft.cc, "bccRecipients": draft.bcc}
    return {
        "subject": draft.subject,
        "body": {"contentType": draft.format, "content": draft.text},
        **{
            field: [
                {"emailAddress": {"name": name or address, "address": address}}
                for name, address in getaddresses([text])
            ]
            for field, text in people.items()
            if text
        },
    }


@service.picker
async def folders(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The folders of the mailbox, and those in them."""
    # https://learn.microsoft.com/graph/api/user-list-mailfolders
    options: list[Option] = []
    waiting = [("/me/mailFolders", "")]
    for path, above in waiting:
        async for one in rows(ctx, path, {"$top": "100"}, _Folder):
            options.append(Option(one.id, f"{above}{one.name}"))
            if one.folders and len(waiting) < FOLDERS:
                waiting.append((f"/me/mailFolders/{quote(one.id, safe='')}/childFolders", f"{above}{one.name} / "))
    return options
