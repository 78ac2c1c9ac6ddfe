"""Regular expressions from users: RE2, whose time is linear in the text whatever the pattern.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

from area.kit.sentences import Number, Sentence, SentenceError

MAX_PATTERN = 1000
# RE2 takes up to 12 ns for each instruction and character when a pattern defeats its automaton, so both are bounded
MAX_PROGRAM = 1000
MAX_TEXT = 65_536
_MAX_MEMORY = 1 << 20  # bytes for one pattern and its automaton

_compile: Callable[..., Any] = re2.compile
_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")


class RegexError(SentenceError, ValueError):
    """A pattern that can't be used; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled pattern. `size` is its number of instructions: the cost of a search is at most `size` times the text."""

    pattern: str
    size: int
    _regexp: Any = field(repr=False, compare=False)

    def search(self, text: str | bytes) -> bool:
        """Whether the pattern occurs in the first `MAX_TEXT` characters of `text`, or in what `encoded` made of it."""
        return self._regexp.search(text if isinstance(text, bytes) else encoded(text)) is not None

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern fits the whole of `text`; a text over `MAX_TEXT` characters never fits."""
        return len(text) <= MAX_TEXT and self._regexp.fullmatch(encoded(text)) is not None


def encoded(text: str) -> bytes:
    """The first `MAX_TEXT` characters of `text` in UTF-8."""
    # lone surrogates, which JSON may bring, have no UTF-8; a question mark stands for each
    return text[:MAX_TEXT].encode("utf-8", "replace")


@lru_cache(maxsize=256)
def compile(pattern: str) -> Regex:  # noqa: A001 -- as in `re`; used as `regex.compile`
    """Compile an RE2 pattern, cached. Raises `RegexError`: wrong syntax, or longer or more complex than allowed."""
    if len(pattern) > MAX_PATTERN:
        raise RegexError(
            Sentence(
                "The pattern has %(size)s characters; %(most)s are allowed.",
                size=Number(len(pattern)),
                most=Number(MAX_PATTERN),
            )
        )
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    try:
        source = pattern.encode()
    except UnicodeEncodeError as error:
        raise RegexError(Sentence("The pattern has half a character (a lone surrogate) in it; remove it.")) from error
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
    return Regex(pattern, regexp.programsize, regexp)


def _sentence(said: str) -> Sentence:
    """RE2's message as a sentence, with advice where people coming from other engines need it."""
    if said.endswith(_LOOK_AROUND):
        return Sentence(
            "Look-arounds such as (?=…) and (?<!…) aren't supported: RE2 does without them to stay fast on any text."
        )
    if said.startswith("invalid escape sequence: \\") and said[-1] in "123456789":
        return Sentence(
            "Back-references such as %(said)s aren't supported: RE2 does without them to stay fast on any text.",
            said=said[-2:],
        )
    if said.startswith("pattern too large"):
        return Sentence("The pattern is too complex: make its repetitions {n,m} smaller.")
    return Sentence("The pattern can't be used: %(said)s.", said=said if len(said) <= 100 else said[:97] + "…")
