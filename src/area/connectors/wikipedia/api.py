"""What is asked of Wikipedia: the Action API of MediaWiki for changes, the Wikifeeds API for what a day features."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import AliasPath, BaseModel, Field

from area.sdk import Context, Permanent, Retry, parse

SITE = "https://{language}.wikipedia.org"
LIMIT, PAGES = 500, 10  # rows of one answer, and answers of one look
LAG = timedelta(minutes=1)  # how much later than it is dated a recent change may appear
PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error")  # the begin of codes of errors that pass

Answer = TypeVar("Answer", bound=BaseModel)


class Edit(BaseModel):
    """An edit."""

    id: str = Field(description="Number of the revision", examples=["833218500"])
    title: str = Field(description="Title of the page", examples=["Ada Lovelace"])
    url: str = Field(description="Address of the page", examples=["https://en.wikipedia.org/wiki/Ada_Lovelace"])
    diff_url: str = Field(
        description="What was changed", examples=["https://en.wikipedia.org/wiki/Special:Diff/833218500"]
    )
    user: str = Field(description="Who did it; empty if that is hidden", examples=["Jimbo Wales"])
    comment: str = Field(description="Summary; empty if there is none", examples=["/* Early life */ a source"])
    minor: bool = Field(description="Whether it is marked as minor", examples=[False])
    new: bool = Field(description="Whether it created the page", examples=[False])
    size_change: int | None = Field(description="By how many bytes the page grew, if known", examples=[31])
    edited_at: datetime = Field(description="When it was done", examples=["2026-11-23T09:00:00Z"])


class Member(BaseModel):
    """A page of a category."""

    id: str = Field(description="Number of the page", examples=["13570"])
    title: str = Field(description="Title of the page", examples=["Histology"])
    url: str = Field(description="Address of the page", examples=["https://en.wikipedia.org/wiki/Histology"])
    kind: str = Field(description="page, subcat or file", examples=["page"])
    added_at: datetime = Field(description="When it was added", examples=["2026-11-23T09:00:00Z"])


class Article(BaseModel):
    """The article of a day."""

    date: str = Field(description="The day", examples=["2026-11-23"])
    title: str = Field(description="Title", examples=["Ada Lovelace"])
    description: str = Field(description="What it is about, in a few words", examples=["English mathematician"])
    extract: str = Field(description="Its first sentences", examples=["Ada Lovelace was an English mathematician."])
    url: str = Field(description="Address of the article", examples=["https://en.wikipedia.org/wiki/Ada_Lovelace"])
    image: str | None = Field(description="Its picture", examples=["https://upload.wikimedia.org/ada.jpg"])


class Picture(BaseModel):
    """The picture of a day."""

    date: str = Field(description="The day", examples=["2026-11-23"])
    title: str = Field(description="Name of the file", examples=["File:Moon.jpg"])
    description: str = Field(description="What it shows", examples=["The full moon"])
    image: str = Field(description="Address of the picture", examples=["https://upload.wikimedia.org/moon.jpg"])
    url: str = Field(description="Its page on Commons", examples=["https://commons.wikimedia.org/wiki/File:Moon.jpg"])
    artist: str = Field(description="Who made it", examples=["Ada"])
    license: str = Field(description="Its license", examples=["CC BY-SA 4.0"])


class _Error(BaseModel):
    code: str
    info: str = ""


class _Answer(BaseModel):
    query: dict[str, Any] | None = None
    more: dict[str, Any] | None = Field(None, alias="continue")
    error: _Error | None = None


class _Row(BaseModel):
    """A revision, contribution or recent change; each has some of this."""

    revid: int
    timestamp: datetime
    title: str = ""
    user: str = ""
    comment: str = ""
    minor: bool = False
    new: bool = False
    type: str = ""
    parentid: int = -1
    size: int | None = None
    sizediff: int | None = None
    oldlen: int | None = None
    newlen: int | None = None


class _Member(BaseModel):
    pageid: int
    title: str
    timestamp: datetime
    type: str


class _Page(BaseModel):
    title: str
    missing: bool = False
    invalid: bool = False
    revisions: list[_Row] = []


class _Featured(BaseModel):
    title: str = Field(validation_alias=AliasPath("titles", "normalized"))
    url: str = Field(validation_alias=AliasPath("content_urls", "desktop", "page"))
    extract: str = ""
    description: str = ""
    image: str | None = Field(None, validation_alias=AliasPath("thumbnail", "source"))


class _Image(BaseModel):
    title: str
    image: str = Field(validation_alias=AliasPath("image", "source"))
    url: str = Field("", validation_alias="file_page")
    description: str = Field("", validation_alias=AliasPath("description", "text"))
    artist: str = Field("", validation_alias=AliasPath("artist", "text"))
    license: str = Field("", validation_alias=AliasPath("license", "type"))


class _Feed(BaseModel):
    tfa: _Featured | None = None
    image: _Image | None = None


async def revisions(ctx: Context, language: str, title: str, since: datetime) -> AsyncIterator[Edit]:
    """The edits of a page since, the oldest first. Raises `Permanent` when there is no such page."""
    # https://www.mediawiki.org/wiki/API:Revisions
    asked = {
        "prop": "revisions", "titles": title, "redirects": "1", "rvprop": "ids|timestamp|flags|comment|user|size",
        "rvdir": "newer", "rvstart": _stamp(since), "rvlimit": str(LIMIT),
    }  # fmt: skip
    sizes: dict[int, int | None] = {0: 0}
    async for query in _query(ctx, language, asked):
        for page in (parse(_Page, one, "Wikipedia") for one in query.get("pages", [])):
            if page.missing or page.invalid:
                raise Permanent(f"The Wikipedia in {language!r} has no page {title!r}.")
            for row in page.revisions:
                before, sizes[row.revid] = sizes.get(row.parentid), row.size
                grown = None if row.size is None or before is None else row.size - before
                yield _edit(language, row, page.title, grown, new=row.parentid == 0)


async def contributions(ctx: Context, language: str, user: str, since: datetime) -> AsyncIterator[Edit]:
    """The edits of a user since, the oldest first."""
    # https://www.mediawiki.org/wiki/API:Usercontribs
    asked = {
        "list": "usercontribs", "ucuser": user, "ucprop": "ids|title|timestamp|comment|sizediff|flags",
        "ucdir": "newer", "ucstart": _stamp(since), "uclimit": str(LIMIT),
    }  # fmt: skip
    async for query in _query(ctx, language, asked):
        for row in (parse(_Row, one, "Wikipedia") for one in query.get("usercontribs", [])):
            yield _edit(language, row, row.title, row.sizediff, new=row.new)


async def recent_changes(
    ctx: Context, language: str, kind: Literal["any", "edit", "new"], since: datetime
) -> AsyncIterator[Edit]:
    """The changes of articles by people, the oldest first, from where the last look ended: none is left out."""
    begin = datetime.fromisoformat(ctx.state["read"]) if "read" in ctx.state else since
    # https://www.mediawiki.org/wiki/API:RecentChanges
    asked = {
        "list": "recentchanges", "rcdir": "newer", "rcstart": _stamp(begin - LAG), "rcnamespace": "0", "rcshow": "!bot",
        "rctype": "edit|new" if kind == "any" else kind, "rcprop": "title|ids|sizes|flags|user|comment|timestamp",
        "rclimit": str(LIMIT),
    }  # fmt: skip
    async for query in _query(ctx, language, asked):
        for row in (parse(_Row, one, "Wikipedia") for one in query.get("recentchanges", [])):
            ctx.state["read"] = row.timestamp.isoformat()  # before it is yielded: a look may be cut off
            grown = None if row.newlen is None or row.oldlen is None else row.newlen - row.oldlen
            yield _edit(language, row, row.title, grown, new=row.type == "new")


async def members(ctx: Context, language: str, category: str, since: datetime) -> AsyncIterator[Member]:
    """What was put into a category since, the oldest first."""
    name = category.partition(":")[2].strip() if category.lower().startswith("category:") else category
    # https://www.mediawiki.org/wiki/API:Categorymembers
    asked = {
        "list": "categorymembers", "cmtitle": f"Category:{name}", "cmsort": "timestamp", "cmdir": "asc",
        "cmstart": _stamp(since), "cmprop": "ids|title|timestamp|type", "cmlimit": str(LIMIT),
    }  # fmt: skip
    async for query in _query(ctx, language, asked):
        for row in (parse(_Member, one, "Wikipedia") for one in query.get("categorymembers", [])):
            url = _address(language, row.title)
            yield Member(id=str(row.pageid), title=row.title, url=url, kind=row.type, added_at=row.timestamp)


async def of_the_day(ctx: Context, language: str, day: date, what: type[Answer]) -> Answer:
    """The article or picture of a day. Raises `Permanent` when there is none."""
    # https://www.mediawiki.org/wiki/Wikifeeds_API "Get featured content"
    address = f"{SITE.format(language=language)}/api/rest_v1/feed/featured/{day:%Y/%m/%d}"
    feed = parse(_Feed, await ctx.http.get(address, headers=_headers()), "Wikipedia")
    found = feed.tfa if what is Article else feed.image
    if found is None:
        name = what.__name__.lower()
        raise Permanent(f"The Wikipedia in {language!r} has no {name} of the day for {day}.")
    return what.model_validate({"date": day.isoformat(), **found.model_dump()})


async def _query(ctx: Context, language: str, asked: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """The answers to a query, continued as https://www.mediawiki.org/wiki/API:Continue says."""
    # https://www.mediawiki.org/wiki/Manual:Maxlag_parameter: for what nobody waits for
    params = {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5", **asked}
    more: Mapping[str, str] = {}
    for _ in range(PAGES):
        address = f"{SITE.format(language=language)}/w/api.php"
        response = await ctx.http.call("GET", address, params={**params, **more}, headers=_headers())
        answer = parse(_Answer, response.body, "Wikipedia")
        if answer.error:  # with status 200: https://www.mediawiki.org/wiki/API:Errors_and_warnings
            said = f"Wikipedia refuses: {answer.error.info or answer.error.code}"
            if answer.error.code.startswith(PASSING):
                raise Retry(said, response.retry_after())
            raise Permanent(said)
        if answer.query is None:
            raise Permanent("Wikipedia answered something else than it documents: query is missing.")
        yield answer.query
        if not answer.more:
            return
        more = {name: str(value) for name, value in answer.more.items()}


def _edit(language: str, row: _Row, title: str, grown: int | None, *, new: bool) -> Edit:
    return Edit(
        id=str(row.revid),
        title=title,
        url=_address(language, title),
        diff_url=_address(language, f"Special:Diff/{row.revid}"),
        user=row.user,
        comment=row.comment,
        minor=row.minor,
        new=new,
        size_change=grown,
        edited_at=row.timestamp,
    )


def _address(language: str, title: str) -> str:
    return f"https://{language}.wikipedia.org/wiki/{quote(title.replace(' ', '_'), safe='/:(),')}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _headers() -> dict[str, str]:
    """Who asks, as https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy wants it."""
    try:
        number = version("area-server")
    except PackageNotFoundError:
        number = "0"
    return {"User-Agent": f"AREA/{number} (self-hosted automation bot)"}
