"""Parse request bodies (JSON, forms, text, bytes) and queries into plain data."""

import base64
import json
import logging
import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser, parse_options_header

from area.sdk import Number, Permanent, Sentence
from area.sdk.decoding import charset_in, decode_text, parse_json

MAX_DEPTH = 100  # levels of lists and objects; what writes JSON stops at 254
MAX_FIELDS = 1000
TOO_MANY = Sentence("The form has more than %(number)s fields. Send fewer, or JSON.", number=Number(MAX_FIELDS))
FORM = "application/x-www-form-urlencoded"
# bytes, whatever they look like; other types are text if they are UTF-8
BINARY = re.compile(r"(?:image|audio|video|font|model)/.+|application/(?:octet-stream|pdf|zip|gzip|x-tar|.*protobuf)")
XML = re.compile(r"(?:text|application)/xml|.+\+xml")
# https://www.w3.org/TR/xml/#NT-EncodingDecl
XML_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]{1,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""", re.ASCII)
FILE_NAME = re.compile(rb""";\s*filename\*\s*=\s*"?([\w-]*)'[\w-]*'([^;"\s]*)"?""", re.IGNORECASE | re.ASCII)
PLAIN_FILE_NAME = re.compile(rb""";\s*filename\s*=""", re.IGNORECASE)
ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")

# it would write a line for each malformed request, whoever sends it
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def read(raw: bytes, content_type: str) -> Any:
    """Parse a body.

    What looks like JSON is parsed as JSON whatever its content type: `curl -d` sends it as a form, Amazon SNS as plain
    text. Invalid characters become U+FFFD.
    """
    if not raw:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    charset = charset_in(content_type)
    if kind == "multipart/form-data":
        return _multipart(raw, content_type)
    declared = kind.endswith(("/json", "+json"))
    if declared or _looks_like_json(raw):
        try:
            return _parsed(raw, charset)
        except json.JSONDecodeError as error:
            if declared:
                raise Permanent(
                    Sentence("The body is declared as JSON but isn't valid: %(error)s.", error=error)
                ) from error
    if kind == FORM:
        return form(raw, charset)
    if XML.fullmatch(kind):
        named = XML_ENCODING.match(raw)
        return decode_text(raw, charset or (named[1].decode() if named else None))
    if kind.startswith("text/") or (charset and not BINARY.fullmatch(kind)):
        return decode_text(raw, charset)
    return _text_or_bytes(raw, binary=bool(BINARY.fullmatch(kind)))


def _looks_like_json(raw: bytes) -> bool:
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def _text_or_bytes(raw: bytes, *, binary: bool) -> str:
    try:
        if not binary and b"\0" not in raw:
            return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    return base64.b64encode(raw).decode()


def _parsed(raw: bytes, charset: str | None) -> Any:
    value = parse_json(raw, charset)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        nested = value
        for _ in range(254 - MAX_DEPTH):
            nested = [nested]
        try:
            orjson.dumps(nested)
        except orjson.JSONEncodeError as error:
            raise Permanent(
                Sentence("The JSON is nested more than %(number)s levels deep. Flatten it.", number=MAX_DEPTH)
            ) from error
    return value


def form(raw: bytes, charset: str | None = None) -> dict[str, Any]:
    """Parse a form or a query: one value per name, or a list if the name is repeated."""
    if raw.count(b"&") >= MAX_FIELDS:
        raise Permanent(TOO_MANY)
    pairs = (pair.partition(b"=") for pair in raw.split(b"&") if pair)
    return _collected((_unquoted(name, charset), _unquoted(value, charset)) for name, _, value in pairs)


def _unquoted(raw: bytes, charset: str | None) -> str:
    """Undo form escapes (https://url.spec.whatwg.org/#urlencoded-parsing) in linear time."""
    raw = raw.replace(b"+", b" ")
    return decode_text(ESCAPED.sub(lambda escape: bytes((int(escape[1], 16),)), raw) if b"%" in raw else raw, charset)


def _multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """Fields as text; files as objects with filename, content type and base64 content."""
    pairs: list[tuple[str, Any]] = []

    def on_field(part: Field) -> None:
        charset = charset_in(part.content_type or "")
        pairs.append((decode_text(part.field_name or b""), decode_text(part.value or b"", charset)))

    def on_file(part: File) -> None:
        part.file_object.seek(0)
        content = {
            "filename": decode_text(part.file_name or b""),
            "content_type": decode_text((part.content_type or "").encode("latin-1")),
            "base64": base64.b64encode(part.file_object.read()).decode(),
        }
        pairs.append((decode_text(part.field_name or b""), content))

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if boundary and raw.count(b"--" + boundary) > MAX_FIELDS + 1:
        raise Permanent(TOO_MANY)
    try:
        config = {"MAX_MEMORY_FILE_SIZE": math.inf}  # nothing goes to the disk
        parser = create_form_parser({"Content-Type": content_type.encode()}, on_field, on_file, config=config)
        parser.write(_with_file_names(_without_preamble(raw, boundary), boundary))
        parser.finalize()
    except FormParserError as error:
        raise Permanent(
            Sentence("The body is declared as multipart/form-data but isn't valid: %(error)s.", error=error)
        ) from error
    if b"--" + boundary + b"--" not in raw:
        raise Permanent("The multipart form is incomplete: its last boundary is missing.")
    return _collected(pairs)


def _without_preamble(raw: bytes, boundary: bytes) -> bytes:
    """What comes before the first boundary is to be ignored (https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1)."""
    if not boundary or raw.startswith(b"--" + boundary):
        return raw
    start = raw.find(b"\r\n--" + boundary)
    return raw[start + 2 :] if start >= 0 else raw


def _with_file_names(raw: bytes, boundary: bytes) -> bytes:
    """The form with each `filename*` of RFC 5987 as `filename`: some libraries write names so that aren't ASCII, and
    without a name, a file would be taken for text.
    """
    if not boundary or b"filename*" not in raw.lower():
        return raw
    parts = raw.split(b"--" + boundary)
    for index, part in enumerate(parts):
        head, blank, content = part.partition(b"\r\n\r\n")
        if FILE_NAME.search(head) and not PLAIN_FILE_NAME.search(head):
            parts[index] = FILE_NAME.sub(_plain_file_name, head) + blank + content
    return (b"--" + boundary).join(parts)


def _plain_file_name(match: re.Match[bytes]) -> bytes:
    name = decode_text(unquote_to_bytes(match[2]), match[1].decode("ascii") or None)
    return b'; filename="%b"' % " ".join(name.splitlines()).replace('"', "%22").encode()


def _collected(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One value per name, or a list if the name is repeated."""
    lists: dict[str, list[Any]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in lists.items()}
