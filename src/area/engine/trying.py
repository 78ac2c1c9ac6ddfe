"""Dry runs of chains: what each link would get, with sample results for what is not sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import LinkIn, Scope, links
from area.areas.links import When, link_of, step_name
from area.areas.parameters import present
from area.areas.plans import Plan, compile_config
from area.db.models import Area
from area.engine import dry_run
from area.engine.dry_run import LinkPreview, Preview
from area.engine.execution.followers import path_to
from area.kit.problems import Invalid
from area.kit.sentences import Sentence
from area.kit.template.reading import PlacedError
from area.sdk import Reaction

RUN = 42  # a run's number in samples
ERROR = {"message": "example.org answered 404.", "attempts": 1}


@dataclass(frozen=True, slots=True)
class Tried:
    """A link to try: its plan, or why it has none, and those that follow it."""

    name: str
    area_id: int | None
    when: When
    for_each: str | None
    plan: Plan | Invalid
    then: "Sequence[Tried]" = field(default_factory=list)


def sample_result(reaction: Reaction, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a reaction might return, from the examples of its return values. `area.pass_on` returns what it gets."""
    if reaction.key == "area.pass_on":
        return dict(parameters.get("values") or {})
    fields = reaction.returns.model_fields.items()
    return {name: info.examples[0] if info.examples else info.get_default() for name, info in fields}


async def followed(name: str, shown: Preview, plan: Plan, following: Sequence[Tried], timezone: str) -> Preview:
    """A dry run of an AREA with those of the links that follow it."""
    then = [await _followed(name, shown, plan, link, timezone) for link in following]
    return shown.model_copy(update={"then": then}) if then else shown


async def _followed(name: str, before: Preview, plan: Plan, link: Tried, timezone: str) -> LinkPreview:
    event = _event_after(name, before, plan, link)
    facts: dict[str, Any] = {"area_id": link.area_id, "name": link.name, "when": link.when}
    if isinstance(link.plan, Invalid):
        nothing: dict[str, Any] = {"data": event, "sample": True, "runs": False, "due": None, "reaction": ""}
        why = Sentence(str(link.plan))
        return LinkPreview(**facts, **nothing, why=why, parameters={}, errors=link.plan.errors)
    shown, _ = await dry_run.fill(link.plan, event, sample=True, timezone=timezone)
    preview = LinkPreview(**facts, **{field: getattr(shown, field) for field in Preview.model_fields})
    preview.then = [await _followed(link.name, preview, link.plan, below, timezone) for below in link.then]
    return preview


def _event_after(name: str, before: Preview, plan: Plan, link: Tried) -> dict[str, Any]:
    """The event that a link would get after this AREA had run. What a look-up really found is its result."""
    event = before.data
    linked = plan.action.kind == "link"
    steps = dict(event.get("steps") or {}) if linked else {}
    result = before.result or sample_result(plan.reaction, before.parameters)
    steps[step_name(name, steps)] = result
    data: dict[str, Any] = {
        "origin": event.get("origin") if linked else dict(event),
        "result": result,
        "steps": steps,
        "run": RUN,
    }
    if linked and "index" in event:
        data |= {"item": event.get("item"), "index": event["index"]}
    if link.for_each:
        items = _items(link.for_each, data)
        data |= {"item": items[0] if items else None, "index": 0}
    if link.when in ("failed", "any"):
        data["error"] = ERROR
    return data


def _items(path: str, data: Mapping[str, Any]) -> list[Any]:
    try:
        value = path_to(path)(data)
    except PlacedError:
        return []
    return value if isinstance(value, list) else []


async def drafted(session: AsyncSession, scope: Scope, then: Sequence[LinkIn]) -> list[Tried]:
    """The links of an AREA that isn't saved."""
    tried = []
    for link in then:
        form = link.as_area([1])  # what it follows isn't saved either
        plan: Plan | Invalid
        try:
            plan = (await areas.check(session, scope, form.action, form.reaction, saving=False)).plan
        except Invalid as error:
            plan = error
        below = await drafted(session, scope, link.then)
        tried.append(Tried(link.name, None, link.when, link.for_each, plan, below))
    return tried


async def saved(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> list[Tried]:
    """The links that follow a saved AREA."""
    graph = await links.graph(session, user_id)
    if not graph.down.get(area_id):
        return []
    ids = links.reach(graph.down, [area_id])
    rows = {area.id: area for area in await session.scalars(select(Area).where(Area.id.in_(ids)))}

    async def tried(number: int) -> Tried:
        config = await present(session, scope, rows[number])
        action = scope.registry.action(config.action)
        link = link_of(action, config) if action else None
        plan: Plan | Invalid
        try:
            plan = compile_config(scope.registry, config)
        except Invalid as error:
            plan = error
        below = [await tried(other) for other in graph.down.get(number, ())]
        when, for_each = (link.when, link.for_each) if link else ("success", None)
        return Tried(rows[number].name, number, when, for_each, plan, below)

    return [await tried(number) for number in graph.down[area_id]]
