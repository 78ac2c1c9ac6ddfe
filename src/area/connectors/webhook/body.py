"""Parse request bodies (JSON, forms, text, bytes) into plain data."""

import base64
import logging
import math
import re
from collections.abc import Iterable
from typing import Any

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser, parse_options_header

from area.sdk import Permanent

MAX_DEPTH = 100  # levels of lists and objects; what writes JSON stops at 254
MAX_FIELDS = 1000
TOO_MANY = f"The form has more than {MAX_FIELDS} fields; send fewer, or JSON."
FORM = "application/x-www-form-urlencoded"
# Python knows codecs that take quadratic time or give text that UTF-8 can't hold; these are the ones that senders use
CHARSET = re.compile(
    r"utf-?8|utf-16(le|be)?|(us-)?ascii|iso-8859-\d{1,2}|latin-?1|windows-125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5"
)
ESCAPED = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

# it would write a line for each malformed request, whoever sends it
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def read(raw: bytes, content_type: str) -> Any:
    """Parse a body.

    What looks like JSON is parsed as JSON whatever its content type: `curl -d` sends it as a form, Amazon SNS as plain
    text.
    """
    if not raw:
        return None
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "multipart/form-data":
        return _multipart(raw, content_type)
    declared = kind.endswith(("/json", "+json"))
    try:
        text = _decoded(raw, options)
    except Permanent:
        if declared or kind == FORM or kind.startswith("text/"):
            raise
        return base64.b64encode(raw).decode()
    if declared or text.lstrip()[:1] in ("{", "["):
        try:
            return _parsed(text)
        except orjson.JSONDecodeError as error:
            if declared:
                raise Permanent(f"The body is declared as JSON but isn't valid: {error}.") from error
    return _form(text) if kind == FORM else text


def _decoded(raw: bytes, options: str) -> str:
    named = options.lower().partition("charset=")[2].partition(";")[0].strip(" \"'") if options else ""
    charset = named or "utf-8"
    if named and not CHARSET.fullmatch(named):
        raise Permanent(f"The charset {charset[:40]!r} in Content-Type is unknown. Send UTF-8.")
    try:
        text = raw.decode(charset).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise Permanent(f"The body isn't valid {charset}. Set its charset in Content-Type, or send UTF-8.") from error
    if "\0" in text:
        raise Permanent("The body contains a NUL character. Send binary data as application/octet-stream.")
    return text


def _parsed(text: str) -> Any:
    value = orjson.loads(text)
    if "\\u0000" in text and NUL_ESCAPE.search(text):
        raise Permanent("The JSON contains a NUL character (\\u0000), which can't be stored. Remove it.")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        nested = value
        for _ in range(254 - MAX_DEPTH):
            nested = [nested]
        try:
            orjson.dumps(nested)
        except orjson.JSONEncodeError as error:
            raise Permanent(f"The JSON is nested more than {MAX_DEPTH} levels deep. Flatten it.") from error
    return value


def _form(text: str) -> dict[str, Any]:
    if "%00" in text:
        raise Permanent("The form contains a NUL character (%00), which can't be stored. Remove it.")
    if text.count("&") >= MAX_FIELDS:
        raise Permanent(TOO_MANY)
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    return _collected((_unquoted(name), _unquoted(value)) for name, _, value in pairs)


def _unquoted(text: str) -> str:
    """Undo form escapes (https://url.spec.whatwg.org/#urlencoded-parsing) in linear time."""
    raw = text.replace("+", " ").encode()
    return ESCAPED.sub(lambda run: bytes.fromhex(run[0].replace(b"%", b"").decode()), raw).decode(errors="replace")


def _multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    """Fields as text; files as objects with filename and base64 content."""
    pairs: list[tuple[str, Any]] = []

    def text(value: bytes | None) -> str:
        return (value or b"").decode(errors="replace")

    def on_field(part: Field) -> None:
        pairs.append((text(part.field_name), text(part.value)))

    def on_file(part: File) -> None:
        part.file_object.seek(0)
        content = base64.b64encode(part.file_object.read()).decode()
        pairs.append((text(part.field_name), {"filename": text(part.file_name), "base64": content}))

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if boundary and raw.count(b"--" + boundary) > MAX_FIELDS + 1:
        raise Permanent(TOO_MANY)
    try:
        config = {"MAX_MEMORY_FILE_SIZE": math.inf}  # nothing goes to the disk
        parser = create_form_parser({"Content-Type": content_type.encode()}, on_field, on_file, config=config)
        parser.write(raw)
        parser.finalize()
    except FormParserError as error:
        raise Permanent(f"The body is declared as multipart/form-data but isn't valid: {error}.") from error
    if not raw.rstrip().endswith(b"--"):
        raise Permanent("The multipart form is incomplete: its last boundary is missing.")
    return _collected(pairs)


def _collected(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One value per name, or a list if the name is repeated."""
    lists: dict[str, list[Any]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in lists.items()}
