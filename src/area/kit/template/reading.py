"""Paths and literals as users write them: what templates and conditions share."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from area.kit.sentences import Sentence, SentenceError
from area.kit.text import did_you_mean, listing

MAX_SEGMENTS = 50  # of one path
SHOWN = 50  # characters of a user's text that a message repeats

Argument = str | int | float | bool | None


class PlacedError(SentenceError, ValueError):
    """A text that can't be parsed. The message begins with the place; `line` and `column` count from 1."""

    def __init__(self, message: Sentence, text: str, position: int) -> None:
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        if self.line == 1:
            placed = Sentence("Column %(column)s: %(error)s", column=self.column, error=message)
        else:
            placed = Sentence(
                "Line %(line)s, column %(column)s: %(error)s", line=self.line, column=self.column, error=message
            )
        super().__init__(placed)


_SPACE = re.compile(r"\s*")
NAME = re.compile(r"[^\W\d][\w-]*")
_SEGMENT = re.compile(r"\w[\w-]*")
_INDEX = re.compile(r"\[\s*(-?\d{1,9})\s*\]", re.ASCII)
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"' + r"|'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,15})?(?![\w.])", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Path:
    """The place of a value. A step is a key of an object, with its number if it may be an index of a list."""

    source: str
    steps: tuple[tuple[str, int | None], ...]

    @property
    def name(self) -> str:
        """The top-level name."""
        return self.steps[0][0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The steps as text."""
        return tuple(key for key, _ in self.steps)

    def find(self, data: Mapping[str, Any]) -> Any:
        """The value in `data`; None if there is none."""
        value = data.get(self.steps[0][0])
        return value if len(self.steps) == 1 else self.within(value)

    def within(self, value: Any) -> Any:
        """What the steps after the first lead to in `value`; None if there is nothing."""
        for key, index in self.steps[1:]:
            if isinstance(value, dict):
                value = value.get(key)
            elif index is not None and isinstance(value, list | tuple):
                value = value[index] if -len(value) <= index < len(value) else None
            else:
                return None
        return value


def skip_space(text: str, position: int) -> int:
    """The position of the first character from `position` on that is not white space."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def read_path(text: str, position: int, error: type[PlacedError]) -> tuple[Path, int]:
    """The path at `position` and the position after it. Raises `error`."""
    start = position
    steps: list[tuple[str, int | None]] = []
    while True:
        step, position = _read_step(text, position, first=not steps, error=error)
        steps.append(step)
        if len(steps) > MAX_SEGMENTS:
            raise error(Sentence("a path has at most %(most)s parts.", most=MAX_SEGMENTS), text, start)
        if text.startswith(".", position):
            position += 1
        elif not text.startswith("[", position):
            return Path(text[start:position], tuple(steps)), position


def _read_step(
    text: str, position: int, *, first: bool, error: type[PlacedError]
) -> tuple[tuple[str, int | None], int]:
    if text.startswith("[", position):
        if not first and (index := _INDEX.match(text, position)):
            return (index[1], int(index[1])), index.end()
        inside = skip_space(text, position + 1)
        if not text.startswith(('"', "'"), inside):
            expected = '["a key"]' if first else '["a key"] or [0]'
            raise error(
                Sentence("brackets take a key in quotes or an index: %(expected)s.", expected=expected),
                text,
                position,
            )
        key, after = read_string(text, inside, error)
        after = skip_space(text, after)
        if not text.startswith("]", after):
            raise error(Sentence("the bracket is never closed; add ]."), text, position)
        return (key, None), after + 1
    match = (NAME if first else _SEGMENT).match(text, position)
    if match is None:
        if first:
            raise error(Sentence("expected a name, such as title or author.name."), text, position)
        raise error(
            Sentence(
                'a dot must be followed by a name or an index, such as items.0.title; write unusual keys as ["a key"].'
            ),
            text,
            position,
        )
    key = match[0]
    return (key, int(key) if len(key) <= 9 and key.isascii() and key.isdigit() else None), match.end()


def read_string(text: str, position: int, error: type[PlacedError], *, raw: bool = False) -> tuple[str, int]:
    r"""The text in quotes at `position` and the position after it; \n, \t, \", \' and \\ are replaced unless it is
    `raw`.

    Raises `error`.
    """
    match = _STRING.match(text, position)
    if match is None:
        raise error(
            Sentence("this text is never closed; add %(position)s at its end.", position=text[position]),
            text,
            position,
        )
    inside = match[0][1:-1]
    if raw or "\\" not in inside:
        return inside, match.end()
    pieces = []
    backslash, read = inside.find("\\"), 0
    while backslash >= 0:
        escaped = inside[backslash + 1]
        if escaped not in _ESCAPES:
            raise error(
                Sentence("\\%(escaped)s is not an escape; use \\n, \\t, \\\", \\' or \\\\.", escaped=escaped),
                text,
                position + 1 + backslash,
            )
        pieces += [inside[read:backslash], _ESCAPES[escaped]]
        read = backslash + 2
        backslash = inside.find("\\", read)
    return "".join([*pieces, inside[read:]]), match.end()


def read_literal(text: str, position: int, error: type[PlacedError]) -> tuple[Argument, int] | None:
    """The text, number, true, false or null at `position` and the position after it; None for anything else."""
    if text.startswith(('"', "'"), position):
        return read_string(text, position, error)
    if number := _NUMBER.match(text, position):
        return float(number[0]) if "." in number[0] else int(number[0]), number.end()
    if (
        (word := NAME.match(text, position))
        and word[0].lower() in _CONSTANTS
        and text[word.end() : word.end() + 1] not in (".", "[")
    ):
        return _CONSTANTS[word[0].lower()], word.end()
    return None


_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def unknown_names(names: Collection[str], known: Collection[str]) -> list[Sentence]:
    """A sentence for each of `names` that is not in `known`."""
    listed = ", ".join(sorted(known)) if 0 < len(known) <= 20 else ""
    sentences = []
    for name in sorted(set(names).difference(known)):
        hint = did_you_mean(name, known)
        missing = Sentence('There is no value called "%(name)s"%(hint)s', name=name[:SHOWN], hint=hint)
        sentences.append(listing(missing, hint, listed))
    return sentences
