"""AREA itself: react to AREAs that fail, and run or switch others."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from area.sdk import Context, Event, Events, Failure, Option, Output, Service, output, param

service = Service(
    "area",
    "AREA",
    "React when one of your AREAs fails, and run, switch on or switch off another.",
    quality="verified",
    personal=True,
)

Target = Annotated[int, param("ID of one of your AREAs", 12, pick="areas", ge=1)]
Which = Annotated[int | None, param("Only this AREA; any of yours if empty", 12, pick="areas", ge=1)]
DATA = "The data its action would return, as JSON with the names its {{…}} placeholders use"


class Trouble(Output):
    area_id: int = output("area_id", "AREA ID", 12)
    area_name: str = output("area_name", "Name", "New posts to my server")
    reason: str = output("reason", "Reason, in one sentence", "example.org answered 404.")
    at: datetime = output("at", "Time of the event", "2026-11-23T09:00:00Z")
    execution_id: int | None = output("execution_id", "ID of the failed run", 4711)


class Started(Output):
    execution_id: int = output("execution_id", "Run ID", 4711)


class Switched(Output):
    area_id: int = output("area_id", "ID of one of your AREAs", 12)
    is_active: bool = output("is_active", "Whether it is on now", True)


@service.picker
async def areas(ctx: Context) -> list[Option]:
    """The user's AREAs."""
    return [Option(str(number), name, f"{number}") for number, name in await ctx.platform.areas()]


async def _troubles(failures: AsyncIterator[Failure], area_id: int | None) -> Events[Trouble]:
    async for failure in failures:
        if area_id in (None, failure.area_id):
            yield Event(failure.id, Trouble.model_validate(failure, from_attributes=True), failure.at)


@service.poll("AREA failed", every=timedelta(seconds=10))
def area_failed(ctx: Context, since: datetime, area_id: Which = None) -> Events[Trouble]:
    """Triggers when a run of one of your AREAs has failed and will not be retried. Failures of AREAs started by this
    one are ignored, to prevent loops.
    """
    return _troubles(ctx.platform.failures(since), area_id)


@service.poll("AREA switched off automatically", every=timedelta(seconds=30))
def area_switched_off(ctx: Context, since: datetime, area_id: Which = None) -> Events[Trouble]:
    """Triggers when one of your AREAs is switched off after failing too many times in a row."""
    return _troubles(ctx.platform.switched_off(since), area_id)


@service.reaction("Run an AREA", idempotent="key")
async def run(
    ctx: Context,
    area_id: Target,
    data: Annotated[Mapping[str, Any], param(DATA, {"title": "{{area_name}} failed"})] = {},
) -> Started:
    """Run another of your AREAs once, as if its action had returned `data`. Chains that would loop are refused."""
    return Started(execution_id=await ctx.platform.run_area(area_id, dict(data)))


@service.reaction("Switch on an AREA", idempotent="same")
async def enable(ctx: Context, area_id: Target) -> Switched:
    """Switch on another of your AREAs. It reacts to events from then on."""
    await ctx.platform.switch_area(area_id, active=True)
    return Switched(area_id=area_id, is_active=True)


@service.reaction("Switch off an AREA", idempotent="same")
async def disable(ctx: Context, area_id: Target) -> Switched:
    """Switch off another of your AREAs."""
    await ctx.platform.switch_area(area_id, active=False)
    return Switched(area_id=area_id, is_active=False)
