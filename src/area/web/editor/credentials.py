"""Secrets typed into fields: find them, and move them into credentials."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import parameters, secrets
from area.areas.plans import Scope
from area.registry import Registry
from area.sdk import keys, sensitive
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK
from area.web.editor.forms import Form, Side
from area.web.editor.origin import Origin
from area.web.editor.sides import Half
from area.web.editor.sight import Sight
from area.web.parts.pages import Page


def note(registry: Registry, form: Form, half: Half) -> None:
    """Mark the fields whose secret belongs in a credential."""
    component = registry.action(form.action) if half.side == "action" else registry.reaction(form.reaction)
    if component is None or component.service.auth is None or component.service.requires_auth:
        return
    values = form.values(half.side)
    for field in half.fields:
        holds = by_name(component.params)[field.variable].holds if field.variable in by_name(component.params) else None
        if holds and not form.connection(half.side):
            lifted = keys.lift(holds, field.value, values.get("url", ""))
            field.movable = lifted is not None and keys.fits(component.service.auth, lifted[1])


async def move(
    page: Page, session: AsyncSession, scope: Scope, origin: Origin, form: Form, sight: Sight, rest: str
) -> None:
    """Move a field's secret into a credential and select it."""
    word, _, name = rest.partition(" ")
    side: Side = "action" if word == "action" else "reaction"
    component = scope.registry.action(form.action) if side == "action" else scope.registry.reaction(form.reaction)
    if component is None or component.service.auth is None or form.connection(side):
        return
    values: Mapping[str, Any] = form.values(side)
    saved = None if origin.area is None else origin.area.action if side == "action" else origin.area.reaction
    if origin.area is not None and saved is not None and saved.component == component.key:
        config = await parameters.present(session, scope, await areas.own(session, page.user.id, origin.area.id))
        old = config.action_parameters if side == "action" else config.reaction_parameters
        values = secrets.unmask(component, values, old)
    holds = by_name(component.params)[name].holds if name in by_name(component.params) else None
    lifted = keys.lift(holds, str(values.get(name, "")), str(values.get("url", ""))) if holds else None
    if lifted is None or MASK in str(lifted[1]) or not keys.fits(component.service.auth, lifted[1]):
        return
    text, credential = lifted
    called = await secrets.keep_lifted(
        session, scope.keyring, scope.registry, component.service, page.user.id, credential
    )
    form.values(side)[name] = sensitive.hide(holds, text) if holds and MASK in form.values(side)[name] else text
    if side == "action":
        form.action_connection = called
    else:
        form.reaction_connection = called
    sight.moved = called
