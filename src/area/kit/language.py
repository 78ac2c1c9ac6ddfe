"""AREA's languages: which one a user reads, and its translations."""

import gettext as _gettext
import io
import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

LOCALES = Path(__file__).parents[1] / "web" / "locales"
NAMES = {"en": "English", "fr": "Français"}


@lru_cache(1000)
def choose(chosen: str | None, accepted: str) -> str:
    """The chosen language, else the browser's first (RFC 9110, 12.5.4) that we have, else English."""
    if chosen in NAMES:
        return chosen
    ranked: list[tuple[float, str]] = []
    for part in accepted[:500].split(","):
        match = re.fullmatch(
            r"\s*([A-Za-z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q\s*=\s*(0(?:\.\d{1,3})?|1(?:\.0{1,3})?))?\s*", part
        )
        if match and match[1].lower() in NAMES:
            ranked.append((-float(match[2] or 1), match[1].lower()))
    ranked.sort(key=lambda pair: pair[0])
    return ranked[0][1] if ranked and ranked[0][0] < 0 else "en"


@cache
def translations(lang: str) -> _gettext.NullTranslations:
    """The translations of a language, from locales/<language>.po; English is in the code."""
    return _read(LOCALES, lang)


def _read(folder: Path, lang: str) -> _gettext.NullTranslations:
    path = folder / f"{lang}.po"
    if not path.is_file():
        return _gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # loaded where a translation is read, which the supervisor never does
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        catalog = read_po(file, locale=lang)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return _gettext.GNUTranslations(compiled)


@cache
def words(lang: str, folder: Path | None) -> Callable[[str], str]:
    """A function that translates a connector's texts: from <language>.po in its folder, else from the pages' own, else
    not at all.
    """
    known = _read(folder, lang) if folder else _gettext.NullTranslations()
    known.add_fallback(translations(lang))

    @lru_cache(5000)
    def say(text: str) -> str:
        text = joined(text)
        return known.gettext(text) if text else ""

    return say


def joined(text: str) -> str:
    """A docstring's paragraphs, each as one line."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
