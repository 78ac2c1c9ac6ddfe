"""Wikipedia: edits, recent changes, categories, and the article and picture of the day, in any language."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from area.connectors.wikipedia.api import (
    Article,
    Edit,
    Member,
    Picture,
    contributions,
    members,
    of_the_day,
    recent_changes,
    revisions,
)  # fmt: skip
from area.sdk import Context, Event, Service

service = Service(
    "wikipedia",
    "Wikipedia",
    "Edits, recent changes, categories and the article of the day, in any language.",
    docs="https://www.mediawiki.org/wiki/API:Main_page",
)

EVERY = timedelta(minutes=5)
TITLE = r"^[^|#<>\[\]{}]+$"  # what a title may hold; "|" would be several titles


class Wiki(BaseModel):
    """Which Wikipedia."""

    language: str = Field(
        "en", pattern=r"^[a-z]{2,}(-[a-z]+)*$", max_length=20,
        description="Language of the Wikipedia, as in its address", examples=["fr"],
    )  # fmt: skip


class Page(Wiki):
    """Which page."""

    title: str = Field(pattern=TITLE, max_length=255, description="Title of the page", examples=["Ada Lovelace"])


class User(Wiki):
    """Whose edits."""

    user: str = Field(
        pattern=TITLE, max_length=255, description="Name of the user, or an address", examples=["Jimbo Wales"]
    )


class Category(Wiki):
    """Which category."""

    category: str = Field(pattern=TITLE, max_length=255, description="Name of the category", examples=["Physics"])


class Words(Wiki):
    """Which changes of articles."""

    words: str = Field(
        min_length=2, max_length=200, description="Words that all have to be in the title or the summary of the edit",
        examples=["#100womendays"],
    )  # fmt: skip
    kind: Literal["any", "edit", "new"] = Field("any", description="Edits, new articles, or any", examples=["new"])


@service.poll("A page is edited", every=EVERY)
async def page_edited(ctx: Context, params: Page, since: datetime) -> AsyncIterator[Event[Edit]]:
    """Somebody edits a page. A title that redirects means the page that it leads to."""
    async for edit in revisions(ctx, params.language, params.title, since):
        yield Event(edit.id, edit, edit.edited_at)


@service.poll("A user edits", every=EVERY)
async def edit_by_user(ctx: Context, params: User, since: datetime) -> AsyncIterator[Event[Edit]]:
    """A user edits any page."""
    async for edit in contributions(ctx, params.language, params.user, since):
        yield Event(edit.id, edit, edit.edited_at)


@service.poll("A change matches a search", every=EVERY)
async def change_matching(ctx: Context, params: Words, since: datetime) -> AsyncIterator[Event[Edit]]:
    """An article is edited or created, not by a bot, with all the words in its title or in the summary: hashtags too."""
    words = params.words.casefold().split()
    async for edit in recent_changes(ctx, params.language, params.kind, since):
        text = f"{edit.title} {edit.comment}".casefold()
        if all(word in text for word in words):
            yield Event(edit.id, edit, edit.edited_at)


@service.poll("A page is added to a category", every=EVERY)
async def page_added_to_category(ctx: Context, params: Category, since: datetime) -> AsyncIterator[Event[Member]]:
    """A page, file or subcategory is put into a category."""
    async for member in members(ctx, params.language, params.category, since):
        yield Event(f"{member.id}:{member.added_at.isoformat()}", member, member.added_at)


@service.poll("The article of the day", every=timedelta(minutes=30))
async def article_of_the_day(ctx: Context, params: Wiki, since: datetime) -> AsyncIterator[Event[Article]]:  # noqa: ARG001
    """Each day's featured article, in languages whose Wikipedia has one."""
    async for day, article in _daily(ctx, params.language, Article):
        yield Event(day, article)


@service.poll("The picture of the day", every=timedelta(minutes=30))
async def picture_of_the_day(ctx: Context, params: Wiki, since: datetime) -> AsyncIterator[Event[Picture]]:  # noqa: ARG001
    """Each day's featured picture of Wikimedia Commons, described in the language."""
    async for day, picture in _daily(ctx, params.language, Picture):
        yield Event(day, picture)


async def _daily(ctx: Context, language: str, what: type[Any]) -> AsyncIterator[tuple[str, Any]]:
    day = datetime.now(UTC).date()
    if ctx.state.get("told") != day.isoformat():
        yield day.isoformat(), await of_the_day(ctx, language, day, what)
        ctx.state["told"] = day.isoformat()
