"""Shopify: triggers on orders, customers and products; creates customers and products, adds tags and notes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr

from area.sdk import (
    Access,
    Account,
    Context,
    Credentials,
    Event,
    Events,
    Hook,
    Made,
    Output,
    Permanent,
    Request,
    Sentence,
    Service,
    Subscription,
    hmac_sha256,
    output,
    param,
    parse,
)
from area.sdk.shapes import HTML

VERSION = "2026-10"  # supported for a year, https://shopify.dev/docs/api/usage/versioning


class Key(BaseModel):
    """Fields of the connection form."""

    shop: Annotated[
        str, param("URL of the shop", "acme.myshopify.com", pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$")
    ]
    client_id: str = Field(min_length=1, description="Client ID of your app, from Dev Dashboard > Settings")
    client_secret: SecretStr = Field(description="Client secret, from the same page; Shopify signs events with it")


def _access(key: Key) -> Access:
    return Access(base_url=f"https://{key.shop}", secrets=(key.client_secret.get_secret_value(),))


async def _works(ctx: Context, key: Key) -> Account:
    await _ask(ctx, "{ shop { name } }")  # https://shopify.dev/docs/api/admin-graphql/latest/queries/shop
    return Account(key.shop, key.shop)


service = Service(
    "shopify",
    "Shopify",
    "React to orders, customers and products of your shop; create customers and products, and add tags and notes.",
    docs="https://shopify.dev/docs/api/admin-graphql",
    limited=("THROTTLED",),  # https://shopify.dev/docs/api/usage/limits#handling-limiting
    auth=Credentials(Key, _works, _access),
    quality="verified",
    synonyms={
        "": "shop, store, e-commerce, online store, WooCommerce",
        "order_created": "new sale, purchase, someone buys, customer bought something, checkout, sold",
        "order_paid": "someone pays, payment",
        "order_cancelled": "order canceled, refund, return",
        "customer_created": "new buyer, contact",
        "product_created": "new article in the shop",
        "create_customer": "contact, CRM, lead",
        "create_product": "article, catalogue",
        "add_tags": "tag an order, tag a customer, label",
        "set_note": "comment, remark",
    },
)

AnyId = Annotated[
    str, param("Order, customer or product ID", "gid://shopify/Order/1", pattern=r"^gid://shopify/\w+/\d+$")
]
OrderId = Annotated[str, param("Order ID", "gid://shopify/Order/1", pattern=r"^gid://shopify/Order/\d+$")]


class _Thing(Output):
    id: str = output("admin_graphql_api_id", "ID", "gid://shopify/Order/1")
    created_at: datetime | None = output("created_at", "Date created", "2026-11-23T09:00:00Z", None)


class Order(_Thing):
    name: str = output("name", "Number", "#1001")
    email: str | None = output("email", "Customer's e-mail address", "ada@example.com", None)
    total: str = output("total_price", "Total price", "19.99", "")
    currency: str = output("currency", "Currency code", "EUR", "")
    paid: str | None = output("financial_status", "Payment status", "paid", None)
    url: str | None = output("order_status_url", "URL of the customer's order page", "https://acme.com/1", None)


class Customer(_Thing):
    email: str | None = output("email", "E-mail address", "ada@example.com", None)
    first_name: str | None = output("first_name", "First name", "Ada", None)
    last_name: str | None = output("last_name", "Last name", "Lovelace", None)


class Product(_Thing):
    title: str = output("title", "Title", "Teapot")
    vendor: str | None = output("vendor", "Vendor", "Acme", None)
    status: str | None = output("status", "Status", "draft", None)


@service.webhooks(  # https://shopify.dev/docs/api/webhooks
    ("order_created", "ORDERS_CREATE", Order, "New order", "Triggers when a customer places an order."),
    ("order_paid", "ORDERS_PAID", Order, "Order paid", "Triggers when an order is paid in full."),
    ("order_cancelled", "ORDERS_CANCELLED", Order, "Order cancelled", "Triggers when an order is cancelled."),
    ("customer_created", "CUSTOMERS_CREATE", Customer, "New customer", "Triggers when a customer is created."),
    ("product_created", "PRODUCTS_CREATE", Product, "New product", "Triggers when a product is created."),
    # https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
    verify=hmac_sha256("X-Shopify-Hmac-SHA256", encoding="base64"),
)
async def happened(request: Request, model: type[BaseModel]) -> Events[Any]:
    # https://shopify.dev/docs/apps/build/webhooks/delivery-structure
    yield Event(request.header("X-Shopify-Webhook-Id"), parse(model, request.json(), "Shopify"))


@happened.subscribe
async def subscribe(ctx: Context, hook: Hook, kind: str, model: type[BaseModel]) -> Subscription:
    """Subscribe to one topic, with only the fields that are needed."""
    secret = ctx.credential.client_secret.get_secret_value()
    # https://shopify.dev/docs/api/admin-graphql/latest/queries/webhookSubscriptions
    query = (
        "query ($topics: [WebhookSubscriptionTopic!])"
        " { webhookSubscriptions(first: 100, topics: $topics) { nodes { id uri } } }"
    )
    for node in (await _ask(ctx, query, topics=[kind]))["webhookSubscriptions"]["nodes"]:
        if node["uri"] == hook.url:
            return Subscription(node["id"], secret=secret)
    signature = "$topic: WebhookSubscriptionTopic!, $webhookSubscription: WebhookSubscriptionInput!"
    body = {"uri": hook.url, "includeFields": list(model.model_json_schema()["properties"])}
    variables = {"topic": kind, "webhookSubscription": body}
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/webhookSubscriptionCreate
    created = await _make(ctx, "webhookSubscriptionCreate", signature, "webhookSubscription", **variables)
    return Subscription(created.id, secret=secret)


@happened.unsubscribe
async def unsubscribe(ctx: Context, subscription: str) -> None:
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/webhookSubscriptionDelete
    await _change(ctx, "webhookSubscriptionDelete", "$id: ID!", "deletedWebhookSubscriptionId", id=subscription)


@service.reaction("Create a customer", idempotent="same")
async def create_customer(
    ctx: Context,
    email: Annotated[str, param("E-mail address", "ada@example.com")],
    first_name: Annotated[str, param("First name", "Ada")] = "",
    last_name: Annotated[str, param("Last name", "Lovelace")] = "",
    tags: Annotated[list[str], param("Tags", ["newsletter"])] = [],  # noqa: B006 - each call has its own
) -> Made:
    """Create a customer. Fails if one with the same e-mail address exists."""
    body = {"email": email, "firstName": first_name, "lastName": last_name, "tags": tags}
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/customerCreate
    return await _make(ctx, "customerCreate", "$input: CustomerInput!", "customer", input=body)


@service.reaction("Create a product", on_crash="fail")
async def create_product(
    ctx: Context,
    title: Annotated[str, param("Title", "Teapot", min_length=1)],
    description: Annotated[str, param("Description, as HTML", "<p>Holds a litre.</p>", shape=HTML)] = "",
    vendor: Annotated[str, param("Vendor", "Acme")] = "",
) -> Made:
    """Create a draft product, to price and publish in Shopify."""
    body = {"title": title, "descriptionHtml": description, "vendor": vendor, "status": "DRAFT"}
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/productCreate
    return await _make(ctx, "productCreate", "$product: ProductCreateInput!", "product", product=body)


@service.reaction("Add tags", idempotent="same")
async def add_tags(
    ctx: Context, id: AnyId, tags: Annotated[list[str], param("Tags", ["paid", "vip"], min_length=1)]
) -> Made:
    """Add tags to an order, a customer or a product."""
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/tagsAdd
    return await _make(ctx, "tagsAdd", "$id: ID!, $tags: [String!]!", "node", id=id, tags=tags)


@service.reaction("Set an order's note", idempotent="same")
async def set_note(
    ctx: Context,
    order: OrderId,
    note: Annotated[str, param("Note, replacing the current one", "Call before delivery")],
) -> Made:
    # https://shopify.dev/docs/api/admin-graphql/latest/mutations/orderUpdate
    return await _make(ctx, "orderUpdate", "$input: OrderInput!", "order", input={"id": order, "note": note})


async def _make(ctx: Context, name: str, signature: str, thing: str, **variables: Any) -> Made:
    answer = await _change(ctx, name, signature, f"{thing} {{ id }}", **variables)
    return parse(Made, answer.get(thing), "Shopify")


async def _change(ctx: Context, name: str, signature: str, wanted: str, **variables: Any) -> dict[str, Any]:
    """Run a mutation. User errors come in `userErrors`, beside the data."""
    arguments = ", ".join(f"{key}: ${key}" for key in variables)
    query = f"mutation ({signature}) {{ {name}({arguments}) {{ {wanted} userErrors {{ message }} }} }}"
    answer = parse(dict[str, Any], (await _ask(ctx, query, **variables)).get(name), "Shopify")
    if answer["userErrors"]:
        said = "; ".join(user_error["message"] for user_error in answer["userErrors"])
        raise Permanent(Sentence("Shopify refused: %(said)s", said=said))
    return answer


async def _ask(ctx: Context, query: str, **variables: Any) -> dict[str, Any]:
    key, form = ctx.credential, {"grant_type": "client_credentials"}
    form |= {"client_id": key.client_id, "client_secret": key.client_secret.get_secret_value()}
    # a token is good for a day:
    # https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant
    token = await ctx.http.post("/admin/oauth/access_token", str, at="access_token", data=form)
    headers, path = {"X-Shopify-Access-Token": token}, f"/admin/api/{VERSION}/graphql.json"
    return await ctx.http.graphql(query, variables, path=path, headers=headers)
