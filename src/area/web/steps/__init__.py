"""A chain as pages show it: its steps, each before those that follow it."""

from collections.abc import Mapping

from pydantic import BaseModel

from area.areas.links import When
from area.areas.views import AreaOut, ChainLink, State
from area.kit.sentences import Sentence
from area.web.parts.pages import Page
from area.web.parts.sentences import Half, half


class Step(BaseModel):
    """One AREA of a chain, `depth` links below the first."""

    id: int
    name: str
    depth: int
    state: State
    is_active: bool
    action: Half | None  # of the first AREA only
    reaction: Half
    when: When | None = None
    for_each: str | None = None
    only_if: str | None = None
    delay: str | None = None
    broken: list[Sentence] = []
    followed: bool = False
    after: list[int] = []
    also: list[str] = []  # names of the AREAs that it follows besides the one above


def steps(
    page: Page, link: ChainLink, names: Mapping[int, str] = {}, depth: int = 0, above: int | None = None
) -> list[Step]:
    """The chain in order, each AREA before those that follow it. `names` are of AREAs that lead to it, too."""
    registry, lang = page.state.registry, page.language
    step = Step(
        id=link.id,
        name=link.name,
        depth=depth,
        state=link.state,
        is_active=link.is_active,
        action=None if link.when else half(registry, link.action, lang),
        reaction=half(registry, link.reaction, lang),
        when=link.when,
        for_each=link.for_each,
        only_if=link.only_if,
        delay=link.delay,
        followed=bool(link.then),
        after=link.after,
        also=[names[number] for number in link.after if number != above and number in names],
        broken=[error["message"] for error in link.broken],
    )
    return [step, *(below for follower in link.then for below in steps(page, follower, names, depth + 1, link.id))]


def first(page: Page, area: AreaOut) -> Step:
    """An AREA that nothing follows yet, as the first step."""
    registry, lang = page.state.registry, page.language
    return Step(
        id=area.id,
        name=area.name,
        depth=0,
        state=area.state,
        is_active=area.is_active,
        action=half(registry, area.action, lang),
        reaction=half(registry, area.reaction, lang),
    )
