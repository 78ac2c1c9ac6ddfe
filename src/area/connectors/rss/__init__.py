"""RSS and Atom: a new item in a feed of any kind."""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import str_schema

from area.sdk import Context, Event, Permanent, Response, Service

MAX_BYTES = 10_000_000
MAX_ITEMS = 1000  # no more are taken at one look
MAX_SECONDS = 10  # for reading one feed; a large one takes one
ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.8"
READER = str(Path(__file__).with_name("reader.py"))

service = Service(
    "rss",
    "RSS and Atom feeds",
    "Follows blogs, news, podcasts and releases: RSS, Atom, RDF and JSON Feed.",
    docs="https://www.rssboard.org/rss-specification",
    quality="verified",
)

_readers = ThreadPoolExecutor(2, "rss-reader")


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


class Feed(BaseModel):
    """The feed to follow, and which of its items count."""

    url: Annotated[Url, AfterValidator(_address)] = Field(
        description="Address of the feed", examples=["https://github.com/python/cpython/releases.atom"]
    )
    title_contains: str | None = Field(
        None, description="Only items with this in their title, in any case", examples=["release"]
    )
    text_contains: str | None = Field(
        None, description="Only items with this in their summary or content, in any case", examples=["security"]
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_left_out(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v not in (None, "")} if isinstance(values, dict) else values


class Item(BaseModel):
    """An item of the feed."""

    title: str = Field(description="Title, as text; empty if there is none", examples=["Python 3.14.2 is out"])
    link: Url | None = Field(None, description="Address of the item", examples=["https://blog.example.com/3142"])
    author: str | None = Field(None, description="Who wrote it", examples=["Ada Lovelace"])
    published: datetime | None = Field(
        None, description="When it was published, or else updated", examples=["2026-11-23T09:00:00Z"]
    )
    summary: str = Field(description="Summary, or else content, as text", examples=["Two fixes."])
    content: str = Field(
        description="Content, or else summary, as HTML without scripts", examples=["<p>Two <b>fixes</b>.</p>"]
    )
    categories: list[str] = Field(description="Its categories", examples=[["release", "python"]])
    feed_title: str = Field(description="Title of the feed", examples=["Example Blog"])
    feed_url: Url = Field(description="Address of the feed", examples=["https://blog.example.com/feed.xml"])
    image: Url | None = Field(None, description="Its picture", examples=["https://blog.example.com/3142.png"])
    id: str = Field(description="What the feed names it by", examples=["tag:blog.example.com,2026:3142"])


@service.poll("A new item appears", every=timedelta(minutes=5), overlap=timedelta(days=1))
async def new_item(ctx: Context, params: Feed, since: datetime) -> AsyncIterator[Event[Item]]:  # noqa: ARG001
    """An item appears in a feed. What is in the feed when the AREA is switched on does not fire."""
    # The state changes only once all went well: else an ETag would hide what could not be read.
    seen = dict(ctx.state)
    response = await ctx.http.get_if_changed(params.url, seen, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    items = [] if response is None else await asyncio.get_running_loop().run_in_executor(_readers, _read, response)
    ctx.state.update(seen)
    title, text = (params.title_contains or "").casefold(), (params.text_contains or "").casefold()
    for item in reversed(items[:MAX_ITEMS]):  # feeds begin with the newest, and those without dates fire in this order
        at, content = item.pop("at"), item.pop("text")
        if title in item["title"].casefold() and (text in item["summary"].casefold() or text in content.casefold()):
            identity = item["id"]
            if len(identity) > 255:
                identity = hashlib.sha256(identity.encode()).hexdigest()
            item["published"] = item["published"] and datetime.fromisoformat(item["published"])
            yield Event(
                identity, Item.model_construct(**item, feed_url=params.url), at and datetime.fromisoformat(at)
            )  # fmt: skip


def _read(response: Response) -> list[dict[str, Any]]:
    """Have the feed read by a process that can be killed (see reader.py)."""
    command = [sys.executable, "-P", READER, response.url, response.headers.get("content-type", "")]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=response.body, capture_output=True, timeout=MAX_SECONDS, check=True, process_group=0
        )
    except subprocess.TimeoutExpired as error:
        raise Permanent(f"The feed at {response.host} takes more than {MAX_SECONDS} s to read.") from error
    except (subprocess.CalledProcessError, ValueError) as error:
        raise Permanent(
            f"The feed at {response.host} can't be read: it takes too much memory, or is broken."
        ) from error
    answer: dict[str, Any] = orjson.loads(done.stdout)
    if "error" in answer:
        raise Permanent(f"What {response.host} answered {answer['error']}.")
    items: list[dict[str, Any]] = answer["items"]
    return items
