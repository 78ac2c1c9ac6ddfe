"""The closed list of pure filters."""

import html
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from urllib.parse import quote

from area.kit.budget import MAX_TEXT, Budget
from area.kit.decoding import parse_json
from area.kit.sentences import Number, Sentence
from area.kit.template.dates import date_filter
from area.kit.template.html import strip_html
from area.kit.template.reading import SHOWN, Argument, Path, PlacedError, read_path
from area.kit.template.values import BadArgument, Filter, Unfit, argument_text, as_paid_text, as_text, is_empty, to_json

Function = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A filter: its syntax, its factory, its number of arguments, and whether it takes text."""

    usage: str
    build: Callable[..., Filter]
    least: int = 0
    most: int = 0
    text: bool = False


def _argument_int(value: Argument, what: Sentence, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadArgument(
            Sentence(
                "%(what)s must be a whole number from %(least)s to %(most)s.", what=what, least=least, most=Number(most)
            )
        )
    return value


def _plain(function: Function, characters: int, of_ascii: int = 64) -> Callable[[], Filter]:
    """A filter that processes that many characters per step."""

    def apply(text: str, budget: Budget) -> str:
        budget.spend(2 + len(text) // (of_ascii if text.isascii() else characters))
        return function(text)

    return lambda: apply


def _bounded(size: int) -> int:
    """The size of a text that is about to be created. Raises `Unfit`."""
    if size > MAX_TEXT:
        raise Unfit(
            Sentence(
                "the text would have %(size)s characters, %(most)s are allowed.",
                size=Number(size),
                most=Number(MAX_TEXT),
            )
        )
    return size


def _truncate(length: Argument, end: Argument = "…") -> Filter:
    size = _argument_int(length, Sentence("the length"), 1, MAX_TEXT)
    tail = argument_text(end, Sentence("the end"))
    if len(tail) > size:
        raise BadArgument(Sentence("the end is longer than the whole."))

    def truncate(text: str, budget: Budget) -> str:
        if len(text) <= size:
            return text
        budget.spend(2 + (size >> 6))
        return text[: size - len(tail)].rstrip() + tail

    return truncate


def _default(fallback: Argument) -> Filter:
    return lambda value, _: fallback if is_empty(value) else value


def _replace(old: Argument, new: Argument) -> Filter:
    sought, other = argument_text(old, Sentence("what to replace")), argument_text(new, Sentence("the replacement"))
    if not sought:
        raise BadArgument(Sentence("what to replace must not be empty."))

    def replace(text: str, budget: Budget) -> str:
        budget.spend(2 + (len(text) >> 4))
        # counted first, so that a text that would be too large is never created
        number = text.count(sought)
        size = _bounded(len(text) + number * (len(other) - len(sought)))
        budget.spend(number // 4 + (size >> 5))
        return text.replace(sought, other)

    return replace


def _join(separator: Argument = ", ") -> Filter:
    between = argument_text(separator, Sentence("what stands between"))

    def join(value: Any, budget: Budget) -> str:
        if not isinstance(value, list | tuple):
            return as_paid_text(value, budget)
        budget.spend(2 + 4 * len(value))
        pieces = []
        size = 0
        for item in value:
            text = item if type(item) is str else as_paid_text(item, budget)
            size = _bounded(size + len(text) + len(between))
            pieces.append(text)
        budget.spend(size >> 5)
        return between.join(pieces)

    return join


def _raw(value: Any, _: Budget) -> Any:
    return value


def _first(value: Any, _: Budget) -> Any:
    return (value[0] if value else None) if isinstance(value, list | tuple | str) else value


def _last(value: Any, _: Budget) -> Any:
    return (value[-1] if value else None) if isinstance(value, list | tuple | str) else value


def _length(value: Any, budget: Budget) -> int:
    return len(value if isinstance(value, str | list | tuple | dict) else as_paid_text(value, budget))


_NUMERIC = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_NUMBER = 1000  # characters of a text, white space included
_EXACT = Context(prec=1000)


def _number(decimals: Argument = None) -> Filter:
    if decimals is None:
        return _to_number
    places = Decimal(1).scaleb(-_argument_int(decimals, Sentence("the number of decimals"), 0, 20))

    def number(value: Any, budget: Budget) -> str:
        parsed = _to_number(value, budget)
        if parsed is None:
            return ""
        # half up, as people learn it, of the written number rather than its binary neighbor
        rounded = Decimal(as_text(parsed)).quantize(places, ROUND_HALF_UP, _EXACT)
        return format(abs(rounded) if rounded.is_zero() else rounded, "f")

    return number


def _to_number(value: Any, budget: Budget) -> int | float | None:
    budget.spend(60)
    if isinstance(value, bool):
        raise Unfit(Sentence("%(value)s is not a number.", value=as_text(value)))
    if is_empty(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST):
        return value
    if isinstance(value, int):
        raise Unfit(Sentence("a number of more than 400 digits is too large."))
    if isinstance(value, dict | list | tuple):
        raise Unfit(Sentence("a list or an object is not a number."))
    text = as_text(value)
    parsed = _NUMERIC.fullmatch(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    if parsed is None:
        raise Unfit(Sentence('"%(text)s" is not a number.', text=text[:SHOWN]))
    if not math.isfinite(number := float(parsed[0])):
        raise Unfit(Sentence('"%(text)s" is too large.', text=text[:SHOWN]))
    return int(parsed[0]) if parsed[0].lstrip("+-").isdigit() else number


def _parse_json(path: Argument = None) -> Filter:
    steps = None if path is None else _steps(argument_text(path, Sentence("the path")))

    def parse(value: Any, budget: Budget) -> Any:
        if isinstance(value, str):
            if is_empty(value):
                return None
            # each value takes as much memory as many characters
            budget.spend(20 + len(value) // 4 + 8 * sum(map(value.count, ",:[{")))
            try:
                value = parse_json(value)
            except ValueError as error:
                raise Unfit(Sentence('"%(text)s" is not JSON.', text=value[:SHOWN])) from error
        return value if steps is None else steps.find({_ROOT: value})

    return parse


def _steps(text: str) -> Path:
    """The path `text`, within a value."""
    if not text:
        raise BadArgument(Sentence("the path must not be empty."))
    whole = _ROOT + (text if text.startswith("[") else f".{text}")
    try:
        path, end = read_path(whole, 0, PlacedError)
    except PlacedError as error:
        raise BadArgument(Sentence('"%(text)s" is not a path, such as issue.title.', text=text[:SHOWN])) from error
    if end < len(whole):
        raise BadArgument(Sentence('"%(text)s" is not a path, such as issue.title.', text=text[:SHOWN]))
    return path


_ROOT = "value"
_LARGEST = 10**400
_SAFE = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-.~"


def url_encoded(text: str, budget: Budget) -> str:
    """`text` as one part of a URL (RFC 3986, unreserved characters stay)."""
    raw = text.encode(errors="replace")
    budget.spend(2 + (len(raw) >> 5))
    unsafe = len(raw.translate(None, _SAFE))
    if not unsafe:
        return text
    budget.spend(_bounded(len(raw) + 2 * unsafe) // 2)
    return quote(raw, safe="")


def path_encoded(text: str, budget: Budget) -> str:
    """`text` as part of a URL's path: one segment, or a piece of one."""
    if text in (".", ".."):
        raise Unfit(Sentence('"%(text)s" can\'t be a part of a path.', text=text))
    return url_encoded(text, budget)


def host_checked(text: str, budget: Budget) -> str:
    """`text` as part of a URL's host, including the port."""
    budget.spend(2 + len(text))
    if not all(character.isalnum() or character in "-._:[]" for character in text):
        raise Unfit(Sentence('"%(text)s" can\'t be a part of a host.', text=text[:SHOWN]))
    return text


# https://core.telegram.org/bots/api#markdownv2-style, and the beginnings of HTML and references in
# https://spec.commonmark.org/0.31.2/#backslash-escapes; both allow escaping any of them
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\_*[]()~`>#+-=|{}.!<&"})


def escape_markdown(text: str, budget: Budget) -> str:
    """`text` with a backslash before each special character."""
    budget.spend(2 + len(text) // 2)
    return text.translate(_MARKDOWN)


FILTERS: Mapping[str, Kind] = {
    "upper": Kind("upper", _plain(str.upper, 4), text=True),
    "lower": Kind("lower", _plain(str.lower, 2), text=True),
    "trim": Kind("trim", _plain(str.strip, 64), text=True),
    "truncate": Kind('truncate:80 or truncate:80,"…"', _truncate, 1, 2, text=True),
    "default": Kind('default:"none"', _default, 1, 1),
    "date": Kind('date:"%d.%m.%Y %H:%M" or date:"%H:%M","Europe/Paris"', date_filter, 1, 2),
    "json": Kind("json", lambda: to_json),
    "parse_json": Kind('parse_json or parse_json:"issue.title"', _parse_json, 0, 1),
    "urlencode": Kind("urlencode", lambda: url_encoded, text=True),
    "raw": Kind("raw", lambda: _raw),
    "escape_html": Kind("escape_html", _plain(html.escape, 2, 2), text=True),
    "escape_markdown": Kind("escape_markdown", lambda: escape_markdown, text=True),
    "escape_slack": Kind("escape_slack", _plain(lambda text: html.escape(text, quote=False), 2, 2), text=True),
    "number": Kind("number or number:2", _number, 0, 1),
    "replace": Kind('replace:"old","new"', _replace, 2, 2, text=True),
    "first": Kind("first", lambda: _first),
    "last": Kind("last", lambda: _last),
    "join": Kind('join or join:", "', _join, 0, 1),
    "length": Kind("length", lambda: _length),
    "strip_html": Kind("strip_html", lambda: strip_html, text=True),
}
