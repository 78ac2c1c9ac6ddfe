"""Durations, delays and local times, right across clock changes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from area.kit.clock import BadTime, Delay, next_local_time, now, parse_delay, parse_duration, zone_named

PARIS = ZoneInfo("Europe/Paris")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_now() -> None:
    with time_machine.travel("2026-11-23T12:00:00Z", tick=False):
        assert now() == utc("2026-11-23T12:00")
        assert now().tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90", 90), (" 90 ", 90), ("90s", 90), ("5m", 300), ("5 min", 300), ("1h30m", 5400), ("1h 30m", 5400),
        ("2 days", 172_800), ("1 Day", 86_400), ("1.5h", 5400), ("1 hour 30 minutes 5 seconds", 5405), ("2W", 1_209_600),
        ("PT5M", 300), ("P1D", 86_400), ("P1DT12H", 129_600), ("p2w", 1_209_600), ("PT0.5S", 0.5), ("PT1,5H", 5400),
        ("P1W1D", 691_200), ("366d", 31_622_400), ("1.5", 1.5),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Enter a duration"), ("   ", "Enter a duration"), ("x" * 1_000_000, "Enter a duration"),
        ("soon", "is not a duration"), ("-5m", "is not a duration"), ("5m,", "is not a duration"), ("1e3", '"e" is not a unit'),
        ("1h30", "30 needs a unit"), ("5 5", "needs a unit"), ("5m 5m", "minutes twice"), ("2 months", "Use days"),
        ("1y", "Use days"), ("5 apples", '"apples" is not a unit'), ("367d", "The maximum is 366 days"),
        ("P1Y", "ISO 8601"), ("P", "ISO 8601"), ("PT", "ISO 8601"), ("P1DT", "ISO 8601"), ("PT5", "ISO 8601"),
        ("P400D", "The maximum is 366 days"), ("9999999999s", "is not a duration"), ("1.1234567s", "is not a duration"), ("1.2.3s", "is not a duration"), ("999999999d", "is too long"), ("٣m", "is not a duration"),
    ],
)  # fmt: skip
def test_no_durations(text: str, message: str) -> None:
    with pytest.raises(BadTime, match=message):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(0, 365), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations_in_every_form(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == expected
    assert parse_duration(f"{seconds} seconds {minutes} min {hours} hours {days} day") == expected
    assert parse_duration(f"P{days}DT{hours}H{minutes}M{seconds}S") == expected
    assert parse_duration(str(int(expected.total_seconds()))) == expected


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_delay_or_bad(text: str) -> None:
    for given_text in (text, f"until {text}", f"P{text}"):
        try:
            delay = parse_delay(given_text, "UTC")
        except BadTime:
            continue
        assert delay.due(utc("2026-11-23")) >= utc("2026-11-23")


def test_zones() -> None:
    assert zone_named("Europe/Paris") == PARIS
    with pytest.raises(BadTime, match='did you mean "Europe/Paris"'):
        zone_named("Europe/Pari")
    for name in ("", "/etc/passwd", "../UTC", "Europe", "x" * 100_000, "\0"):
        with pytest.raises(BadTime, match="no time zone"):
            zone_named(name)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("90", "2026-11-23T12:01:30"),
        ("1h30m", "2026-11-23T13:30"),
        ("0", "2026-11-23T12:00"),
        ("until 14:00", "2026-11-23T13:00"),
        ("until 13:00", "2026-11-24T12:00"),  # it is 13:00 in Paris right now: the next time is tomorrow
        ("until 9:05", "2026-11-24T08:05"),
        ("UNTIL 09:00 UTC", "2026-11-24T09:00"),
        ("until 09:00 America/New_York", "2026-11-23T14:00"),
        ("until monday 14:00", "2026-11-23T13:00"),
        ("until monday 09:00", "2026-11-30T08:00"),
        ("until Tue 09:00", "2026-11-24T08:00"),
        ("18:00", "2026-11-23T17:00"),
        ("6pm", "2026-11-23T17:00"),
        ("6:30 p.m.", "2026-11-23T17:30"),
        ("until 8h", "2026-11-24T07:00"),
        ("until 8h30", "2026-11-24T07:30"),
        ("until lundi 14h", "2026-11-23T13:00"),
        ("until dim. 9:00", "2026-11-29T08:00"),
        ("8h", "2026-11-23T20:00"),  # a duration, as it always was
        ("1.50 hours", "2026-11-23T13:30"),
        (" until  sunday  23:59  UTC ", "2026-11-29T23:59"),
    ],
)
def test_delays(text: str, due: str) -> None:
    """From Monday 23 November 2026, 12:00 UTC, which is 13:00 in Paris."""
    for zone in (PARIS, "Europe/Paris"):
        result = parse_delay(text, zone).due(utc("2026-11-23T12:00"))
        assert result == utc(due)
        assert result.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("until", "Enter until and a 24-hour time"), ("until monday", "Enter until and a 24-hour time"), ("until 9", "is not a time of day"),
        ("until 24:00", "is not a time of day"), ("until 12:60", "is not a time of day"), ("until moonday 09:00", 'did you mean "monday"'),
        ("until 09:00 Europe/Pari", 'did you mean "Europe/Paris"'), ("untilx", "Enter until"), ("until " + "9" * 1000, "Enter"),
        ("until 09:00 Europe/Paris tomorrow", "Enter until"), ("tomorrow", "is not a duration"),
    ],
)  # fmt: skip
def test_no_delays(text: str, message: str) -> None:
    with pytest.raises(BadTime, match=message):
        parse_delay(text, "UTC")


def test_a_zone_that_does_not_exist() -> None:
    with pytest.raises(BadTime, match="no time zone"):
        parse_delay("until 09:00", "Nowhere")


@pytest.mark.parametrize(
    ("after", "at", "zone", "expected"),
    [
        # clocks in Paris go from 02:00 to 03:00 on 29 March 2026 at 01:00 UTC: 02:30 is skipped
        ("2026-03-28T22:00", (2, 30), "Europe/Paris", "2026-03-29T01:00"),
        ("2026-03-28T22:00", (2, 0), "Europe/Paris", "2026-03-29T01:00"),
        ("2026-03-28T22:00", (3, 0), "Europe/Paris", "2026-03-29T01:00"),
        ("2026-03-29T00:59:59", (2, 30), "Europe/Paris", "2026-03-29T01:00"),
        ("2026-03-29T01:00", (2, 30), "Europe/Paris", "2026-03-30T00:30"),
        ("2026-03-28T22:00", (9, 0), "Europe/Paris", "2026-03-29T07:00"),
        ("2026-03-27T22:00", (9, 0), "Europe/Paris", "2026-03-28T08:00"),
        # and back from 03:00 to 02:00 on 25 October 2026 at 01:00 UTC: 02:30 comes twice, the first counts
        ("2026-10-24T22:00", (2, 30), "Europe/Paris", "2026-10-25T00:30"),
        ("2026-10-25T00:30", (2, 30), "Europe/Paris", "2026-10-26T01:30"),
        ("2026-10-25T01:00", (2, 30), "Europe/Paris", "2026-10-26T01:30"),
        ("2026-10-25T00:00", (9, 0), "Europe/Paris", "2026-10-25T08:00"),
        # Samoa left 30 December 2011 out altogether
        ("2011-12-30T09:59", (9, 0), "Pacific/Apia", "2011-12-30T10:00"),
        ("2011-12-30T10:00", (9, 0), "Pacific/Apia", "2011-12-30T19:00"),
        # Lord Howe's clocks move by half an hour, at 02:00
        ("2026-10-03T12:00", (2, 15), "Australia/Lord_Howe", "2026-10-03T15:30"),
        # in Cairo, midnight itself is skipped
        ("2026-04-23T12:00", (0, 30), "Africa/Cairo", "2026-04-23T22:00"),
        ("2026-11-23T12:00", (9, 0), "Asia/Kathmandu", "2026-11-24T03:15"),
    ],
)
def test_across_clock_changes(after: str, at: tuple[int, int], zone: str, expected: str) -> None:
    assert next_local_time(utc(after), *at, ZoneInfo(zone)) == utc(expected)


def test_after_may_be_in_any_zone() -> None:
    fold = datetime(2026, 10, 25, 2, 45, tzinfo=PARIS, fold=1)
    assert next_local_time(fold, 2, 50, PARIS) == utc("2026-10-26T01:50")
    assert Delay(hour=9, zone=PARIS).due(fold) == utc("2026-10-25T08:00")


@settings(deadline=None)
@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC)),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo", "UTC"]),
    st.none() | st.integers(0, 6),
)
def test_next_local_time(after: datetime, hour: int, minute: int, name: str, weekday: int | None) -> None:
    """It is later than `after`, on the day, and shows the time unless clocks skip it, and no such time lies between."""
    zone = ZoneInfo(name)
    result = next_local_time(after, hour, minute, zone, weekday)
    assert result > after
    local = result.astimezone(zone)
    skipped = (local.hour, local.minute) != (hour, minute)
    if skipped:
        assert (result - timedelta(seconds=1)).astimezone(zone).utcoffset() != local.utcoffset()
    elif weekday is not None:
        assert local.weekday() == weekday
    assert result - after <= timedelta(days=1 if weekday is None else 7, hours=26)
    # every instant between that shows the time must be the second of two
    step = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    between = step.astimezone(zone).replace(hour=hour, minute=minute, fold=0)
    if weekday is None and after < between.astimezone(UTC) < result:
        assert (between.astimezone(UTC).astimezone(zone).hour, between.astimezone(UTC).astimezone(zone).minute) != (
            hour,
            minute,
        )
