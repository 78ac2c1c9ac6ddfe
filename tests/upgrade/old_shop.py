"""A third-party connector as one was written for AREA's SDK at commit 4abbf44. It stays as it is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from area.sdk import (
    Context,
    Credentials,
    Event,
    Events,
    Hook,
    Made,
    Option,
    Permanent,
    Request,
    Retry,
    Row,
    Service,
    Subscription,
    Timer,
    asked,
    filled,
    found,
    hmac_sha256,
    parse,
)
from area.sdk.forms import form, secret, server

ITEMS: list[tuple[str, str]] = []  # what the shop shows: id and title
HEARD: "asyncio.Queue[str]" = asyncio.Queue()
HOOKS: dict[str, Hook] = {}
DONE: list[tuple[str, str]] = []  # idempotency key, text


async def works(ctx: Context, credential: BaseModel) -> None:
    """The shop takes any key."""


service = Service(
    "old_shop",
    "Old Shop",
    "A shop of somebody else's making.",
    base_url="https://shop.example",
    auth=form(
        works,
        headers={"Authorization": "Bearer {token}"},
        base_url="{server}",
        server=server("https://shop.example"),
        token=secret("Token, made under Settings", "sh0p_4f1c"),
    ),
)


@service.picker
async def shelves(ctx: Context) -> list[Option]:
    return [Option("1", "Upper"), Option("2", "Lower")]


Shelf = Annotated[str, asked("Shelf to look at", "1", pick="shelves")]


class Ware(Row):
    id: str = found("id", "What names it", "42")
    title: str = found("content.title", "Its title", "Lamp")
    url: str = filled("https://shop.example/w/{id}", "Its address", "https://shop.example/w/42")


class Heard(BaseModel):
    title: str = Field(description="What was said", examples=["Hello"])


@service.poll("A ware is put on a shelf", every=timedelta(seconds=1))
async def ware_added(ctx: Context, shelf: Shelf, since: datetime) -> Events[Ware]:
    ctx.state["looks"] = ctx.state.get("looks", 0) + 1
    for number, title in ITEMS:
        yield Event(number, parse(Ware, {"id": number, "content": {"title": title}}, "Old Shop"))


@service.webhook("A ware is sold", verify=hmac_sha256("X-Shop-Signature"))
async def ware_sold(request: Request, shelf: Shelf) -> Events[Ware]:
    body = request.json()
    yield Event(body["delivery"], parse(Ware, body["ware"], "Old Shop"))


@ware_sold.subscribe
async def add_hook(ctx: Context, shelf: str, hook: Hook) -> Subscription:
    HOOKS[f"hook-{shelf}"] = hook
    return Subscription(f"hook-{shelf}", expires_at=None)


@ware_sold.unsubscribe
async def remove_hook(ctx: Context, subscription: str) -> None:
    HOOKS.pop(subscription, None)


@service.listen("Something is said in the shop")
async def said(ctx: Context, shelf: Shelf) -> AsyncIterator[Event[Heard]]:
    while True:
        title = await HEARD.get()
        ctx.state["last"] = title
        yield Event(f"said {title}", Heard(title=title))


@service.timer("The shop opens")
def opens(params: Timer, after: datetime) -> datetime | None:
    return after.astimezone(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=1)


@service.reaction("Order something")
async def order(ctx: Context, text: Annotated[str, asked("What to order", "Lamp", max_length=500)]) -> Made:
    """Order something, once however often it is attempted."""
    assert ctx.credential is not None
    if text.startswith("later") and ctx.uuid():
        raise Retry("The shop is closed.", after=timedelta(hours=3))
    if text.startswith("never"):
        raise Permanent("The shop has none.")
    DONE.append((ctx.idempotency_key, text))
    return Made(id=f"order of {text}")


@service.reaction("Ring the bell", on_crash="fail")
async def ring(ctx: Context, text: Annotated[str, asked("What to shout", "Hello")] = "-") -> Made:
    """Ring the bell, which can't be taken back."""
    DONE.append((ctx.idempotency_key, text))
    return Made(id="rung")


assert isinstance(service.auth, Credentials)
