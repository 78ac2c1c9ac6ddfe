"""RSS and Atom: new items in feeds of any format."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import str_schema

from area.sdk import Context, Event, Events, Reader, Service, param
from area.sdk.keys import FeedKey, credentials
from area.sdk.sensitive import hide

MAX_BYTES = 10_000_000
ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.8"

service = Service(
    "rss",
    "RSS and Atom feeds",
    "Follow blogs, news, podcasts and releases: RSS, Atom, RDF and JSON Feed.",
    docs="https://www.rssboard.org/rss-specification",
    auth=credentials(FeedKey),
    quality="verified",
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
    id: Annotated[str, param("ID in the feed", "tag:blog.example.com,2026:3142")]


@service.poll("New item in a feed", every=timedelta(minutes=5), overlap=timedelta(days=1))
async def new_item(
    ctx: Context, url: Feed, title_contains: InTitle = None, text_contains: InText = None
) -> Events[Item]:
    """Triggers for each new item in a feed. Items already there when the AREA is switched on don't count."""
    # The state changes only once all went well: else an ETag would hide what could not be read.
    seen = dict(ctx.state)
    response = await ctx.http.get_if_changed(url, seen, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    items: list[dict[str, Any]] = []
    if response is not None:
        host, content_type = response.host, response.headers.get("content-type", "")
        items = await _reader.read(host, response.body, url=response.url, content_type=content_type, host=host)
    ctx.state.update(seen)
    title, text = (title_contains or "").casefold(), (text_contains or "").casefold()
    for item in reversed(items):  # feeds begin with the newest, and those without dates fire in this order
        at, content = item.pop("at"), item.pop("text")
        if title in item["title"].casefold() and (text in item["summary"].casefold() or text in content.casefold()):
            name = item["id"]
            name = name if len(name) <= 255 else hashlib.sha256(name.encode()).hexdigest()
            item["published"] = item["published"] and datetime.fromisoformat(item["published"])
            yield Event(
                name,
                Item.model_construct(**item, feed_url=Url(hide("address", url))),
                at and datetime.fromisoformat(at),
            )
