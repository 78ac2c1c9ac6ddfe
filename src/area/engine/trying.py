"""Dry runs of chains: what each link would get, with sample results for what is not sent.

A look-up in a link is really asked, unless what it reads is a sample result: nobody would find what doesn't exist.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import LinkIn, Scope, chains, links
from area.areas.chains import Chains
from area.areas.links import Graph, When, link_of, step_name
from area.areas.parameters import present
from area.areas.plans import Config, Plan, compile_config, to_text
from area.connections import vault
from area.connections.vault import Ref
from area.db.models import Area
from area.engine import dry_run
from area.engine.cache import Cache
from area.engine.dry_run import SECONDS, LinkPreview, Preview
from area.engine.execution.followers import path_to
from area.engine.state import State
from area.kit.problems import FieldError, Invalid
from area.kit.sentences import Sentence
from area.kit.template.reading import PlacedError
from area.sdk import Reaction

RUN = 42  # a run's number in samples
ERROR = {"message": "example.org answered 404.", "attempts": 1}


@dataclass(frozen=True, slots=True)
class Tried:
    """A link to try: its plan and the connection of its reaction, or why it has none, the names that it uses although
    nothing before it returns them, and those that follow it.
    """

    name: str
    area_id: int | None
    when: When
    for_each: str | None
    plan: Plan | Invalid
    connection: int = 0
    errors: Sequence[FieldError] = ()
    then: "Sequence[Tried]" = field(default_factory=list)

    @property
    def finds(self) -> bool:
        """Whether it or a link that follows it is a look-up."""
        own = isinstance(self.plan, Plan) and self.plan.reaction.finds
        return own or any(link.finds for link in self.then)


class Asking:
    """Asks the look-ups of a dry run for a user, for `SECONDS` in total."""

    def __init__(self, state: State, cache: Cache, user_id: int) -> None:
        self._state, self._cache, self._user_id = state, cache, user_id
        self._end = time.monotonic() + SECONDS

    async def ask(self, shown: Preview, plan: Plan, params: BaseModel, connection: int) -> None:
        """Add a look-up's answer to its preview."""
        ref = Ref(self._user_id, plan.reaction.service.slug, connection)
        seconds = max(0.0, self._end - time.monotonic())
        answer = await dry_run.ask(self._state, self._cache, plan, ref, params, seconds)
        shown.runs, shown.why = answer.why is None, answer.why
        shown.result = orjson.loads(answer.result) if answer.result else None


@dataclass(frozen=True, slots=True)
class _Before:
    """The AREA that a link follows, as it was tried. `samples` are the places that hold sample results."""

    name: str
    shown: Preview
    plan: Plan
    samples: frozenset[str] = frozenset()


def sample_result(reaction: Reaction, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a reaction might return, from the examples of its return values. `area.pass_on` returns what it gets."""
    if reaction.key == "area.pass_on":
        return dict(parameters.get("values") or {})
    fields = reaction.returns.model_fields.items()
    return {name: info.examples[0] if info.examples else info.get_default() for name, info in fields}


async def followed(
    name: str, shown: Preview, plan: Plan, following: Sequence[Tried], asking: Asking | None, timezone: str
) -> Preview:
    """A dry run of an AREA with those of the links that follow it."""
    before = _Before(name, shown, plan)
    then = [await _followed(before, link, asking, timezone) for link in following]
    return shown.model_copy(update={"then": then}) if then else shown


async def _followed(before: _Before, link: Tried, asking: Asking | None, timezone: str) -> LinkPreview:
    event, samples = _event_after(before, link)
    facts: dict[str, Any] = {"area_id": link.area_id, "name": link.name, "when": link.when}
    if isinstance(link.plan, Invalid):
        nothing: dict[str, Any] = {"data": event, "sample": True, "runs": False, "due": None, "reaction": ""}
        why = Sentence(str(link.plan))
        return LinkPreview(**facts, **nothing, why=why, parameters={}, errors=link.plan.errors)
    shown, params = await dry_run.fill(link.plan, event, sample=True, timezone=timezone)
    if link.errors:
        shown.runs, shown.why, shown.errors = False, link.errors[0]["message"], [*link.errors, *shown.errors]
    finds = link.plan.reaction.finds and before.shown.runs and shown.runs
    if asking and params is not None and finds and not samples & _read(link.plan):
        await asking.ask(shown, link.plan, params, link.connection)
    preview = LinkPreview(**facts, **{field: getattr(shown, field) for field in Preview.model_fields})
    here = _Before(link.name, preview, link.plan, samples)
    preview.then = [await _followed(here, below, asking, timezone) for below in link.then]
    return preview


def _event_after(before: _Before, link: Tried) -> tuple[dict[str, Any], frozenset[str]]:
    """The event that a link would get after this AREA had run, and which of its places hold samples. What a look-up
    really found is its result.
    """
    event, plan = before.shown.data, before.plan
    linked = plan.action.kind == "link"
    steps = dict(event.get("steps") or {}) if linked else {}
    real = before.shown.result is not None or plan.reaction.key == "area.pass_on"
    result = before.shown.result or sample_result(plan.reaction, before.shown.parameters)
    step = step_name(before.name, steps)
    steps[step] = result
    samples = {place for place in before.samples if place.startswith("steps.") or place == "item"}
    if not real or (plan.reaction.key == "area.pass_on" and before.samples & _read(plan)):
        samples |= {"result", f"steps.{step}"}
    if any(place.startswith("steps.") for place in samples):
        samples.add("steps")
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
        samples.discard("item")
        if _place(tuple(link.for_each.split("."))) in samples:
            samples.add("item")
    if link.when in ("failed", "any"):
        data["error"] = ERROR
        samples.add("error")
    return data, frozenset(samples)


def _read(plan: Plan) -> set[str]:
    """The places that a link reads."""
    return {_place(path) for path in plan.uses}


def _place(path: Sequence[str]) -> str:
    return ".".join(path[:2]) if path[0] == "steps" else path[0]


def _items(path: str, data: Mapping[str, Any]) -> list[Any]:
    try:
        value = path_to(path)(data)
    except PlacedError:
        return []
    return value if isinstance(value, list) else []


async def drafted(
    session: AsyncSession, scope: Scope, user_id: int, name: str, config: Config, then: Sequence[LinkIn]
) -> list[Tried]:
    """The links of an AREA that isn't saved, which has this name and configuration."""
    draft = _Draft(session, scope, user_id, {1: name}, {1: config})
    tried = [await draft.link(link, [1]) for link in then]
    known = draft.chains()
    return [_with_errors(link, known) for link in tried]


@dataclass(slots=True)
class _Draft:
    """A chain that isn't saved. Its AREAs are numbered from 1."""

    session: AsyncSession
    scope: Scope
    user_id: int
    names: dict[int, str]
    configs: dict[int, Config]
    up: dict[int, list[int]] = field(default_factory=dict)
    down: dict[int, list[int]] = field(default_factory=dict)

    async def link(self, link: LinkIn, after: list[int]) -> Tried:
        """A link with those below it."""
        number, form = len(self.names) + 1, link.as_area(after)
        self.names[number], self.up[number] = link.name, after
        self.down.setdefault(after[0], []).append(number)
        plan: Plan | Invalid
        connection = 0
        try:
            checked = await areas.check(self.session, self.scope, form.action, form.reaction, saving=False)
            plan, self.configs[number] = checked.plan, checked.config
            if form.reaction.connection and plan.reaction.finds:
                service = plan.reaction.service
                connection = await vault.number(self.session, service, self.user_id, form.reaction.connection)
        except Invalid as error:
            plan = error
            self.configs[number] = Config("area.ran", str(form.reaction.component), {"after": to_text(after)}, {})
        below = [await self.link(other, [number]) for other in link.then]
        return Tried(link.name, number, link.when, link.for_each, plan, connection, then=below)

    def chains(self) -> Chains:
        """The whole, to look for names that nothing returns."""
        return Chains(self.scope.registry, Graph(self.up, self.down), self.names, self.configs)


def _with_errors(link: Tried, known: Chains) -> Tried:
    """The same link of a draft, without its number, and with the names that nothing before it returns."""
    errors = known.errors(link.area_id) if link.area_id and isinstance(link.plan, Plan) else ()
    return replace(link, area_id=None, errors=errors, then=[_with_errors(below, known) for below in link.then])


async def saved(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> list[Tried]:
    """The links that follow a saved AREA."""
    known = await chains.load(session, scope.registry, user_id)
    down = known.graph.down
    if not down.get(area_id):
        return []
    ids = links.reach(down, [area_id])
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
        below = [await tried(other) for other in down.get(number, ())]
        when, for_each = (link.when, link.for_each) if link else ("success", None)
        errors = known.errors(number) if isinstance(plan, Plan) else ()
        name, connection = rows[number].name, config.reaction_connection
        return Tried(name, number, when, for_each, plan, connection, errors, below)

    return [await tried(number) for number in down[area_id]]
