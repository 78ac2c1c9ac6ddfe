"""What Stripe tells of payments, customers, subscriptions, invoices and disputes, with amounts as people write them."""

from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from area.sdk import Permanent, Row, found, parse

Model = TypeVar("Model", bound=Row)
# https://docs.stripe.com/currencies#zero-decimal, #three-decimal; UGX and ISK are written with two decimals all the same
NONE, THREE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", "bhd jod kwd omr tnd"
DECIMALS = dict.fromkeys(NONE.split(), 0) | dict.fromkeys(THREE.split(), 3)


class _Object(Row):
    id: str = found("id", "What Stripe calls it", "in_1MtHbELkdIwHu7ixl4OzzPMv")


class Customer(_Object):
    email: str | None = found("email", "E-mail address", "ada@example.com", None)
    name: str | None = found("name", "Name", "Ada Lovelace", None)
    phone: str | None = found("phone", "Telephone number", "+33 1 23 45 67 89", None)
    created: datetime = found("created", "Since when", "2026-11-23T09:00:00Z")


class Item(_Object):
    amount: float = found("amount", "Amount", 19.99)
    currency: str = found("currency", "Code of its currency, in lower case", "eur")


class Refund(Item):
    status: str | None = found("status", "How far it is: pending, succeeded, failed…", "succeeded", None)


class Link(_Object):
    url: str = found("url", "Address of the page to pay at", "https://buy.stripe.com/test_cN25nr0iZ7bUa7meUY")


class Payment(Item):
    customer: str | None = found("customer", "Id of the customer", "cus_9s6XKzkNRiz8i3", None)
    email: str | None = found("receipt_email", "Where the receipt goes", "a@example.com", None)
    description: str | None = found("description", "What it is for", "Order 42", None)
    status: str = found("status", "How far it is", "succeeded")
    error: str | None = found("last_payment_error.message", "Why it failed", "Your card was declined.", None)
    created: datetime = found("created", "When it was begun", "2026-11-23T09:00:00Z")


class Dispute(Item):
    charge: str = found("charge", "Id of the charge", "ch_1AZtxr2eZvKYlo2CJDX8whov")
    reason: str = found("reason", "What the customer says", "product_not_received")
    status: str = found("status", "How far it is", "needs_response")
    created: datetime = found("created", "When it was opened", "2026-11-23T09:00:00Z")


class Plan(_Object):
    customer: str = found("customer", "Id of the customer", "cus_9s6XKzkNRiz8i3")
    status: str = found("status", "How it stands", "active")
    price: str | None = found("items.data.0.price.id", "Id of its first price", "price_1MoBy5LkdIwHu7ix", None)
    created: datetime = found("created", "Since when", "2026-11-23T09:00:00Z")


class Invoice(_Object):
    number: str | None = found("number", "Its number", "D8A1-0001", None)
    customer: str | None = found("customer", "Id of the customer", "cus_9s6XKzkNRiz8i3", None)
    email: str | None = found("customer_email", "Address of the customer", "a@example.com", None)
    amount_paid: float = found("amount_paid", "What was paid", 19.99)
    currency: str = found("currency", "Code of its currency, in lower case", "eur")
    url: str | None = found("hosted_invoice_url", "Its page", "https://invoice.stripe.com/i/1", None)


def read(model: type[Model], row: dict[str, Any]) -> Model:
    """An object of Stripe's, its amounts in the currency's main unit. Raises `Permanent`."""
    currency = row.get("currency") or ""
    amounts = {name: row[name] for name in ("amount", "amount_paid") if isinstance(row.get(name), int)}
    major = {name: float(Decimal(value).scaleb(-DECIMALS.get(currency, 2))) for name, value in amounts.items()}
    return parse(model, row | major, "Stripe")


def minor(amount: Decimal, currency: str) -> int:
    """The amount in the currency's smallest unit. Raises `Permanent` when it has more decimals than the currency."""
    decimals = DECIMALS.get(currency.lower(), 2)
    if amount.scaleb(decimals) % 1:
        raise Permanent(f"{currency.upper()} has {decimals or 'no'} decimals, and {amount} has more.")
    return int(amount.scaleb(decimals))
