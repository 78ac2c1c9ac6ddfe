"""Wikipedia: edits, recent changes, categories, and the article and picture of the day, in any language."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field

from area import __version__
from area.sdk import Context, Event, Events, Permanent, Retry, Service, asked, parse
from area.sdk.answers import Row, found

# who asks, as https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy wants it
AGENT = {"User-Agent": f"AREA/{__version__} (self-hosted automation bot)"}
EVERY, DAILY = timedelta(minutes=5), timedelta(minutes=30)
PAGES = 10  # answers of 500 rows that are read at one look
LAG = timedelta(minutes=1)  # how much later than it is dated a recent change may appear
PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error")  # the begin of codes of errors that pass
NAME = r"^[^|#<>\[\]{}]+$"  # what a title may hold; "|" would be several titles

service = Service(
    "wikipedia",
    "Wikipedia",
    "Edits, recent changes, categories and the article of the day, in any language.",
    docs="https://www.mediawiki.org/wiki/API:Main_page",
)

IN = asked("Language of the Wikipedia, as in its address", "fr", pattern=r"^[a-z]{2,}(-[a-z]+)*$", max_length=20)
Language = Annotated[str, IN]
Title = Annotated[str, asked("Title of the page", "Ada Lovelace", pattern=NAME, max_length=255)]
User = Annotated[str, asked("Name of the user, or an address", "Jimbo Wales", pattern=NAME, max_length=255)]
Category = Annotated[str, asked("Name of the category", "Physics", pattern=NAME, max_length=255)]
WORDS = "Words that all have to be in the title or the summary of the edit"
Words = Annotated[str, asked(WORDS, "#100womendays", min_length=2, max_length=200)]
Kind = Annotated[Literal["any", "edit", "new"], asked("Edits, new articles, or any", "new")]
Number = Annotated[str, Field(coerce_numbers_to_str=True)]


class Edit(Row):
    id: Number = found("revid", "Number of the revision", "833218500")
    title: str = found("title", "Title of the page", "Ada Lovelace")
    url: str = found("url", "Address of the page", "https://en.wikipedia.org/wiki/Ada_Lovelace")
    diff_url: str = found("diff_url", "What was changed", "https://en.wikipedia.org/wiki/Special:Diff/833218500")
    user: str = found("user", "Who did it; empty if that is hidden", "Jimbo Wales", "")
    comment: str = found("comment", "Summary; empty if there is none", "/* Early life */ a source", "")
    minor: bool = found("minor", "Whether it is marked as minor", False, False)
    new: bool = found("new", "Whether it created the page", False, False)
    size_change: int | None = found("sizediff", "By how many bytes the page grew, if known", 31, None)
    edited_at: datetime = found("timestamp", "When it was done", "2026-11-23T09:00:00Z")


class Member(Row):
    id: Number = found("pageid", "Number of the page", "13570")
    title: str = found("title", "Title of the page", "Histology")
    url: str = found("url", "Address of the page", "https://en.wikipedia.org/wiki/Histology")
    kind: str = found("type", "page, subcat or file", "page")
    added_at: datetime = found("timestamp", "When it was added", "2026-11-23T09:00:00Z")


class Article(Row):
    date: str = found("date", "The day", "2026-11-23")
    title: str = found("titles.normalized", "Title", "Ada Lovelace")
    description: str = found("description", "What it is about, in a few words", "English mathematician", "")
    extract: str = found("extract", "Its first sentences", "Ada Lovelace was an English mathematician.", "")
    url: str = found(
        "content_urls.desktop.page", "Address of the article", "https://en.wikipedia.org/wiki/Ada_Lovelace"
    )
    image: str | None = found("thumbnail.source", "Its picture", "https://upload.wikimedia.org/ada.jpg", None)


class Picture(Row):
    date: str = found("date", "The day", "2026-11-23")
    title: str = found("title", "Name of the file", "File:Moon.jpg")
    description: str = found("description.text", "What it shows", "The full moon", "")
    image: str = found("image.source", "Address of the picture", "https://upload.wikimedia.org/moon.jpg")
    url: str = found("file_page", "Its page on Commons", "https://commons.wikimedia.org/wiki/File:Moon.jpg", "")
    artist: str = found("artist.text", "Who made it", "Ada", "")
    license: str = found("license.type", "Its license", "CC BY-SA 4.0", "")


class Sizes(BaseModel):
    """How long a page was before a change, and after it, as the modules tell it."""

    revid: int
    parentid: int = -1
    size: int | None = None
    oldlen: int | None = None
    newlen: int | None = None


@service.poll("A page is edited", every=EVERY)
async def page_edited(ctx: Context, since: datetime, language: Language = "en", *, title: Title) -> Events[Edit]:
    """Somebody edits a page. A title that redirects means the page that it leads to."""
    # https://www.mediawiki.org/wiki/API:Revisions
    query = {"prop": "revisions", "titles": title, "redirects": "1", "rvprop": "ids|timestamp|flags|comment|user|size"}
    query |= {"rvdir": "newer", "rvstart": _stamp(since), "rvlimit": "500"}
    sizes: dict[int, int | None] = {0: 0}
    async for page in _rows(ctx, language, "pages", query):
        if page.get("missing") or page.get("invalid"):
            raise Permanent(f"The Wikipedia in {language!r} has no page {title!r}.")
        for row in parse(list[dict[str, Any]], page.get("revisions", []), "Wikipedia"):
            told = parse(Sizes, row, "Wikipedia")
            grown, sizes[told.revid] = _grown(sizes.get(told.parentid), told.size), told.size
            yield _edit(language, {**row, "title": page.get("title"), "sizediff": grown, "new": not told.parentid})


@service.poll("A user edits", every=EVERY)
async def edit_by_user(ctx: Context, since: datetime, language: Language = "en", *, user: User) -> Events[Edit]:
    """A user edits any page."""
    # https://www.mediawiki.org/wiki/API:Usercontribs
    query = {"list": "usercontribs", "ucuser": user, "ucprop": "ids|title|timestamp|comment|sizediff|flags"}
    query |= {"ucdir": "newer", "ucstart": _stamp(since), "uclimit": "500"}
    async for row in _rows(ctx, language, "usercontribs", query):
        yield _edit(language, row)


@service.poll("A change matches a search", every=EVERY)
async def change_matching(
    ctx: Context, since: datetime, language: Language = "en", *, words: Words, kind: Kind = "any"
) -> Events[Edit]:
    """An article is edited or created, not by a bot, with all the words in its title or in the summary: hashtags too."""
    # from where the last look ended: none is left out
    begin = datetime.fromisoformat(ctx.state["read"]) if "read" in ctx.state else since
    # https://www.mediawiki.org/wiki/API:RecentChanges
    query = {"list": "recentchanges", "rcnamespace": "0", "rcshow": "!bot", "rcdir": "newer", "rclimit": "500"}
    query |= {"rctype": "edit|new" if kind == "any" else kind, "rcstart": _stamp(begin - LAG)}
    query |= {"rcprop": "title|ids|sizes|flags|user|comment|timestamp"}
    async for row in _rows(ctx, language, "recentchanges", query):
        told = parse(Sizes, row, "Wikipedia")
        grown = _grown(told.oldlen, told.newlen)
        event = _edit(language, {**row, "sizediff": grown, "new": row.get("type") == "new"})
        ctx.state["read"] = event.data.edited_at.isoformat()  # before it is yielded: a look may be cut off
        text = f"{event.data.title} {event.data.comment}".casefold()
        if all(word in text for word in words.casefold().split()):
            yield event


@service.poll("A page is added to a category", every=EVERY)
async def page_added_to_category(
    ctx: Context, since: datetime, language: Language = "en", *, category: Category
) -> Events[Member]:
    """A page, file or subcategory is put into a category."""
    name = category.partition(":")[2].strip() if category.lower().startswith("category:") else category
    # https://www.mediawiki.org/wiki/API:Categorymembers
    query = {"list": "categorymembers", "cmtitle": f"Category:{name}", "cmsort": "timestamp", "cmdir": "asc"}
    query |= {"cmstart": _stamp(since), "cmprop": "ids|title|timestamp|type", "cmlimit": "500"}
    async for row in _rows(ctx, language, "categorymembers", query):
        member = parse(Member, {**row, "url": _address(language, row.get("title"))}, "Wikipedia")
        yield Event(f"{member.id}:{member.added_at.isoformat()}", member, member.added_at)


@service.poll("The article of the day", every=DAILY)
def article_of_the_day(ctx: Context, language: Language = "en") -> Events[Article]:
    """Each day's featured article, in languages whose Wikipedia has one."""
    return _of_the_day(ctx, language, "tfa", Article)


@service.poll("The picture of the day", every=DAILY)
def picture_of_the_day(ctx: Context, language: Language = "en") -> Events[Picture]:
    """Each day's featured picture of Wikimedia Commons, described in the language."""
    return _of_the_day(ctx, language, "image", Picture)


async def _of_the_day(ctx: Context, language: str, name: str, kind: type[Any]) -> Events[Any]:
    day = datetime.now(UTC).date()
    if ctx.state.get("told") == day.isoformat():
        return
    # https://www.mediawiki.org/wiki/Wikifeeds_API "Get featured content"
    address = f"https://{language}.wikipedia.org/api/rest_v1/feed/featured/{day:%Y/%m/%d}"
    feed = parse(dict[str, Any], await ctx.http.get(address, headers=AGENT), "Wikipedia")
    if not feed.get(name):
        raise Permanent(f"The Wikipedia in {language!r} has no {kind.__name__.lower()} of the day for {day}.")
    told = parse(dict[str, Any], feed[name], "Wikipedia") | {"date": day.isoformat()}
    yield Event(day.isoformat(), parse(kind, told, "Wikipedia"))
    ctx.state["told"] = day.isoformat()


async def _rows(ctx: Context, language: str, name: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """What a query finds, continued as https://www.mediawiki.org/wiki/API:Continue says."""
    # https://www.mediawiki.org/wiki/Manual:Maxlag_parameter: for what nobody waits for
    params = {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5", **query}
    for _ in range(PAGES):
        address = f"https://{language}.wikipedia.org/w/api.php"
        response = await ctx.http.call("GET", address, params=params, headers=AGENT)
        answer = parse(dict[str, Any], response, "Wikipedia")
        if "error" in answer:  # with status 200: https://www.mediawiki.org/wiki/API:Errors_and_warnings
            error = parse(dict[str, Any], answer["error"], "Wikipedia")
            said, code = f"Wikipedia refuses: {error.get('info') or error.get('code')}", str(error.get("code"))
            raise Retry(said, response.retry_after()) if code.startswith(PASSING) else Permanent(said)
        told = parse(dict[str, Any], answer.get("query"), "Wikipedia").get(name, [])
        for row in parse(list[dict[str, Any]], told, "Wikipedia"):
            yield row
        if "continue" not in answer:
            return
        params |= {key: str(value) for key, value in parse(dict[str, Any], answer["continue"], "Wikipedia").items()}


def _edit(language: str, row: dict[str, Any]) -> Event[Edit]:
    pages = {"url": row.get("title"), "diff_url": f"Special:Diff/{row.get('revid')}"}
    edit = parse(Edit, row | {name: _address(language, title) for name, title in pages.items()}, "Wikipedia")
    return Event(edit.id, edit, edit.edited_at)


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _address(language: str, title: str | None) -> str:
    return f"https://{language}.wikipedia.org/wiki/{quote((title or '').replace(' ', '_'), safe='/:(),')}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
