"""Where a place is: coordinates, or a name that Open-Meteo is asked about."""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel

from area.sdk import Context, Permanent, parse

GEOCODING = "https://geocoding-api.open-meteo.com/v1/search"
LARGER = 10  # times as many inhabitants as the next place of that name: the one that is meant
COORDINATES = re.compile(r"\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*[,;\s]\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*")


class Spot(NamedTuple):
    """A place on the map."""

    name: str
    latitude: float
    longitude: float


class Found(BaseModel):
    """A place that Open-Meteo knows."""

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
        """What tells it from others of that name."""
        return ", ".join(dict.fromkeys(part for part in (self.name, self.admin1, self.country) if part))

    def lies_in(self, area: str) -> bool:
        """Whether it is in a country or region."""
        areas = (self.country, self.country_code, self.admin1, self.admin2, self.admin3, self.admin4)
        return area.casefold() in (one.casefold() for one in areas)


def on_earth(place: str) -> str:
    """The place, unless it is coordinates that there are none of."""
    found = COORDINATES.fullmatch(place)
    if found and (abs(float(found[1])) > 90 or abs(float(found[2])) > 180):
        raise ValueError("Latitude goes from -90 to 90, longitude from -180 to 180; latitude comes first.")
    return place


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
    query = {"name": name, "count": "20", "language": "en", "format": "json"}
    answer = parse(dict[str, Any], await ctx.http.get(GEOCODING, params=query), "Open-Meteo")
    every = parse(list[Found], answer.get("results", []), "Open-Meteo")
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


def _listed(found: list[Found]) -> str:
    return "; ".join(f"{one.label} ({one.latitude:.2f}, {one.longitude:.2f})" for one in found[:6])
