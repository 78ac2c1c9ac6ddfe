"""Google Drive: triggers on added, changed and shared files; creates, copies, moves and shares files."""

import hashlib
import mimetypes
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlencode, urlsplit

import orjson
from pydantic import AnyHttpUrl, EmailStr

from area.sdk import Context, Event, Events, Option, Output, lookup, output, param, parse, quoted, without_blanks
from area.vendors import google
from area.vendors.google import hint, scope

SOON = timedelta(minutes=2)
LATE = timedelta(days=1)  # what was changed without a connection arrives later
MOST = 1000  # files of one look
READ, WRITE = (scope("drive.metadata.readonly"),), (scope("drive"),)
FOLDER, DOCUMENT = "application/vnd.google-apps.folder", "application/vnd.google-apps.document"
FILES, FILE, CHANGES = "/drive/v3/files", "/drive/v3/files/{}", "/drive/v3/changes"
SHARED = {"supportsAllDrives": "true"}
ALL = SHARED | {"includeItemsFromAllDrives": "true"}
CHANGED = hint("/drive/v3", f"changes/watch?{urlencode(ALL)}", f"changes/startPageToken?{urlencode(SHARED)}")
FIELDS = (
    "id,name,mimeType,description,size,createdTime,modifiedTime,webViewLink,parents,trashed,sharedWithMeTime,"
    "owners(emailAddress)"
)
MADE = SHARED | {"fields": FIELDS}

service = google.service(
    "google_drive",
    "Google Drive",
    "React to files added, changed or shared with you; create, upload, copy, move and share files.",
    docs="https://developers.google.com/workspace/drive/api",
    base_url="https://www.googleapis.com",
    synonyms={
        "": "cloud storage, Google Docs, Gdrive",
        "file_added": "new document, upload, new photo",
        "file_changed": "document edited, file modified",
        "file_shared": "someone shares a file with me, document shared with me",
        "create_text_file": "save note, document, log, text file, Google Doc, log to file",
        "upload_file": "save file, save attachment, backup, store, download",
        "create_folder": "new folder, directory",
        "copy_file": "backup file, duplicate, template",
        "move_file": "archive, organise",
        "share_file": "share document, give access, permission",
    },
)

Folder = Annotated[str, param("Folder", "root", pick="folders", pattern="^[^,]+$")]
FileId = Annotated[str, param("File ID", "{{id}}", min_length=1)]
Name = Annotated[str, param("File name", "{{title}}.txt", min_length=1)]
Watched = Annotated[Folder, param("Folder; `root` is My Drive")]
Within = Annotated[str, param("Only files directly in this folder; all files if empty", "root", pick="folders")]
Kind = Annotated[Literal["files", "folders", "both"], param("Files, folders, or both", "files")]
Text = Annotated[str, param("File content", "{{body}}")]
Document = Annotated[bool, param("Create a Google Doc", False)]
Address = Annotated[AnyHttpUrl, param("URL of the file", "https://example.com/report.pdf")]
ItsName = Annotated[str, param("File name; taken from the URL if empty", "report.pdf")]
CopysName = Annotated[str, param("Name of the copy; same as the file if empty", "Copy of {{name}}")]
Given = Annotated[FileId, param("File or folder ID")]
Whom = Annotated[EmailStr, param("E-mail address of the person to share with", "ann@example.org")]
Role = Annotated[Literal["reader", "commenter", "writer"], param("Permission", "reader")]
Mailed = Annotated[bool, param("Notify them by e-mail", True)]
Says = Annotated[str, param("Text of the e-mail", "Have a look.")]


class Owner(Output):
    email_address: str = output("emailAddress", "Address", "ann@example.org", "")


class File(Output):
    id: str = output("id", "File ID", "1A2b3C4d5E6f7G8h9I0j")
    name: str = output("name", "Name", "report.pdf")
    mime_type: str = output("mimeType", "Media type", "application/pdf")
    description: str = output("description", "Description", "For November", "")
    size: int | None = output("size", "Size in bytes, if it has one", 48213, None)
    created_time: datetime = output("createdTime", "Date created", "2026-11-23T09:00:00Z")
    modified_time: datetime = output("modifiedTime", "Date changed", "2026-11-23T09:00:00Z")
    web_view_link: str = output("webViewLink", "URL", "https://drive.google.com/file/d/1A2b/view", "")
    parents: list[str] = output("parents", "Folder ID", ["0AGf1b2C3d4"], [])
    owners: list[Owner] = output("owners", "Owner", [{"email_address": "ann@example.org"}], [])


class Shared(Output):
    permission_id: str = output("id", "Permission ID", "08123456789")
    role: str = output("role", "Permission", "reader")


@service.poll("New file in a folder", every=SOON, scopes=READ, hint=CHANGED)
async def file_added(ctx: Context, since: datetime, folder: Watched = "root", kind: Kind = "files") -> Events[File]:
    """Triggers when a file or folder is created in, uploaded to or moved to a folder."""
    kinds = {"files": f" and mimeType != '{FOLDER}'", "folders": f" and mimeType = '{FOLDER}'", "both": ""}
    # https://developers.google.com/workspace/drive/api/guides/search-files
    parent = folder.replace("\\", "\\\\").replace("'", "\\'")
    words = f"'{parent}' in parents and trashed = false{kinds[kind]}"
    files = [row async for row in ctx.http.rows(FILES, File, **_query(words, MOST, "createdTime desc"))]
    # of a folder too large to see the whole of, an old file that comes into sight is not one that was moved there
    ctx.state["large"] = ctx.state.get("large") or len(files) == MOST
    for file in files:
        moved = file.created_time < since and not ctx.state["large"]
        yield Event(file.id, file, None if moved else file.created_time)


@service.poll("File changed", every=SOON, overlap=LATE, scopes=READ, hint=CHANGED)
async def file_changed(ctx: Context, folder: Within = "") -> Events[File]:
    """Triggers when a file's content or name changes. Files that are new, moved or shared don't count."""
    if not ctx.state.get("token"):
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/getStartPageToken
        ctx.state["token"] = await ctx.http.get(f"{CHANGES}/startPageToken", str, at="startPageToken", params=SHARED)
        return
    if folder == "root":  # files name it by its ID
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/get
        folder = await ctx.http.get(f"{FILES}/root", str, at="id", params={"fields": "id"})
    fields = f"nextPageToken,newStartPageToken,changes(file({FIELDS}))"
    query = ALL | {"fields": fields, "pageSize": "1000", "pageToken": ctx.state["token"]}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/list
    async for page in ctx.http.answers(CHANGES, params=query):
        for answer in lookup("changes.*.file", page, []):  # what is removed has none
            file = parse(File, answer, "Google Drive")
            there = (not folder or folder in file.parents) and not answer.get("trashed") and file.mime_type != FOLDER
            if there and file.modified_time > file.created_time:
                yield Event(f"{file.id} {answer['modifiedTime']}", file, file.modified_time)
        ctx.state["token"] = page.get("newStartPageToken", ctx.state["token"])


@service.poll("File shared with you", every=SOON, scopes=READ, hint=CHANGED)
async def file_shared(ctx: Context) -> Events[File]:
    """Triggers when someone shares a file or folder with you."""
    async for row in ctx.http.rows(FILES, **_query("sharedWithMe and trashed = false", 100, "sharedWithMeTime desc")):
        at = parse(datetime | None, row.get("sharedWithMeTime"), "Google Drive")
        yield Event(f"{row.get('id')} {row.get('sharedWithMeTime')}", parse(File, row, "Google Drive"), at)


@service.reaction("Create a text file", scopes=WRITE, idempotent="key")
async def create_text_file(
    ctx: Context, *, name: Name, folder: Folder = "root", text: Text, document: Document = False
) -> File:
    """Create a text file or a Google Doc. Retries never create it twice."""
    body = {"name": name, "parents": [folder]} | without_blanks(mimeType=DOCUMENT if document else "")
    return await _make(ctx, body, text.encode(), "text/plain; charset=utf-8")


@service.reaction("Upload a file", scopes=WRITE, idempotent="key")
async def upload_file(ctx: Context, url: Address, name: ItsName = "", folder: Folder = "root") -> File:
    """Save a file from a URL, up to 10 MB. Retries never save it twice."""
    answer = await ctx.http.call("GET", str(url))
    name = name or unquote(urlsplit(str(url)).path.rstrip("/").rpartition("/")[2]) or "file"
    kind = answer.headers.get("content-type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return await _make(ctx, {"name": name, "parents": [folder]}, answer.body, kind)


@service.reaction("Create a folder", scopes=WRITE, idempotent="key")
async def create_folder(ctx: Context, name: Name, folder: Folder = "root") -> File:
    """Create a folder. Retries never create it twice."""
    return await _make(ctx, {"name": name, "parents": [folder], "mimeType": FOLDER})


@service.reaction("Copy a file", scopes=WRITE, idempotent="key")
async def copy_file(ctx: Context, file_id: FileId, folder: Folder, name: CopysName = "") -> File:
    """Copy a file to a folder. Retries never copy it twice."""
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/copy
    return await _make(ctx, without_blanks(parents=[folder], name=name), at=quoted(f"{FILE}/copy", file_id))


@service.reaction("Move a file", scopes=WRITE, idempotent="same")
async def move_file(ctx: Context, file_id: FileId, folder: Folder) -> File:
    """Move a file or folder to another folder."""
    path = quoted(FILE, file_id)
    file = await ctx.http.get(path, dict[str, Any], params=SHARED | {"fields": "parents"})
    old = ",".join(parent for parent in file.get("parents") or () if parent != folder)
    query = MADE | without_blanks(addParents=folder, removeParents=old)
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/update
    return await ctx.http.ask("PATCH", path, File, params=query, json={})


@service.reaction("Share a file", scopes=WRITE, idempotent="same")
async def share_file(
    ctx: Context, *, file_id: Given, email: Whom, role: Role = "reader", notify: Mailed = True, message: Says = ""
) -> Shared:
    """Let someone view, comment on or edit a file or folder."""
    query = SHARED | {"sendNotificationEmail": "true" if notify else "false", "fields": "id,role"}
    query |= {"emailMessage": message} if notify and message else {}
    body = {"type": "user", "role": role, "emailAddress": email}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions/create
    return await ctx.http.post(quoted(f"{FILE}/permissions", file_id), Shared, params=query, json=body)


def _query(words: str, most: int, order: str = "", fields: str = FIELDS) -> dict[str, Any]:
    """Query parameters to list files (https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list)."""
    query = without_blanks(q=words, pageSize=str(most), fields=f"nextPageToken,files({fields})", orderBy=order)
    return {"at": "files", "most": most, "params": ALL | query}


SOME = _query(f"mimeType = '{FOLDER}' and trashed = false", 500, "viewedByMeTime desc", "id,name")
service.options("folders", FILES, first=[Option("root", "My Drive")], **SOME)  # those used last first


@service.lookup("Find a file", scopes=READ)
async def find_file(
    ctx: Context, words: Annotated[str, param("Beginning of words in its name", "report", min_length=1)]
) -> File | None:
    """Find the file or folder with words in its name that was changed last."""
    # https://developers.google.com/workspace/drive/api/guides/search-files
    escaped = words.replace("\\", "\\\\").replace("'", "\\'")
    query = _query(f"name contains '{escaped}' and trashed = false", 1, "modifiedTime desc")
    return await anext(ctx.http.rows(FILES, File, **query), None)


async def _make(ctx: Context, body: dict[str, Any], data: bytes | None = None, kind: str = "", at: str = FILES) -> File:
    """Create a file marked with this run, unless an earlier attempt did."""
    if mark := ctx.uuid():
        body = body | {"appProperties": {"area": mark}}
        earlier = f"appProperties has {{ key='area' and value='{mark}' }}"
        async for file in ctx.http.rows(FILES, File, **_query(earlier, 1)):
            return file
    if data is None:
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/create
        return await ctx.http.post(at, File, params=MADE, json=body)
    # https://developers.google.com/workspace/drive/api/guides/manage-uploads#multipart
    edge = hashlib.sha256(data).hexdigest()
    head = f"--{edge}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode() + orjson.dumps(body)
    content = f"\r\n--{edge}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + f"\r\n--{edge}--".encode()
    headers = {"Content-Type": f"multipart/related; boundary={edge}"}
    query = MADE | {"uploadType": "multipart"}
    return await ctx.http.post(f"/upload{FILES}", File, params=query, headers=headers, body=head + content)
