"""The rule that decides which rows of a polled list are new. Pure; the engine keeps `Seen` and applies the rule under a
lock.

An event is new when its id is unknown and its time is not before the window. The window overlaps the previous one by
`OVERLAP` (or what the trigger sets), so that a row that appears late still fires. `KEEP` ids stay known beyond it, for
sources without dates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from area.sdk.events import Event

OVERLAP = timedelta(minutes=10)
KEEP = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source has shown so far: where the window starts, and the known ids with their times."""

    since: datetime
    ids: Mapping[str, datetime] = field(default_factory=dict)


def fresh(
    events: Iterable[Event[Any]], seen: Seen, now: datetime, overlap: timedelta = OVERLAP
) -> tuple[list[Event[Any]], Seen]:
    """The new events, oldest first, and what is known after them."""
    offered = {event.id: event for event in events}
    # a row dated tomorrow counts as now, and does not move the window past the rows that follow
    when = {event.id: min(event.at or now, now) for event in offered.values()}
    window = seen.since - overlap
    new = [event for event in offered.values() if event.id not in seen.ids and when[event.id] >= window]
    since = max([seen.since, *(event.at for event in new if event.at and event.at <= now)])
    # what is shown but too old to fire is remembered too: edited later, it may be shown with a new date
    known = when | dict(seen.ids)
    newest = sorted(known.items(), key=lambda pair: pair[1], reverse=True)
    # a row that is still shown stays known, however old: its source has not forgotten it either. What is later than
    # `since` has no date, or one in the future; without an end of the window it would be kept for ever
    kept = {
        identity: at
        for place, (identity, at) in enumerate(newest)
        if place < KEEP or since - overlap <= at <= since or identity in offered
    }
    return sorted(new, key=lambda event: when[event.id]), Seen(since, kept)
