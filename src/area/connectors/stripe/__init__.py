"""Stripe: payments, customers, subscriptions, invoices and disputes in; customers, invoice items, payment links and refunds out."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr, StringConstraints

from area.connectors.stripe.objects import Customer, Dispute, Invoice, Item, Link, Payment, Plan, Refund, minor, read
from area.sdk import (
    Access,
    Context,
    Credentials,
    Event,
    Hook,
    Nothing,
    Option,
    Permanent,
    Pick,
    Request,
    Service,
    Subscription,
    hmac_timestamped,
)

PAGES = 3  # of 100 things to choose from
CustomerId = Annotated[str, Pick("customers"), StringConstraints(pattern=r"^cus_\w+$")]


class Key(BaseModel):
    """What the connection form asks for."""

    api_key: SecretStr = Field(
        description="Restricted or secret key, made under Developers, API keys", examples=["rk_live_…"]
    )


def _access(key: Key) -> Access:
    return Access(
        headers={"Authorization": f"Bearer {key.api_key.get_secret_value()}"}
    )  # https://docs.stripe.com/api/authentication


async def _works(ctx: Context, key: Key) -> None:
    # https://docs.stripe.com/api/webhook_endpoints/list
    await ctx.http.get("/v1/webhook_endpoints", params={"limit": "1"})


service = Service(
    "stripe",
    "Stripe",
    "Payments, customers, subscriptions and invoices as they happen; new customers, payment links and refunds.",
    docs="https://docs.stripe.com/api",
    base_url="https://api.stripe.com",
    auth=Credentials(Key, _works, _access),
    quality="verified",
)


class NewCustomer(BaseModel):
    """A customer to be."""

    email: str = Field(description="E-mail address", examples=["ada@example.com"])
    name: str | None = Field(None, max_length=256, description="Name", examples=["Ada Lovelace"])
    phone: str | None = Field(None, description="Telephone number", examples=["+33 1 23 45 67 89"])
    description: str | None = Field(None, description="What is noted about them", examples=["Came by the newsletter"])


class NewItem(BaseModel):
    """Something to be on the next invoice."""

    customer: CustomerId = Field(
        description="Customer whose next invoice it is put on", examples=["cus_9s6XKzkNRiz8i3"]
    )
    amount: Decimal = Field(description="What it costs; less than 0 takes off", examples=["19.99"])
    currency: str = Field(pattern=r"^[A-Za-z]{3}$", description="Code of the currency", examples=["EUR"])
    description: str = Field(description="What the invoice says it is", examples=["Consulting, one hour"])


class NewLink(BaseModel):
    """What a payment link sells."""

    price: Annotated[str, Pick("prices")] = Field(description="Price of a product", examples=["price_1MoBy5LkdIwHu7ix"])
    quantity: int = Field(1, ge=1, description="How many of it", examples=[1])


class NewRefund(BaseModel):
    """What to give back."""

    payment: str = Field(pattern=r"^(pi|ch|py)_\w+$", description="Id of the payment", examples=["pi_1GszsK2eZvKYlo2C"])
    amount: Decimal | None = Field(
        None, gt=0, description="Part to give back, and all of it if empty", examples=["5.00"]
    )
    currency: str = Field("usd", pattern=r"^[A-Za-z]{3}$", description="Currency of the part", examples=["EUR"])
    reason: Literal["", "duplicate", "fraudulent", "requested_by_customer"] = Field(
        "", description="Why", examples=["duplicate"]
    )


def _declare(name: str, kind: str, model: type[BaseModel], title: str, told: str) -> None:
    """An action for one kind of event, which Stripe is asked to send to the AREA's address."""

    async def happened(ctx: Context, params: Nothing, request: Request) -> AsyncIterator[Event[Any]]:
        body = request.json()  # https://docs.stripe.com/api/events/object
        try:
            row, number, moment = body["data"]["object"], str(body["id"]), datetime.fromtimestamp(body["created"], UTC)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Permanent("This is no event of Stripe's.") from error
        yield Event(number, read(model, row), moment)

    async def add(ctx: Context, params: Nothing, hook: Hook) -> Subscription:
        # https://docs.stripe.com/api/webhook_endpoints/list
        for one in (await ctx.http.get("/v1/webhook_endpoints", params={"limit": "100"}))["data"]:
            if one["url"] == hook.url:  # its secret is told only once, and was lost in a crash
                await remove(ctx, params, hook, one["id"])
        form = {"url": hook.url, "enabled_events[]": kind, "description": "AREA"}
        made = await _post(ctx, "/v1/webhook_endpoints", form)  # https://docs.stripe.com/api/webhook_endpoints/create
        return Subscription(made["id"], secret=made["secret"])

    async def remove(ctx: Context, params: Nothing, hook: Hook, subscription: str) -> None:
        # https://docs.stripe.com/api/webhook_endpoints/delete
        await ctx.http.call("DELETE", f"/v1/webhook_endpoints/{subscription}")

    happened.__name__, happened.__doc__ = name, told
    happened.__annotations__["return"] = AsyncIterator[Event[model]]  # type: ignore[valid-type]
    # https://docs.stripe.com/webhooks#verify-manually
    action = service.webhook(title, verify=hmac_timestamped("Stripe-Signature"))(happened)
    action.subscribe(add)
    action.unsubscribe(remove)


# https://docs.stripe.com/api/events/types
for event in (
    ("payment_succeeded", "payment_intent.succeeded", Payment, "A payment succeeds", "A customer's payment went through."),
    ("payment_failed", "payment_intent.payment_failed", Payment, "A payment fails", "A customer's attempt to pay was refused."),
    ("customer_created", "customer.created", Customer, "A customer is created", "There is a new customer."),
    ("subscription_started", "customer.subscription.created", Plan, "A subscription starts", "A customer subscribes."),
    ("subscription_cancelled", "customer.subscription.deleted", Plan, "A subscription ends", "A subscription has ended."),
    ("invoice_paid", "invoice.paid", Invoice, "An invoice is paid", "An invoice was paid, in Stripe or outside of it."),
    ("dispute_opened", "charge.dispute.created", Dispute, "A payment is disputed", "A customer disputes a payment."),
):  # fmt: skip
    _declare(*event)


@service.reaction("Create a customer")
async def create_customer(ctx: Context, params: NewCustomer) -> Customer:
    """Create a customer. Stripe does not mind two customers with the same e-mail address."""
    # https://docs.stripe.com/api/customers/create
    return read(Customer, await _post(ctx, "/v1/customers", params.model_dump(exclude_none=True)))


@service.reaction("Put an item on the next invoice")
async def create_invoice_item(ctx: Context, params: NewItem) -> Item:
    """Add an amount to the next invoice of a customer."""
    form = params.model_dump() | {"amount": minor(params.amount, params.currency), "currency": params.currency.lower()}
    return read(Item, await _post(ctx, "/v1/invoiceitems", form))  # https://docs.stripe.com/api/invoiceitems/create


@service.reaction("Create a payment link")
async def create_payment_link(ctx: Context, params: NewLink) -> Link:
    """Create an address where anybody can pay a price."""
    form = {f"line_items[0][{name}]": value for name, value in params.model_dump().items()}
    return read(Link, await _post(ctx, "/v1/payment_links", form))  # https://docs.stripe.com/api/payment-link/create


@service.reaction("Refund a payment")
async def refund_payment(ctx: Context, params: NewRefund) -> Refund:
    """Give a payment back to the customer, the whole or a part of it."""
    form: dict[str, Any] = {"payment_intent" if params.payment.startswith("pi_") else "charge": params.payment}
    if params.amount is not None:
        form["amount"] = minor(params.amount, params.currency)
    if params.reason:
        form["reason"] = params.reason
    return read(Refund, await _post(ctx, "/v1/refunds", form))  # https://docs.stripe.com/api/refunds/create


@service.picker
async def customers(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The newest customers."""
    rows = await _all(ctx, "/v1/customers", {})  # https://docs.stripe.com/api/customers/list
    return [Option(one["id"], one.get("name") or one.get("email") or one["id"], one.get("email") or "") for one in rows]


@service.picker
async def prices(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Prices in use, with the product."""
    # https://docs.stripe.com/api/prices/list
    rows = await _all(ctx, "/v1/prices", {"active": "true", "expand[]": "data.product"})
    return [Option(one["id"], one.get("nickname") or one["product"]["name"], f"{one['unit_amount']}") for one in rows]


async def _all(ctx: Context, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """Pages of a list (https://docs.stripe.com/api/pagination)."""
    rows: list[dict[str, Any]] = []
    for _ in range(PAGES):
        page = await ctx.http.get(path, params={"limit": "100", **query})
        rows += page["data"]
        if not page["has_more"]:
            break
        query = query | {"starting_after": rows[-1]["id"]}
    return rows


async def _post(ctx: Context, path: str, form: Mapping[str, Any]) -> Any:
    """A request that has its effect once, however often it is sent (https://docs.stripe.com/api/idempotent_requests)."""
    headers = {"Idempotency-Key": ctx.idempotency_key} if ctx.idempotency_key else {}
    data = {name: str(value) for name, value in form.items()}
    # 409: the same request is still under way, https://docs.stripe.com/error-low-level
    return await ctx.http.post(path, data=data, headers=headers, retry=(409,))
