"""Wikipedia: edits, recent changes, categories, and the article and picture of the day, in any language."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from area import __version__
from area.sdk import (
    Context,
    Event,
    Events,
    Gone,
    Output,
    Pages,
    Permanent,
    Response,
    Retry,
    Sentence,
    Service,
    composed,
    lookup,
    new_events,
    output,
    param,
    parse,
    quoted,
    timestamp,
)

EVERY, DAILY = timedelta(minutes=5), timedelta(minutes=30)
PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error")  # the begin of codes of errors that pass
QUERY = {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5"}
PAGE = "tfa.content_urls.desktop.page"
NAME = r"^[^|#<>\[\]{}]+$"  # what a title may hold; "|" would be several titles


def _refusal(response: Response, body: Mapping[str, Any]) -> Retry | Permanent | None:
    """Errors come with status 200: https://www.mediawiki.org/wiki/API:Errors_and_warnings"""
    if response.status >= 400 or "/w/api.php" not in response.url or isinstance(body.get("query"), dict):
        return None
    said = lookup("error.info error.code", body)
    sentence = (
        Sentence("Wikipedia refused: %(said)s", said=said) if said else Sentence("Unexpected response from Wikipedia.")
    )
    passes = str(lookup("error.code", body)).startswith(PASSING)
    return Retry(sentence, response.retry_after()) if passes else Permanent(sentence)


service = Service(
    "wikipedia",
    "Wikipedia",
    "React to edits, recent changes, categories and featured articles, in any language.",
    docs="https://www.mediawiki.org/wiki/API:Main_page",
    hosts=("*.wikipedia.org",),
    # who asks, as https://foundation.wikimedia.org/wiki/Policy:User-Agent_policy wants it
    headers={"User-Agent": f"AREA/{__version__} (self-hosted automation bot)"},
    # https://www.mediawiki.org/wiki/API:Continue; nobody waits: https://www.mediawiki.org/wiki/Manual:Maxlag_parameter
    pages=Pages(next="continue", query=QUERY, most=10),
    refusal=_refusal,
    synonyms={
        "": "encyclopedia, wiki, article",
        "page_edited": "article changed, page changes",
        "picture_of_the_day": "photo of the day, image",
        "article_of_the_day": "featured article, read",
    },
)

CODE = param("Language of the Wikipedia, as in its URL", "fr", pattern=r"^[a-z]{2,}(-[a-z]+)*$", max_length=20)
In = Annotated[str, CODE]
Title = Annotated[str, param("Page title", "Ada Lovelace", pattern=NAME, max_length=255)]
User = Annotated[str, param("Username or IP address", "Jimbo Wales", pattern=NAME, max_length=255)]
Category = Annotated[str, param("Category name", "Physics", pattern=NAME, max_length=255)]
WORDS = "Words that must all appear in the title or edit summary"
Words = Annotated[str, param(WORDS, "#100womendays", min_length=2, max_length=200)]
Kind = Annotated[Literal["any", "edit", "new"], param("Edits, new articles, or any", "new")]
Rows = AsyncIterator[Any]
DIFF = "https://{language}.wikipedia.org/wiki/Special:Diff/{revid}"


class Edit(Output):
    id: str = composed("{revid}", "Revision ID", "833218500")
    title: str = output("title", "Page title", "Ada Lovelace")
    url: str = output("url", "URL of the page", "https://en.wikipedia.org/wiki/Ada_Lovelace")
    diff_url: str = composed(DIFF, "URL of the change", "https://en.wikipedia.org/wiki/Special:Diff/833218500")
    user: str = output("user", "Author; empty if hidden", "Jimbo Wales", "")
    comment: str = output("comment", "Summary; empty if there is none", "/* Early life */ a source", "")
    minor: bool = output("minor", "Whether it is marked as minor", False, False)
    new: bool = output("new", "Whether it created the page", False, False)
    size_change: int | None = output("sizediff", "Change in size in bytes, if known", 31, None)
    edited_at: datetime = output("timestamp", "Time of completion", "2026-11-23T09:00:00Z")


class Member(Output):
    id: str = composed("{pageid}", "Page ID", "13570")
    title: str = output("title", "Page title", "Histology")
    url: str = output("url", "URL of the page", "https://en.wikipedia.org/wiki/Histology")
    kind: str = output("type", "Type: page, subcat or file", "page")
    added_at: datetime = output("timestamp", "Date added", "2026-11-23T09:00:00Z")


class Article(Output):
    date: str = output("date", "Day", "2026-11-23")
    title: str = output("tfa.titles.normalized", "Title", "Ada Lovelace")
    description: str = output("tfa.description", "Short description", "English mathematician", "")
    extract: str = output("tfa.extract", "First sentences", "Ada Lovelace was an English mathematician.", "")
    url: str = output(PAGE, "URL of the article", "https://en.wikipedia.org/wiki/Ada_Lovelace")
    image: str | None = output("tfa.thumbnail.source", "Picture", "https://upload.wikimedia.org/ada.jpg", None)


class Picture(Output):
    date: str = output("date", "Day", "2026-11-23")
    title: str = output("image.title", "File name", "File:Moon.jpg")
    description: str = output("image.description.text", "Description", "The full moon", "")
    image: str = output("image.image.source", "URL of the picture", "https://upload.wikimedia.org/moon.jpg")
    url: str = output(
        "image.file_page", "URL of its page on Commons", "https://commons.wikimedia.org/wiki/File:Moon.jpg", ""
    )
    artist: str = output("image.artist.text", "Creator", "Ada", "")
    license: str = output("image.license.type", "License", "CC BY-SA 4.0", "")


class Summary(Output):
    title: str = output("titles.normalized", "Title", "Ada Lovelace")
    description: str = output("description", "Short description", "English mathematician", "")
    extract: str = output("extract", "First sentences", "Ada Lovelace was an English mathematician.", "")
    url: str = output("content_urls.desktop.page", "URL of the page", "https://en.wikipedia.org/wiki/Ada_Lovelace")
    image: str | None = output("thumbnail.source", "Picture", "https://upload.wikimedia.org/ada.jpg", None)


@service.poll("Page edited", every=EVERY)
async def page_edited(ctx: Context, since: datetime, language: In = "en", *, title: Title) -> Events[Edit]:
    """Triggers when someone edits a page. Redirects are followed."""
    # https://www.mediawiki.org/wiki/API:Revisions
    query = {"prop": "revisions", "titles": title, "redirects": "1", "rvprop": "ids|timestamp|flags|comment|user|size"}
    sizes: dict[Any, Any] = {0: 0}
    async for page in _rows(ctx, language, "rv", since, query, dict[str, Any]):
        if page.get("missing") or page.get("invalid"):
            raise Permanent(
                Sentence('The Wikipedia "%(language)s" has no page "%(title)s".', language=language, title=title)
            )
        for row in parse(list[dict[str, Any]], page.get("revisions", []), "Wikipedia"):
            grown = _grown(sizes.get(row.get("parentid")), row.get("size"))
            edit = parse(Edit, {**page, **row, "sizediff": grown, "new": row.get("parentid") == 0}, "Wikipedia")
            sizes[row["revid"]] = row.get("size")
            yield Event(edit.id, edit, edit.edited_at)


@service.poll("Edit by a user", every=EVERY)
def edit_by_user(ctx: Context, since: datetime, language: In = "en", *, user: User) -> Events[Edit]:
    """Triggers when a user edits any page."""
    # https://www.mediawiki.org/wiki/API:Usercontribs
    query = {"list": "usercontribs", "ucuser": user, "ucprop": "ids|title|timestamp|comment|sizediff|flags"}
    return new_events(_rows(ctx, language, "uc", since, query, Edit), at="edited_at")


@service.poll("New change matching a search", every=EVERY)
async def change_matching(
    ctx: Context, since: datetime, language: In = "en", *, words: Words, kind: Kind = "any"
) -> Events[Edit]:
    """Triggers when an article is edited or created with all the words in its title or edit summary, hashtags
    included. Bots don't count.
    """
    # from where the last look ended: none is left out, nor what appears up to a minute later than it is dated
    begin = datetime.fromisoformat(ctx.state.get("read", since.isoformat())) - timedelta(minutes=1)
    # https://www.mediawiki.org/wiki/API:RecentChanges
    query = {"list": "recentchanges", "rcnamespace": "0", "rcshow": "!bot"}
    query |= {"rctype": "edit|new" if kind == "any" else kind, "rcprop": "title|ids|sizes|flags|user|comment|timestamp"}
    async for edit in _rows(ctx, language, "rc", begin, query, Edit):
        ctx.state["read"] = edit.edited_at.isoformat()  # before it is yielded: a look may be cut off
        if all(word in f"{edit.title} {edit.comment}".casefold() for word in words.casefold().split()):
            yield Event(edit.id, edit, edit.edited_at)


@service.poll("Page added to a category", every=EVERY)
def page_added_to_category(ctx: Context, since: datetime, language: In = "en", *, category: Category) -> Events[Member]:
    """Triggers when a page, file or subcategory is added to a category."""
    name = category.partition(":")[2].strip() if category.lower().startswith("category:") else category
    # https://www.mediawiki.org/wiki/API:Categorymembers
    query = {"list": "categorymembers", "cmtitle": f"Category:{name}", "cmsort": "timestamp", "cmdir": "asc"}
    query |= {"cmprop": "ids|title|timestamp|type"}
    return new_events(_rows(ctx, language, "cm", since, query, Member), "{id}:{added_at}", "added_at")


@service.poll("Article of the day", every=DAILY)
def article_of_the_day(ctx: Context, language: In = "en") -> Events[Article]:
    """Runs every day with the featured article, in languages whose Wikipedia has one."""
    return _of_the_day(ctx, language, "tfa", Article)


@service.poll("Picture of the day", every=DAILY)
def picture_of_the_day(ctx: Context, language: In = "en") -> Events[Picture]:
    """Runs every day with the featured picture of Wikimedia Commons, described in this language."""
    return _of_the_day(ctx, language, "image", Picture)


@service.lookup("Get a page's summary")
async def get_summary(ctx: Context, language: In = "en", *, title: Title) -> Summary | None:
    """Get the first sentences of a page. Redirects are followed."""
    try:
        # https://www.mediawiki.org/wiki/Page_Content_Service "/page/summary/{title}"
        address = f"https://{language}.wikipedia.org/api/rest_v1" + quoted("/page/summary/{}", title.replace(" ", "_"))
        return await ctx.http.get(address, Summary, gone=(404,))
    except Gone:
        return None


async def _of_the_day(ctx: Context, language: str, name: str, kind: type[Any]) -> Events[Any]:
    day = datetime.now(UTC).date()
    if ctx.state.get("told") == day.isoformat():
        return
    # https://www.mediawiki.org/wiki/Wikifeeds_API "Get featured content"
    feed = await ctx.http.get(f"https://{language}.wikipedia.org/api/rest_v1/feed/featured/{day:%Y/%m/%d}")
    if not lookup(name, feed):
        raise Permanent(
            Sentence('The Wikipedia "%(language)s" has no article of the day for %(day)s.', language=language, day=day)
            if kind is Article
            else Sentence(
                'The Wikipedia "%(language)s" has no picture of the day for %(day)s.', language=language, day=day
            )
        )
    yield Event(day.isoformat(), parse(kind, feed | {"date": day.isoformat()}, "Wikipedia"))
    ctx.state["told"] = day.isoformat()


async def _rows(ctx: Context, language: str, own: str, since: datetime, query: dict[str, str], kind: Any) -> Rows:
    """Rows that a module (`own` prefixes its parameters) lists from a moment on, with fields that the modules leave
    out.
    """
    query = {f"{own}dir": "newer", f"{own}start": timestamp(since), f"{own}limit": "500"} | query
    at = f"query.{query.get('list', 'pages')}"
    async for row in ctx.http.rows(f"https://{language}.wikipedia.org/w/api.php", at=at, params=query):
        grown, url = _grown(row.get("oldlen"), row.get("newlen")), _address(language, row.get("title"))
        yield parse(kind, {"sizediff": grown, **row, "language": language, "url": url}, "Wikipedia")


def _grown(before: Any, after: Any) -> int | None:
    return after - before if isinstance(before, int) and isinstance(after, int) else None


def _address(language: str, title: str | None) -> str:
    return f"https://{language}.wikipedia.org/wiki/{quote((title or '').replace(' ', '_'), safe='/:(),')}"
