"""AREA itself: react to AREAs that fail, and run or switch others."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from area.sdk import Context, Event, Failure, Option, Pick, Service

service = Service(
    "area",
    "AREA",
    "Your AREAs themselves: hear when one fails, and run, enable or disable another.",
    quality="verified",
    personal=True,
)


class Which(BaseModel):
    """Which AREA to hear of."""

    area_id: Annotated[int, Pick("areas")] | None = Field(
        None, ge=1, description="Only this AREA; any of yours when left out", examples=[12]
    )


class Trouble(BaseModel):
    """What befell which AREA."""

    area_id: int = Field(description="Number of the AREA", examples=[12])
    area_name: str = Field(description="Its name", examples=["New posts to my server"])
    reason: str = Field(description="Why, in a sentence", examples=["example.org answered 404."])
    at: datetime = Field(description="When it happened", examples=["2026-11-23T09:00:00Z"])
    execution_id: int | None = Field(None, description="Number of the execution that failed", examples=[4711])


class Target(BaseModel):
    """Which AREA to act on."""

    area_id: Annotated[int, Pick("areas")] = Field(ge=1, description="Number of the AREA, one of yours", examples=[12])


class Run(Target):
    """What to run, and with what."""

    data: dict[str, Any] = Field(
        default_factory=dict,
        description="What its action would have returned, as JSON: the names that its {{…}} use",
        examples=[{"title": "{{area_name}} failed"}],
    )


class Started(BaseModel):
    """The execution that was started."""

    execution_id: int = Field(description="Number of the execution", examples=[4711])


class Switched(Target):
    """The AREA as it is now."""

    is_active: bool = Field(description="Whether it is switched on now", examples=[True])


@service.picker
async def areas(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """The user's AREAs."""
    return [Option(str(number), name, f"{number}") for number, name in await ctx.platform.areas()]


async def _troubles(failures: AsyncIterator[Failure], params: Which) -> AsyncIterator[Event[Trouble]]:
    async for one in failures:
        if params.area_id in (None, one.area_id):
            data = Trouble(
                area_id=one.area_id,
                area_name=one.area_name,
                reason=one.reason,
                at=one.at,
                execution_id=one.execution_id,
            )
            yield Event(id=one.id, at=one.at, data=data)


@service.poll("An AREA failed", every=timedelta(seconds=10))
async def area_failed(ctx: Context, params: Which, since: datetime) -> AsyncIterator[Event[Trouble]]:
    """An execution of one of your AREAs failed for good. What this sets off and fails in turn is left out: no loops."""
    async for event in _troubles(ctx.platform.failures(since), params):
        yield event


@service.poll("An AREA was switched off by the system", every=timedelta(seconds=30))
async def area_switched_off(ctx: Context, params: Which, since: datetime) -> AsyncIterator[Event[Trouble]]:
    """One of your AREAs failed so many times in a row that it was switched off."""
    async for event in _troubles(ctx.platform.switched_off(since), params):
        yield event


@service.reaction("Run an AREA")
async def run(ctx: Context, params: Run) -> Started:
    """Run another of your AREAs once, as if its action had returned `data`. A chain that would come back is refused."""
    return Started(execution_id=await ctx.platform.run_area(params.area_id, params.data))


@service.reaction("Switch an AREA on")
async def enable(ctx: Context, params: Target) -> Switched:
    """Switch another of your AREAs on; it hears of what happens from then on."""
    await ctx.platform.switch_area(params.area_id, active=True)
    return Switched(area_id=params.area_id, is_active=True)


@service.reaction("Switch an AREA off")
async def disable(ctx: Context, params: Target) -> Switched:
    """Switch another of your AREAs off."""
    await ctx.platform.switch_area(params.area_id, active=False)
    return Switched(area_id=params.area_id, is_active=False)
