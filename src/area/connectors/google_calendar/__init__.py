"""Google Calendar: what starts soon, is added, changed or cancelled, and events to add."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses
from typing import Annotated, Any, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pydantic import BaseModel, EmailStr, Field, model_validator

from area.kit.clock import now
from area.sdk import Context, Event, Option, Pick, Service, ZoneName, parse
from area.sdk.google import HOSTS, PAGES, Gone, answers, call, google, pages, refusal, scope
from area.sdk.mail import Addresses

SOON = timedelta(minutes=1)
LATE = timedelta(days=1)  # who is invited sees the event later than it was made
LIST = scope("calendar.calendarlist.readonly")  # to choose a calendar from
READ, WRITE = (scope("calendar.events.readonly"), LIST), (scope("calendar.events"), LIST)

service = Service(
    "google_calendar",
    "Google Calendar",
    "Events of a Google calendar: before they start, when they are added, changed or cancelled, and events to add.",
    docs="https://developers.google.com/workspace/calendar/api",
    base_url="https://www.googleapis.com",
    auth=google(),
    hosts=HOSTS,
    pages=PAGES,
    refusal=refusal,
    quality="verified",
)


class Calendar(BaseModel):
    """Which calendar."""

    calendar: Annotated[str, Pick("calendars")] = Field(
        "primary", min_length=1, description="Calendar; `primary` is the account's own", examples=["primary"]
    )


class Soon(Calendar):
    """How long before the start of which events."""

    minutes: int = Field(15, ge=0, le=40320, description="How many minutes before its start", examples=[15])
    query: str = Field("", description="Words that the event must hold; empty for any", examples=["standup"])


class NewEvent(Calendar):
    """An event to add."""

    title: str = Field(min_length=1, description="Title", examples=["{{title}}"])
    start: datetime = Field(description="When it starts", examples=["2026-11-24T09:00:00+01:00"])
    end: datetime | None = Field(
        None, description="When it ends; an hour later, or for whole days the same day", examples=["2026-11-24T10:00:00+01:00"]
    )  # fmt: skip
    timezone: ZoneName = Field("UTC", description="Time zone of times without an offset", examples=["Europe/Paris"])
    all_day: bool = Field(False, description="Whether it takes whole days, the last one included", examples=[False])
    description: str = Field("", description="Text", examples=["{{body}}"])
    location: str = Field("", description="Where it is", examples=["Room 4"])
    guests: Addresses = Field("", description="Addresses of who is invited", examples=["ann@example.org"])
    notify: bool = Field(False, description="Whether guests get a mail", examples=[True])

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        zone = ZoneInfo(self.timezone)
        self.start = self.start if self.start.tzinfo else self.start.replace(tzinfo=zone)
        end = self.end or (self.start if self.all_day else self.start + timedelta(hours=1))
        self.end = end if end.tzinfo else end.replace(tzinfo=zone)
        if self.end < self.start:
            raise ValueError("The event must not end before it starts.")
        return self


class Phrase(Calendar):
    """An event in words."""

    text: str = Field(
        min_length=1, description="What, when and where, in words", examples=["Lunch with Ann tomorrow 12:30"]
    )


class OneEvent(Calendar):
    """Which event."""

    event_id: str = Field(min_length=1, description="ID of the event", examples=["{{id}}"])
    notify: bool = Field(False, description="Whether guests get a mail", examples=[True])


class Guest(OneEvent):
    """Whom to invite to which event."""

    email: EmailStr = Field(description="Address of the guest", examples=["ann@example.org"])


class Happening(BaseModel):
    """An event of a calendar."""

    id: str = Field(description="ID of the event", examples=["4b1r2a0pq7e3"])
    title: str = Field(description="Title", examples=["Standup"])
    description: str = Field(description="Text, which may be HTML", examples=["What did you do?"])
    location: str = Field(description="Where it is", examples=["Room 4"])
    starts_at: datetime | None = Field(None, description="When it starts", examples=["2026-11-23T09:00:00Z"])
    ends_at: datetime | None = Field(None, description="When it ends", examples=["2026-11-23T09:15:00Z"])
    all_day: bool = Field(description="Whether it takes whole days", examples=[False])
    status: str = Field(description="`confirmed`, `tentative` or `cancelled`", examples=["confirmed"])
    organizer: str = Field(description="Address of the organizer", examples=["ann@example.org"])
    guests: list[str] = Field(description="Addresses of who is invited", examples=[["bob@example.com"]])
    meeting_url: str = Field(description="Address of the video call", examples=["https://meet.google.com/abc-defg-hij"])
    url: str = Field(description="Address of its page", examples=["https://www.google.com/calendar/event?eid=NGIxcjJh"])


class Cancelled(BaseModel):
    """What is no more."""

    event_id: str = Field(description="ID of the event", examples=["4b1r2a0pq7e3"])


@service.poll("An event starts soon", every=SOON, scopes=READ)
async def event_starts(ctx: Context, params: Soon, since: datetime) -> AsyncIterator[Event[Happening]]:
    """Some minutes before an event starts, or at its start. Fires once for each start, also of events that recur."""
    ahead = timedelta(minutes=params.minutes)
    query = {"singleEvents": "true", "orderBy": "startTime", "timeMin": _stamp(since)}
    query |= {"timeMax": _stamp(now() + ahead + timedelta(seconds=1))} | ({"q": params.query} if params.query else {})
    # https://developers.google.com/workspace/calendar/api/v3/reference/events/list
    async for page in answers(ctx, _events(params), params=query):
        for item in page.get("items") or ():
            event = _read(item, page.get("timeZone", "UTC"))
            if event.starts_at is None:
                continue
            due, changed = event.starts_at - ahead, _moment(item.get("updated"))
            # it may have been added, or moved here, after it was due
            at = max(due, changed) if changed and changed <= event.starts_at else due
            yield Event(f"{event.id} {event.starts_at.astimezone(UTC).isoformat()}", event, at)


@service.poll("An event is added", every=SOON, overlap=LATE, scopes=READ)
async def event_added(ctx: Context, params: Calendar, since: datetime) -> AsyncIterator[Event[Happening]]:
    """An event is added to a calendar, by its owner or by an invitation. Events that recur fire once."""
    async for item, zone in _changes(ctx, params):
        made = _moment(item.get("created"))
        if item.get("status") != "cancelled" and made and made >= since:
            yield Event(item["id"], _read(item, zone), made)


@service.poll("An event is changed", every=SOON, overlap=LATE, scopes=READ)
async def event_changed(ctx: Context, params: Calendar, since: datetime) -> AsyncIterator[Event[Happening]]:
    """An event is changed: its time, its text, its guests or their answers."""
    async for item, zone in _changes(ctx, params):
        made, changed = _moment(item.get("created")), _moment(item.get("updated"))
        # what was just made is not changed yet, though its two dates differ a little
        fresh = made and changed and changed - made < timedelta(seconds=3)
        if item.get("status") != "cancelled" and changed and changed >= since and not fresh:
            yield Event(f"{item['id']} {item['updated']}", _read(item, zone), changed)


@service.poll("An event is cancelled", every=SOON, overlap=LATE, scopes=READ)
async def event_cancelled(ctx: Context, params: Calendar, since: datetime) -> AsyncIterator[Event[Happening]]:
    """An event is cancelled or deleted; of some Google then tells nothing but the ID."""
    async for item, zone in _changes(ctx, params):
        at = _moment(item.get("updated"))
        if item.get("status") == "cancelled" and (at is None or at >= since):
            yield Event(f"{item['id']} {item.get('updated') or item.get('etag', '')}", _read(item, zone), at)


@service.reaction("Add an event", scopes=WRITE)
async def create_event(ctx: Context, params: NewEvent) -> Happening:
    """Add an event to a calendar; it is added once, however often it is tried."""
    assert params.end is not None  # noqa: S101 - the model fills it in
    body: dict[str, Any] = {"summary": params.title, "description": params.description, "location": params.location}
    if ctx.idempotency_key:  # letters a to v and digits: then a second attempt finds the first
        body["id"] = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()
    if params.all_day:
        body["start"] = {"date": params.start.date().isoformat()}
        body["end"] = {"date": (params.end.date() + timedelta(days=1)).isoformat()}
    else:
        body["start"], body["end"] = ({"dateTime": one.isoformat()} for one in (params.start, params.end))
    if params.guests:
        body["attendees"] = [{"email": address} for _, address in getaddresses([params.guests])]
    try:
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/insert
        made = await call(ctx, "POST", _events(params), params=_mails(params), json=body, gone=409)
    except Gone:
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/get
        made = await call(ctx, "GET", _events(params, body["id"]))
    return _read(made, "UTC")


@service.reaction("Add an event in words", on_crash="fail", scopes=WRITE)
async def quick_add(ctx: Context, params: Phrase) -> Happening:
    """Add an event from a sentence, which Google understands as in its own quick add."""
    # https://developers.google.com/workspace/calendar/api/v3/reference/events/quickAdd
    return _read(await call(ctx, "POST", _events(params, "quickAdd"), params={"text": params.text}), "UTC")


@service.reaction("Invite a guest", scopes=WRITE)
async def invite(ctx: Context, params: Guest) -> Happening:
    """Invite somebody to an event, unless they are invited already."""
    event = await call(ctx, "GET", _events(params, params.event_id))
    guests = event.get("attendees") or []
    if all(one.get("email", "").lower() != params.email.lower() for one in guests):
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/patch
        body = {"attendees": [*guests, {"email": params.email}]}
        event = await call(ctx, "PATCH", _events(params, params.event_id), params=_mails(params), json=body)
    return _read(event, "UTC")


@service.reaction("Cancel an event", scopes=WRITE)
async def cancel_event(ctx: Context, params: OneEvent) -> Cancelled:
    """Delete an event from a calendar; one that is deleted already is fine."""
    with suppress(Gone):
        # https://developers.google.com/workspace/calendar/api/v3/reference/events/delete
        await call(ctx, "DELETE", _events(params, params.event_id), params=_mails(params), gone=410)
    return Cancelled(event_id=params.event_id)


@service.picker
async def calendars(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The calendars of the account."""
    # https://developers.google.com/workspace/calendar/api/v3/reference/calendarList/list
    found = pages(ctx, "/calendar/v3/users/me/calendarList", "items", params={"maxResults": "250"}, most=500)
    return [
        Option(one["id"], one.get("summaryOverride") or one.get("summary", ""), one.get("accessRole", ""))
        async for one in found
    ]


async def _changes(ctx: Context, params: Calendar) -> AsyncIterator[tuple[dict[str, Any], str]]:
    """What has changed since the last look, and the calendar's time zone; everything when Google no longer knows that."""
    # https://developers.google.com/workspace/calendar/api/guides/sync
    fields = "nextPageToken,nextSyncToken,timeZone,items(id,etag,status,created,updated,summary,description,location,"
    query = {"maxResults": "2500", "fields": fields + "start,end,organizer,attendees(email),hangoutLink,htmlLink)"}
    since = {"syncToken": ctx.state["token"]} if ctx.state.get("token") else {}
    try:
        async for one in _synced(ctx, params, query | since, gone=410):
            yield one
    except Gone:  # the token has ended
        async for one in _synced(ctx, params, query):
            yield one


async def _synced(
    ctx: Context, params: Calendar, query: dict[str, str], *, gone: int = 0
) -> AsyncIterator[tuple[dict[str, Any], str]]:
    async for page in answers(ctx, _events(params), params=query, gone=gone):
        for item in page.get("items") or ():
            yield item, page.get("timeZone", "UTC")
        ctx.state["token"] = page.get("nextSyncToken", ctx.state.get("token"))


def _events(params: Calendar, *more: str) -> str:
    return "/".join(
        [f"/calendar/v3/calendars/{quote(params.calendar, safe='')}/events", *(quote(one, safe="") for one in more)]
    )


def _mails(params: NewEvent | OneEvent) -> dict[str, str]:
    return {"sendUpdates": "all" if params.notify else "none"}


def _read(item: Mapping[str, Any], zone: str) -> Happening:
    """An event (https://developers.google.com/workspace/calendar/api/v3/reference/events), its days in the calendar's time zone."""
    values = {
        "id": item.get("id"),
        "title": item.get("summary", ""),
        "description": item.get("description", ""),
        "location": item.get("location", ""),
        "starts_at": _time(item.get("start", {}), zone),
        "ends_at": _time(item.get("end", {}), zone),
        "all_day": "date" in item.get("start", {}),
        "status": item.get("status", "confirmed"),
        "organizer": item.get("organizer", {}).get("email", ""),
        "guests": [one["email"] for one in item.get("attendees", ()) if one.get("email")],
        "meeting_url": item.get("hangoutLink", ""),
        "url": item.get("htmlLink", ""),
    }
    return parse(Happening, values, "Google Calendar")


def _time(told: Mapping[str, Any], zone: str) -> datetime | None:
    """When an event starts or ends; a day begins at its midnight."""
    at = _moment(told.get("dateTime") or told.get("date"))
    return at.replace(tzinfo=ZoneInfo(told.get("timeZone", zone))) if at and not at.tzinfo else at


def _moment(value: str | None) -> datetime | None:
    return None if value is None else parse(datetime, value, "Google Calendar")


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
