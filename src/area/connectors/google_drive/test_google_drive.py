"""Google Drive, against a double that enforces its discovery document; the words of `q` are not in it."""

import sys
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import orjson
import pytest

from area.connectors import google_drive
from area.connectors.google_drive import service
from area.sdk.testing import Double, Watch, act, connector, discovered, finds_nothing, outcomes

FILES, FILE = "/drive/v3/files", "/drive/v3/files/{fileId}"
NOW = datetime.now(UTC).replace(microsecond=0)


def writable(document):
    """It is told to be output only, and in the description of `type` that it must be given: the second is how it is.

    https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions#Permission
    """
    del document["schemas"]["Permission"]["properties"]["emailAddress"]["readOnly"]


drive = discovered("drive.v3", mend=writable)


@pytest.fixture(autouse=True)
def begins(monkeypatch):
    """The present is when a test begins: a whole run takes longer than a window."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def vendor():
    async with Double(drive) as double:
        double.again("POST", "/drive/v3/files/{fileId}/permissions")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def stamp(minutes):
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def file(name, made=-9999, changed=None, **more):
    times = {"createdTime": stamp(made), "modifiedTime": stamp(made if changed is None else changed)}
    return {"id": name, "name": f"{name}.txt", "mimeType": "text/plain", "size": "3", **times, **more}


async def test_a_file_is_added_once(ctx, vendor):
    shown = [file("b", -5), file("a")]
    vendor.on(
        "GET", FILES,
        lambda request: {"files": shown[1:]} if "pageToken" in request.query else {"files": shown[:1], "nextPageToken": "2"},
    )  # fmt: skip
    watch = Watch(ctx, service.actions["file_added"], folder="it's")
    assert await watch.ids() == []
    shown[:0] = [file("new", 1), file("moved", -99999)]
    events = {item.id: item for item in await watch.look()}
    assert set(events) == {"new", "moved"}
    assert (events["new"].at, events["new"].data.size) == (NOW + timedelta(minutes=1), 3)
    assert await watch.ids() == []
    assert vendor.asked[-1].query["q"] == (
        "'it\\'s' in parents and trashed = false and mimeType != 'application/vnd.google-apps.folder'"
    )


async def test_of_a_large_folder_what_comes_into_sight_is_not_new(ctx, vendor, monkeypatch):
    monkeypatch.setattr(google_drive, "MOST", 2)
    shown = [file("c"), file("b"), file("a")]
    vendor.on("GET", FILES, lambda request: {"files": shown[:2]})
    watch = Watch(ctx, service.actions["file_added"], kind="both")
    assert await watch.ids() == []
    shown.remove(shown[0])
    assert await watch.ids() == []
    shown.insert(0, file("d", 1))
    assert await watch.ids() == ["d"]


async def test_a_file_is_changed(ctx, vendor):
    changes = []
    vendor.on("GET", "/drive/v3/changes/startPageToken", {"startPageToken": "1"})
    vendor.on("GET", FILE, {"id": "top"})

    def answer(request):
        token = int(request.query["pageToken"])
        result = {"changes": changes[token - 1 : token]}
        return result | (
            {"nextPageToken": str(token + 1)}
            if token < len(changes)
            else {"newStartPageToken": str(max(token, len(changes) + 1))}
        )

    vendor.on("GET", "/drive/v3/changes", answer)
    every, top = Watch(ctx, service.actions["file_changed"]), Watch(ctx, service.actions["file_changed"], folder="root")
    assert [await every.ids(), await top.ids()] == [[], []]
    changes += [
        {"file": file("a", changed=1, parents=["top"])}, {"file": file("b", changed=2, parents=["x"])},
        {"file": file("new", 1)}, {"file": file("bin", changed=1, trashed=True)}, {"removed": True, "fileId": "c"},
        {"file": file("old", changed=-9000)},
    ]  # fmt: skip
    assert await every.ids() == [f"a {stamp(1)}", f"b {stamp(2)}"]
    assert await top.ids() == [f"a {stamp(1)}"]
    assert [await every.ids(), await top.ids()] == [[], []]
    changes.append({"file": file("a", changed=3, parents=["top"])})
    assert [await every.ids(), await top.ids()] == [[f"a {stamp(3)}"]] * 2


async def test_a_file_is_shared(ctx, vendor):
    shown = [file("a", sharedWithMeTime=stamp(-9))]
    vendor.on("GET", FILES, lambda request: {"files": shown})
    watch = Watch(ctx, service.actions["file_shared"])
    assert await watch.ids() == []
    shown.insert(0, file("b", sharedWithMeTime=stamp(1), owners=[{"emailAddress": "ann@example.org"}]))
    (event,) = await watch.look()
    assert (event.data.name, event.data.owners[0].email_address) == ("b.txt", "ann@example.org")
    assert await watch.ids() == []


def uploaded(request):
    answer = message_from_bytes(
        b"Content-Type: %b\r\n\r\n%b" % (request.headers["Content-Type"].encode(), request.body)
    )
    metadata, content = answer.get_payload()
    return orjson.loads(metadata.get_payload()), content.get_content_type(), content.get_payload(decode=True)


async def test_files_are_made(ctx, vendor):
    vendor.on("POST", f"/upload{FILES}", file("made"))
    text = service.reactions["create_text_file"]
    assert (await act(ctx, text, name="n", text="é", folder="f")).id == "made"
    assert uploaded(vendor.asked[-1]) == ({"name": "n", "parents": ["f"]}, "text/plain", "é".encode())
    await act(ctx, text, name="n", text="é", document=True)
    assert uploaded(vendor.asked[-1])[0]["mimeType"] == "application/vnd.google-apps.document"
    async with Double(None, at="https://example.com") as web, connector(service, vendor, web) as both:
        web.access = None
        web.on("GET", "/a/{name}", lambda request: {"it": "is"})
        await act(both, service.reactions["upload_file"], url="https://example.com/a/r%20s.json?x=1")
        assert "Authorization" not in web.asked[0].headers
    assert uploaded(vendor.asked[-1])[:2] == ({"name": "r s.json", "parents": ["root"]}, "application/json")
    vendor.on("POST", FILES, file("made"))
    await act(ctx, service.reactions["create_folder"], name="n")
    assert vendor.asked[-1].json["mimeType"] == "application/vnd.google-apps.folder"
    vendor.on("POST", f"{FILE}/copy", file("made"))
    copy = service.reactions["copy_file"]
    ctx.idempotency_key = "run 1"
    vendor.on("GET", FILES, {"files": []})
    await act(ctx, copy, file_id="a/b", folder="f")
    sent = vendor.asked[-1]
    mark = sent.json["appProperties"]["area"]
    assert (sent.params["fileId"], sent.json["parents"], "name" in sent.json) == ("a/b", ["f"], False)
    vendor.on("GET", FILES, {"files": [file("first")]})
    assert (await act(ctx, copy, file_id="a", folder="f")).id == "first"
    assert vendor.asked[-1].query["q"] == f"appProperties has {{ key='area' and value='{mark}' }}"


async def test_move_and_share(ctx, vendor):
    vendor.on("GET", FILE, {"parents": ["old"]})
    vendor.on("PATCH", FILE, file("a", parents=["new"]))
    move = service.reactions["move_file"]
    assert (await act(ctx, move, file_id="a", folder="new")).parents == ["new"]
    assert (vendor.asked[-1].query["addParents"], vendor.asked[-1].query["removeParents"]) == ("new", "old")
    vendor.on("GET", FILE, {"parents": ["new"]})
    await act(ctx, move, file_id="a", folder="new")
    assert "removeParents" not in vendor.asked[-1].query, "it is there already"
    vendor.on("POST", f"{FILE}/permissions", {"id": "p", "role": "reader"})
    done = await act(ctx, service.reactions["share_file"], file_id="a", email="b@c.example", message="Hi")
    assert done.model_dump() == {"permission_id": "p", "role": "reader"}
    assert vendor.asked[-1].json == {"type": "user", "role": "reader", "emailAddress": "b@c.example"}
    assert vendor.asked[-1].query["emailMessage"] == "Hi"


async def test_folders(ctx, vendor):
    first = {"files": [{"id": "a", "name": "A"}], "nextPageToken": "2"}
    vendor.on(
        "GET", FILES, lambda request: {"files": [{"id": "b", "name": "B"}]} if "pageToken" in request.query else first
    )
    assert [item.value for item in await service.pickers["folders"](ctx, {})] == ["root", "a", "b"]


@pytest.mark.parametrize("name", ["file_added", "file_changed", "file_shared"])
async def test_refusals_of_a_look(ctx, vendor, name):
    await outcomes(ctx, vendor, Watch(ctx, service.actions[name]).look)


async def test_refusals(ctx, vendor):
    await outcomes(ctx, vendor, lambda: act(ctx, service.reactions["create_text_file"], name="n", text="t"))
    await outcomes(ctx, vendor, lambda: act(ctx, service.reactions["move_file"], file_id="a", folder="f"))


async def test_a_file_is_looked_up(ctx, vendor):
    row = {
        "id": "1",
        "name": "Bob's report",
        "mimeType": "text/plain",
        "createdTime": stamp(0),
        "modifiedTime": stamp(0),
    }
    vendor.on("GET", "/drive/v3/files", {"files": [row]})
    file = await act(ctx, service.reactions["find_file"], words="Bob's")
    assert (file.found, file.id) == (True, "1")
    assert vendor.asked[-1].query["q"] == "name contains 'Bob\\'s' and trashed = false"
    vendor.on("GET", "/drive/v3/files", {"files": []})
    await finds_nothing(ctx, service.reactions["find_file"], words="Bob's")
