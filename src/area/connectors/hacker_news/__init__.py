"""Hacker News: stories, comments and jobs, from HN Search (Algolia) and the official API (Firebase)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, Field

from area.connectors.hacker_news.api import Comment, Job, Story, comment, jobs, search, story
from area.sdk import Context, Event, Nothing, Service

service = Service(
    "hacker_news",
    "Hacker News",
    "Stories, comments and jobs on Hacker News, as they are posted or voted up.",
    docs="https://hn.algolia.com/api",
)

EVERY = timedelta(minutes=5)  # HN Search allows 10,000 requests an hour from one address
LATE = timedelta(hours=1)  # how much later than it is posted something may be found
RECENT = timedelta(days=3)  # how old a story may be when it reaches its points


class Points(BaseModel):
    """How many points it takes."""

    points: int = Field(ge=10, le=10_000, description="Points that a story has to reach", examples=[200])


class Words(BaseModel):
    """What to search for."""

    words: str = Field(
        min_length=1, max_length=200, description='Words that all have to be there; "in quotes" for a phrase',
        examples=["postgres replication"],
    )  # fmt: skip


class Maybe(BaseModel):
    """What to search for, if anything."""

    words: str = Field("", max_length=200, description="Only those with all of these words", examples=["python"])


class User(BaseModel):
    """Whose posts."""

    user: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,50}$", description="Name of the user, in upper and lower case", examples=["whoishiring"]
    )  # fmt: skip


class Discussion(BaseModel):
    """Which discussion."""

    story: int = Field(gt=0, description="Number of the story, from its address: item?id=…", examples=[8863])


@service.poll("A story reaches a number of points", every=EVERY)
async def story_reaches_points(ctx: Context, params: Points, since: datetime) -> AsyncIterator[Event[Story]]:  # noqa: ARG001
    """A story of the last three days has that many points. Fires once for each story."""
    posted = datetime.now(UTC) - RECENT
    async for hit in search(ctx, "story", posted, least_points=params.points):
        yield Event(hit.id, story(hit))  # undated: it is new when it has the points, not when it was posted


@service.poll("A story matches a search", every=EVERY, overlap=LATE)
async def new_story_matching(ctx: Context, params: Words, since: datetime) -> AsyncIterator[Event[Story]]:
    """A story is posted that has all the words in its title, address, text or author."""
    async for hit in search(ctx, "story", since, params.words):
        yield Event(hit.id, story(hit), hit.at)


@service.poll("A user posts a story", every=EVERY, overlap=LATE)
async def new_story_by_user(ctx: Context, params: User, since: datetime) -> AsyncIterator[Event[Story]]:
    """A user posts a story: `whoishiring` posts "Who is hiring?" on the first weekday of each month."""
    async for hit in search(ctx, f"story,author_{params.user}", since):
        yield Event(hit.id, story(hit), hit.at)


@service.poll("A question is asked (Ask HN)", every=EVERY, overlap=LATE)
async def new_ask_hn(ctx: Context, params: Maybe, since: datetime) -> AsyncIterator[Event[Story]]:
    """An "Ask HN" is posted."""
    async for hit in search(ctx, "ask_hn", since, params.words):
        yield Event(hit.id, story(hit), hit.at)


@service.poll("Something is shown (Show HN)", every=EVERY, overlap=LATE)
async def new_show_hn(ctx: Context, params: Maybe, since: datetime) -> AsyncIterator[Event[Story]]:
    """A "Show HN" is posted."""
    async for hit in search(ctx, "show_hn", since, params.words):
        yield Event(hit.id, story(hit), hit.at)


@service.poll("A comment matches a search", every=EVERY, overlap=LATE)
async def new_comment_matching(ctx: Context, params: Words, since: datetime) -> AsyncIterator[Event[Comment]]:
    """A comment is written that has all the words."""
    async for hit in search(ctx, "comment", since, params.words):
        yield Event(hit.id, comment(hit), hit.at)


@service.poll("A user comments", every=EVERY, overlap=LATE)
async def new_comment_by_user(ctx: Context, params: User, since: datetime) -> AsyncIterator[Event[Comment]]:
    """A user writes a comment."""
    async for hit in search(ctx, f"comment,author_{params.user}", since):
        yield Event(hit.id, comment(hit), hit.at)


@service.poll("A story is commented on", every=EVERY, overlap=LATE)
async def new_comment_on_story(ctx: Context, params: Discussion, since: datetime) -> AsyncIterator[Event[Comment]]:
    """A comment is written in the discussion of a story, at any depth."""
    async for hit in search(ctx, f"comment,story_{params.story}", since):
        yield Event(hit.id, comment(hit), hit.at)


@service.poll("A job is posted", every=timedelta(minutes=15))
async def new_job(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Job]]:  # noqa: ARG001
    """A company of Y Combinator posts a job."""
    async for job in jobs(ctx):
        yield Event(job.id, job)
