"""Move a link to another place of its chain, or take it out, with what that breaks before it is done."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from area import areas
from area.areas import moving
from area.areas.moving import Break
from area.areas.plans import Scope
from area.doors.deps import Id, ScopeDep, SessionDep
from area.kit.problems import Conflict, Invalid, NotFound
from area.web import steps
from area.web.parts.pages import Fields, Page, SignedIn

router = APIRouter()


@router.get("/areas/{area_id:int}/move")
async def choose(page: SignedIn, area_id: Id, request: Request, scope: ScopeDep, session: SessionDep) -> Response:
    """The places where it can go, and what breaks at the chosen one."""
    query = request.query_params
    return await _show(page, session, scope, area_id, query.get("to", ""), alone=query.get("alone") == "1")


@router.post("/areas/{area_id:int}/move")
async def move(page: SignedIn, area_id: Id, form: Fields, scope: ScopeDep, session: SessionDep) -> Response:
    """Move it, or take it out. What breaks is shown first, if it was not yet."""
    to, alone = form.get("to", ""), form.get("alone") == "1"
    broken, problem = await _breaks(page, session, scope, area_id, to, alone=alone)
    if problem or not to or seen(broken) != form.get("seen", ""):
        return await _show(page, session, scope, area_id, to, alone=alone, status=422)
    area = await areas.get(session, scope, page.user.id, area_id)
    if to == "out":
        before = next((number for number in _after(area)), None)
        await areas.take_out(session, scope, page.user.id, area_id, then="follow")
        return page.to(f"/areas/{before}" if before else "/", said=page.say("“%(name)s” deleted.", name=area.name))
    await moving.move(session, scope.registry, page.user.id, area_id, int(to), alone=alone)
    return page.to(f"/areas/{area_id}", said=page.say("Moved."))


async def _show(
    page: Page, session: SessionDep, scope: Scope, area_id: int, to: str, *, alone: bool, status: int = 200
) -> Response:
    area = await areas.get(session, scope, page.user.id, area_id)
    chain = steps.steps(page, area.chain) if area.chain else []
    place = next((step for step in chain if step.id == area_id), None)
    if place is None or not place.when:
        raise NotFound
    broken, problem = await _breaks(page, session, scope, area_id, to, alone=alone)
    after = _after(area)
    return await page.show(
        "_move.html" if page.partial else "move.html",
        status,
        nav="home",
        area=area,
        chain_steps=list({step.id: step for step in chain if step.id != area_id}.values()),
        followed=place.followed,
        after=after,
        to=to,
        alone=alone,
        broken=broken,
        seen=seen(broken),
        problem=problem,
    )


async def _breaks(
    page: Page, session: SessionDep, scope: Scope, area_id: int, to: str, *, alone: bool
) -> tuple[list[Break], str]:
    """What breaks, or why it is not possible."""
    user_id, registry = page.user.id, scope.registry
    await areas.own(session, user_id, area_id)
    try:
        if to == "out":
            return await moving.breaks_of_deletion(session, registry, user_id, area_id), ""
        if to.isascii() and to.isdigit() and len(to) < 10:
            change = moving.move(session, registry, user_id, area_id, int(to), alone=alone)
            return await moving.breaks(session, registry, user_id, change), ""
    except Invalid as error:
        return [], " ".join(page.say(detail["message"]) for detail in error.errors)
    except Conflict as error:
        return [], page.tell(error)
    return [], ""


def seen(broken: list[Break]) -> str:
    """What the page told of, to tell it again if it is not the same by the time it is done."""
    return " ".join(str(each.area_id) for each in broken)


def _after(area: areas.AreaOut) -> list[int]:
    """The AREAs that a link follows."""
    after = area.action.parameters.get("after")
    return [int(number) for number in after] if isinstance(after, list) else []
