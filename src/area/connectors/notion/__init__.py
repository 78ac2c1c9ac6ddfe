"""Notion: triggers on pages of databases; creates pages, text, properties and comments."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from area.connectors.notion.values import PARTS, VALUES, plain, rich, written
from area.sdk import (
    Context,
    Events,
    Inbound,
    Made,
    OAuth2,
    Output,
    Pages,
    Permanent,
    Quirks,
    Request,
    Sentence,
    Service,
    account_ids,
    hmac_sha256,
    lookup,
    new_events,
    output,
    param,
    parse,
    profile,
    quoted,
)

EVERY = timedelta(minutes=2)  # 3 requests a second are allowed: https://developers.notion.com/reference/request-limits
NONE: dict[str, Any] = {}


def _token(request: Request) -> str | None:
    """https://developers.notion.com/reference/webhooks#step-2-verifying-the-subscription"""
    return parse(str | None, lookup("verification_token", request.json()), "Notion")


service = Service(
    "notion",
    "Notion",
    "React to pages added to databases or changed; create pages, write text, set properties and comment.",
    docs="https://developers.notion.com",
    base_url="https://api.notion.com",
    quality="verified",
    headers={"Notion-Version": "2025-09-03"},  # https://developers.notion.com/reference/versioning
    # https://developers.notion.com/reference/intro#pagination
    pages=Pages("results", next="next_cursor", cursor="start_cursor"),
    retry=(409,),  # a conflict: https://developers.notion.com/reference/status-codes
    # https://developers.notion.com/reference/webhooks#step-3-validating-event-payloads-recommended
    # https://developers.notion.com/reference/webhooks-events-delivery#event-properties: the bots that may see what
    # changed
    inbound=Inbound(hmac_sha256("X-Notion-Signature", "sha256="), account_ids("accessible_by", "id"), token=_token),
    auth=OAuth2(  # https://developers.notion.com/guides/get-started/authorization
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        # https://developers.notion.com/reference/get-self
        profile("/v1/users/me", id="id", name="bot.workspace_name name"),
        revoke_url="https://api.notion.com/v1/oauth/revoke",
        quirks=Quirks(pkce=False, token_json=True, authorize_params={"owner": "user"}),
    ),
    synonyms={
        "": "notes, wiki, database, knowledge base",
        "page_added": "new database item, new record, new note, new row",
        "page_updated": "item changed, record edited",
        "create_page": "add to Notion, database item, new note, add a row, to-do, meeting notes, save a link",
        "append_text": "write a note, journal, log",
        "update_property": "change status, set a value",
    },
)


def _title(row: dict[str, Any]) -> str:
    """The title of a database or of a page, where it is a property."""
    titles = [prop for prop in row.get("properties", {}).values() if prop["type"] == "title"]
    return str(plain(row["title"] if "title" in row else titles[0] if titles else "") or "")


# https://developers.notion.com/reference/post-search: what was shared with AREA, the last edited first
for name, kind in (("databases", "data_source"), ("pages", "page")):
    such = {"page_size": 100, "filter": {"property": "object", "value": kind}}
    service.options(name, "/v1/search", label=_title, method="POST", json=such)

Database = Annotated[str, param("Database", "248104cd-477e-80af-bc30-000bd28de8f9", pick="databases")]
Page = Annotated[str, param("Page", "59833787-2cf9-4fdf-8782-e53db20768a5", pick="pages")]
Text = Annotated[str, param("Text", "Hello", min_length=1)]
Title = Annotated[str, param("Title", "Tuscan kale")]
Content = Annotated[str, param("Text of the page", "A dark green leafy vegetable.")]
Properties = Annotated[
    dict[str, Any], param("Other properties, by name", {"Status": "Reading", "Price": 2.5}, shape=VALUES)
]
Name = Annotated[str, param("Property name", "Status")]
IT = "New value; separate several with commas"
Value = Annotated[str | dict[str, Any], param(IT, "Done", shape=PARTS)]


class Entry(Output):
    id: str = output("id", "Page ID", "59833787-2cf9-4fdf-8782-e53db20768a5")
    title: str = output("title", "Title", "Tuscan kale")
    url: str = output("url", "URL", "https://www.notion.so/Tuscan-kale-598337872cf94fdf8782e53db20768a5")
    properties: dict[str, Any] = output("properties", "Properties by name", {"Status": "Reading", "Price": 2.5})
    created_time: datetime = output("created_time", "Date created", "2026-11-23T09:00:00Z")
    last_edited_time: datetime = output("last_edited_time", "Date of the last change", "2026-11-23T09:00:00Z")


@service.poll("New page in a database", every=EVERY)
def page_added(ctx: Context, database: Database, since: datetime) -> Events[Entry]:
    """Triggers when a page is added to a database."""
    return new_events(_entries(ctx, database, "created_time", since), at="created_time")


@service.poll("Page changed in a database", every=EVERY)
def page_updated(ctx: Context, database: Database, since: datetime) -> Events[Entry]:
    """Triggers when a page in a database is added or changed. Notion reports times to the minute, so changes within
    the same minute count once.
    """
    return new_events(_entries(ctx, database, "last_edited_time", since), "{id}@{last_edited_time}", "last_edited_time")


@service.reaction("Create a page in a database", on_crash="fail")
async def create_page(
    ctx: Context, database: Database, title: Title, properties: Properties = NONE, content: Content = ""
) -> Entry:
    """Create a page in a database, with its properties."""
    # https://developers.notion.com/reference/retrieve-a-data-source
    schema = await ctx.http.get(quoted("/v1/data_sources/{}", database), dict[str, Any], at="properties")
    values = {next(name for name, item in schema.items() if item["type"] == "title"): title} | properties
    page = {name: _written(schema, name, value) for name, value in values.items()}
    body: dict[str, Any] = {"parent": {"type": "data_source_id", "data_source_id": database}, "properties": page}
    body |= _paragraph(content) if content else {}
    # https://developers.notion.com/reference/post-page
    return _entry(await ctx.http.post("/v1/pages", dict[str, Any], json=body))


@service.reaction("Append text to a page", on_crash="fail")
async def append_text(ctx: Context, page: Page, text: Text) -> Made:
    """Add a paragraph at the end of a page."""
    # https://developers.notion.com/reference/patch-block-children
    return await ctx.http.ask(
        "PATCH", quoted("/v1/blocks/{}/children", page), Made, at="results.0", json=_paragraph(text)
    )


@service.reaction("Update a page property", idempotent="same")
async def update_property(ctx: Context, page: Page, name: Name, value: Value) -> Entry:
    """Update a property of a page in a database."""
    # https://developers.notion.com/reference/retrieve-a-page
    schema = await ctx.http.get(quoted("/v1/pages/{}", page), dict[str, Any], at="properties")
    body = {"properties": {name: _written(schema, name, value)}}
    # https://developers.notion.com/reference/patch-page
    return _entry(await ctx.http.ask("PATCH", quoted("/v1/pages/{}", page), dict[str, Any], json=body))


@service.reaction("Comment on a page", on_crash="fail")
async def comment(ctx: Context, page: Page, text: Text) -> Made:
    # https://developers.notion.com/reference/create-a-comment
    return await ctx.http.post("/v1/comments", Made, json={"parent": {"page_id": page}, "rich_text": rich(text)})


@service.lookup("Find a page in a database")
async def find_page(
    ctx: Context, database: Database, words: Annotated[str, param("Text in its title", "kale", min_length=1)]
) -> Entry | None:
    """Find the page whose title contains a text; of several, the one that was changed last."""
    newest = {"page_size": 1, "sorts": [{"timestamp": "last_edited_time", "direction": "descending"}]}
    # https://developers.notion.com/reference/filter-data-source-entries: the title's property has the ID `title`
    query = newest | {"filter": {"property": "title", "title": {"contains": words}}}
    # https://developers.notion.com/reference/query-a-data-source
    rows = await ctx.http.post(
        quoted("/v1/data_sources/{}/query", database), list[dict[str, Any]], at="results", json=query
    )
    return _entry(rows[0]) if rows else None


async def _entries(ctx: Context, database: str, stamp: str, since: datetime) -> AsyncIterator[Entry]:
    newest = {"page_size": 100, "sorts": [{"timestamp": stamp, "direction": "descending"}]}
    query = newest | {"filter": {"timestamp": stamp, stamp: {"on_or_after": since.isoformat()}}}
    # https://developers.notion.com/reference/query-a-data-source
    async for row in ctx.http.rows(quoted("/v1/data_sources/{}/query", database), method="POST", json=query):
        yield _entry(row)


def _entry(page: dict[str, Any]) -> Entry:
    values = {name: plain(prop) for name, prop in page.get("properties", {}).items()}
    return parse(Entry, page | {"title": _title(page), "properties": values}, "Notion")


def _paragraph(text: str) -> dict[str, Any]:
    return {"children": [{"type": "paragraph", "paragraph": {"rich_text": rich(text)}}]}


def _written(schema: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name not in schema:
        raise Permanent(
            Sentence(
                'The database has no property "%(name)s". It has: %(properties)s.',
                name=name,
                properties=", ".join(schema),
            )
        )
    return written(schema[name]["type"], name, value)
