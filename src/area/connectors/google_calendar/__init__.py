"""Google Calendar: triggers on events that start soon, are added, changed or cancelled; adds events."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, EmailStr, model_validator

from area.sdk import (
    Context,
    Event,
    Events,
    Gone,
    Output,
    ZoneName,
    lookup,
    now,
    output,
    param,
    parse,
    quoted,
    without_blanks,
)
from area.sdk.mail import Addresses, mailboxes
from area.vendors import google
from area.vendors.google import hint, scope

SOON = timedelta(minutes=1)
LATE = timedelta(days=1)  # who is invited sees the event later than it was made
LIST = scope("calendar.calendarlist.readonly")  # to choose a calendar from
READ, WRITE = (scope("calendar.events.readonly"), LIST), (scope("calendar.events"), LIST)
CHANGED = hint("/calendar/v3", "calendars/{calendar}/events/watch")
EVENTS, EVENT = "/calendar/v3/calendars/{}/events", "/calendar/v3/calendars/{}/events/{}"

service = google.service(
    "google_calendar",
    "Google Calendar",
    "React to events that start, are added, changed or cancelled; add events and invite guests.",
    docs="https://developers.google.com/workspace/calendar/api",
    base_url="https://www.googleapis.com",
    synonyms={
        "": "agenda, schedule",
        "event_starts": "appointment, before a meeting, reminder",
        "event_added": "appointment booked, new meeting, invitation, calendar entry created",
        "event_changed": "meeting moved, rescheduled, postponed",
        "event_cancelled": "meeting cancelled, appointment cancelled",
        "create_event": (
            "add to calendar, appointment, book a meeting, block time, make an appointment, schedule, reminder, invite"
        ),
        "quick_add": "add to calendar, book a meeting, natural language",
        "invite": "attendee, participant",
        "cancel_event": "cancel a meeting, remove",
    },
)
# https://developers.google.com/workspace/calendar/api/v3/reference/calendarList/list
service.options("calendars", "/calendar/v3/users/me/calendarList", "id", "summaryOverride summary", "accessRole")

Calendar = Annotated[str, param("Calendar; `primary` is your main calendar", "primary", pick="calendars", min_length=1)]
EventId = Annotated[str, param("Event ID", "{{id}}", min_length=1)]
Notify = Annotated[bool, param("Notify guests by e-mail", True)]
Ahead = Annotated[int, param("Minutes before the start", 15, ge=0, le=40320)]
Query = Annotated[str, param("Only events that contain these words", "standup")]
InWords = Annotated[str, param("Title, time and place, in words", "Lunch with Ann tomorrow 12:30", min_length=1)]
Guest = Annotated[EmailStr, param("Guest's e-mail address", "ann@example.org")]
END = param("End; an hour after the start, or the same day for all-day events, if empty", "2026-11-24T10:00:00+01:00")


class NewEvent(BaseModel):
    """An event to add."""

    calendar: Calendar = "primary"
    title: Annotated[str, param("Title", "{{title}}", min_length=1)]
    start: Annotated[datetime, param("Start", "2026-11-24T09:00:00+01:00")]
    end: Annotated[datetime | None, END] = None
    timezone: Annotated[ZoneName, param("Time zone for times without an offset", "Europe/Paris")] = "UTC"
    all_day: Annotated[bool, param("All-day event, including the last day", False)] = False
    description: Annotated[str, param("Text", "{{body}}")] = ""
    location: Annotated[str, param("Location", "Room 4")] = ""
    guests: Annotated[Addresses, param("Guests' e-mail addresses", "ann@example.org")] = ""
    notify: Notify = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        zone = ZoneInfo(self.timezone)
        self.start = self.start if self.start.tzinfo else self.start.replace(tzinfo=zone)
        end = self.end or (self.start if self.all_day else self.start + timedelta(hours=1))
        self.end = end if end.tzinfo else end.replace(tzinfo=zone)
        if self.end < self.start:
            raise ValueError("The event can't end before it starts.")
        return self


class Happening(Output):
    id: str = output("id", "Event ID", "4b1r2a0pq7e3")
    title: str = output("summary", "Title", "Standup", "")
    description: str = output("description", "Text, which may be HTML", "What did you do?", "")
    location: str = output("location", "Location", "Room 4", "")
    starts_at: datetime | None = output("starts_at", "Start", "2026-11-23T09:00:00Z", None)
    ends_at: datetime | None = output("ends_at", "End", "2026-11-23T09:15:00Z", None)
    all_day: bool = output("all_day", "Whether it is an all-day event", False)
    status: str = output("status", "`confirmed`, `tentative` or `cancelled`", "confirmed", "confirmed")
    organizer: str = output("organizer", "Organizer's e-mail address", "ann@example.org")
    guests: list[str] = output("attendees.*.email", "Guests' e-mail addresses", ["bob@example.com"], [])
    meeting_url: str = output("hangoutLink", "URL of the video call", "https://meet.google.com/abc-defg-hij", "")
    url: str = output("htmlLink", "URL", "https://www.google.com/calendar/event?eid=NGIxcjJh", "")


class Cancelled(Output):
    event_id: str = output("event_id", "Event ID", "4b1r2a0pq7e3")


@service.poll("Event starting soon", every=SOON, scopes=READ)
async def event_starts(
    ctx: Context, since: datetime, calendar: Calendar = "primary", minutes: Ahead = 15, query: Query = ""
) -> Events[Happening]:
    """Triggers a few minutes before an event starts, or when it starts; once for each occurrence of a recurring
    event.
    """
    ahead = timedelta(minutes=minutes)
    begin, end = (moment.isoformat(timespec="seconds") for moment in (since, now() + ahead + timedelta(seconds=1)))
    body = without_blanks(singleEvents="true", orderBy="startTime", timeMin=begin, timeMax=end, q=query)
    # https://developers.google.com/workspace/calendar/api/v3/reference/events/list
    async for page in ctx.http.answers(quoted(EVENTS, calendar), params=body):
        for item in page.get("items") or ():
            event = _read(item, page.get("timeZone", "UTC"))
            if event.starts_at is None:
                continue
            due, changed = event.starts_at - ahead, _moment(item.get("updated"))
            # it may have been added, or moved here, after it was due
            at = max(due, changed) if changed and changed <= event.starts_at else due
            yield Event(f"{event.id} {event.starts_at.astimezone(UTC).isoformat()}", event, at)


@service.poll("New event", every=SOON, overlap=LATE, scopes=READ, hint=CHANGED)
async def event_added(ctx: Context, since: datetime, calendar: Calendar = "primary") -> Events[Happening]:
    """Triggers when an event is added to a calendar or you are invited to an event. Recurring events run once."""
    async for item, zone in _changes(ctx, calendar):
        created = _moment(item.get("created"))
        if item.get("status") != "cancelled" and created and created >= since:
            yield Event(item["id"], _read(item, zone), created)


@service.poll("Event changed", every=SOON, overlap=LATE, scopes=READ, hint=CHANGED)
async def event_changed(ctx: Context, since: datetime, calendar: Calendar = "primary") -> Events[Happening]:
    """Triggers when an event's time, text, guests or their answers change."""
    async for item, zone in _changes(ctx, calendar):
        created, changed = _moment(item.get("created")), _moment(item.get("updated"))
        # what was just made is not changed yet, though its two dates differ a little
        fresh = created and changed and changed - created < timedelta(seconds=3)
        if item.get("status") != "cancelled" and changed and changed >= since and not fresh:
            yield Event(f"{item['id']} {item['updated']}", _read(item, zone), changed)


@service.poll("Event cancelled", every=SOON, overlap=LATE, scopes=READ, hint=CHANGED)
async def event_cancelled(ctx: Context, since: datetime, calendar: Calendar = "primary") -> Events[Happening]:
    """Triggers when an event is cancelled or deleted. For some events Google sends only the ID."""
    async for item, zone in _changes(ctx, calendar):
        at = _moment(item.get("updated"))
        if item.get("status") == "cancelled" and (at is None or at >= since):
            yield Event(f"{item['id']} {item.get('updated') or item.get('etag', '')}", _read(item, zone), at)


@service.reaction("Add an event", scopes=WRITE, idempotent="key")
async def create_event(ctx: Context, params: NewEvent) -> Happening:
    """Add an event to a calendar. Retries never add it twice."""
    assert params.end is not None  # noqa: S101 - the model fills it in
    body: dict[str, Any] = {"summary": params.title, "description": params.description, "location": params.location}
    if ctx.idempotency_key:  # letters a to v and digits: then a second attempt finds the first
        body["id"] = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()
    if params.all_day:
        body["start"] = {"date": params.start.date().isoformat()}
        body["end"] = {"date": (params.end.date() + timedelta(days=1)).isoformat()}
    else:
        body["start"], body["end"] = ({"dateTime": moment.isoformat()} for moment in (params.start, params.end))
    if params.guests:
        body["attendees"] = [{"email": box.address} for box in mailboxes(params.guests)]
    address, mails = quoted(EVENTS, params.calendar), _mails(notify=params.notify)
    try:
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/insert
        return _read(await ctx.http.post(address, dict[str, Any], params=mails, json=body, gone=(409,)))
    except Gone:
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/get
        return _read(await ctx.http.get(quoted(EVENT, params.calendar, body["id"]), dict[str, Any]))


@service.reaction("Quick-add an event", on_crash="fail", scopes=WRITE)
async def quick_add(ctx: Context, *, calendar: Calendar = "primary", text: InWords) -> Happening:
    """Add an event from a sentence, as in Google's quick add."""
    address = quoted(EVENT, calendar, "quickAdd")
    # https://developers.google.com/workspace/calendar/api/v3/reference/events/quickAdd
    return _read(await ctx.http.post(address, dict[str, Any], params={"text": text}))


@service.reaction("Invite a guest", scopes=WRITE, idempotent="same")
async def invite(
    ctx: Context, *, calendar: Calendar = "primary", event_id: EventId, notify: Notify = False, email: Guest
) -> Happening:
    """Invite someone to an event. Succeeds if they are already invited."""
    address = quoted(EVENT, calendar, event_id)
    event = await ctx.http.get(address, dict[str, Any])
    guests = event.get("attendees") or []
    if all(guest.get("email", "").lower() != email.lower() for guest in guests):
        body = {"attendees": [*guests, {"email": email}]}
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/patch
        event = await ctx.http.ask("PATCH", address, dict[str, Any], params=_mails(notify=notify), json=body)
    return _read(event)


@service.reaction("Delete an event", scopes=WRITE, idempotent="same")
async def cancel_event(
    ctx: Context, *, calendar: Calendar = "primary", event_id: EventId, notify: Notify = False
) -> Cancelled:
    """Delete an event from a calendar. Succeeds if it is already deleted."""
    address = quoted(EVENT, calendar, event_id)
    with suppress(Gone):
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/delete
        await ctx.http.call("DELETE", address, params=_mails(notify=notify), gone=(410,))
    return Cancelled(event_id=event_id)


async def _changes(ctx: Context, calendar: str) -> AsyncIterator[tuple[dict[str, Any], str]]:
    """Changes since the last check and the calendar's time zone; everything if Google's sync token has expired."""
    fields = "nextPageToken,nextSyncToken,timeZone,items(id,etag,status,created,updated,summary,description,location,"
    query = {"maxResults": "2500", "fields": fields + "start,end,organizer,attendees(email),hangoutLink,htmlLink)"}
    token = ctx.state.get("token")
    for since in ({"syncToken": token}, {}) if token else ({},):
        with suppress(Gone):  # the token has ended
            gone = (410,) if since else ()
            # https://developers.google.com/workspace/calendar/api/guides/sync
            async for page in ctx.http.answers(quoted(EVENTS, calendar), params=query | since, gone=gone):
                for item in page.get("items") or ():
                    yield item, page.get("timeZone", "UTC")
                ctx.state["token"] = page.get("nextSyncToken", ctx.state.get("token"))
            return


def _mails(*, notify: bool) -> dict[str, str]:
    return {"sendUpdates": "all" if notify else "none"}


@service.lookup("Find an event", scopes=READ)
async def find_event(
    ctx: Context,
    calendar: Calendar = "primary",
    at: Annotated[datetime | None, param("Time; now if empty", "2026-11-23T09:00:00Z")] = None,
    hours_ahead: Annotated[
        int, param("How many hours ahead to look; 0 for events that are going on at that time", 24, ge=0, le=744)
    ] = 0,
    query: Query = "",
) -> Happening | None:
    """Find the event of a calendar that is going on at a time, or the next one."""
    moment = (at if at is None or at.tzinfo else at.replace(tzinfo=UTC)) or now()
    last = moment + timedelta(hours=hours_ahead, seconds=1)
    begin, end = (instant.isoformat(timespec="seconds") for instant in (moment, last))
    params = without_blanks(
        singleEvents="true", orderBy="startTime", timeMin=begin, timeMax=end, q=query, maxResults="1"
    )
    # https://developers.google.com/workspace/calendar/api/v3/reference/events/list
    page = await ctx.http.get(quoted(EVENTS, calendar), dict[str, Any], params=params)
    return next((_read(item, page.get("timeZone", "UTC")) for item in page.get("items") or ()), None)


def _read(item: Mapping[str, Any], zone: str = "UTC") -> Happening:
    """An event (https://developers.google.com/workspace/calendar/api/v3/reference/events), its days in the calendar's
    time zone.
    """
    start, end = item.get("start", {}), item.get("end", {})
    more = {"starts_at": _time(start, zone), "ends_at": _time(end, zone), "all_day": "date" in start}
    return parse(Happening, {**item, **more, "organizer": lookup("organizer.email", item, "")}, "Google Calendar")


def _time(told: Mapping[str, Any], zone: str) -> datetime | None:
    """Start or end of an event; an all-day event starts at midnight."""
    at = _moment(told.get("dateTime") or told.get("date"))
    return at.replace(tzinfo=ZoneInfo(told.get("timeZone", zone))) if at and not at.tzinfo else at


def _moment(value: str | None) -> datetime | None:
    return None if value is None else parse(datetime, value, "Google Calendar")
