"""A parameter's text as something to fill: plain text, or a JSON document whose strings are each filled by themselves."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from area.kit import template
from area.kit.budget import Budget


class Filling:
    """Compiled once; `render` gives the value. `names` are the return values that it uses.

    A text that is a JSON object or array (and `structured` is asked for) keeps its form: what is filled into one of its
    strings can't break out of it. So do `lines`, such as those of headers; in an `address` each value keeps to its place.
    """

    __slots__ = ("_parts", "constant", "names")

    def __init__(self, text: str, *, structured: bool, address: bool = False, lines: bool = False) -> None:
        document: Any = _split(text) if lines else text
        if structured and text[:1] in ("{", "[") and not text.startswith("{{"):
            try:
                document = orjson.loads(text)
            except orjson.JSONDecodeError:
                document = text
        self._parts = _compile(document, address=address)
        found: list[template.Template] = list(_templates(self._parts))
        self.names = frozenset(name for one in found for name in one.names)
        self.constant = not any(one.paths for one in found)

    def render(self, data: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Fill from `data`. Raises `template.RenderError`."""
        return _render(self._parts, data, budget or Budget())

    def check(self, names: Collection[str]) -> list[str]:
        """Sentences for names that are not among `names`."""
        return [sentence for one in _templates(self._parts) for sentence in template.check(one, names)]


def _split(text: str) -> str | list[str]:
    """The lines of a text, to be filled each by itself; JSON, a single placeholder and what has none stay whole."""
    if "{{" not in text or re.match(r"\s*\{(?!\{)", text) or re.fullmatch(r"\s*\{\{[^{}]*\}\}\s*", text):
        return text
    lines = [""]
    for line in text.splitlines():
        if lines[-1].count("{{") > lines[-1].count("}}"):  # a placeholder may go on in the next line
            lines[-1] += f"\n{line}"
        else:
            lines.append(line)
    return [line for line in lines if line.strip()]


def _compile(document: Any, *, address: bool = False) -> Any:
    if isinstance(document, str):
        return template.compile(document, address=address)
    if isinstance(document, dict):
        return {key: _compile(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_compile(value) for value in document]
    return document


def _templates(parts: Any) -> list[template.Template]:
    if isinstance(parts, template.Template):
        return [parts]
    if isinstance(parts, dict):
        return [one for value in parts.values() for one in _templates(value)]
    if isinstance(parts, list):
        return [one for value in parts for one in _templates(value)]
    return []


def _render(parts: Any, data: Mapping[str, Any], budget: Budget) -> Any:
    budget.steps -= 5
    if isinstance(parts, template.Template):
        return parts.render(data, budget)
    if isinstance(parts, dict):
        return {key: _render(value, data, budget) for key, value in parts.items()}
    if isinstance(parts, list):
        return [_render(value, data, budget) for value in parts]
    return parts
