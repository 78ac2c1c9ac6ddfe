"""RSS and Atom: new items in feeds of any format."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import str_schema

from area.sdk import Context, Event, Events, Reader, Response, Sentence, Service, counted, param
from area.sdk.keys import FeedKey, credentials
from area.sdk.sensitive import hide

MAX_BYTES = 10_000_000
MOST_SHARED = 500  # ids that are remembered to be shared
COMPARED = 30  # items of two looks that are compared
STRANGE = 3  # looks in a row at which everything is new
ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.8"

service = Service(
    "rss",
    "RSS and Atom feeds",
    "Follow blogs, news, podcasts and releases: RSS, Atom, RDF and JSON Feed.",
    docs="https://www.rssboard.org/rss-specification",
    auth=credentials(FeedKey),
    quality="verified",
    synonyms={
        "": "blog, news, podcast, website, newspaper, magazine, press",
        "new_item": (
            "new post in a blog, blog post, new article, article published, website news, news feed, new episode,"
            " headline, newsletter, Substack, Medium article, WordPress, Tumblr, Ghost, comic, XKCD, press release,"
            " website update, Reddit, show notes, job listing"
        ),
    },
)

_reader = Reader(Path(__file__).with_name("reader.py"))


class Url(str):
    """A URL kept as written: pydantic's type would rewrite it, and reject what some feeds contain."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Leave it a `str`."""
        return str_schema()


def _address(url: str) -> str:
    url = url.strip()
    if url[:7].lower() == "feed://":  # https://datatracker.ietf.org/doc/html/draft-obasanjo-feed-uri-scheme-02
        url = f"https://{url[7:]}"
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise ValueError("Enter the full URL of the feed, starting with https:// or http://.")
    return url


Feed = Annotated[
    Url,
    param("URL of the feed", "https://github.com/python/cpython/releases.atom", holds="address"),
    AfterValidator(_address),
]
Words = Annotated[str | None, BeforeValidator(lambda text: text or None)]
InTitle = Annotated[Words, param("Only items whose title contains this text; case is ignored", "release")]
InText = Annotated[Words, param("Only items whose summary or content contains this text; case is ignored", "security")]


ATTACHMENTS = [
    {"url": "https://pod.example.com/7.mp3", "type": "audio/mpeg", "bytes": 24_986_239, "seconds": 1865, "title": None}
]


class Item(BaseModel):
    title: Annotated[str, param("Title, as plain text; empty if there is none", "Python 3.14.2 is out")]
    link: Annotated[Url | None, param("URL of the item", "https://blog.example.com/3142")] = None
    author: Annotated[str | None, param("Author", "Ada Lovelace")] = None
    published: Annotated[datetime | None, param("Date published or, failing that, updated", "2026-11-23T09:00:00Z")] = (
        None
    )
    summary: Annotated[str, param("Summary or, failing that, content, as plain text", "Two fixes.")]
    content: Annotated[
        str, param("Content or, failing that, summary, as HTML without scripts", "<p>Two <b>fixes</b>.</p>")
    ]
    categories: Annotated[list[str], param("Categories", ["release", "python"])]
    feed_title: Annotated[str, param("Feed title", "Example Blog")]
    feed_url: Annotated[Url, param("URL of the feed", "https://blog.example.com/feed.xml")]
    image: Annotated[Url | None, param("Picture", "https://blog.example.com/3142.png")] = None
    attachments: Annotated[
        list[dict[str, Any]],
        param("Files, such as a podcast's audio: each has `url`, `type`, `bytes`, `seconds` and `title`", ATTACHMENTS),
    ]
    id: Annotated[str, param("ID in the feed", "tag:blog.example.com,2026:3142")]


@service.poll("New item in a feed", every=timedelta(minutes=5), overlap=None)
async def new_item(
    ctx: Context, url: Feed, title_contains: InTitle = None, text_contains: InText = None
) -> Events[Item]:
    """Triggers for each new item in a feed. Items already there when the AREA is switched on don't count."""
    # The state changes only once all went well: else an ETag would hide what could not be read.
    seen = dict(ctx.state)
    response = await ctx.http.get_if_changed(url, seen, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    items: list[dict[str, Any]] = []
    if response is not None:
        feed = await _read(response)
        items = feed["items"]
        seen["shared"] = sorted({*seen.get("shared", []), *_shared(items)})[:MOST_SHARED]
        notes = [_left_out(feed["skipped"]), _told_apart(items, seen)]
        seen["last"] = [[_short(item["id"]), *map(_short, item["signs"])] for item in items[:COMPARED]]
    ctx.state.update(seen)
    if response is not None:
        ctx.note(*notes)
    for item in reversed(items):  # feeds begin with the newest, and those without dates fire in this order
        if _contains(item, title_contains, text_contains):
            yield Event(
                _name(item, seen["shared"]),
                _item(item, url),
                item["at"] and datetime.fromisoformat(item["at"]),
                tuple(item["signs"]),
                (_bounded(item["id"]),),
            )


@service.lookup("Get the newest item of a feed")
async def newest_item(
    ctx: Context, url: Feed, title_contains: InTitle = None, text_contains: InText = None
) -> Item | None:
    """Get the newest item of a feed, or the newest that contains a text."""
    response = await ctx.http.request("GET", url, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    ctx.http.check(response)
    items = (await _read(response))["items"]
    fitting = [item for item in items if _contains(item, title_contains, text_contains)]
    if not fitting:
        return None
    dated = [item for item in fitting if item["at"]]
    newest = max(dated, key=lambda item: datetime.fromisoformat(item["at"])) if dated else fitting[0]
    return _item(newest, url)


async def _read(response: Response) -> dict[str, Any]:
    host, content_type = response.host, response.headers.get("content-type", "")
    feed: dict[str, Any] = await _reader.read(
        host, response.body, url=response.url, content_type=content_type, host=host
    )
    return feed


def _contains(item: dict[str, Any], title: str | None, text: str | None) -> bool:
    title, text = (title or "").casefold(), (text or "").casefold()
    return title in item["title"].casefold() and (text in item["summary"].casefold() or text in item["text"].casefold())


def _item(item: dict[str, Any], url: str) -> Item:
    values = {name: value for name, value in item.items() if name not in ("at", "text", "signs")}
    values["published"] = item["published"] and datetime.fromisoformat(item["published"])
    return Item.model_construct(**values, feed_url=Url(hide("address", url)))


def _shared(items: list[dict[str, Any]]) -> set[str]:
    """IDs that several items have which are not the same item: their links differ, or their titles and dates."""
    places: dict[str, set[str]] = {}
    for item in items:
        places.setdefault(item["id"], set()).add(_place(item))
    return {_short(name) for name, different in places.items() if len(different) > 1}


def _name(item: dict[str, Any], shared: list[str]) -> str:
    """The event's ID: that of the item, or more if several items have it."""
    name = str(item["id"])
    return _digest(f"{name}\n{_place(item)}") if _short(name) in shared else _bounded(name)


def _place(item: dict[str, Any]) -> str:
    """What tells items of one ID apart: their links, or else titles and dates."""
    link = (item["link"] or "").partition("#")[0]
    return link if link and link != item["id"] else str(item["signs"][0])


def _left_out(number: int) -> str:
    if not number:
        return ""
    return counted(
        "%(number)s item of the feed can't be read and was left out.",
        "%(number)s items of the feed can't be read and were left out.",
        number,
    )


def _told_apart(items: list[dict[str, Any]], seen: dict[str, Any]) -> str:
    """What the owner should know about how items are told apart."""
    before = seen.get("last", [])
    ids = {row[0] for row in before}
    compared = [[_short(item["id"]), *map(_short, item["signs"])] for item in items[:COMPARED]]
    renamed = bool(before and compared) and not any(row[0] in ids for row in compared)
    signs = {sign for row in before for sign in row[1:]}
    alike = [row for row in compared if any(sign in signs for sign in row[1:])]
    seen["strange"] = seen.get("strange", 0) + 1 if renamed and not alike and len(items) > 1 else 0
    if seen["strange"] >= STRANGE:
        return Sentence(
            "Every item of the feed was new at each of the last checks. If that's wrong, AREA can't tell the items"
            " apart: their IDs, links, titles and dates are different each time."
        )
    if renamed and alike:
        return Sentence("The feed's item IDs change each time. AREA tells items apart by title, date and link.")
    if _shared(items):
        return Sentence(
            "Several items of the feed have the same ID. AREA tells them apart by link, or by title and date."
        )
    bare = [item for item in items if not (item["title"] or item["link"] or item["published"])]
    if bare:
        return Sentence(
            "Some items of the feed have no title, link or date. AREA tells them apart by their text, so an edited item"
            " counts as new."
        )
    return ""


def _short(text: str) -> str:
    return _digest(text)[:12]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _bounded(name: str) -> str:
    return name if len(name) <= 255 else _digest(name)
