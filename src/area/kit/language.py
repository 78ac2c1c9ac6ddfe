"""The languages that AREA speaks: which one somebody reads, and its words."""

import gettext as _gettext
import io
import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parents[1] / "web" / "locales"
NAMES = {"en": "English", "fr": "Français"}


def choose(chosen: str | None, accepted: str) -> str:
    """The language: the one that was chosen, else the first of the browser's (RFC 9110, 12.5.4) that we have, else English."""
    if chosen in NAMES:
        return chosen
    wanted: list[tuple[float, str]] = []
    for one in accepted[:500].split(","):
        found = re.fullmatch(
            r"\s*([A-Za-z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q\s*=\s*(0(?:\.\d{1,3})?|1(?:\.0{1,3})?))?\s*", one
        )
        if found and found[1].lower() in NAMES:
            wanted.append((-float(found[2] or 1), found[1].lower()))
    wanted.sort(key=lambda pair: pair[0])
    return wanted[0][1] if wanted and wanted[0][0] < 0 else "en"


@cache
def translations(lang: str) -> _gettext.NullTranslations:
    """The words of a language, read from locales/<language>.po; English is what is written in the code."""
    return _read(LOCALES, lang)


def _read(folder: Path, lang: str) -> _gettext.NullTranslations:
    path = folder / f"{lang}.po"
    if not path.is_file():
        return _gettext.NullTranslations()
    with path.open("rb") as file:
        catalog = read_po(file, locale=lang)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return _gettext.GNUTranslations(compiled)


@cache
def words(lang: str, folder: Path | None) -> Callable[[str], str]:
    """What translates what a connector says, by <language>.po in its folder, else by the pages' own words, else not at all."""
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
