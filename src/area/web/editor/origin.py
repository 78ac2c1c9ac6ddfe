"""What the editor starts from: a saved AREA, or a new one, optionally from a template or a copy."""

import orjson
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas.forms import LinkIn
from area.areas.plans import Scope, to_text
from area.areas.views import AreaOut, ChainLink, PartOut
from area.kit.problems import NotFound
from area.kit.template import paths_in
from area.sdk.sensitive import MASK
from area.web.editor import forms
from area.web.editor.forms import LINK, PASSING, SIDES, Form, Side
from area.web.editor.rows import Rows
from area.web.parts.pages import Page
from area.web.templates.examples import templates


class Origin(BaseModel):
    """What is edited and the initial form; `address` is the page's path."""

    key: str
    address: str
    area: AreaOut | None = None
    start: Form
    secrets_left_out: bool = False
    then: list[LinkIn] = []  # of a template: the AREAs that follow
    before: AreaOut | None = None  # of a new link: the AREA that it follows
    beside: AreaOut | None = None  # of a further action: the AREA that it was wanted for
    joins: list[int] = []  # the links that are to follow it, too

    @property
    def chain(self) -> ChainLink | None:
        """The chain that the AREA, or the one before it, belongs to."""
        area = self.area or self.before or self.beside
        return area.chain if area else None

    @property
    def head(self) -> PartOut | None:
        """The action that the chain begins with."""
        first = self.chain or self.area or self.before
        return first.action if first else None

    @property
    def first(self) -> int | None:
        """The AREA that the chain begins with."""
        first = self.chain or self.area or self.before
        return first.id if first else None

    @property
    def back(self) -> str:
        """Where one came from."""
        area = self.area or self.before or self.beside
        return f"/areas/{area.id}" if area else "/"

    def kept(self, form: Form) -> dict[Side, set[str]]:
        """Names of stored secrets, for components that are still the same."""
        parts = {} if self.area is None else {"action": self.area.action, "reaction": self.area.reaction}
        return {
            side: {name for name, value in parts[side].parameters.items() if value == MASK}
            if side in parts and parts[side].component == form.component(side)
            else set()
            for side in SIDES
        }

    def differences(self, form: Form) -> set[str]:
        """Names of form fields that differ from the initial form."""
        changed = {name for name in Form.model_fields if getattr(form, name) != getattr(self.start, name)}
        return changed - {"named", "long", "names", "base"}


async def find(page: Page, session: AsyncSession, scope: Scope, key: str) -> Origin:
    """The origin that `key` names. Raises `NotFound`."""
    word, _, rest = key.partition(":")
    if key == "new":
        return Origin(key=key, address="/areas/new", start=Form())
    if word == "template" and (template := templates(page.language).get(rest)):
        start, address = forms.of_template(template.area), f"/areas/new?template={rest}"
        return Origin(key=key, address=address, start=start, then=template.area.then)
    chosen = scope.registry.action(rest) if word == "action" else scope.registry.reaction(rest)
    if word in SIDES and chosen:
        return Origin(key=key, address=f"/areas/new?{word}={rest}", start=Form.model_validate({word: rest}))
    first, _, second = rest.partition(" ")
    if word == "action" and scope.registry.action(first) and scope.registry.reaction(second):
        start = Form(action=first, reaction=second)
        return Origin(key=key, address=f"/areas/new?action={first}&reaction={second}", start=start)
    number = rest if word in ("copy", "then", "or") else key
    if number.isascii() and number.isdigit() and len(number) < 10:
        area = await areas.get(session, scope, page.user.id, int(number))
        if word == "then":
            return _link(area)
        if word == "or":
            return _further(area)
        return _copy(page, area) if word == "copy" else _saved(area)
    raise NotFound


def _saved(area: AreaOut) -> Origin:
    return Origin(key=str(area.id), address=f"/areas/{area.id}/edit", area=area, start=forms.of_area(area))


def _link(area: AreaOut) -> Origin:
    start = Form(action=LINK, action_values={"after": f"[{area.id}]"})
    address = f"/areas/new?then={area.id}"
    return Origin(key=f"then:{area.id}", address=address, start=start, before=area)


def _further(area: AreaOut) -> Origin:
    """A further action. Beside a link, it passes on the values that the link uses of what it follows; beside the first
    AREA, it has the same reaction, and the same links follow.
    """
    if area.action.component == LINK:
        texts = [to_text(value) for value in area.reaction.parameters.values()]
        used = dict.fromkeys(path[1] for text in texts for path in paths_in(text) if path[0] == "result" and path[1:])
        values = orjson.dumps(dict.fromkeys(used, ""), option=orjson.OPT_INDENT_2).decode()
        start = Form(reaction=PASSING, reaction_values={"values": values} if used else {})
        joins = [area.id]
    else:
        start = forms.of_area(area).model_copy(
            update={"action": "", "action_values": {}, "action_connection": "", "condition": Rows()}
        )
        start.name, start.named, start.is_active = "", False, True
        joins = [link.id for link in area.chain.then] if area.chain else []
    return Origin(
        key=f"or:{area.id}",
        address=f"/areas/new?or={area.id}",
        start=start,
        beside=area,
        joins=joins,
        secrets_left_out=any(MASK in to_text(value) for value in area.reaction.parameters.values()),
    )


def _copy(page: Page, area: AreaOut) -> Origin:
    name = page.say("Copy of %(name)s", name=area.name)[:255]
    values = (*area.action.parameters.values(), *area.reaction.parameters.values())
    return Origin(
        key=f"copy:{area.id}",
        address=f"/areas/new?copy={area.id}",
        start=forms.of_area(area, name=name),
        secrets_left_out=any(MASK in to_text(value) for value in values),
    )
