"""Locate a place by coordinates, or by a name that Open-Meteo looks up."""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel

from area.sdk import Context, Gone, Permanent, Sentence, parse

GEOCODING = "https://geocoding-api.open-meteo.com/v1/search"
LARGER = 10  # times as many inhabitants as the next place of that name: the one that is meant
COORDINATES = re.compile(r"\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*[,;\s]\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*")


class Spot(NamedTuple):
    """A point on the map."""

    name: str
    latitude: float
    longitude: float


class Found(BaseModel):
    """A search result of Open-Meteo."""

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
        """A label that distinguishes it from other places of the same name."""
        return ", ".join(dict.fromkeys(part for part in (self.name, self.admin1, self.country) if part))

    def lies_in(self, area: str) -> bool:
        """Whether it is in a country or region."""
        areas = (self.country, self.country_code, self.admin1, self.admin2, self.admin3, self.admin4)
        return area.casefold() in (area.casefold() for area in areas)


def on_earth(place: str) -> str:
    """Validate the place: coordinates must be in range."""
    match = COORDINATES.fullmatch(place)
    if match and (abs(float(match[1])) > 90 or abs(float(match[2])) > 180):
        raise ValueError("Enter the latitude (-90 to 90) first, then the longitude (-180 to 180).")
    return place


async def locate(ctx: Context, place: str) -> Spot:
    """Resolve `place`: coordinates, or a name that is looked up once. Raises `Permanent` unless there is exactly one
    match.
    """
    if match := COORDINATES.fullmatch(place):
        return Spot(place.strip(), float(match[1]), float(match[2]))
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
    places = [place for place in every if all(place.lies_in(area) for area in areas)]
    places = [place for place in places if place.name.casefold() == name.casefold()] or places
    places.sort(key=lambda place: place.population, reverse=True)
    if not places:
        raise Gone(
            Sentence('Open-Meteo has no place "%(place)s". It has: %(places)s.', place=place, places=_listed(every))
            if every
            else Sentence(
                'Open-Meteo has no place "%(place)s". Check the spelling, or enter latitude and longitude.', place=place
            )
        )
    if len(places) > 1 and places[0].population < LARGER * max(places[1].population, 1):
        raise Permanent(
            Sentence(
                'Several places are called "%(place)s": %(places)s. Add the region or country after a comma, or enter'
                " latitude and longitude.",
                place=place,
                places=_listed(places),
            )
        )
    return {"name": places[0].label, "latitude": places[0].latitude, "longitude": places[0].longitude}


def _listed(found: list[Found]) -> str:
    return "; ".join(f"{place.label} ({place.latitude:.2f}, {place.longitude:.2f})" for place in found[:6])
