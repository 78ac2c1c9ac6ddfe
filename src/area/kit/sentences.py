"""Sentences for people: English in the code, and in the reader's language wherever they are shown.

A `Sentence` is its English text, so that it passes through exceptions, logs, models, JSON and the database like any
text. It also carries its parts: the English with `%(name)s` for values, which is the key of its translation (as in
gettext), and the values, which may be sentences themselves.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from area.kit import language

MAX_DEPTH = 10  # of nested sentences
# IANA zones that are named after a city
REGIONS = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
)  # fmt: skip

_PLACE = re.compile(r"%\((\w+)\)s")


class Number(int):
    """A count or a size, written in groups of three: `65,536`. Not for numbers that are names."""

    @override
    def __str__(self) -> str:
        return f"{self:,}"


class Moment(str):
    """An instant in a sentence, in UTC unless the reader's time zone is known."""

    __slots__ = ("at",)

    at: datetime

    def __new__(cls, at: datetime) -> Self:
        """The instant, which is aware."""
        form = "%Y-%m-%d %H:%M:%S UTC" if at.second else "%Y-%m-%d %H:%M UTC"
        self = super().__new__(cls, at.astimezone(UTC).strftime(form))
        self.at = at
        return self

    @override
    def __getnewargs__(self) -> tuple[datetime]:  # type: ignore[override] # copied and pickled by the instant
        return (self.at,)


def local_time(at: datetime, lang: str, zone: str) -> str:
    """A date and time with its zone: `1 Dec 2026, 08:00 (Paris time)`."""
    from babel.dates import format_datetime  # loaded where a time is shown, which the command line rarely does

    local = at.astimezone(ZoneInfo(zone))
    form = "d MMM y, HH:mm:ss" if local.second else "d MMM y, HH:mm"
    return f"{format_datetime(local, form, locale=lang)} ({zone_name(zone, lang)})"


def zone_name(zone: str, lang: str) -> str:
    """How people call a time zone: `Paris time`."""
    region, _, city = zone.rpartition("/")
    if region.partition("/")[0] not in REGIONS:
        return zone
    return Sentence("%(city)s time", city=city.replace("_", " ")).translated(lang)


class Sentence(str):
    """An English sentence, made from `message` and the values of its `%(name)s`.

    An exception among the values stands for its message. A sentence stays one: `Sentence(str(error))`.
    """

    __slots__ = ("key", "plural", "values")

    key: str
    plural: str
    values: "Mapping[str, Sentence | Number | Moment | str]"

    def __new__(cls, message: str = "", /, **values: object) -> Self:
        """A sentence without a plural."""
        if isinstance(message, cls) and not values:
            return message
        return cls.made(message, "", values)

    @classmethod
    def made(cls, key: str, plural: str, values: Mapping[str, object]) -> Self:
        """A sentence whose `plural`, if it has one, is used for every `number` but 1."""
        converted = {name: _value(value) for name, value in values.items()}
        many = plural and converted.get("number") != 1
        self = super().__new__(cls, _filled(plural if many else key, converted))
        self.key, self.plural, self.values = str.__str__(key), plural, converted
        return self

    @override
    def __str__(self) -> str:
        """The sentence itself, so that `str(error)` of an exception with a sentence is that sentence."""
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """A text, which stays a sentence if it is one."""
        return core_schema.no_info_wrap_validator_function(
            lambda value, check: value if isinstance(value, cls) else cls(check(value)), core_schema.str_schema()
        )

    def translated(self, lang: str, zone: str = "") -> str:
        """The text in a language of `area.kit.language`; English if there is no translation. Moments in it are in
        `zone`, an IANA name, if given.
        """
        if (lang == "en" and not zone) or not self.key:
            return str.__str__(self)
        words, number = language.translations(lang), self.values.get("number")
        plural = self.plural and isinstance(number, int)
        text = words.ngettext(self.key, self.plural, int(number or 0)) if plural else words.gettext(self.key)
        return _filled(text, {name: _said(value, lang, zone) for name, value in self.values.items()})

    def dumped(self) -> dict[str, Any]:
        """As JSON: `{"key": "…", "values": {"name": "…"}}`, with `plural` if it has one. The inverse of `read`."""
        values = {name: _dumped(value) for name, value in self.values.items()}
        return {"key": self.key, **({"plural": self.plural} if self.plural else {}), "values": values}


def counted(singular: str, plural: str, number: int, /, **values: object) -> Sentence:
    """A sentence about a `%(number)s` of things."""
    return Sentence.made(singular, plural, {"number": Number(number), **values})


def joined(sentences: Iterable[str]) -> Sentence:
    """Sentences after each other, without empty ones."""
    text = Sentence()
    for sentence in filter(None, sentences):
        text = Sentence("%(first)s %(second)s", first=text, second=sentence) if text else Sentence(sentence)
    return text


class SentenceError(Exception):
    """An exception whose message is a sentence for people; `str()` returns that `Sentence`."""

    def __init__(self, message: str = "", /, **values: object) -> None:
        super().__init__(Sentence(message, **values))


@cache
def gettext(lang: str) -> Callable[..., str]:
    """A function that translates a text of the code, or a `Sentence`, and fills in `%(name)s` from keywords."""

    def say(message: str, /, **values: object) -> str:
        return Sentence(message, **values).translated(lang)

    return say


def changed(text: str, change: Callable[[str], str]) -> str:
    """The text with its values changed, such as secrets masked; a text that is no sentence is changed as a whole."""
    if not isinstance(text, Sentence) or not text.values:
        return change(text)
    values = {
        name: value if isinstance(value, Number | Moment) else changed(value, change)
        for name, value in text.values.items()
    }
    return Sentence.made(text.key, text.plural, values)


def read(value: object, depth: int = 0) -> Sentence | None:
    """The sentence that `Sentence.dumped` wrote; None for anything else."""
    if depth > MAX_DEPTH or not isinstance(value, dict) or not isinstance(value.get("key"), str):
        return None
    values, plural = value.get("values"), value.get("plural")
    parts = {str(name): _read(part, depth) for name, part in values.items()} if isinstance(values, dict) else {}
    return Sentence.made(value["key"], plural if isinstance(plural, str) else "", parts)


def parts_of(text: str | None) -> dict[str, Any] | None:
    """What a sentence is made of, to store beside its English text; None for a text that is no sentence."""
    return text.dumped() if isinstance(text, Sentence) and text.key else None


def from_parts(parts: object, text: str | None) -> Sentence | None:
    """A stored text as the sentence it was. Parts that don't make this text are ignored: an older version of AREA may
    have stored the text alone.
    """
    sentence = read(parts)
    if sentence is not None and sentence == text:
        return sentence
    return None if text is None else Sentence(text)


def _value(value: object) -> "Sentence | Number | Moment | str":
    if isinstance(value, Exception):
        value = str(value)
    return value if isinstance(value, Sentence | Number | Moment) else str(value)


def _filled(text: str, values: Mapping[str, object]) -> str:
    """The text with each `%(name)s` filled in. Not by `%`, which would follow any instruction in a stored text."""
    if not values:
        return str.__str__(text)
    return _PLACE.sub(lambda match: str.__str__(str(values.get(match[1], match[0]))), text)


def _said(value: "Sentence | Number | Moment | str", lang: str, zone: str) -> str:
    if isinstance(value, Sentence):
        return value.translated(lang, zone)
    if isinstance(value, Moment) and zone:
        return local_time(value.at, lang, zone)
    if isinstance(value, Number):
        from babel.numbers import format_decimal

        return format_decimal(int(value), locale=lang)
    return value


def _dumped(value: "Sentence | Number | Moment | str") -> Any:
    if isinstance(value, Sentence):
        return value.dumped()
    if isinstance(value, Moment):
        return {"moment": value.at.isoformat()}
    return int(value) if isinstance(value, Number) else value


def _read(value: object, depth: int) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return Number(value)
    if isinstance(value, dict) and isinstance(value.get("moment"), str):
        with suppress(ValueError):
            return Moment(datetime.fromisoformat(value["moment"]))
    return read(value, depth + 1) or str(value)
