"""A parameter's text as a structure to fill: the structure is the user's, and is read before any value is filled in."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import orjson

from area.kit import template
from area.kit.budget import Budget
from area.kit.sentences import Sentence
from area.kit.template.placeholder import placeholders
from area.kit.template.places import Place, bare_json
from area.kit.template.values import Filter

Split = Callable[[str], Any]

_FIRST, _LAST = 0xF0000, 0xFFFF0  # private use: characters that stand for placeholders while a text is split
_BARE_MARK = "\U000ffffd"
_JSON = re.compile(rf'"(?:[^"\\]|\\.)*+"|([{chr(_FIRST)}-{chr(_LAST)}])', re.DOTALL)


class Bare(str):
    """A placeholder that stands for one value of any type."""

    __slots__ = ()


def json_document(text: str) -> Any:
    """Split a JSON object or array, also with placeholders outside quotes; any other text stays as it is."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return _bared(
            orjson.loads(_JSON.sub(lambda match: f'"{match[1]}{_BARE_MARK}"' if match[1] else match[0], text))
        )
    except orjson.JSONDecodeError:
        return text


def _bared(document: Any) -> Any:
    if isinstance(document, dict):
        return {key.removesuffix(_BARE_MARK): _bared(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_bared(value) for value in document]
    return Bare(document[:-1]) if isinstance(document, str) and document.endswith(_BARE_MARK) else document


class Filling:
    """Compiled once; `render` returns the value. `names` are the values it uses, `paths` the steps of each path;
    `parted`: it was split.

    `split` gets the text with one character per placeholder, and returns a document of dicts and lists. Its texts are
    filled one by one, so no value can break out of its text. A text that is exactly one placeholder is not split: it is
    the value. `place` applies to each text.
    """

    __slots__ = ("_parts", "constant", "names", "parted", "paths")

    def __init__(self, text: str, *, split: Split | None = None, place: Place | None = None) -> None:
        compiler = _Compiler(text, place)
        self._parts = compiler.compile(compiler.document(split) if split and "{{" in text else text)
        self.parted = not isinstance(self._parts, template.Template)
        used = list(_templates(self._parts))
        self.names = frozenset(name for item in used for name in item.names)
        self.paths = frozenset(path for item in used for path in item.paths)
        self.constant = not self.paths

    def render(self, data: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Fill it from `data`. Raises `template.RenderError`."""
        return _render(self._parts, data, budget or Budget())

    @property
    def keys(self) -> tuple[str, ...] | None:
        """The keys of an object; None if it is none, or has keys that are filled in."""
        if not isinstance(self._parts, _Object):
            return None
        written = tuple(key for key, _ in self._parts if isinstance(key, str))
        return written if len(written) == len(self._parts) else None

    def check(self, names: Collection[str]) -> list[Sentence]:
        """Sentences for names that are not in `names`."""
        return [sentence for part in _templates(self._parts) for sentence in template.check(part, names)]


class _Object(list[tuple[str | template.Template, Any]]):
    """An object's keys and values. A filled key can't replace a written one."""


class _Compiler:
    def __init__(self, text: str, place: Place | None) -> None:
        self.text = text
        self.place = place
        self.marked: dict[str, str] = {}

    def document(self, split: Split) -> Any:
        """The document that `split` returns for the text. Raises `TemplateError`."""
        taken = set(self.text)
        free = (mark for mark in map(chr, range(_FIRST, _LAST)) if mark not in taken)
        pieces: list[str] = []
        position = 0
        for start, end in placeholders(self.text):
            mark = next(free)
            self.marked[mark] = self.text[start:end]
            pieces += (self.text[position:start], mark)
            position = end
        marked = "".join([*pieces, self.text[position:]])
        if marked.strip() not in self.marked:
            return split(marked)
        return Bare(marked.strip()) if self.place is not None and self.place.deep else marked.strip()

    def compile(self, document: Any) -> Any:
        if isinstance(document, dict):
            return _Object((self._key(key), self.compile(value)) for key, value in document.items())
        if isinstance(document, list):
            return [self.compile(value) for value in document]
        if isinstance(document, Bare):
            return self._template(document, bare_json)
        return self._template(document) if isinstance(document, str) else document

    def _key(self, text: str) -> str | template.Template:
        filled = self._template(text)
        return filled if filled.paths else str(filled.render({}))

    def _template(self, text: str, ending: Filter | None = None) -> template.Template:
        written = "".join(self.marked.get(char, char) for char in text) if self.marked else text
        deep = self.place is not None and self.place.deep
        return template.compile(written, place=self.place if deep or ending is None else None, ending=ending)


def _templates(parts: Any) -> Iterator[template.Template]:
    if isinstance(parts, template.Template):
        yield parts
    elif isinstance(parts, tuple | list):
        for part in parts:
            yield from _templates(part)


def _render(parts: Any, data: Mapping[str, Any], budget: Budget) -> Any:
    budget.steps -= 5
    if isinstance(parts, template.Template):
        return parts.render(data, budget)
    if isinstance(parts, _Object):
        written = {key: _render(value, data, budget) for key, value in parts if isinstance(key, str)}
        filled = [(key.render(data, budget), value) for key, value in parts if not isinstance(key, str)]
        return {template.as_text(key): _render(value, data, budget) for key, value in filled} | written
    if isinstance(parts, list):
        return [_render(value, data, budget) for value in parts]
    return parts
