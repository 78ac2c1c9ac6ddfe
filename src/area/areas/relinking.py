"""Changing a chain as a whole: the links in a patch's `then` become what follows an AREA.

An entry is the link of the chain with its `id`, or else with its name; any other is new. `then` lists all that follows:
a link that it leaves out doesn't follow any more, and is deleted if it follows nothing else. Where `then` is left out,
what follows stays.

1. `_plan` finds which link each entry is, and what it will follow.
2. Links that are left out are deleted, if none below them is kept. That makes room.
3. The others are changed or created from the top down, so that each is checked with those before it as they will be.
4. Links that are left out, and had others below them that are kept, are deleted last.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import links, parameters, views
from area.areas.forms import OF_LINK, AreaIn, AreaPatch, LinkPatch, Part
from area.areas.links import Graph, link_of
from area.areas.plans import Config, Scope
from area.areas.views import AreaOut
from area.db.models import Area, AreaLink, User
from area.kit.problems import FieldError, Invalid, PreconditionFailed

OF_AFTER = {**OF_LINK, "action.parameters.after": "also_after"}


async def change(session: AsyncSession, scope: Scope, user_id: int, area_id: int, patch: AreaPatch) -> AreaOut:
    """Change an AREA as `areas.change` does, and the links that follow it if the patch has `then`: all or nothing.

    Raises `Invalid`, `NotFound`, and `PreconditionFailed` if a link's `version` isn't its current one.
    """
    if patch.then is None:
        return await areas.change(session, scope, user_id, area_id, patch)
    await areas.own(session, user_id, area_id)
    await session.execute(select(User.id).where(User.id == user_id).with_for_update())
    await areas.change(session, scope, user_id, area_id, patch)
    plan = await _plan(session, user_id, area_id, patch.then)
    gone = sorted(plan.gone)
    await _delete(session, scope, user_id, [n for n in gone if not plan.kept & {*links.reach(plan.graph.down, [n])}])
    await _place(session, scope, user_id, plan)
    for number in sorted(plan.left_out - plan.gone):
        await _change(session, scope, user_id, _Entry("", LinkPatch(), number), plan, [])
    await _delete(session, scope, user_id, gone)
    await _order(session, plan)
    return await areas.get(session, scope, user_id, area_id)


@dataclass(eq=False, slots=True)
class _Entry:
    """A link of the request, at its first place. `number` is its AREA, None as long as it is new."""

    place: str
    patch: LinkPatch
    number: int | None
    parents: "list[_Entry]" = field(default_factory=list)


@dataclass(slots=True)
class _Plan:
    """The links of the request, and those that stand where they are. `settled` are the AREAs whose `then` is given."""

    head: _Entry
    graph: Graph
    entries: list[_Entry] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)

    @property
    def kept(self) -> set[int]:
        """The AREAs of all entries."""
        return {entry.number for entry in self.entries if entry.number is not None}

    @property
    def left_out(self) -> set[int]:
        """Links that the request leaves out where it says what follows."""
        return {number for parent in self.settled for number in self.graph.down.get(parent, ())} - self.kept

    @property
    def gone(self) -> set[int]:
        """Those of them that follow nothing else, and what follows only these."""
        gone = {number for number in self.left_out if set(self.graph.up[number]) <= self.settled}
        below = set(links.reach(self.graph.down, gone)) - self.kept
        while more := {number for number in below - gone if set(self.graph.up[number]) <= gone | self.settled}:
            gone |= more
        return gone


async def _plan(session: AsyncSession, user_id: int, area_id: int, then: Sequence[LinkPatch]) -> _Plan:
    graph = await links.graph(session, user_id)
    below = links.reach(graph.down, [area_id])
    rows = await session.execute(select(Area.name, Area.id).where(Area.id.in_(below)))
    names: dict[str, list[int]] = {}
    for row in rows:
        names.setdefault(row.name, []).append(row.id)
    plan = _Plan(_Entry("", LinkPatch(), area_id), graph)
    of: dict[int, _Entry] = {}
    waiting: list[tuple[_Entry, Sequence[LinkPatch]]] = [(plan.head, then)]
    while waiting:
        parent, patches = waiting.pop(0)
        if parent.number is not None:
            plan.settled.add(parent.number)
        for place, patch in enumerate(patches):
            here = f"{parent.place}then.{place}."
            number = _number(patch, here, below, names)
            entry = of.get(number) if number is not None else None
            if entry is None:
                entry = _Entry(here, patch, number)
                plan.entries.append(entry)
                if number is not None:
                    of[number] = entry
                if patch.then is not None:
                    waiting.append((entry, patch.then))
            if parent not in entry.parents:
                entry.parents.append(parent)
    return plan


def _number(patch: LinkPatch, place: str, below: Sequence[int], names: dict[str, list[int]]) -> int | None:
    """The AREA of an entry; None if it is new."""
    if patch.id is not None:
        if patch.id not in below:
            raise Invalid.field(f"{place}id", "AREA %(number)s is no link of this chain.", number=patch.id)
        return patch.id
    matches = names.get(patch.name or "", [])
    if len(matches) > 1:
        raise Invalid.field(
            f"{place}name", "Several links of this chain are called %(name)s. Give its id.", name=patch.name
        )
    return matches[0] if matches else None


async def _place(session: AsyncSession, scope: Scope, user_id: int, plan: _Plan) -> None:
    """Change or create each link once all that it follows are done."""
    done: set[_Entry] = {plan.head}
    waiting = plan.entries
    while waiting:
        ready = [entry for entry in waiting if done.issuperset(entry.parents)]
        if not ready:
            sentence = "This would create a loop, so the chain would never end."
            raise Invalid.field(f"{waiting[0].place}id", sentence)
        for entry in ready:
            try:
                after = [parent.number for parent in entry.parents if parent.number is not None]
                if entry.number is None:
                    entry.number = await _create(session, scope, user_id, entry.patch, after)
                else:
                    await _change(session, scope, user_id, entry, plan, after)
            except Invalid as error:
                error.errors = [_placed(entry.place, detail) for detail in error.errors]
                raise
            done.add(entry)
        waiting = [entry for entry in waiting if entry not in done]


def _placed(place: str, detail: FieldError) -> FieldError:
    return FieldError(field=f"{place}{OF_AFTER.get(detail['field'], detail['field'])}", message=detail["message"])


async def _others(session: AsyncSession, user_id: int, patch: LinkPatch) -> list[int]:
    return [await areas.by_name_or_id(session, user_id, other) for other in patch.also_after or ()]


async def _create(session: AsyncSession, scope: Scope, user_id: int, patch: LinkPatch, after: list[int]) -> int:
    if patch.name is None:
        raise Invalid.field("name", "Enter a name: this link is new.")
    if patch.reaction is None:
        raise Invalid.field("reaction", "Choose a reaction: this link is new.")
    after += await _others(session, user_id, patch)
    texts = {name: getattr(patch, name) for name in ("when", "for_each", "only_if")}
    action = {"after": after, **{name: value for name, value in texts.items() if value is not None}}
    form = AreaIn(
        name=patch.name,
        description=patch.description,
        is_active=patch.is_active is not False,
        action=Part(component="area.ran", parameters=action),
        reaction=_delayed(patch.reaction, patch.delay),
    )
    return (await areas.create(session, scope, user_id, form)).id


def _delayed(reaction: Part, delay: str | None) -> Part:
    parameters = {name: value for name, value in reaction.parameters.items() if name != "delay"}
    return reaction.model_copy(update={"parameters": {**parameters, "delay": delay} if delay else parameters})


async def _change(
    session: AsyncSession, scope: Scope, user_id: int, entry: _Entry, plan: _Plan, after: list[int]
) -> None:
    assert entry.number is not None  # noqa: S101 - else it is created
    patch = entry.patch
    area = await areas.own(session, user_id, entry.number, lock=True)
    if patch.version is not None:
        (view,) = await views.load(session, scope, [area.id], addresses=False)
        if view.version != patch.version:
            raise PreconditionFailed
    config = await parameters.present(session, scope, area)
    action = scope.registry.action(config.action)
    link = link_of(action, config) if action else None
    given = patch.model_fields_set
    before = list(link.after) if link else []
    elsewhere = [number for number in before if number not in plan.settled | plan.gone and number not in after]
    after += await _others(session, user_id, patch) if "also_after" in given else elsewhere
    if set(after) == set(before):
        after = before  # its order says nothing
    wanted = AreaPatch(
        **{name: getattr(patch, name) for name in ("name", "description", "is_active") if name in given},
        action=_action(config, patch, after if after != before else None),
        reaction=_reaction(config, patch),
    )
    if wanted.model_fields_set - {"action", "reaction"} or wanted.action or wanted.reaction:
        await areas.change(session, scope, user_id, area.id, wanted)


def _action(config: Config, patch: LinkPatch, after: list[int] | None) -> Part | None:
    """How a link follows, changed; None if it stays."""
    given: dict[str, Any] = {
        name: getattr(patch, name) for name in ("when", "for_each", "only_if") if name in patch.model_fields_set
    }
    if after is None and not given:
        return None
    values: dict[str, Any] = {**config.action_parameters, **given}
    if after is not None:
        values["after"] = after
    return Part(component=config.action, parameters=values)


def _reaction(config: Config, patch: LinkPatch) -> Part | None:
    """A link's reaction with its delay, changed; None if it stays. What isn't given of them stays."""
    delay = patch.delay if "delay" in patch.model_fields_set else config.reaction_parameters.get("delay")
    if patch.reaction is not None:
        return _delayed(patch.reaction, delay)
    if "delay" not in patch.model_fields_set:
        return None
    return _delayed(Part(component=config.reaction, parameters={**config.reaction_parameters}), delay)


async def _delete(session: AsyncSession, scope: Scope, user_id: int, numbers: Sequence[int]) -> None:
    """Delete links, and what follows only them."""
    for number in numbers:
        if await session.scalar(select(Area.id).where(Area.id == number)) is not None:
            await areas.take_out(session, scope, user_id, number, then="delete")


async def _order(session: AsyncSession, plan: _Plan) -> None:
    """Have the links follow in the order of the request."""
    positions: Counter[int] = Counter()
    for entry in plan.entries:
        for parent in entry.parents:
            if parent.number is not None:
                row = AreaLink.area_id == entry.number, AreaLink.follows == parent.number
                await session.execute(update(AreaLink).where(*row).values(position=positions[parent.number]))
                positions[parent.number] += 1
