"""`{{path.to.value | filter:argument}}`: looked up in plain data, shaped by a closed list of pure filters.

No evaluation, no attribute access, no loops. Compiled once, rendered in about a microsecond. Everything is bounded: the
template, each value, the result and the work of one rendering. The grammar for users is in docs/reference/templates.md.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sized
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, cast
from urllib.parse import quote

from area.kit.clock import BadTime, zone_named
from area.kit.text import clean_json, did_you_mean, dump_json

MAX_TEMPLATE = 65_536  # characters, as all of these
MAX_PLACEHOLDERS = 200
MAX_FILTERS = 20  # of one placeholder
MAX_VALUE = 262_144  # a text that goes into the result or comes out of a filter
MAX_RESULT = 262_144
MAX_WORK = 1_048_576  # what all filters of one rendering read and write
MAX_SEGMENTS = 50  # of one path

_SHOWN = 50  # characters of a user's text that a message repeats

Argument = str | int | float | bool | None
Filter = Callable[[Any], Any]


class PlacedError(ValueError):
    """A text that can't be understood. The message begins with where; `line` and `column` count from 1."""

    def __init__(self, message: str, text: str, position: int) -> None:
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        place = f"Column {self.column}" if self.line == 1 else f"Line {self.line}, column {self.column}"
        super().__init__(f"{place}: {message}")


class TemplateError(PlacedError):
    """A template that can't be used: what is wrong, where, and what to write instead."""


class RenderError(Exception):
    """A template that can't be filled with this data: too large, or a value that a filter can't use."""


# --- reading: shared with condition.py ------------------------------------------------------------------------------------

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[^\W\d][\w-]*")
_SEGMENT = re.compile(r"\w[\w-]*")
_INDEX = re.compile(r"\[\s*(-?\d{1,9})\s*\]", re.ASCII)
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"' + r"|'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,15})?(?![\w.])", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value is. A step is a key of an object, with its number beside it when it may be an index of a list."""

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
        """The value in `data`, or None when there is none."""
        steps = self.steps
        value: Any = data.get(steps[0][0])
        if len(steps) == 1:
            return value
        for key, index in steps[1:]:
            if isinstance(value, dict):
                value = value.get(key)
            elif index is not None and isinstance(value, list | tuple):
                value = value[index] if -len(value) <= index < len(value) else None
            else:
                return None
        return value


def skip_space(text: str, position: int) -> int:
    """The position of the first character from `position` on that is no white space."""
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
            raise error(f"a path has at most {MAX_SEGMENTS} parts.", text, start)
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
            raise error(f"in brackets stands a key in quotes or an index: {expected}.", text, position)
        key, after = read_string(text, inside, error)
        after = skip_space(text, after)
        if not text.startswith("]", after):
            raise error("the bracket is never closed; add ].", text, position)
        return (key, None), after + 1
    match = (_NAME if first else _SEGMENT).match(text, position)
    if match is None:
        if first:
            raise error("a name is expected here, such as title or author.name.", text, position)
        raise error(
            'after a dot comes a name or an index, such as items.0.title; write odd keys as ["a key"].', text, position
        )
    key = match[0]
    return (key, int(key) if len(key) <= 9 and key.isascii() and key.isdigit() else None), match.end()


def read_string(text: str, position: int, error: type[PlacedError], *, raw: bool = False) -> tuple[str, int]:
    r"""The text in quotes at `position` and the position after it; \n, \t, \", \' and \\ are replaced unless it is `raw`.

    Raises `error`.
    """
    match = _STRING.match(text, position)
    if match is None:
        raise error(f"the text that begins here is never closed; add {text[position]} at its end.", text, position)
    inside = match[0][1:-1]
    if raw or "\\" not in inside:
        return inside, match.end()
    pieces = []
    backslash, read = inside.find("\\"), 0
    while backslash >= 0:
        escaped = inside[backslash + 1]
        if escaped not in _ESCAPES:
            raise error(
                f"\\{escaped} means nothing; there are \\n, \\t, \\\", \\' and \\\\.", text, position + 1 + backslash
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
        (word := _NAME.match(text, position))
        and word[0].lower() in _CONSTANTS
        and text[word.end() : word.end() + 1] not in (".", "[")
    ):
        return _CONSTANTS[word[0].lower()], word.end()
    return None


_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def unknown_names(names: Collection[str], known: Collection[str]) -> list[str]:
    """A sentence for each of `names` that is not `known`."""
    listed = f" There is {', '.join(sorted(known))}." if 0 < len(known) <= 20 else ""
    sentences = []
    for name in sorted(set(names).difference(known)):
        hint = did_you_mean(name, known)
        sentences.append(f'There is no value called "{name[:_SHOWN]}"{hint}{listed if hint == "." else ""}')
    return sentences


# --- compiling ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """A filter with its arguments: `text` says that it is given text, `reads` that its time grows with its input."""

    apply: Filter
    text: bool
    reads: bool


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """`path` or else the text `literal`, and the filters in their order."""

    source: str
    path: Path | None
    literal: str
    filters: tuple[_Step, ...]


# the text before a placeholder, the key that it looks up if that is all that it does, and the placeholder
_Slot = tuple[str, str | None, _Placeholder]


def compile(text: str) -> "Template":  # noqa: A001 -- as in `re`; used as `templating.compile`
    """Compile a template. Raises `TemplateError`. A text without `{{` is constant."""
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(
            f"the text is too long: {len(text):,} characters, {MAX_TEMPLATE:,} are allowed.", text, MAX_TEMPLATE
        )
    slots: list[_Slot] = []
    paths: list[Path] = []
    before: list[str] = []
    position = count = 0
    while (start := text.find("{{", position)) >= 0:
        count += 1
        if count > MAX_PLACEHOLDERS:
            raise TemplateError(f"there are more than {MAX_PLACEHOLDERS} placeholders; use fewer.", text, start)
        before.append(text[position:start])
        placeholder, position = _read_placeholder(text, start)
        path = placeholder.path
        if path:
            paths.append(path)
        if path is None and not placeholder.filters:
            before.append(placeholder.literal)
            continue
        simple = path is not None and len(path.steps) == 1 and not placeholder.filters
        slots.append(("".join(before), path.name if path and simple else None, placeholder))
        before = []
    return Template(
        text=text,
        names=frozenset(path.name for path in paths),
        paths=frozenset(path.keys for path in paths),
        _slots=tuple(slots),
        _end="".join([*before, text[position:]]),
    )


def _read_placeholder(text: str, start: int) -> tuple[_Placeholder, int]:
    if text.startswith("{{{", start):
        raise TemplateError(
            'three braces; a placeholder has two: {{title}}. For a brace before one, write {{"{"}}{{title}}.',
            text,
            start,
        )
    position = skip_space(text, start + 2)
    path, literal = None, ""
    if text.startswith(('"', "'"), position):
        literal, position = read_string(text, position, TemplateError)
    elif text.startswith("}}", position):
        raise TemplateError("nothing stands between the braces; write a name, such as {{title}}.", text, start)
    elif _NAME.match(text, position) or text.startswith("[", position):
        path, position = read_path(text, position, TemplateError)
    else:
        raise _unexpected(text, position, start)
    filters: list[_Step] = []
    while True:
        position = skip_space(text, position)
        if text.startswith("}}", position):
            source = text[start : position + 2]
            return _Placeholder(source, path, literal, tuple(filters)), position + 2
        if not text.startswith("|", position):
            raise _unexpected(text, position, start)
        if len(filters) == MAX_FILTERS:
            raise TemplateError(f"a placeholder has at most {MAX_FILTERS} filters.", text, position)
        one, position = _read_filter(text, position, start)
        filters.append(one)


def _read_filter(text: str, bar: int, start: int) -> tuple[_Step, int]:
    """The filter whose `|` is at `bar`."""
    begin = skip_space(text, bar + 1)
    match = _NAME.match(text, begin)
    if match is None:
        raise TemplateError(f"after | comes a filter: {', '.join(FILTERS)}.", text, bar)
    name, position = match[0], match.end()
    kind = FILTERS.get(name.lower())
    if kind is None:
        hint = did_you_mean(name, FILTERS)
        name = name[:_SHOWN]
        there_is = f" There is {', '.join(FILTERS)}." if hint == "." else ""
        raise TemplateError(f'there is no filter "{name}"{hint}{there_is}', text, begin)
    arguments: list[Argument] = []
    position = skip_space(text, position)
    if text.startswith("(", position):
        raise _unexpected(text, position, start)
    separator = ":"
    while text.startswith(separator, position) and len(arguments) <= kind.most:
        here = skip_space(text, position + 1)
        read = read_literal(text, here, TemplateError)
        if read is None:
            raise _no_argument(text, here, start, kind)
        arguments.append(read[0])
        position = skip_space(text, read[1])
        separator = ","
    if not kind.least <= len(arguments) <= kind.most:
        raise TemplateError(f"{name} is written {kind.usage}.", text, begin)
    try:
        return _Step(kind.build(*arguments), kind.text, kind.reads), position
    except BadArgument as error:
        raise TemplateError(f"{name}: {error}", text, begin) from error


def _no_argument(text: str, position: int, start: int, kind: "_Kind") -> TemplateError:
    if position >= len(text):
        return _unexpected(text, position, start)
    if text[position] in "“”„‘’«»":  # noqa: RUF001 -- typographic quotes, which phones write
        return TemplateError("use straight quotes: \" or '.", text, position)
    return TemplateError(f"an argument is a number or a text in quotes, as in {kind.usage}.", text, position)


def _unexpected(text: str, position: int, start: int) -> TemplateError:
    """The error for what can't stand at `position` of the placeholder that begins at `start`."""
    if position >= len(text) or text.startswith("{{", position):
        return TemplateError(
            'this {{ is never closed; add }} after the name, or write {{"{{"}} for two braces.', text, start
        )
    found = _NAME.match(text, position)
    word = found[0] if found else text[position]
    if word.lower() in FILTERS:
        return TemplateError(f"before a filter comes |, as in {{{{title | {word}}}}}.", text, position)
    if word == "}":
        return TemplateError("a placeholder ends with two braces: }}.", text, position)
    if word == "(":
        return TemplateError("a filter's argument follows a colon, as in {{title | truncate:80}}.", text, position)
    return TemplateError(
        f'"{word[:_SHOWN]}" can\'t stand here; a placeholder is a name and filters, such as {{{{title | upper}}}}.',
        text,
        position,
    )


# --- rendering ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; made by `compile`. `names` are the top-level names it uses, `paths` all the steps of each path."""

    text: str
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    _slots: tuple[_Slot, ...] = field(repr=False)
    _end: str = field(repr=False)

    @property
    def is_constant(self) -> bool:
        """Whether it depends on no data."""
        return not self.names

    def render(self, data: Mapping[str, Any]) -> Any:
        """Fill it with `data`, which is left as it is.

        Exactly one placeholder and nothing around it keeps the value's type, and is None when the value is missing. Else
        the result is text, each value as `as_text` writes it. Raises `RenderError`.
        """
        slots = self._slots
        if len(slots) == 1 and not self._end and not slots[0][0]:
            value, _ = _value(slots[0][2], data, 0)
            if isinstance(value, str) and len(value) > MAX_VALUE:
                raise _too_long(slots[0][2], value)
            return value
        pieces: list[str] = []
        size = len(self._end)
        work = 0
        for before, key, placeholder in slots:
            if key is None:
                value, work = _value(placeholder, data, work)
            else:
                value = data.get(key)
            text = value if type(value) is str else as_text(value)
            pieces += (before, text)
            size += len(before) + len(text)
            if size > MAX_RESULT:
                raise RenderError(
                    f"The text becomes longer than {MAX_RESULT:,} characters with {_short(placeholder)}; shorten it, for"
                    " instance with | truncate:1000."
                )
        pieces.append(self._end)
        return "".join(pieces)


def _value(part: _Placeholder, data: Mapping[str, Any], work: int) -> tuple[Any, int]:
    """The value of a placeholder, and the work done so far."""
    value: Any = part.path.find(data) if part.path else part.literal
    for step in part.filters:
        if step.text and not isinstance(value, str):
            value = as_text(value)
            work = _count(part, value, work)
        elif step.reads and isinstance(value, str | list | tuple | dict):
            work = _count_read(part, value, work)
        try:
            value = step.apply(value)
        except _Unfit as error:
            raise RenderError(f"{_short(part)} can't be filled: {error}") from error
        if step.reads and isinstance(value, str):
            work = _count(part, value, work)
    return value, work


def _count(part: _Placeholder, text: str, work: int) -> int:
    """The work with a text that was made. Raises `RenderError` when it is too long, or the work too much."""
    if len(text) > MAX_VALUE:
        raise _too_long(part, text)
    return _count_read(part, text, work)


def _count_read(part: _Placeholder, value: Sized, work: int) -> int:
    work += len(value)
    if work > MAX_WORK:
        raise RenderError(
            f"{_short(part)} can't be filled: the filters have more than {MAX_WORK:,} characters to work through; shorten"
            " the value with | truncate:1000 first."
        )
    return work


def _too_long(part: _Placeholder, text: str) -> RenderError:
    return RenderError(
        f"{_short(part)} can't be filled: the text has {len(text):,} characters, {MAX_VALUE:,} are allowed; shorten it, for"
        " instance with | truncate:1000."
    )


def _short(part: _Placeholder) -> str:
    return part.source if len(part.source) <= 100 else f"{part.source[:97]}…"


_BIG = 2**63


def as_text(value: Any) -> str:
    """A value as it stands in text.

    None and NaN are nothing, booleans `true` and `false`, numbers plain (3.0 is `3`, never with an exponent), dates and
    times ISO 8601, lists and objects compact JSON.
    """
    kind = type(value)
    if kind is str:
        return cast(str, value)
    if value is None:
        return ""
    if kind is int and -_BIG < value < _BIG:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return _plain_float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return dump_json(value).decode()
    clean = clean_json(value)  # what isn't plain data, and integers too long to be written: these become text
    return str(clean) if isinstance(clean, int) else as_text(clean)


def _plain_float(value: float) -> str:
    if not math.isfinite(value):
        return ""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    written = repr(value)
    return format(Decimal(written), "f") if "e" in written else written


_LONGEST_BLANK = 1000  # a longer text counts as something without being read


def is_empty(value: Any) -> bool:
    """Whether a value is missing, null, a text of nothing but white space, or a list or object with nothing in it."""
    if isinstance(value, str):
        return not value or (len(value) <= _LONGEST_BLANK and value.isspace())
    return value is None or (isinstance(value, list | tuple | dict) and not value)


def check(template: Template, names: Collection[str]) -> list[str]:
    """A sentence for each top-level name that the template uses and `names` does not have; none when all is well."""
    return unknown_names(template.names, names)


# --- filters --------------------------------------------------------------------------------------------------------------


class BadArgument(ValueError):
    """A filter's argument that it can't take."""


class _Unfit(ValueError):
    """A value that a filter can't use."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A filter: how it is written, what makes it from its arguments, how many those are, and the two marks of `_Step`."""

    usage: str
    build: Callable[..., Filter]
    least: int = 0
    most: int = 0
    text: bool = False
    reads: bool = True


def _argument_text(value: Argument, what: str) -> str:
    if not isinstance(value, str):
        raise BadArgument(f"{what} must be a text in quotes.")
    return value


def _argument_int(value: Argument, what: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadArgument(f"{what} must be a whole number from {least} to {most:,}.")
    return value


def _truncate(length: Argument, end: Argument = "…") -> Filter:
    size = _argument_int(length, "the length", 1, MAX_VALUE)
    tail = _argument_text(end, "the end")
    if len(tail) > size:
        raise BadArgument("the end is longer than the whole.")

    def truncate(text: str) -> str:
        return text if len(text) <= size else text[: size - len(tail)].rstrip() + tail

    return truncate


def _default(fallback: Argument) -> Filter:
    return lambda value: fallback if is_empty(value) else value


def _replace(old: Argument, new: Argument) -> Filter:
    wanted, other = _argument_text(old, "what to replace"), _argument_text(new, "the replacement")
    if not wanted:
        raise BadArgument("what to replace must not be empty.")

    def replace(text: str) -> str:
        # counted first, so that what would be too large is never made
        size = len(text) + text.count(wanted) * (len(other) - len(wanted))
        if size > MAX_VALUE:
            raise _Unfit(f"the replaced text would have {size:,} characters, {MAX_VALUE:,} are allowed.")
        return text.replace(wanted, other)

    return replace


def _join(separator: Argument = ", ") -> Filter:
    between = _argument_text(separator, "what stands between")

    def join(value: Any) -> str:
        if not isinstance(value, list | tuple):
            return as_text(value)
        pieces = []
        size = 0
        for item in value:
            text = as_text(item)
            size += len(text) + len(between)
            if size > MAX_VALUE + len(between):
                raise _Unfit(f"the joined text would have more than the {MAX_VALUE:,} characters that are allowed.")
            pieces.append(text)
        return between.join(pieces)

    return join


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list | tuple | str) else value


def _last(value: Any) -> Any:
    return (value[-1] if value else None) if isinstance(value, list | tuple | str) else value


def _length(value: Any) -> int:
    return len(value if isinstance(value, str | list | tuple | dict) else as_text(value))


_NUMERIC = re.compile(r"\s*[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_EXACT = Context(prec=1000)


def _number(decimals: Argument = None) -> Filter:
    if decimals is None:
        return _to_number
    places = Decimal(1).scaleb(-_argument_int(decimals, "the number of decimals", 0, 20))

    def number(value: Any) -> str:
        parsed = _to_number(value)
        if parsed is None:
            return ""
        # half up, as people are taught, and on what is written rather than on its binary neighbour
        rounded = Decimal(as_text(parsed)).quantize(places, ROUND_HALF_UP, _EXACT)
        return format(abs(rounded) if rounded.is_zero() else rounded, "f")

    return number


def _to_number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        raise _Unfit(f"{as_text(value)} is no number.")
    if is_empty(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return value
    text = as_text(value)
    if not _NUMERIC.fullmatch(text):
        raise _Unfit(f'"{text[:_SHOWN]}" is no number.')
    parsed = float(text)
    if not math.isfinite(parsed):
        raise _Unfit(f'"{text[:_SHOWN]}" is too large a number.')
    return int(text) if text.strip().lstrip("+-").isdigit() else parsed


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# strftime's own depend on the platform and on its language
DIRECTIVES: Mapping[str, Callable[[datetime], str]] = {
    "%Y": lambda at: f"{at.year:04}",
    "%y": lambda at: f"{at.year % 100:02}",
    "%m": lambda at: f"{at.month:02}",
    "%-m": lambda at: str(at.month),
    "%B": lambda at: _MONTHS[at.month - 1],
    "%b": lambda at: _MONTHS[at.month - 1][:3],
    "%d": lambda at: f"{at.day:02}",
    "%-d": lambda at: str(at.day),
    "%j": lambda at: f"{at.timetuple().tm_yday:03}",
    "%A": lambda at: _WEEKDAYS[at.weekday()],
    "%a": lambda at: _WEEKDAYS[at.weekday()][:3],
    "%u": lambda at: str(at.isoweekday()),
    "%V": lambda at: f"{at.isocalendar().week:02}",
    "%G": lambda at: f"{at.isocalendar().year:04}",
    "%H": lambda at: f"{at.hour:02}",
    "%-H": lambda at: str(at.hour),
    "%I": lambda at: f"{at.hour % 12 or 12:02}",
    "%-I": lambda at: str(at.hour % 12 or 12),
    "%p": lambda at: "AM" if at.hour < 12 else "PM",
    "%M": lambda at: f"{at.minute:02}",
    "%S": lambda at: f"{at.second:02}",
    "%f": lambda at: f"{at.microsecond:06}",
    "%z": lambda at: at.strftime("%z"),
    "%:z": lambda at: at.isoformat()[-6:] if at.utcoffset() else "+00:00",
    "%Z": lambda at: at.tzname() or "",
    "%s": lambda at: str(int(at.timestamp() // 1)),
    "%F": lambda at: at.date().isoformat(),
    "%T": lambda at: f"{at.hour:02}:{at.minute:02}:{at.second:02}",
    "%%": lambda _at: "%",
}
_DIRECTIVE = re.compile(r"%[-:]?.?", re.DOTALL)
_DATE_ONLY = re.compile(r"\d{4}-?\d{2}-?\d{2}", re.ASCII)
_UNIX = re.compile(r"-?\d{1,20}(?:\.\d{1,9})?", re.ASCII)
_MAX_FORMAT = 200
_MAX_DATE = 64
_MILLISECONDS = 1e11  # as seconds this is the year 5138, so larger numbers are milliseconds


def _date(form: Argument, zone_name: Argument = None) -> Filter:
    pieces = _format(_argument_text(form, "the format"))
    try:
        zone = None if zone_name is None else zone_named(_argument_text(zone_name, "the time zone"))
    except BadTime as error:
        raise BadArgument(str(error)) from error

    def show(value: Any) -> str:
        if is_empty(value):
            return ""
        at = _to_datetime(value)
        try:
            if isinstance(at, datetime):
                local = at.astimezone(zone) if zone else at
            else:
                local = datetime(at.year, at.month, at.day, tzinfo=zone or UTC)  # a day is the same day in every zone
            return "".join(piece if isinstance(piece, str) else piece(local) for piece in pieces)
        except (OverflowError, ValueError) as error:
            raise _Unfit(f'"{as_text(value)[:_MAX_DATE]}" is out of the range of dates.') from error

    return show


def _format(form: str) -> list[str | Callable[[datetime], str]]:
    if not form or len(form) > _MAX_FORMAT:
        raise BadArgument(f'the format has 1 to {_MAX_FORMAT} characters, such as "%Y-%m-%d %H:%M".')
    pieces: list[str | Callable[[datetime], str]] = []
    position = 0
    for match in _DIRECTIVE.finditer(form):
        if match[0] not in DIRECTIVES:
            raise BadArgument(f"the format has no {match[0]}; there is {' '.join(DIRECTIVES)}.")
        pieces += [form[position : match.start()], DIRECTIVES[match[0]]]
        position = match.end()
    return [*pieces, form[position:]]


def _to_datetime(value: Any) -> datetime | date:
    """An aware datetime, or a date for a day without a time. Raises `_Unfit`."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    text = as_text(value).strip()
    at = (
        None
        if isinstance(value, bool) or len(text) > _MAX_DATE
        else parse_date(text) or _unix(text) or _mail_date(text)
    )
    if at is None:
        raise _Unfit(f'"{text[:_MAX_DATE]}" is no date; ISO 8601 and unix seconds are understood.')
    return at


def parse_date(text: str) -> datetime | date | None:
    """ISO 8601: an aware datetime (UTC when it does not say), a date when there is no time, None when it is neither."""
    if len(text) > _MAX_DATE or not text[:4].isdigit():
        return None
    try:
        if _DATE_ONLY.fullmatch(text):
            return date.fromisoformat(text)
        at = None if _UNIX.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


def _unix(text: str) -> datetime | None:
    if not _UNIX.fullmatch(text):
        return None
    seconds = float(text)
    try:
        return datetime.fromtimestamp(seconds / 1000 if abs(seconds) >= _MILLISECONDS else seconds, UTC)
    except (OverflowError, ValueError, OSError):  # what the platform can't represent
        return None


def _mail_date(text: str) -> datetime | None:
    """RFC 5322, as in mail and in feeds."""
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_TAG_END = re.compile(r""">|=\s*"[^"]*"|=\s*'[^']*'""")
_RAW = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table",
    "title", "tr", "ul",
})  # fmt: skip
_BLANKS = re.compile(r"\s+")
_LONG_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")


def strip_html(text: str) -> str:
    """The text of an HTML fragment, by the rules of https://html.spec.whatwg.org/multipage/parsing.html as far as they matter.

    Tags, comments, scripts and styles go; blocks begin a new line, character references are resolved, white space is
    collapsed. Linear in its input. The result is text, and not safe to be put into HTML again.
    """
    if "<" not in text and "&" not in text:
        return text.strip()
    pieces: list[str] = []
    position = 0
    while (start := text.find("<", position)) >= 0:
        tag = _TAG.match(text, start)
        if tag is None and not text.startswith(("<!", "<?", "</"), start):
            pieces.append(_plain_html(text[position : start + 1]))
            position = start + 1
            continue
        pieces.append(_plain_html(text[position:start]))
        if tag is None:
            end = "-->" if text.startswith("<!--", start) else ">"
            found = text.find(end, start)
            position = found + len(end) if found >= 0 else len(text)
            continue
        name = tag[1].lower()
        if name in _BLOCKS:
            pieces.append("\n")
        position = next((match.end() for match in _TAG_END.finditer(text, tag.end()) if match[0] == ">"), len(text))
        if name in _RAW and not tag[0].startswith("</"):
            closing = _RAW[name].search(text, position)
            position = closing.start() if closing else len(text)
    pieces.append(_plain_html(text[position:]))
    lines = re.sub(" ?\n ?", "\n", re.sub(" {2,}", " ", "".join(pieces)))
    return re.sub("\n{3,}", "\n\n", lines).strip()


def _plain_html(text: str) -> str:
    text = _BLANKS.sub(" ", text)
    if "&" not in text:
        return text
    # html.unescape gives up on numbers of thousands of digits, and no character has more than seven
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)).replace("\xa0", " ")


def _plain(function: Filter) -> Callable[[], Filter]:
    return lambda: function


FILTERS: Mapping[str, _Kind] = {
    "upper": _Kind("upper", _plain(str.upper), text=True),
    "lower": _Kind("lower", _plain(str.lower), text=True),
    "trim": _Kind("trim", _plain(str.strip), text=True),
    "truncate": _Kind('truncate:80 or truncate:80,"…"', _truncate, 1, 2, text=True, reads=False),
    "default": _Kind('default:"none"', _default, 1, 1, reads=False),
    "date": _Kind('date:"%d.%m.%Y %H:%M" or date:"%H:%M","Europe/Paris"', _date, 1, 2),
    "json": _Kind("json", _plain(lambda value: dump_json(value).decode())),
    "urlencode": _Kind("urlencode", _plain(lambda text: quote(text, safe="", errors="replace")), text=True),
    "number": _Kind("number or number:2", _number, 0, 1),
    "replace": _Kind('replace:"old","new"', _replace, 2, 2, text=True),
    "first": _Kind("first", _plain(_first), reads=False),
    "last": _Kind("last", _plain(_last), reads=False),
    "join": _Kind('join or join:", "', _join, 0, 1),
    "length": _Kind("length", _plain(_length), reads=False),
    "strip_html": _Kind("strip_html", _plain(strip_html), text=True),
}
