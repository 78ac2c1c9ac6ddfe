"""What is asked of Frankfurter and CoinGecko."""

from datetime import UTC, date, datetime, time, timedelta

from pydantic import BaseModel, Field

from area.sdk import Context, Permanent, parse

FRANKFURTER = "https://api.frankfurter.dev/v2"
COINGECKO = "https://api.coingecko.com/api/v3"
BACK = timedelta(days=14)  # far enough for the day before, over holidays


class Quote(BaseModel):
    """An exchange rate or price, and what it is compared with."""

    base: str = Field(description="What is priced: code of the currency, or the coin", examples=["EUR"])
    quote: str = Field(description="What it is priced in", examples=["USD"])
    rate: float = Field(description="How much of that one costs", examples=[1.1683])
    before: float | None = Field(description="The rate that it is compared with", examples=[1.1541])
    change_percent: float | None = Field(description="The change since then in percent", examples=[1.2304])
    as_of: datetime = Field(
        description="When it was so; midnight UTC of its day for reference rates", examples=["2026-11-23T00:00:00Z"]
    )

    @property
    def id(self) -> str:
        """What names it: a rate may be corrected within its day."""
        return f"{self.as_of.isoformat()}:{self.rate!r}"


class _Rate(BaseModel):
    date: date
    base: str
    quote: str
    rate: float = Field(gt=0)


async def exchange_rate(ctx: Context, base: str, quote: str, source: str) -> Quote:
    """The latest reference rate, compared with that of the day before."""
    # https://frankfurter.dev "Time series"; described in https://api.frankfurter.dev/v2/openapi.json
    asked = {"base": base, "quotes": quote, "from": (datetime.now(UTC) - BACK).date().isoformat()}
    if source == "ecb":
        asked["providers"] = "ECB"
    answer = await ctx.http.get(f"{FRANKFURTER}/rates", params=asked)
    rows = sorted(
        (row for row in parse(list[_Rate], answer, "Frankfurter") if row.quote == quote), key=lambda row: row.date
    )
    if not rows:
        raise Permanent(f"Frankfurter has no rate of {base} in {quote}.")
    now, before = rows[-1].rate, rows[-2].rate if len(rows) > 1 else None
    return Quote(
        base=base,
        quote=quote,
        rate=now,
        before=before,
        change_percent=None if before is None else round((now / before - 1) * 100, 4),
        as_of=datetime.combine(rows[-1].date, time(), UTC),
    )


async def coin_price(ctx: Context, coin: str, currency: str) -> Quote:
    """The price of a coin, compared with that of 24 hours ago."""
    # https://docs.coingecko.com/reference/simple-price
    asked = {
        "ids": coin,
        "vs_currencies": currency,
        "include_24hr_change": "true",
        "include_last_updated_at": "true",
        "precision": "full",
    }
    answer = await ctx.http.get(f"{COINGECKO}/simple/price", params=asked)
    found = parse(dict[str, dict[str, float | None]], answer, "CoinGecko").get(coin)
    if found is None:
        raise Permanent(
            f"CoinGecko knows no coin {coin!r}. Take the API ID that the coin's page tells, such as bitcoin."
        )
    price, updated = found.get(currency), found.get("last_updated_at")
    if not price or not updated:
        raise Permanent(f"CoinGecko has no price of {coin} in {currency!r}.")
    change = found.get(f"{currency}_24h_change")  # null when the price is stale
    return Quote(
        base=coin,
        quote=currency,
        rate=price,
        before=None if change is None or change <= -100 else price / (1 + change / 100),
        change_percent=None if change is None else round(change, 4),
        as_of=datetime.fromtimestamp(updated, UTC),
    )
