"""What several polls do: fire when a value comes to be beyond a threshold, or once a day at a time, and ask for what is since a moment."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from area.kit.clock import now


def entered(state: dict[str, Any], *, inside: bool) -> bool:
    """Whether it is so now and was not at the last look; the first look only remembers, in `state`."""
    before, state["inside"] = state.get("inside"), inside
    return inside and before is False


def daily(state: dict[str, Any], time: str, timezone: str) -> datetime | None:
    """The instant of a time of day (`HH:MM`), once it has come, and once for each day; the first look only remembers, in `state`."""
    there = now().astimezone(ZoneInfo(timezone))
    hour, minute = map(int, time.split(":"))
    planned = there.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if planned > there:
        planned -= timedelta(days=1)
    day = planned.date().isoformat()
    before, state["told"] = state.get("told", day), day
    return planned if before < day else None


def stamp(moment: datetime) -> str:
    """An aware moment as most vendors take it: RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
