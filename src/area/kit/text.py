"""Suggestions for misspelled names, and texts and JSON that PostgreSQL accepts."""

import difflib
import math
import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from area.kit.sentences import Sentence, parts_of

MAX_DEPTH = 100
TOO_DEEP = f"[left out: nested more than {MAX_DEPTH} levels deep]"

_REPLACEMENT = "\ufffd"
_LONGEST_WORD = 100  # difflib takes quadratic time
_MOST_NAMES = 1000
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # the integers that orjson writes
_SURROGATE = re.compile("[\ud800-\udfff]")
# control characters (C0, C1), line and paragraph separators, and overrides of the writing direction (UAX #9)
UNPRINTABLE = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # for a regular expression
_UNPRINTABLE = re.compile(f"[{UNPRINTABLE}]")
_STEERING = re.compile(f"[{UNPRINTABLE}\ud800-\udfff]")


def nearest(word: str, names: Collection[str]) -> str | None:
    """The name that `word` probably means, ignoring case; None if none is close.

    Of dotted names, those of the same service are compared by what follows the dot: `timer.` alone makes none close.
    """
    if len(word) > _LONGEST_WORD:
        return None
    by_lower = {name.lower(): name for name in sorted(names)[:_MOST_NAMES]}
    service, dot, rest = word.lower().rpartition(".")
    siblings = {name.removeprefix(service + dot): name for name in by_lower if dot and name.startswith(service + dot)}
    if not siblings:
        siblings, rest = {name: name for name in by_lower}, word.lower()
    begun = [name for name in siblings if dot and (rest.startswith(name) or name.startswith(rest))]
    close = begun or difflib.get_close_matches(rest, siblings, n=1, cutoff=0.6)
    return by_lower[siblings[close[0]]] if close else None


def did_you_mean(word: str, names: Collection[str]) -> Sentence:
    """The end of a sentence: `; did you mean "title"?`, or a full stop if no name is close."""
    name = nearest(word, names)
    return Sentence(".") if name is None else Sentence('; did you mean "%(name)s"?', name=name)


def listing(sentence: Sentence, hint: Sentence, names: str) -> Sentence:
    """A sentence that ends in a `hint` of `did_you_mean`, and goes on with the `names` there are if none is close."""
    if hint != "." or not names:
        return sentence
    return Sentence("%(sentence)s Available: %(names)s.", sentence=sentence, names=names)


def one_line(text: str) -> str:
    """`text` with line breaks, control characters and direction overrides as spaces, and runs of spaces as one."""
    return " ".join(_UNPRINTABLE.sub(" ", clean_text(text)).split())


def check_line(text: str) -> str:
    """The text itself. Raises `ValueError` if it contains what `one_line` removes, which names must not."""
    if _UNPRINTABLE.search(text):
        raise ValueError(Sentence("Remove line breaks and invisible control characters."))
    return text


def escaped(text: str) -> str:
    r"""`text` for a terminal: what `one_line` removes, and half characters, written as JSON writes them (`\\u001b`)."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def clean_text(text: str) -> str:
    """`text` as UTF-8 and PostgreSQL can store it: NUL and lone surrogates become U+FFFD, surrogate pairs one
    character.
    """
    if not text.isascii() and _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", _REPLACEMENT) if "\0" in text else text


def clean_json(value: Any) -> Any:
    """`value` as plain data that PostgreSQL's jsonb can store.

    Texts go through `clean_text`. Infinity and NaN become null, integers beyond 64 bits text. Anything nested deeper
    than `MAX_DEPTH` containers becomes the text `TOO_DEEP`. Dates and times become ISO 8601, durations seconds, bytes
    UTF-8 or else base64, enumerations their value, models and dataclasses objects, sets lists, keys text (of two equal
    keys the later one stays); anything else becomes its `str()`.
    """
    return _clean(value, 0)


def _clean(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return clean_text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else _digits(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        if depth >= MAX_DEPTH:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return {_key(key): _clean(item, depth + 1) for key, item in value.items()}
        return [_clean(item, depth + 1) for item in value]
    return _clean_other(value, depth)


def _clean_other(value: Any, depth: int) -> Any:
    """A value of a type that JSON doesn't have, converted to one that it has."""
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return _clean(plain(value), depth)
    if is_dataclass(value) and not isinstance(value, type):
        return _clean({field.name: getattr(value, field.name) for field in fields(value)}, depth)
    return clean_text(str(value))


def _bytes(value: bytes | bytearray | memoryview) -> str:
    data = bytes(value)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()


def _digits(value: int) -> str:
    """An integer of any size as text: in hexadecimal if it is too long for Python to write in decimal."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return clean_text(str.__str__(key))
    plain = _clean(key, 0)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


# in this order: an enumeration may be a str, and a datetime is a date
_PLAIN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, timedelta.total_seconds),
    ((bytes, bytearray, memoryview), _bytes),
    (BaseModel, lambda value: dict(BaseModel.__iter__(value))),
)


def dump_json(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8 that PostgreSQL's jsonb accepts.

    What orjson can write goes out at its speed (nested up to 254 levels); the rest goes through `clean_json` first.
    """
    try:
        written = orjson.dumps(value)
    except (
        TypeError
    ):  # orjson's JSONEncodeError: surrogates, big integers, keys that aren't text, too deep, other types
        return orjson.dumps(clean_json(value))
    # an escaped backslash followed by u0000 looks the same here, but cleaning doesn't change it
    return orjson.dumps(clean_json(value)) if b"\\u0000" in written else written


def dump_parts(text: str | None) -> str | None:
    """`parts_of` as JSON, for a statement."""
    parts = parts_of(text)
    return None if parts is None else dump_json(parts).decode()


def dump_model(model: BaseModel) -> bytes:
    """A model's fields as `dump_json` writes them; nested models are written by pydantic."""
    try:
        written = orjson.dumps(model.__dict__, default=_plain)
    except TypeError:
        return orjson.dumps(clean_json(model.model_dump(mode="json")))
    return orjson.dumps(clean_json(orjson.loads(written))) if b"\\u0000" in written else written


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return to_jsonable_python(value)


def folded(text: str) -> str:
    """Text without case and accents, for searching and sorting."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
