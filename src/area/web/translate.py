"""Collects the sentences of the pages into locales/*.po, where what is new waits for its translation: `make translations`."""

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from area.web import language

HERE = Path(__file__).parent
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {"**/templates/**.html": {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"}}
KEYWORDS = {"_": None, "gettext": None, "say": None, "ngettext": (1, 2)}


def sentences() -> Catalog:
    """All that the pages say, as a catalog without translations."""
    found = Catalog(project="AREA", charset="utf-8", fuzzy=False)
    for file, _line, message, _comments, context in extract_from_dir(
        str(HERE), METHODS, OPTIONS, keywords=KEYWORDS, comment_tags=()
    ):
        if file != Path(__file__).name:
            found.add(message, context=context)
    return found


def missing(lang: str) -> Iterator[str]:
    """The sentences that have no translation, or one that drops or invents a placeholder."""
    path = language.LOCALES / f"{lang}.po"
    with path.open("rb") as file:
        known = read_po(file, locale=lang)
    for message in sentences():
        if not message.id:
            continue
        translated = known.get(message.id)
        said = translated.string if translated else ""
        if translated is None or translated.fuzzy or not all([said] if isinstance(said, str) else said or [""]):
            yield f"has no translation: {message.id!r}"
        else:
            translated.flags |= message.flags
            yield from (f"{message.id!r}: {error}" for error in translated.check())


def update(lang: str) -> None:
    """Bring the file of a language up to date: new sentences empty, those that are gone left out."""
    path = language.LOCALES / f"{lang}.po"
    path.parent.mkdir(exist_ok=True)
    known = Catalog(locale=lang)
    if path.is_file():
        with path.open("rb") as file:
            known = read_po(file, locale=lang)
    fresh = Catalog(locale=lang, project="AREA", header_comment="# AREA's pages.", fuzzy=False)
    for message in sentences():
        if message.id:
            old = known.get(message.id)
            fresh.add(message.id, old.string if old else "", flags=message.flags)
    buffer = io.BytesIO()
    write_po(buffer, fresh, width=0, sort_output=True, omit_header=False, no_location=True)
    lines = buffer.getvalue().decode().splitlines()
    # dates would make every run a change
    path.write_text("\n".join(line for line in lines if "-Date:" not in line and "Generated-By" not in line) + "\n")


if __name__ == "__main__":
    for one in language.NAMES:
        if one != "en":
            update(one)
            print(f"{one}: {sum(1 for _ in missing(one))} sentences wait for their translation")  # noqa: T201 - a command
