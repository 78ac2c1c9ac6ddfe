"""Help: how AREA works, and each service's documentation.

A service's `doc.md` is in English, and a `doc.fr.md` beside it in French. Without the latter, French readers get a
reference of the components, made of the catalog, before the English text.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache

from fastapi import APIRouter
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup
from pydantic import BaseModel
from starlette.responses import Response

from area.doors.deps import SessionDep, Slug
from area.kit.problems import NotFound
from area.sdk import Action, Reaction, Service
from area.sdk.fields import fields, form_fields
from area.web.parts import offers
from area.web.parts.pages import Page, Visit

router = APIRouter()


@router.get("/help")
async def overview(page: Visit, session: SessionDep) -> Response:
    """How AREA works, on one page."""
    services = [
        service for service in await offers.services(page, session) if service.slug in page.state.registry.folders
    ]
    return await page.show("help.html", services=services)


@router.get("/help/{slug}")
async def service_help(page: Visit, slug: Slug, session: SessionDep) -> Response:
    """Documentation of one service, component by component."""
    registry = page.state.registry
    folder = registry.folders.get(slug)
    if folder is None or not (folder / "doc.md").is_file():
        raise NotFound("This service doesn't exist.")
    view = await offers.service(page, session, slug)
    parts = [*view.actions, *view.reactions]
    names = tuple(dict.fromkeys(part.name for part in parts))
    table, service = page.say("Table"), registry.services[slug]
    generated = "".join(_generated(action) for action in service.actions.values())
    translated = folder / f"doc.{page.language}.md"
    reference, placed = None, frozenset[str]()
    if page.language != "en" and not translated.is_file():
        reference, placed = rendered(_reference(page, service), names, table)
        names = tuple(name for name in names if name not in placed)
    text = (translated if translated.is_file() else folder / "doc.md").read_text("utf-8")
    html, others = rendered(text + generated, names, table)
    return await page.show(
        "help_service.html",
        service=view,
        components=parts,
        found=placed | others,
        reference=reference,
        html=html,
        written_in=page.language if translated.is_file() else "en",
    )


def _generated(action: Action) -> str:
    """Markdown for a generated action; empty for one that its author documents."""
    if action.translated:
        return ""
    returned = "\n".join(f"- `{field.name}`: {field.description}" for field in fields(action.returns))
    return f"\n### {action.title}: `{action.name}`\n\n{action.description}\n\nReturns:\n\n{returned}\n"


def _reference(page: Page, service: Service) -> str:
    """Markdown for the components that are translated, with their parameters and return values."""
    say = page.words(service.slug)
    parameters, returned = page.say("Parameters"), page.say("Return values")
    components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
    lines: list[str] = []
    for component in components:
        if component.translated:
            lines += [f"## {say(component.title)}: `{component.name}`", "", say(component.description), ""]
            lines += _table(parameters, component.params, say)
            lines += _table(returned, component.returns, say)
    return "\n".join(lines)


def _table(heading: str, model: type[BaseModel], say: Callable[[str], str]) -> list[str]:
    """Markdown for a model's fields; nothing if it has none."""
    rows = [(f"`{field.name}`", say(field.description)) for field in form_fields(model)]
    if not rows:
        return []
    cells = [" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) for row in rows]
    return [f"### {heading}", "", "| | |", "|---|---|", *(f"| {row} |" for row in cells), ""]


@lru_cache(maxsize=500)
def rendered(text: str, components: tuple[str, ...], table: str) -> tuple[Markup, frozenset[str]]:
    """Markdown as safe HTML without raw HTML, with anchors on headings that name components, and which components have
    one. The title is left out: the page has its own.
    """
    parser = _parser()
    tokens = parser.parse(text)
    placed: set[str] = set()
    tokens = list(_wrapped(_headed(tokens, components, placed), table))
    return Markup(parser.renderer.render(tokens, parser.options, {})), frozenset(placed)  # noqa: S704 - made from tokens, escaped


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable("table").disable("image")


class Renderer(RendererHTML):
    """Renderer with anchors and scrollable tables."""

    def anchor(self, tokens: Sequence[Token], at: int, *_: object) -> str:
        """An anchor."""
        return Markup('<span id="{}"></span>').format(tokens[at].content)

    def scrolls_open(self, tokens: Sequence[Token], at: int, *_: object) -> str:
        """Open a scrollable box."""
        return Markup('<div class="scrolls" tabindex="0" role="group" aria-label="{}">').format(tokens[at].content)

    def scrolls_close(self, *_: object) -> str:
        """Close it."""
        return "</div>"


def _headed(tokens: list[Token], components: Sequence[str], placed: set[str]) -> Iterator[Token]:
    """The tokens without the title, with anchors, and nothing that the pages' policy would refuse."""
    skipping, slugs = False, {""}
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            skipping = token.tag == "h1"
            if not skipping:
                names = [name for name in _named(tokens[at + 1], components) if name not in placed]
                placed.update(names)
                yield from (Token("anchor", "", 0, content=name) for name in names)
                slug = "" if names else _slug(tokens[at + 1].content)
                if slug not in slugs:
                    slugs.add(slug)
                    yield Token("anchor", "", 0, content=f"h-{slug}")
        if not skipping:
            yield _harmless(token, tokens[at + 1] if at + 1 < len(tokens) else token)
        if token.type == "heading_close":
            skipping = False


def _named(heading: Token, components: Sequence[str]) -> list[str]:
    """The components whose names stand in a heading as code, alone or after their service's."""
    code = [child.content.rpartition(".")[2] for child in heading.children or () if child.type == "code_inline"]
    return [name for name in code if name in components]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _harmless(token: Token, following: Token) -> Token:
    token.attrs.pop("style", None)  # the alignment of a table's column
    if token.type in ("th_open", "th_close"):
        heading = token.type == "th_close" or following.content.strip()
        token.tag = "th" if heading else "td"
    for child in token.children or ():
        if child.type == "link_open" and re.match(r"(?i)https?:|//", str(child.attrs.get("href", ""))):
            child.attrs["rel"] = "noopener noreferrer"
    return token


def _wrapped(tokens: Iterator[Token], table: str) -> Iterator[Token]:
    """Put tables, which may be wider than a phone, in scrollable boxes; empty header cells become plain ones."""
    empty = False
    for token in tokens:
        if token.type == "th_open":
            empty = token.tag == "td"
        if token.type == "th_close" and empty:
            token.tag = "td"
        if token.type == "table_open":
            yield Token("scrolls_open", "", 0, content=table)
        yield token
        if token.type == "table_close":
            yield Token("scrolls_close", "", 0)
