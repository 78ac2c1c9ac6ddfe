"""Dropbox: files that are added or changed in; text files, folders, moves and links out."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from area.sdk import (
    Account,
    Context,
    Event,
    Inbound,
    OAuth2,
    Option,
    Permanent,
    Pick,
    Quirks,
    Reply,
    Request,
    Response,
    Retry,
    Service,
    hmac_sha256,
    parse,
)  # fmt: skip

EVERY = timedelta(minutes=2)
AT_ONCE = 100  # files of one look; what is more comes at the next ones
PAGES = 3  # of 2,000 entries, to choose a folder from
READ, WRITE = ("files.metadata.read",), ("files.metadata.read", "files.content.write")
SHARE = ("files.metadata.read", "sharing.read", "sharing.write")
Path = Annotated[str, StringConstraints(pattern=r"^/.*[^/]$")]


async def _account(ctx: Context) -> Account:
    # https://www.dropbox.com/developers/documentation/http/documentation#users-get_current_account
    me = await _ask(ctx, "/users/get_current_account", None)
    return Account(me["account_id"], me["name"]["display_name"], me["email"], email_verified=me["email_verified"])


def _news(request: Request) -> list[str]:
    """Accounts with changes: https://www.dropbox.com/developers/reference/webhooks"""
    told = parse(dict[str, Any], request.json(), "Dropbox").get("list_folder", {})
    return parse(list[str], told.get("accounts", []), "Dropbox")


def _hello(request: Request) -> Reply | None:
    return Reply(request.query.get("challenge", "")) if request.method == "GET" else None


service = Service(
    "dropbox",
    "Dropbox",
    "Files that are added or changed; new text files, folders and links to share.",
    docs="https://www.dropbox.com/developers/documentation/http/documentation",
    base_url="https://api.dropboxapi.com/2",
    hosts=("content.dropboxapi.com",),
    inbound=Inbound(hmac_sha256("X-Dropbox-Signature", client=True), _news, _hello),
    auth=OAuth2(  # https://developers.dropbox.com/oauth-guide; PKCE is for clients without a secret
        "https://www.dropbox.com/oauth2/authorize",
        "https://api.dropboxapi.com/oauth2/token",
        _account,
        scopes=("account_info.read",),
        quirks=Quirks(client_auth="post", pkce=False, authorize_params={"token_access_type": "offline"}),
    ),
)


class Folder(BaseModel):
    """Which folder."""

    folder: Annotated[str, Pick("folders"), StringConstraints(pattern=r"^(/.*[^/])?$")] = Field(
        "", description="Folder with all that is below it; everything if empty", examples=["/Photos"]
    )


class NewText(BaseModel):
    """A text file to be."""

    path: Path = Field(description="Where to put it", examples=["/Notes/today.txt"])
    text: str = Field(description="What it says", examples=["Hello"])
    existing: Literal["overwrite", "keep"] = Field(
        "keep", description="A file there: overwrite it, or keep both", examples=["keep"]
    )


class OnePath(BaseModel):
    """Which file or folder."""

    path: Path = Field(description="Path", examples=["/Photos/2026"])


class Move(OnePath):
    """What to move where."""

    to: Path = Field(description="Its new path, with the name", examples=["/Archive/2026"])


class File(BaseModel):
    """A file or folder."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str = Field(description="Its id, which stays when it is moved", examples=["id:a4ayc_80_OEAAAAAAAAAXw"])
    name: str = Field(description="Its name", examples=["cat.jpg"])
    path: str = Field(validation_alias="path_display", description="Its path", examples=["/Photos/cat.jpg"])
    size: int | None = Field(None, description="Bytes of a file", examples=[7212])
    rev: str | None = Field(None, description="Revision of a file", examples=["a1c10ce0dd78"])
    modified_at: datetime | None = Field(
        None, validation_alias="server_modified", description="When Dropbox got it", examples=["2026-11-23T09:00:00Z"]
    )


class Link(BaseModel):
    """A link to share."""

    url: str = Field(description="Address of it", examples=["https://www.dropbox.com/scl/fi/abc/cat.jpg?rlkey=x&dl=0"])


@service.poll("A file is added", every=EVERY, scopes=READ)
async def file_added(ctx: Context, params: Folder, since: datetime) -> AsyncIterator[Event[File]]:  # noqa: ARG001
    """A file is added to a folder or below it. A file that is moved there counts only if it was never changed."""
    async for file in _changed(ctx, params.folder):
        # https://www.dropbox.com/developers/documentation/http/documentation#files-list_revisions
        answer = await ctx.http.request(
            "POST", "/files/list_revisions", json={"path": file.id, "mode": "id", "limit": 2}
        )
        if answer.status == 409:  # it is gone again
            continue
        if len(_object(ctx, answer)["entries"]) == 1:
            yield Event(file.id, file, file.modified_at)


@service.poll("A file is added or changed", every=EVERY, scopes=READ)
async def file_changed(ctx: Context, params: Folder, since: datetime) -> AsyncIterator[Event[File]]:  # noqa: ARG001
    """A file in a folder or below it is added, or gets another content or place."""
    async for file in _changed(ctx, params.folder):
        yield Event(f"{file.path}@{file.rev}", file)


async def _changed(ctx: Context, folder: str) -> AsyncIterator[File]:
    """Files that changed since the last look, which is remembered by Dropbox's cursor."""
    cursor = ctx.state.get("cursor")
    if not cursor:
        ctx.state["cursor"] = await _now(ctx, folder)
        return
    # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-continue
    answer = await ctx.http.request("POST", "/files/list_folder/continue", json={"cursor": cursor})
    if _says(answer, "reset"):
        ctx.log.warning("dropbox.cursor_reset", folder=folder)
        ctx.state["cursor"] = await _now(ctx, folder)
        return
    page = _object(ctx, answer)
    for row in page["entries"]:
        if row[".tag"] == "file":
            yield parse(File, row, "Dropbox")
    ctx.state["cursor"] = page["cursor"]


async def _now(ctx: Context, folder: str) -> str:
    # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder-get_latest_cursor
    wanted = {"path": folder, "recursive": True, "limit": AT_ONCE}
    return str((await _ask(ctx, "/files/list_folder/get_latest_cursor", wanted))["cursor"])


@service.reaction("Write a text file", scopes=WRITE)
async def write_text(ctx: Context, params: NewText) -> File:
    """Write a text file. Of a file with the same name and text there is only one."""
    overwrite = params.existing == "overwrite"
    wanted = {"path": params.path, "mode": "overwrite" if overwrite else "add", "autorename": not overwrite}
    # https://www.dropbox.com/developers/documentation/http/documentation#files-upload; JSON in a header is all ASCII
    headers = {
        "Dropbox-API-Arg": json.dumps(wanted).replace("\x7f", "\\u007f"),
        "Content-Type": "application/octet-stream",
    }
    url = "https://content.dropboxapi.com/2/files/upload"
    return parse(File, await ctx.http.call("POST", url, body=params.text.encode(), headers=headers), "Dropbox")


@service.reaction("Create a folder", scopes=WRITE)
async def create_folder(ctx: Context, params: OnePath) -> File:
    """Create a folder, with those above it. One that there is already is left as it is."""
    # https://www.dropbox.com/developers/documentation/http/documentation#files-create_folder
    answer = await ctx.http.request("POST", "/files/create_folder_v2", json={"path": params.path})
    if _says(answer, "path/conflict/folder"):
        # https://www.dropbox.com/developers/documentation/http/documentation#files-get_metadata
        return parse(File, await _ask(ctx, "/files/get_metadata", {"path": params.path}), "Dropbox")
    return parse(File, _object(ctx, answer)["metadata"], "Dropbox")


@service.reaction("Move a file or folder", scopes=WRITE)
async def move(ctx: Context, params: Move) -> File:
    """Move or rename a file or folder."""
    # https://www.dropbox.com/developers/documentation/http/documentation#files-move
    made = await _ask(ctx, "/files/move_v2", {"from_path": params.path, "to_path": params.to})
    return parse(File, made["metadata"], "Dropbox")


@service.reaction("Make a link to share", scopes=SHARE)
async def share_link(ctx: Context, params: OnePath) -> Link:
    """Make a link that lets people see a file or folder, or find the one that there is."""
    # https://www.dropbox.com/developers/documentation/http/documentation#sharing-create_shared_link_with_settings
    answer = await ctx.http.request("POST", "/sharing/create_shared_link_with_settings", json={"path": params.path})
    if not _says(answer, "shared_link_already_exists"):
        return parse(Link, _object(ctx, answer), "Dropbox")
    # https://www.dropbox.com/developers/documentation/http/documentation#sharing-list_shared_links
    links = (await _ask(ctx, "/sharing/list_shared_links", {"path": params.path, "direct_only": True}))["links"]
    if not links:
        raise Permanent(f"Dropbox says that {params.path} has a link, and tells none.")
    return parse(Link, links[0], "Dropbox")


@service.picker
async def folders(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Folders of the user."""
    # https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder
    page = await _ask(ctx, "/files/list_folder", {"path": "", "recursive": True, "limit": 2000})
    rows = page["entries"]
    for _ in range(PAGES - 1):
        if not page["has_more"]:
            break
        page = await _ask(ctx, "/files/list_folder/continue", {"cursor": page["cursor"]})
        rows += page["entries"]
    return [Option(one["path_display"], one["path_display"]) for one in rows if one[".tag"] == "folder"]


def _says(answer: Response, summary: str) -> bool:
    """Whether it is this one of the endpoint's own errors: https://www.dropbox.com/developers/documentation/http/documentation#error-handling"""
    return answer.status == 409 and f'"{summary}' in answer.text


def _object(ctx: Context, answer: Response) -> dict[str, Any]:
    if _says(answer, "too_many_write_operations"):
        raise Retry(f"{answer.host} answered: too many changes at the same time.")
    ctx.http.check(answer)
    return parse(dict[str, Any], answer, "Dropbox")


async def _ask(ctx: Context, path: str, body: Any) -> dict[str, Any]:
    raw = json.dumps(body).encode()  # also null, where there is nothing to say
    return _object(ctx, await ctx.http.request("POST", path, body=raw, headers={"Content-Type": "application/json"}))
