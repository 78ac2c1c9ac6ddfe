"""Gmail: mail in, mail out, labels."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from email.policy import SMTP
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, Field

from area.connectors.gmail.message import Attached, Mail, Raw, files, header, read_mail
from area.sdk import Context, Event, Option, Permanent, Pick, Service, parse
from area.sdk.google import HOSTS, PAGES, Gone, Resource, answers, call, google, pages, refusal, scope
from area.sdk.mail import Letter, addresses, compose

ME = "/gmail/v1/users/me"
SOON = timedelta(minutes=1)
MOST = 200  # mails of one look, each asked for by itself
READ, MODIFY = (scope("gmail.readonly"),), (scope("gmail.modify"),)
SEND, COMPOSE = (scope("gmail.send"),), (scope("gmail.compose"),)

service = Service(
    "gmail",
    "Gmail",
    "Mail of a Google account: what comes in, what is starred or labelled, and mail to send.",
    docs="https://developers.google.com/workspace/gmail/api",
    base_url="https://gmail.googleapis.com",
    auth=google(login=True),
    hosts=HOSTS,
    pages=PAGES,
    refusal=refusal,
    quality="verified",
)

Label = Annotated[str, Pick("labels")]


class Search(BaseModel):
    """Which mail."""

    label: Label = Field("INBOX", description="Label that it has; empty for any", examples=["INBOX"])
    query: str = Field(
        "", description="Search, as in Gmail's own search box", examples=["from:billing@example.com -subject:draft"]
    )


class Labelled(BaseModel):
    """Which label."""

    label: Label = Field(min_length=1, description="The label", examples=["Label_12"])


class Starred(BaseModel):
    """No parameters."""


class Reply(BaseModel):
    """An answer to a mail."""

    message_id: str = Field(min_length=1, description="ID of the mail, at Gmail", examples=["{{id}}"])
    text: str = Field(description="Plain text", examples=["Thank you, we are on it."])
    to_all: bool = Field(False, description="Whether all who got the mail get the answer", examples=[False])


class OneLabel(BaseModel):
    """A mail and a label."""

    message_id: str = Field(min_length=1, description="ID of the mail, at Gmail", examples=["{{id}}"])
    label: Label = Field(min_length=1, description="The label", examples=["STARRED"])


class Written(Resource):
    """A mail as it lies in the mailbox now."""

    id: str = Field(description="ID of the mail, at Gmail", examples=["18c2f6b1d0a3e4f5"])
    thread_id: str = Field(description="ID of its conversation", examples=["18c2f6b1d0a3e4f5"])
    label_ids: list[str] = Field([], description="IDs of its labels", examples=[["SENT"]])


@service.poll("A mail arrives", every=SOON, scopes=READ)
async def mail_received(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Mail]]:
    """A mail arrives under a label, such as the inbox, that fits a search."""
    async for raw in _found(ctx, params.label, params.query, since):
        mail = read_mail(raw)
        yield Event(mail.id, mail, mail.received_at)


@service.poll("A mail arrives with an attachment", every=SOON, scopes=READ)
async def attachment_received(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Attached]]:
    """A mail arrives with a file. Fires for each of its files."""
    async for raw in _found(ctx, params.label, f"has:attachment {params.query}", since):
        for file in files(raw):
            yield Event(f"{file.id} {file.part}", file, file.received_at)


@service.poll("A mail is starred", every=SOON, scopes=READ)
async def mail_starred(ctx: Context, params: Starred, since: datetime) -> AsyncIterator[Event[Mail]]:  # noqa: ARG001
    """A mail is starred, old or new."""
    async for event in _labelled(ctx, "STARRED"):
        yield event


@service.poll("A mail gets a label", every=SOON, scopes=READ)
async def mail_labelled(ctx: Context, params: Labelled, since: datetime) -> AsyncIterator[Event[Mail]]:  # noqa: ARG001
    """A mail gets a label, by hand, by a filter or by another program; also one that arrives with it."""
    async for event in _labelled(ctx, params.label):
        yield event


@service.reaction("Send a mail", on_crash="fail", scopes=SEND)
async def send_mail(ctx: Context, params: Letter) -> Written:
    """Send a mail from the connected account."""
    return await _send(ctx, {"raw": _encoded(params)})


@service.reaction("Answer a mail", on_crash="fail", scopes=READ + SEND)
async def reply_to_mail(ctx: Context, params: Reply) -> Written:
    """Answer a mail in its conversation: its sender, or all who got it."""
    raw = await call(ctx, "GET", _message(params.message_id), params={"format": "metadata"})
    others = [header(raw, "To"), header(raw, "Cc")] if params.to_all else []
    try:
        to = addresses(header(raw, "Reply-To") or header(raw, "From"))
        letter = Letter(to=to, cc=addresses(", ".join(filter(None, others))), text=params.text)
    except ValueError as error:
        raise Permanent(f"The mail can't be answered: {error}") from error
    subject, own = header(raw, "Subject"), header(raw, "Message-ID")
    letter.subject = subject if subject[:3].lower() == "re:" else f"Re: {subject}"
    # a mail joins a conversation by all three, https://developers.google.com/workspace/gmail/api/guides/threads
    thread = {"In_Reply_To": own, "References": f"{header(raw, 'References')} {own}".strip()} if own else {}
    return await _send(ctx, {"raw": _encoded(letter, **thread), "threadId": raw.get("threadId", "")})


@service.reaction("Write a draft", scopes=COMPOSE)
async def create_draft(ctx: Context, params: Letter) -> Written:
    """Put a mail among the drafts, to be read once more and sent by hand."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.drafts/create
    draft = await call(ctx, "POST", f"{ME}/drafts", json={"message": {"raw": _encoded(params)}})
    return parse(Written, draft.get("message") or {}, "Gmail")


@service.reaction("Add a label to a mail", scopes=MODIFY)
async def add_label(ctx: Context, params: OneLabel) -> Written:
    """Give a mail a label; `STARRED` stars it, `TRASH` throws it away, `UNREAD` makes it unread."""
    return await _modify(ctx, params.message_id, {"addLabelIds": [params.label]})


@service.reaction("Remove a label from a mail", scopes=MODIFY)
async def remove_label(ctx: Context, params: OneLabel) -> Written:
    """Take a label from a mail; `INBOX` archives it, `UNREAD` marks it as read."""
    return await _modify(ctx, params.message_id, {"removeLabelIds": [params.label]})


@service.picker
async def labels(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The account's labels, its own ones first."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels/list
    found = (await call(ctx, "GET", f"{ME}/labels")).get("labels") or []
    found.sort(key=lambda one: (one.get("type") == "system", one["name"].lower()))
    return [Option(one["id"], one["name"], hint="Gmail" if one.get("type") == "system" else "") for one in found]


async def _found(ctx: Context, label: str, query: str, since: datetime) -> AsyncIterator[Raw]:
    """The mails that fit. Dates are seconds: https://developers.google.com/workspace/gmail/api/guides/filtering."""
    words = f"({query.strip()}) " if query.strip() else ""
    params = {"q": f"{words}after:{int(since.timestamp())}"} | ({"labelIds": label} if label else {})
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
    async for one in pages(ctx, f"{ME}/messages", "messages", params=params, most=MOST):
        if raw := await _mail(ctx, one.get("id", "")):
            yield raw


async def _labelled(ctx: Context, label: str) -> AsyncIterator[Event[Mail]]:
    """What got the label since the last look, by the mailbox's own history."""
    found: dict[str, str] = {}
    if begin := ctx.state.get("history"):
        params = {"startHistoryId": begin, "labelId": label, "historyTypes": ["messageAdded", "labelAdded"]}
        try:
            # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list
            async for page in answers(ctx, f"{ME}/history", params=params, gone=404):
                ctx.state["history"] = page.get("historyId", begin)
                found |= {mail: record["id"] for record in page.get("history") or () for mail in _given(record, label)}
        except Gone:  # the history is kept for a week, seldom for hours only
            begin = None
    if not begin:
        # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
        ctx.state["history"] = (await call(ctx, "GET", f"{ME}/profile")).get("historyId")
    for mail, record in found.items():
        if raw := await _mail(ctx, mail):
            yield Event(f"{mail} {record}", read_mail(raw))


def _given(record: Raw, label: str) -> Iterator[str]:
    """The mails that got the label, or came with it."""
    for one in record.get("labelsAdded") or ():
        if label in one.get("labelIds", ()):
            yield one["message"]["id"]
    for one in record.get("messagesAdded") or ():
        if label in one["message"].get("labelIds", ()):
            yield one["message"]["id"]


async def _mail(ctx: Context, message_id: str) -> Raw | None:
    """A mail, unless it was deleted meanwhile."""
    try:
        return await call(ctx, "GET", _message(message_id), params={"format": "full"}, gone=404)
    except Gone:
        return None


async def _send(ctx: Context, message: dict[str, str]) -> Written:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send
    return parse(Written, await call(ctx, "POST", f"{ME}/messages/send", json=message), "Gmail")


async def _modify(ctx: Context, message_id: str, change: dict[str, list[str]]) -> Written:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/modify
    return parse(Written, await call(ctx, "POST", f"{_message(message_id)}/modify", json=change), "Gmail")


def _message(message_id: str) -> str:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/get
    return f"{ME}/messages/{quote(message_id, safe='')}"


def _encoded(letter: Letter, **headers: str) -> str:
    message = compose(letter, **headers)
    if letter.bcc:
        message["Bcc"] = letter.bcc  # Gmail sends to it, and takes it out
    return urlsafe_b64encode(message.as_bytes(policy=SMTP)).decode()
