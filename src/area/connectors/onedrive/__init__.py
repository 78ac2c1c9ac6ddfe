"""OneDrive: files in, files and links out, by Microsoft Graph."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from area.sdk import Context, Event, Events, Option, Output, Permanent, Service, output, param, quoted
from area.sdk.shapes import ADDRESS
from area.vendors.microsoft import GRAPH, PAGES, changes, hint, microsoft

service = Service(
    "onedrive",
    "OneDrive",
    "Files of OneDrive, at home and at work: new and changed ones in; write, fetch and share them.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/onedrive",
    pages=PAGES,
    auth=microsoft(),
    quality="verified",
)

READ, WRITE = ("Files.Read",), ("Files.ReadWrite",)
OFTEN = timedelta(minutes=2)
CHANGED = hint("me/drive/root", "updated")  # at work, Graph tells of the uppermost folder only
FOLDERS = 20  # requests for a list of folders
CONFLICT = "@microsoft.graph.conflictBehavior"

Where = Annotated[str | None, param("Only directly in this folder", "01BYE5RZ6QN3ZWBTUF", pick="folders")]
Name = Annotated[str, param("Its name", "report.txt", min_length=1)]
Folder = Annotated[str, param("Folder to put it into; left out: the uppermost", "root", pick="folders")]
IfThere = Annotated[Literal["rename", "replace", "fail"], param("What to do when there is one of that name", "rename")]
Text = Annotated[str, param("What it says", "The report.")]
Address = Annotated[str, param("Address of the file", "https://example.com/a.pdf", pattern="^https?://", shape=ADDRESS)]
Who = Literal["anonymous", "organization"] | None


class Item(Output):
    id: str = output("id", "What names it", "01BYE5RZ53CPZEMSJFTZDJ6AEFVZP3C3BG")
    name: str = output("name", "Its name", "report.txt")
    size: int | None = output("size", "Bytes it has", 35, None)
    type: str | None = output("file.mimeType", "Media type of a file", "text/plain", None)
    folder: str | None = output("parentReference.id", "Id of the folder that it is in", "01BYE5RZ6QN3ZWBTUF", None)
    created_at: datetime = output("createdDateTime", "When it was made", "2026-11-23T09:00:00Z")
    changed_at: datetime = output("lastModifiedDateTime", "When it was changed last", "2026-11-23T09:05:00Z")
    changed_by: str | None = output("lastModifiedBy.user.displayName", "Who changed it last", "Ada", None)
    web_url: str | None = output("webUrl", "Its address", "https://onedrive.live.com/redir?resid=5!101", None)


class _Folder(Output):
    id: str
    name: str
    children: int = output("folder.childCount", "How many it holds; of a file there is none", 2, -1)


class Link(Output):
    url: str = output("link.webUrl", "Its address", "https://1drv.ms/t/s!A1")
    type: str = output("link.type", "What it lets them do", "view")


@service.poll("A file is added", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_file(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """A file is added to a folder, or anywhere in the drive."""
    async for item in _changed(ctx, folder, "file"):
        if item.created_at >= since:
            yield Event(item.id, item, item.created_at)


@service.poll("A file is added or changed", every=OFTEN, scopes=READ, hint=CHANGED)
async def file_changed(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """A file of a folder, or anywhere in the drive, is added or changed."""
    async for item in _changed(ctx, folder, "file"):
        if item.changed_at >= since:
            yield Event(f"{item.id} {item.changed_at.isoformat()}", item, item.changed_at)


@service.poll("A folder is added", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_folder(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """A folder is added to a folder, or anywhere in the drive."""
    async for item in _changed(ctx, folder, "folder"):
        if item.created_at >= since:
            yield Event(item.id, item, item.created_at)


async def _changed(ctx: Context, folder: str | None, kind: str) -> AsyncIterator[Item]:
    if folder == "root":
        folder = (await ctx.http.get("/me/drive/root", _Folder)).id
    # https://learn.microsoft.com/graph/api/driveitem-delta
    begin, such = {"token": "latest"}, lambda row: kind in row and "root" not in row
    async for item in changes(ctx, "/me/drive/root/delta", Item, begin, such):
        if folder in (None, item.folder):
            yield item


@service.reaction("Write a text file", on_crash="fail", scopes=WRITE)
async def create_text_file(
    ctx: Context, name: Name, folder: Folder = "root", if_there: IfThere = "rename", *, text: Text
) -> Item:
    return await _put(ctx, folder, name, if_there, text.encode(), "text/plain")


@service.reaction("Add a file from the web", on_crash="fail", scopes=WRITE)
async def add_file_from_url(
    ctx: Context, name: Name, folder: Folder = "root", if_there: IfThere = "rename", *, url: Address
) -> Item:
    """Fetch a file from an address, of 10 MB at most, and put it into a folder."""
    if urlsplit(url).hostname == urlsplit(GRAPH).hostname:  # it would be asked with the user's own token
        raise Permanent("Files of Microsoft Graph itself can't be fetched by their address.")
    fetched = await ctx.http.call("GET", url)
    return await _put(ctx, folder, name, if_there, fetched.body, "application/octet-stream")


@service.reaction("Make a folder", on_crash="fail", scopes=WRITE)
async def create_folder(ctx: Context, name: Name, folder: Folder = "root", if_there: IfThere = "rename") -> Item:
    # https://learn.microsoft.com/graph/api/driveitem-post-children
    return await ctx.http.post(f"{_path(folder)}/children", Item, json={"name": name, "folder": {}, CONFLICT: if_there})


@service.reaction("Share a file or folder", scopes=WRITE)
async def share_link(
    ctx: Context,
    item: Annotated[str, param("Id of the file or folder", "{{id}}", min_length=1)],
    type: Annotated[Literal["view", "edit"], param("What others may do", "view")] = "view",
    scope: Annotated[Who, param("Who may follow the link; left out: as the account is set", "anonymous")] = None,
) -> Link:
    """Make a link that others may follow; the one that there is, if there is."""
    # https://learn.microsoft.com/graph/api/driveitem-createlink
    what = {"type": type} | ({"scope": scope} if scope else {})
    return await ctx.http.post(f"{_path(item)}/createLink", Link, json=what)


async def _put(ctx: Context, folder: str, name: str, if_there: str, body: bytes, kind: str) -> Item:
    # https://learn.microsoft.com/graph/api/driveitem-put-content
    path, query, headers = _path(folder) + quoted(":/{}:/content", name), {CONFLICT: if_there}, {"Content-Type": kind}
    return await ctx.http.ask("PUT", path, Item, params=query, body=body, headers=headers, timeout=120)


def _path(item: str) -> str:
    return "/me/drive/root" if item == "root" else quoted("/me/drive/items/{}", item)


@service.picker
async def folders(ctx: Context) -> list[Option]:
    """The folders of the drive, those on top first."""
    # https://learn.microsoft.com/graph/api/driveitem-list-children
    options, waiting = [Option("root", "/")], [("root", "")]
    for folder, above in waiting:
        async for one in ctx.http.rows(f"{_path(folder)}/children", _Folder, params={"$select": "id,name,folder"}):
            if one.children >= 0:
                options.append(Option(one.id, f"{above}/{one.name}"))
                if one.children and len(waiting) < FOLDERS:
                    waiting.append((one.id, f"{above}/{one.name}"))
    return options
