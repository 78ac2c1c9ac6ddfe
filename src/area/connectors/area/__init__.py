"""AREA itself: react to AREAs that fail, and run or switch others."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from area.sdk import Context, Event, Events, Failure, Option, Output, Service, output, param

service = Service(
    "area",
    "AREA",
    "React when one of your AREAs fails, and run, switch on or switch off another.",
    quality="verified",
    personal=True,
    synonyms={
        "": "automation, workflow, chain, recipe, another AREA",
        "area_failed": "something goes wrong, problem, error, automation failed",
        "area_switched_off": "paused, disabled, stopped",
        "run": "trigger, start, chain",
        "enable": "resume, turn on, activate",
        "disable": "pause, turn off, stop, deactivate",
    },
)

Target = Annotated[int, param("ID of one of your AREAs", 12, pick="areas", ge=1)]
Which = Annotated[int | None, param("Only this AREA; all your AREAs if empty", 12, pick="areas", ge=1)]
When = Literal["success", "failed", "skipped", "any", "otherwise"]
WHENS = {
    "success": "It succeeded",
    "failed": "It failed",
    "skipped": "Its condition didn't match",
    "any": "Whatever happened",
    "otherwise": "No other link that follows it has a matching condition",
}
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


class Ran(BaseModel):
    """What a link may use of the run that it belongs to."""

    origin: dict[str, Any] = Field(
        description="What the first action returned",
        examples=[{"title": "Printer is broken", "url": "https://example.org/7"}],
    )
    result: dict[str, Any] | None = Field(
        None, description="What the reaction just before returned", examples=[{"id": "42"}]
    )
    steps: dict[str, Any] = Field(
        description="What each reaction before returned, by the name of its AREA",
        examples=[{"create_a_page": {"id": "42"}}],
    )
    item: Any = Field(None, description="The item that this run is for, with for_each", examples=["urgent"])
    index: int | None = Field(None, description="The item's place in its list, from 0", examples=[0])
    error: dict[str, Any] | None = Field(
        None,
        description="After a failure: its message, and the number of attempts",
        examples=[{"message": "example.org answered 404.", "attempts": 1}],
    )
    run: int = Field(description="ID of the first run of the chain", examples=[4711])


def _several(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


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


@service.link("Another AREA ran", Ran)
def ran(
    after: Annotated[
        list[int],
        BeforeValidator(_several),
        param("IDs of the AREAs to follow", [12], pick="areas", min_length=1, max_length=20),
    ],
    when: Annotated[When, param("After which outcome", "success", labels=WHENS)] = "success",
    for_each: Annotated[
        str | None, param("A list to run once per item of, such as result.rows", "origin.items", max_length=500)
    ] = None,
) -> None:
    """Makes this AREA a link of a chain: it runs when another of your AREAs has run, with everything that the AREAs
    before it returned. Its run is stored together with the outcome of the run before, so none is lost or repeated.
    """


@service.reaction("Pass values on", idempotent="same")
async def pass_on(
    ctx: Context,
    values: Annotated[
        Mapping[str, Any], param("The values, as a JSON object", {"title": "{{title}}", "link": "{{url}}"})
    ],
) -> dict[str, Any]:
    """Does nothing but return `values`, for the AREAs that follow: several actions can then lead to one reaction."""
    return dict(values)


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
