"""OneDrive: files in, files and links out, by Microsoft Graph."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field

from area.sdk import Context, Event, Option, Permanent, Pick, Row, Service, found, parse
from area.sdk.microsoft import GRAPH, NAME, changes, hint, microsoft, rows

service = Service(
    "onedrive",
    "OneDrive",
    "Files of OneDrive, at home and at work: new and changed ones in; write, fetch and share them.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/onedrive",
    auth=microsoft(),
    quality="verified",
)

READ, WRITE = ("Files.Read",), ("Files.ReadWrite",)
OFTEN = timedelta(minutes=2)
CHANGED = hint("me/drive/root", "updated")  # at work, Graph tells of the uppermost folder only
FOLDERS = 20  # requests for a list of folders

Folder = Annotated[str, Pick("folders")]
IfThere = Literal["rename", "replace", "fail"]


class Where(BaseModel):
    """Where to look."""

    folder: Folder | None = Field(None, description="Only directly in this folder", examples=["01BYE5RZ6QN3ZWBTUF"])


class Item(Row):
    """A file or a folder."""

    id: str = found("id", "What names it", "01BYE5RZ53CPZEMSJFTZDJ6AEFVZP3C3BG")
    name: str = found("name", "Its name", "report.txt")
    size: int | None = found("size", "Bytes it has", 35, None)
    type: str | None = found("file.mimeType", "Media type of a file", "text/plain", None)
    folder: str | None = found("parentReference.id", "Id of the folder that it is in", "01BYE5RZ6QN3ZWBTUF", None)
    created_at: datetime = found("createdDateTime", "When it was made", "2026-11-23T09:00:00Z")
    changed_at: datetime = found("lastModifiedDateTime", "When it was changed last", "2026-11-23T09:05:00Z")
    changed_by: str | None = found("lastModifiedBy.user.displayName", "Who changed it last", "Ada", None)
    web_url: str | None = found("webUrl", "Its address", "https://onedrive.live.com/redir?resid=5!101", None)


class _Folder(Row):
    id: str
    name: str
    children: int = found("folder.childCount", "How many it holds; of a file there is none", 2, -1)


class Link(Row):
    """A link that others may follow."""

    url: str = found("link.webUrl", "Its address", "https://1drv.ms/t/s!A1")
    type: str = found("link.type", "What it lets them do", "view")


class Named(BaseModel):
    """What to make where."""

    name: str = Field(min_length=1, description="Its name", examples=["report.txt"])
    folder: Folder = Field("root", description="Folder to put it into; left out: the uppermost", examples=["root"])
    if_there: IfThere = Field("rename", description="What to do when there is one of that name", examples=["rename"])


class Written(Named):
    """What to write where."""

    text: str = Field(description="What it says", examples=["The report."])


class Fetched(Named):
    """What to fetch, and where to put it."""

    url: str = Field(pattern="^https?://", description="Address of the file", examples=["https://example.com/a.pdf"])


class Share(BaseModel):
    """What to share, and with whom."""

    item: str = Field(min_length=1, description="Id of the file or folder", examples=["{{id}}"])
    type: Literal["view", "edit"] = Field("view", description="What others may do", examples=["view"])
    scope: Literal["anonymous", "organization"] | None = Field(
        None, description="Who may follow the link; left out: as the account is set", examples=["anonymous"]
    )


@service.poll("A file is added", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_file(ctx: Context, params: Where, since: datetime) -> AsyncIterator[Event[Item]]:
    """A file is added to a folder, or anywhere in the drive."""
    async for item in _changed(ctx, params.folder, "file"):
        if item.created_at >= since:
            yield Event(item.id, item, item.created_at)


@service.poll("A file is added or changed", every=OFTEN, scopes=READ, hint=CHANGED)
async def file_changed(ctx: Context, params: Where, since: datetime) -> AsyncIterator[Event[Item]]:
    """A file of a folder, or anywhere in the drive, is added or changed."""
    async for item in _changed(ctx, params.folder, "file"):
        if item.changed_at >= since:
            yield Event(f"{item.id} {item.changed_at.isoformat()}", item, item.changed_at)


@service.poll("A folder is added", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_folder(ctx: Context, params: Where, since: datetime) -> AsyncIterator[Event[Item]]:
    """A folder is added to a folder, or anywhere in the drive."""
    async for item in _changed(ctx, params.folder, "folder"):
        if item.created_at >= since:
            yield Event(item.id, item, item.created_at)


async def _changed(ctx: Context, folder: str | None, kind: str) -> AsyncIterator[Item]:
    if folder == "root":
        folder = parse(_Folder, await ctx.http.get("/me/drive/root"), NAME).id
    # https://learn.microsoft.com/graph/api/driveitem-delta
    async for row in changes(ctx, "/me/drive/root/delta", {"token": "latest"}):
        if kind in row and "root" not in row:
            item = parse(Item, row, NAME)
            if folder in (None, item.folder):
                yield item


@service.reaction("Write a text file", on_crash="fail", scopes=WRITE)
async def create_text_file(ctx: Context, params: Written) -> Item:
    """Write a text into a file."""
    return await _put(ctx, params, params.text.encode(), "text/plain")


@service.reaction("Add a file from the web", on_crash="fail", scopes=WRITE)
async def add_file_from_url(ctx: Context, params: Fetched) -> Item:
    """Fetch a file from an address, of 10 MB at most, and put it into a folder."""
    if urlsplit(params.url).hostname == urlsplit(GRAPH).hostname:  # it would be asked with the user's own token
        raise Permanent("Files of Microsoft Graph itself can't be fetched by their address.")
    fetched = await ctx.http.call("GET", params.url)
    return await _put(ctx, params, fetched.body, "application/octet-stream")


@service.reaction("Make a folder", on_crash="fail", scopes=WRITE)
async def create_folder(ctx: Context, params: Named) -> Item:
    """Make a folder."""
    # https://learn.microsoft.com/graph/api/driveitem-post-children
    made = {"name": params.name, "folder": {}, "@microsoft.graph.conflictBehavior": params.if_there}
    return parse(Item, await ctx.http.post(f"{_path(params.folder)}/children", json=made), NAME)


@service.reaction("Share a file or folder", scopes=WRITE)
async def share_link(ctx: Context, params: Share) -> Link:
    """Make a link that others may follow; the one that there is, if there is."""
    # https://learn.microsoft.com/graph/api/driveitem-createlink
    what = params.model_dump(include={"type", "scope"}, exclude_none=True)
    return parse(Link, await ctx.http.post(f"{_path(params.item)}/createLink", json=what), NAME)


async def _put(ctx: Context, params: Named, body: bytes, kind: str) -> Item:
    # https://learn.microsoft.com/graph/api/driveitem-put-content
    path = f"{_path(params.folder)}:/{quote(params.name, safe='')}:/content"
    query, headers = {"@microsoft.graph.conflictBehavior": params.if_there}, {"Content-Type": kind}
    answer = await ctx.http.call("PUT", path, params=query, body=body, headers=headers, timeout=120)
    return parse(Item, answer, NAME)


def _path(item: str) -> str:
    return "/me/drive/root" if item == "root" else f"/me/drive/items/{quote(item, safe='')}"


@service.picker
async def folders(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The folders of the drive, those on top first."""
    # https://learn.microsoft.com/graph/api/driveitem-list-children
    options, waiting = [Option("root", "/")], [("root", "")]
    for folder, above in waiting:
        async for one in rows(ctx, f"{_path(folder)}/children", {"$select": "id,name,folder"}, _Folder):
            if one.children >= 0:
                options.append(Option(one.id, f"{above}/{one.name}"))
                if one.children and len(waiting) < FOLDERS:
                    waiting.append((one.id, f"{above}/{one.name}"))
    return options
