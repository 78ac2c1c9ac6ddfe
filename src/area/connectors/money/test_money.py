"""Against a double made from the descriptions that Frankfurter and CoinGecko publish; never run against them."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from pydantic import ValidationError

from area.connectors.money import Quote, coin_price, exchange_rate, service
from area.sdk import Context, Permanent, Retry, now
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, finds_nothing

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # a Monday
RATES = {"date", "from", "to", "base", "quotes", "providers", "group"}  # lib/public/v2/openapi.json
PRICE = {  # coingecko-demo.json
    "vs_currencies", "ids", "names", "symbols", "include_tokens", "include_market_cap", "include_24hr_vol",
    "include_24hr_change", "include_last_updated_at", "precision",
}  # fmt: skip


class Vendors(Double):
    """Both vendors: daily rates of one pair, the price of one coin."""

    def __init__(self) -> None:
        super().__init__(None, ("https://api.frankfurter.dev/v2", "https://api.coingecko.com/api/v3"))
        self.on("GET", "/rates", self.answer_rates)
        self.on("GET", "/simple/price", self.answer_price)
        self.rates: dict[str, float] = {"2026-11-20": 1.0}
        self.price: dict[str, Any] = {"usd": 100.0, "usd_24h_change": 0.5, "last_updated_at": int(START.timestamp())}

    def answer_rates(self, request: Asked) -> Any:
        query = request.query
        assert set(query) <= RATES
        if query["base"] == "XXX":
            return Answer(422, {"message": "invalid currency: XXX"})
        first = date.fromisoformat(query["from"])
        rows = [
            {"date": day, "base": query["base"], "quote": quote, "rate": rate}
            for day, rate in self.rates.items()
            if first <= date.fromisoformat(day) <= now().date()
            for quote in query["quotes"].split(",")
        ]
        return rows[::-1]

    def answer_price(self, request: Asked) -> Any:
        query = request.query
        assert set(query) <= PRICE
        assert query["precision"] == "full"
        known = {name: value for name, value in self.price.items() if name.startswith(("last", query["vs_currencies"]))}
        return {"bitcoin": known} if query["ids"] == "bitcoin" else {}

    def costs(self, price: float, change: float | None = 0.5) -> None:
        updated = self.price["last_updated_at"] + 300
        self.price = {"usd": price, "usd_24h_change": change, "last_updated_at": updated}


@pytest.fixture
async def double() -> AsyncIterator[Vendors]:
    async with Vendors() as double:
        yield double


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
async def ctx(double) -> AsyncIterator[Context]:
    async with connector(service, double) as ctx:
        yield ctx


WHAT = {"base": "eur", "quote": "USD", "coin": "Bitcoin"}  # of both kinds of parameters


async def rates(watch: Watch, double: Vendors, clock: time_machine.Traveller, values: list[float]) -> list[int]:
    """One rate a day, looked at twice."""
    fired = []
    for day, value in enumerate(values):
        clock.move_to(START + timedelta(days=day))
        double.rates[now().date().isoformat()] = value
        fired.append(len(await watch.look()) + len(await watch.look()))
    return fired


async def prices(watch: Watch, double: Vendors, clock: time_machine.Traveller, values: list[Any]) -> list[int]:
    """One price every five minutes."""
    fired = []
    for value in values:
        double.costs(*value) if isinstance(value, tuple) else double.costs(value)
        clock.shift(timedelta(minutes=5))
        fired.append(len(await watch.look()))
    return fired


@pytest.mark.parametrize(("kind", "values"), [("exchange_rate", rates), ("crypto_price", prices)])
async def test_a_threshold_fires_when_it_is_passed_and_not_while_beyond(ctx, double, clock, kind, values):
    rises = Watch(ctx, service.actions[f"{kind}_crosses"], **WHAT, direction="above", threshold=1.2)
    assert await values(rises, double, clock, [1.1, 1.2, 1.21, 1.3, 1.25, 1.1, 1.4]) == [0, 0, 1, 0, 0, 0, 1]
    drops = Watch(ctx, service.actions[f"{kind}_crosses"], **WHAT, direction="below", threshold=1.2)
    assert await values(drops, double, clock, [1.1, 1.3, 1.2, 1.19, 1.1, 1.3, 1.0]) == [0, 0, 0, 1, 0, 0, 1]


async def test_what_is_beyond_at_the_first_look_does_not_fire(ctx, double, clock):
    watch = Watch(ctx, service.actions["crypto_price_crosses"], **WHAT, direction="above", threshold=50)
    assert await prices(watch, double, clock, [100, 110, 40, 60]) == [0, 0, 0, 1]


async def test_a_corrected_rate_counts_within_its_day(ctx, double, clock):
    watch = Watch(ctx, service.actions["exchange_rate_crosses"], **WHAT, direction="above", threshold=1.2)
    fired = []
    for value in (1.1, 1.25, 1.1, 1.3):
        double.rates["2026-11-23"] = value
        fired.append(len(await watch.look()))
    assert fired == [0, 1, 0, 1]


async def test_a_rate_is_told_whole(ctx, double, clock):
    double.rates |= {"2026-10-01": 5.0, "2026-11-23": 1.012}
    result = await exchange_rate(ctx, "EUR", "USD", "ecb")
    assert result == Quote(
        base="EUR", quote="USD", rate=1.012, before=1.0, change_percent=1.2, as_of=datetime(2026, 11, 23, tzinfo=UTC)
    )
    assert double.asked[-1].query == {"base": "EUR", "quotes": "USD", "from": "2026-11-09", "providers": "ECB"}
    await exchange_rate(ctx, "EUR", "USD", "blended")
    assert "providers" not in double.asked[-1].query
    double.rates = {"2026-11-23": 1.0}
    result = await exchange_rate(ctx, "EUR", "USD", "blended")
    assert (result.before, result.change_percent) == (None, None)


async def test_a_price_is_told_whole(ctx, double, clock):
    double.costs(110.0, 10.0)
    result = await coin_price(ctx, "bitcoin", "usd")
    assert (result.base, result.quote, result.rate, result.change_percent) == ("bitcoin", "usd", 110.0, 10.0)
    assert result.before == pytest.approx(100.0)
    assert result.as_of == START + timedelta(minutes=5)
    double.costs(110.0, None)
    assert (await coin_price(ctx, "bitcoin", "usd")).before is None


async def test_a_rate_changes_from_one_day_to_the_next(ctx, double, clock):
    watch = Watch(ctx, service.actions["exchange_rate_changes"], **WHAT, percent=2)
    assert await rates(watch, double, clock, [1.1, 1.0, 1.01, 1.04, 1.0, 1.0]) == [0, 1, 0, 1, 1, 0]
    double.rates["2026-11-28"] = 1.05
    assert len(await watch.look()) == 1
    double.rates["2026-11-28"] = 1.06
    assert not await watch.look(), "once a day"


async def test_a_price_changes_within_a_day(ctx, double, clock):
    watch = Watch(ctx, service.actions["crypto_price_changes"], **WHAT, percent=5)
    values = [(100, 6.0), (100, 7.0), (100, 4.0), (100, -5.0), (100, -9.0), (100, None), (100, 5.5), (100, 1), (100, 5)]
    assert await prices(watch, double, clock, values) == [0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("kind", "values"), [("exchange_rate", rates), ("crypto_price", prices)])
async def test_it_changes_slowly(ctx, double, clock, kind, values):
    watch = Watch(ctx, service.actions[f"{kind}_changes"], **WHAT, percent=10, over="last_firing")
    assert await values(watch, double, clock, [100, 104, 108, 110, 112, 104, 99]) == [0, 0, 0, 1, 0, 0, 1]
    watch = Watch(ctx, service.actions[f"{kind}_changes"], **WHAT, percent=10, over="last_firing")
    await values(watch, double, clock, [100])
    double.rates[now().date().isoformat()] = 80
    double.costs(80)
    (event,) = await watch.look()
    assert (event.data.rate, event.data.before, event.data.change_percent) == (80, 100, -20)
    assert not await watch.look()


@pytest.mark.parametrize("action", ["daily_exchange_rate", "daily_crypto_price"])
async def test_once_a_day_at_its_time(ctx, double, clock, action):
    watch = Watch(ctx, service.actions[action], **WHAT, time="18:00", timezone="Asia/Tokyo")  # 09:00 UTC
    assert not await watch.look(), "switched on after the time"
    assert not double.asked
    fired = []
    for minutes in (5, 24 * 60 - 1, 24 * 60, 24 * 60 + 5, 3 * 24 * 60 + 7, 3 * 24 * 60 + 12):
        clock.move_to(START + timedelta(minutes=minutes))
        fired.append([event.id for event in await watch.look()])
    assert fired == [[], [], ["2026-11-24"], [], ["2026-11-26"], []]


async def test_a_daily_rate_that_failed_is_told_later(ctx, double, clock):
    watch = Watch(ctx, service.actions["daily_crypto_price"], **WHAT, time="10:00")
    await watch.look()
    clock.move_to(START + timedelta(hours=1, minutes=2))
    double.fails(429, Retry_After="60")
    with pytest.raises(Retry):
        await watch.look()
    double.works()
    assert [event.id for event in await watch.look()] == ["2026-11-23"]
    assert not await watch.look()


async def test_the_state_survives_a_failed_look(ctx, double, clock):
    watch = Watch(ctx, service.actions["crypto_price_crosses"], **WHAT, direction="above", threshold=120)
    await prices(watch, double, clock, [100])
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    double.works()
    assert await prices(watch, double, clock, [130, 130]) == [1, 0]


async def test_what_the_vendors_do_not_know(ctx, double, clock):
    with pytest.raises(Permanent, match="invalid currency: XXX"):
        await exchange_rate(ctx, "XXX", "USD", "blended")
    double.rates = {}
    with pytest.raises(Permanent, match="no rate for EUR in USD"):
        await exchange_rate(ctx, "EUR", "USD", "blended")
    with pytest.raises(Permanent, match=r"no coin \"btc\". Use the API ID"):
        await coin_price(ctx, "btc", "usd")
    with pytest.raises(Permanent, match='no price for bitcoin in "xyz"'):
        await coin_price(ctx, "bitcoin", "xyz")


@pytest.mark.parametrize("action", ["exchange_rate_crosses", "crypto_price_crosses"])
async def test_errors(ctx, double, action):
    watch = Watch(ctx, service.actions[action], **WHAT, direction="above", threshold=1)
    for status in (400, 401, 403, 404, 422):
        double.fails(status, b'{"message": "no data found"}')
        with pytest.raises(Permanent, match="no data found"):
            await watch.look()
    double.fails(429, b'{"status": {"error_code": 429}}', Retry_After="60")
    with pytest.raises(Retry) as error:
        await watch.look()
    assert error.value.after == timedelta(seconds=60)
    for status in (500, 503):
        double.fails(status)
        with pytest.raises(Retry):
            await watch.look()
    for body in (b"{", b"<html>", b'"x"', b'{"bitcoin": 5}', b'[{"date": "2026-11-23", "base": "EUR", "rate": 0}]'):
        double.fails(200, body)
        with pytest.raises(Permanent):
            await watch.look()


def test_parameters():
    pair, coin = service.actions["exchange_rate_changes"].params, service.actions["crypto_price_changes"].params
    for wrong in ({"base": "EURO"}, {"quote": "$"}, {"percent": 0}, {"source": "me"}):
        with pytest.raises(ValidationError):
            pair(**({"base": "EUR", "quote": "USD", "percent": 1} | wrong))
    with pytest.raises(ValidationError):
        coin(coin="bit coin", percent=1)
    assert pair(base="eur", quote="usd", percent=1).base == "EUR"
    assert list(pair.model_fields) == ["base", "quote", "source", "percent", "over"]
    assert service.quality == "generated"


async def test_a_rate_and_a_price_are_looked_up(ctx, double):
    double.rates = {"2026-11-20": 1.0, "2026-11-23": 1.1}
    rate = await act(ctx, service.reactions["get_exchange_rate"], base="eur", quote="usd")
    assert (rate.found, rate.base, rate.quote, rate.rate, rate.before, rate.change_percent) == (
        True,
        "EUR",
        "USD",
        1.1,
        1,
        10,
    )
    price = await act(ctx, service.reactions["get_crypto_price"], coin="Bitcoin")
    assert (price.base, price.quote, price.rate, price.change_percent) == ("bitcoin", "usd", 100, 0.5)
    await finds_nothing(ctx, service.reactions["get_crypto_price"], coin="nocoin")
    await finds_nothing(ctx, service.reactions["get_crypto_price"], coin="bitcoin", quote="zzz")
    double.rates = {}
    await finds_nothing(ctx, service.reactions["get_exchange_rate"], base="eur", quote="usd")
