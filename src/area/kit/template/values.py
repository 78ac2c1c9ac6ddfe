"""Values as text, and whether they are empty."""

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast

import orjson

from area.kit.budget import MAX_TEXT, Budget
from area.kit.sentences import Number, Sentence, SentenceError
from area.kit.template.reading import SHOWN, Argument, Path, PlacedError, read_path
from area.kit.text import clean_json, dump_json

Filter = Callable[[Any, Budget], Any]
FilterOfTwo = Callable[[Any, Budget, Any], Any]

_BIG = 2**63


def as_text(value: Any) -> str:
    """A value as text.

    None and NaN are empty, booleans `true` and `false`, numbers plain (3.0 is `3`, never with an exponent), dates and
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
    clean = clean_json(value)  # other types, and integers too long to write, become text
    return str(clean) if isinstance(clean, int) else as_text(clean)


def as_paid_text(value: Any, budget: Budget) -> str:
    """Like `as_text`, but spends steps before anything that takes time."""
    if not isinstance(value, dict | list | tuple):
        return as_text(value)
    return to_json(value, budget)


def to_json(value: Any, budget: Budget) -> str:
    """`value` as compact JSON."""
    budget.spend(10)
    if isinstance(value, str):
        budget.spend(len(value) >> 3)
    try:
        written = orjson.dumps(value)
    except TypeError:  # types that orjson doesn't take, and lists and objects nested too deep for it
        written = None
    if written is None or b"\\u0000" in written:
        _spend_for_cleaning(value, budget)
        written = dump_json(value)
    budget.spend(len(written) >> 3)
    return written.decode()


def _spend_for_cleaning(value: Any, budget: Budget) -> None:
    """For `clean_json`, which visits each value."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            budget.spend(5 + (len(value) >> 3))
        elif isinstance(value, Mapping):
            budget.spend(15 * len(value) + 15)
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list | tuple | AbstractSet):
            budget.spend(15 * len(value) + 15)
            waiting += value


def _plain_float(value: float) -> str:
    if not math.isfinite(value):
        return ""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    written = repr(value)
    return format(Decimal(written), "f") if "e" in written else written


_LONGEST_BLANK = 1000  # a longer text counts as not empty without being read


def is_empty(value: Any) -> bool:
    """Whether a value is missing, null, text of only white space, or an empty list or object."""
    if isinstance(value, str):
        return not value or (len(value) <= _LONGEST_BLANK and value.isspace())
    return value is None or (isinstance(value, list | tuple | dict) and not value)


class BadArgument(SentenceError, ValueError):
    """An argument that a filter can't take."""


class Unfit(SentenceError, ValueError):
    """A value that a filter can't take."""


def argument_text(value: Argument, what: Sentence) -> str:
    """The argument, which must be text. Raises `BadArgument`."""
    if not isinstance(value, str):
        raise BadArgument(Sentence("%(what)s must be a text in quotes.", what=what))
    return value


def argument_int(value: Argument, what: Sentence, least: int, most: int) -> int:
    """The argument, which must be a whole number in this range. Raises `BadArgument`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadArgument(
            Sentence(
                "%(what)s must be a whole number from %(least)s to %(most)s.", what=what, least=least, most=Number(most)
            )
        )
    return value


def bounded(size: int) -> int:
    """The size of a text that is about to be created. Raises `Unfit`."""
    if size > MAX_TEXT:
        raise Unfit(
            Sentence(
                "the text would have %(size)s characters; the limit is %(most)s.",
                size=Number(size),
                most=Number(MAX_TEXT),
            )
        )
    return size


def argument_path(value: Argument) -> Path:
    """The argument as a path within a value, for `Path.within`. Raises `BadArgument`."""
    text = argument_text(value, Sentence("the path"))
    if not text:
        raise BadArgument(Sentence("the path must not be empty."))
    whole = _ROOT + (text if text.startswith("[") else f".{text}")
    try:
        path, end = read_path(whole, 0, PlacedError)
    except PlacedError:
        end = -1
    if end < len(whole):
        raise BadArgument(Sentence('"%(text)s" is not a path, such as issue.title.', text=text[:SHOWN]))
    return path


_ROOT = "value"
