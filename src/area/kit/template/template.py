"""Templates: compiled once, rendered in about a microsecond."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from area.kit.budget import MAX_FILLED, MAX_TEXT, Budget, Exhausted
from area.kit.sentences import Number, Sentence, SentenceError
from area.kit.template.filters import FILTERS, Kind
from area.kit.template.places import Place, encoding
from area.kit.template.reading import (
    NAME,
    SHOWN,
    Argument,
    Path,
    PlacedError,
    read_literal,
    read_path,
    read_string,
    skip_space,
    unknown_names,
)
from area.kit.template.values import BadArgument, Filter, Unfit, as_paid_text, to_json
from area.kit.text import did_you_mean

MAX_TEMPLATE = 65_536  # characters
MAX_PLACEHOLDERS = 200
MAX_FILTERS = 20  # per placeholder


class TemplateError(PlacedError):
    """A template that can't be used: what is wrong, where, and what to write instead."""


class RenderError(SentenceError):
    """A template that can't be filled with this data: too large, or a value that a filter can't take."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A filter with its arguments; `text`: it takes text."""

    name: str
    apply: Filter
    text: bool


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """A `path` or else the text `literal`, and the filters in order."""

    source: str
    path: Path | None
    literal: str
    filters: tuple[_Step, ...]


# the text before a placeholder, its key if it only looks that up, and the placeholder
_Slot = tuple[str, str | None, _Placeholder]


def compile(  # noqa: A001 -- as in `re`; used as `template.compile`
    text: str, *, place: Place | None = None, ending: Filter | None = None
) -> "Template":
    """Compile a template. Raises `TemplateError`. A text without `{{` is constant.

    Each value is encoded for its `place`, unless it is marked `raw` or already encoded. `ending` is a filter for all
    values.
    """
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(
            Sentence(
                "the text is too long: %(size)s characters, %(most)s are allowed.",
                size=Number(len(text)),
                most=Number(MAX_TEMPLATE),
            ),
            text,
            MAX_TEMPLATE,
        )
    slots: list[_Slot] = []
    paths: list[Path] = []
    before: list[str] = []
    known = ""
    position = count = 0
    while (start := text.find("{{", position)) >= 0:
        count += 1
        if count > MAX_PLACEHOLDERS:
            raise TemplateError(
                Sentence("more than %(most)s placeholders; use fewer.", most=MAX_PLACEHOLDERS), text, start
            )
        before.append(text[position:start])
        placeholder, position = _read_placeholder(text, start)
        if ending and placeholder.path:
            placeholder = _with(placeholder, ending)
        if place:
            known += before[-1]
            alone = count == 1 and not known.strip() and not text[position:].strip()
            placeholder = _placed(placeholder, place, known, first=count == 1, alone=alone)
        path = placeholder.path
        if path:
            paths.append(path)
        if path is None and not placeholder.filters:
            before.append(placeholder.literal)
            continue
        simple = path is not None and len(path.steps) == 1 and not placeholder.filters
        slots.append(("".join(before), path.name if path and simple else None, placeholder))
        before = []
    return Template(
        text=text,
        names=frozenset(path.name for path in paths),
        paths=frozenset(path.keys for path in paths),
        _slots=tuple(slots),
        _end="".join([*before, text[position:]]),
    )


def _placed(placeholder: _Placeholder, place: Place, before: str, *, first: bool, alone: bool) -> _Placeholder:
    """The placeholder with the encoding for its place, given the known text before it."""
    names = {step.name for step in placeholder.filters}
    if placeholder.path is None or names & {"raw", *place.by_hand} or (alone and not place.alone):
        return placeholder
    encode = place.encode(before, first)
    return _with(placeholder, encoding(encode, deep=place.deep)) if encode else placeholder


def _with(placeholder: _Placeholder, apply: Filter) -> _Placeholder:
    return replace(placeholder, filters=(*placeholder.filters, _Step("", apply, text=False)))


def placeholders(text: str) -> list[tuple[int, int]]:
    """The beginning and end of each placeholder. Raises `TemplateError`."""
    spans: list[tuple[int, int]] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        position = _read_placeholder(text, start)[1]
        spans.append((start, position))
    return spans


def _read_placeholder(text: str, start: int) -> tuple[_Placeholder, int]:
    if text.startswith("{{{", start):
        raise TemplateError(
            Sentence('three braces; a placeholder has two: {{title}}. For a brace before one, write {{"{"}}{{title}}.'),
            text,
            start,
        )
    position = skip_space(text, start + 2)
    path, literal = None, ""
    if text.startswith(('"', "'"), position):
        literal, position = read_string(text, position, TemplateError)
    elif text.startswith("}}", position):
        raise TemplateError(Sentence("the braces are empty; write a name, such as {{title}}."), text, start)
    elif NAME.match(text, position) or text.startswith("[", position):
        path, position = read_path(text, position, TemplateError)
    else:
        raise _unexpected(text, position, start)
    filters: list[_Step] = []
    while True:
        position = skip_space(text, position)
        if text.startswith("}}", position):
            source = text[start : position + 2]
            return _Placeholder(source, path, literal, tuple(filters)), position + 2
        if not text.startswith("|", position):
            raise _unexpected(text, position, start)
        if len(filters) == MAX_FILTERS:
            raise TemplateError(
                Sentence("a placeholder has at most %(most)s filters.", most=MAX_FILTERS), text, position
            )
        piped, position = _read_filter(text, position, start)
        filters.append(piped)


def _read_filter(text: str, bar: int, start: int) -> tuple[_Step, int]:
    """The filter whose `|` is at `bar`."""
    begin = skip_space(text, bar + 1)
    match = NAME.match(text, begin)
    if match is None:
        raise TemplateError(Sentence("| must be followed by a filter: %(names)s.", names=", ".join(FILTERS)), text, bar)
    name, position = match[0], match.end()
    kind = FILTERS.get(name.lower())
    if kind is None:
        hint = did_you_mean(name, FILTERS)
        name = name[:SHOWN]
        unknown = Sentence('there is no filter "%(name)s"%(hint)s', name=name, hint=hint)
        if hint == ".":
            unknown = Sentence("%(sentence)s Available: %(names)s.", sentence=unknown, names=", ".join(FILTERS))
        raise TemplateError(unknown, text, begin)
    arguments: list[Argument] = []
    position = skip_space(text, position)
    if text.startswith("(", position):
        raise _unexpected(text, position, start)
    separator = ":"
    while text.startswith(separator, position) and len(arguments) <= kind.most:
        here = skip_space(text, position + 1)
        read = read_literal(text, here, TemplateError)
        if read is None:
            raise _no_argument(text, here, start, kind)
        arguments.append(read[0])
        position = skip_space(text, read[1])
        separator = ","
    if not kind.least <= len(arguments) <= kind.most:
        raise TemplateError(Sentence("write %(name)s as %(usage)s.", name=name, usage=kind.usage), text, begin)
    try:
        return _Step(name.lower(), kind.build(*arguments), kind.text), position
    except BadArgument as error:
        raise TemplateError(Sentence("%(name)s: %(error)s", name=name, error=error), text, begin) from error


def _no_argument(text: str, position: int, start: int, kind: "Kind") -> TemplateError:
    if position >= len(text):
        return _unexpected(text, position, start)
    if text[position] in "“”„‘’«»":  # noqa: RUF001 -- typographic quotes from phones
        return TemplateError(Sentence("use straight quotes: \" or '."), text, position)
    return TemplateError(
        Sentence("an argument is a number or a text in quotes, as in %(usage)s.", usage=kind.usage), text, position
    )


def _unexpected(text: str, position: int, start: int) -> TemplateError:
    """The error for an unexpected character at `position` of the placeholder that begins at `start`."""
    if position >= len(text) or text.startswith("{{", position):
        return TemplateError(
            Sentence('this {{ is never closed; add }} after the name, or write {{"{{"}} for two braces.'), text, start
        )
    match = NAME.match(text, position)
    word = match[0] if match else text[position]
    if word.lower() in FILTERS:
        return TemplateError(Sentence("put | before a filter, as in {{title | %(word)s}}.", word=word), text, position)
    if word == "}":
        return TemplateError(Sentence("a placeholder ends with two braces: }}."), text, position)
    if word == "(":
        return TemplateError(
            Sentence("a filter's argument follows a colon, as in {{title | truncate:80}}."), text, position
        )
    return TemplateError(
        Sentence(
            '"%(word)s" is not allowed here; a placeholder is a name and filters, such as {{title | upper}}.',
            word=word[:SHOWN],
        ),
        text,
        position,
    )


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template, from `compile`. `names` are the top-level names it uses, `paths` the steps of each path."""

    text: str
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    _slots: tuple[_Slot, ...] = field(repr=False)
    _end: str = field(repr=False)

    @property
    def is_constant(self) -> bool:
        """Whether it uses no data."""
        return not self.names

    def render(self, data: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Fill it with `data`, which is not changed.

        If the template is exactly one placeholder, the result keeps the value's type, and is None if it is missing.
        Else the result is text, with each value as `as_text` writes it. Raises `RenderError`.
        """
        budget = budget or Budget()
        slots = self._slots
        if len(slots) == 1 and not self._end and not slots[0][0]:
            part = slots[0][2]
            value = _value(part, data, budget)
            _fill(part, value, budget)
            return value
        pieces: list[str] = []
        budget.steps -= 4 * len(slots)
        room = budget.room - len(self._end)
        for before, key, part in slots:
            value = _value(part, data, budget) if key is None else data.get(key)
            text = value if type(value) is str else _text(part, value, budget)
            pieces += (before, text)
            room -= len(before) + len(text)
            if room < 0:
                raise _too_large(part)
        pieces.append(self._end)
        filled = "".join(pieces)
        if slots:
            _fill(slots[-1][2], filled, budget)
        return filled


def _value(part: _Placeholder, data: Mapping[str, Any], budget: Budget) -> Any:
    value: Any = part.path.find(data) if part.path else part.literal
    if not part.filters:
        return value
    try:
        for step in part.filters:
            if step.text and not isinstance(value, str):
                value = as_paid_text(value, budget)
            before, value = value, step.apply(value, budget)
            if isinstance(value, str) and len(value) > MAX_TEXT and value is not before:
                raise Unfit(
                    Sentence(
                        "the text has %(size)s characters, %(most)s are allowed.",
                        size=Number(len(value)),
                        most=Number(MAX_TEXT),
                    )
                )
    except Unfit as error:
        raise RenderError(Sentence("%(part)s can't be filled in: %(error)s", part=_short(part), error=error)) from error
    except Exhausted as error:
        raise _too_much(part) from error
    return value


def _text(part: _Placeholder, value: Any, budget: Budget) -> str:
    try:
        return as_paid_text(value, budget)
    except Exhausted as error:
        raise _too_much(part) from error


def _fill(part: _Placeholder, value: Any, budget: Budget) -> None:
    """Count what becomes part of the filled parameters. Raises `RenderError` if they become too large."""
    try:
        if isinstance(value, str):
            budget.steps -= 1
            size = len(value) if value.isascii() else len(value.encode(errors="replace"))
            budget.spend(size >> 6)
        elif isinstance(value, dict | list | tuple):
            size = len(to_json(value, budget))
        else:
            return
    except Exhausted as error:
        raise _too_much(part) from error
    budget.room -= size
    if budget.room < 0:
        raise _too_large(part)


def _too_large(part: _Placeholder) -> RenderError:
    return RenderError(
        Sentence(
            "%(part)s makes the parameters larger than %(most)s bytes. Shorten it, for example with | truncate:1000.",
            most=Number(MAX_FILLED),
            part=_short(part),
        )
    )


def _too_much(part: _Placeholder) -> RenderError:
    return RenderError(
        Sentence(
            "%(part)s can't be filled in: it takes too much work. Shorten the value first, for example with"
            " | truncate:1000, or use fewer filters.",
            part=_short(part),
        )
    )


def _short(part: _Placeholder) -> str:
    return part.source if len(part.source) <= 100 else f"{part.source[:97]}…"


def check(template: Template, names: Collection[str]) -> list[Sentence]:
    """A sentence for each top-level name in the template that is not in `names`."""
    return unknown_names(template.names, names)
