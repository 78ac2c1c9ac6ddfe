"""A user's AREAs as chains: the tree that an AREA belongs to, what each link may use of those before it, and what no
longer fits after a change.

A link reads `origin` (what the chain's first action returns), `result` (what the reaction just before returns), `steps`
(the result of each AREA before, by `links.step_name`), and with `for_each` here or before also `item` and `index`.
`offered` lists these names with their types for an editor; `check` holds a link to them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import links, parameters, views
from area.areas.links import Graph, Link, When, link_of, step_name
from area.areas.plans import Config, Scope, filling_of
from area.areas.views import AreaOut, ChainLink
from area.db.models import Area, AreaLink
from area.kit.problems import FieldError
from area.kit.sentences import Sentence
from area.kit.template import TemplateError, condition
from area.kit.template.reading import PlacedError, read_path
from area.kit.text import did_you_mean, listing
from area.registry import Registry
from area.sdk import Action, Reaction
from area.sdk.fields import Field, by_name, fields

Path = tuple[str, ...]
Values = Mapping[str, Field | None] | None  # by name; None if any name may come

DELETED = Sentence("The AREA that this one followed was deleted.")


class OfferedValue(BaseModel):
    """A value that a link may use. `path` is what to write in `{{…}}`; `type` is one of the variables' seven."""

    path: str
    name: str
    type: str
    description: str
    example: str | None


class Offered(BaseModel):
    """What a link may use of one AREA before it, or of its own item, error and run. `path` is the place of all of it,
    such as `steps.create_a_page`; `open`: it may have more values than those.
    """

    area_id: int | None
    name: str
    path: str
    open: bool
    values: list[OfferedValue]


@dataclass(frozen=True, slots=True)
class Known:
    """What the AREAs that follow one may use. `areas` are those that the steps are of."""

    origin: Values
    result: Values
    steps: Mapping[str, Values] = field(default_factory=dict)
    areas: Mapping[str, int] = field(default_factory=dict)
    item: bool = False


@dataclass(frozen=True, slots=True)
class Chains:
    """All of a user's AREAs that are in chains, with their stored configurations."""

    registry: Registry
    graph: Graph
    names: Mapping[int, str]
    configs: Mapping[int, Config]
    _known: dict[int, Known] = field(default_factory=dict)

    def link(self, area_id: int) -> Link | None:
        """How the AREA follows others; None for the first of a chain."""
        config = self.configs[area_id]
        action = self.registry.action(config.action)
        return link_of(action, config) if action else None

    def known_after(self, area_id: int) -> Known:
        """What those that follow the AREA may use."""
        if area_id not in self._known:
            config = self.configs[area_id]
            action, reaction = self.registry.action(config.action), self.registry.reaction(config.reaction)
            before = Known(_returned(action), None)
            link = self.link(area_id)
            if link is not None:
                before = self.known_before(self.graph.up.get(area_id, ()), link.for_each)
            result = _result(reaction, config)
            name = step_name(self.names[area_id], before.steps)
            steps, areas = {**before.steps, name: result}, {**before.areas, name: area_id}
            self._known[area_id] = Known(before.origin, result, steps, areas, before.item)
        return self._known[area_id]

    def known_before(self, after: Sequence[int], for_each: str | None) -> Known:
        """What a link that follows these AREAs may use: what all of them offer."""
        each = [self.known_after(number) for number in after if number in self.configs]
        if not each:
            return Known(None, None)
        known = each[0]
        for other in each[1:]:
            common = [name for name in known.steps if name in other.steps]
            known = Known(
                _common(known.origin, other.origin),
                _common(known.result, other.result),
                {name: _common(known.steps[name], other.steps[name]) for name in common},
                {name: known.areas[name] for name in common},
                known.item and other.item,
            )
        return replace(known, item=True) if for_each else known

    def errors(self, area_id: int) -> list[FieldError]:
        """What the AREA uses although nothing before it returns it."""
        link = self.link(area_id)
        if link is None:
            return []
        if not any(number in self.configs for number in link.after):
            return [{"field": "action.parameters.after", "message": DELETED}]
        before = self.graph.up.get(area_id, ())
        known = self.known_before(before, None)
        errors: list[FieldError] = []
        if link.for_each:
            path = _path(link.for_each)
            place = "action.parameters.for_each"
            if path is None or path[0] not in ("origin", "result", "steps", "item"):
                sentence = Sentence("Enter the path of a list, such as result.rows or origin.items.")
                errors.append({"field": place, "message": sentence})
            elif why := _unknown(path, known, link.when) or _no_list(path, known):
                errors.append({"field": place, "message": why})
            known = replace(known, item=True)
        for place, path in _uses(self.registry, self.configs[area_id]):
            why = _unknown(path, known, link.when)
            if why and {"field": place, "message": why} not in errors:
                errors.append({"field": place, "message": why})
        return errors


async def load(session: AsyncSession, registry: Registry, user_id: int) -> Chains:
    """The user's chains as stored in this transaction. Flush changes first."""
    graph = await links.graph(session, user_id)
    ids = {*graph.up, *graph.down, *(number for each in graph.up.values() for number in each)}
    areas = (await session.scalars(select(Area).where(Area.id.in_(ids)))).all() if ids else []
    stored = await parameters.configs(session, registry, areas) if areas else {}
    return Chains(
        registry,
        graph,
        {area.id: area.name for area in areas},
        {area_id: config for area_id, (config, _) in stored.items()},
    )


async def check(session: AsyncSession, registry: Registry, user_id: int, area_id: int) -> list[FieldError]:
    """What a saved AREA uses although nothing before it returns it. Flush changes first."""
    chains = await load(session, registry, user_id)
    return chains.errors(area_id) if area_id in chains.configs else []


async def settle(session: AsyncSession, registry: Registry, user_id: int, ids: Collection[int]) -> None:
    """Record for all that follow these AREAs, which have changed, whether they still fit, so that they fail if not."""
    chains = await load(session, registry, user_id)
    below = links.reach(chains.graph.down, ids)
    for area_id in [*below, *(number for number in ids if number in chains.graph.up)]:
        errors = chains.errors(area_id)
        said = errors[0]["message"].dumped() if errors else None
        await session.execute(update(AreaLink).where(AreaLink.area_id == area_id).values(broken=said))
    if below:
        await links.changed(session, chains.graph, ids)


# What may be used


async def offered(
    session: AsyncSession,
    registry: Registry,
    user_id: int,
    after: Sequence[int],
    *,
    when: When = "success",
    for_each: str | None = None,
) -> list[Offered]:
    """What a link that follows these AREAs of the user may use, for an editor: the first action's values, then each
    AREA's result, the nearest last; then its own `item`, `error` and `run`.
    """
    chains = await load(session, registry, user_id)
    missing = [number for number in after if number not in chains.configs]
    if missing:  # they are in no chain yet
        areas = (await session.scalars(select(Area).where(Area.id.in_(missing), Area.user_id == user_id))).all()
        stored = await parameters.configs(session, registry, areas) if areas else {}
        chains = replace(
            chains,
            names={**chains.names, **{area.id: area.name for area in areas}},
            configs={**chains.configs, **{area_id: config for area_id, (config, _) in stored.items()}},
        )
    known = chains.known_before(after, for_each)
    groups = [_offered(None, "origin", "origin", known.origin)]
    for step, values in known.steps.items():
        area_id = known.areas[step]
        groups.append(_offered(area_id, chains.names[area_id], f"steps.{step}", values))
    action = registry.action("area.ran")
    declared = by_name(action.returns) if action else {}
    own = ["run", *(["item", "index"] if known.item else []), *(["error"] if when in ("failed", "any") else [])]
    values = {name: declared.get(name) for name in own}
    groups.append(_offered(None, "run", "", values))
    return groups


def _offered(area_id: int | None, name: str, path: str, values: Values) -> Offered:
    return Offered(
        area_id=area_id,
        name=name,
        path=path,
        open=values is None,
        values=[
            OfferedValue(
                path=f"{path}.{key}" if path else key,
                name=key,
                type=declared.type if declared else "json",
                description=declared.description if declared else key,
                example=declared.placeholder if declared else None,
            )
            for key, declared in (values or {}).items()
        ],
    )


def _returned(component: Action | Reaction | None) -> Values:
    if component is None or component.returns.model_config.get("extra") == "allow":
        return None
    return {declared.name: declared for declared in fields(component.returns)}


def _result(reaction: Reaction | None, config: Config) -> Values:
    """What a reaction returns. What `area.pass_on` returns is what it is given."""
    if reaction is None or reaction.key != "area.pass_on":
        return _returned(reaction)
    declared = by_name(reaction.params)["values"]
    try:
        filling = filling_of(declared, config.reaction_parameters)
    except (KeyError, TemplateError):
        return None
    return None if filling.keys is None else dict.fromkeys(filling.keys)


def _common(first: Values, second: Values) -> Values:
    if first is None or second is None:
        return second if first is None else first
    return {name: first[name] for name in first if name in second}


def _uses(registry: Registry, config: Config) -> Iterator[tuple[str, Path]]:
    """The paths that a link reads, with the field that each stands in."""
    if text := config.action_parameters.get("only_if"):
        for path in sorted(condition.parse(text).paths):
            yield "action.parameters.only_if", path
    reaction = registry.reaction(config.reaction)
    declared = by_name(reaction.params) if reaction else {}
    for name in config.reaction_parameters:
        if name in declared and "{{" in config.reaction_parameters[name]:
            for path in sorted(filling_of(declared[name], config.reaction_parameters).paths):
                yield f"reaction.parameters.{name}", path


def _path(text: str) -> Path | None:
    try:
        path, end = read_path(text, 0, PlacedError)
    except PlacedError:
        return None
    return path.keys if end == len(text) else None


def _unknown(path: Path, known: Known, when: When) -> Sentence | None:
    """Why a link can't read this path; None if it can."""
    place, values, rest = path[0], known.result, path[1:]
    match place:
        case "origin":
            values = known.origin
        case "steps" if rest:
            if rest[0] not in known.steps and known.origin is None and not known.steps:
                return None
            if rest[0] not in known.steps:
                hint = did_you_mean(rest[0], known.steps)
                sentence = Sentence('No AREA before this one is called "%(name)s"%(hint)s', name=rest[0], hint=hint)
                return listing(sentence, hint, ", ".join(known.steps))
            place, values, rest = f"steps.{rest[0]}", known.steps[rest[0]], rest[1:]
        case "item" | "index" if not known.item:
            return Sentence("%(name)s is only available with for_each.", name=place)
        case "error" if when not in ("failed", "any"):
            return Sentence("error is only available after a failure.")
        case "result":
            pass
        case _:
            return None
    if not rest or values is None or rest[0] in values:
        return None
    if not values:
        return Sentence("%(place)s has no values.", place=place)
    hint = did_you_mean(rest[0], values)
    sentence = Sentence('%(place)s has no value called "%(name)s"%(hint)s', place=place, name=rest[0], hint=hint)
    return listing(sentence, hint, ", ".join(list(values)[:20]))


def _no_list(path: Path, known: Known) -> Sentence | None:
    """Why the value at this path is no list, by its declared type; None if it may be one."""
    values, rest = (known.origin, path[1:]) if path[0] == "origin" else (known.result, path[1:])
    if path[0] == "steps":
        values, rest = known.steps.get(path[1]) if len(path) > 1 else None, path[2:]
    declared = (values or {}).get(rest[0]) if len(rest) == 1 else None
    if declared is not None and declared.type != "json":
        return Sentence("%(path)s is not a list.", path=".".join(path))
    return None


# The tree


async def trees(session: AsyncSession, scope: Scope, user_id: int) -> dict[int, ChainLink]:
    """All of the user's chains as trees, by the id of the first AREA. An AREA that follows several stands in each
    tree.
    """
    chains = await load(session, scope.registry, user_id)
    shown = {view.id: view for view in await views.load(session, scope, sorted(chains.configs), addresses=False)}
    return {number: _tree(chains, shown, number) for number in _heads(chains) if number in shown}


async def tree(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> ChainLink | None:
    """The chain that an AREA belongs to, from its first AREA on; None if it is in none."""
    chains = await load(session, scope.registry, user_id)
    if area_id not in chains.configs:
        return None
    up = links.reach(chains.graph.up, [area_id])
    heads = [number for number in [area_id, *up] if not chains.graph.up.get(number)]
    head = min(heads)
    ids = [head, *links.reach(chains.graph.down, [head])]
    shown = {view.id: view for view in await views.load(session, scope, ids, addresses=False)}
    return _tree(chains, shown, head)


def _heads(chains: Chains) -> list[int]:
    return sorted(number for number in chains.configs if not chains.graph.up.get(number))


def _tree(chains: Chains, shown: Mapping[int, AreaOut], area_id: int) -> ChainLink:
    view, link = shown[area_id], chains.link(area_id)
    return ChainLink(
        id=view.id,
        name=view.name,
        is_active=view.is_active,
        version=view.version,
        state=view.state,
        reason=view.reason,
        action=view.action,
        reaction=view.reaction,
        after=list(chains.graph.up.get(area_id, ())),
        when=link.when if link else None,
        for_each=link.for_each if link else None,
        only_if=view.action.parameters.get("only_if"),
        delay=view.reaction.parameters.get("delay"),
        step=list(chains.known_after(area_id).steps)[-1],
        broken=chains.errors(area_id),
        then=[_tree(chains, shown, number) for number in chains.graph.down.get(area_id, ())],
    )
