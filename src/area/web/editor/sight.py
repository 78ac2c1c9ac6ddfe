"""View state of the editor's page, and how buttons change it and the form."""

from collections.abc import Mapping

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area import catalog
from area.registry import Registry
from area.web.editor import rows
from area.web.editor.forms import SIDES, Form, Side
from area.web.editor.rows import Row, Rows


class Sight(BaseModel):
    """View state: which parts of the page are open."""

    open: dict[Side, bool] = {}
    q: dict[Side, str] = {}
    within: dict[Side, str] = {}
    touched: set[str] = set()
    tried: bool = False  # to save or to try
    trying: bool = False
    asks: str = ""  # a test that was just begun
    focus: str = ""
    run: int | None = None
    problem: str = ""
    seen: str = ""  # the links that saving breaks, as the page told
    moved: str = ""  # the name of the credential that a secret was just moved into
    restored: bool = False
    taken: list[str] = []  # fields that were changed elsewhere meanwhile, and are taken over
    both: list[str] = []  # fields that were changed here and elsewhere


def read_sight(posted: Mapping[str, str]) -> Sight:
    """The view state of the posted page."""
    return Sight(
        open={side: posted.get(f"open.{side}") == "1" for side in SIDES},
        q={side: posted.get(f"q.{side}", "").strip()[:100] for side in SIDES},
        within={side: posted.get(f"within.{side}", "")[:100] for side in SIDES},
        touched=set(posted.get("touched", "")[:5000].split()),
        tried=posted.get("tried") == "1",
        trying=posted.get("trying") == "1",
        restored=posted.get("restored") == "1",
        taken=posted.get("taken", "")[:5000].split(),
        both=posted.get("both", "")[:5000].split(),
        seen=posted.get("seen", "")[:5000],
    )


async def press_button(
    session: AsyncSession, registry: Registry, form: Form, sight: Sight, verb: str, rest: str
) -> None:
    """Apply a button."""
    word, _, argument = rest.partition(" ")
    if word in SIDES:
        side: Side = "action" if word == "action" else "reaction"
        if verb == "open":
            sight.open[side], sight.q[side], sight.within[side], sight.focus = True, "", "", f"find-{side}"
        elif verb == "close":
            sight.open[side], sight.focus = False, f"change-{side}"
        elif verb == "service":
            await _service(session, registry, form, sight, side, argument)
        elif verb == "seek":
            sight.q[side], sight.focus = argument[:100], f"find-{side}"
        elif verb == "choose":
            _choose(form, sight, side, argument)
    elif verb in ("row", "as"):
        _condition(form, sight, verb, word, argument)


def _condition(form: Form, sight: Sight, verb: str, word: str, argument: str) -> None:
    """Add or remove a line of the condition, or change between lines and text."""
    if verb == "row" and form.condition is not None:
        if word == "add":
            number = max((int(row.name) for row in form.condition.rows if row.name.isdecimal()), default=-1) + 1
            form.condition.rows.append(Row(name=str(number)))
            sight.focus = f"c-{number}-field"
        else:
            form.condition.rows = [row for row in form.condition.rows if row.name != argument]
            sight.focus = "row-add"
    elif verb == "as":
        text = form.only_if
        form.condition = rows.read(text) if word == "rows" else None
        if form.condition is None:
            form.action_values["only_if"] = text
        else:
            form.action_values.pop("only_if", None)
        sight.focus = "row-add" if form.condition is not None else "only-if"


async def _service(session: AsyncSession, registry: Registry, form: Form, sight: Sight, side: Side, slug: str) -> None:
    """Open a service's list; a single offer is selected immediately."""
    offered = await catalog.components(session, registry, type=side, service=slug) if slug else []
    if len(offered) == 1:
        _choose(form, sight, side, offered[0].key)
    else:
        sight.within[side], sight.q[side], sight.focus = slug, "", f"found-{side}-0" if slug else f"find-{side}"


def _choose(form: Form, sight: Sight, side: Side, key: str) -> None:
    if key != form.component(side):
        form.values(side).clear()
        if key.partition(".")[0] != form.component(side).partition(".")[0]:
            form.action_connection, form.reaction_connection = (
                ("", form.reaction_connection) if side == "action" else (form.action_connection, "")
            )
        form.removed = [name for name in form.removed if not name.startswith(side[0])]
        form.long = [name for name in form.long if not name.startswith(side[0])]
        sight.touched = {name for name in sight.touched if not name.startswith(side[0])}
        if side == "action":
            form.action, form.condition = key, Rows()
        else:
            form.reaction = key
    sight.open[side], sight.q[side], sight.within[side], sight.focus = False, "", "", f"first-{side}"
