"""The readers that are fuzzed, each with the inputs that it reads."""

import asyncio
import base64
import html
import json
from random import Random
from typing import Any, cast
from urllib.parse import quote

import orjson

from area.connectors import http
from area.connectors.calendar import ics
from area.connectors.email import parser
from area.connectors.rss import reader
from area.connectors.webhook import body
from area.kit.http import RequestFailed, Response
from area.kit.text import dump_json
from area.kit.zygote import Unreadable
from area.sdk import Context, Guard, Permanent
from tests.fuzz import CHARSETS, Target, garbled, nasty, one_line

SPACES = (
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:media="http://search.yahoo.com/mrss/"'
    ' xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:georss="http://www.georss.org/georss"'
)
ELEMENTS = (
    "title", "description", "content:encoded", "link", "pubDate", "dc:date", "author", "dc:creator", "category", "comments",
    "source", "summary", "content", "published", "updated", "itunes:duration", "itunes:author", "media:title", "rights",
    "georss:point", "ttl", "unknown", "textInput", "image", "media:description", "id",
)  # fmt: skip
EMPTY = (
    "enclosure url length type", "media:content url type medium fileSize duration", "media:thumbnail url", "link href rel type",
    "itunes:image href", "category term label", "source url", "content src type", "georss:where at",
)  # fmt: skip


def feeds(chance: Random) -> None:
    """RSS, Atom and JSON Feed."""
    count = chance.randint(2, 6)
    bad = chance.randrange(count)
    match chance.randrange(3):
        case 0:
            items = [_item(chance, number, number == bad, "item", "guid") for number in range(count)]
            text = f'<?xml version="1.0"?><rss version="2.0" {SPACES}><channel><title>T</title>{"".join(items)}</channel></rss>'
        case 1:
            items = [_item(chance, number, number == bad, "entry", "id") for number in range(count)]
            text = f'<feed xmlns="http://www.w3.org/2005/Atom" {SPACES}><title>T</title>{"".join(items)}</feed>'
        case _:
            version = "https://jsonfeed.org/version/1.1"
            each = [_json_item(chance) if number == bad else {"id": f"good-{number}"} for number in range(count)]
            text = json.dumps({"version": version, "items": each})
    content = text.encode(errors="surrogatepass")
    kind = chance.choice(("application/xml", "text/xml", "text/html", "application/json", ""))
    if chance.random() < 0.5:
        _read_feed(garbled(chance, content), f"{kind}; charset={chance.choice(CHARSETS)}")
        return
    feed = _read_feed(content, kind)
    names = {item["id"] for item in feed["items"]}
    missing = {f"good-{number}" for number in range(count) if number != bad} - names
    assert not missing, f"{missing} of the feed is lost: {content!r}"


def _read_feed(content: bytes, content_type: str) -> dict[str, Any]:
    try:
        entries = reader.decode(content, url="https://example.org/feed", content_type=content_type, host="example.org")
    except Unreadable:
        return {"items": []}
    orjson.dumps(entries)
    return entries


def _item(chance: Random, number: int, bad: bool, tag: str, name: str) -> str:
    if not bad:
        return f"<{tag}><title>t{number}</title><{name}>good-{number}</{name}></{tag}>"
    inside = []
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.7:
            element = chance.choice(ELEMENTS)
            inside.append(f"<{element}>{_xml(chance)}</{element}>")
        else:
            element, *names = chance.choice(EMPTY).split()
            attributes = " ".join(f'{attribute}="{html.escape(nasty(chance))}"' for attribute in names)
            inside.append(f"<{element} {attributes}/>")
    base = f' xml:base="{html.escape(nasty(chance))}"' if chance.random() < 0.1 else ""
    return f"<{tag}{base}>{''.join(inside)}<{name}>bad</{name}></{tag}>"


def _xml(chance: Random) -> str:
    text = nasty(chance)
    match chance.randrange(4):
        case 0:
            return f"<![CDATA[{text.replace(']]', '')}]]>"
        case 1:
            return html.escape(html.escape(text))
        case 2:
            return f"&#{chance.choice((0, 1, 8, 55357, 56842, 65534, 1114112, 9999999, 128512))};" + html.escape(text)
        case _:
            return html.escape(text)


def _json_item(chance: Random) -> Any:
    value: Any = nasty(chance)
    names = (
        "id",
        "url",
        "title",
        "content_html",
        "content_text",
        "summary",
        "image",
        "date_published",
        "authors",
        "tags",
    )
    values = (value, None, 5, 1e308, [], {}, [None], [{"name": value}], {"a": value}, True, 10**40)
    parameters = {name: chance.choice(values) for name in names if chance.random() < 0.5}
    parameters["attachments"] = chance.choice((value, [value], [{"url": value, "size_in_bytes": value}], {}, None))
    return parameters if chance.random() < 0.9 else chance.choice(values)


PROPERTIES = (
    "DTSTART", "DTEND", "DURATION", "RRULE", "EXDATE", "RDATE", "SUMMARY", "DESCRIPTION", "LOCATION", "UID", "STATUS",
    "SEQUENCE", "ORGANIZER", "URL", "RECURRENCE-ID", "DTSTART;VALUE=DATE", "DTEND;VALUE=DATE", "RDATE;VALUE=PERIOD", "ATTACH",
    "SUMMARY;ENCODING=QUOTED-PRINTABLE;CHARSET=utf-8", "DESCRIPTION;LANGUAGE=de", "X-ODD", "GEO", "CATEGORIES", "DTSTAMP",
)  # fmt: skip


def calendars(chance: Random) -> None:
    """iCalendar."""
    count = chance.randint(2, 6)
    bad = chance.randrange(count)
    zone = f"BEGIN:VTIMEZONE\r\nTZID:{one_line(chance)}\r\nBEGIN:STANDARD\r\n{_lines(chance)}END:STANDARD\r\nEND:VTIMEZONE\r\n"
    events = [
        f"BEGIN:VEVENT\r\n{_lines(chance)}END:VEVENT\r\n"
        if number == bad
        else f"BEGIN:VEVENT\r\nUID:good-{number}\r\nSUMMARY:s\r\nDTSTART:20261123T09{number:02d}00Z\r\nEND:VEVENT\r\n"
        for number in range(count)
    ]
    parts = [*events, *([zone] if chance.random() < 0.3 else [])]
    text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{''.join(parts)}END:VCALENDAR\r\n"
    content = text.encode(errors="surrogatepass")
    if chance.random() < 0.5:
        _read_calendar(garbled(chance, content), chance.choice(CHARSETS))
        return
    calendar = _read_calendar(content, None)
    names = {event["uid"] for event in calendar["events"]}
    missing = {f"good-{number}" for number in range(count) if number != bad} - names
    assert not missing, f"{missing} of the calendar is lost: {content!r}"


def _read_calendar(content: bytes, charset: str | None) -> dict[str, Any]:
    span = {"first": "2026-11-23T00:00:00+00:00", "last": "2026-11-24T00:00:00+00:00"}
    try:
        events = ics.decode(content, zone="Europe/Paris", charset=charset, **span)
    except Unreadable:
        return {"events": []}
    orjson.dumps(events)
    return events


def _lines(chance: Random) -> str:
    lines = [f"DTSTART:{one_line(chance)}"] if chance.random() < 0.3 else ["DTSTART:20261122T090000Z"]
    for _ in range(chance.randint(1, 6)):
        zone = f";TZID={one_line(chance)}" if chance.random() < 0.2 else ""
        lines.append(f"{chance.choice(PROPERTIES)}{zone}:{one_line(chance)}")
    return "".join(f"{line.replace('quoted-printable', '')}\r\n" for line in lines if not line.endswith("="))


def mails(chance: Random) -> None:
    """MIME."""
    mark = "the good text"
    disposition = chance.choice(("attachment", "inline", one_line(chance)))
    bad = [
        f"Content-Type: {chance.choice(('image/png', 'text/calendar', 'message/rfc822', one_line(chance)))}; name={one_line(chance)}",
        f"Content-Disposition: {disposition}; filename={one_line(chance)}; filename*={one_line(chance)}",
        f"Content-Transfer-Encoding: {chance.choice(('base64', 'quoted-printable', '8bit', one_line(chance)))}",
        "",
        base64.b64encode(nasty(chance).encode(errors="surrogatepass")).decode()
        if chance.random() < 0.5
        else one_line(chance),
    ]
    lines = [
        "Subject: good", f"From: {one_line(chance)} <ann@example.org>", f"To: {one_line(chance)}", f"Date: {one_line(chance)}",
        f"X-Odd: {one_line(chance)}", "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="=_b"', "",
        "--=_b", "Content-Type: text/plain; charset=utf-8", "", mark, "--=_b", *bad, "--=_b--", "",
    ]  # fmt: skip
    content = "\r\n".join(lines).encode(errors="surrogatepass")
    if chance.random() < 0.5:
        content = garbled(chance, content)
        dump_json(parser.decode(content, size=len(content)))
        return
    mail = parser.decode(content, size=len(content))
    dump_json(mail)
    assert mail.get("subject") == "good", f"the subject is lost: {content!r}"
    assert mark in mail.get("text", ""), f"the text is lost: {content!r}"


def hooks(chance: Random) -> None:
    """Bodies of webhooks."""
    value = nasty(chance)
    kind = chance.choice(
        ("application/json", "application/x-www-form-urlencoded", "text/plain", "application/xml", "", "multipart")
    )
    charset = chance.choice(CHARSETS)
    if kind == "application/json":
        content = json.dumps({"good": 7, "bad": value, value: [value, 10**30]}).encode()
    elif kind == "application/x-www-form-urlencoded":
        content = f"bad={quote(value, errors='surrogatepass')}&good=7".encode()
    elif kind == "multipart":
        kind = "multipart/form-data; boundary=b"
        lines = ["--b", f'Content-Disposition: form-data; name="{one_line(chance)}"', "", value, "--b"]
        lines += ['Content-Disposition: form-data; name="good"', "", "7", "--b--", ""]
        content = "\r\n".join(lines).encode(errors="surrogatepass")
    else:
        content = value.encode(errors="surrogatepass")
    if chance.random() < 0.5:
        with_refusals(lambda: body.read(garbled(chance, content), f"{kind}; charset={charset}"))
    elif kind in ("application/json", "application/x-www-form-urlencoded") and "\0" not in value and "%00" not in value:
        read = body.read(content, kind)
        assert read["good"] in (7, "7"), f"the good field is lost: {content!r}"
        dump_json(read)
    else:
        with_refusals(lambda: body.read(content, kind))


def with_refusals(read: Any) -> None:
    """What the reader returns can be stored, or it refuses with a sentence."""
    try:
        dump_json(read())
    except Permanent as error:
        assert str(error)  # noqa: PT017


class Answering:
    """An HTTP client with one answer."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer

    async def get_if_changed(self, *_: Any, **__: Any) -> Response:
        return self.answer


def answers(chance: Random) -> None:
    """JSON lists, and answers of any kind."""
    count = chance.randint(2, 6)
    bad = chance.randrange(count)
    items = [_json_item(chance) if number == bad else {"id": f"good-{number}", "n": number} for number in range(count)]
    content = json.dumps({"items": items}).encode()
    whole = chance.random() < 0.5
    content = content if whole else garbled(chance, content)
    charset = "" if whole else f"; charset={chance.choice(CHARSETS)}"
    answer = Response(200, {"content-type": f"application/json{charset}"}, content, "https://example.org/")
    answer.text.encode()
    answer.excerpt()
    try:
        dump_json(answer.json())
    except RequestFailed:
        assert not whole, f"valid JSON is refused: {content!r}"
    client = cast(Any, Answering(answer))
    context = Context(http=client, guard=Guard(), platform=cast(Any, None))

    async def look() -> set[str]:
        params = http.WatchedList(url="https://example.org/", path="items")
        return {event.id async for event in http.new_list_item.function(context, params, None)}

    try:
        names = asyncio.run(look())
    except Permanent:
        assert not whole, f"the list is refused: {content!r}"
        return
    missing = {f"good-{number}" for number in range(count) if number != bad} - names
    assert not (whole and missing), f"{missing} of the list is lost: {content!r}"


TARGETS: dict[str, Target] = {
    "feeds": feeds,
    "calendars": calendars,
    "mails": mails,
    "hooks": hooks,
    "answers": answers,
}
