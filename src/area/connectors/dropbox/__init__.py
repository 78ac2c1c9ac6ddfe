"""Dropbox: triggers on added and changed files; writes, moves and shares files."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from area.sdk import (
    Context,
    Event,
    Events,
    Gone,
    Inbound,
    OAuth2,
    Option,
    Output,
    Pages,
    Quirks,
    Reply,
    Request,
    Service,
    account_ids,
    hmac_sha256,
    new_events,
    output,
    param,
    parse,
    profile,
)
from area.sdk.shapes import Shape, segments

EVERY = timedelta(minutes=2)
AT_ONCE = 100  # files of one look; what is more comes at the next ones
READ, WRITE = ("files.metadata.read",), ("files.metadata.read", "files.content.write")
SHARE = ("files.metadata.read", "sharing.read", "sharing.write")
ME = "/users/get_current_account"
NOTHING: dict[str, Any] = {"method": "POST", "body": b"null", "headers": {"Content-Type": "application/json"}}
ALL = "Folder, including subfolders; the whole Dropbox if empty"


def _hello(request: Request) -> Reply | None:
    return Reply(request.query.get("challenge", "")) if request.method == "GET" else None


service = Service(
    "dropbox",
    "Dropbox",
    "React to added and changed files; write text files, create folders, move files and share links.",
    docs="https://www.dropbox.com/developers/documentation/http/documentation",
    base_url="https://api.dropboxapi.com/2",
    hosts=("content.dropboxapi.com",),
    retry=('"too_many_write_operations',),
    # https://www.dropbox.com/developers/reference/webhooks
    inbound=Inbound(hmac_sha256("X-Dropbox-Signature", client=True), account_ids("list_folder.accounts"), _hello),
    auth=OAuth2(  # https://developers.dropbox.com/oauth-guide; PKCE is for clients without a secret
        "https://www.dropbox.com/oauth2/authorize",
        "https://api.dropboxapi.com/oauth2/token",
        # https://www.dropbox.com/developers/documentation/http/documentation#users-get_current_account
        profile(ME, id="account_id", name="name.display_name", email="email", verified="email_verified", **NOTHING),
        scopes=("account_info.read",),
        # https://www.dropbox.com/developers/documentation/http/documentation#auth-token-revoke
        revoke_url="https://api.dropboxapi.com/2/auth/token/revoke",
        quirks=Quirks(
            client_auth="post", revoke_auth="token", pkce=False, authorize_params={"token_access_type": "offline"}
        ),
    ),
    synonyms={
        "": "cloud storage, files",
        "file_added": "upload, new document, photo added",
        "file_changed": "file modified, file updated",
        "write_text": "save file, upload, backup, note, text file, log to file, append to a file",
        "create_folder": "new folder, directory",
        "move": "rename, archive",
        "share_link": "share document, public link",
    },
)

Folder = Annotated[str, param(ALL, "/Photos", pick="folders", pattern=r"^(/.*[^/])?$")]
FOLDERS = Shape(place=segments("/", "a path", "_"))
Path = Annotated[str, param("Path", "/Photos/2026", shape=FOLDERS, pattern=r"^/.*[^/]$")]
Existing = Annotated[Literal["overwrite", "keep"], param("If the file exists: overwrite it, or keep both", "keep")]


class File(Output):
    id: str = output("id", "ID, which stays the same when it is moved", "id:a4ayc_80_OEAAAAAAAAAXw")
    name: str = output("name", "Name", "cat.jpg")
    path: str = output("path_display", "Path", "/Photos/cat.jpg")
    size: int | None = output("size", "Size in bytes", 7212, None)
    rev: str | None = output("rev", "Revision", "a1c10ce0dd78", None)
    modified_at: datetime | None = output("server_modified", "Time Dropbox received it", "2026-11-23T09:00:00Z", None)


class Link(Output):
    url: str = output("url", "URL", "https://www.dropbox.com/scl/fi/abc/cat.jpg?rlkey=x&dl=0")


@service.poll("New file", every=EVERY, scopes=READ)
async def file_added(ctx: Context, folder: Folder = "") -> Events[File]:
    """Triggers when a file is added to a folder or one of its subfolders. A file moved there counts only if it has
    never been edited.
    """
    async for file in _changed(ctx, folder):
        body = {"path": file.id, "mode": "id", "limit": 2}
        with suppress(Gone):  # already
            # https://www.dropbox.com/developers/documentation/http/documentation#files-list_revisions
            answer = await ctx.http.post("/files/list_revisions", list[Any], at="entries", json=body, gone=(409,))
            if len(answer) == 1:  # else it is older
                yield Event(file.id, file, file.modified_at)


@service.poll("File added or changed", every=EVERY, scopes=READ)
async def file_changed(ctx: Context, folder: Folder = "") -> Events[File]:
    """Triggers when a file in a folder or one of its subfolders is added, edited or moved."""
    return new_events(_changed(ctx, folder), "{path}@{rev}")


async def _changed(ctx: Context, folder: str) -> AsyncIterator[File]:
    """Files changed since the last check, from Dropbox's cursor."""
    if cursor := ctx.state.get("cursor"):
        begin, reset = {"cursor": cursor}, ('"reset',)
        with suppress(Gone):
            # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-continue
            page = await ctx.http.post("/files/list_folder/continue", dict[str, Any], json=begin, gone=reset)
            for row in page["entries"]:
                if row[".tag"] == "file":
                    yield parse(File, row, "Dropbox")
            ctx.state["cursor"] = page["cursor"]
            return
        ctx.log.warning("dropbox.cursor_reset", folder=folder)
    # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-get_latest_cursor
    body = {"path": folder, "recursive": True, "limit": AT_ONCE}
    ctx.state["cursor"] = await ctx.http.post("/files/list_folder/get_latest_cursor", str, at="cursor", json=body)


@service.reaction("Write a text file", scopes=WRITE, idempotent="same")
async def write_text(
    ctx: Context,
    path: Annotated[Path, param("Path of the file", "/Notes/today.txt")],
    text: Annotated[str, param("Text", "Hello")],
    existing: Existing = "keep",
) -> File:
    """Write a text file. If a file with the same name and text exists, nothing changes."""
    overwrite = existing == "overwrite"
    body = {"path": path, "mode": "overwrite" if overwrite else "add", "autorename": not overwrite}
    # https://www.dropbox.com/developers/documentation/http/documentation#files-upload; JSON in a header is all ASCII
    argument = json.dumps(body).replace("\x7f", "\\u007f")
    headers = {"Dropbox-API-Arg": argument, "Content-Type": "application/octet-stream"}
    url = "https://content.dropboxapi.com/2/files/upload"
    return await ctx.http.post(url, File, body=text.encode(), headers=headers)


@service.reaction("Create a folder", scopes=WRITE, idempotent="same")
async def create_folder(ctx: Context, path: Path) -> File:
    """Create a folder and any missing parent folders. Succeeds if it already exists."""
    body, there = {"path": path}, ('"path/conflict/folder',)
    try:
        # https://www.dropbox.com/developers/documentation/http/documentation#files-create_folder
        return await ctx.http.post("/files/create_folder_v2", File, at="metadata", json=body, gone=there)
    except Gone:
        # https://www.dropbox.com/developers/documentation/http/documentation#files-get_metadata
        return await ctx.http.post("/files/get_metadata", File, json=body)


@service.reaction("Move a file or folder", scopes=WRITE, idempotent="same")
async def move(
    ctx: Context, path: Path, to: Annotated[Path, param("New path, including the name", "/Archive/2026")]
) -> File:
    """Move or rename a file or folder."""
    # https://www.dropbox.com/developers/documentation/http/documentation#files-move
    return await ctx.http.post("/files/move_v2", File, at="metadata", json={"from_path": path, "to_path": to})


@service.reaction("Create a shared link", scopes=SHARE, idempotent="same")
async def share_link(ctx: Context, path: Path) -> Link:
    """Create a link that lets people view a file or folder, or return the existing one."""
    url, there = "/sharing/create_shared_link_with_settings", ('"shared_link_already_exists',)
    try:
        # https://www.dropbox.com/developers/documentation/http/documentation#sharing-create_shared_link_with_settings
        return await ctx.http.post(url, Link, json={"path": path}, gone=there)
    except Gone:
        body = {"path": path, "direct_only": True}
        # https://www.dropbox.com/developers/documentation/http/documentation#sharing-list_shared_links
        return await ctx.http.post("/sharing/list_shared_links", Link, at="links.0", json=body)


@service.picker
async def folders(ctx: Context) -> list[Option]:
    """Folders of the user."""
    # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder
    page = await ctx.http.post("/files/list_folder", json={"path": "", "recursive": True, "limit": 2000})
    rows, pages = page["entries"], Pages("entries", next="cursor", cursor="cursor", more="has_more", most=2)
    if page["has_more"]:
        more = ctx.http.rows("/files/list_folder/continue", method="POST", json={"cursor": page["cursor"]}, pages=pages)
        rows += [row async for row in more]
    return [Option(row["path_display"], row["path_display"]) for row in rows if row[".tag"] == "folder"]
