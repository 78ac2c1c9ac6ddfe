"""Currencies and crypto: central banks' reference rates (Frankfurter) and coin prices (CoinGecko)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from area.sdk import (
    Context,
    Event,
    Events,
    Gone,
    Output,
    Sentence,
    Service,
    ZoneName,
    daily,
    entered,
    output,
    param,
    parse,
)

FRANKFURTER = "https://api.frankfurter.dev/v2"
COINGECKO = "https://api.coingecko.com/api/v3"
DAILY = timedelta(hours=1)  # rates are published once or a few times a day
LIVE = timedelta(minutes=5)  # prices change each minute; CoinGecko limits how often one address may ask
SOON = timedelta(minutes=5)
BACK = timedelta(days=14)  # far enough for the day before, over holidays

service = Service(
    "money",
    "Currencies and crypto",
    "React to exchange rates and cryptocurrency prices when they move or every day.",
    docs="https://frankfurter.dev",
    synonyms={
        "": "finance, market, trading, money, price, quote, stock price, shares, investment",
        "exchange_rate_crosses": "currency, forex, dollar, euro, pound, rate above, USD, EUR, GBP, yen, conversion",
        "exchange_rate_changes": "currency, forex, dollar, euro, rate moves, USD, EUR, GBP",
        "daily_exchange_rate": "currency, forex, dollar, euro, USD, EUR, GBP, conversion",
        "crypto_price_crosses": (
            "Bitcoin, Ethereum, coin, price above, price below, price alert, BTC, ETH, Dogecoin, Solana, token"
        ),
        "crypto_price_changes": "Bitcoin, Ethereum, coin, price drops, price rises, crash, BTC, ETH, pump, dump",
        "daily_crypto_price": "Bitcoin, Ethereum, coin, BTC, ETH",
    },
)

Code = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$")]
Base = Annotated[Code, param("Code of the currency to convert from", "EUR")]
In = Annotated[Code, param("Code of the currency to convert to", "USD")]
Source = Annotated[
    Literal["blended", "ecb"],
    param("Blended rates of many central banks, or those of the European Central Bank", "ecb"),
]
CoinId = StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
Coin = Annotated[str, CoinId, param("CoinGecko API ID of the coin", "bitcoin")]
Priced = StringConstraints(to_lower=True, pattern=r"^[A-Za-z]{2,5}$")
Currency = Annotated[str, Priced, param("Code of the currency to convert to", "usd")]
Direction = Annotated[Literal["above", "below"], param("Rises above or drops below", "above")]
Threshold = Annotated[float, param("Threshold", 1.2, gt=0)]
Percent = Annotated[float, param("Change in percent, up or down", 5, gt=0, le=1000)]
Over = Annotated[
    Literal["day", "last_firing"],
    param("Compare with the day before, or with the last run (at first, when it was switched on)", "day"),
]
Time = Annotated[str, param("Time of day", "18:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[ZoneName, param("Time zone", "Europe/Paris")]


class Quote(Output):
    base: str = output("base", "Currency code or coin", "EUR")
    quote: str = output("quote", "Code of the currency to convert to", "USD")
    rate: float = output("rate", "Price of one unit", 1.1683)
    before: float | None = output("before", "Rate compared with", 1.1541)
    change_percent: float | None = output("change_percent", "Change from that rate, in percent", 1.2304)
    as_of: datetime = output(
        "as_of", "Time of the rate; midnight UTC of its day for reference rates", "2026-11-23T00:00:00Z"
    )

    @property
    def id(self) -> str:
        """Identifies the quote: a rate may be corrected during its day."""
        return f"{self.as_of.isoformat()}:{self.rate!r}"


class Rate(BaseModel):
    """Frankfurter's rate of one day."""

    date: date
    quote: str
    rate: float = Field(gt=0)


@service.poll("Exchange rate crosses a threshold", every=DAILY)
async def exchange_rate_crosses(
    ctx: Context, base: Base, quote: In, source: Source = "blended", *, direction: Direction, threshold: Threshold
) -> Events[Quote]:
    """Triggers when an exchange rate rises above or drops below a value; again only after it has been back on the
    other side.
    """
    now = await exchange_rate(ctx, base, quote, source)
    if entered(ctx.state, inside=now.rate > threshold if direction == "above" else now.rate < threshold):
        yield Event(now.id, now)


@service.poll("Exchange rate changes by a percentage", every=DAILY)
async def exchange_rate_changes(
    ctx: Context, base: Base, quote: In, source: Source = "blended", *, percent: Percent, over: Over = "day"
) -> Events[Quote]:
    """Triggers when an exchange rate changes by a percentage, from one day to the next or since the last run."""
    now = await exchange_rate(ctx, base, quote, source)
    if over == "last_firing":
        if moved := _moved(ctx.state, now, percent):
            yield Event(now.id, moved)
    elif abs(now.change_percent or 0) >= percent:
        yield Event(now.as_of.date().isoformat(), now)  # once a day, though a rate may be corrected


@service.poll("Daily exchange rate", every=SOON)
async def daily_exchange_rate(
    ctx: Context, base: Base, quote: In, source: Source = "blended", *, time: Time, timezone: Zone = "UTC"
) -> Events[Quote]:
    """Runs every day at the time you choose, with an exchange rate."""
    if planned := daily(ctx.state, time, timezone):
        yield Event(planned.date().isoformat(), await exchange_rate(ctx, base, quote, source), planned)


@service.poll("Crypto price crosses a threshold", every=LIVE)
async def crypto_price_crosses(
    ctx: Context, coin: Coin, currency: Currency = "usd", *, direction: Direction, threshold: Threshold
) -> Events[Quote]:
    """Triggers when a coin's price rises above or drops below a value; again only after it has been back on the
    other side.
    """
    now = await coin_price(ctx, coin, currency)
    if entered(ctx.state, inside=now.rate > threshold if direction == "above" else now.rate < threshold):
        yield Event(now.id, now)


@service.poll("Crypto price changes by a percentage", every=LIVE)
async def crypto_price_changes(
    ctx: Context, coin: Coin, currency: Currency = "usd", *, percent: Percent, over: Over = "day"
) -> Events[Quote]:
    """Triggers when a coin's price changes by a percentage, within 24 hours or since the last run."""
    now = await coin_price(ctx, coin, currency)
    if over == "last_firing":
        if moved := _moved(ctx.state, now, percent):
            yield Event(now.id, moved)
    elif now.change_percent is not None and entered(ctx.state, inside=abs(now.change_percent) >= percent):
        yield Event(now.id, now)


@service.poll("Daily crypto price", every=SOON)
async def daily_crypto_price(
    ctx: Context, coin: Coin, currency: Currency = "usd", *, time: Time, timezone: Zone = "UTC"
) -> Events[Quote]:
    """Runs every day at the time you choose, with the price of a coin."""
    if planned := daily(ctx.state, time, timezone):
        yield Event(planned.date().isoformat(), await coin_price(ctx, coin, currency), planned)


@service.lookup("Get an exchange rate")
async def get_exchange_rate(ctx: Context, base: Base, quote: In, source: Source = "blended") -> Quote | None:
    """Get the latest reference rate of a currency, compared with that of the day before."""
    try:
        return await exchange_rate(ctx, base, quote, source)
    except Gone:
        return None


@service.lookup("Get a coin's price")
async def get_crypto_price(ctx: Context, coin: Coin, quote: Currency = "usd") -> Quote | None:
    """Get the current price of a cryptocurrency, compared with that of 24 hours ago."""
    try:
        return await coin_price(ctx, coin, quote)
    except Gone:
        return None


async def exchange_rate(ctx: Context, base: str, quote: str, source: str) -> Quote:
    """The latest reference rate, compared with the previous day's."""
    query = {"base": base, "quotes": quote, "from": (datetime.now(UTC) - BACK).date().isoformat()}
    query |= {"providers": "ECB"} if source == "ecb" else {}
    # https://frankfurter.dev "Time series"; described in https://api.frankfurter.dev/v2/openapi.json
    rows = parse(list[Rate], await ctx.http.get(f"{FRANKFURTER}/rates", params=query), "Frankfurter")
    rates = sorted((row.date, row.rate) for row in rows if row.quote == quote)
    if not rates:
        raise Gone(Sentence("Frankfurter has no rate for %(base)s in %(quote)s.", base=base, quote=quote))
    day, rate = rates[-1]
    before = rates[-2][1] if len(rates) > 1 else None
    change = None if before is None else round((rate / before - 1) * 100, 4)
    at = datetime.combine(day, time(), UTC)
    return Quote(base=base, quote=quote, rate=rate, before=before, change_percent=change, as_of=at)


async def coin_price(ctx: Context, coin: str, currency: str) -> Quote:
    """A coin's price, compared with that of 24 hours ago."""
    query = {"ids": coin, "vs_currencies": currency, "precision": "full"}
    query |= {"include_24hr_change": "true", "include_last_updated_at": "true"}
    # https://docs.coingecko.com/reference/simple-price
    answer = await ctx.http.get(f"{COINGECKO}/simple/price", params=query)
    body = parse(dict[str, dict[str, float | None]], answer, "CoinGecko").get(coin)
    if body is None:
        raise Gone(
            Sentence(
                'CoinGecko has no coin "%(coin)s". Use the API ID from the coin\'s page, such as bitcoin.', coin=coin
            )
        )
    price, updated = body.get(currency), body.get("last_updated_at")
    if not price or not updated:
        raise Gone(Sentence('CoinGecko has no price for %(coin)s in "%(currency)s".', coin=coin, currency=currency))
    change, at = body.get(f"{currency}_24h_change"), datetime.fromtimestamp(updated, UTC)  # null when it is stale
    before = None if change is None or change <= -100 else price / (1 + change / 100)
    change = None if change is None else round(change, 4)
    return Quote(base=coin, quote=currency, rate=price, before=before, change_percent=change, as_of=at)


def _moved(state: dict[str, Any], now: Quote, percent: float) -> Quote | None:
    """The quote compared with that of the last run, if it has changed enough."""
    start: float = state.setdefault("start", now.rate)
    change = round((now.rate / start - 1) * 100, 4)
    if abs(change) < percent:
        return None
    state["start"] = now.rate
    return now.model_copy(update={"before": start, "change_percent": change})
