"""What AREA's own mails say. Nothing in the ones to unconfirmed addresses was typed by anybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from area.kit import mime
from area.kit.mime import Mailbox, Message
from area.mail import Kind


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it is written; `unsubscribe` is the address of a page that ends mails of this kind."""

    recipient: str
    subject: str
    text: str
    unsubscribe: str | None = None


Text = Kind | Literal["known"]  # to whoever registers with the address of an account

# subject and text
TEXTS: Mapping[Text, tuple[str, str]] = {
    "register": (
        "Finish signing up",
        (
            "To finish signing up at %(site)s, open this link within 24 hours:\n\n%(link)s\n\nIf you didn't sign up, ignore this"
            " mail: no account is created."
        ),
    ),
    "known": (
        "You already have an account",
        (
            "Someone tried to sign up at %(site)s with this address, but you already have an account. If it was you, sign"
            " in:\n\n%(link)s\n\nForgot your password? Reset it:\n\n%(reset)s\n\nIf it wasn't you, ignore this mail: your account has"
            " not changed."
        ),
    ),
    "confirm": (
        "Confirm your e-mail address",
        (
            "This address was entered for an account at %(site)s. If it was you, confirm the address:\n\n%(link)s\n\nThe link works for 3"
            " days. If it was not you, ignore this mail: nothing else is sent to this address."
        ),
    ),
    "reset": (
        "Reset your password",
        (
            "Somebody asked to reset the password of your account at %(site)s. To choose a new one, open this link within 30"
            " minutes:\n\n%(link)s\n\nIt works once. If it was not you, ignore this mail: your password stays as it is."
        ),
    ),
    "change": (
        "Confirm your new e-mail address",
        (
            "This address was entered as the new one of an account at %(site)s. If it was you, confirm it:\n\n%(link)s\n\nThe link works"
            " for 3 days. If it was not you, ignore this mail."
        ),
    ),
    "changing": (
        "Your e-mail address is being changed",
        (
            "The address of your account at %(site)s is to become %(email)s, once that one is confirmed. If it was you, there is"
            " nothing to do. If it was not you, stop the change and sign out everywhere:\n\n%(link)s\n\nThe link works for 7 days,"
            " even after the change."
        ),
    ),
    "password": (
        "Your password was changed",
        (
            "The password of your account at %(site)s was changed on %(moment)s UTC. If it was you, there is nothing to do. If it was"
            " not you, choose a new one at once:\n\n%(link)s"
        ),
    ),
    "notice": ("", "%(text)s\n\n%(site)s\n\nTo stop these mails, open %(link)s"),
}
TEST = ("A test mail", "This mail was sent with `area mail test` from %(site)s. Mail works.")


def write(letter: Letter, *, sender: Mailbox, message_id: str, date: datetime) -> Message:
    """The mail as bytes. Raises `ValueError` for an address that can't be written to."""
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated"}  # RFC 3834: no out-of-office reply, please
    if letter.unsubscribe:
        headers["List-Unsubscribe"] = f"<{letter.unsubscribe}>"  # RFC 2369
        if letter.unsubscribe.startswith("https://"):
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 wants https
    return mime.compose(
        sender=sender,
        to=[Mailbox(letter.recipient)],
        subject=letter.subject,
        text=letter.text,
        date=date,
        headers=headers,
    )
