"""Calendars as vendors write them, served by a real HTTP server and polled minute by minute."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import orjson
import pytest
import time_machine
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area.connectors.calendar import Calendar, Starting, event_at, event_starts, ics
from area.kit.http import Client
from area.kit.sandbox import DecodeError, Decoder
from area.kit.zygote import Unreadable
from area.sdk import Context, Event, Guard, Http, Permanent, Platform, Retry
from area.sdk.decoding import documents
from area.sdk.testing import act, finds_nothing

PARIS = ZoneInfo("Europe/Paris")
CUSTOM_ZONE = """
BEGIN:VTIMEZONE
TZID:{name}
BEGIN:STANDARD
DTSTART:16010101T000000
TZOFFSETFROM:{offset}
TZOFFSETTO:{offset}
END:STANDARD
END:VTIMEZONE
"""


def event(start: str, *lines: str, uid: str = "1@example.org", summary: str = "Meeting") -> str:
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", f"SUMMARY:{summary}", f"DTSTART{start}", *lines, "END:VEVENT\n"])


def calendar(*parts: str, header: str = "") -> str:
    body = "".join(part.lstrip("\n") for part in parts)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n{header}{body}END:VCALENDAR\n".replace("\n", "\r\n")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def starts(text: str, first: str, last: str, zone: str = "UTC") -> list[str]:
    found = ics.read(text, ZoneInfo(zone), utc(first), utc(last))
    return [one.start.isoformat() for one in found.occurrences]


# --- the texts ---


def test_weekly_rule_keeps_its_local_time_across_the_change() -> None:
    text = calendar(event(";TZID=Europe/Paris:20260105T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY"))
    assert starts(text, "2026-03-20T00:00Z", "2026-04-01T00:00Z") == [
        "2026-03-23T09:00:00+01:00",
        "2026-03-30T09:00:00+02:00",
    ]
    assert starts(text, "2026-10-19T00:00Z", "2026-10-27T00:00Z")[-1] == "2026-10-26T09:00:00+01:00"


def test_a_rule_in_utc_stays_in_utc_whatever_the_calendar_names() -> None:
    text = calendar(event(":20260105T080000Z", "RRULE:FREQ=DAILY"), header="X-WR-TIMEZONE:Europe/Paris\n")
    assert starts(text, "2026-07-01T00:00Z", "2026-07-01T23:00Z") == ["2026-07-01T08:00:00+00:00"]


def test_rule_within_the_gap_and_the_fold() -> None:
    text = calendar(event(";TZID=Europe/Paris:20260101T023000", "RRULE:FREQ=DAILY"))
    # https://www.rfc-editor.org/rfc/rfc5545#section-3.3.5: by the offset before the gap; the first of the two
    assert starts(text, "2026-03-28T23:00Z", "2026-03-29T22:00Z") == ["2026-03-29T03:30:00+02:00"]
    assert starts(text, "2026-10-24T22:00Z", "2026-10-25T22:00Z") == ["2026-10-25T02:30:00+02:00"]


def test_exdate_rdate_count_and_until() -> None:
    text = calendar(
        event(
            ";TZID=Europe/Paris:20261120T090000",
            "RRULE:FREQ=DAILY;COUNT=5",
            "EXDATE;TZID=Europe/Paris:20261121T090000,20261123T090000",
            "RDATE;TZID=Europe/Paris:20261123T180000",
        ),
        event(":20261120T070000Z", "RRULE:FREQ=DAILY;UNTIL=20261122T070000Z", uid="2@example.org"),
    )
    assert starts(text, "2026-11-19T00:00Z", "2026-11-30T00:00Z") == [
        "2026-11-20T07:00:00+00:00", "2026-11-20T09:00:00+01:00", "2026-11-21T07:00:00+00:00",
        "2026-11-22T07:00:00+00:00", "2026-11-22T09:00:00+01:00", "2026-11-23T18:00:00+01:00", "2026-11-24T09:00:00+01:00",
    ]  # fmt: skip


def test_moved_and_cancelled_repetitions() -> None:
    text = calendar(
        event(";TZID=Europe/Paris:20261101T090000", "RRULE:FREQ=DAILY"),
        event(";TZID=Europe/Paris:20261123T140000", "RECURRENCE-ID;TZID=Europe/Paris:20261123T090000", summary="Moved"),
        event(
            ";TZID=Europe/Paris:20261124T090000", "RECURRENCE-ID;TZID=Europe/Paris:20261124T090000", "STATUS:CANCELLED"
        ),
        # in UTC what the rule says in Paris
        event(":20261125T100000Z", "RECURRENCE-ID:20261125T080000Z", summary="Moved too"),
    )
    assert starts(text, "2026-11-23T00:00Z", "2026-11-26T00:00Z") == [
        "2026-11-23T14:00:00+01:00",
        "2026-11-25T10:00:00+00:00",
    ]


def test_a_repetition_moved_by_weeks_is_where_it_was_moved_to() -> None:
    text = calendar(
        event(":20261101T090000Z", "RRULE:FREQ=WEEKLY"),
        event(":20261210T150000Z", "RECURRENCE-ID:20261108T090000Z", summary="Moved"),
    )
    assert starts(text, "2026-11-08T00:00Z", "2026-11-09T00:00Z") == []
    assert starts(text, "2026-12-10T00:00Z", "2026-12-11T00:00Z") == ["2026-12-10T15:00:00+00:00"]


def test_this_and_all_that_follow_moved() -> None:
    text = calendar(
        event(":20261101T090000Z", "RRULE:FREQ=DAILY"),
        event(":20261110T110000Z", "RECURRENCE-ID;RANGE=THISANDFUTURE:20261110T090000Z"),
    )
    assert starts(text, "2026-11-20T00:00Z", "2026-11-21T00:00Z") == ["2026-11-20T11:00:00+00:00"]


def test_all_day_and_floating_events_are_in_the_calendar_s_zone() -> None:
    parts = event(";VALUE=DATE:20261123", "DTEND;VALUE=DATE:20261125"), event(":20261123T090000", uid="2@example.org")
    span = "2026-11-22T00:00Z", "2026-11-24T00:00Z"
    named = calendar(*parts, header="X-WR-TIMEZONE:America/New_York\n")
    assert starts(named, *span, zone="Europe/Paris") == ["2026-11-23T00:00:00-05:00", "2026-11-23T09:00:00-05:00"]
    assert starts(calendar(*parts), *span, zone="Europe/Paris") == [
        "2026-11-23T00:00:00+01:00",
        "2026-11-23T09:00:00+01:00",
    ]
    assert starts(calendar(*parts), *span) == ["2026-11-23T00:00:00+00:00", "2026-11-23T09:00:00+00:00"]
    found = ics.read(named, PARIS, utc(span[0]), utc(span[1])).occurrences
    assert [one.all_day for one in found] == [True, False]
    assert found[0].end.isoformat() == "2026-11-25T00:00:00-05:00"
    for nonsense in ("Nowhere/Atlantis", "../../etc/passwd", "Europe", "x" * 5000, "\\,"):
        assert len(starts(calendar(*parts, header=f"X-WR-TIMEZONE:{nonsense}\n"), *span)) == 2


def test_all_day_rule() -> None:
    text = calendar(event(";VALUE=DATE:20200101", "RRULE:FREQ=YEARLY"))
    assert starts(text, "2026-12-31T00:00Z", "2027-01-01T12:00Z", zone="Asia/Kathmandu") == [
        "2027-01-01T00:00:00+05:45"
    ]


def test_time_zones_that_calendars_bring_along_or_call_otherwise() -> None:
    span = "2026-11-23T00:00Z", "2026-11-24T00:00Z"
    at = event(";TZID=Custom:20261123T090000")
    plus2, plus5 = (CUSTOM_ZONE.format(name="Custom", offset=offset) for offset in ("+0200", "+0500"))
    assert starts(calendar(plus2, at), *span) == ["2026-11-23T09:00:00+02:00"]
    # the same name in another calendar, and after the events
    assert starts(calendar(plus5, at), *span) == ["2026-11-23T09:00:00+05:00"]
    assert starts(calendar(at), *span) == ["2026-11-23T09:00:00+00:00"]
    windows = calendar(event(";TZID=Romance Standard Time:20261123T090000"))
    assert starts(windows, *span) == ["2026-11-23T09:00:00+01:00"]
    quoted = calendar(event(';TZID="America/New_York":20261123T090000'))
    assert starts(quoted, *span) == ["2026-11-23T09:00:00-05:00"]
    vendor = calendar(event(";TZID=/freeassociation.sourceforge.net/Europe/Berlin:20261123T090000"))
    assert starts(vendor, *span) == ["2026-11-23T09:00:00+01:00"]


def test_the_calendar_s_zone_is_one_that_it_brings_along() -> None:
    at = event(":20261123T090000")
    for offset in ("+02:00", "+05:00"):
        zone = CUSTOM_ZONE.format(name="Own", offset=offset.replace(":", ""))
        text = calendar(zone, at, header="X-WR-TIMEZONE:Own\n")
        assert starts(text, "2026-11-23T00:00Z", "2026-11-24T00:00Z") == [f"2026-11-23T09:00:00{offset}"]


def test_zone_after_the_events() -> None:
    zone = CUSTOM_ZONE.format(name="Custom", offset="+0200")
    text = calendar(event(";TZID=Custom:20261123T090000"), zone)
    assert starts(text, "2026-11-23T00:00Z", "2026-11-24T00:00Z") == ["2026-11-23T09:00:00+02:00"]


def test_folded_lines_alarms_attendees_and_other_noise() -> None:
    text = calendar(
        "BEGIN:VTODO\nUID:9\nSUMMARY:No event\nDTSTART:20261123T090000Z\nEND:VTODO\n",
        event(
            ";TZID=Europe/\n Paris:20261123T090000",
            "DESCRIPTION:One\\, two\\nthree\n   four",
            "ATTENDEE;CN=Ada:mailto:ada@example.org",
            "BEGIN:VALARM",
            "TRIGGER:-PT15M",
            "DESCRIPTION:This is an alarm",
            "SUMMARY:Alarm",
            "END:VALARM",
        ),
        header="X-WR-CALNAME:Team\\, all\n",
    )
    text = "\ufeff\n" + text.replace("BEGIN", "begin").replace("SUMMARY", "Summary").replace("VEVENT", "vevent") + "\n"
    found = ics.read(text, UTC, utc("2026-11-23T00:00Z"), utc("2026-11-24T00:00Z"))
    assert found.name == "Team, all"
    assert [one.start.isoformat() for one in found.occurrences] == ["2026-11-23T09:00:00+01:00"]
    assert found.occurrences[0].component["DESCRIPTION"] == "One, two\nthree  four"
    assert found.occurrences[0].component["SUMMARY"] == "Meeting"


def test_several_calendars_in_one_text() -> None:
    text = calendar(event(":20261123T090000Z")) + calendar(event(":20261123T100000Z", uid="2@example.org"))
    assert len(starts(text, "2026-11-23T00:00Z", "2026-11-24T00:00Z")) == 2


def test_an_event_without_uid_has_a_lasting_one() -> None:
    def uids(stamp: str) -> list[str]:
        lines = ["BEGIN:VEVENT", f"DTSTAMP:{stamp}", "SUMMARY:{}", "DTSTART:20261123T090000Z", "END:VEVENT\n"]
        one, other = ("\n".join(lines).format(title) for title in "ab")
        found = ics.read(calendar(one, other), UTC, utc("2026-11-23T00:00Z"), utc("2026-11-24T00:00Z"))
        return [str(occurrence.component["UID"]) for occurrence in found.occurrences]

    assert uids("20261101T000000Z") == uids("20261102T000000Z")
    assert len(set(uids("20261101T000000Z"))) == 2


def test_one_bad_event_does_not_take_the_others_along() -> None:
    text = calendar(
        event(":20261123T090000Z", "RRULE:FREQ=FORTNIGHTLY", uid="a"),
        event(":2026", uid="b"),
        event(":20261123T090000Z", "RRULE:FREQ=WEEKLY;BYDAY=XX", uid="c"),
        event(":20261123T090000Z", "DURATION:P999999999D", "RRULE:FREQ=DAILY", uid="d"),
        event(":00010101T000000Z", "RRULE:FREQ=YEARLY;COUNT=2", uid="e"),
        event(";TZID=Europe:20261123T090000", uid="f").replace("TZID=Europe:", "TZID=Nowhere/Atlantis:"),
        "BEGIN:VEVENT\nUID:g\nSUMMARY:No start\nEND:VEVENT\n",
        event(":20261123T100000Z", uid="good"),
    )
    found = ics.read(text, UTC, utc("2026-11-23T00:00Z"), utc("2026-11-24T00:00Z"))
    assert "good" in [str(one.component["UID"]) for one in found.occurrences]
    assert found.skipped >= 4


@pytest.mark.parametrize(
    ("bad", "skipped"),
    [
        (event(":20261123T090000Z", "EXDATE:" + "20261123T090000Z," * 6_000), 1),
        (event(":20261123T090000Z", "BEGIN:A\n" * 99 + "END:A\n" * 99), 1),
        (event(":20261123T090000Z", "RRULE:FREQ=WEEKLY;INTERVAL=0"), 1),
        (event(":20261123T090000Z", "RRULE:FREQ=WEEKLY;INTERVAL=-1"), 1),
        (event(":20261123T090000Z", "RRULE:FREQ=WEEKLY;COUNT=x"), 1),
        (event(":20260231T090000Z", "RRULE:FREQ=DAILY"), 1),
        (event(":"), 1),
        (event(";VALUE=PERIOD:20261123T090000Z/PT1H"), 1),
        (event(";VALUE=PERIOD:20261123T090000Z/PT1H", "RRULE:FREQ=DAILY"), 1),
        (event(";VALUE=TIME:090000"), 1),
        (event(":20261122T090000Z", "DTEND;VALUE=PERIOD:20261122T090000Z/PT1H"), 0),
        ("BEGIN:VTIMEZONE\nTZID:X\n" + "BEGIN:A\n" * 99 + "END:A\n" * 99 + "END:VTIMEZONE\n", 1),
        # time zones that nobody uses, or that can't be used
        ("BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:x\nEND:STANDARD\nEND:VTIMEZONE\n", 0),
        ("BEGIN:VTIMEZONE\nEND:VTIMEZONE\n", 0),
        (
            "BEGIN:VTIMEZONE\nTZID:Europe/Paris\nBEGIN:STANDARD\nDTSTART:x\nEND:STANDARD\nEND:VTIMEZONE\n"
            + event(";TZID=Europe/Paris:20261124T090000"),
            0,
        ),
    ],
)
def test_one_part_that_can_not_be_read_is_left_out(bad: str, skipped: int) -> None:
    text = calendar(bad, event(":20261123T100000Z", uid="good"))
    found = ics.read(text, UTC, utc("2026-11-23T00:00Z"), utc("2026-11-24T00:00Z"))
    assert [str(each.component["UID"]) for each in found.occurrences] == ["good"]
    assert found.skipped == skipped


@pytest.mark.parametrize(
    ("lines", "start", "minutes"),
    [
        ([":20261123T090000Z", "DTEND:20261123T080000Z"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DTEND;TZID=Europe/Paris:20261123T093000"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DTEND:20261123T080000"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DURATION:-PT1H"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DTEND;VALUE=DATE:20261123"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DTEND:soon"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T090000Z", "DTEND:20261123T091500Z", "DURATION:PT1H"], "2026-11-23T09:00:00+00:00", 15),
        ([";VALUE=DATE:20261123", "DTEND;VALUE=DATE:20261122"], "2026-11-23T00:00:00+00:00", 1440),
        ([";VALUE=DATE:20261123", "DTEND:20261123T100000Z"], "2026-11-23T00:00:00+00:00", 1440),
        # blanks, offsets, separators, and what other programs write
        ([":20261123T090000Z \t"], "2026-11-23T09:00:00+00:00", 0),
        ([": 20261123T090000Z", "EXDATE:", "RDATE: "], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T0900Z"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123t090000z"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123T100000+0100"], "2026-11-23T09:00:00+00:00", 0),
        ([":2026-11-23T10:00:00+01:00"], "2026-11-23T09:00:00+00:00", 0),
        ([";VALUE=DATE-TIME:2026-11-23T09:00:00Z"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261123"], "2026-11-23T00:00:00+00:00", 1440),
        ([";TZID=Europe/Paris;VALUE=DATE:20261123"], "2026-11-23T00:00:00+00:00", 1440),
        ([":20261122T090000Z", "RRULE:FREQ=DAILY", "EXDATE:20261122T090000Z,"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261122T090000Z", "RRULE:FREQ=DAILY", "EXDATE:x"], "2026-11-23T09:00:00+00:00", 0),
        # until a day: all of it, where the event is
        ([":20261116T090000Z", "RRULE:FREQ=WEEKLY;UNTIL=20261123"], "2026-11-23T09:00:00+00:00", 0),
        (
            [";TZID=America/New_York:20261116T180000", "RRULE:FREQ=WEEKLY;UNTIL=20261123"],
            "2026-11-23T18:00:00-05:00", 0,
        ),
        ([":20261116T090000", "RRULE:FREQ=WEEKLY;UNTIL=20261123"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261116T090000Z", "RRULE:FREQ=WEEKLY;UNTIL=2026-11-23;"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261116T090000Z", "RRULE:FREQ=WEEKLY;UNTIL=20261123T100000+0100"], "2026-11-23T09:00:00+00:00", 0),
        ([":20261116T090000Z", "RRULE:FREQ=WEEKLY;UNTIL=;COUNT="], "2026-11-23T09:00:00+00:00", 0),
        ([":20261116T090000Z", "RRULE:; freq=weekly ;until= 20261123t090000z"], "2026-11-23T09:00:00+00:00", 0),
        # time zones
        *[
            ([f";TZID={name}:20261123T100000"], "2026-11-23T10:00:00+01:00", 0)
            for name in (
                "tzone://Microsoft/W. Europe Standard Time", "/mozilla.org/20050126_1/Europe/Berlin", "CEST",
                "(UTC+01:00) Amsterdam, Berlin, Bern, Rome", '"(UTC+01:00) Amsterdam, Berlin"', "europe/berlin", "GMT+1",
                "UTC+01:00", "GMT+0100", "+0100", "Berlin", "GMT +0100 (Standard) / GMT +0200 (Daylight)",
            )
        ],
        *[
            ([f";TZID={name}:20261123T100000"], "2026-11-23T10:00:00+00:00", 0)
            for name in ("tzone://Microsoft/Utc", "UTC", "Utc", "Z", "GMT", "Etc/UTC", "tzone://Microsoft/Custom")
        ],
        ([";TZID=GMT+0545:20261123T100000"], "2026-11-23T10:00:00+05:45", 0),
        ([";TZID=UTC-03:30:20261122T100000", "RRULE:FREQ=DAILY"], "2026-11-23T10:00:00-03:30", 0),
    ],
)  # fmt: skip
def test_events_as_programs_write_them(lines: list[str], start: str, minutes: int) -> None:
    found = ics.read(calendar(event(*lines)), UTC, utc("2026-11-23T00:00Z"), utc("2026-11-23T23:59Z"))
    assert found.skipped == 0
    (occurrence,) = found.occurrences
    assert occurrence.start.isoformat() == start
    assert occurrence.end - occurrence.start == timedelta(minutes=minutes)


def test_texts_in_quoted_printable_and_lines_folded_within_a_character() -> None:
    written = [
        "SUMMARY;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Caf=C3=A9=20=",
        "Nord",
        "DESCRIPTION;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:=E9t=E9=0D=0A2",
        "LOCATION:" + "x" * 60 + "é",
    ]
    lines = ["BEGIN:VEVENT", "UID:1", "DTSTART:20261123T090000Z", *written, "END:VEVENT\n"]
    content = calendar("\n".join(lines)).encode()
    place = content.index("é".encode()) + 1
    content = content[:place] + b"\r\n " + content[place:]
    made = ics.decode(content, zone="UTC", first="2026-11-23T00:00+00:00", last="2026-11-24T00:00+00:00")
    (found,) = made["events"]
    assert (found["summary"], found["description"], found["location"]) == ("Café Nord", "été\n2", "x" * 60 + "é")


def test_dated_events_that_share_a_uid_are_events_of_their_own() -> None:
    span = "2026-11-23T00:00Z", "2026-11-24T00:00Z"
    one, two = event(":20261123T090000Z", summary="One"), event(":20261123T110000Z", summary="Two")
    found = ics.read(calendar(one, two), UTC, *map(utc, span))
    assert [str(each.component["SUMMARY"]) for each in found.occurrences] == ["One", "Two"]
    made = ics.decode(calendar(one, two).encode(), zone="UTC", first=span[0], last=span[1])
    assert {each["uid"] for each in made["events"]} == {"1@example.org"}
    # a later version replaces what it moved, and what repeats keeps its exceptions
    moved = event(":20261123T140000Z", "SEQUENCE:1")
    assert starts(calendar(one, moved), *span) == ["2026-11-23T14:00:00+00:00"]
    weekly = event(":20261116T080000Z", "RRULE:FREQ=WEEKLY")
    exception = event(":20261123T083000Z", "RECURRENCE-ID:20261123T080000Z")
    assert starts(calendar(one, weekly, exception), *span) == ["2026-11-23T08:30:00+00:00", "2026-11-23T09:00:00+00:00"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "isn't an ICS calendar"),
        ("<!DOCTYPE html><title>Log in</title>", "isn't an ICS calendar"),
        ("BEGIN:VCARD\nEND:VCARD\n", "isn't an ICS calendar"),
        ("/etc/passwd", "isn't an ICS calendar"),
        (calendar(event(":20261123T090000Z"))[:-20], "is incomplete"),
        (calendar("BEGIN:VEVENT\nUID:1\n"), "ends inside a VEVENT"),
        (calendar(*[event(":20261123T090000Z", uid=str(n)) for n in range(1001)]), "more than 1,000 events"),
        (calendar(*[event(":20261123T090000Z", uid=str(n)) for n in range(20_000)]), "more than 50,000 lines"),
    ],
)
def test_what_is_no_calendar(text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        ics.read(text, UTC, utc("2026-11-23T00:00Z"), utc("2026-11-24T00:00Z"))


@pytest.mark.parametrize(
    "lines",
    [
        [":19700101T000000Z", "RRULE:FREQ=SECONDLY"],
        [":19700101T000000Z", "RRULE:FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE="
         + ",".join(map(str, range(60))) + ";BYSECOND=" + ",".join(map(str, range(60)))],
        [":00010101T000000Z", "RRULE:FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30"],
        [":20261101T000000Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;BYSETPOS=1"],
        [";TZID=Slow:20261123T090000"],
    ],
)  # fmt: skip
async def test_endless_rules_end(lines: list[str]) -> None:
    slow = CUSTOM_ZONE.format(name="Slow", offset="+0200").replace("END:STANDARD", "RRULE:FREQ=SECONDLY\nEND:STANDARD")
    standard = slow[slow.index("BEGIN:STANDARD") : slow.index("END:VTIMEZONE")]
    slow = slow.replace(standard, standard + standard.replace("STANDARD", "DAYLIGHT"))
    found = await decoded(calendar(slow, event(*lines), event(":20261123T100000Z", uid="good")))
    assert "good" in [each["uid"] for each in found["events"]]
    assert found["skipped"] + len(found["events"]) == 2


async def decoded(text: str) -> Any:
    """What a decoder makes of it that may compute for some seconds."""
    quick = Decoder(Path(ics.__file__), documents, seconds=4, patience=150)
    return await quick.decode(text.encode(), zone="UTC", first="2026-11-23T00:00+00:00", last="2026-11-24T00:00+00:00")


async def test_a_rule_since_the_year_one_costs_this_process_nothing() -> None:
    text = calendar(*(event(":00010101T000000Z", "RRULE:FREQ=DAILY", uid=str(number)) for number in range(500)))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking, before = asyncio.create_task(tick()), time.process_time()
    with pytest.raises(DecodeError):
        await decoded(text)
    ticking.cancel()
    assert ticks > 50
    assert time.process_time() - before < 1


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN:VEVENT\n" * 300_000,
        "BEGIN:VTIMEZONE\n" + "BEGIN:A\n" * 200_000 + "END:A\n" * 200_000 + "END:VTIMEZONE\n",
        event(":20261123T090000Z") * 40_000,
        event(":20261123T090000Z", "DESCRIPTION:" + "\\," * 2_000_000),
        event(":20261123T090000Z", "URL" + ";A=B" * 1_000_000 + ":x"),
        event(":20261123T090000Z", 'ORGANIZER;CN="' + "^n" * 2_000_000 + '":x'),
        event(":20261123T090000Z", "ORGANIZER;CN=" + '"' * 4_000_001 + ":x"),
        event(
            ":20261123T090000Z",
            "RRULE:FREQ=DAILY",
            *["EXDATE:" + "20261123T090000Z," * 4_000 + "20261123T090000Z"] * 70,
        ),
        event(":20261123T090000Z", "EXDATE:" + "20261123T090000Z," * 250_000 + "20261123T090000Z"),
        event(":20261123T090000Z", "RRULE:FREQ=DAILY;BYDAY=" + "MO," * 1_000_000 + "MO"),
        event(":20261123T090000Z", "UID:" + "x" * 4_000_000),
        "X-A:b\n" * 700_000,
        "\n " * 2_000_000 + "\n",
        ":" * 4_000_000 + "\n",
    ],
    ids=lambda text: text[:4] + text[-40:-12].strip().replace("\n", " "),
)
async def test_large_and_hostile_texts_are_read_or_given_up(text: str) -> None:
    try:
        found = await decoded(calendar(text))
    except DecodeError as error:
        assert error.reason in ("unreadable", "time", "memory")  # noqa: PT017
    else:
        assert len(found["events"]) <= 1000


# --- the trigger ---


class Vendor:
    """A server of one calendar, as the real ones are: with an ETag or without, or out of order."""

    def __init__(self) -> None:
        self.text = calendar()
        self.etag = True
        self.status = 200
        self.answers: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        tag = f'"{hash(self.text)}"'
        status = self.status
        if status == 200 and self.etag and request.headers.get("If-None-Match") == tag:
            status = 304
        self.answers.append(status)
        headers = {"ETag": tag} if self.etag else {}
        return web.Response(status=status, text=self.text if status == 200 else None, headers=headers)


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str, **_values: object) -> None:
        self.said.append(text)


class Trigger:
    """Polls as the engine does: state and known ids are kept only when the poll went well; the first is the
    baseline.
    """

    def __init__(self, client: Client, url: str) -> None:
        self.http, self.url, self.guard = Http(client), url, Guard(allow=["127.0.0.1"])
        self.state: dict[str, Any] = {}
        self.known: set[str] = set()
        self.since: datetime | None = None
        self.log = Log()

    async def poll(self, **params: object) -> list[Event[Starting]]:
        baseline, self.since = self.since is None, self.since or datetime.now(UTC)
        state = orjson.loads(orjson.dumps(self.state))
        ctx = Context(http=self.http, guard=self.guard, platform=cast("Platform", None), state=state, log=self.log)
        asked = Calendar.model_validate({"url": self.url, **params})
        events = [one async for one in event_starts.function(ctx, asked, self.since)]
        assert all(one.at is not None and one.at <= datetime.now(UTC) for one in events)
        self.state = state
        assert len(orjson.dumps(state)) < 200_000
        new = [one for one in events if one.id not in self.known]
        self.known |= {one.id for one in events}
        return [] if baseline else new


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
async def trigger(vendor: Vendor) -> AsyncIterator[Trigger]:
    app = web.Application()
    app.router.add_get("/team.ics", vendor.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        client = Client(Guard(allow=["127.0.0.1"]))
        yield Trigger(client, str(server.make_url("/team.ics")))
        await client.close()


@pytest.fixture
def clock():
    with time_machine.travel(utc("2026-11-23T08:00Z"), tick=False) as traveller:
        yield traveller


async def watch(trigger: Trigger, clock, minutes: int, **params: object) -> list[tuple[str, str]]:
    """Poll each minute; returns when, by the clock, which events fired."""
    fired = []
    for _ in range(minutes):
        clock.shift(60)
        fired += [(f"{datetime.now(UTC):%H:%M}", one.data.summary) for one in await trigger.poll(**params)]
    return fired


async def test_fires_at_the_start_once(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(
        event(":20261123T075500Z", uid="0", summary="Over"),
        event(":20261123T080300Z", uid="1", summary="Soon"),
        event(";TZID=Europe/Paris:20261101T091200", "RRULE:FREQ=DAILY", uid="2", summary="Daily"),
    )
    await trigger.poll()
    assert await watch(trigger, clock, 30) == [("08:03", "Soon"), ("08:12", "Daily")]
    assert vendor.answers == [200, 304, 304, 304, 304, 304, 304]  # every five minutes


async def test_values(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(
        event(
            ";TZID=Europe/Paris:20261123T093000", "DTEND;TZID=Europe/Paris:20261123T100000", "LOCATION:Room 2",
            "DESCRIPTION:Agenda:\\nthe release", "ORGANIZER;CN=Ada:mailto:ada@example.org", "URL:https://example.org/42",
        ),
        header="X-WR-CALNAME:Team\n",
    )  # fmt: skip
    await trigger.poll()
    clock.shift(timedelta(minutes=30))
    (one,) = await trigger.poll()
    assert one.id == "1@example.org:2026-11-23T08:30:00+00:00"
    assert one.at == utc("2026-11-23T08:30Z")
    assert one.data.model_dump(mode="json") == {
        "summary": "Meeting", "description": "Agenda:\nthe release", "location": "Room 2",
        "start": "2026-11-23T09:30:00+01:00", "end": "2026-11-23T10:00:00+01:00", "all_day": False,
        "organizer": "ada@example.org", "url": "https://example.org/42", "uid": "1@example.org", "calendar": "Team",
    }  # fmt: skip


async def test_minutes_before_and_matching(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(
        event(":20261123T082000Z", uid="1", summary="Team MEETING"),
        event(":20261123T082100Z", uid="2", summary="Lunch"),
    )
    await trigger.poll(minutes_before=15, matching="meeting")
    assert await watch(trigger, clock, 10, minutes_before=15, matching="meeting") == [("08:05", "Team MEETING")]
    other = Trigger(trigger.http._client, trigger.url)
    vendor.text = calendar(event(":20261221T083000Z", summary="In four weeks"))
    await other.poll(minutes_before=40320)
    assert await watch(other, clock, 30, minutes_before=40320) == [("08:30", "In four weeks")]


async def test_all_day_fires_at_midnight_in_the_zone(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(";VALUE=DATE:20261124", summary="Holiday"))
    clock.move_to(utc("2026-11-23T22:50Z"))
    await trigger.poll(timezone="Europe/Paris")
    assert await watch(trigger, clock, 20, timezone="Europe/Paris") == [("23:00", "Holiday")]


async def test_changes_of_the_calendar(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(":20261123T082000Z", uid="1"), event(":20261123T083000Z", uid="2"))
    await trigger.poll()
    await watch(trigger, clock, 6)
    vendor.text = calendar(
        event(":20261123T082500Z", uid="1", summary="Postponed"),
        event(":20261123T083000Z", "STATUS:CANCELLED", uid="2"),
        event(":20261123T080500Z", uid="3", summary="Entered just after its start"),
        event(":20261123T073000Z", uid="4", summary="Entered afterwards"),
    )
    assert await watch(trigger, clock, 30) == [("08:10", "Entered just after its start"), ("08:25", "Postponed")]


async def test_unchanged_for_days(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(":20261101T103000Z", "RRULE:FREQ=DAILY", summary="Daily"))
    await trigger.poll()
    fired = []
    for _ in range(3 * 24 * 6):
        clock.shift(600)
        fired += await trigger.poll()
    assert [one.data.start.day for one in fired] == [23, 24, 25]
    assert all(one.data.start.hour == 10 for one in fired)
    assert vendor.answers.count(200) == 4  # it is read anew about once a day


async def test_without_etag_and_with_a_stamp_that_changes(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.etag = False
    fired = []
    await trigger.poll()
    for minute in range(30):
        vendor.text = calendar(event(":20261123T081700Z", f"DTSTAMP:20261123T08{minute:02}00Z"))
        fired += await watch(trigger, clock, 1)
    assert fired == [("08:17", "Meeting")]


async def test_missed_while_the_server_was_down(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(":20261101T100000Z", "RRULE:FREQ=HOURLY", summary="Hourly"))
    await trigger.poll()
    clock.shift(timedelta(hours=3, minutes=5))
    assert [one.data.start.hour for one in await trigger.poll()] == [9, 10, 11]
    clock.shift(timedelta(days=5))
    late = await trigger.poll()
    assert min(one.at for one in late) >= datetime.now(UTC) - timedelta(hours=24)
    assert len(late) == 24


async def test_state_is_all_there_is(trigger: Trigger, vendor: Vendor, clock) -> None:
    """Another process, with nothing but the state, goes on; also when its first answer is 304."""
    vendor.text = calendar(event(":20261123T082000Z"), event(":20261124T073000Z", uid="2", summary="Tomorrow"))
    await trigger.poll()
    await watch(trigger, clock, 6)
    other = Trigger(trigger.http._client, trigger.url)
    other.state, other.known, other.since = orjson.loads(orjson.dumps(trigger.state)), trigger.known, trigger.since
    assert await watch(other, clock, 20) == [("08:20", "Meeting")]
    assert 200 not in vendor.answers[1:]
    clock.move_to(utc("2026-11-24T07:25Z"))
    assert await watch(other, clock, 10) == [("07:30", "Tomorrow")]


async def test_goes_by_what_it_knows_while_the_vendor_is_down(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(":20261123T082000Z"), event(":20261124T090000Z", uid="2"))
    await trigger.poll()
    vendor.status = 503
    assert await watch(trigger, clock, 30) == [("08:20", "Meeting")]
    assert vendor.answers == [200, *[503] * 6]
    assert trigger.log.said
    clock.shift(timedelta(hours=24))
    with pytest.raises(Retry):
        await trigger.poll()
    vendor.status = 200
    assert await watch(trigger, clock, 35) == [("09:00", "Meeting")]


async def test_first_look_at_what_is_not_there(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.status = 503
    with pytest.raises(Retry, match="returned 503"):
        await trigger.poll()
    vendor.status = 404
    with pytest.raises(Permanent, match="returned 404"):
        await trigger.poll()
    vendor.status, vendor.text = 200, "<html>Please log in</html>"
    with pytest.raises(Permanent, match="isn't an ICS calendar"):
        await trigger.poll()
    vendor.text = "x" * 5_000_001
    with pytest.raises(Permanent, match="larger than 5 MB"):
        await trigger.poll()


async def test_a_broken_text_is_looked_at_again(trigger: Trigger, vendor: Vendor, clock) -> None:
    vendor.text = calendar(event(":20261123T090000Z"))
    await trigger.poll()
    vendor.text = vendor.text[:-10]
    clock.shift(300)
    for _ in range(2):
        with pytest.raises(Permanent, match="is incomplete"):
            await trigger.poll()
    vendor.text = calendar(event(":20261123T081000Z", summary="Mended"))
    assert await watch(trigger, clock, 10) == [("08:10", "Mended")]


async def test_many_events_and_long_texts_keep_the_state_small(trigger: Trigger, vendor: Vendor, clock) -> None:
    long = "DESCRIPTION:" + "é" * 5_000
    vendor.text = calendar(
        *[event(f":20261123T{8 + n // 60:02}{n % 60:02}30Z", long, uid=str(n)) for n in range(1, 60)]
    )
    await trigger.poll()
    assert len(trigger.state["coming"]) < 59
    fired = await watch(trigger, clock, 70)
    assert len(fired) == 59


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("webcal://example.org/team.ics", "https://example.org/team.ics"),
        ("webcals://example.org/team.ics?key=a:b", "https://example.org/team.ics?key=a:b"),
        (" WEBCAL://example.org/team.ics ", "https://example.org/team.ics"),
        ("http://example.org/team.ics", "http://example.org/team.ics"),
    ],
)
def test_addresses(given: str, url: str) -> None:
    assert str(Calendar.model_validate({"url": given}).url) == url


@pytest.mark.parametrize("wrong", [{"url": "team.ics"}, {"url": "file:///etc/passwd"}, {"minutes_before": "40321"}, {"minutes_before": -1},
                                   {"timezone": "Paris"}])  # fmt: skip
def test_wrong_parameters(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Calendar.model_validate({"url": "https://example.org/team.ics", **wrong})


def test_sample() -> None:
    sample = orjson.loads((Path(__file__).parent / "fixtures" / "event_starts.json").read_bytes())
    data = Starting.model_validate(sample["data"])
    assert sample["id"] == f"{data.uid}:{data.start.astimezone(UTC).isoformat()}"


async def test_an_event_is_looked_up(vendor: Vendor, clock) -> None:
    vendor.text = calendar(
        event(":20261123T070000Z", "DTEND:20261123T090000Z", uid="1", summary="Long"),
        event(":20261123T090000Z", "DTEND:20261123T100000Z", uid="2", summary="Next"),
        event(";VALUE=DATE:20261130", uid="3", summary="Holiday"),
    )
    app = web.Application()
    app.router.add_get("/team.ics", vendor.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        client = Client(Guard(allow=["127.0.0.1"]))
        ctx = Context(Http(client), Guard(allow=["127.0.0.1"]), cast(Platform, None))
        url = str(server.make_url("/team.ics"))
        now = await act(ctx, event_at, url=url)
        assert (now.found, now.summary, now.calendar) == (True, "Long", "")
        assert (await act(ctx, event_at, url=url, at="2026-11-23T10:30", timezone="Europe/Paris")).summary == "Next"
        assert (await act(ctx, event_at, url=url, at="2026-11-30T12:00:00Z")).all_day is True
        later = await act(ctx, event_at, url=url, at="2026-11-23T10:00:00Z", hours_ahead=200, matching="holi")
        assert later.summary == "Holiday"
        await finds_nothing(ctx, event_at, url=url, at="2026-11-23T10:00:00Z")
        await client.close()
