"""The closed list of pure filters."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from urllib.parse import quote

from area.kit.template.dates import date_filter
from area.kit.template.html import strip_html
from area.kit.template.reading import SHOWN, Argument
from area.kit.template.values import BadArgument, Filter, Unfit, argument_text, as_text, is_empty
from area.kit.text import dump_json

MAX_VALUE = 262_144  # characters of a text that goes into the result or comes out of a filter


@dataclass(frozen=True, slots=True)
class Kind:
    """A filter: how it is written, what makes it from its arguments, how many those are, and the two marks of `_Step`."""

    usage: str
    build: Callable[..., Filter]
    least: int = 0
    most: int = 0
    text: bool = False
    reads: bool = True


def _argument_int(value: Argument, what: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadArgument(f"{what} must be a whole number from {least} to {most:,}.")
    return value


def _truncate(length: Argument, end: Argument = "…") -> Filter:
    size = _argument_int(length, "the length", 1, MAX_VALUE)
    tail = argument_text(end, "the end")
    if len(tail) > size:
        raise BadArgument("the end is longer than the whole.")

    def truncate(text: str) -> str:
        return text if len(text) <= size else text[: size - len(tail)].rstrip() + tail

    return truncate


def _default(fallback: Argument) -> Filter:
    return lambda value: fallback if is_empty(value) else value


def _replace(old: Argument, new: Argument) -> Filter:
    wanted, other = argument_text(old, "what to replace"), argument_text(new, "the replacement")
    if not wanted:
        raise BadArgument("what to replace must not be empty.")

    def replace(text: str) -> str:
        # counted first, so that what would be too large is never made
        size = len(text) + text.count(wanted) * (len(other) - len(wanted))
        if size > MAX_VALUE:
            raise Unfit(f"the replaced text would have {size:,} characters, {MAX_VALUE:,} are allowed.")
        return text.replace(wanted, other)

    return replace


def _join(separator: Argument = ", ") -> Filter:
    between = argument_text(separator, "what stands between")

    def join(value: Any) -> str:
        if not isinstance(value, list | tuple):
            return as_text(value)
        pieces = []
        size = 0
        for item in value:
            text = as_text(item)
            size += len(text) + len(between)
            if size > MAX_VALUE + len(between):
                raise Unfit(f"the joined text would have more than the {MAX_VALUE:,} characters that are allowed.")
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
        raise Unfit(f"{as_text(value)} is no number.")
    if is_empty(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return value
    text = as_text(value)
    if not _NUMERIC.fullmatch(text):
        raise Unfit(f'"{text[:SHOWN]}" is no number.')
    parsed = float(text)
    if not math.isfinite(parsed):
        raise Unfit(f'"{text[:SHOWN]}" is too large a number.')
    return int(text) if text.strip().lstrip("+-").isdigit() else parsed


def _plain(function: Filter) -> Callable[[], Filter]:
    return lambda: function


FILTERS: Mapping[str, Kind] = {
    "upper": Kind("upper", _plain(str.upper), text=True),
    "lower": Kind("lower", _plain(str.lower), text=True),
    "trim": Kind("trim", _plain(str.strip), text=True),
    "truncate": Kind('truncate:80 or truncate:80,"…"', _truncate, 1, 2, text=True, reads=False),
    "default": Kind('default:"none"', _default, 1, 1, reads=False),
    "date": Kind('date:"%d.%m.%Y %H:%M" or date:"%H:%M","Europe/Paris"', date_filter, 1, 2),
    "json": Kind("json", _plain(lambda value: dump_json(value).decode())),
    "urlencode": Kind("urlencode", _plain(lambda text: quote(text, safe="", errors="replace")), text=True),
    "number": Kind("number or number:2", _number, 0, 1),
    "replace": Kind('replace:"old","new"', _replace, 2, 2, text=True),
    "first": Kind("first", _plain(_first), reads=False),
    "last": Kind("last", _plain(_last), reads=False),
    "join": Kind('join or join:", "', _join, 0, 1),
    "length": Kind("length", _plain(_length), reads=False),
    "strip_html": Kind("strip_html", _plain(strip_html), text=True),
}
