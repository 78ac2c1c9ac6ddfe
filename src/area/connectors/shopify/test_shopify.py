"""Shopify against a double that enforces the GraphQL schema of the Admin API version that AREA uses."""

import base64
import hashlib
import hmac
import json

import pytest

from area.connectors.shopify import Key, service
from area.sdk import AuthExpired, Hook, Nothing, Permanent, Refused, Retry
from area.sdk.testing import Answer, Double, act, connector, deliver, graphed, outcomes

HOOK = Hook("https://area.example/hooks/x", "ours")
KEY = Key(shop="acme.myshopify.com", client_id="client", client_secret="the-secret")
SHOPIFY = graphed("@shopify/dev-mcp/dist/data/admin_2026-10.json.gz")
VERSIONED, API = "/admin/api/2026-10", "/graphql.json"
SAID = {"errors": [{"message": "The vendor says no"}]}
ROW = {"admin_graphql_api_id": "gid://shopify/Thing/1", "created_at": "2026-11-23T10:00:00+01:00"}
ORDER = ROW | {"name": "#1001", "total_price": "19.99", "currency": "EUR", "financial_status": "paid"}
HAPPENED = {
    "order_created": ("ORDERS_CREATE", ORDER),
    "order_paid": ("ORDERS_PAID", ORDER),
    "order_cancelled": ("ORDERS_CANCELLED", ORDER),
    "customer_created": ("CUSTOMERS_CREATE", ROW | {"email": "a@b.c", "first_name": "Ada"}),
    "product_created": ("PRODUCTS_CREATE", ROW | {"title": "Teapot", "status": "draft"}),
}
every_action = pytest.mark.parametrize("name", HAPPENED)


@pytest.fixture
async def shop():
    async with Double(SHOPIFY, at=f"https://acme.myshopify.com{VERSIONED}") as double:
        double.again("POST", API)
        yield double
    for request in double.asked:
        assert request.headers["X-Shopify-Access-Token"] == "shpat_1"


@pytest.fixture
async def ctx(shop):
    async with (
        Double(None, at="https://acme.myshopify.com/admin/oauth") as tokens,
        connector(service, shop, tokens, credential=KEY) as ctx,
    ):
        tokens.again("POST", "/access_token")
        tokens.on("POST", "/access_token", {"access_token": "shpat_1", "scope": "read_orders", "expires_in": 86399})
        yield ctx
    for request in tokens.asked:
        message = {"grant_type": "client_credentials", "client_id": "client", "client_secret": "the-secret"}
        assert dict(request.form) == message


def signed(body: bytes, secret: str = "the-secret") -> dict[str, str]:
    digest = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return {"X-Shopify-Hmac-SHA256": digest, "X-Shopify-Webhook-Id": "delivery-1"}


@every_action
async def test_what_shopify_sends_is_the_event(ctx, name):
    body = json.dumps(HAPPENED[name][1]).encode()
    (event,) = await deliver(ctx, service.actions[name], body=body, headers=signed(body), secret="the-secret")
    assert (event.id, event.data.id, event.data.created_at.isoformat()) == (
        "delivery-1",
        ROW["admin_graphql_api_id"],
        ROW["created_at"],
    )
    if name.startswith("order"):
        assert (event.data.total, event.data.paid, event.data.email) == ("19.99", "paid", None)
    with pytest.raises(Permanent, match="Webhook-Id"):
        await deliver(
            ctx,
            service.actions[name],
            body=body,
            headers=signed(body) | {"X-Shopify-Webhook-Id": ""},
            secret="the-secret",
        )


@every_action
async def test_what_is_not_signed_is_refused(ctx, name):
    for headers in (signed(b"{}", "other"), signed(b"{} "), {"X-Shopify-Hmac-SHA256": ""}, {}):
        with pytest.raises(Refused):
            await deliver(ctx, service.actions[name], body=b"{}", headers=headers, secret="the-secret")


@every_action
async def test_it_subscribes_to_that_topic_once(ctx, shop, name):
    action, topic = service.actions[name], HAPPENED[name][0]
    there: list[dict[str, str]] = []
    body = {
        "webhookSubscriptions": {"nodes": there},
        "webhookSubscriptionCreate": {"webhookSubscription": {"id": "gid://1"}, "userErrors": []},
        "webhookSubscriptionDelete": {"deletedWebhookSubscriptionId": "gid://0", "userErrors": []},
    }
    shop.on("POST", API, lambda request: {"data": {
        name: answer for name, answer in body.items() if f"{name}(" in request.json["query"]
    }})  # fmt: skip
    subscription = await action.on_subscribe(ctx, Nothing(), HOOK)
    assert (subscription.id, subscription.secret) == ("gid://1", "the-secret")
    variables = shop.asked[-1].json["variables"]
    assert (variables["topic"], variables["webhookSubscription"]["uri"]) == (topic, HOOK.url)
    assert set(HAPPENED[name][1]) <= set(variables["webhookSubscription"]["includeFields"])
    there.append({"id": "gid://0", "uri": HOOK.url})
    assert (await action.on_subscribe(ctx, Nothing(), HOOK)).id == "gid://0"
    assert shop.asked[-1].json["variables"] == {"topics": [topic]}
    await action.on_unsubscribe(ctx, Nothing(), HOOK, "gid://0")
    assert shop.asked[-1].json["variables"] == {"id": "gid://0"}


@pytest.mark.parametrize(
    ("name", "params", "mutation", "field", "variables"),
    [
        (
            "create_customer", {"email": "a@b.c", "first_name": "Ada", "tags": ["x"]}, "customerCreate", "customer",
            {"input": {"email": "a@b.c", "firstName": "Ada", "lastName": "", "tags": ["x"]}},
        ),
        (
            "create_product", {"title": "Teapot"}, "productCreate", "product",
            {"product": {"title": "Teapot", "descriptionHtml": "", "vendor": "", "status": "DRAFT"}},
        ),
        ("add_tags", {"id": "gid://shopify/Order/1", "tags": ["vip"]}, "tagsAdd", "node", {"id": "gid://shopify/Order/1", "tags": ["vip"]}),
        (
            "set_note", {"order": "gid://shopify/Order/1", "note": "Call"}, "orderUpdate", "order",
            {"input": {"id": "gid://shopify/Order/1", "note": "Call"}},
        ),
    ],
)  # fmt: skip
async def test_reactions(ctx, shop, name, params, mutation, field, variables):
    reaction = service.reactions[name]
    result = {"__typename": "Order", "id": "gid://shopify/Thing/1"}
    shop.on("POST", API, {"data": {mutation: {field: result, "userErrors": []}}})

    async def call():
        return await act(ctx, reaction, **params)

    assert (await call()).id == "gid://shopify/Thing/1"
    assert (shop.asked[-1].json["variables"], f"{mutation}(" in shop.asked[-1].json["query"]) == (variables, True)
    await outcomes(ctx, shop, call, body=SAID)
    for status, answer, raised in (
        (200, {"data": {mutation: {field: None, "userErrors": [{"message": "Email has been taken"}]}}}, Permanent),
        (200, SAID, Permanent),
        (403, SAID, Permanent),
        (401, SAID, AuthExpired),
        (200, {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}, Retry),
        (503, SAID, Retry),
    ):
        shop.on("POST", API, Answer(status, answer))
        with pytest.raises(raised):
            await call()


async def test_the_connection_is_tried(ctx, shop):
    shop.on("POST", API, {"data": {"shop": {"name": "Acme"}}})
    assert (await service.auth.test(ctx, KEY)).name == KEY.shop
    await outcomes(ctx, shop, lambda: service.auth.test(ctx, KEY), body=SAID)


@pytest.mark.parametrize(
    "shop", ["acme.com", "https://acme.myshopify.com", "acme.myshopify.com.evil.com", "x/y.myshopify.com", ""]
)
def test_only_shopify_gets_the_secret(shop):
    with pytest.raises(ValueError, match="shop"):
        Key(shop=shop, client_id="c", client_secret="s")
