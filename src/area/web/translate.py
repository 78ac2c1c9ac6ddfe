"""Collects sentences into translation files: the pages' into locales/*.po, each connector's into its own folder. Run
`make translations` for the built-in ones, `python -m area.web.translate SLUG` for a package's connector.
"""

import io
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from area import connectors
from area.catalog import declared
from area.kit import language
from area.kit.problems import Problem
from area.mail import letters
from area.registry import Registry, registry
from area.sdk import Action, Credentials, Firing, Reaction, Service
from area.sdk.fields import Field, fields
from area.sdk.lookups import Found, LookupParams
from area.sdk.timers import Timer
from area.web.editor.inputs import readable

SOURCES = Path(__file__).parents[1]
UNSPOKEN = frozenset(
    {"cli", "connectors", "migrations", "testing"}
)  # for terminals, with words of their own, and for developers
PYTHON = [("**/test_*.py", "ignore"), ("**.py", "python")]
METHODS = [*PYTHON, ("**.html", "jinja2")]
OPTIONS = {"**.html": {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"}}
PAGES = {"_": None, "gettext": None, "say": None, "ngettext": (1, 2)}
KEYWORDS = {
    "Sentence": None,
    "counted": (1, 2),
    **dict.fromkeys(("Conflict", "Forbidden", "Gone", "Invalid", "NotFound", "Refused", "TooMany", "Unauthenticated")),
    "field": (2,),
    "Fair": (2,),
}
# what connectors say of parameters and runs; names and descriptions are in their own files
CONNECTORS = {
    "Sentence": None,
    "counted": (1, 2),
    **dict.fromkeys(("AuthExpired", "Partial", "Permanent", "Refused", "Retry", "Unreadable", "ValueError"), (1,)),
}
# of the headers: what nobody filled in, and dates, which would make every run a change
UNSAID = tuple(
    f'"{start}' for start in ("Project-Id", "Report-M", "POT-", "PO-", "Last-", "Language-Team", "Generated-By")
)
OTHERS = tuple(lang for lang in language.NAMES if lang != "en")


def sentences() -> Catalog:
    """All sentences of the pages and the platform (fields, errors, run reasons, notices, mails), as an untranslated
    catalog.
    """
    catalog = Catalog(charset="utf-8", fuzzy=False)
    for file, _line, message, _comments, context in extract_from_dir(
        str(SOURCES / "web"), METHODS, OPTIONS, keywords=PAGES, comment_tags=()
    ):
        if file != Path(__file__).name:
            catalog.add(message, context=context)
    for _file, _line, message, _comments, _context in extract_from_dir(
        str(SOURCES), PYTHON, {}, KEYWORDS, comment_tags=(), directory_filter=_spoken
    ):
        if not isinstance(message, str) or not re.fullmatch(r"[a-z_.]*", message):  # else it is the name of a field
            catalog.add(message)
    for _file, _line, message, _comments, _context in extract_from_dir(
        str(SOURCES / "connectors"), PYTHON, {}, CONNECTORS, comment_tags=(), directory_filter=_translated
    ):
        catalog.add(message)
    kinds: list[type[Problem]] = [Problem, *Problem.__subclasses__()]
    for kind in kinds:
        catalog.add(kind.default)
        catalog.add(kind.title)
    for text in (*platform(), *(part for texts in letters.TEXTS.values() for part in texts if part)):
        catalog.add(text)
    return catalog


def _spoken(folder: str) -> bool:
    return Path(folder).name not in UNSPOKEN


def _translated(folder: str) -> bool:
    """Whether a connector, or a folder in one, is translated at all: one without translations speaks English."""
    path = Path(folder)
    return _spoken(folder) and (path.parent != SOURCES / "connectors" or any(path.glob("*.po")))


def platform() -> dict[str, bool]:
    """The platform's own texts, shared by all connectors."""
    return {
        text: True
        for text, _ in (
            *_fields((declared.ONLY_IF, declared.DELAY, *fields(Timer), *fields(LookupParams))),
            *_described((*fields(Firing), *fields(Found))),
        )
    }


def offered(service: Service) -> dict[str, bool]:
    """A connector's texts in order, and whether each must be translated; names and choices may stay."""
    own = platform()
    msgids: dict[str, bool] = {}
    for text, needed in _said(service):
        text = language.joined(text)  # noqa: PLW2901 - the same text
        if text and text not in own:
            msgids[text] = msgids.get(text, False) or needed
    return msgids


def _said(service: Service) -> Iterator[tuple[str, bool]]:
    yield service.name, False
    yield service.description, True
    yield from ((words, True) for words in service.synonyms.values())
    components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
    for component in components:
        if component.translated:
            yield component.title, True
            yield component.description, True
            yield from _fields(fields(component.params))
            yield from _described(fields(component.returns))
    if isinstance(service.auth, Credentials):
        yield from _described(fields(service.auth.model))


def _fields(declared: Iterable[Field]) -> Iterator[tuple[str, bool]]:
    for member in declared:
        yield readable(member.name), True
        yield from _described((member,))


def _described(declared: Iterable[Field]) -> Iterator[tuple[str, bool]]:
    for member in declared:
        yield member.description, True
        yield from ((choice, False) for choice in member.choices or () if choice not in member.labels)
        yield from ((label, True) for label in member.labels.values())


# What is missing


def missing(lang: str) -> Iterator[str]:
    """The pages' sentences that have no translation, or one that drops or invents a placeholder."""
    known = _read(language.LOCALES / f"{lang}.po", lang)
    for message in sentences():
        if not message.id:
            continue
        translated = known.get(message.id)
        text = translated.string if translated else ""
        if translated is None or translated.fuzzy or not all([text] if isinstance(text, str) else text or [""]):
            yield f"has no translation: {message.id!r}"
        else:
            translated.flags |= message.flags
            yield from (f"{message.id!r}: {error}" for error in translated.check())


def missing_in(service: Service, folder: Path, lang: str) -> Iterator[str]:
    """A connector's texts without a translation, or whose translation changes `code`."""
    known = _read(folder / f"{lang}.po", lang)
    texts = offered(service)
    for text, needed in texts.items():
        message = known.get(text)
        translated = str(message.string) if message and not message.fuzzy else ""
        if needed and not translated:
            yield f"has no translation: {text!r}"
        elif translated and sorted(re.findall(r"`[^`]*`", text)) != sorted(re.findall(r"`[^`]*`", translated)):
            yield f"{text!r}: `code` is not the same in the translation"
    yield from (f"is said no more: {message.id!r}" for message in known if message.id and message.id not in texts)


# Update


def update(lang: str) -> None:
    """Update the pages' file of a language: new sentences empty, removed ones dropped."""
    path = language.LOCALES / f"{lang}.po"
    path.parent.mkdir(exist_ok=True)
    fresh = Catalog(locale=lang, header_comment="# AREA's pages.", fuzzy=False)
    for message in sentences():
        if message.id:
            fresh.add(message.id, flags=message.flags)
    _write(path, fresh, lang, sort=True)


def update_in(service: Service, folder: Path, lang: str) -> None:
    """Update a connector's file of a language, in code order."""
    comment = f"# What the connector {service.slug} says. Names and choices left empty stay as they are."
    fresh = Catalog(locale=lang, header_comment=comment, fuzzy=False)
    for text in offered(service):
        fresh.add(text).flags.clear()  # a percent sign is one
    _write(folder / f"{lang}.po", fresh, lang, sort=False)


def _read(path: Path, lang: str) -> Catalog:
    if not path.is_file():
        return Catalog(locale=lang)
    with path.open("rb") as file:
        return read_po(file, locale=lang)


def _write(path: Path, fresh: Catalog, lang: str, *, sort: bool) -> None:
    known = _read(path, lang)
    for message in fresh:
        old = known.get(message.id) if message.id else None
        if old and old.string:
            message.string = old.string
    buffer = io.BytesIO()
    write_po(buffer, fresh, width=0, sort_output=sort, omit_header=False, no_location=True)
    lines = buffer.getvalue().decode().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(UNSAID)) + "\n")


def main(registry: Registry, slugs: list[str]) -> None:
    """Update the files of the named connectors, or of the pages and all built-in connectors."""
    built_in = [slug for slug, folder in registry.folders.items() if str(folder.parent) in connectors.__path__]
    for lang in OTHERS:
        if not slugs:
            update(lang)
            print(f"{lang}: {len(list(missing(lang)))} sentences of the pages wait for their translation")  # noqa: T201 - a command
        for slug in slugs or built_in:
            service, folder = registry.services[slug], registry.folders[slug]
            update_in(service, folder, lang)
            if waiting := len(list(missing_in(service, folder, lang))):
                print(f"{lang}: {waiting} of {slug} wait for theirs")  # noqa: T201 - a command


if __name__ == "__main__":
    main(registry(), sys.argv[1:])
