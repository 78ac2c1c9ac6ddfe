"""Hacker News: stories, comments and jobs, from HN Search (Algolia) and the official API (Firebase)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from area.sdk import Context, Event, Events, Output, Service, composed, output, param, parse

BEST = "https://hn.algolia.com/api/v1/search"
SEARCH = "https://hn.algolia.com/api/v1/search_by_date"
OFFICIAL = "https://hacker-news.firebaseio.com/v0"
PAGE = "https://news.ycombinator.com/item?id="
EVERY = timedelta(minutes=5)  # HN Search allows 10,000 requests an hour from one address
LATE = timedelta(hours=1)  # how much later than it is posted something may be found
RECENT = timedelta(days=3)  # how old a story may be when it reaches its points
PAGES = 10  # of 100 hits; Algolia shows no more than 1,000 of one search
MOST_JOBS = 30  # read at one look; the others are read at the next one

service = Service(
    "hacker_news",
    "Hacker News",
    "React to stories, comments and jobs on Hacker News as they are posted or upvoted.",
    docs="https://hn.algolia.com/api",
    synonyms={
        "": "HN, Y Combinator, tech news",
        "story_reaches_points": "front page, popular, top story",
        "new_story_matching": "keyword, my company, mention",
        "new_comment_matching": "keyword, my company, mention",
        "new_job": "job offers, hiring, career",
    },
)

PHRASE = 'Words that must all appear; "in quotes" for a phrase'
Words = Annotated[str, param(PHRASE, "postgres replication", min_length=1, max_length=200)]
Maybe = Annotated[str, param("Only posts with all of these words", "python", max_length=200)]
Points = Annotated[int, param("Points to reach", 200, ge=10, le=10_000)]
Discussion = Annotated[int, param("Story ID, from its URL: item?id=…", 8863, gt=0)]
User = Annotated[str, param("Username, case-sensitive", "whoishiring", pattern=r"^[A-Za-z0-9_-]{1,50}$")]
Link = Annotated[str | None, BeforeValidator(lambda text: text or None)]


class Story(Output):
    id: str = output("objectID", "Number", "8863")
    title: str = output("title", "Title", "My YC app: Dropbox - Throw away your USB drive", "")
    url: Link = output("url", "Link", "https://www.getdropbox.com/u/2/screencast.html", None)
    author: str = output("author", "Author", "dhouston", "")
    points: int = output("points", "Points", 111, 0)
    comments: int = output("num_comments", "Number of comments", 71, 0)
    text: str = output("story_text", "Text of an Ask HN or Show HN, as HTML", "What do you use?", "")
    link: str = composed(PAGE + "{objectID}", "URL of the discussion", PAGE + "8863")
    created_at: datetime = output("created_at_i", "Date posted", "2026-11-23T09:00:00Z")


class Comment(Output):
    id: str = output("objectID", "Number", "2921983")
    text: str = output("comment_text", "Text, as HTML", "Aw shucks, guys ... you make me blush.", "")
    author: str = output("author", "Author", "norvig", "")
    story_title: str = output("story_title", "Story title", "Peter Norvig answers", "")
    story_url: Link = output("story_url", "Link of the story", "https://norvig.com/qa.html", None)
    link: str = composed(PAGE + "{objectID}", "URL of the comment", PAGE + "2921983")
    created_at: datetime = output("created_at_i", "Date written", "2026-11-23T09:00:00Z")


class Job(Output):
    id: Annotated[str, Field(coerce_numbers_to_str=True)] = output("id", "Number", "192327")
    title: str = output("title", "Title", "Justin.tv is looking for a Lead Flash Engineer!", "")
    url: Link = output("url", "URL of the job", "https://example.com/jobs/1", None)
    text: str = output("text", "Text, as HTML", "Our site is growing every week.", "")
    link: str = composed(PAGE + "{id}", "URL on Hacker News", PAGE + "192327")
    created_at: datetime = output("time", "Date posted", "2026-11-23T09:00:00Z")


class Hits(BaseModel):
    """A page of HN Search results."""

    hits: list[dict[str, Any]]
    pages: int = Field(alias="nbPages")


@service.poll("Story reaches a number of points", every=EVERY)
async def story_reaches_points(ctx: Context, points: Points) -> Events[Story]:
    """Triggers when a story from the last three days reaches this many points; once per story."""
    async for event in posted(ctx, Story, "story", datetime.now(UTC) - RECENT, least_points=points):
        yield Event(event.id, event.data)  # undated: it is new when it has the points, not when it was posted


@service.poll("New story matching a search", every=EVERY, overlap=LATE)
def new_story_matching(ctx: Context, since: datetime, words: Words) -> Events[Story]:
    """Triggers when a story has all the words in its title, link, text or author."""
    return posted(ctx, Story, "story", since, words)


@service.poll("New story by a user", every=EVERY, overlap=LATE)
def new_story_by_user(ctx: Context, since: datetime, user: User) -> Events[Story]:
    """Triggers when a user posts a story. For example, `whoishiring` posts "Who is hiring?" on the first weekday of
    each month.
    """
    return posted(ctx, Story, f"story,author_{user}", since)


@service.poll("New Ask HN", every=EVERY, overlap=LATE)
def new_ask_hn(ctx: Context, since: datetime, words: Maybe = "") -> Events[Story]:
    """Triggers when an "Ask HN" is posted."""
    return posted(ctx, Story, "ask_hn", since, words)


@service.poll("New Show HN", every=EVERY, overlap=LATE)
def new_show_hn(ctx: Context, since: datetime, words: Maybe = "") -> Events[Story]:
    """Triggers when a "Show HN" is posted."""
    return posted(ctx, Story, "show_hn", since, words)


@service.poll("New comment matching a search", every=EVERY, overlap=LATE)
def new_comment_matching(ctx: Context, since: datetime, words: Words) -> Events[Comment]:
    """Triggers when a comment contains all the words."""
    return posted(ctx, Comment, "comment", since, words)


@service.poll("New comment by a user", every=EVERY, overlap=LATE)
def new_comment_by_user(ctx: Context, since: datetime, user: User) -> Events[Comment]:
    """Triggers when a user writes a comment."""
    return posted(ctx, Comment, f"comment,author_{user}", since)


@service.poll("New comment on a story", every=EVERY, overlap=LATE)
def new_comment_on_story(ctx: Context, since: datetime, story: Discussion) -> Events[Comment]:
    """Triggers for each comment on a story, at any depth."""
    return posted(ctx, Comment, f"comment,story_{story}", since)


@service.poll("New job", every=timedelta(minutes=15))
async def new_job(ctx: Context) -> Events[Job]:
    """Triggers when a Y Combinator company posts a job."""
    # https://github.com/HackerNews/API#ask-show-and-job-stories
    listed = parse(list[int], await ctx.http.get(f"{OFFICIAL}/jobstories.json"), "Hacker News")
    known = set(ctx.state.get("jobs", listed))
    fresh = sorted(job for job in listed if job not in known)[:MOST_JOBS]
    for number in fresh:
        # https://github.com/HackerNews/API#items
        item = parse(dict[str, Any] | None, await ctx.http.get(f"{OFFICIAL}/item/{number}.json"), "Hacker News")
        if item and not (item.get("deleted") or item.get("dead")):
            job = parse(Job, item, "Hacker News")
            yield Event(job.id, job)
    ctx.state["jobs"] = [job for job in listed if job in known or job in fresh]


@service.lookup("Find a story")
async def find_story(ctx: Context, words: Words) -> Story | None:
    """Find the story that fits the words best, by relevance, points and comments."""
    # https://hn.algolia.com/api "sorted by relevance, then points, then number of comments"
    shown = await ctx.http.get(BEST, Hits, params={"query": words, "tags": "story", "hitsPerPage": "1"})
    return parse(Story, shown.hits[0], "HN Search") if shown.hits else None


async def posted(
    ctx: Context, kind: type[Story | Comment], tags: str, since: datetime, words: str = "", least_points: int = 0
) -> Events[Any]:
    """Items posted since then, newest first. Commas in `tags` mean "and"."""
    filters = f"created_at_i>={int(since.timestamp())}" + (f",points>={least_points}" if least_points else "")
    # https://hn.algolia.com/api "sorted by date"; the last two are of
    # https://www.algolia.com/doc/api-reference/search-api-parameters
    query = {"tags": tags, "numericFilters": filters, "hitsPerPage": "100"}
    query |= {"advancedSyntax": "true", "typoTolerance": "false"} | ({"query": words} if words else {})
    for page in range(PAGES):
        shown = await ctx.http.get(SEARCH, Hits, params={**query, "page": str(page)})
        for hit in shown.hits:
            post = parse(kind, hit, "HN Search")
            yield Event(post.id, post, post.created_at)
        if page + 1 >= shown.pages:
            return
