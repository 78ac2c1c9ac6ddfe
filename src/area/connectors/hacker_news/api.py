"""What is asked of Hacker News: HN Search for stories and comments, the official API for jobs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from area.sdk import Context, parse

SEARCH = "https://hn.algolia.com/api/v1/search_by_date"
OFFICIAL = "https://hacker-news.firebaseio.com/v0"
DISCUSSION = "https://news.ycombinator.com/item?id="
PAGE, PAGES = 100, 10  # hits; Algolia shows no more than 1,000 of one search
MOST_JOBS = 30  # read at one look; the others are read at the next one


class Story(BaseModel):
    """A story."""

    id: str = Field(description="Its number", examples=["8863"])
    title: str = Field(description="Title", examples=["My YC app: Dropbox - Throw away your USB drive"])
    url: str | None = Field(description="What it links to", examples=["https://www.getdropbox.com/u/2/screencast.html"])
    author: str = Field(description="Who posted it", examples=["dhouston"])
    points: int = Field(description="Points", examples=[111])
    comments: int = Field(description="How many comments there are", examples=[71])
    text: str = Field(description="Text of an Ask HN or Show HN, as HTML", examples=["What do you use?"])
    link: str = Field(description="Address of the discussion", examples=["https://news.ycombinator.com/item?id=8863"])
    created_at: datetime = Field(description="When it was posted", examples=["2026-11-23T09:00:00Z"])


class Comment(BaseModel):
    """A comment."""

    id: str = Field(description="Its number", examples=["2921983"])
    text: str = Field(description="Text, as HTML", examples=["Aw shucks, guys ... you make me blush."])
    author: str = Field(description="Who wrote it", examples=["norvig"])
    story_title: str = Field(description="Title of the story", examples=["Peter Norvig answers"])
    story_url: str | None = Field(description="What the story links to", examples=["https://norvig.com/qa.html"])
    link: str = Field(description="Address of the comment", examples=["https://news.ycombinator.com/item?id=2921983"])
    created_at: datetime = Field(description="When it was written", examples=["2026-11-23T09:00:00Z"])


class Job(BaseModel):
    """A job."""

    id: str = Field(description="Its number", examples=["192327"])
    title: str = Field(description="Title", examples=["Justin.tv is looking for a Lead Flash Engineer!"])
    url: str | None = Field(description="Address of the offer", examples=["https://example.com/jobs/1"])
    text: str = Field(description="Text, as HTML", examples=["Our site is growing every week."])
    link: str = Field(description="Address on Hacker News", examples=["https://news.ycombinator.com/item?id=192327"])
    created_at: datetime = Field(description="When it was posted", examples=["2026-11-23T09:00:00Z"])


class Hit(BaseModel):
    """A story or comment as HN Search tells it."""

    id: str = Field(alias="objectID")
    created_at_i: int
    author: str | None = None
    title: str | None = None
    url: str | None = None
    points: int | None = None
    num_comments: int | None = None
    story_text: str | None = None
    comment_text: str | None = None
    story_title: str | None = None
    story_url: str | None = None

    @property
    def at(self) -> datetime:
        """When it was posted."""
        return datetime.fromtimestamp(self.created_at_i, UTC)


class _Hits(BaseModel):
    hits: list[Hit]
    nb_pages: int = Field(alias="nbPages")


class _Item(BaseModel):
    id: int
    time: int = 0
    title: str = ""
    url: str = ""
    text: str = ""
    deleted: bool = False
    dead: bool = False


async def search(
    ctx: Context, tags: str, since: datetime, words: str = "", least_points: int = 0
) -> AsyncIterator[Hit]:
    """What was posted since, the newest first: `tags` are joined by commas that mean "and"."""
    filters = f"created_at_i>={int(since.timestamp())}"
    if least_points:
        filters += f",points>={least_points}"
    # https://hn.algolia.com/api "sorted by date"; the last two are of https://www.algolia.com/doc/api-reference/search-api-parameters
    asked = {
        "tags": tags, "numericFilters": filters, "hitsPerPage": str(PAGE), "advancedSyntax": "true", "typoTolerance": "false"
    }  # fmt: skip
    if words:
        asked["query"] = words
    for page in range(PAGES):
        answer = parse(_Hits, await ctx.http.get(SEARCH, params={**asked, "page": str(page)}), "HN Search")
        for hit in answer.hits:
            yield hit
        if page + 1 >= answer.nb_pages:
            return


async def jobs(ctx: Context) -> AsyncIterator[Job]:
    """The jobs that were not listed at the last look; none at the first one."""
    # https://github.com/HackerNews/API#ask-show-and-job-stories
    listed = parse(list[int], await ctx.http.get(f"{OFFICIAL}/jobstories.json"), "Hacker News")
    known = set(ctx.state.get("jobs", listed))
    fresh = sorted(one for one in listed if one not in known)[:MOST_JOBS]
    for number in fresh:
        # https://github.com/HackerNews/API#items
        item = parse(_Item | None, await ctx.http.get(f"{OFFICIAL}/item/{number}.json"), "Hacker News")
        if item is not None and not (item.deleted or item.dead):
            yield Job(
                id=str(item.id),
                title=item.title,
                url=item.url or None,
                text=item.text,
                link=f"{DISCUSSION}{item.id}",
                created_at=datetime.fromtimestamp(item.time, UTC),
            )
    ctx.state["jobs"] = [one for one in listed if one in known or one in fresh]


def story(hit: Hit) -> Story:
    """The story that a hit is."""
    return Story(
        id=hit.id,
        title=hit.title or "",
        url=hit.url or None,
        author=hit.author or "",
        points=hit.points or 0,
        comments=hit.num_comments or 0,
        text=hit.story_text or "",
        link=f"{DISCUSSION}{hit.id}",
        created_at=hit.at,
    )


def comment(hit: Hit) -> Comment:
    """The comment that a hit is."""
    return Comment(
        id=hit.id,
        text=hit.comment_text or "",
        author=hit.author or "",
        story_title=hit.story_title or "",
        story_url=hit.story_url or None,
        link=f"{DISCUSSION}{hit.id}",
        created_at=hit.at,
    )
