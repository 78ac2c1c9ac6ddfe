"""Against a double made from Open-Meteo's documentation and its openapi.yml; never run against Open-Meteo itself."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area.connectors import open_meteo
from area.connectors.open_meteo import api, service
from area.kit.http import Client
from area.kit.net import Guard
from area.sdk import Context, Event, Http, Permanent, Retry
from area.sdk.dedupe import Seen, fresh

# openapi/forecast.yml of github.com/open-meteo/open-meteo
FORECAST = {
    "latitude", "longitude", "hourly", "daily", "current", "minutely_15", "elevation", "temperature_unit", "wind_speed_unit",
    "precipitation_unit", "timeformat", "timezone", "past_days", "forecast_days", "past_hours", "forecast_hours",
    "start_date", "end_date", "tilt", "azimuth", "cell_selection", "apikey", "models",
}  # fmt: skip
CURRENT = {
    "temperature_2m", "relative_humidity_2m", "apparent_temperature", "is_day", "precipitation", "rain", "showers", "snowfall",
    "weather_code", "cloud_cover", "pressure_msl", "surface_pressure", "wind_speed_10m", "wind_direction_10m", "wind_gusts_10m",
}  # fmt: skip
HOURLY = CURRENT | {"uv_index", "precipitation_probability"}
DAILY = {
    "weather_code", "temperature_2m_max", "temperature_2m_min", "apparent_temperature_max", "apparent_temperature_min",
    "sunrise", "sunset", "uv_index_max", "rain_sum", "snowfall_sum", "precipitation_sum", "precipitation_hours",
    "precipitation_probability_max", "wind_speed_10m_max", "wind_gusts_10m_max", "wind_direction_10m_dominant",
}  # fmt: skip
UNITS = {
    "temperature_unit": {"celsius", "fahrenheit"}, "wind_speed_unit": {"kmh", "ms", "mph", "kn"},
    "precipitation_unit": {"mm", "inch"}, "timeformat": {"iso8601", "unixtime"},
}  # fmt: skip
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PARIS = {
    "id": 2988507, "name": "Paris", "latitude": 48.85341, "longitude": 2.3488, "country_code": "FR", "country": "France",
    "admin1": "Île-de-France", "population": 2138551, "timezone": "Europe/Paris", "feature_code": "PPLC",
}  # fmt: skip
TEXAS = {
    "id": 4717560, "name": "Paris", "latitude": 33.66094, "longitude": -95.55551, "country_code": "US",
    "country": "United States", "admin1": "Texas", "population": 24782,
}  # fmt: skip
SPRINGFIELDS = [
    {"id": 1, "name": "Springfield", "latitude": 37.2, "longitude": -93.3, "country": "United States", "country_code": "US",
     "admin1": "Missouri", "population": 170188},
    {"id": 2, "name": "Springfield", "latitude": 42.1, "longitude": -72.6, "country": "United States", "country_code": "US",
     "admin1": "Massachusetts", "population": 154341},
]  # fmt: skip


def refusal(query: dict[str, str], asked: dict[str, list[str]]) -> str:
    """Why Open-Meteo would answer 400."""
    known = {"current": CURRENT, "hourly": HOURLY, "daily": DAILY}
    wrong = [f"unknown parameter {name}" for name in set(query) - FORECAST]
    wrong += [f"unknown variable {one}" for name, several in asked.items() for one in set(several) - known[name]]
    wrong += [f"{name} is wrong" for name, values in UNITS.items() if name in query and query[name] not in values]
    if not -90 <= float(query["latitude"]) <= 90:
        wrong.append(f"Latitude must be in range of -90 to 90°. Given: {query['latitude']}")
    if "daily" in query and "timezone" not in query:
        wrong.append("Timezone is required")
    return "; ".join(wrong)


class Double:
    """Open-Meteo: knows three names, one weather, and refuses what its description does not allow."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.places = {"Paris": [PARIS, TEXAS], "Springfield": SPRINGFIELDS}
        self.time = START
        self.now = dict.fromkeys(CURRENT, 0.0) | {"temperature_2m": 20.0, "weather_code": 0}
        self.hourly: dict[str, list[Any]] = {"uv_index": [1.0]}
        self.daily_code = 63
        self.broken: web.Response | None = None

    async def handle(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        if self.broken is not None:
            return web.Response(status=self.broken.status, body=self.broken.body, headers=self.broken.headers)
        if request.path == "/v1/search":
            assert set(query) <= {"name", "count", "format", "language", "apikey", "countryCode"}
            found = self.places.get(query["name"], [])
            return web.json_response({"generationtime_ms": 0.5} | ({"results": found} if found else {}))
        return self.forecast(query)

    def forecast(self, query: dict[str, str]) -> web.Response:
        asked = {name: query[name].split(",") for name in ("current", "hourly", "daily") if name in query}
        if reason := refusal(query, asked):
            return web.json_response({"error": True, "reason": reason}, status=400)
        answer: dict[str, Any] = {"latitude": 48.86, "longitude": 2.36, "utc_offset_seconds": 0, "timezone": "GMT"}
        stamp = int(self.time.timestamp())
        if "current" in asked:
            answer["current"] = {"time": stamp, "interval": 900} | {name: self.now[name] for name in asked["current"]}
        if "hourly" in asked:
            count = int(query["forecast_hours"])
            answer["hourly"] = {"time": [stamp + 3600 * hour for hour in range(count)]} | {
                name: (self.hourly[name] + [0.0] * count)[:count] for name in asked["hourly"]
            }
        if "daily" in asked:
            days = [(self.time.date() + timedelta(days=n)).isoformat() for n in range(int(query["forecast_days"]))]
            answer["daily"] = {"time": days} | {name: [0.5 + n for n in range(len(days))] for name in asked["daily"]}
            answer["daily"]["weather_code"] = [0, self.daily_code, 3]
            answer["daily"]["sunrise"] = [f"{day}T08:1{n}" for n, day in enumerate(days)]
            answer["daily"]["sunset"] = [f"{day}T17:0{n}" for n, day in enumerate(days)]
        return web.json_response(answer)

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
    monkeypatch.setattr(api, "FORECAST", str(server.make_url("/v1/forecast")))
    monkeypatch.setattr(api, "GEOCODING", str(server.make_url("/v1/search")))
    yield it
    await server.close()


class Watch:
    """What the engine does with a poll: the first look is the baseline, a failed one leaves no trace."""

    def __init__(self, ctx: Context, name: str, **params: Any) -> None:
        self.ctx, self.action = ctx, service.actions[name]
        self.params = self.action.params(**({"place": "48.86, 2.35"} | params))
        self.seen: Seen | None = None

    async def look(self) -> list[Event[Any]]:
        moment, self.ctx.state = open_meteo.datetime.now(UTC), dict(getattr(self, "state", {}))
        offered = [event async for event in self.action.function(self.ctx, self.params, moment)]
        new, seen = fresh(offered, self.seen or Seen(moment), moment, self.action.overlap)
        baseline, self.seen, self.state = self.seen is None, seen, json.loads(json.dumps(self.ctx.state))
        for event in offered:
            self.action.returns.model_validate(event.data.model_dump(mode="json"))
        return [] if baseline else new


class Clock(datetime):
    """A `datetime` whose now is `at`."""

    at = START

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.at.astimezone(tz)


@pytest.fixture
def clock(monkeypatch) -> type[Clock]:
    Clock.at = START
    monkeypatch.setattr(open_meteo, "datetime", Clock)
    return Clock


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    guard = Guard(allow=["127.0.0.1"])
    client = Client(guard)
    yield Context(http=Http(client), guard=guard, platform=cast(Any, None))
    await client.close()


async def looks(watch: Watch, double: Double, clock: type[Clock], name: str, values: list[float]) -> list[int]:
    fired = []
    for value in values:
        if name in double.hourly:
            double.hourly[name] = [value]
        else:
            double.now[name] = value
        fired.append(len(await watch.look()))
        clock.at += timedelta(minutes=15)
        double.time += timedelta(minutes=15)
    return fired


@pytest.mark.parametrize(
    ("action", "variable"),
    [
        ("temperature_crosses", "temperature_2m"),
        ("wind_speed_crosses", "wind_speed_10m"),
        ("humidity_crosses", "relative_humidity_2m"),
        ("uv_index_crosses", "uv_index"),
    ],
)
async def test_a_threshold_fires_when_it_is_passed_and_not_while_beyond(ctx, double, clock, action, variable):
    rises = Watch(ctx, action, direction="above", threshold=25)
    assert await looks(rises, double, clock, variable, [20, 25, 26, 27, 26, 24, 30]) == [0, 0, 1, 0, 0, 0, 1]
    drops = Watch(ctx, action, direction="below", threshold=25)
    assert await looks(drops, double, clock, variable, [20, 26, 25, 24.9, 20, 26, 24]) == [0, 0, 0, 1, 0, 0, 1]


async def test_what_is_beyond_at_the_first_look_does_not_fire(ctx, double, clock):
    watch = Watch(ctx, "temperature_crosses", direction="above", threshold=10)
    assert await looks(watch, double, clock, "temperature_2m", [20, 20, 5, 20]) == [0, 0, 0, 1]


async def test_the_state_survives_a_failed_look(ctx, double, clock):
    watch = Watch(ctx, "temperature_crosses", direction="above", threshold=25)
    assert await looks(watch, double, clock, "temperature_2m", [20]) == [0]
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    double.broken = None
    assert await looks(watch, double, clock, "temperature_2m", [26, 26]) == [1, 0]


async def test_an_absent_value_changes_nothing(ctx, double, clock):
    watch = Watch(ctx, "uv_index_crosses", direction="above", threshold=5)
    values = cast(Any, [4, None, 6, None, 6])
    assert await looks(watch, double, clock, "uv_index", values) == [0, 0, 1, 0, 0]


async def test_conditions_are_told_whole(ctx, double, clock):
    double.now |= {"weather_code": 61, "apparent_temperature": 18.5, "wind_gusts_10m": 31.0}
    watch = Watch(ctx, "temperature_crosses", direction="above", threshold=25, units="us")
    await watch.look()
    double.now["temperature_2m"] = 26.5
    double.time = clock.at = START + timedelta(minutes=20)
    (event,) = await watch.look()
    assert (event.id, event.at) == (double.time.isoformat(), double.time)
    assert (event.data.condition, event.data.description) == ("rain", "Slight rain")
    assert (event.data.temperature, event.data.feels_like, event.data.wind_gusts) == (26.5, 18.5, 31.0)
    (_, query), *_ = double.asked
    assert (query["latitude"], query["longitude"]) == ("48.86", "2.35")
    assert (query["temperature_unit"], query["wind_speed_unit"]) == ("fahrenheit", "mph")


async def test_the_condition_changes(ctx, double, clock):
    any_change = Watch(ctx, "current_condition_changes")
    codes = [0, 1, 3, 61, 80, 71, 95, 0]  # clear, clear, cloudy, rain, rain, snow, thunderstorm, clear
    assert await looks(any_change, double, clock, "weather_code", codes) == [0, 0, 1, 1, 0, 1, 1, 1]
    rain = Watch(ctx, "current_condition_changes", condition="rain")
    assert await looks(rain, double, clock, "weather_code", codes) == [0, 0, 0, 1, 0, 0, 0, 0]


async def test_rain_is_expected_once(ctx, double, clock):
    watch = Watch(ctx, "rain_expected", hours=3, probability=50, amount=0.5)
    dry: dict[str, list[Any]] = {"precipitation": [0, 0.4, 2.0], "precipitation_probability": [0, 90, 40]}
    double.hourly = dry
    assert not await watch.look()
    double.hourly = {"precipitation": [0, 0.4, 2.0], "precipitation_probability": [0, 90, 60]}
    (event,) = await watch.look()
    assert event.data.starts == START + timedelta(hours=2)
    assert (event.data.precipitation, event.data.probability) == (2.0, 60)
    assert not await watch.look()
    double.hourly = dry
    assert not await watch.look()
    double.time += timedelta(hours=5)
    double.hourly = {"precipitation": [0.5], "precipitation_probability": [None]}
    assert [one.data.starts for one in await watch.look()] == [double.time]


async def test_forecasts_are_told_at_their_time(ctx, double, clock):
    today = Watch(ctx, "todays_weather_report", time="07:00", timezone="America/New_York")  # 12:00 UTC
    tomorrow = Watch(ctx, "tomorrows_forecast", time="07:00", timezone="America/New_York")
    for watch in (today, tomorrow):
        assert not await watch.look()
        assert not await watch.look()
    assert not double.asked, "nothing is asked before the time"
    clock.at = datetime(2026, 11, 23, 12, 3, tzinfo=UTC)
    (event,) = await today.look()
    assert (event.id, event.at) == ("2026-11-23", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert (str(event.data.day), event.data.condition, event.data.sunrise) == ("2026-11-23", "clear", "08:10")
    assert double.asked[-1][1]["timezone"] == "America/New_York"
    (event,) = await tomorrow.look()
    assert (str(event.data.day), event.data.description, event.data.temperature_max) == (
        "2026-11-24",
        "Moderate rain",
        1.5,
    )
    assert not await today.look()
    clock.at += timedelta(days=1)
    double.time += timedelta(days=1)
    assert [one.id for one in await today.look()] == ["2026-11-24"]


async def test_a_forecast_missed_or_failed_is_told_late_and_once(ctx, double, clock):
    watch = Watch(ctx, "tomorrows_forecast", time="20:00")
    await watch.look()
    clock.at, double.time = START.replace(hour=20, minute=1), START
    double.fails(502)
    with pytest.raises(Retry):
        await watch.look()
    double.broken = None
    clock.at = START + timedelta(days=2)
    double.time = clock.at
    assert [(one.id, str(one.data.day)) for one in await watch.look()] == [("2026-11-24", "2026-11-26")]
    assert not await watch.look()


async def test_switched_on_after_the_time_it_begins_tomorrow(ctx, double, clock):
    watch = Watch(ctx, "todays_weather_report", time="08:00")
    assert not await watch.look()
    assert not await watch.look()
    clock.at += timedelta(days=1)
    double.time = clock.at
    assert len(await watch.look()) == 1


async def test_only_when_the_forecast_calls_for_it(ctx, double, clock):
    watch = Watch(ctx, "tomorrows_forecast", time="10:00", condition="snow")
    await watch.look()
    clock.at = START + timedelta(hours=2)
    assert not await watch.look()
    double.daily_code = 73
    assert not await watch.look(), "it is told once a day"
    clock.at += timedelta(days=1)
    double.time += timedelta(days=1)
    assert [one.data.condition for one in await watch.look()] == ["snow"]


async def test_a_name_is_looked_up_once(ctx, double, clock):
    watch = Watch(ctx, "current_condition_changes", place="Paris")
    await watch.look()
    double.now["weather_code"] = 3
    double.time = clock.at = START + timedelta(minutes=15)
    (event,) = await watch.look()
    assert event.data.place == "Paris, Île-de-France, France"
    assert [path for path, _ in double.asked].count("/v1/search") == 1
    assert double.asked[-1][1]["latitude"] == "48.85341"


async def test_which_place_is_meant(ctx, double):
    assert (await api.locate(ctx, "Paris, Texas")).latitude == 33.66094
    assert (await api.locate(ctx, "Paris, us")).latitude == 33.66094
    assert (await api.locate(ctx, "Paris")).latitude == 48.85341
    assert (await api.locate(ctx, "Springfield, Missouri")).name == "Springfield, Missouri, United States"
    with pytest.raises(Permanent, match=r"several places 'Springfield': Springfield, Missouri.*Massachusetts"):
        await api.locate(ctx, "Springfield")
    with pytest.raises(Permanent, match=r"no place 'Paris, Japan'. There are Paris, Île-de-France"):
        await api.locate(ctx, "Paris, Japan")
    with pytest.raises(Permanent, match=r"no place 'Xyzzy'. Check the spelling"):
        await api.locate(ctx, "Xyzzy")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_refusals_are_permanent(ctx, double, status):
    double.fails(status, b'{"error": true, "reason": "Latitude must be in range"}')
    with pytest.raises(Permanent, match="Latitude must be in range"):
        await Watch(ctx, "current_condition_changes").look()


async def test_what_passes_is_tried_again(ctx, double):
    double.fails(429, b'{"error": true, "reason": "Minutely API request limit exceeded."}', Retry_After="60")
    with pytest.raises(Retry, match="Minutely") as error:
        await Watch(ctx, "current_condition_changes").look()
    assert error.value.after == timedelta(seconds=60)
    double.fails(500)
    with pytest.raises(Retry):
        await Watch(ctx, "current_condition_changes").look()


@pytest.mark.parametrize(
    "body", [b"{", b"<html>", b"[]", b"{}", b'{"current": {"time": "soon"}, "hourly": {"time": []}}']
)
@pytest.mark.parametrize("action", ["current_condition_changes", "rain_expected"])
async def test_a_broken_answer_is_permanent(ctx, double, action, body):
    double.fails(200, body)
    with pytest.raises(Permanent):
        await Watch(ctx, action).look()


def test_parameters():
    place = service.actions["rain_expected"].params
    for wrong in ("91, 0", "0, 181", "x", ""):
        with pytest.raises(ValidationError):
            place(place=wrong)
    assert place(place="-33.87 151.21")
    daily = service.actions["tomorrows_forecast"].params
    for wrong in ("7:00", "24:00", "noon"):
        with pytest.raises(ValidationError):
            daily(place="Paris", time=wrong)


def test_it_says_that_it_was_never_run_against_the_vendor():
    assert service.quality == "generated"
    assert {path.stem for path in (Path(__file__).parent / "fixtures").glob("*.json")} == set(service.actions)
