"""E-mail: receives over IMAP, sends over SMTP."""

import hashlib
import re
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Self
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, EmailStr, SecretStr, model_validator

from area.connectors.email import filing, imap, smtp, watching
from area.connectors.email.message import Mail
from area.connectors.email.server import Security, Server
from area.sdk import Account as Owner
from area.sdk import (
    AuthExpired,
    Context,
    Credentials,
    Event,
    Events,
    Option,
    Output,
    Partial,
    Permanent,
    Retry,
    Sentence,
    Service,
    now,
    output,
    param,
)
from area.sdk.mail import Letter, addresses, compose, decoded, mailboxes, mime, written
from area.sdk.shapes import Items

SENDER = "Only e-mails whose sender's name or address contains this text"
REFUSALS = 3  # times that the server may fail to return a mail before it fires without what it says
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("It can't contain line breaks or other control characters.")
    return text.strip()


Line = Annotated[str, AfterValidator(_one_line)]
MessageId = Annotated[Line, param("Message-ID of the e-mail", "{{message_id}}", min_length=1)]
Place = Annotated[Line, param("Folder the e-mail is in", "{{folder}}", pick="folders", min_length=1)]


class Account(BaseModel):
    """A mail account: to receive, to send, or both."""

    imap_host: Line = param("IMAP server for receiving; leave empty to only send", "imap.example.org", default="")
    imap_port: int = param("IMAP port: 993 with tls, 143 otherwise", 993, default=993, ge=1, le=65535)
    imap_security: Security = param(
        "IMAP encryption; with none, the password is sent unencrypted", "tls", default="tls"
    )
    smtp_host: Line = param("SMTP server for sending; leave empty to only receive", "smtp.example.org", default="")
    smtp_port: int = param("SMTP port: 465 with tls, 587 with starttls", 465, default=465, ge=1, le=65535)
    smtp_security: Security = param(
        "SMTP encryption; with none, the password is sent unencrypted", "tls", default="tls"
    )
    login: Line = param("Username, often the full address", "ann@example.org", default="")
    password: SecretStr | None = param("Password or app password", "abcd efgh ijkl mnop", default=None)
    from_address: EmailStr | None = param("Address to send from", "ann@example.org", default=None)

    @model_validator(mode="after")
    def _half(self) -> Self:
        if not (self.imap_host or self.smtp_host):
            raise ValueError("Enter an IMAP server to receive, an SMTP server to send, or both.")
        if self.imap_host and not self.login:
            raise ValueError("Enter the username for the IMAP server.")
        if self.smtp_host and not self.from_address:
            raise ValueError("Enter the address to send from.")
        return self

    def server(self, protocol: str) -> Server:
        """The IMAP or SMTP server. Raises `Permanent` if the connection has none."""
        if protocol == "IMAP" and self.imap_host:
            return Server(protocol, self.imap_host, self.imap_port, self.imap_security)
        if protocol == "SMTP" and self.smtp_host:
            return Server(protocol, self.smtp_host, self.smtp_port, self.smtp_security)
        raise Permanent(Sentence("The e-mail connection has no %(protocol)s server. Add one.", protocol=protocol))

    @property
    def secret(self) -> str:
        """The decrypted password."""
        return self.password.get_secret_value() if self.password else ""


class Refusal(Output):
    address: str = output("address", "The address", "nobody@example.com")
    reason: str = output("reason", "What the server said", "550 No such user")


class Sent(Output):
    message_id: str = output("message_id", "Message-ID", "<0f3c…@example.org>")
    accepted: list[str] = output("accepted", "Addresses the server accepted", ["ann@example.org"])
    refused: list[Refusal] = output(
        "refused", "Addresses the server refused, and why", [{"address": "x@example.com", "reason": "550 Unknown"}]
    )


class Filed(Output):
    message_id: str = output("message_id", "Message-ID", "<20261123.1@example.com>")
    folder: str = output("folder", "Folder the e-mail is in", "Archive")


async def try_account(ctx: Context, account: Account) -> Owner:
    """Log in to each configured server."""
    try:
        if account.imap_host:
            async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
                await mailbox.open("INBOX")
        if account.smtp_host:
            async with smtp.connected(ctx.guard, account.server("SMTP"), account.login, account.secret) as client:
                await client.noop()
    except AuthExpired as error:
        raise Permanent(str(error)) from error
    name = account.from_address or account.login
    return Owner(name, name)


service = Service(
    "email",
    "E-mail",
    "Receive and send e-mail with any provider that supports IMAP and SMTP.",
    docs="https://www.rfc-editor.org/rfc/rfc9051",
    auth=Credentials(Account, try_account),
    quality="verified",
    synonyms={
        "": "mail, mailbox, IMAP, SMTP, inbox, message",
        "new_email": (
            "incoming mail, mail arrives, receive mail, get a mail, email from, unread email, message in my mailbox,"
            " email about, someone writes me, mail attachment, invoice"
        ),
        "send_email": (
            "write a mail, mail someone, newsletter, forward email, email a friend, mail to, write to a friend"
        ),
        "reply_to_email": "auto reply, answer an email, respond, out of office",
        "move_email": "archive email, file away, folder, spam, delete email, trash",
        "mark_email": "mark as read, unread, flag, seen",
    },
)


@service.listen("New e-mail")
async def new_email(
    ctx: Context,
    folder: Annotated[Line, param("Folder to watch", "INBOX", pick="folders")] = "INBOX",
    sender_contains: Annotated[str | None, param(SENDER, "@example.com")] = None,
    subject_contains: Annotated[str | None, param("Only e-mails whose subject contains this text", "invoice")] = None,
    headers: Annotated[Items, param("Other headers to include, separated by commas", "List-Id, X-Spam-Flag")] = [],  # noqa: B006
) -> Events[Mail]:
    """Triggers for each new e-mail in a folder: within seconds if the server supports push (IMAP IDLE), else every
    minute.

    The e-mail is not marked as read. Attachments are listed, not downloaded.
    """
    account: Account = ctx.credential
    async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
        while True:
            await watching.look(ctx, mailbox, folder)
            for uid in await mailbox.newer(ctx.state["last_uid"]):
                mail, arrived = await _fetched(ctx, mailbox, folder, uid, headers)
                ctx.state["last_uid"] = uid
                if mail is None or watching.is_old(ctx.state, uid, arrived, mail.message_id):
                    continue
                watching.note(ctx.state, arrived, mail.message_id)
                if _wanted(mail, sender_contains or "", subject_contains or ""):
                    ctx.note(_unreadable(mail))
                    yield Event(id=f"{ctx.state['uidvalidity']}:{uid}", at=arrived, data=mail)
            await mailbox.wait()


async def _fetched(
    ctx: Context, mailbox: imap.Mailbox, folder: str, uid: int, headers: list[str]
) -> tuple[Mail | None, datetime]:
    """A mail. One that the server refuses again and again is empty, so that it doesn't stop those behind it."""
    try:
        return await mailbox.fetch(uid, headers)
    except imap.Unfetchable as error:
        number, times = ctx.state.get("refused", (uid, 0))
        ctx.state["refused"] = (uid, times + 1 if number == uid else 1)
        await ctx.save()
        if ctx.state["refused"][1] < REFUSALS:
            raise
        return Mail(date=now(), folder=folder, uid=uid, truncated=True, problem=str(error)), now()


def _unreadable(mail: Mail) -> str:
    """What can't be read of a mail; empty if all can."""
    if not mail.problem:
        return ""
    return Sentence(
        'The latest e-mail, "%(subject)s", can\'t be read in full. %(problem)s',
        subject=mail.subject or "-",
        problem=mail.problem,
    )


def _wanted(mail: Mail, sender: str, subject: str) -> bool:
    """Whether the mail passes both filters, ignoring case."""
    written_by = f"{mail.sender_name} <{mail.sender}>".casefold()
    return sender.casefold() in written_by and subject.casefold() in mail.subject.casefold()


@service.reaction("Send an e-mail", idempotent="key")
async def send_email(ctx: Context, params: Letter) -> Sent:
    """Send an e-mail from the connection's address.

    Recipients that the server refuses temporarily (4xx) are retried. If one is refused for good, the run fails and
    lists who received the e-mail. Nobody receives it twice, even if the run is replayed. Every attempt has the same
    Message-ID, so mail servers can recognize a duplicate.
    """
    return await _send(ctx, params)


@service.reaction("Reply to an e-mail", idempotent="key")
async def reply_to_email(
    ctx: Context,
    *,
    message_id: MessageId,
    folder: Place,
    text: Annotated[str, param("Plain text", "Thank you, we are on it.")],
    to_all: Annotated[bool, param("Reply to everyone", False)] = False,
) -> Sent:
    """Reply to an e-mail in the mailbox, to the sender or to everyone. Needs both servers in the connection.

    To prevent loops, AREA doesn't reply to automatic e-mail, such as out-of-office replies, or to your own.
    """
    account: Account = ctx.credential
    account.server("SMTP")
    async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
        head = await filing.head(mailbox, folder, message_id)
    own = str(account.from_address).lower()
    if (head("auto-submitted").lower() or "no") != "no" or head("precedence").lower() in ("bulk", "junk", "list"):
        raise _unanswered(
            Sentence("A program or a mailing list sent this e-mail, so AREA doesn't reply to it.")
        )  # RFC 3834 §2
    try:
        to = written(head("reply-to") or head("from"))
        if to.lower() == own or not to:
            raise _unanswered(
                Sentence("This e-mail is from your own address, or from no address, so AREA doesn't reply to it.")
            )
        others = [
            box for box in mailboxes(written(f"{head('to')}, {head('cc')}")) if to_all and box.address.lower() != own
        ]
        letter = Letter(to=to, cc=addresses([asdict(box) for box in others]), text=text)
    except ValueError as error:
        raise Permanent(Sentence("Can't reply to this e-mail: %(error)s", error=error)) from error
    subject = decoded(head("subject"))
    letter.subject = subject if subject[:3].lower() == "re:" else f"Re: {subject}"
    references = f"{mime.message_ids(head('references'))} {mime.message_ids(message_id)}".strip()
    thread = {"In-Reply-To": mime.message_ids(message_id), "References": references} if references else {}
    return await _send(ctx, letter, **{name: value for name, value in thread.items() if value})


def _unanswered(reason: str) -> Partial:
    """The error that does not switch an AREA off that replies to all mail."""
    nothing = Sent(message_id="", accepted=[], refused=[])
    return Partial(reason, result=nothing, state={})


async def _send(ctx: Context, params: Letter, **headers: str) -> Sent:
    """Send a mail to all who haven't got it in an earlier attempt."""
    account: Account = ctx.credential
    server = account.server("SMTP")
    sender = mime.address(str(account.from_address))
    token = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:32] if ctx.idempotency_key else uuid4().hex
    own = ctx.state.get("message_id") or mime.message_id(token, sender.rpartition("@")[2])
    message = compose(params, sender=sender, date=now(), headers={"Message-ID": own} | headers)
    given = ", ".join(part for part in (params.to, params.cc, params.bcc) if part)
    delivery = smtp.Delivery(
        list(dict.fromkeys(box.address for box in mailboxes(given))), ctx.state.get("accepted", [])
    )
    if ctx.state.get("run") == ctx.idempotency_key:  # a replay asks for them again
        delivery.refused = dict(ctx.state.get("refused", {}))
    try:
        async with smtp.connected(ctx.guard, server, account.login, account.secret) as client:
            await smtp.deliver(client, message, sender, delivery)
        if delivery.later:  # RFC 5321 §4.5.4.1
            raise Retry(
                Sentence(
                    "%(server)s temporarily refused recipients. %(reasons)s", server=server, reasons=delivery.summary()
                )
            )
    except Retry as error:
        state = {"message_id": own, "accepted": delivery.accepted, "refused": delivery.refused}
        error.state = {"run": ctx.idempotency_key, **state} if delivery.accepted or delivery.refused else {}
        raise
    except Permanent as error:
        if not delivery.accepted:
            raise
        delivery.refused |= dict.fromkeys(delivery.left, str(error))
    sent = Sent(
        message_id=own,
        accepted=[address for address in delivery.recipients if address in delivery.accepted],
        refused=[Refusal(address=address, reason=reason) for address, reason in delivery.refused.items()],
    )
    if sent.refused and sent.accepted:
        state = {"message_id": own, "accepted": delivery.accepted}
        raise Partial(
            Sentence("%(server)s refused some recipients. %(reasons)s", server=server, reasons=delivery.summary()),
            result=sent,
            state=state,
        )
    if sent.refused:
        raise Permanent(
            Sentence("%(server)s refused every recipient. %(reasons)s", server=server, reasons=delivery.summary())
        )
    return sent


@service.reaction("Move an e-mail", idempotent="same")
async def move_email(
    ctx: Context,
    *,
    message_id: MessageId,
    folder: Place,
    to_folder: Annotated[Line, param("Folder to move it to", "Archive", pick="folders", min_length=1)],
) -> Filed:
    """Move an e-mail to another folder of the mailbox. Succeeds if it is already there."""
    account: Account = ctx.credential
    async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
        await filing.move(mailbox, folder, message_id, to_folder)
    return Filed(message_id=message_id, folder=to_folder)


@service.reaction("Mark an e-mail", idempotent="same")
async def mark_email(
    ctx: Context,
    *,
    message_id: MessageId,
    folder: Place,
    read: Annotated[bool | None, param("Mark as read", True)] = None,
    flagged: Annotated[bool | None, param("Flag it, or remove its flag", True)] = None,
) -> Filed:
    """Mark an e-mail as read or unread, or flag or unflag it."""
    account: Account = ctx.credential
    async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
        await filing.mark(mailbox, folder, message_id, {"\\Seen": read, "\\Flagged": flagged})
    return Filed(message_id=message_id, folder=folder)


@service.picker
async def folders(ctx: Context) -> list[Option]:
    """The folders of the mailbox."""
    account: Account = ctx.credential
    async with imap.connected(ctx.guard, account.server("IMAP"), account.login, account.secret) as mailbox:
        names = await mailbox.folders()
    return [Option(name, name) for name in sorted(names, key=lambda name: (name.upper() != "INBOX", name.casefold()))]
