"""RSS and Atom: a new item in a feed of any kind."""

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
    "Follows blogs, news, podcasts and releases: RSS, Atom, RDF and JSON Feed.",
    docs="https://www.rssboard.org/rss-specification",
    auth=credentials(FeedKey),
    quality="verified",
)

_reader = Reader(Path(__file__).with_name("reader.py"))


class Url(str):
    """An address, kept as it was written: pydantic's own type would rewrite it, and refuse what some feeds hold."""

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
        raise ValueError("Enter the whole address of the feed, beginning with https:// or http://.")
    return url


Feed = Annotated[
    Url,
    param("Address of the feed", "https://github.com/python/cpython/releases.atom", holds="address"),
    AfterValidator(_address),
]
Words = Annotated[str | None, BeforeValidator(lambda text: text or None)]
InTitle = Annotated[Words, param("Only items with this in their title, in any case", "release")]
InText = Annotated[Words, param("Only items with this in their summary or content, in any case", "security")]


class Item(BaseModel):
    title: Annotated[str, param("Title, as text; empty if there is none", "Python 3.14.2 is out")]
    link: Annotated[Url | None, param("Address of the item", "https://blog.example.com/3142")] = None
    author: Annotated[str | None, param("Who wrote it", "Ada Lovelace")] = None
    published: Annotated[datetime | None, param("When it was published, or else updated", "2026-11-23T09:00:00Z")] = (
        None
    )
    summary: Annotated[str, param("Summary, or else content, as text", "Two fixes.")]
    content: Annotated[str, param("Content, or else summary, as HTML without scripts", "<p>Two <b>fixes</b>.</p>")]
    categories: Annotated[list[str], param("Its categories", ["release", "python"])]
    feed_title: Annotated[str, param("Title of the feed", "Example Blog")]
    feed_url: Annotated[Url, param("Address of the feed", "https://blog.example.com/feed.xml")]
    image: Annotated[Url | None, param("Its picture", "https://blog.example.com/3142.png")] = None
    id: Annotated[str, param("What the feed names it by", "tag:blog.example.com,2026:3142")]


@service.poll("A new item appears", every=timedelta(minutes=5), overlap=timedelta(days=1))
async def new_item(
    ctx: Context, url: Feed, title_contains: InTitle = None, text_contains: InText = None
) -> Events[Item]:
    """An item appears in a feed. What is in the feed when the AREA is switched on does not fire."""
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
