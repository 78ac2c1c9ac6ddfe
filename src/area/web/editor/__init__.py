"""Create and edit an AREA: one form, posted whole on every change; the response is the redrawn form.

A request is parsed (`read`), the button applied (`press`), the form checked (`check`), saved or stored as a draft
(`act`), and rendered (`show`).

One module, since each request goes through these steps in this order.
"""

from dataclasses import dataclass, field
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import areas
from area.areas import AreaIn, AreaPatch, Checked, moving
from area.areas.forms import LinkIn
from area.areas.plans import Scope, action_errors
from area.areas.views import AreaOut
from area.catalog import ComponentView, ServiceView
from area.doors.deps import CacheDep, Id, ScopeDep, SessionDep
from area.engine import control
from area.engine.cache import Cache
from area.engine.dry_run import Preview
from area.kit.clock import zone_names
from area.kit.problems import Invalid, Problem
from area.kit.sentences import REGIONS
from area.kit.template.filters import FILTERS
from area.web.editor import connected, credentials, drafts, errors, forms, inputs, link, merge, preview, rows, sides
from area.web.editor import origin as origins
from area.web.editor.forms import LINK, SIDES, Form, Side
from area.web.editor.origin import Origin
from area.web.editor.sides import Half
from area.web.editor.sight import Sight, press_button, read_sight
from area.web.editor.trying import TriedStep, tried
from area.web.parts import offers
from area.web.parts.pages import Fields, Page, SignedIn

router = APIRouter()

SAVE = ("save", "then", "or")  # buttons
PARTS = frozenset(
    {
        *("action", "reaction", "action_values", "reaction_values", "condition", "removed"),
        *("action_connection", "reaction_connection"),
    }
)  # of a form: what the AREA does, rather than what it is called


@dataclass
class Editing:
    """One request of the editor: user, origin, form, and what is open on the page."""

    page: Page
    session: AsyncSession
    scope: Scope
    origin: Origin
    form: Form
    sight: Sight


@dataclass
class Findings:
    """Result of a check: both halves, changed fields, the resulting AREA, and errors by field."""

    services: list[ServiceView]
    halves: dict[Side, Half]
    kept: dict[Side, set[str]]
    changed: set[str]
    wanted: AreaIn | None = None
    checked: Checked | None = None
    errors: dict[str, list[str]] = field(default_factory=dict)
    draft_kept: bool = True

    @property
    def action(self) -> ComponentView | None:
        """The selected action."""
        return self.halves["action"].view

    @property
    def reaction(self) -> ComponentView | None:
        """The selected reaction."""
        return self.halves["reaction"].view


@router.get("/areas/new")
async def new(
    page: SignedIn,
    scope: ScopeDep,
    session: SessionDep,
    template: str = "",
    copy: str = "",
    then: str = "",
    further: Annotated[str, Query(alias="or")] = "",
    action: str = "",
    reaction: str = "",
) -> Response:
    """A new AREA, empty or from a template, a copy, or one preselected side, or one that follows another (`then`), or
    has a further action for it (`or`).
    """
    query = {"template": template, "copy": copy, "then": then, "or": further, "action": action, "reaction": reaction}
    key = next((f"{name}:{value[:80]}" for name, value in query.items() if value), "new")
    if action and reaction:
        key = f"action:{action[:80]} {reaction[:80]}"
    editing = await read_draft(page, session, scope, key)
    return await show(editing, await check(editing))


@router.get("/areas/{area_id}/edit")
async def edit(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """A saved AREA."""
    editing = await read_draft(page, session, scope, str(area_id))
    return await show(editing, await check(editing))


@router.post("/areas/editor")
async def change(page: SignedIn, posted: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Handle input: save a draft and redraw the form, or save the AREA."""
    verb, _, rest = posted.get("do", "").partition(" ")
    saving = verb in SAVE
    editing = await read(page, session, scope, posted)
    if verb in ("discard", "cancel"):
        await drafts.remove(session, page.user.id, editing.origin.key)
        return page.to(editing.origin.address if verb == "discard" else editing.origin.back)
    overtaken = bring_up(editing)
    await press(editing, verb, rest)
    findings = await check(editing, saving=saving)
    saved = await act(editing, findings, saving=saving and not overtaken, next_=verb)
    return saved or await show(editing, findings, saving=saving)


@router.post("/areas/editor/try")
async def try_chain(page: SignedIn, posted: Fields, scope: ScopeDep, cache: CacheDep, session: SessionDep) -> Response:
    """Dry run of the whole chain, with the AREA as it is typed. Look-ups are really asked."""
    editing = await read(page, session, scope, {**posted, "do": "try"})
    findings = await check(editing)
    steps: list[TriedStep] = []
    shown, problem = None, ""
    if findings.checked and findings.wanted and not findings.errors:
        try:
            first, shown = await _try(editing, findings, findings.wanted, cache)
            steps = tried(page, shown, first, findings.wanted.name)
        except Invalid as error:
            problem = " ".join(page.say(detail["message"]) for detail in error.errors) or page.tell(error)
        except Problem as error:
            problem = page.tell(error)
        await session.close()
    return await page.show("_tried_chain.html", steps=steps, preview=shown, problem=problem)


async def _try(editing: Editing, findings: Findings, wanted: AreaIn, cache: Cache) -> tuple[str, Preview]:
    """Save, try the chain from its first AREA on, and let go of what was saved. Returns that AREA's name, too."""
    session, page, form, origin = editing.session, editing.page, editing.form, editing.origin
    area = await _save(editing, findings, wanted)
    head, name = (area.chain.id, area.chain.name) if area.chain else (area.id, area.name)
    action, data = page.state.registry.action(form.action), None
    if origin.area and action and form.action not in (LINK, origin.start.action):
        data, _ = await control.event_of(session, page.state, page.user.id, action)  # the last event was another's
    return name, await control.preview(session, page.state, page.user.id, head, data, cache=cache)


# Read


async def read(page: Page, session: AsyncSession, scope: Scope, posted: Fields) -> Editing:
    """The posted form. Raises `NotFound`. An AREA that is saved is locked, so that no one changes it in between."""
    key = posted.get("key", "")
    if posted.get("do") in SAVE and key.isascii() and key.isdigit() and len(key) < 10:
        await areas.own(session, page.user.id, int(key), lock=True)
    origin = await origins.find(page, session, scope, key)
    return Editing(page, session, scope, origin, forms.read(posted), read_sight(posted))


async def read_draft(page: Page, session: AsyncSession, scope: Scope, key: str) -> Editing:
    """The form that `key` names, with its draft. Raises `NotFound`."""
    origin = await origins.find(page, session, scope, key)
    form, sight = origin.start, Sight()
    if draft := await drafts.find(session, scope.keyring, page.user.id, key):
        try:
            form, sight.restored = Form.model_validate(draft), True
        except ValidationError:  # of a version of AREA that kept something else
            await drafts.remove(session, page.user.id, key)
    editing = Editing(page, session, scope, origin, form.model_copy(deep=True), sight)
    bring_up(editing)
    return editing


def bring_up(editing: Editing) -> bool:
    """Take over what was changed elsewhere since the editing began. Whether anything was."""
    if editing.origin.area is None:
        return False
    sight, merged = editing.sight, merge.merge(editing.form, editing.origin.start)
    sight.taken = sorted({*sight.taken, *merged.taken} - {*merged.both})
    sight.both = sorted({*sight.both, *merged.both})
    return bool(merged.taken or merged.both)


async def press(editing: Editing, verb: str, rest: str) -> None:
    """Apply a button other than Save."""
    page, session, scope, sight = editing.page, editing.session, editing.scope, editing.sight
    sight.tried = sight.tried or verb in (*SAVE, "try")
    sight.trying = sight.trying or verb == "try"
    sight.asks = token_hex(4) if verb == "try" else ""
    if verb == "run" and editing.origin.area:
        sight.run = await control.run(session, page.state, page.user.id, editing.origin.area.id)
    elif verb == "move":
        await credentials.move(page, session, scope, editing.origin, editing.form, sight, rest)
    else:
        await press_button(session, scope.registry, editing.form, sight, verb, rest)


# Check


async def check(editing: Editing, *, saving: bool = False) -> Findings:
    """Check both halves of the form without saving. The AREA is looked up and compiled once, or not at all when only
    other fields change.
    """
    page, form, origin = editing.page, editing.form, editing.origin
    chosen = [form.component(side) for side in SIDES]
    services = await offers.services(page, editing.session, include_inactive=True, variables_of=chosen)
    halves = {side: sides.half(editing.scope.registry, services, form, side) for side in SIDES}
    for side, half in halves.items():
        if half.view:
            forms.tidy(form, half.view, side)
            forms.tidy(origin.start, half.view, side)
    findings = Findings(services, halves, kept=origin.kept(form), changed=origin.differences(form))
    if findings.action and findings.reaction:
        findings.wanted = forms.wanted(form, findings.action, findings.reaction, findings.kept)
    if not saving or origin.area is None or findings.changed & PARTS:
        await _compile(editing, findings, saving=saving)
    if errors.of_rows(page, form):
        findings.errors["a.only_if"] = [page.say("One line of the condition is incomplete.")]
    if not form.action:
        findings.errors["a"] = [page.say("Choose what happens.")]
    elif not form.reaction:
        findings.errors["r"] = [page.say("Choose what to do.")]
    return findings


async def _compile(editing: Editing, findings: Findings, *, saving: bool) -> None:
    page, session, scope, area = editing.page, editing.session, editing.scope, editing.origin.area
    form = findings.wanted
    try:
        if form and area:
            findings.checked = await areas.check_change(
                session, scope, page.user.id, area.id, form.action, form.reaction, saving=saving
            )
        elif form:
            findings.checked = await areas.check(session, scope, form.action, form.reaction, saving=saving)
        elif findings.action and (code := scope.registry.action(findings.action.key)):
            parameters = forms.parameters(editing.form, findings.action, "action", findings.kept["action"])
            findings.errors = errors.by_field(page, action_errors(code, parameters))
    except Invalid as error:
        findings.errors = errors.by_field(page, error.errors)
    except Problem as error:
        editing.sight.problem = page.tell(error)


# Act


async def act(editing: Editing, findings: Findings, *, saving: bool, next_: str = "") -> Response | None:
    """Save and redirect to the AREA, or to one that is to follow it (`then`) or to stand beside it (`or`), if the form
    is valid and what saving breaks was told; otherwise store the draft.
    """
    page, session, origin = editing.page, editing.session, editing.origin
    if saving and findings.wanted and (not findings.errors or (origin.area and not findings.changed & PARTS)):
        area = None
        try:
            if not await _told(editing, findings, findings.wanted):
                async with session.begin_nested():
                    area = await _save(editing, findings, findings.wanted)
        except Invalid as error:
            findings.errors = errors.by_field(page, error.errors)
        except Problem as error:
            editing.sight.problem = page.tell(error)
        if area:
            await drafts.remove(session, page.user.id, origin.key)
            address = f"/areas/new?{next_}={area.id}" if next_ in ("then", "or") else f"/areas/{area.id}"
            return page.to(address, said=page.say("Saved."))
    findings.draft_kept = await _keep(editing, findings)
    return None


async def _told(editing: Editing, findings: Findings, wanted: AreaIn) -> bool:
    """Say which links no longer fit if they follow this AREA, too. Whether there are any that were not yet told."""
    page, sight, registry = editing.page, editing.sight, editing.scope.registry
    if not editing.origin.joins:
        return False
    broken = await moving.breaks(editing.session, registry, page.user.id, _save(editing, findings, wanted))
    seen, sight.seen = sight.seen, " ".join(str(link.area_id) for link in broken)
    if not broken or seen == sight.seen:
        return False
    links = "; ".join(f"{link.name}: {page.say(link.message)}" for link in broken)
    sight.problem = page.say("If you save this, some links no longer fit: %(links)s Save again to do it.", links=links)
    return True


async def _save(editing: Editing, findings: Findings, wanted: AreaIn) -> AreaOut:
    """Create or update. Unchanged parts are left out, so that they may stay even if now switched off."""
    session, scope, user_id, area = editing.session, editing.scope, editing.page.user.id, editing.origin.area
    if area is None:
        wanted = wanted.model_copy(update={"then": editing.origin.then})
        area = await areas.create(session, scope, user_id, wanted, findings.checked)
        for link in editing.origin.joins:
            await moving.follow_too(session, scope.registry, user_id, link, area.id)
        return area
    patch = AreaPatch(name=wanted.name, description=wanted.description, is_active=wanted.is_active)
    if findings.changed & PARTS:
        patch = patch.model_copy(update={"action": wanted.action, "reaction": wanted.reaction})
    return await areas.change(session, scope, user_id, area.id, patch, findings.checked)


async def _keep(editing: Editing, findings: Findings) -> bool:
    """Store the draft without secrets, unless nothing changed. False if it is too large."""
    page, session, key = editing.page, editing.session, editing.origin.key
    if not findings.changed:
        await drafts.remove(session, page.user.id, key)
        return True
    secrets: dict[Side, set[str]] = {
        side: {parameter.name for parameter in half.view.parameters if parameter.secret} if half.view else set()
        for side, half in findings.halves.items()
    }
    return await drafts.save(session, page.state.keyring, page.user.id, key, editing.form.without(secrets))


# Show


async def show(editing: Editing, findings: Findings, *, saving: bool = False) -> Response:
    """Render the page, or the part that changes."""
    page, session, form, sight, origin = editing.page, editing.session, editing.form, editing.sight, editing.origin
    await connected.note_connections(page, session, findings.halves, form, origin.address)
    await _fill(editing, findings)
    checked = None if findings.errors else findings.checked
    area_id = origin.area.id if origin.area else None
    place = await link.place(page, session, form, origin)
    looked = await preview.look(page, session, form, findings.action, findings.reaction, checked, area_id, place.sample)
    if saving:
        sight.focus = "merged" if editing.sight.taken or editing.sight.both else "errors"
    elif sight.focus.startswith("first-"):
        sight.focus = sides.first_field(findings.halves, sight.focus.removeprefix("first-"))
    return await page.show(
        "_editor.html" if page.partial else "editor.html",
        422 if saving else 200,
        nav="home" if origin.area else "new",
        origin=origin,
        form=form,
        sight=sight,
        sides=findings.halves,
        summary=errors.summary(findings.halves, findings.errors, form) if sight.tried else [],
        suggested=forms.suggested(findings.action, findings.reaction),
        operators=rows.OPERATORS,
        alone=rows.ALONE,
        changed=bool(findings.changed),
        kept_draft=findings.draft_kept,
        simple=form.condition is not None or rows.read(form.only_if) is not None,
        values=forms.values_used(form, place.paths or [chip.path for chip in looked.chips]),
        place=place,
        row_errors=errors.of_rows(page, form) if sight.tried else {},
        saving=saving,
        filters=FILTERS,
        followers=_followers(editing, findings),
        zones=sorted(name for name in zone_names() if name.partition("/")[0] in REGIONS) if not page.partial else [],
        taken=[_label(page, findings, name) for name in sight.taken],
        both=[(_label(page, findings, name), merge.text_of(origin.start, name)) for name in sight.both],
        **vars(looked),
    )


def _followers(editing: Editing, findings: Findings) -> list[tuple[LinkIn, ServiceView, ComponentView]]:
    """The AREAs that a template brings with it, each with its reaction."""
    offered = {view.key: (service, view) for service in findings.services for view in service.reactions}
    return [
        (link, *offered[str(link.reaction.component)])
        for link in editing.origin.then
        if link.reaction.component in offered
    ]


def _label(page: Page, findings: Findings, name: str) -> str:
    """How a field of the form is called on the page."""
    own = {
        "action": page.say("When this happens"),
        "reaction": page.say("Do this"),
        "name": page.say("Name"),
        "description": page.say("Description"),
        "is_active": page.say("Switch on when saved"),
        "connection.action": page.say("Account"),
        "connection.reaction": page.say("Account"),
        "a.only_if": page.say("Condition"),
        "r.delay": page.say("Delay"),
    }
    labels = {field.name: field.label for half in findings.halves.values() for field in half.fields}
    return own.get(name) or labels.get(name, name.partition(".")[2])


async def _fill(editing: Editing, findings: Findings) -> None:
    """Fill both halves with their fields, errors and open pickers."""
    page, form, sight = editing.page, editing.form, editing.sight
    visible = errors.visible(form, sight, findings.errors)
    for side, half in findings.halves.items():
        half.errors = visible.get(side[0], [])
        if half.view:
            say = page.words(half.view.service)
            half.fields = inputs.field_views(form, half.view, side, findings.kept[side], visible, say)
            credentials.note(page.state.registry, form, half)
        if not half.view or sight.open.get(side):
            half.picker = await sides.picker(page, findings.services, side, sight)
