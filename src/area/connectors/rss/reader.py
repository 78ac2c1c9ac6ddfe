"""Parse a feed in a separate process (see `area.kit.sandbox`): feedparser takes seconds per megabyte, and quadratic
time for hostile input. Imports nothing else of AREA.
"""

import calendar
import hashlib
import html
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from feedparser.api import parse
from feedparser.mixin import _FeedParserMixin
from feedparser.sanitizer import _sanitize_html

from area.kit.zygote import Unreadable

MAX_CONTENT = 100_000  # characters
MAX_ITEMS = 1000  # no more are taken at one look
MAX_ANSWER = 8_000_000  # characters of all items together
BLOCK = re.compile(
    r"</?(?:address|article|blockquote|br|dd|div|dl|dt|figcaption|h[1-6]|hr|li|ol|p|pre|t[dhr]|ul)\b[^<>]*>"
)
TAG = re.compile(r"<[^<>]*>")
CDATA_OR_BARE_AMPERSAND = re.compile(rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?!#?\w{1,32};)", re.DOTALL)
FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")

# feedparser takes a guid for an address relative to the feed's own; as such it would change when the feed moves
_FeedParserMixin.can_be_relative_uri = _FeedParserMixin.can_be_relative_uri - {"id"}
# neither is typed
_parse: Callable[..., Any] = parse
_sanitize: Callable[..., str] = _sanitize_html


class NoFeedError(Exception):
    """The document isn't a feed; the message says what it is."""


def decode(content: bytes, *, url: str, content_type: str, host: str) -> list[dict[str, Any]]:
    """The first items of the feed at `url`. Raises `Unreadable`."""
    try:
        items = read(content, url, content_type)
    except NoFeedError as error:
        raise Unreadable(f"The response of {host} {error}.") from error
    answer, size = [], 0
    for item in items[:MAX_ITEMS]:
        size += sum(len(value) for value in item.values() if isinstance(value, str))
        if size > MAX_ANSWER:
            break
        answer.append(item)
    return answer


def read(document: bytes, url: str, content_type: str) -> list[dict[str, Any]]:
    """The items of the feed at `url`, in its order."""
    if document.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _json_feed(document, url)
    if b"\0" not in document:  # else it is UTF-16; feedparser reads "Q&A" as "Q&A;"
        document = CDATA_OR_BARE_AMPERSAND.sub(lambda found: b"&amp;" if found[0] == b"&" else found[0], document)
    headers = {"content-location": url, "content-type": content_type}
    # in a stream, because feedparser takes bytes for the name of a file first: b"/etc/passwd" would be read
    parsed = _parse(io.BytesIO(document), response_headers=headers)
    entries = parsed.entries
    if not entries and not parsed.get("version"):
        links = [
            link.href for link in parsed.feed.get("links", []) if link.get("type") in FEED_TYPES and "href" in link
        ]
        if links:
            raise NoFeedError(f"is a web page; its feed is at {links[0]}")
        page = re.search(rb"<(?:!doctype )?html", document[:2000], re.IGNORECASE)
        raise NoFeedError("is a web page, not a feed" if page else "is not a readable feed" if document else "is empty")
    if parsed.bozo and max(map(document.rfind, (b"<item", b"<entry"))) > max(
        map(document.rfind, (b"</item", b"</entry"))
    ):
        entries = entries[:-1]  # the document ends inside of it: without its guid it would count as another
    feed_title = _plain(parsed.feed.get("title_detail"))
    return [_item(entry, url) | {"feed_title": feed_title} for entry in entries]


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
        "title": title,
        "link": link,
        "author": entry.get("author") or None,
        "published": date and date.isoformat(),
        "at": None if date is None or ":" not in stamp or "00:00:00" in stamp else date.isoformat(),
        "summary": _plain(entry.get("summary_detail")) or text,
        "content": content[:MAX_CONTENT],
        "text": text,
        "categories": [tag.get("term") or tag.get("label") for tag in entry.get("tags", []) if tag.get("term")],
        "image": _image(entry, content, url),
    }


def _image(entry: Any, content: str, url: str) -> str | None:
    """The item's declared picture, or else the first one in its content."""
    media = [*entry.get("media_content", []), *entry.get("links", [])]
    pictures = [
        *(thumbnail.get("url") for thumbnail in entry.get("media_thumbnail", [])),
        *(one.get("url") or one.get("href") for one in media if _is_picture(one)),
        entry.get("image", {}).get("href"),
        *(html.unescape(found[1]) for found in [re.search(r'<img\b[^<>]*?\ssrc="([^"<>]+)"', content)] if found),
    ]
    return next((urljoin(url, picture) for picture in pictures if picture), None)


def _is_picture(one: Any) -> bool:
    return one.get("medium") == "image" or str(one.get("type", "")).startswith("image/")


def _json_feed(document: bytes, url: str) -> list[dict[str, Any]]:
    """https://www.jsonfeed.org/version/1.1/."""
    try:
        feed = json.loads(document)
    except ValueError as error:
        raise NoFeedError(f"looks like JSON but isn't valid ({error})") from error
    if "jsonfeed.org/version/" not in str(feed.get("version")) or not isinstance(feed.get("items"), list):
        raise NoFeedError("is JSON, but not a JSON Feed; use the action http.new_list_item for other JSON")
    items = []
    for item in feed["items"]:
        if not isinstance(item, dict):
            continue
        content = _string(item, "content_html")
        content = _sanitize(content, "utf-8", "text/html") if content else ""
        text = _plain({"value": content}) or _string(item, "content_text")
        stamp = _string(item, "date_published") or _string(item, "date_modified")
        date = _iso_date(stamp)
        link = _string(item, "url") or _string(item, "external_url")
        title = _string(item, "title")
        authors = [person for holder in (item, feed) for person in [*_list(holder, "authors"), holder.get("author")]]
        picture = _string(item, "image") or _string(item, "banner_image")
        items.append({
            "id": _string(item, "id") or link or _digest(title, stamp, text),
            "title": title,
            "link": urljoin(url, link) if link else None,
            "author": next((_string(one, "name") for one in authors if isinstance(one, dict)), None) or None,
            "published": date and date.isoformat(),
            "at": None if date is None or "00:00:00" in stamp or ":" not in stamp else date.isoformat(),
            "summary": _string(item, "summary") or text,
            "content": (content or html.escape(text, quote=False))[:MAX_CONTENT],
            "text": text,
            "categories": [tag for tag in _list(item, "tags") if isinstance(tag, str)],
            "image": urljoin(url, picture) if picture else None,
            "feed_title": _string(feed, "title"),
        })  # fmt: skip
    return items


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
