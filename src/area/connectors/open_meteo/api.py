"""What is asked of Open-Meteo: where a place is, the weather there now, and the forecast."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from area.sdk import Context, Permanent, parse

FORECAST = "https://api.open-meteo.com/v1/forecast"
GEOCODING = "https://geocoding-api.open-meteo.com/v1/search"
LARGER = 10  # times as many inhabitants as the next place of that name: the one that is meant
COORDINATES = re.compile(r"\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*[,;\s]\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*")

Units = Literal["metric", "us"]
UNITS: dict[Units, dict[str, str]] = {
    "metric": {"temperature_unit": "celsius", "wind_speed_unit": "kmh", "precipitation_unit": "mm"},
    "us": {"temperature_unit": "fahrenheit", "wind_speed_unit": "mph", "precipitation_unit": "inch"},
}

# "WMO Weather interpretation codes" of https://open-meteo.com/en/docs, and the word that we group them by
WEATHER = {
    0: ("clear", "Clear sky"), 1: ("clear", "Mainly clear"), 2: ("cloudy", "Partly cloudy"), 3: ("cloudy", "Overcast"),
    45: ("fog", "Fog"), 48: ("fog", "Depositing rime fog"),
    51: ("rain", "Light drizzle"), 53: ("rain", "Moderate drizzle"), 55: ("rain", "Dense drizzle"),
    56: ("rain", "Light freezing drizzle"), 57: ("rain", "Dense freezing drizzle"),
    61: ("rain", "Slight rain"), 63: ("rain", "Moderate rain"), 65: ("rain", "Heavy rain"),
    66: ("rain", "Light freezing rain"), 67: ("rain", "Heavy freezing rain"),
    71: ("snow", "Slight snow fall"), 73: ("snow", "Moderate snow fall"), 75: ("snow", "Heavy snow fall"),
    77: ("snow", "Snow grains"),
    80: ("rain", "Slight rain showers"), 81: ("rain", "Moderate rain showers"), 82: ("rain", "Violent rain showers"),
    85: ("snow", "Slight snow showers"), 86: ("snow", "Heavy snow showers"),
    95: ("thunderstorm", "Thunderstorm"),
    96: ("thunderstorm", "Thunderstorm with slight hail"), 99: ("thunderstorm", "Thunderstorm with heavy hail"),
}  # fmt: skip

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the map."""

    name: str
    latitude: float
    longitude: float


class _Found(BaseModel):
    name: str
    latitude: float
    longitude: float
    country: str = ""
    country_code: str = ""
    admin1: str = ""
    admin2: str = ""
    admin3: str = ""
    admin4: str = ""
    population: int = 0

    @property
    def label(self) -> str:
        return ", ".join(dict.fromkeys(part for part in (self.name, self.admin1, self.country) if part))

    def lies_in(self, area: str) -> bool:
        areas = (self.country, self.country_code, self.admin1, self.admin2, self.admin3, self.admin4)
        return area.casefold() in (one.casefold() for one in areas)


class _Search(BaseModel):
    results: list[_Found] = []


class _Uv(BaseModel):
    uv_index: list[float | None]


class _Hours(BaseModel):
    time: list[int]
    precipitation: list[float | None]
    precipitation_probability: list[float | None]


class _Current(BaseModel):
    time: int
    temperature_2m: float | None
    relative_humidity_2m: float | None
    apparent_temperature: float | None
    precipitation: float | None
    weather_code: int | None
    wind_speed_10m: float | None
    wind_gusts_10m: float | None


class _CurrentAnswer(BaseModel):
    current: _Current
    hourly: _Uv


class _HourlyAnswer(BaseModel):
    hourly: _Hours


class _DailyAnswer(BaseModel):
    daily: dict[str, list[Any]]


class Conditions(BaseModel):
    """The weather now."""

    place: str = Field(description="Place", examples=["Paris, Île-de-France, France"])
    time: datetime = Field(description="When it was so", examples=["2026-11-23T09:15:00Z"])
    condition: str = Field(
        description="clear, cloudy, fog, rain, snow, thunderstorm, or unknown", examples=["rain"]
    )  # fmt: skip
    description: str = Field(description="The same in more words", examples=["Slight rain"])
    temperature: float | None = Field(description="Temperature, in °C or °F", examples=[7.4])
    feels_like: float | None = Field(description="Temperature as it feels", examples=[5.1])
    humidity: float | None = Field(description="Relative humidity in percent", examples=[82])
    precipitation: float | None = Field(description="Rain and snow just fallen, in mm or inches", examples=[0.3])
    wind_speed: float | None = Field(description="Wind speed, in km/h or mph", examples=[14.2])
    wind_gusts: float | None = Field(description="Speed of gusts, in km/h or mph", examples=[31.5])
    uv_index: float | None = Field(description="UV index of this hour", examples=[1.2])


class Forecast(BaseModel):
    """The forecast of one day."""

    place: str = Field(description="Place", examples=["Paris, Île-de-France, France"])
    day: date = Field(description="The day that is forecast", examples=["2026-11-24"])
    condition: str = Field(
        description="clear, cloudy, fog, rain, snow, thunderstorm, or unknown", examples=["rain"]
    )  # fmt: skip
    description: str = Field(description="The same in more words", examples=["Moderate rain"])
    temperature_min: float | None = Field(description="Lowest temperature, in °C or °F", examples=[4.1])
    temperature_max: float | None = Field(description="Highest temperature, in °C or °F", examples=[9.8])
    precipitation: float | None = Field(description="Rain and snow of the day, in mm or inches", examples=[6.2])
    precipitation_probability: float | None = Field(description="Highest probability in percent", examples=[85])
    wind_speed_max: float | None = Field(description="Highest wind speed, in km/h or mph", examples=[28.4])
    uv_index_max: float | None = Field(description="Highest UV index", examples=[1.6])
    sunrise: str = Field(description="Time of sunrise", examples=["08:12"])
    sunset: str = Field(description="Time of sunset", examples=["17:01"])


async def locate(ctx: Context, place: str) -> Spot:
    """Where `place` is: coordinates, or a name that is looked up once. Raises `Permanent` unless there is just one such."""
    if found := COORDINATES.fullmatch(place):
        return Spot(place.strip(), float(found[1]), float(found[2]))
    known = ctx.state.get("spot")
    if not known or known["place"] != place:
        known = {"place": place, **(await _look_up(ctx, place))}
    ctx.state["spot"] = known
    return Spot(known["name"], known["latitude"], known["longitude"])


async def _look_up(ctx: Context, place: str) -> dict[str, Any]:
    name, *areas = (part.strip() for part in place.split(","))
    # https://open-meteo.com/en/docs/geocoding-api
    search = {"name": name, "count": "20", "language": "en", "format": "json"}
    every = parse(_Search, await ctx.http.get(GEOCODING, params=search), "Open-Meteo").results
    found = [one for one in every if all(one.lies_in(area) for area in areas)]
    found = [one for one in found if one.name.casefold() == name.casefold()] or found
    found.sort(key=lambda one: one.population, reverse=True)
    if not found:
        others = f" There are {_listed(every)}." if every else " Check the spelling, or give latitude and longitude."
        raise Permanent(f"Open-Meteo knows no place {place!r}.{others}")
    if len(found) > 1 and found[0].population < LARGER * max(found[1].population, 1):
        raise Permanent(
            f"There are several places {place!r}: {_listed(found)}. Add the region or country after a comma, "
            "or give latitude and longitude."
        )
    return {"name": found[0].label, "latitude": found[0].latitude, "longitude": found[0].longitude}


def _listed(found: list[_Found]) -> str:
    return "; ".join(f"{one.label} ({one.latitude:.2f}, {one.longitude:.2f})" for one in found[:6])


async def conditions(ctx: Context, place: str, units: Units) -> Conditions:
    """The weather at a place now."""
    spot = await locate(ctx, place)
    # https://open-meteo.com/en/docs: `current`; the UV index is one of `hourly`
    asked = {
        "current": "temperature_2m,relative_humidity_2m,apparent_temperature,precipitation,weather_code,"
        "wind_speed_10m,wind_gusts_10m",
        "hourly": "uv_index",
        "forecast_hours": "1",
        "timeformat": "unixtime",
    }
    answer = parse(_CurrentAnswer, await _forecast(ctx, spot, units, asked), "Open-Meteo")
    now, uv = answer.current, answer.hourly.uv_index
    condition, description = _weather(now.weather_code)
    return Conditions(
        place=spot.name,
        time=datetime.fromtimestamp(now.time, UTC),
        condition=condition,
        description=description,
        temperature=now.temperature_2m,
        feels_like=now.apparent_temperature,
        humidity=now.relative_humidity_2m,
        precipitation=now.precipitation,
        wind_speed=now.wind_speed_10m,
        wind_gusts=now.wind_gusts_10m,
        uv_index=uv[0] if uv else None,
    )


async def forecast(ctx: Context, place: str, units: Units, zone: str, day: date) -> Forecast:
    """The forecast for a place: of `day`, which is today or tomorrow in `zone`."""
    spot = await locate(ctx, place)
    # https://open-meteo.com/en/docs: `daily`, which needs `timezone`
    asked = {
        "daily": "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,"
        "wind_speed_10m_max,uv_index_max,sunrise,sunset",
        "forecast_days": "3",
        "timezone": zone,
    }
    daily = parse(_DailyAnswer, await _forecast(ctx, spot, units, asked), "Open-Meteo").daily
    place_of_day = next((i for i, one in enumerate(daily.get("time", [])) if one == day.isoformat()), None)
    if place_of_day is None:
        raise Permanent(f"Open-Meteo gave no forecast for {day}.")
    row = {name: values[place_of_day] for name, values in daily.items() if place_of_day < len(values)}
    condition, description = _weather(row.get("weather_code"))
    values = {
        "place": spot.name,
        "day": day,
        "condition": condition,
        "description": description,
        "temperature_min": row.get("temperature_2m_min"),
        "temperature_max": row.get("temperature_2m_max"),
        "precipitation": row.get("precipitation_sum"),
        "precipitation_probability": row.get("precipitation_probability_max"),
        "wind_speed_max": row.get("wind_speed_10m_max"),
        "uv_index_max": row.get("uv_index_max"),
        "sunrise": str(row.get("sunrise") or "").partition("T")[2],
        "sunset": str(row.get("sunset") or "").partition("T")[2],
    }
    return parse(Forecast, values, "Open-Meteo")


async def hours(ctx: Context, place: str, units: Units, count: int) -> tuple[str, list[tuple[datetime, float, float]]]:
    """The place's name, and of the next hours the begin, the precipitation and its probability in percent."""
    spot = await locate(ctx, place)
    # https://open-meteo.com/en/docs: `hourly`, `forecast_hours`
    asked = {
        "hourly": "precipitation,precipitation_probability",
        "forecast_hours": str(count),
        "timeformat": "unixtime",
    }
    hourly = parse(_HourlyAnswer, await _forecast(ctx, spot, units, asked), "Open-Meteo").hourly
    rows = zip(hourly.time, hourly.precipitation, hourly.precipitation_probability, strict=False)
    return spot.name, [  # not every weather model tells a probability
        (datetime.fromtimestamp(at, UTC), amount or 0, 100 if chance is None else chance)
        for at, amount, chance in rows
    ]  # fmt: skip


async def _forecast(ctx: Context, spot: Spot, units: Units, asked: Mapping[str, str]) -> Any:
    where = {"latitude": str(spot.latitude), "longitude": str(spot.longitude)}
    return await ctx.http.get(FORECAST, params={**where, **UNITS[units], **asked})


def _weather(code: Any) -> tuple[str, str]:
    return WEATHER.get(code, ("unknown", "Unknown"))
