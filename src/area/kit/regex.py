"""Regular expressions from users: RE2, whose time is linear in the text whatever the pattern.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

from area.kit.sentences import Number, Sentence, SentenceError

MAX_PATTERN = 1000
# RE2 takes up to 12 ns per instruction and character if a pattern defeats its automaton, so both are limited
MAX_PROGRAM = 1000
MAX_TEXT = 65_536
_MAX_MEMORY = 1 << 20  # bytes for one pattern and its automaton

_compile: Callable[..., Any] = re2.compile
_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")


class RegexError(SentenceError, ValueError):
    """A pattern that can't be used. The message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled pattern. `size` is its number of instructions: a search costs at most `size` times the length of the
    text.
    """

    pattern: str
    size: int
    _regexp: Any = field(repr=False, compare=False)

    def search(self, text: str | bytes) -> bool:
        """Whether the pattern matches anywhere in the first `MAX_TEXT` characters of `text`, or of `encoded` text."""
        return self._regexp.search(text if isinstance(text, bytes) else encoded(text)) is not None

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern matches all of `text`; never a text of more than `MAX_TEXT` characters."""
        return len(text) <= MAX_TEXT and self._regexp.fullmatch(encoded(text)) is not None


@dataclass(frozen=True, slots=True)
class Capturing:
    """A compiled pattern whose groups are read. `size` is its number of instructions, `groups` how many it has."""

    size: int
    groups: int
    _regexp: Any = field(repr=False, compare=False)

    def finditer(self, text: bytes) -> Iterator[str | list[str | None]]:
        """Each match: the whole without groups, the group if there is one, else a list of them."""
        for match in self._regexp.finditer(text):
            parts = [None if part is None else part.decode("utf-8", "replace") for part in match.groups()]
            yield parts if len(parts) > 1 else parts[0] or "" if parts else match.group().decode("utf-8", "replace")


def encoded(text: str) -> bytes:
    """The first `MAX_TEXT` characters of `text` in UTF-8."""
    # lone surrogates, which JSON may contain, have no UTF-8: replace each by a question mark
    return text[:MAX_TEXT].encode("utf-8", "replace")


@lru_cache(maxsize=256)
def compile(pattern: str) -> Regex:  # noqa: A001 -- as in `re`; used as `regex.compile`
    """Compile an RE2 pattern, cached. Raises `RegexError` if it is invalid, too long or too complex."""
    regexp = _regexp(pattern, captures=False)
    return Regex(pattern, regexp.programsize, regexp)


@lru_cache(maxsize=256)
def capturing(pattern: str) -> Capturing:
    """Compile an RE2 pattern to read its groups, cached. Raises `RegexError` as `compile` does."""
    regexp = _regexp(pattern, captures=True)
    return Capturing(regexp.programsize, regexp.groups, regexp)


def _regexp(pattern: str, *, captures: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise RegexError(
            Sentence(
                "The pattern has %(size)s characters; the limit is %(most)s.",
                size=Number(len(pattern)),
                most=Number(MAX_PATTERN),
            )
        )
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not captures
    options.max_mem = _MAX_MEMORY
    try:
        source = pattern.encode()
    except UnicodeEncodeError as error:
        raise RegexError(Sentence("The pattern contains half a character (a lone surrogate). Remove it.")) from error
    try:
        regexp = _compile(source, options)
    except re2.error as error:
        raise RegexError(_sentence(error.args[0].decode("utf-8", "replace"))) from error
    if regexp.programsize > MAX_PROGRAM:
        raise RegexError(
            Sentence(
                "The pattern is too complex: make its repetitions {n,m} smaller, or use several `matches`"
                " joined by `or`."
            )
        )
    return regexp


def _sentence(message: str) -> Sentence:
    """RE2's message as a sentence, with advice for people used to other engines."""
    if message.endswith(_LOOK_AROUND):
        return Sentence(
            "Look-arounds such as (?=…) and (?<!…) aren't supported, so that matching is fast on any text (RE2)."
        )
    if message.startswith("invalid escape sequence: \\") and message[-1] in "123456789":
        return Sentence(
            "Back-references such as %(said)s aren't supported, so that matching is fast on any text (RE2).",
            said=message[-2:],
        )
    if message.startswith("pattern too large"):
        return Sentence("The pattern is too complex: make its repetitions {n,m} smaller.")
    return Sentence("The pattern can't be used: %(said)s.", said=message if len(message) <= 100 else message[:97] + "…")
