"""Timer: the clock, the calendar days and the sun.

Each action is a pure function of its parameters and an instant, so every process plans the same instants. Where clocks
are put forward, a time that they skip happens at the first instant after the gap; where they are put back, a time that
they show twice happens the first time.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from math import degrees
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from astral import SunDirection, julian, sun
from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field

from area.sdk import Sentence, Service, Timer, param
from area.sdk.timers import parse_time, weekday

service = Service(
    "timer",
    "Timer",
    "Run at a time of day, on days of the week or month, at intervals, or at sunrise and sunset.",
    quality="verified",
    synonyms={
        "": "schedule, clock, alarm, calendar, recurring, time, reminder, am, pm, hour",
        "daily_timer": (
            "every morning, each evening, every night, daily reminder, at a time, noon, o'clock, midnight, nightly,"
            " daily, bedtime, wake up"
        ),
        "weekly_timer": (
            "every Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, every weekday, weekdays, weekends,"
            " weekly, working days, every other day, business days, days of the week"
        ),
        "monthly_timer": (
            "monthly, first day of the month, last day of each month, every month, end of month, quarterly, yearly,"
            " annually, payday, rent, salary, month"
        ),
        "interval_timer": (
            "every hour, every 5 minutes, hourly, periodically, repeat, regularly, seconds, twice a day, loop, poll,"
            " every two weeks, minutes, hours"
        ),
        "cron_timer": "crontab, schedule, expression",
        "once_at": (
            "specific date, one time, in the future, countdown, Christmas, New Year, date, deadline, tomorrow at, next"
            " week, birthday, New Year's Eve, later"
        ),
        "sunrise": "dawn, morning sun, sun goes up, daylight, gets light",
        "sunset": "dusk, sun goes down, evening, dark, nightfall, gets dark, night",
    },
)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LABELS = dict(zip(WEEKDAYS, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True))
GROUPS = {  # words for several days
    **dict.fromkeys(("weekday", "weekdays", "workdays", "semaine"), range(5)),
    **dict.fromkeys(("weekend", "weekends", "week-end", "week-ends"), range(5, 7)),
}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SHORTEST, LONGEST = 10, 366 * 86400  # seconds
INTERVAL = re.compile(r"([0-9]{1,9})\s*(s|m|h|d|w|(?:sec|second|min|minute|hour|day|week)s?)(?![a-z])[\s,]*")
ANCHOR = datetime(2024, 1, 1)  # noqa: DTZ001 - local: a Monday at midnight, which intervals are counted from
CRON_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 or L for the last",
    "month": "1-12 or jan-dec",
    "day-of-week": "0-7 or sun-sat",
}
ZENITH = 90.833  # degrees: the sun's upper edge on the horizon, with refraction (https://gml.noaa.gov/grad/solcalc)
NEAREST_TO_POLE = 89.8  # degrees, beyond which the formulas lose their meaning


def _time(value: Any) -> str:
    if isinstance(value, int) and 0 <= value < 1440:  # what YAML makes of an unquoted 10:30
        value = f"{value // 60}:{value % 60:02}"
    hour, minute = parse_time(str(value))
    return f"{hour:02}:{minute:02}"


def _words(value: Any) -> list[str]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [word.lower() for item in items for word in re.split(r"[\s,;\[\]\"']+", str(item)) if word]


def _weekdays(value: Any) -> str:
    chosen: set[int] = set()
    for word in _words(value):
        if group := GROUPS.get(word):
            chosen.update(group)
            continue
        first, dash, last = word.partition("-")
        start = end = weekday(first)
        if dash:
            end = weekday(last)
        chosen.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    if not chosen:
        raise ValueError(Sentence("Choose at least one day of the week."))
    return ", ".join(day for number, day in enumerate(WEEKDAYS) if number in chosen)


def _monthdays(value: Any) -> str:
    words = _words(value)
    for word in words:
        if not re.fullmatch(r"last|0?[1-9]|[12][0-9]|3[01]", word):
            raise ValueError(
                Sentence('"%(word)s" is not a day of the month. Enter numbers from 1 to 31, or last.', word=word)
            )
    if not words:
        raise ValueError(Sentence("Enter at least one day of the month, such as 1 or last."))
    return ", ".join(sorted({word.lstrip("0") for word in words}, key=lambda word: int(word) if word != "last" else 32))


def _interval(value: Any) -> str:
    text = str(value).strip().lower()
    if not re.fullmatch(f"(?:{INTERVAL.pattern})+", text):
        raise ValueError(
            Sentence(
                '"%(text)s" is not an interval. Enter a number with a unit, such as 30s, 15m, 2h, 1d or 1w.',
                text=str(value)[:50],
            )
        )
    if not SHORTEST <= _seconds(text) <= LONGEST:
        raise ValueError(Sentence("The interval must be at least 10 seconds and at most 366 days."))
    return text


def _seconds(interval: str) -> int:
    return sum(int(number) * SECONDS[unit[0]] for number, unit in INTERVAL.findall(interval))


def _moment(value: Any) -> datetime:
    try:
        return value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(
            Sentence('"%(text)s" is not a date and time. Enter one such as 2026-12-24 18:00.', text=str(value)[:50])
        ) from None


def _cron(value: Any) -> str:
    text = " ".join(str(value).split())
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            Sentence(
                "A schedule has five fields, and this one has %(number)s. Enter minute, hour, day of month, month and"
                " day of week, such as 30 9 * * mon-fri.",
                number=len(fields),
            )
        )
    try:
        next(CronSim(text, ANCHOR))
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name == "day-of-month" and _is_cron(" ".join([*fields[:3], "*", fields[4]])):
            raise ValueError(Sentence('"%(text)s" never matches: no such month has that day.', text=text)) from None
        raise ValueError(
            Sentence(
                'The field %(name)s of "%(text)s" is not valid. Use %(values)s, lists such as 1,3, ranges such as 1-5,'
                " steps such as */15, and * for any.",
                name=name,
                text=text,
                values=CRON_FIELDS[name],
            )
        ) from None
    except StopIteration:
        raise ValueError(Sentence('"%(text)s" never matches. Choose a date that exists.', text=text)) from None
    return text


def _is_cron(text: str) -> bool:
    try:
        next(CronSim(text, ANCHOR))
    except (CronSimError, StopIteration):
        return False
    return True


TimeOfDay = Annotated[str, BeforeValidator(_time)]
LocalTime = Annotated[datetime, BeforeValidator(_moment)]


class Daily(Timer):
    time: TimeOfDay = param("Time of day in the chosen time zone", "09:00", input="time")


class Weekly(Daily):
    days: Annotated[str, BeforeValidator(_weekdays)] = param(
        "Days of the week, such as monday, friday", "monday, friday", many=WEEKDAYS, labels=LABELS
    )


class Monthly(Daily):
    days: Annotated[str, BeforeValidator(_monthdays)] = param("Days of the month; last is the last day", "1, 15, last")


class Interval(Timer):
    interval: Annotated[str, BeforeValidator(_interval)] = param(
        "Time between runs, at least 10 seconds: s, m, h, d or w", "15m"
    )
    starting: LocalTime | None = param("First run, from which the others are counted", "2026-12-01 08:00", default=None)


class Cron(Timer):
    expression: Annotated[str, Field(max_length=200), BeforeValidator(_cron)] = param(
        "Minute, hour, day of month, month, day of week", "30 9 * * mon-fri"
    )


class Once(Timer):
    at: LocalTime = param("Date and time, in the chosen time zone", "2026-12-24 18:00")


class Place(Timer):
    latitude: float = param("Latitude in degrees; south is negative", 48.8566, ge=-90, le=90)
    longitude: float = param("Longitude in degrees; west is negative", 2.3522, ge=-180, le=180)
    offset_minutes: int = param("Minutes after; use a negative number for before", -30, default=0, ge=-720, le=720)


@service.timer("Every day")
def daily_timer(params: Daily, after: datetime) -> datetime | None:
    """Runs every day at the time you choose."""
    return _on_days(params.time, params.zone, after, lambda _day: True)


@service.timer("On days of the week")
def weekly_timer(params: Weekly, after: datetime) -> datetime | None:
    """Runs on the days of the week you choose, at the time you choose."""
    return _on_days(params.time, params.zone, after, lambda day: WEEKDAYS[day.weekday()] in params.days)


@service.timer("On days of the month")
def monthly_timer(params: Monthly, after: datetime) -> datetime | None:
    """Runs on the days of the month you choose. Days a month doesn't have are skipped; `last` is always the last
    day.
    """
    days = params.days.split(", ")

    def wanted(day: date) -> bool:
        return str(day.day) in days or ("last" in days and (day + timedelta(days=1)).day == 1)

    return _on_days(params.time, params.zone, after, wanted)


@service.timer("At an interval")
def interval_timer(params: Interval, after: datetime) -> datetime | None:
    """Runs at a regular interval, counted from `starting` or, if empty, from Monday, 1 January 2024, 00:00."""
    step = timedelta(seconds=_seconds(params.interval))
    anchor = _instant(params.starting or ANCHOR, params.zone)
    if params.starting and after < anchor:
        return anchor
    return anchor + ((after - anchor) // step + 1) * step


@service.timer("On a cron schedule")
def cron_timer(params: Cron, after: datetime) -> datetime | None:
    """Runs on a five-field cron schedule. Clock changes are handled as in Debian's cron.

    If the minute and hour fields name a time, each match runs once on its day. If either begins with `*`, the
    schedule follows the clock: an hour that occurs twice runs twice, and an hour that is skipped doesn't run.
    """
    minute, hour, *_ = params.expression.split()
    if minute.startswith("*") or hour.startswith("*"):
        return _by_clock(params.expression, params.zone, after)
    local = after.astimezone(params.zone).replace(tzinfo=None)
    planned = (_instant(wall, params.zone) for wall in CronSim(params.expression, local))
    return next((instant for instant in planned if instant > after), None)


@service.timer("Once at a date and time")
def once_at(params: Once, after: datetime) -> datetime | None:
    """Runs once."""
    planned = _instant(params.at, params.zone)
    return planned if planned > after else None


@service.timer("At sunrise")
def sunrise(params: Place, after: datetime) -> datetime | None:
    """Runs at sunrise. Days without a sunrise, near the poles, are skipped."""
    return _by_sun(params, after, SunDirection.RISING)


@service.timer("At sunset")
def sunset(params: Place, after: datetime) -> datetime | None:
    """Runs at sunset. Days without a sunset, near the poles, are skipped."""
    return _by_sun(params, after, SunDirection.SETTING)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Instant at which the clocks of `zone` first show `local` or, when they skip it, the first one after the gap."""
    if local.tzinfo:
        return local.astimezone(UTC)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first if first <= second else _change(second, first, zone)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Find the second after `start`, and not after `end`, at which the clocks of `zone` were changed."""
    before = _offset(start, zone)
    seconds = range(int((end - start).total_seconds()) + 1)
    later = bisect_left(seconds, x=True, key=lambda second: _offset(start + timedelta(seconds=second), zone) != before)
    return start + timedelta(seconds=later)


def _on_days(clock: str, zone: ZoneInfo, after: datetime, wanted: Callable[[date], bool]) -> datetime:
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        if wanted(day):
            planned = _instant(datetime.combine(day, time.fromisoformat(clock)), zone)
            if planned > after:
                return planned
        day += timedelta(days=1)


def _by_clock(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """First instant after `after` at which the clocks of `zone` show a time that `expression` matches."""
    start = after.astimezone(UTC).replace(microsecond=0)
    offset = _offset(start, zone)
    while True:
        wall = next(CronSim(expression, start.replace(tzinfo=None) + offset), None)
        if wall is None:
            return None
        planned = (wall - offset).replace(tzinfo=UTC)
        if planned - start > timedelta(days=2):  # nothing matches until then, but the clocks may change
            start = planned - timedelta(days=1)
            offset = _offset(start, zone)
        elif _offset(planned, zone) == offset:
            return planned
        else:  # look again from the change on
            start = _change(start, planned, zone)
            offset = _offset(start, zone)
            start -= timedelta(seconds=1)


def _by_sun(params: Place, after: datetime, direction: SunDirection) -> datetime | None:
    shift = timedelta(minutes=params.offset_minutes)
    first = (after.astimezone(UTC) - shift).date() - timedelta(days=2)
    for number in range(400):
        try:
            planned = _crossing(params, first + timedelta(days=number), direction) + shift
        except ValueError:  # polar day or night
            continue
        if planned > after:
            return planned
    return None


def _crossing(place: Place, day: date, direction: SunDirection) -> datetime:
    """Instant, to the minute, when the sun crosses the horizon before or after its noon of `day`; `ValueError` if
    never.

    By solar days and not by astral's own `sunrise`, which near midnight UTC gives one crossing for two dates, or none.
    """
    latitude = max(-NEAREST_TO_POLE, min(NEAREST_TO_POLE, place.latitude))
    minutes = 720 - 4 * place.longitude
    for _ in range(4):
        century = julian.julianday_to_juliancentury(julian.julianday(day) + minutes / 1440)
        angle = degrees(sun.hour_angle(latitude, sun.sun_declination(century), ZENITH, direction))
        minutes = 720 - 4 * (place.longitude + angle) - sun.eq_of_time(century)
    return datetime.combine(day, time(), UTC) + timedelta(minutes=round(minutes))
