"""Parse iCalendar text (RFC 5545) in a separate process (see `area.kit.sandbox`): which events start in a time span.

icalendar and recurring-ical-events take ten seconds for a full 5 MB calendar, so the text is first reduced to the lines
and events that matter for the span. A rule such as "every second since 1970" never finishes; the process is ended
instead. Imports nothing else of AREA.
"""

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from hashlib import sha256
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component
from icalendar.error import GloballyUniqueTZIDGuessed
from icalendar.timezone import tzp
from recurring_ical_events.selection.name import ComponentsWithName
from recurring_ical_events.series import Series
from typing_extensions import override

from area.kit.zygote import Unreadable

MOST = 1000  # events within the span
MOST_LINES = 50_000  # about events that repeat or are near it; a list of dates counts as so many
SLACK = timedelta(days=2)  # dates are compared before their time zones are known

TEXTS = {"SUMMARY", "DESCRIPTION", "LOCATION"}
NEEDED = TEXTS | {
    "UID", "ORGANIZER", "URL", "STATUS", "SEQUENCE", "DURATION", "DTSTART", "DTEND", "RRULE", "RDATE", "EXDATE",
    "RECURRENCE-ID",
}  # fmt: skip
REPEATABLE = {"RRULE", "RDATE", "EXDATE"}
LONGEST_TEXT, LONGEST_LINE = 20_000, 100_000
DAY = re.compile(r"(\d{8})(?:T\d{6}Z?)?")
UNTIL = re.compile(r"UNTIL=(\d{8})", re.IGNORECASE)

# what the libraries raise at nonsense within one event
NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


class Occurrence(NamedTuple):
    """One occurrence of an event."""

    component: Component
    start: datetime
    end: datetime
    all_day: bool


class Found(NamedTuple):
    """Events that start within the span, in order; the calendar's name; and how many events could not be parsed."""

    name: str
    occurrences: list[Occurrence]
    skipped: int


def decode(content: bytes, *, zone: str, first: str, last: str) -> dict[str, Any]:
    """`read` as JSON: `name`, `skipped`, and `events`, each with the fields of `Starting`. Raises `Unreadable`."""
    found = read(content.decode(), ZoneInfo(zone), datetime.fromisoformat(first), datetime.fromisoformat(last))
    return {"name": found.name, "skipped": found.skipped, "events": [_fields(one) for one in found.occurrences]}


def _fields(one: Occurrence) -> dict[str, Any]:
    def said(name: str, most: int = 500) -> str:
        value = one.component.get(name, "")
        return str(value[0] if isinstance(value, list) else value).strip()[:most]

    uid = said("UID", LONGEST_LINE)
    return {
        "summary": said("SUMMARY"),
        "description": said("DESCRIPTION", 4000),
        "location": said("LOCATION"),
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "all_day": one.all_day,
        "organizer": said("ORGANIZER").removeprefix("mailto:").removeprefix("MAILTO:"),
        "url": said("URL", 2000),
        "uid": uid if len(uid) <= 200 else sha256(uid.encode()).hexdigest(),
    }


def read(text: str, zone: tzinfo, first: datetime, last: datetime) -> Found:
    """The events that start between `first` and `last` and aren't cancelled. Raises `Unreadable`.

    `zone` applies to all-day events and times without a zone, unless the calendar names its own.
    """
    lines = re.sub(r"\n[ \t]", "", text.replace("\r\n", "\n").replace("\r", "\n").strip("\ufeff \n") + "\n")
    if not re.match(r"BEGIN:VCALENDAR[ \t]*\n", lines, re.IGNORECASE):
        raise Unreadable("This URL isn't an ICS calendar. Use the calendar's iCal URL, which often ends in .ics.")
    if not re.search(r"^END:VCALENDAR[ \t]*\n\Z", lines, re.MULTILINE | re.IGNORECASE):
        raise Unreadable("The calendar is incomplete: END:VCALENDAR is missing.")
    calendar = _parse(_relevant(lines, first.date() - SLACK, last.date() + SLACK))
    zone = _known_zone(_header(lines, "X-WR-TIMEZONE")) or zone
    occurrences, skipped = _between(calendar, zone, first, last)
    name = _header(lines, "X-WR-CALNAME") or _header(lines, "NAME")
    return Found(name, sorted(occurrences, key=lambda one: one.start), skipped)


def _parse(text: str) -> Component:
    warnings.filterwarnings("ignore", category=GloballyUniqueTZIDGuessed)
    tzp.use_default()  # forgets the time zones of the calendar before
    try:
        # as bytes: a text of one line would be taken for the path of a file
        return Calendar.from_ical(text.encode())
    except (*NONSENSE, RecursionError, OSError) as error:
        raise Unreadable(f"The calendar can't be read: {str(error)[:200]}.") from error


def _between(calendar: Component, zone: tzinfo, first: datetime, last: datetime) -> tuple[list[Occurrence], int]:
    selection: Any = ComponentsWithName("VEVENT", series=_Series)
    all_series = selection.collect_series_from(calendar, NONSENSE)
    skipped = len({str(event.get("UID")) for event in calendar.walk("VEVENT")}) - len(all_series)
    occurrences: list[Occurrence] = []
    span = (first - SLACK).astimezone(zone), (last + SLACK).astimezone(zone)
    for series in all_series:
        try:
            occurrences += [one for one in _starting(series, zone, *span) if first <= one.start <= last]
        except NONSENSE:
            skipped += 1
        if len(occurrences) > MOST:
            raise Unreadable(f"The calendar has more than {MOST:,} events in a day.")
    return occurrences, skipped


def _known_zone(name: str) -> tzinfo | None:
    try:
        return tzp.timezone(name) if name else None
    except (*NONSENSE, OSError):
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


def _relevant(text: str, first: date, last: date) -> str:
    """A calendar with only the parts of `text` about events that may start between two dates."""
    kept, count = ["BEGIN:VCALENDAR"], 0
    for kind, lines in _blocks(text):
        if kind == "VTIMEZONE" or _matters(lines, f"{first:%Y%m%d}", f"{last:%Y%m%d}"):
            kept += [f"BEGIN:{kind}", *lines, f"END:{kind}"]
            if kind == "VEVENT" and not any(_name(line) == "UID" for line in lines):
                kept.insert(-1, "UID:" + sha256("\n".join(lines).encode()).hexdigest()[:32])
            count += sum(1 if _name(line) in TEXTS else 1 + line.count(",") for line in lines)
        if count > MOST_LINES:
            raise Unreadable(f"The calendar has more than {MOST_LINES:,} lines of recurring or upcoming events.")
    return "\n".join([*kept, "END:VCALENDAR", ""])


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """The time zones, whole, and the needed lines of each event. Line by line, because a regular expression could be
    tricked.
    """
    kind, lines, depth, names = "", list[str](), 0, set[str]()
    for line in text.split("\n"):
        name = _name(line)
        edge = line[len(name) + 1 :].strip().upper() if name in ("BEGIN", "END") else ""
        if not kind:
            if name == "BEGIN" and edge in ("VEVENT", "VTIMEZONE"):
                kind, lines, depth, names = edge, [], 1, set()
        elif edge == "VCALENDAR":
            break
        else:
            depth += (name == "BEGIN") - (name == "END")
            if not depth:
                yield kind, lines
                kind = ""
            elif depth > 10 or (len(line) > LONGEST_LINE and name in NEEDED - TEXTS):
                raise Unreadable(f"The calendar has a {kind} that is too large.")
            elif kind == "VTIMEZONE":
                lines.append(line[:LONGEST_LINE])
            elif depth == 1 and name in NEEDED and (name in REPEATABLE or name not in names):
                lines.append(line[:LONGEST_TEXT] if name in TEXTS else line)
                names.add(name)
    if kind:
        raise Unreadable(f"The calendar is incomplete: it ends inside a {kind}.")


def _name(line: str) -> str:
    return line.partition(":")[0].partition(";")[0].upper()


def _matters(event: list[str], first: str, last: str) -> bool:
    """Whether an event may start between two dates, judged by its dates alone."""
    values: dict[str, str] = {_name(line): line for line in event}
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
