"""The versions of an AREA: what each changed, and going back to one."""

from collections.abc import Mapping
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from area import areas
from area.areas import versions
from area.areas.versions import Side, Version, VersionChange
from area.doors.deps import Id, ScopeDep, SessionDep
from area.kit.problems import Conflict, Invalid
from area.sdk import Action, Reaction
from area.sdk.fields import form_fields
from area.web.details import labels, pieces
from area.web.editor.inputs import readable
from area.web.parts.pages import Page, SignedIn

router = APIRouter()


class Difference(BaseModel):
    """A change in the reader's words. `before` and `after` are texts with their placeholders apart; None if there was
    or is nothing.
    """

    side: Side
    label: str
    secret: bool
    before: list[tuple[str, bool]] | None
    after: list[tuple[str, bool]] | None


class Shown(BaseModel):
    """A version on the page."""

    version: int
    created_at: datetime
    differences: list[Difference]


@router.get("/areas/{area_id:int}/versions")
async def show(page: SignedIn, area_id: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """All of them, newest first."""
    area = await areas.get(session, scope, page.user.id, area_id)
    listed = await versions.listed(session, scope, page.user.id, area_id)
    shown = [_shown(page, version) for version in listed]
    return await page.show("versions.html", nav="home", area=area, versions=shown)


@router.post("/areas/{area_id:int}/versions/{version:int}/restore")
async def restore(page: SignedIn, area_id: Id, version: Id, scope: ScopeDep, session: SessionDep) -> Response:
    """Save it anew."""
    try:
        await versions.restore(session, scope, page.user.id, area_id, version)
    except (Conflict, Invalid) as error:
        await session.rollback()  # names along a chain are checked once it is stored
        reasons = [str(problem["message"]) for problem in error.errors] if isinstance(error, Invalid) else []
        why = " ".join(reasons or [page.tell(error)])
        said = page.say("Version %(number)s was not restored: %(reason)s", number=version, reason=why)
        return page.to(f"/areas/{area_id}/versions", said=said)
    return page.to(f"/areas/{area_id}", said=page.say("Version %(number)s restored.", number=version))


def _shown(page: Page, version: Version) -> Shown:
    """A version in the reader's words."""
    registry = page.state.registry
    components = {"action": registry.action(version.action), "reaction": registry.reaction(version.reaction)}
    named = {side: labels(page, component) for side, component in components.items()}
    choices = {side: _choices(page, component) for side, component in components.items()}
    named["action"]["only_if"], named["reaction"]["delay"] = page.say("Only if"), page.say("Delay")
    return Shown(
        version=version.version,
        created_at=version.created_at,
        differences=[
            _difference(page, change, named[change.side], choices[change.side].get(change.name, {}))
            for change in version.changes
        ],
    )


def _choices(page: Page, component: Action | Reaction | None) -> dict[str, dict[str, str]]:
    """The names of choices, by parameter."""
    if component is None:
        return {}
    say = page.words(component.service.slug)
    return {
        declared.name: {choice: say(declared.labels.get(choice, choice)) for choice in declared.choices or ()}
        for declared in form_fields(component.params)
    }


def _difference(page: Page, change: VersionChange, named: Mapping[str, str], choices: Mapping[str, str]) -> Difference:
    before, after = change.before, change.after
    if change.parameter:
        label = named.get(change.name, "") or readable(change.name)
        before, after = (choices.get(text or "", text) for text in (before, after))
    elif change.name == "connection":
        label = page.say("Account")
        before, after = before or page.say("Default account"), after or page.say("Default account")
    else:
        label = page.say("Action") if change.side == "action" else page.say("Reaction")
        before, after = (key and _title(page, change.side, key) for key in (before, after))
    return Difference(
        side=change.side,
        label=label,
        secret=change.secret,
        before=pieces(before) if before is not None else None,
        after=pieces(after) if after is not None else None,
    )


def _title(page: Page, side: Side, key: str) -> str:
    registry = page.state.registry
    component = registry.action(key) if side == "action" else registry.reaction(key)
    if component is None:
        return key
    return f"{component.service.name}: {page.words(component.service.slug)(component.title)}"
