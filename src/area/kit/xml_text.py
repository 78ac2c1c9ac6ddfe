"""An XML document's bytes as text, whatever its charset, with references that XML can read."""

import re

from area.kit.decoding import charset_in, codec_of, decode_text

CDATA_OR_BARE_AMPERSAND = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?!#?\w{1,32};)", re.DOTALL | re.ASCII)
# numeric references, also escaped ones, of which two may be halves of one character
REFERENCES = re.compile(r"(?:&(?:amp;)?#[xX]?[0-9a-fA-F]+;)+")
REFERENCE = re.compile(r"&(?:amp;)?#(?:[xX]([0-9a-fA-F]+)|([0-9]+));")
DECLARED = re.compile(r"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'<>]+)["']""")


def as_text(document: bytes, content_type: str) -> str:
    """The document as text, with the characters that its references mean."""
    text = REFERENCES.sub(_references, _decoded(document, content_type))
    # feedparser reads "Q&A" as "Q&A;"
    return CDATA_OR_BARE_AMPERSAND.sub(lambda match: "&amp;" if match[0] == "&" else match[0], text)


def _decoded(document: bytes, content_type: str) -> str:
    """The document as text. The charset of Content-Type goes before that of the declaration (RFC 7303 §3), if it fits;
    UTF-8 goes before both, since nothing else looks like it.
    """
    if document[:2] in (b"<\0", b"\0<"):
        return document.decode("utf-16-le" if document[:1] == b"<" else "utf-16-be", "replace")
    declared = DECLARED.search(document[:1000].decode("ascii", "replace"))
    labels = [label for label in (charset_in(content_type), declared[1] if declared else None) if label]
    for label in sorted(labels, key=lambda label: codec_of(label) != "utf-8"):
        codec = codec_of(label)
        try:
            document.decode(codec or "undefined")
        except (UnicodeError, LookupError):
            continue
        return decode_text(document, label).replace("\0", "\ufffd")
    return decode_text(document, next(iter(labels), None)).replace("\0", "\ufffd")


def _references(run: re.Match[str]) -> str:
    """Numeric references with halves of characters joined, and with U+FFFD for those that mean no character of XML."""
    written: list[str] = []
    high = 0
    for reference in REFERENCE.finditer(run[0]):
        digits = (reference[1] or reference[2]).lstrip("0") or "0"
        number = int(digits, 16 if reference[1] else 10) if len(digits) <= 7 else 0
        if 0xD800 <= number < 0xDC00:
            written, high = [*written, "\ufffd"], number
            continue
        if high and 0xDC00 <= number < 0xE000:
            written[-1] = chr(0x10000 + ((high - 0xD800) << 10) + (number - 0xDC00))
        elif (
            number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE or 0xFFFF < number < 0x110000
        ):
            written.append(reference[0])
        else:
            written.append("\ufffd")
        high = 0
    return "".join(written)
