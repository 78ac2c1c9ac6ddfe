"""Parse a feed in a separate process (see `area.kit.sandbox`): feedparser takes seconds per megabyte, and quadratic
time for hostile input.
"""

import calendar
import hashlib
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from feedparser.api import parse
from feedparser.mixin import _FeedParserMixin
from feedparser.sanitizer import _sanitize_html

from area.kit.decoding import parse_json
from area.kit.xml_text import as_text
from area.kit.zygote import Unreadable

MAX_CONTENT = 100_000  # characters of content, and of each other text
MAX_ITEMS = 1000  # no more are taken at one look
MAX_ANSWER = 8_000_000  # characters of all items together
MAX_ATTACHMENTS = 100  # of an item
BLOCK = re.compile(
    r"</?(?:address|article|blockquote|br|dd|div|dl|dt|figcaption|h[1-6]|hr|li|ol|p|pre|t[dhr]|ul)\b[^<>]*>"
)
TAG = re.compile(r"<[^<>]*>")
ITEM = re.compile(r"<((?:\w+:)?(?:item|entry))[\s>]")
_SPACES = (
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
)
PLAIN_ATOM = f'<feed xmlns="http://www.w3.org/2005/Atom" {_SPACES}>'
PLAIN_RSS = f'<rss version="2.0" {_SPACES}><channel>'
FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")
# what the libraries and the code below raise at nonsense within one item
NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)

# feedparser takes a guid for an address relative to the feed's own; as such it would change when the feed moves
_FeedParserMixin.can_be_relative_uri = _FeedParserMixin.can_be_relative_uri - {"id"}
# neither is typed
_parse: Callable[..., Any] = parse
_sanitize: Callable[..., str] = _sanitize_html


def decode(content: bytes, *, url: str, content_type: str, host: str) -> dict[str, Any]:
    """The `items` of the feed at `url`, and how many were `skipped` because they can't be read. Raises `Unreadable`."""
    items, skipped = read(content, url, content_type, host)
    dates = [item["published"] for item in items if item["published"]]
    if len(items) > MAX_ITEMS and dates and dates[0] < dates[-1]:  # the newest are at the end
        items = items[-MAX_ITEMS:]
    answer, size = [], 0
    for item in items[:MAX_ITEMS]:
        size += sum(len(value) for value in item.values() if isinstance(value, str))
        if size > MAX_ANSWER:
            break
        answer.append(item)
    return {"items": answer, "skipped": skipped}


def read(document: bytes, url: str, content_type: str, host: str = "") -> tuple[list[dict[str, Any]], int]:
    """The items of the feed at `url`, in its order, and the number of those that can't be read. Raises `Unreadable`."""
    if document.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _json_feed(document, url, host)
    text = as_text(document, content_type)
    parsed, entries, skipped = _parsed(text, url, host)
    if not entries and not parsed.get("version") and not skipped:
        links = [
            link.href for link in parsed.feed.get("links", []) if link.get("type") in FEED_TYPES and "href" in link
        ]
        if links:
            raise Unreadable("The response of %(host)s is a web page. Its feed is at %(url)s.", host=host, url=links[0])
        page = re.search("<(?:!doctype )?html", text[:2000], re.IGNORECASE)
        if page:
            raise Unreadable("The response of %(host)s is a web page, not a feed.", host=host)
        if document:
            raise Unreadable("The response of %(host)s is not a readable feed.", host=host)
        raise Unreadable("The response of %(host)s is empty.", host=host)
    if parsed.bozo and max(map(text.rfind, ("<item", "<entry"))) > max(map(text.rfind, ("</item", "</entry"))):
        entries = entries[:-1]  # the document ends inside of it: without its guid it would count as another
    feed_title = _plain(parsed.feed.get("title_detail"))
    items = []
    for entry in entries:
        try:
            items.append(_item(entry, url) | {"feed_title": feed_title})
        except NONSENSE:
            skipped += 1
    return items, skipped


def _parsed(text: str, url: str, host: str) -> tuple[Any, list[Any], int]:
    """What feedparser makes of the document, its entries, and how many had to be left out because it fails on them."""
    try:
        parsed = _fed(text, url)
    except NONSENSE:
        pass
    else:
        return parsed, list(parsed.entries), 0
    spans = list(_spans(text))
    if not spans:
        raise Unreadable("The response of %(host)s is not a readable feed.", host=host)
    before, after, frame = _frame(text, spans, url)
    entries: list[Any] = []
    skipped = 0
    waiting = [spans]
    while waiting:
        some = waiting.pop()
        try:
            entries += _fed(before + "\n".join(text[start:end] for start, end in some) + after, url).entries
        except NONSENSE:
            middle = len(some) // 2
            skipped += not middle
            waiting += [some[middle:], some[:middle]] if middle else []
    frame["bozo"] = False  # each of these items is whole, whatever stands behind the last
    return frame, entries, skipped


def _frame(text: str, spans: Sequence[tuple[int, int]], url: str) -> tuple[str, str, Any]:
    """What stands before and after the items, and what feedparser makes of both. Where it fails on the document's own,
    a plain one, by which the title is lost, but no item.
    """
    before, after = text[: spans[0][0]], text[spans[-1][1] :]
    for candidate in ((before, after), (before, "")):
        try:
            return *candidate, _fed("".join(candidate), url)
        except NONSENSE:
            continue
    plain = PLAIN_ATOM if text.startswith("<entry", spans[0][0]) else PLAIN_RSS
    return plain, "", _fed(plain, url)


def _fed(text: str, url: str) -> Any:
    headers = {"content-location": url, "content-type": "application/xml; charset=utf-8"}
    # in a stream, because feedparser takes bytes for the name of a file first: b"/etc/passwd" would be read
    return _parse(io.BytesIO(text.encode()), response_headers=headers)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each item begins and ends."""
    position = 0
    while match := ITEM.search(text, position):
        end = text.find(f"</{match[1]}>", match.end())
        if end < 0:
            return
        position = end + len(match[1]) + 3
        yield match.start(), position


def _item(entry: Any, url: str) -> dict[str, Any]:
    content = next((part.value for part in entry.get("content", []) if part.get("value")), "") or entry.get(
        "summary", ""
    )
    text = _plain({"value": content})
    title = _plain(entry.get("title_detail"))
    links = [entry.get("link"), *(link.get("href") for link in entry.get("links", []))]
    # without a link, feedparser takes the id for one, even one such as tag:example.org,2026:1
    link = next((link for link in links if link and (link != entry.get("id") or link[:4].lower() == "http")), None)
    # asking for `updated` where there is none gives `published`, and a warning
    kind = "published" if "published_parsed" in entry else "updated" if "updated_parsed" in entry else None
    date = _date(entry[f"{kind}_parsed"]) if kind else None
    stamp = entry.get(kind, "") if kind else ""
    return {
        "id": entry.get("id") or link or _digest(title, stamp, text),
        "title": title[:MAX_CONTENT],
        "link": link,
        "author": entry.get("author") or None,
        "published": date and date.isoformat(),
        "at": _instant(date, stamp),
        "signs": _signs(title, date.isoformat() if date else stamp, link, text),
        "summary": (_plain(entry.get("summary_detail")) or text)[:MAX_CONTENT],
        "content": content[:MAX_CONTENT],
        "text": text[:MAX_CONTENT],
        "categories": [tag.get("term") or tag.get("label") for tag in entry.get("tags", []) if tag.get("term")],
        "image": _image(entry, content, url),
        "attachments": _attachments(entry, url),
    }


def _instant(date: datetime | None, stamp: str) -> str | None:
    """The date as an instant. A day without a time is none: what comes at noon must not look twelve hours late. Nor is
    one before feeds: a program without a date writes the beginning of its clock.
    """
    dated = date is not None and date.year >= 1990 and ":" in stamp and "00:00:00" not in stamp
    return date.isoformat() if date and dated else None


def _signs(title: str, date: str, link: str | None, text: str) -> list[str]:
    """What tells the item apart besides its id, the most telling first."""
    name = title or text[:1000]
    try:
        place = urlsplit(link or "")._replace(query="", fragment="").geturl()
    except ValueError:  # an impossible host
        place = ""
    signs = [f"dated {name}\n{date}"] if date else []
    return (
        [*signs, f"at {name}\n{place}", f"says {name}\n{text[:1000]}"]
        if place
        else [*signs, f"says {name}\n{text[:1000]}"]
    )


def _image(entry: Any, content: str, url: str) -> str | None:
    """The item's declared picture, or else the first one in its content."""
    media = [*entry.get("media_content", []), *entry.get("links", [])]
    pictures = [
        *(thumbnail.get("url") for thumbnail in entry.get("media_thumbnail", [])),
        *(medium.get("url") or medium.get("href") for medium in media if _is_of(medium, "image")),
        entry.get("image", {}).get("href"),
        *(html.unescape(match[1]) for match in [re.search(r'<img\b[^<>]*?\ssrc="([^"<>]+)"', content)] if match),
    ]
    return next((joined for picture in pictures if picture and (joined := _joined(url, picture))), None)


def _joined(url: str, address: str) -> str | None:
    """An absolute address; None if it is impossible, such as `http://[site]/x.png`."""
    try:
        joined = urljoin(url, address)
        urlsplit(joined).port  # noqa: B018 - raises for a port that is no number
    except ValueError:
        return None
    return joined


def _is_of(medium: Any, kind: str) -> bool:
    return medium.get("medium") == kind or str(medium.get("type", "")).startswith(f"{kind}/")


def _attachments(entry: Any, url: str) -> list[dict[str, Any]]:
    """Enclosures, and audio and video of Media RSS (https://www.rssboard.org/media-rss)."""
    media = [medium for medium in entry.get("media_content", []) if _is_of(medium, "audio") or _is_of(medium, "video")]
    duration = _seconds(entry.get("itunes_duration"))
    attachments: dict[str, dict[str, Any]] = {}
    for part in [*entry.get("enclosures", []), *media][:MAX_ATTACHMENTS]:
        address = _joined(url, str(part.get("href") or part.get("url") or ""))
        if address and address != url:
            size = str(part.get("length") or part.get("filesize") or "")
            seconds = _seconds(part.get("duration")) or duration
            attachments.setdefault(address, _attachment(address, part.get("type"), _count(size), seconds))
    return list(attachments.values())


def _attachment(url: str, kind: Any, size: int | None, seconds: int | None, title: str = "") -> dict[str, Any]:
    return {
        "url": url,
        "type": str(kind) if kind else None,
        "bytes": size or None,
        "seconds": seconds or None,
        "title": title or None,
    }


def _count(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def _seconds(duration: Any) -> int | None:
    """Seconds of `1865`, `31:05` or `00:31:05`."""
    parts = [_count(part.strip()) for part in str(duration or "").partition(".")[0].split(":")]
    known = [part for part in parts if part is not None]
    return (
        sum(part * 60**place for place, part in enumerate(reversed(known))) if len(known) == len(parts) <= 3 else None
    )


def _json_feed(document: bytes, url: str, host: str) -> tuple[list[dict[str, Any]], int]:
    """https://www.jsonfeed.org/version/1.1/."""
    try:
        feed = parse_json(document)
    except ValueError as error:
        raise Unreadable(
            "The response of %(host)s looks like JSON but isn't valid: %(error)s.", host=host, error=str(error)
        ) from error
    if "jsonfeed.org/version/" not in str(feed.get("version")) or not isinstance(feed.get("items"), list):
        raise Unreadable(
            "The response of %(host)s is JSON, but not a JSON Feed. For other JSON, use the action http.new_list_item.",
            host=host,
        )
    items, skipped = [], 0
    for item in feed["items"]:
        try:
            items.append(_json_item(item, feed, url))
        except NONSENSE:
            skipped += 1
    return items, skipped


def _json_item(item: Any, feed: dict[str, Any], url: str) -> dict[str, Any]:
    content = _string(item, "content_html")
    content = _sanitize(content, "utf-8", "text/html") if content else ""
    text = _plain({"value": content}) or _string(item, "content_text")
    stamp = _string(item, "date_published") or _string(item, "date_modified")
    date = _iso_date(stamp)
    link = _string(item, "url") or _string(item, "external_url")
    title = _string(item, "title")
    authors = [person for holder in (item, feed) for person in [*_list(holder, "authors"), holder.get("author")]]
    pictures = (_string(item, "image"), _string(item, "banner_image"))
    return {
        "id": _string(item, "id") or link or _digest(title, stamp, text),
        "title": title[:MAX_CONTENT],
        "link": (_joined(url, link) or link) if link else None,
        "author": next((_string(person, "name") for person in authors if isinstance(person, dict)), None) or None,
        "published": date and date.isoformat(),
        "at": _instant(date, stamp),
        "signs": _signs(title, date.isoformat() if date else stamp, link, text),
        "summary": (_string(item, "summary") or text)[:MAX_CONTENT],
        "content": (content or html.escape(text, quote=False))[:MAX_CONTENT],
        "text": text[:MAX_CONTENT],
        "categories": [tag for tag in _list(item, "tags") if isinstance(tag, str)],
        "image": next((joined for picture in pictures if picture and (joined := _joined(url, picture))), None),
        "attachments": [
            _attachment(
                address,
                _string(part, "mime_type"),
                _count(_string(part, "size_in_bytes")),
                _seconds(_string(part, "duration_in_seconds")),
                _string(part, "title"),
            )
            for part in _list(item, "attachments")[:MAX_ATTACHMENTS]
            if isinstance(part, dict) and (address := _joined(url, _string(part, "url"))) and _string(part, "url")
        ],
        "feed_title": _string(feed, "title"),
    }


def _string(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    return str(value) if isinstance(value, str | int | float) else ""


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _plain(detail: Any) -> str:
    """Plain text of HTML or text."""
    if not detail:
        return ""
    text = detail["value"]
    if detail.get("type") != "text/plain":
        text = html.unescape(TAG.sub("", BLOCK.sub(" ", text)))
    return " ".join(text.split())


def _date(parts: Any) -> datetime | None:
    """A date from feedparser's UTC time tuple, if valid."""
    try:
        return datetime.fromtimestamp(calendar.timegm(parts), UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _iso_date(stamp: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()
