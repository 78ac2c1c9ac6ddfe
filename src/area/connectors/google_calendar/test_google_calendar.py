"""Google Calendar, against a double that enforces its discovery document."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors import google_calendar
from area.connectors.google_calendar import NewEvent, service
from area.sdk.testing import Answer, Double, Watch, act, connector, discovered, finds_nothing, outcomes

EVENTS = "/calendar/v3/calendars/{calendarId}/events"
EVENT = f"{EVENTS}/{{eventId}}"
GONE = Answer(410, unchecked="an error is not described")
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
async def vendor():
    async with Double(discovered("calendar.v3")) as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        ctx.idempotency_key = "run 1"
        yield ctx


@pytest.fixture
def clock(monkeypatch):
    """Sets the time that the connector sees."""
    moment = [NOW]
    monkeypatch.setattr(google_calendar, "now", lambda: moment[0])

    def to(minutes):
        moment[0] = NOW + timedelta(minutes=minutes)
        return moment[0]

    return to


def event(name, minutes=0, *, made=-9999, changed=None, **more):
    def stamp(after):
        return (NOW + timedelta(minutes=after)).isoformat().replace("+00:00", "Z")

    times = {"start": {"dateTime": stamp(minutes)}, "end": {"dateTime": stamp(minutes + 30)}}
    dates = {"created": stamp(made), "updated": stamp(made if changed is None else changed)}
    return {"id": name, "summary": name.title(), "status": "confirmed", **times, **dates, **more}


async def test_it_starts_soon(ctx, vendor, clock):
    shown = [event("near", 10), event("later", 30)]
    vendor.on("GET", EVENTS, lambda request: {"items": within(request, shown), "timeZone": "Europe/Paris"})
    watch = Watch(ctx, service.actions["event_starts"], minutes=15, query="a b")

    async def at(minutes):
        return [number.removesuffix("+00:00") for number in await watch.ids(clock(minutes))]

    assert await at(0) == []
    assert await at(14) == []
    assert await at(15) == ["later 2026-11-23T09:30:00"]
    assert await at(16) == []
    shown[1] = event("later", 60, changed=17)  # moved
    shown.append(event("sudden", 20, made=18))
    shown.append(event("past", -5, made=18))  # somebody noted what was
    assert await at(18) == ["sudden 2026-11-23T09:20:00"]
    assert await at(44) == []
    assert await at(46) == ["later 2026-11-23T10:00:00"]
    shown[1] = event("later", 60, changed=47)  # its text changed
    assert await at(48) == []
    query = vendor.asked[-1].query
    assert (query["q"], query["singleEvents"]) == ("a b", "true")


def within(request, shown):
    begin, end = (datetime.fromisoformat(request.query[name]) for name in ("timeMin", "timeMax"))
    return [
        item for item in shown
        if datetime.fromisoformat(item["start"]["dateTime"]) < end
        and datetime.fromisoformat(item["end"]["dateTime"]) > begin
    ]  # fmt: skip


async def test_a_whole_day_begins_at_midnight_there(ctx, vendor, clock):
    shown = {"items": [], "timeZone": "America/New_York"}
    vendor.on("GET", EVENTS, shown)
    watch = Watch(ctx, service.actions["event_starts"], minutes=0)
    await watch.look(clock(0))
    shown["items"] = [event("today", start={"date": "2026-11-23"}, end={"date": "2026-11-24"}, made=-9)]
    assert await watch.look(clock(1)) == [], "it began at 05:00 UTC, before the window"
    shown["items"] = [event("day", start={"date": "2026-11-24"}, end={"date": "2026-11-25"}, made=-1)]
    (result,) = await watch.look(clock(20 * 60))
    assert (result.data.starts_at, result.data.all_day) == (datetime(2026, 11, 24, 5, tzinfo=UTC), True)


class Sync:
    """A calendar that tells what has changed since a token, a page each."""

    def __init__(self, vendor, *events):
        self.changes = [list(events)]
        self.forgotten = False
        vendor.on("GET", EVENTS, self.answer)

    def add(self, *events):
        self.changes.append(list(events))

    def answer(self, request):
        token = request.query.get("syncToken")
        if token and self.forgotten:
            return GONE
        shown = [item for change in self.changes[int(token or 0) :] for item in change]
        if "pageToken" in request.query:
            return {"items": shown[1:], "nextSyncToken": str(len(self.changes))}
        return {"items": shown[:1], "nextPageToken": "2"}


async def test_added_changed_cancelled(ctx, vendor):
    calendar = Sync(vendor, event("old"), event("recent", made=-5))
    added, changed, cancelled = (
        Watch(ctx, service.actions[name], calendar="a@b/c")
        for name in ("event_added", "event_changed", "event_cancelled")
    )

    async def look():
        return [[item.id.split()[0] for item in await watch.look(NOW)] for watch in (added, changed, cancelled)]

    assert await look() == [[], [], []]
    calendar.add(
        event("new", made=-1), event("old", changed=-1), {"id": "x", "status": "cancelled", "etag": '"7"'},
        event("recent", made=-5, changed=-1, status="cancelled"),
    )  # fmt: skip
    assert await look() == [["new"], ["old"], ["recent", "x"]]
    assert await look() == [[], [], []]
    assert vendor.asked[-1].query["syncToken"] == "2"
    assert vendor.asked[-1].params["calendarId"] == "a@b/c"
    calendar.forgotten = True
    calendar.add(event("newer", made=0))
    assert await look() == [["newer"], [], []]


async def test_create_event(ctx, vendor):
    vendor.on("POST", EVENTS, lambda requests: event("made") | requests.json)
    create = service.reactions["create_event"].function
    new = NewEvent(
        title="T", start="2026-11-24T09:00:00", timezone="Europe/Paris", guests="Ann <ann@x.example>", notify=True
    )
    done = await create(ctx, new)
    first, query = vendor.asked[-1].json, vendor.asked[-1].query
    assert first["start"] == {"dateTime": "2026-11-24T09:00:00+01:00"}
    assert first["end"] == {"dateTime": "2026-11-24T10:00:00+01:00"}
    assert (first["attendees"], query["sendUpdates"]) == ([{"email": "ann@x.example"}], "all")
    assert (done.guests, done.starts_at) == (["ann@x.example"], datetime(2026, 11, 24, 8, tzinfo=UTC))
    vendor.on("POST", EVENTS, Answer(409, unchecked="an error is not described"))
    vendor.on("GET", EVENT, lambda request: event(request.params["eventId"]))
    assert (await create(ctx, new)).id == first["id"]
    assert set(first["id"]) <= set("abcdefghijklmnopqrstuv0123456789")
    vendor.on("POST", EVENTS, lambda sent: event("made") | sent.json)
    ctx.idempotency_key = ""
    await create(ctx, NewEvent(title="T", start="2026-11-24T00:00:00Z", end="2026-11-25", all_day=True))
    asked = vendor.asked[-1]
    assert (asked.json["start"], asked.json["end"]) == ({"date": "2026-11-24"}, {"date": "2026-11-26"})
    assert (asked.query["sendUpdates"], "id" in asked.json) == ("none", False)
    with pytest.raises(ValidationError):
        NewEvent(title="T", start="2026-11-24T09:00:00Z", end="2026-11-24T08:00:00Z")


async def test_other_reactions(ctx, vendor):
    vendor.on("POST", f"{EVENTS}/quickAdd", event("made"))
    assert (await act(ctx, service.reactions["quick_add"], text="Lunch")).title == "Made"
    assert vendor.asked[-1].query["text"] == "Lunch"
    vendor.on("GET", EVENT, event("e", attendees=[{"email": "Ann@x.example"}]))
    vendor.on("PATCH", EVENT, lambda request: event("e") | request.json)
    invite = service.reactions["invite"]
    done = await act(ctx, invite, event_id="e", email="bob@x.example")
    assert done.guests == ["Ann@x.example", "bob@x.example"]
    await act(ctx, invite, event_id="e", email="ann@x.example")
    assert [item.method for item in vendor.asked[-2:]] == ["PATCH", "GET"], "she is invited already"
    cancel = service.reactions["cancel_event"]
    vendor.on("DELETE", EVENT, None)
    assert (await act(ctx, cancel, event_id="e")).event_id == "e"
    vendor.on("DELETE", EVENT, GONE)
    assert (await act(ctx, cancel, event_id="e")).event_id == "e"


async def test_calendars(ctx, vendor):
    first = {"items": [{"id": "a", "summary": "A", "summaryOverride": "Mine"}], "nextPageToken": "2"}
    rest = {"items": [{"id": "b", "summary": "B", "accessRole": "reader"}]}
    vendor.on(
        "GET", "/calendar/v3/users/me/calendarList", lambda request: rest if "pageToken" in request.query else first
    )
    options = await service.pickers["calendars"](ctx, {})
    assert [(option.value, option.label, option.hint) for option in options] == [
        ("a", "Mine", ""),
        ("b", "B", "reader"),
    ]


@pytest.mark.parametrize("name", ["event_starts", "event_added"])
async def test_refusals_of_a_look(ctx, vendor, name):
    await outcomes(ctx, vendor, Watch(ctx, service.actions[name]).look)


async def test_refusals(ctx, vendor):
    new = NewEvent(title="T", start="2026-11-24T09:00:00Z")
    await outcomes(ctx, vendor, lambda: service.reactions["create_event"].function(ctx, new))
    await outcomes(ctx, vendor, lambda: act(ctx, service.reactions["cancel_event"], event_id="e"), garbage=False)


async def test_an_event_is_looked_up(ctx, vendor):
    route, item = "/calendar/v3/calendars/{calendarId}/events", {"id": "e1", "summary": "Standup"}
    item |= {"start": {"dateTime": "2026-11-23T09:00:00Z"}, "end": {"dateTime": "2026-11-23T09:15:00Z"}}
    vendor.on("GET", route, {"items": [item]})
    event = await act(ctx, service.reactions["find_event"], at="2026-11-23T08:00:00Z", hours_ahead=2, query="stand")
    assert (event.found, event.id, event.title) == (True, "e1", "Standup")
    asked = vendor.asked[-1].query
    assert (asked["timeMin"], asked["timeMax"]) == ("2026-11-23T08:00:00+00:00", "2026-11-23T10:00:01+00:00")
    assert (asked["q"], asked["maxResults"]) == ("stand", "1")
    vendor.on("GET", route, {"items": []})
    await finds_nothing(ctx, service.reactions["find_event"])
