"""Templates: compiled once, rendered in about a microsecond."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from area.kit.budget import MAX_FILLED, MAX_TEXT, Budget, Exhausted
from area.kit.sentences import Number, Sentence, SentenceError
from area.kit.template.placeholder import OF_TYPE, Placeholder, Step, TemplateError, misfit_of, read_placeholder
from area.kit.template.places import Place, encoding
from area.kit.template.reading import Path, unknown_names
from area.kit.template.values import Filter, Unfit, as_paid_text, to_json

MAX_TEMPLATE = 65_536  # characters
MAX_PLACEHOLDERS = 200


class RenderError(SentenceError):
    """A template that can't be filled with this data: too large, or a value that a filter can't take."""


# the text before a placeholder, its key if it only looks that up, and the placeholder
_Slot = tuple[str, str | None, Placeholder]


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
                "the text is too long: it has %(size)s characters, and the limit is %(most)s.",
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
        placeholder, position = read_placeholder(text, start)
        if ending and placeholder.path:
            placeholder = _with(placeholder, ending)
        if place:
            known += before[-1]
            alone = count == 1 and not known.strip() and not text[position:].strip()
            placeholder = _placed(placeholder, place, known, first=count == 1, alone=alone)
        path = placeholder.path
        if path:
            paths.append(path)
        paths += (step.other for step in placeholder.filters if step.other)
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
        lone=tuple(
            (placeholder.path.name, placeholder.filters[0].name)
            for _, _, placeholder in slots
            if placeholder.path and len(placeholder.path.steps) == 1 and placeholder.filters
            if placeholder.filters[0].name  # else it is the encoding of the place
        ),
        _slots=tuple(slots),
        _end="".join([*before, text[position:]]),
    )


def _placed(placeholder: Placeholder, place: Place, before: str, *, first: bool, alone: bool) -> Placeholder:
    """The placeholder with the encoding for its place, given the known text before it."""
    names = {step.name for step in placeholder.filters}
    if placeholder.path is None or names & {"raw", *place.by_hand} or (alone and not place.alone):
        return placeholder
    encode = place.encode(before, first)
    return _with(placeholder, encoding(encode, deep=place.deep)) if encode else placeholder


def _with(placeholder: Placeholder, apply: Filter) -> Placeholder:
    return replace(placeholder, filters=(*placeholder.filters, Step("", apply, text=False)))


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template, from `compile`. `names` are the top-level names it uses, `paths` the steps of each path, and
    `lone` the names whose value goes through a filter as a whole, with the first of these.
    """

    text: str
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]
    lone: tuple[tuple[str, str], ...]
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


def _value(part: Placeholder, data: Mapping[str, Any], budget: Budget) -> Any:
    value: Any = part.path.find(data) if part.path else part.literal
    if not part.filters:
        return value
    try:
        for step in part.filters:
            if step.text and not isinstance(value, str):
                value = as_paid_text(value, budget)
            before = value
            if step.of_two and step.other:
                value = step.of_two(value, budget, step.other.find(data))
            else:
                value = step.apply(value, budget)
            if isinstance(value, str) and len(value) > MAX_TEXT and value is not before:
                raise Unfit(
                    Sentence(
                        "the text has %(size)s characters; the limit is %(most)s.",
                        size=Number(len(value)),
                        most=Number(MAX_TEXT),
                    )
                )
    except Unfit as error:
        raise RenderError(Sentence("%(part)s can't be filled in: %(error)s", part=_short(part), error=error)) from error
    except Exhausted as error:
        raise _too_much(part) from error
    return value


def _text(part: Placeholder, value: Any, budget: Budget) -> str:
    try:
        return as_paid_text(value, budget)
    except Exhausted as error:
        raise _too_much(part) from error


def _fill(part: Placeholder, value: Any, budget: Budget) -> None:
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


def _too_large(part: Placeholder) -> RenderError:
    return RenderError(
        Sentence(
            "%(part)s makes the parameters larger than %(most)s bytes. Shorten it, for example with | truncate:1000.",
            most=Number(MAX_FILLED),
            part=_short(part),
        )
    )


def _too_much(part: Placeholder) -> RenderError:
    return RenderError(
        Sentence(
            "%(part)s can't be filled in: it needs too much processing. Shorten the value first, for example with |"
            " truncate:1000, or use fewer filters.",
            part=_short(part),
        )
    )


def _short(part: Placeholder) -> str:
    return part.source if len(part.source) <= 100 else f"{part.source[:97]}…"


def paths_in(text: str) -> list[tuple[str, ...]]:
    """The steps of each path that a template uses, sorted; none if it can't be compiled."""
    try:
        return sorted(compile(text).paths)
    except TemplateError:
        return []


def check(template: Template, names: Collection[str]) -> list[Sentence]:
    """A sentence for each top-level name in the template that is not in `names`.

    If `names` maps them to the types of an action's return values, also one for each filter that can't take its value.
    """
    sentences = unknown_names(template.names, names)
    if isinstance(names, Mapping):
        for name, first in template.lone:
            misfit = misfit_of(first, OF_TYPE.get(str(names.get(name)), "any"))
            if misfit:
                sentences.append(Sentence("{{%(name)s}}: %(error)s", name=name, error=misfit))
    return sentences
