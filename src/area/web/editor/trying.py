"""A dry run of a whole chain, as pages show it."""

from typing import Any

from pydantic import BaseModel

from area.areas.links import When
from area.engine.dry_run import LinkPreview, Preview
from area.kit.problems import FieldError
from area.kit.sentences import Sentence
from area.web.editor.inputs import readable
from area.web.parts.pages import Page


class TriedStep(BaseModel):
    """One AREA of a dry run: what it would send, `values` by their labels, and what a look-up found."""

    name: str
    depth: int
    title: str
    when: When | None
    current: bool
    runs: bool
    why: Sentence | None
    errors: list[FieldError]
    values: list[tuple[str, Any]]
    result: dict[str, Any] | None


def tried(page: Page, preview: Preview, name: str, current: str = "", depth: int = 0) -> list[TriedStep]:
    """The dry run of a chain in order, each AREA before those that follow it. `current` is the name of the one that is
    edited.
    """
    reaction = page.state.registry.reaction(preview.reaction)
    say = page.words(reaction.service.slug) if reaction else page.say
    step = TriedStep(
        name=name,
        depth=depth,
        title=say(reaction.title) if reaction else preview.reaction,
        when=preview.when if isinstance(preview, LinkPreview) else None,
        current=name == current,
        runs=preview.runs,
        why=preview.why,
        errors=preview.errors,
        values=[(say(readable(key)), value) for key, value in preview.parameters.items() if value not in (None, "")],
        result=preview.result,
    )
    return [step, *(below for link in preview.then for below in tried(page, link, link.name, current, depth + 1))]
