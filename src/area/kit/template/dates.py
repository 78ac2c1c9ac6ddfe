"""Dates that the filters `date` and `date_add` understand, and the formats they are written in."""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from area.kit.budget import Budget
from area.kit.clock import BadTime, parse_duration, zone_named
from area.kit.sentences import Sentence
from area.kit.template.reading import Argument
from area.kit.template.values import BadArgument, Filter, Unfit, argument_text, as_text, is_empty

Day = TypeVar("Day", date, datetime)

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# strftime's depend on the platform and its language
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
_CALENDAR = re.compile(r"(\d{1,4})\s*(months?|mo|years?|y)", re.ASCII | re.IGNORECASE)
_MAX_FORMAT = 200
_MAX_DATE = 64
_MILLISECONDS = 1e11  # in seconds this is the year 5138, so larger numbers are milliseconds


def date_filter(form: Argument, zone_name: Argument = None) -> Filter:
    """The filter `date`. Raises `BadArgument`."""
    pieces = _format(argument_text(form, Sentence("the format")))
    try:
        zone = None if zone_name is None else zone_named(argument_text(zone_name, Sentence("the time zone")))
    except BadTime as error:
        raise BadArgument(str(error)) from error

    def show(value: Any, budget: Budget) -> str:
        at = _given(value, budget)
        if at is None:
            return ""
        try:
            if isinstance(at, datetime):
                local = at.astimezone(zone) if zone else at
            else:
                local = datetime(at.year, at.month, at.day, tzinfo=zone or UTC)  # a day is the same day in every zone
            return "".join(piece if isinstance(piece, str) else piece(local) for piece in pieces)
        except (OverflowError, ValueError) as error:
            raise Unfit(
                Sentence('"%(value)s" is out of the range of dates.', value=as_text(value)[:_MAX_DATE])
            ) from error

    return show


def date_add_filter(duration: Argument, zone_name: Argument = None) -> Filter:
    """The filter `date_add`. Raises `BadArgument`."""
    written = argument_text(duration, Sentence("the duration")).strip()
    sign = -1 if written.startswith("-") else 1
    plain = written.lstrip("+-").strip()
    months = _CALENDAR.fullmatch(plain)
    try:
        shift = timedelta() if months else sign * parse_duration(plain)
        zone = None if zone_name is None else zone_named(argument_text(zone_name, Sentence("the time zone")))
    except BadTime as error:
        raise BadArgument(str(error)) from error
    number = 0 if months is None else sign * int(months[1]) * (1 if months[2].lower().startswith("m") else 12)

    def add(value: Any, budget: Budget) -> str:
        at = _given(value, budget)
        if at is None:
            return ""
        try:
            if not isinstance(at, datetime):
                if not shift % timedelta(days=1):
                    return (_months_later(at, number) + shift).isoformat()
                at = datetime(at.year, at.month, at.day, tzinfo=zone or UTC)
            local = _months_later(at.astimezone(zone) if zone else at, number)
            # days are those of the calendar, hours those of the clock
            days = timedelta(days=shift.days)
            instant = (local + days).astimezone(UTC) + (shift - days)
            return instant.astimezone(local.tzinfo).isoformat()
        except (OverflowError, ValueError) as error:
            raise Unfit(
                Sentence('"%(value)s" is out of the range of dates.', value=as_text(value)[:_MAX_DATE])
            ) from error

    return add


def _months_later(day: Day, number: int) -> Day:
    """The same day so many months later, or the last of a shorter month. Raises `ValueError` out of range."""
    if not number:
        return day
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    if not 1 <= year <= 9999:
        raise ValueError(year)
    return day.replace(year=year, month=month + 1, day=min(day.day, monthrange(year, month + 1)[1]))


def _format(form: str) -> list[str | Callable[[datetime], str]]:
    if not form or len(form) > _MAX_FORMAT:
        raise BadArgument(
            Sentence(
                "the format has 1 to %(most)s characters, such as %(example)s.",
                most=_MAX_FORMAT,
                example='"%Y-%m-%d %H:%M"',
            )
        )
    pieces: list[str | Callable[[datetime], str]] = []
    position = 0
    for match in _DIRECTIVE.finditer(form):
        if match[0] not in DIRECTIVES:
            raise BadArgument(
                Sentence(
                    "%(match)s is not a format code; use one of %(names)s.", match=match[0], names=" ".join(DIRECTIVES)
                )
            )
        pieces += [form[position : match.start()], DIRECTIVES[match[0]]]
        position = match.end()
    return [*pieces, form[position:]]


def _given(value: Any, budget: Budget) -> datetime | date | None:
    """What a filter for dates got; None if it is empty. Raises `Unfit`."""
    budget.spend(250)
    if isinstance(value, dict | list | tuple) and value:
        raise Unfit(Sentence("a list or an object is not a date."))
    return None if is_empty(value) else _to_datetime(value)


def _to_datetime(value: Any) -> datetime | date:
    """An aware datetime, or a date for a day without a time. Raises `Unfit`."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    text = as_text(value)
    text = text if len(text) > 4 * _MAX_DATE else text.strip()
    at = (
        None
        if isinstance(value, bool) or len(text) > _MAX_DATE
        else parse_date(text) or _unix(text) or _mail_date(text)
    )
    if at is None:
        raise Unfit(Sentence('"%(text)s" is not a date; use ISO 8601 or Unix seconds.', text=text[:_MAX_DATE]))
    return at


def parse_date(text: str) -> datetime | date | None:
    """ISO 8601: an aware datetime (UTC if it doesn't say), a date if it has no time, None if it is neither."""
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
    """RFC 5322, as in mails and feeds."""
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
