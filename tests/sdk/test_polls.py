"""What several polls do: thresholds, times of day, and moments as vendors take them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from area.sdk import daily, entered, timestamp

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("inside", "fires"),
    [([False, True, True, False, True], [0, 1, 0, 0, 1]), ([True, True, False, True], [0, 0, 0, 1])],
)
def test_it_fires_when_it_comes_to_be_so(inside, fires):
    state: dict[str, Any] = {}
    assert [entered(state, inside=place) for place in inside] == fires


def test_a_time_of_day_comes_once_a_day():
    state: dict[str, Any] = {}
    with time_machine.travel(START, tick=False) as clock:
        assert daily(state, "18:00", "Asia/Tokyo") is None, "09:00 UTC; switched on just then, it begins tomorrow"
        came = []
        for minutes in (24 * 60 - 1, 24 * 60 + 3, 24 * 60 + 8, 4 * 24 * 60 + 7, 4 * 24 * 60 + 12):
            clock.move_to(START + timedelta(minutes=minutes))
            came.append(daily(state, "18:00", "Asia/Tokyo"))
    assert came == [None, START + timedelta(days=1), None, START + timedelta(days=4), None]
    assert state == {"told": "2026-11-27"}


def test_a_moment_is_told_in_utc_to_the_second():
    moment = datetime(2026, 11, 23, 10, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(moment) == "2026-11-23T09:00:00Z"
