"""Options for a field of the editor, loaded from the user's account on demand."""

from fastapi import APIRouter
from starlette.responses import Response

from area.doors.deps import CacheDep
from area.engine import pickers
from area.kit.problems import NotFound, Problem
from area.web.editor import forms
from area.web.parts.pages import Fields, SignedIn

router = APIRouter()


@router.post("/areas/options/{component}/{parameter}")
async def options(component: str, parameter: str, page: SignedIn, posted: Fields, cache: CacheDep) -> Response:
    """List the options for the current form."""
    registry = page.state.registry
    form = forms.read(posted)
    if code := registry.action(component) if component == form.action else None:
        values, connection = form.action_values, form.action_connection
    elif code := registry.reaction(component) if component == form.reaction else None:  # type: ignore[assignment]
        values, connection = form.reaction_values, form.reaction_connection
    if code is None:
        raise NotFound
    choices, problem = [], ""
    try:
        choices = await pickers.options(page.state, cache, page.user.id, code, parameter, values, connection)
    except NotFound:
        raise
    except Problem as error:
        problem = page.tell(error)
    chosen = values.get(parameter, "")
    return await page.show("_options.html", options=choices, problem=problem, chosen=chosen, most=pickers.MOST)
