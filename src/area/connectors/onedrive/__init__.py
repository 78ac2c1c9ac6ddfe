"""OneDrive: triggers on files; writes files and links. Uses Microsoft Graph."""

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
    "React to new and changed files in personal or work OneDrive; write, fetch and share files.",
    base_url=GRAPH,
    docs="https://learn.microsoft.com/graph/api/resources/onedrive",
    pages=PAGES,
    auth=microsoft(),
    quality="verified",
    synonyms={
        "": "cloud storage, Microsoft 365, SharePoint",
        "new_file": "file added, upload, new document",
        "file_changed": "file modified, document edited",
        "create_text_file": "save file, note, text file, log to file",
        "add_file_from_url": "save attachment, upload, download a file, save file",
        "create_folder": "new folder, directory",
        "share_link": "share document, public link",
    },
)

READ, WRITE = ("Files.Read",), ("Files.ReadWrite",)
OFTEN = timedelta(minutes=2)
CHANGED = hint("me/drive/root", "updated")  # at work, Graph tells of the uppermost folder only
FOLDERS = 20  # requests for a list of folders
CONFLICT = "@microsoft.graph.conflictBehavior"

Where = Annotated[str | None, param("Only files directly in this folder", "01BYE5RZ6QN3ZWBTUF", pick="folders")]
Name = Annotated[str, param("Name", "report.txt", min_length=1)]
Folder = Annotated[str, param("Folder; the root if empty", "root", pick="folders")]
IfThere = Annotated[Literal["rename", "replace", "fail"], param("If a file with this name exists", "rename")]
Text = Annotated[str, param("Text", "The report.")]
Address = Annotated[str, param("URL of the file", "https://example.com/a.pdf", pattern="^https?://", shape=ADDRESS)]
Who = Literal["anonymous", "organization"] | None


class Item(Output):
    id: str = output("id", "ID", "01BYE5RZ53CPZEMSJFTZDJ6AEFVZP3C3BG")
    name: str = output("name", "Name", "report.txt")
    size: int | None = output("size", "Size in bytes", 35, None)
    type: str | None = output("file.mimeType", "Media type", "text/plain", None)
    folder: str | None = output("parentReference.id", "Folder ID", "01BYE5RZ6QN3ZWBTUF", None)
    created_at: datetime = output("createdDateTime", "Date created", "2026-11-23T09:00:00Z")
    changed_at: datetime = output("lastModifiedDateTime", "Date of the last change", "2026-11-23T09:05:00Z")
    changed_by: str | None = output("lastModifiedBy.user.displayName", "Person who last changed it", "Ada", None)
    web_url: str | None = output("webUrl", "URL", "https://onedrive.live.com/redir?resid=5!101", None)


class _Folder(Output):
    id: str
    name: str
    children: int = output("folder.childCount", "How many it holds; of a file there is none", 2, -1)


class Link(Output):
    url: str = output("link.webUrl", "URL", "https://1drv.ms/t/s!A1")
    type: str = output("link.type", "Permission", "view")


@service.poll("New file", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_file(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """Triggers when a file is added to a folder, or anywhere in the drive."""
    async for item in _changed(ctx, folder, "file"):
        if item.created_at >= since:
            yield Event(item.id, item, item.created_at)


@service.poll("File added or changed", every=OFTEN, scopes=READ, hint=CHANGED)
async def file_changed(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """Triggers when a file in a folder, or anywhere in the drive, is added or changed."""
    async for item in _changed(ctx, folder, "file"):
        if item.changed_at >= since:
            yield Event(f"{item.id} {item.changed_at.isoformat()}", item, item.changed_at)


@service.poll("New folder", every=OFTEN, scopes=READ, hint=CHANGED)
async def new_folder(ctx: Context, since: datetime, folder: Where = None) -> Events[Item]:
    """Triggers when a folder is added to a folder, or anywhere in the drive."""
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
    """Save a file from a URL, up to 10 MB, to a folder."""
    if urlsplit(url).hostname == urlsplit(GRAPH).hostname:  # it would be asked with the user's own token
        raise Permanent("Files of Microsoft Graph itself can't be fetched by URL.")
    fetched = await ctx.http.call("GET", url)
    return await _put(ctx, folder, name, if_there, fetched.body, "application/octet-stream")


@service.reaction("Create a folder", on_crash="fail", scopes=WRITE)
async def create_folder(ctx: Context, name: Name, folder: Folder = "root", if_there: IfThere = "rename") -> Item:
    # https://learn.microsoft.com/graph/api/driveitem-post-children
    return await ctx.http.post(f"{_path(folder)}/children", Item, json={"name": name, "folder": {}, CONFLICT: if_there})


@service.reaction("Share a file or folder", scopes=WRITE, idempotent="same")
async def share_link(
    ctx: Context,
    item: Annotated[str, param("File or folder ID", "{{id}}", min_length=1)],
    type: Annotated[Literal["view", "edit"], param("Permission", "view")] = "view",
    scope: Annotated[Who, param("Who can use the link; the account's default if empty", "anonymous")] = None,
) -> Link:
    """Create a link for others, or return the existing one."""
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
        async for row in ctx.http.rows(f"{_path(folder)}/children", _Folder, params={"$select": "id,name,folder"}):
            if row.children >= 0:
                options.append(Option(row.id, f"{above}/{row.name}"))
                if row.children and len(waiting) < FOLDERS:
                    waiting.append((row.id, f"{above}/{row.name}"))
    return options
