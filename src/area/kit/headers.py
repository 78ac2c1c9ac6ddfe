"""Headers of received mail (RFC 5322, RFC 2047, RFC 2231), read leniently, because many break the rules.

For decoders of untrusted files, too: imports little.
"""

import binascii
import re
import string
from email.message import Message
from email.quoprimime import header_decode
from typing import NamedTuple

from area.kit.decoding import decode_text
from area.kit.text import clean_text

LONGEST = 20_000  # characters of a header
MOST_PIECES = 50  # of a name, at whose commas it isn't cut

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?")
_UNFOLD = re.compile(r"\r?\n\s*|\t")
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+"?|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*+\))*+\)?|<[^<>]*+>?|[,;:]|[^",;:<(]+|[(]', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Sender(NamedTuple):
    """A name and an address; either may be empty."""

    name: str
    address: str


def header_text(raw: str, charset: str | None = None) -> str:
    """A header's value as Python's parser keeps it, on one line. Bytes beyond ASCII are UTF-8, else in `charset`, which
    the mail names elsewhere.
    """
    data = raw[:LONGEST].encode("utf-8", "surrogateescape")
    return _UNFOLD.sub(" ", bytes_text(data, charset)).strip()


def bytes_text(data: bytes, charset: str | None = None) -> str:
    """Decode bytes without a declared charset: UTF-8, or else `charset`."""
    try:
        return data.decode()
    except UnicodeDecodeError:  # with a line's end, so that a byte before it isn't taken for half a character
        return decode_text(data + b"\n", charset).removesuffix("\n")


def decoded(value: str) -> str:
    """The text of a header on one line, encoded words decoded. A word that can't be decoded takes no other with it."""
    pieces: list[str] = []
    charset, data = "", b""  # of the words so far, which may share a character
    position = 0
    while word := _WORD.search(value, position):
        end = value.find("?=", word.end())
        if end < 0:
            break
        between = value[position : word.start()]
        named = word[1].partition("*")[0].lower()  # RFC 2231 §5: a language follows
        if between.strip() or not data or named != charset:
            pieces += [decode_text(data, charset), between if between.strip() or not data else ""]
            charset, data = named, b""
        data += _word(word[2], value[word.end() : end])
        position = end + 2
    pieces += [decode_text(data, charset), value[position:]]
    return " ".join(clean_text("".join(pieces)).split())


def _word(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return header_decode(text).encode("latin-1", "replace")
    packed = re.sub(r"[^A-Za-z0-9+/]", "", text)
    try:
        return binascii.a2b_base64(packed[: len(packed) - (len(packed) % 4 == 1)] + "==")
    except binascii.Error:
        return b""


def senders(value: str) -> list[Sender]:
    """Names and addresses of a From, To or similar header. A comma in a name doesn't have to be quoted."""
    value = value[:LONGEST]
    result = _senders(value)
    if "@" in value and not any(sender.address for sender in result):  # a quote or a comment without an end
        result = _senders(re.sub(r'["()]', " ", value)) or result
    return result


def _senders(value: str) -> list[Sender]:
    parsed: list[Sender] = []
    name: list[str] = []  # and, if it is in no angle brackets, the address
    angle: str | None = None
    comment = ""
    has_at = False

    def end() -> None:
        nonlocal name, angle, comment, has_at
        text = "".join(name).strip()
        if angle is None and has_at:
            start, stop = _bare(text)
            text, angle = f"{text[:start]} {text[stop:]}", text[start:stop]
        if angle or text.strip(" ,;") or comment:
            parsed.append(_sender(_unquoted(text) or comment, angle or ""))
        name, angle, comment, has_at = [], None, "", False

    for token in _TOKEN.findall(value):
        match token[0]:
            case "<":
                if angle is not None:  # the comma between two mailboxes is missing
                    end()
                angle = token.strip("<> ").rpartition(":")[2]  # RFC 5322 §4.4: what precedes is a route
            case "(" if len(token) > 1:
                comment = _ESCAPED.sub(r"\1", token[1:].removesuffix(")"))
            case "," | ";" if angle is not None or has_at or len(name) > MOST_PIECES:
                end()
            case ":" if ";" in value and angle is None and not has_at:
                name = []  # of a group (RFC 5322 §3.4)
            case _:
                name.append(token)
                has_at = has_at or ("@" in token and token[0] != '"')
    end()
    return parsed


def _bare(text: str) -> tuple[int, int]:
    """Where the address begins and ends in a text that has an @."""
    at = text.find("@", text.rfind('"') + 1)
    before, after = text[:at], text[at:]
    if before.endswith('"') and '"' in before[:-1]:
        start = before.rindex('"', 0, -1)
    else:
        start = max(before.rfind(letter) for letter in (*string.whitespace, '"')) + 1
    return start, at + min(
        (place for letter in string.whitespace if (place := after.find(letter)) > 0), default=len(after)
    )


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text.replace('\\"', "\0").replace('"', "").replace("\0", '"')).strip(" \t,;")


def _sender(name: str, address: str) -> Sender:
    plain = clean_text(address).strip()
    if '"' not in plain:
        plain = "".join(plain.split())
    if "@" not in plain:
        return Sender(decoded(name or plain), "")
    return Sender(decoded(name), plain)


def file_name(disposition: str, content_type: str) -> str:
    """The file name in the texts of Content-Disposition and Content-Type; empty if there is none."""
    for header, value, parameter in (
        ("content-disposition", disposition, "filename"),
        ("content-type", content_type, "name"),
    ):
        part = Message()
        part[header] = value
        values = [text for name, text in part.get_params([], header)[1:] if name.lower() == parameter]
        values.sort(key=lambda text: isinstance(text, str))  # RFC 6266 §4.3 prefers the extended one
        for text in values:
            if name := decoded(text if isinstance(text, str) else _extended(*text)):
                return name
    return ""


def _extended(charset: str | None, _language: str | None, text: str) -> str:
    try:
        return decode_text(text.encode("latin-1"), charset)
    except UnicodeEncodeError:  # written as it is
        return text
