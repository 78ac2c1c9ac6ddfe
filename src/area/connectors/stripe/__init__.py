"""Stripe: triggers on payments, customers, subscriptions, invoices and disputes; creates customers, invoice items,
payment links, refunds.
"""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from area.sdk import (
    Account,
    Context,
    Event,
    Events,
    Hook,
    Output,
    Pages,
    Permanent,
    Request,
    Sentence,
    Service,
    Subscription,
    hmac_timestamped,
    lookup,
    output,
    param,
    parse,
    without_blanks,
)
from area.sdk.forms import form, secret

Model = TypeVar("Model", bound=Output)
HOOKS = "/v1/webhook_endpoints"
# the one whose description the tests enforce; stays good, https://docs.stripe.com/api/versioning
VERSION = "2025-09-30.clover"
# https://docs.stripe.com/currencies#zero-decimal, #three-decimal; UGX and ISK still have two
NONE, THREE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", "bhd jod kwd omr tnd"
DECIMALS = dict.fromkeys(NONE.split(), 0) | dict.fromkeys(THREE.split(), 3)


async def _works(ctx: Context, key: Any) -> Account | None:
    await ctx.http.get(f"{HOOKS}?limit=1")  # https://docs.stripe.com/api/webhook_endpoints/list
    with suppress(Permanent):  # a restricted key may not be allowed to read it
        account = await ctx.http.get("/v1/account")  # https://docs.stripe.com/api/accounts/retrieve
        return Account(account["id"], lookup("settings.dashboard.display_name email id", account))
    return None


service = Service(
    "stripe",
    "Stripe",
    "React to payments, customers, subscriptions and invoices; create customers and payment links; refund payments.",
    docs="https://docs.stripe.com/api",
    base_url="https://api.stripe.com",
    # https://docs.stripe.com/api/pagination
    pages=Pages("data", next="data.-1.id", cursor="starting_after", more="has_more", query={"limit": "100"}, most=3),
    auth=form(
        _works,
        headers={"Authorization": "Bearer {api_key}"},  # https://docs.stripe.com/api/authentication
        api_key=secret("Restricted or secret key, from Developers > API keys", "rk_live_…"),
    ),
    headers={"Stripe-Version": VERSION},
    retry=(409,),  # the same request is still under way, https://docs.stripe.com/error-low-level
    quality="verified",
    synonyms={
        "": "payment, credit card, billing, shop",
        "payment_succeeded": (
            "payment received, someone pays, new sale, money received, purchase, customer bought, paid, donation, tip"
        ),
        "payment_failed": "card declined, payment problem",
        "customer_created": "new client, contact",
        "subscription_started": "new subscriber, trial",
        "subscription_cancelled": "customer unsubscribes, churn, subscription cancelled",
        "invoice_paid": "bill",
        "dispute_opened": "chargeback, complaint, fraud, refund requested",
        "create_customer": "contact, CRM, lead",
        "create_invoice_item": "invoice, bill, send invoice, charge customer",
        "create_payment_link": "checkout, payment link, invoice, ask for money, charge customer",
        "refund_payment": "give money back",
    },
)
# https://docs.stripe.com/api/customers/list, https://docs.stripe.com/api/prices/list
service.options("customers", "/v1/customers", "id", "name email", "email")
service.options("prices", "/v1/prices?active=true&expand[]=data.product", "id", "nickname product.name", "unit_amount")

ADA = "cus_9s6XKzkNRiz8i3"
Price = Annotated[str, param("Price ID", "price_1MoBy5LkdIwHu7ix", pick="prices")]
Quantity = Annotated[int, param("Quantity", 1, ge=1)]
Code = Annotated[str, param("Currency code", "EUR", pattern=r"^[A-Za-z]{3}$")]
Whose = Annotated[str, param("Customer to invoice", ADA, pick="customers", pattern=r"^cus_\w+$")]
Cost = Annotated[Decimal, param("Amount; a negative amount is a discount", "19.99")]
What = Annotated[str, param("Description on the invoice", "Consulting, one hour")]
PaymentId = Annotated[str, param("Payment ID", "pi_1GszsK2eZvKYlo2C", pattern=r"^(pi|ch|py)_\w+$")]
Part = Annotated[Decimal | None, param("Amount to refund; the full amount if empty", "5.00", gt=0)]
PartIn = Annotated[Code, param("Currency of the amount", "EUR")]
Reason = Annotated[Literal["", "duplicate", "fraudulent", "requested_by_customer"], param("Reason", "duplicate")]


class _Object(Output):
    id: str = output("id", "Stripe ID", "in_1MtHbELkdIwHu7ixl4OzzPMv")


class Customer(_Object):
    email: str | None = output("email", "E-mail address", "ada@example.com", None)
    name: str | None = output("name", "Name", "Ada Lovelace", None)
    phone: str | None = output("phone", "Phone number", "+33 1 23 45 67 89", None)
    created: datetime = output("created", "Start date", "2026-11-23T09:00:00Z")


class Item(_Object):
    amount: float = output("amount", "Amount", 19.99)
    currency: str = output("currency", "Currency code, in lower case", "eur")


class Refund(Item):
    status: str | None = output("status", "Status: pending, succeeded, failed…", "succeeded", None)


class Link(_Object):
    url: str = output("url", "URL of the payment page", "https://buy.stripe.com/test_cN25nr0iZ7bUa7meUY")


class Payment(Item):
    customer: str | None = output("customer", "Customer ID", ADA, None)
    email: str | None = output("receipt_email", "E-mail address for the receipt", "a@example.com", None)
    description: str | None = output("description", "Description", "Order 42", None)
    status: str = output("status", "Status", "succeeded")
    error: str | None = output("last_payment_error.message", "Reason for the failure", "Your card was declined.", None)
    created: datetime = output("created", "Date created", "2026-11-23T09:00:00Z")


class Dispute(Item):
    charge: str = output("charge", "Charge ID", "ch_1AZtxr2eZvKYlo2CJDX8whov")
    reason: str = output("reason", "Customer's reason", "product_not_received")
    status: str = output("status", "Status", "needs_response")
    created: datetime = output("created", "Date opened", "2026-11-23T09:00:00Z")


class Plan(_Object):
    customer: str = output("customer", "Customer ID", ADA)
    status: str = output("status", "Status", "active")
    price: str | None = output("items.data.0.price.id", "ID of its first price", "price_1MoBy5LkdIwHu7ix", None)
    created: datetime = output("created", "Start date", "2026-11-23T09:00:00Z")


class Invoice(_Object):
    number: str | None = output("number", "Number", "D8A1-0001", None)
    customer: str | None = output("customer", "Customer ID", ADA, None)
    email: str | None = output("customer_email", "Customer's e-mail address", "a@example.com", None)
    amount_paid: float = output("amount_paid", "Amount paid", 19.99)
    currency: str = output("currency", "Currency code, in lower case", "eur")
    url: str | None = output("hosted_invoice_url", "URL", "https://invoice.stripe.com/i/1", None)


@service.webhooks(  # https://docs.stripe.com/api/events/types
    ("payment_succeeded", "payment_intent.succeeded", Payment, "Payment succeeded",
     "Triggers when a customer's payment succeeds."),
    ("payment_failed", "payment_intent.payment_failed", Payment, "Payment failed",
     "Triggers when a customer's payment is declined."),
    ("customer_created", "customer.created", Customer, "New customer",
     "Triggers when a customer is created."),
    ("subscription_started", "customer.subscription.created", Plan, "New subscription",
     "Triggers when a customer subscribes."),
    ("subscription_cancelled", "customer.subscription.deleted", Plan, "Subscription ended",
     "Triggers when a subscription ends."),
    ("invoice_paid", "invoice.paid", Invoice, "Invoice paid",
     "Triggers when an invoice is paid, in Stripe or outside it."),
    ("dispute_opened", "charge.dispute.created", Dispute, "Payment disputed",
     "Triggers when a customer disputes a payment."),
    verify=hmac_timestamped("Stripe-Signature"),  # https://docs.stripe.com/webhooks#verify-manually
)  # fmt: skip
async def happened(request: Request, model: type[Output]) -> Events[Any]:
    told = request.json()  # https://docs.stripe.com/api/events/object
    row, at = parse(dict[str, Any], lookup("data.object", told), "Stripe"), lookup("created", told)
    yield Event(parse(str, lookup("id", told), "Stripe"), read(model, row), parse(datetime, at, "Stripe"))


@happened.subscribe
async def subscribe(ctx: Context, hook: Hook, kind: str) -> Subscription:
    async for one in ctx.http.rows(HOOKS, where=lambda row: row["url"] == hook.url):
        await unsubscribe(ctx, one["id"])  # its secret is told only once, and was lost in a crash
    wanted = {"url": hook.url, "enabled_events[]": kind, "description": "AREA", "api_version": VERSION}
    made = await ctx.http.post(HOOKS, data=wanted)
    return Subscription(made["id"], secret=made["secret"])  # https://docs.stripe.com/api/webhook_endpoints/create


@happened.unsubscribe
async def unsubscribe(ctx: Context, subscription: str) -> None:
    await ctx.http.call("DELETE", f"{HOOKS}/{subscription}")  # https://docs.stripe.com/api/webhook_endpoints/delete


@service.reaction("Create a customer", idempotent="key")
async def create_customer(
    ctx: Context,
    email: Annotated[str, param("E-mail address", "ada@example.com")],
    name: Annotated[str | None, param("Name", "Ada Lovelace", max_length=256)] = None,
    phone: Annotated[str | None, param("Phone number", "+33 1 23 45 67 89")] = None,
    description: Annotated[str | None, param("Note about the customer", "Came by the newsletter")] = None,
) -> Customer:
    """Create a customer. Stripe allows several customers with the same e-mail address."""
    wanted = {"email": email, "name": name, "phone": phone, "description": description}
    return await _make(ctx, "/v1/customers", Customer, wanted)  # https://docs.stripe.com/api/customers/create


@service.reaction("Add an item to the next invoice", idempotent="key")
async def create_invoice_item(ctx: Context, customer: Whose, amount: Cost, currency: Code, description: What) -> Item:
    """Add an amount to a customer's next invoice."""
    cost = minor(amount, currency)
    wanted = {"customer": customer, "amount": cost, "currency": currency.lower(), "description": description}
    return await _make(ctx, "/v1/invoiceitems", Item, wanted)  # https://docs.stripe.com/api/invoiceitems/create


@service.reaction("Create a payment link", idempotent="key")
async def create_payment_link(ctx: Context, price: Price, quantity: Quantity = 1) -> Link:
    """Create a link where anyone can pay a price."""
    wanted = {"line_items[0][price]": price, "line_items[0][quantity]": quantity}
    return await _make(ctx, "/v1/payment_links", Link, wanted)  # https://docs.stripe.com/api/payment-link/create


@service.reaction("Refund a payment", idempotent="key")
async def refund_payment(
    ctx: Context, payment: PaymentId, amount: Part = None, currency: PartIn = "usd", reason: Reason = ""
) -> Refund:
    """Refund a payment, in full or in part."""
    part = minor(amount, currency) if amount else None
    wanted = {"payment_intent" if payment.startswith("pi_") else "charge": payment, "amount": part, "reason": reason}
    return await _make(ctx, "/v1/refunds", Refund, wanted)  # https://docs.stripe.com/api/refunds/create


@service.lookup("Find a customer")
async def find_customer(
    ctx: Context, email: Annotated[str, param("E-mail address; case matters", "ada@example.com", min_length=1)]
) -> Customer | None:
    """Find the newest customer with an e-mail address."""
    query = {"email": email, "limit": "1"}
    # https://docs.stripe.com/api/customers/list
    rows = await ctx.http.get("/v1/customers", list[dict[str, Any]], at="data", params=query)
    return read(Customer, rows[0]) if rows else None


async def _make(ctx: Context, path: str, model: type[Model], wanted: dict[str, Any]) -> Model:
    """Create an object once, however often it is retried (https://docs.stripe.com/api/idempotent_requests)."""
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return read(model, await ctx.http.post(path, data=without_blanks(**wanted), headers=headers))


def read(model: type[Model], row: dict[str, Any]) -> Model:
    """A Stripe object with amounts in the currency's main unit. Raises `Permanent`."""
    scale = -DECIMALS.get(row.get("currency") or "", 2)
    amounts = [name for name in ("amount", "amount_paid") if isinstance(row.get(name), int)]
    return parse(model, row | {name: float(Decimal(row[name]).scaleb(scale)) for name in amounts}, "Stripe")


def minor(amount: Decimal, currency: str) -> int:
    """The amount in the currency's smallest unit. Raises `Permanent` if it has too many decimals."""
    decimals = DECIMALS.get(currency.lower(), 2)
    if amount.scaleb(decimals) % 1:
        raise Permanent(
            Sentence(
                "%(amount)s has too many decimals. %(currency)s allows %(decimals)s.",
                amount=amount,
                currency=currency.upper(),
                decimals=decimals,
            )
            if decimals
            else Sentence("%(amount)s has decimals. %(currency)s has none.", amount=amount, currency=currency.upper())
        )
    return int(amount.scaleb(decimals))
