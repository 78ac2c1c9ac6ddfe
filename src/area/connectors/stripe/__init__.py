"""Stripe: payments, customers, subscriptions, invoices and disputes in; customers, invoice items, payment links and refunds out."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr

from area.connectors.stripe.objects import Customer, Dispute, Invoice, Item, Link, Payment, Plan, Refund, minor, read
from area.sdk import Access, Context, Credentials, Event, Events, Hook, Pages, Request, Service, Subscription, asked
from area.sdk.answers import Row, found
from area.sdk.http import parse
from area.sdk.verify import hmac_timestamped


class Key(BaseModel):
    """What the connection form asks for."""

    api_key: SecretStr = Field(
        description="Restricted or secret key, made under Developers, API keys", examples=["rk_live_…"]
    )


def _access(key: Key) -> Access:
    # https://docs.stripe.com/api/authentication
    return Access(headers={"Authorization": f"Bearer {key.api_key.get_secret_value()}"})


async def _works(ctx: Context, key: Key) -> None:
    # https://docs.stripe.com/api/webhook_endpoints/list
    await ctx.http.get("/v1/webhook_endpoints", params={"limit": "1"})


service = Service(
    "stripe",
    "Stripe",
    "Payments, customers, subscriptions and invoices as they happen; new customers, payment links and refunds.",
    docs="https://docs.stripe.com/api",
    base_url="https://api.stripe.com",
    # https://docs.stripe.com/api/pagination
    pages=Pages("data", next="data.-1.id", cursor="starting_after", more="has_more", query={"limit": "100"}, most=3),
    auth=Credentials(Key, _works, _access),
    quality="verified",
)
# https://docs.stripe.com/api/customers/list
service.options("customers", "/v1/customers", label="name email", hint="email")
# https://docs.stripe.com/api/prices/list
IN_USE = {"active": "true", "expand[]": "data.product"}
service.options("prices", "/v1/prices", label="nickname product.name", hint="unit_amount", params=IN_USE)

Reason = Literal["", "duplicate", "fraudulent", "requested_by_customer"]
Price = Annotated[str, asked("Price of a product", "price_1MoBy5LkdIwHu7ix", pick="prices")]
Currency = Annotated[str, asked("Code of the currency", "EUR", pattern=r"^[A-Za-z]{3}$")]
CustomerId = Annotated[
    str, asked("Customer whose next invoice it is put on", "cus_9s6XKzkNRiz8i3", pick="customers", pattern=r"^cus_\w+$")
]
PaymentId = Annotated[str, asked("Id of the payment", "pi_1GszsK2eZvKYlo2C", pattern=r"^(pi|ch|py)_\w+$")]


class _Told(Row):
    id: str
    at: datetime = found("created", "When it happened", 1795424400)
    row: dict[str, Any] = found("data.object", "What it happened to", {})


@service.webhooks(  # https://docs.stripe.com/api/events/types
    ("payment_succeeded", "payment_intent.succeeded", Payment, "A payment succeeds", "A customer's payment went through."),
    ("payment_failed", "payment_intent.payment_failed", Payment, "A payment fails", "A customer's attempt to pay was refused."),
    ("customer_created", "customer.created", Customer, "A customer is created", "There is a new customer."),
    ("subscription_started", "customer.subscription.created", Plan, "A subscription starts", "A customer subscribes."),
    ("subscription_cancelled", "customer.subscription.deleted", Plan, "A subscription ends", "A subscription has ended."),
    ("invoice_paid", "invoice.paid", Invoice, "An invoice is paid", "An invoice was paid, in Stripe or outside of it."),
    ("dispute_opened", "charge.dispute.created", Dispute, "A payment is disputed", "A customer disputes a payment."),
    verify=hmac_timestamped("Stripe-Signature"),  # https://docs.stripe.com/webhooks#verify-manually
)  # fmt: skip
async def happened(request: Request, model: type[Row]) -> Events[Any]:
    told = parse(_Told, request.json(), "Stripe")  # https://docs.stripe.com/api/events/object
    yield Event(told.id, read(model, told.row), told.at)


@happened.subscribe
async def subscribe(ctx: Context, hook: Hook, kind: str) -> Subscription:
    # https://docs.stripe.com/api/webhook_endpoints/list
    async for one in ctx.http.rows("/v1/webhook_endpoints"):
        if one["url"] == hook.url:  # its secret is told only once, and was lost in a crash
            await unsubscribe(ctx, one["id"])
    form = {"url": hook.url, "enabled_events[]": kind, "description": "AREA"}
    made = await _post(ctx, "/v1/webhook_endpoints", form)  # https://docs.stripe.com/api/webhook_endpoints/create
    return Subscription(made["id"], secret=made["secret"])


@happened.unsubscribe
async def unsubscribe(ctx: Context, subscription: str) -> None:
    # https://docs.stripe.com/api/webhook_endpoints/delete
    await ctx.http.call("DELETE", f"/v1/webhook_endpoints/{subscription}")


@service.reaction("Create a customer")
async def create_customer(
    ctx: Context,
    email: Annotated[str, asked("E-mail address", "ada@example.com")],
    name: Annotated[str | None, asked("Name", "Ada Lovelace", max_length=256)] = None,
    phone: Annotated[str | None, asked("Telephone number", "+33 1 23 45 67 89")] = None,
    description: Annotated[str | None, asked("What is noted about them", "Came by the newsletter")] = None,
) -> Customer:
    """Create a customer. Stripe does not mind two customers with the same e-mail address."""
    form = {"email": email, "name": name, "phone": phone, "description": description}
    return read(Customer, await _post(ctx, "/v1/customers", form))  # https://docs.stripe.com/api/customers/create


@service.reaction("Put an item on the next invoice")
async def create_invoice_item(
    ctx: Context,
    customer: CustomerId,
    amount: Annotated[Decimal, asked("What it costs; less than 0 takes off", "19.99")],
    currency: Currency,
    description: Annotated[str, asked("What the invoice says it is", "Consulting, one hour")],
) -> Item:
    """Add an amount to the next invoice of a customer."""
    form = {"customer": customer, "amount": minor(amount, currency), "currency": currency.lower()}
    form["description"] = description
    return read(Item, await _post(ctx, "/v1/invoiceitems", form))  # https://docs.stripe.com/api/invoiceitems/create


@service.reaction("Create a payment link")
async def create_payment_link(
    ctx: Context, price: Price, quantity: Annotated[int, asked("How many of it", 1, ge=1)] = 1
) -> Link:
    """Create an address where anybody can pay a price."""
    form = {"line_items[0][price]": price, "line_items[0][quantity]": quantity}
    return read(Link, await _post(ctx, "/v1/payment_links", form))  # https://docs.stripe.com/api/payment-link/create


@service.reaction("Refund a payment")
async def refund_payment(
    ctx: Context,
    payment: PaymentId,
    amount: Annotated[Decimal | None, asked("Part to give back, and all of it if empty", "5.00", gt=0)] = None,
    currency: Annotated[Currency, asked("Currency of the part", "EUR")] = "usd",
    reason: Annotated[Reason, asked("Why", "duplicate")] = "",
) -> Refund:
    """Give a payment back to the customer, the whole or a part of it."""
    form: dict[str, Any] = {"payment_intent" if payment.startswith("pi_") else "charge": payment}
    form |= {"amount": minor(amount, currency) if amount else None, "reason": reason or None}
    return read(Refund, await _post(ctx, "/v1/refunds", form))  # https://docs.stripe.com/api/refunds/create


async def _post(ctx: Context, path: str, form: Mapping[str, Any]) -> Any:
    """A request that has its effect once, however often it is sent (https://docs.stripe.com/api/idempotent_requests)."""
    headers = {"Idempotency-Key": ctx.idempotency_key} if ctx.idempotency_key else {}
    data = {name: str(value) for name, value in form.items() if value is not None}
    # 409: the same request is still under way, https://docs.stripe.com/error-low-level
    return await ctx.http.post(path, data=data, headers=headers, retry=(409,))
