"""An AREA as a sentence: If *a new item appears* (example.org/feed) then *post a notice*."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from area.areas.views import AreaOut, PartOut
from area.kit import language
from area.registry import Registry

LONGEST = 60  # characters of what a part is about


class Half(BaseModel):
    """One side: title, subject and service."""

    service: str
    slug: str
    icon_path: str | None
    title: str
    about: str
    timer: bool = False  # it reads without "if"


class Sentence(BaseModel):
    """Both sides."""

    action: Half
    reaction: Half


def sentences(registry: Registry, areas: Sequence[AreaOut], lang: str) -> list[Sentence]:
    """The AREAs as sentences, in their order."""
    return [
        Sentence(action=half(registry, area.action, lang), reaction=half(registry, area.reaction, lang))
        for area in areas
    ]


def half(registry: Registry, part: PartOut, lang: str) -> Half:
    """One side of an AREA."""
    slug = part.component.partition(".")[0]
    action = registry.action(part.component)
    timer = action is not None and action.kind == "timer"
    known = slug in registry.folders
    say = language.words(lang, registry.folders.get(slug))
    title = say(part.title)
    return Half(
        service=say(part.service),
        slug=slug,
        icon_path=f"/icons/{slug}.svg" if known else None,
        title=title if timer else title[:1].lower() + title[1:],
        about=about(part.parameters),
        timer=timer,
    )


def about(parameters: dict[str, Any]) -> str:
    """The parameter that says most, short: an address without what is before the host, else the first text."""
    for name in ("url", "repo", "channel", "topic", "to", "title", "time", "expression", "interval", *parameters):
        value = parameters.get(name)
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
            continue
        text = " ".join(str(value).split())
        if text.startswith(("http://", "https://")):
            parts = urlsplit(text)
            text = parts.netloc + (parts.path if parts.path != "/" else "")
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return ""
