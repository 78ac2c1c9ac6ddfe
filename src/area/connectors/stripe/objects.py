"""What Stripe tells of payments, customers, subscriptions, invoices and disputes, with amounts as people write them."""

from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from area.sdk import Permanent, parse

Row = TypeVar("Row", bound=BaseModel)
# https://docs.stripe.com/currencies#zero-decimal, #three-decimal; UGX and ISK are written with two decimals all the same
NONE, THREE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", "bhd jod kwd omr tnd"
DECIMALS = dict.fromkeys(NONE.split(), 0) | dict.fromkeys(THREE.split(), 3)


class _Object(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str = Field(description="What Stripe calls it", examples=["in_1MtHbELkdIwHu7ixl4OzzPMv"])


class Customer(_Object):
    """A customer."""

    email: str | None = Field(None, description="E-mail address", examples=["ada@example.com"])
    name: str | None = Field(None, description="Name", examples=["Ada Lovelace"])
    phone: str | None = Field(None, description="Telephone number", examples=["+33 1 23 45 67 89"])
    created: datetime = Field(description="Since when", examples=["2026-11-23T09:00:00Z"])


class _Money(_Object):
    amount: float = Field(description="Amount", examples=[19.99])
    currency: str = Field(description="Code of its currency, in lower case", examples=["eur"])


class Item(_Money):
    """What an invoice will say."""


class Refund(_Money):
    """What was given back."""

    status: str | None = Field(None, description="How far it is: pending, succeeded, failed…", examples=["succeeded"])


class Link(_Object):
    """Where to pay."""

    url: str = Field(
        description="Address of the page to pay at", examples=["https://buy.stripe.com/test_cN25nr0iZ7bUa7meUY"]
    )


class Payment(_Money):
    """A payment."""

    customer: str | None = Field(None, description="Id of the customer", examples=["cus_9s6XKzkNRiz8i3"])
    email: str | None = Field(
        None, validation_alias="receipt_email", description="Where the receipt goes", examples=["a@example.com"]
    )
    description: str | None = Field(None, description="What it is for", examples=["Order 42"])
    status: str = Field(description="How far it is", examples=["succeeded"])
    error: str | None = Field(
        None, validation_alias=AliasPath("last_payment_error", "message"), description="Why it failed",
        examples=["Your card was declined."],
    )  # fmt: skip
    created: datetime = Field(description="When it was begun", examples=["2026-11-23T09:00:00Z"])


class Dispute(_Money):
    """A payment that is disputed."""

    charge: str = Field(description="Id of the charge", examples=["ch_1AZtxr2eZvKYlo2CJDX8whov"])
    reason: str = Field(description="What the customer says", examples=["product_not_received"])
    status: str = Field(description="How far it is", examples=["needs_response"])
    created: datetime = Field(description="When it was opened", examples=["2026-11-23T09:00:00Z"])


class Plan(_Object):
    """What a customer subscribes to."""

    customer: str = Field(description="Id of the customer", examples=["cus_9s6XKzkNRiz8i3"])
    status: str = Field(description="How it stands", examples=["active"])
    price: str | None = Field(
        None, validation_alias=AliasPath("items", "data", 0, "price", "id"), description="Id of its first price",
        examples=["price_1MoBy5LkdIwHu7ix"],
    )  # fmt: skip
    created: datetime = Field(description="Since when", examples=["2026-11-23T09:00:00Z"])


class Invoice(_Object):
    """An invoice."""

    number: str | None = Field(None, description="Its number", examples=["D8A1-0001"])
    customer: str | None = Field(None, description="Id of the customer", examples=["cus_9s6XKzkNRiz8i3"])
    email: str | None = Field(
        None, validation_alias="customer_email", description="Address of the customer", examples=["a@example.com"]
    )
    amount_paid: float = Field(description="What was paid", examples=[19.99])
    currency: str = Field(description="Code of its currency, in lower case", examples=["eur"])
    url: str | None = Field(
        None, validation_alias="hosted_invoice_url", description="Its page", examples=["https://invoice.stripe.com/i/1"]
    )


def read(model: type[Row], row: dict[str, Any]) -> Row:
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
