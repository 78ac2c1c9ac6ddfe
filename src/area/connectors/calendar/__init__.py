"""Calendar: events of any ICS (iCalendar, RFC 5545) calendar."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, HttpUrl

from area.sdk import (
    Context,
    Event,
    Events,
    Output,
    Reader,
    Response,
    Retry,
    Sentence,
    Service,
    ZoneName,
    counted,
    output,
    param,
)
from area.sdk.decoding import charset_in
from area.sdk.keys import Login, credentials

service = Service(
    "calendar",
    "Calendar (ICS)",
    "React to events of any calendar with an ICS URL: Google, Outlook, iCloud, Nextcloud and others.",
    docs="https://www.rfc-editor.org/rfc/rfc5545",
    auth=credentials(Login),
    quality="verified",
    synonyms={
        "": "iCal, iCalendar, CalDAV, iCloud, Nextcloud, Outlook calendar, Apple calendar, agenda, birthdays, holidays",
        "event_starts": "appointment, meeting, before an event, event starts soon, reminder",
    },
)

FETCH_EVERY = timedelta(minutes=5)
LATE = timedelta(hours=24)  # an event missed by more is not told any more
AHEAD = timedelta(hours=24)  # how far events are worked out and remembered
MARGIN = timedelta(hours=1)  # of what is remembered, at which an unchanged calendar is read again
GRACE = timedelta(minutes=10)  # an event entered or moved when it has already begun still counts that long
LONGEST = timedelta(days=31)  # how long ago an event may have begun that is still going on
MAX_BYTES = 5_000_000
MAX_REMEMBERED = 150_000  # bytes of JSON

_reader = Reader(Path(__file__).with_name("ics.py"))


def _https(value: Any) -> Any:
    scheme, colon, rest = str(value).strip().partition(":")
    return f"https:{rest}" if colon and scheme.lower() in ("webcal", "webcals") else value


Address = Annotated[HttpUrl, BeforeValidator(_https)]


class Calendar(BaseModel):
    url: Address = param(
        "ICS URL of the calendar; webcal:// works too", "https://example.org/team.ics", holds="address"
    )
    minutes_before: int = param("Minutes before the start", 15, default=0, ge=0, le=40320)
    matching: str = param("Only events whose title contains this text", "holiday", default="")
    timezone: ZoneName = param(
        "Time zone for all-day events and times without one, unless the calendar names its own",
        "Europe/Paris",
        default="UTC",
    )


class Starting(Output):
    summary: str = output("summary", "Title", "Team meeting")
    description: str = output("description", "Description, up to 4,000 characters", "Agenda: the release")
    location: str = output("location", "Place", "Room 2")
    start: datetime = output("start", "Start", "2026-11-23T09:30:00+01:00")
    end: datetime = output("end", "End", "2026-11-23T10:00:00+01:00")
    all_day: bool = output("all_day", "Whether it is an all-day event", False)
    organizer: str = output("organizer", "Organizer's e-mail address", "ada@example.org")
    url: str = output("url", "URL of the event's page", "https://example.org/events/42")
    uid: str = output("uid", "Event ID, shared by all its occurrences", "42@example.org")
    calendar: str = output("calendar", "Calendar name", "Team")


class Coming(Starting):
    """An event as it is remembered. `former` is the ID that an earlier version made up for an event without one."""

    former: str = ""

    def event(self, before: timedelta) -> Event[Starting]:
        """What fires, `before` the start. Title and start tell events apart whose IDs change at each look."""
        start = self.start.astimezone(UTC).isoformat()
        data = Starting.model_validate(self.model_dump(exclude={"former"}))
        former = (f"{self.former}:{start}",) if self.former else ()
        return Event(f"{self.uid}:{start}", data, (self.start - before).astimezone(UTC), (self.name,), former)

    @property
    def name(self) -> str:
        """Title and start."""
        return f"{self.summary}\n{self.start.astimezone(UTC).isoformat()}"


@service.poll("Calendar event starts", every=timedelta(minutes=1))
async def event_starts(ctx: Context, params: Calendar, since: datetime) -> Events[Starting]:
    """Triggers when an event starts, or a few minutes before; once for each occurrence of a recurring event.

    The calendar is fetched every five minutes. Events of the next 24 hours are stored, so they run on time between
    fetches, after a restart and while the calendar's server is down.
    """
    now, before = datetime.now(UTC), timedelta(minutes=params.minutes_before)
    coming = [Coming.model_validate(item) for item in ctx.state.get("coming", [])]
    last = _moment(ctx.state.get("asked"))
    if last is None or not last <= now < last + FETCH_EVERY:
        coming = await _fetch(ctx, params, since, now, coming)
    for each in coming:
        event = each.event(before)
        if event.at and now - LATE <= event.at <= now:
            yield event


@service.lookup("Find an event at a time")
async def event_at(
    ctx: Context,
    url: Annotated[
        Address,
        param("ICS URL of the calendar; webcal:// works too", "https://example.org/team.ics", holds="address"),
    ],
    at: Annotated[datetime | None, param("Time; now if empty", "2026-11-23T09:30:00+01:00")] = None,
    hours_ahead: Annotated[
        int, param("How many hours ahead to look; 0 for events that are going on at that time", 24, ge=0, le=744)
    ] = 0,
    matching: Annotated[str, param("Only events whose title contains this text", "holiday")] = "",
    timezone: Annotated[
        ZoneName,
        param("Time zone for all-day events and times without one, unless the calendar names its own", "Europe/Paris"),
    ] = "UTC",
) -> Starting | None:
    """Find the event of a calendar that is going on at a time, or the next one."""
    moment = at or datetime.now(UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))
    response = await ctx.http.request("GET", str(url), headers={"Accept": "text/calendar"}, max_bytes=MAX_BYTES)
    ctx.http.check(response)
    calendar = Calendar(url=url, matching=matching, timezone=timezone)
    last = moment + timedelta(hours=hours_ahead)
    events, _, _ = await _read(calendar, response, moment - LONGEST, last)
    fitting = [event for event in events if event.end > moment and event.start <= last]
    nearest = min(fitting, key=lambda event: event.start, default=None)
    return nearest and Starting.model_validate(nearest.model_dump(exclude={"former"}))


async def _fetch(ctx: Context, params: Calendar, since: datetime, now: datetime, coming: list[Coming]) -> list[Coming]:
    """Fetch the calendar if it changed. Returns events that have started since the last check, and upcoming ones."""
    state, before = dict(ctx.state), timedelta(minutes=params.minutes_before)
    until = _moment(state.get("until"))
    if until is None or until < now + MARGIN:  # what is remembered runs out: the text itself is needed
        state = {name: state[name] for name in ("seen",) if name in state}
    try:
        response = await ctx.http.get_if_changed(
            str(params.url), state, headers={"Accept": "text/calendar"}, max_bytes=MAX_BYTES
        )
    except Retry as error:
        if until is None or until < now:
            raise
        ctx.log.warning("the calendar can't be fetched, going by what is remembered", reason=str(error))
        ctx.state["asked"] = now.isoformat()
        return coming
    if response is not None:
        last_look = min(_moment(state.get("seen")) or since, now)
        earliest = max(last_look - GRACE, now - LATE)
        known, (coming, skipped, nameless) = (
            coming,
            await _read(params, response, earliest + before, now + AHEAD + before),
        )
        state["until"] = (now + AHEAD).isoformat()
    state["coming"], size = [], 0
    for each in coming:
        at = each.start - before
        if at > now:
            size += len(each.model_dump_json().encode())
            if size > MAX_REMEMBERED:
                state["until"] = at.isoformat()
                break
            state["coming"].append(each.model_dump(mode="json"))
    state["asked"] = state["seen"] = now.isoformat()
    ctx.state.clear()
    ctx.state.update(state)
    if response is not None:
        ctx.note(*_notes(skipped, nameless, renamed=_renamed(known, coming)))
    return coming


async def _read(params: Calendar, response: Response, first: datetime, last: datetime) -> tuple[list[Coming], int, int]:
    """The events that match, how many can't be read, and how many have no UID."""
    span = {"first": first.isoformat(), "last": last.isoformat()}
    charset = charset_in(response.headers.get("content-type", ""))
    read = await _reader.read(response.host, response.body, charset=charset, zone=params.timezone, **span)
    coming = (Coming.model_validate({**each, "calendar": read["name"][:200]}) for each in read["events"])
    matching = params.matching.lower()
    return [each for each in coming if matching in each.summary.lower()], read["skipped"], read["nameless"]


def _renamed(known: list[Coming], coming: list[Coming]) -> bool:
    """Whether events that were known have other UIDs now, and none has the same."""
    uids = {each.name: each.uid for each in known}
    same = [uids[each.name] == each.uid for each in coming if each.name in uids]
    return bool(same) and not any(same)


def _notes(skipped: int, nameless: int, *, renamed: bool) -> list[Sentence]:
    """What the owner should know about the calendar."""
    notes = []
    if skipped:
        notes.append(
            counted(
                "%(number)s event of the calendar can't be read and was left out.",
                "%(number)s events of the calendar can't be read and were left out.",
                skipped,
            )
        )
    if nameless:
        notes.append(Sentence("Some events of the calendar have no UID. AREA tells them apart by title and start."))
    elif renamed:
        notes.append(
            Sentence("The calendar's event UIDs change each time. AREA tells events apart by title and start.")
        )
    return notes


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
