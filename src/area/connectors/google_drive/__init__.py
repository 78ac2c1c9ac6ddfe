"""Google Drive: files that are added, changed or shared, and files to make, copy, move and share."""

import hashlib
import mimetypes
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import orjson
from pydantic import AnyHttpUrl, BaseModel, EmailStr, Field

from area.sdk import Context, Event, Option, Pick, Service, parse
from area.sdk.google import HOSTS, PAGES, Resource, answers, call, google, pages, refusal, scope

SOON = timedelta(minutes=2)
LATE = timedelta(days=1)  # what was changed without a connection arrives later
MOST = 1000  # files of one look
READ, WRITE = (scope("drive.metadata.readonly"),), (scope("drive"),)
FOLDER = "application/vnd.google-apps.folder"
FILES, SHARED = "/drive/v3/files", {"supportsAllDrives": "true"}
ALL = SHARED | {"includeItemsFromAllDrives": "true"}
FIELDS = "id,name,mimeType,description,size,createdTime,modifiedTime,webViewLink,parents,trashed,sharedWithMeTime,owners(emailAddress)"

service = Service(
    "google_drive",
    "Google Drive",
    "Files of a Google Drive: what is added, changed or shared with you, and files to make, copy, move and share.",
    docs="https://developers.google.com/workspace/drive/api",
    base_url="https://www.googleapis.com",
    auth=google(),
    hosts=HOSTS,
    pages=PAGES,
    refusal=refusal,
    quality="verified",
)

FolderId = Annotated[str, Pick("folders")]


class Folder(BaseModel):
    """Which folder."""

    folder: FolderId = Field("root", min_length=1, description="Folder; `root` is My Drive itself", examples=["root"])
    kind: Literal["files", "folders", "both"] = Field(
        "files", description="Files, the folders in it, or both", examples=["files"]
    )


class Changed(BaseModel):
    """Whose changes."""

    folder: FolderId = Field("", description="Only files right in this folder; empty for all files", examples=["root"])


class Nothing(BaseModel):
    """No parameters."""


class Named(BaseModel):
    """A file to make."""

    name: str = Field(min_length=1, description="Name of the file", examples=["{{title}}.txt"])
    folder: FolderId = Field("root", min_length=1, description="Folder to put it into", examples=["root"])


class Text(Named):
    """A text to keep."""

    text: str = Field(description="What is in the file", examples=["{{body}}"])
    document: bool = Field(False, description="Whether to make it a Google Doc", examples=[False])


class Download(BaseModel):
    """A file of the web to keep."""

    url: AnyHttpUrl = Field(description="Address of the file", examples=["https://example.com/report.pdf"])
    name: str = Field("", description="Name of the file; that of the address if empty", examples=["report.pdf"])
    folder: FolderId = Field("root", min_length=1, description="Folder to put it into", examples=["root"])


class OneFile(BaseModel):
    """Which file, and where to."""

    file_id: str = Field(min_length=1, description="ID of the file", examples=["{{id}}"])
    folder: FolderId = Field(min_length=1, description="Folder to put it into", examples=["root"])


class Copy(OneFile):
    """What to copy, and what to call it."""

    name: str = Field("", description="Name of the copy; that of the file if empty", examples=["Copy of {{name}}"])


class Share(BaseModel):
    """Whom to share with."""

    file_id: str = Field(min_length=1, description="ID of the file or folder", examples=["{{id}}"])
    email: EmailStr = Field(description="Address of whom to share with", examples=["ann@example.org"])
    role: Literal["reader", "commenter", "writer"] = Field(
        "reader", description="What they may do", examples=["reader"]
    )
    notify: bool = Field(True, description="Whether they get a mail", examples=[True])
    message: str = Field("", description="What the mail says", examples=["Have a look."])


class Owner(Resource):
    """Whose file it is."""

    email_address: str = Field("", description="Address", examples=["ann@example.org"])


class File(Resource):
    """A file or folder."""

    id: str = Field(description="ID of the file", examples=["1A2b3C4d5E6f7G8h9I0j"])
    name: str = Field(description="Its name", examples=["report.pdf"])
    mime_type: str = Field(description="Its media type", examples=["application/pdf"])
    description: str = Field("", description="What is said of it", examples=["For November"])
    size: int | None = Field(None, description="Size in bytes, where it has one", examples=[48213])
    created_time: datetime = Field(description="When it was made", examples=["2026-11-23T09:00:00Z"])
    modified_time: datetime = Field(description="When it was changed", examples=["2026-11-23T09:00:00Z"])
    web_view_link: str = Field(
        "", description="Address to open it", examples=["https://drive.google.com/file/d/1A2b/view"]
    )
    parents: list[str] = Field([], description="ID of its folder", examples=[["0AGf1b2C3d4"]])
    owners: list[Owner] = Field([], description="Whose it is", examples=[[{"email_address": "ann@example.org"}]])


class Shared(BaseModel):
    """What is shared."""

    permission_id: str = Field(description="ID of the permission", examples=["08123456789"])
    role: str = Field(description="What they may do", examples=["reader"])


@service.poll("A file is added to a folder", every=SOON, scopes=READ)
async def file_added(ctx: Context, params: Folder, since: datetime) -> AsyncIterator[Event[File]]:
    """A file or folder is made in a folder, uploaded, or moved there."""
    kind = {"files": f" and mimeType != '{FOLDER}'", "folders": f" and mimeType = '{FOLDER}'", "both": ""}[params.kind]
    query = {"q": f"'{_quoted(params.folder)}' in parents and trashed = false{kind}", "orderBy": "createdTime desc"}
    found = [one async for one in _files(ctx, query)]
    # of a folder too large to see the whole of, an old file that comes into sight is not one that was moved there
    ctx.state["large"] = ctx.state.get("large") or len(found) == MOST
    for one in found:
        moved = one.created_time < since and not ctx.state["large"]
        yield Event(one.id, one, None if moved else one.created_time)


@service.poll("A file is changed", every=SOON, overlap=LATE, scopes=READ)
async def file_changed(ctx: Context, params: Changed, since: datetime) -> AsyncIterator[Event[File]]:  # noqa: ARG001
    """The content or name of a file is changed. A file that is new, or only shared or moved, does not count."""
    token = ctx.state.get("token")
    if not token:
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/getStartPageToken
        answer = await call(ctx, "GET", "/drive/v3/changes/startPageToken", params=SHARED)
        ctx.state["token"] = answer.get("startPageToken")
        return
    folder = params.folder
    if folder == "root":  # files name it by its ID
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/get
        folder = str((await call(ctx, "GET", f"{FILES}/root", params={"fields": "id"})).get("id"))
    fields = {"fields": f"nextPageToken,newStartPageToken,changes(removed,file({FIELDS}))", "pageSize": "1000"}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/changes/list
    async for page in answers(ctx, "/drive/v3/changes", params=ALL | fields | {"pageToken": token}):
        for change in page.get("changes") or ():
            told = change.get("file") or {}
            if change.get("removed") or not told or told.get("trashed") or told.get("mimeType") == FOLDER:
                continue
            file = parse(File, told, "Google Drive")
            if file.modified_time > file.created_time and (not folder or folder in file.parents):
                yield Event(f"{file.id} {told['modifiedTime']}", file, file.modified_time)
        ctx.state["token"] = page.get("newStartPageToken", token)


@service.poll("A file is shared with me", every=SOON, scopes=READ)
async def file_shared(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[File]]:  # noqa: ARG001
    """Somebody shares a file or folder with you."""
    query = ALL | {"q": "sharedWithMe and trashed = false", "orderBy": "sharedWithMeTime desc"}
    fields = {"fields": f"nextPageToken,files({FIELDS})", "pageSize": "100"}
    async for told in pages(ctx, FILES, "files", params=query | fields, most=100):
        at = parse(datetime | None, told.get("sharedWithMeTime"), "Google Drive")
        yield Event(f"{told.get('id')} {told.get('sharedWithMeTime')}", parse(File, told, "Google Drive"), at)


@service.reaction("Make a text file", scopes=WRITE)
async def create_text_file(ctx: Context, params: Text) -> File:
    """Make a file of a text, or a Google Doc; it is made once, however often it is tried."""
    kind = {"mimeType": "application/vnd.google-apps.document"} if params.document else {}
    return await _make(ctx, _metadata(params) | kind, params.text.encode(), "text/plain; charset=utf-8")


@service.reaction("Upload a file", scopes=WRITE)
async def upload_file(ctx: Context, params: Download) -> File:
    """Fetch a file from an address, of up to 10 MB, and keep it; it is kept once, however often it is tried."""
    answer = await ctx.http.call("GET", str(params.url))
    last = unquote(urlsplit(str(params.url)).path.rstrip("/").rpartition("/")[2])
    named = Named(name=params.name or last or "file", folder=params.folder)
    kind = answer.headers.get("content-type") or mimetypes.guess_type(named.name)[0] or "application/octet-stream"
    return await _make(ctx, _metadata(named), answer.body, kind)


@service.reaction("Make a folder", scopes=WRITE)
async def create_folder(ctx: Context, params: Named) -> File:
    """Make a folder; it is made once, however often it is tried."""
    return await _make(ctx, _metadata(params) | {"mimeType": FOLDER})


@service.reaction("Copy a file", scopes=WRITE)
async def copy_file(ctx: Context, params: Copy) -> File:
    """Copy a file into a folder; it is copied once, however often it is tried."""
    body = {"parents": [params.folder]} | ({"name": params.name} if params.name else {})
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/copy
    return await _make(ctx, body, address=f"{FILES}/{_path(params.file_id)}/copy")


@service.reaction("Move a file", scopes=WRITE)
async def move_file(ctx: Context, params: OneFile) -> File:
    """Move a file or folder into another folder."""
    address = f"{FILES}/{_path(params.file_id)}"
    file = await call(ctx, "GET", address, params=SHARED | {"fields": "parents"})
    query = SHARED | {"fields": FIELDS, "addParents": params.folder}
    if old := [one for one in file.get("parents") or () if one != params.folder]:
        query["removeParents"] = ",".join(old)
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/update
    return parse(File, await call(ctx, "PATCH", address, params=query, json={}), "Google Drive")


@service.reaction("Share a file", scopes=WRITE)
async def share_file(ctx: Context, params: Share) -> Shared:
    """Let somebody read, comment on or change a file or folder."""
    query = SHARED | {"sendNotificationEmail": "true" if params.notify else "false", "fields": "id,role"}
    query |= {"emailMessage": params.message} if params.notify and params.message else {}
    body = {"type": "user", "role": params.role, "emailAddress": params.email}
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions/create
    made = await call(ctx, "POST", f"{FILES}/{_path(params.file_id)}/permissions", params=query, json=body)
    return parse(Shared, {"permission_id": made.get("id"), "role": made.get("role")}, "Google Drive")


@service.picker
async def folders(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """My Drive, and the account's folders, those used last first."""
    query = ALL | {
        "q": f"mimeType = '{FOLDER}' and trashed = false",
        "orderBy": "viewedByMeTime desc",
        "pageSize": "500",
    }
    found = pages(ctx, FILES, "files", params=query | {"fields": "nextPageToken,files(id,name)"}, most=500)
    return [Option("root", "My Drive"), *[Option(one["id"], one["name"]) async for one in found]]


async def _files(ctx: Context, query: dict[str, str]) -> AsyncIterator[File]:
    # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list
    fields = {"fields": f"nextPageToken,files({FIELDS})", "pageSize": "1000"}
    async for told in pages(ctx, FILES, "files", params=ALL | query | fields, most=MOST):
        yield parse(File, told, "Google Drive")


async def _make(
    ctx: Context, metadata: dict[str, Any], content: bytes | None = None, kind: str = "", address: str = FILES
) -> File:
    """Make a file with a mark of this run, unless an earlier attempt did."""
    query = SHARED | {"fields": FIELDS}
    if ctx.idempotency_key:
        mark = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:32]
        metadata = metadata | {"appProperties": {"area": mark}}
        async for file in _files(ctx, {"q": f"appProperties has {{ key='area' and value='{mark}' }}"}):
            return file
    if content is None:
        # https://developers.google.com/workspace/drive/api/reference/rest/v3/files/create
        return parse(File, await call(ctx, "POST", address, params=query, json=metadata), "Google Drive")
    # https://developers.google.com/workspace/drive/api/guides/manage-uploads#multipart
    edge = hashlib.sha256(content).hexdigest()
    head = b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n" % (
        edge.encode(),
        orjson.dumps(metadata),
    )
    part = b"--%b\r\nContent-Type: %b\r\n\r\n%b\r\n--%b--" % (edge.encode(), kind.encode(), content, edge.encode())
    headers = {"Content-Type": f"multipart/related; boundary={edge}"}
    upload = query | {"uploadType": "multipart"}
    made = await call(ctx, "POST", f"/upload{FILES}", params=upload, headers=headers, body=head + part)
    return parse(File, made, "Google Drive")


def _metadata(params: Named) -> dict[str, Any]:
    return {"name": params.name, "parents": [params.folder]}


def _quoted(text: str) -> str:
    # https://developers.google.com/workspace/drive/api/guides/search-files
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _path(file_id: str) -> str:
    return quote(file_id, safe="")
