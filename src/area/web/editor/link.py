"""An AREA that follows others, in the editor: the chain that it is part of, and the values of those before it."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, get_args

import orjson
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import chains
from area.areas.chains import Offered, OfferedValue
from area.areas.links import When
from area.engine import control
from area.web import steps
from area.web.editor import preview
from area.web.editor.forms import LINK, Form
from area.web.editor.inputs import readable
from area.web.editor.origin import Origin
from area.web.editor.preview import Chip
from area.web.parts.pages import Page
from area.web.steps import Step


class ChainChip(Chip):
    """A value that can be inserted, by the name that people read."""

    label: str


class Group(BaseModel):
    """What one AREA before a link returns."""

    title: str
    chips: list[ChainChip]


class Place(BaseModel):
    """Where the AREA stands. `after` are the names of the AREAs that it follows, and `sample` is an event of it."""

    link: bool = False
    steps: list[Step] = []
    after: list[str] = []
    groups: list[Group] = []
    lists: list[str] = []
    sample: dict[str, Any] | None = None

    @property
    def paths(self) -> list[str]:
        """The paths of all values."""
        return [chip.path for group in self.groups for chip in group.chips]


async def place(page: Page, session: AsyncSession, form: Form, origin: Origin) -> Place:
    """Where the AREA of the form stands: nowhere, if it neither follows one nor is followed."""
    current = Place(link=form.action == LINK)
    if origin.chain:
        current.steps = steps.steps(page, origin.chain)
    elif origin.before:
        current.steps = [steps.first(page, origin.before)]
    if not current.link:
        return current
    after = _after(form.action_values.get("after", ""))
    names = await areas.names(session, page.user.id, after)
    when = form.action_values.get("when", "success")
    values = await chains.offered(
        session,
        page.state.registry,
        page.user.id,
        [number for number in after if number in names],
        when=when if when in get_args(When) else "success",  # type: ignore[arg-type] # one of them
        for_each=form.action_values.get("for_each") or None,
    )
    current.after = [names[number] for number in after if number in names]
    action = page.state.registry.action(origin.head.component) if origin.head else None
    event: dict[str, Any] = {}
    if action and origin.first:
        event, _ = await control.event_of(session, page.state, page.user.id, action, origin.first)
    current.groups, current.lists = groups(page, values, event), lists(values)
    current.sample = sample(values, event)
    return current


def _after(text: str) -> list[int]:
    try:
        read = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        read = text.split(",")
    each = read if isinstance(read, list) else [read]
    return [int(number) for number in each if str(number).strip().isdigit() and len(str(number).strip()) < 10]


def groups(page: Page, values: list[Offered], event: Mapping[str, Any]) -> list[Group]:
    """The values to insert, by the AREA that they come from; of the first action's, also those within an `event`."""
    titles = {"origin": page.say("From what happened first"), "run": page.say("This run")}
    return [
        Group(
            title=titles[group.name] if group.area_id is None else page.say("From “%(name)s”", name=group.name),
            chips=[
                chip
                for value in group.values
                for chip in (_chip(value), *(_within(value, event) if group.path == "origin" else ()))
            ],
        )
        for group in values
        if group.values
    ]


def _chip(value: OfferedValue) -> ChainChip:
    label, example = readable(value.name), value.example or ""
    return ChainChip(path=value.path, type=value.type, label=label, description=value.description, example=example)


def _within(value: OfferedValue, event: Mapping[str, Any]) -> Iterator[ChainChip]:
    for chip in islice(preview.inside(value.path, event.get(value.name)), preview.MOST_KEYS):
        label = chip.path.removeprefix("origin.").replace(".", " / ")
        yield ChainChip(path=chip.path, type=chip.type, label=label, description="", example=chip.example)


def lists(values: list[Offered]) -> list[str]:
    """The paths of values that may be lists."""
    return [value.path for group in values for value in group.values if value.type == "json"]


def sample(values: list[Offered], event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of a link that has not run: the first action's, and examples of what each AREA returns."""
    results = {
        group.path.partition(".")[2]: {value.name: value.example for value in group.values}
        for group in values
        if group.path.startswith("steps.")
    }
    own: Mapping[str, Any] = {"item": "…", "index": 0, "error": {"message": "…", "attempts": 1}, "run": 1}
    names = {value.name for group in values if not group.path for value in group.values}
    return {
        "origin": dict(event),
        "result": next(reversed(results.values()), {}),
        "steps": results,
        **{name: value for name, value in own.items() if name in names},
    }
