"""Notion: pages of databases in; pages, texts, properties and comments out."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from area.connectors.notion.values import plain, rich, written
from area.sdk import (
    Context,
    Event,
    Events,
    Inbound,
    Made,
    Option,
    Pages,
    Permanent,
    Request,
    Response,
    Retry,
    Service,
    asked,
    hmac_sha256,
    parse,
)
from area.sdk.answers import Row, found
from area.sdk.oauth2 import OAuth2, Quirks, profile

# three requests a second are allowed, https://developers.notion.com/reference/request-limits
EVERY = timedelta(minutes=2)


def _refusal(response: Response, _: Mapping[str, Any]) -> Retry | None:
    """A 409 is a conflict that passes: https://developers.notion.com/reference/status-codes."""
    return Retry(f"{response.host} answered 409: {response.excerpt()}") if response.status == 409 else None


def _token(request: Request) -> str | None:
    """https://developers.notion.com/reference/webhooks#step-2-verifying-the-subscription"""
    body = parse(dict[str, Any], request.json(), "Notion")
    return parse(str, body["verification_token"], "Notion") if "verification_token" in body else None


def _news(request: Request) -> list[str]:
    """The bots that may see what changed: https://developers.notion.com/reference/webhooks-events-delivery#event-properties"""
    body = parse(dict[str, Any], request.json(), "Notion")
    return [one.id for one in parse(list[Made], body.get("accessible_by"), "Notion")]


service = Service(
    "notion",
    "Notion",
    "Pages that are added to databases or changed; new pages, texts, properties and comments.",
    docs="https://developers.notion.com",
    base_url="https://api.notion.com",
    headers={"Notion-Version": "2025-09-03"},  # https://developers.notion.com/reference/versioning
    # https://developers.notion.com/reference/intro#pagination
    pages=Pages("results", next="next_cursor", cursor="start_cursor"),
    refusal=_refusal,
    # https://developers.notion.com/reference/webhooks#step-3-validating-event-payloads-recommended
    inbound=Inbound(hmac_sha256("X-Notion-Signature", "sha256="), _news, token=_token),
    auth=OAuth2(  # https://developers.notion.com/guides/get-started/authorization
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        # https://developers.notion.com/reference/get-self
        profile("/v1/users/me", id="id", name="bot.workspace_name name"),
        revoke_url="https://api.notion.com/v1/oauth/revoke",
        quirks=Quirks(pkce=False, token_json=True, authorize_params={"owner": "user"}),
    ),
)

Database = Annotated[str, asked("Database", "248104cd-477e-80af-bc30-000bd28de8f9", pick="databases")]
Page = Annotated[str, asked("Page", "59833787-2cf9-4fdf-8782-e53db20768a5", pick="pages")]
Text = Annotated[str, asked("Text", "Hello", min_length=1)]
Title = Annotated[str, asked("Title", "Tuscan kale")]
Content = Annotated[str, asked("Text on the page", "A dark green leafy vegetable.")]
Properties = Annotated[dict[str, Any], asked("Other properties, by name", {"Status": "Reading", "Price": 2.5})]
Name = Annotated[str, asked("Name of the property", "Status")]
Value = Annotated[str, asked("What it is to be; of several things, separated by commas", "Done")]


class Entry(Row):
    id: str = found("id", "Id of the page", "59833787-2cf9-4fdf-8782-e53db20768a5")
    title: str = found("title", "Its title", "Tuscan kale")
    url: str = found("url", "Its address", "https://www.notion.so/Tuscan-kale-598337872cf94fdf8782e53db20768a5")
    properties: dict[str, Any] = found("properties", "Its properties by name", {"Status": "Reading", "Price": 2.5})
    created_time: datetime = found("created_time", "When it was made", "2026-11-23T09:00:00Z")
    last_edited_time: datetime = found("last_edited_time", "When it was changed last", "2026-11-23T09:00:00Z")


@service.poll("A page is added to a database", every=EVERY)
async def page_added(ctx: Context, database: Database, since: datetime) -> Events[Entry]:
    async for entry in _entries(ctx, database, "created_time", since):
        yield Event(entry.id, entry, entry.created_time)


@service.poll("A page of a database is changed", every=EVERY)
async def page_updated(ctx: Context, database: Database, since: datetime) -> Events[Entry]:
    """A page of a database is added or changed. Notion tells the minute only: changes within one are one."""
    async for entry in _entries(ctx, database, "last_edited_time", since):
        yield Event(f"{entry.id}@{entry.last_edited_time.isoformat()}", entry, entry.last_edited_time)


@service.reaction("Create a page in a database", on_crash="fail")
async def create_page(
    ctx: Context,
    database: Database,
    title: Title,
    properties: Properties = {},  # noqa: B006 - each call is given a copy
    content: Content = "",
) -> Entry:
    """Create a page in a database, with properties as the database has them."""
    # https://developers.notion.com/reference/retrieve-a-data-source
    schema = await ctx.http.get(f"/v1/data_sources/{database}", dict[str, Any], at="properties")
    values = {next(name for name, one in schema.items() if one["type"] == "title"): title} | properties
    body: dict[str, Any] = {
        "parent": {"type": "data_source_id", "data_source_id": database},
        "properties": {name: _written(schema, name, value) for name, value in values.items()},
    }
    body |= _paragraph(content) if content else {}
    # https://developers.notion.com/reference/post-page
    return _entry(await ctx.http.post("/v1/pages", dict[str, Any], json=body))


@service.reaction("Write at the end of a page", on_crash="fail")
async def append_text(ctx: Context, page: Page, text: Text) -> Made:
    """Add a paragraph at the end of a page."""
    # https://developers.notion.com/reference/patch-block-children
    return await ctx.http.ask("PATCH", f"/v1/blocks/{page}/children", Made, at="results.0", json=_paragraph(text))


@service.reaction("Change a property of a page")
async def update_property(ctx: Context, page: Page, name: Name, value: Value) -> Entry:
    """Change a property of a page in a database."""
    # https://developers.notion.com/reference/retrieve-a-page
    schema = await ctx.http.get(f"/v1/pages/{page}", dict[str, Any], at="properties")
    body = {"properties": {name: _written(schema, name, value)}}
    # https://developers.notion.com/reference/patch-page
    return _entry(await ctx.http.ask("PATCH", f"/v1/pages/{page}", dict[str, Any], json=body))


@service.reaction("Comment on a page", on_crash="fail")
async def comment(ctx: Context, page: Page, text: Text) -> Made:
    body = {"parent": {"page_id": page}, "rich_text": rich(text)}
    # https://developers.notion.com/reference/create-a-comment
    return await ctx.http.post("/v1/comments", Made, json=body)


@service.picker
async def databases(ctx: Context) -> list[Option]:
    """Databases that were shared with AREA."""
    query = {"filter": {"property": "object", "value": "data_source"}}
    rows = _all(ctx, "/v1/search", query)
    return [Option(one["id"], plain(one.get("title")) or one["id"]) async for one in rows]


@service.picker
async def pages(ctx: Context) -> list[Option]:
    """Pages that were shared with AREA, the last edited first."""
    query = {"filter": {"property": "object", "value": "page"}}
    entries = [_entry(one) async for one in _all(ctx, "/v1/search", query)]
    return [Option(one.id, one.title or one.id) for one in entries]


async def _entries(ctx: Context, database: str, stamp: str, since: datetime) -> AsyncIterator[Entry]:
    newest = [{"timestamp": stamp, "direction": "descending"}]
    query = {"sorts": newest, "filter": {"timestamp": stamp, stamp: {"on_or_after": since.isoformat()}}}
    # https://developers.notion.com/reference/query-a-data-source
    async for one in _all(ctx, f"/v1/data_sources/{database}/query", query):
        yield _entry(one)


def _all(ctx: Context, path: str, query: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    return ctx.http.rows(path, method="POST", json={"page_size": 100, **query})


def _entry(page: dict[str, Any]) -> Entry:
    there = page.get("properties", {})
    title = next((plain(one) for one in there.values() if one["type"] == "title"), "")
    values = {name: plain(one) for name, one in there.items()}
    return parse(Entry, page | {"title": title, "properties": values}, "Notion")


def _paragraph(text: str) -> dict[str, Any]:
    return {"children": [{"type": "paragraph", "paragraph": {"rich_text": rich(text)}}]}


def _written(schema: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name not in schema:
        raise Permanent(f"The database has no property {name!r}; it has {', '.join(schema)}.")
    return written(schema[name]["type"], name, value)
