"""Against a double made from Open-Meteo's documentation and its openapi.yml; never run against Open-Meteo itself."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine
from pydantic import ValidationError

from area.connectors.open_meteo import service
from area.connectors.open_meteo.place import locate
from area.sdk import Context, Permanent, Retry, now
from area.sdk.testing import Answer, Asked, Double, Watch, act, connector, finds_nothing

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


def refusal(query: dict[str, str], request: dict[str, list[str]]) -> str:
    """Why Open-Meteo would answer 400."""
    known = {"current": CURRENT, "hourly": HOURLY, "daily": DAILY}
    wrong = [f"unknown parameter {name}" for name in set(query) - FORECAST]
    wrong += [f"unknown variable {item}" for name, several in request.items() for item in set(several) - known[name]]
    wrong += [f"{name} is wrong" for name, values in UNITS.items() if name in query and query[name] not in values]
    if not -90 <= float(query["latitude"]) <= 90:
        wrong.append(f"Latitude must be in range of -90 to 90°. Given: {query['latitude']}")
    if "daily" in query and "timezone" not in query:
        wrong.append("Timezone is required")
    return "; ".join(wrong)


HERE = {"place": "48.86, 2.35"}


class OpenMeteo(Double):
    """Open-Meteo: knows three names, one weather, and refuses what its description does not allow."""

    def __init__(self) -> None:
        super().__init__(None, ("https://api.open-meteo.com/v1", "https://geocoding-api.open-meteo.com/v1"))
        self.on("GET", "/forecast", self.forecast)
        self.on("GET", "/search", self.search)
        self.places = {"Paris": [PARIS, TEXAS], "Springfield": SPRINGFIELDS}
        self.time = START
        self.now = dict.fromkeys(CURRENT, 0.0) | {"temperature_2m": 20.0, "weather_code": 0}
        self.hourly: dict[str, list[Any]] = {"uv_index": [1.0]}
        self.daily_code = 63

    def search(self, request: Asked) -> Any:
        assert set(request.query) <= {"name", "count", "format", "language", "apikey", "countryCode"}
        result = self.places.get(request.query["name"], [])
        return {"generationtime_ms": 0.5} | ({"results": result} if result else {})

    def forecast(self, request: Asked) -> Any:
        query = dict(request.query)
        sent = {name: query[name].split(",") for name in ("current", "hourly", "daily") if name in query}
        if reason := refusal(query, sent):
            return Answer(400, {"error": True, "reason": reason})
        answer: dict[str, Any] = {"latitude": 48.86, "longitude": 2.36, "utc_offset_seconds": 0, "timezone": "GMT"}
        stamp = int(self.time.timestamp())
        if "current" in sent:
            answer["current"] = {"time": stamp, "interval": 900} | {name: self.now[name] for name in sent["current"]}
        if "hourly" in sent:
            count = int(query["forecast_hours"])
            answer["hourly"] = {"time": [stamp + 3600 * hour for hour in range(count)]} | {
                name: (self.hourly[name] + [0.0] * count)[:count] for name in sent["hourly"]
            }
        if "daily" in sent:
            days = [(self.time.date() + timedelta(days=n)).isoformat() for n in range(int(query["forecast_days"]))]
            answer["daily"] = {"time": days} | {name: [0.5 + n for n in range(len(days))] for name in sent["daily"]}
            answer["daily"]["weather_code"] = [0, self.daily_code, 3]
            answer["daily"]["sunrise"] = [f"{day}T08:1{n}" for n, day in enumerate(days)]
            answer["daily"]["sunset"] = [f"{day}T17:0{n}" for n, day in enumerate(days)]
        return answer


@pytest.fixture
async def double() -> AsyncIterator[OpenMeteo]:
    async with OpenMeteo() as double:
        yield double


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
async def ctx(double) -> AsyncIterator[Context]:
    async with connector(service, double) as ctx:
        yield ctx


async def looks(
    watch: Watch, double: OpenMeteo, clock: time_machine.Traveller, name: str, values: list[float]
) -> list[int]:
    fired = []
    for value in values:
        if name in double.hourly:
            double.hourly[name] = [value]
        else:
            double.now[name] = value
        fired.append(len(await watch.look()))
        clock.shift(timedelta(minutes=15))
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
    rises = Watch(ctx, service.actions[action], **HERE, direction="above", threshold=25)
    assert await looks(rises, double, clock, variable, [20, 25, 26, 27, 26, 24, 30]) == [0, 0, 1, 0, 0, 0, 1]
    drops = Watch(ctx, service.actions[action], **HERE, direction="below", threshold=25)
    assert await looks(drops, double, clock, variable, [20, 26, 25, 24.9, 20, 26, 24]) == [0, 0, 0, 1, 0, 0, 1]


async def test_what_is_beyond_at_the_first_look_does_not_fire(ctx, double, clock):
    watch = Watch(ctx, service.actions["temperature_crosses"], **HERE, direction="above", threshold=10)
    assert await looks(watch, double, clock, "temperature_2m", [20, 20, 5, 20]) == [0, 0, 0, 1]


async def test_the_state_survives_a_failed_look(ctx, double, clock):
    watch = Watch(ctx, service.actions["temperature_crosses"], **HERE, direction="above", threshold=25)
    assert await looks(watch, double, clock, "temperature_2m", [20]) == [0]
    double.fails(503)
    with pytest.raises(Retry):
        await watch.look()
    double.works()
    assert await looks(watch, double, clock, "temperature_2m", [26, 26]) == [1, 0]


async def test_an_absent_value_changes_nothing(ctx, double, clock):
    watch = Watch(ctx, service.actions["uv_index_crosses"], **HERE, direction="above", threshold=5)
    values = cast(Any, [4, None, 6, None, 6])
    assert await looks(watch, double, clock, "uv_index", values) == [0, 0, 1, 0, 0]


async def test_conditions_are_told_whole(ctx, double, clock):
    double.now |= {"weather_code": 61, "apparent_temperature": 18.5, "wind_gusts_10m": 31.0}
    watch = Watch(ctx, service.actions["temperature_crosses"], **HERE, direction="above", threshold=25, units="us")
    await watch.look()
    double.now["temperature_2m"] = 26.5
    clock.move_to(START + timedelta(minutes=20))
    double.time = now()
    (event,) = await watch.look()
    assert (event.id, event.at) == (double.time.isoformat(), double.time)
    assert (event.data.condition, event.data.description) == ("rain", "Slight rain")
    assert (event.data.temperature, event.data.feels_like, event.data.wind_gusts) == (26.5, 18.5, 31.0)
    query = double.asked[0].query
    assert (query["latitude"], query["longitude"]) == ("48.86", "2.35")
    assert (query["temperature_unit"], query["wind_speed_unit"]) == ("fahrenheit", "mph")


async def test_the_condition_changes(ctx, double, clock):
    any_change = Watch(ctx, service.actions["current_condition_changes"], **HERE)
    codes = [0, 1, 3, 61, 80, 71, 95, 0]  # clear, clear, cloudy, rain, rain, snow, thunderstorm, clear
    assert await looks(any_change, double, clock, "weather_code", codes) == [0, 0, 1, 1, 0, 1, 1, 1]
    rain = Watch(ctx, service.actions["current_condition_changes"], **HERE, condition="rain")
    assert await looks(rain, double, clock, "weather_code", codes) == [0, 0, 0, 1, 0, 0, 0, 0]


async def test_rain_is_expected_once(ctx, double, clock):
    watch = Watch(ctx, service.actions["rain_expected"], **HERE, hours=3, probability=50, amount=0.5)
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
    assert [item.data.starts for item in await watch.look()] == [double.time]


async def test_forecasts_are_told_at_their_time(ctx, double, clock):
    today = Watch(
        ctx, service.actions["todays_weather_report"], **HERE, time="07:00", timezone="America/New_York"
    )  # 12:00 UTC
    tomorrow = Watch(ctx, service.actions["tomorrows_forecast"], **HERE, time="07:00", timezone="America/New_York")
    for watch in (today, tomorrow):
        assert not await watch.look()
        assert not await watch.look()
    assert not double.asked, "nothing is asked before the time"
    clock.move_to(datetime(2026, 11, 23, 12, 3, tzinfo=UTC))
    (event,) = await today.look()
    assert (event.id, event.at) == ("2026-11-23", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert (str(event.data.day), event.data.condition, event.data.sunrise) == ("2026-11-23", "clear", "08:10")
    assert double.asked[-1].query["timezone"] == "America/New_York"
    (event,) = await tomorrow.look()
    assert (str(event.data.day), event.data.description, event.data.temperature_max) == (
        "2026-11-24",
        "Moderate rain",
        1.5,
    )
    assert not await today.look()
    clock.shift(timedelta(days=1))
    double.time += timedelta(days=1)
    assert [item.id for item in await today.look()] == ["2026-11-24"]


async def test_a_forecast_missed_or_failed_is_told_late_and_once(ctx, double, clock):
    watch = Watch(ctx, service.actions["tomorrows_forecast"], **HERE, time="20:00")
    await watch.look()
    clock.move_to(START.replace(hour=20, minute=1))
    double.time = START
    double.fails(502)
    with pytest.raises(Retry):
        await watch.look()
    double.works()
    clock.move_to(START + timedelta(days=2))
    double.time = now()
    assert [(item.id, str(item.data.day)) for item in await watch.look()] == [("2026-11-24", "2026-11-26")]
    assert not await watch.look()


async def test_switched_on_after_the_time_it_begins_tomorrow(ctx, double, clock):
    watch = Watch(ctx, service.actions["todays_weather_report"], **HERE, time="08:00")
    assert not await watch.look()
    assert not await watch.look()
    clock.shift(timedelta(days=1))
    double.time = now()
    assert len(await watch.look()) == 1


async def test_only_when_the_forecast_calls_for_it(ctx, double, clock):
    watch = Watch(ctx, service.actions["tomorrows_forecast"], **HERE, time="10:00", condition="snow")
    await watch.look()
    clock.move_to(START + timedelta(hours=2))
    assert not await watch.look()
    double.daily_code = 73
    assert not await watch.look(), "it is told once a day"
    clock.shift(timedelta(days=1))
    double.time += timedelta(days=1)
    assert [item.data.condition for item in await watch.look()] == ["snow"]


async def test_a_name_is_looked_up_once(ctx, double, clock):
    watch = Watch(ctx, service.actions["current_condition_changes"], place="Paris")
    await watch.look()
    double.now["weather_code"] = 3
    clock.move_to(START + timedelta(minutes=15))
    double.time = now()
    (event,) = await watch.look()
    assert event.data.place == "Paris, Île-de-France, France"
    assert [item.route for item in double.asked].count("/search") == 1
    assert double.asked[-1].query["latitude"] == "48.85341"


async def test_which_place_is_meant(ctx, double):
    assert (await locate(ctx, "Paris, Texas")).latitude == 33.66094
    assert (await locate(ctx, "Paris, us")).latitude == 33.66094
    assert (await locate(ctx, "Paris")).latitude == 48.85341
    assert (await locate(ctx, "Springfield, Missouri")).name == "Springfield, Missouri, United States"
    with pytest.raises(
        Permanent, match=r"Several places are called \"Springfield\": Springfield, Missouri.*Massachusetts"
    ):
        await locate(ctx, "Springfield")
    with pytest.raises(Permanent, match=r'no place "Paris, Japan"\. It has: Paris, Île-de-France'):
        await locate(ctx, "Paris, Japan")
    with pytest.raises(Permanent, match=r'no place "Xyzzy"\. Check the spelling'):
        await locate(ctx, "Xyzzy")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_refusals_are_permanent(ctx, double, status):
    double.fails(status, b'{"error": true, "reason": "Latitude must be in range"}')
    with pytest.raises(Permanent, match="Latitude must be in range"):
        await Watch(ctx, service.actions["current_condition_changes"], **HERE).look()


async def test_what_passes_is_tried_again(ctx, double):
    double.fails(429, b'{"error": true, "reason": "Minutely API request limit exceeded."}', Retry_After="60")
    with pytest.raises(Retry, match="Minutely") as error:
        await Watch(ctx, service.actions["current_condition_changes"], **HERE).look()
    assert error.value.after == timedelta(seconds=60)
    double.fails(500)
    with pytest.raises(Retry):
        await Watch(ctx, service.actions["current_condition_changes"], **HERE).look()


@pytest.mark.parametrize(
    "body", [b"{", b"<html>", b"[]", b"{}", b'{"current": {"time": "soon"}, "hourly": {"time": []}}']
)
@pytest.mark.parametrize("action", ["current_condition_changes", "rain_expected"])
async def test_a_broken_answer_is_permanent(ctx, double, action, body):
    double.fails(200, body)
    with pytest.raises(Permanent):
        await Watch(ctx, service.actions[action], **HERE).look()


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


async def test_the_weather_is_looked_up(ctx, double):
    double.now |= {"temperature_2m": 7.5, "weather_code": 61}
    now = await act(ctx, service.reactions["get_weather"], place="Paris, France")
    assert (now.found, now.place, now.temperature, now.condition) == (True, "Paris, Île-de-France, France", 7.5, "rain")
    tomorrow = await act(ctx, service.reactions["get_forecast"], place="Paris, France", day="tomorrow", timezone="UTC")
    assert (tomorrow.day.isoformat(), tomorrow.condition, tomorrow.sunrise) == ("2026-11-24", "rain", "08:11")
    assert (await act(ctx, service.reactions["get_forecast"], place="48.86, 2.35")).condition == "clear"
    await finds_nothing(ctx, service.reactions["get_weather"], place="Nowhere")
    await finds_nothing(ctx, service.reactions["get_forecast"], place="Nowhere")
