"""Shopify: orders, customers and products in; customers, products, tags and notes out."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from area.sdk import (
    Access,
    Context,
    Credentials,
    Event,
    Hook,
    Nothing,
    Permanent,
    Request,
    Service,
    Subscription,
    hmac_sha256,
    parse,
)  # fmt: skip

VERSION = "2026-10"  # supported for a year, https://shopify.dev/docs/api/usage/versioning


class Key(BaseModel):
    """What the connection form asks for."""

    shop: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$",
        description="Address of the shop",
        examples=["acme.myshopify.com"],
    )
    client_id: str = Field(min_length=1, description="Client ID of your app, from the Dev Dashboard, Settings")
    client_secret: SecretStr = Field(description="Client secret, from the same page; Shopify signs events with it")


def _access(key: Key) -> Access:
    return Access(base_url=f"https://{key.shop}", secrets=(key.client_secret.get_secret_value(),))


async def _works(ctx: Context, key: Key) -> None:  # noqa: ARG001
    await _ask(ctx, "{ shop { name } }")  # https://shopify.dev/docs/api/admin-graphql/latest/queries/shop


service = Service(
    "shopify",
    "Shopify",
    "Orders, customers and products of a shop as they come; new customers, products, tags and notes.",
    docs="https://shopify.dev/docs/api/admin-graphql",
    auth=Credentials(Key, _works, _access),
)
# https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
SIGNED = hmac_sha256("X-Shopify-Hmac-SHA256", encoding="base64")


class NewCustomer(BaseModel):
    """A customer to be."""

    email: str = Field(description="E-mail address", examples=["ada@example.com"])
    first_name: str = Field("", description="First name", examples=["Ada"])
    last_name: str = Field("", description="Last name", examples=["Lovelace"])
    tags: list[str] = Field([], description="Tags", examples=[["newsletter"]])


class NewProduct(BaseModel):
    """A product to be."""

    title: str = Field(min_length=1, description="Title", examples=["Teapot"])
    description: str = Field("", description="Description, as HTML", examples=["<p>Holds a litre.</p>"])
    vendor: str = Field("", description="Who makes it", examples=["Acme"])


class NewTags(BaseModel):
    """Tags, and what gets them."""

    id: str = Field(
        pattern=r"^gid://shopify/\w+/\d+$",
        description="Id of an order, customer or product",
        examples=["gid://shopify/Order/1"],
    )
    tags: list[str] = Field(min_length=1, description="Tags", examples=[["paid", "vip"]])


class NewNote(BaseModel):
    """A note, and the order that gets it."""

    order: str = Field(
        pattern=r"^gid://shopify/Order/\d+$", description="Id of the order", examples=["gid://shopify/Order/1"]
    )
    note: str = Field(description="Note, in place of the one there is", examples=["Call before delivery"])


class _Row(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str = Field(validation_alias="admin_graphql_api_id", description="Its id", examples=["gid://shopify/Order/1"])
    created_at: datetime | None = Field(None, description="When it was made", examples=["2026-11-23T09:00:00Z"])


class Order(_Row):
    """An order."""

    name: str = Field(description="Its number", examples=["#1001"])
    email: str | None = Field(None, description="E-mail address of the customer", examples=["ada@example.com"])
    total: str = Field("", validation_alias="total_price", description="What it costs", examples=["19.99"])
    currency: str = Field("", description="Code of the currency", examples=["EUR"])
    paid: str | None = Field(
        None, validation_alias="financial_status", description="How far it is paid", examples=["paid"]
    )
    url: str | None = Field(
        None, validation_alias="order_status_url", description="The customer's page", examples=["https://acme.com/1"]
    )


class Customer(_Row):
    """A customer."""

    email: str | None = Field(None, description="E-mail address", examples=["ada@example.com"])
    first_name: str | None = Field(None, description="First name", examples=["Ada"])
    last_name: str | None = Field(None, description="Last name", examples=["Lovelace"])


class Product(_Row):
    """A product."""

    title: str = Field(description="Title", examples=["Teapot"])
    vendor: str | None = Field(None, description="Who makes it", examples=["Acme"])
    status: str | None = Field(None, description="Whether it is on sale", examples=["draft"])


class Made(BaseModel):
    """What was made or changed."""

    id: str = Field(description="Its id", examples=["gid://shopify/Customer/1"])


def _declare(name: str, topic: str, model: type[_Row], title: str, told: str) -> None:
    """An action for one topic, which Shopify is asked to send to the AREA's address, with no more fields than are needed."""

    async def happened(ctx: Context, params: Nothing, request: Request) -> AsyncIterator[Event[Any]]:  # noqa: ARG001
        number = request.headers.get(
            "X-Shopify-Webhook-Id", ""
        )  # https://shopify.dev/docs/apps/build/webhooks/delivery-structure
        if not number:
            raise Permanent("The X-Shopify-Webhook-Id header is missing.")
        yield Event(number, parse(model, request.json(), "Shopify"))

    async def add(ctx: Context, params: Nothing, hook: Hook) -> Subscription:  # noqa: ARG001
        secret = ctx.credential.client_secret.get_secret_value()
        # https://shopify.dev/docs/api/admin-graphql/latest/queries/webhookSubscriptions
        query = "query ($topics: [WebhookSubscriptionTopic!]) { webhookSubscriptions(first: 100, topics: $topics) { nodes { id uri } } }"
        for one in (await _ask(ctx, query, topics=[topic]))["webhookSubscriptions"]["nodes"]:
            if one["uri"] == hook.url:
                return Subscription(one["id"], secret=secret)
        fields = [str(one.validation_alias or key) for key, one in model.model_fields.items()]
        # https://shopify.dev/docs/api/admin-graphql/latest/mutations/webhookSubscriptionCreate
        signature = "$topic: WebhookSubscriptionTopic!, $webhookSubscription: WebhookSubscriptionInput!"
        wanted = {"topic": topic, "webhookSubscription": {"uri": hook.url, "includeFields": fields}}
        made = await _change(ctx, "webhookSubscriptionCreate", signature, "webhookSubscription { id }", **wanted)
        return Subscription(made["webhookSubscription"]["id"], secret=secret)

    async def remove(ctx: Context, params: Nothing, hook: Hook, subscription: str) -> None:  # noqa: ARG001
        # https://shopify.dev/docs/api/admin-graphql/latest/mutations/webhookSubscriptionDelete
        await _change(ctx, "webhookSubscriptionDelete", "$id: ID!", "deletedWebhookSubscriptionId", id=subscription)

    happened.__name__, happened.__doc__ = name, told
    happened.__annotations__["return"] = AsyncIterator[Event[model]]  # type: ignore[valid-type]
    action = service.webhook(title, verify=SIGNED)(happened)
    action.subscribe(add)
    action.unsubscribe(remove)


# https://shopify.dev/docs/api/webhooks
for event in (
    ("order_created", "ORDERS_CREATE", Order, "An order is placed", "A customer places an order."),
    ("order_paid", "ORDERS_PAID", Order, "An order is paid", "An order is paid in full."),
    ("order_cancelled", "ORDERS_CANCELLED", Order, "An order is cancelled", "An order is cancelled."),
    ("customer_created", "CUSTOMERS_CREATE", Customer, "A customer is created", "There is a new customer."),
    ("product_created", "PRODUCTS_CREATE", Product, "A product is created", "There is a new product."),
):
    _declare(*event)


@service.reaction("Create a customer")
async def create_customer(ctx: Context, params: NewCustomer) -> Made:
    """Create a customer. Shopify refuses a second one with the same e-mail address."""
    wanted = {"email": params.email, "firstName": params.first_name, "lastName": params.last_name, "tags": params.tags}
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/customerCreate
    made = await _change(ctx, "customerCreate", "$input: CustomerInput!", "customer { id }", input=wanted)
    return parse(Made, made["customer"], "Shopify")


@service.reaction("Create a product")
async def create_product(ctx: Context, params: NewProduct) -> Made:
    """Create a product as a draft, to be priced and put on sale in Shopify."""
    wanted = {"title": params.title, "descriptionHtml": params.description, "vendor": params.vendor, "status": "DRAFT"}
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/productCreate
    made = await _change(ctx, "productCreate", "$product: ProductCreateInput!", "product { id }", product=wanted)
    return parse(Made, made["product"], "Shopify")


@service.reaction("Add tags")
async def add_tags(ctx: Context, params: NewTags) -> Made:
    """Add tags to an order, a customer or a product."""
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/tagsAdd
    made = await _change(ctx, "tagsAdd", "$id: ID!, $tags: [String!]!", "node { id }", id=params.id, tags=params.tags)
    return parse(Made, made["node"], "Shopify")


@service.reaction("Write the note of an order")
async def set_note(ctx: Context, params: NewNote) -> Made:
    """Write the note of an order."""
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/orderUpdate
    wanted = {"id": params.order, "note": params.note}
    made = await _change(ctx, "orderUpdate", "$input: OrderInput!", "order { id }", input=wanted)
    return parse(Made, made["order"], "Shopify")


async def _change(ctx: Context, name: str, signature: str, wanted: str, **variables: Any) -> dict[str, Any]:
    """A mutation. What the user did wrong stands in `userErrors`, beside the data."""
    given = ", ".join(f"{key}: ${key}" for key in variables)
    query = f"mutation ({signature}) {{ {name}({given}) {{ {wanted} userErrors {{ message }} }} }}"
    answer = parse(dict[str, Any], (await _ask(ctx, query, **variables)).get(name), "Shopify")
    if answer["userErrors"]:
        raise Permanent(f"Shopify says: {'; '.join(one['message'] for one in answer['userErrors'])}")
    return answer


async def _ask(ctx: Context, query: str, **variables: Any) -> dict[str, Any]:
    key = ctx.credential
    form = {
        "grant_type": "client_credentials",
        "client_id": key.client_id,
        "client_secret": key.client_secret.get_secret_value(),
    }
    # a token is good for a day: https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant
    granted = parse(dict[str, Any], await ctx.http.post("/admin/oauth/access_token", data=form), "Shopify")
    headers = {"X-Shopify-Access-Token": str(granted.get("access_token"))}
    path = f"/admin/api/{VERSION}/graphql.json"
    # https://shopify.dev/docs/api/usage/limits#handling-limiting
    return await ctx.http.graphql(query, variables, path=path, headers=headers, limited=("THROTTLED",))
