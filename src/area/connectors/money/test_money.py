"""Against a double made from the descriptions that Frankfurter and CoinGecko publish; never run against them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area.connectors import money
from area.connectors.money import api, service
from area.kit.http import Client
from area.kit.net import Guard
from area.sdk import Context, Event, Http, Permanent, Retry
from area.sdk.dedupe import Seen, fresh

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # a Monday
RATES = {"date", "from", "to", "base", "quotes", "providers", "group"}  # lib/public/v2/openapi.json
PRICE = {  # coingecko-demo.json
    "vs_currencies", "ids", "names", "symbols", "include_tokens", "include_market_cap", "include_24hr_vol",
    "include_24hr_change", "include_last_updated_at", "precision",
}  # fmt: skip


class Double:
    """Both vendors: daily rates of one pair, the price of one coin."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.rates: dict[str, float] = {"2026-11-20": 1.0}
        self.price: dict[str, Any] = {"usd": 100.0, "usd_24h_change": 0.5, "last_updated_at": int(START.timestamp())}
        self.broken: web.Response | None = None

    async def handle(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append(query)
        if self.broken is not None:
            return web.Response(status=self.broken.status, body=self.broken.body, headers=self.broken.headers)
        if request.path == "/v2/rates":
            assert set(query) <= RATES
            if query["base"] == "XXX":
                return web.json_response({"message": "invalid currency: XXX"}, status=422)
            first = date.fromisoformat(query["from"])
            rows = [
                {"date": day, "base": query["base"], "quote": quote, "rate": rate}
                for day, rate in self.rates.items()
                if first <= date.fromisoformat(day) <= Clock.at.date()
                for quote in query["quotes"].split(",")
            ]
            return web.json_response(rows[::-1])
        assert request.path == "/api/v3/simple/price"
        assert set(query) <= PRICE
        assert query["precision"] == "full"
        known = {name: value for name, value in self.price.items() if name.startswith(("last", query["vs_currencies"]))}
        return web.json_response({"bitcoin": known} if query["ids"] == "bitcoin" else {})

    def at(self, price: float, change: float | None = 0.5) -> None:
        updated = self.price["last_updated_at"] + 300
        self.price = {"usd": price, "usd_24h_change": change, "last_updated_at": updated}

    def fails(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.broken = web.Response(
            status=status, body=body, headers={n.replace("_", "-"): v for n, v in headers.items()}
        )


@pytest.fixture
async def double(monkeypatch) -> AsyncIterator[Double]:
    it, application = Double(), web.Application()
    application.router.add_get("/{path:.*}", it.handle)
    server = TestServer(application)
    await server.start_server()
    monkeypatch.setattr(api, "FRANKFURTER", str(server.make_url("/v2")))
    monkeypatch.setattr(api, "COINGECKO", str(server.make_url("/api/v3")))
    yield it
    await server.close()


class Clock(datetime):
    """A `datetime` whose now is `at`."""

    at = START

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.at.astimezone(tz)


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> type[Clock]:
    Clock.at = START
    monkeypatch.setattr(money, "datetime", Clock)
    monkeypatch.setattr(api, "datetime", Clock)
    return Clock


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    guard = Guard(allow=["127.0.0.1"])
    client = Client(guard)
    yield Context(http=Http(client), guard=guard, platform=cast(Any, None))
    await client.close()


PAIR = {"base": "eur", "quote": "USD"}
COIN = {"coin": "Bitcoin"}


class Watch:
    """What the engine does with a poll: the first look is the baseline, a failed one leaves no trace."""

    def __init__(self, ctx: Context, name: str, **params: Any) -> None:
        self.ctx, self.action = ctx, service.actions[name]
        self.params = self.action.params(**((COIN if "crypto" in name else PAIR) | params))
        self.seen: Seen | None = None
        self.state: dict[str, Any] = {}

    async def look(self) -> list[Event[Any]]:
        moment, self.ctx.state = Clock.at, dict(self.state)
        offered = [event async for event in self.action.function(self.ctx, self.params, moment)]
        new, seen = fresh(offered, self.seen or Seen(moment), moment, self.action.overlap)
        baseline, self.seen, self.state = self.seen is None, seen, json.loads(json.dumps(self.ctx.state))
        for event in offered:
            self.action.returns.model_validate(event.data.model_dump(mode="json"))
        return [] if baseline else new


async def rates(watch: Watch, double: Double, values: list[float]) -> list[int]:
    """One rate a day, looked at twice."""
    fired = []
    for day, value in enumerate(values):
        Clock.at = START + timedelta(days=day)
        double.rates[Clock.at.date().isoformat()] = value
        fired.append(len(await watch.look()) + len(await watch.look()))
    return fired


async def prices(watch: Watch, double: Double, values: list[Any]) -> list[int]:
    """One price every five minutes."""
    fired = []
    for value in values:
        double.at(*value) if isinstance(value, tuple) else double.at(value)
        Clock.at += timedelta(minutes=5)
        fired.append(len(await watch.look()))
    return fired


@pytest.mark.parametrize(("kind", "values"), [("exchange_rate", rates), ("crypto_price", prices)])
async def test_a_threshold_fires_when_it_is_passed_and_not_while_beyond(ctx, double, kind, values):
    rises = Watch(ctx, f"{kind}_crosses", direction="above", threshold=1.2)
    assert await values(rises, double, [1.1, 1.2, 1.21, 1.3, 1.25, 1.1, 1.4]) == [0, 0, 1, 0, 0, 0, 1]
    drops = Watch(ctx, f"{kind}_crosses", direction="below", threshold=1.2)
    assert await values(drops, double, [1.1, 1.3, 1.2, 1.19, 1.1, 1.3, 1.0]) == [0, 0, 0, 1, 0, 0, 1]


async def test_what_is_beyond_at_the_first_look_does_not_fire(ctx, double):
    watch = Watch(ctx, "crypto_price_crosses", direction="above", threshold=50)
    assert await prices(watch, double, [100, 110, 40, 60]) == [0, 0, 0, 1]


async def test_a_corrected_rate_counts_within_its_day(ctx, double):
    watch = Watch(ctx, "exchange_rate_crosses", direction="above", threshold=1.2)
    fired = []
    for value in (1.1, 1.25, 1.1, 1.3):
        double.rates["2026-11-23"] = value
        fired.append(len(await watch.look()))
    assert fired == [0, 1, 0, 1]


async def test_a_rate_is_told_whole(ctx, double):
    double.rates |= {"2026-10-01": 5.0, "2026-11-23": 1.012}
    now = await api.exchange_rate(ctx, "EUR", "USD", "ecb")
    assert now == api.Quote(
        base="EUR", quote="USD", rate=1.012, before=1.0, change_percent=1.2, as_of=datetime(2026, 11, 23, tzinfo=UTC)
    )
    assert double.asked[-1] == {"base": "EUR", "quotes": "USD", "from": "2026-11-09", "providers": "ECB"}
    await api.exchange_rate(ctx, "EUR", "USD", "blended")
    assert "providers" not in double.asked[-1]
    double.rates = {"2026-11-23": 1.0}
    now = await api.exchange_rate(ctx, "EUR", "USD", "blended")
    assert (now.before, now.change_percent) == (None, None)


async def test_a_price_is_told_whole(ctx, double):
    double.at(110.0, 10.0)
    now = await api.coin_price(ctx, "bitcoin", "usd")
    assert (now.base, now.quote, now.rate, now.change_percent) == ("bitcoin", "usd", 110.0, 10.0)
    assert now.before == pytest.approx(100.0)
    assert now.as_of == START + timedelta(minutes=5)
    double.at(110.0, None)
    assert (await api.coin_price(ctx, "bitcoin", "usd")).before is None


async def test_a_rate_changes_from_one_day_to_the_next(ctx, double):
    watch = Watch(ctx, "exchange_rate_changes", percent=2)
    assert await rates(watch, double, [1.1, 1.0, 1.01, 1.04, 1.0, 1.0]) == [0, 1, 0, 1, 1, 0]
    double.rates["2026-11-28"] = 1.05
    assert len(await watch.look()) == 1
    double.rates["2026-11-28"] = 1.06
    assert not await watch.look(), "once a day"


async def test_a_price_changes_within_a_day(ctx, double):
    watch = Watch(ctx, "crypto_price_changes", percent=5)
    values = [(100, 6.0), (100, 7.0), (100, 4.0), (100, -5.0), (100, -9.0), (100, None), (100, 5.5), (100, 1), (100, 5)]
    assert await prices(watch, double, values) == [0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("kind", "values"), [("exchange_rate", rates), ("crypto_price", prices)])
async def test_it_changes_slowly(ctx, double, kind, values):
    watch = Watch(ctx, f"{kind}_changes", percent=10, over="last_firing")
    assert await values(watch, double, [100, 104, 108, 110, 112, 104, 99]) == [0, 0, 0, 1, 0, 0, 1]
    watch = Watch(ctx, f"{kind}_changes", percent=10, over="last_firing")
    await values(watch, double, [100])
    double.rates[Clock.at.date().isoformat()] = 80
    double.at(80)
    (event,) = await watch.look()
    assert (event.data.rate, event.data.before, event.data.change_percent) == (80, 100, -20)
    assert not await watch.look()


@pytest.mark.parametrize("action", ["daily_exchange_rate", "daily_crypto_price"])
async def test_once_a_day_at_its_time(ctx, double, clock, action):
    watch = Watch(ctx, action, time="18:00", timezone="Asia/Tokyo")  # 09:00 UTC
    assert not await watch.look(), "switched on after the time"
    assert not double.asked
    fired = []
    for minutes in (5, 24 * 60 - 1, 24 * 60, 24 * 60 + 5, 3 * 24 * 60 + 7, 3 * 24 * 60 + 12):
        clock.at = START + timedelta(minutes=minutes)
        fired.append([event.id for event in await watch.look()])
    assert fired == [[], [], ["2026-11-24"], [], ["2026-11-26"], []]


async def test_a_daily_rate_that_failed_is_told_later(ctx, double, clock):
    watch = Watch(ctx, "daily_crypto_price", time="10:00")
    await watch.look()
    clock.at = START + timedelta(hours=1, minutes=2)
    double.fails(429, Retry_After="60")
    with pytest.raises(Retry):
        await watch.look()
    double.broken = None
    assert [event.id for event in await watch.look()] == ["2026-11-23"]
    assert not await watch.look()


async def test_the_state_survives_a_failed_look(ctx, double):
    watch = Watch(ctx, "crypto_price_crosses", direction="above", threshold=120)
    await prices(watch, double, [100])
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    double.broken = None
    assert await prices(watch, double, [130, 130]) == [1, 0]


async def test_what_the_vendors_do_not_know(ctx, double):
    with pytest.raises(Permanent, match="invalid currency: XXX"):
        await api.exchange_rate(ctx, "XXX", "USD", "blended")
    double.rates = {}
    with pytest.raises(Permanent, match="no rate of EUR in USD"):
        await api.exchange_rate(ctx, "EUR", "USD", "blended")
    with pytest.raises(Permanent, match=r"no coin 'btc'. Take the API ID"):
        await api.coin_price(ctx, "btc", "usd")
    with pytest.raises(Permanent, match="no price of bitcoin in 'xyz'"):
        await api.coin_price(ctx, "bitcoin", "xyz")


@pytest.mark.parametrize("action", ["exchange_rate_crosses", "crypto_price_crosses"])
async def test_errors(ctx, double, action):
    watch = Watch(ctx, action, direction="above", threshold=1)
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
