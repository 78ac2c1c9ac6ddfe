"""Preview of an event: the values to insert, and what the reaction would receive."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import Checked
from area.areas.plans import SAMPLE_RUN, filling_of
from area.catalog import ComponentView
from area.engine import control, dry_run
from area.kit.budget import MAX_FILLED, Budget
from area.kit.evaluation import evaluate
from area.kit.template import RenderError, TemplateError, as_text
from area.kit.text import dump_json
from area.registry import Registry
from area.sdk.fields import by_name
from area.web.editor.forms import Form
from area.web.editor.inputs import readable
from area.web.parts.pages import Page

MOST_KEYS = 12  # of an object in an event that are offered to be used
MOST_LOOKED_AT = 100  # keys of one object


class Shown(BaseModel):
    """One parameter as it would be sent."""

    label: str
    value: str
    error: str = ""


INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")


class Chip(BaseModel):
    """A value that can be inserted. `type` is one of the variables' seven."""

    path: str
    type: str
    description: str
    example: str

    def inserted(self, zone: str, lang: str, *, prose: bool = False) -> str:
        """The placeholder; where people read it, an instant is formatted in their time zone."""
        if not prose or not INSTANT.fullmatch(self.example):
            return f"{{{{{self.path}}}}}"
        form = "%d/%m/%Y %H:%M" if lang == "fr" else "%Y-%m-%d %H:%M"
        return f'{{{{{self.path} | date:"{form}","{zone}"}}}}'


@dataclass
class Look:
    """Preview of an event. `event` is None while no action is selected, `sample` marks an event that never happened,
    `dry` is the dry run of a valid AREA, and `due` the end of its delay.
    """

    chips: list[Chip] = field(default_factory=list)
    event: Mapping[str, Any] | None = None
    sample: bool = True
    filled: list[Shown] = field(default_factory=list)
    dry: dry_run.Preview | None = None
    due: datetime | None = None
    timer: bool = False


async def look(
    page: Page,
    session: AsyncSession,
    form: Form,
    action: ComponentView | None,
    reaction: ComponentView | None,
    checked: Checked | None,
    area_id: int | None,
    example: Mapping[str, Any] | None = None,
) -> Look:
    """What the reaction would receive for the AREA's last event, or the action's sample: the `example`, if there is
    one.
    """
    code = page.state.registry.action(action.key) if action else None
    if action is None or code is None:
        return Look()
    plan = checked.plan if checked else None
    event, sample = await control.event_of(session, page.state, page.user.id, code, area_id, plan)
    if sample and example is not None:
        event = dict(example)
    dry = await control.preview(session, page.state, page.user.id, checked, event) if checked else None
    return Look(
        chips=chips(action, event),
        event=event,
        sample=sample,
        timer=code.kind == "timer",
        filled=await _filled(page, form, action, reaction, event) if reaction else [],
        dry=dry,
        due=datetime.fromisoformat(dry.due) if dry and dry.due else None,
    )


async def _filled(
    page: Page, form: Form, action: ComponentView, reaction: ComponentView, event: Mapping[str, Any]
) -> list[Shown]:
    say = page.words(reaction.service)

    def work(budget: Budget) -> list[Shown]:
        return filled(page.state.registry, form, action, reaction, event, say, page.say, budget)

    return await evaluate(work, Budget(), len(dump_json(event)))


def chips(action: ComponentView, event: Mapping[str, Any]) -> list[Chip]:
    """Names that {{…}} can use, including fields of nested objects."""
    examples = []
    for return_value in action.return_values:
        value = event.get(return_value.name)
        about = return_value.description or ""
        chip = Chip(path=return_value.name, type=return_value.type, description=about, example=_short(value))
        examples.append(chip)
        examples += islice(inside(return_value.name, value), MOST_KEYS)
    return examples


def inside(path: str, value: Any, depth: int = 0) -> Iterator[Chip]:
    """Chips for the leaf values of a nested object."""
    if not isinstance(value, dict) or depth > 4:
        return
    for key, inner in islice(value.items(), MOST_LOOKED_AT):
        if key.isidentifier() and key.isascii():
            deeper = f"{path}.{key}"
            if isinstance(inner, dict):
                yield from inside(deeper, inner, depth + 1)
            else:
                yield _chip(deeper, inner)


def _chip(path: str, value: Any) -> Chip:
    match value:
        case bool():
            kind = "boolean"
        case int() | float():
            kind = "number"
        case dict() | list():
            kind = "json"
        case _:
            kind = "string"
    return Chip(path=path, type=kind, description="", example=_short(value))


def _short(value: Any) -> str:
    text = " ".join(as_text(value)[:1000].split())
    return text if len(text) <= 120 else f"{text[:119]}…"


def filled(
    registry: Registry,
    form: Form,
    action: ComponentView,
    view: ComponentView,
    event: Mapping[str, Any],
    say: Callable[[str], str],
    tell: Callable[[str], str],
    budget: Budget,
) -> list[Shown]:
    """Each parameter of the reaction filled in, or its error, even if others fail; `say` translates the service's
    texts.
    """
    budget.room = MAX_FILLED
    event = {"run": SAMPLE_RUN, **event}
    names = {*event, *(return_value.name for return_value in action.return_values)}
    reaction = registry.reaction(view.key)
    declared = by_name(reaction.params) if reaction else {}
    lines = []
    for parameter in view.parameters if reaction else []:
        text = form.reaction_values.get(parameter.name, "")
        if not text or parameter.name == "delay" or parameter.secret:
            continue
        label = say(readable(parameter.name))
        try:
            filling = filling_of(declared[parameter.name], form.reaction_values)
            wrong = filling.check(names)
            value = filling.render(event, budget)
        except (TemplateError, RenderError) as error:
            lines.append(Shown(label=label, value=text, error=tell(str(error))))
            continue
        value = (
            ", ".join(map(_item, value))
            if declared[parameter.name].several and isinstance(value, list)
            else shown(value)
        )
        lines.append(Shown(label=label, value=value, error=" ".join(map(tell, wrong))))
    return lines


def _item(value: Any) -> str:
    """One item of a list; an address may have a name."""
    return f"{value.get('name')} <{value.get('address')}>" if isinstance(value, dict) else as_text(value)


def shown(value: Any) -> str:
    """A filled parameter as text."""
    return (
        orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if isinstance(value, dict | list) else as_text(value)
    )
