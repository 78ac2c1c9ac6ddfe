"""Helpers for polls: trigger when a value crosses a threshold, or once a day at a time, and format timestamps."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from area.kit.clock import now
from area.sdk.renamed import renamed


def entered(state: dict[str, Any], *, inside: bool) -> bool:
    """Whether `inside` is true now and was false at the last poll. The first poll only stores it in `state`."""
    before, state["inside"] = state.get("inside"), inside
    return inside and before is False


def daily(state: dict[str, Any], time: str, timezone: str) -> datetime | None:
    """The time of day (`HH:MM`) as an instant, once a day after it has passed. The first poll only stores the day in
    `state`.
    """
    there = now().astimezone(ZoneInfo(timezone))
    hour, minute = map(int, time.split(":"))
    planned = there.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if planned > there:
        planned -= timedelta(days=1)
    day = planned.date().isoformat()
    before, state["told"] = state.get("told", day), day
    return planned if before < day else None


def timestamp(moment: datetime) -> str:
    """An aware datetime as most vendors accept it: RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__getattr__ = renamed(__name__, {"stamp": "timestamp"})
