"""AREAs in a file: export and import. A file has no secrets, and each error names its AREA."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import parameters, views
from area.areas.forms import AreaIn, AreaPatch, Part
from area.areas.plans import MASK, Scope
from area.areas.views import PartOut
from area.db.models import Area
from area.kit.problems import Conflict, FieldError, Invalid, Problem
from area.kit.sentences import Sentence
from area.registry import Registry
from area.sdk.fields import by_name


async def export(session: AsyncSession, scope: Scope, user_id: int, ids: Sequence[int] | None = None) -> list[AreaIn]:
    """The user's AREAs in the form that `create` takes, without secrets."""
    statement = select(Area.id).where(Area.user_id == user_id).order_by(Area.id)
    if ids is not None:
        statement = statement.where(Area.id.in_(ids))
    page = await views.load(session, scope, list(await session.scalars(statement)))
    return [
        AreaIn(
            name=view.name,
            description=view.description,
            is_active=view.is_active,
            action=_part(view.action),
            reaction=_part(view.reaction),
            when_off="skip" if view.when_off == "skip" else None,
        )
        for view in page
    ]


async def apply(session: AsyncSession, scope: Scope, user_id: int, bundle: Sequence[AreaIn]) -> dict[str, list[str]]:
    """Create or update the user's AREAs with these names. Secrets that are left out stay.

    Returns the names under `created`, `changed` and `same`. Other AREAs are left alone. Raises `Conflict` if several
    AREAs have one of the names, and `Invalid` with the errors of all; both name the AREA.
    """
    report: dict[str, list[str]] = {"created": [], "changed": [], "same": []}
    errors: list[FieldError] = []
    for place, item in enumerate(bundle):
        try:
            report[await _apply(session, scope, user_id, item)].append(item.name)
        except Invalid as error:
            _of_area(error, place, item.name)
            if not error.errors:
                raise
            errors += error.errors
        except Problem as error:
            raise _of_area(error, place, item.name) from None
    if errors:
        raise Invalid(errors=errors)
    return report


async def prune(session: AsyncSession, user_id: int, keep: Collection[str]) -> list[str]:
    """Delete the user's AREAs with other names than these. Returns the names of the deleted ones."""
    statement = select(Area.id, Area.name).where(Area.user_id == user_id, Area.name.not_in(keep)).order_by(Area.id)
    rows = (await session.execute(statement)).all()
    for row in rows:
        await areas.remove(session, user_id, row.id)
    return [row.name for row in rows]


async def _apply(session: AsyncSession, scope: Scope, user_id: int, item: AreaIn) -> str:
    rows = list(await session.scalars(select(Area).where(Area.user_id == user_id, Area.name == item.name)))
    if len(rows) > 1:
        raise Conflict(
            "%(number)s AREAs have the name '%(name)s'; rename all but one of them first.",
            number=len(rows),
            name=item.name,
        )
    if not rows:
        await areas.create(session, scope, user_id, item)
        return "created"
    exported = (await export(session, scope, user_id, [rows[0].id]))[0]
    if exported == item:
        return "same"
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
        return "same"
    await areas.change(session, scope, user_id, area.id, patch, checked)
    return "changed"


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
    kept: dict[str, str] = {}
    for name, value in left_out.items():
        field = declared[name]
        if field.holds_secret(value) and field.hidden(value) == MASK:
            kept[name] = MASK
        elif field.input and field.input.kind == "zone":
            kept[name] = value
    return part.model_copy(update={"parameters": {**part.parameters, **kept}})


def _of_area(error: Problem, place: int, name: str) -> Problem:
    """The error, with the name of its AREA and its place in the file."""
    if isinstance(error, Invalid):
        error.errors = [
            FieldError(
                field=f"areas.{place}.{detail['field']}",
                message=_named(name, detail["message"]),
            )
            for detail in error.errors
        ]
    error.message = _named(name, error.message)
    error.args = (error.message,)
    return error


def _named(name: str, error: Sentence) -> Sentence:
    return Sentence('AREA "%(name)s": %(error)s', name=name, error=error)
