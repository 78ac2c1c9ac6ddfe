"""The rule that decides which rows of a polled list are new. Pure; the engine stores `Seen` and applies the rule under
a lock.

A vendor that returns rows since a given time may return older ones again. A row is therefore new if its ID is unknown
and its time is not before the window. The window overlaps the previous one by `OVERLAP` (or the trigger's own value),
so that a row that appears late still triggers. `KEEP` IDs are remembered beyond it, for sources without dates.

A source that always shows its complete list (a feed; `overlap=None`) needs no window: a row that was not there before
is new, whatever its date. The archive is the exception: rows at the old end, older than all known ones, if they replace
rows that disappeared, or if there are more than `FEW` at once.

Some sources give a row a different ID in each poll. Signs (`Event.signs`) distinguish such rows from new ones: a row
whose first sign is known is the same row, unless a row with a known ID has this sign too. Further signs count only if a
poll recognizes nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from area.sdk.events import Event

OVERLAP = timedelta(minutes=10)
KEEP = 500
KEEP_SIGNS = 6000
FEW = 3
EARLIER_OVERLAP = timedelta(days=1)  # the window of feeds before their lists counted as whole


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source has shown so far: where the window starts, and the known IDs with their times.

    `signs` are hashes of what else identifies rows, including their IDs if the list is complete, with the number of the
    last poll that showed each. `looks` is the number of the last poll.
    """

    since: datetime
    ids: Mapping[str, datetime] = field(default_factory=dict)
    signs: Mapping[str, int] = field(default_factory=dict)
    looks: int = 0


def fresh(
    events: Iterable[Event[Any]], seen: Seen, now: datetime, overlap: timedelta | None = OVERLAP
) -> tuple[list[Event[Any]], Seen]:
    """The new events, oldest first, and what is known after them. With `overlap` None, the list is complete."""
    offered = {event.id: event for event in events}
    # a row dated tomorrow counts as now, and does not move the window past the rows that follow
    when = {event.id: min(event.at or now, now) for event in offered.values()}
    marks = {event.id: _marks(event, whole=overlap is None) for event in offered.values()}
    known = {event.id for event in offered.values() if _is_known(event, marks[event.id], seen)}
    known |= _recognized(offered, known, marks, seen)
    new = [event for event in offered.values() if event.id not in known]
    if overlap is not None:
        new = [event for event in new if when[event.id] >= seen.since - overlap]
    elif seen.ids and not seen.signs:  # from before this rule
        new = [event for event in new if known and when[event.id] >= seen.since - EARLIER_OVERLAP]
    else:
        archive = _archive(list(offered.values()), known, marks, seen)
        new = [event for event in new if event.id not in archive]
    since = max([seen.since, *(event.at for event in new if event.at and event.at <= now)])
    signs, looks = _signs(marks, seen)
    return sorted(new, key=lambda event: when[event.id]), Seen(since, _kept(when, seen, since, overlap), signs, looks)


def _marks(event: Event[Any], *, whole: bool) -> tuple[str, ...]:
    """Hashes of the ID (if it counts as a sign) and of the signs, each starting with its rank."""
    ranked = [*([(0, event.id)] if whole else []), *enumerate(event.signs, 1)]
    return tuple(f"{rank}{blake2b(sign.encode(errors='replace'), digest_size=8).hexdigest()}" for rank, sign in ranked)


def _is_known(event: Event[Any], marks: Sequence[str], seen: Seen) -> bool:
    if event.id in seen.ids or (marks and marks[0][0] == "0" and marks[0] in seen.signs):
        return True
    return not seen.signs and any(name in seen.ids for name in event.former)


def _recognized(
    offered: Mapping[str, Event[Any]], known: AbstractSet[str], marks: Mapping[str, Sequence[str]], seen: Seen
) -> set[str]:
    """Rows with unknown IDs that are recognized by their signs."""
    taken = {mark for name in known for mark in marks[name]}

    def having(ranks: str) -> set[str]:
        return {
            name
            for name in offered
            if name not in known
            and any(mark[0] in ranks and mark in seen.signs and mark not in taken for mark in marks[name])
        }

    return having("1") or (set() if known else having("23456789"))


def _archive(
    offered: Sequence[Event[Any]], known: AbstractSet[str], marks: Mapping[str, Sequence[str]], seen: Seen
) -> set[str]:
    """Rows at the old end of the list that belong to its archive."""
    dates = [event.at for event in offered if event.id in known and event.at]
    if not dates:
        return set()
    oldest_first = dates[0] <= dates[-1]
    block = set()
    for event in offered if oldest_first else reversed(offered):
        if event.id in known or not event.at or event.at >= min(dates):
            break
        block.add(event.id)
    return block if len(block) > FEW or (block and _vanished(marks, seen)) else set()


def _vanished(marks: Mapping[str, Sequence[str]], seen: Seen) -> int:
    """How many rows of the last poll are gone. A row whose ID or title changed is not gone."""
    present = {mark for each in marks.values() for mark in each}
    ranks = {mark[0] for mark in present} & {"0", "1"}
    gone = [mark[0] for mark, look in seen.signs.items() if look == seen.looks and mark not in present]
    return min((gone.count(rank) for rank in ranks), default=0)


def _signs(marks: Mapping[str, Sequence[str]], seen: Seen) -> tuple[Mapping[str, int], int]:
    present = {mark for each in marks.values() for mark in each}
    if not present:
        return seen.signs, seen.looks
    look = seen.looks + 1
    earlier = sorted(((mark, at) for mark, at in seen.signs.items() if mark not in present), key=lambda pair: -pair[1])
    return dict.fromkeys(sorted(present), look) | dict(earlier[: max(0, KEEP_SIGNS - len(present))]), look


def _kept(
    when: Mapping[str, datetime], seen: Seen, since: datetime, overlap: timedelta | None
) -> Mapping[str, datetime]:
    """The IDs to remember, with their times."""
    # what is shown but too old to fire is remembered too: edited later, it may be shown with a new date
    known = {**when, **seen.ids}
    newest = sorted(known.items(), key=lambda pair: pair[1], reverse=True)
    window = since - (OVERLAP if overlap is None else overlap)
    # a row that is still shown stays known, however old: its source has not forgotten it either. What is later than
    # `since` has no date, or one in the future; without an end of the window it would be kept for ever
    return dict(_staying(newest, when, window, since))


def _staying(
    newest: Sequence[tuple[str, datetime]], shown: Mapping[str, datetime], window: datetime, since: datetime
) -> Iterator[tuple[str, datetime]]:
    for place, (identity, at) in enumerate(newest):
        if place < KEEP or window <= at <= since or identity in shown:
            yield identity, at
