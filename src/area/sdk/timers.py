"""What all timers share: the time zone, and what to do about a missed run."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field

from area.kit.clock import parse_time, weekday, zone_names
from area.kit.sentences import Sentence
from area.sdk.fields import Input
from area.sdk.service import Firing

__all__ = ["Timer", "ZoneName", "firing", "parse_time", "weekday"]


def _known_zone(name: str) -> str:
    if name not in zone_names():
        raise ValueError(Sentence("'%(name)s' is not a time zone. Use a name such as Europe/Paris or UTC.", name=name))
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone), Input("zone")]


class Timer(BaseModel):
    """Parameters that every timer has."""

    timezone: ZoneName = Field("UTC", description="Time zone", examples=["Europe/Paris"])
    missed: Literal["late", "skip"] = Field(
        "late", description="If the server was down: run once when it is back, or skip it", examples=["late"]
    )

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return ZoneInfo(self.timezone)


def firing(params: BaseModel, planned: datetime, now: datetime) -> Firing:
    """Return values for the time `planned` of a timer that ran at `now` (both aware)."""
    zone = params.zone if isinstance(params, Timer) else ZoneInfo("UTC")
    local = planned.astimezone(zone)
    return Firing(
        time=local,
        date=local.date().isoformat(),
        hour=local.strftime("%H:%M"),
        weekday=local.strftime("%A"),
        late_seconds=max(0, int((now - planned).total_seconds())),
    )
