"""Gmail: receives, sends and labels e-mail."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from area.connectors.gmail import hints
from area.connectors.gmail.hints import ME
from area.connectors.gmail.message import Attached, Mail, Raw, files, header, read_mail
from area.sdk import Context, Event, Events, Gone, Option, Output, Permanent, Sentence, output, param, quoted
from area.sdk.mail import Letter, compose, mime, written
from area.vendors import google
from area.vendors.google import scope

MESSAGE = f"{ME}/messages/{{}}"
SOON = timedelta(minutes=1)
MOST = 200  # mails of one look, each asked for by itself
READ, MODIFY = (scope("gmail.readonly"),), (scope("gmail.modify"),)
SEND, COMPOSE = (scope("gmail.send"),), (scope("gmail.compose"),)

service = google.service(
    "gmail",
    "Gmail",
    "React to incoming, starred and labelled e-mail; send, reply, draft and label.",
    docs="https://developers.google.com/workspace/gmail/api",
    base_url="https://gmail.googleapis.com",
    login=True,
    pages=replace(google.PAGES, rows="messages"),
    inbound=hints.inbound,
    synonyms={
        "": "Google mail, mailbox, inbox",
        "mail_received": (
            "incoming mail, mail arrives, receive mail, get a mail, email from, unread email, message in my mailbox,"
            " email about, someone writes me"
        ),
        "attachment_received": "mail with attachment, file in a mail, PDF, invoice",
        "mail_starred": "important, favourite",
        "mail_labelled": "mail gets a label, tag",
        "send_mail": "write a mail, forward email, email a friend, mail to, write to a friend",
        "reply_to_mail": "auto reply, answer an email, respond",
        "create_draft": "prepare a reply",
        "add_label": "tag, star, classify",
        "remove_label": "archive email, mark as read",
    },
)

Label = Annotated[str, param("Label", "Label_12", pick="labels", min_length=1)]
Within = Annotated[str, param("Label; any if empty", "INBOX", pick="labels")]
Query = Annotated[str, param("Search, as in Gmail's search box", "from:billing@example.com -subject:draft")]
MessageId = Annotated[str, param("Gmail's message ID", "{{id}}", min_length=1)]


class Written(Output):
    id: str = output("id", "Gmail's message ID", "18c2f6b1d0a3e4f5")
    thread_id: str = output("threadId", "Conversation ID", "18c2f6b1d0a3e4f5")
    label_ids: list[str] = output("labelIds", "Label IDs", ["SENT"], [])


@service.poll("New e-mail", every=SOON, scopes=READ, hint=hints.mailbox)
async def mail_received(ctx: Context, since: datetime, label: Within = "INBOX", query: Query = "") -> Events[Mail]:
    """Triggers for each new e-mail that has a label, such as the inbox, and matches a search."""
    async for raw in _found(ctx, label, query, since):
        mail = read_mail(raw)
        yield Event(mail.id, mail, mail.received_at)


@service.poll("New attachment", every=SOON, scopes=READ, hint=hints.mailbox)
async def attachment_received(
    ctx: Context, since: datetime, label: Within = "INBOX", query: Query = ""
) -> Events[Attached]:
    """Triggers for each file attached to a new e-mail."""
    async for raw in _found(ctx, label, f"has:attachment {query}", since):
        for file in files(raw):
            yield Event(f"{file.id} {file.part}", file, file.received_at)


@service.poll("E-mail starred", every=SOON, scopes=READ, hint=hints.mailbox)
def mail_starred(ctx: Context) -> Events[Mail]:
    """Triggers when an e-mail is starred, old or new."""
    return _labelled(ctx, "STARRED")


@service.poll("E-mail labelled", every=SOON, scopes=READ, hint=hints.mailbox)
def mail_labelled(ctx: Context, label: Label) -> Events[Mail]:
    """Triggers when an e-mail gets a label by hand, by a filter or by another program, or arrives with it."""
    return _labelled(ctx, label)


@service.reaction("Send an e-mail", on_crash="fail", scopes=SEND)
async def send_mail(ctx: Context, params: Letter) -> Written:
    """Send an e-mail from the connected account."""
    return await _send(ctx, {"raw": _encoded(params)})


@service.reaction("Reply to an e-mail", on_crash="fail", scopes=READ + SEND)
async def reply_to_mail(
    ctx: Context,
    *,
    message_id: MessageId,
    text: Annotated[str, param("Plain text", "Thank you, we are on it.")],
    to_all: Annotated[bool, param("Reply to everyone", False)] = False,
) -> Written:
    """Reply in the conversation, to the sender or to everyone."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/get
    raw = await ctx.http.get(quoted(MESSAGE, message_id), dict[str, Any], params={"format": "metadata"})
    others = (header(raw, "To"), header(raw, "Cc")) if to_all else ()
    try:
        to = written(header(raw, "Reply-To") or header(raw, "From"))
        letter = Letter(to=to, cc=written(", ".join(filter(None, others))), text=text)
    except ValueError as error:
        raise Permanent(Sentence("Can't reply to this e-mail: %(error)s", error=error)) from error
    subject, own = header(raw, "Subject"), mime.message_ids(header(raw, "Message-ID"))
    letter.subject = subject if subject[:3].lower() == "re:" else f"Re: {subject}"
    # a mail joins a conversation by all three, https://developers.google.com/workspace/gmail/api/guides/threads
    before = mime.message_ids(header(raw, "References"))
    thread = {"In-Reply-To": own, "References": f"{before} {own}".strip()} if own else {}
    return await _send(ctx, {"raw": _encoded(letter, **thread), "threadId": raw.get("threadId", "")})


@service.reaction("Create a draft", on_crash="fail", scopes=COMPOSE)
async def create_draft(ctx: Context, params: Letter) -> Written:
    """Save an e-mail as a draft, to review and send by hand."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.drafts/create
    return await ctx.http.post(f"{ME}/drafts", Written, at="message", json={"message": {"raw": _encoded(params)}})


@service.reaction("Add a label to an e-mail", scopes=MODIFY, idempotent="same")
async def add_label(ctx: Context, message_id: MessageId, label: Annotated[Label, param("Label", "STARRED")]) -> Written:
    """Add a label to an e-mail. `STARRED` stars it, `TRASH` moves it to the trash, `UNREAD` marks it as unread."""
    return await _modify(ctx, message_id, {"addLabelIds": [label]})


@service.reaction("Remove a label from an e-mail", scopes=MODIFY, idempotent="same")
async def remove_label(
    ctx: Context, message_id: MessageId, label: Annotated[Label, param("Label", "STARRED")]
) -> Written:
    """Remove a label from an e-mail. `INBOX` archives it, `UNREAD` marks it as read."""
    return await _modify(ctx, message_id, {"removeLabelIds": [label]})


@service.picker
async def labels(ctx: Context) -> list[Option]:
    """The account's labels, its own ones first."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels/list
    known = [row async for row in ctx.http.rows(f"{ME}/labels", at="labels")]
    known.sort(key=lambda label: (label.get("type") == "system", label["name"].lower()))
    return [
        Option(label["id"], label["name"], hint="Gmail" if label.get("type") == "system" else "") for label in known
    ]


@service.lookup("Find an e-mail", scopes=READ)
async def find_mail(
    ctx: Context,
    search: Annotated[str, param("Search, as in Gmail", "from:billing@example.com invoice", min_length=1)],
) -> Mail | None:
    """Find the newest e-mail that matches a search."""
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
    params = {"q": search, "maxResults": "1"}
    async for row in ctx.http.rows(f"{ME}/messages", params=params, most=1):
        if raw := await _mail(ctx, row.get("id", "")):
            return read_mail(raw)
    return None


async def _found(ctx: Context, label: str, query: str, since: datetime) -> AsyncIterator[Raw]:
    """E-mails that match. Dates are in seconds: https://developers.google.com/workspace/gmail/api/guides/filtering."""
    words = f"({query.strip()}) " if query.strip() else ""
    params = {"q": f"{words}after:{int(since.timestamp())}"} | ({"labelIds": label} if label else {})
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
    async for row in ctx.http.rows(f"{ME}/messages", params=params, most=MOST):
        if raw := await _mail(ctx, row.get("id", "")):
            yield raw


async def _labelled(ctx: Context, label: str) -> Events[Mail]:
    """E-mails labelled since the last check, from the mailbox's history."""
    variables: dict[str, str] = {}
    if begin := ctx.state.get("history"):
        params = {"startHistoryId": begin, "labelId": label, "historyTypes": ["messageAdded", "labelAdded"]}
        try:
            # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list
            async for page in ctx.http.answers(f"{ME}/history", params=params, gone=(404,)):
                ctx.state["history"] = page.get("historyId", begin)
                variables |= {
                    mail: record["id"] for record in page.get("history") or () for mail in _given(record, label)
                }
        except Gone:  # the history is kept for a week, seldom for hours only
            begin = None
    if not begin:
        # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile
        ctx.state["history"] = await ctx.http.get(f"{ME}/profile", str, at="historyId")
    for mail, record in variables.items():
        if raw := await _mail(ctx, mail):
            yield Event(f"{mail} {record}", read_mail(raw))


def _given(record: Raw, label: str) -> list[str]:
    """E-mails that got the label or arrived with it."""
    got = [(change["message"]["id"], change.get("labelIds", ())) for change in record.get("labelsAdded") or ()]
    came = [
        (change["message"]["id"], change["message"].get("labelIds", ())) for change in record.get("messagesAdded") or ()
    ]
    return [mail for mail, labels in got + came if label in labels]


async def _mail(ctx: Context, message_id: str) -> Raw | None:
    """An e-mail, unless it has been deleted."""
    try:
        return await ctx.http.get(quoted(MESSAGE, message_id), dict[str, Any], params={"format": "full"}, gone=(404,))
    except Gone:
        return None


async def _send(ctx: Context, message: dict[str, str]) -> Written:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send
    return await ctx.http.post(f"{ME}/messages/send", Written, json=message)


async def _modify(ctx: Context, message_id: str, change: dict[str, list[str]]) -> Written:
    # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/modify
    return await ctx.http.post(quoted(f"{MESSAGE}/modify", message_id), Written, json=change)


def _encoded(letter: Letter, **headers: str) -> str:
    # Gmail sends to who stands in Bcc, and takes it out
    return urlsafe_b64encode(compose(letter, bcc=True, headers=headers).content).decode()
