"""Instants, durations and delays: what users write about time, and what it means in their time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from area.kit import language
from area.kit.sentences import Sentence, SentenceError
from area.kit.text import did_you_mean

MAX_DURATION = timedelta(days=366)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MAX_TEXT = 100
_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "hours": ("h", "hr", "hrs", "hour", "hours"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "week", "weeks"),
}
_UNIT = {word: unit for unit, words in _UNITS.items() for word in words}
_NO_FIXED_LENGTH = {"mo", "month", "months", "y", "yr", "year", "years"}
_PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)(?![\d.])\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_NUMBER = r"(\d{1,9}(?:[.,]\d{1,6})?)"
_ISO = re.compile(
    rf"P(?=.)(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)
_TIME = r"\d{1,2}(?:\s?(?:[:.]\s?|h\s?)\d{2}(?::00)?|\s?h)?(?:\s?[ap]\.?m\.?)?"
_CLOCK = re.compile(r"(\d{1,2})(?:\s?([:.h])\s?(\d{2})?(?::00)?)?(?:\s?([ap])\.?m\.?)?", re.ASCII | re.IGNORECASE)
_UNTIL = re.compile(rf"(?:until\s+)?(?:([^\W\d]+\.?)\s+)?({_TIME})(?:\s+(\S+))?", re.IGNORECASE)


class BadTime(SentenceError, ValueError):
    """A duration, delay or time zone that can't be parsed. The message says how to write it."""


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


@cache
def zone_names() -> frozenset[str]:
    """The names of the IANA database; reading them takes 8 ms, once."""
    return frozenset(available_timezones())


def zone_named(name: str) -> ZoneInfo:
    """The time zone `name` of the IANA database, such as Europe/Paris. Raises `BadTime` if there is none."""
    if name not in zone_names():
        raise BadTime(
            Sentence(
                'There is no time zone "%(name)s"%(hint)s',
                name=name[:_MAX_TEXT],
                hint=did_you_mean(name, zone_names()),
            )
        )
    return ZoneInfo(name)


def parse_duration(text: str) -> timedelta:
    """Parse a duration of 0 to 366 days: `90` (seconds), `90s`, `5m`, `1h30m`, `2 days`, `1.5 hours` or ISO 8601
    `PT5M`.

    Units are seconds, minutes, hours, days and weeks, in full or short, each at most once. Months and years have no
    fixed length and are refused. Raises `BadTime`.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > _MAX_TEXT:
        raise BadTime(Sentence("Enter a duration such as 90s, 5m, 1h30m or 2 days."))
    parts = _iso_parts(stripped) if stripped[0] in "Pp" else _plain_parts(stripped)
    duration = timedelta(**parts)
    if duration > MAX_DURATION:
        raise BadTime(
            Sentence(
                '"%(given)s" is too long. The maximum is %(days)s days.',
                given=stripped,
                days=MAX_DURATION.days,
            )
        )
    return duration


def _iso_parts(given: str) -> dict[str, float]:
    match = _ISO.fullmatch(given.upper())
    if match is None:
        raise BadTime(
            Sentence(
                '"%(given)s" is not an ISO 8601 duration of weeks, days, hours, minutes and seconds. Enter one such'
                " as P1DT12H.",
                given=given,
            )
        )
    units = ("weeks", "days", "hours", "minutes", "seconds")
    return {unit: float(part.replace(",", ".")) for unit, part in zip(units, match.groups(), strict=True) if part}


def _plain_parts(given: str) -> dict[str, float]:
    parts: dict[str, float] = {}
    position = 0
    while position < len(given):
        match = _PART.match(given, position)
        if match is None:
            raise BadTime(
                Sentence('"%(given)s" is not a duration. Enter one such as 90s, 5m, 1h30m or 2 days.', given=given)
            )
        number, word = match.groups()
        unit = _UNIT.get(word.lower())
        if not word and match.end() == len(given) and not parts:
            unit = "seconds"
        if unit is None:
            raise BadTime(_no_unit(given, number, word))
        if unit in parts:
            raise BadTime(Sentence('"%(given)s" has %(unit)s twice.', given=given, unit=unit))
        parts[unit] = float(number)
        position = match.end()
    return parts


def _no_unit(given: str, number: str, word: str) -> str:
    if not word:
        return Sentence('"%(given)s": %(number)s needs a unit: s, m, h, d or w.', given=given, number=number)
    if word.lower() in _NO_FIXED_LENGTH:
        return Sentence('"%(given)s": %(word)s has no fixed length. Use days instead.', given=given, word=word)
    return Sentence('"%(given)s": "%(word)s" is not a unit. Use s, m, h, d or w.', given=given, word=word)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long a reaction waits: for a `duration`, or until the next `hour`:`minute` (on `weekday`, 0 is Monday) in
    `zone`.
    """

    duration: timedelta = timedelta()
    hour: int | None = None
    minute: int = 0
    weekday: int | None = None
    zone: tzinfo = UTC

    def due(self, after: datetime) -> datetime:
        """When an event of `after` (aware) is due, in UTC. A time of day is strictly later than `after`."""
        if self.hour is None:
            return after.astimezone(UTC) + self.duration
        return next_local_time(after, self.hour, self.minute, self.zone, self.weekday)


def parse_time(text: str) -> tuple[int, int]:
    """Hour and minute of a time of day: `09:00`, `9:30`, `8am`, `8:30 pm`, `8h` or `8h30`. Raises `BadTime`."""
    match = _CLOCK.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if match is None or (match[2] is None and match[4] is None) or (match[2] in (":", ".") and match[3] is None):
        raise BadTime(
            Sentence(
                '"%(text)s" is not a time of day. Enter hours and minutes, such as 09:00 or 18:30.',
                text=text[:_MAX_TEXT],
            )
        )
    hour, minute, half = int(match[1]), int(match[3] or 0), (match[4] or "").lower()
    if minute > 59 or hour > 23 or (half and not 1 <= hour <= 12):
        raise BadTime(Sentence('"%(text)s" is not a time of day. Use 00:00 to 23:59.', text=text.strip()))
    return (hour % 12 + (12 if half == "p" else 0) if half else hour), minute


def parse_delay(text: str, zone: tzinfo | str) -> Delay:
    """Parse a duration, or a time of day as `parse_time` does, on a day of the week or not: `until 18:00`, `18:00` or
    `until monday 9am`. The time is in `zone` unless one follows, as in `until 09:00 UTC`.

    Raises `BadTime`.
    """
    stripped = text.strip()
    match = _UNTIL.fullmatch(stripped) if len(stripped) <= _MAX_TEXT else None
    if stripped[:5].lower() != "until" and (match is None or not _is_time(match[2])):
        return Delay(duration=parse_duration(stripped))
    if match is None:
        raise BadTime(
            Sentence(
                "Enter until and a 24-hour time, such as until 09:00, until monday 09:00 or until 09:00 Europe/Paris."
            )
        )
    day, clock, named = match.groups()
    hour, minute = parse_time(clock)
    chosen = named or zone
    return Delay(
        hour=hour,
        minute=minute,
        weekday=None if day is None else weekday(day),
        zone=zone_named(chosen) if isinstance(chosen, str) else chosen,
    )


def _is_time(text: str) -> bool:
    """Whether it can't be a duration, as `8h`, `8h30` and `1.50` can: `8am`, `8:30`."""
    return ":" in text or text.lower().rstrip(".").endswith("m")


@cache
def _day_words() -> dict[str, int]:
    """The days of the week by their names, long and short, in every language of the pages."""
    from babel.dates import get_day_names  # loaded where a day is read

    words: dict[str, int] = {}
    for lang in language.NAMES:
        for width in ("abbreviated", "short", "wide"):
            names = get_day_names(width, locale=lang)
            words |= {_folded(names[number]): number for number in range(7) if len(names[number]) > 2}
    return words | {name[:length]: number for number, name in enumerate(WEEKDAYS) for length in range(3, len(name) + 1)}


def _folded(word: str) -> str:
    return word.casefold().rstrip(".")


def weekday(word: str) -> int:
    """The number of a day of the week, 0 for Monday, by its name in a language of the pages. Raises `BadTime`."""
    number = _day_words().get(_folded(word))
    if number is not None:
        return number
    raise BadTime(Sentence('"%(word)s" is not a day of the week%(hint)s', word=word, hint=did_you_mean(word, WEEKDAYS)))


def next_local_time(after: datetime, hour: int, minute: int, zone: tzinfo, weekday: int | None = None) -> datetime:
    """The first instant strictly after `after` (aware) at which clocks in `zone` show that time, in UTC.

    A time that is skipped when clocks go forward counts as the first instant after the gap. One that occurs twice when
    they go back counts the first time only. `weekday`: 0 (Monday) to 6, or None for any day.
    """
    after = after.astimezone(UTC)
    start = after.astimezone(zone).date()
    # a week, one day more if today's time is over, and another for a zone that skips a day
    for days in range(9):
        day = start + timedelta(days=days)
        if weekday is not None and day.weekday() != weekday:
            continue
        instant = _instant(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))
        if instant > after:
            return instant
    raise AssertionError("a week has every day and every time of day")


def _instant(local: datetime) -> datetime:
    """The instant, in UTC, of a local time: the first of two, or the end of the gap that contains it."""
    instant = local.replace(fold=0).astimezone(UTC)
    if instant.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # in a gap: with the offset after it the time is before the gap, and vice versa
    before, offset_after = local.replace(fold=1).astimezone(UTC), instant.astimezone(local.tzinfo).utcoffset()
    while instant - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(instant - before) // timedelta(seconds=2))
        if middle.astimezone(local.tzinfo).utcoffset() == offset_after:
            instant = middle
        else:
            before = middle
    return instant
