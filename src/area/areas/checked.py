"""A requested AREA, resolved in the catalog and compiled once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import secrets
from area.areas.forms import Part
from area.areas.parameters import Parts
from area.areas.plans import Config, Plan, Scope, check_texts, compile_config
from area.db.models import Component, Service, Variable
from area.kit.problems import FieldError, Invalid
from area.kit.text import did_you_mean
from area.registry import Registry
from area.sdk import Action, Reaction

Kind = Literal["action", "reaction"]

NOTHING = Config("", "", {}, {})


@dataclass(frozen=True, slots=True)
class Checked:
    """A requested AREA with its two components resolved and its configuration compiled. Used by `create`, `change` and
    previews.

    Secrets in `config` are in clear. Connection ids are not set yet; `given` has their names. `logins` were in URLs and
    become credentials on saving. `old` is the saved configuration, if any.
    """

    parts: Parts
    config: Config
    plan: Plan
    given: Mapping[Kind, Part | None]
    logins: Mapping[Kind, Mapping[str, Any]]
    old: Config


async def check(
    session: AsyncSession,
    scope: Scope,
    action: Part | None,
    reaction: Part | None,
    old: Config = NOTHING,
    *,
    saving: bool = True,
) -> Checked:
    """Resolve and compile a requested AREA. A part that is None stays as in `old`.

    Masks stand for the secrets of `old`; other masks are only allowed if not `saving`. Raises `Invalid` with every
    field's error.
    """
    names = action.component if action else old.action, reaction.component if reaction else old.reaction
    parts = await _parts(session, scope.registry, *names)
    texts: dict[Kind, Mapping[str, Any]] = {"action": old.action_parameters, "reaction": old.reaction_parameters}
    sides: dict[Kind, Part | None] = {"action": action, "reaction": reaction}
    logins: dict[Kind, Mapping[str, Any]] = {}
    for kind, component, key in kinds(parts, old):
        part = sides[kind]
        if part is None:
            continue
        if key:
            texts_before = texts[kind] if component.key == key else {}
            part = part.model_copy(update={"parameters": secrets.unmask(component, part.parameters, texts_before)})
        part, login = secrets.without_login(component, part, kind)
        if login:
            logins[kind] = login
        sides[kind], texts[kind] = part, part.parameters
    config = _texts(parts, texts["action"], texts["reaction"])
    if saving:
        secrets.without_masks(parts, config)
    return Checked(parts, config, compile_config(scope.registry, config), sides, logins, old)


def kinds(parts: Parts, old: Config) -> tuple[tuple[Kind, Action | Reaction, str], ...]:
    """Both components, each with the key of its predecessor."""
    return ("action", parts.action, old.action), ("reaction", parts.reaction, old.reaction)


async def _parts(session: AsyncSession, registry: Registry, action_name: str | int, reaction_name: str | int) -> Parts:
    action_row, action_key = await _component(session, registry, "action", action_name)
    reaction_row, reaction_key = await _component(session, registry, "reaction", reaction_name)
    action, reaction = registry.action(action_key), registry.reaction(reaction_key)
    if action is None or reaction is None:
        place, key = ("action", action_key) if action is None else ("reaction", reaction_key)
        raise Invalid.field(f"{place}.component", "%(key)s is no longer available.", key=key)
    rows = await session.execute(
        select(Variable.component_id, Variable.name, Variable.id).where(
            Variable.component_id.in_([action_row.id, reaction_row.id]), Variable.kind == "parameter"
        )
    )
    return Parts(action, reaction, action_row, reaction_row, {(row[0], row[1]): row[2] for row in rows})


async def _component(session: AsyncSession, registry: Registry, type_: str, name: str | int) -> tuple[Component, str]:
    """Row and key of a component, given as `service.component` or id. Raises `Invalid`."""
    statement = (
        select(Component, Service).join(Service, Service.id == Component.service_id).where(Component.type == type_)
    )
    slug, _, component_name = str(name).partition(".")
    if component_name and slug in registry.services:
        statement = statement.where(Component.name == component_name, Service.name == registry.services[slug].name)
    elif str(name).isascii() and str(name).isdigit() and int(name) < 2**31:
        statement = statement.where(Component.id == int(name))
    else:
        statement = statement.where(text("false"))
    row = (await session.execute(statement)).first()
    if row is None:
        every = [key for known in registry.services.values() for key in _keys(known, type_)]
        hint = did_you_mean(str(name), every)
        if type_ == "action":
            raise Invalid.field("action.component", "There is no action '%(name)s'%(hint)s", name=name, hint=hint)
        raise Invalid.field("reaction.component", "There is no reaction '%(name)s'%(hint)s", name=name, hint=hint)
    component, service = row
    if not (component.is_active and service.is_active):
        raise Invalid.field(
            f"{type_}.component",
            "%(service)s: %(name)s is switched off on this server.",
            service=service.name,
            name=component.name,
        )
    return component, f"{registry.slug_of(service.name)}.{component.name}"


def _keys(service: Any, type_: str) -> list[str]:
    return [component.key for component in (service.actions if type_ == "action" else service.reactions).values()]


def _texts(parts: Parts, action: Mapping[str, Any], reaction: Mapping[str, Any]) -> Config:
    action_texts, errors = check_texts(parts.action, action, "action.parameters", allow="only_if")
    reaction_texts, more = check_texts(parts.reaction, reaction, "reaction.parameters", allow="delay")
    every: list[FieldError] = [*errors, *more]
    if every:
        raise Invalid(errors=every)
    return Config(parts.action.key, parts.reaction.key, action_texts, reaction_texts)
