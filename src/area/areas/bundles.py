"""AREAs in a file: export and import. A file has no secrets, and each error names its AREA."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import links, parameters, views
from area.areas.forms import OF_LINK, AreaIn, AreaPatch, LinkIn, Part
from area.areas.links import Graph
from area.areas.plans import Scope
from area.areas.views import AreaOut, PartOut
from area.db.models import Area
from area.kit.problems import Conflict, FieldError, Invalid, Problem
from area.kit.sentences import Sentence
from area.registry import Registry
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK


async def export(session: AsyncSession, scope: Scope, user_id: int, ids: Sequence[int] | None = None) -> list[AreaIn]:
    """The user's AREAs in the form that `create` takes, without secrets. A chain is one of them, with those that follow
    in its `then`; a link is only on its own if it was asked for without its chain.
    """
    statement = select(Area.id).where(Area.user_id == user_id).order_by(Area.id)
    graph = await links.graph(session, user_id)
    every = list(await session.scalars(statement))
    chosen = every if ids is None else [number for number in every if number in {*ids, *links.reach(graph.down, ids)}]
    shown = {view.id: view for view in await views.load(session, scope, chosen)}
    names = await areas.names(session, user_id, every)
    inside = {number for number in chosen if set(graph.up.get(number, ())) & set(chosen)}
    return [
        _flat(shown[number]).model_copy(update={"then": _then(number, shown, graph, names)})
        for number in chosen
        if number not in inside
    ]


def _flat(view: AreaOut) -> AreaIn:
    """An AREA without those that follow it."""
    return AreaIn(
        name=view.name,
        description=view.description,
        is_active=view.is_active,
        action=_part(view.action),
        reaction=_part(view.reaction),
        when_off="skip" if view.when_off == "skip" else None,
    )


def _then(area_id: int, shown: Mapping[int, AreaOut], graph: Graph, names: Mapping[int, str]) -> list[LinkIn]:
    """The links that follow an AREA, each where it stands first."""
    then = []
    for number in graph.down.get(area_id, ()):
        if number not in shown:
            continue
        after = shown[number].action.parameters["after"]
        if area_id != next(other for other in after if other in shown):
            continue
        flat = _flat(shown[number])
        action, reaction = dict(flat.action.parameters), dict(flat.reaction.parameters)
        then.append(
            LinkIn(
                name=flat.name,
                description=flat.description,
                is_active=flat.is_active,
                when=action.get("when", "success"),
                for_each=action.get("for_each"),
                only_if=action.get("only_if"),
                delay=reaction.pop("delay", None),
                also_after=[names[other] for other in after if other != area_id and other in names],
                reaction=flat.reaction.model_copy(update={"parameters": reaction}),
                then=_then(number, shown, graph, names),
            )
        )
    return then


async def apply(session: AsyncSession, scope: Scope, user_id: int, bundle: Sequence[AreaIn]) -> dict[str, list[str]]:
    """Create or update the user's AREAs with these names, and those that follow them. Secrets that are left out stay.

    Returns the names under `created`, `changed` and `same`. Other AREAs are left alone. Raises `Conflict` if several
    AREAs have one of the names, and `Invalid` with the errors of all; both name the AREA.
    """
    report: dict[str, list[str]] = {"created": [], "changed": [], "same": []}
    errors: list[FieldError] = []
    ids: list[int] = []
    for place, item in enumerate(bundle):
        ids.append(await _applied(session, scope, user_id, f"{place}", item, report, errors))
    for place, item in enumerate(bundle):
        await _apply_links(session, scope, user_id, f"{place}", ids[place], item.then, report, errors)
    if errors:
        raise Invalid(errors=errors)
    return report


async def _apply_links(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    place: str,
    area_id: int,
    then: Sequence[LinkIn],
    report: dict[str, list[str]],
    errors: list[FieldError],
) -> None:
    """Create or update the AREAs that follow one. Stops below one that has errors."""
    for number, link in enumerate(then if area_id else ()):
        here = f"{place}.then.{number}"
        try:
            others = [await areas.by_name_or_id(session, user_id, other) for other in link.also_after]
        except Invalid as error:
            _of_area(error, here, link.name)
            errors += error.errors
            continue
        item = link.as_area([area_id, *others])
        made = await _applied(session, scope, user_id, here, item, report, errors)
        await _apply_links(session, scope, user_id, here, made, link.then, report, errors)


async def _applied(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    place: str,
    item: AreaIn,
    report: dict[str, list[str]],
    errors: list[FieldError],
) -> int:
    """Create or update one AREA, and add it to the report, or its errors to `errors`. Returns its id; 0 if it has
    errors.
    """
    try:
        became, number = await _apply(session, scope, user_id, item.model_copy(update={"then": []}))
    except Invalid as error:
        _of_area(error, place, item.name)
        if not error.errors:
            raise
        errors += error.errors
        return 0
    except Problem as error:
        raise _of_area(error, place, item.name) from None
    report[became].append(item.name)
    return number


def names_in(bundle: Iterable[AreaIn | LinkIn]) -> list[str]:
    """The names of all AREAs, those that follow included."""
    return [name for item in bundle for name in (item.name, *names_in(item.then))]


async def prune(session: AsyncSession, user_id: int, keep: Collection[str]) -> list[str]:
    """Delete the user's AREAs with other names than these. Returns the names of the deleted ones."""
    statement = select(Area.id, Area.name).where(Area.user_id == user_id, Area.name.not_in(keep)).order_by(Area.id)
    rows = (await session.execute(statement)).all()
    for area_id in await links.last_first(session, user_id, [row.id for row in rows]):
        await areas.remove(session, user_id, area_id)
    return [row.name for row in rows]


async def _apply(session: AsyncSession, scope: Scope, user_id: int, item: AreaIn) -> tuple[str, int]:
    rows = list(await session.scalars(select(Area).where(Area.user_id == user_id, Area.name == item.name)))
    if len(rows) > 1:
        raise Conflict(
            "%(number)s AREAs have the name '%(name)s'; rename all but one of them first.",
            number=len(rows),
            name=item.name,
        )
    if not rows:
        return "created", (await areas.create(session, scope, user_id, item)).id
    exported = _flat((await views.load(session, scope, [rows[0].id]))[0])
    if exported == item:
        return "same", rows[0].id
    area = await areas.own(session, user_id, rows[0].id, lock=True)
    old = await parameters.present(session, scope, area)
    action = _with_secrets(scope.registry, "action", item.action, old.action, old.action_parameters)
    reaction = _with_secrets(scope.registry, "reaction", item.reaction, old.reaction, old.reaction_parameters)
    checked = await areas.check(session, scope, action, reaction, old)
    patch = AreaPatch(description=item.description, is_active=item.is_active)
    if item.when_off != exported.when_off:
        patch.when_off = item.when_off or "retry"
    if await areas.settle(session, scope, user_id, checked) != old:
        patch.action, patch.reaction = action, reaction
    elif (item.description, item.is_active, item.when_off) == (area.description, area.is_active, exported.when_off):
        return "same", area.id
    await areas.change(session, scope, user_id, area.id, patch, checked)
    return "changed", area.id


def _part(view: PartOut) -> Part:
    """A part without its secrets."""
    part = Part(component=view.component, parameters=_unmasked(view.parameters))
    return part.model_copy(update={"connection": view.connection}) if view.connection else part


def _unmasked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value != MASK}


def _with_secrets(registry: Registry, kind: str, part: Part, key: str, old: Mapping[str, str]) -> Part:
    """The part with masks for the secrets that it leaves out and the saved AREA has, since exports have none, and with
    its time zone, which AREA chose. An empty text removes one.
    """
    part = part.model_copy(update={"connection": part.connection})  # set explicitly, even if omitted
    component = registry.action(key) if kind == "action" else registry.reaction(key)
    if component is None or part.component != key:
        return part
    declared = by_name(component.params)
    left_out = {name: value for name, value in old.items() if name in declared and name not in part.parameters}
    connections: dict[str, str] = {}
    for name, value in left_out.items():
        field = declared[name]
        if field.holds_secret(value) and field.hidden(value) == MASK:
            connections[name] = MASK
        elif field.input and field.input.kind == "zone":
            connections[name] = value
    return part.model_copy(update={"parameters": {**part.parameters, **connections}})


def _of_area(error: Problem, place: str, name: str) -> Problem:
    """The error, with the name of its AREA and its place in the file."""
    if isinstance(error, Invalid):
        moved = OF_LINK if "then" in place else {}
        error.errors = [
            FieldError(
                field=f"areas.{place}.{moved.get(detail['field'], detail['field'])}",
                message=_named(name, detail["message"]),
            )
            for detail in error.errors
        ]
    error.message = _named(name, error.message)
    error.args = (error.message,)
    return error


def _named(name: str, error: Sentence) -> Sentence:
    return Sentence('AREA "%(name)s": %(error)s', name=name, error=error)
