"""Texts of AREA's own mails. Those to unconfirmed addresses contain no user input."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from area.kit import mime
from area.kit.mime import Mailbox, Message
from area.mail import Kind


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it is rendered. `unsubscribe` is the URL that turns off mails of this kind."""

    recipient: str
    subject: str
    text: str
    unsubscribe: str | None = None


Text = Kind | Literal["known"]  # to the owner of an address that somebody registers again

# subject and text
TEXTS: Mapping[Text, tuple[str, str]] = {
    "register": (
        "Finish signing up",
        (
            "To finish signing up at %(site)s, open this link within 24 hours:\n\n%(link)s\n\nIf you didn't sign up,"
            " ignore this mail: no account is created."
        ),
    ),
    "known": (
        "You already have an account",
        (
            "Someone tried to sign up at %(site)s with this address, but you already have an account. If it was you,"
            " sign in:\n\n%(link)s\n\nForgot your password? Reset it:\n\n%(reset)s\n\nIf it wasn't you, ignore this"
            " mail: your account has not changed."
        ),
    ),
    "confirm": (
        "Confirm your e-mail address",
        (
            "Confirm that this is the e-mail address of your account at %(site)s:\n\n%(link)s\n\nThe link works for 3"
            " days. If you don't have an account there, ignore this mail: we won't send anything else to this address."
        ),
    ),
    "reset": (
        "Reset your password",
        (
            "Someone asked to reset your password at %(site)s. To choose a new one, open this link within 30"
            " minutes:\n\n%(link)s\n\nThe link works once. If it wasn't you, ignore this mail: your password stays the"
            " same."
        ),
    ),
    "change": (
        "Confirm your new e-mail address",
        (
            "Confirm that this is the new e-mail address of your account at %(site)s:\n\n%(link)s\n\nThe link works"
            " for 3 days. If you didn't ask for this, ignore this mail."
        ),
    ),
    "changing": (
        "Your e-mail address is about to change",
        (
            "The address of your account at %(site)s will change to %(email)s once that address is confirmed. If it"
            " was you, there's nothing to do. If it wasn't you, cancel the change and sign out"
            " everywhere:\n\n%(link)s\n\nThe link works for 7 days, even after the change."
        ),
    ),
    "password": (
        "Your password was changed",
        (
            "The password of your account at %(site)s was changed on %(moment)s. If it was you, there's nothing to"
            " do. If it wasn't you, set a new password now:\n\n%(link)s"
        ),
    ),
    "notice": ("", "%(text)s\n\n%(page)s\n\nTo stop these mails, open %(link)s"),
}
TEST = ("Test mail", "You sent this with `area mail test` from %(site)s. Mail works.")


def write(letter: Letter, *, sender: Mailbox, message_id: str, date: datetime) -> Message:
    """Render the mail as bytes. Raises `ValueError` for an invalid recipient."""
    headers = {"Message-ID": message_id, "Auto-Submitted": "auto-generated"}  # RFC 3834: suppress out-of-office replies
    if letter.unsubscribe:
        headers["List-Unsubscribe"] = f"<{letter.unsubscribe}>"  # RFC 2369
        if letter.unsubscribe.startswith("https://"):
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 requires https
    return mime.compose(
        sender=sender,
        to=[Mailbox(letter.recipient)],
        subject=letter.subject,
        text=letter.text,
        date=date,
        headers=headers,
    )
