"""Timers at both clock changes, in leap years and near the poles, compared with independent calculations."""

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest
from astral import Observer
from astral.sun import elevation
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from area.connectors.timer import (
    Cron,
    Daily,
    Interval,
    Monthly,
    Once,
    Place,
    Weekly,
    cron_timer,
    daily_timer,
    interval_timer,
    monthly_timer,
    once_at,
    service,
    sunrise,
    sunset,
    weekly_timer,
)
from area.sdk import Firing

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
MORE_ZONES = (*ZONES, "America/St_Johns", "Africa/Casablanca", "Africa/Cairo", "Pacific/Chatham", "America/Santiago")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def firings(action, params, after: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        after = action.function(params, after)
        assert after is not None
        assert after.utcoffset() == timedelta(0)
        found.append(after)
    return found


def local(instants: list[datetime], zone: str) -> list[str]:
    return [instant.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M%z") for instant in instants]


def first_showing(wall: datetime, zone: ZoneInfo) -> datetime:
    """Oracle: the first minute at which the clock shows `wall` or more, found by looking at the clock each minute."""
    about = wall.replace(tzinfo=zone).astimezone(UTC)
    minutes = (about + timedelta(minutes=n) for n in range(-180, 180))
    return next(minute for minute in minutes if minute.astimezone(zone).replace(tzinfo=None) >= wall)


@lru_cache
def clock_changes(zone: ZoneInfo) -> list[datetime]:
    """Hours of 2026 and 2027 in which the clocks were changed; any hour when they never are."""
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(2 * 8760)]
    return [one for one, other in pairwise(hours) if shown(one, zone) - one != shown(other, zone) - other] or hours[:1]


def shown(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "clock", "after", "expected"),
    [
        # spring: 02:00 becomes 03:00
        (
            "Europe/Paris",
            "02:30",
            "2026-03-28T00:00+01:00",
            ["03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200"],
        ),
        ("Europe/Paris", "02:00", "2026-03-29T00:00+01:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        ("Europe/Paris", "03:00", "2026-03-29T00:00+01:00", ["03-29 03:00+0200", "03-30 03:00+0200"]),
        ("Europe/Paris", "02:30", "2027-03-28T00:00+01:00", ["03-28 03:00+0200", "03-29 02:30+0200"]),
        ("America/New_York", "02:15", "2026-03-08T00:00-05:00", ["03-08 03:00-0400", "03-09 02:15-0400"]),
        ("America/New_York", "02:15", "2027-03-14T00:00-05:00", ["03-14 03:00-0400", "03-15 02:15-0400"]),
        # half an hour: 02:00 becomes 02:30 in October, 02:00 becomes 01:30 in April
        ("Australia/Lord_Howe", "02:10", "2026-10-04T00:00+10:30", ["10-04 02:30+1100", "10-05 02:10+1100"]),
        ("Australia/Lord_Howe", "02:10", "2027-10-03T00:00+10:30", ["10-03 02:30+1100", "10-04 02:10+1100"]),
        ("Australia/Lord_Howe", "01:45", "2026-04-05T00:00+11:00", ["04-05 01:45+1100", "04-06 01:45+1030"]),
        ("Australia/Lord_Howe", "01:45", "2027-04-04T00:00+11:00", ["04-04 01:45+1100", "04-05 01:45+1030"]),
        # autumn: the first of the two
        ("Europe/Paris", "02:30", "2026-10-24T12:00+02:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("Europe/Paris", "02:30", "2027-10-30T12:00+02:00", ["10-31 02:30+0200", "11-01 02:30+0100"]),
        ("Europe/Paris", "02:30", "2026-10-25T02:30+01:00", ["10-26 02:30+0100"]),
        ("Europe/Paris", "02:45", "2026-10-25T02:30+01:00", ["10-26 02:45+0100"]),
        ("Europe/Paris", "03:00", "2026-10-25T02:59+01:00", ["10-25 03:00+0100"]),
        ("America/New_York", "01:30", "2026-11-01T00:00-04:00", ["11-01 01:30-0400", "11-02 01:30-0500"]),
        ("America/New_York", "01:30", "2027-11-07T00:00-04:00", ["11-07 01:30-0400", "11-08 01:30-0500"]),
        # midnight itself is left out
        ("Africa/Cairo", "00:00", "2026-04-23T12:00+02:00", ["04-24 01:00+0300", "04-25 00:00+0300"]),
        # never changed
        ("Asia/Kathmandu", "06:45", "2026-03-29T01:00+00:00", ["03-30 06:45+0545", "03-31 06:45+0545"]),
        ("UTC", "00:00", "2028-02-28T00:00+00:00", ["02-29 00:00+0000", "03-01 00:00+0000"]),
    ],
)
def test_daily(zone: str, clock: str, after: str, expected: list[str]) -> None:
    params = Daily(timezone=zone, time=clock)
    assert local(firings(daily_timer, params, utc(after), len(expected)), zone) == expected


@given(
    zone=st.sampled_from(MORE_ZONES),
    clock=st.times(),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
)
@settings(max_examples=100, deadline=None)
def test_daily_is_every_date_once_in_order(zone: str, clock: time, start: datetime) -> None:
    params = Daily(timezone=zone, time=clock.strftime("%H:%M"))
    found = firings(daily_timer, params, start, 40)
    assert start < found[0] <= start + timedelta(days=2)
    assert all(one < other for one, other in pairwise(found))
    dates = [instant.astimezone(params.zone).date() for instant in found]
    assert dates == [dates[0] + timedelta(days=n) for n in range(40)]
    walls = [datetime.combine(day, time.fromisoformat(params.time)) for day in dates]
    # the oracle is slow: ask it about the firing that is nearest to a change of the clocks, and the first
    odd = [n for n in range(40) if found[n].astimezone(params.zone).replace(tzinfo=None) != walls[n]]
    for n in {0, 39, *odd}:
        assert found[n] == first_showing(walls[n], params.zone)


@given(
    zone=st.sampled_from([*MORE_ZONES, "America/Nuuk"]),
    change=st.integers(0, 7),
    minutes=st.integers(-300, 300),
    clock=st.times(),
)
@settings(max_examples=100, deadline=None)
def test_daily_from_any_start_near_a_change(zone: str, change: int, minutes: int, clock: time) -> None:
    where = ZoneInfo(zone)
    days = clock_changes(where)
    start = days[change % len(days)] + timedelta(minutes=minutes, seconds=7)
    params = Daily(timezone=zone, time=clock.strftime("%H:%M"))
    days = [start.astimezone(where).date() + timedelta(days=n) for n in range(-1, 3)]
    planned = [first_showing(datetime.combine(day, time.fromisoformat(params.time)), where) for day in days]
    assert daily_timer.function(params, start) == next(instant for instant in planned if instant > start)


def test_the_instant_itself_is_not_after_itself() -> None:
    params = Daily(time="09:00")
    nine = utc("2026-05-01T09:00+00:00")
    assert daily_timer.function(params, nine) == nine + timedelta(days=1)
    assert daily_timer.function(params, nine - timedelta(microseconds=1)) == nine


def test_weekly() -> None:
    params = Weekly(timezone="Europe/Paris", days="friday, Mon", time="02:30")
    assert params.days == "monday, friday"
    found = firings(weekly_timer, params, utc("2026-03-27T12:00+01:00"), 3)
    assert local(found, "Europe/Paris") == ["03-30 02:30+0200", "04-03 02:30+0200", "04-06 02:30+0200"]
    sundays = Weekly(timezone="Europe/Paris", days=["sunday"], time="02:30")
    found = firings(weekly_timer, sundays, utc("2026-03-27T12:00+01:00"), 2)
    assert local(found, "Europe/Paris") == ["03-29 03:00+0200", "04-05 02:30+0200"]
    found = firings(weekly_timer, sundays, utc("2026-10-20T12:00+02:00"), 2)
    assert local(found, "Europe/Paris") == ["10-25 02:30+0200", "11-01 02:30+0100"]


def test_monthly() -> None:
    def dates(days: str, after: str, count: int) -> list[str]:
        params = Monthly(timezone="Australia/Lord_Howe", days=days, time="23:00")
        found = firings(monthly_timer, params, utc(after), count)
        return [instant.astimezone(params.zone).date().isoformat() for instant in found]

    assert dates("last", "2027-12-31T13:00+00:00", 3) == ["2028-01-31", "2028-02-29", "2028-03-31"]
    assert dates("last", "2026-02-01T00:00+00:00", 2) == ["2026-02-28", "2026-03-31"]
    assert dates("31", "2026-01-31T13:00+00:00", 3) == ["2026-03-31", "2026-05-31", "2026-07-31"]
    assert dates("29", "2026-01-29T13:00+00:00", 1) == ["2026-03-29"]
    assert dates("29", "2028-01-29T13:00+00:00", 1) == ["2028-02-29"]
    assert dates("30, last", "2026-04-01T00:00+00:00", 3) == ["2026-04-30", "2026-05-30", "2026-05-31"]
    assert dates("1, 15, last", "2026-01-15T13:00+00:00", 3) == ["2026-01-31", "2026-02-01", "2026-02-15"]


def test_interval_is_counted_from_an_anchor() -> None:
    hourly = Interval(timezone="Asia/Kathmandu", interval="1h")
    found = firings(interval_timer, hourly, utc("2026-05-01T00:00+00:00"), 2)
    assert local(found, "Asia/Kathmandu") == ["05-01 06:00+0545", "05-01 07:00+0545"]
    weekly = Interval(interval="1w")
    assert firings(interval_timer, weekly, utc("2026-11-25T00:00+00:00"), 1)[0].strftime("%A %H:%M") == "Monday 00:00"
    assert firings(interval_timer, weekly, utc("2020-11-25T00:00+00:00"), 1)[0].strftime("%A %H:%M") == "Monday 00:00"


def test_interval_starting() -> None:
    params = Interval(timezone="Europe/Paris", interval="1h 30min", starting="2026-10-25 01:00")
    found = firings(interval_timer, params, utc("2020-01-01T00:00+00:00"), 4)
    # lengths of time, whatever the clocks show meanwhile
    assert local(found, "Europe/Paris") == [
        "10-25 01:00+0200",
        "10-25 02:30+0200",
        "10-25 03:00+0100",
        "10-25 04:30+0100",
    ]
    aware = Interval(timezone="Europe/Paris", interval="10s", starting="2026-10-25T01:00:00Z")
    assert interval_timer.function(aware, utc("2026-10-25T01:00:03+00:00")) == utc("2026-10-25T01:00:10+00:00")


@given(
    seconds=st.integers(10, 10_000_000),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
    earlier=st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_interval_plans_the_same_instants_from_anywhere(seconds: int, start: datetime, earlier: timedelta) -> None:
    params = Interval(timezone="Europe/Paris", interval=f"{seconds}s")
    step = timedelta(seconds=seconds)
    first, second = firings(interval_timer, params, start, 2)
    assert start < first <= start + step
    assert second - first == step
    assert (first - interval_timer.function(params, start - earlier)) % step == timedelta(0)


def test_once() -> None:
    params = Once(timezone="Europe/Paris", at="2026-03-29 02:30")  # a time that the clocks skip
    assert once_at.function(params, utc("2026-01-01T00:00+00:00")) == utc("2026-03-29T03:00+02:00")
    assert once_at.function(params, utc("2026-03-29T03:00+02:00")) is None
    twice = Once(timezone="Europe/Paris", at="2026-10-25T02:30")
    assert once_at.function(twice, utc("2026-01-01T00:00+00:00")) == utc("2026-10-25T02:30+02:00")
    aware = Once(timezone="Europe/Paris", at="2026-10-25T02:30:00+01:00")
    assert once_at.function(aware, utc("2026-01-01T00:00+00:00")) == utc("2026-10-25T02:30+01:00")


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        ("UTC", "30 9 * * mon-fri", "2026-11-27T09:30+00:00", ["11-30 09:30+0000", "12-01 09:30+0000"]),
        ("UTC", "0 0 29 2 *", "2026-01-01T00:00+00:00", ["02-29 00:00+0000"]),
        ("UTC", "0 12 l * *", "2026-02-01T00:00+00:00", ["02-28 12:00+0000", "03-31 12:00+0000"]),
        # times of day: as daily, once
        ("Europe/Paris", "30 2 * * *", "2026-03-28T12:00+01:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("Europe/Paris", "0,30 2 * * *", "2026-03-28T12:00+01:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        ("Europe/Paris", "30 2 * * *", "2026-10-24T12:00+02:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("Europe/Paris", "45 2 * * *", "2026-10-25T02:30+01:00", ["10-26 02:45+0100"]),
        ("Australia/Lord_Howe", "10 2 * * *", "2026-10-03T12:00+10:30", ["10-04 02:30+1100", "10-05 02:10+1100"]),
        # every hour, every so often: as the clock runs
        ("Europe/Paris", "0 * * * *", "2026-03-29T00:30+01:00", ["03-29 01:00+0100", "03-29 03:00+0200"]),
        (
            "Europe/Paris",
            "30 * * * *",
            "2026-10-25T01:45+02:00",
            ["10-25 02:30+0200", "10-25 02:30+0100", "10-25 03:30+0100"],
        ),
        ("Europe/Paris", "*/15 2 * * sun", "2026-03-22T02:45+01:00", ["04-05 02:00+0200"]),
        ("Australia/Lord_Howe", "*/20 * * * *", "2026-04-05T01:50+11:00", ["04-05 01:40+1030", "04-05 02:00+1030"]),
        ("Australia/Lord_Howe", "*/30 5 * * *", "2026-04-04T06:00+11:00", ["04-05 05:00+1030", "04-05 05:30+1030"]),
        ("Australia/Lord_Howe", "*/30 5 * * *", "2026-10-03T06:00+10:30", ["10-04 05:00+1100", "10-04 05:30+1100"]),
    ],
)
def test_cron(zone: str, expression: str, after: str, expected: list[str]) -> None:
    params = Cron(timezone=zone, expression=expression)
    assert local(firings(cron_timer, params, utc(after), len(expected)), zone) == expected


@given(
    zone=st.sampled_from(MORE_ZONES),
    step=st.sampled_from([1, 5, 7, 20, 30, 45]),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    every_hour=st.booleans(),
    spring=st.booleans(),
    minutes=st.integers(0, 2 * 1440),
)
@settings(max_examples=100, deadline=None)
def test_cron_by_the_clock_against_every_minute(zone, step, hours, every_hour, spring, minutes) -> None:
    params = Cron(
        timezone=zone, expression=f"*/{step} {'*' if every_hour else ','.join(map(str, sorted(hours)))} * * *"
    )
    changes = {"Europe/Paris": ("2026-03-28", "2026-10-24"), "America/New_York": ("2026-03-07", "2026-10-31")}
    start = utc(changes.get(zone, ("2026-10-03", "2026-04-04"))[not spring]) + timedelta(minutes=minutes)

    def matches(instant: datetime) -> bool:
        wall = instant.astimezone(params.zone)
        return wall.minute % step == 0 and (every_hour or wall.hour in hours)

    coming = (start + timedelta(minutes=n) for n in range(1, 4 * 1440))
    expected = next(instant for instant in coming if matches(instant))
    assert cron_timer.function(params, start) == expected
    assert cron_timer.function(params, start + timedelta(seconds=59, microseconds=5)) == expected or start < expected


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)), zone=st.sampled_from(ZONES)
)
@settings(max_examples=60, deadline=None)
def test_cron_times_are_strictly_increasing(start: datetime, zone: str) -> None:
    for expression in ("0,20,40 1-3 * * *", "*/20 1-3 * * *", "10 */2 * 3,4,10 sun"):
        found = firings(cron_timer, Cron(timezone=zone, expression=expression), start, 30)
        assert all(one < other for one, other in zip([start, *found], found, strict=False))


@pytest.mark.parametrize(
    ("zone", "latitude", "longitude", "day", "rise", "set_"),
    [  # as published by https://gml.noaa.gov/grad/solcalc and almanacs, to the minute or two
        ("Europe/Paris", 48.8566, 2.3522, "2026-06-21", "05:47", "21:58"),
        ("Europe/London", 51.5074, -0.1278, "2026-12-21", "08:04", "15:54"),
        ("America/New_York", 40.7128, -74.006, "2026-03-20", "06:59", "19:08"),
        ("Australia/Perth", -31.9523, 115.8613, "2026-12-21", "05:07", "19:22"),
    ],
)
def test_sun_against_the_almanac(zone, latitude, longitude, day, rise, set_) -> None:
    place = Place(timezone=zone, latitude=latitude, longitude=longitude)
    midnight = datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone))
    for action, expected in ((sunrise, rise), (sunset, set_)):
        found = action.function(place, midnight)
        wall = datetime.combine(midnight.date(), time.fromisoformat(expected), ZoneInfo(zone))
        assert abs(found - wall) <= timedelta(minutes=2)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (-31.95, 115.86),
        (1.35, 103.82),
        (-18.14, 178.44),
        (21.3, -157.86),
        (69.6492, 18.9553),
        (-77.85, 166.67),
        (0.0, 90.0),
    ],
)
def test_sun_against_its_elevation_over_a_year(latitude: float, longitude: float) -> None:
    """At 90° E the sun rises near midnight UTC, where astral's own `sunrise` doubles one date's and loses another's."""
    observer, step = Observer(latitude, longitude), timedelta(minutes=15)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    instants = [start + n * step for n in range(365 * 96)]
    up = [elevation(observer, instant, with_refraction=False) > -0.833 for instant in instants]
    place = Place(latitude=latitude, longitude=longitude)
    for action, rises in ((sunrise, True), (sunset, False)):
        expected = [instants[n] for n in range(1, len(up)) if up[n] is rises and up[n - 1] is not rises]
        found, at = [], start
        while (at := action.function(place, at)) < instants[-1]:
            found.append(at)
        # on the last days before a polar day or night the edge itself is a matter of minutes
        assert abs(len(found) - len(expected)) <= (2 if abs(latitude) > 60 else 0)
        near = [min(abs(found[place] - one) for place in {max(0, at - 1), min(at, len(found) - 1)})
                for one in expected for at in [bisect_left(found, one)]]  # fmt: skip
        assert sorted(near)[-3 if abs(latitude) > 60 else -1] <= step


def test_tromso_has_no_sunrise_in_polar_night_and_day() -> None:
    place = Place(timezone="Europe/Oslo", latitude=69.6492, longitude=18.9553)

    def following(after: str) -> date:
        return sunrise.function(place, utc(after)).astimezone(place.zone).date()

    assert date(2027, 1, 13) <= following("2026-11-30T00:00+01:00") <= date(2027, 1, 17)
    assert date(2026, 7, 24) <= following("2026-05-25T00:00+02:00") <= date(2026, 7, 28)
    assert sunset.function(place, utc("2026-06-21T00:00+02:00")) > utc("2026-07-24T00:00+02:00")


def test_sun_offset() -> None:
    place = Place(latitude=48.8566, longitude=2.3522)
    early = place.model_copy(update={"offset_minutes": -45})
    at = utc("2026-06-21T00:00+00:00")
    assert sunset.function(early, at) == sunset.function(place, at) - timedelta(minutes=45)
    just = sunset.function(early, at)
    assert sunset.function(early, just) > just + timedelta(hours=23)


def test_the_poles_have_a_few_sunrises_at_most() -> None:
    for latitude in (90, -90):
        place = Place(latitude=latitude, longitude=0)
        found = firings(sunrise, place, utc("2026-01-01T00:00+00:00"), 2)
        assert found[1] > found[0]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("9:00", "09:00"), ("8am", "08:00"), ("8:30 PM", "20:30"), ("12am", "00:00"), ("8h30", "08:30"), ("20h", "20:00")],
)
def test_a_time_as_people_write_it(typed: str, kept: str) -> None:
    assert Daily.model_validate({"time": typed}).time == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("lundi, vendredi", "monday, friday"),
        ("lun. ven.", "monday, friday"),
        ("weekdays", "monday, tuesday, wednesday, thursday, friday"),
        ("mon-fri", "monday, tuesday, wednesday, thursday, friday"),
        ("sat-mon", "monday, saturday, sunday"),
        ("weekend", "saturday, sunday"),
        (["Monday", "Tues"], "monday, tuesday"),
    ],
)
def test_days_in_the_languages_of_the_pages(typed: str | list[str], kept: str) -> None:
    assert Weekly.model_validate({"time": "09:00", "days": typed}).days == kept


@pytest.mark.parametrize(
    ("model", "given_", "says"),
    [
        (Daily, {"time": "25:00"}, "Use 00:00 to 23:59"),
        (Daily, {"time": "9"}, "hours and minutes"),
        (Daily, {"time": "09:00", "timezone": "Paris"}, "Use a name such as Europe/Paris"),
        (Weekly, {"time": "09:00", "days": "mo"}, "not a day of the week"),
        (Weekly, {"time": "09:00", "days": ""}, "at least one day"),
        (Monthly, {"time": "09:00", "days": "0"}, "numbers from 1 to 31, or last"),
        (Monthly, {"time": "09:00", "days": "1-5"}, "numbers from 1 to 31, or last"),
        (Monthly, {"time": "09:00", "days": []}, "at least one day"),
        (Interval, {"interval": "15"}, "a number with a unit"),
        (Interval, {"interval": "5 ms"}, "a number with a unit"),
        (Interval, {"interval": "9s"}, "at least 10 seconds"),
        (Interval, {"interval": "99 weeks"}, "at most 366 days"),
        (Interval, {"interval": "1h", "starting": "noon"}, "2026-12-24 18:00"),
        (Once, {"at": "5"}, "2026-12-24 18:00"),
        (Cron, {"expression": "* * * *"}, "five fields, and this one has 4"),
        (Cron, {"expression": "0 0 0 * * *"}, "five fields, and this one has 6"),
        (Cron, {"expression": "0 25 * * *"}, 'The field hour of "0 25 * * *" is not valid. Use 0-23'),
        (Cron, {"expression": "0 0 30 2 *"}, "never matches: no such month has that day"),
        (Cron, {"expression": "0 0 */30 * mon#2"}, "never matches"),
        (Place, {"latitude": 91, "longitude": 0}, "less than or equal to 90"),
    ],
)
def test_mistakes_are_explained(model: type[BaseModel], given_: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given_)
    assert says in caught.value.errors()[0]["msg"]


def test_parameters_may_be_text_json_or_yaml() -> None:
    assert Weekly.model_validate({"time": "9:05", "days": ["Fri", "monday"]}).days == "monday, friday"
    assert Weekly.model_validate({"time": "09:05:00", "days": '["friday"]'}).days == "friday"
    assert Monthly.model_validate({"time": "09:05", "days": [15, "last", 1]}).days == "1, 15, last"
    assert Monthly.model_validate({"time": "09:05", "days": 15}).days == "15"
    assert Daily.model_validate({"time": 630}).time == "10:30"  # an unquoted 10:30 in YAML
    assert Place.model_validate({"latitude": "48.8", "longitude": "2", "offset_minutes": "5"}).offset_minutes == 5


def test_what_is_stored_means_the_same() -> None:
    for params in (
        Weekly(timezone="Europe/Paris", time="9:05", days="fri"),
        Monthly(time="9:05", days="last 1"),
        Interval(interval="1 hour", starting="2026-12-01 08:00"),
        Once(at="2026-12-24 18:00"),
        Cron(expression=" 0  9 * * * "),
    ):
        assert type(params).model_validate(orjson.loads(params.model_dump_json())) == params


@pytest.mark.parametrize("name", list(service.actions))
def test_samples(name: str) -> None:
    sample = orjson.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_bytes())
    firing = Firing.model_validate(sample["data"])
    assert datetime.fromisoformat(sample["id"]) == datetime.fromisoformat(sample["at"]) == firing.time
