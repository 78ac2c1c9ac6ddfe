"""Weather: conditions and forecasts of any place, from Open-Meteo."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from area.connectors.open_meteo.api import COORDINATES, Conditions, Forecast, Units, conditions, forecast, hours
from area.sdk import Context, Event, Service, ZoneName, daily, entered

service = Service(
    "open_meteo",
    "Weather",
    "Conditions and forecasts of any place, from Open-Meteo.",
    docs="https://open-meteo.com/en/docs",
)

EVERY = timedelta(minutes=15)  # as often as current conditions change; the free API allows 10,000 calls a day
LATE = timedelta(hours=1)  # current conditions are dated at the begin of their quarter of an hour
Condition = Literal["any", "clear", "cloudy", "fog", "rain", "snow", "thunderstorm"]


class Place(BaseModel):
    """A place, and the units to use."""

    place: str = Field(
        min_length=2, max_length=200,
        description="Name, with region or country if need be, or latitude and longitude", examples=["Paris, France"],
    )  # fmt: skip
    units: Units = Field("metric", description="metric (°C, km/h, mm) or us (°F, mph, inches)", examples=["metric"])

    @field_validator("place")
    @classmethod
    def _is_on_earth(cls, value: str) -> str:
        found = COORDINATES.fullmatch(value)
        if found and (abs(float(found[1])) > 90 or abs(float(found[2])) > 180):
            raise ValueError("Latitude goes from -90 to 90, longitude from -180 to 180; latitude comes first.")
        return value


class Level(Place):
    """A value to watch for."""

    direction: Literal["above", "below"] = Field(
        description="Whether it rises above or drops below", examples=["above"]
    )
    threshold: float = Field(description="The value that is passed", examples=[25])


class Change(Place):
    """Which change counts."""

    condition: Condition = Field("any", description="What it changes to", examples=["rain"])


class Rain(Place):
    """When rain counts as expected."""

    hours: int = Field(6, ge=1, le=48, description="How many hours ahead", examples=[6])
    probability: int = Field(50, ge=0, le=100, description="Least probability in percent", examples=[50])
    amount: float = Field(0.1, gt=0, description="Least rain or snow in one hour, in mm or inches", examples=[0.5])


class Daily(Place):
    """When to tell the forecast."""

    time: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Time of day", examples=["07:00"])
    timezone: ZoneName = Field("UTC", description="Time zone of time and day", examples=["Europe/Paris"])
    condition: Condition = Field("any", description="Only when the forecast calls for this", examples=["rain"])


class RainExpected(BaseModel):
    """Rain or snow to come."""

    place: str = Field(description="Place", examples=["Paris, Île-de-France, France"])
    starts: datetime = Field(description="Hour that it is expected in", examples=["2026-11-23T14:00:00Z"])
    precipitation: float = Field(description="How much in that hour, in mm or inches", examples=[1.4])
    probability: float = Field(description="Probability in percent", examples=[70])


@service.poll("The current condition changes", every=EVERY, overlap=LATE)
async def current_condition_changes(
    ctx: Context, params: Change, since: datetime  # noqa: ARG001
) -> AsyncIterator[Event[Conditions]]:  # fmt: skip
    """The weather changes: to rain, snow, fog, thunderstorm, clouds or a clear sky."""
    now = await conditions(ctx, params.place, params.units)
    before, ctx.state["condition"] = ctx.state.get("condition"), now.condition
    if before not in (None, now.condition) and params.condition in ("any", now.condition):
        yield Event(now.time.isoformat(), now, now.time)


@service.poll("The temperature rises above or drops below", every=EVERY, overlap=LATE)
async def temperature_crosses(ctx: Context, params: Level, since: datetime) -> AsyncIterator[Event[Conditions]]:  # noqa: ARG001
    """The temperature passes a value. Fires once, and again only after it has been on the other side."""
    async for event in _crosses(ctx, params, "temperature"):
        yield event


@service.poll("The wind speed rises above or drops below", every=EVERY, overlap=LATE)
async def wind_speed_crosses(ctx: Context, params: Level, since: datetime) -> AsyncIterator[Event[Conditions]]:  # noqa: ARG001
    """The wind speed passes a value. Fires once, and again only after it has been on the other side."""
    async for event in _crosses(ctx, params, "wind_speed"):
        yield event


@service.poll("The humidity rises above or drops below", every=EVERY, overlap=LATE)
async def humidity_crosses(ctx: Context, params: Level, since: datetime) -> AsyncIterator[Event[Conditions]]:  # noqa: ARG001
    """The relative humidity passes a value. Fires once, and again only after it has been on the other side."""
    async for event in _crosses(ctx, params, "humidity"):
        yield event


@service.poll("The UV index rises above or drops below", every=EVERY, overlap=LATE)
async def uv_index_crosses(ctx: Context, params: Level, since: datetime) -> AsyncIterator[Event[Conditions]]:  # noqa: ARG001
    """The UV index passes a value. Fires once, and again only after it has been on the other side."""
    async for event in _crosses(ctx, params, "uv_index"):
        yield event


@service.poll("Rain is expected", every=EVERY)
async def rain_expected(ctx: Context, params: Rain, since: datetime) -> AsyncIterator[Event[RainExpected]]:  # noqa: ARG001
    """Rain or snow is forecast for the next hours, and was not before."""
    place, coming = await hours(ctx, params.place, params.units, params.hours)
    wet = [one for one in coming if one[1] >= params.amount and one[2] >= params.probability]
    if entered(ctx.state, inside=bool(wet)):
        at, amount, chance = wet[0]
        rain = RainExpected(place=place, starts=at, precipitation=amount, probability=chance)
        yield Event(at.isoformat(), rain)


@service.poll("Today's weather report", every=timedelta(minutes=5))
async def todays_weather_report(ctx: Context, params: Daily, since: datetime) -> AsyncIterator[Event[Forecast]]:  # noqa: ARG001
    """Every day at a time: today's forecast."""
    async for event in _daily(ctx, params, timedelta(0)):
        yield event


@service.poll("Tomorrow's forecast", every=timedelta(minutes=5))
async def tomorrows_forecast(ctx: Context, params: Daily, since: datetime) -> AsyncIterator[Event[Forecast]]:  # noqa: ARG001
    """Every day at a time: tomorrow's forecast, or only when it calls for a kind of weather."""
    async for event in _daily(ctx, params, timedelta(days=1)):
        yield event


async def _crosses(ctx: Context, params: Level, name: str) -> AsyncIterator[Event[Conditions]]:
    now = await conditions(ctx, params.place, params.units)
    value: float | None = getattr(now, name)
    if value is None:
        return
    beyond = value > params.threshold if params.direction == "above" else value < params.threshold
    if entered(ctx.state, inside=beyond):
        yield Event(now.time.isoformat(), now, now.time)


async def _daily(ctx: Context, params: Daily, ahead: timedelta) -> AsyncIterator[Event[Forecast]]:
    planned = daily(ctx.state, params.time, params.timezone)
    if planned is not None:
        today = datetime.now(planned.tzinfo).date()  # also when it is told late
        told = await forecast(ctx, params.place, params.units, params.timezone, today + ahead)
        if params.condition in ("any", told.condition):
            yield Event(planned.date().isoformat(), told, planned)
