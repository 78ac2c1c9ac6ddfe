"""Parse iCalendar text (RFC 5545) in a separate process (see `area.kit.sandbox`): which events start in a time span.

icalendar and recurring-ical-events take ten seconds for a full 5 MB calendar, so the text is first reduced to the lines
and events that matter for the span. Each event is parsed and expanded by itself: one that can't be read, or whose rule
never ends ("every second since 1970"), is left out and counted. What programs write beside the standard is put right
first, by `area.kit.ical`.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from hashlib import sha256
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component, Event
from icalendar.error import GloballyUniqueTZIDGuessed
from icalendar.timezone import tzp
from recurring_ical_events.selection.name import ComponentsWithName
from recurring_ical_events.series import Series
from typing_extensions import override

from area.kit.ical import DATES, fixed, name_of, repaired, repaired_rule, unfolded, zone_named
from area.kit.zygote import TooLong, Unreadable, within

MOST = 1000  # events within the span
MOST_LINES = 50_000  # about events that repeat or are near it; a list of dates counts as so many
SLACK = timedelta(days=2)  # dates are compared before their time zones are known
LONGEST = 0.7  # seconds of CPU to expand one event

TEXTS = {"SUMMARY", "DESCRIPTION", "LOCATION"}
NEEDED = TEXTS | DATES | {"UID", "ORGANIZER", "URL", "STATUS", "SEQUENCE", "DURATION", "RRULE"}
REPEATABLE = {"RRULE", "RDATE", "EXDATE"}
LONGEST_TEXT, LONGEST_LINE = 20_000, 100_000
DAY = re.compile(r"(\d{8})(?:T\d{6}Z?)?")
UNTIL = re.compile(r"UNTIL=(\d{8})", re.IGNORECASE)
COPY = "\x1f"  # between a UID that several events have, and the number of one of them


# what the libraries raise at nonsense within one event
NONSENSE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError, OSError,
    AssertionError, TooLong,
)  # fmt: skip


class Occurrence(NamedTuple):
    """One occurrence of an event. `former` is the UID that an earlier version made up for it."""

    component: Component
    start: datetime
    end: datetime
    all_day: bool
    former: str = ""


class Found(NamedTuple):
    """Events that start within the span, in order; the calendar's name; how many events could not be read, and how many
    of the others have no UID.
    """

    name: str
    occurrences: list[Occurrence]
    skipped: int
    nameless: int = 0


class _Block(NamedTuple):
    """A time zone or an event, as the lines between BEGIN and END. `former`: see `Occurrence`."""

    kind: str
    lines: list[str]
    former: str = ""


def decode(content: bytes, *, zone: str, first: str, last: str, charset: str | None = None) -> dict[str, Any]:
    """`read` as JSON: `name`, `skipped`, `nameless`, and `events`, each with the fields of `Coming`. Raises
    `Unreadable`.
    """
    text = unfolded(content, charset)
    found = read(text, ZoneInfo(zone), datetime.fromisoformat(first), datetime.fromisoformat(last))
    events = [_fields(occurrence) for occurrence in found.occurrences]
    return {"name": found.name, "skipped": found.skipped, "nameless": found.nameless, "events": events}


def _fields(occurrence: Occurrence) -> dict[str, Any]:
    def text(name: str, most: int = 500) -> str:
        value = occurrence.component.get(name, "")
        return str(value[0] if isinstance(value, list) else value).strip()[:most]

    def name_for(uid: str) -> str:
        return uid if len(uid) <= 200 else sha256(uid.encode()).hexdigest()

    return {
        "summary": text("SUMMARY"),
        "description": text("DESCRIPTION", 4000),
        "location": text("LOCATION"),
        "start": occurrence.start.isoformat(),
        "end": occurrence.end.isoformat(),
        "all_day": occurrence.all_day,
        "organizer": text("ORGANIZER").removeprefix("mailto:").removeprefix("MAILTO:"),
        "url": text("URL", 2000),
        "uid": name_for(text("UID", LONGEST_LINE).partition(COPY)[0].strip()),
        "former": name_for(occurrence.former),
    }


def read(text: str, zone: tzinfo, first: datetime, last: datetime) -> Found:
    """The events that start between `first` and `last` and aren't cancelled. Raises `Unreadable`.

    `zone` applies to all-day events and times without a zone, unless the calendar names its own.
    """
    lines = unfolded(text.encode(errors="replace"))
    if not re.match(r"BEGIN:VCALENDAR[ \t]*\n", lines, re.IGNORECASE):
        raise Unreadable("This URL isn't an ICS calendar. Use the calendar's iCal URL, which often ends in .ics.")
    if not re.search(r"^END:VCALENDAR[ \t]*\n\Z", lines, re.MULTILINE | re.IGNORECASE):
        raise Unreadable("The calendar is incomplete: END:VCALENDAR is missing.")
    warnings.filterwarnings("ignore", category=GloballyUniqueTZIDGuessed)
    tzp.use_default()  # forgets the time zones of the calendar before
    zones, blocks, skipped = _relevant(lines, first.date() - SLACK, last.date() + SLACK)
    own = _header(lines, "X-WR-TIMEZONE")
    used = {own, *(match[1] for block in blocks for line in block.lines for match in ZONE.finditer(line))}
    for name in used & zones.keys():
        _bring(zones[name])
    zone = _known_zone(own, zones) or zone
    events = []
    for block in blocks:
        try:
            events.append((_event(block), block.former))
        except NONSENSE:
            skipped += 1
    occurrences, failed = _between(_told_apart(events), zone, first, last)
    name = _header(lines, "X-WR-CALNAME") or _header(lines, "NAME")
    nameless = sum(bool(former) for _, former in events)
    return Found(name, sorted(occurrences, key=lambda each: each.start), skipped + failed, nameless)


ZONE = re.compile(r';TZID="([^"]*)"')


def _bring(block: _Block) -> None:
    """Make the calendar's own time zone known to the parser. One that can't be read counts as not there."""
    text = "\r\n".join(["BEGIN:VCALENDAR", "BEGIN:VTIMEZONE", *block.lines, "END:VTIMEZONE", "END:VCALENDAR", ""])
    try:
        with within(LONGEST):
            Calendar.from_ical(text.encode())
    except NONSENSE:
        return


def _event(block: _Block) -> Component:
    """The event of a block, with an end that fits its start, and all days of a rule until a date. Raises one of
    `NONSENSE`.
    """
    # as bytes: a text of one line would be taken for the path of a file
    event: Any = Event.from_ical("\r\n".join(["BEGIN:VEVENT", *block.lines, "END:VEVENT", ""]).encode())
    broken = {name.upper() for name, _ in event.errors}
    if broken & {"DTSTART", "RRULE", "RECURRENCE-ID"} or "DTSTART" not in event:
        raise ValueError(broken)
    for name in broken:
        event.pop(name, None)
    start = _in_zone(event, "DTSTART")
    if not isinstance(start, date):  # but a time of day or a period
        raise TypeError(start)
    _fit_end(event, start)
    for name in ("RECURRENCE-ID", "EXDATE", "RDATE"):
        if name in event:
            _in_zone(event, name)
    for rule in _each(event.get("RRULE")):
        if any(int(interval) < 1 for interval in _each(rule.get("INTERVAL"))):
            raise ValueError(rule)
        until = next(iter(_each(rule.get("UNTIL"))), None)
        if isinstance(start, datetime) and isinstance(until, date) and not isinstance(until, datetime):
            last = datetime.combine(until, time(23, 59, 59), tzinfo=start.tzinfo)
            rule["UNTIL"] = [last.astimezone(UTC) if last.tzinfo else last]
    component: Component = event
    return component


def _fit_end(event: Any, start: date) -> None:
    """Take out an end or a length that doesn't fit the start."""
    end = _in_zone(event, "DTEND") if "DTEND" in event else None
    fits = isinstance(end, date) and isinstance(end, datetime) == isinstance(start, datetime)
    if end is not None and (not fits or _before(end, start)):
        del event["DTEND"]
    if "DURATION" in event and (event["DURATION"].dt < timedelta() or "DTEND" in event):
        del event["DURATION"]


def _in_zone(event: Any, name: str) -> Any:
    """The property's date, or the first of several, with a fixed offset that only `ical.zone_named` knows applied."""
    first = None
    for property_ in _each(event[name]):
        zone = fixed(str(property_.params.get("TZID", "")))
        for value in getattr(property_, "dts", [property_]):
            if zone is not None and isinstance(value.dt, datetime) and value.dt.tzinfo is None:
                value.dt = value.dt.replace(tzinfo=zone)
            first = value.dt if first is None else first
        if zone is not None:
            del property_.params["TZID"]
    return first


def _before(end: Any, start: Any) -> bool:
    try:
        return bool(end < start)
    except TypeError:  # one of them has a time zone
        return bool(end.replace(tzinfo=None) < start.replace(tzinfo=None))


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _told_apart(events: Iterable[tuple[Component, str]]) -> list[tuple[Component, str]]:
    """The events without those that a later version replaces. Different events with one UID get one of their own."""
    groups: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    kept: list[tuple[Component, str]] = []
    for event, former in events:
        (kept if "RECURRENCE-ID" in event else groups[str(event.get("UID"))]).append((event, former))
    for uid, same in groups.items():
        latest = max(_sequence(event) for event, _ in same)
        by_start = {event["DTSTART"].to_ical(): (event, former) for event, former in same if _sequence(event) == latest}
        # what repeats keeps the UID, by which its exceptions know it
        for number, (event, former) in enumerate(sorted(by_start.values(), key=lambda pair: "RRULE" not in pair[0])):
            if number:
                event["UID"] = f"{uid}{COPY}{number}"
            kept.append((event, former))
    return kept


def _sequence(event: Any) -> int:
    try:
        return int(event.get("SEQUENCE", 0))
    except (TypeError, ValueError):
        return 0


def _between(
    events: list[tuple[Component, str]], zone: tzinfo, first: datetime, last: datetime
) -> tuple[list[Occurrence], int]:
    formers = {str(event.get("UID")): former for event, former in events}
    components: dict[str, Component] = defaultdict(Calendar)
    for event, _ in events:
        components[str(event.get("UID"))].add_component(event)
    selection: Any = ComponentsWithName("VEVENT", series=_Series)
    occurrences: list[Occurrence] = []
    skipped = 0
    span = (first - SLACK).astimezone(zone), (last + SLACK).astimezone(zone)
    for uid, calendar in components.items():
        try:
            with within(LONGEST):
                all_series = selection.collect_series_from(calendar, ())
                some = [each for series in all_series for each in _starting(series, zone, *span)]
        except NONSENSE:
            skipped += 1
            continue
        occurrences += [each._replace(former=formers[uid]) for each in some if first <= each.start <= last]
        if len(occurrences) > MOST:
            raise Unreadable("The calendar has more than %(number)s events in a day.", number=MOST)
    return occurrences, skipped


def _known_zone(name: str, zones: Iterable[str]) -> tzinfo | None:
    known = name if name in zones else (zone_named(name) or name)
    try:
        return fixed(known) or (tzp.timezone(known) if known else None)
    except NONSENSE:
        return None


def _starting(series: Series, zone: tzinfo, first: datetime, last: datetime) -> Iterator[Occurrence]:
    one: Any
    for one in series.between(first, last):
        component = one.as_component(keep_recurrence_attributes=False)
        if str(component.get("STATUS", "")).upper() != "CANCELLED":
            all_day = not isinstance(one.start, datetime)
            yield Occurrence(component, _instant(one.start, zone), _instant(one.end, zone), all_day)


def _instant(value: date, zone: tzinfo) -> datetime:
    """`value` with a fixed offset from its zone, or else `zone`; a calendar's own zones can be slow."""
    local = value if isinstance(value, datetime) else datetime.combine(value, time())
    aware = local if local.tzinfo else local.replace(tzinfo=zone)
    instant = aware.astimezone(UTC)
    offset = instant.astimezone(aware.tzinfo).utcoffset() or timedelta(0)
    return instant.astimezone(timezone(offset))


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}(?:;.*?)?:(.*)$", text.partition("\nBEGIN:")[0], re.MULTILINE | re.IGNORECASE)
    return re.sub(r"\\([,;\\])", r"\1", found[1]).strip() if found else ""


def _relevant(text: str, first: date, last: date) -> tuple[dict[str, _Block], list[_Block], int]:
    """The time zones by their names, the events that may start between two dates, and how many events are too large."""
    zones: dict[str, _Block] = {}
    events: list[_Block] = []
    skipped = 0
    for block in _blocks(text):
        if block is None:
            skipped += 1
        elif block.kind == "VTIMEZONE":
            name = next((line.partition(":")[2].strip() for line in block.lines if name_of(line) == "TZID"), "")
            zones.setdefault(name, block)
        else:
            events.append(block)
    kept, count = [], 0
    for block in events:
        lines = [line for line in (_mended(line, zones) for line in block.lines) if line]
        if not _matters(lines, f"{first:%Y%m%d}", f"{last:%Y%m%d}"):
            continue
        former = ""
        if not any(name_of(line) == "UID" and line.partition(":")[2] for line in lines):
            former = sha256("\n".join(block.lines).encode()).hexdigest()[:32]
            named = [line for line in lines if name_of(line) in ("SUMMARY", "DTSTART", "RECURRENCE-ID")]
            lines.append("UID:" + sha256("\n".join(sorted(named)).encode()).hexdigest()[:32])
        kept.append(_Block("VEVENT", lines, former))
        count += sum(1 if name_of(line) in TEXTS else 1 + line.count(",") for line in lines)
        if count > MOST_LINES:
            raise Unreadable(
                "The calendar has more than %(number)s lines of recurring or upcoming events.", number=MOST_LINES
            )
    return zones, kept, skipped


def _mended(line: str, zones: Collection[str]) -> str:
    name = name_of(line)
    return repaired(line, zones) if name in DATES else repaired_rule(line) if name == "RRULE" else line.rstrip()


def _blocks(text: str) -> Iterator[_Block | None]:
    """The time zones, whole, and the needed lines of each event; None for what is too large. Line by line, because a
    regular expression could be tricked.
    """
    kind, lines, depth, names, large = "", list[str](), 0, set[str](), False
    for line in text.split("\n"):
        name = name_of(line)
        edge = line.partition(":")[2].strip().upper() if name in ("BEGIN", "END") else ""
        if not kind:
            if name == "BEGIN" and edge in ("VEVENT", "VTIMEZONE"):
                kind, lines, depth, names, large = edge, [], 1, set(), False
        elif edge == "VCALENDAR":
            break
        else:
            depth += (name == "BEGIN") - (name == "END")
            if not depth:
                yield None if large else _Block(kind, lines)
                kind = ""
            elif depth > 10 or (len(line) > LONGEST_LINE and name in NEEDED - TEXTS):
                large = True
            elif kind == "VTIMEZONE":
                lines.append(line[:LONGEST_LINE].rstrip())
            elif depth == 1 and name in NEEDED and (name in REPEATABLE or name not in names):
                lines.append(line[:LONGEST_TEXT] if name in TEXTS else line)
                names.add(name)
    if kind:
        raise Unreadable("The calendar is incomplete: it ends inside a %(kind)s.", kind=kind)


def _matters(event: list[str], first: str, last: str) -> bool:
    """Whether an event may start between two dates, judged by its dates alone."""
    values: dict[str, str] = {name_of(line): line for line in event}
    if "RDATE" in values or ";RANGE=" in values.get("RECURRENCE-ID", "").upper():
        return True
    days = [
        DAY.fullmatch(values[name].rpartition(":")[2].strip())
        for name in ("DTSTART", "RECURRENCE-ID")
        if name in values
    ]
    starts = [day[1] for day in days if day]
    if not starts or len(starts) < len(days):
        return True
    until = UNTIL.search(values.get("RRULE", ""))
    over = until[1] < first if until else "RRULE" not in values and max(starts) < first
    return not over and min(starts) <= last


class _Rules(Series.RecurrenceRules):
    """Recurrence rules that don't keep every occurrence up to today in memory."""

    @override
    def rrulestr(self, rule_string: str) -> Any:
        rule: Any = super().rrulestr(rule_string)
        lean: Any = rule.replace(cache=False)
        lean.string, lean.until = rule.string, rule.until
        return lean


class _Series(Series):
    RecurrenceRules = _Rules
