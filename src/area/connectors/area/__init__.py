"""AREA itself: react to AREAs that fail, and run or switch others."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from area.sdk import Context, Event, Events, Failure, Option, Output, Service, output, param

service = Service(
    "area",
    "AREA",
    "Your AREAs themselves: hear when one fails, and run, enable or disable another.",
    quality="verified",
    personal=True,
)

Target = Annotated[int, param("Number of the AREA, one of yours", 12, pick="areas", ge=1)]
Which = Annotated[int | None, param("Only this AREA; any of yours when left out", 12, pick="areas", ge=1)]
DATA = "What its action would have returned, as JSON: the names that its {{…}} use"


class Trouble(Output):
    area_id: int = output("area_id", "Number of the AREA", 12)
    area_name: str = output("area_name", "Its name", "New posts to my server")
    reason: str = output("reason", "Why, in a sentence", "example.org answered 404.")
    at: datetime = output("at", "When it happened", "2026-11-23T09:00:00Z")
    execution_id: int | None = output("execution_id", "Number of the execution that failed", 4711)


class Started(Output):
    execution_id: int = output("execution_id", "Number of the execution", 4711)


class Switched(Output):
    area_id: int = output("area_id", "Number of the AREA, one of yours", 12)
    is_active: bool = output("is_active", "Whether it is switched on now", True)


@service.picker
async def areas(ctx: Context) -> list[Option]:
    """The user's AREAs."""
    return [Option(str(number), name, f"{number}") for number, name in await ctx.platform.areas()]


async def _troubles(failures: AsyncIterator[Failure], area_id: int | None) -> Events[Trouble]:
    async for one in failures:
        if area_id in (None, one.area_id):
            yield Event(one.id, Trouble.model_validate(one, from_attributes=True), one.at)


@service.poll("An AREA failed", every=timedelta(seconds=10))
def area_failed(ctx: Context, since: datetime, area_id: Which = None) -> Events[Trouble]:
    """An execution of one of your AREAs failed for good. What this sets off and fails in turn is left out: no loops."""
    return _troubles(ctx.platform.failures(since), area_id)


@service.poll("An AREA was switched off by the system", every=timedelta(seconds=30))
def area_switched_off(ctx: Context, since: datetime, area_id: Which = None) -> Events[Trouble]:
    """One of your AREAs failed so many times in a row that it was switched off."""
    return _troubles(ctx.platform.switched_off(since), area_id)


@service.reaction("Run an AREA")
async def run(
    ctx: Context,
    area_id: Target,
    data: Annotated[Mapping[str, Any], param(DATA, {"title": "{{area_name}} failed"})] = {},
) -> Started:
    """Run another of your AREAs once, as if its action had returned `data`. A chain that would come back is refused."""
    return Started(execution_id=await ctx.platform.run_area(area_id, dict(data)))


@service.reaction("Switch an AREA on")
async def enable(ctx: Context, area_id: Target) -> Switched:
    """Switch another of your AREAs on; it hears of what happens from then on."""
    await ctx.platform.switch_area(area_id, active=True)
    return Switched(area_id=area_id, is_active=True)


@service.reaction("Switch an AREA off")
async def disable(ctx: Context, area_id: Target) -> Switched:
    """Switch another of your AREAs off."""
    await ctx.platform.switch_area(area_id, active=False)
    return Switched(area_id=area_id, is_active=False)
