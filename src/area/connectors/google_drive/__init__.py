"""Google Drive: files that are added, changed or shared, and files to make, copy, move and share."""

import hashlib
import mimetypes
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson
from pydantic import AnyHttpUrl, EmailStr

from area.sdk import Context, Event, Events, Option, Row, asked, found, google, parse
from area.sdk.google import hint, scope

SOON = timedelta(minutes=2)
LATE = timedelta(days=1)  # what was changed without a connection arrives later
MOST = 1000  # files of one look
READ, WRITE = (scope("drive.metadata.readonly"),), (scope("drive"),)
FOLDER, DOCUMENT = "application/vnd.google-apps.folder", "application/vnd.google-apps.document"
FILES, SHARED = "/drive/v3/files", {"supportsAllDrives": "true"}
ALL = SHARED | {"includeItemsFromAllDrives": "true"}
CHANGED = hint("/drive/v3", f"changes/watch?{urlencode(ALL)}", f"changes/startPageToken?{urlencode(SHARED)}")
FIELDS = "id,name,mimeType,description,size,createdTime,modifiedTime,webViewLink,parents,trashed,sharedWithMeTime,owners(emailAddress)"
MADE = SHARED | {"fields": FIELDS}

service = google.service(
    "google_drive",
    "Google Drive",
    "Files of a Google Drive: what is added, changed or shared with you, and files to make, copy, move and share.",
    docs="https://developers.google.com/workspace/drive/api",
    base_url="https://www.googleapis.com",
)

Folder = Annotated[str, asked("Folder to put it into", "root", pick="folders", min_length=1)]
FileId = Annotated[str, asked("ID of the file", "{{id}}", min_length=1)]
Name = Annotated[str, asked("Name of the file", "{{title}}.txt", min_length=1)]


class Owner(Row):
    email_address: str = found("emailAddress", "Address", "ann@example.org", "")


class File(Row):
    id: str = found("id", "ID of the file", "1A2b3C4d5E6f7G8h9I0j")
    name: str = found("name", "Its name", "report.pdf")
    mime_type: str = found("mimeType", "Its media type", "application/pdf")
    description: str = found("description", "What is said of it", "For November", "")
    size: int | None = found("size", "Size in bytes, where it has one", 48213, None)
    created_time: datetime = found("createdTime", "When it was made", "2026-11-23T09:00:00Z")
    modified_time: datetime = found("modifiedTime", "When it was changed", "2026-11-23T09:00:00Z")
    web_view_link: str = found("webViewLink", "Address to open it", "https://drive.google.com/file/d/1A2b/view", "")
    parents: list[str] = found("parents", "ID of its folder", ["0AGf1b2C3d4"], [])
    owners: list[Owner] = found("owners", "Whose it is", [{"email_address": "ann@example.org"}], [])


class Shared(Row):
    permission_id: str = found("id", "ID of the permission", "08123456789")
    role: str = found("role", "What they may do", "reader")


@service.poll("A file is added to a folder", every=SOON, scopes=READ, hint=CHANGED)
async def file_added(
    ctx: Context,
    since: datetime,
    folder: Annotated[Folder, asked("Folder; `root` is My Drive itself")] = "root",
    kind: Annotated[Literal["files", "folders", "both"], asked("Files, the folders in it, or both", "files")] = "files",
) -> Events[File]:
    """A file or folder is made in a folder, uploaded, or moved there."""
    kinds = {"files": f" and mimeType != '{FOLDER}'", "folders": f" and mimeType = '{FOLDER}'", "both": ""}
    # https://developers.google.com/workspace/drive/api/guides/search-files
    parent = folder.replace("\\", "\\\\").replace("'", "\\'")
    words = f"'{parent}' in parents and trashed = false{kinds[kind]}"
    files = [parse(File, one, "Google Drive") async for one in _files(ctx, words, MOST, "createdTime desc")]
    # of a folder too large to see the whole of, an old file that comes into sight is not one that was moved there
    ctx.state["large"] = ctx.state.get("large") or len(files) == MOST
    for one in files:
        moved = one.created_time < since and not ctx.state["large"]
        yield Event(one.id, one, None if moved else one.created_time)


@service.poll("A file is changed", every=SOON, overlap=LATE, scopes=READ, hint=CHANGED)
async def file_changed(
    ctx: Context,
    folder: Annotated[str, asked("Only files right in this folder; empty for all files", "root", pick="folders")] = "",
) -> Events[File]:
    """The content or name of a file is changed. A file that is new, or only shared or moved, does not count."""
    if not ctx.state.get("token"):
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/getStartPageToken
        address = "/drive/v3/changes/startPageToken"
        ctx.state["token"] = await ctx.http.get(address, str, at="startPageToken", params=SHARED)
        return
    if folder == "root":  # files name it by its ID
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/get
        folder = await ctx.http.get(f"{FILES}/root", str, at="id", params={"fields": "id"})
    fields = f"nextPageToken,newStartPageToken,changes(removed,file({FIELDS}))"
    query = ALL | {"fields": fields, "pageSize": "1000", "pageToken": ctx.state["token"]}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/list
    async for page in ctx.http.answers("/drive/v3/changes", params=query):
        for change in page.get("changes") or ():
            told = change.get("file") or {}
            if change.get("removed") or not told or told.get("trashed") or told.get("mimeType") == FOLDER:
                continue
            file = parse(File, told, "Google Drive")
            if file.modified_time > file.created_time and (not folder or folder in file.parents):
                yield Event(f"{file.id} {told['modifiedTime']}", file, file.modified_time)
        ctx.state["token"] = page.get("newStartPageToken", ctx.state["token"])


@service.poll("A file is shared with me", every=SOON, scopes=READ, hint=CHANGED)
async def file_shared(ctx: Context) -> Events[File]:
    """Somebody shares a file or folder with you."""
    async for told in _files(ctx, "sharedWithMe and trashed = false", 100, "sharedWithMeTime desc"):
        at = parse(datetime | None, told.get("sharedWithMeTime"), "Google Drive")
        yield Event(f"{told.get('id')} {told.get('sharedWithMeTime')}", parse(File, told, "Google Drive"), at)


@service.reaction("Make a text file", scopes=WRITE)
async def create_text_file(
    ctx: Context,
    *,
    name: Name,
    folder: Folder = "root",
    text: Annotated[str, asked("What is in the file", "{{body}}")],
    document: Annotated[bool, asked("Whether to make it a Google Doc", False)] = False,
) -> File:
    """Make a file of a text, or a Google Doc; it is made once, however often it is tried."""
    body = {"name": name, "parents": [folder]} | ({"mimeType": DOCUMENT} if document else {})
    return await _make(ctx, body, text.encode(), "text/plain; charset=utf-8")


@service.reaction("Upload a file", scopes=WRITE)
async def upload_file(
    ctx: Context,
    url: Annotated[AnyHttpUrl, asked("Address of the file", "https://example.com/report.pdf")],
    name: Annotated[str, asked("Name of the file; that of the address if empty", "report.pdf")] = "",
    folder: Folder = "root",
) -> File:
    """Fetch a file from an address, of up to 10 MB, and keep it; it is kept once, however often it is tried."""
    answer = await ctx.http.call("GET", str(url))
    name = name or unquote(urlsplit(str(url)).path.rstrip("/").rpartition("/")[2]) or "file"
    kind = answer.headers.get("content-type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return await _make(ctx, {"name": name, "parents": [folder]}, answer.body, kind)


@service.reaction("Make a folder", scopes=WRITE)
async def create_folder(ctx: Context, name: Name, folder: Folder = "root") -> File:
    """Make a folder; it is made once, however often it is tried."""
    return await _make(ctx, {"name": name, "parents": [folder], "mimeType": FOLDER})


@service.reaction("Copy a file", scopes=WRITE)
async def copy_file(
    ctx: Context,
    file_id: FileId,
    folder: Folder,
    name: Annotated[str, asked("Name of the copy; that of the file if empty", "Copy of {{name}}")] = "",
) -> File:
    """Copy a file into a folder; it is copied once, however often it is tried."""
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/copy
    return await _make(ctx, {"parents": [folder]} | ({"name": name} if name else {}), address=f"{_file(file_id)}/copy")


@service.reaction("Move a file", scopes=WRITE)
async def move_file(ctx: Context, file_id: FileId, folder: Folder) -> File:
    """Move a file or folder into another folder."""
    file = await ctx.http.get(_file(file_id), dict[str, Any], params=SHARED | {"fields": "parents"})
    old = [one for one in file.get("parents") or () if one != folder]
    query = MADE | {"addParents": folder} | ({"removeParents": ",".join(old)} if old else {})
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/update
    return await ctx.http.ask("PATCH", _file(file_id), File, params=query, json={})


@service.reaction("Share a file", scopes=WRITE)
async def share_file(
    ctx: Context,
    *,
    file_id: Annotated[FileId, asked("ID of the file or folder")],
    email: Annotated[EmailStr, asked("Address of whom to share with", "ann@example.org")],
    role: Annotated[Literal["reader", "commenter", "writer"], asked("What they may do", "reader")] = "reader",
    notify: Annotated[bool, asked("Whether they get a mail", True)] = True,
    message: Annotated[str, asked("What the mail says", "Have a look.")] = "",
) -> Shared:
    """Let somebody read, comment on or change a file or folder."""
    query = SHARED | {"sendNotificationEmail": "true" if notify else "false", "fields": "id,role"}
    query |= {"emailMessage": message} if notify and message else {}
    body = {"type": "user", "role": role, "emailAddress": email}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions/create
    return await ctx.http.post(f"{_file(file_id)}/permissions", Shared, params=query, json=body)


@service.picker
async def folders(ctx: Context) -> list[Option]:
    """My Drive, and the account's folders, those used last first."""
    files = _files(ctx, f"mimeType = '{FOLDER}' and trashed = false", 500, "viewedByMeTime desc", "id,name")
    return [Option("root", "My Drive"), *[Option(one["id"], one["name"]) async for one in files]]


def _files(ctx: Context, words: str, most: int, order: str = "", fields: str = FIELDS) -> AsyncIterator[dict[str, Any]]:
    query = {"q": words, "pageSize": str(most), "fields": f"nextPageToken,files({fields})"}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list
    return ctx.http.rows(FILES, at="files", most=most, params=ALL | query | ({"orderBy": order} if order else {}))


async def _make(
    ctx: Context, metadata: dict[str, Any], content: bytes | None = None, kind: str = "", address: str = FILES
) -> File:
    """Make a file with a mark of this run, unless an earlier attempt did."""
    if ctx.idempotency_key:
        mark = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:32]
        metadata = metadata | {"appProperties": {"area": mark}}
        async for file in _files(ctx, f"appProperties has {{ key='area' and value='{mark}' }}", 1):
            return parse(File, file, "Google Drive")
    if content is None:
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/create
        return await ctx.http.post(address, File, params=MADE, json=metadata)
    # https://developers.google.com/workspace/drive/api/guides/manage-uploads#multipart
    edge = hashlib.sha256(content).hexdigest()
    parts = (("application/json; charset=UTF-8", orjson.dumps(metadata)), (kind, content))
    body = [f"--{edge}\r\nContent-Type: {one}\r\n\r\n".encode() + part + b"\r\n" for one, part in parts]
    headers = {"Content-Type": f"multipart/related; boundary={edge}"}
    upload = MADE | {"uploadType": "multipart"}
    closed = b"".join([*body, f"--{edge}--".encode()])
    return await ctx.http.post(f"/upload{FILES}", File, params=upload, headers=headers, body=closed)


def _file(file_id: str) -> str:
    return f"{FILES}/{quote(file_id, safe='')}"
