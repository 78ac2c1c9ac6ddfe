"""The catalog in the reader's language, for pages; the API's stays English."""

import re
from collections.abc import Callable, Collection, Sequence
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from area import catalog
from area.catalog import ComponentView, ServiceView, Snapshot, VariableView
from area.kit.problems import NotFound
from area.kit.text import folded
from area.web.parts.pages import Page

# in singular: the field of every description, and what every text, address or folder is
SAYS_NOTHING = frozenset(
    ("a", "an", "the", "of", "to", "it", "in", "or", "and", "for", "this", "text", "http", "day", "call", "watch")
)

_said: WeakKeyDictionary[Snapshot, dict[tuple[str, bool], list[ServiceView]]] = WeakKeyDictionary()


async def services(
    page: Page, session: AsyncSession, *, include_inactive: bool = False, variables_of: Collection[str] = ()
) -> list[ServiceView]:
    """Services with components, sorted by translated name; variables only of the given keys."""
    found = await catalog.snapshot(session, page.state.registry)
    kept = _said.setdefault(found, {})
    key = (page.language, include_inactive)
    if key not in kept:
        said = [_service(one, page.words(one.slug)) for one in (found.every if include_inactive else found.active)]
        kept[key] = sorted(said, key=lambda one: folded(one.name))
    slugs = {one.partition(".")[0] for one in variables_of}
    return [await _filled(page, session, one, variables_of) if one.slug in slugs else one for one in kept[key]]


async def _filled(page: Page, session: AsyncSession, view: ServiceView, keys: Collection[str]) -> ServiceView:
    say = page.words(view.slug)
    parts = {
        kind: [
            _component(await catalog.component(session, page.state.registry, str(one.id)), say)
            if one.key in keys
            else one
            for one in offered
        ]
        for kind, offered in (("actions", view.actions), ("reactions", view.reactions))
    }
    return view.model_copy(update=parts)


async def service(page: Page, session: AsyncSession, slug: str) -> ServiceView:
    """One service, also one that is switched off, with its components without their variables. Raises `NotFound`."""
    for one in await services(page, session, include_inactive=True):
        if one.slug == slug:
            return one
    raise NotFound("There is no such service here, or an administrator has switched it off.")


def named(page: Page, mine: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Slugs and names of services, sorted by translated name."""
    said = [(slug, page.words(slug)(name)) for slug, name in mine]
    return sorted(said, key=lambda pair: folded(pair[1]))


def _service(view: ServiceView, say: Callable[[str], str]) -> ServiceView:
    described = view.description or ""
    update = {
        "name": say(view.name),
        "description": say(described),
        "actions": [_component(one, say) for one in view.actions],
        "reactions": [_component(one, say) for one in view.reactions],
    }
    return view.model_copy(update=update)


def _component(view: ComponentView, say: Callable[[str], str]) -> ComponentView:
    described = view.description or ""
    update = {
        "title": say(view.title),
        "description": say(described),
        "parameters": [_variable(one, say) for one in view.parameters],
        "return_values": [_variable(one, say) for one in view.return_values],
    }
    return view.model_copy(update=update)


def _variable(view: VariableView, say: Callable[[str], str]) -> VariableView:
    described = view.description or ""
    return view.model_copy(
        update={"description": say(described) if says_more(view.name, described, view.choices) else ""}
    )


def says_more(name: str, description: str, choices: Collection[str] | None = None) -> bool:
    """Whether a field's description says more than its label and its choices, which stand beside it."""

    def words(text: str) -> set[str]:
        return {word.rstrip("s") for word in re.findall(r"[^\W_]+", text.casefold().replace("timezone", "time zone"))}

    known = words(name) | words(" ".join(choices or ())) | SAYS_NOTHING
    return bool(words(description) - known)
