"""Dropbox against a double written from its documentation and the descriptions in its SDK, because there is no OpenAPI
document.
"""

import hashlib
import hmac
import json

import pytest

from area.connectors.dropbox import service
from area.sdk import Headers, Nothing, Permanent, Refused, Request, Retry, now
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes

SAID = {"error_summary": "path/not_found/..", "error": {".tag": "path"}, "user_message": "The vendor says no"}
FOLDER = {".tag": "folder", "id": "id:f", "name": "Photos", "path_lower": "/photos", "path_display": "/Photos"}


def file(name: str, rev: str = "1") -> dict:
    return {
        ".tag": "file", "id": f"id:{name}", "name": name, "path_lower": f"/{name}", "path_display": f"/{name}", "rev": rev,
        "size": 3, "client_modified": "2099-11-23T09:00:00Z", "server_modified": "2099-11-23T09:00:00Z",
    }  # fmt: skip


def refused(summary: str) -> Answer:
    return Answer(409, {"error_summary": summary, "error": {".tag": summary.partition("/")[0]}})


@pytest.fixture
async def dropbox():
    at = ("https://api.dropboxapi.com/2", "https://content.dropboxapi.com/2")
    async with Double(None, at=at, token="t0ken") as double:
        double.on("POST", "/files/list_folder/get_latest_cursor", {"cursor": "c0"})
        double.on("POST", "/files/list_revisions", {"is_deleted": False, "entries": [file("a")]})
        for route in ("/files/upload", "/files/get_metadata", "/sharing/list_shared_links"):
            double.again("POST", route)
        conflict = {"error_summary": "path/conflict/folder/..", "error": {}}
        double.again("POST", "/files/create_folder_v2", Answer(409, conflict))
        double.on("POST", "/files/get_metadata", file("a"))
        double.again("POST", "/files/move_v2", Answer(409, {"error_summary": "from_lookup/not_found/.."}))
        double.again(
            "POST",
            "/sharing/create_shared_link_with_settings",
            Answer(409, {"error_summary": "shared_link_already_exists/.."}),
        )
        double.on("POST", "/sharing/list_shared_links", {"links": [{"url": "https://dropbox.com/s/a"}]})
        yield double


@pytest.fixture
async def ctx(dropbox):
    async with connector(service, dropbox) as ctx:
        yield ctx


def changes(dropbox, cursor: str, *entries: dict) -> None:
    dropbox.on("POST", "/files/list_folder/continue", {"entries": [*entries], "cursor": cursor, "has_more": False})


@pytest.mark.parametrize("name", ["file_added", "file_changed"])
async def test_each_file_is_told_once(ctx, dropbox, name):
    watch = Watch(ctx, service.actions[name], folder="/Photos")
    assert await watch.look() == []
    assert dropbox.asked[-1].json == {"path": "/Photos", "recursive": True, "limit": 100}
    changes(
        dropbox, "c1", FOLDER, file("a"), {".tag": "deleted", "name": "x", "path_lower": "/x", "path_display": "/x"}
    )
    (event,) = await watch.look()
    assert (event.data.path, event.data.size, watch.state) == ("/a", 3, {"cursor": "c1"})
    request = [item for item in dropbox.asked if item.path.endswith("continue")]
    assert request[-1].json == {"cursor": "c0"}
    assert await watch.ids() == []
    await outcomes(ctx, dropbox, watch.look, body=SAID)
    assert watch.state == {"cursor": "c1"}


async def test_an_old_file_that_changes_is_not_added(ctx, dropbox):
    added, changed = (Watch(ctx, service.actions[name]) for name in ("file_added", "file_changed"))
    assert (await added.ids(), await changed.ids()) == ([], [])
    dropbox.on("POST", "/files/list_revisions", {"is_deleted": False, "entries": [file("a", "2"), file("a", "1")]})
    changes(dropbox, "c1", file("a", "2"))
    assert (await added.ids(), await changed.ids()) == ([], ["/a@2"])
    dropbox.on("POST", "/files/list_revisions", refused("path/not_found/."))
    changes(dropbox, "c2", file("b"))
    assert await added.ids() == []


async def test_a_cursor_that_is_no_longer_good_is_made_anew(ctx, dropbox):
    watch = Watch(ctx, service.actions["file_changed"])
    await watch.look()
    dropbox.on("POST", "/files/list_folder/continue", refused("reset/.."))
    dropbox.on("POST", "/files/list_folder/get_latest_cursor", {"cursor": "c9"})
    assert (await watch.ids(), watch.state) == ([], {"cursor": "c9"})


@pytest.mark.parametrize(
    ("name", "params", "path", "answer", "body"),
    [
        ("create_folder", {"path": "/Photos"}, "/files/create_folder_v2", {"metadata": FOLDER}, {"path": "/Photos"}),
        ("move", {"path": "/a", "to": "/b"}, "/files/move_v2", {"metadata": file("b")}, {"from_path": "/a", "to_path": "/b"}),
        ("share_link", {"path": "/a"}, "/sharing/create_shared_link_with_settings", {"url": "https://www.dropbox.com/x"}, {"path": "/a"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, dropbox, name, params, path, answer, body):
    reaction = service.reactions[name]
    dropbox.on("POST", path, answer)

    async def call():
        return await act(ctx, reaction, **params)

    await call()
    assert (dropbox.asked[-1].path, dropbox.asked[-1].json) == (path, body)
    await outcomes(ctx, dropbox, call, body=SAID)
    dropbox.on("POST", path, refused("too_many_write_operations/."))
    with pytest.raises(Retry):
        await call()


@pytest.mark.parametrize(("existing", "mode", "autorename"), [("keep", "add", True), ("overwrite", "overwrite", False)])
async def test_a_text_is_uploaded_with_an_ascii_header(ctx, dropbox, existing, mode, autorename):
    reaction = service.reactions["write_text"]
    dropbox.on("POST", "/files/upload", file("é.txt"))

    async def call():
        return await act(ctx, reaction, path="/é\x7f.txt", text="Grüße", existing=existing)

    assert (await call()).name == "é.txt"
    request = dropbox.asked[-1]
    assert (request.host, request.body, request.headers["Content-Type"]) == (
        "content.dropboxapi.com",
        "Grüße".encode(),
        "application/octet-stream",
    )
    header = request.headers["Dropbox-API-Arg"]
    assert header.isascii()
    assert header.isprintable()
    assert json.loads(header) == {"path": "/é\x7f.txt", "mode": mode, "autorename": autorename}
    await outcomes(ctx, dropbox, call, body=SAID)


async def test_what_is_there_already_is_fine(ctx, dropbox):
    dropbox.on("POST", "/files/create_folder_v2", refused("path/conflict/folder/.."))
    dropbox.on("POST", "/files/get_metadata", FOLDER)
    dropbox.on("POST", "/sharing/create_shared_link_with_settings", refused("shared_link_already_exists/."))
    dropbox.on(
        "POST", "/sharing/list_shared_links", {"links": [{"url": "https://www.dropbox.com/old"}], "has_more": False}
    )
    results = [
        await act(ctx, reaction, path="/Photos")
        for reaction in (service.reactions["create_folder"], service.reactions["share_link"])
    ]
    assert (results[0].path, results[1].url) == ("/Photos", "https://www.dropbox.com/old")


async def test_folders_to_choose_from(ctx, dropbox):
    dropbox.on("POST", "/files/list_folder", {"entries": [FOLDER, file("a")], "cursor": "c1", "has_more": True})
    changes(dropbox, "c2", FOLDER | {"path_display": "/Work"})
    assert [item.value for item in await service.pickers["folders"](ctx, {})] == ["/Photos", "/Work"]


async def test_who_agreed(ctx, dropbox):
    me = {"account_id": "dbid:1", "name": {"display_name": "Ada"}, "email": "ada@example.com", "email_verified": True}
    dropbox.on("POST", "/users/get_current_account", me)
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email_verified, dropbox.asked[-1].body) == (
        "dbid:1",
        "Ada",
        True,
        b"null",
    )


def test_news_of_accounts():
    def call(body: bytes, signature: str = "", method: str = "POST", **query: str) -> Request:
        return Request(method, "/webhooks/dropbox", Headers([("X-Dropbox-Signature", signature)]), query, body, now())

    body, inbound = b'{"list_folder": {"accounts": ["dbid:1"]}, "delta": {"users": [1]}}', service.inbound
    signature = hmac.new(b"client secret", body, hashlib.sha256).hexdigest()
    inbound.verify.check(call(body, signature), "client secret", Nothing())
    for wrong, secret in (("0" * 64, "client secret"), ("", "client secret"), (signature, "other"), (signature, "")):
        with pytest.raises(Refused):
            inbound.verify.check(call(body, wrong), secret, Nothing())
    assert inbound.accounts(call(body)) == ["dbid:1"]
    assert inbound.handshake(call(b"", method="GET", challenge="hello")).body == "hello"
    assert inbound.handshake(call(body)) is None
    for body in (b"[]", b'{"list_folder": {"accounts": 1}}', b"?"):
        with pytest.raises(Permanent):
            inbound.accounts(call(body))
