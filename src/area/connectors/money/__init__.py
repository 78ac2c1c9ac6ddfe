"""Currencies and crypto prices: reference rates of central banks (Frankfurter) and prices of coins (CoinGecko)."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from area.connectors.money.api import Quote, coin_price, exchange_rate
from area.sdk import Context, Event, Service, ZoneName, daily, entered

service = Service(
    "money",
    "Currencies and crypto",
    "Exchange rates of central banks and prices of cryptocurrencies, when they move or every day.",
    docs="https://frankfurter.dev",
)

DAILY = timedelta(hours=1)  # rates are published once or a few times a day
LIVE = timedelta(minutes=5)  # prices change each minute; CoinGecko limits how often one address may ask
SOON = timedelta(minutes=5)

Currency = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$")]
CoinId = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Priced = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z]{2,5}$")]


class Pair(BaseModel):
    """Two currencies."""

    base: Currency = Field(description="The currency that is priced, by its code", examples=["EUR"])
    quote: Currency = Field(description="The currency that it is priced in", examples=["USD"])
    source: Literal["blended", "ecb"] = Field(
        "blended", description="Rates of many central banks blended, or of the European Central Bank", examples=["ecb"]
    )


class Coin(BaseModel):
    """A cryptocurrency."""

    coin: CoinId = Field(description="API ID of the coin at CoinGecko", examples=["bitcoin"])
    currency: Priced = Field("usd", description="What it is priced in", examples=["usd"])


class Threshold(BaseModel):
    """A value to watch for."""

    direction: Literal["above", "below"] = Field(
        description="Whether it rises above or drops below", examples=["above"]
    )
    threshold: float = Field(gt=0, description="The value that is passed", examples=[1.2])


class Move(BaseModel):
    """A change to watch for."""

    percent: float = Field(gt=0, le=1000, description="By how many percent, up or down", examples=[5])
    over: Literal["day", "last_firing"] = Field(
        "day", description="Since a day before, or since it fired last (or was switched on)", examples=["day"]
    )


class Time(BaseModel):
    """When to tell."""

    time: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Time of day", examples=["18:00"])
    timezone: ZoneName = Field("UTC", description="Time zone of the time", examples=["Europe/Paris"])


class PairThreshold(Threshold, Pair):
    """Which rate passes which value."""


class PairMove(Move, Pair):
    """Which rate changes by how much."""


class PairTime(Time, Pair):
    """Which rate to tell, and when."""


class CoinThreshold(Threshold, Coin):
    """Which price passes which value."""


class CoinMove(Move, Coin):
    """Which price changes by how much."""


class CoinTime(Time, Coin):
    """Which price to tell, and when."""


@service.poll("An exchange rate rises above or drops below", every=DAILY)
async def exchange_rate_crosses(ctx: Context, params: PairThreshold, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """An exchange rate passes a value. Fires once, and again only after it has been on the other side."""
    now = await exchange_rate(ctx, params.base, params.quote, params.source)
    if _crossed(ctx.state, now, params):
        yield Event(now.id, now)


@service.poll("An exchange rate changes", every=DAILY)
async def exchange_rate_changes(ctx: Context, params: PairMove, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """An exchange rate changes by some percent, from one day to the next or since it fired last."""
    now = await exchange_rate(ctx, params.base, params.quote, params.source)
    if params.over == "day":
        if abs(now.change_percent or 0) >= params.percent:
            yield Event(now.as_of.date().isoformat(), now)  # once a day, though a rate may be corrected
    elif moved := _moved(ctx.state, now, params.percent):
        yield Event(now.id, moved)


@service.poll("The daily exchange rate", every=SOON)
async def daily_exchange_rate(ctx: Context, params: PairTime, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """Every day at a time: an exchange rate."""
    if planned := daily(ctx.state, params.time, params.timezone):
        told = await exchange_rate(ctx, params.base, params.quote, params.source)
        yield Event(planned.date().isoformat(), told, planned)


@service.poll("A crypto price rises above or drops below", every=LIVE)
async def crypto_price_crosses(ctx: Context, params: CoinThreshold, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """The price of a coin passes a value. Fires once, and again only after it has been on the other side."""
    now = await coin_price(ctx, params.coin, params.currency)
    if _crossed(ctx.state, now, params):
        yield Event(now.id, now)


@service.poll("A crypto price changes", every=LIVE)
async def crypto_price_changes(ctx: Context, params: CoinMove, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """The price of a coin changes by some percent, within 24 hours or since it fired last."""
    now = await coin_price(ctx, params.coin, params.currency)
    if params.over == "day":
        if now.change_percent is not None and entered(ctx.state, inside=abs(now.change_percent) >= params.percent):
            yield Event(now.id, now)
    elif moved := _moved(ctx.state, now, params.percent):
        yield Event(now.id, moved)


@service.poll("The daily crypto price", every=SOON)
async def daily_crypto_price(ctx: Context, params: CoinTime, since: datetime) -> AsyncIterator[Event[Quote]]:  # noqa: ARG001
    """Every day at a time: the price of a coin."""
    if planned := daily(ctx.state, params.time, params.timezone):
        yield Event(planned.date().isoformat(), await coin_price(ctx, params.coin, params.currency), planned)


def _crossed(state: dict[str, Any], now: Quote, params: Threshold) -> bool:
    above, below = now.rate > params.threshold, now.rate < params.threshold
    return entered(state, inside=above if params.direction == "above" else below)


def _moved(state: dict[str, Any], now: Quote, percent: float) -> Quote | None:
    """The quote compared with that of the last firing, if it is that far from it."""
    start: float = state.setdefault("start", now.rate)
    change = round((now.rate / start - 1) * 100, 4)
    if abs(change) < percent:
        return None
    state["start"] = now.rate
    return now.model_copy(update={"before": start, "change_percent": change})
