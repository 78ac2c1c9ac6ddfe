"""Notion, against a double that enforces the OpenAPI of its own MCP server. That leaves out much that its reference has:
sorting by a timestamp, a data source as a parent, the text of a page that is made; these are added from the reference.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from area.connectors.notion import service
from area.connectors.notion.values import plain, written
from area.sdk import Nothing, Permanent, Refused, Retry
from area.sdk.testing import Double, Watch, act, connector, delivery, described, finds_nothing, outcomes


def mend(document: dict[str, Any]) -> None:
    """What https://developers.notion.com/reference has in more detail."""
    schemas, paths = document["components"]["schemas"], document["paths"]

    def body(path: str) -> dict[str, Any]:
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]

    # sort-data-source-entries#entry-timestamp-sort-object
    stamps = {"enum": ["created_time", "last_edited_time"]}
    by_time = {"properties": {"timestamp": stamps, "direction": schemas["sortObject"]["properties"]["direction"]}}
    schemas["sortObject"] = {
        "anyOf": [schemas["sortObject"], {"type": "object", "required": ["timestamp", "direction"], **by_time}]
    }
    # parent-object#data-source-parent
    place = {"type": {"const": "data_source_id"}, "data_source_id": {"type": "string", "format": "uuid"}}
    schemas["parentRequest"]["oneOf"].append({"type": "object", "required": [*place], "properties": place})
    body("/v1/pages")["children"]["items"] = {"$ref": "#/components/schemas/blockObjectRequest"}  # post-page
    body("/v1/comments")["rich_text"]["items"] = {"$ref": "#/components/schemas/richTextRequest"}  # rich-text
    me = paths["/v1/users/me"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    me["bot"]["properties"]["workspace_name"] = {"type": ["string", "null"]}  # user#bots


NOTION = described("@notionhq/notion-mcp-server/scripts/notion-openapi.json", mend=mend)
DATABASE = "248104cd-477e-80af-bc30-000bd28de8f9"
SCHEMA = {"Name": {"type": "title"}, "Status": {"type": "status"}, "Tags": {"type": "multi_select"}}
SAID = {"object": "error", "status": 400, "code": "validation_error", "message": "The vendor says no"}


def text(value: str) -> list[dict[str, Any]]:
    return [{"type": "text", "plain_text": value, "text": {"content": value}}]


def page(number: int, created: str, edited: str = "") -> dict[str, Any]:
    return {
        "object": "page",
        "id": f"page-{number}",
        "created_time": created,
        "last_edited_time": edited or created,
        "url": f"https://www.notion.so/page-{number}",
        "properties": {
            "Name": {"id": "title", "type": "title", "title": text("Kale")},
            "Tags": {"id": "t", "type": "multi_select", "multi_select": [{"name": "a"}, {"name": "b"}]},
            "Price": {"id": "p", "type": "formula", "formula": {"type": "number", "number": 2.5}},
            "Notes": {"id": "n", "type": "rich_text", "rich_text": []},
            "Due": {"id": "d", "type": "date", "date": {"start": "2026-11-23", "end": None}},
        },
    }


def found(*rows: Mapping[str, Any], more: str | None = None) -> dict[str, Any]:
    return {"object": "list", "results": list(rows), "has_more": more is not None, "next_cursor": more}


@pytest.fixture
async def notion():
    async with Double(NOTION, at="https://api.notion.com", token="t0ken") as double:
        double.on("GET", "/v1/data_sources/{data_source_id}", {"object": "data_source", "properties": SCHEMA})
        double.on("GET", "/v1/pages/{page_id}", {"properties": SCHEMA})
        for method, path in (("POST", "/v1/pages"), ("PATCH", "/v1/pages/{page_id}")):
            double.on(method, path, page(1, "2026-11-23T09:00:00.000Z"))
        double.on("PATCH", "/v1/blocks/{block_id}/children", found({"object": "block", "id": "block-1"}))
        double.on("POST", "/v1/comments", {"object": "comment", "id": "comment-1"})
        yield double
    assert all(item.headers["Notion-Version"] == "2025-09-03" for item in double.asked)


@pytest.fixture
async def ctx(notion):
    async with connector(service, notion) as ctx:
        yield ctx


@pytest.mark.parametrize("name", ["page_added", "page_updated"])
async def test_each_page_is_told_once(ctx, notion, name):
    watch = Watch(ctx, service.actions[name], database=DATABASE)
    old, new = page(1, "2026-11-23T09:00:00.000Z"), page(2, "2099-11-23T09:05:00.000Z")
    notion.on("POST", "/v1/data_sources/{data_source_id}/query", found(old))
    assert await watch.look() == []
    notion.on(
        "POST",
        "/v1/data_sources/{data_source_id}/query",
        lambda request: found(old) if "start_cursor" in request.json else found(new, more="next"),
    )
    (event,) = await watch.look()
    assert (event.data.id, event.data.title, event.data.properties["Tags"]) == ("page-2", "Kale", ["a", "b"])
    assert event.data.properties == {"Name": "Kale", "Tags": ["a", "b"], "Price": 2.5, "Notes": "", "Due": "2026-11-23"}
    assert await watch.ids() == []
    stamp = "created_time" if name == "page_added" else "last_edited_time"
    sent = notion.asked[-1].json
    assert sent["sorts"] == [{"timestamp": stamp, "direction": "descending"}]
    assert sent["filter"]["timestamp"] == stamp
    new["last_edited_time"] = "2099-11-23T09:06:00.000Z"
    assert len(await watch.ids()) == (name == "page_updated")
    await outcomes(ctx, notion, watch.look, body=SAID)


@pytest.mark.parametrize(
    ("name", "params", "method", "path", "body"),
    [
        (
            "create_page",
            {"database": DATABASE, "title": "Kale", "properties": {"Tags": ["a", "b"], "Status": "Done"}, "content": "x" * 2001},
            "POST",
            "/v1/pages",
            {
                "parent": {"type": "data_source_id", "data_source_id": DATABASE},
                "properties": {
                    "Name": {"title": [{"type": "text", "text": {"content": "Kale"}}]},
                    "Tags": {"multi_select": [{"name": "a"}, {"name": "b"}]},
                    "Status": {"status": {"name": "Done"}},
                },
                "children": [
                    {
                        "type": "paragraph",
                        "paragraph": {
                            "rich_text": [
                                {"type": "text", "text": {"content": "x" * 2000}},
                                {"type": "text", "text": {"content": "x"}},
                            ]
                        },
                    }
                ],
            },
        ),
        (
            "append_text", {"page": "p", "text": "Hi"}, "PATCH", "/v1/blocks/p/children",
            {"children": [{"type": "paragraph", "paragraph": {"rich_text": [{"type": "text", "text": {"content": "Hi"}}]}}]},
        ),
        (
            "update_property", {"page": "p", "name": "Status", "value": "Done"}, "PATCH", "/v1/pages/p",
            {"properties": {"Status": {"status": {"name": "Done"}}}},
        ),
        (
            "comment", {"page": "p", "text": "Hi"}, "POST", "/v1/comments",
            {"parent": {"page_id": "p"}, "rich_text": [{"type": "text", "text": {"content": "Hi"}}]},
        ),
    ],
)  # fmt: skip
async def test_reactions(ctx, notion, name, params, method, path, body):
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    assert (await call()).id
    request = notion.asked[-1]
    assert (request.method, request.path, request.json) == (method, path, body)
    await outcomes(ctx, notion, call, body=SAID)
    notion.fails(409, SAID)
    with pytest.raises(Retry):
        await call()
    notion.works()


async def test_a_property_that_is_not_there(ctx):
    reaction = service.reactions["update_property"]
    with pytest.raises(Permanent, match=r'no property "Colour"\. It has: Name, Status, Tags'):
        await act(ctx, reaction, page="p", name="Colour", value="red")


async def test_pickers_turn_pages(ctx, notion):
    row = {"id": DATABASE, "title": text("Recipes")}
    rows = {"databases": (row, row), "pages": (page(1, "2026-11-23T09:00:00Z"), page(2, "2026-11-23T09:00:00Z"))}
    for name, (first, second) in rows.items():
        notion.on(
            "POST",
            "/v1/search",
            lambda request, a=first, b=second: found(b) if "start_cursor" in request.json else found(a, more="c"),
        )
        options = await service.pickers[name](ctx, {})
        assert [(option.value, option.label) for option in options] == [
            (first["id"], options[0].label),
            (second["id"], options[1].label),
        ]
        assert {option.label for option in options} == {"Recipes" if name == "databases" else "Kale"}


async def test_who_agreed(ctx, notion):
    notion.on(
        "GET", "/v1/users/me", {"object": "user", "id": "bot-1", "type": "bot", "bot": {"workspace_name": "Home"}}
    )
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email_verified) == ("bot-1", "Home", False)


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        ("number", "2.5", 2.5), ("checkbox", "Yes", True), ("checkbox", False, False), ("date", "2026-11-23", {"start": "2026-11-23"}),
        ("url", "", None), ("select", "a", {"name": "a"}), ("relation", "x, y", [{"id": "x"}, {"id": "y"}]),
    ],
)  # fmt: skip
def test_values_are_written_by_kind(kind, value, made):
    assert written(kind, "P", value) == {kind: made}
    json.dumps(plain({"type": kind, kind: made}))


@pytest.mark.parametrize(("kind", "value"), [("number", "many"), ("formula", "1"), ("files", "x")])
def test_values_that_can_not_be_written(kind, value):
    with pytest.raises(Permanent, match='"P"'):
        written(kind, "P", value)


def test_notion_tells_whose_pages_changed():
    inbound, token = service.inbound, "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
    # https://developers.notion.com/reference/webhooks-events-delivery#pagecreated
    who = [
        {"id": "556a1abf-4f08-40c6-878a-75890d2a88ba", "type": "person"},
        {"id": "1edc05f6-2702-81b5-8408-00279347f034", "type": "bot"},
    ]
    body = json.dumps(
        {"type": "page.created", "entity": {"id": "page-1", "type": "page"}, "accessible_by": who}
    ).encode()
    signed = "sha256=" + hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
    request = delivery(body=body, headers={"X-Notion-Signature": signed})
    inbound.verify.check(request, token, Nothing())
    assert "1edc05f6-2702-81b5-8408-00279347f034" in inbound.accounts(request)
    for wrong, secret in (("", token), (signed[7:], token), (signed, "other"), (signed, "")):
        with pytest.raises(Refused):
            inbound.verify.check(delivery(body=body, headers={"X-Notion-Signature": wrong}), secret, Nothing())
    assert inbound.token(delivery(json={"verification_token": token})) == token
    assert inbound.token(request) is None
    for wrong in (b"[]", b"{}", b"?", b'{"accessible_by": [1]}'):
        with pytest.raises(Permanent):
            inbound.accounts(delivery(body=wrong))


async def test_the_account_is_the_bot(notion, ctx):
    bot = {
        "object": "user",
        "id": "1edc05f6-2702-81b5-8408-00279347f034",
        "type": "bot",
        "name": "AREA",
        "bot": {"workspace_name": "Ada's"},
    }
    notion.on("GET", "/v1/users/me", bot)
    assert (await service.auth.account(ctx)).id == bot["id"]


async def test_a_page_is_looked_up(ctx, notion):
    route = "/v1/data_sources/{data_source_id}/query"
    notion.on("POST", route, found(page(1, "2026-11-23T09:00:00.000Z")))
    entry = await act(ctx, service.reactions["find_page"], database="d", words="kale")
    assert (entry.found, entry.id) == (True, page(1, "2026-11-23T09:00:00.000Z")["id"])
    assert notion.asked[-1].json["filter"] == {"property": "title", "title": {"contains": "kale"}}
    notion.on("POST", route, found())
    await finds_nothing(ctx, service.reactions["find_page"], database="d", words="kale")
