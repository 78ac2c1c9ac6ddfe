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
    snapshot = await catalog.snapshot(session, page.state.registry)
    by_language = _said.setdefault(snapshot, {})
    key = (page.language, include_inactive)
    if key not in by_language:
        views = [
            _service(view, page.words(view.slug)) for view in (snapshot.every if include_inactive else snapshot.active)
        ]
        by_language[key] = sorted(views, key=lambda offered: folded(offered.name))
    slugs = {variable.partition(".")[0] for variable in variables_of}
    return [
        await _filled(page, session, offered, variables_of) if offered.slug in slugs else offered
        for offered in by_language[key]
    ]


async def _filled(page: Page, session: AsyncSession, view: ServiceView, keys: Collection[str]) -> ServiceView:
    say = page.words(view.slug)
    parts = {
        kind: [
            _component(await catalog.component(session, page.state.registry, str(line.id)), say)
            if line.key in keys
            else line
            for line in offered
        ]
        for kind, offered in (("actions", view.actions), ("reactions", view.reactions))
    }
    return view.model_copy(update=parts)


async def service(page: Page, session: AsyncSession, slug: str) -> ServiceView:
    """One service, also one that is switched off, with its components without their variables. Raises `NotFound`."""
    for offered in await services(page, session, include_inactive=True):
        if offered.slug == slug:
            return offered
    raise NotFound("This service doesn't exist, or an administrator has switched it off.")


def named(page: Page, mine: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Slugs and names of services, sorted by translated name."""
    names = [(slug, page.words(slug)(name)) for slug, name in mine]
    return sorted(names, key=lambda pair: folded(pair[1]))


def _service(view: ServiceView, say: Callable[[str], str]) -> ServiceView:
    described = view.description or ""
    update = {
        "name": say(view.name),
        "description": say(described),
        "actions": [_component(action, say) for action in view.actions],
        "reactions": [_component(reaction, say) for reaction in view.reactions],
    }
    return view.model_copy(update=update)


def _component(view: ComponentView, say: Callable[[str], str]) -> ComponentView:
    described = view.description or ""
    update = {
        "title": say(view.title),
        "description": say(described),
        "parameters": [_variable(parameter, say) for parameter in view.parameters],
        "return_values": [_variable(return_value, say) for return_value in view.return_values],
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
