"""Bytes from outside as text and as JSON: what a charset's label means, and what to make of bytes that break the rules.

Imports only the standard library and orjson, so that decoders of untrusted files can use it (see `area.kit.zygote`).
"""

import codecs
import json
import math
import re
from functools import lru_cache
from typing import Any

import orjson

_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_LONGEST_LABEL = 50
# Python's decoders that are no charsets, or take quadratic time
_NO_CHARSETS = {"idna", "mbcs", "oem", "palmos", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}

# Labels that Python doesn't know: https://encoding.spec.whatwg.org/#names-and-labels, and some of mails and databases
_LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf8mb3 utf8mb4",
    "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i",
    "iso8859-7": "sun_eu_greek",
    "iso8859-8": "csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i logical visual",
    "iso8859-15": "csisolatin9",
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 windows-874",
    "gb18030": "csgb2312 gb_2312 gb_2312-80 windows-936 x-gbk",
    "big5hkscs": "cn-big5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp932": "windows-31j x-sjis",
    "iso2022_jp": "cp50220 cp50221 cp50222 iso-2022-jp-ms",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949 x-windows-949",
    "utf-16-be": "unicodefffe",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
}
_OTHER_LABELS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
# The supersets that senders mean, and browsers take
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16-le",
}
# the longer ones first
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# a character beyond U+FFFF as two encoded halves (https://www.unicode.org/reports/tr26/)
_HALVES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"({_HIGH}{_LOW})|{_HIGH}|{_LOW}|\\.")
_SHIFT = re.compile(rb"(\x1b\([BIJ]|\x1b\$\(D|\x1b\$[@B])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_LETTER = re.compile("[\ufffd\xff]")  # what windows-1252 has not, or writers do not use
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_BIG = re.compile(rb'(?<!["0-9.])[0-9]{19}')  # an integer of so many digits may need more than 64 bits


def charset_in(content_type: str) -> str | None:
    """The charset that a Content-Type names, as it is written there."""
    match = _CHARSET.search(content_type)
    return match[1] if match else None


@lru_cache(256)
def codec_of(label: str) -> str | None:
    """Python's codec for what browsers mean by a charset's label (https://encoding.spec.whatwg.org/): `gb18030` for
    gb2312, `cp1252` for iso-8859-1. None for an unknown label.

    Charsets that only mails have, such as UTF-7 and iso-2022-kr, keep their own meaning.
    """
    name = label.strip(" \t\r\n\f\"'").lower()
    if name in _OTHER_LABELS:
        return _OTHER_LABELS[name]
    if len(name) > _LONGEST_LABEL:
        return None
    for spelling in (name, name.removeprefix("x-"), re.sub(r"^iso[-_]?8859[-_]?(\d+)$", r"iso8859-\1", name)):
        try:
            codec = codecs.lookup(spelling)
        except (LookupError, ValueError):
            continue
        if not getattr(codec, "_is_text_encoding", True) or codec.name.replace("_", "-") in _NO_CHARSETS:
            return None
        return "iso2022_jp" if codec.name.startswith("iso2022_jp") else _SUPERSETS.get(codec.name, codec.name)
    return None


def decode_text(data: bytes, charset: str | None = None) -> str:
    """`data` as text without a byte order mark. Never fails; invalid bytes become U+FFFD.

    A byte order mark decides first, then `charset` (a label in any spelling). Without either, or with an unknown label,
    US-ASCII or UTF-8, the text is UTF-8. If it isn't valid as such, and has more invalid bytes than other characters
    beyond ASCII, these bytes are read as windows-1252 if they are characters there: a stray byte doesn't garble the
    rest.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _utf8(data[len(mark) :]) if marked == "utf-8" else data[len(mark) :].decode(marked, "replace")
    codec = codec_of(charset) if charset else None
    match codec:
        case None | "ascii" | "utf-8":
            return _utf8(data)
        case "iso2022_jp":
            return _iso2022_jp(data)
        case "euc_jp":
            return data.decode(codec, "area.jis")
        case _:
            text = data.decode(codec, "replace")
            return whole(text) if codec == "utf-7" else text


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return data.decode(errors="replace")
    data = _HALVES.sub(lambda halves: whole(halves[0].decode("utf-8", "surrogatepass")).encode(), data)
    text = data.decode(errors="replace")
    invalid = text.count("\ufffd")
    others = len(text) - len(text.encode("ascii", "ignore")) - invalid
    if invalid <= others:
        return text
    legacy = data.decode(errors="area.windows-1252")
    return text if _NO_LETTER.search(legacy) else legacy


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


def _as_jis(error: UnicodeError) -> tuple[str, int]:
    """Two bytes of EUC-JP that Microsoft has and Python's codec does not."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    text = _jis(bytes(byte & 0x7F for byte in pair)) if len(pair) == 2 and min(pair) > 0xA0 else "\ufffd"
    return (text, error.start + 2) if text != "\ufffd" else (text, error.end)


codecs.register_error("area.windows-1252", _as_windows_1252)
codecs.register_error("area.jis", _as_jis)


def _jis(pairs: bytes) -> str:
    """Pairs of JIS X 0208 (7 bits) with Microsoft's additions, by way of Shift_JIS, whose codec has them."""
    shifted = bytearray()
    for row, cell in zip(pairs[::2], pairs[1::2], strict=False):
        if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
            shifted += b"\x80"  # invalid
            continue
        lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
        shifted += bytes((lead, cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)))
    text = shifted.decode("cp932", "replace").replace("\x80", "\ufffd")
    return text + ("\ufffd" if len(pairs) % 2 else "")


def _iso2022_jp(data: bytes) -> str:
    """ISO-2022-JP with Microsoft's additions and half-width katakana
    (https://encoding.spec.whatwg.org/#iso-2022-jp).
    """
    first, *parts = _SHIFT.split(data)
    written = [first.decode("ascii", "replace")]
    for state, part in zip(parts[::2], parts[1::2], strict=True):
        match state:
            case b"\x1b$@" | b"\x1b$B":  # a line begins in ASCII, whatever the one before ended in
                pairs, end, rest = part.partition(b"\n")
                written += [_jis(pairs.rstrip(b"\r")), (end + rest).decode("ascii", "replace")]
            case b"\x1b$(D":
                written.append((state + part + b"\x1b(B").decode("iso2022_jp_2", "replace"))
            case b"\x1b(I":
                kana = bytes(byte | 0x80 if 0x21 <= byte < 0x60 else byte for byte in part)
                written.append(kana.decode("cp932", "replace"))
            case _:
                written.append(part.decode("ascii", "replace"))
    return "".join(written)


def whole(text: str) -> str:
    """`text` with surrogate pairs as one character, and half ones as U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def parse_json(data: bytes | str, charset: str | None = None) -> Any:
    """JSON from outside. Raises `json.JSONDecodeError`, which is a `ValueError`.

    Half surrogates, as JavaScript writes for a text cut inside an emoji (RFC 8259 §8.2), become U+FFFD. Integers beyond
    64 bits become text, since neither a float nor PostgreSQL's client holds them. Bytes are UTF-8, or UTF-16 or UTF-32
    if they look like it; `charset` counts only if they aren't valid as such (RFC 8259 §11).
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _mended(data, charset, error)
    return _exact(data) if _has_big(data) else value


def _mended(data: bytes | str, charset: str | None, error: orjson.JSONDecodeError) -> Any:
    """`data` without the deviations that orjson rejects and others write. Raises `error` if it is still invalid."""
    text = whole(data) if isinstance(data, str) else _json_text(data, charset)
    text = text.removeprefix("\ufeff")
    text = _ESCAPE.sub(_escape, text) if "\\u" in text else text
    if "infinity" in error.msg:  # a number beyond a double
        return _exact(text)
    mended = text.encode()
    try:
        value = orjson.loads(mended)
    except orjson.JSONDecodeError as other:
        if "infinity" not in other.msg:
            raise error from None
        return _exact(text)
    return _exact(text) if _has_big(mended) else value


def _escape(match: re.Match[str]) -> str:
    """An escape as it is, but for half a surrogate pair."""
    return match[0] if match[1] or len(match[0]) == 2 else "\\ufffd"


def _json_text(data: bytes, charset: str | None) -> str:
    encoding = json.detect_encoding(data)
    return decode_text(data, charset) if encoding.startswith("utf-8") else data.decode(encoding, "replace")


def _has_big(data: bytes | str) -> bool:
    data = data.encode() if isinstance(data, str) else data
    at = data.translate(_DIGITS).find(b"0" * 19)
    return at >= 0 and _BIG.search(data, at) is not None


def _exact(data: bytes | str) -> Any:
    try:
        return json.loads(data, parse_int=_integer, parse_float=_float, parse_constant=_no_constant)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", "", 0) from error


def _integer(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON", "", 0)
