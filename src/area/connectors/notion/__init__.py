"""Notion: pages of databases in; pages, texts, properties and comments out."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from area.connectors.notion.values import plain, rich, written
from area.sdk import Account, Context, Event, OAuth2, Option, Permanent, Pick, Quirks, Service, parse

EVERY = timedelta(
    minutes=2
)  # three requests a second are allowed, https://developers.notion.com/reference/request-limits
PAGES = 5  # of 100 rows, of one answer
Database = Annotated[str, Pick("databases")]
Page = Annotated[str, Pick("pages")]


async def _account(ctx: Context) -> Account:
    me = await _call(ctx, "GET", "/v1/users/me")  # https://developers.notion.com/reference/get-self
    return Account(str(me["id"]), me["bot"].get("workspace_name") or me.get("name") or "Notion")


service = Service(
    "notion",
    "Notion",
    "Pages that are added to databases or changed; new pages, texts, properties and comments.",
    docs="https://developers.notion.com",
    base_url="https://api.notion.com",
    auth=OAuth2(  # https://developers.notion.com/guides/get-started/authorization
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        _account,
        revoke_url="https://api.notion.com/v1/oauth/revoke",
        quirks=Quirks(pkce=False, token_json=True, authorize_params={"owner": "user"}),
    ),
)


class InDatabase(BaseModel):
    """Which database."""

    database: Database = Field(description="Database", examples=["248104cd-477e-80af-bc30-000bd28de8f9"])


class Row(BaseModel):
    """A page of a database."""

    id: str = Field(description="Id of the page", examples=["59833787-2cf9-4fdf-8782-e53db20768a5"])
    title: str = Field(description="Its title", examples=["Tuscan kale"])
    url: str = Field(
        description="Its address", examples=["https://www.notion.so/Tuscan-kale-598337872cf94fdf8782e53db20768a5"]
    )
    properties: dict[str, Any] = Field(
        description="Its properties by name", examples=[{"Status": "Reading", "Price": 2.5}]
    )
    created_time: datetime = Field(description="When it was made", examples=["2026-11-23T09:00:00Z"])
    last_edited_time: datetime = Field(description="When it was changed last", examples=["2026-11-23T09:00:00Z"])


class NewPage(InDatabase):
    """A page to be."""

    title: str = Field(description="Title", examples=["Tuscan kale"])
    properties: dict[str, Any] = Field(
        {}, description="Other properties, by name", examples=[{"Status": "Reading", "Price": 2.5}]
    )
    content: str = Field("", description="Text on the page", examples=["A dark green leafy vegetable."])


class OnPage(BaseModel):
    """What to write on which page."""

    page: Page = Field(description="Page", examples=["59833787-2cf9-4fdf-8782-e53db20768a5"])
    text: str = Field(min_length=1, description="Text", examples=["Hello"])


class Change(BaseModel):
    """What to change of which page."""

    page: Page = Field(description="Page", examples=["59833787-2cf9-4fdf-8782-e53db20768a5"])
    name: str = Field(description="Name of the property", examples=["Status"])
    value: str = Field(description="What it is to be; of several things, separated by commas", examples=["Done"])


class Made(BaseModel):
    """What was made."""

    id: str = Field(description="What Notion calls it", examples=["b52b8ed6-e029-4707-a671-832549c09de3"])


@service.poll("A page is added to a database", every=EVERY)
async def page_added(ctx: Context, params: InDatabase, since: datetime) -> AsyncIterator[Event[Row]]:
    """A page is added to a database."""
    async for row in _rows(ctx, params.database, "created_time", since):
        yield Event(row.id, row, row.created_time)


@service.poll("A page of a database is changed", every=EVERY)
async def page_updated(ctx: Context, params: InDatabase, since: datetime) -> AsyncIterator[Event[Row]]:
    """A page of a database is added or changed. Notion tells the minute only: changes within one are one."""
    async for row in _rows(ctx, params.database, "last_edited_time", since):
        yield Event(f"{row.id}@{row.last_edited_time.isoformat()}", row, row.last_edited_time)


@service.reaction("Create a page in a database")
async def create_page(ctx: Context, params: NewPage) -> Row:
    """Create a page in a database, with properties as the database has them."""
    # https://developers.notion.com/reference/retrieve-a-data-source
    schema = (await _call(ctx, "GET", f"/v1/data_sources/{params.database}"))["properties"]
    title = next(name for name, one in schema.items() if one["type"] == "title")
    values = {title: params.title} | params.properties
    body: dict[str, Any] = {
        "parent": {"type": "data_source_id", "data_source_id": params.database},
        "properties": {name: _written(schema, name, value) for name, value in values.items()},
    }
    if params.content:
        body["children"] = [{"type": "paragraph", "paragraph": {"rich_text": rich(params.content)}}]
    return _row(await _call(ctx, "POST", "/v1/pages", body))  # https://developers.notion.com/reference/post-page


@service.reaction("Write at the end of a page")
async def append_text(ctx: Context, params: OnPage) -> Made:
    """Add a paragraph at the end of a page."""
    # https://developers.notion.com/reference/patch-block-children
    body = {"children": [{"type": "paragraph", "paragraph": {"rich_text": rich(params.text)}}]}
    answer = await _call(ctx, "PATCH", f"/v1/blocks/{params.page}/children", body)
    return parse(Made, answer["results"][0], "Notion")


@service.reaction("Change a property of a page")
async def update_property(ctx: Context, params: Change) -> Row:
    """Change a property of a page in a database."""
    page = await _call(
        ctx, "GET", f"/v1/pages/{params.page}"
    )  # https://developers.notion.com/reference/retrieve-a-page
    body = {"properties": {params.name: _written(page["properties"], params.name, params.value)}}
    # https://developers.notion.com/reference/patch-page
    return _row(await _call(ctx, "PATCH", f"/v1/pages/{params.page}", body))


@service.reaction("Comment on a page")
async def comment(ctx: Context, params: OnPage) -> Made:
    """Comment on a page."""
    body = {"parent": {"page_id": params.page}, "rich_text": rich(params.text)}
    # https://developers.notion.com/reference/create-a-comment
    return parse(Made, await _call(ctx, "POST", "/v1/comments", body), "Notion")


@service.picker
async def databases(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Databases that were shared with AREA."""
    found = _all(ctx, "/v1/search", {"filter": {"property": "object", "value": "data_source"}})
    return [Option(one["id"], plain(one.get("title")) or one["id"]) async for one in found]


@service.picker
async def pages(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Pages that were shared with AREA, the last edited first."""
    found = _all(ctx, "/v1/search", {"filter": {"property": "object", "value": "page"}})
    return [Option(row.id, row.title or row.id) async for row in (_row(one) async for one in found)]


async def _rows(ctx: Context, database: str, stamp: str, since: datetime) -> AsyncIterator[Row]:
    # https://developers.notion.com/reference/query-a-data-source
    query = {
        "sorts": [{"timestamp": stamp, "direction": "descending"}],
        "filter": {"timestamp": stamp, stamp: {"on_or_after": since.isoformat()}},
    }
    async for one in _all(ctx, f"/v1/data_sources/{database}/query", query):
        yield _row(one)


async def _all(ctx: Context, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for _ in range(PAGES):  # https://developers.notion.com/reference/intro#pagination
        page = await _call(ctx, "POST", path, body | {"page_size": 100})
        for one in page["results"]:
            yield one
        if not page["has_more"]:
            return
        body = body | {"start_cursor": page["next_cursor"]}


def _row(page: dict[str, Any]) -> Row:
    found = page.get("properties", {})
    title = next((plain(one) for one in found.values() if one["type"] == "title"), "")
    values = {name: plain(one) for name, one in found.items()}
    return parse(Row, page | {"title": title, "properties": values}, "Notion")


def _written(schema: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name not in schema:
        raise Permanent(f"The database has no property {name!r}; it has {', '.join(schema)}.")
    return written(schema[name]["type"], name, value)


async def _call(ctx: Context, method: str, path: str, body: Any = None) -> Any:
    # https://developers.notion.com/reference/versioning; a 409 is a conflict that passes, /reference/status-codes
    headers = {"Notion-Version": "2025-09-03"}
    answer = await ctx.http.call(method, path, json=body, headers=headers, retry=(409,))
    return parse(dict[str, Any], answer, "Notion")
