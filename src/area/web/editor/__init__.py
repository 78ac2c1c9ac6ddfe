"""Create and edit an AREA: one page, one form, sent whole with every change; the answer is the form with what it means."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import areas
from area.areas import AreaIn, AreaPatch, Checked, parameters, secrets
from area.areas.plans import MASK, Scope, action_errors, to_text
from area.areas.views import AreaOut
from area.catalog import ComponentView, ServiceView
from area.doors.deps import Id, ScopeDep, SessionDep
from area.engine import control
from area.kit.budget import Budget
from area.kit.evaluation import evaluate
from area.kit.problems import Invalid, NotFound, Problem
from area.kit.text import dump_json
from area.sdk import keys, sensitive
from area.sdk.fields import by_name
from area.web.editor import drafts, forms, rows, sides
from area.web.editor.forms import Chip, Form, Shown, Side
from area.web.editor.recipes import RECIPES
from area.web.editor.sides import SIDES, Half, Sight, read_sight
from area.web.parts import offers
from area.web.parts.pages import Fields, Page, SignedIn

router = APIRouter()


class Origin(BaseModel):
    """What is edited: a saved AREA, or a new one, which may begin as a recipe or as another AREA."""

    key: str
    address: str
    area: AreaOut | None = None
    start: Form
    secrets_left_out: bool = False

    def kept(self, form: Form) -> dict[Side, set[str]]:
        """Names of the secrets that are stored, of the components that are still the same."""
        parts = {} if self.area is None else {"action": self.area.action, "reaction": self.area.reaction}
        return {
            side: {name for name, value in parts[side].parameters.items() if value == MASK}
            if side in parts and parts[side].component == form.component(side)
            else set()
            for side in SIDES
        }


@router.get("/areas/new")
async def new(
    page: SignedIn,
    scope: ScopeDep,
    session: SessionDep,
    recipe: str = "",
    copy: str = "",
    action: str = "",
    reaction: str = "",
) -> Response:
    """A new AREA, which may begin as a recipe, as another AREA, or with one side chosen."""
    given = {"recipe": recipe, "copy": copy, "action": action, "reaction": reaction}
    key = next((f"{name}:{value[:80]}" for name, value in given.items() if value), "new")
    return await _open(page, session, scope, key)


@router.get("/areas/{area_id}/edit")
async def edit(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """A saved AREA."""
    return await _open(page, session, scope, str(area_id))


async def _open(page: Page, session: AsyncSession, scope: Scope, key: str) -> Response:
    origin = await _origin(page, session, scope, key)
    found = await drafts.find(session, scope.keyring, page.user.id, key)
    form, sight = origin.start, Sight()
    if found:
        try:
            form, sight.restored = Form.model_validate(found[0]), True
            sight.stale = origin.area is not None and origin.area.updated_at > found[1]
        except ValidationError:  # of a version of AREA that kept something else
            await drafts.remove(session, page.user.id, key)
    return await _show(page, session, scope, origin, form, sight)


@router.post("/areas/editor")
async def change(page: SignedIn, posted: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Something was typed or chosen: keep it as a draft, and say what it means."""
    origin = await _origin(page, session, scope, posted.get("key", ""))
    form, sight = forms.read(posted), read_sight(posted)
    verb, _, rest = posted.get("do", "").partition(" ")
    if verb == "discard":
        await drafts.remove(session, page.user.id, origin.key)
        return page.to(origin.address)
    if verb == "run" and origin.area:
        sight.run = await control.run(session, page.state, page.user.id, origin.area.id)
    sight.tried = sight.tried or verb in ("save", "try")
    sight.trying = sight.trying or verb == "try"
    if verb == "move":
        await _move(page, session, scope, origin, form, sight, rest)
    await sides.press(session, scope.registry, form, sight, verb, rest)
    return await _show(page, session, scope, origin, form, sight, save=verb == "save")


async def _move(
    page: Page, session: AsyncSession, scope: Scope, origin: Origin, form: Form, sight: Sight, rest: str
) -> None:
    """Move the secret in a field into a credential, which the side then uses."""
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
    text, given = lifted
    called = await secrets.keep_lifted(session, scope.keyring, scope.registry, component.service, page.user.id, given)
    form.values(side)[name] = sensitive.hide(holds, text) if holds and MASK in form.values(side)[name] else text
    if side == "action":
        form.action_connection = called
    else:
        form.reaction_connection = called
    sight.moved = called


async def _origin(page: Page, session: AsyncSession, scope: Scope, key: str) -> Origin:
    """What `key` names. Raises `NotFound`."""
    word, _, rest = key.partition(":")
    if key == "new":
        return Origin(key=key, address="/areas/new", start=Form())
    if word == "recipe" and rest in RECIPES:
        start = forms.of_recipe(RECIPES[rest], page.say)
        return Origin(key=key, address=f"/areas/new?recipe={rest}", start=start)
    chosen = scope.registry.action(rest) if word == "action" else scope.registry.reaction(rest)
    if word in SIDES and chosen:
        return Origin(key=key, address=f"/areas/new?{word}={rest}", start=Form.model_validate({word: rest}))
    number = rest if word == "copy" else key
    if number.isascii() and number.isdigit() and len(number) < 10:
        area = await areas.get(session, scope, page.user.id, int(number))
        if word != "copy":
            return Origin(key=number, address=f"/areas/{area.id}/edit", area=area, start=forms.of_area(area))
        name = page.say("Copy of %(name)s", name=area.name)[:255]
        left_out = any(
            MASK in to_text(one) for one in (*area.action.parameters.values(), *area.reaction.parameters.values())
        )
        return Origin(
            key=f"copy:{area.id}",
            address=f"/areas/new?copy={area.id}",
            start=forms.of_area(area, name=name),
            secrets_left_out=left_out,
        )
    raise NotFound


# Show


async def _show(
    page: Page, session: AsyncSession, scope: Scope, origin: Origin, form: Form, sight: Sight, *, save: bool = False
) -> Response:
    chosen = [form.component(side) for side in SIDES]
    services = await offers.services(page, session, include_inactive=True, variables_of=chosen)
    halves = {side: sides.half(scope.registry, services, form, side) for side in SIDES}
    action, reaction = halves["action"].view, halves["reaction"].view
    for side in SIDES:
        if view := halves[side].view:
            forms.tidy(form, view, side)
            forms.tidy(origin.start, view, side)
    kept = origin.kept(form)
    asked = forms.wanted(form, action, reaction, kept) if action and reaction else None
    changed = _differs(form, origin.start)
    checked, errors = None, dict[str, list[str]]()
    if not save or origin.area is None or changed & PARTS:
        checked, errors = await _check(page, session, scope, origin, form, sight, action, asked, kept, saving=save)
    errors |= _missing(page, form)
    if save and asked and (not errors or (origin.area and not changed & PARTS)):
        try:
            async with session.begin_nested():
                area = await _save(page, session, scope, origin, asked, checked, parts=bool(changed & PARTS))
            await drafts.remove(session, page.user.id, origin.key)
            return page.to(f"/areas/{area.id}", said=page.say("Saved."))
        except Invalid as error:
            errors = sides.by_field(error.errors)
        except Problem as error:
            sight.problem = page.tell(error)
    kept_draft = True
    if page.request.method == "POST":
        kept_draft = await _keep(session, page, origin, form, halves, changed=bool(changed))
    await sides.note_connections(page, session, halves, form, origin.address)
    _fill(page, halves, services, form, sight, kept, errors)
    preview = await _preview(page, session, halves, form, origin, checked if not errors else None)
    if save:
        sight.focus = "errors"
    elif sight.focus.startswith("first-"):
        sight.focus = sides.first_field(halves, sight.focus.removeprefix("first-"))
    return await page.show(
        "_editor.html" if page.partial else "editor.html",
        422 if save else 200,
        nav="home",
        origin=origin,
        form=form,
        sight=sight,
        sides=halves,
        summary=sides.summary(halves, errors, form) if sight.tried else [],
        suggested=forms.suggested(action, reaction),
        operators=rows.OPERATORS,
        alone=rows.ALONE,
        changed=bool(changed),
        kept_draft=kept_draft,
        simple=form.condition is not None or rows.read(form.only_if) is not None,
        row_errors=sides.row_errors(page, form) if sight.tried else {},
        **preview,
    )


def _fill(
    page: Page,
    halves: Mapping[Side, Half],
    services: Sequence[ServiceView],
    form: Form,
    sight: Sight,
    kept: Mapping[Side, set[str]],
    errors: Mapping[str, list[str]],
) -> None:
    """Give both halves their fields with what is wrong, and their choice where it is open."""
    shown = sides.visible(form, sight, errors)
    for side, half in halves.items():
        half.errors = shown.get(side[0], [])
        if half.view:
            half.fields = forms.field_views(form, half.view, side, kept[side], shown, page.words(half.view.service))
            sides.note_secrets(page.state.registry, form, half)
        if not half.view or sight.open.get(side):
            half.picker = sides.picker(page, services, side, sight)


async def _check(
    page: Page,
    session: AsyncSession,
    scope: Scope,
    origin: Origin,
    form: Form,
    sight: Sight,
    action: ComponentView | None,
    asked: AreaIn | None,
    kept: Mapping[Side, set[str]],
    *,
    saving: bool,
) -> tuple[Checked | None, dict[str, list[str]]]:
    """What the form describes, compiled; or what is wrong with it, by field: `a.url`; `a` for what is wrong with all of a side."""
    try:
        if asked and origin.area:
            parts = asked.action, asked.reaction
            return await areas.check_change(session, scope, page.user.id, origin.area.id, *parts, saving=saving), {}
        if asked:
            return await areas.check(session, scope, asked.action, asked.reaction, saving=saving), {}
    except Invalid as error:
        return None, sides.by_field(error.errors)
    except Problem as error:
        sight.problem = page.tell(error)
    if not asked and action and (code := scope.registry.action(action.key)):
        return None, sides.by_field(action_errors(code, forms.parameters(form, action, "action", kept["action"])))
    return None, {}


def _missing(page: Page, form: Form) -> dict[str, list[str]]:
    """What is not chosen or not complete yet, by field."""
    errors = {}
    if sides.row_errors(page, form):
        errors["a.only_if"] = [page.say("A line of the condition is not complete.")]
    if not form.action:
        errors["a"] = [page.say("Choose what happens.")]
    elif not form.reaction:
        errors["r"] = [page.say("Choose what is done then.")]
    return errors


async def _preview(
    page: Page,
    session: AsyncSession,
    halves: Mapping[Side, Half],
    form: Form,
    origin: Origin,
    checked: Checked | None,
) -> dict[str, Any]:
    """What the reaction would be given, on the last event of this AREA or else on the action's sample."""
    action, reaction = halves["action"].view, halves["reaction"].view
    registry = page.state.registry
    code = registry.action(action.key) if action else None
    if action is None or code is None:
        none: list[Shown] = []
        return {"chips": list[Chip](), "event": None, "sample": True, "filled": none, "dry": None, "due": None}
    event, sample = await control.event_of(
        session, page.state, page.user.id, code, origin.area.id if origin.area else None
    )
    dry = await control.preview(session, page.state, page.user.id, checked, event) if checked else None
    return {
        "chips": forms.chips(action, event),
        "event": event,
        "sample": sample,
        "filled": await _filled(page, form, action, reaction, event) if reaction else [],
        "dry": dry,
        "due": datetime.fromisoformat(dry.due) if dry and dry.due else None,
    }


async def _filled(
    page: Page, form: Form, action: ComponentView, reaction: ComponentView, event: Mapping[str, Any]
) -> list[Shown]:
    say = page.words(reaction.service)

    def work(budget: Budget) -> list[Shown]:
        return forms.filled(page.state.registry, form, action, reaction, event, say, budget)

    return await evaluate(work, Budget(), len(dump_json(event)))


# Save


async def _keep(
    session: AsyncSession, page: Page, origin: Origin, form: Form, halves: Mapping[Side, Half], *, changed: bool
) -> bool:
    """Keep the draft, without its secrets; what is as it was in the beginning is none. False if it is too large."""
    if not changed:
        await drafts.remove(session, page.user.id, origin.key)
        return True
    secrets: dict[Side, set[str]] = {side: set() for side in SIDES}
    for side, half in halves.items():
        if half.view:
            secrets[side] = {one.name for one in half.view.parameters if one.secret}
    return await drafts.save(session, page.state.keyring, page.user.id, origin.key, form.without(secrets))


def _differs(form: Form, start: Form) -> set[str]:
    """Names of what is not as it was in the beginning."""
    return {name for name in Form.model_fields if getattr(form, name) != getattr(start, name)} - {
        "named",
        "long",
        "names",
    }


PARTS = frozenset(
    {
        *("action", "reaction", "action_values", "reaction_values", "condition", "removed"),
        *("action_connection", "reaction_connection"),
    }
)


async def _save(
    page: Page,
    session: AsyncSession,
    scope: Scope,
    origin: Origin,
    asked: AreaIn,
    checked: Checked | None,
    *,
    parts: bool,
) -> AreaOut:
    """Create or change. Parts that did not change are not given: they may stay even if they are switched off now."""
    if origin.area is None:
        return await areas.create(session, scope, page.user.id, asked, checked)
    patch = AreaPatch(name=asked.name, description=asked.description, is_active=asked.is_active)
    if parts:
        patch = AreaPatch(
            name=asked.name,
            description=asked.description,
            is_active=asked.is_active,
            action=asked.action,
            reaction=asked.reaction,
        )
    return await areas.change(session, scope, page.user.id, origin.area.id, patch, checked)
