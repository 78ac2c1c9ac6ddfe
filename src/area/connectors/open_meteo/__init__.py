"""Weather: current conditions and forecasts of any place, from Open-Meteo."""

from datetime import date, datetime, timedelta
from itertools import zip_longest
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator

from area.connectors.open_meteo.place import locate, on_earth
from area.sdk import (
    Context,
    Event,
    Events,
    Gone,
    Output,
    Permanent,
    Sentence,
    Service,
    ZoneName,
    daily,
    entered,
    lookup,
    output,
    param,
    parse,
)

FORECAST = "https://api.open-meteo.com/v1/forecast"
EVERY = timedelta(minutes=15)  # as often as current conditions change; the free API allows 10,000 calls a day
LATE = timedelta(hours=1)  # current conditions are dated at the begin of their quarter of an hour
SOON = timedelta(minutes=5)

service = Service(
    "open_meteo",
    "Weather",
    "React to current weather and forecasts of any place, from Open-Meteo.",
    docs="https://open-meteo.com/en/docs",
    synonyms={
        "": "weather, forecast, meteo, climate",
        "current_condition_changes": (
            "snow, fog, thunderstorm, storm, sunny, clear sky, starts raining, weather alert, hail, cloudy, bad"
            " weather, nice weather"
        ),
        "temperature_crosses": (
            "cold, hot, freezing, frost, ice, heat wave, warm, degrees, below zero, degrees outside, too hot, too cold,"
            " chilly, boiling"
        ),
        "wind_speed_crosses": "windy, storm, gust, hurricane",
        "humidity_crosses": "humid, dry air, damp",
        "uv_index_crosses": "sunburn, sun cream, sunscreen",
        "rain_expected": "umbrella, it will rain, raining, rain tomorrow, shower, precipitation",
        "todays_weather_report": "today's weather, forecast, daily weather, morning weather, weather now, what to wear",
        "tomorrows_forecast": "weather forecast, rain tomorrow",
    },
)

UNITS = {
    "metric": {"temperature_unit": "celsius", "wind_speed_unit": "kmh", "precipitation_unit": "mm"},
    "us": {"temperature_unit": "fahrenheit", "wind_speed_unit": "mph", "precipitation_unit": "inch"},
}
# "WMO Weather interpretation codes" of https://open-meteo.com/en/docs, and the word that we group them by
WEATHER: dict[int | None, tuple[str, str]] = {
    0: ("clear", "Clear sky"), 1: ("clear", "Mainly clear"), 2: ("cloudy", "Partly cloudy"), 3: ("cloudy", "Overcast"),
    45: ("fog", "Fog"), 48: ("fog", "Depositing rime fog"),
    51: ("rain", "Light drizzle"), 53: ("rain", "Moderate drizzle"), 55: ("rain", "Dense drizzle"),
    56: ("rain", "Light freezing drizzle"), 57: ("rain", "Dense freezing drizzle"),
    61: ("rain", "Slight rain"), 63: ("rain", "Moderate rain"), 65: ("rain", "Heavy rain"),
    66: ("rain", "Light freezing rain"), 67: ("rain", "Heavy freezing rain"),
    71: ("snow", "Slight snow fall"), 73: ("snow", "Moderate snow fall"), 75: ("snow", "Heavy snow fall"),
    77: ("snow", "Snow grains"), 85: ("snow", "Slight snow showers"), 86: ("snow", "Heavy snow showers"),
    80: ("rain", "Slight rain showers"), 81: ("rain", "Moderate rain showers"), 82: ("rain", "Violent rain showers"),
    95: ("thunderstorm", "Thunderstorm"),
    96: ("thunderstorm", "Thunderstorm with slight hail"), 99: ("thunderstorm", "Thunderstorm with heavy hail"),
}  # fmt: skip
GROUPS = "clear, cloudy, fog, rain, snow, thunderstorm, or unknown"
WHERE = "Place name, with region or country if needed, or latitude and longitude"

Place = Annotated[str, AfterValidator(on_earth), param(WHERE, "Paris, France", min_length=2, max_length=200)]
Units = Annotated[Literal["metric", "us"], param("metric (°C, km/h, mm) or us (°F, mph, inches)", "metric")]
Condition = Literal["any", "clear", "cloudy", "fog", "rain", "snow", "thunderstorm"]
Direction = Annotated[Literal["above", "below"], param("Rises above or drops below", "above")]
Time = Annotated[str, param("Time of day", "07:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[ZoneName, param("Time zone", "Europe/Paris")]
Only = Annotated[Condition, param("Only if this is forecast", "rain")]
Clock = Annotated[str, BeforeValidator(lambda local: str(local or "").rpartition("T")[2])]


class Conditions(Output):
    place: str = output("place", "Place", "Paris, Île-de-France, France")
    time: datetime = output("current.time", "Time of the measurement", "2026-11-23T09:15:00Z")
    condition: str = output("condition", GROUPS, "rain")
    description: str = output("description", "Condition in more detail", "Slight rain")
    temperature: float | None = output("current.temperature_2m", "Temperature, in °C or °F", 7.4)
    feels_like: float | None = output("current.apparent_temperature", "Apparent temperature", 5.1)
    humidity: float | None = output("current.relative_humidity_2m", "Relative humidity in percent", 82)
    precipitation: float | None = output("current.precipitation", "Recent rain and snow, in mm or inches", 0.3)
    wind_speed: float | None = output("current.wind_speed_10m", "Wind speed, in km/h or mph", 14.2)
    wind_gusts: float | None = output("current.wind_gusts_10m", "Gust speed, in km/h or mph", 31.5)
    uv_index: float | None = output("hourly.uv_index.0", "UV index of this hour", 1.2, None)


class Forecast(Output):
    place: str = output("place", "Place", "Paris, Île-de-France, France")
    day: date = output("time", "Day of the forecast", "2026-11-24")
    condition: str = output("condition", GROUPS, "rain")
    description: str = output("description", "Condition in more detail", "Moderate rain")
    temperature_min: float | None = output("temperature_2m_min", "Lowest temperature, in °C or °F", 4.1, None)
    temperature_max: float | None = output("temperature_2m_max", "Highest temperature, in °C or °F", 9.8, None)
    precipitation: float | None = output("precipitation_sum", "Rain and snow of the day, in mm or inches", 6.2, None)
    precipitation_probability: float | None = output(
        "precipitation_probability_max", "Highest probability in percent", 85, None
    )
    wind_speed_max: float | None = output("wind_speed_10m_max", "Highest wind speed, in km/h or mph", 28.4, None)
    uv_index_max: float | None = output("uv_index_max", "Highest UV index", 1.6, None)
    sunrise: Clock = output("sunrise", "Time of sunrise", "08:12", "")
    sunset: Clock = output("sunset", "Time of sunset", "17:01", "")


class Hours(BaseModel):
    """Open-Meteo's forecast for the next hours."""

    time: list[datetime]
    precipitation: list[float | None]
    precipitation_probability: list[float | None]


class RainExpected(Output):
    place: str = output("place", "Place", "Paris, Île-de-France, France")
    starts: datetime = output("starts", "Hour it is expected", "2026-11-23T14:00:00Z")
    precipitation: float = output("precipitation", "Amount in that hour, in mm or inches", 1.4)
    probability: float = output("probability", "Probability in percent", 70)


@service.poll("Weather condition changes", every=EVERY, overlap=LATE)
async def current_condition_changes(
    ctx: Context,
    place: Place,
    units: Units = "metric",
    condition: Annotated[Condition, param("New condition", "rain")] = "any",
) -> Events[Conditions]:
    """Triggers when the weather changes to rain, snow, fog, thunderstorm, clouds or a clear sky."""
    now = await conditions(ctx, place, units)
    before, ctx.state["condition"] = ctx.state.get("condition"), now.condition
    if before not in (None, now.condition) and condition in ("any", now.condition):
        yield Event(now.time.isoformat(), now, now.time)


def _crossing(name: str, what: str, exactly: str) -> None:
    """Declare `name_crosses`: a value of the current conditions crosses a threshold."""

    async def crosses(
        ctx: Context,
        place: Place,
        units: Units = "metric",
        *,
        direction: Direction,
        threshold: Annotated[float, param("Threshold", 25)],
    ) -> Events[Conditions]:
        now = await conditions(ctx, place, units)
        value: float | None = getattr(now, name)
        if value is None:
            return
        if entered(ctx.state, inside=value > threshold if direction == "above" else value < threshold):
            yield Event(now.time.isoformat(), now, now.time)

    crosses.__name__ = f"{name}_crosses"
    crosses.__doc__ = (
        f"Triggers when the {exactly} rises above or drops below a value; again only after it has been back on "
        "the other side."
    )
    service.poll(f"{what[0].upper()}{what[1:]} crosses a threshold", every=EVERY, overlap=LATE)(crosses)


_crossing("temperature", "temperature", "temperature")
_crossing("wind_speed", "wind speed", "wind speed")
_crossing("humidity", "humidity", "relative humidity")
_crossing("uv_index", "UV index", "UV index")


@service.poll("Rain expected", every=EVERY)
async def rain_expected(
    ctx: Context,
    place: Place,
    units: Units = "metric",
    hours: Annotated[int, param("Hours ahead", 6, ge=1, le=48)] = 6,
    probability: Annotated[int, param("Minimum probability in percent", 50, ge=0, le=100)] = 50,
    amount: Annotated[float, param("Minimum rain or snow in one hour, in mm or inches", 0.5, gt=0)] = 0.1,
) -> Events[RainExpected]:
    """Triggers when rain or snow is newly forecast for the next hours."""
    # https://open-meteo.com/en/docs: `hourly`, `forecast_hours`
    query = {"hourly": "precipitation,precipitation_probability", "forecast_hours": str(hours)}
    answer = await _asked(ctx, place, units, query | {"timeformat": "unixtime"})
    body = parse(Hours, answer.get("hourly"), "Open-Meteo")
    for at, fallen, chance in zip(body.time, body.precipitation, body.precipitation_probability, strict=False):
        likely = 100 if chance is None else chance  # not every weather model tells it
        if (fallen or 0) >= amount and likely >= probability:
            rain = RainExpected(place=answer["place"], starts=at, precipitation=fallen or 0, probability=likely)
            if entered(ctx.state, inside=True):
                yield Event(at.isoformat(), rain)
            return
    entered(ctx.state, inside=False)


@service.poll("Today's weather report", every=SOON)
def todays_weather_report(
    ctx: Context, place: Place, units: Units = "metric", *, time: Time, timezone: Zone = "UTC", condition: Only = "any"
) -> Events[Forecast]:
    """Runs every day at the time you choose, with today's forecast."""
    return _daily(ctx, 0, place, units, time, timezone, condition)


@service.poll("Tomorrow's forecast", every=SOON)
def tomorrows_forecast(
    ctx: Context, place: Place, units: Units = "metric", *, time: Time, timezone: Zone = "UTC", condition: Only = "any"
) -> Events[Forecast]:
    """Runs every day at the time you choose, with tomorrow's forecast, or only if a condition is forecast."""
    return _daily(ctx, 1, place, units, time, timezone, condition)


@service.lookup("Get the current weather")
async def get_weather(ctx: Context, place: Place, units: Units = "metric") -> Conditions | None:
    """Get the current weather at a place."""
    try:
        return await conditions(ctx, place, units)
    except Gone:
        return None


@service.lookup("Get a forecast")
async def get_forecast(
    ctx: Context,
    place: Place,
    units: Units = "metric",
    day: Annotated[Literal["today", "tomorrow"], param("Day of the forecast", "tomorrow")] = "today",
    timezone: Zone = "UTC",
) -> Forecast | None:
    """Get the forecast of a place for today or tomorrow."""
    today = datetime.now(ZoneInfo(timezone)).date()
    try:
        return await forecast(ctx, place, units, timezone, today + timedelta(days=day == "tomorrow"))
    except Gone:
        return None


async def _daily(
    ctx: Context, ahead: int, place: str, units: str, time: str, timezone: str, condition: str
) -> Events[Forecast]:
    if planned := daily(ctx.state, time, timezone):
        today = datetime.now(planned.tzinfo).date()  # also when it is told late
        days = await forecast(ctx, place, units, timezone, today + timedelta(days=ahead))
        if condition in ("any", days.condition):
            yield Event(planned.date().isoformat(), days, planned)


async def conditions(ctx: Context, place: str, units: str) -> Conditions:
    """The current weather at a place."""
    # https://open-meteo.com/en/docs: `current`; the UV index is one of `hourly`
    query = {
        "current": "temperature_2m,relative_humidity_2m,apparent_temperature,precipitation,weather_code,"
        "wind_speed_10m,wind_gusts_10m",
        "hourly": "uv_index",
        "forecast_hours": "1",
        "timeformat": "unixtime",
    }
    answer = await _asked(ctx, place, units, query)
    return parse(Conditions, answer | _weather(lookup("current.weather_code", answer)), "Open-Meteo")


async def forecast(ctx: Context, place: str, units: str, zone: str, day: date) -> Forecast:
    """The forecast of a place for `day`, today or tomorrow in `zone`."""
    # https://open-meteo.com/en/docs: `daily`, which needs `timezone`
    query = {
        "daily": "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,"
        "wind_speed_10m_max,uv_index_max,sunrise,sunset",
        "forecast_days": "3",
        "timezone": zone,
    }
    answer = await _asked(ctx, place, units, query)
    columns = parse(dict[str, list[Any]], answer.get("daily"), "Open-Meteo")
    rows = (dict(zip(columns, values, strict=True)) for values in zip_longest(*columns.values()))
    row = next((row for row in rows if row.get("time") == day.isoformat()), None)
    if row is None:
        raise Permanent(Sentence("Open-Meteo returned no forecast for %(day)s.", day=day))
    return parse(Forecast, {**row, "place": answer["place"], **_weather(row.get("weather_code"))}, "Open-Meteo")


async def _asked(ctx: Context, place: str, units: str, query: dict[str, str]) -> dict[str, Any]:
    spot = await locate(ctx, place)
    where = {"latitude": str(spot.latitude), "longitude": str(spot.longitude)}
    answer = await ctx.http.get(FORECAST, params={**where, **UNITS[units], **query})
    return {**parse(dict[str, Any], answer, "Open-Meteo"), "place": spot.name}


def _weather(code: Any) -> dict[str, str]:
    condition, description = WEATHER.get(parse(int | None, code, "Open-Meteo"), ("unknown", "Unknown"))
    return {"condition": condition, "description": description}
