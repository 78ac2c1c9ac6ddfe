"""Validation of an account's fields."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from area.kit import crypto
from area.kit.clock import zone_names
from area.kit.problems import FieldError, Invalid
from area.kit.sentences import Sentence

LANGUAGES = ("en", "fr")
MIN_PASSWORD = 8  # characters
GUESSED = 20  # characters of a password that are checked for guessability; 50 ms at worst
MIN_GUESSES = 6  # as a power of ten
UPLOADED = re.compile(r"/avatars/[0-9a-f]{32}\.webp")  # the URL of a picture uploaded here


def check_email(value: str) -> str:
    """The address in lower case. Raises `ValueError` with a sentence."""
    from email_validator import EmailNotValidError, validate_email  # heavy

    try:
        # on a self-hosted server, user@server.lan is a valid address
        address = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise ValueError(Sentence("Enter a valid e-mail address.")) from None
    email = address.normalized.lower()
    if len(email) > 255:
        raise ValueError(Sentence("Enter an e-mail address of up to 255 characters."))
    return email


def check_username(value: str) -> str:
    """The name, trimmed. Raises `ValueError` with a sentence."""
    name = unicodedata.normalize("NFC", value).strip()
    if not 2 <= len(name) <= 100:
        raise ValueError(Sentence("Use 2 to 100 characters."))
    if "@" in name:
        raise ValueError(Sentence("A username can't contain @."))
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in name):
        raise ValueError(Sentence("A username can't contain control or invisible characters."))
    return name


def check_password(value: str) -> str:
    """The password, unchanged. Raises `ValueError` with a sentence."""
    if len(value) < MIN_PASSWORD:
        raise ValueError(Sentence("Use at least 8 characters."))
    if "\0" in value:
        raise ValueError(Sentence("A password can't contain a NUL character."))
    if len(value.encode("utf-8", "replace")) > crypto.MAX_PASSWORD:
        raise ValueError(Sentence("Use at most 72 bytes. Letters outside ASCII take two or more."))
    return value


def check_guessable(password: str, own: Sequence[str] = ()) -> None:
    """Raise `ValueError` if attackers would try the password first: common, a pattern, or made of the account's `own`
    words.

    Uses zxcvbn (Wheeler, USENIX Security 2016; 30,000 leaked passwords, names and words) to estimate the number of
    guesses. Checks only the beginning, since the time grows with the length.
    """
    from zxcvbn_rs_py import zxcvbn  # 10 MB that few requests need

    words = [
        part for text in own for part in (text, text.partition("@")[0], *re.split(r"[@.\W_]+", text)) if len(part) > 2
    ]
    if password.lower() in (word.lower() for word in words):
        raise ValueError(Sentence("Don't use your name or e-mail address as your password."))
    if zxcvbn(password[:GUESSED], words).guesses_log10 < MIN_GUESSES:
        raise ValueError(
            Sentence("This password is too easy to guess. Use several unrelated words, or a password manager.")
        )


def check_icon(value: str | None) -> str | None:
    """An https URL, a picture uploaded here, or None. Raises `ValueError` with a sentence."""
    if value is None or UPLOADED.fullmatch(value):
        return value
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or len(value) > 2000 or re.search(r"[\x00-\x20\x7f\\\"'<>]", value):
        raise ValueError(Sentence("Enter the https:// address of a picture."))
    return value


def check_language(value: str | None) -> str | None:
    """A language of the pages, or `None` for the browser's. Raises `ValueError`."""
    if value not in (None, *LANGUAGES):
        raise ValueError(Sentence("Choose one of: %(names)s.", names=", ".join(LANGUAGES)))
    return value


def check_timezone(value: str) -> str:
    """The name of a time zone. Raises `ValueError` with a sentence."""
    if value not in zone_names():
        raise ValueError(Sentence("Enter a time zone such as Europe/Paris or UTC."))
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "email": check_email,
    "username": check_username,
    "password": check_password,
    "new_password": check_password,
    "icon_path": check_icon,
    "timezone": check_timezone,
    "language": check_language,
}


def checked(values: Mapping[str, Any], own: Sequence[str] = ()) -> dict[str, Any]:
    """The normalised values. No password may be made of the account's `own` words.

    Raises `Invalid` with every invalid field.
    """
    checked: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in values.items():
        try:
            checked[name] = _CHECKS[name](value)
            if name.endswith("password"):
                check_guessable(value, own)
        except ValueError as error:
            errors.append({"field": name, "message": Sentence(str(error))})
    if errors:
        raise Invalid(errors=errors)
    return checked


async def hash_password(password: str) -> str:
    """Hash a password off the event loop. Raises `Full`."""
    return await crypto.hashing.run(crypto.hash_password, password)
